"""Bit-sliced counting: 1024 shifts at a time, one bit for each.

The bitmap of a pattern letter has a bit for each text code: whether they agree. At position j, the
shifts from i on meet the bits of the letter's bitmap from i + j on. So the bits of all positions
are added up, as vectors, by full adders: a counter is a row of planes, plane p has bit p of the
count of each shift (Harley and Seal's population count, see Mula, Kurz and Lemire 2018,
doi:10.1093/comjnl/bxx046, turned by ninety degrees).

Vectors are loaded at whole bytes, so each bitmap is kept in up to eight copies, shifted by 0 to 7
bits ("rows"). With two digits, the bitmap of a letter is the intersection of the bitmaps of its
digits, so that few rows serve many letters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel
from lowapprox._core.simd import (
    vadd,
    vand,
    veq,
    vfill,
    vfunnel,
    vload,
    vor,
    vshr,
    vstore,
    vsub,
    vwhere,
    vxor,
)

__all__ = ["COLUMN", "count_rows", "mark", "subtract"]

# Shifts that are counted at a time. Twice as many were no faster with registers of 64 bytes, and
# slower with shorter ones.
COLUMN = 512

_BYTES = (0,) * (COLUMN // 8)
_WORDS = (0,) * 8
_CODES = (0,) * 64
_NEAR = 1 << 14  # codes that stay in the nearest cache


@kernel(inline=True)
def _found(codes: Any, at: int, shift: int, mask: Any, value: Any) -> Any:
    digit = vand(vshr(vload(codes, at, _CODES), shift), vfill(mask, _CODES))
    return veq(digit, vfill(value, _CODES))


@kernel()
def mark(codes: Any, shifts: Any, masks: Any, values: Any, bounds: Any, bitmaps: Any) -> None:
    """Write the bitmaps of the codes.

    Bitmap b has the codes with ``code >> shifts[v] & masks[v] == values[v]`` for some v between
    ``bounds[b]`` and ``bounds[b + 1]``.
    """
    whole = codes.size // 64
    tail = np.zeros(64, codes.dtype)
    tail[: codes.size % 64] = codes[64 * whole :]
    keep = (np.uint64(1) << np.uint64(codes.size % 64)) - np.uint64(1)
    bitmaps[:, whole:] = 0
    for start in range(0, whole, _NEAR // 64):
        stop = min(start + _NEAR // 64, whole)
        for b in range(bitmaps.shape[0]):
            bitmap, first = bitmaps[b], bounds[b]
            shift, mask, value = shifts[first], masks[first], values[first]
            if shift == 0:
                for word in range(start, stop):
                    bitmap[word] = _found(codes, 64 * word, 0, mask, value)
            else:
                for word in range(start, stop):
                    bitmap[word] = _found(codes, 64 * word, shift, mask, value)
            for v in range(first + 1, bounds[b + 1]):
                shift, mask, value = shifts[v], masks[v], values[v]
                for word in range(start, stop):
                    bitmap[word] |= _found(codes, 64 * word, shift, mask, value)
    for b in range(bitmaps.shape[0]):
        for v in range(bounds[b], bounds[b + 1]):
            found = _found(tail, 0, shifts[v], masks[v], values[v])
            bitmaps[b, whole] |= found & keep


@kernel()
def _shift(bitmap: Any, first: int, count: int, bits: int, row: Any) -> None:
    """Write a bitmap from a word on, shifted by some bits."""
    for w in range(0, count, len(_WORDS)):
        v = vload(bitmap, first + w, _WORDS)
        vstore(row, w, vfunnel(v, vload(bitmap, first + w + 1, _WORDS), bits))


@kernel(inline=True)
def _add(a: Any, b: Any, c: Any) -> Any:
    """Add three bits in each lane: the sum modulo two, and the carry."""
    return vxor(vxor(a, b), c), vor(vand(a, b), vand(vor(a, b), c))


@kernel(inline=True)
def _row(rows: Any, offsets: Any, i: int, base: int, digits: Any) -> Any:
    row = vload(rows, base + offsets[np.uint64(len(digits) * i)], _BYTES)
    for d in range(1, len(digits)):
        row = vand(row, vload(rows, base + offsets[np.uint64(len(digits) * i + d)], _BYTES))
    return row


@kernel(inline=True)
def _add_eight(
    rows: Any, offsets: Any, i: int, base: int, digits: Any, p0: Any, p1: Any, p2: Any
) -> Any:
    """Add eight rows to three planes; return the planes and the carry."""
    p0, a = _add(p0, _row(rows, offsets, i, base, digits), _row(rows, offsets, i + 1, base, digits))
    p0, b = _add(
        p0, _row(rows, offsets, i + 2, base, digits), _row(rows, offsets, i + 3, base, digits)
    )
    p1, c = _add(p1, a, b)
    p0, a = _add(
        p0, _row(rows, offsets, i + 4, base, digits), _row(rows, offsets, i + 5, base, digits)
    )
    p0, b = _add(
        p0, _row(rows, offsets, i + 6, base, digits), _row(rows, offsets, i + 7, base, digits)
    )
    p1, d = _add(p1, a, b)
    p2, carry = _add(p2, c, d)
    return p0, p1, p2, carry


@kernel(inline=True)
def _add_sixteen(
    rows: Any, offsets: Any, i: int, base: int, digits: Any, p0: Any, p1: Any, p2: Any, p3: Any
) -> Any:
    p0, p1, p2, a = _add_eight(rows, offsets, i, base, digits, p0, p1, p2)
    p0, p1, p2, b = _add_eight(rows, offsets, i + 8, base, digits, p0, p1, p2)
    p3, carry = _add(p3, a, b)
    return p0, p1, p2, p3, carry


@kernel(inline=True)
def _settle(least: int, waiting: Any, carries: Any, steps: Any, planes: Any, place: int) -> None:
    """Add carries to the planes, in each level where at least `least` of them wait.

    A level has four planes, and room for sixteen carries from the level below.
    """
    w = len(_BYTES)
    for level in range(1, waiting.size - 1):
        if waiting[level] >= least:
            base = 16 * w * level
            for slot in range(waiting[level], 16):
                vstore(carries, base + slot * w, vfill(np.uint8(0), _BYTES))
            at = place + 4 * w * level
            p0, p1, p2, p3, carry = _add_sixteen(
                carries,
                steps,
                0,
                base,
                (0,),
                vload(planes, at, _BYTES),
                vload(planes, at + w, _BYTES),
                vload(planes, at + 2 * w, _BYTES),
                vload(planes, at + 3 * w, _BYTES),
            )
            vstore(planes, at, p0)
            vstore(planes, at + w, p1)
            vstore(planes, at + 2 * w, p2)
            vstore(planes, at + 3 * w, p3)
            waiting[level] = 0
            vstore(carries, w * (16 * (level + 1) + waiting[level + 1]), carry)
            waiting[level + 1] += 1


@kernel()
def _count_column(
    rows: Any,
    offsets: Any,
    first: int,
    last: int,
    base: int,
    digits: Any,
    waiting: Any,
    carries: Any,
    steps: Any,
    planes: Any,
    place: int,
) -> None:
    """Add the rows at ``offsets[first:last]`` to the counter of a column."""
    w = len(_BYTES)
    p0, p1 = vload(planes, place, _BYTES), vload(planes, place + w, _BYTES)
    p2, p3 = vload(planes, place + 2 * w, _BYTES), vload(planes, place + 3 * w, _BYTES)
    waiting[:] = 0
    for i in range(first, last, 16):
        p0, p1, p2, p3, carry = _add_sixteen(rows, offsets, i, base, digits, p0, p1, p2, p3)
        vstore(carries, w * (16 + waiting[1]), carry)
        waiting[1] += 1
        if waiting[1] == 16:
            _settle(16, waiting, carries, steps, planes, place)
    vstore(planes, place, p0)
    vstore(planes, place + w, p1)
    vstore(planes, place + 2 * w, p2)
    vstore(planes, place + 3 * w, p3)
    _settle(1, waiting, carries, steps, planes, place)


@kernel()
def count_rows(
    bitmaps: Any,
    chunks: Any,
    copies: Any,
    offsets: Any,
    digits: Any,
    rows: Any,
    carries: Any,
    waiting: Any,
    steps: Any,
    block: int,
    planes: Any,
) -> None:
    """Write counters of the agreements, column by column, each of four planes a level.

    For each chunk of the pattern, `chunks` has its first word in the bitmaps, its length, and
    where its ``copies`` (bitmap, bits of the shift) and its `offsets` into the rows begin. The
    rows of `block` columns are made at a time.
    """
    w = len(_BYTES)
    counter = 4 * (waiting.size - 1) * w
    rows[0] = 0
    planes[:] = 0
    flat = rows.reshape(-1).view(np.uint8)
    for start in range(0, planes.size // counter, block):
        columns = min(block, planes.size // counter - start)
        for c in range(chunks.shape[0] - 1):
            first_copy, first_word = chunks[c, 2], start * COLUMN // 64 + chunks[c, 0]
            words = (columns * COLUMN + chunks[c, 1]) // 64 + 1
            for k in range(first_copy, chunks[c + 1, 2]):
                row = rows[k - first_copy + 1]
                _shift(bitmaps[copies[k, 0]], first_word, words, copies[k, 1], row)
            for column in range(columns):
                _count_column(
                    flat,
                    offsets,
                    chunks[c, 3],
                    chunks[c + 1, 3],
                    column * w,
                    digits,
                    waiting,
                    carries,
                    steps,
                    planes,
                    (start + column) * counter,
                )


@kernel()
def subtract(planes: Any, stored: int, used: int, lanes: Any, out: Any) -> None:
    """Subtract counters from `out`, plane by plane: its bits say in which lanes."""
    zero, w = out.dtype.type(0), len(lanes)
    per_plane = COLUMN // w
    whole = out.size - out.size % w
    for i in range(0, whole, w):
        place = i // COLUMN * stored * per_plane + i % COLUMN // w
        total, weight = vload(out, i, lanes), vfill(out.dtype.type(1), lanes)
        for p in range(used):
            bits = planes[place + p * per_plane]
            total = vsub(total, vwhere(bits, weight, vfill(zero, lanes)))
            weight = vadd(weight, weight)
        vstore(out, i, total)
    place = whole // COLUMN * stored * per_plane + whole % COLUMN // w
    for i in range(whole, out.size):
        for p in range(used):
            if (planes[place + p * per_plane] >> planes.dtype.type(i - whole)) & 1:
                out[i] -= 1 << p
