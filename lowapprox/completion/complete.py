"""Matrix completion: the public call."""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lowapprox._core.checks import checked_choice, checked_rank
from lowapprox._core.errors import (
    AccuracyWarning,
    ConvergenceWarning,
    InputError,
    NumericalError,
)
from lowapprox._core.progress import Reporter
from lowapprox._core.results import run_info
from lowapprox._core.rng import as_generator
from lowapprox._core.threads import blas_threads
from lowapprox._core.typing import Array, MatrixInput
from lowapprox.completion._request import check_model, checked_request, given_factors
from lowapprox.completion.als import random_start
from lowapprox.completion.diagnosis import Diagnostics, announce, diagnose
from lowapprox.completion.folding import Penalty
from lowapprox.completion.judging import Verdict, died_out, judged, lost, with_held_out
from lowapprox.completion.losses import LOSSES, huber_threshold
from lowapprox.completion.observations import Host
from lowapprox.completion.problem import Factors, Method, Problem, Record, Watch
from lowapprox.completion.rank import chosen_rank
from lowapprox.completion.reading import read
from lowapprox.completion.result import CompletionResult
from lowapprox.completion.scaling import evened, normalized
from lowapprox.completion.start import mean_biases, spectral_start, with_biases
from lowapprox.completion.tall import factored, times

if TYPE_CHECKING:
    from lowapprox._core.progress import Progress
    from lowapprox._core.typing import RNGInput

__all__ = ["METHODS", "complete", "method_named"]

# Where each method is: files are read when the method is asked for.
METHODS: Mapping[str, str] = {
    "auto": "auto:auto",
    "als-cg": "als:als_cg",
    "als-chol": "als:als_chol",
    "increment": "increment:increment",
    "gauss-newton": "gauss_newton:gauss_newton",
    "irls": "irls:irls",
    "scaled-gd": "scaled_gd:scaled_gd",
    "soft-impute": "soft_impute:soft_impute",
}

_PATIENCE = 3  # steps without an improvement at the entries held out
_LEARNING = ("auto", "als-cg", "als-chol")
_NOISE = 1e-2  # error of the best rank, of values of size one: the data are not exact


def method_named(name: str) -> Method:
    """Return a method of the table."""
    file, function = METHODS[name].split(":")
    method: Method = getattr(importlib.import_module(f"lowapprox.completion.{file}"), function)
    return method


