"""The subspace method: few passes with wide blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.errors import InputError
from lowapprox._subspace.shifted import shifted_iteration
from lowapprox.svd._methods import Factors, Task, subspace_width

__all__ = ["subspace"]

_STEPS = 100


def subspace(task: Task) -> Factors:
    """Iterate a block with dynamic shifts for a truncated SVD."""
    if task.rank is None:
        raise InputError("`rank` must be given with method='subspace', got None")
    if task.tol is not None and task.norm == "fro" and task.fro2 is None:
        raise InputError(
            "method='subspace' needs the Frobenius norm for `tol`, which is unknown for this "
            f"operator, got tol={task.tol}; use method='krylov' or norm='spectral'"
        )
    if task.passes is not None and task.passes < 2:
        raise InputError(f"`passes` must be at least 2 for method='subspace', got {task.passes}")
    op, rank = task.op, task.rank
    width = subspace_width(task)

    def goal(s: np.ndarray[Any, Any]) -> float:
        if task.tol is not None and task.norm == "residual":
            return float(max(task.tol, task.floor) * s[0])
        return float(max(task.level * s[-1], task.floor * s[0]))

    steps = _STEPS if task.passes is None else task.passes // 2
    out = shifted_iteration(
        op, rank, width, task.gen, goal, steps=steps, fro2=task.fro2, report=task.report
    )
    size, met = _cut(task, out.s)
    return Factors(
        U=out.U[:size, :].T,
        s=out.s[:size],
        V=out.V[:size, :].T,
        residuals=out.residuals[:size],
        converged=out.converged and met,
        passes=2 * out.steps,
        matvecs=2 * out.steps * width,
        info={"dimension": width, "steps": out.steps},
        next_value=float(out.s[size]) if width > size else 0.0,
    )


def _cut(task: Task, s: np.ndarray[Any, Any]) -> tuple[int, bool]:
    """Return the fewest triplets that meet `tol`, and whether any number up to the rank does."""
    assert task.rank is not None
    if task.tol is None or task.norm == "residual":
        return task.rank, True
    if task.norm == "spectral":
        left, goal = np.append(s[1:], 0.0)[: task.rank], task.tol * s[0]
    else:
        assert task.fro2 is not None
        left2 = task.fro2 - np.cumsum(s[: task.rank] ** 2)
        left, goal = np.sqrt(np.maximum(left2, 0.0)), task.tol * np.sqrt(task.fro2)
    enough = np.flatnonzero(left <= goal)
    return (int(enough[0]) + 1, True) if enough.size else (task.rank, False)
