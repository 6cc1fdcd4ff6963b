"""Slow, obvious versions and measures that the tests compare with."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.matrix import to_host


def random_array(gen: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Gaussian entries, with an imaginary part for complex dtypes."""
    dtype = np.dtype(dtype)
    x = gen.standard_normal(shape)
    if dtype.kind == "c":
        x = x + 1j * gen.standard_normal(shape)
    return x.astype(dtype)


def host(x: Any) -> np.ndarray:
    """An array of any namespace and device, or a sparse one, as a NumPy array."""
    return x.toarray() if hasattr(x, "toarray") else to_host(x)


def eps(A: np.ndarray) -> float:
    """Machine epsilon of the precision of an array."""
    return float(np.finfo(A.dtype).eps)


def orthonormal(gen: np.random.Generator, m: int, k: int, dtype: Any = float) -> np.ndarray:
    """Random (m, k) matrix with orthonormal columns, k <= m."""
    return np.linalg.qr(random_array(gen, (m, k), np.result_type(dtype, float)))[0].astype(dtype)


def with_spectrum(
    gen: np.random.Generator, m: int, n: int, s: np.ndarray, dtype: Any = float
) -> np.ndarray:
    """Random (m, n) matrix with the singular values s, computed in double and then rounded."""
    wide = np.result_type(dtype, float)
    U, V = orthonormal(gen, m, len(s), wide), orthonormal(gen, n, len(s), wide)
    return ((U * s) @ V.conj().T).astype(dtype)


def tail(A: np.ndarray, k: int, norm: str = "fro") -> float:
    """Error of the best approximation of rank k, by a full SVD in double."""
    rest = np.linalg.svd(np.asarray(A, np.result_type(A, float)), compute_uv=False)[k:]
    if norm == "fro":
        return float(np.linalg.norm(rest))
    return float(rest[0]) if rest.size else 0.0


def error(A: np.ndarray, approximation: np.ndarray, norm: str = "fro") -> float:
    """Norm of the difference, in double."""
    wide = np.result_type(A, float)
    E = np.asarray(A, wide) - np.asarray(approximation, wide)
    return float(np.linalg.norm(E, "fro" if norm == "fro" else 2)) if E.size else 0.0


def product(U: np.ndarray, s: np.ndarray, Vh: np.ndarray) -> np.ndarray:
    """U diag(s) Vh, in double."""
    wide = np.result_type(U, float)
    return (np.asarray(U, wide) * np.asarray(s, float)) @ np.asarray(Vh, wide)


def residuals(A: np.ndarray, U: np.ndarray, s: np.ndarray, Vh: np.ndarray) -> np.ndarray:
    """max(|A v_i - s_i u_i|, |A^H u_i - s_i v_i|) for each triplet, in double."""
    wide = np.result_type(A, float)
    A, U, V = np.asarray(A, wide), np.asarray(U, wide), np.asarray(Vh, wide).conj().T
    s = np.asarray(s, float)
    right = np.linalg.norm(A @ V - U * s, axis=0)
    left = np.linalg.norm(A.conj().T @ U - V * s, axis=0)
    return np.maximum(right, left)


def orthonormality_defect(Q: np.ndarray) -> float:
    """Largest entry of |Q^H Q - I|, in double."""
    Q = np.asarray(Q, np.result_type(Q, float))
    return float(np.abs(Q.conj().T @ Q - np.eye(Q.shape[1])).max(initial=0.0))


def centred(A: np.ndarray) -> np.ndarray:
    """A minus its column means, in double."""
    A = np.asarray(A, np.result_type(A, float))
    return A - A.mean(axis=0) if A.shape[0] else A


def rbf_kernel(points: np.ndarray, width: float) -> np.ndarray:
    """exp(-|x - y|^2 / (2 width^2)) for all pairs of rows."""
    square = ((points[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)
    return np.exp(-square / (2.0 * width**2))


def plain_rp_cholesky(
    K: np.ndarray, rank: int, gen: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Randomly pivoted Cholesky one column at a time (Chen, Epperly, Tropp, Webber 2022)."""
    n = K.shape[0]
    F, pivots, d = np.zeros((n, rank), K.dtype), np.zeros(rank, int), K.diagonal().real.copy()
    for i in range(rank):
        pivot = int(gen.choice(n, p=d / d.sum()))
        g = K[:, pivot] - F[:, :i] @ F[pivot, :i].conj()
        F[:, i] = g / np.sqrt(g[pivot].real)
        d = np.maximum(d - np.abs(F[:, i]) ** 2, 0.0)
        d[pivot] = 0.0
        pivots[i] = pivot
    return F, pivots


class CountedOperator:
    """A matrix seen through its products only, which counts the columns multiplied."""

    def __init__(self, A: np.ndarray) -> None:
        self.A, self.shape, self.dtype = A, A.shape, A.dtype
        self.columns = 0

    def matmat(self, X: np.ndarray) -> np.ndarray:
        self.columns += X.shape[1]
        return self.A @ X

    def rmatmat(self, Y: np.ndarray) -> np.ndarray:
        self.columns += Y.shape[1]
        return self.A.conj().T @ Y
