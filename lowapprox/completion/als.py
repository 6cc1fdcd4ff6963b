"""Alternating least squares: each factor in turn is improved for the other one fixed."""

from __future__ import annotations

import numpy as np

from lowapprox.completion.compiled import CompiledGradients
from lowapprox.completion.halfstep import Gradients, Half, HalfSums, Solver, half_step
from lowapprox.completion.observations import Compressed, Host
from lowapprox.completion.prior import FixedRidge, LearnedRidge, Ridge
from lowapprox.completion.problem import Factors, Problem, Watch
from lowapprox.completion.start import spectral_start
from lowapprox.completion.tall import product_change

__all__ = ["Alternation", "als_cg", "gradients"]

_SMALL = 1 << 18  # numbers that a pass reads, up to which compiled code is not worth loading
_STEPS = 2


def als_cg(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    """Sweep with a few preconditioned steps of conjugate gradients for each row."""
    alternation = Alternation(problem, start)
    solver = gradients(problem, _STEPS)
    while True:
        residual, change = alternation.sweep(solver)
        if watch("als-cg", alternation.factors, residual=residual, change=change):
            return watch.best or alternation.factors


def gradients(problem: Problem, steps: int) -> Solver:
    """Choose by the size of the problem alone, so that equal calls give equal bits."""
    work = problem.observed.count * problem.width
    return Gradients(steps) if work < _SMALL else CompiledGradients(steps)


class Alternation:
    """The state of alternating least squares.

    Parameters
    ----------
    problem : Problem
    start : Factors or None
        With the columns of the biases; None for a spectral start.
    ridge : Ridge, optional
        By default as the problem says.
    """

    def __init__(self, problem: Problem, start: Factors | None, ridge: Ridge | None = None) -> None:
        self.problem = problem
        observed = problem.observed
        rows, columns = _totals(observed.rows), _totals(observed.columns)
        self._sides = (
            Half(observed.rows, rows, columns),
            Half(observed.columns, columns, rows),
        )
        every, last = np.arange(problem.width), problem.width - 1
        # The constant beside the biases of the other side is not solved for.
        self._fixed = (
            last if problem.col_bias else None,
            problem.rank if problem.row_bias else None,
        )
        self._free = tuple(every[every != fixed] for fixed in self._fixed)
        self.factors = spectral_start(problem) if start is None else start
        self.ridge = self._first_ridge(known=start is not None) if ridge is None else ridge

    def _first_ridge(self, *, known: bool) -> Ridge:
        problem = self.problem
        if problem.ridge is not None:
            return FixedRidge(problem.ridge, per_entry=problem.per_entry)
        observed = problem.observed
        square = observed.norm**2
        if known:
            gap = self.factors.residual(observed)
            square = float(gap @ gap)
        return LearnedRidge(square / max(observed.count, 1), problem.width)

    def sweep(self, solver: Solver) -> tuple[float, float]:
        """Improve U, then V; return the relative residual, and change of the product."""
        old = self.factors
        self._half(0, solver)
        sums = self._half(1, solver)
        norm = self.problem.observed.norm
        residual = np.sqrt(sums.loss_after) / norm if norm else 0.0
        return float(residual), product_change(old, self.factors)

    def _half(self, side: int, solver: Solver) -> HalfSums:
        both = self.factors if side == 0 else self.factors.T
        free, fixed, half = self._free[side], self._fixed[side], self._sides[side]
        X, F, offset = both.U, both.V, None
        if fixed is not None:
            offset = F[:, fixed] * X.dtype.type(self.problem.unit)
            X, F = X[:, free], F[:, free]
        ridge, covariance, spread = self.ridge.before(side, X, free)
        X, gauge, sums = half_step(half, X, F, offset, covariance, spread, ridge, solver)
        self.ridge.after(side, half, X, free, gauge, sums)
        if fixed is not None:
            free_part, X = X, both.U.copy()
            X[:, free] = free_part
        new = Factors(X, both.V)
        self.factors = new if side == 0 else new.T
        return sums


def _totals(entries: Compressed) -> Host:
    if entries.weights is None:
        return entries.counts.astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(entries.weights, dtype=np.float64)])
    return np.diff(sums[entries.indptr])
