"""Counting the mismatches of chosen shifts, one by one: for those that a filter leaves over."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import Alphabet, Pattern

__all__ = ["Verifier", "verify_time"]

_LANES = (0,) * 64


class Verifier:
    """A pattern prepared for single shifts: O(m) each, or less where a limit is soon passed.

    Parameters
    ----------
    pattern : Pattern
    alphabet : Alphabet
    """

    __slots__ = ("_arguments", "_table", "pattern")

    def __init__(self, pattern: Pattern, alphabet: Alphabet) -> None:
        self.pattern = pattern
        self._arguments: tuple[Any, ...]
        if alphabet.agree is not None:
            self._table = True
            self._arguments = (pattern.positions, pattern.letters, alphabet.agreement())
            return
        self._table = False
        letters = np.zeros(pattern.span, dtype=alphabet.dtype)
        letters[pattern.positions] = pattern.letters
        counted = np.zeros(-(-(pattern.span + 1) // 64) * 64, dtype=np.uint8)
        counted[pattern.positions] = 1
        words = np.packbits(counted, bitorder="little").view("<u8").astype(np.uint64)
        wild = alphabet.wild if alphabet.wild_in_text else 0
        wilds = np.uint64(2**64 - 1 if alphabet.wild_in_text else 0)
        self._arguments = (letters, words, alphabet.dtype.type(wild), wilds, _LANES)

    def count(self, codes: Array, starts: Array, limit: int | None = None) -> Array:
        """Return the mismatches at each of the starts in `codes`.

        Counts beyond `limit` are ``limit + 1``. The call releases the interpreter's lock.
        """
        from lowapprox.hamming.kernels_verify import count_in_table, count_unequal

        out = np.empty(starts.size, dtype=np.int64)
        limit = self.pattern.size if limit is None else limit
        count: Any = count_in_table if self._table else count_unequal
        count(codes, starts, *self._arguments, limit, out)
        return out


def verify_time(letters: Any) -> Any:
    """Return the nanoseconds to look at a shift, of which so many letters are compared."""
    return 45.0 + 0.02 * letters
