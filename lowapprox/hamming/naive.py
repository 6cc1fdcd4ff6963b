"""Counting by definition, with NumPy alone: for tiny inputs, and what every method is held to."""

from __future__ import annotations

from collections.abc import Callable
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
        agree = self._agree()
        if out.size < positions.size:
            for i in range(out.size):
                out[i] -= np.count_nonzero(agree(codes[i:][positions], letters))
        elif (real := self._real(codes)).size < positions.size:  # as in a padded text
            out -= positions.size
            for place in real.tolist():
                met = (positions <= place) & (place - positions < out.size)
                out[place - positions[met]] += ~agree(codes[place], letters[met])
        else:
            for position, letter in zip(positions.tolist(), letters.tolist(), strict=True):
                out -= agree(codes[position : position + out.size], letter)

    def _real(self, codes: Array) -> Array:
        """Return the places of letters that can mismatch."""
        if not self.alphabet.wild_in_text:
            return np.arange(codes.size)
        return np.flatnonzero(codes != self.alphabet.wild)

    def _agree(self) -> Callable[[Array, Any], Array]:
        """Return what tells whether text codes agree with pattern letters."""
        alphabet = self.alphabet
        if alphabet.agree is not None:
            table = alphabet.agreement()
            return lambda codes, letters: table[letters, codes]
        if alphabet.wild_in_text:
            return lambda codes, letters: (codes == letters) | (codes == alphabet.wild)
        return np.equal
