"""Products of dense matrices with panels of few columns, a tile of the matrix a step.

A matrix is a flat array whose rows begin `step` apart. A panel is flat too, with ``len(lanes)``
columns and nothing between its rows. ``len(rows)`` rows of the matrix go together: each row of the
panel is then loaded once for all of them, and the matrix streams through the caches once. Every sum
runs in an order that depends on the given ranges alone, whatever the tile and the threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel, prange
from lowapprox._core.simd import vdouble, vfill, vload, vmuladd, vstore
from lowapprox._core.simd_tiles import vinner, vouter, vtile, vtile_store

__all__ = [
    "add_parts",
    "adjoint",
    "adjoint_parallel",
    "multiply",
    "multiply_parallel",
    "squares",
    "squares_parallel",
]


@kernel()
def _add_product(
    A: Any, step: int, span: Any, panel: Any, lanes: Any, rows: Any, out: Any, out_step: int
) -> None:
    """Add the product of a piece of A, (first, last row, first, last column) in `span`."""
    w = len(lanes)
    for i in range(span[0], span[1], len(rows)):
        tile = vtile(out, i * out_step, out_step, lanes, rows)
        for k in range(span[2], span[3]):
            tile = vouter(tile, A, i * step + k, step, vload(panel, k * w, lanes))
        vtile_store(out, i * out_step, out_step, tile)


@kernel()
def multiply(
    A: Any,
    step: int,
    panel: Any,
    lanes: Any,
    rows: Any,
    bounds: Any,
    columns: Any,
    out: Any,
    out_step: int,
) -> None:
    """Write rows ``bounds[0]`` to ``bounds[1]`` of ``A @ panel``, by the ranges of columns."""
    first, last = bounds[0], bounds[1]
    zero = vfill(A.dtype.type(0), lanes)
    for i in range(first, last):
        vstore(out, i * out_step, zero)
    tail = last - (last - first) % len(rows)
    for q in range(columns.size - 1):
        k0, k1 = columns[q], columns[q + 1]
        _add_product(A, step, (first, tail, k0, k1), panel, lanes, rows, out, out_step)
        _add_product(A, step, (tail, last, k0, k1), panel, lanes, (0,), out, out_step)


@kernel(parallel=True)
def multiply_parallel(
    A: Any,
    step: int,
    panel: Any,
    lanes: Any,
    rows: Any,
    bounds: Any,
    columns: Any,
    out: Any,
    out_step: int,
) -> None:
    """Run `multiply` on each range of rows between neighbours in `bounds`."""
    for p in prange(bounds.size - 1):
        multiply(A, step, panel, lanes, rows, bounds[p : p + 2], columns, out, out_step)


@kernel()
def _add_adjoint(A: Any, step: int, span: Any, panel: Any, lanes: Any, rows: Any, out: Any) -> None:
    """Add the product of a transposed piece of A, given as in `_add_product`."""
    w = len(lanes)
    for i in range(span[0], span[1], len(rows)):
        tile = vtile(panel, i * w, w, lanes, rows)
        for k in range(span[2], span[3]):
            vstore(out, k * w, vinner(vload(out, k * w, lanes), A, i * step + k, step, tile))


@kernel()
def adjoint(
    A: Any, step: int, panel: Any, lanes: Any, rows: Any, bounds: Any, columns: Any, out: Any
) -> None:
    """Write ``A.T @ panel`` of rows ``bounds[0]`` to ``bounds[1]``, a range of columns."""
    first, last, k0, k1 = bounds[0], bounds[1], columns[0], columns[1]
    zero = vfill(A.dtype.type(0), lanes)
    for k in range(k0, k1):
        vstore(out, k * len(lanes), zero)
    tail = last - (last - first) % len(rows)
    _add_adjoint(A, step, (first, tail, k0, k1), panel, lanes, rows, out)
    _add_adjoint(A, step, (tail, last, k0, k1), panel, lanes, (0,), out)


@kernel(parallel=True)
def adjoint_parallel(
    A: Any, step: int, panel: Any, lanes: Any, rows: Any, bounds: Any, columns: Any, parts: Any
) -> None:
    """Run `adjoint` on each range of rows and of columns; ``parts[p]`` belongs to rows p."""
    ranges = columns.size - 1
    for t in prange((bounds.size - 1) * ranges):
        p, q = t // ranges, t % ranges
        adjoint(A, step, panel, lanes, rows, bounds[p : p + 2], columns[q : q + 2], parts[p])


@kernel(parallel=True)
def add_parts(parts: Any, bounds: Any, out: Any) -> None:
    """Write the sum of the rows of `parts`, a range of their items for each step."""
    for t in prange(bounds.size - 1):
        for j in range(bounds[t], bounds[t + 1]):
            out[j] = parts[0, j]
        for p in range(1, parts.shape[0]):
            for j in range(bounds[t], bounds[t + 1]):
                out[j] += parts[p, j]


@kernel()
def squares(A: Any, step: int, lanes: Any, bounds: Any, width: int, out: Any) -> None:
    """Write sums of squares of rows ``bounds[0]`` to ``bounds[1]``, in double precision."""
    w = len(lanes)
    total = vfill(np.float64(0), lanes)
    rest = np.float64(0)
    for i in range(bounds[0], bounds[1]):
        for k in range(i * step, i * step + width - width % w, w):
            v = vdouble(vload(A, k, lanes))
            total = vmuladd(total, v, v)
        for k in range(i * step + width - width % w, i * step + width):
            rest += np.float64(A[k]) * np.float64(A[k])
    vstore(out, 0, total)
    out[w] = rest


@kernel(parallel=True)
def squares_parallel(A: Any, step: int, lanes: Any, bounds: Any, width: int, out: Any) -> None:
    """Run `squares` on each range of rows between neighbours in `bounds`."""
    for p in prange(bounds.size - 1):
        squares(A, step, lanes, bounds[p : p + 2], width, out[p])
