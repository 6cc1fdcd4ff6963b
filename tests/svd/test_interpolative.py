from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from hypothesis import assume, given
from hypothesis import strategies as st

from lowapprox import (
    AccuracyWarning,
)
from lowapprox.svd import InterpolativeResult, interpolative
from lowapprox.svd import columns as engine
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


def rounding(A: np.ndarray) -> float:
    """Error that rounding may cause."""
    return 100 * eps(A) * np.sqrt(max(A.shape)) * float(np.linalg.norm(A.astype("D")))


def check(A: np.ndarray, result: InterpolativeResult) -> None:
    """What must hold for every matrix and every way of handing it over."""
    axis, J, T = result.axis, host(result.indices), host(result.coefficients)
    k = J.size
    assert len(set(J.tolist())) == k
    assert np.array_equal(host(result.skeleton), np.take(A, J, axis))
    assert np.array_equal(np.take(T, J, axis), np.eye(k))
    assert result.coefficients.dtype == result.skeleton.dtype
    assert host(result.reconstruct()).shape == A.shape
    assert result.growth == (np.abs(T).max() if T.size else 0.0)
    assert 0 <= result.rank <= k
    true = error(A, host(result.reconstruct()))
    assert true >= tail(A, k) * (1 - 1e-6) - rounding(A)
    if result.error_kind == "exact":
        assert result.error == pytest.approx(true, rel=1e-3, abs=rounding(A) / 10)
        assert result.fro_norm == pytest.approx(np.linalg.norm(A.astype("D")), rel=1e-5)


axes = st.sampled_from([0, 1])


@given(A=matrices(), axis=axes, seed=seeds, data=st.data())
def test_rank(A: np.ndarray, axis: int, seed: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, min(A.shape)))
    result = interpolative(A, k, axis=axis, rng=seed)
    check(A, result)
    assert result.indices.shape == (k,)
    assert result.converged
    assert result.error_kind == "exact"
    assert result.coefficients.dtype == A.dtype


@given(A=matrices(), axis=axes, seed=seeds, tol=st.sampled_from([0.5, 0.1, 1e-2, 1e-3]))
def test_tolerance(A: np.ndarray, axis: int, seed: int, tol: float) -> None:
    result = interpolative(A, tol=tol, axis=axis, rng=seed)
    check(A, result)
    norm = np.linalg.norm(A.astype("D"))
    assert result.converged
    assert error(A, host(result.reconstruct())) <= tol * norm * (1 + 1e-3)


@given(made=spectral_matrices(spectra=("rank-3", "zero"), scaled=True), axis=axes, seed=seeds)
def test_exact_rank(made: Any, axis: int, seed: int) -> None:
    A = made.A
    rank = min(3, *A.shape) if made.name == "rank-3" else 0
    k = min(rank + 2, *A.shape)
    scale = float(np.abs(A).max()) or 1.0
    A1 = A / A.real.dtype.type(scale)
    for result in (interpolative(A, k, axis=axis, rng=seed), interpolative(A, tol=1e-3, rng=seed)):
        assert result.rank <= k
        assert error(A1, host(result.reconstruct()) / A.real.dtype.type(scale)) <= rounding(A1)
        assert result.error <= rounding(A1) * scale
    assert interpolative(A, tol=1e-3, axis=axis, rng=seed).indices.shape[0] <= rank


@pytest.mark.parametrize("dtype", "fdFD")
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str, axis: int, dtype: str) -> None:
    A = with_spectrum(np.random.default_rng(1), 30, 22, SPECTRA["harmonic"](np.arange(22.0)), dtype)
    X = FORMS[form](A)
    for kwargs in ({"rank": 6}, {"tol": 0.2}):
        result = interpolative(X, **kwargs, axis=axis, rng=0)
        check(A, result)
        assert scipy.sparse.issparse(result.skeleton) == (form in SPARSE_FORMS)
        assert type(result.coefficients).__module__.split(".")[0] == (
            "array_api_strict" if form == "array-api-strict" else "numpy"
        )
        assert result.error_kind == ("estimate" if "operator" in form else "exact")
        same = interpolative(A, **kwargs, axis=axis, rng=0)
        if "operator" not in form:
            assert np.array_equal(host(result.indices), same.indices)
            assert np.allclose(host(result.coefficients), same.coefficients, atol=100 * eps(A))


