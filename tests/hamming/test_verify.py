"""Single shifts, held to the count of all shifts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lowapprox.hamming.verify import Verifier
from tests.hamming.problems import Problem, naive, problems


@given(problems(max_pattern=300), st.data())
def test_chosen_shifts(problem: Problem, data: Any) -> None:
    verifier = Verifier(problem.pattern, problem.text.alphabet)
    codes = problem.text.codes(0, problem.shifts + problem.pattern.span - 1, compiled=False)
    starts = np.array(data.draw(st.lists(st.integers(0, problem.shifts - 1), max_size=20)), int)
    expected = naive(replace(problem, dtype=np.dtype(np.int64)))[starts]
    assert np.array_equal(verifier.count(codes, starts), expected)
    limit = data.draw(st.integers(0, problem.pattern.span))
    assert np.array_equal(verifier.count(codes, starts, limit), np.minimum(expected, limit + 1))
