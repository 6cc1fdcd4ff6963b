"""Subsampled randomized Hadamard transform, block by block."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.checks import checked_int
from lowapprox._core.errors import InputError, InputTypeError
from lowapprox._core.typing import RNGInput
from lowapprox.sketching._hash import Key, distinct, signs, subkey, words
from lowapprox.sketching.operators import NDArray, SketchOperator
from lowapprox.sketching.walsh import hadamard_transform, parity_signs

__all__ = ["SRHT"]

_SMALLEST_BLOCK, _LARGEST_BLOCK = 1024, 4096
_FEW_COLUMNS = 4  # fewer of them leave most of a vector empty: blocks side by side fill it


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
    exact : bool, default False
        One Hadamard transform of all rows in place of the sum over the blocks: the textbook map,
        ``sqrt(N / m) R H D`` for the power of two N next to n, with a random permutation of each
        block of rows. The entries then depend on n, and the permutations take time.
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
        If `exact` is not a bool, or `dtype` is not float32, float64, complex64 or complex128.

    Notes
    -----
    All entries are ``+-1/sqrt(m)``. Costs ``n k (log2(block) + m/block)`` additions for a dense
    matrix of k columns, in one pass and without padding; explicit slabs are multiplied with sparse
    matrices. A partial product that starts or ends within a block costs as much as with the whole
    block.

    Without the permutation, an input that lives on few consecutive rows meets only a few distinct
    rows of the Hadamard matrix; without the signs for each block, the same happens to an input
    that lives on equally spaced rows; the exact form cures that by one permutation for each block.

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
    exact: bool
    _parameters = ("block", "exact")

    def __init__(
        self,
        m: int,
        n: int,
        *,
        block: int | None = None,
        exact: bool = False,
        rng: RNGInput = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(m, n, rng=rng, dtype=dtype)
        if block is None:
            power = 1 << max(self.shape[0] - 1, 0).bit_length()
            block = min(max(power, _SMALLEST_BLOCK), _LARGEST_BLOCK)
            if exact:
                block = min(block, 1 << max(self.shape[1] - 1, 0).bit_length())
        self.block = checked_int(block, "block", 1, 1 << 16)
        if self.block & (self.block - 1):
            raise InputError(f"`block` must be a power of two in [1, 65536], got {self.block}")
        if not isinstance(exact, bool):
            raise InputTypeError(f"`exact` must be a bool, got {exact!r}")
        self.exact = exact
        self._granule = self.block

    def _scale(self) -> float:
        return float(self.shape[0] ** -0.5)

    def _copies(self) -> list[_BlockTransform]:
        """Return the stacked transforms, each with at most as many rows as it has to choose of."""
        m, r = self.shape[0], self.block
        blocks = 1
        if self.exact:
            blocks = 1 << max(-(-self.shape[1] // r) - 1, 0).bit_length()
        return [
            (_Transform if self.exact else _BlockTransform)(
                slice(t, min(t + blocks * r, m)), r, blocks, subkey(self.key, t // (blocks * r))
            )
            for t in range(0, m, blocks * r)
        ]

    def _entries(self, i0: int, i1: int) -> NDArray:
        slab = np.empty((self.shape[0], i1 - i0))
        for part in self._copies():
            part.entries(i0, i1, slab)
        return slab

    def _add_tile(self, tile: NDArray, start: int, acc: NDArray, compiled: bool) -> None:
        for part in self._copies():
            if compiled and tile.shape[1] >= _FEW_COLUMNS:
                part.add_compiled(tile, start, acc)
            else:
                part.add(tile, start, acc, compiled)

    def _adjoint_rows(self, Y: NDArray, i0: int, i1: int) -> NDArray:
        out = np.zeros((i1 - i0, Y.shape[1]), Y.dtype)
        for part in self._copies():
            part.add_adjoint(Y, i0, out)
        return out


class _BlockTransform:
    """Up to r rows of the operator: signs, permutation, transform and sampling of each block."""

    def __init__(self, rows: slice, r: int, blocks: int, key: Key) -> None:
        self.rows, self.r = rows, r
        self.row_key, self.block_key = subkey(key, 0), subkey(key, 1)
        self.place_key, self.sample_key = subkey(key, 2), subkey(key, 3)
        self.choose(blocks)

    def choose(self, blocks: int) -> None:
        """Draw what all blocks share."""
        del blocks
        index = np.arange(self.r, dtype=np.uint64)
        self.common = np.argsort(words(self.place_key, index, [0]), kind="stable")
        chosen = np.argsort(words(self.sample_key, index, [0]), kind="stable")
        self.samples = np.sort(chosen[: self.rows.stop - self.rows.start])

    def places(self, first: int, last: int) -> NDArray:
        """Return the positions in the buffer of the rows of some blocks; one row for all alike."""
        del first, last
        return self.common[None]

    def row_signs(self, i0: int, i1: int) -> NDArray:
        return signs(self.row_key, i0, i1)

    def block_signs(self, first: int, last: int) -> NDArray:
        """Return the signs of the samples in some blocks, one row for each block."""
        size = self.samples.size
        width = -(-size // 64) * 64
        table = signs(self.block_key, first * width, last * width)
        return np.ascontiguousarray(table.reshape(last - first, width)[:, :size])

    def spread(self, values: NDArray, buffer: NDArray) -> None:
        """Put the samples where they come from in a block of zeros."""
        buffer[self.samples] = values

    def pieces(self, i0: int, i1: int) -> Any:
        """Yield the blocks that meet the rows i0 to i1: number, rows, positions in the buffer."""
        for b in range(i0 // self.r, -(-i1 // self.r)):
            lo, hi = max(i0, b * self.r), min(i1, (b + 1) * self.r)
            places = self.places(b, b + 1)[0]
            yield b, slice(lo - i0, hi - i0), places[lo - b * self.r : hi - b * self.r]

    def entries(self, i0: int, i1: int, slab: NDArray) -> None:
        """Write the columns i0 to i1."""
        row_signs = self.row_signs(i0, i1)
        for b, cols, places in self.pieces(i0, i1):
            walsh = parity_signs(self.samples[:, None] & places)
            slab[self.rows, cols] = self.block_signs(b, b + 1).T * walsh * row_signs[cols]

    def add(self, tile: NDArray, start: int, acc: NDArray, compiled: bool) -> None:
        """Add the product with the rows of a tile to the rows of acc, all blocks side by side."""
        stop = start + tile.shape[0]
        first, last = start // self.r, -(-stop // self.r)
        blocks = np.zeros((last - first, self.r, tile.shape[1]), acc.dtype)
        inside = slice(start - first * self.r, stop - first * self.r)
        signed = self.row_signs(start, stop)[:, None] * tile
        blocks.reshape(-1, tile.shape[1])[inside] = signed
        buffer = np.empty((self.r, *blocks.shape[::2]), acc.dtype)
        buffer[self.places(first, last), np.arange(last - first)[:, None]] = blocks
        if compiled:
            from lowapprox.sketching.kernels import hadamard_groups

            width = buffer.size // self.r
            hadamard_groups(buffer.reshape(-1), 0, 1, 1, self.r, width, (0.0,) * 16)
        else:
            hadamard_transform(buffer)
        chosen = buffer[self.samples]
        acc[self.rows] += np.einsum("bt,tbk->tk", self.block_signs(first, last), chosen)

    def add_compiled(self, tile: NDArray, start: int, acc: NDArray) -> None:
        """Do the same in a kernel, whose vectors are several columns of one block."""
        from lowapprox.sketching.kernels import add_hadamard_blocks

        stop = start + tile.shape[0]
        first, last = start // self.r, -(-stop // self.r)
        lanes = (0.0,) * (64 // tile.itemsize)  # a cache line of each row
        add_hadamard_blocks(
            tile,
            start - first * self.r,
            self.places(first, last),
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
            self.spread(self.block_signs(b, b + 1).T * Y[self.rows], buffer)
            hadamard_transform(buffer)
            out[rows] += row_signs[rows, None] * buffer[places]


class _Transform(_BlockTransform):
    """One transform of all rows: the same, with signs of the blocks and samples that it implies.

    The entry of a Hadamard matrix in row ``hi * r + lo`` and column ``b * r + j`` is its entry for
    hi and b times its entry for lo and j.
    """

    def choose(self, blocks: int) -> None:
        chosen = distinct(self.sample_key, blocks * self.r, self.rows.stop - self.rows.start)
        self.high, self.samples = chosen // self.r, chosen % self.r

    def places(self, first: int, last: int) -> NDArray:
        index = np.arange(first * self.r, last * self.r, dtype=np.uint64)
        word = words(self.place_key, index, [0]).reshape(-1, self.r)
        return np.argsort(word, axis=1, kind="stable")

    def spread(self, values: NDArray, buffer: NDArray) -> None:
        np.add.at(buffer, self.samples, values)  # samples of one transform share rows of a block

    def block_signs(self, first: int, last: int) -> NDArray:
        return parity_signs(np.arange(first, last)[:, None] & self.high)
