"""New rows of a matrix whose other factor is known: a small ridge regression for each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lowapprox._core.errors import InputError
from lowapprox.completion.diagnosis import with_rows
from lowapprox.completion.sorting import Compressed, Host, row_numbers, selected

if TYPE_CHECKING:
    from lowapprox.completion.observations import Observations
    from lowapprox.completion.result import CompletionResult

__all__ = ["Penalty", "fold", "folded", "grown", "row_components", "solve_rows"]

_BOUNDS, _STILL = 500, 1e-11  # steps for other losses, and relative change that ends them
_ROWS = 512  # whose Gram matrices are factored together
_SAFE_PIVOT = 1e-2  # of a Gram matrix with ones on its diagonal: four digits are lost


@dataclass(frozen=True, slots=True)
class Penalty:
    """What the coefficients z of a row cost.

    Attributes
    ----------
    matrix : numpy.ndarray, shape (p, p)
        Every row costs ``z^T matrix z``.
    per_entry : numpy.ndarray, shape (p, p)
        Every entry of it, times its weight, adds ``z^T per_entry z``.
    """

    matrix: Host
    per_entry: Host

    @classmethod
    def none(cls, size: int) -> Penalty:
        """Return the one of least squares without a ridge."""
        return cls(np.zeros((size, size)), np.zeros((size, size)))

    @classmethod
    def even(cls, size: int, ridge: float) -> Penalty:
        """Return that of a ridge."""
        return cls(ridge * np.eye(size), np.zeros((size, size)))

    def into(self, change: Host) -> Penalty:
        """Return the penalty of ``change @ z``, for the smallest z there is."""
        back = np.linalg.pinv(change)
        return Penalty(back.T @ self.matrix @ back, back.T @ self.per_entry @ back)

    def within(self, kept: Host) -> Penalty:
        """Return the penalty of some of the coefficients, where the others are zero."""
        return Penalty(*(x[np.ix_(kept, kept)] for x in (self.matrix, self.per_entry)))

    def root(self, total: float) -> Host:
        """Return R with ``|R z|^2`` the penalty of a row whose weights have this total."""
        e, E = np.linalg.eigh(self.matrix + total * self.per_entry)
        R: Host = np.sqrt(np.maximum(e, 0.0))[:, None] * E.T
        return R


def fold(
    rows: Compressed,
    design: Host,
    means: Host,
    penalty: Penalty,
    *,
    loss: str = "squared",
    threshold: float = np.inf,
    nonneg: bool = False,
) -> Host:
    """Return the coefficients z of rows whose entries are ``means + d . z``.

    Parameters
    ----------
    rows : Compressed
        Its columns are the rows d of the design.
    design : numpy.ndarray of float64, shape (n, p)
    means : numpy.ndarray of float64, shape (count,)
        One for each entry.
    loss, threshold
        Of the fit: "huber" has a threshold.

    Returns
    -------
    numpy.ndarray of float64, shape (m, p)

    Notes
    -----
    Losses other than squares are bounded by squares again and again, for rows that still change.
    """
    values, number = rows.values.astype(np.float64), row_numbers(rows)
    weights = np.ones(values.size) if rows.weights is None else rows.weights.astype(np.float64)
    used = np.flatnonzero(rows.counts)
    z = np.zeros((rows.counts.size, design.shape[1]))
    if loss != "logit":
        z = solve_rows(rows, values - means, design, penalty, used, nonneg=nonneg)
    if loss == "squared":
        return z
    from lowapprox.completion.losses import bound

    for _ in range(_BOUNDS):
        x = means + np.einsum("tp,tp->t", design[rows.indices], z[number])
        targets, shares = bound(loss, x, values, threshold)
        bounding = replace(rows, weights=weights * shares)
        new = solve_rows(bounding, targets - means, design, penalty, used, nonneg=nonneg)[used]
        change = np.abs(new - z[used]).max(axis=1, initial=0.0)
        z[used] = new
        used = used[change > _STILL * np.abs(new).max(axis=1, initial=0.0)]
        if not used.size:
            break
    return z


def solve_rows(
    rows: Compressed,
    targets: Host,
    design: Host,
    penalty: Penalty,
    which: Host,
    *,
    nonneg: bool = False,
) -> Host:
    """Return the z that minimize ``sum w (y - d . z)^2`` plus the penalty, for some of the rows.

    Parameters
    ----------
    rows : Compressed
        Its columns are the rows d of the design, its values are not used.
    targets : numpy.ndarray of float64, shape (count,)
        The y, one for each entry.
    design : numpy.ndarray of float64, shape (n, p)
    which : numpy.ndarray of int
        The rows to solve for; they have entries.

    Returns
    -------
    numpy.ndarray of float64, shape (m, p)
        Where they are not unique the shortest; zero for the other rows.
    """
    out = np.zeros((rows.counts.size, design.shape[1]))
    if not design.shape[1]:
        return out
    for start in range(0, which.size, _ROWS):
        block = which[start : start + _ROWS]
        systems = [_system(rows, i, targets, design) for i in block]
        safe = np.zeros(block.size, np.bool_)
        if not nonneg:
            grams = np.stack([(D.T * w) @ D for D, _, w in systems])
            grams += penalty.matrix
            totals = np.array([w.sum() for _, _, w in systems])
            grams += totals[:, None, None] * penalty.per_entry
            sides = np.stack([D.T @ (w * y) for D, y, w in systems])
            out[block], safe = _by_cholesky(grams, sides)
        for b in np.flatnonzero(~safe):
            D, y, w = systems[b]
            A = np.vstack([np.sqrt(w)[:, None] * D, penalty.root(float(w.sum()))])
            out[block[b]] = _least_squares(
                A, np.append(np.sqrt(w) * y, np.zeros(A.shape[1])), nonneg=nonneg
            )
    return out


def _beyond(rows: Compressed, size: int, columns: int) -> Compressed:
    """Return the rows from number `size` on, with their entries in the first columns."""
    cut = slice(rows.indptr[size], None)
    weights = None if rows.weights is None else rows.weights[cut]
    indptr = rows.indptr[size:] - rows.indptr[size]
    rest = Compressed(indptr, rows.indices[cut], rows.values[cut], weights)
    return selected(rest, rest.indices < columns)


def row_components(rows: Compressed, col_component: Host) -> Host:
    """Return the component in which each row has most of its entries, -1 if it has none."""
    labels = np.full(rows.indptr.size - 1, -1, np.int32)
    found = col_component[rows.indices]
    base = int(col_component.max(initial=0)) + 1
    row = row_numbers(rows)[found >= 0].astype(np.int64)
    pairs, counts = np.unique(row * base + found[found >= 0], return_counts=True)
    order = np.lexsort((-pairs, counts))  # the last one that is written stays
    labels[pairs[order] // base] = pairs[order] % base
    return labels


def folded(fit: CompletionResult, rows: Compressed) -> CompletionResult:
    """Return the completion of new rows, with the other factor as it is."""
    labels = row_components(rows, fit.diagnostics.col_component)
    keep = fit.diagnostics.col_component[rows.indices] == labels[row_numbers(rows)]
    if not keep.all():
        rows = selected(rows, keep)
    s = fit.s.astype(np.float64)
    live = s > np.finfo(fit.s.dtype).eps * max(fit.shape) * s.max(initial=0.0)
    biased = fit.row_bias is not None
    design = fit.V[:, live].astype(np.float64)
    means = np.full(rows.values.size, float(fit.offset))
    if fit.col_bias is not None:
        means += fit.col_bias[rows.indices]
    if biased:
        design = np.hstack([design, np.ones((design.shape[0], 1))])
    kept = np.append(live, biased) if biased else live
    penalty = fit.penalties[0]
    penalty = Penalty.none(int(kept.sum())) if penalty is None else penalty.within(kept)
    how: dict[str, Any] = {"threshold": fit.threshold, "nonneg": fit.nonneg}
    z = fold(rows, design, means, penalty, loss=fit.loss, **how)
    U = np.zeros((z.shape[0], fit.rank))
    U[:, live] = z[:, : int(live.sum())] / s[live]
    return replace(
        fit,
        U=U.astype(fit.U.dtype),
        row_bias=z[:, -1].astype(fit.U.dtype) if biased else None,
        history=(),
        converged=True,
        reason="fold-in",
        diagnostics=with_rows(fit.diagnostics, rows.counts, labels),
    )


def grown(fit: CompletionResult, observed: Observations) -> CompletionResult:
    """Return the result with new rows and columns behind the others."""
    (m, n), (M, N) = fit.shape, observed.shape
    if m > M or n > N:
        raise InputError(
            f"`A_more` must have at least {m} rows and {n} columns, got shape {(M, N)}"
        )
    below = folded(fit, _beyond(observed.rows, m, n))
    beside = folded(fit.T, _beyond(observed.columns, n, m))
    biases = (
        None if old is None else np.concatenate([old, new])
        for old, new in ((fit.row_bias, below.row_bias), (fit.col_bias, beside.row_bias))
    )
    row_bias, col_bias = biases
    U, V = np.vstack([fit.U, below.U]), np.vstack([fit.V, beside.U])
    return replace(fit, U=U, V=V, row_bias=row_bias, col_bias=col_bias)


def _least_squares(A: Host, b: Host, *, nonneg: bool) -> Host:
    if nonneg:
        from scipy.optimize import nnls

        x: Host = nnls(A, b)[0]
        return x
    return np.linalg.lstsq(A, b)[0]


def _system(rows: Compressed, i: int, targets: Host, design: Host) -> tuple[Host, Host, Host]:
    cut = slice(rows.indptr[i], rows.indptr[i + 1])
    indices = rows.indices[cut]
    weights = np.ones(indices.size) if rows.weights is None else rows.weights[cut].astype(float)
    return design[indices], targets[cut], weights


def _by_cholesky(grams: Host, sides: Host) -> tuple[Host, Host]:
    """Solve scaled systems, and tell which of them are far from singular."""
    diagonal = np.einsum("bii->bi", grams)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    scaled = grams * scale[:, :, None] * scale[:, None, :]
    x, safe = np.zeros_like(sides), np.zeros(len(sides), np.bool_)
    try:
        safe[:] = (np.einsum("bii->bi", np.linalg.cholesky(scaled)) > _SAFE_PIVOT).all(axis=1)
    except np.linalg.LinAlgError:  # one is enough
        return x, safe
    x[safe] = np.linalg.solve(scaled[safe], (sides * scale)[safe, :, None])[:, :, 0] * scale[safe]
    return x, safe
