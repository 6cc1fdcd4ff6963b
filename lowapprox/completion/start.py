"""Where to begin: the leading singular vectors of the observed entries, zeros elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.csr import csr_products
from lowapprox.completion.observations import Compressed, Host, Observations
from lowapprox.completion.problem import Factors, Problem
from lowapprox.completion.tall import factored

__all__ = ["leading_pairs", "spectral_start", "with_biases"]


def spectral_start(problem: Problem, *, steps: int) -> Factors:
    """Return factors of the zero-filled matrix over its density, with balanced columns."""
    observed, k = problem.observed, problem.rank
    U, s, V = leading_pairs(observed, observed.rows.values, k, problem.rng, steps=steps, trim=True)
    s = np.sqrt(s / max(observed.density, np.finfo(float).tiny)).astype(U.dtype)
    return with_biases(problem, Factors(U * s, V * s))


def with_biases(problem: Problem, factors: Factors) -> Factors:
    """Return the factors with columns for biases, which are zero."""
    parts = []
    for part, ends in (
        (
            factors.U,
            (0.0 if problem.row_bias else None, problem.unit if problem.col_bias else None),
        ),
        (
            factors.V,
            (problem.unit if problem.row_bias else None, 0.0 if problem.col_bias else None),
        ),
    ):
        first, last = (
            np.full((part.shape[0], int(end is not None)), end or 0.0, part.dtype) for end in ends
        )
        parts.append(np.hstack([first, part, last]))
    return Factors(*parts)


def leading_pairs(
    observed: Observations,
    values: Host,
    count: int,
    rng: np.random.Generator,
    *,
    steps: int,
    trim: bool = False,
) -> tuple[Host, Host, Host]:
    """Return leading singular pairs U, s, V of a sparse matrix, by block power iteration.

    Parameters
    ----------
    observed : Observations
        Where the entries are.
    values : numpy.ndarray
        Their values, in the order of the rows.
    trim : bool
        Scale down rows and columns with more than twice the usual number of entries: a heavy row
        has a singular vector of its own, which says nothing about the rest.
    """
    m, n = observed.shape
    A = csr_products(_matrix(observed.rows, values, observed.shape))
    row_scale = col_scale = None
    if trim:
        row_scale = _trimming(observed.rows).astype(values.dtype)[:, None]
        col_scale = _trimming(observed.columns).astype(values.dtype)[:, None]
    width = min(count + 5, m, n)
    V = rng.standard_normal((n, width)).astype(values.dtype)
    for _ in range(steps):
        U = _orthonormal(_scaled(A.mat(_scaled(V, col_scale)), row_scale))
        B = _scaled(A.rmat(_scaled(U, row_scale)), col_scale)
        V = _orthonormal(B)
    left, s, right = np.linalg.svd((V.T @ B).astype(np.float64))
    dtype = values.dtype
    return (
        U @ right.T[:, :count].astype(dtype),
        s[:count].astype(dtype),
        V @ left[:, :count].astype(dtype),
    )


def _orthonormal(X: Host) -> Host:
    return factored(X)[0].astype(X.dtype)


def _matrix(rows: Compressed, values: Host, shape: tuple[int, int]) -> Any:
    from scipy.sparse import csr_array

    return csr_array((values, rows.indices, rows.indptr), shape=shape)


def _trimming(entries: Compressed) -> Host:
    counts = entries.counts
    usual = max(float(counts.mean()), 1.0) if counts.size else 1.0
    return np.minimum(1.0, 2.0 * usual / np.maximum(counts, 1))


def _scaled(X: Host, scale: Host | None) -> Host:
    return X if scale is None else X * scale
