"""Compiled loop of the counting by occurrences."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel

__all__ = ["scatter"]


@kernel()
def scatter(codes: Any, starts: Any, places: Any, span: int, out: Any) -> None:
    """Subtract one from ``out[t - j]`` for each text place t and pattern place j that agree.

    ``places[starts[c] : starts[c + 1]]`` are the pattern places that agree with text code c,
    increasing, in unsigned integers: so no index is looked at twice. Only near the ends can t - j
    lie outside.
    """
    size = out.size
    first, last = min(span - 1, codes.size), min(max(size, span - 1), codes.size)
    for t in range(first):
        code = np.uint64(codes[t])
        for k in range(np.uint64(starts[code]), np.uint64(starts[code + np.uint64(1)])):
            shift = t - np.int64(places[k])
            if shift < 0:
                break
            if shift < size:
                out[np.uint64(shift)] -= 1
    for t in range(first, last):
        code = np.uint64(codes[t])
        for k in range(np.uint64(starts[code]), np.uint64(starts[code + np.uint64(1)])):
            out[np.uint64(t) - np.uint64(places[k])] -= 1
    for t in range(last, codes.size):
        code = np.uint64(codes[t])
        begin, end = np.uint64(starts[code]), np.uint64(starts[code + np.uint64(1)])
        for k in range(np.uint64(0), end - begin):
            shift = t - np.int64(places[end - np.uint64(1) - k])
            if shift >= size:
                break
            if shift >= 0:
                out[np.uint64(shift)] -= 1
