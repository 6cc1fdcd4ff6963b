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
from lowapprox._core.typing import Array
from lowapprox._subspace.algebra import Small
from lowapprox._subspace.orth import orthonormalize, remove_span
from lowapprox._subspace.space import KrylovSpace, Ritz

__all__ = ["Lanczos"]


class Lanczos(KrylovSpace):
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
        self._B[d:stop, d:stop] = (inner + inner.conj().T) / 2.0
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
        self._B[d:stop, stop : self._V.size] = block.factor.conj()
        self._B[stop : self._V.size, d:stop] = block.factor.T

    def ritz(self) -> Ritz:
        """Eigenpairs of T as singular triplets, largest modulus first, and their residuals."""
        d = self.size
        w, Y = np.linalg.eigh(self._B[:d, :d])
        order = np.argsort(-np.abs(w), kind="stable")
        w, Y = w[order], Y[:, order]
        tail = self._coupling.T @ Y[d - self._coupling.shape[0] :, :]
        return Ritz(Y * np.sign(w), np.abs(w), Y.conj().T, tail, np.linalg.norm(tail, axis=0))

    def restart(self, ritz: Ritz, keep: int) -> None:
        """Shrink the basis to the leading `keep` Ritz vectors and the next block."""
        width = self.width
        w, rows = self.vectors(ritz, keep)
        self._shrink(rows)
        self._B[np.arange(keep), np.arange(keep)] = w
        self._coupling = ritz.tail[:, :keep].T
        self._B[:keep, keep : keep + width] = self._coupling.conj()
        self._B[keep : keep + width, :keep] = self._coupling.T
        self.size = keep

    def vectors(self, ritz: Ritz, count: int) -> tuple[Small, Array]:
        """Leading eigenvalues and eigenvectors, as rows."""
        Yh = ritz.Wh[:count]
        signs = np.sign(np.einsum("ij,ji->i", Yh, ritz.P[:, :count]).real)
        return signs * ritz.s[:count], self._leading(ritz, count)

    def complement_product(self, X: Array) -> Array:
        """Return ``(A - V T V^H) X`` for a panel X of shape (n, p)."""
        op, d = self.op, self.size
        rows = self._V.rows[:d, :]
        inner = self._dual(rows).T @ X
        self.matvecs += X.shape[1]
        self.passes += 1
        return op.mat(X) - rows.T @ (op.from_numpy(self._B[:d, :d]) @ inner)

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


def _norm(x: Small) -> float:
    return float(np.abs(x).max(initial=0.0))
