"""Selection of columns by pivoted sketches, for interpolative and CUR decompositions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lowapprox._core.matrix import MatrixLike
from lowapprox._core.rng import standard_normal
from lowapprox._core.typing import Array
from lowapprox._core.views import normalize
from lowapprox._subspace.orth import Basis, orthonormalize, remove_span
from lowapprox.svd.result import ErrorKind
from lowapprox.svd.skeleton import Probes, adjoint, index_array, residual_fro2, scaled, take

__all__ = ["Columns", "choose_columns"]

_OVERSAMPLE = 10
_FIRST_BLOCK = 16
# Flops beyond which the residual of a sparse matrix is estimated: the exact pass visits its zeros.
_SPARSE_FLOPS = 2e10

Small = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Columns:
    """Selected columns; ``A ~ columns @ coefficients``."""

    indices: Small
    columns: Array
    coefficients: Array
    rank: int
    error: float
    error_kind: ErrorKind
    fro_norm: float
    growth: float
    converged: bool
    info: dict[str, Any]


def choose_columns(
    A: MatrixLike, limit: int, tol: float | None, gen: np.random.Generator
) -> Columns:
    """Select `limit` columns, or the fewest that reach the relative error `tol`."""
    op, exponent, fro2 = normalize(A) if min(A.shape) else (A, 0, 0.0)
    chosen = _Selection(op, fro2, gen, probes=10 if tol is None else 30)
    block = limit if tol is None else _FIRST_BLOCK
    while chosen.grow(min(block, limit - chosen.size)):
        if tol is None or chosen.residual2() <= chosen.target2(tol):
            break
        block = max(_FIRST_BLOCK, chosen.size // 2)
    return chosen.finish(limit, tol, exponent)


class _Selection:
    """Columns chosen so far, with ``A[:, indices] = Q R`` and ``B = Q^H A``.

    Q is kept as rows, ``Q = rows^T``.
    """

    def __init__(
        self, op: MatrixLike, fro2: float | None, gen: np.random.Generator, probes: int
    ) -> None:
        self.op, self.gen, self._count = op, gen, probes
        self.probes = Probes(op, gen, probes) if fro2 is None else None
        self.fro2 = self.probes.fro2() if self.probes else float(fro2 or 0.0)
        self.indices: Small = np.zeros(0, np.int64)
        self.spare: Small = np.arange(op.shape[1])  # what the pivoting would take next
        self.columns: list[Array] = []
        self.Q = Basis(op, op.shape[0], _FIRST_BLOCK)
        self.B = Basis(op, op.shape[1], _FIRST_BLOCK)
        self.R: Small = np.zeros((0, 0))
        self.noise = 0.0
        self.rounds = self.sketched = 0
        self._residual2: float | None = None

    @property
    def size(self) -> int:
        return int(self.indices.size)

    def grow(self, count: int) -> bool:
        """Add up to `count` columns; return False when fewer are left above rounding."""
        if count == 0:
            return False
        import scipy.linalg

        sketch = self._sketch(count)
        factor, pivots = scipy.linalg.qr(sketch, mode="r", pivoting=True, check_finite=False)
        diagonal = np.abs(np.diagonal(factor))
        if self.rounds == 0:
            self.noise = 4.0 * self.op.eps * np.sqrt(max(self.op.shape)) * float(diagonal[0])
        self.rounds += 1
        above = int((diagonal[:count] > self.noise).sum())
        added = self._append(pivots[:above], factor[:above, :above]) if above else 0
        self.spare = pivots[~np.isin(pivots, self.indices)]
        self._residual2 = None
        return added == count

    def _sketch(self, count: int) -> Small:
        """Sketch what the chosen columns leave; with as many rows as `A` it is no sketch."""
        op, (m, _) = self.op, self.op.shape
        rows = min(count + _OVERSAMPLE, m)
        if rows == m:
            test = np.eye(m)
        else:
            test = standard_normal(self.gen, (m, rows), op.dtype) / np.sqrt(rows)
        panel = op.from_numpy(test)
        out = op.rmat(panel)
        if self.size:
            out = out - adjoint(op, self.B.rows) @ (adjoint(op, self.Q.rows.T) @ panel)
        self.sketched += rows
        sketch = op.to_numpy(out).conj().T
        sketch = sketch.astype(np.result_type(sketch.dtype, np.float64))
        sketch[:, self.indices] = 0.0
        return sketch

    def _append(self, pivots: Small, factor: Small) -> int:
        """Orthonormalize new columns, preconditioned by the triangular factor of their sketch."""
        op = self.op
        columns = take(op, pivots, 1)
        panel = op.from_numpy(np.linalg.inv(factor).T) @ columns.T
        panel, along = remove_span(op, panel, self.Q.rows)
        block = orthonormalize(op, panel, op.eps, self.gen, basis=self.Q.rows)
        rows, R = block.rows, block.factor.T @ factor
        if np.tril(R, -1).any():  # not from Cholesky
            turn, R = np.linalg.qr(R)
            rows = op.from_numpy(turn.T) @ rows
        lost = np.abs(np.diagonal(R)) <= 1e-3 * self.noise
        count = int(np.argmax(lost)) if lost.any() else pivots.size
        rows, new = rows[:count, :], pivots[:count]
        above, R = (along.T @ factor)[:, :count], R[:count, :count]
        self.R = np.block([[self.R, above], [np.zeros((count, self.size)), R]])
        self.indices = np.concatenate([self.indices, new])
        self.columns.append(columns[:, :count])
        self.Q.append(rows)
        self.B.append(adjoint(op, op.rmat(rows.T)))
        return count

    def target2(self, tol: float) -> float:
        """Square of the error to reach, below the tolerance to allow for what is not exact."""
        return (tol * (1.0 - 1e-4 if self.probes is None else 0.9)) ** 2 * self.fro2

    def residual2(self) -> float:
        """Squared error with all columns chosen so far."""
        if self._residual2 is None:
            explained = float(self._gains().sum())
            if self.probes is None and self.fro2 - explained > self._floor():
                self._residual2 = self.fro2 - explained
            else:
                self._residual2 = self._measure(self.Q.rows.T, self.B.rows)[0]
            if self.op.kind == "operator":  # sharper than the probes alone
                self.fro2 = explained + self._residual2
        return self._residual2

    def _gains(self) -> Small:
        """Squared norm that each column explains beyond those before it."""
        norms = self.op.xp.linalg.vector_norm(self.B.rows, axis=1)
        return np.asarray(self.op.to_numpy(norms), np.float64) ** 2

    def _floor(self) -> float:
        """Squared error below which ``|A|^2 - |Q^H A|^2`` has lost too many digits."""
        return 1e4 * self.op.eps * self.fro2

    def _measure(self, left: Array, right: Array) -> tuple[float, ErrorKind]:
        """Squared norm of ``A - left @ right`` from the entries, or from probes."""
        op = self.op
        flops = 2.0 * op.shape[0] * op.shape[1] * left.shape[1]
        if self.probes is None and op.kind == "sparse" and flops > _SPARSE_FLOPS:
            self.probes = Probes(op, self.gen, self._count)
        if self.probes is None:
            return residual_fro2(op, left, right), "exact"
        return self.probes.residual_fro2(left, right), "estimate"

    def finish(self, limit: int, tol: float | None, exponent: int) -> Columns:
        """Cut the list to the shortest prefix within the tolerance; compute the coefficients."""
        op, gains, indices = self.op, self._gains(), self.indices
        rank = self.size
        if tol is None:
            indices = np.concatenate([indices, self.spare[: limit - rank]])
        else:
            tails = np.append(np.cumsum(gains[::-1])[::-1], 0.0)
            enough = np.flatnonzero(self.residual2() + tails <= self.target2(tol))
            rank = int(enough[0]) if enough.size else rank
            indices = indices[:rank]
        columns, T = self._columns(indices), self._coefficients(indices, rank)
        growth = float(op.xp.max(op.xp.abs(T))) if indices.size else 0.0
        error2, kind = self._error2(rank, gains, columns, T)
        norm = float(np.sqrt(self.fro2))
        error = float(np.sqrt(error2))
        return Columns(
            indices=indices,
            columns=scaled(columns, exponent),
            coefficients=T,
            rank=rank,
            error=float(scaled(error, exponent)),
            error_kind=kind,
            fro_norm=scaled(norm, exponent),
            growth=growth,
            converged=tol is None or error <= tol * norm,
            info={
                "method": "pivoted Gaussian sketch",
                "rounds": self.rounds,
                "sketch_size": self.sketched,
                "tol": tol,
            },
        )

    def _columns(self, indices: Small) -> Array:
        op = self.op
        if op.kind == "sparse":
            return take(op, indices, 1)
        parts = [op.from_numpy(np.zeros((op.shape[0], 0))), *self.columns]
        spare = indices[self.size :]
        if spare.size:
            parts.append(take(op, spare, 1))
        return op.xp.concat(parts, axis=1)[:, : indices.size]

    def _coefficients(self, indices: Small, rank: int) -> Array:
        """Least squares; exactly the identity on the chosen columns."""
        op, k, n = self.op, indices.size, self.op.shape[1]
        chosen = np.zeros(n, bool)
        chosen[indices] = True
        rest = np.flatnonzero(~chosen)
        parts = [op.from_numpy(np.eye(k))]
        if rest.size:
            B = op.xp.take(self.B.rows[:rank, :], index_array(op, rest), axis=1)
            below = op.from_numpy(np.zeros((k - rank, rest.size)))
            # LU of a triangular matrix is back substitution.
            solved = op.xp.linalg.solve(op.from_numpy(self.R[:rank, :rank]), B) if rank else B
            parts.append(op.xp.concat([solved, below], axis=0))
        order = np.argsort(np.concatenate([indices, rest]))
        return op.xp.take(op.xp.concat(parts, axis=1), index_array(op, order), axis=1)

    def _error2(self, rank: int, gains: Small, columns: Array, T: Array) -> tuple[float, ErrorKind]:
        if self.probes is None:
            error2 = self.fro2 - float(gains[:rank].sum())
        else:
            error2 = self.residual2() + float(gains[rank:].sum())
        if error2 > self._floor():
            return error2, "exact" if self.probes is None else "estimate"
        return self._measure(columns.toarray() if self.op.kind == "sparse" else columns, T)
