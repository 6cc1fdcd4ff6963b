"""What the methods hand to one another: checked solutions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lowapprox.regression.system import Host, System
from lowapprox.regression.triangle import BackwardError, Triangle

__all__ = ["Answer", "Check", "Outcome"]


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
    def of(cls, system: System, X: Host, measure: BackwardError) -> Check:
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
    """What a method found, with the triangle that it used."""

    found: Check
    triangle: Triangle
    condition: float
    rank: int
    iterations: int = 0
    finite: bool = True


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
    more: Mapping[str, Any] = field(default_factory=dict)
