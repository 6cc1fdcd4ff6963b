"""Compiled loop of the counting by occurrences."""

from __future__ import annotations

from typing import Any

from lowapprox._core.jit import kernel

__all__ = ["scatter"]


@kernel()
def scatter(codes: Any, starts: Any, places: Any, span: int, out: Any) -> None:
    """Subtract one from ``out[t - j]`` for each text place t and pattern place j that agree.

    ``places[starts[c] : starts[c + 1]]`` are the pattern places that agree with text code c,
    increasing. Only near the ends can t - j lie outside.
    """
    size = out.size
    first, last = min(span - 1, codes.size), max(size, span - 1)
    for t in range(first):
        for k in range(starts[codes[t]], starts[codes[t] + 1]):
            if places[k] > t:
                break
            if t - places[k] < size:
                out[t - places[k]] -= 1
    for t in range(first, min(last, codes.size)):
        for k in range(starts[codes[t]], starts[codes[t] + 1]):
            out[t - places[k]] -= 1
    for t in range(last, codes.size):
        for k in range(starts[codes[t]], starts[codes[t] + 1]):
            if t - places[k] < size:
                out[t - places[k]] -= 1
