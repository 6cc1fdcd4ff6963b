"""Counting by definition, with NumPy alone: for tiny inputs, and what every method is held to."""

from __future__ import annotations

from dataclasses import dataclass

from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import Alphabet, Pattern

__all__ = ["NaiveCounter"]


@dataclass(frozen=True, slots=True, eq=False)
class NaiveCounter:
    """One pass over the shifts for each pattern position: O(n m)."""

    pattern: Pattern
    alphabet: Alphabet

    def subtract(self, codes: Array, out: Array) -> None:
        """Subtract from ``out[i]`` the number of agreements at shift i."""
        table = None if self.alphabet.agree is None else self.alphabet.agreement()
        wild = self.alphabet.wild if self.alphabet.wild_in_text else None
        pairs = zip(self.pattern.positions.tolist(), self.pattern.letters.tolist(), strict=True)
        for position, letter in pairs:
            window = codes[position : position + out.size]
            if table is not None:
                out -= table[letter][window]
            else:
                out -= window == letter
                if wild is not None:
                    out -= window == wild
