"""A matrix sketched and factored once, for right-hand sides that come one after the other."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowapprox._core.errors import InputError
from lowapprox._core.matrix import MatrixLike, as_matrix
from lowapprox._core.results import Result, run_info
from lowapprox._core.rng import as_generator
from lowapprox._core.typing import Array, MatrixInput
from lowapprox.regression._request import Request, checked_number, checked_request
from lowapprox.regression.direct import direct
from lowapprox.regression.memory import check_memory
from lowapprox.regression.outcome import (
    Answer,
    answered,
    better,
    nothing,
    passed,
    result_of,
    warn_of,
)
from lowapprox.regression.preconditioned import (
    Start,
    corrected,
    sketch_operator,
    sketch_rows,
    spir,
)
from lowapprox.regression.result import LstsqResult
from lowapprox.regression.spread import Spread, root_of
from lowapprox.regression.system import Host, Rows, System, blocks, make_system, squares_of
from lowapprox.regression.triangle import (
    BackwardError,
    Triangle,
    Truncated,
    one_thread,
    triangle_of,
)

if TYPE_CHECKING:
    from lowapprox._core.typing import RNGInput

__all__ = ["LstsqFactor", "lstsq_factor"]

_U = float(np.finfo(float).eps)
_SMALL = 1 << 16  # entries, up to which an orthonormal basis of the columns is kept
_SMALL_OPERATOR = 1 << 22  # entries, up to which an operator is made an array
_WORST = 0.1  # of 1 / rcond: a condition number from which singular values are looked at
_CHUNK = 1 << 22  # entries of a block of columns that are multiplied together


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The matrix with what was computed of it.

    Attributes
    ----------
    op : MatrixLike
        The matrix.
    request : Request
        Ridge, weights and `rcond`.
    finite : bool
        Whether NaN and infinity are refused.
    R : numpy.ndarray, shape (r, d)
        Triangle of ``[W^(1/2) A; sqrt(ridge) I]``.
    S : sketching operator, optional
        None where nothing was sketched.
    basis : numpy.ndarray, shape (m, r)
        ``R x = basis^H S W^(1/2) b`` gives the x to begin with.
    spread : Spread
        From all rows.
    """

    op: MatrixLike
    request: Request
    finite: bool
    R: Host
    S: Any
    basis: Host
    spread: Spread


