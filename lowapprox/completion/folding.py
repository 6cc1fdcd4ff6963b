"""New rows of a matrix whose other factor is known: a small ridge regression for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowapprox.completion.sorting import Compressed, Host

__all__ = ["Penalty", "solve_rows"]

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


def solve_rows(rows: Compressed, targets: Host, design: Host, penalty: Penalty) -> Host:
    """Return the z that minimize ``sum w (y - d . z)^2`` plus the penalty, for every row.

    Parameters
    ----------
    rows : Compressed
        Its columns are the rows d of the design, its values are not used.
    targets : numpy.ndarray of float64, shape (count,)
        The y, one for each entry.
    design : numpy.ndarray of float64, shape (n, p)

    Returns
    -------
    numpy.ndarray of float64, shape (m, p)
        Where they are not unique the shortest; zero for rows without entries.
    """
    m, p = rows.indptr.size - 1, design.shape[1]
    out = np.zeros((m, p))
    used = np.flatnonzero(rows.counts)
    for start in range(0, used.size, _ROWS):
        block = used[start : start + _ROWS]
        systems = [_system(rows, i, targets, design) for i in block]
        grams = np.stack([(D.T * w) @ D for D, _, w in systems])
        grams += penalty.matrix
        grams += np.array([w.sum() for _, _, w in systems])[:, None, None] * penalty.per_entry
        sides = np.stack([D.T @ (w * y) for D, y, w in systems])
        out[block], safe = _by_cholesky(grams, sides)
        for b in np.flatnonzero(~safe):
            D, y, w = systems[b]
            A = np.vstack([np.sqrt(w)[:, None] * D, penalty.root(float(w.sum()))])
            out[block[b]] = np.linalg.lstsq(A, np.append(np.sqrt(w) * y, np.zeros(p)))[0]
    return out


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
    try:
        pivots = np.einsum("bii->bi", np.linalg.cholesky(scaled))
    except np.linalg.LinAlgError:  # one is enough
        return np.zeros_like(sides), np.zeros(len(sides), np.bool_)
    x = np.linalg.solve(scaled, (sides * scale)[:, :, None])[:, :, 0] * scale
    return x, (pivots > _SAFE_PIVOT).all(axis=1)
