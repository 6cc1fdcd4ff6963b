"""Tall factors and their small companions, in blocks of rows that do not depend on the threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lowapprox._core.threads import run_blocks
from lowapprox.completion.observations import Host

if TYPE_CHECKING:
    from lowapprox.completion.problem import Factors

__all__ = ["factored", "finite", "gram", "product_change", "times"]

_ROWS = 1 << 13  # of a task
_PART = 1 << 11  # rows that stay in the cache while they are converted
_GRAM_COND = 1e-10  # ratio of eigenvalues of a Gram matrix that leaves digits to the smallest
_FAINT = 1e-30  # square, from which on less is not certain in single precision
_COMPARED = 1 << 15  # rows at least, that tell how much a product has changed
_SMALL = 1 << 19  # numbers; below, the threads would only be in the way (and load numba)


def finite(X: Host) -> bool:
    """Tell whether all numbers are finite."""
    found: list[bool] = []

    def work(i: int) -> None:
        found.extend(bool(np.isfinite(X[rows]).all()) for rows in _parts(i, X.shape[0]))

    _run(work, X)
    return all(found)


def gram(X: Host, weights: Host | None = None) -> Host:
    """Return ``X.T @ diag(weights) @ X``.

    Blocks of rows are multiplied in their own precision and added up in double precision; numbers
    whose squares do not fit, in double precision too.
    """
    roots = None if weights is None else np.sqrt(weights)

    def total(dtype: Any) -> Host:
        def part(rows: slice) -> tuple[Host, ...]:
            x = X[rows].astype(dtype, copy=False)
            if roots is not None:
                x = x * roots[rows, None].astype(dtype)
            return (x.T @ x,)

        product: Host = _summed(part, X, 1)[0]
        return product

    with np.errstate(over="ignore", invalid="ignore"):
        found = total(X.dtype)
    if X.dtype == np.float64 or _FAINT < found.diagonal().max(initial=0.0) < 1 / _FAINT:
        return found
    return total(np.float64)


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
    def part(rows: slice) -> tuple[Host, ...]:
        x = X[rows].astype(np.float64, copy=False) @ W
        return (x.T @ x,)

    total: Host = _summed(part, X, 1)[0]
    return total


def product_change(old: Factors, new: Factors) -> float:
    """Return ``|U V^T - U_0 V_0^T| / |U V^T|``, without cancellation between the products.

    Factors of very many rows are compared at some of them, evenly spread.
    """

    # It is dU V_0^T + U dV^T, of which all parts but these two are as small as the whole.
    def products(before: Host, after: Host, base: Host) -> Host:
        some = slice(None, None, max(len(base) // _COMPARED, 1))
        before, after, base = before[some], after[some], base[some]

        def part(rows: slice) -> tuple[Host, ...]:
            d, b = after[rows] - before[rows], base[rows]
            return d.T @ d, d.T @ b, b.T @ b

        return _summed(part, base, 3)

    dU_dU, dU_U, U_U = products(old.U, new.U, new.U)
    dV_dV, dV_V, V_V = products(old.V, new.V, old.V)
    change = np.sum(dU_dU * V_V) + 2 * np.sum(dU_U * dV_V.T) + np.sum(U_U * dV_dV)
    size = np.sum(U_U * (V_V + dV_V + dV_V.T + dV_dV))
    return float(np.sqrt(max(change, 0.0) / size)) if size > 0 else float(change > 0)


def _summed(part: Callable[[slice], tuple[Host, ...]], X: Host, count: int) -> Host:
    """Return sums of small matrices of parts of the rows, in an order of its own."""
    k = X.shape[1]
    sums = np.zeros((-(-X.shape[0] // _ROWS), count, k, k))

    def work(i: int) -> None:
        for rows in _parts(i, X.shape[0]):
            for j, product in enumerate(part(rows)):
                sums[i, j] += product

    _run(work, X)
    whole: Host = sums.sum(axis=0)
    return whole


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
