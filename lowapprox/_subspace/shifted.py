"""Subspace iteration with dynamic shifts.

References
----------
Feng, Yu, Xie, Tang (2024), arXiv:2404.09276 (dashSVD).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lowapprox._core.matrix import MatrixLike
from lowapprox._core.typing import Array
from lowapprox._subspace.algebra import Small, double
from lowapprox._subspace.orth import orthonormalize, random_rows

__all__ = ["Subspace", "shifted_iteration"]


@dataclass(frozen=True, slots=True)
class Subspace:
    """Ritz triplets of the last space, as rows (not conjugated)."""

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
    report: Callable[[int, int, float, float], bool],
) -> Subspace:
    """Iterate ``Q <- orth((A^H A - alpha I) Q)`` with a growing shift.

    The shift stays below half of the smallest squared Ritz value, so that it only damps what is
    unwanted. Each step multiplies `width` columns by A and by its adjoint, whose products give the
    Ritz triplets and their residuals.
    """
    n = op.shape[1]
    alpha, unit = 0.0, 1.0
    Q = orthonormalize(op, random_rows(op, width, n, gen), 0.0, gen).rows
    done = False
    step = 0
    while True:
        step += 1
        Y = op.mat(Q.T).T
        image = orthonormalize(op, Y, 0.0, gen)
        P, s, Wh = np.linalg.svd(image.factor.T)
        if step == 1:  # A^H A and its Gram matrix hold fourth powers of the values
            unit = 2.0 ** -int(np.frexp(s[0])[1])
        V = op.from_numpy(Wh.conj()) @ Q
        U = op.from_numpy(P.T) @ image.rows
        # One product gives A^H A V = A^H (U s), the residuals and the next space.
        Z = op.rmat(U.T).T
        R = Z[:rank, :] - op.from_numpy(s[:rank, None]) * V[:rank, :]
        residuals = np.linalg.norm(double(op.to_numpy(R)), axis=1)
        residuals += op.eps * s[0] * np.sqrt(rank)
        target = goal(s[:rank])
        done = bool(residuals.max() <= target)
        if report(step, 2 * step, float(residuals.max()), target) or done or step >= steps:
            break
        Z = op.from_numpy(unit * s[:, None]) * (unit * Z) - alpha * V
        block = orthonormalize(op, Z, 0.0, gen)
        Q = block.rows
        smallest = float(np.linalg.svd(block.factor, compute_uv=False)[-1])
        if smallest > alpha:
            alpha = 0.5 * (alpha + smallest)
    return Subspace(U[:rank, :], s, V[:rank, :], residuals, done, step)
