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
from lowapprox.hamming.counting import Counter, blocks, count
from lowapprox.hamming.plan import frequencies, is_tiny, names, predicted_time, prepare
from lowapprox.hamming.problem import Problem, narrowest, pose
from lowapprox.hamming.result import Matches
from lowapprox.hamming.verify import Verifier, verify_time

__all__ = ["hamming_matches"]

Found = tuple[Array, Array]


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
    compiled = search.first.compiled
    found = blocks(search.find, problem.shifts, problem.pattern.span, compiled=compiled)
    places = [np.empty(0, np.int64), *(places for places, _ in found)]
    distances = [np.empty(0, narrowest(problem.pattern.span)), *(d for _, d in found)]
    info = run_info(
        started,
        names(search.first.counters),
        everywhere=search.first.problem.pattern.size,
        of=problem.pattern.size,
    )
    shifts = np.concatenate(places) - problem.text.lead
    return Matches(shifts, np.concatenate(distances), info)


def _planned(problem: Problem, k: int) -> _OneStage | _TwoStages:
    pattern, alphabet = problem.pattern, problem.text.alphabet
    size = pattern.size
    if size and not is_tiny(problem):
        often = frequencies(problem)[pattern.letters]
        size = _filter_size(problem, k, often)
    if size == pattern.size:
        return _OneStage(problem, k, *prepare(problem))
    # The letters that are rare in the text tell most.
    mask = np.zeros(pattern.size, dtype=bool)
    mask[np.argsort(often, kind="stable")[:size]] = True
    first = replace(problem, pattern=pattern.take(mask))
    rest = replace(problem, pattern=pattern.take(~mask))
    stage = _OneStage(first, k, *prepare(first))
    verifier = Verifier(rest.pattern, alphabet)
    look = float(verify_time(_compared(rest.pattern.size, k)))
    return _TwoStages(stage, prepare(rest)[0], verifier, look, predicted_time(rest))


def _compared(left: Any, k: int) -> Any:
    """Return how many of the letters left are compared until there are too many mismatches."""
    return np.minimum(left, 2 * k + 64)


@dataclass(frozen=True, slots=True, eq=False)
class _OneStage:
    """Count the pattern at every shift."""

    problem: Problem
    k: int
    counters: Sequence[Counter]
    compiled: bool

    @property
    def first(self) -> _OneStage:
        """What is counted at every shift: this stage."""
        return self

    def find(self, start: int, stop: int) -> Found:
        """Return the shifts within k, and their distances."""
        _, found = self.count(start, stop)
        places = np.flatnonzero(found <= self.k)
        return places + start, found[places]

    def count(self, start: int, stop: int) -> tuple[Array, Array]:
        """Return the codes and the distances between two shifts."""
        span = self.problem.pattern.span
        found = np.empty(stop - start, dtype=narrowest(span))
        codes = self.problem.text.codes(start, stop + max(span, 1) - 1, compiled=self.compiled)
        count(codes, self.counters, found)
        return codes, found


@dataclass(frozen=True, slots=True, eq=False)
class _TwoStages:
    """Count part of the pattern at every shift, and the rest where the part leaves a chance."""

    first: _OneStage
    counters: Sequence[Counter]
    verifier: Verifier
    look: float  # nanoseconds to verify a shift,
    nanoseconds: float  # and to count the rest at each shift

    def find(self, start: int, stop: int) -> Found:
        """Return the shifts within k, and their distances."""
        codes, found = self.first.count(start, stop)
        k = self.first.k
        places = np.flatnonzero(found <= k)
        if places.size * self.look < found.size * self.nanoseconds:
            distances = found[places] + self.verifier.count(codes, places, k).astype(found.dtype)
        else:
            rest = np.empty_like(found)
            count(codes, self.counters, rest)
            found += rest
            places = np.flatnonzero(found <= k)
            distances = found[places]
        within = distances <= k
        return places[within] + start, distances[within]


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
