"""Bit-sliced counting against counting by definition."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import thread_limit
from lowapprox.hamming import hamming_distances
from lowapprox.hamming.alphabet import encode_pattern
from lowapprox.hamming.bits import BitsCounter
from lowapprox.hamming.letters import as_letters
from lowapprox.hamming.naive import NaiveCounter
from tests.strategies import seeds

OUT = tuple("bhiqBHIQ")
CODES = (0, 250, 70_000)  # more kinds of pattern letters: codes of one, two and four bytes
# Combinations of these, with digits: the sums of bitmaps know nothing of the distances' width.
FORMS = [
    *((out, 0, 1) for out in OUT),
    *(("b", codes, digits) for codes in CODES for digits in (None, 1, 2, 3)),
]
SMALL = os.environ.get("NUMBA_DISABLE_JIT") == "1"  # loops are slow


def check(
    counter: Any,
    gen: np.random.Generator,
    kinds: int,
    shifts: int,
    span: int,
    out: str,
    *,
    codes: int = 0,
    wild: bool = False,
    classes: bool = False,
    share: float = 1.0,
    **options: Any,
) -> None:
    """Compare with the definition, on a part of a random pattern.

    Behind the part, the pattern has letters that widen the codes and are not counted.
    """
    text = gen.integers(0, kinds + 2, shifts + span - 1)
    pattern = np.append(gen.integers(0, kinds, span), 1000 + np.arange(codes))
    letters, coded, alphabet = encode_pattern(
        as_letters(text, "text"),
        as_letters(pattern, "pattern"),
        wildcard=0 if wild else None,
        classes={1: [1, 2], 2: [2, 3], kinds: [0, 1][wild:]} if classes else None,
    )
    chosen = (coded.positions < span) & (gen.random(coded.size) < share)
    coded = type(coded)(coded.positions[chosen], coded.letters[chosen], span)
    if coded.size == 0 or coded.size > np.iinfo(out).max:
        return
    found_codes = np.empty(text.size, dtype=alphabet.dtype)
    alphabet.encode(letters.raw(0, text.size), found_codes, compiled=False)
    expected = np.full(shifts, coded.size, dtype=out)
    found = expected.copy()
    NaiveCounter(coded, alphabet).subtract(found_codes, expected)
    counter(coded, alphabet, **options).subtract(found_codes, found)
    np.testing.assert_array_equal(found, expected)


@given(
    seeds,
    st.integers(1, 40),
    st.integers(1, 1200 if not SMALL else 100),
    st.integers(1, 80 if not SMALL else 20),
    st.sampled_from(FORMS),
    st.booleans(),
    st.sampled_from([1.0, 0.2]),
)
def test_against_the_definition(
    seed: int,
    kinds: int,
    shifts: int,
    span: int,
    form: tuple[str, int, int | None],
    wild: bool,
    share: float,
) -> None:
    gen, (out, codes, digits) = np.random.default_rng(seed), form
    if out not in "bB":
        kinds = max(kinds, 4)  # or kernels without shifted rows are compiled for all widths, too
    options = {"codes": codes, "wild": wild, "share": share, "digits": digits}
    check(BitsCounter, gen, kinds, shifts, span, out, **options)


@given(seeds, st.integers(3, 40), st.integers(1, 300), st.integers(1, 40), st.booleans())
def test_classes(seed: int, kinds: int, shifts: int, span: int, wild: bool) -> None:
    gen = np.random.default_rng(seed)
    check(BitsCounter, gen, kinds, shifts, span, "b", wild=wild, classes=True)


@pytest.mark.parametrize("digits", [1, 2, 3])
@pytest.mark.parametrize("shifts", [1, 63, 64, 65, 511, 512, 513, 1023, 1024, 1025])
def test_edges_of_columns(gen: np.random.Generator, shifts: int, digits: int) -> None:
    check(BitsCounter, gen, 5, shifts, 20, "b", digits=digits)


@pytest.mark.skipif(SMALL, reason="slow without a compiler")
@pytest.mark.parametrize("shifts", [8191, 8192, 8193, 16384, 20000])
def test_edges_of_blocks(gen: np.random.Generator, shifts: int) -> None:
    check(BitsCounter, gen, 5, shifts, 70, "h")


@pytest.mark.skipif(SMALL, reason="slow without a compiler")
@pytest.mark.parametrize("kinds", [1, 4, 60])
@pytest.mark.parametrize("span", [240, 255, 256, 257, 4095, 4096, 16384, 16385, 65535, 65536])
def test_edges_of_counters_and_chunks(gen: np.random.Generator, span: int, kinds: int) -> None:
    check(BitsCounter, gen, kinds, 600, span, "i")
    check(BitsCounter, gen, kinds, 3, span, "i", share=0.01)


@pytest.mark.skipif(SMALL, reason="slow without a compiler")
@pytest.mark.parametrize("shifts", [1, 511, 8192, 8193, 20_000])
@pytest.mark.parametrize("k", [0, 12, 126])
@pytest.mark.parametrize("room", [1, 20_000])  # a tile at least
@pytest.mark.parametrize("width", ["u1", "u4"])
def test_within(gen: np.random.Generator, shifts: int, k: int, room: int, width: str) -> None:
    text = gen.integers(0, 2, shifts + 19)
    letters, coded, alphabet = encode_pattern(
        as_letters(text, "text"), as_letters(text[-20:].copy(), "pattern")
    )
    codes = np.empty(text.size, dtype=width)
    alphabet.encode(letters.raw(0, text.size), codes, compiled=False)
    alphabet = replace(alphabet, dtype=codes.dtype)
    expected = np.full(shifts, coded.size, dtype=np.int8)
    NaiveCounter(coded, alphabet).subtract(codes, expected)
    found = BitsCounter(coded, alphabet).within(codes, shifts, k, room)
    places, distances = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    np.testing.assert_array_equal(places, np.flatnonzero(expected <= k))
    np.testing.assert_array_equal(distances, expected[places])
    assert distances.dtype == np.int8


@pytest.mark.skipif(SMALL, reason="slow without a compiler")
def test_all_bytes_are_letters() -> None:
    """No code is left for a letter that the pattern does not have."""
    pattern = np.arange(256, dtype=np.uint8)
    found = hamming_distances(np.tile(pattern, 5), pattern, method="bits")
    np.testing.assert_array_equal(found, np.where(np.arange(1025) % 256, 256, 0))


@pytest.mark.skipif(SMALL, reason="slow without a compiler")
@pytest.mark.parametrize("dtype", [np.int64, np.uint8])  # bytes are shared out in tiles
@pytest.mark.parametrize("m", [50, 500])
def test_bits_do_not_depend_on_threads(gen: np.random.Generator, dtype: type, m: int) -> None:
    text, pattern = (gen.integers(0, 9, n).astype(dtype) for n in (600_000, m))
    expected = hamming_distances(text, pattern, method="bits")
    with thread_limit(1):
        np.testing.assert_array_equal(hamming_distances(text, pattern, method="bits"), expected)
    for at in gen.integers(0, text.size - m, 200):
        assert expected[at] == (text[at : at + m] != pattern).sum()
