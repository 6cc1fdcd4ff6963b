"""The result of a truncated SVD."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from lowapprox._core.checks import check_home, checked_int, checked_tol
from lowapprox._core.errors import InputError, InputTypeError
from lowapprox._core.matrix import to_host
from lowapprox._core.results import Result
from lowapprox._core.typing import Array
from lowapprox.svd.spectral import adjoint

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

__all__ = ["ErrorKind", "Factorization", "SVDResult"]

ErrorKind = Literal["exact", "estimate", "bound"]


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Factorization(Result):
    """What truncated factorizations say of themselves; the subclasses describe the fields."""

    rank: int
    error: float
    error_kind: ErrorKind
    residuals: np.ndarray[Any, Any]
    converged: bool
    passes: int
    matvecs: int
    info: Mapping[str, Any]
    norm: str = "fro"
    fro_norm: float = float("nan")
    error_bound: float | None = None
    failure_probability: float | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SVDResult(Factorization):
    """Truncated SVD ``A ~ U @ diag(s) @ Vh`` with its error.

    Unpacks as ``U, s, Vh = result``.

    Attributes
    ----------
    U : array, shape (m, k)
        Left singular vectors, orthonormal columns.
    s : array, shape (k,)
        Singular values, descending, real and nonnegative.
    Vh : array, shape (k, n)
        Right singular vectors, orthonormal rows.
    rank : int
        Numerical rank among the k values: the number above ``max(m, n) * eps * s[0]``.
    error : float
        ``||A - U diag(s) Vh||`` in `norm`; NaN when unknown.
    error_kind : {"exact", "estimate", "bound"}
        "exact" up to rounding, a statistical "estimate", or an upper "bound".
    residuals : numpy.ndarray, shape (k,)
        ``max(||A v_i - s_i u_i||, ||A^H u_i - s_i v_i||)``. Some singular value of `A` lies within
        ``residuals[i]`` of ``s[i]``. Measured, or bounded from above when `passes` ran out.
    converged : bool
        Whether the requested criterion was met.
    passes : int
        Passes over `A` in products or by rows. Reading the entries of an array before, for their
        norm or their means, is not counted.
    matvecs : int
        Columns multiplied by `A` or its adjoint.
    info : Mapping
        Method and why it was chosen, dimensions, seconds of the phases, threads.
    norm : {"fro", "spectral"}
        The norm of `error`.
    fro_norm : float
        ``||A||_F`` (of the centred matrix when centred), NaN when unknown.
    mean : array, shape (n,), or None
        Column means that were subtracted.
    error_bound : float or None
        Upper bound of the spectral error, wrong with probability `failure_probability` at most.
    failure_probability : float or None
        None without a bound.
    """

    U: Array
    s: Array
    Vh: Array
    mean: Array | None = None

    _shown: ClassVar[tuple[str, ...]] = (
        "U",
        "s",
        "Vh",
        "rank",
        "error",
        "error_kind",
        "converged",
        "passes",
    )

    def __iter__(self) -> Iterator[Array]:
        return iter((self.U, self.s, self.Vh))

    def reconstruct(self, rows: Any = None, cols: Any = None) -> Array:
        """Return the approximation, or the block of it that `rows` and `cols` index.

        Parameters
        ----------
        rows, cols : slice or integer index array, optional
            All rows and columns by default.

        Returns
        -------
        array, shape (m, n) or that of the block
        """
        U = self.U if rows is None else self.U[rows, :]
        Vh = self.Vh if cols is None else self.Vh[:, cols]
        block = (U * self.s) @ Vh
        if self.mean is None:
            return block
        return block + (self.mean if cols is None else self.mean[cols])

    def as_linear_operator(self) -> LinearOperator:
        """Return the approximation as a `scipy.sparse.linalg.LinearOperator`."""
        from scipy.sparse.linalg import LinearOperator

        U, s, Vh = (to_host(x) for x in self)
        mean = None if self.mean is None else to_host(self.mean)

        def matmat(X: Array) -> Array:
            out = U @ (s[:, None] * (Vh @ X))
            return out if mean is None else out + mean @ X

        def rmatmat(Y: Array) -> Array:
            out = Vh.conj().T @ (s[:, None] * (U.conj().T @ Y))
            return out if mean is None else out + np.outer(mean.conj(), Y.sum(axis=0))

        return LinearOperator(
            dtype=U.dtype,
            shape=(U.shape[0], Vh.shape[1]),
            matvec=lambda x: matmat(x.reshape(-1, 1))[:, 0],
            rmatvec=lambda y: rmatmat(y.reshape(-1, 1))[:, 0],
            matmat=matmat,
            rmatmat=rmatmat,
        )

    def truncate(self, k: int | None = None, *, tol: float | None = None) -> SVDResult:
        """Keep the leading triplets.

        Parameters
        ----------
        k : int, optional
            Number to keep, from 0 to the present number.
        tol : float, optional
            Keep the fewest with relative Frobenius error at most `tol`; all when none suffice.

        Returns
        -------
        SVDResult
            Its error includes what was cut: the parts are orthogonal, so that squares add. In the
            spectral norm the sum is an upper bound.

        Raises
        ------
        InputError
            If not exactly one of `k` and `tol` is given, or it is out of range.
        """
        if (k is None) == (tol is None):
            raise InputError(f"give exactly one of `k` and `tol`, got k={k!r} and tol={tol!r}")
        size = int(self.s.shape[0])
        s = np.asarray(to_host(self.s), dtype=np.float64)
        tail = _tail_norms(s)  # tail[j] = norm of s[j:]
        if k is None:
            if self.norm == "spectral" or not np.isfinite(self.fro_norm):
                raise InputError(
                    "`tol` needs a result with a Frobenius error; "
                    f"this one has norm={self.norm!r} and fro_norm={self.fro_norm}"
                )
            errors = np.hypot(self.error, tail)
            small = np.flatnonzero(errors <= checked_tol(tol) * self.fro_norm)
            k = int(small[0]) if small.size else size
        k = checked_int(k, "k", 0, size)
        cut = float(s[k]) if self.norm == "spectral" and k < size else float(tail[k])
        kind = "bound" if self.norm == "spectral" and k < size else self.error_kind
        bound = self.error_bound
        if bound is not None and k < size:
            bound = float(np.hypot(bound, s[k]))
        return replace(
            self,
            U=self.U[:, :k],
            s=self.s[:k],
            Vh=self.Vh[:k, :],
            rank=min(self.rank, k),
            error=float(np.hypot(self.error, cut)),
            error_kind=kind,
            residuals=self.residuals[:k],
            error_bound=bound,
        )

    def transform(self, X: Any) -> Array:
        """Project rows onto the right singular vectors (principal components).

        Parameters
        ----------
        X : array or scipy.sparse array, shape (p, n)
            Rows in the space of the rows of `A`. The means are subtracted if they were from `A`.

        Returns
        -------
        array, shape (p, k)

        Raises
        ------
        InputError
            If `X` has another number of columns.
        InputTypeError
            If `X` and the result belong to different namespaces or devices.
        """
        if not hasattr(X, "shape"):
            X = np.asarray(X)
        n = int(self.Vh.shape[1])
        if len(X.shape) != 2 or X.shape[1] != n:
            raise InputError(f"`X` must have shape (p, {n}), got {tuple(X.shape)}")
        check_home(X, self.Vh, "X")
        V = adjoint(self.Vh)
        scores = X @ V
        return scores if self.mean is None else scores - self.mean @ V

    @property
    def explained_variance(self) -> Array:
        """Variance of each score, ``s**2 / (m - 1)``; meaningful for centred results."""
        return self.s**2 / max(int(self.U.shape[0]) - 1, 1)

    @property
    def explained_variance_ratio(self) -> Array:
        """Share of the squared Frobenius norm that each triplet carries."""
        if not np.isfinite(self.fro_norm):
            raise InputTypeError(
                "the explained share needs ||A||_F, which is unknown for this operator; "
                "use certify='free' or 'probe'"
            )
        return self.s**2 / (self.fro_norm**2 if self.fro_norm else 1.0)


def _tail_norms(s: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    top = s[0] if s.size and s[0] > 0 else 1.0  # squares of tiny or huge values leave the range
    sums = np.cumsum(((s / top) ** 2)[::-1])[::-1]
    return np.append(np.sqrt(sums), 0.0) * top
