"""Counting the mismatches of chosen shifts, one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel
from lowapprox._core.simd import veq, vfill, vload

__all__ = ["count_in_table", "count_unequal"]

_ODD = np.uint64(0x5555555555555555)
_PAIRS = np.uint64(0x3333333333333333)
_FOURS = np.uint64(0x0F0F0F0F0F0F0F0F)
_LOW = np.uint64(0x7F)
_1, _2, _4, _8, _16, _32 = (np.uint64(1 << i) for i in range(6))


@kernel()
def _ones(word: Any) -> Any:
    """Return the number of bits that are set."""
    word = word - (word >> _1 & _ODD)
    word = (word & _PAIRS) + (word >> _2 & _PAIRS)
    word = word + (word >> _4) & _FOURS
    word = word + (word >> _8)
    word = word + (word >> _16)
    return np.int64(word + (word >> _32) & _LOW)


@kernel()
def count_unequal(
    codes: Any,
    starts: Any,
    letters: Any,
    counted: Any,
    wild: Any,
    wilds: Any,
    lanes: Any,
    limit: Any,
    out: Any,
) -> None:
    """Write the mismatches at each start, at most limit + 1.

    `letters` holds a code for each pattern position, and bit j of `counted` says whether position
    j counts. Text codes equal to `wild` agree with every letter where `wilds` has its bit set.
    """
    whole = letters.size // 64
    every = vfill(wild, lanes)
    for q in range(starts.size):
        found = 0
        for w in range(whole):
            window = vload(codes, starts[q] + 64 * w, lanes)
            same = veq(window, vload(letters, 64 * w, lanes)) | (veq(window, every) & wilds)
            found += _ones(counted[w] & ~same)
            if found > limit:
                break
        if found <= limit:
            for j in range(64 * whole, letters.size):
                code = codes[starts[q] + j]
                if counted[whole] >> np.uint64(j & 63) & _1:
                    found += code != letters[j] and not (wilds and code == wild)
        out[q] = min(found, limit + 1)


@kernel()
def count_in_table(
    codes: Any, starts: Any, positions: Any, letters: Any, table: Any, limit: Any, out: Any
) -> None:
    """Write the mismatches at each start, at most limit + 1, by a table of the agreements."""
    for q in range(starts.size):
        found = 0
        for j in range(positions.size):
            found += not table[letters[j], codes[starts[q] + positions[j]]]
            if found > limit:
                break
        out[q] = found
