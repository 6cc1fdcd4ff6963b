"""How block Golub-Kahan keeps the vectors of the long side.

`KeptSide` stores all of U and orthogonalizes against it. `PassingSide` keeps only the last block:
for tall matrices U is far larger than V, and the orthogonality of V carries over while the wanted
values stand well above the rounding of the largest (one-sided reorthogonalization, Simon and Zha
2000, doi:10.1137/S1064827597327309).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lowapprox._core.matrix import MatrixLike
from lowapprox._core.typing import Array
from lowapprox._subspace.algebra import Small, block_algebra
from lowapprox._subspace.orth import Basis, cholesky_factor, orthonormalize, remove_span

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

    def image(self, P: Small, V: Array) -> Array:
        """Return rows that span ``U P``; V holds the matching right vectors."""

    def finish(self, image: Array, s: Small, V: Array) -> tuple[Array, Small, Array]:
        """Return rows of left vectors, values and rows of right vectors."""


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
        gram = None
        if U.size:
            Y = block_algebra(op).subtract(Y, coupling.conj().T, U.rows[known:, :])
            Y, extra, gram = remove_span(op, Y, U.rows)
            coefficients = extra.T
        split = orthonormalize(op, Y, noise, self._gen, gram=gram, basis=U.rows)
        self._new = U.append(split.rows)
        return Image(coefficients, split.factor, split.dropped)

    def adjoint_product(self) -> Array:
        return self._op.rmat(self._new.T).T

    def restart(self, P: Small, s: Small, V: Array) -> None:
        self._U.replace(self._U.rotate(P.T))

    def image(self, P: Small, V: Array) -> Array:
        return self._U.rotate(P.T)

    def finish(self, image: Array, s: Small, V: Array) -> tuple[Array, Small, Array]:
        return image, s, V


class PassingSide:
    """Only the last block of long vectors."""

    def __init__(self, op: MatrixLike, gen: np.random.Generator) -> None:
        self._op = op
        self._gen = gen
        self._new: Array | None = None
        self._fold: tuple[Array, Small] | None = None

    def advance(self, block: Array, coupling: Small, noise: float) -> Image:
        op = self._op
        algebra = block_algebra(op)
        if self._fold is not None:
            # After a restart U P is not at hand, but U P = A V P / s: subtract before the product.
            V, s = self._fold
            block = block - op.from_numpy(coupling.conj().T / s) @ V
            self._fold = self._new = None
        Y = op.mat(block.T).T
        if self._new is not None:
            Y = algebra.subtract(Y, coupling.conj().T, self._new)
        # Roughly orthonormal is enough here: the next block sees these vectors through A only.
        split = orthonormalize(op, Y, noise, self._gen, once=100.0)
        self._new = split.rows
        return Image(np.zeros((1, block.shape[0])), split.factor, split.dropped)

    def adjoint_product(self) -> Array:
        assert self._new is not None
        return self._op.rmat(self._new.T).T

    def restart(self, P: Small, s: Small, V: Array) -> None:
        self._fold = (V, s)

    def image(self, P: Small, V: Array) -> Array:
        return self._op.mat(V.T).T

    def finish(self, image: Array, s: Small, V: Array) -> tuple[Array, Small, Array]:
        op = self._op
        algebra = block_algebra(op)
        split = orthonormalize(op, image, 0.0, self._gen, once=np.inf)
        # The second pass of Cholesky QR and the rotation to the triplets are one product.
        second = cholesky_factor(algebra.gram(split.rows), 0.0, op.eps)
        assert second is not None  # these rows are orthonormal to a percent at least
        # In rows: A V is factor^T applied to the orthonormal rows.
        W, s, Xh = np.linalg.svd((split.factor @ second.L).T)
        U = algebra.combine(W.T @ second.inverse, split.rows)
        return U, s, op.from_numpy(Xh.conj()) @ V
