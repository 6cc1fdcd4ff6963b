"""The best shifts of a pattern."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import perf_counter
from typing import Any

import numpy as np

from lowapprox._core.checks import checked_int
from lowapprox._core.results import run_info
from lowapprox._core.typing import Array
from lowapprox.hamming.counting import blocks, count_range
from lowapprox.hamming.plan import names, prepare
from lowapprox.hamming.problem import narrowest, pose
from lowapprox.hamming.result import Matches

__all__ = ["hamming_search"]


def hamming_search(
    text: Any,
    pattern: Any,
    *,
    top: int = 1,
    mode: str = "valid",
    wildcard: Any = None,
    classes: Mapping[Any, Iterable[Any]] | None = None,
) -> Matches:
    """Find the places of a text where a pattern has the fewest mismatches.

    Parameters
    ----------
    text, pattern : str, bytes, bytearray, memoryview, array or sequence of hashables
        Of n and m letters, as `hamming_distances` takes them.
    top : int, default 1
        Number of shifts, at least 1; all of them if there are fewer.
    mode : {"valid", "full", "cyclic"}
        Which shifts, as in `hamming_distances`. In "full", a pattern that hardly overlaps the text
        has few mismatches.
    wildcard : letter, optional
        A letter that agrees with every letter.
    classes : mapping of letter to letters, optional
        What a letter stands for.

    Returns
    -------
    Matches
        Sorted by distance; of equal distances, the first shifts.

    Raises
    ------
    InputError
        If `top` is smaller than 1, or another argument is out of range.
    InputTypeError
        If the letters of text and pattern cannot be compared, or `top` is no integer.

    See Also
    --------
    hamming_matches : All shifts within a number of mismatches.

    Notes
    -----
    The time is that of `hamming_distances`; the memory does not grow with the text.

    Examples
    --------
    >>> from lowapprox.hamming import hamming_search
    >>> positions, distances = hamming_search("abracadabra", "bread", top=2)
    >>> positions, distances
    (array([1, 2]), array([3, 3], dtype=int8))
    """
    top, started = checked_int(top, "top", 1), perf_counter()
    problem = pose(text, pattern, mode=mode, wildcard=wildcard, classes=classes)
    counters, compiled = prepare(problem)
    dtype = narrowest(problem.pattern.span)

    def best(start: int, stop: int) -> tuple[Array, Array]:
        found = np.empty(stop - start, dtype=dtype)
        count_range(problem.text, counters, start, found, compiled=compiled)
        places = _smallest(found, top)
        return places + start, found[places]

    parts = blocks(best, problem.shifts, problem.pattern.span, compiled=compiled)
    places = np.concatenate([np.empty(0, np.int64), *(p for p, _ in parts)])
    distances = np.concatenate([np.empty(0, dtype), *(d for _, d in parts)])
    order = np.argsort(distances, kind="stable")[:top]
    info = run_info(started, names(counters))
    return Matches(places[order] - problem.text.lead, distances[order], info)


def _smallest(values: Array, count: int) -> Array:
    """Return the places of the smallest values, in order; of equal ones, the first places."""
    if values.size <= count:
        return np.arange(values.size)
    limit = np.partition(values, count - 1)[count - 1]
    below = np.flatnonzero(values < limit)
    equal = np.flatnonzero(values == limit)[: count - below.size]
    return np.sort(np.concatenate([below, equal]))
