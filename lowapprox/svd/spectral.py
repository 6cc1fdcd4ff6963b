"""What the results for Hermitian matrices share: ``U @ diag(w) @ U^H`` and its products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lowapprox._core.errors import InputError
from lowapprox._core.matrix import MatrixLike, as_matrix
from lowapprox._core.typing import Array, MatrixInput
from lowapprox._core.views import MatrixView

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

__all__ = ["adjoint", "hermitian_operator", "read_diagonal", "reconstruct", "square"]

Host = np.ndarray[Any, Any]


def square(A: MatrixInput) -> MatrixLike:
    """Validate a square matrix."""
    op = as_matrix(A)
    if op.shape[0] != op.shape[1]:
        raise InputError(f"`A` must be square, got shape {op.shape}")
    return op


def adjoint(U: Array) -> Array:
    """Conjugate transpose of an array in any namespace."""
    import array_api_compat

    xp = array_api_compat.array_namespace(U)
    return (xp.conj(U) if xp.isdtype(U.dtype, "complex floating") else U).T


def reconstruct(U: Array, w: Array) -> Array:
    """Return ``U @ diag(w) @ U^H``."""
    return (U * w) @ adjoint(U)


def hermitian_operator(U: Host, w: Host, rest: float = 0.0) -> LinearOperator:
    """``U diag(w) U^H + rest (I - U U^H)`` through its products, for orthonormal columns U."""
    from scipy.sparse.linalg import LinearOperator

    def matmat(X: Host) -> Host:
        product: Host = U @ ((w - rest)[:, None] * (U.conj().T @ X))
        return product + rest * X if rest else product

    def matvec(x: Host) -> Host:
        return matmat(x.reshape(-1, 1))[:, 0]

    n = U.shape[0]
    return LinearOperator(
        (n, n), matvec=matvec, rmatvec=matvec, matmat=matmat, rmatmat=matmat, dtype=U.dtype
    )


def read_diagonal(op: MatrixLike) -> Host | None:
    """Diagonal in double precision; None when only products are known."""
    source: Any = op
    if op.kind == "operator" or isinstance(op, MatrixView):
        return None
    if op.kind == "sparse":
        diagonal = source.csr.diagonal()
    elif op.xp is np:
        diagonal = np.diagonal(op.source)
    else:
        diagonal = op.to_numpy(op.xp.linalg.diagonal(op.source))
    return np.asarray(diagonal, dtype=np.result_type(op.dtype, np.float64))
