"""Bit-sliced counting from unshifted bitmaps against counting by definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lowapprox.hamming import sparse
from lowapprox.hamming.sparse import SparseBitsCounter
from tests.hamming.problems import Problem, counted, naive, problems
from tests.hamming.test_bits import SMALL, check
from tests.strategies import seeds

FORMS = [("b", 0), ("i", 0), ("Q", 0), ("b", 250), ("b", 70_000)]


@given(problems(), st.integers(1, 100))
def test_any_letters(problem: Problem, span: int) -> None:
    assume(problem.pattern.size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse, "_SPAN", span)  # parts with bitmaps of their own
        counter = SparseBitsCounter(problem.pattern, problem.alphabet)
        assert np.array_equal(counted(problem, counter), naive(problem))


@given(
    seeds,
    st.integers(1, 40),
    st.integers(1, 1200 if not SMALL else 100),
    st.integers(1, 80 if not SMALL else 20),
    st.sampled_from(FORMS),
    st.booleans(),
)
def test_against_the_definition(
    seed: int, kinds: int, shifts: int, span: int, form: tuple[str, int], wild: bool
) -> None:
    gen, (out, codes) = np.random.default_rng(seed), form
    check(SparseBitsCounter, gen, kinds, shifts, span, out, codes=codes, wild=wild)


@pytest.mark.skipif(SMALL, reason="slow without a compiler")
@pytest.mark.parametrize("kinds", [1, 2, 30])
@pytest.mark.parametrize("span", [239, 240, 241, 1919, 1920, 1921, 5000, 131_072, 140_000])
def test_edges_of_runs_and_parts(gen: np.random.Generator, span: int, kinds: int) -> None:
    check(SparseBitsCounter, gen, kinds, 600, span, "i", share=1.0 if span < 10_000 else 0.02)


@pytest.mark.skipif(SMALL, reason="slow without a compiler")
@pytest.mark.parametrize("shifts", [16383, 16384, 16385, 66_000, 140_000])
def test_edges_of_tiles_and_blocks(gen: np.random.Generator, shifts: int) -> None:
    check(SparseBitsCounter, gen, 5, shifts, 70, "h")
