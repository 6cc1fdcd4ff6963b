"""A text as codes, in pieces, with what surrounds it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowapprox._core.memory import as_writeable
from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import Alphabet
from lowapprox.hamming.letters import Letters

__all__ = ["CodedBlock", "CodedText", "shifts_of"]

_FEW = 1 << 22  # letters that may be copied


@dataclass(frozen=True, slots=True, eq=False)
class CodedText:
    """The text that all shifts of a pattern meet: what lies outside is wild, or comes round again.

    Attributes
    ----------
    letters : Letters
    alphabet : Alphabet
    lead : int
        Number of places in front of the text.
    cyclic : bool
        The text repeats for ever.
    """

    letters: Letters
    alphabet: Alphabet
    lead: int = 0
    cyclic: bool = False

    def codes(self, start: int, stop: int, *, compiled: bool = True) -> Array:
        """Return the codes of places `start` to `stop`, counted from the first one in front.

        They may be the letters themselves, so nothing may be written there.
        """
        n = len(self.letters)
        if self.cyclic and stop - start > n:
            whole = self.codes(0, n, compiled=compiled)
            return whole[np.arange(start, stop) % n]
        if self.alphabet.plain and self.lead <= start and stop <= n + self.lead:
            return as_writeable(self.letters.raw(start - self.lead, stop - self.lead))
        out = np.empty(stop - start, dtype=self.alphabet.dtype)
        place = start - self.lead
        stop -= self.lead
        filled = 0
        while place < stop:
            if self.cyclic:
                inside = place % n
                size = min(stop - place, n - inside)
            elif 0 <= place < n:
                inside, size = place, min(stop, n) - place
            else:
                inside, size = -1, (min(stop, 0) if place < 0 else stop) - place
            piece = out[filled : filled + size]
            if inside < 0:
                piece[...] = self.alphabet.wild
            else:
                raw = self.letters.raw(inside, inside + size)
                self.alphabet.encode(raw, piece, compiled=compiled)
            place += size
            filled += size
        return out

    def held(self, start: int, stop: int) -> Array | None:
        """Return the codes of these places if they are in memory, or few and quickly copied."""
        start, stop = start - self.lead, stop - self.lead
        if not self.alphabet.plain or start < 0 or stop > len(self.letters):
            return None
        if stop - start > _FEW and not self.letters.are_bytes:
            return None
        return as_writeable(self.letters.raw(start, stop))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CodedBlock(CodedText):
    """A part of a text whose codes are there already.

    Attributes
    ----------
    block : ndarray
        The codes.
    """

    block: Array

    def codes(self, start: int, stop: int, *, compiled: bool = True) -> Array:  # noqa: ARG002
        """Return the codes of places `start` to `stop`, without a copy."""
        return self.block[start:stop]

    def held(self, start: int, stop: int) -> Array | None:
        """Return the codes of these places."""
        return self.block[start:stop]


def shifts_of(mode: str, n: int, m: int) -> tuple[int, int]:
    """Return the number of shifts, and how many places lie in front of the text.

    An empty pattern fits between any two letters, in the modes that do not wrap around.
    """
    if mode == "cyclic":
        return n, 0
    if mode == "full" and m > 0:
        return n + m - 1, m - 1
    return max(n - m + 1, 0), 0
