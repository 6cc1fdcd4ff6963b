"""CUR decompositions: a matrix in terms of some of its columns and rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lowapprox._core.checks import checked_target
from lowapprox._core.matrix import as_matrix
from lowapprox._core.results import Result
from lowapprox._core.rng import as_generator
from lowapprox._core.typing import Array, MatrixInput, RNGInput
from lowapprox._core.views import scaled
from lowapprox.svd.columns import Selection, triangular_basis
from lowapprox.svd.interpolative import warn_missed
from lowapprox.svd.result import ErrorKind
from lowapprox.svd.skeleton import Counted, adjoint, dense, index_array, take

__all__ = ["CURResult", "cur"]

Small = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CURResult(Result):
    """Columns, rows and the small matrix between them, ``A ~ C @ U @ R``.

    Attributes
    ----------
    C : array or scipy.sparse array, shape (m, k)
        ``A[:, col_indices]``.
    U : array, shape (k, k)
        ``C^+ A R^+``, which makes the error least for these columns and rows.
    R : array or scipy.sparse array, shape (k, n)
        ``A[row_indices, :]``.
    row_indices, col_indices : integer array, shape (k,)
        The most important first.
    rank : int
        Columns and rows that `U` uses; it is zero for the others, which are too close to the span
        of those.
    error : float
        ``||A - C @ U @ R||_F``.
    error_kind : {"exact", "estimate"}
        "exact" up to rounding, or a statistical "estimate".
    fro_norm : float
        ``||A||_F``; an estimate for an operator.
    converged : bool
        Whether the tolerance was met; True when only a rank was asked for.
    passes : int
        Products with `A` or its adjoint.
    matvecs : int
        Columns in these products.
    info : Mapping
        Method, size of the sketch, rounds, seconds, threads.
    """

    C: Array
    U: Array
    R: Array
    row_indices: Array
    col_indices: Array
    rank: int
    error: float
    error_kind: ErrorKind
    fro_norm: float
    converged: bool
    passes: int
    matvecs: int
    info: Mapping[str, Any]

    _shown: ClassVar[tuple[str, ...]] = (
        "C",
        "U",
        "R",
        "rank",
        "error",
        "error_kind",
        "converged",
        "passes",
    )

    def reconstruct(self) -> Array:
        """Return the approximation as a dense array of shape (m, n)."""
        return (self.C @ self.U) @ self.R


def cur(
    A: MatrixInput,
    rank: int | None = None,
    *,
    tol: float | None = None,
    rng: RNGInput = None,
) -> CURResult:
    """Approximate a matrix by some of its columns and rows.

    Parameters
    ----------
    A : array, scipy.sparse array or LinearOperator, shape (m, n)
        It is never modified, and a sparse one never made dense.
    rank : int, optional
        Number of columns and of rows, in [1, min(m, n)]. With `tol` it is only a cap.
    tol : float, optional
        Relative Frobenius error: the shortest lists found with
        ``||A - C U R||_F <= tol ||A||_F`` are returned.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Passed to `numpy.random.default_rng`.

    Returns
    -------
    CURResult

    Raises
    ------
    InputError
        If neither `rank` nor `tol` is given, one is out of range, or `A` is not finite.
    InputTypeError
        If the dtype of `A` has no computing precision, an operator has no adjoint, or the type of
        another argument is wrong.
    NumericalError
        If a product with an operator is not finite.

    Warns
    -----
    ConvergenceWarning
        If `tol` was not reached.

    Notes
    -----
    The columns are those of `interpolative`. The rows are the pivots of an LU factorization with
    partial pivoting of an orthonormal basis of the columns. With ``C = Q_C R_C`` and
    ``R = L Q_R``, ``U = R_C^-1 (Q_C^H A Q_R^H) L^-1``: the intersection ``A[I, J]`` is never
    inverted [1]_.

    The product ``C U R`` magnifies rounding by the condition number of `U`, so that columns below
    ``sqrt(eps)`` of the first are left out of it. Relative errors near ``sqrt(eps)`` (1e-8 in
    double precision) are the least that this form can reach; `interpolative` reaches ``eps``.

    Two products with `A` of ``k + 10`` and ``k`` columns, and ``O((m + n) k^2)`` flops; a third
    product when the error is so small that it must be computed from the entries.

    References
    ----------
    .. [1] S. Voronin, P.-G. Martinsson (2017), "Efficient algorithms for CUR and interpolative
       matrix decompositions", arXiv:1412.8447.
    .. [2] D. C. Sorensen, M. Embree (2016), "A DEIM induced CUR factorization",
       arXiv:1407.5516.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.svd import cur
    >>> A = np.outer(np.arange(1.0, 6.0), np.arange(1.0, 5.0))
    >>> found = cur(A, 1, rng=0)
    >>> found.row_indices, found.col_indices, found.U.round(3)
    (array([4]), array([3]), array([[0.05]]))
    """
    op = Counted(as_matrix(A))
    rank, tol = checked_target(rank, tol, op.shape)
    limit = min(op.shape) if rank is None else rank
    chosen = Selection(op, tol, as_generator(rng))
    while True:
        more = chosen.grow(chosen.next_block(limit))
        # The rows add about as much error as the columns.
        if more and tol is not None and 2.0 * chosen.residual2() > chosen.target2(tol):
            continue
        core = _Core(chosen, limit)
        if not more or tol is None or core.shortest(tol) is not None:
            break
    result = _result(op, chosen, core, limit)
    if not result.converged:
        warn_missed(result.error, result.fro_norm, tol, int(result.U.shape[0]))
    return result


class _Core:
    """Rows for the chosen columns, and ``M = Q_C^H A Q_R^H``."""

    def __init__(self, chosen: Selection, limit: int) -> None:
        op = chosen.op
        self.chosen = chosen
        self.rank = _leading(np.abs(np.diagonal(chosen.R)), np.sqrt(op.eps))
        self.order = _row_pivots(op.to_numpy(chosen.Q.rows[: self.rank, :]).T)
        self.rows = take(op, self.order[: limit if chosen.tol is None else self.rank], 0)
        Q: Array = op.from_numpy(np.zeros((0, op.shape[1])))
        self.L: Small = np.zeros((0, 0))
        if self.rank:
            panel = dense(self.rows[: self.rank, :])
            Q, self.L = triangular_basis(op, panel, chosen.noise, chosen.gen, Q)
        B = chosen.B.rows[: self.rank, :]
        M = B @ adjoint(op, Q)
        self.M = op.to_numpy(M).astype(np.result_type(op.dtype, np.float64))
        self.lost2 = float(op.xp.linalg.vector_norm(B - M @ Q)) ** 2
        self.lost2 += float(chosen.gains()[self.rank :].sum())

    def gains(self) -> Small:
        """Squared norm that each pair of a column and a row explains beyond those before it."""
        share = np.abs(self.M) ** 2
        gains: Small = np.tril(share).sum(axis=1) + np.triu(share, 1).sum(axis=0)
        return gains

    def shortest(self, tol: float) -> int | None:
        """Return the least number of columns and rows that meets the tolerance."""
        tails = np.append(np.cumsum(self.gains()[::-1])[::-1], 0.0)
        error2 = self.chosen.residual2() + self.lost2 + tails
        enough = np.flatnonzero(error2 <= self.chosen.target2(tol))
        return int(enough[0]) if enough.size else None

    def middle(self, rank: int, size: int) -> Small:
        """Return ``U`` for the leading columns and rows, zero for the others."""
        U = np.zeros((size, size), self.M.dtype)
        left = np.linalg.solve(self.chosen.R[:rank, :rank], self.M[:rank, :rank])
        U[:rank, :rank] = np.linalg.solve(self.L[:rank, :rank].T, left.T).T
        return U


def _result(op: Counted, chosen: Selection, core: _Core, limit: int) -> CURResult:
    tol, scale = chosen.tol, chosen.exponent
    inner, rank, size = chosen.op, core.rank, limit
    if tol is not None:
        shortest = core.shortest(tol)
        rank = size = rank if shortest is None else shortest
    columns = np.concatenate([chosen.indices, chosen.spare])[:size]
    rows = core.order[:size]
    C, R = chosen.panel(columns), core.rows[:size, :]
    U = inner.from_numpy(core.middle(rank, size))
    gains = core.gains()
    explained, rest = float(gains[:rank].sum()), core.lost2 + float(gains[rank:].sum())
    error2, kind = chosen.error2(explained, rest, C @ U, dense(R))
    error, norm = float(np.sqrt(error2)), float(np.sqrt(chosen.fro2))
    return CURResult(
        C=scaled(C, scale),
        U=scaled(U, -scale),
        R=scaled(R, scale),
        row_indices=index_array(op, rows),
        col_indices=index_array(op, columns),
        rank=rank,
        error=scaled(error, scale),
        error_kind=kind,
        fro_norm=scaled(norm, scale),
        converged=tol is None or error <= tol * norm,
        passes=op.passes,
        matvecs=op.matvecs,
        info=chosen.info(),
    )


def _leading(values: Small, ratio: float) -> int:
    """Count the values before the first that falls below `ratio` times the first of all."""
    small = values <= ratio * values[:1]
    return int(np.argmax(small)) if small.any() else values.size


def _row_pivots(Q: Small) -> Small:
    """Order the rows by LU with partial pivoting."""
    import scipy.linalg

    order = np.arange(Q.shape[0])
    if Q.size:
        for i, j in enumerate(scipy.linalg.lu_factor(Q, check_finite=False)[1]):
            order[i], order[j] = order[j], order[i]
    return order
