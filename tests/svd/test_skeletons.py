"""What holds for all decompositions made of rows and columns: of `interpolative` and of `cur`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from lowapprox import ConvergenceWarning, InputError, InputTypeError, NumericalError
from lowapprox._core.matrix import as_matrix
from lowapprox._core.views import Centred, Scaled
from lowapprox.svd import cur, interpolative
from tests.reference import CountedOperator, error, host, with_spectrum
from tests.strategies import FORMS, SPECTRA

Decompose = Callable[..., Any]
KINDS = {
    "rows": partial(interpolative, axis=0),
    "columns": partial(interpolative, axis=1),
    "cur": cur,
}
all_kinds = pytest.mark.parametrize("decompose", KINDS.values(), ids=KINDS.keys())


def size(result: Any) -> int:
    return int(getattr(result, "indices", getattr(result, "col_indices", None)).shape[0])


@pytest.fixture
def harmonic() -> np.ndarray:
    return with_spectrum(np.random.default_rng(3), 60, 50, SPECTRA["harmonic"](np.arange(50.0)))


@all_kinds
def test_rank_caps_the_tolerance(decompose: Decompose) -> None:
    with pytest.warns(ConvergenceWarning, match=r"`tol`=1.00e-01 with 7 selected"):
        result = decompose(np.eye(40), 7, tol=0.1, rng=0)
    assert (result.converged, size(result)) == (False, 7)
    assert result.error == pytest.approx(np.sqrt(33))
    assert decompose(np.eye(40), 39, tol=0.5, rng=0).converged


@all_kinds
@pytest.mark.parametrize("target", [{"rank": 8}, {"tol": 0.3}], ids=str)
def test_operators_are_seen_through_products(
    decompose: Decompose, target: dict[str, Any], harmonic: np.ndarray
) -> None:
    counted = CountedOperator(harmonic)
    result = decompose(counted, **target, rng=0)
    assert result.matvecs == counted.columns
    assert result.error_kind == "estimate"
    assert error(harmonic, result.reconstruct()) < 0.4 * np.linalg.norm(harmonic)


@all_kinds
def test_the_estimate_for_operators_is_honest(decompose: Decompose, harmonic: np.ndarray) -> None:
    ratios, missed = [], 0
    for seed in range(200):
        result = decompose(CountedOperator(harmonic), 8, rng=seed)
        ratios.append((result.error / error(harmonic, result.reconstruct())) ** 2)
    # Ten probes and an effective rank above 5: the mean of 200 has a standard error below 0.015.
    assert abs(np.mean(ratios) - 1) < 0.075
    for seed in range(100):
        result = decompose(CountedOperator(harmonic), tol=0.2, rng=seed)
        assert result.converged
        missed += error(harmonic, result.reconstruct()) > 0.2 * np.linalg.norm(harmonic)
    assert missed <= 5


@all_kinds
def test_sparse_is_never_dense(decompose: Decompose, monkeypatch: pytest.MonkeyPatch) -> None:
    A = scipy.sparse.random_array((300, 200), density=0.02, rng=np.random.default_rng(0)).tocsr()
    dense = A.toarray()
    original = type(A).toarray

    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        assert min(self.shape) <= 40, "a sparse matrix became dense"
        return original(self, *args, **kwargs)

    for kind in (scipy.sparse.csr_array, scipy.sparse.csc_array):
        monkeypatch.setattr(kind, "toarray", guarded)
    for target in ({"rank": 30}, {"rank": 40, "tol": 0.9}):
        result = decompose(A, **target, rng=0)
        assert result.error == pytest.approx(error(dense, host(result.reconstruct())), rel=1e-6)
        skeletons = (result.C, result.R) if hasattr(result, "C") else (result.skeleton,)
        assert all(scipy.sparse.issparse(x) and x.nnz < 0.3 * np.prod(x.shape) for x in skeletons)


@all_kinds
@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
@pytest.mark.parametrize("form", ["C", "csr_array", "array-api-strict", "operator"])
def test_empty(decompose: Decompose, shape: tuple[int, int], form: str) -> None:
    for target in ({"tol": 0.1}, {"rank": 1}):
        result = decompose(FORMS[form](np.zeros(shape)), **target, rng=0)
        assert size(result) == 0
        assert host(result.reconstruct()).shape == shape
        assert (result.error, result.converged) == (0.0, True)


@all_kinds
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(decompose: Decompose, bad: float) -> None:
    A = np.ones((6, 5))
    A[2, 3] = bad
    for form in ("C", "csr_array", "array-api-strict"):
        with pytest.raises(InputError, match="`A`"):
            decompose(FORMS[form](A), 2)
    with pytest.raises(NumericalError):
        decompose(FORMS["operator"](A), 2)


@all_kinds
def test_bad_arguments(decompose: Decompose) -> None:
    A = np.ones((4, 3))
    with pytest.raises(InputError, match="`rank` or `tol`"):
        decompose(A)
    for rank in (0, 4, -1):
        with pytest.raises(InputError, match=rf"`rank` must lie in .*\[1, 3\].*got {rank}"):
            decompose(A, rank)
    assert decompose(A, 50, tol=0.1, rng=0).converged  # a mere cap
    with pytest.raises(InputError, match=r"`rank`.*got 0"):
        decompose(A, 0, tol=0.1)
    for tol in (0.0, 1.0, -1.0):
        with pytest.raises(InputError, match="`tol`"):
            decompose(A, tol=tol)
    with pytest.raises(InputTypeError, match="`rank`"):
        decompose(A, 1.5)
    with pytest.raises(InputTypeError, match="`rng`"):
        decompose(A, 1, rng=np.random.RandomState(0))


def test_axes_are_checked() -> None:
    for axis in (2, -1, "rows"):
        with pytest.raises(InputError, match="`axis`"):
            interpolative(np.ones((4, 3)), 1, axis=axis)  # type: ignore[arg-type]


@all_kinds
@pytest.mark.parametrize("form", ["C", "csr_array", "array-api-strict"])
def test_entries_are_never_those_behind_a_view(decompose: Decompose, form: str) -> None:
    """Scaled entries are read as scaled, transposed ones transposed; centred ones are refused."""
    A = with_spectrum(np.random.default_rng(3), 30, 20, 0.1 ** np.arange(20.0))
    op = as_matrix(FORMS[form](A))
    for view, exact in ((Scaled(op, 3), 8 * A), (op.H, A.T)):
        result = decompose(view, 4, rng=0)
        assert error(exact, host(result.reconstruct())) < 1e-2
        skeleton = host(getattr(result, "C", getattr(result, "skeleton", None)))
        picked = result.col_indices if hasattr(result, "C") else result.indices
        axis = 1 if hasattr(result, "C") else result.axis
        np.testing.assert_array_equal(skeleton, np.take(exact, host(picked), axis))
    for target in ({"rank": 4}, {"rank": 20}, {"tol": 0.1}):
        with pytest.raises(InputTypeError, match="Centred, a view"):
            decompose(Centred(op), **target, rng=0)
