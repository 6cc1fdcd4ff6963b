"""Vector values: each function against the NumPy expression it stands for."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox._core.jit import kernel
from lowapprox._core.simd import (
    vadd,
    vdiv,
    vdouble,
    vfill,
    vgather,
    vload,
    vmul,
    vmuladd,
    vmulsub,
    vround,
    vstore,
    vsum,
)
from lowapprox._core.simd_tiles import (
    vcombine,
    vdots,
    vfetch,
    vinner,
    vouter,
    vtile,
    vtile_store,
    vtranspose,
)
from tests.strategies import REAL_DTYPES, dtypes, seeds

WIDTHS = (1, 4, 8, 16)
SPECIAL = np.array([0.0, -0.0, 1.5, np.nan, np.inf, -np.inf, -2.0, 1e-40, 3e38])


@kernel()
def add(x: Any, i: int, y: Any, j: int, lanes: Any, out: Any) -> None:
    vstore(out, 0, vadd(vload(x, i, lanes), vload(y, j, lanes)))


@kernel()
def muladd(x: Any, i: int, scalar: Any, y: Any, j: int, lanes: Any, out: Any) -> None:
    vstore(out, 0, vmuladd(vload(x, i, lanes), scalar, vload(y, j, lanes)))


@kernel()
def fill(scalar: Any, lanes: Any, start: int, out: Any) -> None:
    vstore(out, start, vfill(scalar, lanes))


@kernel()
def double(x: Any, i: int, lanes: Any, out: Any) -> None:
    vstore(out, 0, vdouble(vload(x, i, lanes)))


@kernel()
def turn(x: Any, y: Any, lanes: Any, out: Any) -> None:
    """Product of complex numbers, and what is left of one after that of the others."""
    w = len(lanes)
    xr, xi, yr, yi = vload(x, 0, lanes), vload(x, w, lanes), vload(y, 0, lanes), vload(y, w, lanes)
    vstore(out, 0, vmulsub(vmul(xr, yr), xi, yi))
    vstore(out, w, vmuladd(vmul(xr, yi), xi, yr))
    vstore(out, 2 * w, vmulsub(xr, x[0], yr))


@kernel()
def nearest(x: Any, start: int, lanes: Any, out: Any) -> None:
    vstore(out, 0, vround(vload(x, start, lanes), out))


@kernel()
def transpose(x: Any, start: int, step: int, lanes: Any) -> None:
    vtranspose(x, start, step, lanes)


@kernel()
def tile_products(x: Any, y: Any, steps: Any, lanes: Any, rows: Any, out: Any) -> None:
    """Outer product with a tile of x, and the product of numbers with it, behind one another."""
    tile = vtile(x, 1, steps[0], lanes, rows)
    vtile_store(out, 0, len(lanes), vouter(tile, y, 2, steps[1], vload(x, 3, lanes)))
    vstore(out, len(rows) * len(lanes), vinner(vload(x, 2, lanes), y, 1, steps[1], tile))


@kernel()
def row_products(x: Any, y: Any, index: Any, lanes: Any, parts: Any, group: Any, out: Any) -> None:
    """Rows of y times a tile of x, and the tile plus the rows times what came out."""
    vfetch(y, 2, lanes, parts)
    tile = vtile(x, 1, len(lanes), lanes, parts)
    d = vdots(y, index, 3, 3, 2, tile, group)
    vstore(out, 0, d)
    vtile_store(out, len(group), len(lanes), vcombine(y, index, 3, 3, 2, tile, d))
    vstore(out, len(group) + len(parts) * len(lanes), vgather(y, index, 3, group))


@kernel()
def quotient_and_sum(x: Any, y: Any, lanes: Any, out: Any) -> None:
    vstore(out, 0, vdiv(vload(x, 0, lanes), vload(y, 0, lanes)))
    out[len(lanes)] = vsum(vload(x, 0, lanes))


@kernel()
def running(x: Any, lanes: Any, out: Any) -> None:
    """Sum of rows, carried in a variable through a loop."""
    total = vfill(x.dtype.type(0), lanes)
    for i in range(0, x.size, len(lanes)):
        total = vadd(total, vload(x, i, lanes))
    vstore(out, 0, total)


def numbers(seed: int, dtype: Any, size: int = 40) -> np.ndarray:
    """Normal numbers with special ones among them."""
    gen = np.random.default_rng(seed)
    x = gen.standard_normal(size)
    at = gen.integers(0, size, 8)
    x[at] = gen.choice(SPECIAL, 8)
    with np.errstate(all="ignore"):
        return x.astype(dtype)


@given(seeds, dtypes(REAL_DTYPES), st.sampled_from(WIDTHS), st.integers(0, 24), st.integers(0, 24))
def test_operations(seed: int, dtype: np.dtype, w: int, i: int, j: int) -> None:
    x, y = numbers(seed, dtype), numbers(seed + 1, dtype)
    scalar = dtype.type(numbers(seed + 2, dtype)[0])
    lanes, out = (0,) * w, np.empty(w, dtype)
    a, b = x[i : i + w], y[j : j + w]
    with np.errstate(all="ignore"):
        add(x, i, y, j, lanes, out)
        np.testing.assert_array_equal(out, a + b)
        muladd(x, i, scalar, y, j, lanes, out)
        # The product is rounded or not; the sum is rounded. Not rounded it does not overflow.
        same = np.isfinite(scalar * b) | ~np.isfinite(b) | ~np.isfinite(scalar)
        np.testing.assert_array_equal(np.isfinite(out)[same], np.isfinite(a + scalar * b)[same])
        np.testing.assert_array_equal(np.isnan(out)[same], np.isnan(a + scalar * b)[same])
        size = np.abs(a) + np.abs(scalar * b)
        good = np.isfinite(size)
        gap = np.abs(out[good] - (a + scalar * b)[good])
        tiny = np.finfo(dtype).smallest_subnormal
        assert (gap <= 2 * np.finfo(dtype).eps * size[good] + 2 * tiny).all()
        wide = np.empty(w)
        double(x, i, lanes, wide)
        np.testing.assert_array_equal(wide, a.astype(np.float64))


@given(seeds, dtypes(REAL_DTYPES), st.sampled_from(WIDTHS), st.integers(0, 24))
def test_store_touches_its_lanes_only(seed: int, dtype: np.dtype, w: int, start: int) -> None:
    out = numbers(seed, dtype)
    expected = out.copy()
    expected[start : start + w] = 7.0
    fill(dtype.type(7), (0,) * w, start, out)
    np.testing.assert_array_equal(out, expected)


@given(seeds, dtypes(REAL_DTYPES), st.sampled_from(WIDTHS), st.integers(0, 9))
def test_vectors_live_in_variables(seed: int, dtype: np.dtype, w: int, rows: int) -> None:
    x = np.random.default_rng(seed).integers(-9, 9, (rows, w)).astype(dtype)
    out = np.empty(w, dtype)
    running(x.reshape(-1), (0,) * w, out)
    np.testing.assert_array_equal(out, x.sum(axis=0))


@given(
    seeds,
    dtypes(REAL_DTYPES),
    st.sampled_from((4, 8)),
    st.sampled_from((1, 3, 6)),
    st.integers(1, 9),
    st.integers(1, 4),
)
def test_tiles(seed: int, dtype: np.dtype, w: int, h: int, step: int, jump: int) -> None:
    x, y = np.random.default_rng(seed).integers(-9, 9, (2, 80)).astype(dtype)
    out = np.empty((h + 1) * w, dtype)
    tile_products(x, y, (step, jump), (0,) * w, (0,) * h, out)
    tile = np.stack([x[1 + r * step :][:w] for r in range(h)])
    left, right = y[2::jump][:h], y[1::jump][:h]
    np.testing.assert_array_equal(out[: h * w].reshape(h, w), tile + np.outer(left, x[3 : 3 + w]))
    np.testing.assert_array_equal(out[h * w :], x[2 : 2 + w] + right @ tile)


@given(
    seeds,
    dtypes(REAL_DTYPES),
    st.sampled_from((4, 16)),
    st.sampled_from((1, 3)),
    st.sampled_from((1, 4, 8)),
    st.sampled_from((np.int32, np.int64)),
)
def test_rows(seed: int, dtype: np.dtype, w: int, parts: int, count: int, kind: Any) -> None:
    gen = np.random.default_rng(seed)
    x, y = gen.integers(-9, 9, (2, 130)).astype(dtype)
    index = gen.integers(0, 26, 3 + count).astype(kind)
    out = np.empty(parts * w + 2 * count, dtype)
    row_products(x, y, index, (0,) * w, (0,) * parts, (0,) * count, out)
    out, gathered = np.split(out, [count + parts * w])
    np.testing.assert_array_equal(gathered, y[index[3:]])
    tile = x[1 : 1 + parts * w]
    rows = np.stack([y[2 + 3 * i :][: tile.size] for i in index[3:]])
    np.testing.assert_array_equal(out[:count], rows @ tile)
    np.testing.assert_array_equal(out[count:], tile + (rows @ tile) @ rows)


@given(seeds, dtypes(REAL_DTYPES), st.sampled_from(WIDTHS))
def test_quotients_and_sums(seed: int, dtype: np.dtype, w: int) -> None:
    x, y = np.random.default_rng(seed).integers(1, 99, (2, w)).astype(dtype)
    out = np.empty(w + 1, dtype)
    quotient_and_sum(x, y, (0,) * w, out)
    np.testing.assert_array_equal(out, np.append(x / y, x.sum()))


@given(seeds, dtypes(REAL_DTYPES), st.sampled_from(WIDTHS))
def test_products(seed: int, dtype: np.dtype, w: int) -> None:
    gen = np.random.default_rng(seed)
    x, y = gen.integers(-99, 99, (2, 2 * w)).astype(dtype)
    out = np.empty(3 * w, dtype)
    turn(x, y, (0,) * w, out)
    product = (x[:w] + 1j * x[w:]) * (y[:w] + 1j * y[w:])
    expected = np.concatenate([product.real, product.imag, x[:w] - x[0] * y[:w]])
    np.testing.assert_array_equal(out, expected)


@given(seeds, dtypes(REAL_DTYPES), st.sampled_from(WIDTHS), st.sampled_from("bhiqBHIQ"))
def test_nearest_integers(seed: int, dtype: np.dtype, w: int, kind: str) -> None:
    target = np.dtype(kind)
    x = np.random.default_rng(seed).integers(0, 4 * min(np.iinfo(target).max, 2**20), w + 3) / 4
    out = np.empty(w, target)
    nearest(x.astype(dtype), 3, (0,) * w, out)
    np.testing.assert_array_equal(out, np.rint(x[3:]).astype(np.int64).astype(target))


@given(seeds, dtypes(REAL_DTYPES), st.sampled_from(WIDTHS), st.integers(0, 9), st.integers(0, 9))
def test_transpose(seed: int, dtype: np.dtype, w: int, start: int, gap: int) -> None:
    x = numbers(seed, dtype, start + w * (w + gap))
    expected = x.copy()
    square = expected[start:].reshape(w, w + gap)[:, :w]
    square[...] = square.T.copy()
    transpose(x, start, w + gap, (0,) * w)
    np.testing.assert_array_equal(x, expected)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="this is that run")
def test_without_the_compiler() -> None:
    env = os.environ | {"NUMBA_DISABLE_JIT": "1", "HYPOTHESIS_PROFILE": "dev"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
