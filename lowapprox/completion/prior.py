"""The ridge: a fixed one, or one that is learned from the data.

The learned one is that of variational Bayes. Rows of U are taken as Gaussian with a covariance of
their own, those of V too, and the noise has a variance. Each half-step finds the mean of the rows
of one factor given what is known of the other, mean and covariance; the covariances and the noise
are then those that fit best. Two things come of it:

- the ridge of a row is ``variance * C^-1``, and vanishes with the noise;
- the uncertainty of F adds to the Gram matrix of a row, as if it was noise in the variables: in
  proportion to the number of its entries.

Directions that the data do not support die out by themselves. All covariances of single rows are
approximated by those to expect for the number of their entries.

References: Lim and Teh (2007), "Variational Bayesian approach to movie rating prediction", KDD Cup;
Nakajima and Sugiyama (2011), "Theoretical analysis of Bayesian matrix factorization", JMLR 12.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from lowapprox.completion.halfstep import Gauge, Half, HalfSums
from lowapprox.completion.observations import Host
from lowapprox.completion.tall import gram

__all__ = ["FixedRidge", "LearnedRidge", "Ridge"]

_LEAST_FREE = 0.02  # of the entries: degrees of freedom left to the noise


class Ridge(Protocol):
    """What half-steps ask before and tell afterwards; `side` is 0 for U and 1 for V."""

    def before(self, side: int, X: Host, free: Host) -> tuple[float, Host | None, Host | None]:
        """Return the ridge, the covariance of the rows of X and the ridge of each entry."""
        ...

    def after(
        self, side: int, half: Half, X: Host, free: Host, gauge: Gauge, sums: HalfSums
    ) -> None:
        """Take note of new rows X."""
        ...


class FixedRidge:
    """The same for all numbers."""

    def __init__(self, ridge: float, *, per_entry: bool) -> None:
        self.ridge, self.per_entry = ridge, per_entry

    def before(self, side: int, X: Host, free: Host) -> tuple[float, Host | None, Host | None]:
        """Return the ridge."""
        del side, X
        if self.per_entry:
            return 0.0, None, self.ridge * np.eye(free.size)
        return self.ridge, None, None

    def after(
        self, side: int, half: Half, X: Host, free: Host, gauge: Gauge, sums: HalfSums
    ) -> None:
        """Learn nothing."""


class LearnedRidge:
    """Variance of the noise, covariances of the rows, and how uncertain the rows are.

    Parameters
    ----------
    variance : float
        Of the noise, to begin with: the mean square of the values for factors that are far off.
    width : int
        Columns of the factors.
    """

    def __init__(self, variance: float, width: int) -> None:
        self.variance = variance
        self._covariance: list[Host | None] = [None, None]
        # The mean covariance of single rows, weighted by how often they are observed.
        self._doubt = [np.zeros((width, width)), np.zeros((width, width))]
        self._known = [0.0, 0.0]

    def before(self, side: int, X: Host, free: Host) -> tuple[float, Host | None, Host | None]:
        """Return the ridge."""
        C = self._covariance[side]
        if C is None:
            C = gram(X) / max(X.shape[0], 1)
        return self.variance, C, self._doubt[1 - side][np.ix_(free, free)]

    def after(
        self, side: int, half: Half, X: Host, free: Host, gauge: Gauge, sums: HalfSums
    ) -> None:
        """Learn from new rows."""
        totals, T = half.totals[:, None], gauge.forward
        count = float(half.totals.sum())
        strength = totals * (gauge.expected + gauge.spread)
        doubt = self.variance / (strength + self.variance)
        spread = (T * doubt.sum(axis=0)) @ T.T
        self._covariance[side] = (gram(X) + spread) / max(X.shape[0], 1)
        mean_doubt = (totals * doubt).sum(axis=0) / max(count, 1.0)
        self._doubt[side][np.ix_(free, free)] = (T * mean_doubt) @ T.T
        self._known[side] = float(np.sum(1.0 - doubt))
        # What both factors share is counted twice.
        known = sum(self._known) - min(free.size**2, *self._known)
        entries = float(half.entries.indices.size)
        left = max(entries - known, _LEAST_FREE * entries, 1.0)
        self.variance = max(sums.loss_after / left, np.finfo(float).tiny)
