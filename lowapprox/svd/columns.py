"""Selection of columns by pivoted sketches, for interpolative and CUR decompositions."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from lowapprox._core.matrix import MatrixLike
from lowapprox._core.results import run_info
from lowapprox._core.rng import standard_normal
from lowapprox._core.typing import Array
from lowapprox._core.views import normalize, scaled
from lowapprox._subspace.orth import Basis, orthonormalize, remove_span
from lowapprox.svd.result import ErrorKind
from lowapprox.svd.skeleton import Probes, adjoint, dense, index_array, residual_fro2, take

__all__ = ["Columns", "Selection", "choose_columns", "triangular_basis"]

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
    chosen = Selection(A, tol, gen)
    while chosen.grow(chosen.next_block(limit)):
        if tol is None or chosen.residual2() <= chosen.target2(tol):
            break
    return chosen.finish(limit)


class Selection:
    """Columns chosen so far, with ``A[:, indices] = Q R`` and ``B = Q^H A``.

    Q is kept as rows, ``Q = rows^T``. The matrix is scaled by ``2**-exponent``.
    """

    def __init__(self, A: MatrixLike, tol: float | None, gen: np.random.Generator) -> None:
        self.start = perf_counter()
        op, self.exponent, fro2 = normalize(A) if min(A.shape) else (A, 0, 0.0)
        self.op, self.tol, self.gen = op, tol, gen
        self.exact = fro2 is not None  # the norm is known, and with it errors that are not tiny
        self.probes = None if self.exact else self._new_probes()
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

    def _new_probes(self) -> Probes:
        return Probes(self.op, self.gen, 10 if self.tol is None else 30)

    def next_block(self, limit: int) -> int:
        """Return how many columns to add: all at once, or blocks that grow with their number."""
        block = limit if self.tol is None else max(_FIRST_BLOCK, self.size // 2)
        return min(block, limit - self.size)

    @property
    def size(self) -> int:
        """Number of columns chosen."""
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
        panel, along, _ = remove_span(op, panel, self.Q.rows)
        rows, lower = triangular_basis(op, panel, op.eps, self.gen, self.Q.rows)
        R = lower.T @ factor
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
            explained = float(self.gains().sum())
            if self.exact and self.fro2 - explained > self.floor():
                self._residual2 = self.fro2 - explained
            else:
                self._residual2 = self.measure(self.Q.rows.T, self.B.rows)[0]
            if not self.exact:  # sharper than the probes alone
                self.fro2 = explained + self._residual2
        return self._residual2

    def gains(self) -> Small:
        """Squared norm that each column explains beyond those before it."""
        norms = self.op.xp.linalg.vector_norm(self.B.rows, axis=1)
        return np.asarray(self.op.to_numpy(norms), np.float64) ** 2

    def floor(self) -> float:
        """Squared error below which ``|A|^2 - |Q^H A|^2`` has lost too many digits."""
        return 1e4 * self.op.eps * self.fro2

    def measure(self, left: Array, right: Array) -> tuple[float, ErrorKind]:
        """Squared norm of ``A - left @ right`` from the entries, or from probes."""
        op = self.op
        flops = 2.0 * op.shape[0] * op.shape[1] * left.shape[1]
        if self.probes is None and op.kind == "sparse" and flops > _SPARSE_FLOPS:
            self.probes = self._new_probes()
        if self.probes is None:
            return residual_fro2(op, left, right), "exact"
        return self.probes.residual_fro2(left, right), "estimate"

    def finish(self, limit: int) -> Columns:
        """Cut the list to the shortest prefix within the tolerance; compute the coefficients."""
        op, gains, indices, tol = self.op, self.gains(), self.indices, self.tol
        rank = self.size
        if tol is None:
            indices = np.concatenate([indices, self.spare[: limit - rank]])
        else:
            tails = np.append(np.cumsum(gains[::-1])[::-1], 0.0)
            enough = np.flatnonzero(self.residual2() + tails <= self.target2(tol))
            rank = int(enough[0]) if enough.size else rank
            indices = indices[:rank]
        columns, T = self.panel(indices), self._coefficients(indices, rank)
        growth = float(op.xp.max(op.xp.abs(T))) if indices.size else 0.0
        explained, rest = float(gains[:rank].sum()), float(gains[rank:].sum())
        error2, kind = self.error2(explained, rest, dense(columns), T)
        norm = float(np.sqrt(self.fro2))
        error = float(np.sqrt(error2))
        return Columns(
            indices=indices,
            columns=scaled(columns, self.exponent),
            coefficients=T,
            rank=rank,
            error=float(scaled(error, self.exponent)),
            error_kind=kind,
            fro_norm=scaled(norm, self.exponent),
            growth=growth,
            converged=tol is None or error <= tol * norm,
            info=self.info(),
        )

    def info(self) -> dict[str, Any]:
        """Tell what was done."""
        return run_info(
            self.start,
            "pivoted Gaussian sketch",
            rounds=self.rounds,
            sketch_size=self.sketched,
            tol=self.tol,
        )

    def panel(self, indices: Small) -> Array:
        """Return columns, of which the first ones have been read already."""
        op = self.op
        if op.kind == "sparse":
            return take(op, indices, 1)
        parts = [*self.columns, take(op, indices[self.size :], 1)]
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

    def error2(
        self, explained: float, rest: float, left: Array, right: Array
    ) -> tuple[float, ErrorKind]:
        """Squared norm of ``A - left @ right``.

        `explained` is the squared norm of the approximation, a projection of `A`, and `rest` that
        of what it lacks of ``Q B``.
        """
        error2 = self.fro2 - explained if self.exact else self.residual2() + rest
        if error2 > self.floor():
            return error2, "exact" if self.exact else "estimate"
        return self.measure(left, right)


def triangular_basis(
    op: MatrixLike, panel: Array, noise: float, gen: np.random.Generator, basis: Array
) -> tuple[Array, Small]:
    """Return orthonormal rows and a lower triangular factor, ``panel = lower @ rows``."""
    block = orthonormalize(op, panel, noise, gen, basis=basis)
    if not np.triu(block.factor, 1).any():
        return block.rows, block.factor
    turn, upper = np.linalg.qr(block.factor.T)
    return op.from_numpy(turn.T) @ block.rows, upper.T
