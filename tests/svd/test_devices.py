"""Arrays of two namespaces or devices never meet: nothing is moved without being asked."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from scipy.sparse.linalg import aslinearoperator

from lowapprox import InputTypeError
from lowapprox._core.matrix import to_host
from lowapprox.svd import estimate_error, nystrom, randomized_svd, rp_cholesky


def _torch(A: np.ndarray) -> Any:
    return pytest.importorskip("torch").from_numpy(A.copy())


def _strict(A: np.ndarray, device: str = "CPU_DEVICE") -> Any:
    xp = pytest.importorskip("array_api_strict")
    return xp.asarray(A.copy(), device=xp.Device(device))


HOMES: dict[str, Callable[[np.ndarray], Any]] = {
    "numpy": lambda A: A,
    "torch": _torch,
    "strict": _strict,
    "device": lambda A: _strict(A, "device1"),
}
USES: dict[str, Callable[[Any, Any], Any]] = {
    "estimate_error": lambda A, B: estimate_error(A, randomized_svd(B, 3, rng=0), rng=0),
    "transform": lambda A, B: randomized_svd(A, 3, rng=0).transform(B),
    "solve": lambda A, B: nystrom(A, 3, rng=0).solve(B, 1.0),
    "rp_cholesky": lambda A, B: rp_cholesky(
        lambda rows, cols: A[: len(rows), : len(cols)], 3, diag=B[:, 0], rng=0
    ),
}


@pytest.fixture
def matrix() -> np.ndarray:
    B = np.random.default_rng(0).standard_normal((20, 5))
    return B @ B.T


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(HOMES, 2)))
@pytest.mark.parametrize("use", USES)
def test_two_homes_do_not_meet(use: str, one: str, other: str, matrix: np.ndarray) -> None:
    A, B = HOMES[one](matrix), HOMES[other](matrix)
    with pytest.raises(InputTypeError, match=r"`(result|X|b|diag)` must be of .* on .*, got .* on"):
        USES[use](A, B)


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("use", ["estimate_error", "transform", "solve"])
def test_one_home_is_enough(use: str, home: str, matrix: np.ndarray) -> None:
    A = HOMES[home](matrix)
    result = USES[use](A, A)
    if use != "estimate_error":
        assert type(result) is type(A)
        assert result.device == A.device
        np.testing.assert_allclose(to_host(result), USES[use](matrix, matrix), rtol=1e-8)


def test_sparse_matrices_and_operators_live_with_numpy(matrix: np.ndarray) -> None:
    result = randomized_svd(matrix, 3, rng=0)
    for X in (scipy.sparse.csr_array(matrix), aslinearoperator(matrix), matrix.tolist()):
        np.testing.assert_allclose(result.transform(X), result.transform(matrix), rtol=1e-10)
    elsewhere = randomized_svd(_torch(matrix), 3, rng=0)
    with pytest.raises(InputTypeError, match="`X` must be of torch on cpu"):
        elsewhere.transform(scipy.sparse.csr_array(matrix))


def test_dask_arrays_are_not_transformed(matrix: np.ndarray) -> None:
    da = pytest.importorskip("dask.array")
    with pytest.raises(InputTypeError, match=r"`X` must be of numpy on cpu, .* got dask"):
        randomized_svd(matrix, 3, rng=0).transform(da.from_array(matrix))
