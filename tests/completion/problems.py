"""Matrices of low rank, of which some entries are observed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowapprox._core.progress import Progress, Reporter
from lowapprox.completion.observations import Observations, compressed
from lowapprox.completion.problem import Factors, Method, Problem, Watch

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Known:
    """Observations, and the factors of the truth ``U @ V.T``."""

    observed: Observations
    U: Array
    V: Array

    def error(self, U: Array, V: Array) -> float:
        """Return the relative error of ``U @ V.T`` in the Frobenius norm."""
        # ||UV' - XY'|| from the triangles of [U X] and [V -Y]: no cancellation
        left = np.linalg.qr(np.hstack([self.U, U]), mode="r")
        right = np.linalg.qr(np.hstack([self.V, -V]), mode="r")
        k = self.U.shape[1]
        truth = np.linalg.norm(left[:, :k] @ right[:, :k].T)
        return float(np.linalg.norm(left @ right.T) / truth)


def solved(
    method: Method,
    known: Known,
    rank: int,
    *,
    start: Factors | None = None,
    callback: Callable[[Progress], Any] | None = None,
    **options: Any,
) -> tuple[Factors, Watch]:
    """Run one method on the observations."""
    more: dict[str, Any] = {"ridge": None, "tol": 1e-9, "max_iter": 3000}
    gen = np.random.default_rng(1)
    problem = Problem(known.observed, rank, rng=gen, **more | options)
    watch = Watch(problem, Reporter(callback, progress=False))
    return method(problem, start, watch), watch


def low_rank(
    m: int,
    n: int,
    rank: int,
    oversampling: float,
    *,
    condition: float = 1.0,
    noise: float = 0.0,
    seed: int = 0,
    least: int | None = None,
) -> Known:
    """Observe entries of a random matrix, at least `least` (rank + 1) in every row and column.

    The number of observed entries is `oversampling` times ``rank (m + n - rank)``; singular values
    decay geometrically by `condition`, and the root mean square of the entries is one.
    """
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((m, rank)))[0]
    V = np.linalg.qr(rng.standard_normal((n, rank)))[0]
    s = condition ** -np.linspace(0.0, 1.0, rank) if rank > 1 else np.ones(1)
    V = V * (s * np.sqrt(m * n) / np.linalg.norm(s))
    count = min(round(oversampling * rank * (m + n - rank)), m * n)
    least = min(rank + 1 if least is None else least, m, n)
    flat = rng.choice(m * n, count, replace=False)
    for _ in range(1000):
        rows, columns = flat // n, flat % n
        few = np.flatnonzero(np.bincount(rows, minlength=m) < least)
        few_c = np.flatnonzero(np.bincount(columns, minlength=n) < least)
        if not few.size and not few_c.size:
            break
        new = np.concatenate(
            [few * n + rng.integers(0, n, few.size), rng.integers(0, m, few_c.size) * n + few_c]
        )
        new = np.setdiff1d(new, flat)
        # Exchange: drop entries of rows and columns that can spare them.
        spare = (np.bincount(rows, minlength=m)[rows] > least + 1) & (
            np.bincount(columns, minlength=n)[columns] > least + 1
        )
        drop = rng.permutation(np.flatnonzero(spare))[: new.size]
        flat = np.concatenate([np.delete(flat, drop), new])
    rows, columns = flat // n, flat % n
    values = np.einsum("ij,ij->i", U[rows], V[columns])
    values += noise * rng.standard_normal(values.size)
    return Known(compressed(rows, columns, values, None, (m, n)), U, V)
