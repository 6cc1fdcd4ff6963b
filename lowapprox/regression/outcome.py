"""What the methods hand to one another, checked solutions, and what the caller gets of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lowapprox._core.errors import ConvergenceWarning
from lowapprox._core.results import run_info
from lowapprox.regression._request import ONE_PASS, Request
from lowapprox.regression.result import LstsqResult
from lowapprox.regression.spread import Spread
from lowapprox.regression.system import Host, System, squares_of

__all__ = [
    "Answer",
    "Check",
    "Outcome",
    "answered",
    "better",
    "nothing",
    "passed",
    "result_of",
    "warn_of",
]


@dataclass(frozen=True, slots=True)
class Check:
    """Solutions with their recomputed residuals and backward errors, one for each column.

    Attributes
    ----------
    X, G : numpy.ndarray, shape (d, k)
        Solutions and ``A^H (b - A x)``.
    squares, error : numpy.ndarray, shape (k,)
        ``|b - A x|^2`` and the backward errors; NaN only where the solution has no meaning.
    """

    X: Host
    squares: Host
    G: Host
    error: Host

    @classmethod
    def of(cls, system: System, X: Host, measure: Callable[[Host, Host, Host], Host]) -> Check:
        """Check solutions, in one pass."""
        squares, G = system.residual(X)
        return cls(X, squares, G, measure(X, squares, G))

    def better(self, other: Check) -> Check:
        """Return the better one of each pair of solutions."""
        other_wins = (other.error < self.error) | np.isnan(self.error)
        return Check(
            np.where(other_wins, other.X, self.X),
            np.where(other_wins, other.squares, self.squares),
            np.where(other_wins, other.G, self.G),
            np.where(other_wins, other.error, self.error),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a method found, with the norms D of the columns as far as it knows them."""

    found: Check
    D: Host
    condition: float
    rank: int
    iterations: int = 0
    finite: bool = True
    spread: Spread | None = None
    stopped: bool = False  # as the callback asked


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call returns, before scaling and shapes are restored.

    The arrays have an entry or a column for each right-hand side; `shortfall` says in words what
    was not reached, and is empty where all was.
    """

    X: Host
    residual: Host
    error: Host
    forward: Host
    bound: Host | None
    condition: float
    rank: int
    method: str
    why: str
    shortfall: str
    finite: bool = True
    spread: Spread | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def passed(outcome: Outcome, request: Request) -> bool:
    """Return whether all backward errors are as small as asked."""
    return bool((outcome.found.error <= request.tol).all())


def better(first: Outcome | None, second: Outcome) -> Outcome:
    """Return the second outcome with the better ones of all solutions of full rank."""
    if first is None or second.rank < second.D.size:
        return second
    return replace(second, found=second.found.better(first.found))


def answered(system: System, outcome: Outcome, method: str, why: str, request: Request) -> Answer:
    """Say how good the solution is."""
    found, d = outcome.found, system.shape[1]
    tol, error = request.tol, request.rhs.marked(found.error)
    if outcome.rank < min(system.shape) or system.shape[0] < d:
        tol = max(tol, request.rcond)  # what was cut off is a change of A of this size
    if request.rhs.dtype.char in "fF":
        error = error + np.finfo(request.rhs.dtype).eps / 2.0  # x is rounded
    squares = found.squares
    if system.ridge:
        squares = np.maximum(squares - system.ridge * squares_of(found.X), 0.0)
    shortfall = ""
    if not (error <= tol).all():
        worst = float(error.max())
        shortfall = f"the backward error is {worst:.2e}, and {tol:.2e} was to be reached"
    with np.errstate(all="ignore"):
        size = np.sqrt(squares_of(found.X * outcome.D[:, None]))
        kappa = outcome.condition
        # A backward error near machine epsilon is the rounding of its own evaluation.
        least = np.maximum(error, 2.0 * np.finfo(float).eps)
        forward = 2.23 * kappa * (1.0 + kappa * np.sqrt(found.squares) / size) * least
        forward[(size == 0.0) & (least >= 0.0)] = 0.0
    if outcome.rank < d:
        forward = np.full_like(forward, np.nan)
    bound = None
    if request.method in ONE_PASS:
        bound = forward * size / outcome.D[:, None]
    return Answer(
        X=found.X,
        residual=np.sqrt(squares),
        error=error,
        forward=forward,
        bound=bound,
        condition=outcome.condition,
        rank=outcome.rank,
        method=method,
        why=why,
        shortfall=shortfall,
        finite=outcome.finite,
        spread=outcome.spread,
        more={
            "iterations": outcome.iterations,
            "tol": tol,
            "variance_error": _variance_error(outcome),
        },
    )


def nothing(system: System, method: str) -> Answer:
    """Return x = 0 for a matrix without rows or columns, or no right-hand side."""
    k = system.b.shape[1]
    X: Host = np.zeros((system.shape[1], k), system.dtype)
    squares = np.zeros(k) if 0 in system.b.shape else system.residual(X)[0]
    zero = np.zeros(k)
    return Answer(X, np.sqrt(squares), zero, zero, None, 1.0, 0, method, "nothing to solve", "")


def warn_of(answer: Answer, name: str) -> None:
    """Warn where an answer falls short, on behalf of the caller of the public function."""
    if answer.shortfall:
        warnings.warn(
            f"`{name}`: {answer.shortfall}; the result has converged=False",
            ConvergenceWarning,
            stacklevel=3,
        )


def _variance_error(outcome: Outcome) -> float:
    if outcome.spread is None:
        return np.nan
    rounding = float(np.finfo(float).eps) * outcome.condition
    return rounding if outcome.spread.error is None else outcome.spread.error


def result_of(answer: Answer, system: System, request: Request, start: float) -> LstsqResult:
    """Bring the answer into the shape, scale and precision of the input."""
    rhs = request.rhs
    kind = rhs.dtype

    def columns(x: Host, dtype: Any) -> Any:
        x = rhs.restored(x).astype(dtype)
        return x[:, 0] if rhs.vector else x

    def numbers(x: Host) -> Any:
        return float(x[0]) if rhs.vector else x

    bound = None
    if answer.bound is not None:
        bound = columns(np.array(answer.bound), np.finfo(kind).dtype)
    with np.errstate(over="ignore"):
        return LstsqResult(
            x=columns(answer.X, kind),
            residual_norm=numbers(rhs.restored(answer.residual)),
            backward_error=numbers(answer.error),
            forward_error_bound=numbers(answer.forward),
            entry_bound=bound,
            cond_estimate=answer.condition,
            rank=answer.rank,
            converged=not answer.shortfall,
            passes=system.passes,
            info=run_info(start, answer.method, why=answer.why, **answer.more),
            _spread=answer.spread,
        )
