"""The kernel decorator: flags, NaN, and a place without a cache."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from numba.core.caching import CacheImpl

from lowapprox._core.jit import SAFE_FASTMATH, kernel, prange

compiled = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="no compilation")


def total(x: Any) -> float:
    s = 0.0
    for i in range(x.size):
        s += x[i]
    return s


def count_nan(x: Any) -> int:
    n = 0
    for i in range(x.size):
        if np.isnan(x[i]):
            n += 1
    return n


def divide(a: float, b: float) -> float:
    return a / b


def double(x: Any, out: Any) -> None:
    for i in prange(x.size):
        out[i] = 2.0 * x[i]


@pytest.mark.parametrize("reorder", [False, True])
def test_nan_stays_visible(reorder: bool) -> None:
    x = np.ones(1000)
    x[[3, 500]] = np.nan
    assert kernel(reorder=reorder)(count_nan)(x) == 2
    assert np.isnan(kernel(reorder=reorder)(total)(x))
    x[:] = np.inf
    assert kernel(reorder=reorder)(total)(x) == np.inf


def test_reordering_flags_keep_nan_and_infinity() -> None:
    assert not SAFE_FASTMATH & {"fast", "nnan", "ninf", "arcp", "afn"}


@compiled
def test_division_by_zero_is_infinite_as_in_numpy() -> None:
    assert kernel()(divide)(1.0, 0.0) == np.inf


@pytest.mark.parametrize("parallel", [False, True])
def test_parallel_and_serial_agree(parallel: bool) -> None:
    x, out = np.arange(100.0), np.zeros(100)
    kernel(parallel=parallel)(double)(x, out)
    np.testing.assert_array_equal(out, 2 * x)


@compiled
def test_without_a_place_for_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    assert kernel()(total)(np.ones(5)) == 5.0
