"""Entries that are held out to judge a fit by, and the judgement."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lowapprox.completion._request import Request
from lowapprox.completion.als import noisy
from lowapprox.completion.auto import searches
from lowapprox.completion.holdout import hold_out
from lowapprox.completion.losses import judge
from lowapprox.completion.problem import Factors, HeldOut, Problem, Watch
from lowapprox.completion.sorting import row_numbers

__all__ = ["Verdict", "judged", "with_held_out"]

_SAFE_OVERSAMPLING = 3.0  # from which on an exact fit is taken for the truth without a check
_SHARE, _MOST_HELD = 0.01, 100_000  # what is held out for a check
_CONTRADICTION = 10.0  # error at the entries held out over the residual
_ROUNDING = 1e-6  # error at the entries held out that needs no explanation


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a fit is what was asked for, and what to say if it is not."""

    converged: bool
    reason: str
    text: str


def with_held_out(
    whole: Problem, request: Request, method: str, offset: float, scale: float
) -> Problem:
    """Return the problem with entries to judge by, where they are asked for or needed."""
    observed = whole.observed
    loss = judge(whole.loss)
    if request.judged is not None:
        judged = request.judged.rows
        values = (judged.values - offset) / scale
        held = HeldOut(row_numbers(judged), judged.indices, values, loss)
        return replace(whole, held_out=held)
    share = request.share
    if share is None:
        share = 0.0
        # The learned ridge does not overfit, and biases belong to noisy data.
        exact = not noisy(whole)
        exact = exact and not (method == "auto" and searches(whole))
        if exact and observed.oversampling(whole.rank) < _SAFE_OVERSAMPLING:
            share = min(_SHARE, _MOST_HELD / max(observed.count, 1))
    if not share or not observed.count:
        return whole
    left, held = hold_out(observed, share, whole.rank + 1, whole.rng)
    held = replace(held, loss=loss)
    return replace(whole, observed=left, held_out=held) if held.values.size else whole


def judged(problem: Problem, factors: Factors, watch: Watch, *, sure: bool) -> Verdict:
    """Say whether the fit is what was asked for, by the entries held out where there are any.

    `sure` is that exact fits need no further check.
    """
    reason, held = watch.reason, problem.held_out
    if held is not None and problem.observed.count and problem.loss != "logit":
        error = held.error(factors)
        gap = factors.residual(problem.observed).astype(np.float64)
        size = held.measured(gap, np.zeros(1))
        if error > max(_CONTRADICTION * size, _ROUNDING):
            return Verdict(
                False,
                "not identified",
                f"the error at entries held out is {error / max(size, 1e-300):.1e} times the "
                "residual: the observed entries do not determine the matrix, or were not enough "
                "for the method",
            )
    if held is None and reason == "residual" and not sure and not _unique(problem, factors):
        reason = "not identified"
    if reason == "not identified":
        return Verdict(
            False, reason, "other matrices of this rank fit the observed entries as well"
        )
    converged = reason in {"residual", "change", "held-out"}
    return Verdict(converged, reason, f"the work ended by {reason!r} before the tolerance was met")


def _unique(problem: Problem, factors: Factors) -> bool:
    """Tell whether an exact fit is the only one of its rank, where that may be doubted."""
    few = problem.observed.oversampling(problem.rank) < _SAFE_OVERSAMPLING
    if noisy(problem) or not few or not problem.observed.norm or not searches(problem):
        return True
    from lowapprox.completion.hard import identified
    from lowapprox.completion.tangent import Entries

    return identified(Entries(problem.observed), factors, problem.rng)
