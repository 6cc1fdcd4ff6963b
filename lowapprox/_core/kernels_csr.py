"""Products of CSR matrices with panels of few columns, one panel row in vector registers.

A panel has ``len(lanes)`` columns; it is passed as a flat array with the distance `step` between
its rows, or without it when the rows follow one another. Every sum runs in the order in which the
entries are stored, whatever the split of the work, so the bits do not depend on the threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel, prange
from lowapprox._core.simd import vfill, vload, vmuladd, vstore

__all__ = [
    "column_counts",
    "column_cuts",
    "gather",
    "gather_parallel",
    "scatter",
    "scatter_parallel",
]


@kernel()
def gather(
    indptr: Any, indices: Any, data: Any, panel: Any, lanes: Any, rows: Any, step: int, out: Any
) -> None:
    """Write rows ``rows[0]`` to ``rows[1]`` of ``A @ panel``."""
    width = len(lanes)
    for i in range(rows[0], rows[1]):
        total = vfill(data.dtype.type(0), lanes)
        for t in range(indptr[i], indptr[i + 1]):
            row = vload(panel, np.intp(indices[t]) * width, lanes)
            total = vmuladd(total, data[t], row)
        vstore(out, i * step, total)


@kernel(parallel=True)
def gather_parallel(
    indptr: Any, indices: Any, data: Any, panel: Any, lanes: Any, rows: Any, step: int, out: Any
) -> None:
    """Run `gather` on each range of rows between neighbours in `rows`."""
    for p in prange(rows.size - 1):
        gather(indptr, indices, data, panel, lanes, rows[p : p + 2], step, out)


@kernel()
def scatter(
    starts: Any, ends: Any, indices: Any, data: Any, panel: Any, step: int, lanes: Any, out: Any
) -> None:
    """Add ``A.T @ panel`` to `out`, with the entries of row i between starts[i] and ends[i]."""
    width = len(lanes)
    for i in range(starts.size):
        row = vload(panel, i * step, lanes)
        for t in range(starts[i], ends[i]):
            j = np.intp(indices[t]) * width
            vstore(out, j, vmuladd(vload(out, j, lanes), data[t], row))


@kernel(parallel=True)
def scatter_parallel(
    cuts: Any, indices: Any, data: Any, panel: Any, step: int, lanes: Any, out: Any
) -> None:
    """Run `scatter` on each range of columns, which the rows of `cuts` separate."""
    for p in prange(cuts.shape[0] - 1):
        scatter(cuts[p], cuts[p + 1], indices, data, panel, step, lanes, out)


@kernel()
def column_counts(indices: Any, out: Any) -> None:
    """Add the number of entries of each column."""
    for j in indices:
        out[j] += 1


@kernel()
def column_cuts(indptr: Any, indices: Any, bounds: Any, out: Any) -> None:
    """Write the position of the first entry of row i not left of column bounds[p] to out[p, i]."""
    for i in range(indptr.size - 1):
        low = indptr[i]
        for p in range(bounds.size):
            high = indptr[i + 1]
            while low < high:
                middle = (low + high) // 2
                if indices[middle] < bounds[p]:
                    low = middle + 1
                else:
                    high = middle
            out[p, i] = low
