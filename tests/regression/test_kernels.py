"""The compiled pass: right for every range of rows, and NaN comes out wherever it goes in."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import ConvergenceWarning, InputError, lstsq
from lowapprox.regression import lstsq_factor
from lowapprox.regression.kernels import pass_by_columns, pass_by_rows
from tests.regression.problems import SOLVERS, problem
from tests.strategies import REAL_DTYPES, dtypes, seeds

interpreted = os.environ.get("NUMBA_DISABLE_JIT") == "1"
KERNELS = {"rows": pass_by_rows, "columns": pass_by_columns}
# Every remainder of four rows, and more than one panel of a matrix by columns.
heights = st.one_of(st.integers(1, 13), st.integers(250, 520))


def run(
    layout: str, A: np.ndarray, x: np.ndarray, b: Any, w: Any, first: int, last: int, pad: int
) -> tuple[float, np.ndarray]:
    """The kernel on a matrix whose rows or columns lie `pad` entries apart."""
    M = A if layout == "rows" else A.T
    wide = np.full((M.shape[0], M.shape[1] + pad), 1e30, A.dtype)
    wide[:, : M.shape[1]] = M
    g, none = np.full(A.shape[1], 3.0), np.empty(0)
    b, w = none if b is None else b, none if w is None else w
    with np.errstate(all="ignore"):  # interpreted kernels would warn
        total = KERNELS[layout](wide.reshape(-1), wide.shape[1], x, b, w, first, last, g)
    return float(total), g - 3.0


@pytest.mark.parametrize("layout", KERNELS)
@given(
    n=heights,
    d=st.integers(1, 9),
    dtype=dtypes(REAL_DTYPES),
    seed=seeds,
    pad=st.integers(0, 3),
    with_b=st.booleans(),
    weighted=st.booleans(),
)
def test_residual_and_gradient_of_a_range(
    layout: str, n: int, d: int, dtype: Any, seed: int, pad: int, with_b: bool, weighted: bool
) -> None:
    gen = np.random.default_rng(seed)
    A = gen.standard_normal((n, d)).astype(dtype)
    x, b, w = gen.standard_normal(d), gen.standard_normal(n), gen.random(n)
    first, last = sorted(int(i) for i in gen.integers(0, n + 1, 2))
    total, g = run(layout, A, x, b if with_b else None, w if weighted else None, first, last, pad)
    M = A.astype(np.longdouble)
    r = (b if with_b else 0.0) - M @ x
    wr = r * w if weighted else r
    rows = slice(first, last)
    size = (np.abs(M) @ np.abs(x) + np.abs(b)) * (w if weighted else 1.0)
    rounding = (n + d) * 2.3e-16
    assert abs(total - (r[rows] @ wr[rows])) <= 4 * rounding * (size[rows] @ size[rows] + 1.0)
    allowed = rounding * (np.abs(M[rows]).T @ size[rows] + 4.0)
    assert (np.abs(g - M[rows].T @ wr[rows]) <= allowed).all()


@pytest.mark.parametrize("layout", KERNELS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@given(
    n=heights,
    d=st.integers(1, 9),
    dtype=dtypes(REAL_DTYPES),
    seed=seeds,
    place=st.sampled_from(["A", "x", "b", "weights"]),
    zeros=st.booleans(),
)
def test_nothing_that_is_not_finite_becomes_finite(
    layout: str, bad: float, n: int, d: int, dtype: Any, seed: int, place: str, zeros: bool
) -> None:
    gen = np.random.default_rng(seed)
    A = gen.standard_normal((n, d)).astype(dtype)
    x, b, w = gen.standard_normal(d), gen.standard_normal(n), gen.random(n)
    if zeros:  # zero times infinity is NaN
        A[gen.random((n, d)) < 0.5] = 0.0
        x[gen.random(d) < 0.5] = 0.0
    first, last = sorted(int(i) for i in gen.choice(n + 1, 2, replace=False))
    i, j = int(gen.integers(first, last)), int(gen.integers(d))
    (A[i] if place == "A" else {"x": x, "b": b, "weights": w}[place])[
        i if place in {"b", "weights"} else j
    ] = bad
    total, g = run(layout, A, x, b, w, first, last, 0)
    assert not np.isfinite(total)
    if place != "x" or np.isnan(bad):
        assert not np.isfinite(g[j])
    if np.isnan(bad):
        assert np.isnan(total)
        assert np.isnan(g).all()


@pytest.mark.parametrize("layout", KERNELS)
def test_what_is_not_finite_elsewhere_does_not_matter(layout: str) -> None:
    gen = np.random.default_rng(0)
    A, x, b = gen.standard_normal((300, 5)), gen.standard_normal(5), gen.standard_normal(300)
    right = run(layout, A, x, b, None, 100, 290, 0)
    A[99], A[290] = np.nan, np.inf
    b[[99, 290]] = np.nan
    total, g = run(layout, A, x, b, None, 100, 290, 0)
    assert total == right[0]
    assert (g == right[1]).all()


N, D = 40_000, 30  # large enough for the compiled pass


@pytest.mark.large
@pytest.mark.parametrize("method", [*SOLVERS, "factor"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", REAL_DTYPES)
def test_nan_in_a_large_matrix(method: str, order: Any, dtype: Any) -> None:
    A, b, _ = problem(N, D, 10.0, dtype=dtype)
    gen = np.random.default_rng(0)
    # In the first and last rows, on both sides of a border between threads, and anywhere.
    rows = [0, N - 1, N // 64, N // 64 - 1, *gen.integers(0, N, 2)]
    for number, i in enumerate(rows):
        M, side = A.copy(order=order), b.copy()
        bad = (np.nan, np.inf)[number % 2]
        if number % 3:
            M[i, gen.integers(D)] = bad
        else:
            side[i] = bad
        if method == "factor":
            with pytest.raises(InputError, match="must contain finite"):
                lstsq_factor(M, rng=0).solve(side)
            with pytest.warns(ConvergenceWarning):
                result = lstsq_factor(M, rng=0, check_finite=False).solve(side)
        else:
            with pytest.raises(InputError, match="must contain finite"):
                lstsq(M, side, method=method, rng=0)
            with pytest.warns(ConvergenceWarning):
                result = lstsq(M, side, method=method, rng=0, check_finite=False)
        assert not result.converged
        assert np.isnan(result.x).all()
        assert np.isnan(result.residual_norm)
        assert np.isnan(result.backward_error)


@pytest.mark.large
@pytest.mark.parametrize("method", [*SOLVERS, "sketch", "linf", "factor"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_in_one_of_many_sides_stays_there(method: str, bad: float) -> None:
    A, b, _ = problem(N, D, 10.0, columns=3)
    clean, x = b.copy(), np.linalg.lstsq(A, b)[0]
    b[123, 1] = clean[123, 1] = bad
    if method == "factor":
        solve = lstsq_factor(A, rng=0, check_finite=False).solve
    else:
        solve = partial(lstsq, A, method=method, rng=0, check_finite=False)
    with pytest.warns(ConvergenceWarning):
        result = solve(b)
    assert np.array_equal(b, clean, equal_nan=True)
    assert not result.converged
    assert np.isnan(result.x[:, 1]).all()
    assert np.isnan(result.residual_norm[1])
    assert np.isnan(result.backward_error[1])
    assert np.isnan(result.forward_error_bound[1])
    assert np.isnan(result.standard_errors[:, 1]).all()
    for j in (0, 2):
        allowed = 1e-10 * np.linalg.norm(x[:, j])
        if result.entry_bound is not None:
            allowed = 2.0 * np.linalg.norm(result.entry_bound[:, j])
        assert np.linalg.norm(result.x[:, j] - x[:, j]) <= allowed
        assert np.isfinite(result.residual_norm[j])


@pytest.mark.skipif(interpreted, reason="this is that run")
def test_without_the_compiler() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    command += ["-m", "not large"]
    env = os.environ | {"NUMBA_DISABLE_JIT": "1", "HYPOTHESIS_PROFILE": "dev"}
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert " passed" in run.stdout
