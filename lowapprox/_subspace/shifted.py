"""Subspace iteration with dynamic shifts.

References
----------
Halko, Martinsson, Tropp (2011), arXiv:0909.4061 (what the last product gives). Feng, Yu,
Xie, Tang (2024), arXiv:2404.09276 (dashSVD).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lowapprox._core.matrix import MatrixLike
from lowapprox._core.typing import Array
from lowapprox._subspace.algebra import Small, double
from lowapprox._subspace.orth import orthonormalize, random_rows, remove_span
from lowapprox._subspace.outside import left_by_images, left_outside

__all__ = ["Subspace", "shifted_iteration"]


@dataclass(frozen=True, slots=True)
class Subspace:
    """Ritz triplets of the last space, as rows (not conjugated).

    Either ``A V = U s`` and the residuals are measured, or, when the steps did not suffice,
    ``A^H U = V s`` and they are upper bounds.
    """

    U: Array
    s: Small
    V: Array
    residuals: Small
    converged: bool
    steps: int


def shifted_iteration(
    op: MatrixLike,
    rank: int,
    width: int,
    gen: np.random.Generator,
    goal: Callable[[Small], float],
    *,
    steps: int,
    fro2: float | None = None,
    report: Callable[[int, int, float, float], bool],
) -> Subspace:
    """Iterate ``Q <- orth((A^H A - alpha I) Q)`` with a growing shift.

    The shift stays below half of the smallest squared Ritz value, so that it only damps what is
    unwanted. Each step multiplies `width` columns by A and by its adjoint, whose products give the
    Ritz triplets and their residuals. After the last one the product with the adjoint gives better
    triplets, whose residuals are bounded through ``|A|_F^2``, if given, or an estimate.
    """
    n = op.shape[1]
    alpha, unit, left = 0.0, 1.0, 0.0
    start = orthonormalize(op, random_rows(op, width, n, gen), 0.0, gen)
    Q = start.rows
    step = 0
    while True:
        step += 1
        Y = op.mat(Q.T).T
        image = orthonormalize(op, Y, 0.0, gen)
        P, s, Wh = np.linalg.svd(image.factor.T)
        if step == 1:  # A^H A and its Gram matrix hold fourth powers of the values
            unit = 2.0 ** -int(np.frexp(s[0])[1])
            left = left_by_images(start.factor @ image.factor)
        V = op.from_numpy(Wh.conj()) @ Q
        U = op.from_numpy(P.T) @ image.rows
        # One product gives A^H A V = A^H (U s), the residuals and the next space.
        Z = op.rmat(U.T).T
        R = Z[:rank, :] - op.from_numpy(s[:rank, None]) * V[:rank, :]
        residuals = np.linalg.norm(double(op.to_numpy(R)), axis=1)
        residuals += op.eps * s[0] * np.sqrt(rank)
        target = goal(s[:rank])
        done = bool(residuals.max() <= target)
        stopped = report(step, 2 * step, float(residuals.max()), target)
        if done:
            return Subspace(U[:rank, :], s, V[:rank, :], residuals, done, step)
        if stopped or step >= steps:
            break
        Z = op.from_numpy(unit * s[:, None]) * (unit * Z) - alpha * V
        block = orthonormalize(op, Z, 0.0, gen)
        Q = block.rows
        smallest = float(np.linalg.svd(block.factor, compute_uv=False)[-1])
        if smallest > alpha:
            alpha = 0.5 * (alpha + smallest)
    back = orthonormalize(op, Z, 0.0, gen)
    P, s, Wh = np.linalg.svd(back.factor.T)
    U = op.from_numpy(Wh[:rank].conj()) @ U
    Z = op.from_numpy(P.T[:rank]) @ back.rows
    # A V' - U' s leaves the space of U, which holds A V: only what V' has outside V gets there.
    _, _, gram = remove_span(op, op.xp.asarray(Z, copy=True), V)
    left = left_outside(fro2, float((s**2).sum()), op.eps, left)
    residuals = left * np.sqrt(np.maximum(np.diagonal(gram).real, 0.0))
    residuals += op.eps * s[0] * np.sqrt(rank)
    return Subspace(U, s, Z, residuals, False, step)
