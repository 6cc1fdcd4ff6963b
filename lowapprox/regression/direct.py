"""QR of the matrix and the right-hand sides together, tile by tile; no Q is kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox.regression.outcome import Check, Outcome
from lowapprox.regression.spread import Spread
from lowapprox.regression.system import Host, System, blocks
from lowapprox.regression.triangle import BackwardError, Triangle, lapack, triangle_of

__all__ = ["direct"]

_GROUPS = 16  # ranges of rows with triangles of their own
_NARROW = 400  # columns, up to which LAPACK is fastest with panels of 16 and a triangle on top
_PANEL = 16


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
        return Outcome(Check(bad, nothing, bad, nothing), triangle, np.nan, 0, finite=False)
    measure = BackwardError(triangle, b_norms)
    condition = triangle.condition(np.random.Generator(np.random.PCG64(0)))
    rank = d
    X = triangle.solve(C) if condition < 0.1 / rcond else None
    if X is None:
        X, rank, condition = triangle.minimum_norm(C, rcond)
    found = Check.of(system, X, measure)
    if rank == d and not (found.error <= target).all():
        step = triangle.solve(triangle.solve_adjoint(found.G))
        found = found.better(Check.of(system, X + step, measure))
    spread = Spread(factor, system.ridge, rcond, rank, system.count)
    return Outcome(found, triangle, condition, rank, spread=spread)


def factored(system: System) -> Host:
    """Return the R of the QR factorization of ``[A, b]``, in one pass."""
    system.passes += 1
    n, d = system.shape
    width = d + system.b.shape[1]
    rows = max(4 * width, 512)
    bounds = blocks(n, min(_GROUPS, max(1, n // (24 * width))), rows)
    triangles: list[Any] = [None] * (len(bounds) - 1)

    fold = _fold_in_place if width <= _NARROW and n >= width else _fold

    def work(i: int) -> None:
        found = np.zeros((0, width), system.dtype)
        for start in range(bounds[i], bounds[i + 1], rows):
            stop = min(start + rows, bounds[i + 1])
            found = fold(found, system, start, stop)
        triangles[i] = found

    system.run(work, len(triangles))
    return triangles[0] if len(triangles) == 1 else triangle_of(np.concatenate(triangles))


def _fold(found: Host, system: System, start: int, stop: int) -> Host:
    """Return the triangle of the rows so far and of a tile."""
    top = found.shape[0]
    M = np.empty((top + stop - start, found.shape[1]), system.dtype, order="F")
    M[:top] = found
    _write_tile(M[top:], system, start, stop)
    return triangle_of(M)


def _fold_in_place(found: Host, system: System, start: int, stop: int) -> Host:
    """Do the same without touching the zeros below the triangle, which pays for few columns."""
    width = found.shape[1]
    if found.shape[0] == 0:
        found = np.zeros((width, width), system.dtype, order="F")
    M = np.empty((stop - start, width), system.dtype, order="F")
    _write_tile(M, system, start, stop)
    tpqrt = lapack("tpqrt", M)
    R: Host = tpqrt(0, min(_PANEL, width), found, M, overwrite_a=True, overwrite_b=True)[0]
    return R


def _write_tile(M: Host, system: System, start: int, stop: int) -> None:
    d = system.shape[1]
    M[:, :d] = system.tile(start, stop)
    M[:, d:] = system.tile_b(start, stop)
