"""Iteratively reweighted least squares for matrices of low rank, near the limit of few entries."""

from __future__ import annotations

import numpy as np

from lowapprox.completion.apart import apart
from lowapprox.completion.observations import Host
from lowapprox.completion.problem import Factors, Problem, Watch
from lowapprox.completion.spectrum import Sum, leading, zero_fit
from lowapprox.completion.tangent import Blocks, Entries, Point, Tangent, conjugate_gradients

__all__ = ["irls", "reweighted"]

_DAMPING = 0.85
_CG_TOL, _CG_STEPS = 1e-2, 500
_KRYLOV = 3, 5  # columns of a block, and blocks, that find the first value beyond the rank
_ROUNDING = 1e-16
_PATIENCE = 12  # steps without a fall of the smoothing before it is given up


@apart("irls")
def irls(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    """Find a matrix of low rank through the observed entries by MatrixIRLS, corrected.

    Every step minimizes a quadratic bound of the sum of ``log max(s_i, eps)`` over all matrices
    with the observed values; eps falls to the first singular value beyond the rank, but by no more
    than a fixed factor: a component that the iterate does not hold yet at its full size would be
    taken for noise otherwise, and stay lost. A ridge and weights have no part in it.

    References
    ----------
    Kümmerle, Mayrink Verdun, A scalable second order method for ill-conditioned matrix completion
    from few samples, ICML 2021, arXiv 2106.02119.
    """
    return reweighted(problem, start, watch, damping=_DAMPING)


def reweighted(
    problem: Problem,
    start: Factors | None,
    watch: Watch,
    *,
    damping: float,
    smoothing: float = 0.0,
) -> Factors:
    """Run the iteration; `damping` bounds the fall of the smoothing in one step, 0 does not.

    A start is left behind at a `smoothing` relative to its last singular value.
    """
    entries, rank = Entries(problem.observed, weighted=False), problem.rank
    if not entries.norm:
        return zero_fit(problem, "irls", watch)
    iterate = Sum(entries, entries.values, None)
    if start is not None:
        iterate = Sum(entries, entries.values - entries.inner(start.U, start.V), start)
    cold = np.empty((entries.shape[1], 0))
    U, s, V = leading(iterate, cold, rank + 1, (rank + 1, 10), problem.rng)
    eps = max(_beyond(s, rank), smoothing * s[rank - 1], _ROUNDING * s[0])
    best, since = np.inf, 0
    while True:
        # Components below the smoothing have no weight of their own.
        k = max(int(np.count_nonzero(s[:rank] > eps * (1 + 1e-10))), 1)
        tangent = Tangent(entries, U[:, :k], V[:, :k])
        x = _step(iterate, tangent, s[:k], eps)
        L, R = tangent.factors(x)
        product = Factors(L.copy(), R.copy())
        iterate = Sum(entries, entries.values - tangent.forward(x), product)
        # The tangent vector spans one exact power step, so that Krylov vectors are needed only for
        # the first value beyond the rank.
        warm = np.hstack([R, V[:, k:]])
        U, s, V = leading(iterate, warm, rank + 1, _KRYLOV, problem.rng)
        eps = max(min(eps, _beyond(s, rank)), damping * eps, _ROUNDING * s[0])
        point = Point(U[:, :rank], s[:rank], V[:, :rank])
        gap = entries.values - entries.inner(point.U * point.s, point.V)
        if watch("irls", point.factors, residual=entries.relative(gap)):
            return point.factors
        since = 0 if eps < 0.99 * best else since + 1
        best = min(best, eps)
        if since >= _PATIENCE or eps <= 10 * _ROUNDING * s[0]:
            watch.reason = "stagnated"
            return point.factors


def _beyond(s: Host, rank: int) -> float:
    """Return the first singular value beyond the rank; a matrix of full rank has none."""
    return float(s[rank]) if s.size > rank else 0.0


def _step(iterate: Sum, tangent: Tangent, s: Host, eps: float) -> Host:
    """Return the tangent vector of the least weighted norm's solution, from the last iterate."""
    entries = tangent.entries
    tiny = 1e-12
    core = eps**2 / np.maximum(np.outer(s, s) - eps**2, tiny * eps**2)
    off = eps / np.maximum(s - eps, tiny * eps)
    weight = np.empty(tangent.size)
    A, C, B = tangent.parts(weight)
    A[...], C[...], B[...] = core, off, off

    def apply(x: Host) -> Host:
        return tangent.normal(x) + weight * x

    x = tangent.projected(iterate.mat(tangent.V), iterate.rmat(tangent.U))
    residual = tangent.cleaned(tangent.adjoint(entries.values) - apply(x))
    x, _ = conjugate_gradients(
        apply,
        residual,
        x,
        Blocks(tangent, off, core),
        tangent.cleaned,
        tol=_CG_TOL,
        steps=_CG_STEPS,
    )
    return tangent.cleaned(x)
