"""Counting by comparing vectors of text codes: for short patterns of many letters."""

from __future__ import annotations

import numpy as np

from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import Alphabet, Pattern

__all__ = ["ByteCounter"]

_VECTOR = 64  # bytes


class ByteCounter:
    """Compare 64 bytes of codes at a time with a pattern letter: O(n m / 64) vector steps.

    The time does not depend on the number of letters. The letters have to agree only if equal:
    ``alphabet.agree`` is None.

    Parameters
    ----------
    pattern : Pattern
    alphabet : Alphabet
    """

    __slots__ = ("_letters", "_wild", "pattern")

    def __init__(self, pattern: Pattern, alphabet: Alphabet) -> None:
        if alphabet.agree is not None:
            raise AssertionError("letters with classes are counted by other methods")
        self.pattern = pattern
        self._letters = pattern.letters.astype(alphabet.dtype)
        self._wild = (alphabet.dtype.type(alphabet.wild),) if alphabet.wild_in_text else ()

    def subtract(self, codes: Array, out: Array) -> None:
        """Subtract from ``out[i]`` the number of agreements at shift i."""
        from lowapprox.hamming.kernels_byte import compare

        limit = min(int(np.iinfo(codes.dtype).max), 1 << 30)
        lanes = (0,) * (_VECTOR // codes.itemsize)
        signed = out.view(f"i{out.itemsize}")  # which is the same modulo the width
        compare(codes, self.pattern.positions, self._letters, self._wild, limit, lanes, signed)
