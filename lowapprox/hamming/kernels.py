"""Compiled loops that every method uses."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel
from lowapprox._core.simd import veq, vfill, vload, vstore, vwhere

__all__ = ["encode", "encode_few"]


@kernel()
def encode(letters: Any, low: Any, table: Any, other: Any, out: Any) -> None:
    """Write ``table[letters[i] - low]``, or `other` where there is no such entry.

    The letters are unsigned, and so is the difference: letters that were signed lie on both sides
    of zero, and what is below `low` wraps to a large number.
    """
    size = np.uint64(table.size)
    for i in range(letters.size):
        index = np.uint64(letters.dtype.type(letters[i] - low))
        out[i] = table[index] if index < size else other


@kernel()
def encode_few(letters: Any, keys: Any, codes: Any, other: Any, lanes: Any, out: Any) -> None:
    """Write ``codes[k]`` where a letter is ``keys[k]``, else `other`; all of one dtype."""
    w = len(lanes)
    whole = letters.size - letters.size % w
    for i in range(0, whole, w):
        found, coded = vload(letters, i, lanes), vfill(other, lanes)
        for k in range(keys.size):
            bits = veq(found, vfill(keys[k], lanes))
            coded = vwhere(bits, vfill(codes[k], lanes), coded)
        vstore(out, i, coded)
    for i in range(whole, letters.size):
        out[i] = other
        for k in range(keys.size):
            if letters[i] == keys[k]:
                out[i] = codes[k]
