"""What texts and patterns may be made of."""

from __future__ import annotations

from collections import UserList, deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import InputError, InputTypeError
from lowapprox.hamming import hamming_distances
from lowapprox.hamming.alphabet import encode_pattern
from lowapprox.hamming.letters import as_letters, as_one_letter
from lowapprox.hamming.text import CodedText
from tests.hamming.forms import Given, given_letters
from tests.hamming.oracle import agree


@given(given_letters(), st.booleans(), st.booleans())
def test_codes_agree_as_the_letters_do(case: Given, compiled: bool, mixed: bool) -> None:
    text, pattern = (as_letters(x, "text") for x in case.arguments)
    text, coded, alphabet = encode_pattern(text, pattern, mixed=mixed, **case.options)
    codes = CodedText(text, alphabet).codes(0, len(text), compiled=compiled)
    assert codes.dtype == alphabet.dtype
    table = alphabet.agreement()
    for position, letter in zip(coded.positions.tolist(), coded.letters.tolist(), strict=True):
        for code, a in zip(codes.tolist(), case.text, strict=True):
            expected = agree(a, case.pattern[position], **case.options)
            assert bool(table[letter, code]) is expected
            assert bool((alphabet.codes_of(letter) == code).any()) is expected
    wild = set(range(len(pattern))) - set(coded.positions.tolist())
    assert all(agree(x, case.pattern[j], **case.options) for j in wild for x in case.text)


@given(given_letters(), st.data())
def test_pieces(case: Given, data: Any) -> None:
    """Codes of a part are a part of the codes, in front of the text, round it and behind it."""
    text, pattern = (as_letters(x, "text") for x in case.arguments)
    cyclic = len(text) > 0 and data.draw(st.booleans())
    lead = 0 if cyclic else data.draw(st.integers(0, 5))
    text, _, alphabet = encode_pattern(text, pattern, padded=True, **case.options)
    coded = CodedText(text, alphabet, lead, cyclic)
    n = len(text)
    inside = CodedText(text, alphabet).codes(0, n, compiled=False).tolist()
    places = range(3 * n + 8)
    if cyclic:
        expected = [inside[p % n] for p in places]
    else:
        expected = [inside[p - lead] if 0 <= p - lead < n else alphabet.wild for p in places]
    start = data.draw(st.integers(0, len(places)))
    stop = data.draw(st.integers(start, len(places)))
    assert coded.codes(start, stop, compiled=False).tolist() == expected[start:stop]


@pytest.mark.parametrize(
    ("value", "family"),
    [
        ("ab", "text"),
        (np.array(["a"]), "text"),
        (b"ab", "integer"),
        (memoryview(b"ab"), "integer"),
        (np.array([b"a"]), "integer"),
        ([1, True], "integer"),
        (range(4), "integer"),
        (np.zeros(2, np.float16), "float"),
        ([1, 2**64], "object"),
        ([1.5], "object"),
        (np.array(["ab", "c"]), "object"),
        (np.array([b"ab", b"c"]), "object"),
        ([], "object"),
    ],
)
def test_families(value: Any, family: str) -> None:
    letters = as_letters(value, "text")
    assert letters.family == family
    assert len(letters) == len(value)
    assert as_letters(letters, "text") is letters


