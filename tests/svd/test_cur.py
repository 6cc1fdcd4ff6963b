from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from hypothesis import assume, given
from hypothesis import strategies as st

from lowapprox import ConvergenceWarning
from lowapprox.svd import CURResult, cur
from tests.reference import eps, error, host, tail, with_spectrum
from tests.strategies import (
    DOUBLE_DTYPES,
    FORMS,
    SPARSE_FORMS,
    SPECTRA,
    dtypes,
    matrices,
    seeds,
    spectral_matrices,
)


def floor(A: np.ndarray) -> float:
    """Error that C U R may have by rounding: it is magnified by the condition of U."""
    return 100 * np.sqrt(eps(A)) * float(np.linalg.norm(A.astype("D")))


def check(A: np.ndarray, result: CURResult) -> None:
    """What must hold for every matrix and every way of handing it over."""
    I, J = host(result.row_indices), host(result.col_indices)
    k = J.size
    assert len(set(I.tolist())) == len(set(J.tolist())) == I.size == k
    assert np.array_equal(host(result.C), A[:, J])
    assert np.array_equal(host(result.R), A[I, :])
    assert host(result.U).shape == (k, k)
    assert result.U.dtype == result.C.dtype == result.R.dtype
    r = result.rank
    U = host(result.U)
    assert not U[r:].any()
    assert not U[:, r:].any()
    true = error(A, host(result.reconstruct()))
    norm = float(np.linalg.norm(A.astype("D")))
    assert true >= tail(A, k) * (1 - 1e-6) - 100 * eps(A) * norm
    if result.error_kind == "exact":
        slack = max(1e-3 * true, 1e3 * eps(A) * norm)
        assert result.error == pytest.approx(true, abs=slack)
        assert result.fro_norm == pytest.approx(norm, rel=1e-5)


@given(A=matrices(), seed=seeds, data=st.data())
def test_rank(A: np.ndarray, seed: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, min(A.shape)))
    result = cur(A, k, rng=seed)
    check(A, result)
    assert result.col_indices.shape == result.row_indices.shape == (k,)
    assert (result.converged, result.error_kind) == (True, "exact")
    assert result.U.dtype == A.dtype


@given(
    A=matrices(dtype=dtypes(DOUBLE_DTYPES)),
    seed=seeds,
    tol=st.sampled_from([0.5, 0.1, 1e-2, 1e-4]),
)
def test_tolerance(A: np.ndarray, seed: int, tol: float) -> None:
    result = cur(A, tol=tol, rng=seed)
    check(A, result)
    assert result.converged
    assert error(A, host(result.reconstruct())) <= tol * np.linalg.norm(A) * (1 + 1e-3)


@given(made=spectral_matrices(spectra=("rank-3", "zero")), seed=seeds)
def test_exact_rank(made: Any, seed: int) -> None:
    A = made.A
    rank = min(3, *A.shape) if made.name == "rank-3" else 0
    for result in (cur(A, min(rank + 2, *A.shape), rng=seed), cur(A, tol=1e-2, rng=seed)):
        assert result.rank <= rank
        check(A, result)
    exact = cur(A, min(rank + 2, *A.shape), rng=seed)
    # The condition of U is that of three columns and rows, at worst the square of a few hundred.
    assert error(A, exact.reconstruct()) <= 1e5 * eps(A)
    assert exact.rank == rank


@given(A=matrices(dtype=dtypes(DOUBLE_DTYPES), min_side=3), seed=seeds)
def test_middle_factor_is_the_best(A: np.ndarray, seed: int) -> None:
    """U = C^+ A R^+: its residual is orthogonal to the columns and the rows."""
    k = min(3, *A.shape)
    result = cur(A, k, rng=seed)
    assume(result.rank == k)
    E = A - result.reconstruct()
    normal = result.C.conj().T @ E @ result.R.conj().T
    assert np.abs(normal).max() <= floor(A) * np.linalg.norm(A) ** 2


