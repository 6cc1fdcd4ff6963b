"""Block Lanczos for Hermitian matrices with drop accounting and thick restart.

It builds an orthonormal basis V of a block Krylov space of A with ``A V = V T + V_next S`` for a
small block tridiagonal Hermitian T. The eigenpairs of T give those of A, and their residuals come
from S for free. Per dimension it needs one product with A, where Golub-Kahan needs two.

Vectors are rows of the work arrays, as in `orth`: a row holds the vector, not its conjugate.

References
----------
Golub, Underwood (1977), doi:10.1016/B978-0-12-587260-7.50018-2 (block Lanczos). Wu, Simon (2000),
doi:10.1137/S0895479898334605 (thick restart). Musco, Musco (2015), arXiv:1504.05477 (randomized
start).
"""

from __future__ import annotations

import numpy as np

from lowapprox._core.errors import InputError
from lowapprox._core.matrix import MatrixLike
from lowapprox._core.typing import Array
from lowapprox._subspace.algebra import Small
from lowapprox._subspace.golub_kahan import Ritz
from lowapprox._subspace.orth import Basis, fresh_rows, orthonormalize, random_rows, remove_span

__all__ = ["Lanczos"]


class Lanczos:
    """The tridiagonalization, grown one block a step.

    Parameters
    ----------
    op : MatrixLike, shape (n, n)
        Hermitian; only `mat` is used.
    block : int
        Columns a step.
    gen : Generator
        Source of the first block and of replacements.
    capacity : int
        Expected dimension; the buffers grow past it.
    """

    step_passes = 1

    def __init__(self, op: MatrixLike, block: int, gen: np.random.Generator, capacity: int) -> None:
        n = op.shape[0]
        self.op = op
        self.gen = gen
        self.size = 0  # dimension d of the basis that T covers
        self.matvecs = 0
        self.passes = 0
        self.dropped = 0.0  # norm of everything that was treated as rounding
        self.top = 0.0  # running estimate of the largest modulus of an eigenvalue
        self._V = Basis(op, n, capacity + block)
        self._T = np.zeros((capacity + block,) * 2, np.result_type(op.dtype, np.float64))
        start = random_rows(op, min(block, n), n, gen)
        self._next = self._V.append(orthonormalize(op, start, 0.0, gen).rows)
        self._coupling: Small = np.zeros((0, self.width))  # of the last rows to the next block

    @property
    def exhausted(self) -> bool:
        """Whether the basis spans the whole space, so that T holds all of A."""
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
        """Squared Frobenius norm of T, which is that of ``V V^H A V V^H``."""
        T = self._T[: self.size, : self.size]
        return float(np.vdot(T, T).real)

    def step(self) -> None:
        """Add one block: one product with A."""
        op, d, width = self.op, self.size, self.width
        stop = d + width
        self._reserve(stop + width)
        Z = op.mat(self._next.T).T
        # The local recurrence first: its coefficients are known or needed. What the sweep over the
        # whole basis then finds is rounding, unless A is not Hermitian.
        inner = op.to_numpy(Z @ self._dual(self._next)).T
        last = self._V.rows[d - self._coupling.shape[0] : d, :]
        Z = Z - op.from_numpy(inner.T) @ self._next
        Z -= op.from_numpy(self._coupling.conj().T) @ last
        Z, found, gram = remove_span(op, Z, self._V.rows)
        self.top = max(self.top, _norm(inner), _norm(self._coupling))
        self._check_symmetry(inner, found)
        self._T[d:stop, d:stop] = (inner + inner.conj().T) / 2.0
        left = float(np.sqrt(np.diagonal(gram).real.max(initial=0.0)))
        noise = op.eps * float(np.sqrt(op.shape[0])) * max(self.top, left)
        block = orthonormalize(
            op,
            Z,
            noise,
            self.gen,
            gram=gram,
            basis=self._V.rows,
            limit=op.shape[0] - self._V.size,
            once=1.0,  # the second pass costs little here, and the eigenvectors inherit it
        )
        self.dropped = float(np.hypot(self.dropped, block.dropped))
        self.matvecs += width
        self.passes += 1
        self.size = stop
        self._coupling = block.factor
        self._next = self._V.append(block.rows)
        self._T[d:stop, stop : self._V.size] = block.factor.conj()
        self._T[stop : self._V.size, d:stop] = block.factor.T

    def ritz(self) -> Ritz:
        """Eigenpairs of T as singular triplets, largest modulus first, and their residuals."""
        d = self.size
        w, Y = np.linalg.eigh(self._T[:d, :d])
        order = np.argsort(-np.abs(w), kind="stable")
        w, Y = w[order], Y[:, order]
        tail = self._coupling.T @ Y[d - self._coupling.shape[0] :, :]
        return Ritz(Y * np.sign(w), np.abs(w), Y.conj().T, tail, np.linalg.norm(tail, axis=0))

    def restart(self, ritz: Ritz, keep: int) -> None:
        """Shrink the basis to the leading `keep` Ritz vectors and the next block."""
        width = self.width
        following = self.op.xp.asarray(self._next, copy=True)
        w, rows = self.vectors(ritz, keep)
        self._V.replace(rows)
        self._next = self._V.append(following)
        self._T[:] = 0.0
        self._T[np.arange(keep), np.arange(keep)] = w
        self._coupling = ritz.tail[:, :keep].T
        self._T[:keep, keep : keep + width] = self._coupling.conj()
        self._T[keep : keep + width, :keep] = self._coupling.T
        self.size = keep

    def vectors(self, ritz: Ritz, count: int) -> tuple[Small, Array]:
        """Leading eigenvalues and eigenvectors, as rows."""
        Yh = ritz.Wh[:count]
        signs = np.sign(np.einsum("ij,ji->i", Yh, ritz.P[:, :count]).real)
        rows = self.op.from_numpy(Yh.conj()) @ self._V.rows[: self.size, :]
        return signs * ritz.s[:count], rows

    def complement_product(self, X: Array) -> Array:
        """Return ``(A - V T V^H) X`` for a panel X of shape (n, p)."""
        op, d = self.op, self.size
        rows = self._V.rows[:d, :]
        inner = self._dual(rows).T @ X
        self.matvecs += X.shape[1]
        self.passes += 1
        return op.mat(X) - rows.T @ (op.from_numpy(self._T[:d, :d]) @ inner)

    def _dual(self, rows: Array) -> Array:
        return self.op.xp.conj(rows).T if self.op.dtype.kind == "c" else rows.T

    def _check_symmetry(self, inner: Small, found: Small) -> None:
        allowed = 10.0 * float(np.sqrt(self.op.eps)) * self.top
        skew = max(_norm(inner - inner.conj().T), _norm(found))
        if skew > allowed:
            raise InputError(
                "`A` must be Hermitian, got a relative deviation of "
                f"{skew / self.top:.1e} from symmetry"
            )

    def _reserve(self, size: int) -> None:
        have = self._T.shape[0]
        if size > have:
            grown = np.zeros((max(size, 2 * have),) * 2, self._T.dtype)
            grown[:have, :have] = self._T
            self._T = grown


def _norm(x: Small) -> float:
    return float(np.abs(x).max(initial=0.0))
