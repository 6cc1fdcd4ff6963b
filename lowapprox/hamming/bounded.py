"""Search with at most k mismatches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from lowapprox._core.checks import checked_int
from lowapprox._core.results import run_info
from lowapprox._core.threads import kernel_threads
from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import Pattern
from lowapprox.hamming.bits import BitsCounter
from lowapprox.hamming.counting import block_shifts, blocks, count, smallest_block
from lowapprox.hamming.plan import frequencies, is_tiny, names, predicted_time, prepare
from lowapprox.hamming.problem import Problem, narrowest, pose
from lowapprox.hamming.result import Matches
from lowapprox.hamming.sieve import Sieve, sieve_time
from lowapprox.hamming.verify import Verifier, verify_time

__all__ = ["hamming_matches"]

Piece: TypeAlias = tuple[int, int]  # of the shifts: start and stop
Found: TypeAlias = tuple[Array, Array]  # places, increasing, and their distances

_BLOCK = 1 << 21  # shifts: a thread takes as long to wake as the sieve for half of them
_FOUND = 1 << 16  # places within k that are written at a time
_NONE = 1e-3  # nanoseconds
_SAMPLE = (2, 2048)  # pieces of the text, and letters in each


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
    a piece of text where many shifts are left (a periodic text) the whole pattern is counted at
    all of them, so that no text costs much more than `hamming_distances`. On random
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
    sieve = None if is_tiny(problem) else _Sieved.planned(problem, k)
    used: list[str] = []
    found: list[Found] = []
    everywhere, todo = problem.pattern.size, [(0, problem.shifts)]
    if sieve is not None:
        used, everywhere = ["sieve"], sieve.sieve.part.size
        found, todo = sieve.search()
    if todo:
        counted, names = _counted(problem, k, todo)
        used, found = [*used, names], found + counted
    info = run_info(started, " + ".join(used), everywhere=everywhere)
    found = sorted((part for part in found if part[0].size), key=lambda part: int(part[0][0]))
    places = np.concatenate([np.empty(0, np.int64), *(places for places, _ in found)])
    places -= problem.text.lead
    none = np.empty(0, narrowest(problem.pattern.span))
    distances = np.concatenate([none, *(d for _, d in found)], dtype=none.dtype)
    return Matches(places, distances, info)


def _counted(problem: Problem, k: int, pieces: Sequence[Piece]) -> tuple[list[Found], str]:
    """Count every shift of some pieces; return those within k, and the methods that counted."""
    counters, compiled = prepare(problem)
    span, dtype = problem.pattern.span, narrowest(problem.pattern.span)
    below = k < np.iinfo(dtype).max
    found: list[Found] = []

    def work(first: int, start: int, stop: int) -> list[Found]:
        start, stop = first + start, first + stop
        codes = problem.text.codes(start, stop + span - 1, compiled=compiled)
        if below and len(counters) == 1 and isinstance(counters[0], BitsCounter):
            within = counters[0].within(codes, stop - start, k, _FOUND)
        else:
            distances = np.empty(stop - start, dtype=dtype)
            count(codes, counters, distances)
            within = _within(distances, k, compiled=compiled)
        for places, _ in within:
            np.add(places, start, out=places)
        return within

    for first, last in pieces:
        size = smallest_block(counters, last - first)
        counted = blocks(partial(work, first), last - first, span, smallest=size, compiled=compiled)
        found += chain(*counted)
    return found, names(counters)


def _within(distances: Array, k: int, *, compiled: bool) -> list[Found]:
    """Return what is within k; compiled, in a tenth of NumPy's time, and in few fresh pages."""
    if not compiled or k >= np.iinfo(distances.dtype).max:
        places = np.flatnonzero(distances <= k)
        return [(places, distances[places])]
    from lowapprox.hamming.kernels_bits import places_below

    lanes, done, found = (0,) * (64 // distances.itemsize), 0, []
    unsigned = np.dtype(f"u{distances.itemsize}")
    while done < distances.size:
        places, values = np.empty(_FOUND, dtype=np.int64), np.empty(_FOUND, dtype=distances.dtype)
        count, done = places_below(
            distances.view(unsigned),
            done,
            unsigned.type(k + 1),
            lanes,
            places,
            values.view(unsigned),
        )
        found.append((places[:count], values[:count]))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Sieved:
    """A sieve; the shifts that it leaves are looked at one by one.

    Attributes
    ----------
    problem : Problem
    k : int
    sieve : Sieve
    share : float
        The largest share of the shifts at which looking takes less time than counting everywhere.
    """

    problem: Problem
    k: int
    sieve: Sieve
    share: float

    @classmethod
    def planned(cls, problem: Problem, k: int) -> _Sieved | None:
        """Choose the part to sieve by, if there is one that pays."""
        size = problem.pattern.size
        if k >= size:
            return None
        everywhere = predicted_time(problem, size)
        # Where many are left, the text is not random: they have few mismatches.
        share = everywhere / float(verify_time(size))
        if problem.shifts <= _BLOCK:
            share /= kernel_threads()  # counting everywhere is done by all of them
        look = float(verify_time(min(size, 2 * k + 64)))  # until there are too many mismatches
        part = _part(problem, k, look, everywhere)
        if part is None:
            return None
        return cls(problem, k, Sieve(part, problem.text.alphabet, k), share)

    def search(self) -> tuple[list[Found], list[Piece]]:
        """Return the shifts within k, and the pieces where it is better to count every shift."""
        found: list[Found] = []
        todo: list[Piece] = []
        text, pattern, k = self.problem.text, self.problem.pattern, self.k
        span = pattern.span
        again = 2 * block_shifts(span)  # two threads get a block each

        def work(start: int, stop: int) -> None:
            codes, place = text.codes(start, stop + span - 1), start
            while place < stop:
                here = codes[place - start :]
                left, seen = self.sieve.left(here, stop - place, self.share)
                if seen < stop - place:  # to look at those left would take longer
                    todo.append((place, min(place + again, stop)))
                    place += again
                    continue
                distances = Verifier(pattern, text.alphabet).count(here, left, k)
                right = distances <= k
                found.append((left[right] + place, distances[right]))
                place = stop

        blocks(work, self.problem.shifts, span, smallest=_BLOCK)
        return found, todo


def _part(problem: Problem, k: int, look: float, everywhere: float) -> Pattern | None:
    """Return the positions to count before looking at single shifts; None if it does not pay.

    The letters that are rare in the text tell most. The number of positions has the least
    predicted time, if the letters of the text were drawn independently.
    """
    pattern = problem.pattern
    often = frequencies(problem, _SAMPLE)
    rank = np.empty(often.size, dtype=np.min_scalar_type(often.size))
    rank[np.argsort(often, kind="stable")] = np.arange(often.size)
    order = np.argsort(rank[pattern.letters], kind="stable")
    letters = pattern.letters[order]
    new = np.ones(pattern.size, dtype=bool)
    np.not_equal(letters[1:], letters[:-1], out=new[1:])
    kinds, agree = np.cumsum(new), np.cumsum(often[letters])
    best, least, groups, left = 0, everywhere, 1, 1.0
    while best < pattern.size and left * look > _NONE:
        size = min(16 * groups, pattern.size)
        left = _chernoff(size, k, 1.0 - float(agree[size - 1]) / size)
        time = sieve_time(int(kinds[size - 1]), size, problem) + left * look
        if time < least:
            best, least = size, time
        if size == pattern.size:
            break
        groups += 1 + groups // 8
    return pattern.take(np.sort(order[:best])) if best else None


def _chernoff(size: int, k: int, rate: float) -> float:
    """Return a bound on the chance of at most k mismatches among independent positions."""
    share = k / size
    if share >= rate:
        return 1.0
    low = share * math.log(share / rate) if share else 0.0
    high = (1.0 - share) * math.log((1.0 - share) / (1.0 - rate)) if rate < 1.0 else math.inf
    return math.exp(-size * (low + high))
