"""Distances of a text that arrives in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lowapprox._core.checks import checked_choice, checked_int
from lowapprox._core.errors import InputError, InputTypeError
from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import encode_pattern
from lowapprox.hamming.counting import Counter, block_shifts, count_into, count_range
from lowapprox.hamming.letters import Letters, as_letters
from lowapprox.hamming.plan import METHODS, prepare
from lowapprox.hamming.problem import Problem, checked_dtype
from lowapprox.hamming.text import CodedBlock

__all__ = ["iter_hamming_distances"]

_BLOCK = 1 << 20  # letters: enough for several threads, and little memory
_COMPILED = 1 << 16  # letters: fewer are encoded with NumPy
_LONG = 100_000  # comparisons: more are worth the loading of compiled code


def iter_hamming_distances(
    chunks: Any,
    pattern: Any,
    *,
    method: str = "auto",
    wildcard: Any = None,
    classes: Mapping[Any, Iterable[Any]] | None = None,
    dtype: Any = None,
    block: int | None = None,
) -> Iterator[Array]:
    """Count the mismatches of a pattern at every place of a text that arrives in pieces, exactly.

    Parameters
    ----------
    chunks : iterable of texts, file, or a single text
        Any iterable (a list too) whose items are parts of the text, each of any form that
        `hamming_distances` takes, empty ones included; integers may change their width from one
        to the next. Or a file, which is read block by block: characters if it was opened as text,
        else bytes; line ends are letters. Or one str, bytes or array, as a memory map.
    pattern : str, bytes, bytearray, memoryview, array or sequence of hashables
        Of m letters.
    method, wildcard, classes, dtype
        As in `hamming_distances`.
    block : int, optional
        Length of the arrays. A smaller one is prompt, and costs more for each letter, as every
        array takes time in proportion to m. By default 2^20, or more for long patterns.

    Yields
    ------
    ndarray of int
        Distances at successive shifts; joined, they are ``hamming_distances(text, pattern)`` of
        the whole text. There is at least one array, which may be empty.

    Raises
    ------
    InputError
        If `block` is smaller than 1 or `dtype` cannot hold m.
    InputTypeError
        If the letters of the chunks cannot be compared with one another or with the pattern's.

    See Also
    --------
    hamming_distances : The whole text at once, also circular, or with overlaps at its ends.

    Notes
    -----
    What is kept is the codes of the last m - 1 letters and of a block: a few MiB whatever the
    length of the text, if the chunks are not larger themselves.

    Examples
    --------
    >>> from lowapprox.hamming import iter_hamming_distances
    >>> for found in iter_hamming_distances(["abrac", "", "ad", "abra"], "abr", block=4):
    ...     print(found)
    [0 3 3 2]
    [3 2 3 0]
    [3]
    """
    checked_choice(method, "method", METHODS)
    wanted = as_letters(pattern, "pattern")
    span = len(wanted)
    dtype = checked_dtype(dtype, span)
    size = checked_int(max(_BLOCK, block_shifts(span)) if block is None else block, "block", 1)
    options = {"wildcard": wildcard, "classes": classes}
    return _distances(_chunks(chunks, size), wanted, size, dtype, method, options)


def _chunks(chunks: Any, size: int) -> Iterable[Any]:
    """Return the parts of the text, whatever it is given as."""
    if hasattr(chunks, "read"):
        return _blocks(chunks, size)
    if isinstance(chunks, (str, bytes, bytearray, memoryview)) or hasattr(chunks, "__array__"):
        return (chunks,)
    if isinstance(chunks, Iterable):
        return chunks
    raise InputTypeError(
        f"`chunks` must be an iterable of texts, a file or a text, got {type(chunks).__name__}"
    )


def _blocks(file: Any, size: int) -> Iterator[Any]:
    while (piece := file.read(size)) is None or len(piece):
        if piece is None:
            raise InputError("`chunks` must be a file that waits for its data, got None from it")
        yield piece


def _distances(
    chunks: Iterable[Any],
    pattern: Letters,
    size: int,
    dtype: Any,
    method: str,
    options: dict[str, Any],
) -> Iterator[Array]:
    """Yield the distances of all shifts."""
    stream = None
    for chunk in chunks:
        letters = as_letters(chunk, "chunks")
        if len(letters):
            if stream is None:
                stream = _Stream(letters.family, pattern, size, dtype, method, options)
            yield from stream.add(letters)
        del chunk, letters  # so that whoever made the chunk may use its memory again
    if stream is not None:
        yield from stream.finish()
    else:
        yield np.zeros(int(len(pattern) == 0), dtype=dtype)


class _Stream:
    """The codes of the last letters, and how to count them."""

    def __init__(
        self,
        family: str,
        pattern: Letters,
        size: int,
        dtype: Any,
        method: str,
        options: dict[str, Any],
    ) -> None:
        self._family = family
        text = Letters((), family, "chunks")
        self._text, self._pattern, self._alphabet = encode_pattern(
            text, pattern, mixed=True, **options
        )
        self._dtype, self._method = dtype, method
        self._kept = max(len(pattern) - 1, 0)  # letters that the next shifts need again
        self._codes = np.empty(self._kept + size, dtype=self._alphabet.dtype)
        self._filled = self._compared = 0
        self._counters: Sequence[Counter] = ()
        self._silent = True

    def add(self, letters: Letters) -> Iterator[Array]:
        """Yield the distances that are known with these letters, in full blocks."""
        if self._family == "object":
            self._family = letters.family
        elif letters.family not in {self._family, "object"}:
            raise InputTypeError(
                "`chunks` must have letters of one kind, "
                f"got {letters.family} after {self._family} letters"
            )
        start = 0
        while start < len(letters):
            start += self._take(letters, start)
            if self._filled == self._codes.size:
                yield self._count(self._filled - self._kept)

    def finish(self) -> Iterator[Array]:
        """Yield the distances that are left, and an empty array if there have been none at all."""
        # An empty pattern also fits behind the last letter.
        shifts = self._filled - self._kept + (self._pattern.span == 0)
        if shifts > 0 or self._silent:
            yield self._count(max(shifts, 0))

    def _take(self, letters: Letters, start: int) -> int:
        """Add letters from `start` on while there is room, and return how many."""
        count = min(len(letters) - start, self._codes.size - self._filled)
        target = self._codes[self._filled : self._filled + count]
        self._filled += count
        if self._text.family == "object" and letters.family != "object":
            part = replace(letters, source=letters.source[start : start + count])
            letters, start = Letters(part.objects(), "object", letters.name), 0

        def encode(piece: Array, first: int, *, compiled: bool) -> None:
            raw = letters.raw(first, first + piece.size)
            self._alphabet.encode(raw, piece, compiled=compiled)

        if letters.family == "object" or count < _COMPILED:
            encode(target, start, compiled=False)
        else:
            from lowapprox._core.threads import run_blocks

            def work(block: int) -> None:
                place = block * _COMPILED
                encode(target[place : place + _COMPILED], start + place, compiled=True)

            run_blocks(work, -(-count // _COMPILED))
        return count

    def _count(self, shifts: int) -> Array:
        """Return the distances of the next shifts, and forget the letters that are done with."""
        out = np.zeros(shifts, dtype=self._dtype)
        if shifts and self._pattern.size:
            block = CodedBlock(self._text, self._alphabet, block=self._codes[: self._filled])
            self._count_block(Problem(block, self._pattern, shifts), out)
            self._codes[: self._kept] = self._codes[shifts : self._filled]
        self._filled = min(self._filled, self._kept)
        self._silent = False
        return out

    def _count_block(self, problem: Problem, out: Array) -> None:
        if not self._counters:
            counters, compiled = prepare(problem, self._method)
            if not compiled:
                count_range(problem.text, counters, 0, out, compiled=False)
                self._compared += problem.shifts * problem.pattern.size
                if self._method == "auto" and self._compared > _LONG:
                    self._method = "bits"  # so many small blocks
                return
            self._counters = counters
        count_into(problem.text, self._counters, out)
