"""Interpolative decompositions: a matrix in terms of some of its own rows or columns."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from lowapprox._core.checks import checked_target
from lowapprox._core.errors import AccuracyWarning, ConvergenceWarning, InputError
from lowapprox._core.matrix import as_matrix
from lowapprox._core.results import Result
from lowapprox._core.rng import as_generator
from lowapprox._core.typing import Array, MatrixInput, RNGInput
from lowapprox.svd.columns import choose_columns
from lowapprox.svd.result import ErrorKind
from lowapprox.svd.skeleton import Counted, adjoint, index_array

__all__ = ["InterpolativeResult", "interpolative"]

_GROWTH_WARNING = 100.0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class InterpolativeResult(Result):
    """Rows or columns of a matrix and the coefficients that give back the others.

    Attributes
    ----------
    indices : integer array, shape (k,)
        The selected rows (``axis=0``) or columns (``axis=1``), the most important first.
    coefficients : array, shape (m, k) for ``axis=0``, (k, n) for ``axis=1``
        ``A ~ coefficients @ A[indices, :]`` or ``A ~ A[:, indices] @ coefficients``. On the
        selected rows or columns they are exactly the identity.
    skeleton : array or scipy.sparse array, shape (k, n) or (m, k)
        ``A[indices, :]`` or ``A[:, indices]``.
    axis : {0, 1}
    rank : int
        Numerical rank of the skeleton; below ``k`` only where `A` itself has no more.
    error : float
        ``||A - reconstruct()||_F``.
    error_kind : {"exact", "estimate"}
        "exact" up to rounding, or a statistical "estimate".
    growth : float
        Largest modulus among the coefficients.
    fro_norm : float
        ``||A||_F``; an estimate when `error_kind` says so for an operator.
    converged : bool
        Whether the tolerance was met; True when only a rank was asked for.
    passes : int
        Products with `A` or its adjoint.
    matvecs : int
        Columns in these products.
    info : Mapping
        Method, size of the sketch, rounds, seconds, threads.
    """

    indices: Array
    coefficients: Array
    skeleton: Array
    axis: int
    rank: int
    error: float
    error_kind: ErrorKind
    growth: float
    fro_norm: float
    converged: bool
    passes: int
    matvecs: int
    info: Mapping[str, Any]

    _shown: ClassVar[tuple[str, ...]] = (
        "indices",
        "coefficients",
        "axis",
        "rank",
        "error",
        "error_kind",
        "growth",
        "converged",
        "passes",
    )

    def reconstruct(self) -> Array:
        """Return the approximation as a dense array of shape (m, n)."""
        if self.axis == 0:
            return self.coefficients @ self.skeleton
        return self.skeleton @ self.coefficients


def interpolative(
    A: MatrixInput,
    rank: int | None = None,
    *,
    tol: float | None = None,
    axis: Literal[0, 1] = 0,
    rng: RNGInput = None,
) -> InterpolativeResult:
    """Approximate a matrix by some of its own rows or columns.

    Parameters
    ----------
    A : array, scipy.sparse array or LinearOperator, shape (m, n)
        It is never modified, and a sparse one never made dense.
    rank : int, optional
        Number of rows or columns to select, in [1, min(m, n)]. With `tol` it is only a cap.
    tol : float, optional
        Relative Frobenius error: the shortest list of rows or columns found with
        ``||A - reconstruct()||_F <= tol ||A||_F`` is returned.
    axis : {0, 1}, default 0
        Select rows (0) or columns (1), as in ``numpy.take(A, indices, axis)``.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Passed to `numpy.random.default_rng`.

    Returns
    -------
    InterpolativeResult

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
        If `tol` was not reached with the allowed rank.
    AccuracyWarning
        If a coefficient exceeds 100 in modulus.

    Notes
    -----
    A Gaussian sketch of `A` with ``k + 10`` rows is factored by QR with column pivoting, which
    selects the columns and makes them well conditioned [1]_ [2]_. They are orthonormalized, and the
    coefficients are those of least squares against the selected columns, not against the sketch.
    With `tol`, blocks of columns are added on sketches of what is left, in the way of [3]_ with
    pivoted sketches in place of sampled columns, and the list is then cut to the shortest prefix
    that meets the tolerance; the pivots are nested.

    Two products with `A` of ``k + 10`` and ``k`` columns, and ``O((m + n) k^2)`` flops; a third
    product when the error is so small that ``||A||^2 - ||Q^H A||^2`` cancels. The error is
    estimated from 10 Gaussian products for operators, and for sparse matrices in that last case if
    they are large; otherwise it is exact.

    References
    ----------
    .. [1] S. Voronin, P.-G. Martinsson (2017), "Efficient algorithms for CUR and interpolative
       matrix decompositions", arXiv:1412.8447.
    .. [2] M. Melnichenko, O. Balabanov, R. Murray, J. Demmel, M. W. Mahoney, P. Luszczek (2023),
       "CholeskyQR with randomization and pivoting for tall matrices", arXiv:2311.08316.
    .. [3] Y. Dong, C. Chen, P.-G. Martinsson, K. Pearce (2023), "Robust blockwise random pivoting:
       fast and accurate adaptive interpolative decomposition", arXiv:2309.16002.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.svd import interpolative
    >>> A = np.outer(np.arange(1.0, 6.0), np.ones(4))
    >>> found = interpolative(A, 1, axis=1, rng=0)
    >>> found.coefficients
    array([[1., 1., 1., 1.]])
    >>> bool(found.error <= 1e-14 * found.fro_norm)
    True
    """
    if axis not in (0, 1):
        raise InputError(f"`axis` must be 0 (rows) or 1 (columns), got {axis!r}")
    op = Counted(as_matrix(A))
    rank, tol = checked_target(rank, tol, op.shape)
    limit = min(op.shape) if rank is None else rank
    chosen = choose_columns(op if axis == 1 else op.H, limit, tol, as_generator(rng))
    if not chosen.converged:
        warn_missed(chosen.error, chosen.fro_norm, tol, chosen.indices.size)
    if chosen.growth > _GROWTH_WARNING:
        warnings.warn(
            f"the largest coefficient is {chosen.growth:.1e}; rounding errors grow as much",
            AccuracyWarning,
            stacklevel=2,
        )
    rows = axis == 0
    return InterpolativeResult(
        indices=index_array(op, chosen.indices),
        coefficients=adjoint(op, chosen.coefficients) if rows else chosen.coefficients,
        skeleton=adjoint(op, chosen.columns) if rows else chosen.columns,
        axis=axis,
        rank=chosen.rank,
        error=chosen.error,
        error_kind=chosen.error_kind,
        growth=chosen.growth,
        fro_norm=chosen.fro_norm,
        converged=chosen.converged,
        passes=op.passes,
        matvecs=op.matvecs,
        info=chosen.info,
    )


def warn_missed(error: float, fro_norm: float, tol: float | None, size: int) -> None:
    """Warn that the tolerance was missed."""
    warnings.warn(
        f"the relative error {error / fro_norm:.2e} exceeds `tol`={tol:.2e} "
        f"with {size} selected; allow a larger `rank` or `tol`",
        ConvergenceWarning,
        stacklevel=3,
    )
