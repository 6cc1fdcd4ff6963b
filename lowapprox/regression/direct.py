"""QR of the matrix and the right-hand sides together, tile by tile; no Q is kept."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lowapprox.regression.folding import fold
from lowapprox.regression.outcome import Check, Outcome
from lowapprox.regression.spread import Spread
from lowapprox.regression.system import Host, System, blocks
from lowapprox.regression.triangle import BackwardError, Triangle, triangle_of
from lowapprox.sketching.tensor import LazyProduct

__all__ = ["compressed_rows", "direct", "factored"]

_GROUPS = 16  # ranges of rows with triangles of their own
_TILE_ROWS = 800  # at least: a tile stays in the cache, and takes longer than the call for it


def direct(system: System, rcond: float, b_norms: Host, target: float) -> Outcome:
    """Solve by a QR factorization, and correct the solution once where that improves it.

    The correction uses R alone (semi-normal equations) and can hurt when the condition number
    squared times the residual is large: the better one of the two is returned.
    """
    d, k = system.shape[1], system.b.shape[1]
    with np.errstate(all="ignore"):
        R = factored(system)
        factor = R[: min(R.shape[0], d), :d].copy()
        if system.ridge:
            R = triangle_of(np.concatenate([R, np.sqrt(system.ridge) * np.eye(d, R.shape[1])]))
    r = min(R.shape[0], d)
    triangle = Triangle(R[:r, :d])
    C = R[:r, d:]
    if not np.isfinite(R).all():
        bad = np.full((d, k), np.nan, R.dtype)
        nothing = np.full(k, np.nan)
        return Outcome(Check(bad, nothing, bad, nothing), triangle.D, np.nan, 0, finite=False)
    measure = BackwardError(triangle, b_norms)
    condition = triangle.condition(np.random.Generator(np.random.PCG64(0)))
    rank = d
    with np.errstate(all="ignore"):
        X = triangle.solve(C) if condition * rcond < 0.1 else None
        if X is None:
            X, rank, condition = triangle.minimum_norm(C, rcond)
        found = Check.of(system, X, measure)
        if rank == d and not (found.error <= target).all():
            step = triangle.solve(triangle.solve_adjoint(found.G))
            found = found.better(Check.of(system, X + step, measure))
    spread = Spread(factor, system.ridge, rcond, rank, system.count)
    return Outcome(found, triangle.D, condition, rank, spread=spread)


def factored(system: System) -> Host:
    """Return the R of the QR factorization of ``[A, b]``, in one pass."""
    system.passes += 1
    n, d = system.shape
    width = d + system.b.shape[1]
    op, plain = system.op, system.weights is None
    if isinstance(op, LazyProduct) and plain and 2 * compressed_rows(op) <= n:
        Q, P = op.compressed()
        return factored(System(P, Q.rmat(system.b), None, 0.0))
    if n < width:
        return triangle_of(_tile(system, 0, n))
    rows = max(width, _TILE_ROWS)
    bounds = blocks(n, min(_GROUPS, max(1, n // (24 * width))), rows)
    triangles: list[Any] = [None] * (len(bounds) - 1)

    def work(i: int) -> None:
        R: Host = np.zeros((width, width), system.dtype, order="F")
        for start in range(bounds[i], bounds[i + 1], rows):
            fold(R, _tile(system, start, min(start + rows, bounds[i + 1])))
        triangles[i] = R

    system.run(work, len(triangles))
    for R in triangles[1:]:
        fold(triangles[0], R, width)
    return np.triu(triangles[0])


def compressed_rows(op: LazyProduct) -> int:
    """Return the rows of a product that are left when its factors have been factored."""
    return math.prod(min(factor.shape) for factor in op.factors)


def _tile(system: System, start: int, stop: int) -> Host:
    """Return rows of ``[A, b]`` by columns, which may be written to."""
    d, k = system.shape[1], system.b.shape[1]
    M: Host = np.empty((stop - start, d + k), system.dtype, order="F")
    M[:, :d] = system.tile(start, stop)
    M[:, d:] = system.tile_b(start, stop)
    return M
