"""Exact fits where entries are few or the spectrum decays: several methods, several starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from lowapprox.completion.diagnosis import core, parts
from lowapprox.completion.gauss_newton import gauss_newton
from lowapprox.completion.increment import increment
from lowapprox.completion.irls import irls, reweighted
from lowapprox.completion.observations import Observations
from lowapprox.completion.problem import Factors, Method, Problem, Watch
from lowapprox.completion.sorting import row_numbers
from lowapprox.completion.tangent import Blocks, Entries, Point, Tangent, conjugate_gradients

__all__ = ["identified", "live_rank", "recover"]

_STEPS = 500  # of one attempt
_ROUNDS = 4  # of four restarts each
_PATIENCE = {"increment": 40, "irls": 20, "gauss-newton": 5}  # steps that are given
_FALL = 0.9  # ... for the residual to fall by this
_NEAR, _FAST, _FEW = 1e-4, 0.3, 4  # residual, and its fall in a few steps, before Gauss-Newton
_CG_STEPS, _CG_WORK = 3000, 10**9  # steps, and numbers that they read, at most
_TINY = 1e-12
_DEAD = 10.0  # times the relative residual: components below it have no part in the fit
_UNSEEN = 1e-2  # of the share of one direction: chance hides one in a hundred as well as that


def recover(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
    """Find a matrix of low rank with the observed values.

    Rank increments come first, MatrixIRLS next; each ends with steps of Gauss-Newton. Near the
    limit there are many minima, so both begin anew several times: from nothing, and from the best
    one, shaken or with some directions taken away. `watch.reason` is "residual" only after an exact
    fit that passes `identified`. Exact fits are the same whatever the weights, which would only be
    in the way.
    """
    observed = problem.observed.unweighted
    runs = _Runs(replace(problem, observed=observed, held_out=None, ridge=None), watch)
    if runs.reached(runs.go(increment, None) if start is None else start):
        return runs.done()
    if runs.reached(runs.go(irls, None)):
        return runs.done()
    for method, left in _restarts(runs, problem.rng):
        if runs.reached(runs.go(method, left)):
            break
    return runs.done()


def _restarts(runs: _Runs, rng: np.random.Generator) -> Iterator[tuple[Method, Factors | None]]:
    """Yield ways to begin anew, none of which is the best for all matrices."""
    quick = partial(reweighted, damping=0.7, smoothing=0.25)
    slow = partial(reweighted, damping=0.85, smoothing=0.2)
    for shake in 0.1 * np.arange(_ROUNDS):
        yield increment, None  # the leading vectors of an even spectrum are a matter of chance
        yield quick, _shaken(runs.best, shake, rng)
        yield increment, _without(runs.best, int(rng.integers(1, max(runs.best.rank, 2))), rng)
        yield slow, _shaken(runs.last, shake + 0.1, rng)


def _without(factors: Factors, count: int, rng: np.random.Generator) -> Factors | None:
    """Return the product without some directions, chosen by chance."""
    if factors.rank <= count:
        return None
    point = Point.of(factors)
    Q = np.linalg.qr(rng.standard_normal((factors.rank, factors.rank)))[0][:, count:]
    return Factors(point.U * point.s @ Q, point.V @ Q)


def _shaken(factors: Factors, strength: float, rng: np.random.Generator) -> Factors:
    point = Point.of(factors)
    U, V = (
        X + strength / np.sqrt(len(X)) * rng.standard_normal(X.shape) for X in (point.U, point.V)
    )
    return Factors(U * point.s, V)


def identified(entries: Entries, factors: Factors, rng: np.random.Generator) -> bool:
    """Tell whether no other matrix of the rank near by has the same values at the entries.

    The rank is that of the fit, without components that have died out; weights have no part in it.
    Connected components are looked at one by one, since nothing is said of entries between them,
    nor of rows and columns without entries.
    """
    for part, rows, columns in parts(entries.observed):
        if part.count == part.shape[0] * part.shape[1]:
            continue
        inside = Factors(factors.U[rows], factors.V[columns])
        if not _all_seen(Entries(part, weighted=False), inside, rng):
            return False
    return True


def _redundant(observed: Observations, k: int) -> bool:
    """Tell whether there are more entries than unknowns, where rows do not follow from others.

    As many entries as unknowns leave a finite number of matrices, but seldom one. Rows and columns
    with k entries follow from the rest.
    """
    rows, columns = core(observed, k + 1)
    inside = rows[row_numbers(observed.rows)] & columns[observed.rows.indices]
    count, a, b = (int(np.count_nonzero(x)) for x in (inside, rows, columns))
    return count > k * (a + b - k) or count == a * b


def live_rank(observed: Observations, factors: Factors) -> int:
    """Return the number of components that have a part in the fit."""
    gap = factors.residual(observed).astype(np.float64)
    size = float(np.linalg.norm(observed.rows.values))
    return _alive(Point.of(factors), float(np.linalg.norm(gap)) / size if size else 0.0)


def _alive(point: Point, residual: float) -> int:
    least = max(_TINY, _DEAD * residual) * point.s[0]
    return max(int(np.count_nonzero(point.s > least)), 1)


def _all_seen(entries: Entries, factors: Factors, rng: np.random.Generator) -> bool:
    """Tell whether the entries see every tangent vector.

    Random ones are then found again from their entries. One direction that is not seen is a share
    of about one over the root of the dimension.
    """
    point = Point.of(factors)
    gap = entries.values - entries.inner(point.U * point.s, point.V)
    k = _alive(point, entries.relative(gap))
    if min(entries.shape) <= k or not _redundant(entries.observed, k):
        return False
    tangent = Tangent(entries, point.U[:, :k], point.V[:, :k])
    r = tangent.rank
    dimension = r * (sum(entries.shape) - r)
    steps = min(_CG_STEPS, _CG_WORK // (entries.values.size * r) + 1)
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
            steps=steps,
        )
        missed = np.linalg.norm(tangent.cleaned(found - hidden)) / np.linalg.norm(hidden)
        if not missed <= _UNSEEN / np.sqrt(dimension):
            return False
    return True


@dataclass
class _Attempt(Watch):
    """A watch that loses patience, and leaves to Gauss-Newton what that does faster."""

    begin: int = 0

    def __call__(
        self, method: str, factors: Factors, *, residual: float = np.nan, change: float = np.nan
    ) -> bool:
        """Record one step; return True when the work should stop."""
        super().__call__(method, factors, residual=residual, change=change)
        own = [step.residual for step in self.history[self.begin :]]
        few, many = (own[-1 - n] if len(own) > n else np.inf for n in (_FEW, _PATIENCE[method]))
        if not self.reason and factors.rank == self.problem.rank:
            if residual > _FALL * many:
                self.reason = "stagnated"
            elif method != "gauss-newton" and residual < min(_NEAR, _FAST * few):
                self.reason = "near"
        return bool(self.reason)

    def attempt(self, problem: Problem, steps: int) -> Watch:
        """Return one like this, for one of several components."""
        plain = super().attempt(problem, steps)
        return _Attempt(plain.problem, self.reporter, history=self.history, begin=len(self.history))


class _Runs:
    """The attempts, their best factors, and how well these fit."""

    def __init__(self, problem: Problem, watch: Watch) -> None:
        self.problem, self.watch = problem, watch
        self.goal = problem.tol if problem.residual_tol is None else problem.residual_tol
        self.residual = np.inf
        self.stopped = ""
        self.best = self.last = Factors(np.empty((0, 0)), np.empty((0, 0)))

    def go(self, method: Method, start: Factors | None) -> Factors:
        """Run a method, with the same history."""
        history, most = self.watch.history, self.watch.problem.max_iter
        problem = replace(self.problem, max_iter=min(most, len(history) + _STEPS))
        attempt = _Attempt(problem, self.watch.reporter, history=history, begin=len(history))
        factors = method(problem, start, attempt)
        if attempt.reason == "callback":
            self.stopped = "callback"
        elif len(history) >= most:
            self.stopped = "max_iter"
        return factors

    def reached(self, factors: Factors) -> bool:
        """Take factors to the nearest minimum; return True if no more should be tried."""
        if not self.stopped:
            factors = self.go(gauss_newton, factors)
        self.last, residual = factors, self.watch.history[-1].residual
        if residual < self.residual:
            self.best, self.residual = factors, residual
        return bool(self.stopped) or self.residual <= self.goal

    def done(self) -> Factors:
        """Tell the watch how it ended."""
        watch, exact = self.watch, self.residual <= self.goal
        watch.reason = self.stopped or "stagnated"
        if exact:
            entries = Entries(self.problem.observed)
            sure = identified(entries, self.best, self.problem.rng)
            watch.reason = "residual" if sure else "not identified"
        # Of fits that are not exact the residual says little where other entries judge.
        if exact or watch.best is None or watch.problem.held_out is None:
            watch.best = self.best
        return watch.best
