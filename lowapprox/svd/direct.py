"""The direct method: a full SVD by LAPACK, cut."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.errors import InputError
from lowapprox.svd._methods import Factors, Task

__all__ = ["cut_full", "direct", "refuse_dense"]

_SMALL = 1 << 20  # entries that may be made dense
_MOST_COLUMNS = 4000


def direct(task: Task) -> Factors:
    """Cut a truncated SVD from the full one."""
    op = task.op
    m, n = op.shape
    entries = op.entries()
    try:
        U, s, Vh = op.xp.linalg.svd(entries, full_matrices=False)
    except np.linalg.LinAlgError:  # gesdd gave up; gesvd is slower and more robust
        from scipy.linalg import svd

        U, s, Vh = svd(entries, full_matrices=False, lapack_driver="gesvd")
    values = op.to_numpy(s).astype(np.float64)
    size, met = cut_full(task, values)
    conj = op.xp.conj(Vh) if op.dtype.kind == "c" else Vh
    # LAPACK rotates until off-diagonal entries fall below this multiple of eps (xBDSQR).
    stop = 0.5 * max(10.0, min(100.0, float(0.5 * op.eps) ** -0.125))
    rounding = op.eps * float(values[0]) * (stop + np.sqrt(max(m, n)))
    return Factors(
        U=U[:, :size],
        s=values[:size],
        V=conj.T[:, :size],
        residuals=np.full(size, rounding),
        converged=met,
        passes=1,
        matvecs=n if op.kind != "dense" else 0,
        info={"dimension": n},
        next_value=float(values[size]) if size < n else 0.0,
        error=float(np.linalg.norm(values[size:])),
        fro2=float((values**2).sum()),
    )


def refuse_dense(task: Task, method: str) -> None:
    """Refuse a method that was asked for and would make a large sparse matrix dense."""
    m, n = task.op.shape
    if task.op.kind == "dense" or m * n <= _SMALL:
        return
    needed = (n, n) if method == "gram" else (m, n)
    rank = task.rank or 0
    if n <= 3 * rank or (method == "gram" and n <= _MOST_COLUMNS):
        return  # the factors are of that size, or the matrix of inner products is small
    raise InputError(
        f"method={method!r} would make a dense array of shape {needed} from `A`, which is not "
        "dense; use method='krylov'"
    )


def cut_full(task: Task, values: np.ndarray[Any, Any]) -> tuple[int, bool]:
    """Return how many of all singular values to keep, and whether that meets `tol`."""
    if task.tol is None or task.norm == "residual":
        return task.cap, True
    if task.norm == "spectral":
        left = np.append(values[1:], 0.0)
        goal = task.tol * values[0]
    else:
        left = np.sqrt(np.append(np.cumsum((values**2)[::-1])[::-1][1:], 0.0))
        goal = task.tol * np.sqrt((values**2).sum())
    size = min(int(np.flatnonzero(left <= goal)[0]) + 1, task.cap)
    return size, bool(left[size - 1] <= goal)
