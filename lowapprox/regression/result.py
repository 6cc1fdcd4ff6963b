"""The result of a least-squares solution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lowapprox._core.results import Result
from lowapprox._core.typing import Array
from lowapprox.regression.spread import Spread

__all__ = ["LstsqResult"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LstsqResult(Result):
    """Solution of a least-squares problem with its errors.

    What belongs to one right-hand side is a number where `b` has one dimension, and an array of
    shape (k,) where it has two.

    Attributes
    ----------
    x : numpy.ndarray, shape (d,) or (d, k)
        The solution.
    residual_norm : float or numpy.ndarray
        ``|b - A x|_2``, weighted where weights were given; without the ridge term. An estimate for
        the methods that read `A` once.
    backward_error : float or numpy.ndarray
        The size of the smallest change of `A` and `b` that makes `x` an exact solution, relative to
        ``|A|_F``, for columns of `A` scaled to unit norm (Karlson-Walden estimate); a bound, and
        without scaling, for operators with fewer rows than columns. NaN for "linf" and "sketch".
    forward_error_bound : float or numpy.ndarray
        First-order bound of ``|x - x*| / |x|``, both multiplied by the norms of the columns, from
        the backward error and the estimated condition number. NaN where the rank is not full.
    entry_bound : numpy.ndarray, shape of `x`, or None
        With probability ``1 - delta`` all ``|x_i - x*_i|`` are smaller, where x* is the exact
        solution. For "linf", and for "sketch" where no few rows of `A` decide single entries. NaN
        where the rank is not full.
    cond_estimate : float
        Condition number of `A` with columns scaled to unit norm.
    rank : int
        Numerical rank by the rule for `rcond`.
    converged : bool
        Whether the backward error is at most the tolerance, for the methods that read `A` once
        whether the bounds are as small as asked.
    passes : int
        Reads of `A`.
    info : Mapping
        Method and why, iterations, tolerance, seconds, threads; ``info["variance_error"]`` is the
        relative error to expect in the variances below, a standard deviation for the methods that
        have them from a sketch, and rounding for the others.
    residual_variance : float or numpy.ndarray
        Estimate of the variance of the noise in `b`.
    standard_errors : numpy.ndarray, shape of `x`
        Square roots of the diagonal of `covariance`.

    Notes
    -----
    `residual_variance` is ``residual_norm**2 / (n - p)``, with n the rows of positive weight. p is
    the rank, and with a ridge the trace of the matrix that takes b to ``A x``, which is less. It is
    NaN where no rows are left. With weights it is the variance of an entry of `b` of weight 1, and
    those of the others are inversely proportional to their weights.

    Standard errors and covariance come from the triangle that the method has computed. That is one
    of `A` for "direct" and "cholesky", and one of a sketch for the iterations; there the variances
    are right in the mean over sketches and scatter as ``info["variance_error"]`` says, by a few
    per cent, some by more where few rows decide. `lowapprox.regression.lstsq_factor` has them
    exactly. They are NaN for the methods that read `A` once, where `entry_bound` says what the
    sketch does to x.

    Examples
    --------
    The standard errors of a straight line through four points.

    >>> import numpy as np
    >>> from lowapprox import lstsq
    >>> A = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 3.0]])
    >>> result = lstsq(A, np.array([0.0, 1.0, 1.0, 2.0]))
    >>> bool(np.isclose(result.residual_variance, 0.1))
    True
    >>> bool(np.allclose(result.standard_errors**2, [0.07, 0.02]))
    True
    >>> bool(np.allclose(result.covariance(), 0.1 * np.linalg.inv(A.T @ A)))
    True
    """

    x: Array
    residual_norm: float | np.ndarray[Any, Any]
    backward_error: float | np.ndarray[Any, Any]
    forward_error_bound: float | np.ndarray[Any, Any]
    entry_bound: Array | None
    cond_estimate: float
    rank: int
    converged: bool
    passes: int
    info: Mapping[str, Any]
    _spread: Spread | None = None

    _shown: ClassVar[tuple[str, ...]] = (
        "x",
        "residual_norm",
        "backward_error",
        "rank",
        "converged",
        "passes",
    )

    @property
    def residual_variance(self) -> float | np.ndarray[Any, Any]:
        """The variance of the noise in an entry of `b`, from the residual."""
        variance: Any = np.square(self.residual_norm) / self._freedom()
        return variance if np.ndim(variance) else float(variance)

    @property
    def standard_errors(self) -> Array:
        """The standard deviations of the entries of `x`, in the shape of `x`."""
        if self._spread is None:
            return np.full(self.x.shape, np.nan, self._real)
        unit = self._spread.errors()
        with np.errstate(over="ignore", under="ignore"):
            errors = np.multiply.outer(unit, np.sqrt(self.residual_variance))
            return errors.astype(self._real)

    def covariance(self) -> Array:
        """Return the covariance of the entries of `x` over the noise in `b`.

        Returns
        -------
        numpy.ndarray, shape (d, d) or (k, d, d)
            `residual_variance` times the inverse of ``G = A^H W A``, or its pseudo-inverse where
            the rank is not full. With a ridge ``(G + ridge I)^-1 G (G + ridge I)^-1`` times the
            same: how x scatters, not how far the ridge pulls it to zero. One for each right-hand
            side where `b` has two dimensions.

        Notes
        -----
        Costs ``O(d^3)``, and does not read `A`.
        """
        d = self.x.shape[0]
        unit = np.full((d, d), np.nan) if self._spread is None else self._spread.covariance()
        with np.errstate(over="ignore", under="ignore"):
            scaled = np.multiply.outer(self.residual_variance, unit)
            return scaled.astype(self.x.dtype)

    @property
    def _real(self) -> Any:
        return np.finfo(self.x.dtype).dtype

    def _freedom(self) -> float:
        freedom = np.nan if self._spread is None else self._spread.freedom()
        return freedom if freedom > 0.0 else np.nan
