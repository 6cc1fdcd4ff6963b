"""Randomized range finders."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowapprox._core.checks import checked_int, checked_rank, checked_tol
from lowapprox._core.errors import ConvergenceWarning
from lowapprox._core.matrix import MatrixLike, as_matrix
from lowapprox._core.results import Result, run_info
from lowapprox._core.rng import as_generator, standard_normal
from lowapprox._core.typing import Array, MatrixInput
from lowapprox._core.views import normalize
from lowapprox._subspace.algebra import double
from lowapprox._subspace.orth import Basis, orthonormalize, random_rows, remove_span
from lowapprox.svd.result import ErrorKind

if TYPE_CHECKING:
    from lowapprox._core.typing import RNGInput

__all__ = ["RangeResult", "range_finder"]

_PROBES = 10
_BLOCK = 16


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RangeResult(Result):
    """An orthonormal basis of the approximate range of a matrix.

    Attributes
    ----------
    Q : array, shape (m, k)
        Orthonormal columns.
    error : float
        Estimate of ``||A - Q Q^H A||_F`` from 10 Gaussian products; its square is unbiased.
    error_kind : {"estimate", "exact"}
        "exact" when the basis spans the whole space.
    converged : bool
        Whether `tol` was met; True when none was given.
    passes, matvecs : int
        Passes over the matrix, and columns multiplied by it or its adjoint.
    info : Mapping
        Estimate of the norm of the matrix, vectors in a block, seconds, threads.
    """

    Q: Array
    error: float
    error_kind: ErrorKind
    converged: bool
    passes: int
    matvecs: int
    info: Mapping[str, Any]
    _shown: ClassVar[tuple[str, ...]] = ("Q", "error", "error_kind", "converged", "passes")


def range_finder(
    A: MatrixInput,
    size: int,
    *,
    tol: float | None = None,
    passes: int = 2,
    rng: RNGInput = None,
) -> RangeResult:
    """Find an orthonormal basis that captures the action of a matrix.

    Parameters
    ----------
    A : array, sparse array or linear operator, shape (m, n)
        Never modified.
    size : int
        Number of basis vectors, in [1, min(m, n)]; the most of them when `tol` is given.
    tol : float, optional
        Stop at the first multiple of 16 vectors whose estimated error is at most
        ``tol * ||A||_F``.
    passes : int, default 2
        Products with `A` and its adjoint in turn, ending with `A`, for each block of vectors: 1
        is a plain sketch, more sharpen the basis where the singular values decay slowly.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Passed to `numpy.random.default_rng`.

    Returns
    -------
    RangeResult

    Raises
    ------
    InputError
        If an argument is out of range or `A` is not finite.
    InputTypeError
        If the dtype of `A` has no computing precision, or an operator has no adjoint.
    NumericalError
        If a product with an operator contains NaN or infinity.

    Warns
    -----
    ConvergenceWarning
        If `tol` was not met within `size` vectors.

    Notes
    -----
    Without `tol`, ``passes`` reads of `A` with `size` columns, and one with 10 columns for the
    error estimate. With `tol`, ``passes`` reads for every block of 16 vectors.

    References
    ----------
    .. [1] Halko, Martinsson, Tropp (2011), arXiv:0909.4061, Algorithms 4.2 and 4.4.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.svd import range_finder
    >>> A = np.outer(np.arange(6.0), np.ones(5))
    >>> result = range_finder(A, 1, rng=0)
    >>> result.Q.shape, result.error < 1e-12
    ((6, 1), True)
    """
    start = perf_counter()
    op = as_matrix(A)
    m, n = op.shape
    limit = min(m, n)
    size = checked_rank(size, op.shape, "size")
    passes = checked_int(passes, "passes", 1)
    goal = None if tol is None else checked_tol(tol)
    gen = as_generator(rng)
    op, exponent, fro2 = normalize(op)
    basis = Basis(op, m, size)
    if size == 0 or fro2 == 0.0:
        Q = op.from_numpy(np.eye(m, size))
        info = run_info(start, "zero or empty", norm=0.0)
        return RangeResult(Q, 0.0, "exact", True, 0, 0, info)
    probes = op.from_numpy(standard_normal(gen, (n, _PROBES), op.dtype))
    left = op.mat(probes).T  # rows: what the basis has not captured of the probes
    norm = _norm(op, left)
    used = 1
    step = size if goal is None else _BLOCK
    error = norm
    while basis.size < size and (goal is None or error > goal * norm):
        width = min(step, size - basis.size)
        rows = _image(op, basis, width, passes, gen)
        noise = op.eps * m**0.5 * norm
        basis.append(orthonormalize(op, rows, noise, gen, basis=basis.rows).rows)
        left, _, _ = remove_span(op, left, basis.rows)
        error = _norm(op, left)
        used += passes
    complete = basis.size == limit and m <= n
    error = 0.0 if complete else error
    met = goal is None or error <= goal * norm
    if not met:
        warnings.warn(
            f"the estimated relative error is {error / norm:.1e} with {size} vectors; "
            "allow a larger `size` or `tol`",
            ConvergenceWarning,
            stacklevel=2,
        )
    return RangeResult(
        Q=basis.rows.T,
        error=float(np.ldexp(error, exponent)),
        error_kind="exact" if complete else "estimate",
        converged=met,
        passes=used,
        matvecs=passes * basis.size + _PROBES,
        info=run_info(start, "power", norm=float(np.ldexp(norm, exponent)), block=step),
    )


def _image(
    op: MatrixLike, basis: Basis, width: int, passes: int, gen: np.random.Generator
) -> Array:
    """Return rows that span the image of a random block, orthogonal to the basis."""
    forward = passes % 2 == 1
    rows = random_rows(op, width, op.shape[1 if forward else 0], gen)
    for i in range(passes):
        if i:
            rows = orthonormalize(op, rows, 0.0, gen).rows
        rows = (op.mat(rows.T) if forward else op.rmat(rows.T)).T
        if forward and basis.size:
            rows, _, _ = remove_span(op, rows, basis.rows)
        forward = not forward
    return rows


def _norm(op: MatrixLike, rows: Array) -> float:
    """Estimate of a Frobenius norm from the images of the probes."""
    return float(np.linalg.norm(double(op.to_numpy(rows))) / np.sqrt(rows.shape[0]))
