"""Rank-increment continuation: one component after the other, each from what is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lowapprox.completion.als import Alternation, gradients
from lowapprox.completion.apart import apart
from lowapprox.completion.problem import Factors, Problem, Watch
from lowapprox.completion.start import leading_factors

__all__ = ["extended", "fall", "increment", "rested", "stepwise"]

_STEPS = 3
_SWEEPS = 5  # at least, for each rank: after fewer a wrong component may come in, and stay
_SLOW = 0.97  # fall of the residual in a sweep, from which on the next component is worth more


@apart("increment")
def increment(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    """Fit ranks 1, 2, ... in turn, the next component being the leading one of the residual.

    Components that are small beside others are resolved only when these have been fitted: from a
    start with all of them they look like the noise of the missing entries.
    """
    return stepwise(problem, start, watch, lambda _: False)


def stepwise(
    problem: Problem,
    start: Factors | None,
    watch: Watch,
    leave: Callable[[list[float]], bool],
) -> Factors:
    """Run `increment`; leave when that is said of the residuals at full rank."""
    m, n = problem.observed.shape
    dtype = problem.observed.dtype
    factors = Factors(np.zeros((m, 0), dtype), np.zeros((n, 0), dtype)) if start is None else start
    while True:
        if factors.rank < problem.rank:  # a start may have them all
            factors = extended(problem, factors, 1)
        part = replace(problem, rank=factors.rank)
        alternation = Alternation(part, factors)
        solver = gradients(part, _STEPS)
        full = factors.rank == problem.rank
        residuals: list[float] = []
        while True:
            residual, change = alternation.sweep(solver)
            factors = alternation.factors
            change = change if full else np.nan
            if watch("increment", factors, residual=residual, change=change):
                if not full and rested(watch, factors):
                    break
                return watch.best or factors
            residuals.append(residual)
            if not full and len(residuals) >= _SWEEPS and fall(residuals, 1) > _SLOW:
                break
            if full and leave(residuals):
                return factors


def rested(watch: Watch, factors: Factors) -> bool:
    """Go on if the work has ended because a rank shows no more, but showed more than the last."""
    best = watch.best or factors
    if watch.reason != "held-out" or best.rank < factors.rank:
        return False
    watch.go_on()
    return True


def fall(residuals: list[float], sweeps: int) -> float:
    """Return the factor by which the residual has fallen over the last sweeps, 0 before them."""
    return residuals[-1] / residuals[-1 - sweeps] if len(residuals) > sweeps else 0.0


def extended(problem: Problem, factors: Factors, count: int) -> Factors:
    """Return factors with the leading singular pairs of the residual appended."""
    observed = problem.observed
    gap = factors.residual(observed) if factors.rank else observed.rows.values
    new = leading_factors(observed, gap, count, problem.rng, steps=8)
    end = factors.rank - problem.col_bias  # before the last column, where that is of biases
    pairs = ((factors.U, new.U), (factors.V, new.V))
    U, V = (np.hstack([old[:, :end], more, old[:, end:]]) for old, more in pairs)
    return Factors(U, V)
