"""Bit-sliced counting against counting by definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox.hamming.alphabet import encode_pattern
from lowapprox.hamming.bits import BitsCounter
from lowapprox.hamming.letters import as_letters
from lowapprox.hamming.naive import NaiveCounter

OUT = tuple("bhiqBHIQ")


def check(
    gen: np.random.Generator,
    kinds: int,
    shifts: int,
    span: int,
    out: str,
    *,
    digits: int | None = None,
    wild: bool = False,
    share: float = 1.0,
) -> None:
    """Compare with the definition, on a part of a random pattern."""
    text, pattern = gen.integers(0, kinds + 2, shifts + span - 1), gen.integers(0, kinds, span)
    letters, coded, alphabet = encode_pattern(
        as_letters(text, "text"), as_letters(pattern, "pattern"), wildcard=0 if wild else None
    )
    coded = coded.take(gen.random(coded.size) < share)
    if coded.size == 0:
        return
    codes = np.empty(text.size, dtype=alphabet.dtype)
    alphabet.encode(letters.raw(0, text.size), codes, compiled=False)
    expected = np.full(shifts, coded.size, dtype=out)
    found = expected.copy()
    NaiveCounter(coded, alphabet).subtract(codes, expected)
    BitsCounter(coded, alphabet, digits=digits).subtract(codes, found)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("digits", [1, 2, 3])
@pytest.mark.parametrize("shifts", [1, 63, 64, 65, 511, 512, 513, 8191, 8192, 8193])
def test_edges_of_blocks(gen: np.random.Generator, shifts: int, digits: int) -> None:
    check(gen, 5, shifts, 20, "b", digits=digits)


@pytest.mark.parametrize("span", [1, 7, 15, 16, 240, 255, 256, 4096, 4097])
def test_edges_of_counters(gen: np.random.Generator, span: int) -> None:
    check(gen, 1, 700, span, "i")
    check(gen, 4, 700, span, "i")
