"""Gradient descent that does not feel the condition number, with an exact line search."""

from __future__ import annotations

import numpy as np

from lowapprox.completion.apart import apart
from lowapprox.completion.observations import Host
from lowapprox.completion.problem import Factors, Problem, Watch
from lowapprox.completion.spectrum import spectral_start, zero_fit
from lowapprox.completion.tangent import Entries, Point

__all__ = ["scaled_gd"]

_REFRESH = 20  # steps after which the residual is computed anew, for its rounding


@apart("scaled-gd")
def scaled_gd(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    """Descend along the gradients of both factors, each scaled by the Gram matrix of the other.

    The loss along a direction is a polynomial of degree four, whose least value is found exactly.

    References
    ----------
    Tong, Ma, Chi, Accelerating ill-conditioned low-rank matrix estimation via scaled gradient
    descent, JMLR 22, 2021, arXiv 2005.08898.
    """
    entries, ridge = Entries(problem.observed), problem.ridge or 0.0
    if not entries.norm:
        return zero_fit(problem, "scaled-gd", watch)
    point = Point.of(start) if start else spectral_start(entries, problem.rank, problem.rng)
    L, R = point.factors.U, point.factors.V
    # Where nothing is observed the product may be large, so that all else looks like rest.
    expected = entries.norm**2 / entries.density
    z = np.empty(0)
    while True:
        if len(watch.history) % _REFRESH == 0 or not z.size:
            z = entries.inner(L, R) - entries.values
        wz = entries.weighted(z)
        dL = _scaled(entries.mat(wz, R) + ridge * L, R, ridge / entries.density)
        dR = _scaled(entries.rmat(wz, L) + ridge * R, L, ridge / entries.density)
        along = entries.inner(np.hstack([dL, L]), np.hstack([R, dR]))
        beyond = entries.inner(dL, dR)
        cost = ridge * np.array([_dot(dL, dL) + _dot(dR, dR), -2 * (_dot(L, dL) + _dot(R, dR))])
        h = _best_step(z, along, beyond, entries, cost)
        size = min(_tangent_norm2(L, R, L, 0 * R), expected)
        change = h * np.sqrt(_tangent_norm2(L, R, dL, dR) / size)
        L, R = L - h * dL, R - h * dR
        z += h * (h * beyond - along)
        residual = entries.relative(z)
        if watch("scaled-gd", Factors(L, R), residual=residual, change=change):
            return Factors(L, R)


def _dot(X: Host, Y: Host) -> float:
    return float(np.vdot(X, Y))


def _scaled(gradient: Host, other: Host, ridge: float) -> Host:
    """Return the gradient times the inverse Gram matrix of the other factor, plus a ridge."""
    gram = other.T @ other
    gram += (ridge + 1e-14 * np.trace(gram) + 1e-300) * np.eye(gram.shape[0])
    scaled: Host = np.linalg.solve(gram, gradient.T).T
    return scaled


def _best_step(z: Host, along: Host, beyond: Host, entries: Entries, cost: Host) -> float:
    """Return the least point h > 0 of ``|z - h along + h^2 beyond|^2`` plus the cost of a ridge."""
    wa, wb = entries.weighted(along), entries.weighted(beyond)
    curve = [beyond @ wb, -2 * (along @ wb), along @ wa + 2 * (z @ wb), -2 * (z @ wa), 0.0]
    curve[2] += cost[0]
    curve[3] += cost[1]
    roots = np.roots(np.polyder(np.array(curve)))
    real = roots.real[(abs(roots.imag) <= 1e-8 * abs(roots)) & (roots.real > 0)]
    # The direction is one of descent, so there is a root; rounding at the end may lose it.
    return float(min(real, key=lambda h: np.polyval(curve, h), default=0.0))


def _tangent_norm2(L: Host, R: Host, dL: Host, dR: Host) -> float:
    """Return the squared norm of ``dL @ R.T + L @ dR.T``."""
    both = 2 * np.sum((L.T @ dL) * (dR.T @ R))
    return float(np.sum((dL.T @ dL) * (R.T @ R)) + np.sum((L.T @ L) * (dR.T @ dR)) + both)
