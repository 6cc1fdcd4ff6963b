"""Problems for single methods: a coded text, a coded pattern, and where to count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lowapprox.hamming.alphabet import Alphabet, Pattern, encode_pattern
from lowapprox.hamming.counting import count_range
from lowapprox.hamming.letters import as_letters
from lowapprox.hamming.naive import NaiveCounter
from lowapprox.hamming.text import CodedText


@dataclass(frozen=True)
class Problem:
    """A coded text, a coded pattern, and the dtype of the distances."""

    text: CodedText
    pattern: Pattern
    alphabet: Alphabet
    shifts: int
    dtype: np.dtype


@st.composite
def problems(draw: Any, max_text: int = 300, max_pattern: int = 80) -> Problem:
    """Draw problems of few and many letters, with and without wildcards, classes and gaps."""
    kinds = draw(st.sampled_from([1, 2, 3, 4, 5, 30, 70, 300, 70_000]))
    m = draw(st.integers(1, max_pattern))
    n = m + draw(st.integers(0, max_text - 1))
    gen = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    text = gen.integers(0, kinds + draw(st.integers(0, 2)), n)
    pattern = gen.integers(0, kinds, m)
    if draw(st.booleans()):  # part of the text, so that letters agree
        pattern = text[n - m :].copy()
    if draw(st.booleans()):  # few letters make most of the text
        text[gen.random(n) < 0.9] = pattern[0]
    classes = None
    if draw(st.booleans()) and kinds < 100:
        names = gen.permutation(kinds)[: min(kinds, 3)]
        classes = {int(x): gen.integers(0, kinds, 2).tolist() for x in names}
    wildcard = int(text[0]) if classes is None and draw(st.booleans()) else None
    padded = draw(st.booleans())
    letters, coded, alphabet = encode_pattern(
        as_letters(text, "text"),
        as_letters(pattern, "pattern"),
        wildcard=wildcard,
        classes=classes,
        padded=padded,
    )
    if draw(st.booleans()):
        coded = coded.take(gen.random(coded.size) < 0.5)
    lead = m - 1 if padded else 0
    dtype = np.dtype(draw(st.sampled_from(["i1", "i2", "i4", "i8", "u1", "u4"])))
    return Problem(CodedText(letters, alphabet, lead), coded, alphabet, n - m + 1 + 2 * lead, dtype)


def counted(problem: Problem, *counters: Any) -> np.ndarray:
    """Return the distances as the counters find them."""
    out = np.empty(problem.shifts, dtype=problem.dtype)
    count_range(problem.text, counters, 0, out, compiled=False)
    return out


def naive(problem: Problem) -> np.ndarray:
    """Return the distances by definition."""
    return counted(problem, NaiveCounter(problem.pattern, problem.alphabet))
