"""Solutions of least norm for operators with fewer rows than columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lowapprox.regression.outcome import Check, Outcome
from lowapprox.regression.preconditioned import sketch_rows
from lowapprox.regression.system import Host, System, squares_of
from lowapprox.regression.triangle import Triangle, triangle_of

__all__ = ["wide"]

_U = float(np.finfo(float).eps)
_HOPELESS = 0.1  # of 1 / rcond, from which singular values are looked at one by one
_SWEEPS = 5
_MOST_STEPS = 100


def wide(
    system: System,
    rcond: float,
    b_norms: Host,
    target: float,
    gen: np.random.Generator,
    report: Callable[[int, int, float, float], bool],
) -> Outcome:
    """Solve ``(A A^H + ridge I) y = b`` for ``x = A^H y`` by preconditioned conjugate gradients.

    The preconditioner is the triangle of a sketch of ``A^H``. The residual is recomputed and
    corrected until it stagnates.
    """
    from lowapprox.sketching import SparseSign

    n, d = system.shape
    S = SparseSign(sketch_rows(d, n), d, zeta=4, rng=gen)
    with np.errstate(all="ignore"):
        R = triangle_of(_sketch_of_rows(system, S).conj().T)
        size = float(np.hypot(np.linalg.norm(R), np.sqrt(system.ridge * d)))
        if system.ridge:
            R = triangle_of(np.concatenate([R, np.sqrt(system.ridge) * np.eye(n)]))
        full = Triangle(R)
        condition = full.condition(gen) if np.isfinite(R).all() else np.nan
        triangle: Triangle | _Cut = full
        if condition * rcond > _HOPELESS:
            triangle = _Cut(R, rcond)
            condition = triangle.condition
        measure = _Bound(size, b_norms, system.ridge)
        best = Check.of(system, np.zeros((d, system.b.shape[1]), system.dtype), measure)
        Y: Host = np.zeros((n, system.b.shape[1]), system.dtype)
        steps = 0
        for _ in range(_SWEEPS):
            if (best.error <= target).all() or not np.isfinite(best.error).any():
                break
            residual = system.tile_b(0, n) - _times(system, best.X) - system.ridge * Y
            dY, count = _conjugate_gradients(system, triangle, residual)
            steps += count
            found = Check.of(system, best.X + _times_adjoint(system, dY), measure)
            gained = (found.error <= best.error / 2.0).any()
            wins = found.error < best.error
            Y, best = np.where(wins, Y + dY, Y), best.better(found)
            stop = report(steps, system.passes, float(best.error.max()), target)
            if stop or not gained:
                break
    return Outcome(best, np.ones(d), condition, triangle.rank, steps)


def _conjugate_gradients(
    system: System, triangle: Triangle | _Cut, residual: Host
) -> tuple[Host, int]:
    """Solve for a correction of y."""
    Q = triangle.solve_adjoint(residual)
    P, Z = Q.copy(), np.zeros_like(Q)
    rs = first = squares_of(Q)
    k = 0
    while k < _MOST_STEPS and (rs > 1e-26 * first).any():
        k += 1
        step = triangle.solve(P)
        product = _times(system, _times_adjoint(system, step)) + system.ridge * step
        image = triangle.solve_adjoint(product)
        curvature = np.einsum("ij,ij->j", P.conj(), image).real
        moving = (curvature > 0.0) & (rs > 1e-26 * first)
        alpha = np.divide(rs, curvature, out=np.zeros_like(rs), where=moving)
        Z += alpha * P
        Q = Q - alpha * image
        fresh = squares_of(Q)
        P = Q + np.divide(fresh, rs, out=np.zeros_like(rs), where=moving) * P
        rs = fresh
        if not moving.any():
            break
    return triangle.solve(Z), k


class _Cut:
    """A triangle without its small singular values, and without scaling.

    What is left of the residual is then orthogonal to the range of A, as it has to be where not
    all equations can be fulfilled.
    """

    def __init__(self, R: Host, rcond: float) -> None:
        _, s, Vh = np.linalg.svd(R)
        self.rank = int((s > rcond * s[0]).sum())
        self.condition = float(s[0] / s[self.rank - 1]) if self.rank else 1.0
        self._s, self._Vh = s[: self.rank, None], Vh[: self.rank]

    def solve(self, C: Host) -> Host:
        """Apply a right inverse of the triangle."""
        solved: Host = self._Vh.conj().T @ (C / self._s)
        return solved

    def solve_adjoint(self, G: Host) -> Host:
        """Apply the adjoint of that map."""
        solved: Host = self._Vh @ G / self._s
        return solved


class _Bound:
    """An upper bound of the backward error, relative to ``|A|_F``, without scaling of columns.

    Of two changes of the problem that make x exact the smaller one: of A and b so that x fulfils
    all equations, and of A alone so that the residual is orthogonal to its range.

    References
    ----------
    .. [1] Rigal, Gaches (1967), "On the compatibility of a given solution with the data of a
       linear system", doi:10.1145/321406.321416.
    """

    def __init__(self, size: float, b_norms: Host, ridge: float) -> None:
        self._size, self._b_norms, self._ridge = size, b_norms, ridge

    def __call__(self, X: Host, squares: Host, G: Host) -> Host:
        with np.errstate(all="ignore"):
            residual = np.sqrt(squares)
            gradient = np.linalg.norm(G, axis=0)
            orthogonal = np.where(gradient == 0.0, 0.0, gradient / (self._size * residual))
            if self._ridge:  # its rows are never fulfilled
                return orthogonal
            lengths = self._size * np.linalg.norm(X, axis=0)
            fulfilled = residual / np.hypot(lengths, self._b_norms)
            bound: Host = np.fmin(orthogonal, fulfilled)
            return bound


def _sketch_of_rows(system: System, S: Any) -> Host:
    """Return ``W^(1/2) A S^H``, by products with some columns at a time."""
    m, d = S.shape
    step = max(8, (1 << 22) // d)
    parts = [_times(system, S.H @ np.eye(m, min(step, m - i), -i)) for i in range(0, m, step)]
    return np.concatenate(parts, axis=1)


def _times(system: System, X: Host) -> Host:
    system.passes += 1
    product: Host = system.op.mat(X.astype(np.result_type(X, system.op.dtype), copy=False))
    return product if system.weights is None else product * np.sqrt(system.weights)[:, None]


def _times_adjoint(system: System, Y: Host) -> Host:
    system.passes += 1
    if system.weights is not None:
        Y = Y * np.sqrt(system.weights)[:, None]
    product: Host = system.op.rmat(Y.astype(np.result_type(Y, system.op.dtype), copy=False))
    return product
