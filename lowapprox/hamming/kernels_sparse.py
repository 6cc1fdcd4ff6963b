"""Bit-sliced counting of letters that are not frequent.

As in `kernels_bits`, bitmaps of letters are added up by full adders. There the bitmaps are shifted
first, by 0 to 7 bits, which pays if a letter is found at many positions. Here the positions with
the same last three bits are counted from unshifted bitmaps, loaded at whole bytes, and the counts
are shifted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel
from lowapprox._core.simd import vadd, vfill, vfunnel, vload, vstore, vsub, vwhere, vxor
from lowapprox.hamming.kernels_bits import COLUMN, add_eight, full_add, half_add, mark

__all__ = ["COLUMN", "PLANES", "RUN", "subtract_sparse"]

PLANES = 8  # bits of the count of a run
RUN = 240  # positions, a multiple of sixteen that is smaller than 2 ** PLANES

_BYTES = (0,) * 64
_WORDS = (0,) * 8


@kernel(inline=True)
def _row(rows: Any, offsets: Any, i: int, base: int) -> Any:
    return vload(rows, base + offsets[np.uint64(i)], _BYTES)


@kernel(inline=True)
def _add_eight(rows: Any, offsets: Any, i: int, base: int, p0: Any, p1: Any, p2: Any) -> Any:
    return add_eight(
        p0,
        p1,
        p2,
        _row(rows, offsets, i, base),
        _row(rows, offsets, i + 1, base),
        _row(rows, offsets, i + 2, base),
        _row(rows, offsets, i + 3, base),
        _row(rows, offsets, i + 4, base),
        _row(rows, offsets, i + 5, base),
        _row(rows, offsets, i + 6, base),
        _row(rows, offsets, i + 7, base),
    )


@kernel()
def _count_run(
    rows: Any, offsets: Any, first: int, last: int, start: int, columns: int, counts: Any, line: int
) -> None:
    """Count the agreements at ``offsets[first:last]``; plane p comes to ``counts[p * line:]``."""
    for column in range(columns):
        base = start + 64 * column
        p0 = p1 = p2 = p3 = p4 = p5 = p6 = p7 = vfill(np.uint8(0), _BYTES)
        for i in range(first, last, 16):
            p0, p1, p2, a = _add_eight(rows, offsets, i, base, p0, p1, p2)
            p0, p1, p2, b = _add_eight(rows, offsets, i + 8, base, p0, p1, p2)
            p3, carry = full_add(p3, a, b)
            p4, carry = half_add(p4, carry)
            p5, carry = half_add(p5, carry)
            p6, carry = half_add(p6, carry)
            p7 = vxor(p7, carry)
        place = 64 * column
        vstore(counts, place, p0)
        vstore(counts, place + line, p1)
        vstore(counts, place + 2 * line, p2)
        vstore(counts, place + 3 * line, p3)
        vstore(counts, place + 4 * line, p4)
        vstore(counts, place + 5 * line, p5)
        vstore(counts, place + 6 * line, p6)
        vstore(counts, place + 7 * line, p7)


@kernel()
def _add_shifted(counts: Any, line: int, bits: int, columns: int, planes: Any, used: int) -> None:
    """Add counts, shifted by some bits, to the counters: `used` planes for each column."""
    for column in range(columns):
        carry = vfill(np.uint64(0), _WORDS)
        for p in range(used):
            place = 8 * (used * column + p)
            plane = vload(planes, place, _WORDS)
            if p < PLANES:
                at = line * p + 8 * column
                count = vfunnel(vload(counts, at, _WORDS), vload(counts, at + 1, _WORDS), bits)
                plane, carry = full_add(plane, count, carry)
            else:
                plane, carry = half_add(plane, carry)
            vstore(planes, place, plane)


@kernel()
def _subtract(masks: Any, used: int, columns: int, lanes: Any, out: Any, start: int) -> None:
    """Subtract the counters of some columns from ``out[start:]``: bits say in which lanes."""
    w, zero = len(lanes), vfill(out.dtype.type(0), lanes)
    per_plane = COLUMN // w
    size = min(columns * COLUMN, out.size - start)
    for i in range(0, size - size % w, w):
        place = i // COLUMN * used * per_plane + i % COLUMN // w
        total, weight = vload(out, start + i, lanes), vfill(out.dtype.type(1), lanes)
        for p in range(used):
            bits = masks[place + p * per_plane]
            total = vsub(total, vwhere(bits, weight, zero))
            weight = vadd(weight, weight)
        vstore(out, start + i, total)
    for i in range(size - size % w, size):
        place = i // COLUMN * used * per_plane + i % COLUMN // w
        for p in range(used):
            if (masks[place + p * per_plane] >> masks.dtype.type(i % w)) & 1:
                out[start + i] -= 1 << p


@kernel()
def subtract_sparse(
    codes: Any,
    tests: Any,
    runs: Any,
    offsets: Any,
    reach: int,
    bitmaps: Any,
    counts: Any,
    planes: Any,
    columns: int,
    lanes: Any,
    masks: Any,
    out: Any,
) -> None:
    """Subtract the agreements of a part of a pattern from `out`.

    Parameters
    ----------
    codes : ndarray
    tests : tuple of ndarray
        What the bitmaps are made of, see `mark`. Bitmap 0 is zero.
    runs : ndarray of int64, shape (r, 3)
        Where each run of positions begins and ends in the offsets, and their last three bits.
    offsets : ndarray of int64
        The byte of the bitmaps from which each position is loaded.
    reach : int
        The largest position.
    bitmaps : ndarray of uint64
        Scratch, zero; its size tells how many shifts are marked at a time.
    counts, planes : ndarray of uint64
        Scratch: the counts of a run, and the counters of `columns` columns.
    lanes : tuple
    masks : ndarray
        The planes as bits of lanes.
    out : ndarray of int
    """
    rows, bytes_ = bitmaps.reshape(-1).view(np.uint8), counts.view(np.uint8)
    block = (64 * bitmaps.shape[1] - reach) // COLUMN * COLUMN - 2 * COLUMN
    line, used = counts.size // PLANES, planes.size // (8 * columns)
    for start in range(0, out.size, block):
        stop = min(start + block, out.size)
        mark(codes, start, bitmaps.shape[1], tests, bitmaps)
        for tile in range(start, stop, columns * COLUMN):
            here = min(columns, -(-(stop - tile) // COLUMN))
            planes[:] = 0
            for k in range(runs.shape[0]):
                first, last, at = runs[k, 0], runs[k, 1], (tile - start) // 8
                _count_run(rows, offsets, first, last, at, here + 1, bytes_, 8 * line)
                _add_shifted(counts, line, runs[k, 2], here, planes, used)
            _subtract(masks, used, here, lanes, out, tile)
