"""The one way in: every matrix-like input becomes a `MatrixLike`."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import Any, Literal, TypeAlias

import numpy as np

from lowapprox._core.csr import KernelProducts, csr_products
from lowapprox._core.dense import PanelProducts, suits_kernels
from lowapprox._core.errors import InputError, InputTypeError, NumericalError
from lowapprox._core.typing import Array, MatrixInput

__all__ = ["MatrixLike", "as_matrix", "set_rows", "to_host"]

Kind: TypeAlias = Literal["dense", "sparse", "operator"]

_BLOCK_BYTES = 8 << 20  # row blocks that are converted on the fly stay in the cache


class MatrixLike(ABC):
    """A matrix seen through its products.

    Algorithms use `mat` and `rmat` for products, `xp` for small dense algebra, and
    `from_numpy` and `to_numpy` to move small arrays. Wrappers (`Adjoint`, `Scaled`,
    `Centred`) are matrices too.
    """

    source: Any
    xp: Any
    shape: tuple[int, int]
    dtype: np.dtype[Any]  # computing precision: float32, float64, complex64 or complex128
    kind: Kind
    compiled = False  # whether products run on the numba threads, so that BLAS should not

    @abstractmethod
    def mat(self, X: Array) -> Array:
        """Return ``A @ X`` for X of shape (n, b)."""

    @abstractmethod
    def rmat(self, Y: Array) -> Array:
        """Return ``A^H @ Y`` for Y of shape (m, b)."""

    def with_kernels(self) -> MatrixLike:
        """Return the matrix with compiled products, where it is large enough to be worth them."""
        return self

    @abstractmethod
    def fro2(self) -> float | None:
        """Squared Frobenius norm; None when only products are known; may be inf or NaN."""

    @abstractmethod
    def max_abs(self) -> float:
        """Return the largest modulus of an entry, NaN if there is one."""

    def entries(self) -> Array:
        """Return the matrix as a dense array; meant for dense input, or small ones."""
        return self.mat(self.from_numpy(np.eye(self.shape[1])))

    def row_block(self, start: int, stop: int) -> Any:
        """Return rows `start` to `stop` as a NumPy or scipy.sparse array, in any dtype."""
        del start, stop
        raise InputTypeError(
            "`A` must be a NumPy or scipy.sparse array to be read by rows, "
            f"got {type(getattr(self, 'source', self)).__name__}"
        )

    def stored(self) -> Array:
        """Return the stored entries: all of a dense matrix, the nonzeros of a sparse one."""
        return self.entries()

    def column_indices(self) -> np.ndarray[Any, Any]:
        """Return the columns of the stored entries of a sparse matrix."""
        raise InputTypeError("`A` must be sparse for its column indices to be read")

    def from_numpy(self, x: np.ndarray[Any, Any], *, real: bool = False) -> Array:
        """Move a NumPy array into the namespace, device and (real) precision of the matrix."""
        return np.asarray(x, dtype=self.real_dtype if real else self.dtype)

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        """Move a small array to the host."""
        return np.asarray(x)

    @property
    def H(self) -> MatrixLike:
        """The conjugate transpose, as a view."""
        from lowapprox._core.views import Adjoint  # which is a matrix, too

        return Adjoint(self)

    @property
    def real_dtype(self) -> np.dtype[Any]:
        """float32 or float64, the precision of real and imaginary parts."""
        return np.finfo(self.dtype).dtype

    @property
    def eps(self) -> float:
        """Unit roundoff (machine epsilon) of the computing precision."""
        return float(np.finfo(self.dtype).eps)


class _NumpyDense(MatrixLike):
    """NumPy array whose memory BLAS reads as it is."""

    kind = "dense"
    xp = np

    def __init__(self, A: np.ndarray[Any, Any]) -> None:
        self.source = A
        self.shape = (A.shape[0], A.shape[1])
        self.dtype = A.dtype

    # Panels of few columns are multiplied as rows, X^T A^T: in that form both products were
    # faster than A @ X and A.T @ Y for C- and for F-ordered A.
    def mat(self, X: Array) -> Array:
        return (X.T @ self.source.T).T

    def rmat(self, Y: Array) -> Array:
        if self.dtype.kind == "c":
            return (Y.conj().T @ self.source).conj().T
        return (Y.T @ self.source).T

    def with_kernels(self) -> MatrixLike:
        return _PaneledDense(self.source) if suits_kernels(self.source) else self

    def row_block(self, start: int, stop: int) -> Any:
        return self.source[start:stop]

    def fro2(self) -> float:
        A = self.source if self.source.flags.c_contiguous else self.source.T
        if A.flags.c_contiguous and A.dtype.char in "dD":
            with np.errstate(all="ignore"):
                return float(np.vdot(A.reshape(-1), A.reshape(-1)).real)
        # Row sums in the precision of A, their sum in float64.
        with np.errstate(all="ignore"):
            return float(np.vecdot(A, A).real.sum(dtype=np.float64))

    def max_abs(self) -> float:
        return _max_abs_blocks(self.source, self.dtype)

    def entries(self) -> Array:
        return self.source


class _PaneledDense(_NumpyDense):
    """The same by compiled kernels, for panels of few columns."""

    compiled = True

    def __init__(self, A: np.ndarray[Any, Any]) -> None:
        super().__init__(A)
        by_rows = A.strides[1] == A.itemsize
        self._products = products = PanelProducts(A if by_rows else A.T)
        self._forward = products.multiply if by_rows else products.adjoint
        self._backward = products.adjoint if by_rows else products.multiply

    def mat(self, X: Array) -> Array:
        return self._forward(X) if self._products.suits(X) else super().mat(X)

    def rmat(self, Y: Array) -> Array:
        return self._backward(Y) if self._products.suits(Y) else super().rmat(Y)

    def fro2(self) -> float:
        return self._products.fro2()


class _ConvertedDense(MatrixLike):
    """NumPy array converted block by block in every product.

    For integers, half precision, foreign byte order and strides that BLAS cannot follow; the
    whole array is never copied.
    """

    kind = "dense"
    xp = np

    def __init__(self, A: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> None:
        self.source = A
        self.shape = (A.shape[0], A.shape[1])
        self.dtype = dtype

    def _blocks(self) -> Any:
        step = max(1, _BLOCK_BYTES // max(1, self.shape[1] * self.dtype.itemsize))
        for i in range(0, self.shape[0], step):
            yield slice(i, i + step), np.ascontiguousarray(self.source[i : i + step], self.dtype)

    def mat(self, X: Array) -> Array:
        out = np.empty((self.shape[0], X.shape[1]), np.result_type(self.dtype, X.dtype))
        for rows, block in self._blocks():
            out[rows] = block @ X
        return out

    def rmat(self, Y: Array) -> Array:
        out = np.zeros((Y.shape[1], self.shape[1]), np.result_type(self.dtype, Y.dtype))
        for rows, block in self._blocks():
            out += Y[rows].conj().T @ block
        return out.conj().T

    def row_block(self, start: int, stop: int) -> Any:
        return self.source[start:stop]

    def fro2(self) -> float:
        with np.errstate(all="ignore"):
            return sum(float(np.vecdot(b, b).real.sum(dtype=np.float64)) for _, b in self._blocks())

    def max_abs(self) -> float:
        return _max_abs_blocks(self.source, self.dtype)

    def entries(self) -> Array:
        return np.ascontiguousarray(self.source, dtype=self.dtype)


class _ArrayAPIDense(MatrixLike):
    """Array of any other array-API namespace, on its device."""

    kind = "dense"

    def __init__(self, A: Array, xp: Any, name: str) -> None:
        self.xp = xp
        A = A.detach() if hasattr(A, "detach") else A  # factors carry no gradients
        dtype = str(A.dtype).rsplit(".", maxsplit=1)[-1]
        self.dtype = _compute_dtype(dtype, name)
        self.source = A if dtype == self.dtype.name else xp.astype(A, getattr(xp, self.dtype.name))
        self.shape = (int(A.shape[0]), int(A.shape[1]))
        import array_api_compat

        self._device = array_api_compat.device(A)

    def mat(self, X: Array) -> Array:
        return self.source @ X

    def rmat(self, Y: Array) -> Array:
        xp = self.xp
        if self.dtype.kind == "c":
            return xp.conj(xp.conj(Y).T @ self.source).T
        return (Y.T @ self.source).T

    def fro2(self) -> float:
        with np.errstate(all="ignore"):  # some namespaces wrap NumPy
            norm = float(self.xp.linalg.vector_norm(self.source))
        return norm * norm

    def max_abs(self) -> float:
        return float(self.xp.max(self.xp.abs(self.source))) if 0 not in self.shape else 0.0

    def entries(self) -> Array:
        return self.source

    def from_numpy(self, x: np.ndarray[Any, Any], *, real: bool = False) -> Array:
        dtype = self.real_dtype if real else self.dtype
        x = np.array(x, dtype=dtype, order="C")  # a copy: some namespaces would share the memory
        return self.xp.asarray(x, dtype=getattr(self.xp, dtype.name), device=self._device)

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        return to_host(x)


class _Sparse(MatrixLike):
    """scipy.sparse input as canonical CSR; never densified."""

    kind = "sparse"
    xp = np

    def __init__(self, A: Any, name: str) -> None:
        self.source = A
        self.shape = (int(A.shape[0]), int(A.shape[1]))
        self.dtype = _compute_dtype(A.dtype, name)
        csr = A.tocsr()
        if not csr.has_canonical_format:
            csr = csr.copy() if csr is A or csr.data is getattr(A, "data", None) else csr
            csr.sum_duplicates()
        self.csr = csr.astype(self.dtype, copy=False)
        self._products = csr_products(self.csr)
        self.compiled = isinstance(self._products, KernelProducts)

    def mat(self, X: Array) -> Array:
        return self._products.mat(X)

    def rmat(self, Y: Array) -> Array:
        return self._products.rmat(Y)

    def row_block(self, start: int, stop: int) -> Any:
        return self.csr[start:stop]

    def fro2(self) -> float:
        data, step = self.csr.data, _BLOCK_BYTES // 8
        blocks = (np.abs(data[i : i + step]) for i in range(0, data.size, step))
        with np.errstate(all="ignore"):
            return sum(float(np.square(b, dtype=np.float64).sum()) for b in blocks)

    def max_abs(self) -> float:
        return float(np.abs(self.csr.data).max()) if self.csr.data.size else 0.0

    def stored(self) -> Array:
        return self.csr.data

    def column_indices(self) -> np.ndarray[Any, Any]:
        columns: np.ndarray[Any, Any] = self.csr.indices
        return columns


class _Operator(MatrixLike):
    """LinearOperator or any object with matmat and rmatmat (or matvec and rmatvec)."""

    kind = "operator"
    xp = np

    def __init__(self, A: Any, name: str) -> None:
        self.source = A
        self.shape = (int(A.shape[0]), int(A.shape[1]))
        dtype = getattr(A, "dtype", None)
        if dtype is None:
            dtype = np.asarray(_columns(A, ("matmat", "matvec"), np.ones((self.shape[1], 1)))).dtype
        self.dtype = _compute_dtype(dtype, name)

    def mat(self, X: Array) -> Array:
        return self._checked(_columns(self.source, ("matmat", "matvec"), X), self.shape[0], X)

    def rmat(self, Y: Array) -> Array:
        try:
            out = _columns(self.source, ("rmatmat", "rmatvec"), Y)
        except (NotImplementedError, TypeError) as exc:  # how SciPy's operators refuse
            raise _no_adjoint() from exc
        return self._checked(out, self.shape[1], Y)

    def _checked(self, out: Any, rows: int, X: Array) -> Array:
        out = np.asarray(out)
        if out.dtype.kind == "c" and self.dtype.kind != "c":
            raise InputTypeError(
                f"`A` states dtype {self.dtype}, but a product with it is complex; state a "
                "complex dtype"
            )
        out = np.array(out, dtype=self.dtype)  # a copy: an operator may return its own buffer, or X
        if out.shape != (rows, X.shape[1]):
            raise InputError(
                f"a product with `A` must have shape {(rows, X.shape[1])}, got {out.shape}"
            )
        if not np.isfinite(out).all():
            raise NumericalError("a product with the operator `A` contains NaN or infinity")
        return out

    def fro2(self) -> None:
        return None

    def max_abs(self) -> float:
        raise InputTypeError("`A` is known only through products; its entries cannot be read")


def as_matrix(A: MatrixInput, name: str = "A") -> MatrixLike:
    """Validate a matrix-like input and find its namespace.

    Parameters
    ----------
    A : array, scipy.sparse array or matrix, LinearOperator, or nested sequence
        Two-dimensional. It is never modified and never copied as a whole (sparse formats other
        than canonical CSR are converted once; other array namespaces convert integers once).
    name : str
        The argument's name in error messages.

    Raises
    ------
    InputTypeError
        For dtypes without a computing precision (object, longdouble, strings), masked arrays,
        and Dask arrays.
    InputError
        If `A` is not two-dimensional.
    """
    if isinstance(A, MatrixLike):
        return A
    module = type(A).__module__
    if module.split(".")[0] == "dask":
        raise InputTypeError(
            f"`{name}` is a Dask array, which this function does not take; "
            f"use {name}.compute(), or feed its row blocks to a streaming class"
        )
    if _is_scipy_sparse(A):
        _check_ndim(A.ndim, A.shape, name)
        return _Sparse(A, name)
    if isinstance(A, (np.ndarray, list, tuple)):
        return _dense_numpy(A, name)
    if hasattr(A, "shape") and any(hasattr(A, f) for f in ("matmat", "matvec")):
        _check_ndim(len(A.shape), A.shape, name)
        if not any(hasattr(A, f) for f in ("rmatmat", "rmatvec")):
            raise _no_adjoint()
        return _Operator(A, name)
    if hasattr(A, "__array_namespace__") or module.split(".")[0] in {"torch", "cupy", "jax"}:
        import array_api_compat

        _check_ndim(A.ndim, tuple(A.shape), name)
        return _ArrayAPIDense(A, array_api_compat.array_namespace(A), name)
    if hasattr(A, "__array__") or hasattr(A, "__array_interface__"):
        return _dense_numpy(A, name)
    raise InputTypeError(
        f"`{name}` must be an array, a scipy.sparse array or a LinearOperator, "
        f"got {type(A).__name__}"
    )


def to_host(x: Array) -> np.ndarray[Any, Any]:
    """Return a small array of any namespace and device as a NumPy array."""
    if isinstance(x, np.ndarray):
        return x
    if hasattr(x, "resolve_conj"):  # PyTorch keeps lazy conjugates and gradients
        x = x.detach().resolve_conj().cpu()
    elif hasattr(x, "get"):  # CuPy
        x = x.get()
    elif hasattr(x, "to_device") and hasattr(x, "__array_namespace__"):
        x = x.to_device(x.__array_namespace__().__array_namespace_info__().default_device())
    return np.asarray(x)


def set_rows(buffer: Array, start: int, block: Array) -> Array:
    """Write rows into a buffer and return it; JAX arrays, which are immutable, are replaced."""
    if hasattr(buffer, "at") and type(buffer).__module__.split(".")[0].startswith("jax"):
        return buffer.at[start : start + block.shape[0]].set(block)
    buffer[start : start + block.shape[0], ...] = block
    return buffer


def _dense_numpy(A: Any, name: str) -> MatrixLike:
    if isinstance(A, np.ma.MaskedArray):
        if np.ma.getmaskarray(A).any():
            raise InputTypeError(
                f"`{name}` has masked entries; fill them, or use lowapprox.complete"
            )
        A = A.data
    try:
        A = np.asarray(A)
    except ValueError as exc:
        raise InputTypeError(f"`{name}` cannot be read as an array of numbers: {exc}") from exc
    _check_ndim(A.ndim, A.shape, name)
    dtype = _compute_dtype(A.dtype, name)
    if A.dtype == dtype and A.dtype.isnative and (_blas_ready(A) or A.size == 0):
        return _NumpyDense(A)
    return _ConvertedDense(A, dtype)


def _compute_dtype(dtype: Any, name: str = "A") -> np.dtype[Any]:
    if isinstance(dtype, np.dtype) and dtype.char in "fdFD" and dtype.isnative:
        return dtype  # at once: to write the name of a dtype takes microseconds
    if str(dtype) == "bfloat16":
        return np.dtype(np.float32)
    dtype = np.dtype(dtype)
    if dtype.kind in "biu":
        return np.dtype(np.float64)
    if dtype.char == "e":
        return np.dtype(np.float32)
    if dtype.char in "fdFD":
        native: np.dtype[Any] = dtype.newbyteorder("=")
        return native
    raise InputTypeError(
        f"`{name}` must have a boolean, integer, float16/32/64 or complex64/128 dtype, got {dtype}"
    )


def _blas_ready(A: np.ndarray[Any, Any]) -> bool:
    """One stride is the item size and the other positive, as BLAS needs."""
    item = A.itemsize
    if not A.flags.aligned:
        return False
    (m, n), (sm, sn) = A.shape, A.strides
    rows = (sn == item or n == 1) and (m == 1 or (sm >= n * item and sm % item == 0))
    cols = (sm == item or m == 1) and (n == 1 or (sn >= m * item and sn % item == 0))
    return rows or cols


def _max_abs_blocks(A: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> float:
    step = max(1, _BLOCK_BYTES // max(1, A.shape[1] * dtype.itemsize))
    peaks = [
        np.abs(A[i : i + step].astype(dtype, copy=False)).max(initial=0.0)
        for i in range(0, A.shape[0], step)
    ]
    return float(np.max(peaks, initial=0.0))


def _check_ndim(ndim: int, shape: Any, name: str) -> None:
    if ndim != 2:
        raise InputError(f"`{name}` must have 2 dimensions, got shape {tuple(shape)}")


def _is_scipy_sparse(A: Any) -> bool:
    # scipy.sparse costs too much to import only to ask; whoever owns such an array has it.
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and sparse.issparse(A)


def _columns(A: Any, names: tuple[str, str], X: Array) -> Any:
    """Multiply with the block product if there is one, else column by column."""
    block, single = names
    if hasattr(A, block):
        return getattr(A, block)(X)
    vec = getattr(A, single)
    return np.stack([np.asarray(vec(X[:, j])).reshape(-1) for j in range(X.shape[1])], axis=1)


def _no_adjoint() -> InputTypeError:
    return InputTypeError(
        "`A` must offer adjoint products, and has none; define rmatvec or rmatmat "
        "(for a symmetric operator: rmatvec=matvec)"
    )
