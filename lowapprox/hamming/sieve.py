"""A sieve: which shifts are within k, judged by a part of the pattern."""

from __future__ import annotations

import numpy as np

from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import Alphabet, Pattern
from lowapprox.hamming.bits import distinct, letter_tests
from lowapprox.hamming.problem import Problem

__all__ = ["Sieve", "bitmaps_of", "sieve_time"]

_BLOCK = 1 << 14  # shifts whose bitmaps are kept at a time, at least
_SPARE = 128  # shifts that may be left in any part of the text, however small

# Nanoseconds of one thread for each shift, as in `plan`.
_MARK = 0.013  # to find a code of one byte in the text
_GROUP = 0.022  # to add sixteen positions
_ONCE = 0.02


class Sieve:
    """Count a part of the pattern at every shift until too many mismatches are found.

    Parameters
    ----------
    part : Pattern
        The positions to count, not none.
    alphabet : Alphabet
    k : int
        At least 0.
    """

    __slots__ = ("_first", "_loads", "_needed", "_shape", "_tests", "part")

    def __init__(self, part: Pattern, alphabet: Alphabet, k: int) -> None:
        from lowapprox.hamming.kernels_sieve import GROUP

        self.part = part
        self._tests, bitmap = bitmaps_of(part, alphabet)
        self._first = int(part.positions[0])
        places, size = part.positions - self._first, part.size
        span = int(places[-1]) + 1
        block = max(_BLOCK, 1 << span.bit_length())
        self._shape = self._tests[-1].size, (block + span) // 64 + 2
        # The last group is filled up with the first bitmap, which is zero.
        self._loads = np.zeros((-(-size // GROUP) * GROUP, 2), dtype=np.int64)
        self._loads[:size, 0] = bitmap * self._shape[1] + (places >> 6)
        self._loads[:size, 1] = places & 63
        counted = np.minimum(np.arange(GROUP, size + GROUP, GROUP), size)
        self._needed = np.maximum(counted - k, 0)

    def left(self, codes: Array, shifts: int, share: float) -> tuple[Array, int]:
        """Return the shifts that are left, and how many were looked at.

        It stops where more than a share of them are left. The call releases the interpreter's
        lock.
        """
        from lowapprox.hamming.kernels_sieve import COLUMN, sieve

        bits = max(self.part.size.bit_length() - 4, 0)
        found = np.empty(int(min(share, 1.0) * shifts) + _SPARE + 2 * COLUMN, dtype=np.int64)
        count, seen = sieve(
            codes[self._first :],
            shifts,
            self._tests,
            self._loads,
            self._needed,
            int(self.part.positions[-1]) - self._first,
            share,
            _SPARE,
            np.zeros(self._shape, dtype=np.uint64),
            np.empty(8 * (bits + 1), dtype=np.uint64),
            found,
        )
        return found[:count], seen


def bitmaps_of(part: Pattern, alphabet: Alphabet) -> tuple[tuple[Array, ...], Array]:
    """Return what the bitmaps of the letters of a part are made of, and that of each position.

    The first bitmap has the number 1.
    """
    letters, index = distinct(part.letters, alphabet.kinds)
    return letter_tests(letters, alphabet), index + 1


def sieve_time(kinds: int, size: int, problem: Problem) -> float:
    """Return the nanoseconds of one thread for each shift, for a part of so many letters."""
    alphabet = problem.text.alphabet
    codes = 1.0 if alphabet.agree is None else float(alphabet.agree.mean()) * alphabet.codes
    mark = _MARK * float(alphabet.dtype.itemsize) * codes
    return _ONCE + mark * kinds + _GROUP * -(-size // 16)
