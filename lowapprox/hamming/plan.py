"""Which method counts which letters: a model of the time with fixed constants."""

from __future__ import annotations

from collections.abc import Sequence

from lowapprox.hamming.counting import Counter
from lowapprox.hamming.fft import FFTCounter
from lowapprox.hamming.naive import NaiveCounter
from lowapprox.hamming.problem import Problem
from lowapprox.hamming.scatter import ScatterCounter

__all__ = ["METHODS", "prepare"]

METHODS = ("auto", "bits", "byte", "fft", "hybrid", "scatter", "naive")

_TINY = 100_000  # comparisons: below, loading numba costs more than counting with NumPy


def prepare(problem: Problem, method: str = "auto") -> tuple[Sequence[Counter], bool]:
    """Return the counters of a method, and whether they are compiled."""
    pattern, alphabet = problem.pattern, problem.text.alphabet
    if method == "naive" or (method == "auto" and problem.shifts * pattern.size < _TINY):
        return (NaiveCounter(pattern, alphabet),), False
    if method == "fft":
        return (FFTCounter.prepare(pattern, alphabet),), True
    if method == "scatter":
        return (ScatterCounter.prepare(pattern, alphabet),), True
    return (NaiveCounter(pattern, alphabet),), True
