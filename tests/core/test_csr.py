"""Sparse products: kernels against SciPy, bits against threads, and who loads numba."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from lowapprox._core import csr as module
from lowapprox._core.csr import KERNEL_ENTRIES, KernelProducts, SciPyProducts, csr_products
from lowapprox._core.matrix import as_matrix
from lowapprox._core.panels import panel_cuts
from tests.strategies import REAL_DTYPES, dtypes, seeds, shapes

interpreted = os.environ.get("NUMBA_DISABLE_JIT") == "1"
LAYOUTS = ("C", "F", "rows", "padded", "strided", "reversed", "flipped")


def sparse(gen: np.random.Generator, shape: tuple[int, int], dtype: Any) -> Any:
    """CSR array of any density, with empty rows and columns and a stored zero."""
    A = gen.standard_normal(shape) * (gen.random(shape) < gen.choice([0.0, 0.05, 0.3, 1.0]))
    A[gen.random(shape[0]) < 0.2] = 0
    A[:, gen.random(shape[1]) < 0.2] = 0
    csr = scipy.sparse.csr_array(A.astype(dtype))
    csr.data[:1] = 0
    return csr


def with_index(csr: Any, index: Any) -> Any:
    return type(csr)(
        (csr.data, csr.indices.astype(index), csr.indptr.astype(index)), shape=csr.shape
    )


def laid_out(X: np.ndarray, layout: str) -> np.ndarray:
    """The same numbers in another memory order."""
    if layout == "F":
        return np.asfortranarray(X)
    if layout == "rows":  # what the transposed row blocks of an iteration look like
        return X.T.copy().T
    if layout == "padded":
        wide = np.full((X.shape[0], X.shape[1] + 3), np.nan, X.dtype)
        wide[:, : X.shape[1]] = X
        return wide[:, : X.shape[1]]
    if layout == "strided":
        return np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3]
    if layout == "reversed":
        return X[::-1, ::-1].copy()[::-1, ::-1]
    if layout == "flipped":
        return X[::-1].copy()[::-1]
    return np.ascontiguousarray(X)


def assert_close(ours: np.ndarray, A: Any, X: np.ndarray) -> None:
    """Compare with SciPy, within the rounding of two sums taken in any way."""
    terms = A.shape[1] + 1
    bound = 2 * terms * np.finfo(X.dtype).eps * (abs(A) @ np.abs(X))
    assert ours.dtype == X.dtype
    assert ours.shape == (A.shape[0], X.shape[1])
    assert (np.abs(ours - A @ X) <= bound).all()


@given(
    seeds,
    shapes(60),
    dtypes(REAL_DTYPES),
    st.sampled_from([np.int32, np.int64]),
    st.integers(1, 40),
    st.sampled_from(LAYOUTS),
)
def test_products_match_scipy(
    seed: int, shape: tuple[int, int], dtype: np.dtype, index: Any, b: int, layout: str
) -> None:
    gen = np.random.default_rng(seed)
    A = with_index(sparse(gen, shape, dtype), index)
    X = laid_out(gen.standard_normal((shape[1], b)).astype(dtype), layout)
    Y = laid_out(gen.standard_normal((shape[0], b)).astype(dtype), layout)
    before = [x.tobytes() for x in (A.data, A.indices, A.indptr, X, Y)]
    products = KernelProducts(A)
    assert_close(products.mat(X), A, X)
    assert_close(products.rmat(Y), A.T.tocsr(), Y)
    assert before == [x.tobytes() for x in (A.data, A.indices, A.indptr, X, Y)]


@given(seeds, shapes(60), dtypes(REAL_DTYPES), st.integers(3, 40))
def test_products_of_integers_are_exact(
    seed: int, shape: tuple[int, int], dtype: np.dtype, b: int
) -> None:
    gen = np.random.default_rng(seed)
    A = sparse(gen, shape, dtype)
    A.data[:] = gen.integers(-9, 9, A.data.size)
    X = gen.integers(-9, 9, (shape[1], b)).astype(dtype)
    Y = gen.integers(-9, 9, (shape[0], b)).astype(dtype)
    products = KernelProducts(A)
    np.testing.assert_array_equal(products.mat(X), A @ X)
    np.testing.assert_array_equal(products.rmat(Y), A.T @ Y)


@given(seeds, dtypes(REAL_DTYPES), st.integers(3, 20))
def test_nan_and_infinity_propagate(seed: int, dtype: np.dtype, b: int) -> None:
    gen = np.random.default_rng(seed)
    A = sparse(gen, (30, 20), dtype)
    X = gen.standard_normal((20, b)).astype(dtype)
    Y = gen.standard_normal((30, b)).astype(dtype)
    for values in (A.data, X, Y):
        flat = values.reshape(-1)
        at = gen.integers(0, max(flat.size, 1), 3)[: flat.size]
        flat[at] = gen.choice([np.nan, np.inf, -np.inf], at.size)
    products = KernelProducts(A)
    with np.errstate(all="ignore"):
        for ours, theirs in ((products.mat(X), A @ X), (products.rmat(Y), A.T @ Y)):
            np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
            np.testing.assert_array_equal(ours == np.inf, theirs == np.inf)
            np.testing.assert_array_equal(ours == -np.inf, theirs == -np.inf)


@pytest.mark.parametrize("b", [1, 2, 3, 8, 40])
@pytest.mark.parametrize("dtype", REAL_DTYPES)
def test_empty_sides(b: int, dtype: np.dtype) -> None:
    for shape in ((0, 5), (5, 0), (0, 0), (5, 4)):
        products = KernelProducts(scipy.sparse.csr_array(shape, dtype=dtype))
        for ours, rows in (
            (products.mat(np.ones((shape[1], b), dtype)), shape[0]),
            (products.rmat(np.ones((shape[0], b), dtype)), shape[1]),
        ):
            np.testing.assert_array_equal(ours, np.zeros((rows, b), dtype))


def test_no_columns() -> None:
    products = KernelProducts(scipy.sparse.eye_array(3, 4, format="csr"))
    assert products.mat(np.ones((4, 0))).shape == (3, 0)
    assert products.rmat(np.ones((3, 0))).shape == (4, 0)


@pytest.mark.parametrize("panel", ["f", "d", "D", ">f8"])
def test_other_dtypes_promote_as_in_scipy(panel: str) -> None:
    gen = np.random.default_rng(0)
    A = sparse(gen, (30, 20), "f")
    X = gen.standard_normal((20, 5)).astype(panel)
    ours = KernelProducts(A).mat(X)
    assert ours.dtype == (A @ X).dtype
    np.testing.assert_allclose(ours, A @ X, rtol=1e-5, atol=1e-5)


def test_read_only_input() -> None:
    gen = np.random.default_rng(0)
    A = sparse(gen, (30, 20), "d")
    X, Y = gen.standard_normal((20, 8)), gen.standard_normal((30, 8))
    for x in (A.data, A.indices, A.indptr, X, Y):
        x.flags.writeable = False
    products = KernelProducts(A)
    assert_close(products.mat(X), A, X)
    assert_close(products.rmat(Y), A.T.tocsr(), Y)


@given(st.integers(1, 200), st.sampled_from([4, 8]))
def test_panels_cover_the_columns(b: int, itemsize: int) -> None:
    panels = panel_cuts(b, itemsize)
    starts = [c for c, _ in panels]
    widths = [w for _, w in panels]
    assert starts == [0, *np.cumsum(widths)[:-1]]
    assert b <= sum(widths) < b + max(widths[-1], 4)
    assert all(w in {4, 8, 16, 32} and w * itemsize <= 128 for w in widths)


@given(st.lists(st.integers(0, 50), min_size=0, max_size=50), st.integers(1, 40))
def test_balanced_ranges(counts: list[int], parts: int) -> None:
    ends = np.cumsum([0, *counts])
    bounds = module._balanced(ends, parts)
    assert bounds.shape == (parts + 1,)
    assert (bounds[0], bounds[-1]) == (0, len(counts))
    assert (np.diff(bounds) >= 0).all()
    # No range is heavier than its share by more than one item.
    assert (np.diff(ends[bounds]) <= ends[-1] / parts + max(counts, default=0)).all()


@given(seeds, shapes(40), st.integers(2, 8))
def test_column_cuts(seed: int, shape: tuple[int, int], ranges: int) -> None:
    A = sparse(np.random.default_rng(seed), shape, "d")
    cuts = KernelProducts(A)._column_cuts(ranges)
    assert (np.diff(cuts, axis=0) >= 0).all()
    np.testing.assert_array_equal(cuts[[0, -1]], [A.indptr[:-1], A.indptr[1:]])
    owned = [
        {int(j) for start, stop in zip(first, last, strict=True) for j in A.indices[start:stop]}
        for first, last in pairwise(cuts)
    ]
    assert sum(map(len, owned)) == len(set().union(*owned))


def test_products_are_aligned_panels() -> None:
    gen = np.random.default_rng(0)
    products = KernelProducts(sparse(gen, (300, 200), "d"))
    for b, step in ((3, 4), (8, 8), (11, 16), (16, 16)):
        for out in (products.mat(np.ones((200, b))), products.rmat(np.ones((300, b)))):
            assert out.ctypes.data % 64 == 0
            assert out.strides == (8 * step, 8)


def test_choice() -> None:
    def full(entries: int, dtype: str) -> Any:
        A = scipy.sparse.csr_array(np.ones((entries >> 10, 1 << 10), dtype))
        return type(csr_products(A))

    assert full(KERNEL_ENTRIES, "d") is full(KERNEL_ENTRIES, "f") is KernelProducts
    assert full(KERNEL_ENTRIES - 1024, "d") is full(KERNEL_ENTRIES, "D") is SciPyProducts


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr", "lil"])
@pytest.mark.parametrize("dtype", ["f", "d", "D", "i"])
def test_adapter(monkeypatch: pytest.MonkeyPatch, kind: str, dtype: str) -> None:
    monkeypatch.setattr(module, "KERNEL_ENTRIES", 0)
    gen = np.random.default_rng(0)
    A = (3 * sparse(gen, (40, 30), "d")).astype(dtype).asformat(kind)
    op = as_matrix(A)
    dense = A.toarray()
    X = gen.standard_normal((30, 8)).astype(op.dtype)
    Y = gen.standard_normal((40, 8)).astype(op.dtype)
    for ours, right in (
        (op.mat(X), dense @ X),
        (op.rmat(Y), dense.conj().T @ Y),
        (op.H.mat(Y), dense.conj().T @ Y),
        (op.H.rmat(X), dense @ X),
    ):
        np.testing.assert_allclose(ours, right, rtol=1e-4, atol=1e-4)


THREADS = """
import numpy as np, scipy.sparse, lowapprox
from lowapprox._core.csr import KernelProducts
gen = np.random.default_rng(0)
rows = (3000 * gen.random(60_000) ** 3).astype(int)
cols = (800 * gen.random(60_000) ** 3).astype(int)
A = scipy.sparse.csr_array((gen.standard_normal(60_000), (rows, cols)), shape=(3000, 800))
for dtype in "fd":
    products = KernelProducts(A.astype(dtype))
    for b in (3, 8, 21):
        X = gen.standard_normal((800, b)).astype(dtype)
        Y = gen.standard_normal((3000, b)).astype(dtype)
        bits = set()
        for n in (1, 2, 4):
            with lowapprox.thread_limit(n):
                bits.add((products.mat(X).tobytes(), products.rmat(Y).tobytes()))
        assert len(bits) == 1, (dtype, b)