def complete(
    A: MatrixInput,
    rank: int | str | None = None,
    *,
    mask: Array | None = None,
    shape: tuple[int, int] | None = None,
    method: str = "auto",
    reg: str | float = "auto",
    reg_scale: str = "none",
    center: bool = False,
    row_bias: bool = False,
    col_bias: bool = False,
    nonneg: bool = False,
    loss: str = "squared",
    weights: Array | None = None,
    duplicates: str = "error",
    init: Any = "spectral",
    max_iter: int | None = None,
    tol: float | None = None,
    validation: Any = None,
    callback: Callable[[Progress], Any] | None = None,
    progress: bool = False,
    rng: RNGInput = None,
) -> CompletionResult:
    """Find a matrix of low rank that fits the observed entries of a matrix.

    Parameters
    ----------
    A : sparse array, array, tuple (rows, columns, values), or Ratings
        Stored entries of a sparse array are observed, stored zeros too. NaN in a dense array is
        missing, and so is what is masked in a `numpy.ma` array. Triples need `shape`. It is in
        host memory and never modified. Integers compute in float64, float32 stays what it is.
    rank : int or "auto", optional
        In [1, min(m, n)]. None and "auto" choose it by the error at entries held out;
        ``result.info["rank_errors"]`` holds the errors of the ranks that were tried. If `init`
        holds factors, it is their number of columns.
    mask : array of bool, shape (m, n), optional
        Which entries of a dense `A` are observed.
    shape : tuple of int, optional
        Of the matrix that triples belong to.
    method : str, default "auto"
        "als-cg" alternates between the factors with a few steps of conjugate gradients for each
        row, at a cost linear in the rank; "als-chol" solves exactly. "increment" adds one
        component after the other, for ill-conditioned matrices. "gauss-newton" and "irls" are of
        second order, for few entries; "irls" is for exact data alone, in which neither `weights`
        nor `reg` have a part. "scaled-gd" and "soft-impute" are there to compare with.
        ``result.history`` tells what "auto" has run.
    reg : "auto" or float, default "auto"
        Minimize ``sum w (x_ij - a_ij)^2 + reg (|U|^2 + |V|^2)``, biases being columns of U and V.
        "auto" learns the noise and the covariance of the rows of each factor from the data
        (variational Bayes); it vanishes for exact data. "gauss-newton", "irls" and "scaled-gd"
        have none then; "soft-impute" goes down to a thousandth of the first singular value.
    reg_scale : {"none", "count"}
        "count" multiplies `reg` for each row by the number of its entries, or the sum of their
        weights.
    center : bool, default False
        Subtract the mean of the observed values.
    row_bias, col_bias : bool, default False
        Fit a number for each row, each column, besides the product.
    nonneg : bool, default False
        Keep the factors nonnegative, by coordinate descent. The columns of U and V then have unit
        length, but are not orthogonal.
    loss : {"squared", "huber", "logit"}
        "huber" gives outliers less weight. "logit" is for observed zeros and ones: the matrix is
        that of the log-odds, and `reg` stands beside twice minus the log-likelihood.
    weights : array, optional
        Nonnegative, one for each observed entry: of shape (m, n) for a dense `A`, a sparse array
        of the same pattern for a sparse one, as long as the values for triples. Zero is not
        observed.
    duplicates : {"error", "mean", "last"}
        What to do with entries that are given more than once.
    init : "spectral", "random", (U, V) or CompletionResult
        Where to begin: "spectral" is the truncated SVD of what is observed. A pair has shapes
        (m, k) and (n, k), and its product is ``U @ V.T``.
    max_iter : int, optional
        Number of recorded steps at most.
    tol : float, optional
        Relative change of the product, and relative residual, at which to stop. By default 1e-3
        for changes that are also small beside the residual, and for the residual of exact data
        1e-10 in double and 3e-6 in single precision.
    validation : float, tuple (rows, columns, values) or Ratings, optional
        The share of the observed entries to hold out, or entries to judge the fit by. The work
        stops when the error there has not fallen for three steps, and the best factors are
        returned: what was held out has no part in them. "soft-impute" without `reg` chooses the
        penalty so, and fits all entries with it. By default a hundredth is held out, only to check
        exact fits to few entries; data that turn out to be noisy are then fitted to all of them.
        0 holds out none.
    callback : callable, optional
        Called after each step with a record of ``step``, ``value``, the residual over the norm of
        the values, and ``target``, where that counts as exact; returning True stops the work.
        While the rank is chosen, with the same of the entries held out for that.
    progress : bool, default False
        Show progress on standard error.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Passed to `numpy.random.default_rng`.

    Returns
    -------
    CompletionResult
        The factors, with predictions, new rows and columns, updates and files.

    Raises
    ------
    InputError
        If an argument is out of its range, or an observed value is NaN or infinite.
    InputTypeError
        For dtypes and inputs without support.

    Warns
    -----
    ConvergenceWarning
        If the work ended before the tolerance was met, or the error at entries held out
        contradicts the residual.
    AccuracyWarning
        If the observed entries do not determine all of the matrix, or the learned ridge leaves
        nothing of them.

    Notes
    -----
    A sweep of "als-cg" [1]_ with s steps costs ``(8 s + 4) N k`` operations for N observed entries
    and rank k, and ``O((m + n) k^2)`` for the change of coordinates. There are two steps, and one
    for the learned ridge of data that are not exact. "als-chol" [3]_ costs ``O(N k^2)``. Beside a
    ridge, sweeps over data that are not exact are over-relaxed while the residual falls: fewer are
    needed. Besides the entries, in both orders, there are three pairs of factors in memory. Kernels
    give equal bits for any number of threads.

    The learned ridge [2]_ lets components that the data do not support die out: `rank` may be
    larger than needed. "auto" takes data for exact where the residual that is left is small or has
    structure, or where there are fewer than 2.2 entries for each degree of freedom, and then
    spends more time on the search for an exact fit.

    References
    ----------
    .. [1] Gu, Song, Yin, Zhang (2024), "Low rank matrix completion via robust alternating
       minimization in nearly linear time", ICLR, arXiv:2302.11068.
    .. [2] Lim, Teh (2007), "Variational Bayesian approach to movie rating prediction", KDD Cup.
    .. [3] Jain, Netrapalli, Sanghavi (2013), "Low-rank matrix completion using alternating
       minimization", STOC, arXiv:1212.0467.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox import complete
    >>> M = np.outer(np.arange(1.0, 9.0), np.arange(1.0, 7.0))
    >>> A = M.copy()
    >>> A[::3, ::2] = np.nan
    >>> result = complete(A, 1, reg=0, rng=0)
    >>> bool(np.allclose(result.predict([0, 3], [0, 2]), [1.0, 12.0]))
    True
    """
    begin = time.perf_counter()
    options = {
        **{"method": method, "reg": reg, "reg_scale": reg_scale, "center": center},
        **{"row_bias": row_bias, "col_bias": col_bias, "nonneg": nonneg, "loss": loss},
        **{"max_iter": max_iter, "tol": tol},
    }
    method = checked_choice(method, "method", tuple(METHODS))
    observed = read(A, mask=mask, shape=shape, weights=weights, duplicates=duplicates)
    request = checked_request(observed, rank, reg, reg_scale, max_iter, tol, validation)
    given = given_factors(init)
    if given is not None and request.rank is None:
        request = replace(request, rank=checked_rank(given[0].shape[1], observed.shape))
    check_model(
        observed,
        request,
        method,
        checked_choice(loss, "loss", LOSSES),
        {"center": center, "row_bias": row_bias, "col_bias": col_bias, "nonneg": nonneg},
    )
    gen = as_generator(rng)
    offset = 0.0
    scale = weight = 1.0
    if loss != "logit":
        offset, scale, observed = normalized(observed, center=bool(center))
        weight, observed = evened(observed)
    whole = Problem(
        observed=observed,
        rank=1 if request.rank is None else request.rank,
        ridge=request.ridge_in(scale, weight),
        tol=request.tol,
        max_iter=request.max_iter,
        rng=gen,
        row_bias=bool(row_bias),
        col_bias=bool(col_bias),
        unit=scale**-0.5 if request.ridge else 1.0,
        per_entry=request.per_entry,
        loss=loss,
        nonneg=bool(nonneg),
        residual_tol=request.residual_tol,
        weight=weight,
    )
    reporter = Reporter(callback, progress)
    more: dict[str, Any] = {}
    if 0 in observed.shape:
        whole = replace(whole, rank=0)
    elif request.rank is None:
        with blas_threads(1):
            k, errors = chosen_rank(whole, reporter)
        whole = replace(whole, rank=k)
        more["rank_errors"] = {r: scale * error for r, error in errors.items()}
        if method == "auto" and errors and errors[k] > _NOISE:
            method = "als-cg"
    found = diagnose(observed, whole.rank)
    announce(found, request.ridge)
    problem = with_held_out(whole, request, method, offset, scale)
    # What is held out for a check alone stops nothing.
    watch = Watch(problem, reporter, None if validation is None else _PATIENCE)
    with blas_threads(1):  # blocks go to the threads; pools of BLAS would be in their way
        start = _start(init, given, problem, scale)
        factors = _fitted(problem, method, start, watch)
    verdict = judged(problem, factors, watch)
    # What was held out to choose a penalty, or to check what is not exact, comes back.
    chosen = method == "soft-impute" and whole.ridge is None
    checked = validation is None and watch.reason == "change"
    # Connected components have each chosen their own.
    again = factors.penalties[0] is not None if chosen else checked
    if problem.observed is not whole.observed and verdict.converged and again:
        watch = watch.attempt(whole, request.max_iter)
        with blas_threads(1):
            factors = _with_all(whole, method, factors, watch)
        verdict = judged(whole, factors, watch)
    reporter.close()
    if not verdict.converged:
        warnings.warn(
            f"`complete`: {verdict.text}; the result has converged=False",
            ConvergenceWarning,
            stacklevel=2,
        )
    if text := lost(problem, factors, found, watch.reason):
        warnings.warn(
            f"`complete`: {text} may be noise, and the fit is zero but for means and biases; "
            "`reg` as a number keeps what there is",
            AccuracyWarning,
            stacklevel=2,
        )
    with blas_threads(1):
        info = run_info(begin, method, options=options, **more)
        return _result(whole, factors, watch, offset, scale, verdict, found, info)


