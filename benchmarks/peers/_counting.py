"""Mismatch counting as others do it: each returns what `hamming_distances` or a search returns."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from benchmarks.peers._measure import need

Array = np.ndarray[Any, Any]
Hits = tuple[Array, Array]  # positions and distances


def oaconvolve_distances(text: Array, pattern: Array, dtype: Any = np.float32) -> Array:
    """One `scipy.signal.oaconvolve` for each letter of the pattern.

    The shorter argument is the pattern, so SciPy cuts the text into blocks. The FFTs run on the
    workers of `scipy.fft.set_workers`, by default one.
    """
    from scipy.signal import oaconvolve

    agreements = np.zeros(text.size - pattern.size + 1, dtype=dtype)
    for letter in np.unique(pattern):
        places = (text == letter).astype(dtype)
        wanted = (pattern[::-1] == letter).astype(dtype)
        agreements += oaconvolve(places, wanted, mode="valid")
    return pattern.size - np.rint(agreements).astype(np.int32)


def loop_distances(text: Array, pattern: Array) -> Array:
    """A plain compiled loop over shifts and letters, in one thread."""
    out = np.empty(text.size - pattern.size + 1, dtype=np.int32)
    _loop()(text, pattern, out)
    return out


@cache
def _loop() -> Callable[[Array, Array, Array], None]:
    import numba

    @numba.njit
    def loop(text: Array, pattern: Array, out: Array) -> None:
        for i in range(out.size):
            count = np.int32(0)
            for j in range(pattern.size):
                if text[i + j] != pattern[j]:
                    count += np.int32(1)
            out[i] = count

    return loop


def pass_distances(text: Array, pattern: Array, shifts: int) -> Array:
    """One NumPy pass over the shifts for each letter of the pattern."""
    out = np.zeros(shifts, dtype=np.int32)
    for j, letter in enumerate(pattern):
        out += text[j : j + shifts] != letter
    return out


def fuzzysearch_hits(text: str, pattern: str, k: int) -> Hits:
    """Call `fuzzysearch.find_near_matches`, substitutions only."""
    found = need("fuzzysearch").find_near_matches(
        pattern, text, max_substitutions=k, max_insertions=0, max_deletions=0
    )
    return _hits([(match.start, match.dist) for match in found])


def regex_hits(text: str, pattern: str, k: int) -> Hits:
    """Search with `regex`, at most k substitutions, overlapping matches too."""
    fuzzy = need("regex").compile(f"(?:{pattern}){{s<={k}}}")
    found = fuzzy.finditer(text, overlapped=True)
    return _hits([(match.start(), match.fuzzy_counts[0]) for match in found])


def _hits(found: list[tuple[int, int]]) -> Hits:
    table = np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
