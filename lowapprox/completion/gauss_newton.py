"""The method of Gauss and Newton on the matrices of one rank, with Levenberg's damping."""

from __future__ import annotations

import numpy as np

from lowapprox._core.threads import blas_threads
from lowapprox.completion.observations import Host
from lowapprox.completion.problem import Factors, Problem, Watch
from lowapprox.completion.spectrum import spectral_start
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


def gauss_newton(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    """Fit a matrix of low rank by least squares linearized on the tangent space.

    The steps converge faster than linearly near an exact fit. A ridge acts as what it is for
    balanced factors, twice the sum of the singular values.

    References
    ----------
    Zilber, Nadler, GNMR: a provable one-line algorithm for low rank matrix recovery, SIMODS 4(2),
    2022, arXiv 2106.12933.
    """
    with blas_threads(1):
        return _gauss_newton(problem, start, watch)


def _gauss_newton(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    entries, ridge = Entries(problem.observed), problem.ridge or 0.0
    point = Point.of(start) if start else spectral_start(entries, problem.rank, problem.rng)
    residual = entries.values - entries.inner(point.U * point.s, point.V)
    loss = _loss(entries, residual, point, ridge)
    share, growth, tol = _DAMPING, 2.0, _CG_TOL
    while True:
        tangent = Tangent(entries, point.U, point.V)
        # It vanishes with the residual, which keeps the convergence faster than linear.
        damping = share * entries.density * entries.size(residual) / entries.norm
        x, predicted = _direction(tangent, point.s, residual, ridge, damping, tol)
        after = retract(tangent, point.s, x)
        left = entries.values - entries.inner(after.U * after.s, after.V)
        lower = _loss(entries, left, after, ridge)
        gain = (loss - lower) / max(predicted, 1e-300)
        if lower < loss:
            change = float(np.linalg.norm(x) / np.linalg.norm(after.s))
            tol = min(_CG_TOL, max(lower / loss, 1e-8))
            fell = loss - lower > _LOST * loss
            point, residual, loss = after, left, lower
            # Nielsen's rule: by the share of the predicted fall that came true.
            share *= max(0.1, 1 - (2 * gain - 1) ** 3)
            growth = 2.0
            size = entries.size(residual) / entries.norm
            if watch("gauss-newton", point.factors, residual=size, change=change) or not fell:
                break
        else:
            share, growth = share * growth, 2 * growth
            if growth > 1e6:
                break
    watch.reason = watch.reason or "stagnated"
    return point.factors


def _loss(entries: Entries, residual: Host, point: Point, ridge: float) -> float:
    return entries.size(residual) ** 2 + 2 * ridge * float(point.s.sum())


def _direction(
    tangent: Tangent, s: Host, residual: Host, ridge: float, damping: float, tol: float
) -> tuple[Host, float]:
    """Return the damped step, and by how much the linear model says the loss falls."""
    # A weak component may move little before the tangent space bends away from it.
    scaled = np.sqrt(damping) * s[0] / np.maximum(s, 1e-12 * s[0])
    core, off = np.outer(scaled, scaled), np.sqrt(damping) * scaled
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
