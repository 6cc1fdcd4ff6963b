"""Distances against the definition in plain Python, and what they must obey."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowapprox import InputError, InputTypeError, thread_limit
from lowapprox.hamming import IUPAC, hamming_distances
from lowapprox.hamming.plan import METHODS
from tests.hamming.forms import Given, given_letters
from tests.hamming.oracle import distances

MODES = ("valid", "full", "cyclic")
# For what follows from the definition.
some = settings(max_examples=settings().max_examples // 2)
modes = st.sampled_from(MODES)
methods = st.sampled_from(METHODS)
seeds = st.integers(0, 2**32 - 1)


@given(given_letters(), modes, methods)
def test_definition(case: Given, mode: str, method: str) -> None:
    found = hamming_distances(*case.arguments, mode=mode, method=method, **case.options)
    assert found.tolist() == distances(case.text, case.pattern, mode=mode, **case.options)
    assert found.dtype == np.int8


DTYPES = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i2", ">u4", ">i8")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=10)
@given(st.lists(st.booleans(), max_size=40), st.lists(st.booleans(), max_size=15))
def test_every_method_mode_and_dtype(
    method: str, mode: str, text: list[bool], pattern: list[bool]
) -> None:
    """Zeros and ones, in every dtype, as bytes and as characters."""
    expected = distances(text, pattern, mode=mode)
    forms: list[Any] = [lambda x, dtype=dtype: np.array(x, dtype=dtype) for dtype in DTYPES]
    forms += [bytes, bytearray, lambda x: "".join("ab"[i] for i in x), list]
    for form in forms:
        found = hamming_distances(form(text), form(pattern), mode=mode, method=method)
        assert found.tolist() == expected
    negative = (-np.array(x, dtype=np.int16) for x in (text, pattern))
    assert hamming_distances(*negative, mode=mode, method=method).tolist() == expected


def arrays(low: int = 0, high: int = 60, letters: int = 4) -> st.SearchStrategy[np.ndarray]:
    made = st.lists(st.integers(0, letters - 1), min_size=low, max_size=high)
    return made.map(lambda x: np.array(x, dtype=np.uint8))


@some
@given(arrays(), arrays(0, 20), methods)
def test_zero_where_equal(text: np.ndarray, pattern: np.ndarray, method: str) -> None:
    found = hamming_distances(text, pattern, method=method)
    m = pattern.size
    assert ((found >= 0) & (found <= m)).all()
    equal = [np.array_equal(text[i : i + m], pattern) for i in range(text.size - m + 1)]
    assert np.array_equal(found == 0, equal)
    assert hamming_distances(text, text, method=method).tolist() == [0]


@some
@given(arrays(), arrays(0, 20), seeds, modes, methods)
def test_renaming_letters(
    text: np.ndarray, pattern: np.ndarray, seed: int, mode: str, method: str
) -> None:
    names = np.random.default_rng(seed).choice(2**62, 4, replace=False) - 2**61
    renamed = hamming_distances(names[text], names[pattern], mode=mode, method=method)
    assert np.array_equal(renamed, hamming_distances(text, pattern, mode=mode, method=method))


@some
@given(arrays(), arrays(1, 20), st.sampled_from(["valid", "full"]), methods)
def test_reversal(text: np.ndarray, pattern: np.ndarray, mode: str, method: str) -> None:
    there = hamming_distances(text, pattern, mode=mode, method=method)
    back = hamming_distances(text[::-1], pattern[::-1], mode=mode, method=method)
    assert np.array_equal(back, there[::-1])


@some
@given(arrays(20), arrays(0, 10), arrays(0, 10), methods)
def test_concatenation(
    text: np.ndarray, first: np.ndarray, second: np.ndarray, method: str
) -> None:
    whole = hamming_distances(text, np.concatenate([first, second]), method=method)
    head = hamming_distances(text, first, method=method)
    tail = hamming_distances(text, second, method=method)[first.size :]
    assert np.array_equal(whole, head[: whole.size] + tail[: whole.size])


@some
@given(arrays(20), arrays(0, 10), st.integers(0, 60), st.integers(0, 60), methods)
def test_part_of_the_text(
    text: np.ndarray, pattern: np.ndarray, a: int, b: int, method: str
) -> None:
    a, b = sorted((min(a, text.size), min(b, text.size)))
    part = hamming_distances(text[a:b], pattern, method=method)
    whole = hamming_distances(text, pattern, method=method)
    assert np.array_equal(part, whole[a : max(a, b - pattern.size + 1)])


@some
@given(arrays(5, 5), arrays(5, 5), methods)
def test_symmetry(text: np.ndarray, pattern: np.ndarray, method: str) -> None:
    there = hamming_distances(text, pattern, method=method)
    assert np.array_equal(there, hamming_distances(pattern, text, method=method))


@some
@given(arrays(12), arrays(12, 12), arrays(12, 12), methods)
def test_triangle_inequality(
    text: np.ndarray, pattern: np.ndarray, other: np.ndarray, method: str
) -> None:
    apart = np.count_nonzero(pattern != other)
    direct = hamming_distances(text, pattern, method=method)
    assert (direct <= hamming_distances(text, other, method=method) + apart).all()


@some
@given(arrays(), arrays(0, 20), modes, methods)
def test_merged_letters_and_wildcards(
    text: np.ndarray, pattern: np.ndarray, mode: str, method: str
) -> None:
    """A letter made equal to another, or to all, never adds a mismatch."""
    options: dict[str, Any] = {"mode": mode, "method": method}
    before = hamming_distances(text, pattern, **options)
    merged = hamming_distances(np.maximum(text, 1), np.maximum(pattern, 1), **options)
    classes = hamming_distances(text, pattern, classes={0: [1], 1: [1]}, **options)
    wild = hamming_distances(text, pattern, wildcard=0, **options)
    assert np.array_equal(merged, classes)
    assert (merged <= before).all()
    assert (wild <= before).all()


@some
@given(arrays(8, letters=3), arrays(1, 8, letters=3), seeds, methods)
def test_one_letter_changed(text: np.ndarray, pattern: np.ndarray, seed: int, method: str) -> None:
    gen = np.random.default_rng(seed)
    before = hamming_distances(text, pattern, method=method)
    changed = pattern.copy()
    changed[gen.integers(pattern.size)] = 3
    apart = hamming_distances(text, changed, method=method) - before
    assert (np.abs(apart) <= 1).all()
    changed, place = text.copy(), int(gen.integers(text.size))
    changed[place] = 3
    apart = hamming_distances(changed, pattern, method=method) - before
    touched = np.flatnonzero(apart)
    assert (np.abs(apart) <= 1).all()
    assert ((touched > place - pattern.size) & (touched <= place)).all()


@some
@given(arrays(1), arrays(1, 20), methods)
def test_full_is_valid_on_a_padded_text(text: np.ndarray, pattern: np.ndarray, method: str) -> None:
    outside = np.full(pattern.size - 1, 9, dtype=np.uint8)
    padded = np.concatenate([outside, text, outside])
    found = hamming_distances(text, pattern, mode="full", method=method)
    assert np.array_equal(found, hamming_distances(padded, pattern, wildcard=9, method=method))


@some
@given(arrays(1), arrays(1, 20), methods)
def test_agreements_of_all_shifts(text: np.ndarray, pattern: np.ndarray, method: str) -> None:
    """Every pair of equal letters agrees at one shift of the full mode."""
    found = hamming_distances(text, pattern, mode="full", method=method)
    pairs = text.size * pattern.size
    equal = np.bincount(text, minlength=4) @ np.bincount(pattern, minlength=4)
    assert int(found.sum(dtype=np.int64)) == pairs - equal


@some
@given(arrays(1), arrays(0, 80), st.integers(0, 100), methods)
def test_rotation(text: np.ndarray, pattern: np.ndarray, shift: int, method: str) -> None:
    found = hamming_distances(text, pattern, mode="cyclic", method=method)
    turned = hamming_distances(np.roll(text, shift), pattern, mode="cyclic", method=method)
    assert np.array_equal(turned, np.roll(found, shift))


def count(text: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """One NumPy pass for each pattern letter."""
    out = np.zeros(text.size - pattern.size + 1, dtype=np.int64)
    for j, letter in enumerate(pattern):
        out += text[j : j + out.size] != letter
    return out


@pytest.mark.large
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layout", ["contiguous", "strided", "big-endian"])
@pytest.mark.parametrize("dtype", ["i1", "u1", "u2", "i4", "i8", "u8"])
def test_long_texts(dtype: str, layout: str, method: str, gen: np.random.Generator) -> None:
    """Long enough for compiled code."""
    text, pattern = gen.integers(0, 5, 100_000).astype(dtype), gen.integers(0, 6, 17).astype(dtype)
    given_text = {
        "contiguous": text,
        "strided": np.repeat(text, 2)[::2],
        "big-endian": text.astype(text.dtype.newbyteorder(">")),
    }[layout]
    assert np.array_equal(
        hamming_distances(given_text, pattern, method=method), count(text, pattern)
    )


def _words(name: str, gen: np.random.Generator, n: int) -> np.ndarray:
    """Return letters that make the counts extreme."""
    skewed = (gen.random(n) < 0.97).astype(np.uint8)
    return {
        "one letter": np.zeros(n, np.uint8),
        "period 2": np.resize(np.array([3, 200], np.uint8), n),
        "period 37": np.resize(gen.integers(0, 5, 37).astype(np.uint8), n),
        "97 % ones": skewed,
        "one place differs": (np.arange(n) == n // 2).astype(np.uint8),
        "all bytes": np.resize(gen.permutation(256).astype(np.uint8), n),
    }[name]


WORDS = ("one letter", "period 2", "period 37", "97 % ones", "one place differs", "all bytes")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("word", WORDS)
def test_extreme_counts(word: str, method: str, gen: np.random.Generator) -> None:
    """All agree or none does, at every shift or at one of a period."""
    text = _words(word, gen, 4000)
    for pattern in (text[:700], _words(word, gen, 300)[::-1].copy(), text[:129] ^ 1):
        found = hamming_distances(text, pattern, method=method)
        assert np.array_equal(found, count(text, pattern))


@pytest.mark.large
@pytest.mark.parametrize("dtype", ["u1", "u2"])  # bytes are shared out in tiles
@pytest.mark.parametrize("method", METHODS)
def test_threads(method: str, dtype: str, gen: np.random.Generator) -> None:
    """Long enough for several blocks."""
    text, pattern = (gen.integers(0, 60, n).astype(dtype) for n in (1_200_000, 25))
    expected = count(text, pattern)
    for threads in (1, 2, 3):
        with thread_limit(threads):
            assert np.array_equal(hamming_distances(text, pattern, method=method), expected)


def test_long_str(gen: np.random.Generator) -> None:
    letters = gen.choice(np.array(["a", "é", "\ud800", "\U0001f600"]), 300_000)
    text, pattern = "".join(letters), "".join(letters[1000:1017])
    found = hamming_distances(text, pattern)
    assert np.array_equal(found, count(letters, letters[1000:1017]))
    assert found[1000] == 0


def test_letters_beyond_double_precision() -> None:
    text = np.array([2**53, 2**53 + 1, 2**63, 2**64 - 1], dtype=np.uint64)
    assert hamming_distances(text, np.array([-1])).tolist() == [1, 1, 1, 1]
    assert hamming_distances(text, np.array([2**53 + 1])).tolist() == [1, 0, 1, 1]
    assert hamming_distances(text, [2**64 - 1]).tolist() == [1, 1, 1, 0]
    signed = np.array([-1, 2**53 + 1], dtype=np.int64)
    assert hamming_distances(signed, np.array([2**64 - 1], dtype=np.uint64)).tolist() == [1, 1]


@pytest.mark.parametrize("m", [127, 128, 32_767, 32_768])
def test_narrowest_signed_dtype(m: int) -> None:
    found = hamming_distances(np.zeros(m + 1, bool), np.ones(m, bool))
    assert found.tolist() == [m, m]
    assert found.dtype == np.result_type(np.min_scalar_type(-m - 1), np.int8)
    assert np.iinfo(found.dtype).max >= m


def test_pattern_of_all_bytes() -> None:
    text = np.arange(256, dtype=np.uint8)
    assert hamming_distances(text, bytes(text)).tolist() == [0]
    assert hamming_distances(text, np.arange(100, 356)).tolist() == [256]
    assert hamming_distances(text.view(np.int8), np.arange(-128, 128)).tolist() == [256]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 3), (3, 0), (1, 1), (2, 5), (1, 7)])
def test_nothing_and_too_long(n: int, m: int, method: str, mode: str) -> None:
    text, pattern = "ab"[:n] + "c" * max(0, n - 2), "bcabcab"[:m]
    found = hamming_distances(text, pattern, mode=mode, method=method)
    assert found.tolist() == distances(text, pattern, mode=mode)


def test_classes_of_nucleotides() -> None:
    assert hamming_distances("GATTACA", "RAY", classes=IUPAC).tolist() == [0, 1, 3, 1, 2]
    assert hamming_distances("NNRRA", "AG", classes=IUPAC).tolist() == [0, 0, 0, 1]
    assert hamming_distances("acgt", "X", classes={"X": "gt"}).tolist() == [1, 1, 0, 0]


def test_wildcard_that_is_not_equal_to_itself() -> None:
    nan = float("nan")
    for text in ([1.0, nan, 2.0], np.array([1.0, nan, 2.0])):
        pattern = type(text)([nan, 2.0]) if isinstance(text, list) else np.array([nan, 2.0])
        assert hamming_distances(text, pattern).tolist() == [2, 1]
        assert hamming_distances(text, pattern, wildcard=nan).tolist() == [0, 0]


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", ">i4", "u4", "i8", "u8", "<i8"])
@pytest.mark.parametrize("n", [30, 300_000])
def test_dtype_and_out(n: int, dtype: str, gen: np.random.Generator) -> None:
    text, pattern = gen.integers(0, 3, n), gen.integers(0, 3, 5)
    expected = hamming_distances(text, pattern)
    found = hamming_distances(text, pattern, dtype=dtype)
    assert found.dtype == np.dtype(dtype)
    assert np.array_equal(found, expected)
    wide = np.full((n - 4, 2), 77, dtype=dtype)
    assert hamming_distances(text, pattern, out=wide[:, 1]) is not None
    assert np.array_equal(wide[:, 1], expected)
    assert (wide[:, 0] == 77).all()
    out = np.empty(n - 4, dtype=dtype)
    assert hamming_distances(text, pattern, out=out, dtype=dtype) is out
    assert np.array_equal(out, expected)


def test_memory_maps(tmp_path: Any, gen: np.random.Generator) -> None:
    text = np.memmap(tmp_path / "text", dtype=np.uint8, mode="w+", shape=(300_000,))
    text[:] = gen.integers(0, 4, text.size)
    out = np.memmap(tmp_path / "out", dtype=np.int16, mode="w+", shape=(text.size - 8,))
    pattern = bytes(text[77:86])
    assert hamming_distances(text, pattern, out=out) is out
    assert np.array_equal(out, count(np.asarray(text), np.asarray(text[77:86])))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"out": [0, 0]}, InputTypeError, "`out` must be a NumPy array, got list"),
        ({"out": np.empty(2)}, InputTypeError, "`out` must be an integer dtype, got float64"),
        ({"out": np.empty(3, "i4")}, InputError, r"`out` must have shape \(2,\), got \(3,\)"),
        ({"out": np.empty((2, 1), "i4")}, InputError, r"`out` must have shape \(2,\)"),
        (
            {"out": np.empty(2, "i4"), "dtype": "i8"},
            InputError,
            "`out` must have dtype int64 as `dtype` says, got int32",
        ),
        ({"dtype": "f8"}, InputTypeError, "`dtype` must be an integer dtype, got float64"),
        ({"dtype": bool}, InputTypeError, "`dtype` must be an integer dtype, got bool"),
        ({"dtype": "no such"}, InputTypeError, "`dtype` must be an integer dtype, got 'no such'"),
        ({"method": "quick"}, InputError, "`method` must be one of 'auto', .* got 'quick'"),
        ({"mode": "same"}, InputError, "`mode` must be one of 'valid', 'full', 'cyclic', got"),
        ({"wildcard": "ab"}, InputError, "`wildcard` must be a single character, got 'ab'"),
        ({"wildcard": 5}, InputError, "`wildcard` must be a single character, got 5"),
        ({"classes": "ab"}, InputTypeError, "`classes` must map letters .* got 'ab'"),
        ({"classes": {"a": 5}}, InputTypeError, "`classes` must map 'a' to a sequence .* got 5"),
        ({"classes": {"a": ["bc"]}}, InputError, "`classes` must be a single character, got 'bc'"),
        (
            {"classes": {"a": "bN"}, "wildcard": "N"},
            InputError,
            "`classes` must not name the wildcard 'N'",
        ),
    ],
)
def test_messages(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        hamming_distances("abc", "ab", **options)


def test_out_that_cannot_be_written() -> None:
    text = np.zeros(300, np.uint8)
    with pytest.raises(InputError, match="`dtype` must hold distances up to 200, got int8"):
        hamming_distances(text, text[:200], dtype="i1")
    with pytest.raises(InputError, match="`out` must hold distances up to 200, got int8"):
        hamming_distances(text, text[:200], out=np.empty(101, "i1"))
    out = np.empty(299, np.int8)
    out.flags.writeable = False
    with pytest.raises(InputError, match="`out` must be writeable, got a read-only array"):
        hamming_distances(text, text[:2], out=out)
    data = bytearray(600)
    for overlapping in (text[1:], text[1:].view(np.int8)):
        with pytest.raises(InputError, match="`out` must not overlap the memory of `text`"):
            hamming_distances(text, text[:2].copy(), out=overlapping)
    with pytest.raises(InputError, match="`out` must not overlap the memory of `text`"):
        hamming_distances(data, b"a", out=np.frombuffer(data, np.int8))
    between = np.zeros((300, 2), np.int8)  # the same stretch of memory, but not the same bytes
    hamming_distances(between[:, 0], b"\1\1", out=between[:-1, 1])
    assert between.tolist() == [[0, 2]] * 299 + [[0, 0]]
    with pytest.raises(InputError, match="`out` must not overlap the memory of `text`"):
        hamming_distances(between[:, 0], b"a", out=between[::-1, 0])


def test_out_that_was_the_pattern() -> None:
    """It is read before anything is written."""
    for method in METHODS:
        for dtype in (np.int8, np.int64, object):
            text = np.array([1, 1, 2, 2, 1], dtype)
            memory = np.array([1, 1, 9, 9], np.int8)
            hamming_distances(text, memory[:2], method=method, out=memory)
            assert memory.tolist() == [0, 1, 2, 1]


TINY = """
import sys
import numpy as np
from lowapprox.hamming import *
assert hamming_distances("abracadabra", "abr").tolist() == [0, 3, 3, 2, 3, 2, 3, 0, 3]
assert hamming_distances("a" * 9000, "b" * 10, mode="full").max() == 10
assert hamming_distances(b"abab", b"ab", mode="cyclic", wildcard=b"b").tolist() == [0] * 4
for n, m in ((316, 316), (10, 9_999), (1, 99_999), (99_999, 1)):
    for options in ({}, {"classes": {"a": "cd"}}, {"wildcard": "c"}):
        found = hamming_distances("a" * n, "b" * m, mode="full", **options)
        assert found.size == n + m - 1 and found.max() == min(n, m)
        found = hamming_distances("a" * n, "b" * m, mode="cyclic", **options)
        assert (found == m).all() and found.size == n
        assert hamming_distances("a" * (n + m - 1), "b" * m, **options).tolist() == [m] * n
for text in ("ab" * 150, b"ab" * 150, np.arange(300) / 7, np.arange(300) << 40, [None, "b"] * 150):
    pattern = text[:200]
    for mode in ("valid", "full", "cyclic"):
        assert hamming_search(text, pattern, mode=mode).distances.tolist() == [0]
        assert 0 in hamming_matches(text, pattern, 3, mode=mode).distances
        assert 0 in approximate_hamming_distances(text, pattern, 0.1, mode=mode)
    assert 0 in next(iter_hamming_distances([text], pattern))
assert not {"numba", "scipy"} & set(sys.modules), "loaded"
"""


def test_tiny_inputs_load_no_compiler() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", TINY], check=True, timeout=60)
