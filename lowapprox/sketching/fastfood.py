"""Fastfood: a dense Gaussian-like operator made of Hadamard transforms and diagonals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lowapprox._core.typing import RNGInput
from lowapprox.sketching._hash import (
    Key,
    fill_normals,
    log,
    normal_pairs,
    signs,
    subkey,
    uniforms,
    words,
)
from lowapprox.sketching.operators import NDArray, SketchOperator
from lowapprox.sketching.walsh import hadamard_transform

__all__ = ["Fastfood"]

_COLUMNS = 32  # columns that are transformed at a time


class Fastfood(SketchOperator):
    """Product of Hadamard transforms, random signs, a permutation and Gaussian scales.

    Parameters
    ----------
    m, n : int
        Shape: the operator maps n rows to m. Each block of rows, as many as the power of two next
        to n has, is an independent copy.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Source of the key; a Generator is advanced once.
    dtype : dtype, default float64
        Precision of the explicit entries. The entries are real in any case.

    Raises
    ------
    InputError
        If `m` or `n` is negative.
    InputTypeError
        If `dtype` is not float32, float64, complex64 or complex128.

    Notes
    -----
    A copy is ``V H G P H B`` with random signs B, Hadamard transforms H, a permutation P, normals
    G and lengths V, which give the rows the lengths of Gaussian ones. Every row is isotropic, and
    its entries are nearly normal; rows of one copy are not independent. Costs
    ``n log(n) (1 + m / n) k`` operations for a matrix of k columns, and so does the adjoint, which
    takes few parameters to many, and a part of the rows. The permutation is stored while it is
    used. Made for m of the size of n, as in feature maps and random subspaces; to compress, `SRHT`
    takes less work.

    References
    ----------
    .. [1] Le, Sarlos, Smola (2013), "Fastfood: approximate kernel expansions in loglinear time",
       arXiv:1408.3060.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.sketching import Fastfood
    >>> S = Fastfood(50, 100_000, rng=0)
    >>> (S.T @ np.ones(50)).shape
    (100000,)
    """

    _padded: int  # the power of two next to n, at least two

    def __init__(self, m: int, n: int, *, rng: RNGInput = None, dtype: Any = None) -> None:
        super().__init__(m, n, rng=rng, dtype=dtype)
        self._padded = 1 << max((self.shape[1] - 1).bit_length(), 1)
        self._granule = self._padded  # one tile: a part of the rows costs as much as all

    def _scale(self) -> float:
        return float((self.shape[0] * self._padded) ** -0.5)

    def _copies(self) -> list[_Copy]:
        m, size = self.shape[0], self._padded
        return [
            _Copy(slice(t, min(t + size, m)), size, subkey(self.key, t // size))
            for t in range(0, m, size)
        ]

    def _entries(self, i0: int, i1: int) -> NDArray:
        slab = np.zeros((self.shape[0], i1 - i0))
        self._add_tile(np.eye(i1 - i0), i0, slab, compiled=False)
        return slab

    def _add_tile(self, tile: NDArray, start: int, acc: NDArray, compiled: bool) -> None:
        del compiled  # the transform decides for itself
        for copy in self._copies():
            for j in range(0, tile.shape[1], _COLUMNS):
                copy.add(tile[:, j : j + _COLUMNS], start, acc[copy.rows, j : j + _COLUMNS])

    def _accumulate_sparse(self, X: Any, start: int, out: NDArray) -> None:
        by_columns = X.tocsc()  # a few dense columns take less than slabs of the operator
        for j in range(0, X.shape[1], _COLUMNS):
            tile = by_columns[:, j : j + _COLUMNS].toarray()
            part = out[:, j : j + _COLUMNS]
            acc = np.zeros(part.shape, part.dtype)
            self._add_tile(tile, start, acc, compiled=False)
            part += self._scale() * acc

    def _adjoint_rows(self, Y: NDArray, i0: int, i1: int) -> NDArray:
        out = np.zeros((i1 - i0, Y.shape[1]), np.result_type(Y.dtype, np.float64))
        for copy in self._copies():
            for j in range(0, Y.shape[1], _COLUMNS):
                columns = slice(j, j + _COLUMNS)
                copy.add_adjoint(Y[copy.rows, columns], i0, out[:, columns])
        return out


class _Copy:
    """Up to `size` rows of the operator."""

    def __init__(self, rows: slice, size: int, key: Key) -> None:
        self.rows, self.size, self.sign_key = rows, size, subkey(key, 0)
        index = np.arange(size, dtype=np.uint64)
        self.places = np.argsort(words(subkey(key, 1), index, [0]), kind="stable")
        normals = np.empty((1, size))
        fill_normals(subkey(key, 2), 0, normals)
        self.normals = normals[0, :, None]
        lengths = _chi(subkey(key, 3), size, rows.stop - rows.start)
        self.lengths = lengths[:, None] / math.sqrt(math.fsum(normals[0] * normals[0]))

    def add(self, tile: NDArray, start: int, acc: NDArray) -> None:
        """Add the product with some rows of the input."""
        stop = start + tile.shape[0]
        buffer = np.zeros((self.size, tile.shape[1]), acc.dtype)
        buffer[start:stop] = signs(self.sign_key, start, stop)[:, None] * tile
        hadamard_transform(buffer)
        buffer = buffer[self.places] * self.normals
        hadamard_transform(buffer)
        acc += self.lengths * buffer[: acc.shape[0]]

    def add_adjoint(self, Y: NDArray, start: int, out: NDArray) -> None:
        """Add some rows of the adjoint product."""
        stop = start + out.shape[0]
        buffer = np.zeros((self.size, Y.shape[1]), out.dtype)
        buffer[: Y.shape[0]] = self.lengths * Y
        hadamard_transform(buffer)
        buffer[self.places] = buffer * self.normals
        hadamard_transform(buffer)
        out += signs(self.sign_key, start, stop)[:, None] * buffer[start:stop]


def _chi(key: Key, freedom: int, size: int) -> NDArray:
    """Return chi variates for at least two degrees of freedom (Marsaglia & Tsang 2000)."""
    d = freedom / 2 - 1 / 3
    values = np.empty(size)
    todo, trial = np.arange(size), 0
    while todo.size:
        x, _ = normal_pairs(key, todo, [2 * trial])
        u = uniforms(words(key, todo, [4 * trial + 2]))
        v = (1.0 + x / np.sqrt(9 * d)) ** 3
        with np.errstate(invalid="ignore", divide="ignore"):
            accepted = (v > 0) & (log(u) < 0.5 * x * x + d - d * v + d * log(v))
        values[todo[accepted]] = np.sqrt(2.0 * d * v[accepted])
        todo, trial = todo[~accepted], trial + 1
    return values
