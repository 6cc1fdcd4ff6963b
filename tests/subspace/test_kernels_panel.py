"""Panel kernels against NumPy, and their bits against the threads."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox._subspace import panels
from tests.strategies import seeds

interpreted = os.environ.get("NUMBA_DISABLE_JIT") == "1"
# Of the seven pairs that are panels: all widths, and the widest panels of both.
forms = st.sampled_from([("f", 8), ("f", 16), ("f", 32), ("d", 4), ("d", 16)])
# Beyond one range and one chunk, with every remainder of the unrolled loops.
lengths = st.one_of(st.integers(0, 20), st.integers(500, 1600 if not interpreted else 520))
counts = st.integers(0, 11)


def normal(gen: np.random.Generator, dtype: Any, *shape: int) -> np.ndarray:
    return gen.standard_normal(shape).astype(dtype)


def assert_close(ours: np.ndarray, right: np.ndarray, size: np.ndarray, terms: int) -> None:
    """Compare within the rounding of `terms` additions in the precision of `ours`."""
    eps = np.finfo(ours.dtype).eps
    assert ours.shape == right.shape
    assert (np.abs(ours - right) <= 2 * (terms + 1) * eps * size).all()


@given(seeds, forms, lengths)
def test_gram(seed: int, form: tuple[str, int], m: int) -> None:
    dtype, w = form
    P = normal(np.random.default_rng(seed), dtype, m, w)
    G = panels.gram(P)
    wide = P.astype(float)
    assert G.dtype == np.float64
    # In double precision for float32 too.
    assert_close(G, wide.T @ wide, np.abs(wide).T @ np.abs(wide), m)
    np.testing.assert_array_equal(G, G.T)


@given(seeds, forms, lengths)
def test_multiply(seed: int, form: tuple[str, int], m: int) -> None:
    gen, (dtype, w) = np.random.default_rng(seed), form
    P, C = normal(gen, dtype, m, w), normal(gen, float, w, w)
    right, size = P @ C, np.abs(P) @ np.abs(C)
    panels.multiply(P, C)
    assert_close(P, right, size, w)


@given(seeds, forms, lengths)
def test_add_panel(seed: int, form: tuple[str, int], m: int) -> None:
    gen, (dtype, w) = np.random.default_rng(seed), form
    P, U, C = normal(gen, dtype, m, w), normal(gen, dtype, m, w), normal(gen, dtype, w, w)
    right, size = P + U @ C, np.abs(P) + np.abs(U) @ np.abs(C)
    G = panels.add_panel(P, U, C)
    assert_close(P, right, size, w)
    np.testing.assert_array_equal(G, panels.gram(P))


@given(seeds, forms, lengths, counts)
def test_rows_dot(seed: int, form: tuple[str, int], n: int, d: int) -> None:
    gen, (dtype, w) = np.random.default_rng(seed), form
    V, P = normal(gen, dtype, d, n), normal(gen, dtype, n, w)
    H = panels.rows_dot(V, P)
    assert H.dtype == np.float64
    right = V.astype(float) @ P.astype(float)
    bound = np.abs(V).astype(float) @ np.abs(P)
    # Sums of at most one chunk in the precision of the panel, the rest in double.
    assert (np.abs(H - right) <= 2 * (min(n, 512) + 1) * np.finfo(dtype).eps * bound).all()


@given(seeds, forms, lengths, counts)
def test_add_rows(seed: int, form: tuple[str, int], n: int, d: int) -> None:
    gen, (dtype, w) = np.random.default_rng(seed), form
    V, P, H = normal(gen, dtype, d, n), normal(gen, dtype, n, w), normal(gen, float, d, w)
    right, size = P + V.T @ H, np.abs(P) + np.abs(V).T @ np.abs(H)
    panels.add_rows(P, V, H)
    assert_close(P, right, size, d + 1)


@given(seeds, forms, st.integers(5, 1100 if not interpreted else 20))
def test_nan_and_infinity_propagate(seed: int, form: tuple[str, int], m: int) -> None:
    gen, (dtype, w) = np.random.default_rng(seed), form
    P, U, V = normal(gen, dtype, m, w), normal(gen, dtype, m, w), normal(gen, dtype, 5, m)
    for x in (P, U, V):
        x[gen.integers(x.shape[0]), gen.integers(x.shape[1])] = gen.choice([np.nan, np.inf])
    C, H = np.abs(normal(gen, dtype, w, w)), np.abs(normal(gen, dtype, 5, w))
    with np.errstate(all="ignore"):
        bad = ~np.isfinite(P.T @ P)
        np.testing.assert_array_equal(~np.isfinite(panels.gram(P)), bad)
        np.testing.assert_array_equal(~np.isfinite(panels.rows_dot(V, P)), ~np.isfinite(V @ P))
        for change, right in (
            (lambda X: panels.multiply(X, C), P @ C),
            (lambda X: panels.add_panel(X, U, C), P + U @ C),
            (lambda X: panels.add_rows(X, V, H), P + V.T @ H),
        ):
            X = P.copy()
            change(X)
            np.testing.assert_array_equal(np.isfinite(X), np.isfinite(right))


def test_several_ranges_of_rows() -> None:
    """On the threads, also where nothing is compiled and the tests above have too few rows."""
    gen = np.random.default_rng(0)
    m = 2 * panels._RANGE_ROWS + 3
    P, U, V = (normal(gen, float, *shape) for shape in ((m, 4), (m, 4), (5, m)))
    C, H = normal(gen, float, 4, 4), normal(gen, float, 5, 4)
    close = {"rtol": 0, "atol": 1e-11}
    np.testing.assert_allclose(panels.gram(P), P.T @ P, **close)
    np.testing.assert_allclose(panels.rows_dot(V, P), V @ P, **close)
    X = P.copy()
    np.testing.assert_allclose(panels.add_panel(X, U, C), X.T @ X, **close)
    np.testing.assert_allclose(X, P + U @ C, **close)
    right = X @ C + V.T @ H
    panels.multiply(X, C)
    panels.add_rows(X, V, H)
    np.testing.assert_allclose(X, right, **close)


def test_what_is_a_panel() -> None:
    P = np.ones((20, 8))
    assert panels.is_panel(P)
    assert panels.is_panel(P.astype("f"))
    for other in (P.T.copy(), P[:, :4], P[::2], np.asfortranarray(P), P.astype(complex),
                  P.astype(">f8"), P.astype(int), P[0], P.tolist(), np.ones((20, 5))):  # fmt: skip
        assert not panels.is_panel(other)


THREADS = """
import numpy as np, lowapprox
from lowapprox._subspace import panels
gen = np.random.default_rng(0)
for dtype, w in (("d", 4), ("f", 16)):
    P, U, V, C, H = (gen.standard_normal(shape).astype(dtype)
                     for shape in ((9999, w), (9999, w), (13, 9999), (w, w), (13, w)))
    bits = set()
    for n in (1, 2, 4):
        with lowapprox.thread_limit(n):
            X = P.copy()
            found = [panels.gram(X), panels.rows_dot(V, X), panels.add_panel(X, U, C)]
            panels.multiply(X, C)
            panels.add_rows(X, V, H)
            bits.add(b"".join(x.tobytes() for x in (*found, X)))
    assert len(bits) == 1, (dtype, w)
"""


@pytest.mark.skipif(interpreted, reason="no threads")
def test_bits_do_not_depend_on_the_threads() -> None:
    env = os.environ | {"NUMBA_NUM_THREADS": "4"}
    command = [sys.executable, "-c", THREADS]
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(interpreted, reason="this is that run")
def test_without_the_compiler() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    env = os.environ | {"NUMBA_DISABLE_JIT": "1", "HYPOTHESIS_PROFILE": "dev"}
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
