"""Counting by definition, with NumPy alone: for tiny inputs, and what every method is held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import Alphabet, Pattern

__all__ = ["NaiveCounter"]


@dataclass(frozen=True, slots=True, eq=False)
class NaiveCounter:
    """Compare every pair of letters: O(n m), in passes over whichever is longer."""

    pattern: Pattern
    alphabet: Alphabet

    def subtract(self, codes: Array, out: Array) -> None:
        """Subtract from ``out[i]`` the number of agreements at shift i."""
        positions, letters = self.pattern.positions, self.pattern.letters
        if out.size < positions.size:
            for i in range(out.size):
                out[i] -= np.count_nonzero(self._agree(codes[i:][positions], letters))
        else:
            for position, letter in zip(positions.tolist(), letters.tolist(), strict=True):
                out -= self._agree(codes[position : position + out.size], letter)

    def _agree(self, codes: Array, letters: Any) -> Array:
        if self.alphabet.agree is not None:
            return self.alphabet.agreement()[letters, codes]
        same = codes == letters
        return same | (codes == self.alphabet.wild) if self.alphabet.wild_in_text else same
