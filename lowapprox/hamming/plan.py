"""Which method counts which letters: a model of the time with fixed constants."""

from __future__ import annotations

from collections.abc import Sequence

from lowapprox.hamming.alphabet import Alphabet, Pattern
from lowapprox.hamming.counting import Counter
from lowapprox.hamming.naive import NaiveCounter
from lowapprox.hamming.scatter import ScatterCounter
from lowapprox.hamming.text import CodedText

__all__ = ["METHODS", "prepare"]

METHODS = ("auto", "bits", "byte", "fft", "hybrid", "scatter", "naive")

_TINY = 100_000  # comparisons: below, loading numba costs more than counting with NumPy


def prepare(
    text: CodedText, pattern: Pattern, alphabet: Alphabet, method: str, shifts: int
) -> tuple[Sequence[Counter], bool]:
    """Return the counters of a method, and whether they are compiled."""
    del text
    if method == "naive" or (method == "auto" and shifts * pattern.size < _TINY):
        return (NaiveCounter(pattern, alphabet),), False
    if method == "scatter":
        return (ScatterCounter.prepare(pattern, alphabet),), True
    return (NaiveCounter(pattern, alphabet),), True
