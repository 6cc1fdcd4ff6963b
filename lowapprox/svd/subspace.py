"""The subspace method: few passes with wide blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.errors import InputError
from lowapprox._subspace.shifted import shifted_iteration
from lowapprox.svd._methods import Factors, Task

__all__ = ["subspace"]

_STEPS = 100


def subspace(task: Task) -> Factors:
    """Iterate a block with dynamic shifts for a truncated SVD."""
    if task.rank is None:
        raise InputError("`rank` must be given with method='subspace', got None")
    op, rank = task.op, task.rank
    extra = max(10, -(-rank // 2)) if task.oversample is None else task.oversample
    width = min(rank + extra, *op.shape)

    def goal(s: np.ndarray[Any, Any]) -> float:
        if task.tol is not None and task.norm == "residual":
            return float(max(task.tol, task.floor) * s[0])
        return float(max(task.level * s[-1], task.floor * s[0]))

    steps = _STEPS if task.passes is None else max(1, task.passes // 2)
    out = shifted_iteration(op, rank, width, task.gen, goal, steps=steps, report=task.report)
    return Factors(
        U=out.U.T,
        s=out.s[:rank],
        V=out.V.T,
        residuals=out.residuals,
        converged=out.converged,
        passes=2 * out.steps,
        matvecs=2 * out.steps * width,
        info={"dimension": width, "steps": out.steps},
        next_value=float(out.s[rank]) if width > rank else 0.0,
    )
