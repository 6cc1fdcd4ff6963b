"""Least squares: the public call."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lowapprox._core.errors import InputError, InputTypeError
from lowapprox._core.matrix import MatrixLike, as_matrix
from lowapprox._core.progress import Reporter
from lowapprox._core.rng import as_generator
from lowapprox._core.threads import blas_threads
from lowapprox._core.typing import Array, MatrixInput
from lowapprox.regression._request import ONE_PASS, Request, checked_request
from lowapprox.regression.direct import compressed_rows, direct
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
    cholesky,
    corrected,
    fossils,
    iterative,
    sketch_operator,
    sketch_rows,
    sketched_start,
    spir,
)
from lowapprox.regression.result import LstsqResult
from lowapprox.regression.sharpened import rows_to_sharpen, sharpened
from lowapprox.regression.sketched import sketched
from lowapprox.regression.small import small
from lowapprox.regression.system import Rows, System, make_system
from lowapprox.regression.triangle import Triangle, one_thread, triangle_of
from lowapprox.regression.wide import wide
from lowapprox.sketching.tensor import LazyProduct

if TYPE_CHECKING:
    from lowapprox._core.progress import Progress
    from lowapprox._core.typing import RNGInput

__all__ = ["lstsq"]

_U = float(np.finfo(float).eps)
_SMALL = 1 << 21  # entries, up to which a factorization takes no longer than a sketch
_TINY, _NARROW = 9000, 16  # entries and columns, up to which BLAS takes one thread anyway
_SMALL_OPERATOR = 1 << 22  # entries, up to which an operator is made an array
_CHOLESKY = 3e6  # condition number, up to which the normal equations keep enough digits
_SHARP_COLUMNS, _SHARP_SHARE = 128, 20  # columns, and rows for each, from which a sketch pays
_DIRECT_COLUMNS = 1500
_ITERATIONS = {"spir": spir, "fossils": fossils, "iterative": iterative}
_COMPRESSED = 16  # passes of a product that a factorization of its factors may take
_WORST = 0.1  # of 1 / rcond: a condition number from which the rank is decided by direct


def lstsq(
    A: MatrixInput,
    b: Array,
    *,
    method: str = "auto",
    tol: float | None = None,
    ridge: float = 0.0,
    weights: Array | None = None,
    rcond: float | None = None,
    eps: float | None = None,
    delta: float = 0.05,
    sketch: str = "auto",
    check_finite: bool = True,
    callback: Callable[[Progress], Any] | None = None,
    rng: RNGInput = None,
) -> LstsqResult:
    """Solve ``min_x |A x - b|^2``, and measure how well it was solved.

    Parameters
    ----------
    A : array, sparse array or linear operator, shape (n, d)
        NumPy array of any strides, memmap, scipy.sparse of any format, or an object with products.
        Never modified and never copied as a whole. A product of `lowapprox.sketching.kron` or
        `khatri_rao` is never formed where it is large; "linf" and "sketch" sketch its factors.
    b : array, shape (n,) or (n, k)
        One or many right-hand sides.
    method : {"auto", "direct", "cholesky", "spir", "fossils", "iterative", "sketch", "linf"}
        "direct" is a QR factorization by tiles of rows. "spir" and "fossils" iterate with a
        preconditioner from a sketch, by conjugate gradients or heavy ball, with refinement.
        "iterative" is the heavy ball on x itself, with a fresh residual in each step.
        "cholesky" factors ``A^H A`` and refines; where the condition number is more than about
        3e6 it does so with ``A R^-1``, where R comes from a sketch.
        "sketch" solves a sketched problem, in one pass, and "linf" one that promises the bound
        `eps` for every entry. "auto" chooses "direct", "cholesky" or "spir" by shape and condition
        and falls back on a safer method where the backward error is too large;
        ``result.info["method"]`` says what was run in the end, ``result.info["why"]`` why.
    tol : float, optional
        Backward error to reach, in (0, 1). By default four times machine epsilon.
    ridge : float, default 0
        Minimize ``|A x - b|^2 + ridge |x|^2``.
    weights : array, shape (n,), optional
        Nonnegative; minimize the sum of ``weights * |A x - b|^2``.
    rcond : float, optional
        Singular values of A with columns scaled to unit norm count as zero below `rcond` times the
        largest. By default 30 times machine epsilon, whatever the number of rows. Where the rank
        is not full, x is the solution of least norm.
    eps : float, optional
        For "linf" and "sketch": ask for ``|x_i - x*_i| <= eps |A x* - b| |A^+| / sqrt(d)`` for all
        entries, by as many rows of the sketch as that takes. By default one sketch of eight rows
        for each column, from which on the bounds keep what they promise.
    delta : float, default 0.05
        Probability with which the bounds of "linf" and "sketch" may be wrong. With a sparse
        sketch, the default of "sketch", they presume that no few rows decide single entries;
        where some do, the bounds are wrong more often, and "linf" is the method to take.
    sketch : {"auto", "sparse", "srht", "gaussian"}
        Kind of sketch. "auto" is "srht" for "linf" and "sparse" else; "linf" refuses "sparse",
        whose errors concentrate on single entries for some data.
    check_finite : bool, default True
        Raise for NaN and infinity. Otherwise x is NaN, for those right-hand sides that are not
        finite or for all of them where A is not, and `converged` is False.
    callback : callable, optional
        Called with a `Progress` record at each sweep; returning True stops the work.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Passed to `numpy.random.default_rng`.

    Returns
    -------
    LstsqResult
        `x` has the precision of `A` and `b`; integers give float64, half precision float32.

    Raises
    ------
    InputError
        If an argument is out of its range, `A` or `b` contains NaN or infinity, or the triangular
        factor does not fit into memory.
    InputTypeError
        For dtypes and arrays without support.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not met. The result has ``converged=False``.

    Notes
    -----
    "direct" costs ``2 n d^2`` operations, "cholesky" half of that, with a sketch as many but all
    in matrix products, and "spir" ``O(n d)`` for each of 20 to 40 passes and ``O(d^3)`` for the
    preconditioner. Sums run in double precision whatever
    the precision of A. Columns are scaled implicitly, so that the backward error is small for each
    column, however small the column is. For equal `rng` the passes give equal bits for any number
    of threads.

    `numpy.linalg.lstsq` counts singular values below ``max(n, d)`` times machine epsilon as zero,
    and thus truncates well-posed problems of many rows.

    References
    ----------
    .. [1] Epperly, Meier, Nakatsukasa (2024), "Fast randomized least-squares solvers can be just
       as accurate and stable as classical direct solvers", arXiv:2406.03468.
    .. [2] Song, Ye, Yin, Zhang (2023), "A nearly-optimal bound for fast regression with
       l_inf guarantee", arXiv:2302.00248.
    .. [3] Karlson, Walden (1997), "Estimation of optimal backward perturbation bounds for the
       linear least squares problem", BIT 37.
    .. [4] Epperly (2023), "Fast and forward stable randomized algorithms for linear least-squares
       problems", arXiv:2311.04362.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox import lstsq
    >>> t = np.linspace(0, 1, 50)
    >>> A = np.stack([np.ones(50), t, t**2], axis=1)
    >>> result = lstsq(A, 1.0 - 2.0 * t**2)
    >>> bool(np.allclose(result.x, [1, 0, -2]))
    True
    >>> bool(result.backward_error < 1e-15)
    True
    """
    start = time.perf_counter()
    op = as_matrix(A)
    request = checked_request(op, b, method, tol, ridge, weights, rcond, eps, delta, sketch)
    rhs = request.rhs
    if check_finite and rhs.bad is not None:
        raise InputError("`b` must contain finite numbers, got NaN or infinity")
    source = None if rng is None else as_generator(rng)
    report = Reporter(callback, False)
    op, method, why = _choose(op, request)
    system = make_system(op, rhs.values, request.weights, request.ridge)
    # Tiles go to the threads; NumPy's and SciPy's pools hinder one another.
    tiny = op.shape[0] * op.shape[1] <= _TINY and op.shape[1] <= _NARROW
    with contextlib.nullcontext() if tiny else blas_threads(1):
        empty, quick = 0 in op.shape or rhs.count == 0, None
        if request.method == "auto" and not empty:
            quick = small(system, float(rhs.norms[0]) or 1.0, request.target, request.rcond)
        if empty:
            answer = nothing(system, method)
        elif quick is not None:
            answer = answered(system, quick, "cholesky", "small and well conditioned", request)
        else:
            gen = as_generator(source)  # made here, since its making takes long for a small problem
            with one_thread():
                if method in ONE_PASS:
                    answer = _read_once(system, method, why, request, gen)
                else:
                    answer = _solve(system, method, why, request, gen, report)
    if check_finite and not answer.finite:
        raise InputError("`A` must contain finite numbers with finite sums, got NaN or infinity")
    if rhs.bad is not None and not answer.shortfall:
        answer = replace(answer, shortfall="`b` contains NaN or infinity")
    warn_of(answer, "lstsq")
    return result_of(answer, system, request, start)


def _choose(op: MatrixLike, request: Request) -> tuple[MatrixLike, str, str]:
    """Choose a method by kind and shape, before anything is known of the condition."""
    n, d = op.shape
    method, why = request.method, "asked for"
    lazy = isinstance(op, LazyProduct)
    if op.kind == "operator" and n * d <= _SMALL_OPERATOR and not (lazy and method in ONE_PASS):
        op = as_matrix(op.entries())
    if 0 in op.shape:
        return op, method, "nothing to solve"
    if op.kind == "operator" and not lazy:
        if method in {"direct", "cholesky"}:
            raise InputTypeError(
                f"method {method!r} needs the entries of `A`, got an operator of shape {op.shape}"
            )
        if n < d:
            return op, method if method in ONE_PASS else "wide", "an operator of few rows"
        return op, "spir" if method == "auto" else method, "an operator"
    if method == "direct" or method in ONE_PASS:
        return op, method, why
    if isinstance(op, LazyProduct) and method == "auto" and request.weights is None:
        small_factors = compressed_rows(op) * d <= _COMPRESSED * n
        return op, "direct" if small_factors else "spir", "a product of factors"
    if n < 8 * d:
        return op, "direct", "fewer than 8 rows for each column"
    if method == "auto" and n * d < _SMALL:
        return op, "direct", "small"
    return op, method, why


def _solve(
    system: System,
    method: str,
    why: str,
    request: Request,
    gen: np.random.Generator,
    report: Reporter,
) -> Answer:
    """Run a method, and safer ones while the check of the backward error fails.

    "cholesky" goes on after a sketch, and is followed by "spir" or "direct", and "spir" by
    "direct"; but for "cholesky" only "auto" and hopeless cases fall through.
    """
    rcond, target, automatic = request.rcond, request.target, method == "auto"
    b_norms = np.where(request.rhs.norms == 0.0, 1.0, request.rhs.norms)
    outcome, best = None, None
    if not system.by_rows and system.shape[0] < system.shape[1]:
        outcome = wide(system, rcond, b_norms, target, gen, report)
        return answered(system, outcome, "wide", why, request)
    worst = _WORST / max(rcond, _U)
    likely = _likely_condition(system, gen) if automatic else 1.0
    if method == "cholesky" or (automatic and likely <= min(_CHOLESKY, worst)):
        best = cholesky(system, b_norms, target, gen, report)
        if best is not None and best.condition > worst:
            best = None  # the rank is to be decided by singular values
        if best is not None and (not automatic or passed(best, request)):
            why = "well conditioned" if automatic else why
            return answered(system, best, "cholesky", why, request)
    if method == "cholesky" or (automatic and likely <= worst and _sharpening_is_fast(system)):
        S = sketch_operator(system, request.sketch, rows_to_sharpen(*system.shape), gen)
        start = sketched_start(system, S, b_norms, gen, report)
        sharp = sharpened(system, start, b_norms) if start.condition <= worst else None
        if sharp is not None:
            outcome = corrected(system, sharp, target)
            best = better(best, outcome)
            if outcome.stopped or passed(best, request):
                why = "ill-conditioned, and mended by a sketch"
                return answered(system, best, "cholesky", why, request)
    if method == "cholesky":
        method, why = "spir", "the Cholesky solution failed"
    if automatic and _direct_is_fast(system):
        method, why = "direct", "ill-conditioned"
    if method != "direct":
        S = sketch_operator(system, request.sketch, sketch_rows(*system.shape), gen)
        cut = None if system.by_rows else rcond
        start = sketched_start(system, S, b_norms, gen, report, cut)
        if np.isnan(start.condition) and np.isfinite(b_norms).all():
            method, why = "direct", "the sketch is not finite"
        elif start.condition > worst:
            method, why = "direct", "nearly or numerically rank-deficient"
        elif automatic:
            method, why = "spir", "tall"
        if not system.by_rows:
            method = "spir" if method == "direct" else method
        if method in _ITERATIONS:
            outcome = _ITERATIONS[method](system, start, target)
            best = better(best, outcome)
            done = outcome.stopped or passed(outcome, request)
            if automatic and not done and system.by_rows:
                method, why = "direct", "the iteration failed the check"
    if method == "direct":
        best = better(best, direct(system, rcond, b_norms, target))
    assert best is not None
    return answered(system, best, method, why, request)


def _direct_is_fast(system: System) -> bool:
    """Tell whether the factorization takes no longer than the passes of an iteration."""
    return isinstance(system, Rows) and (
        system.shape[1] <= _DIRECT_COLUMNS or system.b.shape[1] >= system.shape[1]
    )


def _sharpening_is_fast(system: System) -> bool:
    """Tell whether a sketch, a Cholesky factor and passes take less time than a factorization."""
    n, d = system.shape
    return d >= _SHARP_COLUMNS and n >= _SHARP_SHARE * d


def _likely_condition(system: System, gen: np.random.Generator) -> float:
    """Return the condition number of some of the rows; infinity where none are looked at."""
    if not (isinstance(system, Rows) and _direct_is_fast(system)):
        return np.inf
    with np.errstate(all="ignore"):
        R = triangle_of(system.some_rows(gen, 2 * system.shape[1]))
        return Triangle(R).condition(gen) if np.isfinite(R).all() else np.inf


def _read_once(
    system: System, method: str, why: str, request: Request, gen: np.random.Generator
) -> Answer:
    """Solve a sketched problem, or the whole one where no smaller sketch is enough."""
    kind, lazy = request.sketch, isinstance(system.op, LazyProduct) and system.weights is None
    if kind == "auto":
        kind = "srht" if method == "linf" or lazy else "sparse"
    found = sketched(
        system,
        lambda rows: sketch_operator(system, kind, rows, gen),
        gen,
        request.eps,
        request.delta,
        _WORST / max(request.rcond, _U),
        robust=lazy and kind == "srht",
    )
    if found is None:
        why = "a sketch of fewer rows is not enough, or the condition too large"
        exact = "direct" if system.by_rows else "spir"
        return _solve(system, exact, why, request, gen, Reporter(None, False))
    count = system.b.shape[1]
    return Answer(
        X=found.X,
        residual=found.residual,
        error=np.full(count, np.nan),
        forward=np.full(count, np.nan),
        bound=found.bound,
        condition=found.condition,
        rank=system.shape[1],
        method=method,
        why=why,
        shortfall="",
        more={"sketch": kind, "rows": found.rows},
    )
