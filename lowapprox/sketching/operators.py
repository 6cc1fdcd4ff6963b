"""What all sketching operators share: products by row tiles, adjoints, streaming."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from lowapprox._core.checks import checked_int
from lowapprox._core.errors import InputError, InputTypeError
from lowapprox._core.matrix import MatrixLike, _Sparse, as_matrix
from lowapprox._core.rng import as_generator, draw_key
from lowapprox._core.typing import Array, MatrixInput, RNGInput
from lowapprox._core.views import MatrixView
from lowapprox.sketching._partial import CHUNKS, add_partial_sums

if TYPE_CHECKING:
    from lowapprox.sketching.tensor import LazyProduct

__all__ = ["NDArray", "SketchOperator", "narrowed", "on_host", "use_kernels"]

NDArray: TypeAlias = np.ndarray[Any, Any]

_MAX_ROWS = 2**62
_DTYPES = "float32, float64, complex64 or complex128"
_KERNEL_ENTRIES = 1_000_000  # smaller inputs never load the compiler
_TILE_ENTRIES = 1 << 17  # tiles that are copied stay in the cache
_TILE_ROWS = 1 << 16
_SLAB_ROWS = 4096  # single precision never sums more rows than this
_SLAB_BYTES = 8 << 20
_PANEL_BYTES = 8 << 20  # of an accumulator; to copy narrower panels costs more than its misses


class SketchOperator(ABC):
    """A random linear map that acts from the left on matrices with `n` rows.

    Subclasses give the entries (`columns`) and the sum over one tile of rows.

    Attributes
    ----------
    shape : tuple of int
        ``(m, n)``.
    dtype : numpy.dtype
        Of the explicit entries. A product has the precision of what it multiplies, and is
        complex if either is.
    key : tuple of int
        Two 64-bit words that determine all entries.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    key: tuple[int, int]

    __array_ufunc__ = None  # NumPy leaves `array @ S` to __rmatmul__
    _parameters: ClassVar[tuple[str, ...]] = ()
    _granule: int = 1  # tiles of rows start at multiples of this

    def __init__(self, m: int, n: int, *, rng: RNGInput = None, dtype: Any = None) -> None:
        self.shape = (checked_int(m, "m", 0, 2**31), checked_int(n, "n", 0, _MAX_ROWS))
        try:
            self.dtype = np.dtype(np.float64 if dtype is None else dtype)
        except TypeError:
            raise InputTypeError(f"`dtype` must be {_DTYPES}, got {dtype!r}") from None
        if self.dtype.char not in "fdFD":
            raise InputTypeError(f"`dtype` must be {_DTYPES}, got {self.dtype}")
        self.key = draw_key(as_generator(rng))

    # -- the operator as an object ------------------------------------------------------------

    def _identity(self) -> tuple[Any, ...]:
        params = tuple(getattr(self, name) for name in self._parameters)
        return (type(self), self.shape, self.dtype, self.key, params)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SketchOperator) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        params = "".join(f", {name}={getattr(self, name)!r}" for name in self._parameters)
        key = f"0x{self.key[1]:016x}{self.key[0]:016x}"
        return f"{type(self).__name__}({self.shape[0]}, {self.shape[1]}{params}, key={key})"

    @property
    def T(self) -> _Transposed:
        """The transpose, as a view."""
        return _Transposed(self, conjugate=False)

    @property
    def H(self) -> _Transposed:
        """The conjugate transpose, as a view."""
        return _Transposed(self, conjugate=self.dtype.kind == "c")

    # -- entries ------------------------------------------------------------------------------

    def columns(self, i0: int, i1: int) -> NDArray:
        """Return the columns `i0` to `i1` (exclusive) as an array of shape (m, i1 - i0).

        Parameters
        ----------
        i0, i1 : int
            ``0 <= i0 <= i1 <= n``.

        Raises
        ------
        InputError
            If the range is not within the operator.
        """
        i0 = checked_int(i0, "i0", 0, self.shape[1])
        i1 = checked_int(i1, "i1", i0, self.shape[1])
        slab: NDArray = np.zeros((self.shape[0], i1 - i0), self.dtype)
        if slab.size:
            slab[...] = self._scale() * self._entries(i0, i1)
        return slab

    def toarray(self) -> NDArray:
        """Return the whole operator as an array; meant for small ones."""
        return self.columns(0, self.shape[1])

    def _real_entries(self) -> bool:
        """Tell whether all entries are real, whatever the dtype."""
        return True

    @abstractmethod
    def _scale(self) -> float:
        """Return the factor that makes E[S^H S] the identity."""

    @abstractmethod
    def _entries(self, i0: int, i1: int) -> NDArray:
        """Return columns before scaling, in double precision."""

    # -- products -----------------------------------------------------------------------------

    def __matmul__(self, X: MatrixInput) -> Array:
        """Return ``S @ X`` for an array, sparse array or linear operator with n rows."""
        from lowapprox.sketching.tensor import LazyProduct

        if isinstance(X, LazyProduct):
            return self._times_lazy(X)
        if _ndim(X) == 1:
            return (self @ _as_column(X))[:, 0]
        op = as_matrix(X, "X")
        self._check_rows(op.shape)
        dtype = self._product_dtype(op.dtype)
        if isinstance(op, MatrixView) or op.kind == "operator":
            return _times_products(self.toarray(), op)
        if op.kind == "dense" and not on_host(op):
            return self._times_device(op)
        acc = np.zeros((self.shape[0], op.shape[1]), np.result_type(dtype, np.float64))
        self._accumulate(op, 0, acc)
        result: Any = acc.astype(dtype, copy=False)
        return result if op.xp is np else _to_namespace(op, result)

    def _check_rows(self, shape: tuple[int, int]) -> None:
        if shape[0] != self.shape[1]:
            raise InputError(
                f"`X` must have {self.shape[1]} rows for {type(self).__name__} of shape "
                f"{self.shape}, got shape {shape}"
            )

    def _times_lazy(self, X: LazyProduct) -> Array:
        """Multiply with a product of factors, whose rows are made block by block."""
        self._check_rows(X.shape)
        dtype = self._product_dtype(X.dtype)
        out = np.zeros((self.shape[0], X.shape[1]), np.result_type(dtype, np.float64))
        for start, block in X.row_blocks():
            self.apply_rows(block, start, out)
        return out.astype(dtype, copy=False)

    def __rmatmul__(self, X: Array) -> Array:
        """Return ``X @ S`` for an array with m columns."""
        return (self.T @ X.T).T

    def apply_rows(self, block: MatrixInput, row_start: int, out: Array) -> Array:
        """Add the contribution of some rows: ``out += S[:, row_start:row_start + b] @ block``.

        Partial sketches of any partition of the rows, in any order, add up to ``S @ X``.

        Parameters
        ----------
        block : array or scipy.sparse array, shape (b, k) or (b,)
            Consecutive rows of the matrix.
        row_start : int
            Index of the first of them.
        out : numpy.ndarray, shape (m, k) or (m,)
            Accumulator, changed in place. Use double precision for a long stream.

        Returns
        -------
        numpy.ndarray
            The array `out`.

        Raises
        ------
        InputError
            If the rows do not lie within the operator or `out` has another shape.
        InputTypeError
            If `out` cannot hold the product.

        Notes
        -----
        Which numbers multiply a row depends on the key and the row's index only, never on `n`:
        where the number of rows is not known in advance, make the operator with ``n=2**62``.
        """
        if _ndim(block) == 1 and isinstance(out, np.ndarray) and out.ndim == 1:
            self.apply_rows(_as_column(block), row_start, out[:, None])
            return out
        op = as_matrix(block, "block")
        rows, k = op.shape
        row_start = checked_int(row_start, "row_start", 0)
        if row_start + rows > self.shape[1]:
            raise InputError(
                f"`row_start` plus the rows of `block` must be at most {self.shape[1]}, "
                f"got {row_start} + {rows}"
            )
        dtype = self._product_dtype(op.dtype)
        allowed = "FD" if dtype.kind == "c" else "fdFD"
        if not isinstance(out, np.ndarray) or out.dtype.char not in allowed:
            kind = "complex" if dtype.kind == "c" else "floating-point"
            found = getattr(out, "dtype", type(out).__name__)
            raise InputTypeError(f"`out` must be a {kind} NumPy array, got {found}")
        if out.shape != (self.shape[0], k) or not out.flags.writeable:
            raise InputError(
                f"`out` must have shape {(self.shape[0], k)} and be writable, got shape "
                f"{out.shape}, writable: {out.flags.writeable}"
            )
        if op.kind == "operator" or isinstance(op, MatrixView) or not on_host(op):
            raise InputTypeError(
                "`block` must be an array in host memory or a sparse array, "
                f"got {type(block).__name__}"
            )
        wide = np.result_type(dtype, np.float64)
        if out.dtype == wide and out.flags.c_contiguous:
            self._accumulate(op, row_start, out)
        else:
            acc = np.zeros(out.shape, wide)
            self._accumulate(op, row_start, acc)
            out += acc
        return out

    def _product_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return np.result_type(dtype, np.complex64) if self.dtype.kind == "c" else dtype

    def _accumulate(self, op: MatrixLike, start: int, out: NDArray) -> None:
        """Add ``S[:, start:start + b] @ op`` to a C-contiguous double precision array."""
        if out.size == 0 or op.shape[0] == 0:
            return
        if isinstance(op, _Sparse):
            self._accumulate_sparse(op.csr, start, out)
        else:
            source = op.source if op.xp is np else op.to_numpy(op.source)
            self._accumulate_dense(np.asarray(source), op.dtype, start, out)

    def _accumulate_dense(self, X: NDArray, dtype: np.dtype[Any], start: int, out: NDArray) -> None:
        # The partition depends on the shapes only, so that all thread counts add in one order.
        (n, k), m = X.shape, self.shape[0]
        compiled = use_kernels(X.size)
        width = max(64, _PANEL_BYTES // (out.itemsize * m)) if compiled else k
        panels = even_slices(k, width)
        chunks = min(-(-CHUNKS // len(panels)), n // m) if compiled else 1
        bounds = self._chunk_bounds(start, n, chunks)
        copied = len(panels) > 1 or X.dtype != dtype or not X.flags.c_contiguous

        def compute(chunk: int, p: int, acc: NDArray) -> None:
            width = acc.shape[1] if copied else 1
            for rows in self._tiles(bounds[chunk], bounds[chunk + 1], width, start):
                tile = np.ascontiguousarray(X[rows, panels[p]], dtype)
                if self._real_entries():  # the parts of complex numbers are columns of their own
                    tile, acc = _real_view(tile), _real_view(acc)
                self._add_tile(tile, start + rows.start, acc, compiled)

        add_partial_sums(
            compute,
            out,
            chunks=len(bounds) - 1,
            regions=[(slice(None), columns) for columns in panels],
            dtype=np.result_type(dtype, np.float64) if self._real_entries() else out.dtype,
            scale=self._scale(),
            threaded=compiled,
        )

    def _chunk_bounds(self, start: int, n: int, chunks: int) -> list[int]:
        """Split n rows that begin at `start`, at multiples of the granule if not at the ends."""
        g = self._granule
        first, last = start // g, -(-(start + n) // g)
        inner = {(first + (last - first) * c // chunks) * g - start for c in range(1, chunks)}
        return [0, *sorted(i for i in inner if 0 < i < n), n]

    def _tiles(self, i0: int, i1: int, width: int, start: int) -> Iterator[slice]:
        """Split the rows i0 to i1 into tiles; row 0 has the index `start` in the operator."""
        g = self._granule
        rows = max(1, min(_TILE_ROWS, _TILE_ENTRIES // max(1, width)) // g) * g
        while i0 < i1:
            stop = min(i1, (start + i0) // g * g + rows - start)
            yield slice(i0, stop)
            i0 = stop

    def _add_tile(self, tile: NDArray, start: int, acc: NDArray, compiled: bool) -> None:
        """Add the product with a C-contiguous tile of rows, before scaling, to `acc`.

        `acc` has double precision; it is real where the operator and the tile are.
        """
        del compiled  # an operator with a faster product does it in its own way
        acc += self._entries(start, start + tile.shape[0]) @ tile

    def _accumulate_sparse(self, X: Any, start: int, out: NDArray) -> None:
        n, rows = X.shape[0], self._slab_rows(X.shape[0])
        for i in range(0, n, rows):
            part = X[i : i + rows]
            if part.nnz:
                slab = self._scale() * self._entries(start + i, start + i + part.shape[0])
                out += (part.T @ slab.T).T

    def _slab_rows(self, n: int) -> int:
        return max(1, min(n, _SLAB_BYTES // (8 * max(1, self.shape[0]))))

    def _times_device(self, op: MatrixLike) -> Array:
        """Multiply explicit slabs, moved to the device, with an array that lives there."""
        n, rows = self.shape[1], min(_SLAB_ROWS, self._slab_rows(self.shape[1]))
        wide = getattr(op.xp, np.result_type(self._product_dtype(op.dtype), np.float64).name)
        total: Any = 0.0
        for i in range(0, max(n, 1), rows):
            stop = min(n, i + rows)
            part = _times_products(self.columns(i, stop), as_matrix(op.source[i:stop, :]))
            total = total + op.xp.astype(part, wide)
        return op.xp.astype(total, getattr(op.xp, self._product_dtype(op.dtype).name))

    def _adjoint_rows(self, Y: NDArray, i0: int, i1: int) -> NDArray:
        """Return the rows i0 to i1 of ``S^T @ Y`` before scaling."""
        return narrowed(self._entries(i0, i1).T, Y.dtype) @ Y


class _Transposed:
    """The transpose or the conjugate transpose of a sketching operator."""

    __array_ufunc__ = None

    def __init__(self, base: SketchOperator, *, conjugate: bool) -> None:
        self.base = base
        self.conjugate = conjugate
        self.shape = base.shape[::-1]
        self.dtype = base.dtype

    def __repr__(self) -> str:
        return f"{self.base!r}.{'H' if self.conjugate else 'T'}"

    def toarray(self) -> NDArray:
        """Return the whole operator as an array."""
        entries = self.base.toarray().T
        return entries.conj() if self.conjugate else entries

    def __matmul__(self, Y: MatrixInput) -> Array:
        """Return the product with an array or sparse array that has m rows."""
        if _ndim(Y) == 1:
            return (self @ _as_column(Y))[:, 0]
        op = as_matrix(Y, "Y")
        m = self.base.shape[0]
        if op.shape[0] != m:
            raise InputError(f"`Y` must have {m} rows for shape {self.shape}, got shape {op.shape}")
        if isinstance(op, MatrixView) or op.kind == "operator" or not on_host(op):
            return _times_products(self.toarray(), op)
        # The result, which is dense, is larger than what a sparse array of few rows becomes.
        values = op.csr.toarray() if isinstance(op, _Sparse) else op.to_numpy(op.source)
        result = self._times_dense(np.asarray(values, op.dtype))
        return result if op.xp is np else _to_namespace(op, result)

    def _times_dense(self, Y: NDArray) -> NDArray:
        base, n = self.base, self.shape[0]
        if self.conjugate:
            Y = Y.conj()
        out = np.empty((n, Y.shape[1]), base._product_dtype(Y.dtype))
        if Y.shape[0] == 0:
            out[...] = 0.0
        elif out.size:
            for rows in base._tiles(0, n, Y.shape[1], 0):
                out[rows] = base._scale() * base._adjoint_rows(Y, rows.start, rows.stop)
        return np.conj(out, out=out) if self.conjugate else out

    def __rmatmul__(self, X: Array) -> Array:
        """Return the product of an array that has n columns with this operator."""
        if not self.conjugate:
            return (self.base @ X.T).T
        return np.conj(self.base @ np.conj(X).T).T


def use_kernels(entries: int) -> bool:
    """Tell whether an input is large enough to be worth loading compiled code."""
    return entries >= _KERNEL_ENTRIES


def even_slices(n: int, most: int) -> list[slice]:
    """Split a nonempty range into slices of about equal length, at most `most`."""
    count = -(-n // most)
    return [slice(n * i // count, n * (i + 1) // count) for i in range(count)]


def _times_products(S: NDArray, op: MatrixLike) -> Array:
    """Return ``S @ A`` as ``(A^H S^H)^H``, for a matrix that is known through its products."""
    if S.dtype.kind == "c" and op.dtype.kind != "c":  # a real matrix takes real factors only
        wide = getattr(op.xp, np.result_type(op.dtype, np.complex64).name)
        real, imag = (op.xp.astype(_times_products(part, op), wide) for part in (S.real, S.imag))
        return real + 1j * imag
    product = op.rmat(op.from_numpy(S.conj().T))
    return op.xp.conj(product).T if op.dtype.kind == "c" else product.T


def on_host(op: MatrixLike) -> bool:
    """Tell whether NumPy can read the array in place."""
    if op.xp is np or isinstance(op, MatrixView):
        return op.xp is np
    import array_api_compat

    return "cpu" in str(array_api_compat.device(op.source)).lower()


def _to_namespace(op: MatrixLike, x: NDArray) -> Array:
    """Move a result, which may be complex where the matrix is real, to where the matrix is."""
    import array_api_compat

    return op.xp.asarray(x, device=array_api_compat.device(op.source))


def narrowed(entries: NDArray, dtype: np.dtype[Any]) -> NDArray:
    """Return entries in single precision where `dtype` is; real entries stay real."""
    if dtype.char in "dD":
        return entries
    return entries.astype(np.complex64 if entries.dtype.kind == "c" else np.float32)


def _ndim(X: Any) -> int:
    return X.ndim if hasattr(X, "ndim") else np.ndim(X) if isinstance(X, (list, tuple)) else 2


def _as_column(x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        x = np.asarray(x)
    return x.reshape((-1, 1)) if hasattr(x, "reshape") else x[:, None]


def _real_view(x: NDArray) -> NDArray:
    return x.view(x.real.dtype) if x.dtype.kind == "c" else x
