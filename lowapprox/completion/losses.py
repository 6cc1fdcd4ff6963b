"""Losses other than squares, through sums of squares that bound them and touch them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lowapprox.completion.observations import Host, Observations
from lowapprox.completion.problem import Factors, Problem

__all__ = [
    "LOGIT_VARIANCE",
    "LOSSES",
    "Majorant",
    "bound",
    "flat_targets",
    "huber_threshold",
    "judge",
    "log_loss",
    "probability",
]

LOSSES = ("squared", "huber", "logit")
LOGIT_VARIANCE = 1.0  # half the weighted squares bound the logistic loss

_NORMAL = 1.4826  # standard deviation over the median of absolute values
_TUNING = 1.345  # 95 % of the efficiency of least squares for normal noise


def probability(x: Host) -> Host:
    """Return the logistic function, without overflow."""
    e = np.exp(-np.abs(x))
    p: Host = np.where(x >= 0, 1.0, e) / (1.0 + e)
    return p


def log_loss(x: Host, y: Host) -> Host:
    """Return minus the log-likelihood of observed zeros and ones, for log-odds x."""
    loss: Host = np.maximum(x, 0.0) - x * y + np.log1p(np.exp(-np.abs(x)))
    return loss


def judge(loss: str) -> Callable[[Host, Host], Host] | None:
    """Return what predictions are judged by at entries held out; None is the mean square.

    A few outliers among these would decide alone if they were squared.
    """
    return {"squared": None, "huber": lambda x, y: np.abs(x - y), "logit": log_loss}[loss]


def _curvature(x: Host) -> Host:
    """Return ``tanh(x / 2) / (2 x)``: the parabola touches the logistic loss at x and -x."""
    half = np.maximum(np.abs(x), 1e-6) / 2.0
    curvature: Host = np.tanh(half) / (4.0 * half)
    return curvature


def flat_targets(observed: Observations) -> Observations:
    """Return the targets of the logistic loss for even odds."""
    rows, columns = (
        replace(side, values=4 * side.values - 2) for side in (observed.rows, observed.columns)
    )
    return Observations(observed.shape, rows, columns)


def bound(loss: str, x: Host, y: Host, threshold: float) -> tuple[Host, Host]:
    """Return targets and weights of squares that bound a loss, and touch it for predictions x."""
    if loss == "logit":
        share = _curvature(x)
        return (y - 0.5) / share, share
    size = np.abs(y - x)
    return y, np.minimum(1.0, threshold / np.maximum(size, threshold))


def huber_threshold(gap: Host) -> float:
    """Return the residual from which on entries count less, by the median of all residuals."""
    threshold = _TUNING * _NORMAL * float(np.median(np.abs(gap))) if gap.size else 0.0
    # More than half of all entries may be fitted exactly.
    return threshold if threshold else float(np.finfo(float).eps)


class Majorant:
    """The observations of a least-squares problem that bounds a loss at the present factors.

    "huber" gives entries with a residual beyond a threshold less weight; the threshold is that of
    normal noise, from the median of the residuals, and so moves with them. "logit" has targets
    and weights of the bound of Jaakkola and Jordan (2000), Statistics and Computing 10.
    """

    def __init__(self, problem: Problem) -> None:
        from scipy.sparse import csr_array

        observed = problem.observed
        self.observed, self.loss = observed, problem.loss
        rows = observed.rows
        number = np.arange(observed.count)
        # Where the entries in the order of columns stand in that of rows.
        self._order = csr_array((number, rows.indices, rows.indptr), observed.shape).tocsc().data

    def __call__(self, factors: Factors) -> tuple[Observations, float]:
        """Return the observations, and the loss: its root mean square, relative to that of zero."""
        observed, rows = self.observed, self.observed.rows
        gap = factors.residual(observed).astype(np.float64)
        weights = np.ones(gap.size) if rows.weights is None else rows.weights.astype(np.float64)
        y = rows.values.astype(np.float64)
        targets, share = bound(self.loss, y - gap, y, huber_threshold(gap))
        if self.loss == "logit":
            loss = np.average(log_loss(y - gap, y), weights=weights) / np.log(2.0)
            return self._with(targets, weights * share), float(np.sqrt(loss))
        loss = np.sum(weights * gap**2 * share * (2.0 - share)) / observed.norm**2
        return self._with(None, weights * share), float(np.sqrt(loss))

    def _with(self, values: Host | None, weights: Host | None) -> Observations:
        observed, dtype = self.observed, self.observed.dtype
        sides = []
        for side, order in ((observed.rows, slice(None)), (observed.columns, self._order)):
            new = side
            if values is not None:
                new = replace(new, values=values[order].astype(dtype))
            if weights is not None:
                new = replace(new, weights=weights[order].astype(dtype))
            sides.append(new)
        return Observations(observed.shape, *sides)