def test_torch() -> None:
    torch = pytest.importorskip("torch")
    A = np.random.default_rng(0).standard_normal((20, 15)) + 1j
    result = interpolative(torch.from_numpy(A), 5, rng=0)
    check(A, result)
    assert isinstance(result.coefficients, torch.Tensor)
    assert isinstance(result.indices, torch.Tensor)
    assert torch.equal(result.skeleton, torch.from_numpy(A)[result.indices])


@pytest.mark.parametrize("kind", ["bool", "int16", "float16"])
def test_other_dtypes(kind: str) -> None:
    A = np.random.default_rng(0).integers(0, 2, (12, 9)).astype(kind)
    result = interpolative(A, 9, axis=1, rng=0)
    wide = np.float32 if kind == "float16" else np.float64
    assert result.skeleton.dtype == result.coefficients.dtype == wide
    assert error(A.astype(wide), result.reconstruct()) <= rounding(A.astype(wide))


# The greedy choice of columns (QR with column pivoting of the whole matrix) is the reference: no
# polynomial method is known to be much better.
@pytest.mark.parametrize("name", ["harmonic", "root", "geometric", "step", "cluster"])
def test_quality(name: str) -> None:
    s = SPECTRA[name](np.arange(80.0))
    A = with_spectrum(np.random.default_rng(5), 120, 80, s)
    R = scipy.linalg.qr(A, mode="r", pivoting=True)[0][:80]
    greedy = np.sqrt(np.append(np.cumsum((R**2).sum(axis=1)[::-1])[::-1], 0.0))
    for k in (3, 10, 25):
        for seed in range(5):
            result = interpolative(A, k, axis=1, rng=seed)
            assert tail(A, k) <= result.error <= 2 * greedy[k] + 1e-15
            assert result.growth < 10
    for tol in (0.3, 0.05, 1e-3):
        needed = int(np.argmax(greedy <= tol * np.linalg.norm(A)))
        for seed in range(5):
            found = interpolative(A, tol=tol, axis=1, rng=seed).indices.size
            assert found <= 1.15 * needed + 1


@given(
    made=spectral_matrices(dtype=dtypes(DOUBLE_DTYPES), min_side=3, spectra=("graded",)),
    seed=seeds,
)
def test_small_errors_are_measured(made: Any, seed: int) -> None:
    A = made.A
    k = min(*A.shape, 10) - 1
    result = interpolative(A, k, axis=1, rng=seed)
    true = error(A, result.reconstruct())
    assert result.error == pytest.approx(true, rel=1e-2, abs=rounding(A) / 10)
    assert true <= 200 * tail(A, k) + rounding(A)


@given(A=matrices(dtype=dtypes(DOUBLE_DTYPES), min_side=2), axis=axes, seed=seeds)
def test_pivots_are_nested_in_the_tolerance(A: np.ndarray, axis: int, seed: int) -> None:
    fine = interpolative(A, tol=1e-2, axis=axis, rng=seed).indices
    coarse = interpolative(A, tol=0.2, axis=axis, rng=seed).indices
    assert np.array_equal(coarse, fine[: coarse.size])


