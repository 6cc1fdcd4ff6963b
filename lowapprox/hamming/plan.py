"""Which method counts which letters: a model of the time with fixed constants.

All methods are exact, so the choice changes nothing but the time. The agreements of different
letters add up, so each letter may have a method of its own: this is Abrahamson's split (1987) into
letters that are frequent and letters that are rare, with more than two ways to count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import Alphabet, Pattern
from lowapprox.hamming.bits import ONE_ROW, BitsCounter
from lowapprox.hamming.byte import ByteCounter
from lowapprox.hamming.counting import Counter
from lowapprox.hamming.fft import FFTCounter
from lowapprox.hamming.naive import NaiveCounter
from lowapprox.hamming.problem import Problem, narrowest
from lowapprox.hamming.scatter import ScatterCounter
from lowapprox.hamming.sparse import SparseBitsCounter

__all__ = ["METHODS", "frequencies", "is_tiny", "names", "predicted_time", "prepare"]

METHODS = ("auto", "bits", "byte", "fft", "hybrid", "scatter", "naive")

_NAMES: dict[type, str] = {
    NaiveCounter: "naive",
    BitsCounter: "bits",
    ByteCounter: "byte",
    FFTCounter: "fft",
    ScatterCounter: "scatter",
    SparseBitsCounter: "bits",
}

_MAKERS: dict[str, Callable[[Pattern, Alphabet], Counter]] = {
    "bits": BitsCounter,
    "byte": ByteCounter,
    "fft": FFTCounter.prepare,
}

_SPECTRA = 48 << 20  # bytes of pattern spectra that "auto" keeps, at most
_TINY = 100_000  # comparisons: below, loading numba costs more than counting with NumPy
_SAMPLE = (64, 1024)  # pieces of the text, and letters in each

# Nanoseconds of one thread, for each shift or (marked so) once for all of them; fitted to
# measurements on a processor with 64-byte vectors. With vectors of 32 bytes "bits" took about 1.8
# times as long and "fft" 1.45 times, so that the choice between them is less sharp there.
_ENCODE = 0.45  # letters that are not bytes
_START = 60e3, 300e3  # bits: once (with two digits),
_WRITE = 0.17  # to write a distance of one byte,
_MARK = 0.0065  # to mark a letter (half as much again for a digit), for each byte of the codes,
_COPY = 2.3e-3  # to shift a bitmap,
_BITS = 1.2e-3  # to add one at a position
_DIGITS = 2.4e-3  # (two digits),
_DIRECT = 2e-3, 3.4e-3  # and to shift and add one
_COMPARE = 9.5e-3  # byte: to compare a position, for each byte of the codes,
_START_BYTE = 25e3  # once
_FFT_SIGNAL = 0.55, 1.3, 3.2  # fft: for each signal and 10^3, 10^4, 10^5 letters of pattern,
_START_FFT = 400e3  # once,
_SPECTRUM = 8.0  # once, for each signal and position
_LOOK = 6e6  # to look for a split pays from here on: ten times what it takes
_SPARSE = 1.6e-3  # sparse: to add a position,
_BITMAP = 0.015  # and to mark a letter, for each byte of the codes
_INCREMENT = 0.45  # scatter: an agreement,
_OCCURRENCES = 6.0  # and to look up those of a text letter


@dataclass(frozen=True, slots=True, eq=False)
class _Split:
    """Letters for each method (masks over the pattern's letters), and the predicted time."""

    nanoseconds: float
    bits: Array
    fft: Array
    scatter: Array
    byte: Array
    sparse: bool = False  # whether "bits" does without copies of its bitmaps


def prepare(problem: Problem, method: str = "auto") -> tuple[Sequence[Counter], bool]:
    """Return the counters of a method, and whether they are compiled."""
    pattern, alphabet = problem.pattern, problem.text.alphabet
    if method == "naive" or (method == "auto" and is_tiny(problem)):
        return (NaiveCounter(pattern, alphabet),), False
    if method == "scatter":
        return (ScatterCounter.prepare(pattern, alphabet),), True
    if method == "fft":
        return (FFTCounter.prepare(pattern, alphabet),), True
    if method == "byte" and alphabet.agree is None:
        return (ByteCounter(pattern, alphabet),), True
    if method in ("bits", "byte") or pattern.size == 0:
        return (BitsCounter(pattern, alphabet),), True
    counts = np.bincount(pattern.letters, minlength=alphabet.kinds)
    simple = _simple(problem, int(np.count_nonzero(counts)), pattern.size)
    if not _may_split(problem, *simple):
        return (_MAKERS[simple[1]](pattern, alphabet),), True
    split = min(_splits(problem, counts), key=attrgetter("nanoseconds"))
    parts = (
        (split.bits, SparseBitsCounter if split.sparse else BitsCounter),
        (split.fft, FFTCounter.prepare),
        (split.scatter, ScatterCounter.prepare),
        (split.byte, ByteCounter),
    )
    return [
        make(pattern.take(letters[pattern.letters]), alphabet)
        for letters, make in parts
        if letters.any()
    ], True


def names(counters: Sequence[Counter]) -> str:
    """Return the methods of the counters in words."""
    return " + ".join(_NAMES[type(counter)] for counter in counters)


def is_tiny(problem: Problem) -> bool:
    """Tell whether NumPy is done before compiled code is loaded."""
    text = problem.text
    places = len(text.letters) if text.lead else problem.shifts  # what is in front agrees
    return places * problem.pattern.size < _TINY


def predicted_time(problem: Problem, size: int | None = None) -> float:
    """Return the nanoseconds for each shift, in one thread, to count `size` of the positions."""
    counts = np.bincount(problem.pattern.letters, minlength=problem.text.alphabet.kinds)
    simple = _simple(problem, int(np.count_nonzero(counts)), size or problem.pattern.size)
    if size is None and _may_split(problem, *simple):
        return min(split.nanoseconds for split in _splits(problem, counts))
    return simple[0]


def frequencies(problem: Problem, sample: tuple[int, int] = _SAMPLE) -> Array:
    """Return the share of text places that agree with each pattern letter, from a sample.

    It is made of so many pieces of so many letters.
    """
    text, alphabet = problem.text, problem.text.alphabet
    places = problem.shifts + problem.pattern.span - 1
    pieces, size = sample
    size = min(size, places)
    pieces = min(pieces, -(-places // size))
    starts = [i * (places - size) // max(pieces - 1, 1) for i in range(pieces)]
    codes = np.concatenate([text.codes(s, s + size, compiled=False) for s in starts])
    counts = np.bincount(codes, minlength=alphabet.codes + 2) / codes.size
    if alphabet.agree is not None:
        return alphabet.agreement() @ counts
    return counts[: alphabet.kinds] + (counts[alphabet.wild] if alphabet.wild_in_text else 0.0)


def _simple(problem: Problem, kinds: int, size: int) -> tuple[float, str]:
    """Return the least predicted time of a method for all letters, and its name."""
    time, name = min((_bits(kinds, size, problem), "bits"), (_byte(size, problem), "byte"))
    if time > 1.0:  # "fft" takes as much for one signal
        time, name = min((time, name), (_fft(kinds, problem), "fft"))
    return _encode(problem) + time, name


def _may_split(problem: Problem, time: float, name: str) -> bool:
    """Tell whether to look for a split: not where that takes longer than it can spare.

    A wild text letter agrees at every position of every part.
    """
    wild = problem.text.alphabet.wild_in_text
    return name != "byte" and time > 5.0 and time * problem.shifts > _LOOK and not wild


def _splits(problem: Problem, counts: Array) -> Iterator[_Split]:
    """Propose splits: the most frequent letters by "fft", the rare ones by "scatter"."""
    all_ = counts > 0
    none = np.zeros_like(all_)
    kinds, size, encode = int(np.count_nonzero(all_)), problem.pattern.size, _encode(problem)
    yield _Split(encode + _bits(kinds, size, problem), all_, none, none, none)
    yield _Split(encode + _fft(kinds, problem), none, all_, none, none)
    yield _Split(encode + _byte(size, problem), none, none, none, all_)
    if kinds <= 4:
        return
    # The longer the pattern, the farther off is the cache that holds the shifts it meets.
    spans = problem.pattern.span / 1e5
    increment = _INCREMENT * (1 + 0.7 * min(spans, 1.0) + 0.16 * spans)
    each = frequencies(problem) * (_OCCURRENCES + increment * counts)
    order = np.argsort(-counts, kind="stable")
    for top in (0, *(1 << np.arange(kinds.bit_length())).tolist()):
        once = encode + (_fft(top, problem) if top else 0.0)
        if once == float("inf"):
            break
        fft = none.copy()
        fft[order[:top]] = all_[order[:top]]
        for slope in (1.2e-3, 2e-3, 3e-3, 1.0):
            scatter = ~fft & all_ & (each < slope * counts)
            bits = ~fft & all_ & ~scatter
            rest = int(bits.sum()), int(counts[bits].sum())
            dense, sparse = _bits(*rest, problem), _sparse(*rest, problem)
            time = once + min(dense, sparse) + float(each[scatter].sum())
            yield _Split(time, bits, fft, scatter, none, sparse < dense)


def _encode(problem: Problem) -> float:
    return 0.0 if problem.text.alphabet.plain else _ENCODE


def _bits(kinds: int, size: int, problem: Problem) -> float:
    """Return the time of bit-sliced counting."""
    if kinds == 0:
        return 0.0
    alphabet, span = problem.text.alphabet, problem.pattern.span
    digits = 1 if alphabet.agree is not None or kinds <= ONE_ROW else 2
    bitmaps = kinds if digits == 1 else min(2 * kinds, 2 * alphabet.codes**0.5)
    # What is done for each tile and each chunk of the pattern covers the length of the chunk too.
    pieces, overlap = max(span / 16384, 1.0), 1 + min(span, 16384) / 8192
    mark = _MARK * float(alphabet.dtype.itemsize) * bitmaps * (1 + digits) / 2
    once = (
        _START[digits - 1] / problem.shifts
        + _WRITE * narrowest(span).itemsize
        + pieces * overlap * mark
    )
    direct = once + _DIRECT[digits - 1] * size
    copies = min(8 * bitmaps, digits * size / pieces)  # by 0 to 7 bits
    unit = (_BITS, _DIGITS)[digits - 1] * (1 + copies / 1000)
    copied = once + pieces * overlap * _COPY * copies + unit * size
    return min(direct, copied) if alphabet.plain else copied


def _sparse(kinds: int, size: int, problem: Problem) -> float:
    """Return the time of bit-sliced counting from unshifted bitmaps."""
    if kinds == 0:
        return 0.0
    alphabet = problem.text.alphabet
    codes = 1.0 if alphabet.agree is None else float(alphabet.agree.mean()) * alphabet.codes
    mark = _BITMAP * float(alphabet.dtype.itemsize) * codes
    once = _START[0] / problem.shifts + 0.35
    return once + mark * kinds + _SPARSE * (1 + kinds / 400) * size


def _byte(size: int, problem: Problem) -> float:
    """Return the time of comparing codes."""
    alphabet = problem.text.alphabet
    if alphabet.agree is not None:
        return float("inf")
    return float(_START_BYTE / problem.shifts + 0.1 + _COMPARE * alphabet.dtype.itemsize * size)


def _fft(kinds: int, problem: Problem) -> float:
    """Return the time of Fourier transforms; infinite if they take too much memory."""
    span = problem.pattern.span
    signals = kinds - 1 if kinds in (2, 4) else kinds
    if 16 * signals * span > _SPECTRA:
        return float("inf")
    low, middle, high = _FFT_SIGNAL
    powers = math.log10(max(span, 1000)) - 3
    each = low + (middle - low) * min(powers, 1) + (high - middle) * min(max(powers - 1, 0), 1)
    each *= max(1.0, span / 1e5)
    once = (_START_FFT + _SPECTRUM * signals * max(span, 2048)) / problem.shifts
    return float(once + 1.0 + each * signals * (1 + signals / 30))
