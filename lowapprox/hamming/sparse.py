"""Bit-sliced counting of letters that are not frequent: see the kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import Alphabet, Pattern
from lowapprox.hamming.sieve import bitmaps_of

__all__ = ["SparseBitsCounter"]

_TILE = 32  # columns whose counters are kept at a time
_CHUNK = 1920  # positions: their part of the bitmaps stays in the nearest cache
_SPAN = 1 << 17  # pattern places whose bitmaps are kept at a time
_BLOCK = 1 << 16  # shifts of bitmaps, at least


class SparseBitsCounter:
    """Count the agreements of all shifts by adding bitmaps, one for each letter.

    Parameters
    ----------
    pattern : Pattern
    alphabet : Alphabet
    """

    __slots__ = ("_parts", "pattern")

    def __init__(self, pattern: Pattern, alphabet: Alphabet) -> None:
        self.pattern = pattern
        places = pattern.positions // _SPAN
        cuts = np.flatnonzero(np.diff(places, prepend=-1)).tolist()
        pieces = [slice(*ends) for ends in zip(cuts, [*cuts[1:], pattern.size], strict=True)]
        self._parts = [_Part.of(pattern.take(piece), alphabet) for piece in pieces]

    def subtract(self, codes: Array, out: Array) -> None:
        """Subtract from ``out[i]`` the number of agreements at shift i."""
        for part in self._parts:
            part.subtract(codes, out)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Positions that are counted with the same bitmaps."""

    first: int
    reach: int
    tests: tuple[Array, ...]
    runs: Array
    offsets: Array
    words: int  # of a bitmap
    used: int  # bits of a count

    @classmethod
    def of(cls, part: Pattern, alphabet: Alphabet) -> _Part:
        from lowapprox.hamming.kernels_sparse import COLUMN, PLANES, RUN

        first = int(part.positions[0])
        places, reach = part.positions - first, int(part.positions[-1]) - first
        tests, bitmap = bitmaps_of(part, alphabet)
        block = max(_BLOCK, 1 << (2 * reach).bit_length())
        words = (block + reach + 3 * COLUMN) // COLUMN * 8 + 8 | 8  # an odd number of cache lines
        # Runs of positions with the same last three bits, cut where they are long.
        group = np.arange(part.size) // _CHUNK * 8 + (places & 7)
        few = group.astype(np.min_scalar_type(int(group[-1]) | 7))  # quickly sorted
        order = np.argsort(few, kind="stable")
        group = group[order]
        new = np.diff(group, prepend=-1) != 0
        begins = np.flatnonzero(new)
        rank = np.arange(part.size) - begins[np.cumsum(new) - 1]
        run = np.cumsum(rank % RUN == 0) - 1
        lengths = np.bincount(run)
        # Each is filled up to a multiple of sixteen with the first bitmap, which is zero.
        ends = np.cumsum(-(-lengths // 16) * 16)
        starts = np.append(0, ends[:-1])
        offsets = np.zeros(int(ends[-1]), dtype=np.int64)
        at = starts[run] + rank % RUN
        offsets[at] = 8 * words * bitmap[order] + (places[order] >> 3)
        bits = group[rank % RUN == 0] & 7
        runs = np.stack([starts, ends, bits], axis=1).astype(np.int64)
        used = max(part.size.bit_length(), PLANES)
        return cls(first, reach, tests, runs, offsets, words, used)

    def subtract(self, codes: Array, out: Array) -> None:
        from lowapprox.hamming.kernels_sparse import PLANES, subtract_sparse

        planes = np.empty(8 * self.used * _TILE, dtype=np.uint64)
        lanes = 64 // out.itemsize
        subtract_sparse(
            codes[self.first :],
            self.tests,
            self.runs,
            self.offsets,
            self.reach,
            np.zeros((self.tests[-1].size, self.words), dtype=np.uint64),
            np.zeros(8 * (_TILE + 2) * PLANES, dtype=np.uint64),
            planes,
            _TILE,
            (0,) * lanes,
            planes.view(f"u{lanes // 8}"),
            out.view(f"u{out.itemsize}"),  # which is the same modulo the width
        )
