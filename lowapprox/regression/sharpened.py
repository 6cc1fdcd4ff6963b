"""Randomized Cholesky QR: a sketch, and the Gram matrix of what its triangle leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowapprox.regression.preconditioned import Start
from lowapprox.regression.routines import add_gram, times_triangle
from lowapprox.regression.spread import Spread, root_of
from lowapprox.regression.system import Host, System, blocks
from lowapprox.regression.triangle import BackwardError, Triangle, Truncated, lapack, triangle_of

__all__ = ["rows_to_sharpen", "sharpened"]

_SINGLE, _U = (float(np.finfo(t).eps) for t in (np.float32, float))
_ROWS, _MORE_ROWS = 3, 12  # of the sketch: a condition number of about 4 is left
_TILE_ROWS, _TILE_ENTRIES = 512, 1 << 17


def rows_to_sharpen(n: int, d: int) -> int:
    """Return the rows of a sketch whose triangle is to be sharpened."""
    return max(min(_ROWS * d + _MORE_ROWS, n), 4) // 4 * 4


def sharpened(system: System, start: Start, b_norms: Host) -> Start | None:
    """Replace the triangle R of a sketch by one that is nearly that of the matrix.

    It is ``C R`` with the Cholesky factor C of ``R^-H A^H A R^-1``. ``A R^-1`` is well conditioned
    where the sketch keeps lengths up to a factor, and its rows are accurate up to machine epsilon
    times the condition number of A; so its Gram matrix needs no more than single precision. In
    one pass. Returns None where the Cholesky factor does not exist.

    References
    ----------
    .. [1] Balabanov (2022), "Randomized Cholesky QR factorizations", arXiv:2210.09953.
    .. [2] Garrison, Ipsen (2024), "A randomized preconditioned Cholesky-QR algorithm",
       arXiv:2406.11751.
    """
    triangle, ridge = start.triangle, system.ridge
    with np.errstate(all="ignore"):
        inverse = lapack("trtri", triangle.R)(triangle.R)[0] / triangle.D[:, None]
        gram = _gram(system, inverse)
        whole = gram + ridge * (inverse.conj().T @ inverse) if ridge else gram
        if not np.isfinite(whole).all():
            return None
        try:
            C = np.linalg.cholesky(whole).conj().T
        except np.linalg.LinAlgError:
            return None
        sharp = _Sharp(C, inverse, triangle)
        factor = sharp.R * sharp.D
        if ridge:
            factor = triangle_of(root_of(gram) @ triangle.R * triangle.D)
    spread = Spread(factor, ridge, 0.0, system.shape[1], system.count)
    spread = replace(spread, error=10.0 * (_SINGLE + _U * start.condition))
    measure = BackwardError(sharp, b_norms)
    return replace(start, triangle=sharp, measure=measure, spread=spread)


class _Sharp(Triangle):
    """The triangle ``C R``, applied by what the Gram matrix was made of.

    The inverse of R is computed with errors of machine epsilon times its condition number, which
    a solution with R would not have.
    """

    def __init__(self, C: Host, inverse: Host, triangle: Triangle | Truncated) -> None:
        super().__init__((C @ triangle.R) * triangle.D)
        self._inverse, self._C = inverse, np.asfortranarray(C)

    def solve(self, C: Host) -> Host:
        """Return ``(C R D)^-1 C``."""
        solved: Host = self._inverse @ self._trtrs(self._C, C)[0]
        return solved

    def solve_adjoint(self, G: Host) -> Host:
        """Return ``(C R D)^-H G``."""
        solved: Host = self._trtrs(self._C, self._inverse.conj().T @ G, trans=2)[0]
        return solved


def _gram(system: System, E: Host) -> Host:
    """Return ``(A E)^H W (A E)`` for a triangle E; rows in double, products in single precision."""
    system.passes += 1
    n, d = system.shape
    E = np.asfortranarray(E, system.dtype)
    single = np.complex64 if system.dtype.kind == "c" else np.float32
    rows = max(_TILE_ROWS, _TILE_ENTRIES // max(d, 1))
    # Sums apart take at most a twenty-fifth of the memory of A.
    bounds = blocks(n, max(2, min(16, n // (25 * max(d, 1)))), rows)
    grams: Host = np.zeros((len(bounds) - 1, d, d), single)

    def work(i: int) -> None:
        tile: Host = np.empty((rows, d), system.dtype)
        low: Host = np.empty((rows, d), single)
        for start in range(bounds[i], bounds[i + 1], rows):
            count = min(rows, bounds[i + 1] - start)
            tile[:count] = system.tile(start, start + count)
            times_triangle(tile[:count], E)
            low[:count] = tile[:count]
            add_gram(low[:count], grams[i].T)

    system.run(work, len(bounds) - 1)
    G = np.triu(grams.sum(axis=0, dtype=system.dtype).T)
    whole: Host = G.conj() + np.triu(G, 1).T
    return whole
