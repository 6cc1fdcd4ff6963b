"""How block Golub-Kahan keeps the vectors of the long side.

`KeptSide` stores all of U and orthogonalizes against it. `PassingSide` keeps only the last block:
for tall matrices U is far larger than V, and the orthogonality of V carries over while the wanted
values stand well above the rounding of the largest (one-sided reorthogonalization, Simon and Zha
2000, doi:10.1137/S1064827597327309). It works on panels of shape (m, b).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lowapprox._core.matrix import MatrixLike
from lowapprox._core.typing import Array
from lowapprox._subspace.orth import (
    Basis,
    Small,
    cholesky_factor,
    orthonormalize,
    remove_span,
)

__all__ = ["Image", "KeptSide", "LongSide", "PassingSide"]


@dataclass(frozen=True, slots=True)
class Image:
    """How ``A V_next`` splits: rows ``coefficients^T @ U_old + factor @ U_new``."""

    coefficients: Small
    factor: Small
    dropped: float


class LongSide(Protocol):
    """What the bidiagonalization asks of the long side."""

    def advance(self, block: Array, coupling: Small, noise: float) -> Image:
        """Multiply rows of V by A, subtract the known part and orthonormalize the rest."""

    def adjoint_product(self) -> Array:
        """Return rows of ``A^H U_new``."""

    def restart(self, P: Small, s: Small, V: Array) -> None:
        """Replace U by ``U P``; V holds the matching right vectors."""

    def finish(self, P: Small, s: Small, V: Array) -> tuple[Array, Small, Array]:
        """Return the rows of U P, values and right vectors."""


class KeptSide:
    """All long vectors, as rows."""

    def __init__(self, op: MatrixLike, gen: np.random.Generator, capacity: int) -> None:
        self._op = op
        self._gen = gen
        self._U = Basis(op, op.shape[0], capacity)
        self._new = self._U.rows

    def advance(self, block: Array, coupling: Small, noise: float) -> Image:
        op, U = self._op, self._U
        known = U.size - coupling.shape[0]
        Y = op.mat(block.T).T
        coefficients = np.zeros((U.size, block.shape[0]), np.result_type(op.dtype, np.float64))
        if U.size:
            Y = Y - op.from_numpy(coupling.conj().T) @ U.rows[known:, :]
            Y, extra = remove_span(op, Y, U.rows)
            coefficients = extra.T
        split = orthonormalize(op, Y, noise, self._gen, basis=U.rows)
        self._new = U.append(split.rows)
        return Image(coefficients, split.factor, split.dropped)

    def adjoint_product(self) -> Array:
        return self._op.rmat(self._new.T).T

    def restart(self, P: Small, s: Small, V: Array) -> None:
        self._U.replace(self._U.rotate(P.T))

    def finish(self, P: Small, s: Small, V: Array) -> tuple[Array, Small, Array]:
        return self._U.rotate(P.T), s, V


class PassingSide:
    """Only the last block of long vectors, as a panel."""

    def __init__(self, op: MatrixLike, gen: np.random.Generator) -> None:
        self._op = op
        self._gen = gen
        self._panel: Array | None = None
        self._fold: tuple[Array, Small] | None = None

    def advance(self, block: Array, coupling: Small, noise: float) -> Image:
        op = self._op
        if self._fold is not None:
            # After a restart U P is not at hand, but U P = A V P / s: subtract before the product.
            V, s = self._fold
            block = block - op.from_numpy(coupling.conj().T / s) @ V
            Y = op.mat(block.T)
            self._fold = None
        else:
            Y = op.mat(block.T)
            if self._panel is not None:
                Y = Y - self._panel @ op.from_numpy(coupling.conj())
        self._panel, factor, dropped = _orthonormalize_panel(op, Y, noise, self._gen)
        return Image(np.zeros((1, block.shape[0])), factor, dropped)

    def adjoint_product(self) -> Array:
        return self._op.rmat(self._panel).T

    def restart(self, P: Small, s: Small, V: Array) -> None:
        self._fold = (V, s)

    def finish(self, P: Small, s: Small, V: Array) -> tuple[Array, Small, Array]:
        op = self._op
        Y = op.mat(V.T).T
        split = orthonormalize(op, Y, 0.0, self._gen)
        # A V = Y^T with Y = L Q (rows): (A V) = Q^T L^T.
        W, s, Xh = np.linalg.svd(split.factor.T)
        return op.from_numpy(W.T) @ split.rows, s, op.from_numpy(Xh.conj()) @ V


def _orthonormalize_panel(
    op: MatrixLike, Y: Array, noise: float, gen: np.random.Generator
) -> tuple[Array, Small, float]:
    """Orthonormalize the columns of a panel; twice only when the first pass was ill conditioned."""
    factor: Small | None = None
    for _ in range(2):
        # In the row convention of `orth` the Gram matrix is the transposed one.
        gram = op.to_numpy(op.xp.conj(Y).T @ Y if op.dtype.kind == "c" else Y.T @ Y).T
        split = cholesky_factor(gram, noise, op.eps)
        if split is None:
            block = orthonormalize(op, Y.T, noise, gen)
            product = block.factor if factor is None else factor @ block.factor
            return block.rows.T, product, block.dropped
        Y = Y @ op.from_numpy(split.inverse.T)
        factor = split.L if factor is None else factor @ split.L
        if split.condition < 100.0:
            break
        noise = 0.0
    assert factor is not None
    return Y, factor, 0.0
