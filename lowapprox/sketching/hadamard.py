"""Subsampled randomized Hadamard transform, block by block."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.checks import checked_int
from lowapprox._core.errors import InputError
from lowapprox._core.typing import RNGInput
from lowapprox.sketching._hash import signs, subkey, words
from lowapprox.sketching.operators import NDArray, SketchOperator

__all__ = ["SRHT"]

_SMALLEST_BLOCK, _LARGEST_BLOCK = 1024, 4096


class SRHT(SketchOperator):
    """Block subsampled randomized Hadamard transform.

    The rows of the input are taken in blocks of `block` consecutive ones. Each block gets random
    signs, a permutation and a Hadamard transform, of which m rows are kept, each with a further
    random sign of its own for this block; the sums over the blocks are the rows of the result.

    Parameters
    ----------
    m, n : int
        Shape: the operator maps n rows to m.
    block : int, optional
        Rows in a block, a power of two of at most 65536. By default the power of two next to
        m, between 1024 and 4096. Where m is larger, independent transforms are stacked.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Source of the key; a Generator is advanced once.
    dtype : dtype, default float64
        Precision of the explicit entries. The entries are real in any case, which is enough for
        complex data.

    Raises
    ------
    InputError
        If `block` is not a power of two, or `m` or `n` is negative.
    InputTypeError
        If `dtype` is not float32, float64, complex64 or complex128.

    Notes
    -----
    All entries are ``+-1/sqrt(m)``. Costs ``n k (log2(block) + m/block)`` additions for a dense
    matrix of k columns, in one pass and without padding; explicit slabs are multiplied with sparse
    matrices. A partial product that starts or ends within a block costs as much as with the whole
    block.

    Without the permutation, an input that lives on few consecutive rows meets only a few distinct
    rows of the Hadamard matrix; without the signs for each block, the same happens to an input
    that lives on equally spaced rows.

    References
    ----------
    .. [1] Balabanov, Beaupere, Grigori, Lederer (2023), "Block subsampled randomized Hadamard
       transform for low-rank approximation on distributed architectures", arXiv:2210.11295.
    .. [2] Tropp (2011), "Improved analysis of the subsampled randomized Hadamard transform",
       arXiv:1011.1595.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.sketching import SRHT
    >>> S = SRHT(100, 5000, rng=0)
    >>> x = np.ones(5000)
    >>> bool(abs(np.linalg.norm(S @ x) / np.linalg.norm(x) - 1) < 0.3)
    True
    """

    block: int
    _parameters = ("block",)

    def __init__(
        self,
        m: int,
        n: int,
        *,
        block: int | None = None,
        rng: RNGInput = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(m, n, rng=rng, dtype=dtype)
        if block is None:
            power = 1 << max(self.shape[0] - 1, 0).bit_length()
            block = min(max(power, _SMALLEST_BLOCK), _LARGEST_BLOCK)
        self.block = checked_int(block, "block", 1, 1 << 16)
        if self.block & (self.block - 1):
            raise InputError(f"`block` must be a power of two in [1, 65536], got {self.block}")
        self._granule = self.block

    def _scale(self) -> float:
        return float(self.shape[0] ** -0.5)

    def _copies(self) -> list[_BlockTransform]:
        """Return the stacked transforms, each with at most as many rows as a block has."""
        m, r = self.shape[0], self.block
        return [
            _BlockTransform(slice(t, min(t + r, m)), r, subkey(self.key, t // r))
            for t in range(0, m, r)
        ]

    def _entries(self, i0: int, i1: int) -> NDArray:
        slab = np.empty((self.shape[0], i1 - i0))
        for part in self._copies():
            part.entries(i0, i1, slab)
        return slab

    def _add_tile(self, tile: NDArray, start: int, acc: NDArray, compiled: bool) -> None:
        for part in self._copies():
            if compiled:
                part.add_compiled(tile, start, acc)
            else:
                part.add(tile, start, acc)

    def _adjoint_rows(self, Y: NDArray, i0: int, i1: int) -> NDArray:
        out = np.zeros((i1 - i0, Y.shape[1]), Y.dtype)
        for part in self._copies():
            part.add_adjoint(Y, i0, out)
        return out


class _BlockTransform:
    """Up to r rows of the operator: signs, permutation, transform and sampling of each block."""

    def __init__(self, rows: slice, r: int, key: tuple[int, int]) -> None:
        self.rows, self.r = rows, r
        self.row_key, self.block_key = subkey(key, 0), subkey(key, 1)
        index = np.arange(r, dtype=np.uint64)
        self.places = np.argsort(words(subkey(key, 2), index, [0]), kind="stable")
        chosen = np.argsort(words(subkey(key, 3), index, [0]), kind="stable")
        self.samples = np.sort(chosen[: rows.stop - rows.start])

    def row_signs(self, i0: int, i1: int) -> NDArray:
        return signs(self.row_key, i0, i1)

    def block_signs(self, first: int, last: int) -> NDArray:
        """Return the signs of the samples in some blocks, one row for each block."""
        size = self.samples.size
        width = -(-size // 64) * 64
        table = signs(self.block_key, first * width, last * width)
        return np.ascontiguousarray(table.reshape(last - first, width)[:, :size])

    def pieces(self, i0: int, i1: int) -> Any:
        """Yield the blocks that meet the rows i0 to i1: number, rows, positions in the buffer."""
        for b in range(i0 // self.r, -(-i1 // self.r)):
            lo, hi = max(i0, b * self.r), min(i1, (b + 1) * self.r)
            yield b, slice(lo - i0, hi - i0), self.places[lo - b * self.r : hi - b * self.r]

    def entries(self, i0: int, i1: int, slab: NDArray) -> None:
        """Write the columns i0 to i1."""
        row_signs = self.row_signs(i0, i1)
        for b, cols, places in self.pieces(i0, i1):
            walsh = _parity_signs(self.samples[:, None] & places)
            slab[self.rows, cols] = self.block_signs(b, b + 1).T * walsh * row_signs[cols]

    def add(self, tile: NDArray, start: int, acc: NDArray) -> None:
        """Add the product with the rows of a tile to the rows of acc."""
        row_signs = self.row_signs(start, start + tile.shape[0])
        for b, rows, places in self.pieces(start, start + tile.shape[0]):
            buffer = np.zeros((self.r, tile.shape[1]), acc.dtype)
            buffer[places] = row_signs[rows, None] * tile[rows]
            _transform(buffer)
            acc[self.rows] += self.block_signs(b, b + 1).T * buffer[self.samples]

    def add_compiled(self, tile: NDArray, start: int, acc: NDArray) -> None:
        """Do the same in a kernel."""
        from lowapprox.sketching.kernels import add_hadamard_blocks

        stop = start + tile.shape[0]
        first, last = start // self.r, -(-stop // self.r)
        lanes = (0.0,) * (128 // tile.itemsize)  # two cache lines of each row
        add_hadamard_blocks(
            tile,
            start - first * self.r,
            self.places,
            self.row_signs(start, stop).astype(tile.dtype),
            self.samples,
            self.block_signs(first, last),
            lanes,
            acc[self.rows],
        )

    def add_adjoint(self, Y: NDArray, start: int, out: NDArray) -> None:
        """Add the rows of the adjoint product that begin at `start`."""
        stop = start + out.shape[0]
        row_signs = self.row_signs(start, stop).astype(out.real.dtype)
        for b, rows, places in self.pieces(start, stop):
            buffer = np.zeros((self.r, Y.shape[1]), out.dtype)
            buffer[self.samples] = self.block_signs(b, b + 1).T * Y[self.rows]
            _transform(buffer)
            out[rows] += row_signs[rows, None] * buffer[places]


def _parity_signs(x: NDArray) -> NDArray:
    for shift in (16, 8, 4, 2, 1):
        x = x ^ (x >> shift)
    return 1.0 - 2.0 * (x & 1)


def _transform(x: NDArray) -> None:
    """Hadamard transform along the first axis, in place; the length is a power of two."""
    h = 1
    while h < x.shape[0]:
        pairs = x.reshape(-1, 2, h, x.shape[1])
        difference = pairs[:, 0] - pairs[:, 1]
        pairs[:, 0] += pairs[:, 1]
        pairs[:, 1] = difference
        h *= 2
