"""The rank, by the error at entries held out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count

import numpy as np

from lowapprox._core.progress import Reporter
from lowapprox.completion.als import Alternation, gradients
from lowapprox.completion.holdout import hold_out
from lowapprox.completion.increment import extended
from lowapprox.completion.losses import Majorant, judge
from lowapprox.completion.problem import Factors, HeldOut, Problem

__all__ = ["chosen_rank"]

_SHARE = 0.05
_MOST_HELD = 200_000
_LEAST_OVERSAMPLING = 1.2
_SWEEPS = 30  # for each rank at most
_PATIENCE = 3
_STILL = 3e-3  # relative fall of the error in a sweep, below which a rank has shown what it can
_WORTH = 5e-3  # relative fall of the error that a larger rank must bring
_NARROW = 0.15  # width of a gap over its upper end
_ALIKE = 1.05  # ratio of two errors that are nearly the same
_LOOSE = 0.8  # of the fall: smaller ranks that near it are worth a look
_CHANCE = 0.3  # the same for a single entry: differences of fewer are chance
_GENEROUS = 32  # rank that noisy data are given, for components to die out
_NOISE = 1e-2  # of the values' root mean square: data with larger errors are not exact
_EXACT = 1e-5  # of the values' root mean square: nothing is left to explain


class _Stopped(Exception):  # noqa: N818 - no error
    """The callback has asked to stop."""


def chosen_rank(problem: Problem, reporter: Reporter) -> tuple[int, dict[int, float]]:
    """Choose a rank; return it with the errors at entries held out, in the units of the values.

    Ranks are doubled while the error falls, each beginning from the factors of the one below and
    the leading pairs of its residual; then the gaps beside the best one are halved. Of ranks that
    are about as good the smallest is taken.

    In noisy data weak components may help only together. So with the learned ridge, which lets
    die out what the data do not support, a generous rank is tried from scratch; if it is better,
    it is halved, or doubled, from there. A callback that stops the search leaves the best of the
    ranks that were finished.
    """
    observed, judged, most = problem.observed, problem.held_out, _largest(problem)
    if judged is None and observed.count:
        share = min(_SHARE, _MOST_HELD / observed.count)
        observed, judged = hold_out(observed, share, 2, problem.rng)
        judged = replace(judged, loss=judge(problem.loss))
    if judged is None or not judged.values.size:
        return min(most, 1), {}
    trial = replace(problem, observed=observed, held_out=judged)
    size = judged.measured(np.zeros(judged.values.size), judged.values)
    worth = 1.0 + max(_WORTH, _CHANCE / np.sqrt(judged.values.size))
    runs: dict[int, tuple[float, Factors]] = {}
    steps = count(1)

    def report(error: float) -> None:
        step = next(steps)
        if reporter(step, step, error / (size or 1.0), _EXACT):
            raise _Stopped

    def fitted(rank: int, start: Factors | None = None) -> tuple[float, Factors]:
        return _fitted(trial, judged, rank, start, report)

    def tried(rank: int) -> float:
        below = max((r for r in runs if r < rank), default=0)
        runs[rank] = fitted(rank, runs[below][1] if below else None)
        return runs[rank][0]

    def smallest(share: float) -> int:
        """Return the smallest rank that brings this share of the fall, on a logarithmic scale."""
        least = min(error for error, _ in runs.values())
        bar = max(least * worth, _EXACT * size, least**share * size ** (1.0 - share))
        return min(r for r, (error, _) in runs.items() if error <= bar)

    with suppress(_Stopped):
        rank, error = 1, tried(1)
        while rank < most and error > _EXACT * size:
            rank, before = min(2 * rank, most), error
            error = tried(rank)
            if error * worth > before:
                break
        least = min(error for error, _ in runs.values())
        if problem.ridge is None and least > _NOISE * size:
            errors = _from_above(fitted, most, least / worth, worth)
            if errors:
                bar = worth * min(errors.values())
                return min(r for r, error in errors.items() if error <= bar), errors
        while gaps := _gaps(
            {r: e for r, (e, _) in runs.items()}, (smallest(1.0), smallest(_LOOSE))
        ):
            tried(gaps[0])
    return smallest(1.0) if runs else 1, {r: runs[r][0] for r in sorted(runs)}


def _from_above(
    fitted: Callable[[int], tuple[float, Factors]], most: int, goal: float, worth: float
) -> dict[int, float]:
    """Return the errors of ranks around a generous one; of none, if that misses the goal."""
    rank = min(_GENEROUS, most)
    errors = {rank: fitted(rank)[0]}
    if errors[rank] > goal:
        return {}
    while 2 * rank <= most:
        rank *= 2
        errors[rank] = fitted(rank)[0]
        if errors[rank] * worth > errors[rank // 2]:
            break
    rank = min(errors)
    while rank > 1 and errors[rank] <= worth * min(errors.values()):
        rank //= 2
        errors[rank] = fitted(rank)[0]
    return dict(sorted(errors.items()))


def _gaps(errors: dict[int, float], around: tuple[int, int]) -> list[int]:
    """Return the middles of gaps below and above the first rank, and below the second.

    Narrow gaps between errors that are nearly the same are left as they are.
    """
    tried = sorted(errors)
    places = [tried.index(rank) for rank in around]
    pairs = [(place - 1, place) for place in places]
    pairs.insert(1, (places[0], places[0] + 1))
    ends = [(tried[a], tried[b]) for a, b in pairs if a >= 0 and b < len(tried)]
    return [
        (low + high) // 2
        for low, high in ends
        if high - low > 1
        and (
            high - low > _NARROW * high
            or max(errors[low], errors[high]) > _ALIKE * min(errors[low], errors[high])
        )
    ]


def _largest(problem: Problem) -> int:
    """Return the largest rank whose degrees of freedom the entries exceed by a margin, or 1."""
    size, allowed = sum(problem.observed.shape), problem.observed.count / _LEAST_OVERSAMPLING
    root = np.sqrt(max(size**2 - 4.0 * allowed, 0.0))
    return min(max(int((size - root) / 2.0), 1), *problem.observed.shape)


def _fitted(
    problem: Problem,
    judged: HeldOut,
    rank: int,
    start: Factors | None,
    report: Callable[[float], None],
) -> tuple[float, Factors]:
    """Alternate at one rank until the error at the entries held out rests."""
    part = replace(problem, rank=rank)
    majorant = None if part.loss == "squared" else Majorant(part)
    if start is not None:
        bounding = part if majorant is None else replace(part, observed=majorant(start)[0])
        start = extended(bounding, start, rank + problem.row_bias + problem.col_bias - start.rank)
    alternation, solver = Alternation(part, start), gradients(part, 2)
    least, resting = np.inf, 0
    for _ in range(_SWEEPS):
        if majorant is not None:
            alternation.observe(majorant(alternation.factors)[0])
        alternation.sweep(solver)
        error = judged.error(alternation.factors)
        report(error)
        resting = 0 if error < least * (1.0 - _STILL) else resting + 1
        least = min(least, error)
        if resting == _PATIENCE:
            break
    return least, alternation.factors
