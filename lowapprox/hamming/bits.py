"""Bit-sliced counting: see the kernels. The workhorse for every pattern that is not very long."""

from __future__ import annotations

import numpy as np

from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import Alphabet, Pattern

__all__ = ["BitsCounter"]

_BLOCK = 1 << 13  # shifts whose counters are kept at a time
_CHUNK = 1 << 14  # pattern positions whose rows are kept at a time, at most
_ROWS = 1 << 20  # bytes of rows that stay in the second cache
_ONE_ROW = 30  # letters: beyond, two digits with a row for each value are faster


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

    __slots__ = ("_chunks", "_digits", "_offsets", "_rows", "_shifted", "_tests", "pattern")

    def __init__(self, pattern: Pattern, alphabet: Alphabet, *, digits: int | None = None) -> None:
        self.pattern = pattern
        letters, index = _distinct(pattern.letters, alphabet.kinds)
        if digits is None:
            digits = _digits(letters.size, alphabet)
        self._digits, highest = (0,) * digits, int(np.iinfo(alphabet.dtype).max)
        tests: list[list[tuple[int, int, int]]] = []  # for each bitmap: shift, mask and value
        bitmaps = []
        if digits == 1:
            tests = [[(0, highest, x) for x in alphabet.codes_of(letter)] for letter in letters]
            bitmaps = [index]
        else:
            width = -(-max(int(letters[-1]).bit_length(), 1) // digits)
            wild = [(0, highest, alphabet.wild)] * alphabet.wild_in_text
            for shift in range(0, digits * width, width):
                # The last digit is all that remains, so codes beyond the letters stay apart.
                mask = (1 << width) - 1 if shift < (digits - 1) * width else highest
                digit, which = _distinct(letters >> shift & mask, 1 << width)
                bitmaps.append(len(tests) + which[index])
                tests += [[(shift, mask, x), *wild] for x in digit]
        flat = np.array([test for some in tests for test in some], dtype=np.int64)
        masks, values = flat[:, 1:].T.astype(alphabet.dtype)
        self._tests = flat[:, 0], masks, values, np.cumsum([0, *map(len, tests)])
        self._prepare(np.stack(bitmaps, axis=1))

    def _prepare(self, bitmaps: Array) -> None:
        """List, chunk by chunk, the shifted bitmaps that are needed, and where to load them."""
        positions, digits = self.pattern.positions, bitmaps.shape[1]
        count = int(bitmaps.max()) + 1
        span = min(max(_ROWS // count - _BLOCK, _CHUNK // 8), _CHUNK, self.pattern.span)
        span = -(-span // 64) * 64
        words = (_BLOCK + span) // 512 * 8 + 16 | 8  # an odd number of cache lines
        edges = np.arange(0, int(positions[-1]) + 1, span)
        cuts = np.append(np.searchsorted(positions, edges), positions.size)
        chunks, rows, offsets = [], [], []
        shifted = added = 0
        for edge, first, last in zip(edges, cuts[:-1], cuts[1:], strict=True):
            if first == last:
                continue
            place = positions[first:last] - edge
            bits = (place & 7).astype(np.uint8)
            order = np.argsort(bits, kind="stable")
            row, which = _distinct(bitmaps[first:last] * 8 + bits[:, None], 8 * count)
            # The first row is zero: a group of sixteen is filled up with it.
            loads = np.zeros((-(-place.size // 16) * 16, digits), dtype=np.int32)
            loads[: place.size] = (1 + which) * (8 * words) + (place >> 3)[:, None]
            loads[: place.size] = loads[order]
            chunks.append([edge // 64, place[-1], shifted, added])
            rows.append(np.stack([row >> 3, row & 7], axis=1))
            offsets.append(loads.ravel())
            shifted += row.size
            added += loads.shape[0]
        chunks.append([0, 0, shifted, added])
        self._chunks = np.array(chunks, dtype=np.int64)
        self._rows = 1 + max(map(len, rows)), words
        self._shifted = np.concatenate(rows)
        self._offsets = np.concatenate(offsets)

    def subtract(self, codes: Array, out: Array) -> None:
        """Subtract from ``out[i]`` the number of agreements at shift i."""
        from lowapprox.hamming.kernels_bits import COLUMN, count_rows, mark, subtract

        size = self.pattern.size
        levels = -(-size.bit_length() // 4)
        columns = -(-out.size // COLUMN)
        words = columns * (COLUMN // 64) + -(-self.pattern.span // 64) + 24
        vector = COLUMN // 8
        bitmaps = np.empty((self._tests[-1].size - 1, words // 8 * 8 | 8), dtype=np.uint64)
        mark(codes, *self._tests, bitmaps)
        planes = np.empty(columns * 4 * levels * vector, dtype=np.uint8)
        count_rows(
            bitmaps,
            self._chunks,
            self._shifted,
            self._offsets,
            self._digits,
            np.empty(self._rows, dtype=np.uint64),
            np.empty((levels + 1) * 16 * vector, dtype=np.uint8),
            np.empty(levels + 1, dtype=np.int64),
            np.arange(16, dtype=np.int32) * vector,
            _BLOCK // COLUMN,
            planes,
        )
        lanes = 64 // out.itemsize
        subtract(planes.view(f"u{lanes // 8}"), 4 * levels, size.bit_length(), (0,) * lanes, out)


def _distinct(values: Array, bound: int) -> tuple[Array, Array]:
    """Return the distinct ones of some integers below a bound, and the index of each."""
    seen = np.zeros(bound, dtype=bool)
    seen[values] = True
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[values]


def _digits(letters: int, alphabet: Alphabet) -> int:
    if alphabet.agree is not None or letters <= _ONE_ROW:
        return 1
    return 2 if letters <= 1 << 14 else 3
