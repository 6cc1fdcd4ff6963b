"""Counting by Fourier transforms in single precision, exact by a proved bound on the rounding."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np

from lowapprox._core.typing import Array
from lowapprox.hamming.alphabet import Alphabet, Pattern
from lowapprox.hamming.guard import LIMIT, error_bound

__all__ = ["FFTCounter"]

LANES = (0,) * 16
_BAD = 0x80  # marks text codes that characters cannot treat
_APART = 32  # numbers between two rows of spectra, which would else meet in cache
_MOST_SIGNALS = 8  # one bit of a mark for each
_SCRATCH = 24 << 20  # bytes for the spectra of the text, in each thread
_MOST_KEPT = 256 << 20  # bytes for the spectra of the pattern


@dataclass(frozen=True, eq=False)
class FFTCounter:
    """Correlations of text and pattern, summed over letters before the inverse transform.

    Text blocks and pattern chunks are half a transform long (uniformly partitioned convolution),
    so that transforms stay in cache. Where the text has no other letters, two letters become one
    character of a group with values +-1, and four become three.
    """

    pattern: Pattern
    _partition: _Partition
    _texts: Sequence[Array]  # text codes that agree with each letter of the pattern
    _codes: int

    @classmethod
    def prepare(cls, pattern: Pattern, alphabet: Alphabet, size: int | None = None) -> FFTCounter:
        """Transform the pattern, in pieces of `size` = 4^p numbers, 256 to 16384."""
        if size is None:
            size = 4096 if pattern.span <= 12_000 else 16384
        used = np.bincount(pattern.letters, minlength=alphabet.kinds) > 0
        texts = [alphabet.codes_of(letter) for letter in np.flatnonzero(used).tolist()]
        letters = (np.cumsum(used) - 1)[pattern.letters]
        partition = _Partition.of(pattern, letters, size)
        counter = cls(pattern, partition, texts, alphabet.codes + 2)
        if counter._characters is None and counter._kept:
            counter._indicators  # noqa: B018  before there are threads
        return counter

    @property
    def _kept(self) -> bool:
        """Whether the spectra of all letters are kept, or made again for each block."""
        cut = self._partition
        return 8 * cut.size * cut.chunks * len(self._texts) <= _MOST_KEPT

    @cached_property
    def _characters(self) -> _Correlation | None:
        possible = len(self._texts) in (2, 4)
        return _characters(self._partition, self._texts, self._codes) if possible else None

    @cached_property
    def _indicators(self) -> Sequence[_Correlation]:
        return list(self._batches())

    def _batches(self) -> Iterator[_Correlation]:
        letters = range(len(self._texts))
        batches = max(1, math.ceil(len(letters) / _MOST_SIGNALS))
        size = max(1, math.ceil(len(letters) / batches))
        for first in range(0, len(letters), size):
            chosen = letters[first : first + size]
            yield _indicators(self._partition, self._texts, self._codes, chosen)

    def subtract(self, codes: Array, out: Array) -> None:
        """Subtract from ``out[i]`` the number of agreements at shift i."""
        if self._characters is None or not self._characters.subtract(codes, out):
            for batch in self._indicators if self._kept else self._batches():
                batch.subtract(codes, out)


@dataclass(frozen=True, slots=True, eq=False)
class _Partition:
    """How text and pattern are cut: blocks of `step` shifts, and chunks of the pattern."""

    size: int
    step: int
    chunks: int
    places: Array  # of the pattern positions in their chunks, in order
    letters: Array
    bounds: Array  # of the positions of each chunk

    @classmethod
    def of(cls, pattern: Pattern, letters: Array, size: int) -> _Partition:
        half = size // 2
        single = pattern.span <= half
        step = size - pattern.span + 1 if single else half
        chunks = 1 if single else -(-pattern.span // half)
        bounds = np.searchsorted(pattern.positions, half * np.arange(chunks + 1))
        return cls(size, step, chunks, pattern.positions % half, letters, bounds)

    def counts(self, letter: int) -> Array:
        """Return how often each chunk has a letter."""
        return np.diff(np.append(0, np.cumsum(self.letters == letter))[self.bounds])

    def spectra(self, values: Array) -> Array:
        """Transform pattern signals, given by their values for each letter: one row a signal.

        In double precision, and rounded once. Result: tiles, chunks, signals, numbers.
        """
        from lowapprox._core.threads import run_blocks
        from lowapprox.hamming.kernels_fft import TILE, pattern_spectra

        tiles = self.size // TILE
        spectra = _aligned((tiles, self.chunks, values.shape[0], 2 * TILE))
        _, factors = _factors(self.size)

        def work(chunk: int) -> None:
            inside = slice(*self.bounds[chunk : chunk + 2])
            z, out = np.empty((2, 2 * self.size))
            places, letters = self.places[inside], self.letters[inside]
            for signal, row in enumerate(values):
                to = spectra[:, chunk, signal]
                pattern_spectra(places, letters, row, factors, z, out, to, LANES)

        run_blocks(work, self.chunks)
        return spectra.reshape(-1)

    def groups(self, norms: Array, signals: int, counts: Array | None, scale: int) -> list[int]:
        """Return bounds of runs of chunks that may be rounded together.

        `norms` bounds the products of norms of each chunk; `counts` are what the sums are shifted
        by in the end, and everything is divided by `scale`.
        """
        bounds = [0]
        for end in range(1, self.chunks + 1):
            run = slice(bounds[-1], end)
            largest = 0.0 if counts is None else float(counts[run].sum())
            total = float(norms[run].sum()) / scale
            if error_bound(self.size, total, signals, end - bounds[-1], largest) >= LIMIT:
                bounds.append(end - 1)
        return [*bounds, self.chunks]


@dataclass(frozen=True, slots=True, eq=False)
class _Correlation:
    """Signals of the text, and what they are multiplied by."""

    partition: _Partition
    table: Array  # one bit for each signal, for each text code
    forbidden: int
    bits: Array
    values: tuple[Any, Any]  # of a text signal where the bit is not set, and where it is
    groups: Array
    offsets: Array
    scale: Any
    spectra: Array
    _scratch: threading.local = field(default_factory=threading.local)

    def subtract(self, codes: Array, out: Array) -> bool:
        """Subtract the agreements; False if the text has codes that are forbidden."""
        from lowapprox.hamming.kernels_fft import correlate, look_up

        cut = self.partition
        half = (out.size + 1) // 2
        blocks = -(-half // cut.step)
        marks = np.zeros(half + (blocks + cut.chunks - 2) * cut.step + cut.size, dtype=np.uint8)
        if look_up(codes, self.table, marks) & self.forbidden:
            return False
        correlate(
            marks,
            self.bits,
            *self.values,
            cut.step,
            self.groups,
            self.offsets,
            self.scale,
            _factors(cut.size)[0],
            self.spectra,
            *self._buffers(),
            out.view(f"i{out.itemsize}"),  # which is the same modulo the width
            LANES,
        )
        return True

    def _buffers(self) -> tuple[Array, Array, Array]:
        """Return scratch of the calling thread: new pages cost as much as the transforms."""
        local, cut = self._scratch, self.partition
        if not hasattr(local, "buffers"):
            signals, chunks = self.bits.size, cut.chunks
            fit = _SCRATCH // (8 * signals * cut.size) - chunks + 1
            together = max(4, min(fit, max(8, chunks)) // 4 * 4)
            rows = (together + chunks - 1) * signals
            z, spectra = _aligned((2 * cut.size,)), _aligned((rows, 2 * cut.size + _APART))
            local.buffers = z, spectra, _aligned((together, 2 * cut.size))
        return local.buffers  # type: ignore[no-any-return]


def _indicators(
    cut: _Partition, texts: Sequence[Array], codes: int, chosen: Sequence[int]
) -> _Correlation:
    """Correlate one 0-1 signal for each of the chosen letters."""
    table = np.zeros(codes, dtype=np.uint8)
    shared = np.zeros(codes, dtype=np.int64)
    values = np.zeros((len(chosen), len(texts)))
    for bit, letter in enumerate(chosen):
        table[texts[letter]] |= 1 << bit
        shared[texts[letter]] += 1
        values[bit, letter] = 1
    roots = np.sqrt([cut.counts(letter) for letter in chosen])
    # A text place belongs to `shared` letters at most, and there are two streams.
    norms = np.minimum(
        np.sqrt(shared.max() * np.square(roots).sum(axis=0)), roots.sum(axis=0)
    ) * math.sqrt(2 * cut.size)
    groups = cut.groups(norms, len(chosen), None, 1)
    offsets = np.zeros(len(groups) - 1)
    return _correlation(cut, table, 0, (0, 1), values, groups, offsets, 1)


def _characters(cut: _Partition, texts: Sequence[Array], codes: int) -> _Correlation:
    """Correlate the characters of a group with as many elements as there are letters.

    Over all characters but the constant one, the sum of products is the number of letters - 1 for
    equal letters, and -1 for different ones.
    """
    order = len(texts)
    table = np.zeros(codes, dtype=np.uint8)
    owners = np.zeros(codes, dtype=np.int64)
    # Character v has the sign (-1)^(parity of v & letter).
    signs = np.array([[(v & x).bit_count() % 2 for x in range(order)] for v in range(1, order)])
    for letter, text in enumerate(texts):
        table[text] = np.packbits(signs[:, letter], bitorder="little")[0]
        owners[text] += 1
    table[owners != 1] = _BAD
    counts = np.diff(cut.bounds)
    norms = (order - 1) * np.sqrt(2.0 * cut.size * counts)
    groups = cut.groups(norms, order - 1, counts, order)
    offsets = np.add.reduceat(counts, groups[:-1]) / order
    return _correlation(cut, table, _BAD, (1, -1), 1.0 - 2.0 * signs, groups, offsets, order)


def _correlation(
    cut: _Partition,
    table: Array,
    forbidden: int,
    low_high: tuple[int, int],
    values: Array,
    groups: Sequence[int],
    offsets: Array,
    divisor: int,
) -> _Correlation:
    return _Correlation(
        cut,
        table,
        forbidden,
        np.left_shift(1, np.arange(values.shape[0])).astype(np.uint8),
        (np.float32(low_high[0]), np.float32(low_high[1])),
        np.array(groups, dtype=np.int64),
        offsets.astype(np.float32),
        np.float32(1.0 / (cut.size * divisor)),
        cut.spectra(values),
    )


@cache
def _factors(size: int) -> tuple[Array, Array]:
    """Return the twiddle factors of a transform in order, in single and in double precision.

    For each step and each vector: three factors, real parts and imaginary parts.
    """
    parts = []
    length = size
    while length >= 16:
        turns = np.arange(length // 4)[:, None] * (1, 2, 3)
        if length == 16:  # these last two steps run over transposed vectors
            turns = np.repeat(turns, 16, axis=0)
        factors = _roots(turns, length).reshape(-1, 16, 3)
        parts.append(np.stack([factors.real, factors.imag], axis=3).transpose(0, 2, 3, 1).ravel())
        length //= 4
    double = np.concatenate(parts)
    single = _aligned(double.shape)
    single[...] = double
    return single, double


def _roots(turns: Array, length: int) -> Array:
    """Return exp(-2 pi i turns / length) from angles up to pi / 4, for a power of two."""
    quarters, rest = np.divmod(turns + length // 8, length // 4)
    angles = 2 * np.pi / length * (rest - length // 8)
    powers = np.array([1, -1j, -1, 1j])[quarters % 4]
    return (np.cos(angles) - 1j * np.sin(angles)) * powers


def _aligned(shape: tuple[int, ...]) -> Array:
    """Return zeros whose vectors do not straddle cache lines."""
    size = 4 * math.prod(shape)
    whole = np.zeros(size + 64, dtype=np.uint8)
    start = -whole.ctypes.data % 64
    return whole[start : start + size].view(np.float32).reshape(shape)