assert sorted(products._cuts) == [2, 4]
"""


def python(code: str, **env: str) -> None:
    command = [sys.executable, "-c", code]
    env = os.environ | env
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(interpreted, reason="no threads")
def test_bits_do_not_depend_on_the_threads() -> None:
    python(THREADS, NUMBA_NUM_THREADS="4")


@pytest.mark.skipif(interpreted, reason="no threads")
def test_many_callers() -> None:
    gen = np.random.default_rng(0)
    A = sparse(gen, (500, 400), "d")
    products = KernelProducts(A)
    panels = [gen.standard_normal((400, 8)) for _ in range(8)]
    alone = [products.rmat(products.mat(X)) for X in panels]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda X: products.rmat(products.mat(X)), panels))
    np.testing.assert_array_equal(alone, together)


def test_small_matrices_do_not_load_numba() -> None:
    python(
        "import sys, numpy as np, scipy.sparse\n"
        "from lowapprox._core.matrix import as_matrix\n"
        "A = as_matrix(scipy.sparse.random_array((2000, 1000), density=0.5, format='csr'))\n"
        "A.rmat(A.mat(np.ones((1000, 8))))\n"
        "assert 'numba' not in sys.modules\n"
    )


@pytest.mark.skipif(interpreted, reason="this is that run")
def test_without_the_compiler() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    env = os.environ | {"NUMBA_DISABLE_JIT": "1", "HYPOTHESIS_PROFILE": "dev"}
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