@pytest.mark.parametrize("dtype", "fdFD")
@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str, dtype: str) -> None:
    A = with_spectrum(np.random.default_rng(1), 30, 22, SPECTRA["harmonic"](np.arange(22.0)), dtype)
    X = FORMS[form](A)
    for kwargs in ({"rank": 6}, {"tol": 0.2}):
        result = cur(X, **kwargs, rng=0)
        check(A, result)
        sparse = form in SPARSE_FORMS
        assert scipy.sparse.issparse(result.C) == scipy.sparse.issparse(result.R) == sparse
        assert type(result.U).__module__.split(".")[0] == (
            "array_api_strict" if form == "array-api-strict" else "numpy"
        )
        assert result.error_kind == ("estimate" if "operator" in form else "exact")


def test_torch() -> None:
    torch = pytest.importorskip("torch")
    A = np.random.default_rng(0).standard_normal((20, 15)) + 1j
    result = cur(torch.from_numpy(A), 5, rng=0)
    check(A, result)
    assert isinstance(result.U, torch.Tensor)
    assert torch.equal(result.R, torch.from_numpy(A)[result.row_indices])


@pytest.mark.parametrize("name", ["harmonic", "root", "geometric", "step", "cluster"])
def test_quality(name: str) -> None:
    s = SPECTRA[name](np.arange(80.0))
    A = with_spectrum(np.random.default_rng(5), 120, 80, s)
    # Greedy columns and greedy rows, by pivoted QR of the whole matrix.
    shares = [(scipy.linalg.qr(X, mode="r", pivoting=True)[0][:80] ** 2).sum(1) for X in (A, A.T)]
    one_sided = [np.append(np.cumsum(x[::-1])[::-1], 0.0) for x in shares]
    greedy = np.sqrt(one_sided[0] + one_sided[1])
    for k in (3, 10, 25):
        for seed in range(5):
            assert tail(A, k) <= cur(A, k, rng=seed).error <= 2 * greedy[k] + 1e-12
    for tol in (0.3, 0.05, 1e-3):
        needed = int(np.argmax(greedy <= tol * np.linalg.norm(A)))
        for seed in range(5):
            assert cur(A, tol=tol, rng=seed).col_indices.size <= 1.15 * needed + 2


def test_ill_conditioned_columns_are_left_out() -> None:
    """The inverse of the intersection would lose everything here."""
    s = 10.0 ** -np.arange(0, 20, 0.5)
    A = with_spectrum(np.random.default_rng(0), 60, 40, s)
    result = cur(A, 36, rng=0)
    check(A, result)
    assert 12 <= result.rank <= 20
    assert result.error <= 1e-6 * result.fro_norm
    with pytest.warns(ConvergenceWarning, match="`tol`=1.00e-12"):
        result = cur(A, tol=1e-12, rng=0)
    assert not result.converged
    check(A, result)


@given(A=matrices(dtype=dtypes(DOUBLE_DTYPES)), seed=seeds, power=st.integers(-480, 480))
def test_powers_of_two(A: np.ndarray, seed: int, power: int) -> None:
    assume(np.abs(A).max(initial=0.0) == 0.0 or np.abs(A)[A != 0].min() > 1e-9)
    k = min(2, *A.shape)
    plain, scaled = (cur(X, k, rng=seed) for X in (A, A * 2.0**power))
    assert np.array_equal(plain.col_indices, scaled.col_indices)
    assert np.array_equal(plain.row_indices, scaled.row_indices)
    assert np.array_equal(scaled.C, plain.C * 2.0**power)
    U = (scaled.U * 2.0 ** (power // 2)) * 2.0 ** (power - power // 2)
    assert np.allclose(U, plain.U, rtol=1e-6, atol=1e-9 * np.abs(plain.U).max(initial=0.0))


def test_one_by_one() -> None:
    result = cur([[-4.0]], 1, rng=0)
    assert result.U.tolist() == [[-0.25]]
    assert result.error == 0.0


def test_result_object() -> None:
    A = np.random.default_rng(0).standard_normal((9, 7))
    before = A.copy()
    result = cur(A, 3, rng=0)
    assert np.array_equal(A, before)
    again = pickle.loads(pickle.dumps(result))
    assert np.array_equal(again.U, result.U)
    assert "\n" not in repr(result)
    assert repr(result).startswith("CURResult(C=(9, 3), U=(3, 3), R=(3, 7), rank=3, error=")
    with pytest.raises(AttributeError):
        result.rank = 1  # type: ignore[misc]
    assert np.array_equal(cur(A, 3, rng=0).U, result.U)
