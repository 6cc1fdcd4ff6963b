"""Texts that arrive in pieces: the same distances, whatever the pieces, in bounded memory."""

from __future__ import annotations

import io
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import InputError, InputTypeError, thread_limit
from lowapprox.hamming import (
    hamming_distances,
    hamming_matches,
    hamming_search,
    iter_hamming_distances,
)
from lowapprox.hamming.plan import METHODS
from tests.hamming.forms import ALPHABETS, Given, forms, given_letters
from tests.hamming.oracle import distances


def joined(*args: Any, **options: Any) -> np.ndarray:
    return np.concatenate(list(iter_hamming_distances(*args, **options)))


@st.composite
def pieces(draw: Any) -> tuple[Given, str, list[list[Any]], list[Any]]:
    """Draw a problem with its text in parts, each of its own form."""
    family = draw(st.sampled_from(sorted(ALPHABETS)))
    case = draw(given_letters((family,)))
    n = len(case.text)
    cuts = [0, *sorted(draw(st.lists(st.integers(0, n), max_size=8))), n]
    parts = [case.text[a:b] for a, b in pairwise(cuts)]
    return case, family, parts, [draw(forms(family, part))[1](part) for part in parts]


@given(pieces(), st.sampled_from([None, 1, 2, 5, 17, 1000]), st.sampled_from(METHODS))
def test_any_parts_in_any_form(
    drawn: tuple[Given, str, list[list[Any]], list[Any]], block: int | None, method: str
) -> None:
    case, family, parts, chunks = drawn
    pattern = case.pattern_form[1](case.pattern)
    if family == "float":  # as arrays or as sequences, but not both
        pattern, chunks = case.arguments[1], [case.text_form[1](part) for part in parts]
    found = list(
        iter_hamming_distances(iter(chunks), pattern, block=block, method=method, **case.options)
    )
    expected = distances(case.text, case.pattern, **case.options)
    assert np.concatenate(found).tolist() == expected
    assert all(x.dtype == np.int8 for x in found)
    if block is not None:
        assert all(x.size == block for x in found[:-1])
        assert found[-1].size <= block + (not case.pattern)


def test_small_chunks_of_a_long_text(gen: np.random.Generator) -> None:
    """Counted with NumPy at first, and compiled when there is much to count."""
    text, pattern = gen.integers(0, 4, 30_000).astype(np.uint8), gen.integers(0, 4, 40)
    expected = hamming_distances(text, pattern, method="naive")
    for block in (None, 100, 4096):
        chunks = np.array_split(text, 3000)
        assert np.array_equal(joined(chunks, pattern, block=block), expected)


def test_letters_one_by_one() -> None:
    text = "".join(chr(97 + i * i % 7) for i in range(3000)) + "é\ud800"
    expected = hamming_distances(text, "abcé")
    assert np.array_equal(joined(list(text), "abcé"), expected)
    assert np.array_equal(joined(text, "abcé"), expected)


@pytest.mark.parametrize("block", [None, 1 << 16])
def test_several_blocks_and_threads(block: int | None, gen: np.random.Generator) -> None:
    text, pattern = gen.integers(0, 300, (1 << 20) + 12_345), gen.integers(0, 300, 9)
    expected = np.zeros(text.size - 8, dtype=np.int8)
    for j, letter in enumerate(pattern):
        expected += text[j : j + expected.size] != letter
    for threads in (1, 2, 4):
        with thread_limit(threads):
            assert np.array_equal(joined(text, pattern, block=block), expected)
            chunks = np.array_split(text.astype(np.uint16), [3, 70_000, 1_000_000])
            assert np.array_equal(joined(chunks, pattern, block=block), expected)


def test_widths_and_objects_in_turn() -> None:
    chunks = [
        np.array([1, 255], np.uint8),
        np.array([2**64 - 1], np.uint64),
        [],
        b"",
        np.array([-1, 1], np.int8),
        [2**64 - 1, -1],
        np.array([1, 2**64 - 1], object),
        [1.0, True],
    ]
    text = [1, 255, 2**64 - 1, -1, 1, 2**64 - 1, -1, 1, 2**64 - 1, 1.0, True]
    for pattern in ([1, 2**64 - 1], [255], [-1, 1], [2**64 - 1, -1, None]):
        assert joined(chunks, pattern).tolist() == distances(text, pattern)
        assert joined(chunks[::-1], pattern, block=1).size == len(text) - len(pattern) + 1


