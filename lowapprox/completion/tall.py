"""Tall factors and their small companions, in blocks of rows that do not depend on the threads."""

from __future__ import annotations

import numpy as np

from lowapprox._core.threads import run_blocks
from lowapprox.completion.observations import Host

__all__ = ["gram", "times"]

_ROWS = 1 << 13
_SMALL = 1 << 20  # numbers; below, the threads would only be in the way (and load numba)


def gram(X: Host, weights: Host | None = None) -> Host:
    """Return ``X.T @ diag(weights) @ X`` in double precision."""
    cuts = range(0, X.shape[0], _ROWS)
    sums = np.zeros((len(cuts), X.shape[1], X.shape[1]))

    def work(i: int) -> None:
        part = X[cuts[i] : cuts[i] + _ROWS].astype(np.float64, copy=False)
        scaled = part if weights is None else part * weights[cuts[i] : cuts[i] + _ROWS, None]
        sums[i] = scaled.T @ part

    _run(work, len(cuts), X.size)
    total: Host = sums.sum(axis=0)
    return total


def times(X: Host, C: Host, out: Host) -> None:
    """Write ``X @ C`` to `out`, which may be X itself."""
    small = C.astype(X.dtype)
    cuts = range(0, X.shape[0], _ROWS)

    def work(i: int) -> None:
        rows = slice(cuts[i], cuts[i] + _ROWS)
        out[rows] = X[rows] @ small

    _run(work, len(cuts), X.size)


def _run(work: object, count: int, size: int) -> None:
    if size >= _SMALL:
        run_blocks(work, count)  # type: ignore[arg-type]
    else:
        for i in range(count):
            work(i)  # type: ignore[operator]
