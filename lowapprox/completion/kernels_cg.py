"""Rows of a factor by preconditioned conjugate gradients, one row after the other.

Every step is one pass over the rows of the other factor that a row of X meets: ``len(group)`` of
them at a time, their inner products with the direction side by side, and then their sum. The
direction and the sum stay in registers where they fit. The rows are read where they are: once met
they are in the cache, where the steps that follow find them. The last step needs no more than its
length, and that no sum.

Rows of F at random places are what it waits for: with 10 million entries of 100,000 x 20,000 in
single precision, one step and one core, a sweep took 0.15 s at 32 columns and 0.28 s at 64 (with
512-bit vectors), but 0.11 s and 0.12 s with all rows of F in the first cache. Single rows of 128 to
512 bytes out of 25 MB can be read at 20 to 30 GB/s. To fetch four times as far ahead, into the
second cache, or also for the rows of X that follow, gained nothing below 256 columns.

F and X are flat, with ``len(panels) * len(parts) * len(lanes)`` numbers for each row. Rows of X do
not depend on one another, so no bit depends on how they are shared out among threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lowapprox._core.jit import kernel
from lowapprox._core.simd import (
    vadd,
    vdiv,
    vdouble,
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

__all__ = ["Entries", "Layout", "Model", "Scratch", "conjugate_gradients"]

_AHEAD = 16  # entries between the one that is read and the one whose loading begins
_LONG = 1 << 19  # bytes of F for one row of X, from which on they do not wait in the cache


class Entries(NamedTuple):
    """Compressed rows; `weights` may be empty, and `offset` of the columns too."""

    indptr: Any
    indices: Any
    values: Any
    weights: Any
    offset: Any


class Model(NamedTuple):
    """The ridge of a number is `ridge` plus its item of `spread` times the total of the row.

    The Gram matrix to expect is `expected` times the total, the sum of the weights of the row.
    """

    expected: Any
    spread: Any
    totals: Any
    ridge: Any


class Layout(NamedTuple):
    """Lanes of a vector, vectors in registers, how often that, and entries that go together."""

    lanes: Any
    parts: Any
    panels: Any
    group: Any


class Scratch(NamedTuple):
    """Room for the entries of the longest row, rounded up to groups, and for six rows."""

    y: Any
    weights: Any
    places: Any
    rows: Any


@kernel(inline=True)
def _add(sums: Any, at: int, v: Any, lanes: Any) -> None:
    vstore(sums, at, vadd(vload(sums, at, lanes), vdouble(v)))


@kernel(inline=True)
def _take(entries: Any, start: int, n: int, w: int, g: int, scratch: Any) -> None:
    """Write places in F, what the products should be, and weights; behind the last a weight of 0.

    The number of entries is at least one.
    """
    _, indices, values, weights, offset = entries
    y, share, places, _ = scratch
    one, zero = y.dtype.type(1), y.dtype.type(0)
    columns, known = indices[start : start + n], values[start : start + n]
    for t in range(n):
        places[t] = np.int64(columns[t]) * w
    for t in range(n):
        y[t] = known[t]
    if offset.size:
        for t in range(n):
            y[t] -= offset[columns[t]]
    if weights.size:
        given = weights[start : start + n]
        for t in range(n):
            share[t] = given[t]
    else:
        for t in range(n):
            share[t] = one
    last = places[n - 1]
    for t in range(-n % g):
        places[n + t], y[n + t], share[n + t] = last, zero, zero


@kernel(inline=True)
def _fetch(F: Any, indices: Any, first: int, end: int, layout: Any) -> None:
    """Begin to load the rows of F for a group of entries."""
    lanes, parts, panels, group = layout
    panel = len(lanes) * len(parts)
    w = panel * len(panels)
    for e in range(len(group)):
        at = np.int64(indices[np.uintp(min(first + e, end))]) * w
        for c in range(0, w, panel):
            vfetch(F, at + c, lanes, parts)


@kernel()
def conjugate_gradients(
    entries: Any, F: Any, X: Any, model: Any, steps: int, layout: Any, first: int, last: int,
    scratch: Any, sums: Any,
) -> None:  # fmt: skip
    """Improve rows `first` to `last` of X, by at least one step.

    Add up what `HalfSums` tells: of each number as many partial sums as there are lanes, or
    entries in a group, if these are more.
    """
    indptr, indices = entries.indptr, entries.indices
    expected, spread, totals, ridge = model
    lanes, parts, panels, group = layout
    y, share, places, rows = scratch
    v, g = len(lanes), len(group)
    panel = v * len(parts)
    w = panel * len(panels)
    slot = max(v, g)
    # The places of the row, the residual, the direction, its image, the preconditioner and the
    # ridges.
    x, r, p, q, inverse, lam = 0, w, 2 * w, 3 * w, 4 * w, 5 * w
    zero, none = F.dtype.type(0), vfill(F.dtype.type(0), lanes)
    least = np.finfo(F.dtype).eps ** 2
    end = indptr[last] - 1
    for i in range(first, last):
        start, n = indptr[i], indptr[i + 1] - indptr[i]
        total = vfill(F.dtype.type(totals[i]), lanes)
        one, even = vfill(F.dtype.type(1), lanes), vfill(ridge, lanes)
        penalty = none
        for c in range(0, w, v):
            old = vload(X, i * w + c, lanes)
            ridges = vmuladd(even, total, vload(spread, c, lanes))
            vstore(rows, lam + c, ridges)
            vstore(rows, x + c, old)
            vstore(rows, r + c, vmulsub(none, ridges, old))
            vstore(rows, inverse + c, vdiv(one, vmuladd(ridges, total, vload(expected, c, lanes))))
            penalty = vmuladd(penalty, vmul(old, ridges), old)
        _add(sums, slot, penalty, lanes)
        if n == 0:  # nothing is known: the ridge, or the least norm, says zero
            _add(sums, 2 * slot, penalty, lanes)
            for c in range(0, w, v):
                vstore(X, i * w + c, none)
            continue
        _take(entries, start, n, w, g, scratch)
        long = n * w * F.itemsize > _LONG
        fall = before = rz = zero
        for step in range(steps + 1):
            source, target = (p, q) if step else (x, r)
            penalty = none
            if step:
                for c in range(0, w, v):
                    along = vload(rows, p + c, lanes)
                    image = vmul(vload(rows, lam + c, lanes), along)
                    penalty = vmuladd(penalty, image, along)
                    vstore(rows, q + c, image)
            loss = vfill(zero, group)
            direction = vtile(rows, source, v, lanes, parts)
            product = vtile(rows, target, v, lanes, parts)
            for t in range(0, n, g):
                if step == 0 or long:
                    _fetch(F, indices, start + t + _AHEAD, end, layout)
                d = vdots(F, places, t, 0, direction, group)
                for c in range(panel, w, panel):
                    more = vtile(rows, source + c, v, lanes, parts)
                    d = vadd(d, vdots(F, places, t, c, more, group))
                if step == 0:
                    d = vsub(vload(y, t, group), d)
                weighted = vmul(vload(share, t, group), d)
                loss = vmuladd(loss, weighted, d)
                if step < steps:  # the last step needs no more than its length
                    product = vcombine(F, places, t, 0, product, weighted)
                    for c in range(panel, w, panel):
                        more = vtile(rows, target + c, v, lanes, parts)
                        more = vcombine(F, places, t, c, more, weighted)
                        vtile_store(rows, target + c, v, more)
            vtile_store(rows, target, v, product)
            ahead = zero
            if step:
                curvature = vsum(penalty) + vsum(loss)
                if not curvature > zero:
                    break
                ahead = rz / curvature
                fall += ahead * rz
            else:
                _add(sums, 0, loss, group)
            left = none
            for c in range(0, w, v):
                res = vload(rows, r + c, lanes)
                if step:
                    along = vload(rows, p + c, lanes)
                    vstore(rows, x + c, vmuladd(vload(rows, x + c, lanes), ahead, along))
                    res = vmulsub(res, ahead, vload(rows, q + c, lanes))
                    vstore(rows, r + c, res)
                left = vmuladd(left, vmul(res, vload(rows, inverse + c, lanes)), res)
            if step == steps:
                break
            rz, old_rz = vsum(left), rz
            before = before if step else rz
            if not rz > least * before:
                break
            back = rz / old_rz if step else zero
            for c in range(0, w, v):
                z = vmul(vload(rows, inverse + c, lanes), vload(rows, r + c, lanes))
                if step:
                    z = vmuladd(z, back, vload(rows, p + c, lanes))
                vstore(rows, p + c, z)
        penalty = none
        for c in range(0, w, v):
            new = vload(rows, x + c, lanes)
            penalty = vmuladd(penalty, vmul(new, vload(rows, lam + c, lanes)), new)
            vstore(X, i * w + c, new)
        _add(sums, 3 * slot, penalty, lanes)
        sums[2 * slot] += np.float64(fall)
