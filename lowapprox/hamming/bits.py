"""Bit-sliced counting: see the kernels. The workhorse for every pattern that is not very long."""

from __future__ import annotations

import math
import threading
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import Alphabet, Pattern
from lowapprox.hamming.problem import narrowest

__all__ = ["ONE_ROW", "BitsCounter", "distinct", "letter_tests"]

_TILE = 1 << 13  # shifts that are counted at a time
_CHUNK = 1 << 14  # pattern positions whose rows are kept at a time, at most
_ROWS = 1 << 20  # bytes of rows that stay in the second cache
_MOST_KEPT = 1 << 22  # bytes of scratch that each thread keeps
_KEPT = threading.local()
_STEPS = np.arange(16, dtype=np.int32) * 64  # of carries, in bytes
_USES = 3.0, 0.4  # of a row, or it is shifted whenever it is used; with shorter registers
ONE_ROW = 30  # letters: beyond, two digits with a row for each value are faster


class BitsCounter:
    """Count the agreements of all shifts by adding bitmaps of the text: O(n m / 512) vector steps.

    Parameters
    ----------
    pattern : Pattern
    alphabet : Alphabet
    digits : int, optional
        How many digits a letter is written in: each position adds the intersection of the bitmaps
        of its digits. One digit is a bitmap for each letter; more need letters that agree only if
        equal.
    """

    __slots__ = ("_chunks", "_copies", "_form", "_loads", "_rows", "_tests", "_words", "pattern")

    def __init__(self, pattern: Pattern, alphabet: Alphabet, *, digits: int | None = None) -> None:
        from lowapprox._core.simd import REGISTER_BYTES

        self.pattern = pattern
        letters, index = distinct(pattern.letters, alphabet.kinds)
        if digits is None:
            digits = _digits(letters.size, alphabet)
        self._tests, bitmaps = _tests(letters, index, alphabet, digits)
        count = self._tests[-1].size - 1
        uses = _USES[REGISTER_BYTES < 64]
        direct = alphabet.dtype == np.uint8 and bitmaps.size < uses * 8 * count
        self._form = (0,) * digits, (0,) * direct
        span = min(max(_ROWS // count - _TILE, _CHUNK // 8), _CHUNK, pattern.span)
        span = -(-span // 64) * 64
        self._words = (_TILE + span) // 512 * 8 + 16 | 8  # an odd number of cache lines
        self._prepare(bitmaps, span, direct=direct)

    def _prepare(self, bitmaps: Array, span: int, *, direct: bool) -> None:
        """List, chunk by chunk, the shifted bitmaps that are needed, and where to load them."""
        positions, digits = self.pattern.positions, bitmaps.shape[1]
        edges = np.arange(0, int(positions[-1]) + 1, span)
        cuts = [*np.searchsorted(positions, edges).tolist(), positions.size]
        chunks, copies, loads = [], [np.zeros((0, 2), dtype=np.int64)], []
        copied = added = 0
        self._rows = 1
        for edge, first, last in zip(edges.tolist(), cuts[:-1], cuts[1:], strict=True):
            if first == last:
                continue
            place, size = positions[first:last, None] - edge, last - first
            # Row 0 is zero: a group of sixteen is filled up with it.
            padded = -(-size // 16) * 16
            if direct:
                load = np.zeros((padded, digits, 2), dtype=np.int32)
                load[:size, :, 0] = (1 + bitmaps[first:last]) * (8 * self._words) + (place >> 6) * 8
                load[:size, :, 1] = place & 63
            else:
                order = np.argsort((place[:, 0] & 7).astype(np.uint8), kind="stable")
                place = place[order]
                row, which = distinct(
                    bitmaps[first:last][order] * 8 + (place & 7), 8 * self._tests[-1].size
                )
                load = np.zeros((padded, digits), dtype=np.int32)
                load[:size] = (1 + which) * (8 * self._words) + (place >> 3)
                copies.append(np.stack([row >> 3, row & 7], axis=1))
                self._rows = max(self._rows, 1 + row.size)
            chunks.append((edge, int(positions[last - 1]) - edge, copied, added))
            loads.append(load.ravel())
            copied += copies[-1].shape[0]
            added += padded
        self._chunks = np.array([*chunks, (0, 0, copied, added)], dtype=np.int64)
        self._copies = np.concatenate(copies)
        self._loads = np.concatenate(loads)

    def subtract(self, codes: Array, out: Array) -> None:
        """Subtract from ``out[i]`` the number of agreements at shift i."""
        self._count(codes, out, np.zeros(2, dtype=np.int64), ())

    def count_shared(self, codes: Array, out: Array, taken: Array) -> bool:
        """Write distances: tiles of shifts that no other thread has taken.

        `taken`, two zeros at first, counts the tiles taken and finished. The result tells whether
        all are finished, by all threads.
        """
        self._count(codes, out, taken, (self.pattern.size,))
        return bool(taken[1] * _TILE >= out.size)

    def _count(self, codes: Array, out: Array, taken: Array, total: tuple[Any, ...]) -> None:
        from lowapprox.hamming.kernels_bits import subtract_tiles

        out = out.view(f"u{out.itemsize}")
        subtract_tiles(*self._arguments(codes, out.itemsize), out.size, taken, total, out, ())

    def within(self, codes: Array, shifts: int, k: int, room: int) -> list[tuple[Array, Array]]:
        """Return the shifts with at most k mismatches, in order, and the distances there.

        They come in arrays of about `room` at most: few fresh pages of memory are written. `k` is
        smaller than the largest number of the narrowest dtype for the pattern.
        """
        from lowapprox.hamming.kernels_bits import subtract_tiles

        dtype, room, total = narrowest(self.pattern.span), max(room, _TILE), (self.pattern.size,)
        unsigned = np.dtype(f"u{dtype.itemsize}")
        arguments, distances = self._arguments(codes, dtype.itemsize), np.empty(_TILE, unsigned)
        taken, bound, found = np.zeros(2, dtype=np.int64), unsigned.type(k + 1), []
        while taken[0] * _TILE < shifts:
            places, values = np.empty(room, dtype=np.int64), np.empty(room, dtype=dtype)
            tile = places, values.view(unsigned), bound
            count = subtract_tiles(*arguments, shifts, taken, total, distances, tile)
            found.append((places[:count], values[:count]))
        return found

    def _arguments(self, codes: Array, itemsize: int) -> tuple[Any, Any, Any, Any]:
        """Return what the kernels take to count with these codes, for distances of some bytes."""
        from lowapprox.hamming.kernels_bits import COLUMN, mark

        tests, bitmap = self._tests, (self._tests[-1].size, self._words)
        levels = max(2, -(-self.pattern.size.bit_length() // 4))
        vector, lanes = COLUMN // 8, 64 // itemsize
        bitmaps, rows, carries, planes = _scratch(
            8 * math.prod(bitmap),
            8 * self._rows * self._words,
            (levels + 1) * 16 * vector,
            _TILE // COLUMN * 4 * levels * vector,
        )
        if codes.dtype == np.uint8:
            bitmaps = bitmaps.view(np.uint64).reshape(bitmap)
        else:
            bitmaps = np.empty((bitmap[0], codes.size // 64 + 2 * self._words | 8), dtype=np.uint64)
            mark(codes, 0, bitmaps.shape[1], tests, bitmaps)
            codes = none = np.empty(0, dtype=np.uint8)
            tests = tests[0], none, none, tests[3]
        rows = rows.view(np.uint64).reshape(self._rows, self._words)
        waiting, masks = np.empty(levels + 1, dtype=np.int64), planes.view(f"u{lanes // 8}")
        vectors = (0,) * lanes, (0,) * (COLUMN // lanes)
        plan = tests, self._chunks, self._copies, self._loads, _STEPS, self._form
        return codes, plan, (bitmaps, rows, carries, waiting, planes, masks), vectors


def _tests(
    letters: Array, index: Array, alphabet: Alphabet, digits: int
) -> tuple[tuple[Array, ...], Array]:
    """Return how bitmaps are found, and the bitmaps of each position: one for each digit.

    Bitmap b marks codes with ``code >> shift & mask == value`` for one of the tests between
    ``bounds[b]`` and ``bounds[b + 1]``; result: shifts, masks, values, bounds.
    """
    if digits == 1:
        return letter_tests(letters, alphabet), index[:, None]
    highest = int(np.iinfo(alphabet.dtype).max)
    tests: list[list[tuple[int, int, int]]] = []
    bitmaps = []
    width = -(-max(int(letters[-1]).bit_length(), 1) // digits)
    wild = [(0, highest, alphabet.wild)] * alphabet.wild_in_text
    for shift in range(0, digits * width, width):
        # The last digit is all that remains, so codes beyond the letters stay apart.
        mask = (1 << width) - 1 if shift < (digits - 1) * width else highest
        digit, which = distinct(letters >> shift & mask, 1 << width)
        bitmaps.append(len(tests) + which[index])
        tests += [[(shift, mask, x), *wild] for x in digit]
    flat = np.array([test for some in tests for test in some], dtype=np.int64)
    masks, values = flat[:, 1:].T.astype(alphabet.dtype)
    return (flat[:, 0], masks, values, np.cumsum([0, *map(len, tests)])), np.stack(bitmaps, axis=1)


def letter_tests(letters: Array, alphabet: Alphabet) -> tuple[Array, Array, Array, Array]:
    """Return how the bitmap of each letter is found: of the text codes that agree with it."""
    values, bounds = letters, np.arange(letters.size + 1)
    if alphabet.agree is not None or alphabet.wild_in_text:
        codes = [alphabet.codes_of(letter) for letter in letters.tolist()]
        values, bounds = np.concatenate(codes), np.cumsum([0, *map(len, codes)])
    values = values.astype(alphabet.dtype)
    masks = np.full_like(values, np.iinfo(alphabet.dtype).max)
    return np.zeros(values.size, dtype=np.int64), masks, values, bounds


def _scratch(*sizes: int) -> list[Array]:
    """Return arrays of so many bytes, multiples of 64, whose vectors lie in one cache line each.

    A thread gets the same memory again: the pages of new memory take as long as much counting.
    """
    size = sum(sizes) + 64
    whole: Array | None = getattr(_KEPT, "whole", None)
    if whole is None or whole.size < size:
        whole = np.empty(size, dtype=np.uint8)
        if size <= _MOST_KEPT:
            _KEPT.whole = whole
    start = -whole.__array_interface__["data"][0] % 64
    cuts = [start, *(start + cut for cut in accumulate(sizes))]
    return [whole[first:last] for first, last in pairwise(cuts)]


def distinct(values: Array, bound: int) -> tuple[Array, Array]:
    """Return the distinct ones of some integers below a bound, and the index of each."""
    seen = np.zeros(bound, dtype=bool)
    seen[values] = True
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[values]


def _digits(letters: int, alphabet: Alphabet) -> int:
    if alphabet.agree is not None or letters <= ONE_ROW:
        return 1
    return 2 if letters <= 1 << 14 else 3
