"""Tall factors and their small companions, in blocks of rows that do not depend on the threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lowapprox._core.threads import run_blocks
from lowapprox.completion.observations import Host

if TYPE_CHECKING:
    from lowapprox.completion.problem import Factors

__all__ = ["factored", "finite", "gram", "product_change", "times"]

_ROWS = 1 << 13  # of a task
_PART = 1 << 11  # rows that stay in the cache while they are converted
_GRAM_COND = 1e-10  # ratio of eigenvalues of a Gram matrix that leaves digits to the smallest
_SMALL = 1 << 19  # numbers; below, the threads would only be in the way (and load numba)


def finite(X: Host) -> bool:
    """Tell whether all numbers are finite."""
    found: list[bool] = []

    def work(i: int) -> None:
        found.extend(bool(np.isfinite(X[rows]).all()) for rows in _parts(i, X.shape[0]))

    _run(work, X)
    return all(found)


def gram(X: Host, weights: Host | None = None) -> Host:
    """Return ``X.T @ diag(weights) @ X`` in double precision."""
    roots = None if weights is None else np.sqrt(weights)

    def part(rows: slice) -> Host:
        x = X[rows].astype(np.float64, copy=False)
        if roots is not None:
            x = x * roots[rows, None]
        product: Host = x.T @ x
        return product

    return _summed(part, X, X.shape[1])


def times(X: Host, C: Host, out: Host) -> None:
    """Write ``X @ C`` to `out`, which may be X itself."""
    small = C.astype(X.dtype)

    def work(i: int) -> None:
        for rows in _parts(i, X.shape[0]):
            np.matmul(X[rows], small, out=out[rows])

    _run(work, X)


def factored(X: Host, *, overwrite: bool = False) -> tuple[Host, Host]:
    """Return Q with orthonormal columns and a small R with ``X = Q R``.

    Large factors are turned block by block, in their own precision, and in place if X may be
    overwritten.
    """
    if X.size >= _SMALL:
        R = W = np.eye(X.shape[1])
        for _ in range(2):  # the second time removes what the squared condition number has left
            e, E = np.linalg.eigh(_turned_gram(X, W))
            if not e[0] > _GRAM_COND * e[-1]:
                break
            root = np.sqrt(e)
            W, R = W @ (E / root), (E * root).T @ R
        else:
            Q = X if overwrite else np.empty(X.shape, X.dtype)
            times(X, W, Q)
            return Q, R
    return np.linalg.qr(X.astype(np.float64, copy=False))


def _turned_gram(X: Host, W: Host) -> Host:
    def part(rows: slice) -> Host:
        x = X[rows].astype(np.float64, copy=False) @ W
        product: Host = x.T @ x
        return product

    return _summed(part, X, X.shape[1])


def product_change(old: Factors, new: Factors) -> float:
    """Return ``|U V^T - U_0 V_0^T| / |U V^T|``, without cancellation between the products."""
    # U V^T - U_0 V_0^T = [dU, U] [V_0, dV]^T, of which all parts but two are as small as the whole.
    k = new.rank

    def left(rows: slice) -> Host:
        now = new.U[rows]
        both = np.hstack([now - old.U[rows], now])
        product: Host = both.T @ both
        return product

    def right(rows: slice) -> Host:
        before, now = old.V[rows], new.V[rows]
        both = np.hstack([before, now - before])
        product: Host = both.T @ both
        return product

    L, R = _summed(left, new.U, 2 * k), _summed(right, new.V, 2 * k)
    # The Gram matrix of V = V_0 + dV.
    after = R[:k, :k] + R[:k, k:] + R[k:, :k] + R[k:, k:]
    size = float(np.sum(L[k:, k:] * after))
    change = max(float(np.sum(L * R)), 0.0)
    return float(np.sqrt(change / size)) if size > 0 else float(change > 0)


def _summed(part: Callable[[slice], Host], X: Host, k: int) -> Host:
    """Return the sum of small matrices of parts of the rows, in an order of its own."""
    sums = np.zeros((-(-X.shape[0] // _ROWS), k, k))

    def work(i: int) -> None:
        for rows in _parts(i, X.shape[0]):
            sums[i] += part(rows)

    _run(work, X)
    total: Host = sums.sum(axis=0)
    return total


def _parts(task: int, count: int) -> list[slice]:
    stop = min((task + 1) * _ROWS, count)
    return [slice(i, min(i + _PART, stop)) for i in range(task * _ROWS, stop, _PART)]


def _run(work: Callable[[int], None], X: Host) -> None:
    count = -(-X.shape[0] // _ROWS)
    if X.size >= _SMALL:
        run_blocks(work, count)
    else:
        for i in range(count):
            work(i)
