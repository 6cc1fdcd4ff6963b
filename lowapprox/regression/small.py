"""Small problems: the refined solution of the normal equations, in few calls of NumPy."""

from __future__ import annotations

import numpy as np

from lowapprox.regression.outcome import Check, Outcome
from lowapprox.regression.spread import Spread
from lowapprox.regression.system import Rows, System

__all__ = ["small"]

_ENTRIES = 1 << 21
_COLUMNS = 256
_CONDITION = 1e5  # below it, two corrections reach the accuracy of the best methods
_SAFE = 1e100  # sizes of columns whose squares are far from the limits
_STEPS = 4


def small(system: System, b_norm: float, target: float, rcond: float) -> Outcome | None:
    """Solve by the eigenvalues of ``A^T A``, which give the backward errors too, and correct.

    Returns None for what is not small, real, without ridge, of one right-hand side and well
    conditioned, also by what `rcond` says, and where the corrections do not reach the target.
    """
    n, d = system.shape
    suits = isinstance(system, Rows) and system.dtype.kind == "f" and system.b.shape[1] == 1
    if not suits or system.ridge or n < 2 * d or d > _COLUMNS or n * d > _ENTRIES:
        return None
    A, b = system.tile(0, n), system.tile_b(0, n)[:, 0]
    system.passes += 1
    with np.errstate(all="ignore"):
        G, g = A.T @ A, A.T @ b
        D = np.sqrt(G.diagonal())
        if not (D.min() > 1.0 / _SAFE and D.max() < _SAFE):
            return None
        w, V = np.linalg.eigh(G / D / D[:, None])
        if not w[0] > max(1.0 / _CONDITION, 10.0 * rcond) ** 2 * w[-1]:
            return None
        # In coordinates y of the eigenvectors, A^T A is diag(w); |A|_F^2 is d with unit columns.
        y, h = np.zeros(d), (g / D) @ V
        for _ in range(_STEPS):
            y += h / w
            x = (V @ y) / D
            A = system.tile(0, n)
            r = b - A @ x
            g = A.T @ r
            system.passes += 1
            h = (g / D) @ V
            square = r @ r
            q = 1.0 / (b_norm**2 / d + y @ y)
            error = np.sqrt(q * (h @ (h / (w + q * square))) / d)
            if error <= target:
                break
    if not error <= target:
        return None
    condition = float(np.sqrt(w[-1] / w[0]))
    variance_error = float(np.finfo(float).eps) * condition**2
    spread = Spread(G, 0.0, 0.0, d, system.count, squared=True, error=variance_error)
    found = Check(x[:, None], square[None], g[:, None], error[None])
    return Outcome(found, D, condition, d, system.passes - 2, spread=spread)
