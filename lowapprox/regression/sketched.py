"""Solutions of the sketched problem, from one read of the matrix, with bounds for every entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowapprox.regression.system import Host, System
from lowapprox.regression.triangle import Triangle, triangle_of

__all__ = ["Sketched", "row_rule", "sketched"]

_LEAST = 8  # rows of a sketch for each column, from which the intervals keep their promise


@dataclass(frozen=True, slots=True)
class Sketched:
    """Solutions of a sketched problem.

    Attributes
    ----------
    X, bound : numpy.ndarray, shape (d, k)
        Solutions, and half the widths of simultaneous intervals for their entries.
    residual : numpy.ndarray, shape (k,)
        Estimates of ``|b - A x*|``.
    condition : float
        Of the sketched matrix with columns of unit norm.
    rows : int
        Of the sketch.
    ratio : float
        Largest bound in units of ``|b - A x*| |A^+| / sqrt(d)``.
    """

    X: Host
    bound: Host
    residual: Host
    condition: float
    rows: int
    ratio: float


def row_rule(d: int, eps: float, delta: float) -> int:
    """Return how many rows make all errors at most ``eps |b - A x*| |A^+| / sqrt(d)``.

    From the normal law of the error and a union over the entries; for a dense sketch.
    """
    rows = d + np.ceil(2.0 * d * np.log(2.0 * d / delta) / eps**2)
    return int(min(max(rows, _least_rows(d)), 2**31))


def _least_rows(d: int) -> int:
    return max(_LEAST * d, d + 8)


def sketched(
    system: System,
    make: Callable[[int], Any],
    gen: np.random.Generator,
    eps: float | None,
    delta: float,
    worst: float,
    robust: bool = False,
) -> Sketched | None:
    """Solve sketched problems, of more and more rows until the bounds are as small as asked.

    Returns None where that takes a sketch of half as many rows as the matrix or more, or where
    the condition number is `worst` or more.

    Given the sketched matrix, the error of a Gaussian sketch is normal with the covariance that
    ordinary regression states for the sketched problem, so the t-intervals are exact; those of
    other dense sketches are so in the limit. The rows of a tensor product of sketches are far from
    Gaussian where the residual has a factor in common with the columns, and the error can be
    larger by a factor of sqrt(3) for two factors: `robust` intervals take the covariance from the
    residuals of the sketched problem, which holds for all rows that are independent.

    References
    ----------
    .. [1] MacKinnon, White (1985), "Some heteroskedasticity-consistent covariance matrix
       estimators with improved finite sample properties", doi:10.1016/0304-4076(85)90158-7.
    """
    n, d = system.shape
    rows = _least_rows(d) if eps is None else row_rule(d, eps, delta)
    while 2 * rows < n:
        found = _solved(system, make(rows), gen, delta, worst, robust)
        if found is None or eps is None or found.ratio <= eps:
            return found
        rows = int(np.ceil(1.1 * rows * (found.ratio / eps) ** 2))
    return None


def _solved(
    system: System, S: Any, gen: np.random.Generator, delta: float, worst: float, robust: bool
) -> Sketched | None:
    d, rows = system.shape[1], S.shape[0]
    with np.errstate(all="ignore"):
        M = system.sketch(S)
        R = triangle_of(M)
        triangle = Triangle(R[:d, :d])
        condition = triangle.condition(gen) if np.isfinite(R).all() else np.inf
        if not condition < worst:
            return None
        inverse = triangle.solve(np.eye(d))
        peaks = np.abs(inverse).max(axis=1, initial=0.0)[:, None]  # squares could underflow
        quantile = _t_quantile(1.0 - delta / (2.0 * d), rows - d)
        # The rest of the triangle of [A, b] is the residual of every b.
        spread = np.linalg.norm(R[d:, d:], axis=0) / np.sqrt(rows - d)
        residual = spread * np.sqrt(rows)
        X = triangle.solve(R[:d, d:])
        if robust:
            deviations = _robust_deviations(M, X, inverse, peaks)
        else:
            deviations = np.linalg.norm(inverse / peaks, axis=1)[:, None] * spread
        bound = quantile * deviations * peaks
        unit = residual * np.linalg.norm(inverse, 2) / np.sqrt(d)
        ratio = np.where(residual > 0.0, bound.max(axis=0, initial=0.0) / unit, 0.0)
    return Sketched(
        X=X,
        bound=bound,
        residual=residual,
        condition=condition,
        rows=rows,
        ratio=float(ratio.max(initial=0.0)),
    )


def _robust_deviations(M: Host, X: Host, inverse: Host, peaks: Host) -> Host:
    """Return standard deviations of the entries that do not presume equal ones of the rows.

    In units of the largest entries of the rows of the inverse. Each residual is divided by what
    the fit has left of it.
    """
    d = X.shape[0]
    Q = M[:, :d] @ inverse
    left = 1.0 - np.einsum("ij,ij->i", Q, Q)
    errors = (M[:, d:] - M[:, :d] @ X) / left[:, None]
    deviations: Host = np.sqrt(np.square((inverse / peaks) @ Q.T) @ np.square(errors))
    return deviations


def _t_quantile(p: float, freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, p))
