"""Products of matrices that are not formed: Kronecker and Khatri-Rao."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from lowapprox._core.checks import check_home
from lowapprox._core.errors import InputError, InputTypeError
from lowapprox._core.matrix import MatrixLike, as_matrix
from lowapprox._core.typing import Array, MatrixInput
from lowapprox.sketching.operators import NDArray, on_host

__all__ = ["LazyProduct", "khatri_rao", "kron", "split_index"]

_BLOCK_BYTES = 8 << 20


def kron(*factors: MatrixInput) -> LazyProduct:
    """Return the Kronecker product of matrices without forming it.

    Parameters
    ----------
    *factors : array or scipy.sparse array, shapes (n_j, d_j)
        One or more matrices, all at home in one namespace and on one device.

    Returns
    -------
    LazyProduct
        Of shape ``(n_1 n_2 ..., d_1 d_2 ...)``; the index of the last factor runs fastest, as in
        `numpy.kron`.

    Raises
    ------
    InputError
        If there is no factor, or one has not two dimensions.
    InputTypeError
        If a factor is no array, or they are of several namespaces.

    See Also
    --------
    TensorSRHT, TensorSketch, KhatriRaoSign : Operators that sketch it factor by factor.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.sketching import TensorSRHT, kron
    >>> gen = np.random.default_rng(0)
    >>> A, B = gen.standard_normal((300, 4)), gen.standard_normal((500, 3))
    >>> P = kron(A, B)
    >>> P.shape
    (150000, 12)
    >>> (TensorSRHT(80, (300, 500), rng=0) @ P).shape
    (80, 12)
    """
    return _Kronecker(factors)


def khatri_rao(*factors: MatrixInput) -> LazyProduct:
    """Return the Khatri-Rao product, columnwise Kronecker, of matrices without forming it.

    Parameters
    ----------
    *factors : array or scipy.sparse array, shapes (n_j, d)
        One or more matrices with equally many columns, all at home in one namespace and on one
        device.

    Returns
    -------
    LazyProduct
        Of shape ``(n_1 n_2 ..., d)``, as `scipy.linalg.khatri_rao` has it.

    Raises
    ------
    InputError
        If there is no factor, one has not two dimensions, or the numbers of columns differ.
    InputTypeError
        If a factor is no array, or they are of several namespaces.

    See Also
    --------
    TensorSRHT, TensorSketch, KhatriRaoSign : Operators that sketch it factor by factor.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.sketching import khatri_rao
    >>> khatri_rao([[1, 2], [3, 4]], [[5, 6], [7, 8]]).toarray()
    array([[ 5., 12.],
           [ 7., 16.],
           [15., 24.],
           [21., 32.]])
    """
    return _KhatriRao(factors)


class LazyProduct(ABC):
    """A tall matrix known through its factors; made by `kron` and `khatri_rao`.

    Attributes
    ----------
    factors : tuple
        The matrices.
    shape : tuple of int
        Of the product.
    dtype : numpy.dtype
        Computing precision of the product.
    """

    factors: tuple[MatrixLike, ...]
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    ndim: ClassVar[int] = 2

    __array_ufunc__ = None  # NumPy leaves `array @ P` alone
    _name: ClassVar[str]

    def __init__(self, factors: Sequence[MatrixInput]) -> None:
        if not factors:
            raise InputError(f"`{self._name}` needs at least one factor, got none")
        ops = tuple(as_matrix(A, f"factors[{j}]") for j, A in enumerate(factors))
        for j, op in enumerate(ops):
            if op.kind == "operator":
                raise InputTypeError(
                    f"`factors[{j}]` must be an array or a sparse array, "
                    f"got {type(factors[j]).__name__}"
                )
            empty = np.zeros((0, 0))
            check_home(op.from_numpy(empty), ops[0].from_numpy(empty), f"factors[{j}]")
        self.factors = ops
        self.dtype = np.result_type(*(op.dtype for op in ops))
        self.shape = (math.prod(op.shape[0] for op in ops), self._width())

    def __repr__(self) -> str:
        return f"{self._name}({', '.join(str(op.shape) for op in self.factors)})"

    def row_blocks(self) -> Iterator[tuple[int, NDArray]]:
        """Yield blocks of rows that stay in the cache, each with the index of its first row.

        Raises
        ------
        InputTypeError
            If the factors are not in host memory.
        """
        factors = [_rows(op, self.dtype) for op in self.factors]
        sizes = [A.shape[0] for A in factors]
        step = max(1, _BLOCK_BYTES // (16 * max(1, self.shape[1])))
        for i in range(0, self.shape[0], step):
            indices = split_index(np.arange(i, min(i + step, self.shape[0])), sizes)
            yield i, self.combine([A[j] for A, j in zip(factors, indices, strict=True)], np)

    def toarray(self) -> NDArray:
        """Return the whole product as an array; meant for small ones."""
        product = np.empty(self.shape, self.dtype)
        for i, block in self.row_blocks():
            product[i : i + block.shape[0]] = block
        return product

    @abstractmethod
    def combine(self, parts: Sequence[Array], xp: Any) -> Array:
        """Return the product of matching rows, of which each part has those of one factor."""

    @abstractmethod
    def _width(self) -> int:
        """Return the number of columns."""


class _Kronecker(LazyProduct):
    _name = "kron"

    def combine(self, parts: Sequence[Array], xp: Any) -> Array:
        product = parts[0]
        for part in parts[1:]:
            outer = product[:, :, None] * part[:, None, :]
            product = xp.reshape(outer, (outer.shape[0], outer.shape[1] * outer.shape[2]))
        return product

    def _width(self) -> int:
        return math.prod(op.shape[1] for op in self.factors)


class _KhatriRao(LazyProduct):
    _name = "khatri_rao"

    def combine(self, parts: Sequence[Array], xp: Any) -> Array:
        del xp
        product = parts[0]
        for part in parts[1:]:
            product = product * part
        return product

    def _width(self) -> int:
        widths = [op.shape[1] for op in self.factors]
        if len(set(widths)) > 1:
            raise InputError(f"`factors` must have equally many columns, got {widths}")
        return widths[0]


def split_index(index: NDArray, sizes: Sequence[int]) -> list[NDArray]:
    """Return the indices of the factors; that of the last one runs fastest."""
    parts = []
    for size in reversed(sizes):
        parts.append(index % size)
        index = index // size
    return parts[::-1]


def _rows(op: MatrixLike, dtype: np.dtype[Any]) -> NDArray:
    if not on_host(op):
        raise InputTypeError("`factors` must be in host memory to be read by rows")
    rows = op.row_block(0, op.shape[0]).toarray() if op.kind == "sparse" else op.entries()
    return np.asarray(op.to_numpy(rows), dtype)
