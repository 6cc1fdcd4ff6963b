"""Operators that sketch Kronecker and Khatri-Rao products factor by factor."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from lowapprox._core.checks import checked_int
from lowapprox._core.errors import InputError
from lowapprox._core.typing import Array, RNGInput
from lowapprox.sketching._hash import Key, signs, subkey, words
from lowapprox.sketching.operators import NDArray, SketchOperator
from lowapprox.sketching.rademacher import Rademacher
from lowapprox.sketching.slabs import SlabOperator
from lowapprox.sketching.sparse import CountSketch, add_signed
from lowapprox.sketching.tensor import LazyProduct, split_index
from lowapprox.sketching.walsh import hadamard_transform, parity_signs

__all__ = ["KhatriRaoSign", "TensorSRHT", "TensorSketch"]

_COLUMNS = 32  # columns that are transformed at a time
_PRODUCT_ENTRIES = 1 << 20  # of the product with the last factor, made at a time


class _TensorOperator(SketchOperator):
    """An operator whose product with a tensor product comes from products with the factors."""

    sizes: tuple[int, ...]
    _parameters = ("sizes",)

    def __init__(
        self, m: int, n: int | Sequence[int], *, rng: RNGInput = None, dtype: Any = None
    ) -> None:
        sizes = tuple(n) if isinstance(n, Iterable) else (n,)
        if not sizes:
            raise InputError("`n` must have at least one size, got none")
        self.sizes = tuple(checked_int(size, "n", 0) for size in sizes)
        super().__init__(m, math.prod(self.sizes), rng=rng, dtype=dtype)

    @cached_property
    def _factors(self) -> list[Any]:
        """Operators for the factors, without scaling."""
        keys = (subkey(self.key, j) for j in range(len(self.sizes)))
        return [self._factor(size, key) for size, key in zip(self.sizes, keys, strict=True)]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_factors"}

    @abstractmethod
    def _factor(self, size: int, key: Key) -> SketchOperator:
        """Return the number of columns."""

    @abstractmethod
    def _combine(self, X: LazyProduct, parts: list[Array]) -> Array:
        """Return the product with X from those of the factors."""

    def _times_lazy(self, X: LazyProduct) -> Array:
        if tuple(op.shape[0] for op in X.factors) != self.sizes:
            return super()._times_lazy(X)
        parts = [S @ op for S, op in zip(self._factors, X.factors, strict=True)]
        product = self._scale() * self._combine(X, parts)
        return product + 0j if self.dtype.kind == "c" and X.dtype.kind != "c" else product

    def _parts(self, i0: int, i1: int) -> list[tuple[Any, NDArray]]:
        """Return the operators of the factors, and their columns that make some columns."""
        return list(zip(self._factors, split_index(np.arange(i0, i1), self.sizes), strict=True))


class _TensorSigns(_TensorOperator, SlabOperator):
    """Entries are products of signs: each row is a tensor product of rows of the factors'."""

    def __init__(
        self, m: int, n: int | Sequence[int], *, rng: RNGInput = None, dtype: Any = None
    ) -> None:
        super().__init__(m, n, rng=rng, dtype=dtype)
        self._granule = max(1, self.sizes[-1])

    def _slab(self, i0: int, i1: int, compiled: bool) -> NDArray:
        del compiled
        slab = np.ones((self.shape[0], i1 - i0))
        for S, index in self._parts(i0, i1):
            hit, place = np.unique(index, return_inverse=True)
            slab *= S.signs(hit)[:, place]
        return slab

    def _add_tile(self, tile: NDArray, start: int, acc: NDArray, compiled: bool) -> None:
        """Multiply by the last factor first, whose index runs fastest, then by the others."""
        (m, k), n, stop = acc.shape, self.sizes[-1], start + tile.shape[0]
        step = max(1, _PRODUCT_ENTRIES // (m * k))
        for first in range(start // n, -(-stop // n), step):
            last = min(first + step, -(-stop // n))
            low, high = max(start, first * n), min(stop, last * n)
            block = np.zeros(((last - first) * n, k), tile.dtype)
            block[low - first * n : high - first * n] = tile[low - start : high - start]
            columns = block.reshape(last - first, n, k).transpose(1, 0, 2).reshape(n, -1)
            product = np.zeros((m, columns.shape[1]))
            self._factors[-1]._add_tile(columns, 0, product, compiled)
            others = np.ones((m, last - first))
            index = split_index(np.arange(first, last), self.sizes[:-1])
            for S, i in zip(self._factors, index, strict=False):
                others *= S.signs(i)
            acc += np.einsum("th,thk->tk", others, product.reshape(m, -1, k))

    def _combine(self, X: LazyProduct, parts: list[Array]) -> Array:
        return X.combine(parts, X.factors[0].xp)


class KhatriRaoSign(_TensorSigns):
    """Operator whose rows are tensor products of vectors of independent signs.

    Parameters
    ----------
    m : int
        Rows of the operator.
    n : int or sequence of int
        Numbers of rows of the factors; the operator has as many columns as their product says.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Source of the key; a Generator is advanced once.
    dtype : dtype, default float64
        Precision of the explicit entries. The entries are real in any case, which is enough for
        complex data.

    Raises
    ------
    InputError
        If a size is negative, or there is none.
    InputTypeError
        If `dtype` is not float32, float64, complex64 or complex128.

    Notes
    -----
    All entries are ``+-1/sqrt(m)``. Costs ``2 m n_j d_j`` operations for each factor and m for
    each column of the product, and as much as `Rademacher` for a matrix of ``prod n_j`` rows that
    is not made of factors. The number of rows needed grows exponentially with that of factors.

    References
    ----------
    .. [1] Camano, Epperly, Meyer, Tropp (2025), "Faster linear algebra algorithms with structured
       random matrices", arXiv:2508.21189.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.sketching import KhatriRaoSign, kron
    >>> A, B = np.ones((30, 2)), np.eye(40)[:, :3]
    >>> S = KhatriRaoSign(10, (30, 40), rng=0)
    >>> bool(np.allclose(S @ kron(A, B), S @ np.kron(A, B)))
    True
    """

    def _factor(self, size: int, key: Key) -> SketchOperator:
        return _keyed(_Signs(self.shape[0], size, rng=0), key)


class TensorSRHT(_TensorSigns):
    """Operator whose rows are tensor products of rows of randomized Hadamard transforms.

    Parameters
    ----------
    m : int
        Rows of the operator.
    n : int or sequence of int
        Numbers of rows of the factors; the operator has as many columns as their product says.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Source of the key; a Generator is advanced once.
    dtype : dtype, default float64
        Precision of the explicit entries. The entries are real in any case, which is enough for
        complex data.

    Raises
    ------
    InputError
        If a size is negative, or there is none.
    InputTypeError
        If `dtype` is not float32, float64, complex64 or complex128.

    Notes
    -----
    Each factor gets random signs, a permutation and a Hadamard transform; row t of the operator is
    the tensor product of one random row of each transform. All entries are ``+-1/sqrt(m)``. Costs
    ``n_j log(n_j) d_j`` operations for each factor and m for each column of the product, and
    ``log(n_q) + m / n_q`` for each entry of a matrix that is not made of factors, of which the last
    has n_q rows.

    References
    ----------
    .. [1] Ahle, Kapralov, Knudsen, Pagh, Velingker, Woodruff, Zandieh (2020), "Oblivious sketching
       of high-degree polynomial kernels", arXiv:1909.01410.
    .. [2] Song, Ye, Yin, Zhang (2023), "A nearly-optimal bound for fast regression with l_inf
       guarantee", arXiv:2302.00248.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.sketching import TensorSRHT, khatri_rao
    >>> A = np.random.default_rng(0).standard_normal((1000, 5))
    >>> (TensorSRHT(60, (1000, 1000), rng=0) @ khatri_rao(A, A)).shape
    (60, 5)
    """

    def _factor(self, size: int, key: Key) -> SketchOperator:
        return _Transform(self.shape[0], size, key)


class TensorSketch(_TensorOperator):
    """Operator with one sign in each column, at the sum of the places of the factors modulo m.

    Parameters
    ----------
    m : int
        Rows of the operator.
    n : int or sequence of int
        Numbers of rows of the factors; the operator has as many columns as their product says.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Source of the key; a Generator is advanced once.
    dtype : dtype, default float64
        Precision of the explicit entries. The entries are real in any case, which is enough for
        complex data.

    Raises
    ------
    InputError
        If a size is negative, or there is none.
    InputTypeError
        If `dtype` is not float32, float64, complex64 or complex128.

    Notes
    -----
    Each factor gets a `CountSketch`; the sketch of the product is the circular convolution of
    theirs. Costs one addition for each entry of a factor and ``m log(m)`` operations for each
    column of the product, or one addition for each entry of a matrix that is not made of factors.
    To embed a subspace of dimension d it needs of the order of ``3^q d^2`` rows for q factors.

    References
    ----------
    .. [1] Pham, Pagh (2013), "Fast and scalable polynomial kernels via explicit feature maps",
       doi:10.1145/2487575.2487591.
    .. [2] Avron, Nguyen, Woodruff (2014), "Subspace embeddings for the polynomial kernel".

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.sketching import TensorSketch, khatri_rao
    >>> A = np.random.default_rng(0).standard_normal((50, 4))
    >>> S = TensorSketch(30, (50, 50), rng=0)
    >>> Y = S @ khatri_rao(A, A)  # features of the kernel (x^T y)^2
    >>> bool(np.allclose(Y, S @ khatri_rao(A, A).toarray()))
    True
    """

    def _factor(self, size: int, key: Key) -> SketchOperator:
        return _keyed(CountSketch(self.shape[0], size, rng=0), key)

    def _scale(self) -> float:
        return 1.0

    def _targets(self, i0: int, i1: int) -> tuple[NDArray, NDArray]:
        """Return the rows and signs of the entries of some columns."""
        row, sign = np.zeros(i1 - i0, np.int64), np.ones(i1 - i0)
        for S, index in self._parts(i0, i1):
            rows, factor_signs = S.targets(index)
            row, sign = row + rows[0], sign * factor_signs[0]
        return row % self.shape[0], sign

    def _entries(self, i0: int, i1: int) -> NDArray:
        slab = np.zeros((self.shape[0], i1 - i0))
        rows, entry_signs = self._targets(i0, i1)
        slab[rows, np.arange(i1 - i0)] = entry_signs
        return slab

    def _add_tile(self, tile: NDArray, start: int, acc: NDArray, compiled: bool) -> None:
        del compiled
        add_signed(tile, *self._targets(start, start + tile.shape[0]), acc)

    def _adjoint_rows(self, Y: NDArray, i0: int, i1: int) -> NDArray:
        rows, entry_signs = self._targets(i0, i1)
        out: NDArray = Y[rows] * entry_signs[:, None].astype(Y.real.dtype)
        return out

    def _combine(self, X: LazyProduct, parts: list[Array]) -> Array:
        xp, m = X.factors[0].xp, self.shape[0]
        if len(parts) == 1 or m == 0 or X.shape[1] == 0:
            return X.combine(parts, xp)
        if X.dtype.kind == "c":
            spectra = [xp.fft.fft(part + 0j, axis=0) for part in parts]
            return xp.fft.ifft(X.combine(spectra, xp), axis=0)
        spectra = [xp.fft.rfft(part, axis=0) for part in parts]
        return xp.fft.irfft(X.combine(spectra, xp), n=m, axis=0)


class _Signs(Rademacher):
    """Independent signs, without scaling."""

    def _scale(self) -> float:
        return 1.0


class _Transform(SketchOperator):
    """Signs, permutation and Hadamard transform, and m of its rows drawn independently.

    The rows of several factors are combined in the order of the draws, so they are not sorted.
    """

    def __init__(self, m: int, n: int, key: Key) -> None:
        super().__init__(m, n, rng=0)
        self.key = key
        self._granule = size = 1 << max(self.shape[1] - 1, 0).bit_length()
        order = words(subkey(key, 0), np.arange(size), [0])
        self.places = np.argsort(order, kind="stable")
        draws = words(subkey(key, 1), np.arange(m), [0])
        self.samples = (draws & np.uint64(size - 1)).astype(np.int64)
        self.sign_key = subkey(key, 2)

    def _scale(self) -> float:
        return 1.0

    def signs(self, index: NDArray) -> NDArray:
        """Return columns with any indices."""
        column_signs = signs(self.sign_key, 0, self.shape[1])[index]
        return parity_signs(self.samples[:, None] & self.places[index]) * column_signs

    def _entries(self, i0: int, i1: int) -> NDArray:
        return self.signs(np.arange(i0, i1))

    def _add_tile(self, tile: NDArray, start: int, acc: NDArray, compiled: bool) -> None:
        del compiled  # the transform decides for itself
        stop = start + tile.shape[0]
        column_signs = signs(self.sign_key, start, stop)[:, None]
        for j in range(0, tile.shape[1], _COLUMNS):
            part = tile[:, j : j + _COLUMNS]
            buffer = np.zeros((self._granule, part.shape[1]))
            buffer[self.places[start:stop]] = column_signs * part
            hadamard_transform(buffer)
            acc[:, j : j + _COLUMNS] += buffer[self.samples]


def _keyed(S: SketchOperator, key: Key) -> SketchOperator:
    S.key = key
    return S
