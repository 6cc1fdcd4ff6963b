"""Products of matrices that are not formed: Kronecker and Khatri-Rao."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
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


class LazyProduct(MatrixLike):
    """A tall matrix known through its factors; made by `kron` and `khatri_rao`.

    It is an operator wherever operators are allowed, with products by the factors; ``P @ x`` and
    `toarray` are there for small checks.

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
    kind = "operator"
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
        self.source, self.xp = self, ops[0].xp
        self.dtype = np.result_type(*(op.dtype for op in ops))
        self.shape = (math.prod(op.shape[0] for op in ops), self._width())

    def __repr__(self) -> str:
        return f"{self._name}({', '.join(str(op.shape) for op in self.factors)})"

    def __matmul__(self, X: Array) -> Array:
        """Return the product with an array of as many rows as there are columns."""
        vector = getattr(X, "ndim", None) == 1
        op = as_matrix(X[:, None] if vector else X, "X")
        if op.shape[0] != self.shape[1] or op.kind != "dense":
            raise InputError(
                f"`X` must be an array of {self.shape[1]} rows for {self!r}, got shape {op.shape}"
            )
        product = self.mat(op.entries())
        return product[:, 0] if vector else product

    def row_block(self, start: int, stop: int) -> NDArray:
        """Return rows `start` to `stop`, made of those of the factors."""
        index = np.arange(start, min(stop, self.shape[0]))
        places = split_index(index, [A.shape[0] for A in self._host])
        rows: NDArray = self.combine([A[i] for A, i in zip(self._host, places, strict=True)], np)
        return rows

    def row_blocks(self, width: int = 0) -> Iterator[tuple[int, NDArray]]:
        """Yield blocks of rows that stay in the cache, each with the index of its first row.

        With `width` further numbers for each row.

        Raises
        ------
        InputTypeError
            If the factors are not in host memory.
        """
        step = max(1, _BLOCK_BYTES // (16 * max(1, self.shape[1] + width)))
        for i in range(0, self.shape[0], step):
            yield i, self.row_block(i, i + step)

    def _check_numpy(self) -> None:
        """Refuse products by factors of other namespaces."""
        if self.xp is not np:
            raise InputTypeError(
                "`factors` must be NumPy or scipy.sparse arrays for a product with all of them, "
                f"got arrays of {self.xp.__name__}"
            )

    @cached_property
    def _host(self) -> list[NDArray]:
        return [_rows(op, self.dtype) for op in self.factors]

    def __getstate__(self) -> dict[str, Any]:
        # A module cannot be pickled; it is that of the factors.
        return {name: value for name, value in self.__dict__.items() if name not in {"_host", "xp"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, xp=state["factors"][0].xp)

    def fro2(self) -> None:
        """Return None, as for all operators."""

    def max_abs(self) -> float:
        """Refuse, as all operators do."""
        raise InputTypeError("`A` is known only through its factors; its entries cannot be read")

    def entries(self) -> NDArray:
        """Return the whole product, as `toarray` does."""
        self._check_numpy()
        return self.toarray()

    def compressed(self) -> tuple[LazyProduct, LazyProduct]:
        """Return Q of orthonormal columns and P of the same kind, of which this is the product.

        From QR factorizations of the factors, in double precision. The rows of P are as many as
        the columns of Q, the product of the ranks that the shapes of the factors allow.
        """
        pairs = [np.linalg.qr(A.astype(np.result_type(A, np.float64))) for A in self._host]
        return kron(*(Q for Q, _ in pairs)), type(self)([R for _, R in pairs])

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

    def mat(self, X: Array) -> Array:
        return self._times(X, [op.mat for op in self.factors], [op.shape for op in self.factors])

    def rmat(self, Y: Array) -> Array:
        shapes = [op.shape[::-1] for op in self.factors]
        return self._times(Y, [op.rmat for op in self.factors], shapes)

    def _times(
        self, X: Array, products: list[Callable[[Array], Array]], shapes: list[tuple[int, int]]
    ) -> Array:
        """Multiply by one factor after the other, each along its axis."""
        self._check_numpy()
        k = X.shape[1]
        for j, (multiply, (rows, columns)) in enumerate(zip(products, shapes, strict=True)):
            # The axis of the factor comes first, and goes last, before the columns of X.
            rest = math.prod(c for _, c in shapes[j + 1 :]) * math.prod(r for r, _ in shapes[:j])
            part = np.ascontiguousarray(X).reshape(columns, rest * k)
            product = multiply(part).reshape(rows, rest, k)
            X = product.transpose(1, 0, 2).reshape(rest * rows, k)
        return X

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

    def mat(self, X: Array) -> Array:
        self._check_numpy()
        last = self._host[-1]
        out = np.empty((self.shape[0], X.shape[1]), np.result_type(self.dtype, X.dtype))
        for rows, block in self._heads():
            for c in range(X.shape[1]):
                out[rows, c] = ((block * X[:, c]) @ last.T).ravel()
        return out

    def rmat(self, Y: Array) -> Array:
        self._check_numpy()
        last = self._host[-1].conj()
        out = np.zeros((self.shape[1], Y.shape[1]), np.result_type(self.dtype, Y.dtype))
        for rows, block in self._heads():
            for c in range(Y.shape[1]):
                part = Y[rows, c].reshape(block.shape[0], last.shape[0])
                out[:, c] += np.einsum("ij,ij->j", block.conj(), part @ last)
        return out

    def _heads(self) -> Iterator[tuple[slice, NDArray]]:
        """Yield rows of the product of all factors but the last, and the rows that they make."""
        n, d = self.factors[-1].shape
        if len(self.factors) == 1:
            yield slice(None), np.ones((1, d), self.dtype)
            return
        for i, block in _KhatriRao(self.factors[:-1]).row_blocks(n):
            yield slice(i * n, (i + block.shape[0]) * n), block

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
