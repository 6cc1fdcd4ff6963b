"""Search with at most k mismatches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from lowapprox._core.checks import checked_int
from lowapprox._core.results import run_info
from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import Pattern
from lowapprox.hamming.counting import Counter, blocks, count
from lowapprox.hamming.plan import frequencies, names, predicted_time, prepare
from lowapprox.hamming.problem import Problem, narrowest, pose
from lowapprox.hamming.result import Matches
from lowapprox.hamming.verify import Verifier, verify_time

__all__ = ["hamming_matches"]

Found = tuple[Array, Array]
_PROBE = 2048  # shifts that tell whether the filter is worth its time in a block


def hamming_matches(
    text: Any,
    pattern: Any,
    k: int,
    *,
    mode: str = "valid",
    wildcard: Any = None,
    classes: Mapping[Any, Iterable[Any]] | None = None,
) -> Matches:
    """Find every place of a text where a pattern has at most k mismatches.

    Parameters
    ----------
    text, pattern : str, bytes, bytearray, memoryview, array or sequence of hashables
        Of n and m letters, as `hamming_distances` takes them.
    k : int
        Largest number of mismatches, at least 0.
    mode : {"valid", "full", "cyclic"}
        Which shifts, as in `hamming_distances`.
    wildcard : letter, optional
        A letter that agrees with every letter.
    classes : mapping of letter to letters, optional
        What a letter stands for.

    Returns
    -------
    Matches
        The shifts in increasing order and their exact distances.

    Raises
    ------
    InputError
        If `k` is negative, or another argument is out of range.
    InputTypeError
        If the letters of text and pattern cannot be compared, or `k` is no integer.

    Notes
    -----
    Part of the pattern is counted at every shift, just enough of it that few shifts of a random
    text are left within k; those are compared letter by letter until the (k + 1)-th mismatch. In
    a block of text where many shifts are left (a periodic text) the rest of the pattern is
    counted at all of them, so that no text costs much more than `hamming_distances`. On random
    text the cost is O(n (k + log m)) letter comparisons, 512 at a time. The best bound known is
    O(n + n k / sqrt(m)) [1]_.

    References
    ----------
    .. [1] T. M. Chan, C. Jin, V. Vassilevska Williams, Y. Xu, "Faster algorithms for
       text-to-pattern Hamming distances", FOCS 2023, arXiv:2310.13174.

    Examples
    --------
    >>> from lowapprox.hamming import hamming_matches
    >>> positions, distances = hamming_matches("abracadabra", "abra", 2)
    >>> positions, distances
    (array([0, 7]), array([0, 0], dtype=int8))
    """
    k, started = checked_int(k, "k", 0), perf_counter()
    problem = pose(text, pattern, mode=mode, wildcard=wildcard, classes=classes)
    search = _planned(problem, k)
    found = blocks(search.find, problem.shifts, problem.pattern.span, compiled=search.compiled)
    places = [np.empty(0, np.int64), *(places for places, _ in found)]
    distances = [np.empty(0, narrowest(problem.pattern.span)), *(d for _, d in found)]
    part = search.filter or search
    info = run_info(started, names(part.counters), everywhere=_size(part.counters))
    shifts = np.concatenate(places) - problem.text.lead
    return Matches(shifts, np.concatenate(distances), info)


def _size(counters: Sequence[Counter]) -> int:
    """Return how many positions are counted."""
    return sum(counter.pattern.size for counter in counters)


def _planned(problem: Problem, k: int) -> _Search:
    pattern = problem.pattern
    counters, compiled = prepare(problem)
    if compiled and pattern.size:
        often = frequencies(problem)[pattern.letters]
        size = _filter_size(problem, k, often)
        if size < pattern.size:
            # The letters that are rare in the text tell most.
            mask = np.zeros(pattern.size, dtype=bool)
            mask[np.argsort(often, kind="stable")[:size]] = True
            return _Search(problem, k, counters, compiled, _Filter.prepare(problem, k, mask))
    return _Search(problem, k, counters, compiled)


@dataclass(frozen=True, slots=True, eq=False)
class _Filter:
    """Part of the pattern, and what looks at the rest of it at single shifts.

    Attributes
    ----------
    part : Pattern
    counters : sequence of Counter
        They count the part.
    verifier : Verifier
        For the rest.
    worth : float
        The largest share of the shifts at which looking takes less time than counting everywhere.
    """

    part: Pattern
    counters: Sequence[Counter]
    verifier: Verifier
    worth: float

    @classmethod
    def prepare(cls, problem: Problem, k: int, mask: Array) -> _Filter:
        """Prepare a filter of the positions in a mask."""
        part, rest = problem.pattern.take(mask), problem.pattern.take(~mask)
        counters, _ = prepare(replace(problem, pattern=part))
        look = float(verify_time(_compared(rest.size, k)))
        verifier = Verifier(rest, problem.text.alphabet)
        return cls(part, counters, verifier, predicted_time(problem) / look)


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """The pattern, counted at every shift unless a filter leaves few of them."""

    problem: Problem
    k: int
    counters: Sequence[Counter]
    compiled: bool
    filter: _Filter | None = None

    def find(self, start: int, stop: int) -> Found:
        """Return the shifts within k, and their distances."""
        span = self.problem.pattern.span
        codes = self.problem.text.codes(start, stop + max(span, 1) - 1, compiled=self.compiled)
        found = np.empty(stop - start, dtype=narrowest(span))
        if self.filter is None or not self._promising(codes, found):
            places = self._within(codes, self.counters, found)
            return places + start, found[places]
        places = self._within(codes, self.filter.counters, found)
        if places.size > self.filter.worth * found.size:
            places = self._within(codes, self.counters, found)
            return places + start, found[places]
        distances = found[places]
        distances += self.filter.verifier.count(codes, places, self.k).astype(found.dtype)
        right = distances <= self.k
        return places[right] + start, distances[right]

    def _promising(self, codes: Array, found: Array) -> bool:
        """Tell by a few shifts in the middle whether the filter leaves few."""
        if self.filter is None or found.size <= 4 * _PROBE:
            return self.filter is not None
        middle, last = found.size // 2, self.filter.part.span - 1
        few = found[:_PROBE]
        places = self._within(codes[middle : middle + _PROBE + last], self.filter.counters, few)
        return bool(places.size <= self.filter.worth * _PROBE)

    def _within(self, codes: Array, counters: Sequence[Counter], found: Array) -> Array:
        """Write the distances of all shifts in the codes; return the shifts within k."""
        count(codes, counters, found)
        return np.flatnonzero(found <= self.k)


def _compared(left: Any, k: int) -> Any:
    """Return how many of the letters left are compared until there are too many mismatches."""
    return np.minimum(left, 2 * k + 64)


def _filter_size(problem: Problem, k: int, often: Array) -> int:
    """Return how many positions to count at every shift before looking at single ones.

    The least predicted time, if the letters of the text were drawn independently.
    """
    miss = np.cumsum(1.0 - np.sort(often))
    sizes = np.unique(np.geomspace(1, often.size, 64).astype(np.int64))
    left = _chernoff(sizes, k, miss[sizes - 1] / sizes)
    left[-1] = 0.0
    times = [predicted_time(problem, size) for size in sizes.tolist()]
    return int(sizes[np.argmin(times + left * verify_time(_compared(often.size - sizes, k)))])


def _chernoff(sizes: Array, k: int, rate: Array) -> Array:
    """Return a bound on the chance of at most k mismatches among independent positions."""
    share = np.minimum(k / sizes, rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(share > 0, share * np.log(share / rate), 0.0)
        high = np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - rate)), 0.0)
    return np.where(share < rate, np.exp(-sizes * (low + high)), 1.0)
