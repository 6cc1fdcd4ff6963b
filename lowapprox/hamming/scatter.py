"""Counting by occurrences: each text letter meets the pattern positions that hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import Alphabet, Pattern

__all__ = ["ScatterCounter"]


@dataclass(frozen=True, slots=True, eq=False)
class ScatterCounter:
    """One increment for each pair of equal letters: cheap for letters that are rare in the text.

    The light case of Abrahamson (1987): the work is the sum over letters of their number in the
    text times their number in the pattern.
    """

    pattern: Pattern
    _starts: Array
    _places: Array

    @classmethod
    def prepare(cls, pattern: Pattern, alphabet: Alphabet) -> ScatterCounter:
        """List, for each text code, the pattern positions that agree with it, increasing."""
        letters = pattern.letters.astype(np.min_scalar_type(alphabet.kinds))  # quickly sorted
        order = np.argsort(letters, kind="stable")
        places = pattern.positions[order]
        counts = np.bincount(pattern.letters, minlength=alphabet.kinds)
        if alphabet.agree is not None:
            held = np.split(places, np.cumsum(counts)[:-1])
            lists: list[Any] = [
                np.sort(np.concatenate([*(held[p] for p in np.flatnonzero(agree)), places[:0]]))
                for agree in alphabet.agree.T
            ]
            places, counts = np.concatenate(lists), np.array([x.size for x in lists])
        everywhere = pattern.positions if alphabet.wild_in_text else places[:0]
        ends = np.cumsum(np.concatenate([[0], counts, [0, everywhere.size]]))  # other, then wild
        places = np.concatenate([places, everywhere])
        largest = max(int(ends[-1]), pattern.span)
        dtype = np.dtype(np.uint32 if largest < 1 << 32 else np.uint64)
        return cls(pattern, ends.astype(dtype), places.astype(dtype))

    def subtract(self, codes: Array, out: Array) -> None:
        """Subtract from ``out[i]`` the number of agreements at shift i."""
        from lowapprox.hamming.kernels_scatter import scatter

        signed = out.view(f"i{out.itemsize}")  # which is the same modulo the width
        scatter(codes, self._starts, self._places, self.pattern.span, signed)