def test_all_bytes_and_more() -> None:
    """The codes of bytes leave no room for other letters, which later chunks bring."""
    pattern, chunks = bytes(range(256)), [bytes(range(256)), np.array([256, 0, 512])]
    text = [*range(256), 256, 0, 512]
    assert joined(chunks, pattern).tolist() == distances(text, pattern)


@pytest.mark.parametrize("pattern", ["", "a", "ab", "??"])
@pytest.mark.parametrize("text", ["", "a", "ab", "abcab"])
@pytest.mark.parametrize("block", [None, 1, 2])
def test_nothing_and_too_long(text: str, pattern: str, block: int | None) -> None:
    found = joined(list(text), pattern, block=block, wildcard="?")
    assert found.tolist() == distances(text, pattern, wildcard="?")
    assert found.dtype == np.int8
    assert joined(["", *text, ""], pattern, wildcard="?").tolist() == found.tolist()
    assert joined([], pattern).tolist() == distances("", pattern)


def test_files(tmp_path: Path) -> None:
    text = "one line\nand anöther\n" * 300
    path = tmp_path / "text"
    path.write_text(text, encoding="utf-8", newline="")
    for size in (None, 64):
        with path.open(encoding="utf-8") as file:
            assert np.array_equal(joined(file, "öth", block=size), hamming_distances(text, "öth"))
        expected = hamming_distances(text.encode(), b"\nand")
        with path.open("rb") as file:
            assert np.array_equal(joined(file, b"\nand", block=size), expected)
        with path.open("rb", buffering=0) as file:
            assert np.array_equal(joined(file, b"\nand", block=size), expected)
        file = io.StringIO(text)
        assert np.array_equal(joined(file, "one", block=size), hamming_distances(text, "one"))
    mapped = np.memmap(path, mode="r")
    assert np.array_equal(joined(mapped, b"\nand", block=100), expected)


def test_arrays_come_as_soon_as_they_are_known() -> None:
    arrived: list[str] = []

    def chunks() -> Iterator[str]:
        for letter in "abcab":
            arrived.append(letter)
            yield letter

    stream = iter_hamming_distances(chunks(), "ab", block=1)
    assert not arrived
    for count, expected in enumerate([0, 2, 2, 0], start=2):
        assert next(stream).tolist() == [expected]
        assert len(arrived) == count
    with pytest.raises(StopIteration):
        next(stream)


def test_a_buffer_that_is_used_again() -> None:
    """Between chunks nothing holds on to their memory, so that a bytearray may change its size."""

    def chunks() -> Iterator[bytearray]:
        buffer = bytearray(b"ab")
        yield buffer
        buffer += b"cd"
        yield buffer
        buffer.clear()
        yield buffer
        buffer[:] = b"b"
        yield buffer

    found = joined(chunks(), b"b")
    assert found.tolist() == distances(b"ababcdb", b"b")


def test_chunks_that_raise() -> None:
    """What was known before arrives; the error is that of the chunks, and the file is closed."""
    log = []

    def chunks() -> Iterator[str]:
        try:
            yield "ab"
            yield "ca"
            raise OSError("gone")
        finally:
            log.append("closed")

    found = []
    with pytest.raises(OSError, match="gone"):
        found.extend(x.tolist() for x in iter_hamming_distances(chunks(), "ab", block=1))
    assert found == [[0], [2], [2]]
    assert log == ["closed"]
    stream = iter_hamming_distances(chunks(), "ab", block=1)
    assert next(stream).tolist() == [0]
    stream.close()
    del stream
    assert log == ["closed", "closed"]


@pytest.mark.parametrize("dtype", ["u1", "i4", ">i8"])
def test_dtype(dtype: str) -> None:
    found = list(iter_hamming_distances(["ab", "ba"], "ab", dtype=dtype, block=1))
    assert np.concatenate(found).tolist() == [0, 1, 2]
    assert all(x.dtype == np.dtype(dtype) for x in found)


