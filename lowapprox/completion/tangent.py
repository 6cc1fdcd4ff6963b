"""The tangent space of the matrices of one rank, seen from the observed entries.

At a matrix with singular vectors U (m x r) and V (n x r), a tangent vector is
``U A V^T + C V^T + U B^T`` with an r x r core A, C orthogonal to U and B orthogonal to V. It is
kept as one flat array (A, C, B), so that sums and inner products are those of arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from lowapprox._core.panels import aligned_empty
from lowapprox._core.threads import run_blocks
from lowapprox.completion.observations import Compressed, Host, Observations
from lowapprox.completion.problem import Factors

__all__ = ["Blocks", "Entries", "Point", "Tangent", "conjugate_gradients", "retract"]

_WORK = 1 << 14  # entries of a block of rows that one thread takes at a time
_COMPILED = 2048  # entries from which on loops are compiled
_WIDEST = 16  # columns of a panel in registers


def _lanes(k: int) -> tuple[int, ...]:
    """Return a tuple as long as the rows of a panel of k columns with its padding."""
    step = 4 if k <= 32 else 16  # few lengths: each is compiled once
    return (0,) * (-(-k // step) * step)


def _padded(X: Host) -> Host:
    """Return a copy of the columns with zeros beside them, as the kernels take them."""
    out: Host = aligned_empty((X.shape[0], len(_lanes(X.shape[1]))), np.float64)
    out[:, : X.shape[1]] = X
    out[:, X.shape[1] :] = 0
    return out


def _loops(count: int) -> ModuleType:
    """Return the loops over so many entries; few are not worth loading compiled code for."""
    if count <= _COMPILED:
        from lowapprox.completion import plain_tangent

        return plain_tangent
    from lowapprox.completion import kernels_tangent

    return kernels_tangent


def _cuts(indptr: Host) -> Host:
    """Share out the rows by their entries; a row counts as eight more."""
    ends = indptr + 8 * np.arange(indptr.size)
    parts = int(min(32, max(1, ends[-1] // _WORK)))
    cuts: Host = np.searchsorted(ends, np.linspace(0, ends[-1], parts + 1))
    cuts[0], cuts[-1] = 0, indptr.size - 1
    return cuts


class Entries:
    """The observed entries of a matrix as a linear map, and its adjoint, in double precision.

    A vector of one number for each observed entry, by rows, stands for a sparse matrix.

    Attributes
    ----------
    values : numpy.ndarray of float64, shape (count,)
    weights : numpy.ndarray of float64, shape (count,) or (0,)
        Empty for ones.
    """

    def __init__(self, observed: Observations, *, weighted: bool = True) -> None:
        from scipy.sparse import csr_array

        self.observed, self.shape = observed, observed.shape
        rows = observed.rows
        self.values = rows.values.astype(np.float64)
        self.weights = np.empty(0)
        if weighted and rows.weights is not None:
            self.weights = rows.weights.astype(np.float64)
        number = np.arange(observed.count, dtype=rows.indices.dtype)
        # Where the entries in the order of columns stand in the order of rows: a counting sort.
        self._order = csr_array((number, rows.indices, rows.indptr), self.shape).tocsc().data
        self._none = np.empty(0, self._order.dtype)
        self.loops: Any = _loops(observed.count)
        self.row_cuts, self.column_cuts = _cuts(rows.indptr), _cuts(observed.columns.indptr)

    @property
    def density(self) -> float:
        """The mean weight of an entry, zero where it is not observed."""
        total = float(self.weights.sum()) if self.weights.size else self.values.size
        return total / (self.shape[0] * self.shape[1])

    @property
    def norm(self) -> float:
        """The weighted norm of the values."""
        return self.size(self.values)

    def size(self, z: Host) -> float:
        """Return the weighted norm of one number for each entry."""
        return float(np.sqrt(z @ self.weighted(z)))

    def relative(self, z: Host) -> float:
        """Return the weighted norm over that of the values, 0 if there are none but zeros."""
        norm = self.norm
        return self.size(z) / norm if norm else 0.0

    def weighted(self, z: Host) -> Host:
        """Return z times the weights."""
        return z * self.weights if self.weights.size else z

    def inner(self, L: Host, R: Host) -> Host:
        """Return ``L @ R.T`` at the entries."""
        return self.inner_padded(_padded(L), _padded(R))

    def inner_padded(self, L: Host, R: Host) -> Host:
        """Do the same for factors that already have their padding."""
        out = np.empty(self.values.size)
        rows, lanes, cuts = self.observed.rows, (0,) * L.shape[1], self.row_cuts
        left, right = L.reshape(-1), R.reshape(-1)

        def work(b: int) -> None:
            self.loops.inner(
                rows.indptr, rows.indices, left, right, lanes, cuts[b], cuts[b + 1], out
            )

        run_blocks(work, cuts.size - 1)
        return out

    def mat(self, z: Host, X: Host) -> Host:
        """Return the sparse matrix times X."""
        return self._product(self.observed.rows, self.row_cuts, self._none, z, X)

    def rmat(self, z: Host, Y: Host) -> Host:
        """Return the transposed sparse matrix times Y."""
        return self._product(self.observed.columns, self.column_cuts, self._order, z, Y)

    def _product(self, side: Compressed, cuts: Host, order: Host, z: Host, X: Host) -> Host:
        if X.shape[1] > _WIDEST:
            pieces = range(0, X.shape[1], _WIDEST)
            columns = [self._product(side, cuts, order, z, X[:, c : c + _WIDEST]) for c in pieces]
            return np.hstack(columns)
        whole = self._product_padded(side, cuts, order, z, _padded(X))
        return whole[:, : X.shape[1]]

    def _product_padded(self, side: Compressed, cuts: Host, order: Host, z: Host, X: Host) -> Host:
        out: Host = aligned_empty((side.indptr.size - 1, X.shape[1]), np.float64)
        panel, lanes, flat = X.reshape(-1), (0,) * X.shape[1], out.reshape(-1)

        def work(b: int) -> None:
            first, last = cuts[b], cuts[b + 1]
            self.loops.gather(side.indptr, side.indices, z, order, panel, lanes, first, last, flat)

        run_blocks(work, cuts.size - 1)
        return out

    def rmat_padded(self, z: Host, Y: Host) -> Host:
        """Do the same for a Y that has its padding."""
        return self._product_padded(self.observed.columns, self.column_cuts, self._order, z, Y)

    def normal_padded(self, L: Host, R: Host, short: int) -> tuple[Host, Host]:
        """Return ``z = W (L @ R.T)`` at the entries, and z times the first columns of R."""
        z = np.empty(self.values.size)
        out = aligned_empty((self.shape[0], short), np.float64)
        rows, cuts = self.observed.rows, self.row_cuts
        left, right, flat = L.reshape(-1), R.reshape(-1), out.reshape(-1)
        wide, lanes = (0,) * L.shape[1], (0,) * short

        def work(b: int) -> None:
            self.loops.normal(
                *(rows.indptr, rows.indices, self.weights, left, right, wide, lanes),
                *(cuts[b], cuts[b + 1], z, flat),
            )

        run_blocks(work, cuts.size - 1)
        return z, out


@dataclass(frozen=True, slots=True)
class Point:
    """A matrix of low rank by its singular vectors and values."""

    U: Host
    s: Host
    V: Host

    @property
    def factors(self) -> Factors:
        """The same matrix as a balanced product."""
        root = np.sqrt(self.s)
        return Factors(self.U * root, self.V * root)

    @staticmethod
    def of(factors: Factors) -> Point:
        """Decompose a product."""
        Q, R = np.linalg.qr(factors.U.astype(np.float64))
        P, T = np.linalg.qr(factors.V.astype(np.float64))
        u, s, vh = np.linalg.svd(R @ T.T, full_matrices=False)  # fewer rows than columns
        return Point(Q @ u, s, P @ vh.T)


class Tangent:
    """The tangent space at singular vectors U and V, and the observed entries of its vectors."""

    def __init__(self, entries: Entries, U: Host, V: Host) -> None:
        self.entries, self.U, self.V = entries, U, V
        self.rank = r = U.shape[1]
        self._U = _padded(U)
        # The matrix of a vector is L R^T with L = [U A + C, U] and R = [V, B]: half stays.
        self._L = _padded(np.hstack([np.zeros_like(U), U]))
        self._R = _padded(np.hstack([V, np.zeros_like(V)]))
        self._ends = r * r, r * r + U.size, r * r + U.size + V.size

    @property
    def size(self) -> int:
        """The length of a vector."""
        return int(self._ends[2])

    def parts(self, x: Host) -> tuple[Host, Host, Host]:
        """Return views of the core A, of C and of B."""
        a, c, b = self._ends
        r = self.rank
        return x[:a].reshape(r, r), x[a:c].reshape(-1, r), x[c:b].reshape(-1, r)

    def factors(self, x: Host) -> tuple[Host, Host]:
        """Return L and R with the matrix ``L @ R.T`` of a vector; they hold until the next call."""
        self._set(x)
        return self._L[:, : 2 * self.rank], self._R[:, : 2 * self.rank]

    def _set(self, x: Host) -> None:
        A, C, B = self.parts(x)
        r = self.rank
        self._L[:, :r] = self.U @ A + C
        self._R[:, r : 2 * r] = B

    def forward(self, x: Host) -> Host:
        """Return the matrix of a vector at the observed entries."""
        self._set(x)
        return self.entries.inner_padded(self._L, self._R)

    def adjoint(self, z: Host) -> Host:
        """Return the projection of the weighted sparse matrix."""
        wz = self.entries.weighted(z)
        X, Y = self.entries.mat(wz, self.V), self.entries.rmat(wz, self.U)
        return self.projected(X, Y)

    def normal(self, x: Host) -> Host:
        """Return ``adjoint(forward(x))``, in one read of the entries on each side."""
        self._set(x)
        z, X = self.entries.normal_padded(self._L, self._R, self._U.shape[1])
        Y = self.entries.rmat_padded(z, self._U)
        return self.projected(X[:, : self.rank], Y[:, : self.rank])

    def projected(self, X: Host, Y: Host) -> Host:
        """Return the projection of a matrix M, of which ``X = M V`` and ``Y = M^T U`` are given."""
        out = np.empty(self.size)
        A, C, B = self.parts(out)
        np.matmul(self.U.T, X, out=A)
        np.subtract(X, self.U @ A, out=C)
        np.subtract(Y, self.V @ A.T, out=B)
        return out

    def cleaned(self, x: Host) -> Host:
        """Return a vector without what rounding left of C along U and of B along V."""
        out = x.copy()
        _, C, B = self.parts(out)
        C -= self.U @ (self.U.T @ C)
        B -= self.V @ (self.V.T @ B)
        return out


def retract(tangent: Tangent, s: Host, x: Host) -> Point:
    """Return the best matrix of the same rank for ``U diag(s) V^T`` plus a tangent vector."""
    A, C, B = tangent.parts(x)
    r = tangent.rank
    Q, R = np.linalg.qr(C)
    P, T = np.linalg.qr(B)
    core = np.zeros((r + R.shape[0], r + T.shape[0]))
    core[:r, :r] = np.diag(s) + A
    core[:r, r:], core[r:, :r] = T.T, R
    u, values, vh = np.linalg.svd(core)
    return Point(
        np.hstack([tangent.U, Q]) @ u[:, :r], values[:r], np.hstack([tangent.V, P]) @ vh[:r].T
    )


class Blocks:
    """Inverses of the r x r Gram matrices of every row and of every column: a preconditioner.

    With C alone, or B alone, the least-squares problem falls apart into rows, or columns. The
    diagonal `off` is added to each Gram matrix, `core` to that of the core, which is taken to be
    the mean weight times the identity.
    """

    def __init__(self, tangent: Tangent, off: Host, core: Host) -> None:
        self.tangent = tangent
        entries = tangent.entries
        w = entries.weights if entries.weights.size else np.ones(entries.values.size)
        self._rows = self._inverses(entries.mat(w, _pairs(tangent.V)), off, entries.row_cuts)
        self._columns = self._inverses(entries.rmat(w, _pairs(tangent.U)), off, entries.column_cuts)
        self._core = 1 / (entries.density + core)

    def _inverses(self, grams: Host, off: Host, cuts: Host) -> Host:
        loops = self.tangent.entries.loops
        r = self.tangent.rank
        blocks = np.zeros((grams.shape[0], r, len(_lanes(r))))
        a, b = np.tril_indices(r)
        blocks[:, a, b] = grams
        k = np.arange(r)
        blocks[:, k, k] += off + 1e-300
        square = blocks[:, :, :r]
        run_blocks(lambda i: loops.invert_blocks(square, cuts[i], cuts[i + 1]), cuts.size - 1)
        return blocks

    def __call__(self, x: Host) -> Host:
        """Return the preconditioned vector."""
        t = self.tangent
        A, C, B = t.parts(x)
        X = self._applied(self._rows, t.U @ A + C, t.entries.row_cuts)
        Y = self._applied(self._columns, t.V @ A.T + B, t.entries.column_cuts)
        out = np.empty_like(x)
        A1, C1, B1 = t.parts(out)
        left, right = t.U.T @ X, t.V.T @ Y
        np.subtract(X, t.U @ left, out=C1)
        np.subtract(Y, t.V @ right, out=B1)
        A1[...] = left + right.T + self._core * A
        return out

    def _applied(self, blocks: Host, X: Host, cuts: Host) -> Host:
        loops = self.tangent.entries.loops
        out = np.empty((X.shape[0], blocks.shape[2]))
        flat, result, lanes = blocks.reshape(-1), out.reshape(-1), (0,) * blocks.shape[2]

        def work(i: int) -> None:
            loops.apply_blocks(flat, lanes, X, cuts[i], cuts[i + 1], result)

        run_blocks(work, cuts.size - 1)
        return out[:, : X.shape[1]]


def _pairs(X: Host) -> Host:
    """Return the products of all pairs of columns."""
    a, b = np.tril_indices(X.shape[1])
    return X[:, a] * X[:, b]


def conjugate_gradients(
    apply: Callable[[Host], Host],
    residual: Host,
    x: Host,
    precondition: Callable[[Host], Host],
    clean: Callable[[Host], Host],
    *,
    tol: float,
    steps: int,
) -> tuple[Host, int]:
    """Solve ``apply(x) = b`` from x with ``residual = b - apply(x)``; return x and the steps.

    Stop when the residual has fallen to `tol` times its first norm. Rounding lets vectors drift off
    the tangent space, so both are cleaned now and then.
    """
    goal = (tol * np.linalg.norm(residual)) ** 2
    p = z = precondition(residual)
    rz = residual @ z
    for step in range(1, steps + 1):
        q = apply(p)
        pq = p @ q
        if not pq > 0 or not rz > 0:  # the rest is rounding
            return x, step - 1
        x = x + (rz / pq) * p
        residual = residual - (rz / pq) * q
        if step % 25 == 0:
            x, residual = clean(x), clean(residual)
        if residual @ residual <= goal:
            return x, step
        z = precondition(residual)
        rz, before = residual @ z, rz
        p = z + (rz / before) * p
    return x, steps
