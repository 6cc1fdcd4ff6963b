"""The triangle of a QR factorization, and what least squares asks of it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from lowapprox._core.threads import blas_threads
from lowapprox.regression.folding import fold
from lowapprox.regression.system import Host

__all__ = ["BackwardError", "Triangle", "Truncated", "lapack", "one_thread", "triangle_of"]

_SMALL = 32  # up to this many columns a singular value decomposition costs next to nothing
_FEW = 4  # right-hand sides, each with a factorization of its own


class Triangle:
    """Upper triangle with ``(A^H A) ~ D R^H R D``; the columns of R have unit norm.

    Attributes
    ----------
    R : numpy.ndarray, shape (r, d)
        r = d, or the number of rows where that is smaller.
    D : numpy.ndarray, shape (d,)
        Norms of the columns of A, 1 for zero columns.
    """

    def __init__(self, R: Host) -> None:
        peak = np.abs(R).max(axis=0, initial=0.0)
        peak[peak == 0.0] = 1.0
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity go through
            scaled = R / peak
            norms = np.linalg.norm(scaled, axis=0)
            norms[norms == 0.0] = 1.0
            self.R = np.asfortranarray(scaled / norms)
            self.D = peak * norms
        self._trtrs = lapack("trtrs", self.R)
        self._svd: tuple[Host, Host] | None = None

    def svd(self) -> tuple[Host, Host]:
        """Return the singular values of R and its right singular vectors, as rows."""
        if self._svd is None:
            self._svd = np.linalg.svd(self.R, full_matrices=False)[1:]
        return self._svd

    def solve(self, C: Host) -> Host:
        """Return ``(R D)^-1 C``."""
        solved: Host = self._solved(C, 0) / self.D[:, None]
        return solved

    def solve_adjoint(self, G: Host) -> Host:
        """Return ``(R D)^-H G``."""
        return self._solved(G / self.D[:, None], 2)

    def _solved(self, C: Host, trans: int) -> Host:
        x, info = self._trtrs(self.R, C, trans=trans)
        solved: Host = x
        return solved if info == 0 else np.full(C.shape, np.nan, self.R.dtype)

    def condition(self, gen: np.random.Generator) -> float:
        """Return the condition number of R, for many columns an estimate by power iterations.

        It is too small, if anything.
        """
        d = self.R.shape[1]
        if self.R.shape[0] < d or not self.R.diagonal().all():
            return np.inf
        with np.errstate(all="ignore"):
            if 0 < d <= _SMALL:
                s = self.svd()[0]
                return float(s[0] / s[-1]) if s[-1] else np.inf
            v = w = gen.standard_normal((d, 1))
            for _ in range(6):
                v = self.R.conj().T @ (self.R @ (v / np.linalg.norm(v)))
                w = self._solved(self._solved(w / np.linalg.norm(w), 2), 0)
            return float(np.sqrt(np.linalg.norm(v) * np.linalg.norm(w)))

    @property
    def rank(self) -> int:
        """The number of columns: no singular value is cut off."""
        return int(self.R.shape[1])

    def minimum_norm(self, C: Host, rcond: float) -> tuple[Host, int, float]:
        """Return the shortest minimizer of ``|R D x - C|``, the rank and the condition number.

        Singular values of R below `rcond` times the largest count as zero.
        """
        truncated = Truncated(self, rcond)
        return truncated.shortest(truncated.solve(C)), truncated.rank, truncated.condition


class Truncated:
    """A triangle without the singular values of R below `rcond` times the largest.

    Attributes
    ----------
    R, D : numpy.ndarray
        Of the triangle.
    rank : int
        The number of singular values kept.
    condition : float
        The largest of them by the smallest.
    """

    def __init__(self, triangle: Triangle, rcond: float) -> None:
        self.R, self.D = triangle.R, triangle.D
        U, s, Vh = np.linalg.svd(self.R, full_matrices=False)
        self.rank = int((s > rcond * s[:1]).sum())
        self.condition = float(s[0] / s[self.rank - 1]) if self.rank else 1.0
        self._U, self._s, self._Vh = U[:, : self.rank], s[: self.rank, None], Vh[: self.rank]

    def solve(self, C: Host) -> Host:
        """Return the minimizer of ``|R D x - C|`` for which ``D x`` is shortest."""
        solved: Host = (self._Vh.conj().T @ (self._U.conj().T @ C / self._s)) / self.D[:, None]
        return solved

    def solve_adjoint(self, G: Host) -> Host:
        """Apply the adjoint of that map."""
        solved: Host = self._U @ (self._Vh @ (G / self.D[:, None]) / self._s)
        return solved

    def shortest(self, X: Host) -> Host:
        """Return the shortest x with the same ``R D x``."""
        if self.rank == self.R.shape[1]:
            return X
        Y = self._Vh @ (self.D[:, None] * X)
        largest = self.D.max(initial=1.0)
        Q, T = np.linalg.qr((self._Vh * (self.D / largest)).conj().T)
        X = Q @ np.linalg.solve(T.conj().T, Y) / largest
        # Where the sizes of the columns differ much, X solves only what they are compared with.
        DX = self.D[:, None] * X
        DX += self._Vh.conj().T @ (Y - self._Vh @ DX)
        X = DX / self.D[:, None]
        X[~self.R.any(axis=0)] = 0.0
        return X


class BackwardError:
    """The Karlson-Walden estimate of the backward error, relative to the scaled matrix.

    The smallest change of A (columns scaled to unit norm) and b, measured by
    ``|[E, theta e]|_F`` with ``theta = |A|_F / |b|``, for which x is a solution, divided by
    ``|A|_F``; the estimate is within a factor sqrt(2) of it where the triangle is exact.

    References
    ----------
    .. [1] Karlson, Walden (1997), "Estimation of optimal backward perturbation bounds for the
       linear least squares problem", BIT 37.
    .. [2] Gratton, Jiranek, Titley-Peloquin (2012), "On the accuracy of the Karlson-Walden
       estimate of the backward error for linear least squares problems", SIMAX 33.
    """

    def __init__(
        self,
        triangle: Triangle | Truncated,
        b_norms: Host,
        svd: tuple[Host, Host] | None = None,
    ) -> None:
        self._triangle = triangle
        self._size = float(np.linalg.norm(triangle.R))
        self._b_norms = b_norms
        self._factors: dict[int, tuple[float, Host]] = {}
        self._svd = svd  # singular values and right vectors of R, where they are known

    def __call__(self, X: Host, squares: Host, G: Host) -> Host:
        """Return the estimate for each column, from ``|b - A x|^2`` and ``A^H (b - A x)``."""
        if self._size == 0.0:
            return np.zeros(X.shape[1])
        D = self._triangle.D[:, None]
        with np.errstate(all="ignore"):
            y2 = np.linalg.norm(X * D, axis=0) ** 2
            q = 1.0 / ((self._b_norms / self._size) ** 2 + y2)
            norms = self._norms(G / D, q * squares)
            return np.where(norms == 0.0, 0.0, np.sqrt(q) * norms / self._size)

    def _norms(self, G: Host, shifts: Host) -> Host:
        """Return ``|(R^H R + shift I)^(-1/2) g|`` for each column g and its shift."""
        R, k = self._triangle.R, G.shape[1]
        if not (np.isfinite(R).all() and np.isfinite(G).all() and np.isfinite(shifts).all()):
            return np.full(k, np.nan)
        if self._svd is None and k <= _FEW and R.shape[0] == R.shape[1] > _SMALL:
            norms = np.array([self._norm(j, G[:, j : j + 1], float(shifts[j])) for j in range(k)])
            if np.isfinite(norms).all():
                return norms
        if self._svd is None and isinstance(self._triangle, Triangle):
            self._svd = self._triangle.svd()
        elif self._svd is None:
            self._svd = np.linalg.svd(R, full_matrices=False)[1:]
        s, Vh = self._svd
        # Where shift and singular value vanish, g has no part but rounding.
        least = np.finfo(float).eps * s[0]
        parts = Vh @ G
        sizes = np.maximum(np.sqrt(s[:, None] ** 2 + shifts), least)
        inside = np.linalg.norm(parts / sizes, axis=0)
        outside = np.linalg.norm(G - Vh.conj().T @ parts, axis=0) if s.size < R.shape[1] else 0.0
        return np.asarray(np.hypot(inside, outside / np.maximum(np.sqrt(shifts), least)))

    def _norm(self, j: int, g: Host, shift: float) -> float:
        """Return the norm for one column by a triangle that is kept while the shift hardly moves.

        It is that of R with the rows of ``sqrt(shift) I`` folded into it.
        """
        if j not in self._factors or abs(shift - self._factors[j][0]) > 1e-2 * self._factors[j][0]:
            factor = np.array(self._triangle.R, order="F")
            rows = np.asfortranarray(np.sqrt(shift) * np.eye(factor.shape[1], dtype=factor.dtype))
            fold(factor, rows, factor.shape[1])
            self._factors[j] = shift, factor
        factor = self._factors[j][1]
        x, info = lapack("trtrs", factor)(factor, g, trans=2)
        return float(np.linalg.norm(x)) if info == 0 else np.nan


def triangle_of(M: Host) -> Host:
    """Return the R of a QR factorization, a trapezoid where M has fewer rows than columns.

    M is overwritten where it is Fortran-ordered.
    """
    rows = min(M.shape)
    if rows == 0:
        return np.zeros((0, M.shape[1]), M.dtype)
    M = np.asfortranarray(M)
    lwork = int(lapack("geqrf_lwork", M)(*M.shape)[0].real)
    factored = lapack("geqrf", M)(M, lwork=lwork, overwrite_a=True)[0]
    return np.triu(factored[:rows])


def one_thread() -> AbstractContextManager[None]:
    """Hold BLAS at one thread: that of SciPy too, which must be loaded before it can be held."""
    import scipy.linalg  # noqa: F401

    return blas_threads(1)


def lapack(name: str, M: Host) -> Any:
    """Return a LAPACK function for the precision of a matrix."""
    import scipy.linalg

    return scipy.linalg.get_lapack_funcs(name, (M,))