@given(
    A=matrices(dtype=dtypes(DOUBLE_DTYPES)),
    axis=axes,
    seed=seeds,
    power=st.integers(-480, 480),
)
def test_powers_of_two(A: np.ndarray, axis: int, seed: int, power: int) -> None:
    assume(np.abs(A).max(initial=0.0) == 0.0 or np.abs(A)[A != 0].min() > 1e-9)
    k = min(2, *A.shape)
    plain, scaled = (interpolative(X, k, axis=axis, rng=seed) for X in (A, A * 2.0**power))
    assert np.array_equal(plain.indices, scaled.indices)
    assert np.allclose(plain.coefficients, scaled.coefficients, rtol=0, atol=1e-10)
    small = A[:4] * 2.0**power
    for form in ("csr_array", "array-api-strict", "operator"):
        result = interpolative(FORMS[form](small), min(3, *small.shape), axis=axis, rng=seed)
        near = host(result.reconstruct()) * 2.0 ** (-power // 2) * 2.0 ** (-power - -power // 2)
        true = error(A[:4], near)
        assert true <= np.linalg.norm(A) * (1 + 1e-9)
        if form != "operator":
            found = np.ldexp(result.error, -power)
            assert found == pytest.approx(true, rel=1e-3, abs=rounding(A))
    assert np.ldexp(scaled.error, -power) == pytest.approx(plain.error, rel=1e-6, abs=rounding(A))


def test_unreachable_tolerance_is_reported() -> None:
    s = SPECTRA["geometric"](np.arange(30.0))
    A = with_spectrum(np.random.default_rng(0), 40, 30, s, np.float32)
    A = A + A[:, ::-1]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = interpolative(A[:, :20], tol=1e-9, rng=0)
    true = error(A[:, :20], result.coefficients.astype(float) @ result.skeleton)
    assert result.converged == (result.error <= 1e-9 * result.fro_norm)
    assert result.error == pytest.approx(true, rel=1e-3)
    assert len(caught) == (not result.converged)


def test_growth_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    from lowapprox.svd.interpolative import _GROWTH_WARNING

    assert _GROWTH_WARNING == 100
    # A choice by a bad sketch: the first column alone must give the second, 1000 times as long.
    A = np.array([[1.0, 1000.0, 0.0], [0.0, 0.0, 1.0]])
    monkeypatch.setattr(engine.Selection, "_sketch", lambda self, count: np.diag([3.0, 2, 1])[:2])
    with pytest.warns(AccuracyWarning, match="coefficient is 1.0e"):
        result = interpolative(A, 1, axis=1, rng=0)
    assert result.growth == pytest.approx(1000.0)
    check(A, result)


def test_large_sparse_residuals_are_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    gen = np.random.default_rng(0)
    left = scipy.sparse.random_array((400, 6), density=0.1, rng=gen).tocsr()
    right = scipy.sparse.random_array((6, 300), density=0.1, rng=gen).tocsr()
    A = left @ right
    assert interpolative(A, 6, axis=1, rng=0).error_kind == "exact"
    monkeypatch.setattr(engine, "_SPARSE_FLOPS", 0.0)
    result = interpolative(A, 6, axis=1, rng=0)
    assert result.error_kind == "estimate"
    assert result.error <= 1e-13 * result.fro_norm
    result = interpolative(A, tol=1e-9, axis=1, rng=0)
    assert (result.error_kind, result.converged) == ("estimate", True)
    assert interpolative(A, 2, axis=1, rng=0).error_kind == "exact"


def test_one_by_one() -> None:
    result = interpolative([[-3.0]], 1, rng=0)
    assert result.indices.tolist() == [0]
    assert result.coefficients.tolist() == [[1.0]]
    assert result.error == 0.0


def test_result_object() -> None:
    A = np.random.default_rng(0).standard_normal((9, 7))
    before = A.copy()
    result = interpolative(A, 3, rng=0)
    assert np.array_equal(A, before)
    again = pickle.loads(pickle.dumps(result))
    assert np.array_equal(again.coefficients, result.coefficients)
    assert again.info == result.info
    text = repr(result)
    assert "\n" not in text
    assert text.startswith("InterpolativeResult(indices=(3,), coefficients=(9, 3), axis=0, rank=3")
    with pytest.raises(AttributeError):
        result.rank = 1  # type: ignore[misc]
    assert np.array_equal(interpolative(A, 3, rng=0).indices, result.indices)
