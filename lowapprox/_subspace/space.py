"""What the growing Krylov spaces share: the basis, the projected matrix and the next block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from lowapprox._core.matrix import MatrixLike
from lowapprox._core.typing import Array
from lowapprox._subspace.algebra import Small
from lowapprox._subspace.orth import Basis, fresh_rows, orthonormalize, random_rows

__all__ = ["KrylovSpace", "Ritz"]


@dataclass(frozen=True, slots=True)
class Ritz:
    """Singular triplets of the projected matrix, ``B = P diag(s) Wh``.

    `residuals` are the norms ``|A^H u_i - s_i v_i|`` without the rounding floor; `tail` holds the
    vectors behind them, in the coordinates of the next block. Triplets of B with the coupling to
    that block have ``A^H U = V s`` and upper bounds of ``|A v_i - s_i u_i|`` instead.
    """

    P: Small
    s: Small
    Wh: Small
    tail: Small
    residuals: Small


class KrylovSpace(ABC):
    """Orthonormal rows V, the matrix projected on the first `size` of them, and a next block.

    Parameters
    ----------
    op : MatrixLike, shape (m, n)
    block : int
        Columns a step.
    gen : Generator
        Source of the first block and of replacements.
    capacity : int
        Expected dimension; the buffers grow past it.
    """

    step_passes: int  # passes over the matrix in one step

    def __init__(self, op: MatrixLike, block: int, gen: np.random.Generator, capacity: int) -> None:
        n = op.shape[1]
        self.op = op
        self.gen = gen
        self.size = 0  # dimension that the projected matrix covers
        self.matvecs = 0
        self.passes = 0
        self.dropped = 0.0  # norm of everything that was treated as rounding
        self.top = 0.0  # running estimate of the norm of the matrix; 0 before the first block
        self._V = Basis(op, n, capacity + block)
        self._B = np.zeros((capacity + block,) * 2, np.result_type(op.dtype, np.float64))
        start = random_rows(op, min(block, n), n, gen)
        split = orthonormalize(op, start, 0.0, gen)
        self._next = self._V.append(split.rows)
        self._start = split.factor
        self._coupling: Small = np.zeros((0, self.width))  # of the last rows to the next block

    @property
    def width(self) -> int:
        """Columns of the next step."""
        return int(self._next.shape[0])

    @property
    def exhausted(self) -> bool:
        """Whether the basis spans the whole space, so that the projected matrix holds all of A."""
        return self.width == 0

    @property
    def fresh(self) -> int:
        """Random columns of the next step, which nothing computed so far leads to."""
        return int((np.abs(self._coupling).max(axis=0, initial=0.0) == 0.0).sum())

    @property
    def energy(self) -> float:
        """Squared Frobenius norm of the projected matrix."""
        B = self._B[: self.size, : self.size]
        return float(np.vdot(B, B).real)

    @abstractmethod
    def step(self) -> None:
        """Add one block."""

    @abstractmethod
    def ritz(self) -> Ritz:
        """Triplets of the projected matrix and their residuals, no products."""

    @abstractmethod
    def restart(self, ritz: Ritz, keep: int) -> None:
        """Shrink the space to the leading `keep` Ritz vectors and the next block."""

    @abstractmethod
    def complement_product(self, X: Array) -> Array:
        """Return the product of what the projection leaves of A with a panel X."""

    def widen(self, count: int) -> None:
        """Add random columns to the next step, as many as the space has room for."""
        count = min(count, self.op.shape[1] - self._V.size)
        if count > 0:
            self._V.append(fresh_rows(self.op, self._V.rows, count, self.gen))
            self._next = self._V.rows[self.size :, :]
            self._coupling = np.pad(self._coupling, ((0, 0), (0, count)))

    def _reserve(self, size: int) -> None:
        """Make room in the projected matrix."""
        have = self._B.shape[0]
        if size > have:
            grown = np.zeros((max(size, 2 * have),) * 2, self._B.dtype)
            grown[:have, :have] = self._B
            self._B = grown

    def _leading(self, ritz: Ritz, count: int) -> Array:
        """Right Ritz vectors, as rows."""
        return self.op.from_numpy(ritz.Wh[:count].conj()) @ self._V.rows[: ritz.Wh.shape[1], :]

    def _shrink(self, rows: Array) -> None:
        """Replace the basis by these rows and the next block, and forget the projected matrix."""
        following = self.op.xp.asarray(self._next, copy=True)
        self._V.replace(rows)
        self._next = self._V.append(following)
        self._B[:] = 0.0
