"""What the methods of `randomized_svd` are given and what they return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowapprox._core.checks import checked_choice, checked_int, checked_target
from lowapprox._core.errors import InputError
from lowapprox._core.matrix import MatrixLike
from lowapprox._core.typing import Array
from lowapprox.svd.result import ErrorKind

__all__ = ["LEVELS", "Factors", "Spent", "Task", "checked_request", "subspace_width"]

# Largest residual over the last wanted value at which each preset stops.
LEVELS = {"fast": 0.15, "balanced": 0.02, "high": 1e-3, "full": 0.0}


@dataclass(frozen=True, slots=True)
class Task:
    """A checked request: scaled matrix with m >= n, and what is wanted of it."""

    op: MatrixLike
    fro2: float | None
    rank: int | None
    tol: float | None
    norm: str
    accuracy: str
    oversample: int | None
    passes: int | None
    gen: np.random.Generator
    report: Callable[[int, int, float, float], bool]

    @property
    def cap(self) -> int:
        """The most triplets that may be returned."""
        return min(self.op.shape) if self.rank is None else self.rank

    @property
    def level(self) -> float:
        """Residual to reach, relative to the last wanted value."""
        return LEVELS[self.accuracy]

    @property
    def floor(self) -> float:
        """Residual that rounding allows, relative to the first value."""
        return 4.0 * self.op.eps * float(np.sqrt(max(self.op.shape)))


def subspace_width(task: Task) -> int:
    """Return the columns of a block that is to hold all wanted triplets."""
    assert task.rank is not None
    extra = max(10, -(-task.rank // 2)) if task.oversample is None else task.oversample
    return min(task.rank + extra, *task.op.shape)


def checked_request(
    shape: tuple[int, int],
    rank: Any,
    tol: Any,
    norm: Any,
    accuracy: Any,
    oversample: Any,
    passes: Any,
) -> dict[str, Any]:
    """Check what is asked for, and return it as fields of a `Task`."""
    checked_choice(norm, "norm", ("fro", "spectral", "residual"))
    rank, tol = checked_target(rank, tol, shape)
    if norm == "residual" and (rank is None or tol is None):
        raise InputError(
            f"norm='residual' needs both `rank` and `tol`, got rank={rank!r} and tol={tol!r}"
        )
    return {
        "rank": rank,
        "tol": tol,
        "norm": norm,
        "accuracy": checked_choice(accuracy, "accuracy", tuple(LEVELS)),
        "oversample": None if oversample is None else checked_int(oversample, "oversample", 0),
        "passes": None if passes is None else checked_int(passes, "passes", 1),
    }


@dataclass(frozen=True, slots=True)
class Spent:
    """What a method that gave up has cost."""

    passes: int
    matvecs: int


@dataclass(frozen=True, slots=True)
class Factors:
    """Triplets of the scaled matrix.

    Attributes
    ----------
    U, V : array, shape (m, k), (n, k)
        Orthonormal columns.
    s : numpy.ndarray, shape (k,)
    residuals : numpy.ndarray, shape (k,)
    next_value : float or None
        Estimate of the first value left out; 0 when none is.
    error : float or None
        Frobenius error as the method knows it, of kind `error_kind`. None when it follows from
        ``A V = U diag(s)`` or ``A^H U = V diag(s)``, which then holds to rounding: the squares of
        error and values add.
    exponent : int
        Power of two by which the method itself divided what it was given.
    fro2 : float or None
        Squared Frobenius norm, where the method is the first to know it.
    """

    U: Array
    s: np.ndarray[Any, Any]
    V: Array
    residuals: np.ndarray[Any, Any]
    converged: bool
    passes: int
    matvecs: int
    info: Mapping[str, Any]
    next_value: float | None = None
    error: float | None = None
    error_kind: ErrorKind = "exact"
    exponent: int = 0
    fro2: float | None = None
