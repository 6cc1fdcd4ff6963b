"""Entries that are held out to judge a fit by, and the judgement."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from lowapprox._core.errors import AccuracyWarning, InputError
from lowapprox._core.threads import blas_threads
from lowapprox.completion._request import Request
from lowapprox.completion.als import noisy
from lowapprox.completion.auto import searches
from lowapprox.completion.diagnosis import Diagnostics, tie, undetermined
from lowapprox.completion.holdout import hold_out
from lowapprox.completion.losses import judge
from lowapprox.completion.problem import Factors, HeldOut, Problem, Watch
from lowapprox.completion.sorting import row_numbers
from lowapprox.completion.tall import gram

__all__ = ["Verdict", "died_out", "judged", "lost", "with_held_out"]

_SAFE_OVERSAMPLING = 3.0  # from which on an exact fit is taken for the truth without a check
_SHARE, _MOST_HELD = 0.01, 100_000  # what is held out for a check
_CONTRADICTION = 10.0  # error at the entries held out over the residual
_DEAD = 1e-9  # largest numbers of both factors, of values of size one
_PART = 1 << 16  # entries that are judged at a time
_FIVE_DIGITS = 1e-5
_HUGE = 1e3  # size of a fit over that of the values, which no entries ask for
_LOOSE = 0.95  # value of `tie`; patterns without structure are below 0.6
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
        rows, columns = row_numbers(judged), judged.indices
        values = (judged.values - offset) / scale
        _, (row_component, col_component) = observed.components
        label = row_component[rows]
        inside = (label >= 0) & (label == col_component[columns])
        if not inside.any():
            raise InputError(
                "`validation` must hold entries that those of `A` say something of, got "
                f"{inside.size} between rows and columns that nothing joins"
            )
        if not inside.all():
            _tell(
                f"{np.count_nonzero(~inside)} entries of `validation` lie between rows and columns "
                "that nothing joins, and judge nothing"
            )
        held = HeldOut(rows[inside], columns[inside], values[inside], loss)
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
    if held.values.size:
        return replace(whole, observed=left, held_out=replace(held, loss=loss))
    if request.share:
        _tell("no entry can be held out for `validation`: rows and columns need all that they hold")
    return whole


def _tell(text: str) -> None:
    warnings.warn(f"`complete`: {text}", AccuracyWarning, stacklevel=4)


def judged(problem: Problem, factors: Factors, watch: Watch) -> Verdict:
    """Say whether the fit is what was asked for, by the entries held out where there are any."""
    reason, held = watch.reason, problem.held_out
    if held is not None and problem.observed.count:
        error = held.error(factors)
        size, limit = _expected(problem, held, factors)
        if error > limit:
            return Verdict(
                False,
                "not identified",
                f"the error at entries held out is {error / max(size, 1e-300):.1e} times the "
                "residual: the observed entries do not determine the matrix, or were not enough "
                "for the method",
            )
    why = ""
    if reason == "residual" and problem.loss != "logit" and _exact(problem, factors):
        with blas_threads(1):
            why = _doubt(problem, factors)
    if why or reason == "not identified":
        text = "other matrices of this rank fit the observed entries as well"
        return Verdict(False, "not identified", text + why)
    converged = reason in {"residual", "change", "held-out"}
    if converged and problem.loss != "logit" and (times := _excess(problem, factors)) > _HUGE:
        return Verdict(
            False,
            "not identified",
            f"the fit is {times:.1e} times as large as the observed values, elsewhere",
        )
    return Verdict(converged, reason, f"the work ended by {reason!r} before the tolerance was met")


def _expected(problem: Problem, held: HeldOut, factors: Factors) -> tuple[float, float]:
    """Return the error at the entries that were fitted, and what it contradicts elsewhere."""
    rows = problem.observed.rows
    numbers, total = row_numbers(rows), 0.0
    for start in range(0, numbers.size, _PART):
        cut = slice(start, start + _PART)
        found = factors.at(numbers[cut], rows.indices[cut]).astype(np.float64)
        size = held.measured(found, rows.values[cut])
        total += found.size * (size**2 if held.loss is None else size)
    size = total / numbers.size
    if problem.loss == "logit":
        # To say nothing has a loss of log 2; confident and wrong is worse than that.
        even = float(np.log(2.0))
        return size, max(even, min(_CONTRADICTION * size, 2.0 * even))
    size = size if held.loss is not None else float(np.sqrt(size))
    return size, max(_CONTRADICTION * size, _ROUNDING)


def _excess(problem: Problem, factors: Factors) -> float:
    """Return the root mean square of all entries of the product over that of the observed values.

    Between components it may be anything.
    """
    observed = problem.observed
    if not observed.norm or observed.components[0] != 1:
        return 0.0
    U, V = (part[:, problem.inner] for part in (factors.U, factors.V))
    mean = max(float(np.sum(gram(U) * gram(V))), 0.0) / (len(U) * len(V))
    values = observed.rows.values
    return float(np.sqrt(mean * values.size) / np.linalg.norm(values))


def _exact(problem: Problem, factors: Factors) -> bool:
    """Tell whether a small residual is that of an exact fit, and not what a ridge has left."""
    if not noisy(problem):
        return True
    observed = problem.observed
    gap = np.linalg.norm(factors.residual(observed).astype(np.float64))
    return bool(gap <= _FIVE_DIGITS * np.linalg.norm(observed.rows.values))


def _doubt(problem: Problem, factors: Factors) -> str:
    """Say why an exact fit is not the only one of its rank; nothing if it is.

    Large problems are looked at closely only if few entries tie parts of the matrix together.
    Biases are taken for two columns like others: then there may be doubt without need.
    """
    observed = problem.observed
    if not observed.norm:
        return ""
    counts = (observed.rows.counts, observed.columns.counts)
    if any(((c > 0) & (c < problem.rank)).any() for c in counts):
        from lowapprox.completion.hard import live_rank

        few = undetermined(observed, live_rank(observed, factors))
        if any(few):
            return f": {few[0]} rows and {few[1]} columns hold fewer entries than its rank"
    if searches(problem) or tie(observed, problem.rng) > _LOOSE:
        from lowapprox.completion.hard import identified
        from lowapprox.completion.tangent import Entries

        if not identified(Entries(observed), factors, problem.rng):
            return ": there are too few, or they tie parts of the matrix together too loosely"
    return ""


def died_out(problem: Problem, factors: Factors) -> bool:
    """Tell whether the learned ridge has left no component of values that are about one."""
    learned = problem.ridge is None and problem.loss != "logit" and not problem.nonneg
    sizes = [float(np.abs(part[:, problem.inner]).max()) for part in (factors.U, factors.V)]
    return learned and sizes[0] * sizes[1] < _DEAD and problem.observed.norm > 0.0


def lost(problem: Problem, factors: Factors, found: Diagnostics, reason: str) -> str:
    """Say which values the learned ridge has taken for noise, all of `A` or of its components."""
    observed, components = problem.observed, found.components
    if not observed.count or problem.ridge is not None or problem.loss == "logit":
        return ""
    if reason in {"callback", "max_iter"}:  # it has not come to that
        return ""
    if died_out(problem, factors):
        return "all values of `A`"
    if components == 1 or noisy(problem):
        return ""
    sizes = np.zeros((3, components))
    inner = (np.abs(part[:, problem.inner]).max(axis=1) for part in (factors.U, factors.V))
    labels = (found.row_component, found.col_component)
    for size, label, largest in zip(sizes, labels, inner, strict=False):
        np.maximum.at(size, label[label >= 0], largest[label >= 0])
    label = found.row_component[row_numbers(observed.rows)]
    np.maximum.at(sizes[2], label, np.abs(observed.rows.values))
    zero = np.count_nonzero(sizes[0] * sizes[1] < _DEAD * sizes[2])
    return f"all values of {zero} of the {components} parts of `A`" if zero else ""
