"""The choice of the methods, one after the other, by what is seen on the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowapprox.completion.als import Alternation, als_cg, gradients, noisy
from lowapprox.completion.increment import extended, fall, stepwise
from lowapprox.completion.problem import Factors, Problem, Watch
from lowapprox.completion.start import leading_pairs

__all__ = ["auto", "searches"]

_DONE = {"residual", "callback", "max_iter"}
_STEPS = 2  # of conjugate gradients
_SETTLING = 300  # sweeps at most, where no exact fit was found
_SWEEPS = 10  # over which the fall of the residual is judged
_STUCK = 0.97  # fall in that many sweeps from which on something else may be better
_SMALL = 100_000  # entries times rank, up to which a long search costs little
_MEDIUM = 1_000_000  # the same, up to which MatrixIRLS is worth its time
_TIGHT = 2.2  # oversampling, below which a stuck fit is not taken for noise
_LIMIT = 1.5  # oversampling, below which a noisy fit has to be judged by entries held out
_CLEAN = 1e-2  # relative residual below which noise is not likely
_STRUCTURE = 1.1  # leading value of the residual over that with random signs
_NEAR = 1e-2  # relative residual from which on Gauss-Newton converges fast
_VERY_NEAR = 1e-3  # the same for factors that may miss a component
_NEWTON, _FALLING = 2, 0.1  # steps of it, in which the residual should fall by that
_REVIVAL = 6  # the same, where components have died out
_ROUNDING = 1e-6  # size of a component beside the first, that is none
_DEAD = 0.01  # size of such a component beside the residual
_LARGE = 10_000_000  # entries times rank, above which these steps take too long
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
    if noisy(problem) or start is not None:
        return als_cg(problem, start, watch)
    patience = watch.patience
    factors = _found(problem, watch)
    if problem.ridge is None or watch.reason not in {"change", "held-out"}:
        return factors
    # The ridge that has helped to find it was not asked for.
    watch.go_on(forget=True)
    watch.patience = patience
    return als_cg(problem, _of_full_rank(problem, factors), watch)


def _of_full_rank(problem: Problem, factors: Factors) -> Factors:
    """Put the leading components of the residual in the places of those that have died out."""
    from lowapprox.completion.tangent import Point

    point, dtype = Point.of(factors), problem.observed.dtype
    alive = point.s > _ROUNDING * point.s[0]
    left = Point(point.U[:, alive], point.s[alive], point.V[:, alive]).factors
    left = Factors(left.U.astype(dtype), left.V.astype(dtype))
    dead = problem.rank - left.rank
    return extended(problem, left, dead) if dead else left


def _found(problem: Problem, watch: Watch) -> Factors:
    """Return what is found with the help of the learned ridge."""
    learning = replace(problem, ridge=None)
    # Near an exact fit the error at the entries held out may rest for long.
    patience, watch.patience = watch.patience, None
    alternation = Alternation(learning, None)
    ended = _alternated(alternation, watch, patience)
    if ended or watch.reason in _DONE:
        return watch.best or alternation.factors
    tight = problem.observed.oversampling(problem.rank) < _TIGHT
    _search(learning, alternation.factors, watch, tight=tight)
    if watch.reason in _DONE | {"not identified"}:
        return watch.best or alternation.factors
    # What is left is noise after all; fits without the ridge have followed it.
    watch.go_on(forget=problem.held_out is None)
    solver = gradients(learning, _STEPS)
    for _ in range(_SETTLING):
        residual, change = alternation.sweep(solver)
        if watch("als-cg", alternation.factors, residual=residual, change=change):
            break
    watch.reason = watch.reason or "stagnated"
    # Near the limit noise cannot be told from an exact fit that was not found, unless entries that
    # were held out say how good the fit is.
    best = watch.best or alternation.factors
    unjudged = problem.held_out is None and problem.observed.oversampling(problem.rank) < _LIMIT
    if watch.reason == "change" and (unjudged or (tight and _misfit(problem, best) < _CLEAN)):
        watch.reason = "stagnated"
    return best


def _misfit(problem: Problem, factors: Factors) -> float:
    """Return the residual of factors over the values."""
    values = problem.observed.rows.values
    return float(np.linalg.norm(factors.residual(problem.observed)) / np.linalg.norm(values))


def _search(problem: Problem, factors: Factors, watch: Watch, *, tight: bool) -> None:
    """Look for an exact fit."""
    near = watch.history[-1].residual < _NEAR
    watch.go_on()
    if tight and searches(problem):
        from lowapprox.completion.hard import recover

        recover(problem, factors if near else None, watch)
        return
    _finished(problem, factors, watch, _VERY_NEAR)
    if watch.reason not in _DONE:
        watch.go_on()
        _grow(problem, watch)
    if tight and watch.reason not in _DONE and problem.observed.count * problem.rank < _MEDIUM:
        from lowapprox.completion.irls import irls

        watch.go_on()
        irls(problem, None, watch)


def _grow(problem: Problem, watch: Watch) -> None:
    """Add components one by one, and finish by Gauss-Newton as soon as that converges."""
    factors = stepwise(problem, None, watch, _slow)
    while watch.reason not in _DONE:
        residual = watch.history[-1].residual
        _finished(problem, factors, watch, _NEAR)
        if watch.reason in _DONE or not residual < _NEAR:
            return
        # Too early: alternation goes on.
        factors, stuck = _nearer(problem, factors, watch, _FALLING * residual)
        if stuck:
            _revived(problem, factors, watch)
            return


def _revived(problem: Problem, factors: Factors, watch: Watch) -> None:
    """Put the leading components of the residual in the places of those that have died out.

    Near the limit the learned ridge may take a weak component of exact data for noise. Steps of
    Gauss-Newton have no ridge; the first ones raise the residual.
    """
    from lowapprox.completion.gauss_newton import gauss_newton
    from lowapprox.completion.tangent import Point

    point, residual = Point.of(factors), watch.history[-1].residual
    alive = point.s > _DEAD * residual * np.linalg.norm(point.s)
    dead = problem.rank - int(np.count_nonzero(alive))
    if not dead or residual > _NEAR or problem.observed.count * problem.rank > _LARGE:
        return
    left = Point(point.U[:, alive], point.s[alive], point.V[:, alive])
    factors, last = extended(problem, left.factors, dead), np.inf
    while residual < _FALLING * last or last == np.inf:
        attempt = watch.attempt(problem, _REVIVAL)
        factors = gauss_newton(problem, factors, attempt)
        last, residual = residual, watch.history[-1].residual
        if _ended(attempt, watch):
            return


def _ended(attempt: Watch, watch: Watch) -> bool:
    """Take over the end of an attempt, if it is none of its own."""
    if attempt.reason not in _DONE or (attempt.reason == "max_iter" and not _over(watch)):
        return False
    watch.reason, watch.best = attempt.reason, attempt.best
    return True


def searches(problem: Problem) -> bool:
    """Tell whether the problem is so small that exact fits are searched for and checked at length.

    No entries need to be held out then.
    """
    return problem.observed.count * problem.rank <= _SMALL


def _finished(problem: Problem, factors: Factors, watch: Watch, near: float) -> None:
    """Take steps of Gauss-Newton if they are likely to end soon."""
    last, residual = np.inf, watch.history[-1].residual
    if watch.reason in _DONE or not residual < near:
        return
    from lowapprox.completion.gauss_newton import gauss_newton

    # A few steps tell whether they converge; in a flat valley each costs much.
    while residual < _FALLING * last:
        attempt = watch.attempt(problem, _NEWTON)
        factors = gauss_newton(problem, factors, attempt)
        last, residual = residual, watch.history[-1].residual
        if _ended(attempt, watch):
            return


def _nearer(problem: Problem, factors: Factors, watch: Watch, goal: float) -> tuple[Factors, bool]:
    """Alternate until the residual has come down to a goal; return whether it did not."""
    alternation = Alternation(problem, factors)
    solver = gradients(problem, _STEPS + 1)
    residuals: list[float] = []
    while True:
        residual, change = alternation.sweep(solver)
        residuals.append(residual)
        if watch("als-cg", alternation.factors, residual=residual, change=change):
            return alternation.factors, watch.reason not in _DONE
        if residual < goal or fall(residuals, 3 * _SWEEPS) > _STUCK:
            return alternation.factors, residual >= goal


def _over(watch: Watch) -> bool:
    return len(watch.history) >= watch.problem.max_iter


def _alternated(alternation: Alternation, watch: Watch, patience: int | None) -> bool:
    """Alternate until the end, or something else may be better; return whether noise is left."""
    problem = alternation.problem
    solver = gradients(problem, _STEPS)
    residuals: list[float] = []
    noise = False
    while True:
        residual, change = alternation.sweep(solver)
        stopped = watch("als-cg", alternation.factors, residual=residual, change=change)
        residuals.append(residual)
        stuck = _slow(residuals) or fall(residuals, _SWEEPS) > _STUCK or watch.reason == "change"
        if stuck and not noise:
            noise = not _exact_perhaps(problem, alternation.factors, residual)
            if not noise:
                return False
            watch.patience = patience
        if stopped:
            return noise


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
