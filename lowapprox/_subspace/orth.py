"""Orthonormalization of blocks whose rows are vectors.

Rows, not columns: a panel of few vectors is then contiguous, and both products with a dense matrix
run at their faster form. All small matrices live on the host in double precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lowapprox._core.matrix import MatrixLike, set_rows
from lowapprox._core.rng import standard_normal
from lowapprox._core.typing import Array
from lowapprox._subspace.algebra import Small, block_algebra

__all__ = [
    "Basis",
    "Block",
    "CholeskyFactor",
    "cholesky_factor",
    "fresh_rows",
    "orthonormalize",
    "random_rows",
    "remove_span",
]

_WELL_CONDITIONED = 30.0


class Basis:
    """Growing set of orthonormal rows in one buffer."""

    def __init__(self, op: MatrixLike, length: int, capacity: int) -> None:
        self._op = op
        self._length = length
        self._buffer = self._empty(max(capacity, 1))
        self.size = 0

    def _empty(self, capacity: int) -> Array:
        example = self._op.from_numpy(np.zeros((1, 1)))
        kwargs = {} if self._op.xp is np else {"device": getattr(example, "device", None)}
        return self._op.xp.empty((capacity, self._length), dtype=example.dtype, **kwargs)

    @property
    def rows(self) -> Array:
        """The rows so far, as a view."""
        return self._buffer[: self.size, :]

    def append(self, block: Array) -> Array:
        """Add rows and return them as stored."""
        start, stop = self.size, self.size + block.shape[0]
        if stop > self._buffer.shape[0]:
            grown = self._empty(max(stop, 2 * self._buffer.shape[0]))
            self._buffer = set_rows(grown, 0, self.rows)
        self._buffer = set_rows(self._buffer, start, block)
        self.size = stop
        return self._buffer[start:stop, :]

    def replace(self, block: Array) -> Array:
        """Start again from these rows."""
        self.size = 0
        return self.append(block)

    def rotate(self, coefficients: Small) -> Array:
        """Return ``coefficients @ rows``."""
        return self._op.from_numpy(coefficients) @ self.rows


@dataclass(frozen=True, slots=True)
class Block:
    """``Z = factor @ rows`` up to what was dropped as noise."""

    rows: Array
    factor: Small
    dropped: float


def random_rows(op: MatrixLike, count: int, length: int, gen: np.random.Generator) -> Array:
    """Gaussian rows in the namespace of the matrix."""
    return op.from_numpy(standard_normal(gen, (count, length), op.dtype))


def fresh_rows(op: MatrixLike, basis: Array, count: int, gen: np.random.Generator) -> Array:
    """Random orthonormal rows, orthogonal to those of the basis."""
    rows, _, gram = remove_span(op, random_rows(op, count, basis.shape[1], gen), basis)
    return orthonormalize(op, rows, 0.0, gen, gram=gram, basis=basis).rows


def remove_span(
    op: MatrixLike, Z: Array, basis: Array, eta: float = 0.1
) -> tuple[Array, Small, Small]:
    """Subtract the part of the rows of `Z` that lies in the span of the orthonormal `basis`.

    One sweep of Gram-Schmidt is enough unless it removed much: it is repeated (three times at
    most) while a coefficient exceeds `eta` times the norm of what is left.

    Returns
    -------
    Z : array, shape (b, n)
        May overwrite the argument.
    coefficients : numpy.ndarray, shape (b, d)
        ``Z_in = Z_out + coefficients @ basis``.
    gram : numpy.ndarray, shape (b, b)
        ``Z_out @ Z_out^H``, which `orthonormalize` can use.
    """
    algebra = block_algebra(op)
    total: Any = 0.0
    for _ in range(3):
        H = algebra.inner(Z, basis)
        Z = algebra.subtract(Z, H, basis)
        total = total + H
        gram = algebra.gram(Z)
        left = np.sqrt(np.maximum(np.diagonal(gram).real, 0.0))
        if not np.any(np.abs(H).max(axis=1, initial=0.0) > eta * left):
            break
    return Z, np.asarray(total), gram


def orthonormalize(
    op: MatrixLike,
    Z: Array,
    noise: float,
    gen: np.random.Generator,
    *,
    gram: Small | None = None,
    basis: Array | None = None,
    limit: int | None = None,
    once: float = 1.0,
) -> Block:
    """Orthonormalize the rows of `Z`, treating directions of size `noise` as rounding.

    Parameters
    ----------
    op : MatrixLike
        Gives namespace and precision.
    Z : array, shape (b, n)
        Orthogonal to `basis` up to rounding; may be overwritten.
    noise : float
        Rank decision, relative to the operator and not to the block: singular values of `Z` up to
        this size are dropped and their directions replaced by random ones.
    gen : Generator
        Source of the replacements.
    gram : numpy.ndarray, shape (b, b), optional
        ``Z @ Z^H``, when it is known.
    basis : array, shape (d, n), optional
        Replacements are made orthogonal to these rows.
    limit : int, optional
        The most rows to return, when the space around `basis` has room for no more.
    once : float, default 1.0
        Condition number up to which one pass of Cholesky QR is enough for the caller.

    Returns
    -------
    Block

    Notes
    -----
    Cholesky QR twice on the row-scaled Gram matrix, by its eigenvectors where the inverse of the
    Cholesky factor would lose digits of `Z`, and QR where it is too close to singular.
    """
    count = Z.shape[0] if limit is None else min(limit, Z.shape[0])
    algebra = block_algebra(op)
    factor: Small | None = None
    for attempt in range(2 if count == Z.shape[0] else 0):
        gram = algebra.gram(Z) if gram is None else gram
        split = cholesky_factor(gram, noise, op.eps)
        if split is None:
            break
        Z, gram = algebra.combine(split.inverse, Z), None
        factor = split.L if factor is None else factor @ split.L
        if attempt == 1 or split.condition <= once:
            return Block(Z, factor, 0.0)
        noise = 0.0  # the second pass sees rows of norm one
        if basis is not None and split.condition > _WELL_CONDITIONED:
            # Scaling up weak directions scaled up what they still had of the basis.
            Z, _, gram = remove_span(op, Z, basis)
    block = _qr_with_replacement(op, Z, noise, gen, basis, count)
    return block if factor is None else Block(block.rows, factor @ block.factor, block.dropped)


@dataclass(frozen=True, slots=True)
class CholeskyFactor:
    """``gram = L @ L^H`` with the inverse of L and a bound on the scaled rows' condition.

    L is triangular, or has orthogonal columns times the scale of the rows.
    """

    L: Small
    inverse: Small
    condition: float


def cholesky_factor(gram: Small, noise: float, eps: float) -> CholeskyFactor | None:
    """Factor the Gram matrix of a block; None when the block is too close to singular."""
    scale = np.sqrt(np.maximum(np.diagonal(gram).real, 0.0))
    if not (scale > 4.0 * noise).all() or not np.isfinite(scale).all():
        return None
    gram = gram / scale / scale[:, None]
    try:
        L = np.linalg.cholesky(gram)
    except np.linalg.LinAlgError:
        return None
    inverse = np.linalg.inv(L)
    # At least 1 / sigma_min of rows of norm one; 1 / min(diag(L)) can be far below it.
    condition = float(np.linalg.norm(inverse))
    if not condition < 0.1 / np.sqrt(eps) or not (np.diagonal(L).real * scale > 4.0 * noise).all():
        return None
    # Rounding makes an error of eps times its norm in each row that the inverse combines, and L
    # carries it back: a strong row that follows a weak one then loses digits. Eigenvectors (SVQB:
    # Stathopoulos, Wu 2002, doi:10.1137/S1064827500370883) weigh errors by what they divided by.
    if (np.abs(L) @ np.linalg.norm(inverse, axis=1)).max(initial=0.0) > _WELL_CONDITIONED:
        w, X = np.linalg.eigh(gram)
        if not w[0] > 0.0:
            return None
        L, inverse = X * np.sqrt(w), X.conj().T / np.sqrt(w)[:, None]
    return CholeskyFactor(L * scale[:, None], inverse / scale, condition)


def _qr_with_replacement(
    op: MatrixLike,
    Z: Array,
    noise: float,
    gen: np.random.Generator,
    basis: Array | None,
    count: int,
) -> Block:
    """Rank-revealing fall-back: QR, then the SVD of its small factor."""
    xp = op.xp
    Q, R = xp.linalg.qr(Z.T)  # Z = R^T Q^T
    R = op.to_numpy(R)
    W, s, Xh = np.linalg.svd(R.T.astype(np.result_type(R.dtype, np.float64)), full_matrices=False)
    kept = int((s[:count] > noise).sum())
    dropped = float(np.linalg.norm(s[kept:]))
    rows = op.from_numpy(Xh[:kept]) @ Q.T
    if kept < count:
        fresh = random_rows(op, count - kept, Z.shape[1], gen) / Z.shape[1] ** 0.5
        rows = xp.concat([rows, fresh], axis=0)
    # What barely stands above the noise has lost its orthogonality to the basis; the correction
    # is at the level of rounding and needs no place in the factor.
    for _ in range(2):
        if basis is not None and basis.shape[0]:
            rows, _h, _g = remove_span(op, rows, basis)
        Q, R = xp.linalg.qr(rows.T)
        diagonal = np.diagonal(op.to_numpy(R))
        size = np.abs(diagonal)
        rows = Q.T * op.from_numpy(
            np.where(size > 0, diagonal / np.where(size > 0, size, 1), 1)[:, None]
        )
    factor = W[:, :count] * np.where(np.arange(count) < kept, s[:count], 0.0)
    return Block(rows, factor, dropped)