@pytest.mark.parametrize(
    ("chunks", "pattern", "options", "error", "message"),
    [
        (["a"], 5, {}, InputTypeError, "`pattern` must be a str, .* got int"),
        (5, "a", {}, InputTypeError, "`chunks` must be an iterable of texts, .* got int"),
        (["a"], "a", {"block": 0}, InputError, "`block` must be at least 1, got 0"),
        (["a"], "a", {"block": 1.5}, InputTypeError, "`block` must be an integer, got 1.5"),
        (["a"], "a", {"method": "x"}, InputError, "`method` must be one of .* got 'x'"),
        (["a"], "a", {"dtype": "f4"}, InputTypeError, "`dtype` must be an integer dtype"),
        (["a"], "a" * 200, {"dtype": "i1"}, InputError, "`dtype` must hold distances up to 200"),
    ],
)
def test_messages_of_the_call(
    chunks: Any, pattern: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        iter_hamming_distances(chunks, pattern, **options)


class NonBlocking(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> None:
        return None


@pytest.mark.parametrize(
    ("chunks", "pattern", "error", "message"),
    [
        (["a", b"a"], "a", InputTypeError, "`chunks` .* one kind, got integer after text letters"),
        ([b"a", "a"], b"a", InputTypeError, "`chunks` .* one kind, got text after integer letters"),
        ([[None], b"a", "a"], [None], InputTypeError, "got text after integer letters"),
        ([b"a"], "a", InputTypeError, "`chunks` and `pattern` must have letters of one kind"),
        ([1, 2], [1], InputTypeError, "`chunks` must be a str, bytes, .* got int"),
        ([[1, 2.5], [[]]], [1], InputTypeError, r"`chunks` must have hashable letters, got \[\]"),
        (["ab", np.zeros((2, 2))], "a", InputError, "`chunks` must be one-dimensional"),
        (NonBlocking(), b"a", InputError, "`chunks` must be a file that waits for its data"),
    ],
)
def test_messages_of_the_chunks(
    chunks: Any, pattern: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        list(iter_hamming_distances(chunks, pattern))


def test_tiny_streams_load_no_compiler() -> None:
    script = """
import sys
from lowapprox.hamming import iter_hamming_distances
assert [x.tolist() for x in iter_hamming_distances(["ab", "ra"], "r")] == [[1, 1, 0, 1]]
assert not {"numba", "scipy"} & set(sys.modules), "loaded"
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)


MIB = 1 << 20


def test_memory(tmp_path: Path, gen: np.random.Generator) -> None:
    """Apart from the result, memory does not grow with the text, a file of 24 MiB."""
    text = np.memmap(tmp_path / "text", dtype=np.uint8, mode="w+", shape=(24 * MIB,))
    text[:] = np.resize(gen.integers(0, 4, MIB).astype(np.uint8), text.size)
    text.flush()
    out = np.memmap(tmp_path / "out", dtype=np.int32, mode="w+", shape=text.shape)
    short, long = (gen.integers(0, 4, m).astype(np.uint8) for m in (30, 100_000))

    def peak(work: Callable[..., Any]) -> int:
        work(text[:MIB])  # compiles
        tracemalloc.start()
        work(text)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    def dense(x: np.ndarray, pattern: np.ndarray, method: str = "auto") -> None:
        shifts = x.size - pattern.size + 1
        hamming_distances(x, pattern, method=method, out=out[:shifts])

    def streamed(x: np.ndarray) -> None:
        chunks = (x[start : start + 100_000] for start in range(0, x.size, 100_000))
        assert sum(found.size for found in iter_hamming_distances(chunks, short)) == x.size - 29

    for method in METHODS:
        assert peak(lambda x, method=method: dense(x, short, method)) < 16 * MIB
    assert peak(lambda x: hamming_matches(x, short, 5)) < 8 * MIB
    assert peak(lambda x: hamming_search(x, short, top=5)) < 8 * MIB
    assert peak(lambda x: list(map(np.size, iter_hamming_distances(x, short)))) < 16 * MIB
    assert peak(streamed) < 16 * MIB
    assert peak(lambda x: dense(x, long)) < 64 * MIB  # by transforms
