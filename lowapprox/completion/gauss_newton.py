"""The method of Gauss and Newton on the matrices of one rank, with Levenberg's damping."""

from __future__ import annotations

import numpy as np

from lowapprox.completion.apart import apart
from lowapprox.completion.increment import extended, rested
from lowapprox.completion.observations import Host
from lowapprox.completion.problem import Factors, Problem, Watch
from lowapprox.completion.spectrum import zero_fit
from lowapprox.completion.tangent import (
    Blocks,
    Entries,
    Point,
    Tangent,
    conjugate_gradients,
    retract,
)

__all__ = ["gauss_newton"]

_DAMPING = 1.0  # relative to the density, which is the mean eigenvalue, times the residual's share
_CG_TOL, _CG_STEPS = 1e-2, 500
_LOST = 1e-15  # relative fall of the objective that is rounding
_SLOW, _SLOW_STEPS = 1e-7, 20  # relative fall of the objective, and steps of it, that lead nowhere
_GIVEN_UP = 1e6  # growth of the damping in steps that raise the objective
_FEW = 4  # steps at a rank before the last


@apart("gauss-newton")
def gauss_newton(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    """Fit a matrix of low rank by least squares linearized on the tangent space.

    The steps converge faster than linearly near an exact fit. Without a start the rank grows from
    one, by the leading component of the residual: from all components at once, weak ones beside
    strong ones would be lost. A ridge acts as what it is for balanced factors, twice the sum of
    the singular values.

    References
    ----------
    Zilber, Nadler, GNMR: a provable one-line algorithm for low rank matrix recovery, SIMODS 4(2),
    2022, arXiv 2106.12933.
    """
    entries = Entries(problem.observed)
    if not entries.norm:
        return zero_fit(problem, "gauss-newton", watch)
    m, n = entries.shape
    factors = start or Factors(np.empty((m, 0)), np.empty((n, 0)))
    while True:
        if factors.rank < problem.rank:
            factors = extended(problem, factors, 1)
        full = factors.rank >= problem.rank
        factors = _fitted(problem, entries, Point.of(factors), watch, None if full else _FEW)
        if full or (watch.reason and not rested(watch, factors)):
            return factors


def _fitted(
    problem: Problem, entries: Entries, point: Point, watch: Watch, steps: int | None
) -> Factors:
    """Run to the end, or for some steps."""
    ridge = problem.ridge or 0.0
    residual = entries.values - entries.inner(point.U * point.s, point.V)
    loss = _loss(entries, residual, point, ridge)
    share, growth, tol, done, slow = _DAMPING, 2.0, _CG_TOL, 0, 0
    while growth < _GIVEN_UP and done != steps:
        tangent = Tangent(entries, point.U, point.V)
        # It vanishes with the residual, which keeps the convergence faster than linear.
        part = entries.relative(residual)
        damping = share * part * entries.density
        scaled = point.s[0] / np.maximum(point.s, 1e-12 * point.s[0])
        # A weak component may move little before the tangent space bends away from it.
        weights = damping * part * np.outer(scaled, scaled), damping * scaled
        x, predicted = _direction(tangent, point.s, residual, ridge, weights, tol)
        after = retract(tangent, point.s, x)
        left = entries.values - entries.inner(after.U * after.s, after.V)
        lower = _loss(entries, left, after, ridge)
        if not lower < loss:
            share, growth = share * growth, 2 * growth
            continue
        fell = loss - lower > _LOST * loss
        slow = slow + 1 if loss - lower < _SLOW * loss else 0
        tol = min(_CG_TOL, max(lower / loss, 1e-8))
        # Nielsen's rule: by the share of the predicted fall that came true.
        gain = (loss - lower) / max(predicted, 1e-300)
        share, growth, done = share * max(0.1, 1 - (2 * gain - 1) ** 3), 2.0, done + 1
        # Where nothing is observed the product may be large, so that all else looks like rest.
        whole = min(float(np.linalg.norm(after.s)), entries.norm / np.sqrt(entries.density))
        change = float(np.linalg.norm(x)) / whole if steps is None else np.nan
        point, residual, loss = after, left, lower
        size = entries.relative(residual)
        if watch("gauss-newton", point.factors, residual=size, change=change):
            return point.factors
        if not fell or slow == _SLOW_STEPS:
            break
    if steps is None:
        if not done:  # from the start no step leads down
            watch("gauss-newton", point.factors, residual=entries.relative(residual))
        watch.reason = watch.reason or "stagnated"
    return point.factors


def _loss(entries: Entries, residual: Host, point: Point, ridge: float) -> float:
    return entries.size(residual) ** 2 + 2 * ridge * float(point.s.sum())


def _direction(
    tangent: Tangent,
    s: Host,
    residual: Host,
    ridge: float,
    damping: tuple[Host, Host],
    tol: float,
) -> tuple[Host, float]:
    """Return the damped step, and by how much the linear model says the loss falls."""
    core, off = damping
    weight = np.empty(tangent.size)
    A, C, B = tangent.parts(weight)
    A[...], C[...], B[...] = core, off, off
    plain = weight.copy()
    # The sum of the singular values has the gradient U V^T, and bends only off the core.
    off = off + ridge / np.maximum(s, 1e-300)
    C[...], B[...] = off, off
    gradient = tangent.adjoint(residual)
    tangent.parts(gradient)[0][...] -= ridge * np.eye(tangent.rank)

    def apply(x: Host) -> Host:
        return tangent.normal(x) + weight * x

    x, _ = conjugate_gradients(
        apply,
        gradient,
        np.zeros(tangent.size),
        Blocks(tangent, off, core),
        tangent.cleaned,
        tol=tol,
        steps=_CG_STEPS,
    )
    x = tangent.cleaned(x)
    return x, float(2 * gradient @ x - x @ (apply(x) - plain * x))
