"""Products of dense matrices with panels of few columns, by compiled kernels.

A BLAS copies its operands into tiles first, which takes as long as the arithmetic when one of them
has few columns. The kernels read the matrix as it lies in memory, once. Measured on 4000 x 3000
(2 threads, AVX-512, medians; OpenBLAS in the faster of its forms):

=======  =======  ===========  ============
dtype    columns  ``A @ X``    ``A^T @ Y``
=======  =======  ===========  ============
float64  16       2.5; 5.2 ms  2.8; 4.8 ms
float32  32       2.4; 5.6 ms  2.9; 4.6 ms
float32  16       1.4; 4.4 ms  1.8; 3.3 ms
=======  =======  ===========  ============
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.memory import as_writeable
from lowapprox._core.panels import LINE, aligned_empty, packed, panel_cuts
from lowapprox._core.typing import Array

__all__ = ["KERNEL_ENTRIES", "PanelProducts", "suits_kernels"]

# Smaller matrices never load numba, which takes about 0.4 s once a process. From here on a
# truncated SVD saves about 20 ms or more.
KERNEL_ENTRIES = 1 << 23

_MOST_COLUMNS = 64  # wider products are left to BLAS
_TILE_ROWS = 12  # the most rows of the matrix that go together
_COLUMNS = 2048  # of the matrix, whose part of a panel stays in the second cache
_ROW_RANGES = 32
_SUMS = 16  # ranges of rows whose transposed products are summed apart, at most
_SUM_ROWS = 512  # a range has at least so many rows


def suits_kernels(A: Array) -> bool:
    """Tell whether a NumPy array that BLAS can read is worth the kernels."""
    return A.dtype.char in "fd" and A.size >= KERNEL_ENTRIES and A.itemsize in A.strides


class PanelProducts:
    """Products of a matrix that lies in memory by rows.

    Parameters
    ----------
    A : numpy.ndarray, shape (m, n), float32 or float64
        Aligned and native; its rows are contiguous and apart from one another.
    """

    def __init__(self, A: Array) -> None:
        m, n = self.shape = A.shape
        self._step = A.strides[0] // A.itemsize if m > 1 else n
        size = (m - 1) * self._step + n
        self._flat = as_writeable(np.lib.stride_tricks.as_strided(A, (size,), (A.itemsize,)))
        self._columns = _ranges(n, -(-n // _COLUMNS))
        # Ranges of whole tiles, whichever of its divisors the tile has as its height.
        self._rows = _ranges(m, _ROW_RANGES, _TILE_ROWS)
        sums = 1 << max(m // _SUM_ROWS, 1).bit_length() - 1
        self._sums = _ranges(m, min(sums, _SUMS), _TILE_ROWS)
        self._spare: list[Array] = []  # memory for these sums: new pages take long to come

    def suits(self, X: Array) -> bool:
        """Tell whether the kernels multiply with X."""
        return (
            isinstance(X, np.ndarray)
            and X.ndim == 2
            and 0 < X.shape[1] <= _MOST_COLUMNS
            and X.dtype == self._flat.dtype
        )

    def multiply(self, X: Array) -> Array:
        """Return ``A @ X``, C-ordered."""
        from lowapprox._core.kernels_dense import multiply, multiply_parallel
        from lowapprox._core.threads import parallel_allowed

        b = X.shape[1]
        cuts = panel_cuts(b, X.itemsize)
        step = sum(width for _, width in cuts)
        out = aligned_empty((self.shape[0], step), X.dtype)
        run, bounds = (multiply, self._rows[[0, -1]])
        if parallel_allowed():
            run, bounds = multiply_parallel, self._rows
        for start, width in cuts:
            lanes, rows = _tile(width, X.itemsize)
            panel, flat = packed(X, start, width).reshape(-1), out.reshape(-1)[start:]
            run(self._flat, self._step, panel, lanes, rows, bounds, self._columns, flat, step)
        return out[:, :b]

    def adjoint(self, Y: Array) -> Array:
        """Return ``A.T @ Y``, C-ordered."""
        b = Y.shape[1]
        cuts = panel_cuts(b, Y.itemsize)
        if len(cuts) == 1:
            return self._summed(Y, *cuts[0])[:, :b]
        out = aligned_empty((self.shape[1], b), Y.dtype)
        for start, width in cuts:
            stop = min(start + width, b)
            out[:, start:stop] = self._summed(Y, start, width)[:, : stop - start]
        return out

    def _summed(self, Y: Array, start: int, width: int) -> Array:
        """Return ``A.T @ Y[:, start : start + width]``, padded to `width` columns."""
        from lowapprox._core.kernels_dense import add_parts, adjoint, adjoint_parallel
        from lowapprox._core.threads import parallel_allowed

        n = self.shape[1]
        lanes, rows = _tile(width, Y.itemsize)
        panel = packed(Y, start, width).reshape(-1)
        out = aligned_empty((n, width), Y.dtype)
        count = self._sums.size - 1
        try:
            spare = self._spare.pop()
        except IndexError:
            spare = aligned_empty((1, count * n * max(width, 2 * LINE // Y.itemsize)), Y.dtype)[0]
        parts = spare[: count * n * width].reshape(count, -1)
        common = (self._flat, self._step, panel, lanes, rows)
        if parallel_allowed():
            adjoint_parallel(*common, self._sums, self._columns, parts)
            add_parts(parts, _ranges(n * width, _ROW_RANGES), out.reshape(-1))
        else:
            for p, part in enumerate(parts):
                for q in range(self._columns.size - 1):
                    columns = self._columns[q : q + 2]
                    adjoint(*common, self._sums[p : p + 2], columns, part)
            parts.sum(axis=0, out=out.reshape(-1))
        self._spare.append(spare)
        return out

    def fro2(self) -> float:
        """Return the squared Frobenius norm."""
        from lowapprox._core.kernels_dense import squares, squares_parallel
        from lowapprox._core.threads import parallel_allowed

        lanes = (0,) * 32
        sums = np.zeros((_ROW_RANGES, len(lanes) + 1))
        if parallel_allowed():
            squares_parallel(self._flat, self._step, lanes, self._rows, self.shape[1], sums)
        else:
            for p in range(_ROW_RANGES):
                rows = self._rows[p : p + 2]
                squares(self._flat, self._step, lanes, rows, self.shape[1], sums[p])
        return float(sums.sum())


def _tile(width: int, itemsize: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return lanes and rows of the highest tile that fits the registers."""
    from lowapprox._core.simd import REGISTER_BYTES, REGISTERS

    each = -(-width * itemsize // REGISTER_BYTES)
    height = next(h for h in (12, 6, 4, 3, 2, 1) if h == 1 or (h + 1) * each < REGISTERS)
    return (0,) * width, (0,) * height


def _ranges(size: int, count: int, unit: int = 1) -> Any:
    """Return the bounds of equal ranges, multiples of `unit` except the last."""
    bounds = np.arange(count + 1) * (size // unit) // count * unit
    bounds[-1] = size
    return bounds
