"""The ridge: a fixed one, or one that is learned from the data.

The learned one is that of variational Bayes. Rows of U are taken as Gaussian with a covariance of
their own, those of V too, and the noise has a variance. Each half-step finds the mean of the rows
of one factor given what is known of the other, mean and covariance; the covariances and the noise
are then those that fit best. Two things come of it:

- the ridge of a row is ``variance * C^-1``, and vanishes with the noise;
- the uncertainty of F adds to the Gram matrix of a row, as if it was noise in the variables: in
  proportion to the number of its entries.

Directions that the data do not support die out by themselves. All covariances of single rows are
approximated by those to expect for the number of their entries. A bias is taken as independent of
the rest of its row, given the data: else what is not known of both would pull at the other side.

References: Lim and Teh (2007), "Variational Bayesian approach to movie rating prediction", KDD Cup;
Nakajima and Sugiyama (2011), "Theoretical analysis of Bayesian matrix factorization", JMLR 12.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from lowapprox.completion.halfstep import Gauge, Half, Prior, Stepped
from lowapprox.completion.observations import Host
from lowapprox.completion.tall import gram

__all__ = ["FixedRidge", "LearnedRidge", "Ridge"]

_LEAST_FREE = 0.02  # of the entries: degrees of freedom left to the noise
_LEAST_DOUBT = 1e-60  # of what was not known before: quotients of less would not be numbers


class Ridge(Protocol):
    """What half-steps ask before and tell afterwards; `side` is 0 for U and 1 for V."""

    def before(self, side: int, X: Host, free: slice) -> Prior:
        """Return what is known of the rows of X; `free` are its columns in the factor."""
        ...

    def after(self, side: int, half: Half, free: slice, step: Stepped) -> None:
        """Take note of new rows."""
        ...


class FixedRidge:
    """The same for all numbers."""

    def __init__(self, ridge: float, *, per_entry: bool) -> None:
        self.ridge, self.per_entry = ridge, per_entry

    def before(self, side: int, X: Host, free: slice) -> Prior:
        """Return the ridge."""
        del side, free
        if self.per_entry:
            return Prior(0.0, spread=self.ridge * np.eye(X.shape[1]))
        return Prior(self.ridge)

    def after(self, side: int, half: Half, free: slice, step: Stepped) -> None:
        """Learn nothing."""


class LearnedRidge:
    """Variance of the noise, covariances of the rows, and how uncertain the rows are.

    Parameters
    ----------
    variance : float
        Of the noise, to begin with: the mean square of the values for factors that are far off.
    width : int
        Columns of the factors.
    known : bool
        Whether the variance is to stay what it is.
    biases : tuple of bool
        Whether the first number of each row of U, and the last of each row of V, is a bias.
    """

    def __init__(
        self,
        variance: float,
        width: int,
        *,
        known: bool = False,
        biases: tuple[bool, bool] = (False, False),
    ) -> None:
        self.variance, self._fixed = variance, known
        self._bias = (0 if biases[0] else None, -1 if biases[1] else None)
        self._covariance: list[Host | None] = [None, None]
        # The mean covariance of single rows, weighted by how often they are observed.
        self._doubt = [np.zeros((width, width)), np.zeros((width, width))]
        self._known = [0.0, 0.0]

    def before(self, side: int, X: Host, free: slice) -> Prior:
        """Return the ridge."""
        C = self._covariance[side]
        if C is None:
            C = gram(X) / max(X.shape[0], 1)
        return Prior(self.variance, C, self._doubt[1 - side][free, free])

    def even(self) -> float:
        """Return the fixed ridge that comes nearest."""
        sizes = [np.trace(C) / len(C) for C in self._covariance if C is not None]
        size = float(np.sqrt(np.prod(sizes)))
        return self.variance / size if size else 0.0

    def after(self, side: int, half: Half, free: slice, step: Stepped) -> None:
        """Learn from new rows."""
        assert step.gram is not None  # `before` tells a covariance
        # The expected covariance of a row depends on its number of entries alone.
        totals, rows = half.levels
        gauge, entries = step.gauge, rows * totals
        strength = totals[:, None] * (gauge.expected + gauge.spread)
        doubt = np.maximum(self.variance / (strength + self.variance), _LEAST_DOUBT)
        of_rows, of_entries = _summed((rows, entries), doubt, gauge, self._bias[side])
        self._covariance[side] = (step.gram + of_rows) / max(half.totals.size, 1)
        self._doubt[side][free, free] = of_entries / max(float(entries.sum()), 1.0)
        self._known[side] = float(np.sum(rows @ (1.0 - doubt)))
        if self._fixed:
            return
        # What both factors share is counted twice.
        known = sum(self._known) - min(step.gram.size, *self._known)
        count = float(half.entries.indices.size)
        left = max(count - known, _LEAST_FREE * count, 1.0)
        self.variance = max(step.sums.loss_after / left, np.finfo(float).tiny)


def _summed(
    weights: tuple[Host, ...], doubt: Host, gauge: Gauge, bias: int | None
) -> Iterator[Host]:
    """Add up the covariances of single rows, which `doubt` holds in the coordinates of the gauge.

    That of a bias and that of the rest of its row are those of either for the other one known.
    """
    T = gauge.forward
    if bias is not None:
        own = np.maximum(doubt @ T[bias] ** 2, np.finfo(float).tiny)
        both = (doubt * T[bias]) @ T.T
        with np.errstate(over="ignore"):
            alone = 1.0 / ((1.0 / doubt) @ gauge.back[bias] ** 2)
    for w in weights:
        S: Host = (T * (w @ doubt)) @ T.T
        if bias is not None:
            S -= (both * (w / own)[:, None]).T @ both
            S[bias] = S[:, bias] = 0.0
            S[bias, bias] = w @ alone
        yield S
