"""Vectors of integers: each function against the NumPy expression it stands for."""

from __future__ import annotations

import os
import subprocess
import sys
from threading import Thread
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox._core.jit import kernel
from lowapprox._core.simd import (
    peek,
    take,
    vadd,
    vand,
    vcount,
    veq,
    vfill,
    vfunnel,
    vload,
    vmul,
    vor,
    vshr,
    vstore,
    vsub,
    vwhere,
    vxor,
)
from tests.strategies import seeds

UNSIGNED = tuple("BHIQ")
INTEGERS = tuple("bhiqBHIQ")
WIDTHS = (1, 8, 16, 32, 64)
COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"


@kernel()
def combine(x: Any, y: Any, lanes: Any, out: Any) -> None:
    v, w, n = vload(x, 0, lanes), vload(y, 0, lanes), len(lanes)
    vstore(out, 0, vadd(v, w))
    vstore(out, n, vsub(v, w))
    vstore(out, 2 * n, vmul(v, w))
    vstore(out, 3 * n, vand(v, w))
    vstore(out, 4 * n, vor(v, w))
    vstore(out, 5 * n, vxor(v, w))


@kernel()
def shift(x: Any, bits: int, lanes: Any, out: Any) -> None:
    vstore(out, 0, vshr(vload(x, 0, lanes), bits))


@kernel()
def funnel(x: Any, y: Any, bits: int, lanes: Any, out: Any) -> None:
    vstore(out, 0, vfunnel(vload(x, 0, lanes), vload(y, 0, lanes), bits))


@kernel()
def take_some(taken: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = take(taken, 1)
        if peek(taken, 1) <= out[i]:
            out[i] = 0  # never


@kernel()
def equal(x: Any, value: Any, lanes: Any) -> Any:
    return veq(vload(x, 0, lanes), vfill(value, lanes))


@kernel()
def marked(bits: Any) -> Any:
    return vcount(bits)


@kernel()
def where(bits: Any, x: Any, y: Any, lanes: Any, out: Any) -> None:
    vstore(out, 0, vwhere(bits, vload(x, 0, lanes), vload(y, 0, lanes)))


def numbers(gen: np.random.Generator, dtype: str, size: int) -> np.ndarray:
    info = np.iinfo(dtype)
    return gen.integers(info.min, info.max, size, dtype=dtype, endpoint=True)


@given(seeds, st.sampled_from(INTEGERS), st.sampled_from(WIDTHS))
def test_lane_by_lane(seed: int, dtype: str, n: int) -> None:
    gen = np.random.default_rng(seed)
    x, y, out = numbers(gen, dtype, n), numbers(gen, dtype, n), np.empty((6, n), dtype)
    combine(x, y, (0,) * n, out.reshape(-1))
    np.testing.assert_array_equal(out, [x + y, x - y, x * y, x & y, x | y, x ^ y])


@given(seeds, st.sampled_from(UNSIGNED), st.sampled_from(WIDTHS), st.data())
def test_shifts(seed: int, dtype: str, n: int, data: st.DataObject) -> None:
    gen = np.random.default_rng(seed)
    x, out = numbers(gen, dtype, n), np.empty(n, dtype)
    bits = data.draw(st.integers(0, 8 * x.itemsize - 1))
    shift(x, bits, (0,) * n, out)
    assert out.tolist() == [int(a) >> bits for a in x]


@given(seeds, st.sampled_from(UNSIGNED), st.sampled_from((1, 8)), st.integers(0, 63))
def test_shifts_of_words(seed: int, dtype: str, words: int, bits: int) -> None:
    """Whatever the lanes are."""
    gen = np.random.default_rng(seed)
    x, y, out = numbers(gen, "Q", words), numbers(gen, "Q", words), np.empty(words, "Q")
    views = x.view(dtype), y.view(dtype)
    funnel(*views, bits, (0,) * views[0].size, out.view(dtype))
    double = [int(a) | int(b) << 64 for a, b in zip(x, y, strict=True)]
    assert out.tolist() == [d >> bits & ((1 << 64) - 1) for d in double]


@pytest.mark.parametrize("dtype", [np.int64, np.uint32])
def test_each_number_is_taken_once(dtype: type) -> None:
    taken, found = np.zeros(2, dtype), np.empty((4, 20_000 if COMPILED else 100), dtype)
    take_some(taken, found[0, :5])
    assert found[0, :5].tolist() == [0, 1, 2, 3, 4]
    assert taken.tolist() == [0, 5]
    if COMPILED:  # else it is no single step
        takers = [Thread(target=take_some, args=(taken, row)) for row in found]
        for taker in takers:
            taker.start()
        for taker in takers:
            taker.join()
        assert np.array_equal(np.sort(found, axis=None), 5 + np.arange(found.size))
        assert (np.diff(found.astype(np.int64), axis=1) > 0).all()


@given(seeds, st.sampled_from(INTEGERS), st.sampled_from(WIDTHS))
def test_where_lanes_are_equal(seed: int, dtype: str, n: int) -> None:
    x = np.random.default_rng(seed).integers(0, 3, n).astype(dtype)
    expected = sum(1 << i for i in range(n) if x[i] == 1)
    assert int(equal(x, x.dtype.type(1), (0,) * n)) == expected


@given(st.sampled_from("BHIQ"), st.integers(0, 2**64 - 1))
def test_number_of_lanes(dtype: str, bits: int) -> None:
    bits &= int(np.iinfo(dtype).max)
    assert int(marked(np.dtype(dtype).type(bits))) == bits.bit_count()


@given(seeds, st.sampled_from(INTEGERS), st.sampled_from((8, 16, 32, 64)), st.booleans())
def test_choice_of_lanes(seed: int, dtype: str, n: int, wide: bool) -> None:
    """By an integer of as many bits, or the lowest ones of 64."""
    gen = np.random.default_rng(seed)
    x, y, out = numbers(gen, dtype, n), numbers(gen, dtype, n), np.empty(n, dtype)
    bits = numbers(gen, "Q" if wide else f"u{n // 8}", 1)[0]
    where(bits, x, y, (0,) * n, out)
    np.testing.assert_array_equal(out, [(x if int(bits) >> i & 1 else y)[i] for i in range(n)])


@pytest.mark.skipif(not COMPILED, reason="this is that run")
def test_without_the_compiler() -> None:
    env = os.environ | {"NUMBA_DISABLE_JIT": "1", "HYPOTHESIS_PROFILE": "dev"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
