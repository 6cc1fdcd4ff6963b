"""Counting the mismatches of chosen shifts, one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel
from lowapprox._core.simd import vcount, veq, vfill, vload

__all__ = ["count_in_table", "count_unequal"]

_1 = np.uint64(1)


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
        found: Any = 0
        for w in range(whole):
            window = vload(codes, starts[q] + 64 * w, lanes)
            same = veq(window, vload(letters, 64 * w, lanes)) | (veq(window, every) & wilds)
            found += np.int64(vcount(counted[w] & ~same))
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
