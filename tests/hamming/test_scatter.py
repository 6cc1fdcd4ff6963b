"""Counting by occurrences, held to the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox.hamming import hamming_distances
from lowapprox.hamming.scatter import ScatterCounter
from tests.hamming.problems import Problem, counted, naive, problems


@given(problems())
def test_definition(problem: Problem) -> None:
    counter = ScatterCounter.prepare(problem.pattern, problem.alphabet)
    assert np.array_equal(counted(problem, counter), naive(problem))


@given(problems(), st.randoms(use_true_random=False))
def test_letters_apart(problem: Problem, random) -> None:
    """The letters can be counted in two parts."""
    chosen = np.array([random.random() < 0.5 for _ in range(problem.alphabet.kinds)], dtype=bool)
    mask = chosen[problem.pattern.letters]
    parts = [problem.pattern.take(mask), problem.pattern.take(~mask)]
    counters = [ScatterCounter.prepare(part, problem.alphabet) for part in parts]
    assert np.array_equal(counted(problem, *counters), naive(problem))


@pytest.mark.large
@pytest.mark.parametrize("mode", ["valid", "full", "cyclic"])
def test_long_texts(mode: str, gen: np.random.Generator) -> None:
    text, pattern = gen.integers(-50, 1000, 300_000), gen.integers(-50, 1000, 200)
    found = hamming_distances(text, pattern, method="scatter", mode=mode)
    assert np.array_equal(found, hamming_distances(text, pattern, method="naive", mode=mode))
