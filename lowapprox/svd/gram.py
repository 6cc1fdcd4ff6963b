"""The Gram method: eigenvectors of ``A^H A``, for very tall matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.errors import InputError
from lowapprox._core.matrix import MatrixLike
from lowapprox._subspace.orth import orthonormalize
from lowapprox.svd._methods import Factors, Spent, Task
from lowapprox.svd.direct import cut_full

__all__ = ["gram"]

_ROWS = 4096  # float32 sums stay within this many rows
_PANEL = 64


def gram(task: Task) -> Factors | Spent:
    """Compute a truncated SVD through ``A^H A``; gives up where squaring lost what is wanted.

    When a limit on passes leaves no room for another method, what was found is returned.
    """
    op = task.op
    n = op.shape[1]
    cost = (1, 0) if op.kind == "dense" else (2, 2 * n)
    least = cost[0] + 3  # with what Krylov needs when this fails
    if task.passes is not None and task.passes < least:
        raise InputError(
            f"`passes` must be at least {least} for method='gram' and this matrix, "
            f"got {task.passes}"
        )
    C = _gram_matrix(op)
    w, V = np.linalg.eigh(C)
    w, V = np.maximum(w[::-1], 0.0), V[:, ::-1]
    values = np.sqrt(w)
    size, met = cut_full(task, values)
    if values[size - 1] < 30.0 * np.sqrt(op.eps) * values[0]:
        return Spent(*cost)
    rows = op.from_numpy(V[:, :size]).T
    image = orthonormalize(op, op.mat(rows.T).T, 0.0, task.gen)
    P, s, Wh = np.linalg.svd(image.factor.T)
    U = (op.from_numpy(P.T) @ image.rows).T
    V = (op.from_numpy(Wh.conj()) @ rows).T
    back = op.rmat(U) - V * op.from_numpy(s, real=True)
    residuals = np.linalg.norm(op.to_numpy(back).astype(np.result_type(op.dtype, "f8")), axis=0)
    residuals = residuals + op.eps * s[0] * np.sqrt(size)
    goal = max(task.level * s[-1], task.floor * s[0])
    if task.norm == "residual" and task.tol is not None:
        goal = max(task.tol, task.floor) * s[0]
    reached = bool(residuals.max() <= goal)
    passes, matvecs = cost[0] + 2, cost[1] + 2 * size
    if not reached and task.passes is None:
        return Spent(passes, matvecs)
    return Factors(
        U=U,
        s=s,
        V=V,
        residuals=residuals,
        converged=met and reached,
        passes=passes,
        matvecs=matvecs,
        info={"dimension": n},
        next_value=float(values[size]) if size < n else 0.0,
    )


def _gram_matrix(op: MatrixLike) -> np.ndarray[Any, Any]:
    """Return ``A^H A`` in double precision."""
    m, n = op.shape
    out = np.zeros((n, n), np.result_type(op.dtype, np.float64))
    if op.kind == "dense":
        entries = op.entries()
        step = m if op.real_dtype.itemsize == 8 else _ROWS
        for i in range(0, m, max(step, 1)):
            block = entries[i : min(i + step, m), :]
            dual = op.xp.conj(block).T if op.dtype.kind == "c" else block.T
            out += op.to_numpy(dual @ block)
        return out
    unit = np.eye(n)
    for i in range(0, n, _PANEL):
        columns = op.from_numpy(unit[:, i : i + _PANEL])
        out[:, i : i + _PANEL] = op.to_numpy(op.rmat(op.mat(columns)))
    return 0.5 * (out + out.conj().T)
