"""Alternating least squares: each factor in turn is improved for the other one fixed."""

from __future__ import annotations

import numpy as np

from lowapprox.completion.compiled import CompiledGradients
from lowapprox.completion.halfstep import Gradients, Half, HalfSums, Solver, half_step
from lowapprox.completion.observations import Compressed, Host
from lowapprox.completion.problem import Factors, Problem, Watch
from lowapprox.completion.start import spectral_start
from lowapprox.completion.tall import gram

__all__ = ["Alternation", "als_cg"]

_SMALL = 1 << 18  # numbers that a pass reads, up to which compiled code is not worth loading


def als_cg(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    """Sweep with a few preconditioned steps of conjugate gradients for each row."""
    factors = spectral_start(problem) if start is None else start
    alternation = Alternation(problem, factors)
    solver = _gradients(problem)
    while True:
        residual, change = alternation.sweep(solver)
        if watch("als-cg", alternation.factors, residual=residual, change=change):
            return watch.best or alternation.factors


def _gradients(problem: Problem) -> Gradients | CompiledGradients:
    """Choose by the size of the problem alone, so that equal calls give equal bits."""
    work = problem.observed.count * problem.width
    return Gradients(2) if work < _SMALL else CompiledGradients(2)


class Alternation:
    """The state of alternating least squares.

    Parameters
    ----------
    problem : Problem
    factors : Factors
        With the columns of the biases.
    """

    def __init__(self, problem: Problem, factors: Factors) -> None:
        self.problem, self.factors = problem, factors
        observed = problem.observed
        rows, columns = _totals(observed.rows), _totals(observed.columns)
        self._sides = (
            Half(observed.rows, rows, columns, problem.per_entry),
            Half(observed.columns, columns, rows, problem.per_entry),
        )
        k, last = problem.rank, problem.width - 1
        columns_of = list(range(problem.width))
        # The constants beside the biases of the other side are not solved for.
        fixed = (last if problem.col_bias else None, k if problem.row_bias else None)
        self._fixed = fixed
        self._free = [[c for c in columns_of if c != f] for f in fixed]
        self._automatic = problem.ridge is None
        self._variance = 1.0
        self._known = [0.0, 0.0]
        self._covariance: list[Host | None] = [None, None]

    def sweep(self, solver: Solver) -> tuple[float, float]:
        """Improve U, then V; return the relative residual, and change of the product."""
        first = self._half(0, solver)
        second = self._half(1, solver)
        size = max(second.size, np.finfo(float).tiny)
        change = np.sqrt(first.change / size) + np.sqrt(second.change / size)
        norm = self.problem.observed.norm
        residual = np.sqrt(second.loss_after) / norm if norm else 0.0
        return float(residual), float(change)

    def _half(self, side: int, solver: Solver) -> HalfSums:
        both = self.factors if side == 0 else self.factors.T
        free, fixed, half = self._free[side], self._fixed[side], self._sides[side]
        offset = None
        X, F = both.U, both.V
        if fixed is not None:
            offset = F[:, fixed] * X.dtype.type(self.problem.unit)
            X, F = X[:, free], F[:, free]
        covariance, ridge = self._prior(X)
        X_new, gauge, sums = half_step(half, X, F, offset, covariance, ridge, solver)
        if self._automatic:
            self._learn(side, sums, gauge.expected, ridge)
        if fixed is not None:
            whole = both.U.copy()
            whole[:, free] = X_new
            X_new = whole
        new = Factors(X_new, both.V)
        self.factors = new if side == 0 else new.T
        return sums

    def _prior(self, X: Host) -> tuple[Host | None, float]:
        if not self._automatic:
            return None, float(self.problem.ridge or 0.0)
        covariance = gram(X) / max(X.shape[0], 1)
        return covariance, 0.3 * self._variance

    def _learn(self, side: int, sums: HalfSums, expected: Host, ridge: float) -> None:
        half = self._sides[side]
        strength = half.totals[:, None] * expected
        self._known[side] = float(np.sum(strength / (strength + ridge)))
        count = self.problem.observed.count
        k = len(self._free[side])
        free = max(count - sum(self._known) + k * k, 0.02 * count)
        self._variance = sums.loss_after / free


def _totals(entries: Compressed) -> Host:
    if entries.weights is None:
        return entries.counts.astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(entries.weights, dtype=np.float64)])
    return np.diff(sums[entries.indptr])
