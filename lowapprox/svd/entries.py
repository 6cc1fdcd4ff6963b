"""Access to single entries of a positive semidefinite matrix, without forming it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from lowapprox._core.checks import check_home
from lowapprox._core.errors import InputError
from lowapprox._core.matrix import MatrixLike, as_matrix
from lowapprox._core.typing import Array

__all__ = ["PSDEntries", "dense_entries", "kernel_entries", "sparse_entries"]

Host: TypeAlias = np.ndarray[Any, Any]
Reader: TypeAlias = Callable[[slice], Array]


class PSDEntries:
    """Diagonal, blocks and columns of a Hermitian matrix in one namespace.

    Parameters
    ----------
    op : MatrixLike
        Gives namespace, device and precision.
    diagonal : numpy.ndarray, shape (n,)
        As read; its entries must be real and nonnegative.
    block : callable
        ``block(P)`` returns ``A[P, P]`` in NumPy.
    rows : callable
        ``rows(S)`` returns a function of a slice T of columns that returns ``A[:, S]^T`` there,
        of shape ``(len(S), len(T))``, in the namespace of the matrix.
    """

    def __init__(
        self,
        op: MatrixLike,
        diagonal: Host,
        block: Callable[[Host], Host],
        rows: Callable[[Host], Reader],
    ) -> None:
        self._op = op
        self.xp = op.xp
        self.dtype = op.dtype
        self.from_numpy, self.to_numpy = op.from_numpy, op.to_numpy
        self.diagonal = _checked_diagonal(diagonal, op.eps)
        self.n = int(self.diagonal.size)
        self.block, self.rows = block, rows

    def empty(self, count: int) -> Array:
        """Rows of length n, not initialized."""
        if self.xp is np:
            return np.empty((count, self.n), dtype=self.dtype)
        example = self.from_numpy(np.zeros((1, 1)))
        import array_api_compat

        device = array_api_compat.device(example)
        return self.xp.empty((count, self.n), dtype=example.dtype, device=device)

    def take(self, rows: Array, indices: Host) -> Host:
        """Columns of an array of rows, on the host."""
        if self.xp is np:
            return np.asarray(rows[:, indices])
        return self.to_numpy(_take(self.xp, rows, indices, 1))

    def tiles(self, width: int) -> Iterator[slice]:
        """Slices that cover the columns: cache-sized on the host, one elsewhere."""
        step = width if self.xp is np else max(self.n, 1)
        return (slice(i, min(i + step, self.n)) for i in range(0, self.n, step))


def dense_entries(op: MatrixLike) -> PSDEntries:
    """Entries of a dense array in any namespace."""
    A, xp = op.source, op.xp
    if xp is np:
        by_columns = A.flags.f_contiguous and not A.flags.c_contiguous
        source = A.T if by_columns else A

        def rows(S: Host) -> Reader:
            def read(tile: slice) -> Host:
                part: Host = source[S, tile].astype(op.dtype, copy=False)
                return part.conj() if op.dtype.kind == "c" and not by_columns else part

            return read

        def block(P: Host) -> Host:
            return np.asarray(A[np.ix_(P, P)], dtype=op.dtype)

        return PSDEntries(op, np.diagonal(A).astype(op.dtype), block, rows)

    def rows_of_array(S: Host) -> Reader:
        part = _take(xp, A, S, 0)
        part = xp.conj(part) if op.dtype.kind == "c" else part
        return lambda tile: part[:, tile]

    def block_of_array(P: Host) -> Host:
        return op.to_numpy(_take(xp, _take(xp, A, P, 0), P, 1))

    return PSDEntries(op, op.to_numpy(xp.linalg.diagonal(A)), block_of_array, rows_of_array)


def sparse_entries(op: Any) -> PSDEntries:
    """Entries of a sparse matrix; rows are densified block by block."""
    csr = op.csr

    def rows(S: Host) -> Reader:
        part = csr[S].toarray()
        part = part.conj() if op.dtype.kind == "c" else part
        return lambda tile: part[:, tile]

    return PSDEntries(op, csr.diagonal(), lambda P: csr[P][:, P].toarray(), rows)


def kernel_entries(kernel: Callable[[Host, Host], Array], diag: Any) -> PSDEntries:
    """Entries of a matrix that is known through a function of index arrays."""
    if not hasattr(diag, "shape"):
        diag = np.asarray(diag)
    if len(diag.shape) != 1:
        raise InputError(f"`diag` must have one dimension, got shape {tuple(diag.shape)}")
    column = as_matrix(diag[:, None], "diag")
    n = column.shape[0]
    index = np.arange(n)

    def call(rows: Host, cols: Host) -> Array:
        out = kernel(rows, cols)
        shape = tuple(getattr(out, "shape", ()))
        if shape != (rows.size, cols.size):
            raise InputError(
                f"the kernel must return shape {(rows.size, cols.size)} for that many rows and "
                f"columns, got {shape}"
            )
        return out

    # The precision is that of the entries: a complex kernel has a real diagonal.
    op = as_matrix(call(index[:1], index[:1]), "kernel") if n else column
    check_home(diag, op.entries(), "diag")

    def native(part: Array) -> Array:
        return as_matrix(part, "kernel").entries()

    def rows(S: Host) -> Reader:
        def read(tile: slice) -> Array:
            part = native(call(S, index[tile]))
            return op.xp.conj(part) if op.dtype.kind == "c" else part

        return read

    diagonal = column.to_numpy(column.entries())[:, 0]
    return PSDEntries(op, diagonal, lambda P: op.to_numpy(native(call(P, P))), rows)


def _take(xp: Any, x: Array, indices: Host, axis: int) -> Array:
    import array_api_compat

    where = xp.asarray(indices, device=array_api_compat.device(x))
    return xp.take(x, where, axis=axis)


def _checked_diagonal(diagonal: Host, eps: float) -> Host:
    real = np.real(diagonal).astype(np.float64)
    if not np.isfinite(diagonal).all():
        raise InputError("the diagonal must be finite, got NaN or infinity")
    if (real < 0.0).any():
        at = int(real.argmin())
        raise InputError(f"the diagonal must be nonnegative, got {real[at]:.3g} at index {at}")
    if (np.abs(np.imag(diagonal)) > np.sqrt(eps) * real).any():
        raise InputError("the matrix must be Hermitian, got a diagonal that is not real")
    return real
