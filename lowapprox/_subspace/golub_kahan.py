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

from dataclasses import dataclass
from typing import Any

import numpy as np

from lowapprox._core.matrix import MatrixLike
from lowapprox._core.typing import Array
from lowapprox._subspace.algebra import Small, block_algebra
from lowapprox._subspace.longside import LongSide
from lowapprox._subspace.orth import Basis, fresh_rows, orthonormalize, random_rows, remove_span

__all__ = ["GolubKahan", "Ritz"]


@dataclass(frozen=True, slots=True)
class Ritz:
    """Singular triplets of the projected matrix, ``B = P diag(s) Wh``.

    `residuals` are the norms ``|A^H u_i - s_i v_i|`` without the rounding floor; `tail` holds the
    vectors behind them, in the coordinates of the next block.
    """

    P: Small
    s: Small
    Wh: Small
    tail: Small
    residuals: Small


class GolubKahan:
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
        m, n = op.shape
        self.op = op
        self.gen = gen
        self.long = long
        self.size = 0  # dimension d of the bases that B couples
        self.matvecs = 0
        self.passes = 0
        self.dropped = 0.0  # norm of everything that was treated as rounding
        self.top = 0.0  # running estimate of the largest singular value; 0 before the first block
        self._noise = op.eps * np.sqrt([m, n])
        self._V = Basis(op, n, capacity + block)
        self._B = np.zeros((capacity + block,) * 2, np.result_type(op.dtype, np.float64))
        start = random_rows(op, min(block, n), n, gen)
        self._next = self._V.append(orthonormalize(op, start, 0.0, gen).rows)
        self._coupling: Small = np.zeros((0, self._next.shape[0]))
        self._last = 0  # rows of the last block of U

    @property
    def exhausted(self) -> bool:
        """Whether the basis spans the whole space, so that B holds all of A."""
        return self.width == 0

    @property
    def width(self) -> int:
        """Columns of the next step."""
        return int(self._next.shape[0])

    @property
    def fresh(self) -> int:
        """Random columns of the next step, which nothing computed so far leads to."""
        return int((np.abs(self._coupling).max(axis=0, initial=0.0) == 0.0).sum())

    def widen(self, count: int) -> None:
        """Add random columns to the next step, as many as the space has room for."""
        count = min(count, self.op.shape[1] - self._V.size)
        if count > 0:
            self._V.append(fresh_rows(self.op, self._V.rows, count, self.gen))
            self._next = self._V.rows[self.size :, :]
            self._coupling = np.pad(self._coupling, ((0, 0), (0, count)))

    @property
    def energy(self) -> float:
        """Squared Frobenius norm of B, which is that of ``A V``."""
        B = self._B[: self.size, : self.size]
        return float(np.vdot(B, B).real)

    def step(self) -> None:
        """Add one block: one product with A and one with its adjoint."""
        op, d, width = self.op, self.size, self.width
        n = op.shape[1]
        self._reserve(d + 2 * width)
        noise = self._noise * self.top
        image = self.long.advance(self._next, self._coupling, noise[0])
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

    def restart(self, ritz: Ritz, keep: int) -> None:
        """Shrink the bases to the leading `keep` Ritz vectors and the next block."""
        op, width = self.op, self.width
        following = op.xp.asarray(self._next, copy=True)
        self._V.replace(self._V_leading(ritz, keep))
        self._next = self._V.append(following)
        self._B[:] = 0.0
        self._B[np.arange(keep), np.arange(keep)] = ritz.s[:keep]
        self._B[:keep, keep : keep + width] = ritz.tail[:, :keep].conj().T
        self.long.restart(ritz.P[:, :keep], ritz.s[:keep], self._V.rows[:keep, :])
        self._coupling = ritz.tail[:, :keep].T
        self._last = keep
        self.size = keep

    def vectors(self, ritz: Ritz, count: int) -> tuple[Array, Small, Array]:
        """Leading singular triplets as rows: U (count, m), s, V (count, n), rows not conjugated."""
        V = self._V_leading(ritz, count)
        return self.long.finish(ritz.P[:, :count], ritz.s[:count], V)

    def complement_product(self, X: Array) -> Array:
        """Return ``A (I - V V^H) X`` for a panel X of shape (n, p)."""
        rows, _, _ = remove_span(self.op, self.op.xp.asarray(X.T, copy=True), self._V.rows)
        self.matvecs += X.shape[1]
        self.passes += 1
        return self.op.mat(rows.T)

    def _V_leading(self, ritz: Ritz, count: int) -> Array:  # noqa: N802
        return self.op.from_numpy(ritz.Wh[:count].conj()) @ self._V.rows[: self.size, :]

    def _reserve(self, size: int) -> None:
        have = self._B.shape[0]
        if size > have:
            grown: Any = np.zeros((max(size, 2 * have),) * 2, self._B.dtype)
            grown[:have, :have] = self._B
            self._B = grown
