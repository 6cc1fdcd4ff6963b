"""Bit-sliced counting that stops early: which shifts are within k, if only a part is counted.

The bitmap of a letter has a bit for each text code: whether they agree. A vector of 512 bits,
loaded from bit j of the bitmap on and shifted into place, says where 512 shifts in a row agree at
position j; such vectors are added by full adders as in `kernels_bits`. But here a shift is dropped
as soon as it has more than k mismatches, and where all 512 have been dropped the next ones follow.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel
from lowapprox._core.simd import (
    vand,
    veq,
    vfill,
    vfunnel,
    vload,
    vor,
    vstore,
    vxor,
)
from lowapprox.hamming.kernels_bits import COLUMN, add_eight, full_add, mark, write_bits

__all__ = ["COLUMN", "GROUP", "sieve"]

GROUP = 16  # positions between two looks

_WORDS = (0,) * 8
_CODES = (0,) * 64


@kernel(inline=True)
def _row(words: Any, loads: Any, i: int, base: int) -> Any:
    """Return 512 bits of a bitmap, from a bit on."""
    at = base + loads[i, 0]
    return vfunnel(vload(words, at, _WORDS), vload(words, at + 1, _WORDS), loads[i, 1])


@kernel(inline=True)
def _add_eight(words: Any, loads: Any, i: int, base: int, p0: Any, p1: Any, p2: Any) -> Any:
    return add_eight(
        p0,
        p1,
        p2,
        _row(words, loads, i, base),
        _row(words, loads, i + 1, base),
        _row(words, loads, i + 2, base),
        _row(words, loads, i + 3, base),
        _row(words, loads, i + 4, base),
        _row(words, loads, i + 5, base),
        _row(words, loads, i + 6, base),
        _row(words, loads, i + 7, base),
    )


@kernel(inline=True)
def _at_least(bit: Any, plane: Any, enough: Any) -> Any:
    """Compare one more bit of a count, above those seen, with that of a bound."""
    return vand(plane, enough) if bit else vor(plane, enough)


@kernel()
def sieve(
    codes: Any,
    shifts: int,
    tests: Any,
    loads: Any,
    needed: Any,
    reach: int,
    share: float,
    spare: int,
    bitmaps: Any,
    planes: Any,
    found: Any,
) -> tuple[int, int]:
    """Write the shifts that are left; return how many, and how many shifts were treated.

    It stops where more than a share of them are left.

    Parameters
    ----------
    codes : ndarray, shape (shifts + reach,) or more
    shifts : int
    values, bounds : ndarray
        ``values[bounds[b] : bounds[b + 1]]`` are the codes that agree with the letter of bitmap
        b + 1.
        Bitmap 0 is zero.
    loads : ndarray of int64, shape (groups * GROUP, 2)
        For each position, the word of the bitmaps and the bit from which it is loaded.
    needed : ndarray of int64, shape (groups,)
        How many agreements a shift must have after each group.
    reach : int
        The largest position.
    share, spare : float and int
        At most ``share * shifts + spare`` of the first shifts may be left.
    bitmaps : ndarray of uint64
        Scratch, zero; its size tells how many shifts are treated at a time.
    planes : ndarray of uint64
        Scratch: eight words for each bit of the counts above four, and eight more.
    found : ndarray of int64
        Has room for ``share * shifts + spare`` and two columns more.
    """
    words = bitmaps.reshape(-1)
    block = (64 * bitmaps.shape[1] - reach - 64) // COLUMN * COLUMN
    zero, ones = vfill(np.uint64(0), _WORDS), vfill(~np.uint64(0), _WORDS)
    high = planes.size // 8 - 1
    count = 0
    for start in range(0, shifts, block):
        stop = min(start + block, shifts)
        mark(codes, start, bitmaps.shape[1], tests, bitmaps)
        for column in range(start, stop, COLUMN):
            base = (column - start) // 64
            p0 = p1 = p2 = p3 = zero
            left = ones
            for p in range(high):
                vstore(planes, 8 * p, zero)
            for g in range(needed.size):
                i = GROUP * g
                p0, p1, p2, a = _add_eight(words, loads, i, base, p0, p1, p2)
                p0, p1, p2, b = _add_eight(words, loads, i + 8, base, p0, p1, p2)
                p3, carry = full_add(p3, a, b)
                for p in range(high):
                    plane = vload(planes, 8 * p, _WORDS)
                    vstore(planes, 8 * p, vxor(plane, carry))
                    carry = vand(plane, carry)
                bound = needed[g]
                if bound > 0:
                    left = _at_least(bound & 1, p0, ones)
                    left = _at_least(bound & 2, p1, left)
                    left = _at_least(bound & 4, p2, left)
                    left = _at_least(bound & 8, p3, left)
                    for p in range(high):
                        left = _at_least(bound & 16 << p, vload(planes, 8 * p, _WORDS), left)
                    if veq(left, zero) == np.uint64(255):
                        break
            if veq(left, zero) != np.uint64(255):
                vstore(planes, 8 * high, left)
                for w in range(8):
                    count = write_bits(planes[8 * high + w], column + 64 * w, found, count)
                while count and found[count - 1] >= stop:
                    count -= 1
                if count > share * (column + COLUMN) + spare:
                    return count, min(column + COLUMN, stop)
    return count, shifts
