"""A sign (phase) convention for singular vectors."""

from __future__ import annotations

import numpy as np

from lowapprox._core.matrix import MatrixLike
from lowapprox._core.typing import Array

__all__ = ["fix_signs"]


def fix_signs(op: MatrixLike, U: Array, V: Array, side: str) -> tuple[Array, Array]:
    """Make one entry of each vector real and positive, and turn its partner alike, in place.

    The entry is the first whose modulus is within ``32 sqrt(eps)`` of the largest: the window makes
    vectors with equal entries stable under rounding.

    Parameters
    ----------
    U, V : array, shape (m, k), (n, k)
    side : {"u", "v"}
        Where the entry is looked for.
    """
    xp = op.xp
    X = U if side == "u" else V
    k = X.shape[1]
    if k == 0 or X.shape[0] == 0:
        return U, V
    size = op.to_numpy(xp.abs(X))
    first = np.argmax(size >= (1.0 - 32.0 * np.sqrt(op.eps)) * size.max(axis=0), axis=0)
    entries = np.asarray([op.to_numpy(X[int(i), j]) for j, i in enumerate(first)])
    modulus = np.abs(entries)
    phase = np.where(modulus > 0, entries.conj() / np.where(modulus > 0, modulus, 1.0), 1.0)
    turn = op.from_numpy(phase)
    U *= turn
    V *= turn
    return U, V
