"""Bit-sliced counting: 512 shifts at a time, one bit for each.

The bitmap of a pattern letter has a bit for each text code: whether they agree. At position j, the
shifts from i on meet the bits of the letter's bitmap from i + j on. So the bits of all positions
are added up, as vectors, by full adders: a counter is a row of planes, plane p has bit p of the
count of each shift (Harley and Seal's population count, see Mula, Kurz and Lemire 2018,
doi:10.1093/comjnl/bxx046, turned by ninety degrees).

Vectors are loaded at whole bytes, so each bitmap is kept in up to eight copies, shifted by 0 to 7
bits ("rows"); or, where a copy would hardly be used twice, vectors are loaded at whole words and
shifted as they are added. With two digits, the bitmap of a letter is the intersection of the
bitmaps of its digits, so that few rows serve many letters.

All is done for a tile of shifts while it is in cache: bitmaps, rows, counters, distances.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel
from lowapprox._core.simd import (
    peek,
    take,
    vadd,
    vand,
    vcount,
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
from lowapprox._core.simd_tiles import vfetch

__all__ = [
    "COLUMN",
    "add_eight",
    "full_add",
    "half_add",
    "mark",
    "places_below",
    "subtract_tiles",
    "write_bits",
]

# Shifts that are counted at a time. Twice as many were no faster with registers of 64 bytes, and
# slower with shorter ones.
COLUMN = 512

_PATIENCE = 20_000  # looks at what other threads do: about 0.1 ms

_BYTES = (0,) * (COLUMN // 8)
_WORDS = (0,) * 8
_CODES = (0,) * 64


@kernel(inline=True)
def _found(codes: Any, at: int, shift: int, mask: Any, value: Any) -> Any:
    digit = vand(vshr(vload(codes, at, _CODES), shift), vfill(mask, _CODES))
    return veq(digit, vfill(value, _CODES))


@kernel()
def mark(codes: Any, first: int, words: int, tests: Any, bitmaps: Any) -> None:
    """Write so many words of the bitmaps of the codes from `first` on.

    Row b + 1 has the codes with ``code >> shifts[v] & masks[v] == values[v]`` for some v between
    ``bounds[b]`` and ``bounds[b + 1]``. No one looks at what lies behind the last code.
    """
    shifts, masks, values, bounds = tests
    whole = min(words, (codes.size - first) // 64)
    for b in range(bounds.size - 1):
        bitmap = bitmaps[b + 1]
        for v in range(bounds[b], bounds[b + 1]):
            keep = np.uint64(0) if v == bounds[b] else ~np.uint64(0)
            shift, mask, value = shifts[v], masks[v], values[v]
            if keep == 0 and shift == 0 and codes.dtype.type(~mask) == 0:
                for word in range(whole):
                    found = vload(codes, first + 64 * word, _CODES)
                    bitmap[word] = veq(found, vfill(value, _CODES))
            elif shift == 0:
                for word in range(whole):
                    found = _found(codes, first + 64 * word, 0, mask, value)
                    bitmap[word] = bitmap[word] & keep | found
            else:
                for word in range(whole):
                    found = _found(codes, first + 64 * word, shift, mask, value)
                    bitmap[word] = bitmap[word] & keep | found
    if whole < words:
        tail = np.zeros(64, codes.dtype)
        rest = codes[first + 64 * whole :]
        tail[: rest.size] = rest
        for b in range(bounds.size - 1):
            bitmaps[b + 1, whole] = 0
            for v in range(bounds[b], bounds[b + 1]):
                bitmaps[b + 1, whole] |= _found(tail, 0, shifts[v], masks[v], values[v])


@kernel(inline=True)
def _shift(bitmaps: Any, at: int, count: int, bits: int, rows: Any, to: int) -> None:
    """Write so many words of a bitmap, shifted by some bits."""
    for w in range(0, count, len(_WORDS)):
        v = vload(bitmaps, at + w, _WORDS)
        vstore(rows, to + w, vfunnel(v, vload(bitmaps, at + w + 1, _WORDS), bits))


@kernel(inline=True)
def full_add(a: Any, b: Any, c: Any) -> Any:
    """Add three bits in each lane: the sum modulo two, and the carry."""
    return vxor(vxor(a, b), c), vor(vand(a, b), vand(vor(a, b), c))


@kernel(inline=True)
def _row(rows: Any, loads: Any, i: int, base: int, digits: Any, direct: Any) -> Any:
    """Return the intersection of the rows of all digits; `direct` ones are still to be shifted."""
    n = len(digits)
    row = _one_row(rows, loads, n * i, base, direct)
    for d in range(1, n):
        row = vand(row, _one_row(rows, loads, n * i + d, base, direct))
    return row


@kernel(inline=True)
def _one_row(rows: Any, loads: Any, i: int, base: int, direct: Any) -> Any:
    if len(direct) == 0:
        return vload(rows, base + loads[np.uint64(i)], _BYTES)
    at = base + loads[np.uint64(2 * i)]
    bits = loads[np.uint64(2 * i + 1)]
    return vfunnel(vload(rows, at, _BYTES), vload(rows, at + 8, _BYTES), bits)


@kernel(inline=True)
def add_eight(
    p0: Any, p1: Any, p2: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any
) -> Any:
    """Add eight rows, `a` to `h`, to three planes; return the planes and the carry."""
    p0, twos = full_add(p0, a, b)
    p0, more = full_add(p0, c, d)
    p1, fours = full_add(p1, twos, more)
    p0, twos = full_add(p0, e, f)
    p0, more = full_add(p0, g, h)
    p1, rest = full_add(p1, twos, more)
    p2, carry = full_add(p2, fours, rest)
    return p0, p1, p2, carry


@kernel(inline=True)
def _add_eight(
    rows: Any, loads: Any, i: int, base: int, form: Any, p0: Any, p1: Any, p2: Any
) -> Any:
    digits, direct = form
    return add_eight(
        p0,
        p1,
        p2,
        _row(rows, loads, i, base, digits, direct),
        _row(rows, loads, i + 1, base, digits, direct),
        _row(rows, loads, i + 2, base, digits, direct),
        _row(rows, loads, i + 3, base, digits, direct),
        _row(rows, loads, i + 4, base, digits, direct),
        _row(rows, loads, i + 5, base, digits, direct),
        _row(rows, loads, i + 6, base, digits, direct),
        _row(rows, loads, i + 7, base, digits, direct),
    )


@kernel(inline=True)
def _add_sixteen(
    rows: Any, loads: Any, i: int, base: int, form: Any, p0: Any, p1: Any, p2: Any, p3: Any
) -> Any:
    p0, p1, p2, a = _add_eight(rows, loads, i, base, form, p0, p1, p2)
    p0, p1, p2, b = _add_eight(rows, loads, i + 8, base, form, p0, p1, p2)
    p3, carry = full_add(p3, a, b)
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
                ((0,), ()),
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
def _count_many(
    rows: Any,
    loads: Any,
    first: int,
    last: int,
    base: int,
    form: Any,
    waiting: Any,
    carries: Any,
    steps: Any,
    planes: Any,
    place: int,
) -> None:
    """Add the rows at ``loads[first:last]`` to the counter of a column."""
    w = len(_BYTES)
    p0, p1 = vload(planes, place, _BYTES), vload(planes, place + w, _BYTES)
    p2, p3 = vload(planes, place + 2 * w, _BYTES), vload(planes, place + 3 * w, _BYTES)
    waiting[:] = 0
    for i in range(first, last, 16):
        p0, p1, p2, p3, carry = _add_sixteen(rows, loads, i, base, form, p0, p1, p2, p3)
        vstore(carries, w * (16 + waiting[1]), carry)
        waiting[1] += 1
        if waiting[1] == 16:
            _settle(16, waiting, carries, steps, planes, place)
    vstore(planes, place, p0)
    vstore(planes, place + w, p1)
    vstore(planes, place + 2 * w, p2)
    vstore(planes, place + 3 * w, p3)
    _settle(1, waiting, carries, steps, planes, place)


@kernel(inline=True)
def half_add(p: Any, carry: Any) -> Any:
    """Add two bits in each lane."""
    return vxor(p, carry), vand(p, carry)


@kernel(inline=True)
def _count_few(
    rows: Any, loads: Any, first: int, last: int, base: int, form: Any, planes: Any, place: int
) -> None:
    """Add the rows at ``loads[first:last]`` to a counter that stays below 256: two levels."""
    w = len(_BYTES)
    p0, p1 = vload(planes, place, _BYTES), vload(planes, place + w, _BYTES)
    p2, p3 = vload(planes, place + 2 * w, _BYTES), vload(planes, place + 3 * w, _BYTES)
    place += 4 * w
    q0, q1 = vload(planes, place, _BYTES), vload(planes, place + w, _BYTES)
    q2, q3 = vload(planes, place + 2 * w, _BYTES), vload(planes, place + 3 * w, _BYTES)
    for i in range(first, last, 16):
        p0, p1, p2, p3, carry = _add_sixteen(rows, loads, i, base, form, p0, p1, p2, p3)
        q0, carry = half_add(q0, carry)
        q1, carry = half_add(q1, carry)
        q2, carry = half_add(q2, carry)
        q3 = vxor(q3, carry)
    vstore(planes, place, q0)
    vstore(planes, place + w, q1)
    vstore(planes, place + 2 * w, q2)
    vstore(planes, place + 3 * w, q3)
    place -= 4 * w
    vstore(planes, place, p0)
    vstore(planes, place + w, p1)
    vstore(planes, place + 2 * w, p2)
    vstore(planes, place + 3 * w, p3)


@kernel(inline=True)
def _subtract(
    masks: Any, place: int, levels: int, total: Any, lanes: Any, out: Any, start: int
) -> None:
    """Subtract the counter of a column from ``out[start:]``: its bits say in which lanes.

    Or from ``total[0]``, if there is such a number.
    """
    w = len(lanes)
    plane, size = COLUMN // w, min(COLUMN, out.size - start)
    whole = size - size % w
    if len(total) == 1:
        out[start + whole : start + size] = total[0]
    zero, one = vfill(out.dtype.type(0), lanes), vfill(out.dtype.type(1), lanes)
    for level in range(levels):
        two = vadd(one, one)
        four = vadd(two, two)
        eight = vadd(four, four)
        for i in range(0, whole, w):
            left, at = vload(out, start + i, lanes), place + i // w
            if len(total) == 1 and level == 0:
                left = vfill(out.dtype.type(total[0]), lanes)
            left = vsub(left, vwhere(masks[at], one, zero))
            left = vsub(left, vwhere(masks[at + plane], two, zero))
            left = vsub(left, vwhere(masks[at + 2 * plane], four, zero))
            left = vsub(left, vwhere(masks[at + 3 * plane], eight, zero))
            vstore(out, start + i, left)
        for i in range(whole, size):
            for p in range(4):
                mask = masks[place + p * plane + i // w] >> masks.dtype.type(i % w)
                if mask & masks.dtype.type(1):
                    out[start + i] -= out.dtype.type(1) << out.dtype.type(4 * level + p)
        one = vadd(eight, eight)
        place += 4 * plane


@kernel(inline=True)
def write_bits(bits: Any, base: int, found: Any, count: int) -> int:
    """Write the places of the bits set, counted from `base`."""
    while bits:
        found[count] = base + np.int64(vcount((bits & (~bits + np.uint64(1))) - np.uint64(1)))
        bits &= bits - np.uint64(1)
        count += 1
    return count


@kernel()
def places_below(
    distances: Any, start: int, bound: Any, lanes: Any, found: Any, values: Any
) -> tuple[int, int]:
    """Write where distances are below a bound, and the distances there.

    It begins at `start`, a multiple of the lanes, and stops where there is no more room. Distances
    and bound are unsigned and lack the highest bit, so that of their difference tells.

    Returns
    -------
    count, stop : int
        How many were written, and how far it came.
    """
    w, sign = len(lanes), 8 * distances.itemsize - 1
    whole = distances.size - distances.size % w
    bounds, ones = vfill(bound, lanes), vfill(distances.dtype.type(1), lanes)
    count = 0
    for i in range(start, whole, w):
        if count + w > found.size:
            return count, i
        below = veq(vshr(vsub(vload(distances, i, lanes), bounds), sign), ones)
        first = count
        count = write_bits(below, i, found, count)
        for c in range(first, count):
            values[c] = distances[found[c]]
    if count + w > found.size:
        return count, whole
    for i in range(whole, distances.size):
        if distances[i] < bound:
            found[count] = i
            values[count] = distances[i]
            count += 1
    return count, distances.size


@kernel()
def subtract_tiles(
    codes: Any,
    plan: Any,
    scratch: Any,
    vectors: Any,
    shifts: int,
    taken: Any,
    total: Any,
    out: Any,
    found: Any,
) -> int:
    """Subtract the agreements from `out`, tile by tile, until all have been taken and finished.

    Or write ``total[0]`` less the agreements, if there is such a number.

    A tile is as many shifts as fit the planes: a counter of ``4 * (waiting.size - 1)`` vectors for
    each column. For each chunk of the pattern, `chunks` has its first place, its length, and where
    its `copies` (bitmap, bits of the shift) and its `loads` into the rows begin. Without codes, the
    bitmaps are there already. `masks` is another view of the planes. ``vectors[0]`` has an item for
    each lane of `out`, ``vectors[1]`` for each vector of a column.

    The first number of `taken` counts the tiles taken, the second those finished: to wait for those
    of other threads here spares the caller to be woken. They are waited for some time only.

    If there are places, values and a bound in `found`, `out` is one tile only, and the shifts whose
    distances are below the bound are written, with the distances, as long as there is room for a
    tile; `taken` is left as the next call needs it.

    Returns
    -------
    int
        How many places were written.
    """
    tests, chunks, copies, loads, steps, form = plan
    bitmaps, rows, carries, waiting, planes, masks = scratch
    lanes, fetched = vectors
    w, levels, count = len(_BYTES), waiting.size - 1, 0
    counter = 4 * levels * w
    tile = planes.size // counter * COLUMN
    if codes.size:
        bitmaps[0] = 0
    rows[0] = 0
    flat_bitmaps, flat_rows = bitmaps.reshape(-1), rows.reshape(-1)
    flat = (flat_rows if len(form[1]) == 0 else flat_bitmaps).view(np.uint8)
    start = take(taken, 0) * tile
    while start < shifts:
        following = take(taken, 0) * tile
        columns = -(-min(tile, shifts - start) // COLUMN)
        planes[: columns * counter] = 0
        for c in range(chunks.shape[0] - 1):
            words = (columns * COLUMN + chunks[c, 1]) // 64 + 1
            first_word = (start + chunks[c, 0]) // 64
            if codes.size:
                mark(codes, 64 * first_word, words + 1, tests, bitmaps)
                first_word = 0
            for k in range(chunks[c, 2], chunks[c + 1, 2]):
                at = (copies[k, 0] + 1) * bitmaps.shape[1] + first_word
                to = (k - chunks[c, 2] + 1) * rows.shape[1]
                _shift(flat_bitmaps, at, words, copies[k, 1], flat_rows, to)
            first, last = chunks[c, 3], chunks[c + 1, 3]
            for column in range(columns):
                if c == 0:
                    vfetch(codes, following + column * COLUMN, _CODES, _WORDS)
                    if len(found) == 0:
                        vfetch(out, following + column * COLUMN, lanes, fetched)
                base, place = column * w, column * counter
                if waiting.size == 3:
                    _count_few(flat, loads, first, last, base, form, planes, place)
                else:
                    _count_many(
                        flat, loads, first, last, base, form, waiting, carries, steps, planes, place
                    )
        to = 0 if len(found) else start
        for column in range(columns):
            place = column * (masks.size // (tile // COLUMN))
            _subtract(masks, place, levels, total, lanes, out, to + column * COLUMN)
        if len(found):
            places, values, bound = found
            here = out[: shifts - start]
            more, _ = places_below(here, 0, bound, lanes, places[count:], values[count:])
            places[count : count + more] += start
            count += more
            if count + tile > places.size:
                taken[0] = following // tile
                break
        take(taken, 1)
        start = following
    if len(found) == 0:
        for _ in range(_PATIENCE):
            if peek(taken, 1) * tile >= shifts:
                break
    return count
