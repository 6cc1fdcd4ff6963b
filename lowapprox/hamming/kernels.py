"""Compiled loops that every method uses."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel

__all__ = ["encode"]


@kernel()
def encode(letters: Any, low: Any, table: Any, other: Any, out: Any) -> None:
    """Write ``table[letters[i] - low]``, or `other` where there is no such entry.

    The letters are unsigned, and so is the difference: what is below `low` wraps to a large one.
    """
    size = np.uint64(table.size)
    for i in range(letters.size):
        index = np.uint64(letters.dtype.type(letters[i] - low))
        out[i] = table[index] if index < size else other
