"""Where to begin: the leading singular vectors of the observed entries, zeros elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox.completion.diagnosis import parts
from lowapprox.completion.observations import Compressed, Host, Observations
from lowapprox.completion.problem import Factors, Problem
from lowapprox.completion.sorting import row_numbers
from lowapprox.completion.tall import factored, times

__all__ = [
    "leading_factors",
    "leading_pairs",
    "mean_biases",
    "spectral_start",
    "with_biases",
]

_COMPONENTS = 100  # that have a start of their own


def spectral_start(problem: Problem, *, steps: int, most: float = np.inf) -> Factors:
    """Return factors of the zero-filled matrix over its density, with balanced columns.

    The squares of what they hold are at most `most` times those of the values; many columns of
    noise would exceed them.
    """
    observed, k = problem.observed, problem.rank
    biases = mean_biases(problem)
    values = observed.rows.values
    if biases[0] is not None:
        values = values - biases[0][row_numbers(observed.rows)]
    if biases[1] is not None:
        values = values - biases[1][observed.rows.indices]
    factors = leading_factors(observed, values, k, problem.rng, steps=steps, trim=True)
    U, V = (np.einsum("ia,ia->a", X, X, dtype=np.float64) for X in (factors.U, factors.V))
    held, allowed = observed.density * float(U @ V), most * float(np.vdot(values, values))
    if held > allowed:
        scale = (allowed / held) ** 0.25
        np.multiply(factors.U, scale, out=factors.U)
        np.multiply(factors.V, scale, out=factors.V)
    return with_biases(problem, factors, biases)


def mean_biases(problem: Problem) -> tuple[Host | None, Host | None]:
    """Return biases of rows and columns, where they are asked for, by means in turn.

    The learned ridge takes what is zero at the start for zero for ever.
    """
    observed = problem.observed
    found: list[Host | None] = [None, None]
    sides = (observed.rows, observed.columns)
    for side in (0, 1):
        if not (problem.row_bias, problem.col_bias)[side]:
            continue
        entries, other = sides[side], found[1 - side]
        gap = entries.values if other is None else entries.values - other[entries.indices]
        weights, totals = entries.weights, entries.counts.astype(np.float64)
        if weights is not None:
            gap, totals = gap * weights, _row_sums(weights, entries)
        found[side] = (_row_sums(gap, entries) / (totals + 1.0)).astype(observed.dtype)
    return found[0], found[1]


def _row_sums(values: Host, entries: Compressed) -> Host:
    sums = np.zeros(entries.indptr.size - 1)
    filled = entries.counts > 0
    if values.size:
        sums[filled] = np.add.reduceat(values, entries.indptr[:-1][filled], dtype=np.float64)
    return sums


def with_biases(
    problem: Problem, factors: Factors, biases: tuple[Host | None, Host | None]
) -> Factors:
    """Return the factors with columns for biases, in the units of the values."""
    parts: list[Host] = []
    for part, bias, constant, first in (
        (factors.U, biases[0], problem.col_bias, True),
        (factors.V, biases[1], problem.row_bias, False),
    ):
        ends = [
            [] if bias is None else [bias[:, None] / problem.unit],
            [np.full((part.shape[0], 1), problem.unit)] if constant else [],
        ]
        before, after = ends if first else ends[::-1]
        if before or after:
            part = np.hstack([*before, part, *after]).astype(part.dtype, copy=False)  # noqa: PLW2901
        parts.append(part)
    U, V = parts
    return Factors(U, V)


def leading_factors(
    observed: Observations,
    values: Host,
    count: int,
    rng: np.random.Generator,
    *,
    steps: int,
    trim: bool = False,
) -> Factors:
    """Return balanced factors of leading pairs of the zero-filled matrix over its density.

    Each connected component has pairs of its own: those of the whole may lie in one of them, and
    rows of others, as small as rounding, would be given huge partners.
    """
    if observed.components[0] <= 1:
        return _balanced(observed, values, count, rng, steps=steps, trim=trim)
    (m, n), dtype = observed.shape, values.dtype
    whole = Factors(np.zeros((m, count), dtype), np.zeros((n, count), dtype))
    for part, rows, columns in parts(observed, values, _COMPONENTS):
        k = min(count, *part.shape)
        inside = _balanced(part, part.rows.values, k, rng, steps=steps, trim=trim)
        whole.U[rows, :k], whole.V[columns, :k] = inside.U, inside.V
    return whole


def _balanced(
    observed: Observations,
    values: Host,
    count: int,
    rng: np.random.Generator,
    **how: Any,
) -> Factors:
    U, s, V = leading_pairs(observed, values, count, rng, **how)
    s = np.sqrt(s / max(observed.density, np.finfo(float).tiny)).astype(U.dtype)
    U *= s
    V *= s
    return Factors(U, V)


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
    A = observed.products(values)
    row_scale = col_scale = None
    if trim:
        row_scale = _trimming(observed.rows).astype(values.dtype)[:, None]
        col_scale = _trimming(observed.columns).astype(values.dtype)[:, None]
    width = min(count + 5, m, n)
    V = rng.standard_normal((n, width)).astype(values.dtype)
    for _ in range(steps):
        U = A.mat(V if col_scale is None else V * col_scale)
        if row_scale is not None:
            U *= row_scale
        U = _orthonormal(U)
        # Scaled in place and back: a copy would be one more factor.
        if row_scale is not None:
            U *= row_scale
        B = A.rmat(U)
        if row_scale is not None:
            U /= row_scale
        if col_scale is not None:
            B *= col_scale
        V, R = factored(B)
        V = V.astype(values.dtype, copy=False)
    left, s, right = np.linalg.svd(R)
    dtype = values.dtype
    times(U, right.T[:, :count], U[:, :count])
    return (
        U[:, :count],
        s[:count].astype(dtype),
        V @ left[:, :count].astype(dtype),
    )


def _orthonormal(X: Host) -> Host:
    return factored(X, overwrite=True)[0].astype(X.dtype, copy=False)


def _trimming(entries: Compressed) -> Host:
    counts = entries.counts
    usual = max(float(counts.mean()), 1.0) if counts.size else 1.0
    return np.minimum(1.0, 2.0 * usual / np.maximum(counts, 1))
