"""Codes of letters: compiled loops against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox.hamming.alphabet import encode_pattern
from lowapprox.hamming.letters import as_letters
from tests.strategies import seeds


@given(
    seeds,
    st.sampled_from("bhiqBHIQ"),
    st.sampled_from([1, 4, 40, 41, 100]),
    st.integers(0, 200),
    st.booleans(),
)
def test_loops_and_numpy_agree(seed: int, dtype: str, kinds: int, size: int, wild: bool) -> None:
    gen = np.random.default_rng(seed)
    pattern = gen.permutation(np.arange(-64, 64) % 128)[:kinds].astype(dtype)
    text = np.append(pattern, gen.integers(0, 128, size)).astype(dtype)
    letters, _, alphabet = encode_pattern(
        as_letters(text, "text"),
        as_letters(pattern, "pattern"),
        wildcard=int(pattern[0]) if wild else None,
    )
    found, expected = (np.empty(text.size, alphabet.dtype) for _ in range(2))
    alphabet.encode(letters.raw(0, text.size), found, compiled=True)
    alphabet.encode(letters.raw(0, text.size), expected, compiled=False)
    np.testing.assert_array_equal(found, expected)
    assert (found[: pattern.size] != alphabet.other).all()


@pytest.mark.parametrize("compiled", [False, True])
def test_every_byte_is_a_letter(gen: np.random.Generator, compiled: bool) -> None:
    text = gen.permutation(256).astype(np.uint8)
    letters, _, alphabet = encode_pattern(as_letters(text, "text"), as_letters(text, "pattern"))
    out = np.empty(256, alphabet.dtype)
    alphabet.encode(letters.raw(0, 256), out, compiled=compiled)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out, text)