class Tensor:
    """Something that knows how to become an array."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array([1, 2, 1], dtype=dtype)


def test_array_likes() -> None:
    assert hamming_distances(Tensor(), [1]).tolist() == [0, 1, 0]


def test_words_are_letters_of_their_own() -> None:
    text = np.array(["the", "cat", "the", "dog"])
    assert hamming_distances(text, ["the", "dog"]).tolist() == [1, 2, 0]
    assert hamming_distances(np.array([b"a", b"bc"]), [b"a"]).tolist() == [0, 1]
    assert hamming_distances(np.array([b"a", b"b"]), [b"a", b"c"]).tolist() == [1]
    assert hamming_distances(np.array(["a", "b"]), ["a", "c"]).tolist() == [1]


@pytest.mark.parametrize("kind", [list, tuple, deque, UserList, "".join])
@pytest.mark.parametrize("n", [9, 60_000])  # tiny, or read in pieces
def test_any_sequence(kind: Any, n: int) -> None:
    """Also one without slices."""
    text, pattern = kind(["a", "b", "c"] * (n // 3)), kind(["b", "d"])
    expected = ([2, 1, 2] * (n // 3))[: n - 1]
    assert hamming_distances(text, pattern).tolist() == expected
    if not isinstance(text, str):
        assert hamming_distances(text, "bd").tolist() == expected
        assert hamming_distances("".join(text), pattern).tolist() == expected


def test_strings_of_any_length() -> None:
    words = np.array(["the", "c", "the", "\U0001f600"], dtype=np.dtypes.StringDType())
    assert hamming_distances(words, ["the"]).tolist() == [0, 1, 0, 1]
    assert hamming_distances(words, "c\U0001f600").tolist() == [2, 1, 1]


def test_text_changed_afterwards() -> None:
    """No buffer is held on to, so a bytearray may grow again."""
    data = bytearray(b"abc")
    assert hamming_distances(data, b"b").tolist() == [1, 0, 1]
    data += b"d"
    assert hamming_distances(data, b"d").tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("text", "pattern", "error", "message"),
    [
        ("a", b"a", InputTypeError, "`text` and `pattern` must have letters of one kind, got text"),
        (b"a", "a", InputTypeError, "one kind, got integer and text letters"),
        (np.zeros(2), b"a", InputTypeError, "one kind, got float and integer letters"),
        (5, b"a", InputTypeError, "`text` must be a str, bytes, .* got int"),
        (None, b"a", InputTypeError, "`text` must be .* got NoneType"),
        (iter("ab"), "a", InputTypeError, "`text` must be .* got str_ascii_iterator|iterator"),
        ({1, 2}, b"a", InputTypeError, "`text` must be .* got set"),
        ({1: 2}, b"a", InputTypeError, "`text` must be .* got dict"),
        (b"a", 7, InputTypeError, "`pattern` must be .* got int"),
        (np.zeros((2, 2), int), [0], InputError, r"`text` must be one-dimensional, .* \(2, 2\)"),
        ([0], np.array(0), InputError, r"`pattern` must be one-dimensional, got shape \(\)"),
        (np.zeros(2, complex), [0], InputTypeError, "`text` must hold .* got dtype complex128"),
        (np.zeros(2, "m8[s]"), [0], InputTypeError, r"`text` must hold .* timedelta64\[s\]"),
        (np.ma.array([1]), [1], InputTypeError, "`text` must not be a masked array"),
        ([1, [2]], [1], InputTypeError, r"`text` must have hashable letters, got \[2\]"),
        ([1, None], [{}], InputTypeError, r"`pattern` must have hashable letters, got \{\}"),
    ],
)
def test_messages(text: Any, pattern: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        hamming_distances(text, pattern)


@pytest.mark.parametrize(
    ("value", "family", "expected"),
    [
        ("é", "text", "é"),
        (np.str_("a"), "text", "a"),
        (b"a", "integer", 97),
        ("a", "integer", 97),
        (np.uint64(2**64 - 1), "integer", 2**64 - 1),
        (np.True_, "integer", 1),
        (True, "integer", 1),
        (1, "float", 1.0),
        (np.float32(0.5), "float", 0.5),
        (("x", 1), "object", ("x", 1)),
    ],
)
def test_one_letter(value: Any, family: str, expected: Any) -> None:
    found = as_one_letter(value, family, "wildcard")
    assert found == expected
    assert type(found) is type(expected) or isinstance(value, np.str_)


@pytest.mark.parametrize(
    ("value", "family", "error", "message"),
    [
        ("", "text", InputError, "`wildcard` must be a single character, got ''"),
        (b"a", "text", InputError, "`wildcard` must be a single character, got b'a'"),
        ("é", "integer", None, ""),
        ("\u0100", "integer", InputTypeError, "`wildcard` must be a letter of integer kind"),
        (b"ab", "integer", InputTypeError, "`wildcard` must be a letter of integer kind"),
        (1.0, "integer", InputTypeError, "`wildcard` must be a letter of integer kind.* got 1.0"),
        ("1", "float", InputTypeError, "`wildcard` must be a letter of float kind.* got '1'"),
        (1j, "float", InputTypeError, "`wildcard` must be a letter of float kind"),
        ([], "object", InputTypeError, r"`wildcard` must have hashable letters, got \[\]"),
    ],
)
def test_not_one_letter(value: Any, family: str, error: Any, message: str) -> None:
    if error is None:
        assert as_one_letter(value, family, "wildcard") == ord(value)
        return
    with pytest.raises(error, match=message):
        as_one_letter(value, family, "wildcard")
