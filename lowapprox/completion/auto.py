"""The choice of the methods, one after the other, by what is seen on the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowapprox.completion.als import Alternation, als_cg, gradients
from lowapprox.completion.increment import fall, stepwise
from lowapprox.completion.problem import Factors, Problem, Watch
from lowapprox.completion.start import leading_pairs

__all__ = ["auto"]

_DONE = {"residual", "callback", "max_iter"}
_SWEEPS = 10  # over which the fall of the residual is judged
_STUCK = 0.97  # fall in that many sweeps from which on something else may be better
_TIGHT = 2.2  # oversampling, below which a stuck fit is not taken for noise
_CLEAN = 1e-2  # relative residual below which noise is not likely
_STRUCTURE = 1.1  # leading value of the residual over that with random signs
_NEAR = 1e-2  # relative residual from which on Gauss-Newton converges fast
_SLOW = 0.4  # fall in ten sweeps from which on that is worth its steps


def auto(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    """Alternate; where that gets stuck without noise, add components one by one; then reweight.

    Ridges and biases are for noisy data, and alternation is all they need. Otherwise the data may
    be exact. Alternation with the learned ridge finds matrices with an even spectrum; increments
    find small components beside large ones and many matrices near the limit, and MatrixIRLS the
    rest of these; Gauss-Newton finishes what converges slowly. Each is tried only where there is
    reason to, and the best fit is kept: by the entries held out, where there are any.
    """
    if problem.ridge or problem.row_bias or problem.col_bias or start is not None:
        return als_cg(problem, start, watch)
    learning = replace(problem, ridge=None)
    # Near an exact fit the error at the entries held out may rest for long.
    patience, watch.patience = watch.patience, None
    factors, noisy = _alternated(learning, watch, patience)
    if noisy or watch.reason in _DONE:
        return watch.best or factors
    watch.go_on()
    factors = stepwise(learning, None, watch, _slow)
    if watch.reason not in _DONE and watch.history[-1].residual < _NEAR:
        from lowapprox.completion.gauss_newton import gauss_newton

        watch.go_on()
        gauss_newton(problem, factors, watch)
    if watch.reason not in _DONE:
        from lowapprox.completion.irls import irls

        watch.go_on()
        irls(problem, None, watch)
    return watch.best or factors


def _alternated(problem: Problem, watch: Watch, patience: int | None) -> tuple[Factors, bool]:
    """Alternate; return whether what is left at the end is noise."""
    alternation = Alternation(problem, None)
    solver = gradients(problem, 2)
    residuals: list[float] = []
    noisy = False
    while True:
        residual, change = alternation.sweep(solver)
        if watch("als-cg", alternation.factors, residual=residual, change=change):
            if watch.reason == "change" and not noisy:
                noisy = not _exact_perhaps(problem, alternation.factors, residual)
            return alternation.factors, noisy
        residuals.append(residual)
        if not noisy and fall(residuals, _SWEEPS) > _STUCK:
            noisy = not _exact_perhaps(problem, alternation.factors, residual)
            if not noisy:
                return alternation.factors, False
            watch.patience = patience


def _slow(residuals: list[float]) -> bool:
    near = residuals[-1] < _NEAR and fall(residuals, _SWEEPS) > _SLOW
    return near or fall(residuals, _SWEEPS) > _STUCK


def _exact_perhaps(problem: Problem, factors: Factors, residual: float) -> bool:
    """Tell whether the residual of a stuck fit may be another thing than noise."""
    observed = problem.observed
    if residual < _CLEAN or observed.oversampling(problem.rank) < _TIGHT:
        return True
    gap = factors.residual(observed)
    signs = problem.rng.choice(np.array([-1, 1], gap.dtype), gap.size)
    found, flipped = (
        leading_pairs(observed, values, 1, problem.rng, steps=8)[1][0]
        for values in (gap, gap * signs)
    )
    return bool(found > _STRUCTURE * flipped)
