"""Which method counts which letters: a model of the time with fixed constants.

All methods are exact, so the choice changes nothing but the time. The agreements of different
letters add up, so each letter may have a method of its own: this is Abrahamson's split (1987) into
letters that are frequent and letters that are rare, with more than two ways to count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lowapprox._core.typing import Array
from lowapprox.hamming.bits import BitsCounter
from lowapprox.hamming.byte import ByteCounter
from lowapprox.hamming.counting import Counter
from lowapprox.hamming.fft import FFTCounter
from lowapprox.hamming.naive import NaiveCounter
from lowapprox.hamming.problem import Problem
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

_SPECTRA = 48 << 20  # bytes of pattern spectra that "auto" keeps, at most
_TINY = 100_000  # comparisons: below, loading numba costs more than counting with NumPy
_SAMPLE = (64, 1024)  # pieces of the text, and letters in each

# Nanoseconds of one thread for each shift, fitted to measurements on a processor with 64-byte
# vectors. With vectors of 32 bytes "bits" took about 1.8 times as long and "fft" 1.45 times, so
# that the choice between them is less sharp there.
_ENCODE = 0.45
_ROW = 0.01  # bits: to make a row of a letter, or of a digit,
_COPY = 4e-7  # to shift it, for each of its bits,
_BITS = 1.4e-3  # and to add it at a position
_DIGITS = 2.1e-3  # the same for two digits
_BYTE = 9e-3  # byte: to compare a position, for each byte of the codes
_FFT_SPANS = np.log([1e3, 1e4, 1e5])
_FFT_SIGNAL = 0.55, 1.3, 3.2  # fft: to transform and multiply a signal of the text
_SPARSE = 1.6e-3  # sparse: to add a position,
_BITMAP = 0.015  # and to mark a letter, for each byte of the codes
_INCREMENT = 0.8  # scatter: an agreement,
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
    split = _best_split(problem)
    makers = (
        (split.bits, SparseBitsCounter if split.sparse else BitsCounter),
        (split.fft, FFTCounter.prepare),
        (split.scatter, ScatterCounter.prepare),
        (split.byte, ByteCounter),
    )
    return [
        make(pattern.take(letters[pattern.letters]), alphabet)
        for letters, make in makers
        if letters.any()
    ], True


def names(counters: Sequence[Counter]) -> str:
    """Return the methods of the counters in words."""
    return " + ".join(_NAMES[type(counter)] for counter in counters)


def is_tiny(problem: Problem) -> bool:
    """Tell whether NumPy is done before compiled code is loaded."""
    return problem.shifts * problem.pattern.size < _TINY


def predicted_time(problem: Problem, size: int | None = None) -> float:
    """Return the nanoseconds for each shift, in one thread, to count `size` of the positions."""
    if size is None:
        return _best_split(problem).nanoseconds
    kinds = int(np.count_nonzero(np.bincount(problem.pattern.letters)))
    times = _bits(kinds, size, problem), _fft(kinds, problem), _byte(size, problem)
    return _ENCODE + min(times)


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


def _best_split(problem: Problem) -> _Split:
    """Return the split of least predicted time."""
    counts = np.bincount(problem.pattern.letters, minlength=problem.text.alphabet.kinds)
    return min(_splits(problem, counts), key=lambda split: split.nanoseconds)


def _splits(problem: Problem, counts: Array) -> Iterator[_Split]:
    """Propose splits: the most frequent letters by "fft", the rare ones by "scatter"."""
    none, all_ = np.zeros(counts.size, dtype=bool), counts > 0
    kinds, size = int(all_.sum()), problem.pattern.size
    simple = _bits(kinds, size, problem)
    yield _Split(_ENCODE + simple, all_, none, none, none)
    yield _Split(_ENCODE + _fft(kinds, problem), none, all_, none, none)
    yield _Split(_ENCODE + _byte(size, problem), none, none, none, all_)
    # A wild text letter agrees at every position of every part.
    if kinds <= 4 or simple < 5.0 or problem.text.alphabet.wild_in_text:
        return
    increment = _INCREMENT * (1 + problem.pattern.span / 1e6)  # the shifts do not fit the caches
    each = frequencies(problem) * (_OCCURRENCES + increment * counts)
    order = np.argsort(-counts, kind="stable")
    for top in (0, *(1 << np.arange(kinds.bit_length())).tolist()):
        once = _ENCODE + (_fft(top, problem) if top else 0.0)
        if once == float("inf"):
            break
        fft = none.copy()
        fft[order[:top]] = all_[order[:top]]
        for slope in (1.2e-3, 2e-3, 3e-3):
            scatter = ~fft & all_ & (each < slope * counts)
            bits = ~fft & all_ & ~scatter
            rest = int(bits.sum()), int(counts[bits].sum())
            dense, sparse = _bits(*rest, problem), _sparse(*rest, problem)
            time = once + min(dense, sparse) + float(each[scatter].sum())
            yield _Split(time, bits, fft, scatter, none, sparse < dense)


def _bits(kinds: int, size: int, problem: Problem) -> float:
    """Return the time of bit-sliced counting."""
    if kinds == 0:
        return 0.0
    span = problem.pattern.span
    pieces, length = max(span / 16384, 1.0), min(span, 16384)

    def with_rows(rows: float, digits: int, unit: float) -> float:
        copies = pieces * min(8 * rows, digits * size / pieces)  # by 0 to 7 bits
        shift = _COPY * (8192 + length)
        return 0.25 + _ROW * rows + shift * copies + unit * (1 + rows / 160) * size

    one = with_rows(kinds, 1, _BITS)
    if problem.text.alphabet.agree is not None:
        return one
    return min(one, with_rows(2 * kinds**0.5, 2, _DIGITS))


def _sparse(kinds: int, size: int, problem: Problem) -> float:
    """Return the time of bit-sliced counting from unshifted bitmaps."""
    if kinds == 0:
        return 0.0
    alphabet = problem.text.alphabet
    codes = 1.0 if alphabet.agree is None else float(alphabet.agree.mean()) * alphabet.codes
    mark = _BITMAP * float(alphabet.dtype.itemsize) * codes
    return 0.35 + mark * kinds + _SPARSE * (1 + kinds / 400) * size


def _byte(size: int, problem: Problem) -> float:
    """Return the time of comparing codes."""
    alphabet = problem.text.alphabet
    if alphabet.agree is not None:
        return float("inf")
    return float(0.1 + _BYTE * alphabet.dtype.itemsize * size)


def _fft(kinds: int, problem: Problem) -> float:
    """Return the time of Fourier transforms; infinite if they take too much memory."""
    span = problem.pattern.span
    signals = kinds - 1 if kinds in (2, 4) else kinds
    if 16 * signals * span > _SPECTRA:
        return float("inf")
    each = np.interp(np.log(span), _FFT_SPANS, _FFT_SIGNAL) * max(1.0, span / 1e5)
    return float(1.0 + each * signals * (1 + signals / 30))
