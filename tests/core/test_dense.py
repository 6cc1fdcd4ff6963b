"""Products of dense matrices with panels by kernels: against NumPy, and bits against threads."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import randomized_svd
from lowapprox._core import dense, matrix
from lowapprox._core.dense import KERNEL_ENTRIES, PanelProducts, suits_kernels
from lowapprox._core.matrix import _PaneledDense, as_matrix
from lowapprox._core.threads import thread_limit
from tests.reference import with_spectrum
from tests.strategies import REAL_DTYPES, dtypes, seeds

interpreted = os.environ.get("NUMBA_DISABLE_JIT") == "1"
# With every remainder of a tile, and beyond one range of columns and one of summed rows.
sides = (
    st.integers(1, 40) if interpreted else st.one_of(st.integers(1, 40), st.integers(1000, 2200))
)
sizes = st.tuples(sides, st.integers(1, 40)) | st.tuples(st.integers(1, 40), sides)
widths = st.integers(1, 70)
LAYOUTS = ("C", "F", "apart", "apart F", "read-only")


def laid_out(A: np.ndarray, layout: str) -> np.ndarray:
    """The same matrix in another form that BLAS reads as it is."""
    if layout == "apart":
        return np.pad(A, ((0, 0), (2, 3)), constant_values=np.nan)[:, 2:-3]
    if layout == "apart F":
        return laid_out(A.T, "apart").T
    A = np.array(A, order="F" if layout == "F" else "C")
    A.flags.writeable = layout != "read-only"
    return A


def assert_close(ours: np.ndarray, A: np.ndarray, X: np.ndarray) -> None:
    """Compare within the rounding of two sums taken in any way."""
    bound = 2 * (A.shape[1] + 1) * np.finfo(X.dtype).eps * (np.abs(A) @ np.abs(X))
    assert ours.dtype == X.dtype
    assert ours.shape == (A.shape[0], X.shape[1])
    assert (np.abs(ours - A @ X) <= bound).all()


@given(seeds, sizes, dtypes(REAL_DTYPES), widths, st.sampled_from(LAYOUTS), st.booleans())
def test_products_match_numpy(
    seed: int, shape: tuple[int, int], dtype: np.dtype, b: int, layout: str, rows: bool
) -> None:
    gen = np.random.default_rng(seed)
    A = laid_out(gen.standard_normal(shape).astype(dtype), layout)
    X, Y = (gen.standard_normal((n, b)).astype(dtype) for n in shape[::-1])
    if rows:
        X, Y = np.asfortranarray(X), np.asfortranarray(Y)
    before = [x.tobytes() for x in (A, X, Y)]
    op = _PaneledDense(A)
    assert_close(op.mat(X), A, X)
    assert_close(op.rmat(Y), A.T, Y)
    assert_close(op.H.mat(Y), A.T, Y)
    wide = A.astype(float)
    assert op.fro2() == pytest.approx(float(np.vdot(wide, wide)), rel=1e-12)
    assert before == [x.tobytes() for x in (A, X, Y)]


@given(seeds, sizes, dtypes(REAL_DTYPES), widths)
def test_products_of_integers_are_exact(
    seed: int, shape: tuple[int, int], dtype: np.dtype, b: int
) -> None:
    gen = np.random.default_rng(seed)
    A, X, Y = (gen.integers(-9, 9, s).astype(dtype) for s in (shape, (shape[1], b), (shape[0], b)))
    products = PanelProducts(A)
    np.testing.assert_array_equal(products.multiply(X), A @ X)
    np.testing.assert_array_equal(products.adjoint(Y), A.T @ Y)
    assert products.fro2() == float((A.astype(float) ** 2).sum())


@given(seeds, dtypes(REAL_DTYPES), st.integers(1, 20), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_nan_and_infinity_propagate(seed: int, dtype: np.dtype, b: int, bad: float) -> None:
    gen = np.random.default_rng(seed)
    A, X, Y = (gen.standard_normal(s).astype(dtype) for s in ((30, 40), (40, b), (30, b)))
    i, j = gen.integers(0, 30), gen.integers(0, 40)
    A[i, j] = bad
    X[gen.integers(0, 40), 0] = 0.0
    products = PanelProducts(A)
    with np.errstate(all="ignore"):
        expected = A @ X, A.T @ Y
        found = products.multiply(X), products.adjoint(Y)
    for ours, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(right))
        np.testing.assert_array_equal(np.isinf(ours), np.isinf(right))
    assert not np.isfinite(products.fro2())


def results(A: np.ndarray, X: np.ndarray, Y: np.ndarray) -> tuple[bytes, bytes, float]:
    op = PanelProducts(A)
    return op.multiply(X).tobytes(), op.adjoint(Y).tobytes(), op.fro2()


@pytest.mark.parametrize("dtype", REAL_DTYPES)
@pytest.mark.parametrize("shape", [(1500, 90), (90, 4500), (1100, 1100)])
def test_bits_depend_neither_on_threads_nor_on_tiles(
    monkeypatch: pytest.MonkeyPatch, dtype: Any, shape: tuple[int, int]
) -> None:
    if interpreted:
        shape = (shape[0] // 30, shape[1] // 30)
    gen = np.random.default_rng(0)
    A, X, Y = (
        gen.standard_normal(s).astype(dtype) for s in (shape, (shape[1], 40), (shape[0], 40))
    )
    expected = results(A, X, Y)
    with thread_limit(1):
        assert results(A, X, Y) == expected
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: results(A, X, Y), range(4))) == [expected] * 4
    X, Y = X[:, :16], Y[:, :16]  # one panel
    expected = results(A, X, Y)
    for height in (1, 6):
        monkeypatch.setattr(dense, "_tile", lambda w, _, h=height: ((0,) * w, (0,) * h))
        assert results(A, X, Y) == expected


def test_one_matrix_serves_many_threads() -> None:
    gen = np.random.default_rng(0)
    A, Y = gen.standard_normal((1100, 9)), gen.standard_normal((1100, 16))
    products = PanelProducts(A)
    expected = products.adjoint(Y).tobytes()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: products.adjoint(Y).tobytes(), range(40)))
    assert found == [expected] * 40


@given(seeds, dtypes(REAL_DTYPES))
def test_other_operands_go_to_blas(seed: int, dtype: np.dtype) -> None:
    gen = np.random.default_rng(seed)
    A = gen.standard_normal((9, 7)).astype(dtype)
    op = _PaneledDense(A)
    Z = gen.standard_normal((7, 3)) + 1j * gen.standard_normal((7, 3))
    np.testing.assert_allclose(op.mat(Z), A @ Z, rtol=1e-12, atol=1e-12)
    wide = gen.standard_normal((7, 80)).astype(dtype)
    assert_close(op.mat(wide), A, wide)
    assert op.mat(wide[:, :0]).shape == (9, 0)


def test_the_matrix_alone_decides() -> None:
    large = np.zeros((KERNEL_ENTRIES // 64, 64), np.float32)
    assert suits_kernels(large)
    assert suits_kernels(large.T)
    assert not suits_kernels(large[1:])
    assert not suits_kernels(large.view(np.complex64))
    assert as_matrix(large).with_kernels().compiled
    assert not as_matrix(large).compiled
    assert not as_matrix(large[:, ::2]).with_kernels().compiled
    assert not as_matrix(large.astype(np.float16)).with_kernels().compiled


@pytest.mark.parametrize("dtype", REAL_DTYPES)
@pytest.mark.parametrize("shape", [(400, 200), (150, 420)])
@pytest.mark.parametrize("options", [{}, {"accuracy": "fast"}, {"center": True}, {"tol": 0.3}])
def test_truncated_svd_is_the_same(
    monkeypatch: pytest.MonkeyPatch, dtype: Any, shape: tuple[int, int], options: dict[str, Any]
) -> None:
    if interpreted:
        shape = (shape[0] // 5, shape[1] // 5)
    gen = np.random.default_rng(1)
    A = with_spectrum(gen, *shape, 1.0 / np.arange(1, min(shape) + 1)).astype(dtype)
    options = {"rank": 8, "accuracy": "high", "method": "krylov", **options}
    expected = randomized_svd(A, rng=0, **options)
    monkeypatch.setattr(matrix, "suits_kernels", lambda _: True)
    for B in (A, np.asfortranarray(A), laid_out(A, "read-only")):
        found = randomized_svd(B, rng=0, **options)
        eps = np.finfo(dtype).eps
        level = 0.15**2 if options["accuracy"] == "fast" else 1e-5
        np.testing.assert_allclose(found.s, expected.s, rtol=level + 100 * eps)
        assert found.converged
        assert found.error == pytest.approx(expected.error, rel=1e-2)
        defect = found.U.T @ found.U - np.eye(found.s.size)
        assert np.abs(defect).max() < 100 * eps
