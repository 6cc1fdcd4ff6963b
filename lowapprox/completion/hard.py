"""Exact fits where entries are few or the spectrum decays: several methods, several starts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowapprox.completion.gauss_newton import gauss_newton
from lowapprox.completion.increment import increment
from lowapprox.completion.irls import irls, reweighted
from lowapprox.completion.problem import Factors, Method, Problem, Watch
from lowapprox.completion.tangent import Blocks, Entries, Point, Tangent, conjugate_gradients

__all__ = ["identified", "recover"]

_INCREMENT, _IRLS, _NEWTON = 400, 300, 25  # steps of one attempt
_ATTEMPTS = 16
_SMOOTHING, _DAMPING = 0.25, 0.7
_SHAKES = 0.0, 0.1, 0.2, 0.3
_CG_STEPS = 3000
_TINY = 1e-12
_UNSEEN = 1e-2  # of the share of one direction: chance hides one in a hundred as well as that


def recover(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    """Find a matrix of low rank with the observed values.

    Rank increments come first, MatrixIRLS next; each ends with steps of Gauss-Newton. A local
    minimum is then left by raising the smoothing of MatrixIRLS again, from factors that are
    shaken a little: near the limit the fits of nearly all entries are many, and the exact one is
    rarely far. `watch.reason` is "residual" only after an exact fit that passes `identified`.
    """
    runs = _Runs(replace(problem, held_out=None, ridge=None), watch)
    entries = Entries(problem.observed)
    if start is not None and runs.finish(start):
        return runs.done(entries)
    for method, steps in ((increment, _INCREMENT), (irls, _IRLS)):
        if runs.finish(runs.go(method, None, steps)):
            return runs.done(entries)
    for k in range(_ATTEMPTS):
        shaken = _shaken(runs.last if k % 2 else runs.best, _SHAKES[k // 2 % 4], problem.rng)
        if runs.finish(runs.go(_again, shaken, _IRLS)):
            break
    return runs.done(entries)


def _again(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    return reweighted(problem, start, watch, damping=_DAMPING, smoothing=_SMOOTHING)


def _shaken(factors: Factors, strength: float, rng: np.random.Generator) -> Factors:
    point = Point.of(factors)
    U, V = (
        X + strength / np.sqrt(len(X)) * rng.standard_normal(X.shape) for X in (point.U, point.V)
    )
    return Factors(U * point.s, V)


def identified(entries: Entries, factors: Factors, rng: np.random.Generator) -> bool:
    """Tell whether no other matrix of the rank near by has the same values at the entries.

    That is so when the entries see every tangent vector: random ones are found again from their
    entries. One direction that is not seen is a share of about one over the root of the dimension.
    """
    point = Point.of(factors)
    tangent = Tangent(entries, point.U, point.V)
    r = tangent.rank
    dimension = r * (sum(entries.shape) - r)
    tiny = np.full(r, _TINY * entries.density)
    blocks = Blocks(tangent, tiny, np.diag(tiny))
    for _ in range(2):
        hidden = tangent.cleaned(rng.standard_normal(tangent.size))
        found, _ = conjugate_gradients(
            tangent.normal,
            tangent.normal(hidden),
            np.zeros(tangent.size),
            blocks,
            tangent.cleaned,
            tol=_TINY,
            steps=_CG_STEPS,
        )
        missed = np.linalg.norm(tangent.cleaned(found - hidden)) / np.linalg.norm(hidden)
        if not missed <= _UNSEEN / np.sqrt(dimension):
            return False
    return True


class _Runs:
    """The attempts, their best factors, and how well these fit."""

    def __init__(self, problem: Problem, watch: Watch) -> None:
        self.problem, self.watch = problem, watch
        self.goal = problem.tol if problem.residual_tol is None else problem.residual_tol
        self.residual = np.inf
        self.best = self.last = Factors(np.empty((0, 0)), np.empty((0, 0)))
        self.stopped = ""

    def go(self, method: Method, start: Factors | None, steps: int) -> Factors:
        """Run a method for some steps at most."""
        attempt = self.watch.attempt(self.problem, steps)
        factors = method(self.problem, start, attempt)
        if attempt.reason == "callback":
            self.stopped = "callback"
        elif len(self.watch.history) >= self.watch.problem.max_iter:
            self.stopped = "max_iter"
        return factors

    def finish(self, factors: Factors) -> bool:
        """Take the factors to the nearest minimum; return True if no more should be tried."""
        if not self.stopped:
            factors = self.go(gauss_newton, factors, _NEWTON)
        residual = self.watch.history[-1].residual
        self.last = factors
        if residual < self.residual:
            self.best, self.residual = factors, residual
        return bool(self.stopped) or self.residual <= self.goal

    def done(self, entries: Entries) -> Factors:
        """Tell the watch how it ended."""
        watch = self.watch
        watch.best = self.best
        watch.reason = self.stopped or "stagnated"
        if self.residual <= self.goal:
            sure = identified(entries, self.best, self.problem.rng)
            watch.reason = "residual" if sure else "not identified"
        return self.best
