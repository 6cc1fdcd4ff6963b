"""Counting by comparing vectors of codes, against counting by definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox.hamming.byte import ByteCounter
from tests.hamming.test_bits import CODES, OUT, SMALL, check
from tests.strategies import seeds

# The loop over codes knows nothing of the distances' width.
FORMS = [*((out, 0) for out in OUT), *(("b", codes) for codes in CODES)]


@given(
    seeds,
    st.integers(1, 40),
    st.integers(1, 600 if not SMALL else 300),
    st.integers(1, 80),
    st.sampled_from(FORMS),
    st.booleans(),
    st.sampled_from([1.0, 0.2]),
)
def test_against_the_definition(
    seed: int, kinds: int, shifts: int, span: int, form: tuple[str, int], wild: bool, share: float
) -> None:
    gen, (out, codes) = np.random.default_rng(seed), form
    check(ByteCounter, gen, kinds, shifts, span, out, codes=codes, wild=wild, share=share)


@pytest.mark.parametrize("span", [254, 255, 256, 511])
def test_more_positions_than_a_lane_can_count(gen: np.random.Generator, span: int) -> None:
    check(ByteCounter, gen, 1, 300, span, "h")


@pytest.mark.parametrize("shifts", [1, 255, 256, 257, 511, 512])
@pytest.mark.parametrize("codes", CODES)
def test_edges_of_blocks(gen: np.random.Generator, shifts: int, codes: int) -> None:
    check(ByteCounter, gen, 3, shifts, 20, "b", codes=codes)