def _fitted(problem: Problem, method: str, start: Factors | None, watch: Watch) -> Factors:
    observed = problem.observed
    if not observed.count or (problem.loss != "logit" and not observed.norm):
        (m, n), dtype = observed.shape, observed.dtype
        zero = Factors(np.zeros((m, problem.width), dtype), np.zeros((n, problem.width), dtype))
        watch.reason = "residual"  # without rows or columns there is nothing to do
        if observed.count:
            watch(method, zero, residual=0.0, change=0.0)
        return zero
    factors = method_named(method)(problem, start, watch)
    ended = watch.reason in {"change", "stagnated"}
    if start is None and ended and method in _LEARNING and died_out(problem, factors):
        # At first all of the values count as noise; for few of them that may be too much.
        watch.go_on(forget=True)
        factors = method_named(method)(problem, spectral_start(problem, steps=4), watch)
    if problem.held_out is None or watch.best is None or watch.reason == "residual":
        return factors
    return watch.best


def _with_all(whole: Problem, method: str, factors: Factors, watch: Watch) -> Factors:
    """Fit all entries, from the fit to a part of them, or with the penalty that it has chosen."""
    if method == "soft-impute" and whole.ridge is None:
        chosen = factors.penalties[0]
        assert chosen is not None
        whole = replace(whole, ridge=float(chosen.matrix[0, 0]))
        return method_named(method)(whole, None, watch)
    whole = replace(whole, rank=factors.rank - whole.row_bias - whole.col_bias)  # may be lower now
    # These begin anew whatever they are given.
    method = "als-cg" if method in {"auto", "increment", "irls"} else method
    return method_named(method)(whole, factors, watch)


