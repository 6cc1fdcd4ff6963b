"""Rows of a factor by preconditioned conjugate gradients, one row after the other.

The rows of the other factor that a row of X meets are gathered once into a scratch, where every
step is one pass: ``len(group)`` entries at a time, their inner products with the direction side by
side, and then their sum. The direction and the sum stay in registers where they fit.

F, X and the scratch are flat, with ``panels * len(parts) * len(lanes)`` numbers for each row. Rows
of X do not depend on one another, so no bit depends on how they are shared out among threads.

A sweep over 10 million entries of 100,000 x 20,000 at random places in single precision, with two
steps, took 0.26 s of one core at 32 columns, 0.44 s at 64, 1.03 s at 128 and 2.24 s at 256 (with
512-bit vectors): 30, 35, 30 and 27 Gflop/s, where a matrix product ran at 180. The gathering takes
60 % of that; to fetch 8 or 32 entries ahead in place of 16 made no clear difference.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel
from lowapprox._core.simd import (
    vadd,
    vdiv,
    vfill,
    vload,
    vmul,
    vmuladd,
    vmulsub,
    vstore,
    vsub,
    vsum,
)
from lowapprox._core.simd_tiles import vcombine, vdots, vfetch, vtile, vtile_store

__all__ = ["conjugate_gradients"]

_AHEAD = 16  # entries between the one that is copied and the one whose loading begins


@kernel(inline=True)
def _copy(
    F: Any, indices: Any, start: int, count: int, roots: Any, lanes: Any, parts: Any, panels: int,
    W: Any, first: int, stop: int,
) -> None:  # fmt: skip
    """Copy rows of F to the scratch, times the roots of the weights; zeros behind the last."""
    v = len(lanes)
    panel = v * len(parts)
    w = panels * panel
    last = start + count + _AHEAD
    last = min(last, indices.size) - 1
    for t in range(first, min(stop, count)):
        row = np.intp(indices[start + t]) * w
        ahead = np.intp(indices[min(start + t + _AHEAD, last)]) * w
        for c in range(0, w, panel):
            vfetch(F, ahead + c, lanes, parts)
            vtile_store(W, t * w + c, v, vtile(F, row + c, v, lanes, parts))
        if roots.size:
            for c in range(t * w, t * w + w, v):
                vstore(W, c, vmul(vload(W, c, lanes), vfill(roots[start + t], lanes)))
    for c in range(min(stop, count) * w, stop * w, v):
        vstore(W, c, vfill(F.dtype.type(0), lanes))


@kernel(inline=True)
def _targets(
    values: Any, indices: Any, start: int, count: int, roots: Any, offset: Any, group: Any, y: Any
) -> None:
    """Write what the products should be, with weights; zeros behind the last."""
    for t in range(count):
        y[t] = values[start + t]
    if offset.size:
        for t in range(count):
            y[t] -= offset[indices[start + t]]
    if roots.size:
        for t in range(count):
            y[t] *= roots[start + t]
    for t in range(count, -(-count // len(group)) * len(group)):
        y[t] = 0


@kernel()
def conjugate_gradients(
    indptr: Any, indices: Any, values: Any, roots: Any, offset: Any, F: Any, X: Any,
    expected: Any, spread: Any, totals: Any, ridge: Any, steps: int, lanes: Any, parts: Any,
    panels: int, group: Any, first: int, last: int, W: Any, y: Any, buffer: Any, sums: Any,
) -> None:  # fmt: skip
    """Improve rows `first` to `last` of X, and add up what `HalfSums` tells.

    The ridge of a number is `ridge` plus its item of `spread` times the sum of the weights of the
    row. `roots` and `offset` may be empty. The scratch has room for ``y.size`` entries; a longer
    row is gathered anew in every pass, piece by piece.
    """
    v, g = len(lanes), len(group)
    panel = v * len(parts)
    w = panels * panel
    # The places in the buffer of the row, the residual, the direction, its image, the
    # preconditioner and the ridges.
    x, r, p, q, inverse, lam = 0, w, 2 * w, 3 * w, 4 * w, 5 * w
    zero, none = F.dtype.type(0), vfill(F.dtype.type(0), lanes)
    least = np.finfo(F.dtype).eps ** 2
    room = y.size
    for i in range(first, last):
        start, n = indptr[i], indptr[i + 1] - indptr[i]
        total = vfill(F.dtype.type(totals[i]), lanes)
        one, even = vfill(F.dtype.type(1), lanes), vfill(ridge, lanes)
        penalty = size = none
        for c in range(0, w, v):
            old, ev = vload(X, i * w + c, lanes), vload(expected, c, lanes)
            ridges = vmuladd(even, total, vload(spread, c, lanes))
            vstore(buffer, lam + c, ridges)
            vstore(buffer, x + c, old)
            vstore(buffer, r + c, vmulsub(none, ridges, old))
            vstore(buffer, inverse + c, vdiv(one, vmuladd(ridges, total, ev)))
            penalty = vmuladd(penalty, vmul(old, ridges), old)
            size = vmuladd(size, vmul(old, ev), old)
        sums[1] += np.float64(vsum(penalty))
        if n == 0:  # nothing is known: the ridge, or the least norm, says zero
            sums[2] += np.float64(vsum(penalty))
            sums[4] += np.float64(vsum(size))
            for c in range(0, w, v):
                vstore(X, i * w + c, none)
            continue
        fall = before = rz = zero
        for step in range(steps + 1):
            source, target = (p, q) if step else (x, r)
            if step:
                for c in range(0, w, v):
                    along = vload(buffer, p + c, lanes)
                    vstore(buffer, q + c, vmul(vload(buffer, lam + c, lanes), along))
            for piece in range(0, n, room):
                count = min(room, n - piece)
                fresh = step == 0 or n > room
                if step == 0:
                    _targets(values, indices, start + piece, count, roots, offset, group, y)
                loss = vfill(zero, group)
                direction = vtile(buffer, source, v, lanes, parts)
                product = vtile(buffer, target, v, lanes, parts)
                for t in range(0, count, g):
                    if fresh:
                        _copy(
                            F, indices, start + piece, count, roots, lanes, parts, panels,
                            W, t, t + g,
                        )  # fmt: skip
                    d = vdots(W, t * w, w, direction, group)
                    for c in range(panel, w, panel):
                        more = vtile(buffer, source + c, v, lanes, parts)
                        d = vadd(d, vdots(W, t * w + c, w, more, group))
                    if step == 0:
                        d = vsub(vload(y, t, group), d)
                        loss = vmuladd(loss, d, d)
                    product = vcombine(product, d, W, t * w, w)
                    for c in range(panel, w, panel):
                        more = vtile(buffer, target + c, v, lanes, parts)
                        vtile_store(buffer, target + c, v, vcombine(more, d, W, t * w + c, w))
                vtile_store(buffer, target, v, product)
                sums[0] += np.float64(vsum(loss))
            ahead = zero
            if step:
                curvature = none
                for c in range(0, w, v):
                    along = vload(buffer, p + c, lanes)
                    curvature = vmuladd(curvature, along, vload(buffer, q + c, lanes))
                pq = vsum(curvature)
                if not pq > zero:
                    break
                ahead = rz / pq
                fall += ahead * rz
            left = none
            for c in range(0, w, v):
                res = vload(buffer, r + c, lanes)
                if step:
                    along = vload(buffer, p + c, lanes)
                    vstore(buffer, x + c, vmuladd(vload(buffer, x + c, lanes), ahead, along))
                    res = vmulsub(res, ahead, vload(buffer, q + c, lanes))
                    vstore(buffer, r + c, res)
                left = vmuladd(left, vmul(res, vload(buffer, inverse + c, lanes)), res)
            rz, old_rz = vsum(left), rz
            before = before if step else rz
            if not rz > least * before:
                break
            back = rz / old_rz if step else zero
            for c in range(0, w, v):
                z = vmul(vload(buffer, inverse + c, lanes), vload(buffer, r + c, lanes))
                if step:
                    z = vmuladd(z, back, vload(buffer, p + c, lanes))
                vstore(buffer, p + c, z)
        penalty = size = change = none
        for c in range(0, w, v):
            new, ev = vload(buffer, x + c, lanes), vload(expected, c, lanes)
            gap = vsub(new, vload(X, i * w + c, lanes))
            change = vmuladd(change, vmul(gap, ev), gap)
            size = vmuladd(size, vmul(new, ev), new)
            penalty = vmuladd(penalty, vmul(new, vload(buffer, lam + c, lanes)), new)
            vstore(X, i * w + c, new)
        sums[2] += np.float64(fall)
        sums[3] += np.float64(vsum(penalty))
        sums[4] += np.float64(vsum(change))
        sums[5] += np.float64(vsum(size))
