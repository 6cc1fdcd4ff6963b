"""Small dense products of tall panels with few columns.

A panel is a flat C-ordered array with ``len(lanes)`` columns; C, H and `out` are flat as well and
as wide as the panel. Each kernel works on a range of panel rows. The parallel forms run all ranges,
and give sums a slot of `out` for each; the ranges are chosen by the problem, so the bits do not
depend on the threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel, prange
from lowapprox._core.simd import vadd, vdouble, vfill, vload, vmuladd, vstore

__all__ = [
    "add_panel",
    "add_panel_parallel",
    "add_rows",
    "add_rows_parallel",
    "gram",
    "gram_parallel",
    "multiply",
    "multiply_parallel",
    "rows_dot",
    "rows_dot_parallel",
]

_CHUNK = 512  # panel rows that stay in the nearest cache


@kernel()
def _add_gram(panel: Any, lanes: Any, first: int, last: int, out: Any) -> None:
    """Add the Gram matrix of some rows, four a step: `out` is loaded and stored less often."""
    w = len(lanes)
    tail = last - (last - first) % 4
    for i in range(first * w, tail * w, 4 * w):
        row0 = vdouble(vload(panel, i, lanes))
        row1 = vdouble(vload(panel, i + w, lanes))
        row2 = vdouble(vload(panel, i + 2 * w, lanes))
        row3 = vdouble(vload(panel, i + 3 * w, lanes))
        for a in range(w):
            total = vload(out, a * w, lanes)
            total = vmuladd(total, np.float64(panel[i + a]), row0)
            total = vmuladd(total, np.float64(panel[i + w + a]), row1)
            total = vmuladd(total, np.float64(panel[i + 2 * w + a]), row2)
            total = vmuladd(total, np.float64(panel[i + 3 * w + a]), row3)
            vstore(out, a * w, total)
    for i in range(tail * w, last * w, w):
        row = vdouble(vload(panel, i, lanes))
        for a in range(w):
            total = vmuladd(vload(out, a * w, lanes), np.float64(panel[i + a]), row)
            vstore(out, a * w, total)


@kernel()
def gram(panel: Any, lanes: Any, first: int, last: int, out: Any) -> None:
    """Write ``P^T P``, in double precision."""
    out[:] = 0.0
    _add_gram(panel, lanes, first, last, out)


@kernel(parallel=True)
def gram_parallel(panel: Any, lanes: Any, bounds: Any, out: Any) -> None:
    for p in prange(bounds.size - 1):
        gram(panel, lanes, bounds[p], bounds[p + 1], out[p])


@kernel()
def multiply(panel: Any, C: Any, lanes: Any, first: int, last: int) -> None:
    """Replace the panel by ``P @ C``."""
    w = len(lanes)
    for i in range(first * w, last * w, w):
        total = vfill(panel.dtype.type(0), lanes)
        for a in range(w):
            total = vmuladd(total, panel[i + a], vload(C, a * w, lanes))
        vstore(panel, i, total)


@kernel(parallel=True)
def multiply_parallel(panel: Any, C: Any, lanes: Any, bounds: Any) -> None:
    for p in prange(bounds.size - 1):
        multiply(panel, C, lanes, bounds[p], bounds[p + 1])


@kernel()
def add_panel(panel: Any, U: Any, C: Any, lanes: Any, first: int, last: int, out: Any) -> None:
    """Add ``U @ C`` to the panel, and write the Gram matrix of the result."""
    w = len(lanes)
    out[:] = 0.0
    for start in range(first, last, _CHUNK):
        stop = min(start + _CHUNK, last)
        for i in range(start * w, stop * w, w):
            total = vload(panel, i, lanes)
            for a in range(w):
                total = vmuladd(total, U[i + a], vload(C, a * w, lanes))
            vstore(panel, i, total)
        _add_gram(panel, lanes, start, stop, out)


@kernel(parallel=True)
def add_panel_parallel(panel: Any, U: Any, C: Any, lanes: Any, bounds: Any, out: Any) -> None:
    for p in prange(bounds.size - 1):
        add_panel(panel, U, C, lanes, bounds[p], bounds[p + 1], out[p])


@kernel()
def _add_row(out: Any, row: int, lanes: Any, v: Any) -> None:
    place = row * len(lanes)
    vstore(out, place, vadd(vload(out, place, lanes), vdouble(v)))


@kernel()
def rows_dot(panel: Any, V: Any, lanes: Any, first: int, last: int, out: Any) -> None:
    """Write ``V @ P``: short sums in the precision of the panel, their sums in double precision."""
    w = len(lanes)
    count = V.shape[0]
    zero = vfill(panel.dtype.type(0), lanes)
    out[:] = 0.0
    for start in range(first, last, _CHUNK):
        stop = min(start + _CHUNK, last)
        for d in range(0, count - count % 4, 4):
            h0 = h1 = h2 = h3 = zero
            for i in range(start, stop):
                row = vload(panel, i * w, lanes)
                h0 = vmuladd(h0, V[d, i], row)
                h1 = vmuladd(h1, V[d + 1, i], row)
                h2 = vmuladd(h2, V[d + 2, i], row)
                h3 = vmuladd(h3, V[d + 3, i], row)
            _add_row(out, d, lanes, h0)
            _add_row(out, d + 1, lanes, h1)
            _add_row(out, d + 2, lanes, h2)
            _add_row(out, d + 3, lanes, h3)
        for d in range(count - count % 4, count):
            h = zero
            for i in range(start, stop):
                h = vmuladd(h, V[d, i], vload(panel, i * w, lanes))
            _add_row(out, d, lanes, h)


@kernel(parallel=True)
def rows_dot_parallel(panel: Any, V: Any, lanes: Any, bounds: Any, out: Any) -> None:
    for p in prange(bounds.size - 1):
        rows_dot(panel, V, lanes, bounds[p], bounds[p + 1], out[p])


@kernel()
def add_rows(panel: Any, V: Any, H: Any, lanes: Any, first: int, last: int) -> None:
    """Add ``V^T @ H`` to the panel."""
    w = len(lanes)
    count = V.shape[0]
    for start in range(first, last, _CHUNK):
        stop = min(start + _CHUNK, last)
        for d in range(0, count - count % 4, 4):
            h0, h1 = vload(H, d * w, lanes), vload(H, (d + 1) * w, lanes)
            h2, h3 = vload(H, (d + 2) * w, lanes), vload(H, (d + 3) * w, lanes)
            for i in range(start, stop):
                total = vload(panel, i * w, lanes)
                total = vmuladd(total, V[d, i], h0)
                total = vmuladd(total, V[d + 1, i], h1)
                total = vmuladd(total, V[d + 2, i], h2)
                total = vmuladd(total, V[d + 3, i], h3)
                vstore(panel, i * w, total)
        for d in range(count - count % 4, count):
            h = vload(H, d * w, lanes)
            for i in range(start, stop):
                vstore(panel, i * w, vmuladd(vload(panel, i * w, lanes), V[d, i], h))


@kernel(parallel=True)
def add_rows_parallel(panel: Any, V: Any, H: Any, lanes: Any, bounds: Any) -> None:
    for p in prange(bounds.size - 1):
        add_rows(panel, V, H, lanes, bounds[p], bounds[p + 1])
