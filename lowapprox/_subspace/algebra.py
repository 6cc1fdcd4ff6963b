"""Small dense algebra on blocks whose rows are vectors: one interface, two ways to run it.

`RowAlgebra` uses the matrix products of the namespace. `PanelAlgebra` runs compiled kernels on the
numba threads, for blocks that come out of compiled products as panels of shape (n, b): a BLAS pool
would spin between the products and take their cores.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.matrix import MatrixLike
from lowapprox._core.typing import Array

_TILE = 4096  # vectors of a block that are combined at once

__all__ = ["PanelAlgebra", "RowAlgebra", "Small", "block_algebra", "double"]

Small = np.ndarray[Any, np.dtype[Any]]


def block_algebra(op: MatrixLike) -> RowAlgebra:
    """Choose how blocks of a matrix are treated."""
    return PanelAlgebra(op) if op.compiled else RowAlgebra(op)


def double(x: Small) -> Small:
    """Return an array in double precision, real or complex."""
    return x.astype(np.result_type(x.dtype, np.float64), copy=False)


class RowAlgebra:
    """Blocks as arrays of shape (b, n) in the namespace of a matrix."""

    def __init__(self, op: MatrixLike) -> None:
        self._op = op

    def gram(self, Z: Array) -> Small:
        """Return ``Z Z^H`` on the host."""
        return double(self._op.to_numpy(Z @ self._dual(Z)))

    def inner(self, Z: Array, W: Array) -> Small:
        """Return ``Z W^H`` on the host, for W of shape (d, n)."""
        return self._op.to_numpy(Z @ self._dual(W))

    def subtract(self, Z: Array, C: Small, W: Array) -> Array:
        """Return ``Z - C W``; Z may be overwritten."""
        Z -= self._op.from_numpy(C) @ W
        return Z

    def combine(self, C: Small, Z: Array) -> Array:
        """Return ``C Z`` for square C; Z may be overwritten."""
        return self._op.from_numpy(C) @ Z

    def _dual(self, rows: Array) -> Array:
        return self._op.xp.conj(rows).T if self._op.dtype.kind == "c" else rows.T


class PanelAlgebra(RowAlgebra):
    """Blocks as transposed panels, by compiled kernels; other blocks as `RowAlgebra`."""

    def gram(self, Z: Array) -> Small:
        from lowapprox._subspace import panels

        return panels.gram(Z.T) if panels.is_panel(Z.T) else super().gram(Z)

    def inner(self, Z: Array, W: Array) -> Small:
        from lowapprox._subspace import panels

        if panels.is_panel(Z.T) and W.flags.c_contiguous:
            return np.asarray(panels.rows_dot(W, Z.T).T)
        return super().inner(Z, W)

    def subtract(self, Z: Array, C: Small, W: Array) -> Array:
        from lowapprox._subspace import panels

        if panels.is_panel(Z.T) and W.flags.c_contiguous:
            panels.add_rows(Z.T, W, -C.T)
        elif panels.is_panel(Z.T) and panels.is_panel(W.T) and C.shape[0] == C.shape[1]:
            panels.add_panel(Z.T, W.T, -C.T)
        else:
            Z = super().subtract(Z, C, W)
        return Z

    def combine(self, C: Small, Z: Array) -> Array:
        from lowapprox._subspace import panels

        if panels.is_panel(Z.T):
            panels.multiply(Z.T, C.T)
            return Z
        # Wider: block by block in place, which stays in the cache and asks for no new memory.
        factor = self._op.from_numpy(C)
        for i in range(0, Z.shape[1], _TILE):
            Z[:, i : i + _TILE] = factor @ Z[:, i : i + _TILE]
        return Z
