"""Alternating least squares: each factor in turn is improved for the other one fixed."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np

from lowapprox.completion.compiled import CompiledGradients
from lowapprox.completion.direct import CholeskyRows, NonnegativeRows
from lowapprox.completion.halfstep import Gradients, Half, Solver, Stepped, half_step
from lowapprox.completion.losses import LOGIT_VARIANCE, Majorant, flat_targets
from lowapprox.completion.observations import Compressed, Host, Observations
from lowapprox.completion.prior import FixedRidge, LearnedRidge, Ridge
from lowapprox.completion.problem import Factors, Problem, Watch
from lowapprox.completion.start import mean_biases, spectral_start, with_biases
from lowapprox.completion.tall import product_change

__all__ = ["Alternation", "als_cg", "als_chol", "gradients", "noisy", "random_start"]

_SMALL = 1 << 18  # numbers that a pass reads, up to which compiled code is not worth loading
_STEPS = 2
_LEARNED_STEPS = 1  # more would fit rows to what the ridge does not know yet
_RELAX = 1.5  # how far sweeps over noisy data go beside a ridge, which holds them back
_FALLS = 0.003  # of the residual in a sweep, while they do
_SHARE = 0.5  # of the squares of the values: what a start of noisy data holds at most
_TRIAL_SWEEPS = 6
_RANDOM_SWEEPS, _RANDOM_RIDGE = 3, 0.1  # the ridge over the Gram matrix to expect


def als_cg(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    """Sweep with a few preconditioned steps of conjugate gradients for each row."""
    if problem.nonneg:
        return als_nonneg(problem, start, watch)
    learned = problem.ridge is None and noisy(problem)
    solver = gradients(problem, _LEARNED_STEPS if learned else _STEPS)
    return _alternate("als-cg", problem, start, watch, solver)


def als_chol(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    """Sweep with exact solutions for each row, at a cost quadratic in the rank."""
    if problem.nonneg:
        return als_nonneg(problem, start, watch)
    exact = CholeskyRows()
    return _alternate("als-chol", problem, start, watch, exact)


def als_nonneg(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    """Sweep with coordinate descent for nonnegative rows.

    The automatic ridge is the even one that comes nearest to what factors of any sign have learned,
    from whose sizes the work begins.
    """
    trial = Alternation(replace(problem, ridge=None), start)
    for _ in range(_TRIAL_SWEEPS):
        trial.sweep(gradients(problem, _STEPS))
    assert isinstance(trial.ridge, LearnedRidge)
    ridge = trial.ridge.even() if problem.ridge is None else problem.ridge
    first = start or trial.factors
    size = np.abs if start is None else lambda x: np.maximum(x, 0)
    solver = NonnegativeRows()
    return _alternate(
        "als-chol",
        replace(problem, ridge=ridge),
        Factors(size(first.U), size(first.V)),
        watch,
        solver,
    )


def _alternate(
    name: str,
    problem: Problem,
    start: Factors | None,
    watch: Watch,
    solver: Solver,
) -> Factors:
    alternation = Alternation(problem, start)
    slow = noisy(problem) and problem.ridge != 0 and not problem.nonneg
    relax, last = 1.0, np.inf
    majorant = None if problem.loss == "squared" else Majorant(problem)
    for sweep in count():
        if majorant is not None and sweep == 0:
            alternation.observe(majorant(alternation.factors)[0])
        residual, change = alternation.sweep(solver, relax)
        if majorant is not None:
            bounding, residual = majorant(alternation.factors)
            alternation.observe(bounding)
        relax = _RELAX if slow and residual < (1 - _FALLS) * last else 1.0
        last = residual
        if watch(name, alternation.factors, residual=residual, change=change):
            break
    # The residual says which are the best only where it is all that is minimized.
    judged = problem.held_out is not None or problem.ridge == 0
    return watch.best if judged and watch.best else alternation.factors


def noisy(problem: Problem) -> bool:
    """Tell whether a ridge, biases or a loss say that the data are not exact."""
    modelled = problem.row_bias or problem.col_bias or problem.nonneg
    return bool(problem.ridge) or modelled or problem.loss != "squared"


def gradients(problem: Problem, steps: int) -> Solver:
    """Choose by the size of the problem alone, so that equal calls give equal bits."""
    work = problem.observed.count * problem.width
    return Gradients(steps) if work < _SMALL else CompiledGradients(steps)


def random_start(problem: Problem) -> Factors:
    """Return what a few sweeps make of random factors.

    Their ridge is fixed: a learned one would take random factors, which explain nothing, for noise.
    """
    k, observed = problem.rank, problem.observed
    U, V = (
        (k**-0.25 * problem.rng.standard_normal((p, k))).astype(observed.dtype)
        for p in observed.shape
    )
    factors = with_biases(problem, Factors(U, V), mean_biases(problem))
    ridge = _RANDOM_RIDGE * k**-0.5 * observed.count / max(observed.shape)
    alternation = Alternation(problem, factors, FixedRidge(ridge, per_entry=False))
    for _ in range(_RANDOM_SWEEPS):
        alternation.sweep(gradients(problem, _STEPS))
    return alternation.factors


def _first(problem: Problem) -> Factors:
    """Return a start; for noisy data one power step shows all that can be seen.

    The learned ridge would take a start that is mostly noise for nothing else, and bring it down.
    """
    if problem.loss == "logit":
        problem = replace(problem, observed=flat_targets(problem.observed))
    if not noisy(problem):
        return spectral_start(problem, steps=4)
    return spectral_start(problem, steps=1, most=_SHARE if problem.ridge is None else np.inf)


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
        self.observe(problem.observed)
        # The constant beside the biases of the other side is not solved for.
        self._free = (
            slice(0, problem.width - problem.col_bias),
            slice(int(problem.row_bias), problem.width),
        )
        self.factors = _first(problem) if start is None else start
        self.ridge = self._first_ridge(known=start is not None) if ridge is None else ridge

    def observe(self, observed: Observations) -> None:
        """Go on with other values or weights of the same entries."""
        rows, columns = _totals(observed.rows), _totals(observed.columns)
        self._norm = observed.norm
        self._sides = (
            Half(observed.rows, rows, columns),
            Half(observed.columns, columns, rows),
        )

    def _first_ridge(self, *, known: bool) -> Ridge:
        problem = self.problem
        if problem.ridge is not None:
            return FixedRidge(problem.ridge, per_entry=problem.per_entry)
        biases = problem.row_bias, problem.col_bias
        if problem.loss == "logit":
            return LearnedRidge(LOGIT_VARIANCE, problem.width, known=True, biases=biases)
        observed = problem.observed
        square = observed.norm**2
        if known:
            gap = self.factors.residual(observed)
            square = float(gap @ gap)
        return LearnedRidge(square / max(observed.count, 1), problem.width, biases=biases)

    def sweep(self, solver: Solver, relax: float = 1.0) -> tuple[float, float]:
        """Improve U, then V; return the relative residual, and change of the product."""
        old = self.factors
        self._half(0, solver, relax)
        sums = self._half(1, solver, relax).sums
        norm = self._norm
        residual = np.sqrt(sums.loss_after) / norm if norm else 0.0
        return float(residual), product_change(old, self.factors)

    def _half(self, side: int, solver: Solver, relax: float) -> Stepped:
        both = self.factors if side == 0 else self.factors.T
        free, half, F = self._free[side], self._sides[side], both.V
        X = both.U[:, free]
        offset = None
        if X.shape[1] < F.shape[1]:
            fixed = F[:, -1] if side == 0 else F[:, 0]
            offset = fixed * F.dtype.type(self.problem.unit)
        new = np.empty_like(both.U)
        if offset is not None:
            new[:, -1 if side == 0 else 0] = self.problem.unit
        prior = self.ridge.before(side, X, free)
        step = half_step(half, X, F[:, free], offset, prior, solver, new[:, free], relax)
        self.ridge.after(side, half, free, step)
        factors = Factors(new, F, (step.gauge.penalty(prior.ridge), both.penalties[1]))
        self.factors = factors if side == 0 else factors.T
        return step


def _totals(entries: Compressed) -> Host:
    if entries.weights is None:
        return entries.counts.astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(entries.weights, dtype=np.float64)])
    return np.diff(sums[entries.indptr])
