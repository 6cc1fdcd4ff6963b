"""The automatic rank."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lowapprox import ConvergenceWarning, complete
from lowapprox._core.progress import Reporter
from lowapprox.completion.observations import compressed
from lowapprox.completion.problem import Problem
from lowapprox.completion.rank import chosen_rank
from lowapprox.completion.result import CompletionResult
from tests.completion.problems import Known, low_rank

Array = np.ndarray[Any, Any]
SILENT = Reporter(None, False)


def problem(known: Known, **options: object) -> Problem:
    rng = np.random.default_rng(0)
    return Problem(
        **{"observed": known.observed, "rank": 1, "ridge": None, "tol": 1e-3, "max_iter": 100}
        | {"rng": rng} | options
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rank", "oversampling", "condition", "noise"),
    [
        (2, 4.0, 1.0, 0.0),
        (5, 3.0, 1.0, 0.0),
        (5, 3.0, 100.0, 0.0),
        (9, 3.0, 1e4, 0.0),
        (7, 3.0, 1.0, 0.1),
        (12, 4.0, 1.0, 0.05),
        (3, 10.0, 1.0, 1.0),
    ],
)
def test_the_rank_is_found(rank: int, oversampling: float, condition: float, noise: float) -> None:
    known = low_rank(300, 240, rank, oversampling, condition=condition, noise=noise, seed=3)
    found, errors = chosen_rank(problem(known), SILENT)
    assert found == rank
    assert list(errors) == sorted(errors)
    assert errors[rank] <= 1.01 * min(errors.values()) or errors[rank] < 1e-6


def test_components_below_the_noise_are_left_out() -> None:
    known = low_rank(200, 160, 8, 6.0, condition=1e3, noise=0.3, seed=0)
    found, errors = chosen_rank(problem(known), SILENT)
    assert found < 8
    assert errors[found] < 0.5  # of values of size one, with noise of 0.3


def test_biases_are_not_ranks() -> None:
    known = low_rank(200, 160, 3, 8.0, noise=0.05, seed=1)
    rows = known.observed.rows
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal(200), rng.standard_normal(160)
    i = np.repeat(np.arange(200), rows.counts)
    j = rows.indices[: i.size]
    values = rows.values[: i.size] + left[i] + right[j]
    result = complete(
        (i, j, values), shape=(200, 160), row_bias=True, col_bias=True, center=True, rng=0
    )
    assert result.rank == 3
    truth = known.U @ known.V.T + left[:, None] + right
    assert np.linalg.norm(result.to_dense() - truth) < 0.1 * np.linalg.norm(truth)


def test_the_errors_are_told_in_the_units_of_the_data() -> None:
    known = low_rank(120, 100, 2, 6.0, noise=0.2, seed=2)
    rows = known.observed.rows
    i = np.repeat(np.arange(120), rows.counts)
    triples = i, rows.indices[: i.size], 1000.0 * rows.values[: i.size]
    result = complete(triples, shape=(120, 100), rng=0)
    assert result.rank == 2
    assert 200 < result.info["rank_errors"][2] < 300


@pytest.mark.parametrize("seed", range(2))
def test_other_losses_choose_by_themselves(seed: int) -> None:
    gen = np.random.default_rng(seed)
    known = low_rank(200, 150, 3, 12.0, seed=seed)
    i = np.repeat(np.arange(200), known.observed.rows.counts)
    j, v = known.observed.rows.indices, known.observed.rows.values
    votes = (gen.random(v.size) < 1.0 / (1.0 + np.exp(-3.0 * v))).astype(float)
    result = complete((i, j, votes), shape=(200, 150), loss="logit", rng=0)
    errors = result.info["rank_errors"]
    assert result.rank == 3
    # The mean logistic loss: above that of the truth, below that of even odds.
    truth = np.mean(np.logaddexp(0.0, -3.0 * v * np.where(votes > 0, 1.0, -1.0)))
    assert truth < errors[3] < errors[2] < errors[1] < np.log(2.0)
    outliers = np.where(gen.random(v.size) < 0.05, 10.0 * gen.standard_normal(v.size), 0.0)
    noisy = v + 0.1 * gen.standard_normal(v.size) + outliers
    result = complete((i, j, noisy), shape=(200, 150), loss="huber", rng=0)
    assert result.rank == 3
    assert known.error(result.U * result.s, result.V) < 0.06


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_entries(count: int) -> None:
    i = np.arange(count)
    observed = compressed(i, i, np.ones(count), None, (6, 5))
    found, _ = chosen_rank(problem(Known(observed, np.ones((6, 1)), np.ones((5, 1)))), SILENT)
    assert found == 1


def test_no_rows() -> None:
    none = np.zeros(0, np.int64)
    observed = compressed(none, none, np.zeros(0), None, (0, 5))
    assert chosen_rank(problem(Known(observed, np.ones((0, 1)), np.ones((5, 1)))), SILENT) == (
        0,
        {},
    )


def ratings(seed: int) -> tuple[tuple[Array, Array, Array], Array]:
    """Return noisy ratings of a skewed sample, with biases and twelve weak tastes; the truth."""
    gen = np.random.default_rng(seed)
    m, n, k = 400, 300, 12
    chance = np.outer(gen.random(m), gen.random(n))
    i, j = np.nonzero(gen.random((m, n)) < chance * (0.2 * m * n / chance.sum()))
    left, right = gen.standard_normal((m, k)), 0.7 * gen.standard_normal((n, k))
    row, column = 0.4 * gen.standard_normal(m), 0.4 * gen.standard_normal(n)
    truth = left @ right.T / np.sqrt(k) + row[:, None] + column + 3.0
    return (i, j, truth[i, j] + gen.standard_normal(i.size)), truth


BIASED: dict[str, Any] = {"center": True, "row_bias": True, "col_bias": True, "rng": 0}


def distance(result: CompletionResult, truth: Array) -> float:
    return float(np.sqrt(np.mean((result.to_dense() - truth) ** 2)))


def test_weak_components_are_found_together() -> None:
    triples, truth = ratings(1)
    found = complete(triples, shape=truth.shape, **BIASED)
    assert found.converged
    assert 8 <= found.rank <= 32
    alone = complete(triples, 1, shape=truth.shape, **BIASED)
    assert distance(found, truth) < 0.95 * distance(alone, truth)


def test_the_learned_ridge_comes_to_rest_and_the_last_factors_are_returned() -> None:
    triples, truth = ratings(1)
    rested = complete(triples, 30, shape=truth.shape, max_iter=120, **BIASED)
    assert rested.reason == "change"
    with pytest.warns(ConvergenceWarning):
        first = complete(triples, 30, shape=truth.shape, max_iter=1, **BIASED)
    with pytest.warns(ConvergenceWarning):
        cut = complete(triples, 30, shape=truth.shape, max_iter=8, **BIASED)
    # A ridge that is learned lets the residual rise.
    assert cut.history[-1].residual > first.history[-1].residual
    assert distance(cut, truth) < 0.95 * distance(first, truth)
    assert distance(cut, truth) < 1.05 * distance(rested, truth)


@pytest.mark.parametrize("last", [1, 20])
def test_the_search_is_told_and_can_be_stopped(last: int) -> None:
    rows = (known := low_rank(120, 100, 3, 6.0, noise=0.2, seed=2)).observed.rows
    i = np.repeat(np.arange(120), rows.counts)
    triples = i, rows.indices[: i.size], rows.values[: i.size]
    told: list[Any] = []

    def stop(step: Any) -> bool:
        told.append(step)
        return len(told) == last  # a request to stop is remembered

    with pytest.warns(ConvergenceWarning, match="callback"):
        result = complete(triples, shape=known.observed.shape, callback=stop, rng=0)
    assert len(told) == last + 1  # one sweep makes a result
    assert result.reason == "callback"
    assert result.iterations == 1
    assert [step.step for step in told[:-1]] == list(range(1, last + 1))
    assert all(0.0 < step.target < step.value < 1.5 for step in told)
    errors = result.info["rank_errors"]
    assert result.rank == (1 if last == 1 else min(errors, key=lambda rank: errors[rank]))
