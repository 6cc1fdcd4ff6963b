"""MatrixIRLS: recovery near the limit, and what its corrections are for."""

from __future__ import annotations

import os

import numpy as np
import pytest

from lowapprox.completion.irls import irls, reweighted
from lowapprox.completion.observations import compressed
from lowapprox.completion.problem import Factors, Problem, Watch
from tests.completion.problems import Known, low_rank, solved

pytestmark = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="too slow without the compiler"
)


@pytest.mark.parametrize("condition", [1.0, 1e3])
@pytest.mark.parametrize("seed", range(2))
def test_recovery_near_the_limit(condition: float, seed: int) -> None:
    known = low_rank(150, 120, 4, 1.7, condition=condition, seed=seed)
    factors, watch = solved(irls, known, 4)
    assert watch.reason == "residual"
    assert known.error(factors.U, factors.V) < 1e-6


def test_recovery_at_a_third_more_entries_than_unknowns() -> None:
    known = low_rank(300, 300, 5, 1.35, condition=1e3, seed=3)
    factors, watch = solved(irls, known, 5)
    assert watch.reason == "residual"
    assert known.error(factors.U, factors.V) < 1e-6


def test_without_damping_weak_components_are_lost() -> None:
    def undamped(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
        return reweighted(problem, start, watch, damping=0.0)

    for seed in (0, 4):
        known = low_rank(300, 300, 5, 1.35, condition=1e3, seed=seed)
        damped, _ = solved(irls, known, 5)
        assert known.error(damped.U, damped.V) < 1e-6
        lost, watch = solved(undamped, known, 5)
        assert watch.reason == "stagnated"
        assert known.error(lost.U, lost.V) > 1e-4


def test_smoothing_leaves_a_start_behind() -> None:
    known = low_rank(60, 50, 3, 2.5)
    gen = np.random.default_rng(2)
    wrong = Factors(gen.standard_normal((60, 3)), gen.standard_normal((50, 3)))

    def again(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
        return reweighted(problem, start, watch, damping=0.7, smoothing=0.5)

    factors, watch = solved(again, known, 3, start=wrong)
    assert watch.reason == "residual"
    assert known.error(factors.U, factors.V) < 1e-6


def test_weights_have_no_part() -> None:
    known = low_rank(40, 30, 2, 3.0)
    rows = known.observed.rows
    numbers = np.repeat(np.arange(40), rows.counts)
    weights = np.random.default_rng(0).uniform(0.1, 10, rows.values.size)
    heavy = compressed(numbers, rows.indices, rows.values, weights, (40, 30))
    one, _ = solved(irls, known, 2)
    two, _ = solved(irls, Known(heavy, known.U, known.V), 2)
    np.testing.assert_array_equal(one.U, two.U)


def test_noise_ends_in_stagnation() -> None:
    known = low_rank(60, 50, 3, 3.0, noise=0.05)
    factors, watch = solved(irls, known, 3)
    assert watch.reason == "stagnated"
    assert known.error(factors.U, factors.V) < 0.3
    assert watch.history[-1].residual > 1e-3
