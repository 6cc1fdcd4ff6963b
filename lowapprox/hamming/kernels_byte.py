"""Counting by comparing vectors of codes with one pattern letter after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel
from lowapprox._core.simd import vadd, veq, vfill, vload, vstore, vwhere

__all__ = ["compare"]


@kernel(inline=True)
def _add_agreements(
    count: Any, codes: Any, at: int, letter: Any, wild: Any, one: Any, lanes: Any
) -> Any:
    found = vload(codes, at, lanes)
    bits = veq(found, vfill(letter, lanes))
    if len(wild) == 1:
        bits |= veq(found, vfill(wild[0], lanes))
    return vadd(count, vwhere(bits, one, vfill(codes.dtype.type(0), lanes)))


@kernel()
def compare(
    codes: Any, positions: Any, letters: Any, wild: Any, limit: int, lanes: Any, out: Any
) -> None:
    """Subtract the number of agreements at each shift from `out`.

    `wild` is a tuple: empty, or the code that agrees with every letter. A lane holds counts up to
    `limit`.
    """
    w = len(lanes)
    zero, one = vfill(codes.dtype.type(0), lanes), vfill(codes.dtype.type(1), lanes)
    counts = np.empty(4 * w, codes.dtype)
    whole = out.size - out.size % (4 * w)
    for start in range(0, whole, 4 * w):
        for first in range(0, positions.size, limit):
            c0 = c1 = c2 = c3 = zero
            for k in range(first, min(first + limit, positions.size)):
                at, letter = start + positions[k], letters[k]
                c0 = _add_agreements(c0, codes, at, letter, wild, one, lanes)
                c1 = _add_agreements(c1, codes, at + w, letter, wild, one, lanes)
                c2 = _add_agreements(c2, codes, at + 2 * w, letter, wild, one, lanes)
                c3 = _add_agreements(c3, codes, at + 3 * w, letter, wild, one, lanes)
            vstore(counts, 0, c0)
            vstore(counts, w, c1)
            vstore(counts, 2 * w, c2)
            vstore(counts, 3 * w, c3)
            for i in range(4 * w):
                out[start + i] -= counts[i]
    for i in range(whole, out.size):
        count = 0
        for k in range(positions.size):
            code = codes[i + positions[k]]
            if code == letters[k] or (len(wild) == 1 and code == wild[0]):
                count += 1
        out[i] -= count
