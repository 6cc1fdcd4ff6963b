"""Rank increments, and the choices of auto: exact data of every kind, and noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lowapprox import ConvergenceWarning, complete
from lowapprox._core.progress import Reporter
from lowapprox.completion import hard
from lowapprox.completion.auto import _revived
from lowapprox.completion.increment import extended, increment
from lowapprox.completion.problem import Factors, Problem, Watch
from lowapprox.completion.start import leading_pairs
from tests.completion.problems import Known, low_rank
from tests.strategies import quiet


def run(known: Known, rank: int, **more: Any) -> tuple[Factors, Watch]:
    options: dict[str, Any] = {"ridge": None, "tol": 1e-10, "max_iter": 600}
    problem = Problem(known.observed, rank, rng=np.random.default_rng(0), **options | more)
    watch = Watch(problem, Reporter(None, False))
    return increment(problem, None, watch), watch


def fitted(known: Known, rank: int, **options: Any) -> Any:
    rows = known.observed.rows
    i = np.repeat(np.arange(rows.counts.size), rows.counts)
    A = i, rows.indices, rows.values
    return complete(A, rank, shape=known.observed.shape, rng=0, **options)


@pytest.mark.parametrize("condition", [1.0, 1e3, 1e6])
@pytest.mark.parametrize("seed", range(3))
def test_ill_conditioned_matrices(condition: float, seed: int) -> None:
    known = low_rank(200, 150, 4, 3.0, condition=condition, seed=seed)
    factors, watch = run(known, 4, tol=1e-12)
    assert watch.reason == "residual"
    assert known.error(factors.U, factors.V) <= 1e-9
    ranks = [record.rank for record in watch.history]
    assert ranks == sorted(ranks)
    assert set(ranks) == {1, 2, 3, 4}


def test_an_exact_fit_of_lower_rank_ends_the_increments() -> None:
    known = low_rank(100, 80, 2, 6.0, seed=1)
    factors, watch = run(known, 5)
    assert watch.reason == "residual"
    assert factors.rank < 5
    assert known.error(factors.U, factors.V) <= 1e-8


def test_what_is_appended_is_the_leading_pair_of_the_residual() -> None:
    known = low_rank(60, 50, 3, 1e9, condition=10.0, seed=0)
    problem = Problem(known.observed, 3, None, 1e-8, 10, np.random.default_rng(0))
    U, s, V = np.linalg.svd(known.U @ known.V.T, full_matrices=False)
    first = Factors(U[:, :1] * s[0], V[:1].T)
    longer = extended(problem, first, 1)
    np.testing.assert_allclose(longer.U @ longer.V.T, (U[:, :2] * s[:2]) @ V[:2], atol=1e-6 * s[0])


def test_leading_pairs_of_all_entries() -> None:
    known = low_rank(40, 30, 5, 1e9, condition=20.0, noise=0.01, seed=2)
    values = known.observed.rows.values
    U, s, V = leading_pairs(known.observed, values, 4, np.random.default_rng(0), steps=30)
    dense = np.zeros((40, 30))
    rows = known.observed.rows
    dense[np.repeat(np.arange(40), rows.counts), rows.indices] = values
    exact = np.linalg.svd(dense, full_matrices=False)
    np.testing.assert_allclose(s, exact[1][:4], rtol=1e-10)
    best = (exact[0][:, :4] * exact[1][:4]) @ exact[2][:4]
    np.testing.assert_allclose((U * s) @ V.T, best, atol=1e-9 * s[0])


@pytest.mark.parametrize(
    ("oversampling", "condition"),
    [(5.0, 1.0), (3.0, 1.0), (3.0, 1e3), (2.0, 1.0), (2.0, 1e3), (1.5, 1.0), (1.5, 1e3)],
)
@pytest.mark.parametrize("seed", range(2))
def test_auto_recovers(oversampling: float, condition: float, seed: int) -> None:
    known = low_rank(200, 200, 4, oversampling, condition=condition, seed=seed)
    result = fitted(known, 4)
    assert result.converged
    assert result.reason == "residual"
    assert known.error(result.U * result.s, result.V) <= 1e-7


@pytest.mark.large
@pytest.mark.parametrize("oversampling", [3.0, 2.0, 1.5])
@pytest.mark.parametrize("condition", [1.0, 1e3])
def test_auto_recovers_larger_matrices(oversampling: float, condition: float) -> None:
    known = low_rank(1200, 1000, 6, oversampling, condition=condition, seed=1)
    result = fitted(known, 6)
    assert result.converged
    assert known.error(result.U * result.s, result.V) <= 1e-7


@pytest.mark.parametrize("seed", range(3))
def test_a_component_that_has_died_out_comes_back(seed: int) -> None:
    known = low_rank(300, 250, 5, 2.0, condition=1e3, seed=seed)
    problem = Problem(known.observed, 5, None, 1e-10, 100, np.random.default_rng(0))
    without = Factors(known.U * [1, 1, 1, 1, 0], known.V * [1, 1, 1, 1, 0])
    watch = Watch(problem, Reporter(None, False))
    gap = without.residual(known.observed)
    watch("als-cg", without, residual=float(np.linalg.norm(gap)) / known.observed.norm)
    _revived(problem, without, watch)
    assert watch.reason == "residual"
    assert watch.best is not None
    assert known.error(watch.best.U, watch.best.V) <= 1e-8
    # What is there stays: nothing is done.
    count = len(watch.history)
    watch.go_on()
    _revived(problem, Factors(known.U, known.V), watch)
    assert len(watch.history) == count


def test_auto_leaves_noise_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hard, "_ROUNDS", 1)
    for oversampling, noise in ((4.0, 0.1), (4.0, 0.003), (1.8, 0.2)):
        known = low_rank(100, 80, 3, oversampling, noise=noise, seed=1)
        result = fitted(known, 3)
        assert result.converged
        error = known.error(result.U * result.s, result.V)
        # The error to expect of least squares is noise / sqrt(oversampling) where all goes well.
        assert error <= 2.0 * noise * oversampling**-0.5
        worse = fitted(known, 3, method="increment", reg=0.0, tol=1e-5, max_iter=600)
        assert error <= 1.1 * known.error(worse.U * worse.s, worse.V)


def test_auto_with_a_ridge_or_biases_alternates() -> None:
    known = low_rank(80, 70, 3, 3.0, noise=0.1, seed=1)
    for options in ({"reg": 0.1}, {"row_bias": True}, {"col_bias": True}):
        result = fitted(known, 3, **options)
        assert {record.method for record in result.history} == {"als-cg"}


@pytest.mark.stat
def test_small_matrices_near_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hard, "_ROUNDS", 1)
    errors = []
    for seed in range(6):
        known = low_rank(80, 80, 3, 1.4, seed=seed)
        with quiet():
            result = fitted(known, 3)
        error = known.error(result.U * result.s, result.V)
        assert result.converged == (error <= 1e-6)  # whatever is called converged is right
        errors.append(error)
    assert sum(error <= 1e-6 for error in errors) >= 5


@pytest.mark.parametrize(("size", "seed"), [(60, 3), (40, 3)])
def test_what_is_not_found_is_not_called_noise(
    size: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hard, "_ROUNDS", 1)
    known = low_rank(size, size, 3, 1.1, seed=seed)
    with pytest.warns(ConvergenceWarning, match="stagnated"):
        result = fitted(known, 3)
    assert not result.converged
    assert known.error(result.U * result.s, result.V) > 0.1
