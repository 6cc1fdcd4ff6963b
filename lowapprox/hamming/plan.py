"""Which method counts which letters: a model of the time with fixed constants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowapprox._core.typing import Array
from lowapprox.hamming.bits import BitsCounter
from lowapprox.hamming.counting import Counter
from lowapprox.hamming.fft import FFTCounter
from lowapprox.hamming.naive import NaiveCounter
from lowapprox.hamming.problem import Problem
from lowapprox.hamming.scatter import ScatterCounter

__all__ = ["METHODS", "frequencies", "is_tiny", "predicted_time", "prepare"]

METHODS = ("auto", "bits", "byte", "fft", "hybrid", "scatter", "naive")

_SAMPLE_PIECE = 1024
_TINY = 100_000  # comparisons: below, loading numba costs more than counting with NumPy


def prepare(problem: Problem, method: str = "auto") -> tuple[Sequence[Counter], bool]:
    """Return the counters of a method, and whether they are compiled."""
    pattern, alphabet = problem.pattern, problem.text.alphabet
    if method == "naive" or (method == "auto" and is_tiny(problem)):
        return (NaiveCounter(pattern, alphabet),), False
    if method == "fft":
        return (FFTCounter.prepare(pattern, alphabet),), True
    if method == "scatter":
        return (ScatterCounter.prepare(pattern, alphabet),), True
    return (BitsCounter(pattern, alphabet),), True


def frequencies(problem: Problem) -> Array:
    """Return the share of text places that agree with each pattern letter, from a sample."""
    text, alphabet = problem.text, problem.text.alphabet
    places = problem.shifts + problem.pattern.span - 1
    size = min(_SAMPLE_PIECE, places)
    starts = np.unique(np.linspace(0, places - size, min(64, -(-places // size))).astype(np.int64))
    codes = np.concatenate([text.codes(s, s + size, compiled=False) for s in starts.tolist()])
    counts = np.bincount(codes, minlength=alphabet.codes + 2) / codes.size
    if alphabet.agree is not None:
        return alphabet.agreement() @ counts
    return counts[: alphabet.kinds] + (counts[alphabet.wild] if alphabet.wild_in_text else 0.0)


def is_tiny(problem: Problem) -> bool:
    """Tell whether NumPy is done before compiled code is loaded."""
    return problem.shifts * problem.pattern.size < _TINY


def predicted_time(problem: Problem, size: int | None = None) -> float:
    """Return the nanoseconds for each shift, in one thread, to count (some of) the pattern."""
    size = problem.pattern.size if size is None else size
    return 1.0 + 1.6e-3 * size
