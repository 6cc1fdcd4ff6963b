"""Rows of a factor by preconditioned conjugate gradients.

Every step is one pass over the rows of the other factor F that a row of X meets: ``len(group)`` of
them at a time, their inner products with the direction side by side, and then their sum. The
direction and the sum stay in registers where they fit. The last step needs no more than its length,
and that no sum.

Rows of F at random places are what it waits for: one core reads 10 to 15 GB/s that are not in its
own cache. There are two ways to wait less:

- row by row: all steps of a row of X follow one another, and from the second one on the rows of F
  are found in the cache;
- by tiles: a block of rows of X makes each step together, and meets one tile of F after the other,
  which is small enough to stay in the cache. The entries of the block are copied in that order.

With 10 million entries of 100,000 x 20,000 in single precision, one step for the rows of both
factors took 33 + 48, 54 + 90, 131 + 214 and 314 + 472 ms row by row for 32, 64, 128 and 256
columns, and 29 + 30, 49 + 49, 104 + 103 and 259 + 286 ms by tiles of 1.25 MB (2 threads, 512-bit
vectors, caches of 2 MB); up to 1.75 MB all took as long. To prefetch nearer or farther ahead, to
add up one group while the next one is multiplied, or to cut tiles where groups end changed less
than 4 %.

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
    vgather,
    vload,
    vmul,
    vmuladd,
    vmulsub,
    vstore,
    vsub,
    vsum,
    vwhere,
)
from lowapprox._core.simd_tiles import vcombine, vdots, vfetch, vtile, vtile_store

__all__ = ["Entries", "Layout", "Model", "Scratch", "conjugate_gradients", "cut"]

_AHEAD = 16  # entries between the one that is read and the one whose loading begins
_LONG = 1 << 19  # bytes of F for one row of X, from which on they do not wait in the cache


class Entries(NamedTuple):
    """Compressed rows; `weights` may be empty, and `offset` of the columns too.

    The tiles of row i end ``cuts[i]`` entries after its first one; the last tile is not told.
    """

    indptr: Any
    indices: Any
    values: Any
    weights: Any
    offset: Any
    cuts: Any


class Model(NamedTuple):
    """The ridge of a number is `ridge` plus its item of `spread` times the total of the row.

    The Gram matrix to expect is `expected` times the total, the sum of the weights of the row. Rows
    go `relax` times as far as to where the steps end.
    """

    expected: Any
    spread: Any
    totals: Any
    ridge: Any
    relax: Any


class Layout(NamedTuple):
    """Lanes of a vector, vectors in registers, how often that, and entries that go together."""

    lanes: Any
    parts: Any
    panels: Any
    group: Any


class Scratch(NamedTuple):
    """Room for a block of rows of X and its entries, in the order of tiles.

    Row i of the block has the entries from ``starts[t, i]`` to ``starts[t, i + 1]`` in tile t.
    """

    starts: Any
    indices: Any
    y: Any
    weights: Any
    residual: Any
    direction: Any
    image: Any
    curvature: Any
    slope: Any


@kernel()
def cut(indptr: Any, indices: Any, columns: int, first: int, last: int, cuts: Any) -> None:
    """Tell where the tiles of rows `first` to `last` end, which have so many columns."""
    for i in range(first, last):
        at, end = np.uintp(indptr[i]), np.uintp(indptr[i + 1])
        for t in range(cuts.shape[1]):
            while at < end and indices[at] < (t + 1) * columns:
                at += np.uintp(1)
            cuts[i, t] = at - np.uintp(indptr[i])


@kernel()
def _arrange(entries: Any, first: int, rows: int, group: Any, scratch: Any) -> int:
    """Copy the entries of a block, with offsets subtracted, and return where they end.

    Behind each tile there is room for a group.
    """
    indptr, indices, values, weights, offset, cuts = entries
    starts, near, y, share = scratch.starts, scratch.indices, scratch.y, scratch.weights
    g, tiles = len(group), cuts.shape[1]
    to = 0
    for t in range(tiles + 1):
        starts[t, 0] = to
        for i in range(rows):
            n = indptr[first + i + 1] - indptr[first + i]
            begin = cuts[first + i, t - 1] if t else 0
            to += (cuts[first + i, t] if t < tiles else n) - begin
            starts[t, i + 1] = to
        for e in range(g):  # what is read there has no weight, but is read
            near[to + e] = 0
        to += g
    for i in range(rows):
        at = indptr[first + i]
        for t in range(tiles + 1):
            start, stop = starts[t, i], starts[t, i + 1]
            if at + stop - start + g <= indices.size:
                for j in range(start, stop, g):
                    known = vload(values, at + j - start, group)
                    if offset.size:
                        known = vsub(known, vgather(offset, indices, at + j - start, group))
                    vstore(near, j, vload(indices, at + j - start, group))
                    vstore(y, j, known)
                    if weights.size:
                        vstore(share, j, vload(weights, at + j - start, group))
            else:
                for j in range(start, stop):
                    column = indices[at + j - start]
                    near[j] = column
                    y[j] = values[at + j - start]
                    if offset.size:
                        y[j] -= offset[column]
                    if weights.size:
                        share[j] = weights[at + j - start]
            at += stop - start
    return to - g


@kernel(inline=True)
def _add(sums: Any, at: int, v: Any, lanes: Any) -> None:
    vstore(sums, at, vadd(vload(sums, at, lanes), vdouble(v)))


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


@kernel(inline=True)
def _known(first: int, base: int, stop: int, g: int) -> Any:
    """Return a bit for each lane of a group that begins at `base`, where it is not outside."""
    one = np.uint64(1)
    return (one << np.uint64(min(stop - base, g))) - (one << np.uint64(first - base))


@kernel()
def conjugate_gradients(
    entries: Any, F: Any, X: Any, model: Any, steps: int, layout: Any, first: int, last: int,
    scratch: Any, sums: Any,
) -> None:  # fmt: skip
    """Improve rows `first` to `last` of X, by at least one step.

    Add up what `HalfSums` tells: of each number as many partial sums as there are lanes, or
    entries in a group, if these are more.
    """
    indptr = entries.indptr
    expected, spread, totals, ridge, relax = model
    lanes, parts, panels, group = layout
    starts, near, y, share, residual, along, product, curvature, slope = scratch
    weighted, tiles, block = entries.weights.size > 0, starts.shape[0], slope.size
    v, g = len(lanes), len(group)
    panel = v * len(parts)
    w = panel * len(panels)
    slot = max(v, g)
    zero, none = F.dtype.type(0), vfill(F.dtype.type(0), lanes)
    blank, even = vfill(zero, group), vfill(ridge, lanes)
    stay = vfill(F.dtype.type(1) - relax, lanes)
    for begin in range(first, last, block):
        rows = min(block, last - begin)
        end = _arrange(entries, begin, rows, group, scratch)
        long = end * w * F.itemsize > _LONG
        for step in range(steps + 1):
            # Directions and their images under the ridge; step 0 takes the rows of X.
            image = product if step else residual
            for i in range(rows):
                at, empty = i * w, indptr[begin + i] == indptr[begin + i + 1]
                if step and empty:
                    continue
                total = vfill(F.dtype.type(totals[begin + i]), lanes)
                back, left, penalty = zero, none, none
                if step:
                    for c in range(0, w, v):
                        res = vload(residual, at + c, lanes)
                        ridges = vmuladd(even, total, vload(spread, c, lanes))
                        z = vdiv(res, vmuladd(ridges, total, vload(expected, c, lanes)))
                        left = vmuladd(left, z, res)
                        vstore(image, at + c, z)
                    rz = vsum(left)
                    back = rz / slope[i] if step > 1 and slope[i] > zero else zero
                    slope[i] = rz
                for c in range(0, w, v):
                    ridges = vmuladd(even, total, vload(spread, c, lanes))
                    if step:
                        p = vload(image, at + c, lanes)
                        if step > 1:
                            p = vmuladd(p, back, vload(along, at + c, lanes))
                        q = vmul(ridges, p)
                        penalty = vmuladd(penalty, q, p)
                    else:
                        p = vload(X, (begin + i) * w + c, lanes)
                        q = vmulsub(none, ridges, p)
                        penalty = vmulsub(penalty, q, p)
                    vstore(along, at + c, p)
                    vstore(image, at + c, q)
                vstore(curvature, i * g, blank)
                if step:
                    curvature[i * g] = vsum(penalty)
                else:
                    _add(sums, slot, penalty, lanes)
                if empty:  # the ridge, or the least norm, says zero
                    _add(sums, 2 * slot, penalty, lanes)
                    for c in range((begin + i) * w, (begin + i + 1) * w, v):
                        vstore(X, c, vmul(vload(X, c, lanes), stay))
            # The entries; the last step needs no more than its length.
            image = image if step < steps else along
            for t in range(tiles):
                for i in range(rows):
                    start, stop = starts[t, i], starts[t, i + 1]
                    if start == stop:
                        continue
                    loss = vload(curvature, i * g, group)
                    direction = vtile(along, i * w, v, lanes, parts)
                    sum_up = vtile(image, i * w, v, lanes, parts)
                    for j in range(start, stop, g):
                        if step == 0 or long:
                            _fetch(F, near, j + _AHEAD, end, layout)
                        # The last group begins earlier, if it can, not to read what is not near.
                        base = j if j + g <= stop else max(stop - g, 0)
                        d = vdots(F, near, base, w, 0, direction, group)
                        for c in range(panel, w, panel):
                            more = vtile(along, i * w + c, v, lanes, parts)
                            d = vadd(d, vdots(F, near, base, w, c, more, group))
                        if step == 0:
                            d = vsub(vload(y, base, group), d)
                        scaled = vmul(vload(share, base, group), d) if weighted else d
                        scaled = vwhere(_known(j, base, stop, g), scaled, blank)
                        loss = vmuladd(loss, scaled, d)
                        if step < steps:
                            sum_up = vcombine(F, near, base, w, 0, sum_up, scaled)
                            for c in range(panel, w, panel):
                                more = vtile(image, i * w + c, v, lanes, parts)
                                more = vcombine(F, near, base, w, c, more, scaled)
                                vtile_store(image, i * w + c, v, more)
                    vstore(curvature, i * g, loss)
                    if step < steps:
                        vtile_store(image, i * w, v, sum_up)
            for i in range(rows):
                loss = vload(curvature, i * g, group)
                if step == 0:
                    _add(sums, 0, loss, group)
                if step == 0 or indptr[begin + i] == indptr[begin + i + 1]:
                    continue
                bend = vsum(loss)
                ahead = slope[i] / bend if bend > zero else zero
                sums[2 * slot] += np.float64(ahead * slope[i])
                for c in range(i * w, (i + 1) * w, v):
                    place = begin * w + c
                    p = vload(along, c, lanes)
                    vstore(X, place, vmuladd(vload(X, place, lanes), relax * ahead, p))
                    if step < steps:
                        res = vload(residual, c, lanes)
                        vstore(residual, c, vmulsub(res, ahead, vload(image, c, lanes)))
        for i in range(begin, begin + rows):
            total = vfill(F.dtype.type(totals[i]), lanes)
            penalty = none
            for c in range(0, w, v):
                new = vload(X, i * w + c, lanes)
                ridges = vmuladd(even, total, vload(spread, c, lanes))
                penalty = vmuladd(penalty, vmul(new, ridges), new)
            _add(sums, 3 * slot, penalty, lanes)
