"""Rows folded into a triangle: the triangle of all rows, whatever the shapes."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox.regression.folding import fold
from tests.reference import random_array
from tests.strategies import seeds


def blocks(seed: int, rows: int, width: int, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    gen = np.random.default_rng(seed)
    top = np.triu(random_array(gen, (width, width), dtype))
    return np.asfortranarray(top), np.asfortranarray(random_array(gen, (rows, width), dtype))


def check(R: np.ndarray, whole: np.ndarray) -> None:
    R = np.triu(R)
    size = np.linalg.norm(whole, axis=0)
    G, H = R.conj().T @ R, whole.conj().T @ whole
    assert (np.abs(G - H) <= 1e-13 * size * size[:, None]).all()


@given(seeds, st.integers(1, 40), st.integers(1, 70), st.sampled_from([float, complex]))
def test_rows(seed: int, rows: int, width: int, dtype: Any) -> None:
    R, M = blocks(seed, rows, width, dtype)
    whole = np.concatenate([R, M])
    fold(R, M)
    check(R, whole)


@given(seeds, st.integers(1, 40), st.sampled_from([float, complex]))
def test_two_triangles(seed: int, width: int, dtype: Any) -> None:
    R, _ = blocks(seed, 1, width, dtype)
    S, _ = blocks(seed + 1, 1, width, dtype)
    whole = np.concatenate([R, S])
    fold(R, S, width)
    check(R, whole)


def test_wide_panels_and_what_is_below_the_diagonal() -> None:
    R, M = blocks(0, 600, 450, float)
    whole = np.concatenate([R, M])
    R += np.tril(np.ones(R.shape), -1)
    fold(R, M)
    check(R, whole)
    assert (np.tril(R, -1) == np.tril(np.ones(R.shape), -1)).all()


def test_no_rows() -> None:
    R, M = blocks(0, 0, 5, float)
    before = R.copy()
    fold(R, M)
    assert np.array_equal(before, R)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay(bad: float) -> None:
    R, M = blocks(0, 20, 5, float)
    M[3, 2] = bad
    fold(R, M)
    assert not np.isfinite(np.triu(R)[:, 2:]).all()


def test_threads_give_the_bits_of_one() -> None:
    def folded(seed: int, out: list[Any]) -> None:
        R, M = blocks(seed, 400, 60, float)
        for _ in range(5):
            fold(R, M.copy(order="F"))
        out[seed] = R

    alone: list[Any] = [None] * 4
    for seed in range(4):
        folded(seed, alone)
    together: list[Any] = [None] * 4
    threads = [threading.Thread(target=folded, args=(seed, together)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for first, second in zip(alone, together, strict=True):
        assert np.array_equal(first, second)
