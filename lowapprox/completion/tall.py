"""Tall factors and their small companions, in blocks of rows that do not depend on the threads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lowapprox._core.threads import run_blocks
from lowapprox.completion.observations import Host
from lowapprox.completion.problem import Factors

__all__ = ["gram", "product_change", "times"]

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


def product_change(old: Factors, new: Factors) -> float:
    """Return ``|U V^T - U_0 V_0^T| / |U V^T|``, without cancellation between the products."""
    # U V^T - U_0 V_0^T = [dU, U] [V_0, dV]^T, of which all parts but two are as small as the whole.
    left = gram(np.hstack([new.U - old.U, new.U]))
    right = gram(np.hstack([old.V, new.V - old.V]))
    k = new.U.shape[1]
    size = float(np.sum(left[k:, k:] * gram(new.V)))
    change = max(float(np.sum(left * right)), 0.0)
    return float(np.sqrt(change / size)) if size > 0 else float(change > 0)


def _run(work: Callable[[int], None], count: int, size: int) -> None:
    if size >= _SMALL:
        run_blocks(work, count)
    else:
        for i in range(count):
            work(i)
