"""Entries that fall apart: connected components share nothing, and are fitted one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import TypeAlias

import numpy as np

from lowapprox.completion.diagnosis import parts
from lowapprox.completion.observations import Host, Observations
from lowapprox.completion.problem import Factors, HeldOut, Method, Problem, Watch

__all__ = ["apart"]

Piece: TypeAlias = tuple[Observations, Host, Host]  # a component, its rows, and its columns


def apart(name: str) -> Callable[[Method], Method]:
    """Let a method see one connected component at a time, unless it has a start.

    The leading singular vectors of all entries may lie in one of the components, and a method that
    begins with them would take the others for zero. The steps of each are recorded as if it was
    alone; the last record, under the name of the method, is that of the whole.
    """

    def decorated(method: Method) -> Method:
        @wraps(method)
        def fitted(problem: Problem, start: Factors | None, watch: Watch) -> Factors:
            pieces = [] if start is not None else list(parts(problem.observed))
            if len(pieces) < 2:
                return method(problem, start, watch)
            return _one_by_one(name, method, problem, pieces, watch)

        return fitted

    return decorated


def _one_by_one(
    name: str, method: Method, problem: Problem, pieces: list[Piece], watch: Watch
) -> Factors:
    (m, n), k = problem.observed.shape, problem.rank
    whole, reasons = Factors(np.zeros((m, k)), np.zeros((n, k))), set()
    for observed, rows, columns in pieces:
        steps = watch.problem.max_iter - len(watch.history) - 1  # the last one is the whole's
        if steps < 1:
            break
        held = _within(problem.held_out, rows, columns)
        inside = replace(problem, observed=observed, rank=min(k, *observed.shape), held_out=held)
        attempt = watch.attempt(inside, steps)
        found = method(inside, None, attempt)
        if held is not None and attempt.best is not None and attempt.reason != "residual":
            found = attempt.best
        whole.U[rows, : found.rank], whole.V[columns, : found.rank] = found.U, found.V
        reasons.add(attempt.reason)
        if attempt.reason == "callback":
            watch.reason, watch.best = "callback", whole
            return whole
    watch(name, whole, residual=_misfit(problem.observed, whole))
    watch.reason = watch.reason or _worst(reasons)
    return whole


def _within(held: HeldOut | None, rows: Host, columns: Host) -> HeldOut | None:
    """Return the entries held out in some rows and columns, if there are any."""
    if held is None:
        return None
    i, j = np.searchsorted(rows, held.rows), np.searchsorted(columns, held.columns)
    inside = (i < rows.size) & (j < columns.size)
    inside[inside] = (rows[i[inside]] == held.rows[inside]) & (
        columns[j[inside]] == held.columns[inside]
    )
    if not inside.any():
        return None
    return HeldOut(i[inside], j[inside], held.values[inside], held.loss)


def _misfit(observed: Observations, factors: Factors) -> float:
    gap, weights = factors.residual(observed).astype(np.float64), observed.rows.weights
    square = float(gap @ gap if weights is None else gap @ (weights * gap))
    return float(np.sqrt(square)) / observed.norm if observed.norm else 0.0


def _worst(reasons: set[str]) -> str:
    """Return the end of the component that has come least far."""
    order = ("max_iter", "stagnated", "held-out", "change", "residual")
    return next((reason for reason in order if reason in reasons), "stagnated")
