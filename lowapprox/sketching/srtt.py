"""Subsampled randomized cosine transform."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lowapprox._core.errors import InputError
from lowapprox._core.typing import RNGInput
from lowapprox.sketching._hash import Key, distinct, signs, subkey
from lowapprox.sketching.operators import NDArray
from lowapprox.sketching.slabs import SlabOperator

__all__ = ["SRTT"]

_MAX_ROWS = 2**31
_COLUMNS = 8  # columns that are transformed at a time


class SRTT(SlabOperator):
    """Subsampled randomized trigonometric transform: signs, cosine transform, some of its rows.

    Parameters
    ----------
    m, n : int
        Shape: the operator maps n rows to m. n is at most 2^31; where m is larger than n,
        independent transforms are stacked.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Source of the key; a Generator is advanced once.
    dtype : dtype, default float64
        Precision of the explicit entries. The entries are real in any case, which is enough for
        complex data.

    Raises
    ------
    InputError
        If `m` or `n` is negative, or `n` too large.
    InputTypeError
        If `dtype` is not float32, float64, complex64 or complex128.

    Notes
    -----
    ``S = sqrt(n / m) R F D`` with random signs D, the orthonormal cosine transform F of all n rows
    and m of them chosen without replacement. Costs ``n log(n) k`` operations for a dense matrix
    of k columns, and a copy of eight columns; a part of the rows, and a sparse matrix, costs as
    much as with `Gaussian`, since there is no transform of a part. The entries are equal to
    rounding on all machines, not to the bit. An input that lives on equally spaced rows, whose
    columns of F are alike, needs more rows than other ones. `SRHT` is faster, has no such weakness
    and reads rows in any number of pieces.

    References
    ----------
    .. [1] Avron, Maymounkov, Toledo (2010), "Blendenpik: supercharging LAPACK's least-squares
       solver", doi:10.1137/090767911.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.sketching import SRTT
    >>> S = SRTT(1000, 1000, rng=0)
    >>> x = np.arange(1000.0)
    >>> bool(np.isclose(np.linalg.norm(S @ x), np.linalg.norm(x)))
    True
    """

    def __init__(self, m: int, n: int, *, rng: RNGInput = None, dtype: Any = None) -> None:
        super().__init__(m, n, rng=rng, dtype=dtype)
        if self.shape[1] > _MAX_ROWS:
            raise InputError(f"`n` must be in [0, {_MAX_ROWS}], got {n}")
        self._granule = max(self.shape[1], 1)  # all rows at once, where there are all

    def _copies(self) -> list[tuple[slice, NDArray, Key]]:
        """Return the stacked transforms: their rows, which of the n they are, the key of signs."""
        m, n = self.shape
        copies = []
        for t in range(0, m, max(n, 1)):
            rows, key = slice(t, min(t + n, m)), subkey(self.key, t // max(n, 1))
            copies.append((rows, distinct(subkey(key, 0), n, rows.stop - t), subkey(key, 1)))
        return copies

    def _slab(self, i0: int, i1: int, compiled: bool) -> NDArray:
        del compiled
        n = self.shape[1]
        slab = np.empty((self.shape[0], i1 - i0))
        odd = 2 * np.arange(i0, i1) + 1
        for rows, chosen, key in self._copies():
            # The angle is reduced in integers, so that it is exact.
            angles = (chosen[:, None] * odd % (4 * n)) * (math.pi / (2 * n))
            scale = np.where(chosen == 0, 1.0, math.sqrt(2.0))[:, None]
            slab[rows] = np.cos(angles) * scale * signs(key, i0, i1)
        return slab

    def _add_tile(self, tile: NDArray, start: int, acc: NDArray, compiled: bool) -> None:
        n = self.shape[1]
        if tile.shape[0] < n:
            super()._add_tile(tile, start, acc, compiled)
            return
        from scipy.fft import dct

        for rows, chosen, key in self._copies():
            row_signs = signs(key, 0, n)[:, None]
            for j in range(0, tile.shape[1], _COLUMNS):
                columns = slice(j, j + _COLUMNS)
                mixed = dct(tile[:, columns] * row_signs, axis=0, norm="ortho", overwrite_x=True)
                acc[rows, columns] += math.sqrt(n) * mixed[chosen]

    def _adjoint_rows(self, Y: NDArray, i0: int, i1: int) -> NDArray:
        n = self.shape[1]
        from scipy.fft import idct

        out = np.zeros((n, Y.shape[1]), np.result_type(Y.dtype, np.float64))
        for rows, chosen, key in self._copies():
            for j in range(0, Y.shape[1], _COLUMNS):
                columns = slice(j, j + _COLUMNS)
                spread = np.zeros_like(out[:, columns])
                spread[chosen] = math.sqrt(n) * Y[rows, columns]
                mixed = idct(spread, axis=0, norm="ortho", overwrite_x=True)
                out[:, columns] += signs(key, 0, n)[:, None] * mixed
        return out[i0:i1]
