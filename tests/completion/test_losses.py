"""Losses other than squares, and nonnegative factors."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import InputError, complete
from lowapprox._core.progress import Reporter
from lowapprox.completion.als import als_cg, als_chol
from lowapprox.completion.losses import Majorant, log_loss, probability
from lowapprox.completion.problem import Factors, Problem, Watch
from tests.completion.problems import Known, low_rank
from tests.strategies import seeds

Array = np.ndarray[Any, Any]


def triples(known: Known) -> tuple[Array, Array, Array]:
    rows = known.observed.rows
    return np.repeat(np.arange(rows.counts.size), rows.counts), rows.indices, rows.values


def problem_of(observed: Any, loss: str, **more: Any) -> Problem:
    options: dict[str, Any] = {"ridge": 0.5, "tol": 1e-9, "max_iter": 40}
    return Problem(observed, 2, rng=np.random.default_rng(0), loss=loss, **options | more)


def binary(known: Known, seed: int) -> Known:
    from dataclasses import replace

    from lowapprox.completion.observations import compressed

    i, j, v = triples(known)
    y = (np.random.default_rng(seed).random(v.size) < probability(2 * v)).astype(float)
    return replace(known, observed=compressed(i, j, y, None, known.observed.shape))


@given(st.floats(-800, 800), st.sampled_from((0.0, 1.0)))
def test_logistic_functions(x: float, y: float) -> None:
    with np.errstate(all="raise", under="ignore"):
        p, loss = probability(np.array([x])), log_loss(np.array([x]), np.array([y]))
    assert 0.0 <= p[0] <= 1.0
    np.testing.assert_allclose(p + probability(np.array([-x])), 1.0, atol=1e-15)
    sign = 2 * y - 1
    np.testing.assert_allclose(loss, np.logaddexp(0, -sign * x), rtol=1e-13, atol=1e-300)


@given(seeds, st.sampled_from(("huber", "logit")))
def test_the_squares_bound_the_loss_and_touch_it(seed: int, loss: str) -> None:
    known = low_rank(20, 15, 2, 3.0, noise=1.0, seed=seed % 100)
    if loss == "logit":
        known = binary(known, seed)
    rng = np.random.default_rng(seed)
    factors = Factors(rng.standard_normal((20, 2)), rng.standard_normal((15, 2)))
    problem = problem_of(known.observed, loss)
    bound, value = Majorant(problem)(factors)
    i, j, y = triples(known)
    w, z = bound.rows.weights, bound.rows.values
    assert w is not None
    x = factors.at(i, j)
    if loss == "logit":
        np.testing.assert_allclose(value**2, log_loss(x, y).mean() / np.log(2.0), rtol=1e-12)

        def exact(s: Array) -> Array:
            return log_loss(s, y)
    else:
        edge = 1.345 * 1.4826 * np.median(np.abs(y - x))

        def exact(s: Array) -> Array:
            gap = np.abs(y - s)
            return np.where(gap <= edge, gap**2 / 2, edge * (gap - edge / 2))

        size = np.sqrt(2 * exact(x).sum()) / known.observed.norm
        np.testing.assert_allclose(value, size, rtol=1e-10)
    at = exact(x) - w * (x - z) ** 2 / 2
    for shift in (-10.0, -1.0, -1e-3, 1e-3, 0.3, 5.0):
        s = x + shift
        assert (exact(s) <= w * (s - z) ** 2 / 2 + at + 1e-9).all()
    # Both orders hold the same.
    dense = np.zeros((2, *known.observed.shape))
    dense[0][i, j] = w * z
    columns = bound.columns
    at_column = np.repeat(np.arange(15), columns.counts)
    dense[1][columns.indices, at_column] = columns.weights * columns.values
    np.testing.assert_array_equal(dense[0], dense[1])


@pytest.mark.parametrize("method", [als_cg, als_chol])
@pytest.mark.parametrize("seed", range(3))
def test_the_logistic_objective_never_rises(method: Any, seed: int) -> None:
    known = binary(low_rank(30, 25, 2, 5.0, seed=seed), seed)
    problem = problem_of(known.observed, "logit")
    i, j, y = triples(known)
    told: list[float] = []

    class Told(Watch):
        def __call__(self, name: str, factors: Factors, **more: float) -> bool:
            nll = float(log_loss(factors.at(i, j), y).sum())
            told.append(2 * nll + 0.5 * float(np.sum(factors.U**2) + np.sum(factors.V**2)))
            return super().__call__(name, factors, **more)

    method(problem, None, Told(problem, Reporter(None, False)))
    assert len(told) > 5
    assert all(b <= a * (1 + 1e-10) for a, b in pairwise(told))


def test_outliers() -> None:
    known = low_rank(150, 120, 3, 6.0, noise=0.1, seed=0)
    i, j, v = triples(known)
    rng = np.random.default_rng(0)
    bad = rng.random(v.size) < 0.05
    A = i, j, v + np.where(bad, 10 * rng.standard_normal(v.size), 0.0)
    result = complete(A, 3, shape=(150, 120), loss="huber", rng=0)
    clean = complete((i, j, v), 3, shape=(150, 120), rng=0)
    error = known.error(result.U * result.s, result.V)
    assert error <= 1.5 * known.error(clean.U * clean.s, clean.V)


def test_log_odds() -> None:
    known = low_rank(200, 150, 2, 12.0, seed=0)
    observed = binary(known, 1)
    truth = 2 * (known.U @ known.V.T)

    def agreement(**options: Any) -> float:
        result = complete(triples(observed), 2, shape=(200, 150), rng=0, **options)
        assert result.converged
        found = (result.U * result.s) @ result.V.T
        return float(np.corrcoef(truth.ravel(), found.ravel())[0, 1])

    learned = agreement(loss="logit")
    assert learned > max(agreement(loss="logit", reg=reg) for reg in (0.3, 1.0, 3.0)) - 0.01
    assert learned > agreement(center=True)


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nonnegative_factors(noise: float, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    U, V = (rng.random((p, 4)) * (rng.random((p, 4)) < 0.6) for p in (120, 90))
    M = U @ V.T
    A = (M + noise * rng.standard_normal(M.shape)).astype(dtype)
    A[rng.random(M.shape) < 0.6] = np.nan
    result = complete(A, 4, nonneg=True, rng=0)
    assert result.U.dtype == dtype
    assert result.U.min() >= 0
    assert result.V.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(result.U, axis=0), 1.0, rtol=1e-5)
    assert (np.diff(result.s) <= 0).all()
    error = np.linalg.norm((result.U * result.s) @ result.V.T - M) / np.linalg.norm(M)
    free = complete(A, 4, rng=0)
    other = np.linalg.norm((free.U * free.s) @ free.V.T - M) / np.linalg.norm(M)
    assert error <= (1e-4 if noise == 0.0 else other)


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "logit"},  # values that are no zeros and ones
        {"loss": "logit", "center": True},
        {"loss": "huber", "method": "irls"},
        {"nonneg": True, "row_bias": True},
        {"nonneg": True, "loss": "huber"},
        {"nonneg": True, "center": True},
        {"nonneg": True, "method": "gauss-newton"},
    ],
)
def test_what_does_not_go_together(options: dict[str, Any]) -> None:
    A = np.arange(20.0).reshape(4, 5)
    with pytest.raises(InputError):
        complete(A, 1, **options)
