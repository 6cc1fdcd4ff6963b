"""Block Golub-Kahan bidiagonalization with drop accounting and thick restart.

For A of shape (m, n), m >= n, it builds orthonormal bases V of a block Krylov space of A^H A and U
of its image, with ``A V = U B`` and ``A^H U = V B^H + V_next S`` for a small block upper bidiagonal
B. The singular triplets of B give those of A, and their residuals come from S for free.

Vectors are rows of the work arrays (see `orth`). Complex data need care in that form: a row holds
the vector, not its conjugate, so that ``rows @ conj(rows).T`` is the transposed Gram matrix.

References
----------
Golub, Luk, Overton (1981), doi:10.1145/355945.355946 (block Golub-Kahan). Musco, Musco (2015),
arXiv:1504.05477 (randomized start). Hernandez, Roman, Tomas (2008) (thick restart).
"""

from __future__ import annotations

import numpy as np

from lowapprox._core.matrix import MatrixLike
from lowapprox._core.typing import Array
from lowapprox._subspace.algebra import Small, block_algebra
from lowapprox._subspace.longside import LongSide
from lowapprox._subspace.orth import orthonormalize, remove_span
from lowapprox._subspace.outside import left_by_images, left_outside
from lowapprox._subspace.space import KrylovSpace, Ritz

__all__ = ["GolubKahan"]


class GolubKahan(KrylovSpace):
    """The bidiagonalization, grown one block a step.

    Parameters
    ----------
    op : MatrixLike, shape (m, n) with m >= n
    block : int
        Columns a step.
    long : LongSide
        How the long vectors are kept.
    gen : Generator
        Source of the first block and of replacements.
    capacity : int
        Expected dimension; the buffers grow past it.
    """

    step_passes = 2

    def __init__(
        self, op: MatrixLike, block: int, long: LongSide, gen: np.random.Generator, capacity: int
    ) -> None:
        super().__init__(op, block, gen, capacity)
        self.long = long
        self._noise = op.eps * np.sqrt(op.shape)
        self._last = 0  # rows of the last block of U
        self._left = 0.0  # estimate of the norm of A outside the first block of U

    def step(self) -> None:
        """Add one block: one product with A and one with its adjoint."""
        op, d, width = self.op, self.size, self.width
        n = op.shape[1]
        self._reserve(d + 2 * width)
        noise = self._noise * self.top
        image = self.long.advance(self._next, self._coupling, noise[0])
        if not d:
            self._left = left_by_images(self._start @ image.factor)
        self._B[:d, d : d + width] += image.coefficients
        self._B[d : d + width, d : d + width] = image.factor.T
        Z = self.long.adjoint_product()
        Z = block_algebra(op).subtract(Z, image.factor.conj().T, self._next)
        Z, _, gram = remove_span(op, Z, self._V.rows)
        self.size = d + width
        self.top = max(self.top, float(np.abs(image.factor).max(initial=0.0)))
        block = orthonormalize(
            op, Z, noise[1], self.gen, gram=gram, basis=self._V.rows, limit=n - self._V.size
        )
        self.dropped = float(np.hypot(self.dropped, np.hypot(image.dropped, block.dropped)))
        self.matvecs += 2 * width
        self.passes += 2
        self._coupling, self._last = block.factor, width
        self._next = self._V.append(block.rows)
        self._B[d : d + width, self.size : self._V.size] = block.factor.conj()

    def ritz(self) -> Ritz:
        """Singular triplets of B and their residuals, no products."""
        d = self.size
        P, s, Wh = np.linalg.svd(self._B[:d, :d])
        tail = self._coupling.T @ P[d - self._last :, :]
        return Ritz(P, s, Wh, tail, np.linalg.norm(tail, axis=0))

    def extended(self, fro2: float | None) -> Ritz:
        """Triplets of all that the products gave: of ``U^H A``, which B with its coupling holds.

        For the last space before any restart. `fro2` is ``|A|_F^2``, if known.
        """
        d, full = self.size, self._V.size
        self._reserve(full)
        P, s, Wh = np.linalg.svd(self._B[:d, :full], full_matrices=False)
        tail = Wh[:, d:].conj().T
        left = left_outside(fro2, float((s**2).sum()), self.op.eps, self._left)
        return Ritz(P, s, Wh, tail, left * np.linalg.norm(tail, axis=0))

    def restart(self, ritz: Ritz, keep: int) -> None:
        """Shrink the bases to the leading `keep` Ritz vectors and the next block."""
        self._shrink(self._leading(ritz, keep))
        self._B[np.arange(keep), np.arange(keep)] = ritz.s[:keep]
        self._B[:keep, keep : keep + self.width] = ritz.tail[:, :keep].conj().T
        self.long.restart(ritz.P[:, :keep], ritz.s[:keep], self._V.rows[:keep, :])
        self._coupling = ritz.tail[:, :keep].T
        self._last = keep
        self.size = keep

    def images(self, ritz: Ritz, count: int) -> tuple[Array, Array]:
        """Make the products that the leading triplets need: rows for U and rows of V."""
        V = self._leading(ritz, count)
        return self.long.image(ritz.P[:, :count], V), V

    def vectors(self, ritz: Ritz, images: tuple[Array, Array]) -> tuple[Array, Small, Array]:
        """Leading singular triplets as rows: U (count, m), s, V (count, n), rows not conjugated."""
        return self.long.finish(images[0], ritz.s[: images[1].shape[0]], images[1])

    def complement_product(self, X: Array) -> Array:
        """Return ``A (I - V V^H) X`` for a panel X of shape (n, p)."""
        basis = self._V.rows[: self.size, :]
        rows, _, _ = remove_span(self.op, self.op.xp.asarray(X.T, copy=True), basis)
        self.matvecs += X.shape[1]
        self.passes += 1
        return self.op.mat(rows.T)
