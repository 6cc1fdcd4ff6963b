"""Scaled gradient descent: its line search, and a rate that does not feel the condition number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from lowapprox.completion.problem import Factors
from lowapprox.completion.scaled_gd import _best_step, scaled_gd
from lowapprox.completion.tangent import Entries
from tests.completion.problems import Array, Known, low_rank, solved
from tests.strategies import seeds

Loss = list[float]


def losses(known: Known, ridge: float, steps: int) -> Loss:
    """Return the objective after each number of steps."""
    found = []
    for count in range(1, steps + 1):
        factors, _ = solved(scaled_gd, known, 3, ridge=ridge, max_iter=count)
        gap = factors.residual(known.observed)
        size = np.sum(factors.U**2) + np.sum(factors.V**2)
        found.append(float(gap @ gap + ridge * size))
    return found


@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_the_objective_never_rises(ridge: float) -> None:
    known = low_rank(30, 25, 3, 3.0, condition=10.0, noise=0.1)
    found = losses(known, ridge, 15)
    assert (np.diff(found) <= 1e-12 * found[0]).all()


@given(seeds)
def test_the_step_is_the_best(seed: int) -> None:
    gen = np.random.default_rng(seed)
    known = low_rank(8, 7, 2, 1.5)
    entries = Entries(known.observed)
    z, along, beyond = gen.standard_normal((3, known.observed.count))
    along += z  # a direction of descent
    h = _best_step(z, along, beyond, entries, np.zeros(2))

    def loss(h: Array) -> Array:
        out: Array = np.sum((z - h * along + h * h * beyond) ** 2, axis=1)
        return out

    if z @ along > 0:
        assert h > 0
        grid = np.linspace(0, 4, 2001)[:, None]
        assert loss(np.array([[h]]))[0] <= loss(grid).min() + 1e-9


def test_the_rate_does_not_feel_the_condition_number() -> None:
    steps = []
    for condition in (1.0, 100.0):
        known = low_rank(100, 80, 3, 6.0, condition=condition)
        start = Factors(known.U + 0.01 * np.roll(known.U, 1, axis=0), known.V)
        factors, watch = solved(scaled_gd, known, 3, start=start)
        assert known.error(factors.U, factors.V) < 1e-6
        steps.append(len(watch.history))
    assert steps[1] < 3 * steps[0]
