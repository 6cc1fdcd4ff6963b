"""Products of sparse matrices with panels, by compiled kernels or by SciPy.

Which one, measured on a matrix of 200 000 x 50 000 with 10 million entries and power-law rows and
columns (2 threads; SciPy has no threads):

- 1 or 2 columns: SciPy;
- more: row-gather kernel for ``A @ X`` and column-range scatter kernel for ``A^H @ Y``, on panels
  of up to two cache lines (16 float64 or 32 float32 columns); wider products are cut into such
  panels. A transposed copy (gather on both sides) was slower than the scatter and doubles the
  memory;
- complex matrices, and matrices with few entries: SciPy. Loading numba and the kernels costs more
  than all products of a run with a small matrix.

The choice depends on the matrix and the width alone, never on the threads or on what ran before,
so that equal calls give equal bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.panels import aligned_empty, packed, panel_cuts
from lowapprox._core.typing import Array

__all__ = ["KERNEL_ENTRIES", "KernelProducts", "SciPyProducts", "csr_products"]

KERNEL_ENTRIES = 1 << 20  # matrices with fewer entries never load numba

_MIN_COLUMNS = 3
_ROW_RANGES = 32
_MAX_COLUMN_RANGES = 8  # each one reads the whole matrix


def csr_products(csr: Any) -> SciPyProducts:
    """Choose how a canonical CSR matrix is multiplied."""
    if csr.dtype.kind == "f" and csr.nnz >= KERNEL_ENTRIES:
        return KernelProducts(csr)
    return SciPyProducts(csr)


class SciPyProducts:
    """Products by scipy.sparse.

    Parameters
    ----------
    csr : scipy.sparse CSR array or matrix, shape (m, n)
        In canonical format: indices sorted, no duplicates.
    """

    def __init__(self, csr: Any) -> None:
        self.csr = csr

    def mat(self, X: Array) -> Array:
        """Return ``A @ X`` for X of shape (n, b)."""
        return self.csr @ X

    def rmat(self, Y: Array) -> Array:
        """Return ``A^H @ Y`` for Y of shape (m, b)."""
        if self.csr.dtype.kind == "c":
            return (self.csr.T @ Y.conj()).conj()
        return self.csr.T @ Y


class KernelProducts(SciPyProducts):
    """Products by compiled kernels, for real matrices.

    Parameters
    ----------
    csr : scipy.sparse CSR array or matrix, shape (m, n), float32 or float64
        In canonical format.

    Notes
    -----
    A panel of X that is C-ordered, 64-byte aligned and as wide as a kernel is used as it is, any
    other one is packed. Products are C-ordered and aligned; their rows are padded to the width of
    a kernel. Wider than a panel, ``A^H @ Y`` is C-contiguous.
    """

    def __init__(self, csr: Any) -> None:
        super().__init__(csr)
        small = max(csr.shape) <= np.iinfo(np.int32).max
        self._indptr = csr.indptr.astype(np.int64, copy=False)
        self._indices = csr.indices.astype(np.int32 if small else np.int64, copy=False)
        self._data = np.ascontiguousarray(csr.data)
        self._rows = _balanced(self._indptr + np.arange(self._indptr.size), _ROW_RANGES)
        self._cuts: dict[int, Any] = {}

    def mat(self, X: Array) -> Array:
        if not self._suits(X):
            return super().mat(X)
        from lowapprox._core.kernels_csr import gather, gather_parallel
        from lowapprox._core.threads import parallel_allowed

        b = X.shape[1]
        panels = panel_cuts(b, X.itemsize)
        step = sum(width for _, width in panels)
        out = aligned_empty((self.csr.shape[0], step), X.dtype)
        run, rows = (gather, self._rows[[0, -1]])
        if parallel_allowed():
            run, rows = gather_parallel, self._rows
        for start, width in panels:
            panel = packed(X, start, width).reshape(-1)
            flat = out.reshape(-1)[start:]
            run(self._indptr, self._indices, self._data, panel, (0,) * width, rows, step, flat)
        return out[:, :b]

    def rmat(self, Y: Array) -> Array:
        if not self._suits(Y):
            return super().rmat(Y)
        b, n = Y.shape[1], self.csr.shape[1]
        panels = panel_cuts(b, Y.itemsize)
        if len(panels) == 1:
            return self._scattered(Y, *panels[0])[:, :b]
        out = aligned_empty((n, b), Y.dtype)
        for start, width in panels:
            stop = min(start + width, b)
            out[:, start:stop] = self._scattered(Y, start, width)[:, : stop - start]
        return out

    def _scattered(self, Y: Array, start: int, width: int) -> Array:
        """Return ``A^T @ Y[:, start : start + width]``, padded to `width` columns."""
        from lowapprox._core.kernels_csr import scatter, scatter_parallel
        from lowapprox._core.threads import kernel_threads, parallel_allowed

        flat, step = _rows_in_place(Y, start, width)
        out = aligned_empty((self.csr.shape[1], width), Y.dtype)
        out.fill(0)
        rest = (self._indices, self._data, flat, step, (0,) * width, out.reshape(-1))
        if parallel_allowed():
            scatter_parallel(self._column_cuts(min(kernel_threads(), _MAX_COLUMN_RANGES)), *rest)
        else:
            scatter(self._indptr[:-1], self._indptr[1:], *rest)
        return out

    def _column_cuts(self, ranges: int) -> Any:
        """Positions that split the rows into ranges of columns, of equal numbers of entries."""
        if ranges not in self._cuts:
            from lowapprox._core.kernels_csr import column_counts, column_cuts

            counts = np.zeros(self.csr.shape[1] + 1, dtype=np.int64)
            column_counts(self._indices, counts[1:])
            cuts = np.empty((ranges + 1, self.csr.shape[0]), dtype=np.int64)
            cuts[0], cuts[-1] = self._indptr[:-1], self._indptr[1:]
            bounds = _balanced(np.cumsum(counts), ranges)
            column_cuts(self._indptr, self._indices, bounds[1:-1], cuts[1:-1])
            self._cuts[ranges] = cuts
        return self._cuts[ranges]

    def _suits(self, X: Array) -> bool:
        return (
            isinstance(X, np.ndarray)
            and X.ndim == 2
            and X.shape[1] >= _MIN_COLUMNS
            and X.dtype == self._data.dtype
            and X.dtype.isnative
        )


def _rows_in_place(Y: Array, start: int, width: int) -> tuple[Array, int]:
    """Return columns as a flat array and the distance of its rows; packed only where they must."""
    step, rest = divmod(Y.strides[0], Y.itemsize)
    whole = start + width <= Y.shape[1] and Y.shape[0] > 0
    if whole and step > 0 and rest == 0 and Y.strides[1] == Y.itemsize and Y.flags.aligned:
        size = (Y.shape[0] - 1) * step + width
        columns = Y[:, start : start + width]
        return np.lib.stride_tricks.as_strided(columns, (size,), (Y.itemsize,)), step
    return packed(Y, start, width).reshape(-1), width


def _balanced(ends: Any, parts: int) -> Any:
    """Return parts + 1 bounds between 0 and ``ends.size - 1`` with equal steps of `ends`."""
    goals = np.linspace(ends[0], ends[-1], parts + 1)
    bounds = np.searchsorted(ends, goals)
    bounds[0], bounds[-1] = 0, ends.size - 1
    return np.minimum(bounds, ends.size - 1).astype(np.int64)
