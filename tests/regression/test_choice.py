"""What "auto" chooses for large dense arrays, and what it does where a few rows mislead it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lowapprox import lstsq
from lowapprox._core.matrix import as_matrix
from lowapprox.regression.system import Rows, make_system

pytestmark = pytest.mark.large
SHAPE = (30_000, 80)  # more entries than a small problem has


def problem(condition: float) -> tuple[np.ndarray, np.ndarray]:
    """A tall problem with about this condition number."""
    gen = np.random.default_rng(0)
    V = np.linalg.qr(gen.standard_normal((SHAPE[1], SHAPE[1])))[0]
    A = gen.standard_normal(SHAPE) @ (np.geomspace(1.0, 1.0 / condition, SHAPE[1])[:, None] * V)
    return A, A @ gen.standard_normal(SHAPE[1]) + gen.standard_normal(SHAPE[0])


def solved(A: Any, b: Any, **options: Any) -> Any:
    """Solve, and check that the gradient is as small as that of a backward stable solution."""
    result = lstsq(A, b, rng=0, **options)
    w = options.get("weights")
    root = np.ones(len(b)) if w is None else np.sqrt(w)
    M, side = root[:, None] * A, root * b
    D = np.linalg.norm(M, axis=0)
    residual = side - M @ result.x
    sizes = np.linalg.norm(side) + np.linalg.norm(D * result.x)
    assert result.converged
    assert (np.abs(M.T @ residual) <= 1e-14 * D * sizes).all()
    return result


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("condition", "method"), [(1e3, "cholesky"), (1e10, "direct")])
def test_by_condition(condition: float, method: str, weighted: bool) -> None:
    A, b = problem(condition)
    w = np.random.default_rng(0).random(SHAPE[0]) if weighted else None
    result = solved(A, b, weights=w)
    assert result.info["method"] == method
    assert result.passes <= (5 if method == "cholesky" else 3)


def test_a_row_that_makes_two_columns_alike() -> None:
    A, b = problem(10.0)
    A[17_011, :2] = 1e11
    result = solved(A, b)
    assert result.info["method"] == "direct"
    assert result.cond_estimate > 1e7


def test_columns_that_live_on_one_row() -> None:
    A, b = problem(10.0)
    A[:, 5] = 0.0
    A[123, 5] = 1.0
    result = solved(A, b)
    assert result.info["method"] == "direct"
    assert result.cond_estimate < 100


def test_a_zero_column_and_few_rows_of_weight() -> None:
    A, b = problem(10.0)
    A[:, 7] = 0.0
    result = lstsq(A, b, rng=0)
    assert result.rank == SHAPE[1] - 1
    assert result.x[7] == 0.0
    w = np.zeros(SHAPE[0])
    w[:200] = 1.0
    few, whole = lstsq(A, b, weights=w, rng=0), lstsq(A[:200], b[:200])
    assert few.rank == whole.rank == SHAPE[1] - 1
    assert np.allclose(few.x, whole.x, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, complex])
def test_rows_that_are_looked_at(dtype: Any) -> None:
    A = (100 * np.random.default_rng(0).standard_normal((50, 3))).astype(dtype)
    w = np.arange(50.0)
    system = make_system(as_matrix(A), np.zeros((50, 1)), w, 0.0)
    assert isinstance(system, Rows)
    rows = system.some_rows(np.random.default_rng(1), 20)
    assert rows.shape == (20, 3)
    assert rows.dtype == np.result_type(dtype, np.float64)
    whole = np.sqrt(w)[:, None] * A
    assert all((np.abs(whole - row) <= 1e-12).all(axis=1).any() for row in rows)


def test_normal_equations_in_one_pass() -> None:
    gen = np.random.default_rng(0)
    A, B, w = gen.standard_normal((3000, 7)), gen.standard_normal((3000, 2)), gen.random(3000)
    system = make_system(as_matrix(A), B, w, 0.0)
    G, C = system.normal_equations()
    assert system.passes == 1
    assert np.allclose(G, (A.T * w) @ A, rtol=1e-12)
    assert np.allclose(C, (A.T * w) @ B, rtol=1e-12)