def _start(
    init: Any, given: tuple[Host, Host] | None, problem: Problem, scale: float
) -> Factors | None:
    """Return the factors to begin from; None is the start of the method."""
    if given is None:
        return random_start(problem) if init == "random" else None
    (U, V), (m, n) = given, problem.observed.shape
    if U.shape != (m, problem.rank) or V.shape != (n, problem.rank):
        raise InputError(
            f"`init` must hold factors of shape {(m, problem.rank)} and {(n, problem.rank)}, "
            f"got {U.shape} and {V.shape}"
        )
    U, V = (part.astype(problem.observed.dtype) * scale**-0.5 for part in (U, V))
    first = mean_biases(problem)
    if isinstance(init, CompletionResult):
        known = (init.row_bias, init.col_bias)
        pairs = zip(first, known, strict=True)
        row, column = (b if b is None or k is None else k / scale for b, k in pairs)
        first = row, column
    return with_biases(problem, Factors(U, V), first)


def _result(
    problem: Problem,
    factors: Factors,
    watch: Watch,
    offset: float,
    scale: float,
    verdict: Verdict,
    found: Diagnostics,
    info: Mapping[str, Any],
) -> CompletionResult:
    """Bring the factors into the form of singular vectors, and undo the scaling."""
    if problem.nonneg:
        return _nonnegative_result(problem, factors, watch, scale, verdict, found, info)
    k = factors.rank - problem.row_bias - problem.col_bias
    first = int(problem.row_bias)
    inner = slice(first, first + k)
    Q, R = factored(factors.U[:, inner])
    P, T = factored(factors.V[:, inner])
    left, s, right = np.linalg.svd(R @ T.T)
    times(Q, left, Q)
    times(P, right.T, P)
    U, V = Q, P
    peak = V[np.argmax(np.abs(V), axis=0), np.arange(k)] if V.size else np.ones(k)
    signs = np.where(peak < 0, -1.0, 1.0)
    U *= signs
    V *= signs
    dtype = problem.observed.dtype
    bias = scale * problem.unit
    signed = signs[:, None]
    penalties = (
        _penalty(problem, factors, 0, signed * right @ T),
        _penalty(problem, factors, 1, signed * left.T @ R),
    )
    return CompletionResult(
        U=U.astype(dtype, copy=False),
        s=_rescaled(s, scale, dtype),
        V=V.astype(dtype, copy=False),
        offset=offset,
        row_bias=factors.U[:, 0] * dtype.type(bias) if problem.row_bias else None,
        col_bias=factors.V[:, -1] * dtype.type(bias) if problem.col_bias else None,
        history=_history(watch, scale),
        converged=verdict.converged,
        reason=verdict.reason,
        diagnostics=found,
        info=info,
        penalties=penalties,
        loss=problem.loss,
        threshold=_threshold(problem, factors, scale),
    )


