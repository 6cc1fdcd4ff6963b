"""The sieve, held to the count of its part."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from lowapprox.hamming.sieve import Sieve
from tests.hamming.problems import naive, problems


@given(problems(max_text=3000, max_pattern=400), st.data())
def test_what_is_left(problem: Any, data: Any) -> None:
    part = problem.pattern
    assume(part.size)
    k = data.draw(st.integers(0, part.size))
    codes = problem.text.codes(0, problem.shifts + part.span - 1, compiled=False)
    mismatches = naive(replace(problem, dtype=np.dtype(np.int64)))
    left, seen = Sieve(part, problem.alphabet, k).left(codes, problem.shifts, 1.0)
    assert seen == problem.shifts
    assert np.array_equal(left, np.flatnonzero(mismatches <= k))
    few, seen = Sieve(part, problem.alphabet, k).left(codes, problem.shifts, 0.0)
    assert np.array_equal(few, left[left < seen])
    assert seen == problem.shifts or few.size > 128
