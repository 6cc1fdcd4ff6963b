"""Rows and columns of a matrix, and the error of approximations made from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.errors import InputTypeError
from lowapprox._core.matrix import MatrixLike
from lowapprox._core.rng import standard_normal
from lowapprox._core.typing import Array
from lowapprox._core.views import Adjoint, MatrixView, Scaled, scaled

__all__ = [
    "Counted",
    "Probes",
    "adjoint",
    "dense",
    "index_array",
    "residual_fro2",
    "take",
]

_BLOCK_BYTES = 8 << 20


class Counted(MatrixView):
    """A matrix that counts its products."""

    def __init__(self, base: MatrixLike) -> None:
        super().__init__(base)
        self.passes = self.matvecs = 0

    def mat(self, X: Array) -> Array:
        """Return ``A @ X``."""
        self._count(X)
        return self.base.mat(X)

    def rmat(self, Y: Array) -> Array:
        """Return ``A^H @ Y``."""
        self._count(Y)
        return self.base.rmat(Y)

    def _count(self, X: Array) -> None:
        self.passes += 1
        self.matvecs += int(X.shape[1])


class Probes:
    """Products with Gaussian vectors, which estimate squared Frobenius norms without bias."""

    def __init__(self, op: MatrixLike, gen: np.random.Generator, count: int) -> None:
        vectors = standard_normal(gen, (op.shape[1], count), op.dtype)
        self._norm = op.xp.linalg.vector_norm
        self._vectors = op.from_numpy(vectors / np.sqrt(count))
        self._products = op.mat(self._vectors)

    def fro2(self) -> float:
        """Estimate ``|A|_F^2``."""
        return float(self._norm(self._products)) ** 2

    def residual_fro2(self, left: Array, right: Array) -> float:
        """Estimate ``|A - left @ right|_F^2``."""
        return float(self._norm(self._products - left @ (right @ self._vectors))) ** 2


def adjoint(op: MatrixLike, x: Array) -> Array:
    """Conjugate transpose of a dense or sparse panel."""
    if op.dtype.kind != "c":
        return x.T
    return x.conj().T if op.kind == "sparse" else op.xp.conj(x).T


def dense(panel: Array) -> Array:
    """Return a panel of few rows or columns as a dense array."""
    return panel.toarray() if hasattr(panel, "toarray") else panel


def index_array(op: MatrixLike, indices: np.ndarray[Any, Any]) -> Array:
    """Move indices into the namespace and device of the matrix."""
    if op.xp is np:
        return indices
    import array_api_compat

    return op.xp.asarray(indices, device=array_api_compat.device(op.from_numpy(np.zeros(0))))


def take(op: MatrixLike, indices: np.ndarray[Any, Any], axis: int) -> Array:
    """Return rows (axis 0) or columns (axis 1); those of a sparse matrix stay sparse."""
    if isinstance(op, Adjoint):
        return adjoint(op, take(op.base, indices, 1 - axis))
    if op.kind == "operator" and not indices.size:
        m, n = op.shape
        return op.from_numpy(np.zeros((0, n) if axis == 0 else (m, 0)))
    if op.kind == "operator":
        unit = np.zeros((op.shape[axis], indices.size))
        unit[indices, np.arange(indices.size)] = 1.0
        panel = op.from_numpy(unit)
        return op.mat(panel) if axis == 1 else adjoint(op, op.rmat(panel))
    if isinstance(op, Scaled):
        return scaled(take(op.base, indices, axis), op.exponent)
    if isinstance(op, Counted):
        return take(op.base, indices, axis)
    _refuse_view(op)
    if op.kind == "sparse":
        csr: Any = _csr(op)
        return csr[indices] if axis == 0 else csr[:, indices]
    if op.xp is np:
        part = op.source[indices] if axis == 0 else op.source[:, indices]
        return part.astype(op.dtype, copy=False)
    return op.xp.take(op.source, index_array(op, indices), axis=axis)


def residual_fro2(op: MatrixLike, left: Array, right: Array) -> float:
    """Compute ``|A - left @ right|_F^2`` in double precision, one block of rows at a time."""
    if 0 in op.shape:
        return 0.0
    if isinstance(op, Scaled) and isinstance(op.base, Adjoint):
        op = Scaled(op.base.base, op.exponent).H
    if isinstance(op, Adjoint):
        return residual_fro2(op.base, adjoint(op, right), adjoint(op, left))
    xp, wide = op.xp, np.result_type(op.dtype, np.float64).name
    right = xp.astype(right, getattr(xp, wide))
    step = max(1, _BLOCK_BYTES // max(1, op.shape[1] * np.dtype(wide).itemsize))
    total = 0.0
    for start in range(0, op.shape[0], step):
        stop = min(start + step, op.shape[0])
        product = xp.astype(left[start:stop, :], getattr(xp, wide)) @ right
        total += float(xp.linalg.vector_norm(_minus_rows(op, start, stop, product))) ** 2
    return total


def _minus_rows(op: MatrixLike, start: int, stop: int, block: Array) -> Array:
    """Subtract rows start to stop of the matrix from a block."""
    if op.kind == "sparse":
        csr: Any = _csr(op)
        span = slice(csr.indptr[start], csr.indptr[stop])
        rows = np.repeat(np.arange(stop - start), np.diff(csr.indptr[start : stop + 1]))
        block[rows, csr.indices[span]] -= op.stored()[span]
        return block
    return block - _rows(op, start, stop)


def _rows(op: MatrixLike, start: int, stop: int) -> Array:
    if isinstance(op, Scaled):
        return scaled(_rows(op.base, start, stop), op.exponent)
    if isinstance(op, Counted):
        return _rows(op.base, start, stop)
    _refuse_view(op)
    part = op.source[start:stop, :]
    return part.astype(op.dtype, copy=False) if op.xp is np else part


def _csr(op: Any) -> Any:
    while isinstance(op, (Scaled, Counted)):
        op = op.base
    _refuse_view(op)
    return op.csr


def _refuse_view(op: MatrixLike) -> None:
    """Refuse views whose entries are not those of the matrix that they are made of."""
    if isinstance(op, MatrixView):
        raise InputTypeError(
            f"`A` must have entries that can be read, got {type(op).__name__}, a view that offers "
            "only products"
        )