def _nonnegative_result(
    problem: Problem,
    factors: Factors,
    watch: Watch,
    scale: float,
    verdict: Verdict,
    found: Diagnostics,
    info: Mapping[str, Any],
) -> CompletionResult:
    """Scale the columns of the factors to unit norm, and sort them."""
    norms = [np.linalg.norm(part.astype(np.float64), axis=0) for part in (factors.U, factors.V)]
    order = np.argsort(-norms[0] * norms[1], kind="stable")
    dtype = problem.observed.dtype
    U, V = (
        (part / np.where(norm > 0, norm, 1))[:, order].astype(dtype)
        for part, norm in zip((factors.U, factors.V), norms, strict=True)
    )
    penalties = (
        _penalty(problem, factors, 0, np.diag(norms[1])[order]),
        _penalty(problem, factors, 1, np.diag(norms[0])[order]),
    )
    return CompletionResult(
        U=U,
        s=_rescaled((norms[0] * norms[1])[order], scale, dtype),
        V=V,
        offset=0.0,
        row_bias=None,
        col_bias=None,
        history=_history(watch, scale),
        converged=verdict.converged,
        reason=verdict.reason,
        diagnostics=found,
        info=info,
        penalties=penalties,
        nonneg=True,
    )


def _rescaled(s: Host, scale: float, dtype: np.dtype[Any]) -> Host:
    """Return singular values in the units of the data."""
    with np.errstate(over="ignore"):
        values: Host = (s * scale).astype(dtype)
    if not np.isfinite(values).all():
        raise NumericalError(
            f"the singular values of the fit overflow {dtype}: pass values that are smaller"
        )
    return values


def _threshold(problem: Problem, factors: Factors, scale: float) -> float:
    """Return the residual from which on entries count less, in the units of the data."""
    if problem.loss != "huber":
        return np.inf
    return scale * huber_threshold(factors.residual(problem.observed))


def _penalty(problem: Problem, factors: Factors, side: int, change: Host) -> Penalty | None:
    """Return what rows of one side cost, as coefficients of the singular vectors of the other.

    `change` makes those of rows of the factor. The bias comes last; scales cancel.
    """
    k = change.shape[0]
    biased = problem.row_bias if side == 0 else problem.col_bias
    size = k + biased
    penalty = factors.penalties[side]
    if penalty is None:
        if not problem.ridge:
            return None
        both = [np.zeros((size, size)), problem.ridge * np.eye(size)]
        penalty = Penalty(*(both if problem.per_entry else both[::-1]))
    whole = np.zeros((size, size))
    first = int(biased and side == 0)
    whole[:k, first : first + k] = change
    if biased:
        whole[-1, 0 if side == 0 else -1] = problem.unit
    penalty = penalty.into(whole)
    return Penalty(problem.weight * penalty.matrix, penalty.per_entry)


def _history(watch: Watch, scale: float) -> tuple[Record, ...]:
    """Return the steps with errors in the units of the data."""
    return tuple(replace(step, held_out=scale * step.held_out) for step in watch.history)
