"""The choice of the methods, one after the other, by what is seen on the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowapprox.completion.als import Alternation, als_cg, gradients
from lowapprox.completion.increment import fall, stepwise
from lowapprox.completion.problem import Factors, Problem, Watch
from lowapprox.completion.start import leading_pairs

__all__ = ["auto", "searches"]

_DONE = {"residual", "callback", "max_iter"}
_SWEEPS = 10  # over which the fall of the residual is judged
_STUCK = 0.97  # fall in that many sweeps from which on something else may be better
_SMALL = 100_000  # entries times rank, up to which a long search costs little
_SURE = 3.0  # oversampling from which on an exact fit is taken for the truth
_TIGHT = 2.2  # oversampling, below which a stuck fit is not taken for noise
_CLEAN = 1e-2  # relative residual below which noise is not likely
_STRUCTURE = 1.1  # leading value of the residual over that with random signs
_NEAR = 1e-2  # relative residual from which on Gauss-Newton converges fast
_VERY_NEAR = 1e-3  # the same for factors that may miss a component
_NEWTON, _FALLING = 2, 0.1  # steps of it, in which the residual should fall by that
_SLOW = 0.4  # fall in ten sweeps from which on that is worth its steps


def auto(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    """Alternate; where that gets stuck without noise, add components one by one; then reweight.

    Ridges and biases are for noisy data, and alternation is all they need. Otherwise the data may
    be exact. Alternation with the learned ridge finds matrices with an even spectrum; increments
    find small components beside large ones and many matrices near the limit, and MatrixIRLS the
    rest of these; Gauss-Newton finishes what converges slowly. Each is tried only where there is
    reason to, and the best fit is kept: by the entries held out, where there are any. Small
    problems near the limit are searched at length.
    """
    if problem.ridge or problem.row_bias or problem.col_bias or start is not None:
        return als_cg(problem, start, watch)
    learning = replace(problem, ridge=None)
    # Near an exact fit the error at the entries held out may rest for long.
    patience, watch.patience = watch.patience, None
    factors, noisy = _alternated(learning, watch, patience)
    tight = problem.observed.oversampling(problem.rank) < _TIGHT
    if not noisy and watch.reason not in _DONE:
        watch.go_on()
        if tight and searches(problem):
            from lowapprox.completion.hard import recover

            near = watch.history[-1].residual < _NEAR
            return recover(problem, factors if near else None, watch)
        factors = _finished(problem, factors, watch, _VERY_NEAR)
        if watch.reason not in _DONE:
            watch.go_on()
            factors = stepwise(learning, None, watch, _slow)
            factors = _finished(problem, factors, watch, _NEAR)
        if tight and watch.reason not in _DONE:
            from lowapprox.completion.irls import irls

            watch.go_on()
            irls(problem, None, watch)
    best = watch.best or factors
    if watch.reason == "residual" and searches(problem):
        _confirm(problem, best, watch)
    return best


def searches(problem: Problem) -> bool:
    """Tell whether the problem is so small that exact fits are searched for and checked at length.

    No entries need to be held out then.
    """
    return problem.observed.count * problem.rank <= _SMALL


def _confirm(problem: Problem, factors: Factors, watch: Watch) -> None:
    """Say so if other matrices fit as well."""
    if problem.held_out is None and problem.observed.oversampling(problem.rank) < _SURE:
        from lowapprox.completion.hard import identified
        from lowapprox.completion.tangent import Entries

        if not identified(Entries(problem.observed), factors, problem.rng):
            watch.reason = "not identified"


def _finished(problem: Problem, factors: Factors, watch: Watch, near: float) -> Factors:
    """Take steps of Gauss-Newton if they are likely to end soon."""
    residual = watch.history[-1].residual
    if watch.reason in _DONE or not residual < near:
        return factors
    from lowapprox.completion.gauss_newton import gauss_newton

    # A few steps tell whether they converge; in a flat valley each costs much.
    start, last = factors, np.inf
    while residual < _FALLING * last:
        attempt = watch.attempt(problem, _NEWTON)
        start = gauss_newton(problem, start, attempt)
        last, residual = residual, watch.history[-1].residual
        if attempt.reason in _DONE and (attempt.reason != "max_iter" or _over(watch)):
            watch.reason, watch.best = attempt.reason, attempt.best
            return start
    return factors


def _over(watch: Watch) -> bool:
    return len(watch.history) >= watch.problem.max_iter


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
        if not noisy and (_slow(residuals) or fall(residuals, _SWEEPS) > _STUCK):
            noisy = not _exact_perhaps(problem, alternation.factors, residual)
            if not noisy:
                return alternation.factors, False
            watch.patience = patience


def _slow(residuals: list[float]) -> bool:
    near = residuals[-1] < _NEAR and fall(residuals, _SWEEPS) > _SLOW
    return near or fall(residuals, 3 * _SWEEPS) > _STUCK


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
