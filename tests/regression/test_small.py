"""Small problems by the eigenvalues of the Gram matrix: as accurate as any, or left to others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import lstsq
from lowapprox._core.matrix import as_matrix
from lowapprox.regression.outcome import Outcome
from lowapprox.regression.small import small
from lowapprox.regression.system import make_system
from tests.regression.problems import Problem, backward_error, exact_solution, problem, problems
from tests.strategies import seeds

U = float(np.finfo(float).eps)


def solved(A: Any, b: Any, weights: Any = None, ridge: float = 0.0) -> Outcome | None:
    b = np.asarray(b, np.result_type(b, float))
    b = b if b.ndim == 2 else b[:, None]
    system = make_system(as_matrix(A), b, weights, ridge)
    root = 1.0 if weights is None else np.sqrt(weights)[:, None]
    return small(system, float(np.linalg.norm(root * b)) or 1.0, U / 2.0, 30 * U)


@given(problems(max_condition=1e3, spread=6))
def test_backward_error_and_condition(p: Problem) -> None:
    found = solved(p.A, p.b)
    if found is None:
        assert p.A.shape[0] < 2 * p.A.shape[1] or p.A.dtype.kind == "c" or p.b.ndim == 2
        return
    x, error = found.found.X[:, 0], float(found.found.error[0])
    D = np.linalg.norm(p.A, axis=0)
    assert error <= U / 2.0
    assert backward_error(p.A / D, p.b, x * D) <= 10 * U
    assert found.condition == pytest.approx(np.linalg.cond(p.A / D), rel=1e-6)
    assert np.allclose(found.D, D, rtol=1e-13)


@given(seeds, st.floats(0.0, 8.0), st.integers(1, 12))
def test_the_reported_error_is_that_of_a_dense_evaluation(seed: int, power: float, d: int) -> None:
    A, b, _ = problem(60, d, 10.0 ** min(power, 4.0), seed=seed)
    b = b * 10.0**power
    D = np.linalg.norm(A, axis=0)
    found = solved(A, b)
    assert found is not None
    # Both are rounding: of the size of machine epsilon, and not below what the rounding of b does.
    exact = backward_error(A / D, b, found.found.X[:, 0] * D)
    assert float(found.found.error[0]) <= U
    assert exact <= 4 * U


@given(seeds)
def test_integer_weights_repeat_rows(seed: int) -> None:
    A, b, _ = problem(40, 4, 10.0, seed=seed)
    w = np.random.default_rng(seed).integers(0, 3, 40)
    if np.count_nonzero(w) < 8:
        return
    first, second = solved(A, b, w.astype(float)), solved(np.repeat(A, w, 0), np.repeat(b, w))
    if first is None or second is None:
        return
    assert np.allclose(first.found.X, second.found.X, rtol=1e-10)
    assert np.allclose(first.found.squares, second.found.squares, rtol=1e-10)


@pytest.mark.parametrize("condition", [1e6, 1e9, 1e13, np.inf])
def test_ill_conditioned_problems_are_left_to_others(condition: float) -> None:
    A, b, _ = problem(60, 5, min(condition, 1e13))
    if condition == np.inf:
        A[:, 3] = A[:, 1]
    assert solved(A, b) is None


@pytest.mark.parametrize("change", [0.0, np.nan, np.inf, 1e-160, 1e160])
def test_columns_beyond_the_limits_are_left_to_others(change: float) -> None:
    A, b, _ = problem(60, 5, 10.0)
    A[:, 2] *= change
    assert solved(A, b) is None


def test_what_does_not_suit_is_left_to_others() -> None:
    A, b, _ = problem(60, 5, 10.0)
    assert solved(A, b) is not None
    assert solved(A[:9], b[:9]) is None
    assert solved(A, b, ridge=1.0) is None
    assert solved(A + 1j, b) is None
    assert solved(A, np.stack([b, b], axis=1)) is None
    assert solved(A, b * np.nan) is None


def test_zero_right_hand_side() -> None:
    A, b, _ = problem(60, 5, 10.0)
    found = solved(A, 0.0 * b)
    assert found is not None
    assert not found.found.X.any()
    assert found.found.error[0] == 0.0


def test_one_call_says_what_it_did() -> None:
    A, b, _ = problem(60, 5, 10.0)
    result = lstsq(A, b)
    assert result.info["method"] == "cholesky"
    assert "small" in result.info["why"]
    assert 2 <= result.passes <= 5
    assert result.info["iterations"] == result.passes - 2
    error = np.abs(result.x - exact_solution(A, b)) * np.linalg.norm(A, axis=0)
    assert error.max() <= result.forward_error_bound * np.linalg.norm(result.x)
    same = lstsq(A, b)
    assert np.array_equal(result.x, same.x)