@dataclass(frozen=True, eq=False, repr=False)
class LstsqFactor(Result):
    """A matrix factored for least squares; made by `lstsq_factor`.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns of the matrix.
    rank : int
        Numerical rank by the rule for `rcond`.
    cond_estimate : float
        Condition number of the matrix with columns scaled to unit norm.
    passes : int
        Reads of the matrix for the factorization.
    info : Mapping
        Method ("direct" or "sketch"), seconds, threads.

    Notes
    -----
    The matrix is kept by reference and must not be changed. Can be pickled, with the matrix.
    """

    shape: tuple[int, int]
    rank: int
    cond_estimate: float
    passes: int
    info: Mapping[str, Any]
    _parts: _Parts

    _shown: ClassVar[tuple[str, ...]] = ("shape", "rank", "cond_estimate", "passes")

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}  # nothing that was cached

    def solve(self, b: Array, *, tol: float | None = None) -> LstsqResult:
        """Solve ``min_x |A x - b|^2``, with the ridge and weights of the factorization.

        Parameters
        ----------
        b : array, shape (n,) or (n, k)
            One or many right-hand sides.
        tol : float, optional
            Backward error to reach, in (0, 1). By default four times machine epsilon.

        Returns
        -------
        LstsqResult
            As of `lstsq`, with the same check; `passes` counts the reads for this solution.

        Raises
        ------
        InputError
            If `b` has another number of rows, or contains NaN or infinity.
        InputTypeError
            For dtypes and arrays without support.

        Warns
        -----
        ConvergenceWarning
            If the tolerance was not met. The result has ``converged=False``.

        Notes
        -----
        Costs ``O(n d k)`` for each of about four passes. Where the corrections do not get there,
        conjugate gradients go on, and after them a factorization for this right-hand side.
        """
        start, parts = time.perf_counter(), self._parts
        of = parts.request
        request = checked_request(
            parts.op, b, "auto", tol, of.ridge, of.weights, of.rcond, None, of.delta, of.sketch
        )
        if parts.finite and request.rhs.bad is not None:
            raise InputError("`b` must contain finite numbers, got NaN or infinity")
        system = make_system(parts.op, request.rhs.values, of.weights, of.ridge)
        with one_thread():
            if 0 in self.shape or request.rhs.count == 0:
                answer = nothing(system, "factor")
            else:
                with np.errstate(all="ignore"):
                    answer = self._answer(system, request)
        warn_of(answer, "LstsqFactor.solve")
        return result_of(answer, system, request, start)

    def leverage_scores(self) -> Array:
        """Return the leverage of every row, which is how much its own entry of b moves its fit.

        Returns
        -------
        numpy.ndarray, shape (n,)
            The diagonal of ``W^(1/2) A (A^H W A + ridge I)^-1 A^H W^(1/2)``, or of the
            pseudo-inverse where the rank is not full. Within [0, 1]; without a ridge the sum is
            the rank. The relative error is about ``cond_estimate`` times machine epsilon.

        Notes
        -----
        Exact, not from the sketch: ``n d^2`` operations in one pass.

        References
        ----------
        .. [1] Hoaglin, Welsch (1978), "The hat matrix in regression and ANOVA", The American
           Statistician 32.

        Examples
        --------
        >>> import numpy as np
        >>> from lowapprox.regression import lstsq_factor
        >>> A = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 3.0]])
        >>> np.round(lstsq_factor(A).leverage_scores(), 3)
        array([0.7, 0.3, 0.3, 0.7])
        """
        parts, n = self._parts, self.shape[0]
        system = _system(parts.op, parts.request)
        scores = np.zeros(n)
        triangle = self._triangle
        with one_thread(), np.errstate(all="ignore"):
            if not system.by_rows:
                for E in _columns(triangle, _CHUNK // max(n, 1)):
                    AE = parts.op.mat(E.astype(np.result_type(E, parts.op.dtype), copy=False))
                    scores += squares_of(AE.T)
                scores *= 1.0 if system.weights is None else system.weights
            elif 0 not in self.shape:
                bounds = blocks(n, 64, max(1, min(512, _CHUNK // self.shape[1])))

                def work(i: int) -> None:
                    rows = system.tile(int(bounds[i]), int(bounds[i + 1])).conj().T
                    scores[bounds[i] : bounds[i + 1]] = squares_of(triangle.solve_adjoint(rows))

                system.run(work, len(bounds) - 1)
        return np.minimum(scores, 1.0).astype(np.finfo(parts.op.dtype).dtype)

    def covariance(self, residual_variance: float = 1.0) -> Array:
        """Return the covariance of the entries of x over the noise in b.

        Parameters
        ----------
        residual_variance : float, default 1.0
            Variance of the noise in an entry of b, of weight 1 where there are weights; for
            example the `residual_variance` of a result.

        Returns
        -------
        numpy.ndarray, shape (d, d)
            `residual_variance` times the inverse of ``G = A^H W A``, or its pseudo-inverse where
            the rank is not full; with a ridge ``(G + ridge I)^-1 G (G + ridge I)^-1`` times the
            same. From all rows, with a relative error of about ``cond_estimate`` times machine
            epsilon.

        Raises
        ------
        InputError
            If `residual_variance` is negative or not finite.

        Examples
        --------
        >>> import numpy as np
        >>> from lowapprox.regression import lstsq_factor
        >>> A = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 3.0]])
        >>> np.round(lstsq_factor(A).covariance(0.1), 3)
        array([[ 0.07, -0.03],
               [-0.03,  0.02]])
        """
        variance = checked_number(residual_variance, "residual_variance", 0.0, np.inf)
        with np.errstate(over="ignore", under="ignore"):
            unit = self._parts.spread.covariance()
            return (variance * unit).astype(self._parts.op.dtype)

    def standard_errors(self, residual_variance: float = 1.0) -> Array:
        """Return the square roots of the diagonal of the covariance.

        Parameters
        ----------
        residual_variance : float, default 1.0
            As for `covariance`.

        Returns
        -------
        numpy.ndarray, shape (d,)

        Raises
        ------
        InputError
            If `residual_variance` is negative or not finite.
        """
        variance = checked_number(residual_variance, "residual_variance", 0.0, np.inf)
        with np.errstate(over="ignore", under="ignore"):
            errors = np.sqrt(variance) * self._parts.spread.errors()
            return errors.astype(np.finfo(self._parts.op.dtype).dtype)

    @cached_property
    def _triangle(self) -> Triangle | Truncated:
        return _conditioned(self._parts.R, self._parts.request.rcond)[0]

    @cached_property
    def _svd(self) -> tuple[Host, Host] | None:
        """Singular values and right vectors, by which backward errors are measured."""
        R = self._triangle.R
        if not np.isfinite(R).all():
            return None
        _, s, Vh = np.linalg.svd(R, full_matrices=False)
        return s, Vh

    def _answer(self, system: System, request: Request) -> Answer:
        parts, triangle = self._parts, self._triangle
        if system.dtype != triangle.R.dtype:  # a complex side of a real matrix
            triangle = _conditioned(parts.R.astype(system.dtype), request.rcond)[0]
        b_norms = np.where(request.rhs.norms == 0.0, 1.0, request.rhs.norms)
        measure = BackwardError(triangle, b_norms, self._svd)
        sides = system.tile_b(0, self.shape[0])
        if parts.S is not None:
            zeros: Host = np.zeros((parts.S.shape[0], sides.shape[1]), system.dtype)
            sides = parts.S.apply_rows(sides, 0, zeros)
        X = triangle.solve(parts.basis.conj().T @ sides)
        start = Start(triangle, X, self.cond_estimate, 0.0, measure, _go_on, parts.spread)
        outcome = corrected(system, start, request.target)
        if self.rank < min(self.shape) or self.shape[0] < self.shape[1]:
            request = replace(request, tol=max(request.tol, request.rcond))
        if not passed(outcome, request):
            outcome = better(
                outcome, spir(system, replace(start, X=outcome.found.X), request.target)
            )
        method, why = "factor", "the factorization"
        if not passed(outcome, request) and system.by_rows:
            method, why = "direct", "the corrections failed the check"
            outcome = better(outcome, direct(system, request.rcond, b_norms, request.target))
        return answered(system, outcome, method, why, request)


def lstsq_factor(
    A: MatrixInput,
    *,
    ridge: float = 0.0,
    weights: Array | None = None,
    rcond: float | None = None,
    sketch: str = "auto",
    check_finite: bool = True,
    rng: RNGInput = None,
) -> LstsqFactor:
    """Factor a matrix for least squares with right-hand sides that are not known yet.

    Parameters
    ----------
    A : array, sparse array or linear operator, shape (n, d)
        As for `lstsq`. Kept by reference, as every solution is checked against it; an operator of
        few entries, or of fewer rows than columns, is made an array.
    ridge : float, default 0
        Minimize ``|A x - b|^2 + ridge |x|^2``.
    weights : array, shape (n,), optional
        Nonnegative; minimize the sum of ``weights * |A x - b|^2``.
    rcond : float, optional
        Singular values of A with columns scaled to unit norm count as zero below `rcond` times the
        largest. By default 30 times machine epsilon. Where the rank is not full, x is the solution
        of least norm.
    sketch : {"auto", "sparse", "srht", "gaussian"}
        Kind of sketch. "auto" is "sparse".
    check_finite : bool, default True
        Raise for NaN and infinity. Otherwise solutions are NaN and have ``converged=False``.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Passed to `numpy.random.default_rng`.

    Returns
    -------
    LstsqFactor
        With the methods `solve`, `leverage_scores`, `covariance` and `standard_errors`.

    Raises
    ------
    InputError
        If an argument is out of its range, `A` contains NaN or infinity, or the triangular factor
        does not fit into memory.
    InputTypeError
        For dtypes and arrays without support.

    See Also
    --------
    lstsq : For one block of right-hand sides; it puts less into the factorization.

    Notes
    -----
    A sketch gives a preconditioner E for which the columns of ``A E`` are nearly orthonormal, and
    their Gram matrix, which is well conditioned whatever A is, makes the triangle of a sketch that
    of A itself, up to rounding times the condition number. That costs ``3 n d^2`` operations and
    two passes. A solution starts from the sketched problem and is corrected by that triangle with
    fresh residuals, in about four passes where `lstsq` takes 10 to 40.

    Where A is small or has fewer than 8 rows for each column, its QR factorization is kept in
    place of the sketch, which takes as much memory as A. Otherwise memory is that of the sketch,
    6 to 20 rows for each column.

    References
    ----------
    .. [1] Epperly, Meier, Nakatsukasa (2024), "Fast randomized least-squares solvers can be just
       as accurate and stable as classical direct solvers", arXiv:2406.03468.
    .. [2] Yamamoto, Nakatsukasa, Yanagisawa, Fukaya (2015), "Roundoff error analysis of the
       CholeskyQR2 algorithm", ETNA 44.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.regression import lstsq_factor
    >>> t = np.linspace(0, 1, 50)
    >>> factor = lstsq_factor(np.stack([np.ones(50), t, t**2], axis=1))
    >>> bool(np.allclose(factor.solve(1.0 - 2.0 * t**2).x, [1, 0, -2]))
    True
    >>> bool(np.allclose(factor.solve(3.0 * t).x, [0, 3, 0]))
    True
    >>> bool(np.isclose(factor.leverage_scores().sum(), 3.0))
    True
    """
    start = time.perf_counter()
    op = as_matrix(A)
    n, d = op.shape
    nothing_yet = np.zeros((n, 0), bool)
    request = checked_request(
        op, nothing_yet, "auto", None, ridge, weights, rcond, None, 0.05, sketch
    )
    gen = as_generator(rng)
    system = _system(op, request)
    if not system.by_rows:
        if n * d <= _SMALL_OPERATOR:
            op = as_matrix(op.entries())
            system = _system(op, request)
        elif n < d:
            check_memory(op.shape, 4)
            op = as_matrix(op.rmat(op.from_numpy(np.eye(n))).conj().T)
            system = _system(op, request)
    kept = system.by_rows and (n < 8 * d or n * d <= _SMALL)
    with one_thread():
        R, factor, S, basis = _kept(system, request) if kept else _sketched(system, request, gen)
        triangle, condition = _conditioned(R, request.rcond)
    if check_finite and np.isnan(condition):
        raise InputError("`A` must contain finite numbers with finite sums, got NaN or infinity")
    rank = triangle.rank if R.size else 0
    spread = Spread(factor, request.ridge, request.rcond, rank, system.count)
    return LstsqFactor(
        shape=(n, d),
        rank=rank,
        cond_estimate=condition,
        passes=system.passes,
        info=run_info(start, "direct" if kept else "sketch"),
        _parts=_Parts(op, request, check_finite, R, S, basis, spread),
    )


def _system(op: MatrixLike, request: Request) -> System:
    """Return the rows without right-hand sides and ridge."""
    return make_system(op, np.zeros((op.shape[0], 0)), request.weights, 0.0)


def _kept(system: System, request: Request) -> tuple[Host, Host, None, Host]:
    """Return the triangles with and without the ridge, and an orthonormal basis."""
    system.passes += 1
    n, d = system.shape
    M = system.tile(0, n)
    with np.errstate(all="ignore"):
        if request.ridge == 0.0:
            Q, R = np.linalg.qr(M)
            return R, R, None, Q
        Q, R = np.linalg.qr(np.concatenate([M, np.sqrt(request.ridge) * np.eye(d)]))
        return R, triangle_of(M), None, Q[:n]


def _sketched(
    system: System, request: Request, gen: np.random.Generator
) -> tuple[Host, Host, Any, Host]:
    """Return the triangles, the sketch, and the basis that goes with it."""
    d, ridge = system.shape[1], request.ridge
    S = sketch_operator(system, request.sketch, sketch_rows(*system.shape), gen)
    with np.errstate(all="ignore"):
        M = system.sketch(S)
        Q, R = np.linalg.qr(np.concatenate([M, np.sqrt(ridge) * np.eye(d)]) if ridge else M)
        Q = Q[: S.shape[0]]
        if not np.isfinite(R).all():
            return R, R, S, Q
        E = _conditioned(R, request.rcond)[0].solve(np.eye(d))
        G = _gram(system, E)
        if not np.isfinite(G).all():
            return np.full_like(R, np.nan), R, S, Q
        root = root_of(G)
        factor = triangle_of(root @ R)
        if ridge:
            root = root_of(G + ridge * (E.conj().T @ E))
        turn, exact = np.linalg.qr(root @ R)
        return exact, factor, S, Q @ (root.conj().T @ turn)


def _gram(system: System, E: Host) -> Host:
    """Return ``(A E)^H W (A E)``."""
    if isinstance(system, Rows):
        return system.gram(E)
    step = max(8, _CHUNK // max(system.shape[0], 1))
    parts = [system.normal(E[:, j : j + step]) for j in range(0, E.shape[1], step)]
    G: Host = E.conj().T @ np.concatenate(parts, axis=1)
    return (G + G.conj().T) / 2.0


def _conditioned(R: Host, rcond: float) -> tuple[Triangle | Truncated, float]:
    """Return a triangle, cut off where it is nearly singular, and its condition number."""
    triangle = Triangle(R)
    if R.size == 0 or not np.isfinite(R).all():
        return triangle, np.nan if R.size else 1.0
    condition = triangle.condition(np.random.Generator(np.random.PCG64(0)))
    if condition < _WORST / max(rcond, _U):
        return triangle, condition
    truncated = Truncated(triangle, rcond)
    return truncated, truncated.condition


def _columns(triangle: Triangle | Truncated, step: int) -> Any:
    """Yield blocks of the columns of the inverse."""
    one = np.eye(triangle.R.shape[0])
    for j in range(0, one.shape[1], max(8, step)):
        yield triangle.solve(one[:, j : j + max(8, step)])


def _go_on(step: int, passes: int, value: float, target: float) -> bool:
    del step, passes, value, target
    return False
