"""How noise in the right-hand sides spreads into the coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowapprox.regression.system import Host
from lowapprox.regression.triangle import Triangle, Truncated, triangle_of

__all__ = ["Spread", "root_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """The linear map from b to x, up to an isometry, from what a solution has computed anyway.

    Attributes
    ----------
    factor : numpy.ndarray, shape (r, d)
        Triangle of ``W^(1/2) A``, or of its sketch, without the ridge.
    ridge, rcond : float
        Of the problem; `rcond` matters where the rank is not full.
    rank : int
        Of the problem with its ridge.
    count : int
        Rows of positive weight.
    rows : int, optional
        Of the sketch.
    squared : bool
        Whether `factor` is ``A^H W A`` itself.
    error : float, optional
        The relative error to expect in the variances, where it is more than rounding.
    """

    factor: Host
    ridge: float
    rcond: float
    rank: int
    count: int
    rows: int | None = None
    squared: bool = False
    error: float | None = None

    def roots(self) -> tuple[Host, float]:
        """Return Z, for which ``Z Z^H`` is the covariance of x for noise of unit variance.

        And the degrees of freedom that x takes from b: the rank, or less with a ridge.
        """
        R, d = self._plain(), self.factor.shape[1]
        if self.rows is None:
            return self._spread(R)
        # The inverse of a sketched Gram matrix is too large by this factor, in the mean.
        taken = float(d) if self.ridge == 0.0 else self._spread(R)[1]
        return self._spread(R * np.sqrt(self.rows / (self.rows - taken - 1.0)))

    def covariance(self) -> Host:
        """Return the covariance of x for noise of unit variance."""
        Z = self.roots()[0]
        with np.errstate(over="ignore", invalid="ignore"):
            covariance: Host = Z @ Z.conj().T
        return covariance

    def errors(self) -> Host:
        """Return the standard deviations of x for noise of unit variance."""
        Z = self.roots()[0]
        peak = np.abs(Z).max(axis=1, initial=0.0)
        peak[peak == 0.0] = 1.0
        deviations: Host = np.linalg.norm(Z / peak[:, None], axis=1) * peak
        return deviations

    def freedom(self) -> float:
        """Return the degrees of freedom that are left for the residual."""
        return self.count - (self.roots()[1] if self.ridge else float(self.rank))

    def triangle(self) -> Triangle | Truncated:
        """Return the triangle of ``[W^(1/2) A; sqrt(ridge) I]``, or of its sketch."""
        return self._with_ridge(self._plain())

    def _plain(self) -> Host:
        return triangle_of(root_of(self.factor)) if self.squared else self.factor

    def _with_ridge(self, plain: Host) -> Triangle | Truncated:
        R, d = plain, plain.shape[1]
        if self.ridge:
            R = triangle_of(np.concatenate([plain, np.sqrt(self.ridge) * np.eye(d)]))
        triangle = Triangle(R)
        return triangle if self.rank == d else Truncated(triangle, self.rcond)

    def _spread(self, plain: Host) -> tuple[Host, float]:
        with np.errstate(all="ignore"):
            triangle = self._with_ridge(plain)
            Z = triangle.solve(np.eye(triangle.R.shape[0]))
            if isinstance(triangle, Truncated):
                Z = triangle.shortest(Z)
            if not self.ridge:
                return Z, float(self.rank)
            above = plain @ Z  # the rows of A in an orthonormal basis of [A; sqrt(ridge) I]
            return Z @ above.conj().T, float(np.linalg.norm(above) ** 2)


def root_of(G: Host) -> Host:
    """Return some M with ``M^H M = G``, which exists whatever the rank of G."""
    D = np.sqrt(np.diagonal(G).real)
    D[D == 0.0] = 1.0
    squares, V = np.linalg.eigh(G / D / D[:, None])
    root: Host = np.sqrt(np.maximum(squares, 0.0))[:, None] * V.conj().T * D
    return root
