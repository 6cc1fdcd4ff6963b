"""Matrix completion: the public call."""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lowapprox._core.checks import checked_choice, checked_int, checked_rank, checked_tol
from lowapprox._core.errors import ConvergenceWarning
from lowapprox._core.progress import Reporter
from lowapprox._core.results import run_info
from lowapprox._core.rng import as_generator
from lowapprox._core.threads import blas_threads
from lowapprox._core.typing import Array, MatrixInput
from lowapprox.completion.observations import Compressed, Observations
from lowapprox.completion.problem import Factors, Method, Problem, Watch
from lowapprox.completion.reading import read
from lowapprox.completion.result import CompletionResult

if TYPE_CHECKING:
    from lowapprox._core.progress import Progress
    from lowapprox._core.typing import RNGInput

__all__ = ["METHODS", "complete", "method_named"]

# Where each method is: files are read when the method is asked for.
METHODS: Mapping[str, str] = {
    "als-cg": "als:als_cg",
    "als-chol": "als:als_chol",
    "gauss-newton": "gauss_newton:gauss_newton",
    "irls": "irls:irls",
    "scaled-gd": "scaled_gd:scaled_gd",
    "soft-impute": "soft_impute:soft_impute",
}


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
    A : sparse array, array, or tuple (rows, columns, values)
        Stored entries of a sparse array are observed, stored zeros too. NaN in a dense array is
        missing, and so is what is masked in a `numpy.ma` array. Triples need `shape`. It is in
        host memory and never modified.
    rank : int or "auto", optional
        In [1, min(m, n)]. None and "auto" choose it by the error at entries held out.
    mask : array of bool, shape (m, n), optional
        Which entries of a dense `A` are observed.
    shape : tuple of int, optional
        Of the matrix that triples belong to.
    method : {"auto", "als-cg", "als-chol", "gauss-newton", "irls", "scaled-gd", "soft-impute"}
        "als-cg" alternates between the factors with a few steps of conjugate gradients for each
        row, at a cost linear in the rank; "als-chol" solves exactly. "gauss-newton" and "irls" are
        of second order, for few entries and ill-conditioned matrices. ``result.history`` tells
        what "auto" has run.
    reg : "auto" or float, default "auto"
        Minimize ``sum w (x_ij - a_ij)^2 + reg (|U|^2 + |V|^2)``, biases being columns of U and V.
        "auto" learns the noise and the covariance of the rows of each factor from the data; it
        vanishes for exact data.
    center : bool, default False
        Subtract the mean of the observed values.
    row_bias, col_bias : bool, default False
        Fit a number for each row, each column, besides the product.
    nonneg : bool, default False
        Keep the factors nonnegative.
    loss : {"squared", "huber", "logit"}
    weights : array, optional
        Nonnegative, one for each observed entry, in the form of `A`. Zero is not observed.
    duplicates : {"error", "mean", "last"}
        What to do with entries that are given more than once.
    init : "spectral", "random", (U, V) or CompletionResult
        Where to begin.
    max_iter : int, optional
        Number of recorded steps at most.
    tol : float, optional
        Relative change of the product at which to stop, by default 1e-4 for noisy data.
    validation : float or tuple (rows, columns, values), optional
        The share of the observed entries to hold out, or entries to judge the fit by.
    callback : callable, optional
        Called with a `Progress` record after each step; returning True stops the work.
    progress : bool, default False
        Draw a bar.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Passed to `numpy.random.default_rng`.

    Returns
    -------
    CompletionResult

    Raises
    ------
    InputError
        If an argument is out of its range, or an observed value is NaN or infinite.
    InputTypeError
        For dtypes and inputs without support.

    Warns
    -----
    ConvergenceWarning
        If the work ended before the tolerance was met.

    Notes
    -----
    A sweep of "als-cg" with s steps costs ``8 (1 + s) N k`` operations for N observed entries and
    rank k, and ``O((m + n) k^2)`` for the change of coordinates.

    References
    ----------
    .. [1] Gu, Song, Yin, Zhang (2024), "Low rank matrix completion via robust alternating
       minimization in nearly linear time", ICLR, arXiv:2302.11068.
    .. [2] Jain, Netrapalli, Sanghavi (2013), "Low-rank matrix completion using alternating
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
    observed = read(A, mask=mask, shape=shape, weights=weights, duplicates=duplicates)
    k = checked_rank(5 if rank in {None, "auto"} else rank, observed.shape)
    method = checked_choice(method, "method", ("auto", *METHODS))
    gen = as_generator(rng)
    offset, scale, observed = _normalized(observed, center=center)
    problem = Problem(
        observed=observed,
        rank=k,
        ridge=None if isinstance(reg, str) else float(reg) / scale,
        tol=1e-6 if tol is None else checked_tol(tol),
        max_iter=300 if max_iter is None else checked_int(max_iter, "max_iter", 1),
        rng=gen,
        row_bias=bool(row_bias),
        col_bias=bool(col_bias),
        unit=scale**-0.5,
    )
    reporter = Reporter(callback, progress)
    watch = Watch(problem, reporter)
    with blas_threads(1):  # blocks go to the threads; pools of BLAS would be in their way
        factors = method_named("als-cg" if method == "auto" else method)(problem, None, watch)
    reporter.close()
    converged = watch.reason in {"residual", "change", "held-out"}
    if not converged:
        warnings.warn(
            f"`complete` stopped by {watch.reason}; the result has converged=False",
            ConvergenceWarning,
            stacklevel=2,
        )
    return _result(problem, factors, watch, offset, scale, converged, run_info(begin, method))


def _result(
    problem: Problem,
    factors: Factors,
    watch: Watch,
    offset: float,
    scale: float,
    converged: bool,
    info: Mapping[str, Any],
) -> CompletionResult:
    """Bring the factors into the form of singular vectors, and undo the scaling."""
    k = problem.rank
    Q, R = np.linalg.qr(factors.U[:, :k].astype(np.float64))
    P, T = np.linalg.qr(factors.V[:, :k].astype(np.float64))
    left, s, right = np.linalg.svd(R @ T.T)
    U, V = Q @ left, P @ right.T
    peak = V[np.argmax(np.abs(V), axis=0), np.arange(k)] if V.size else np.ones(k)
    signs = np.where(peak < 0, -1.0, 1.0)
    dtype = problem.observed.dtype
    bias = scale * problem.unit
    return CompletionResult(
        U=(U * signs).astype(dtype),
        s=(s * scale).astype(dtype),
        V=(V * signs).astype(dtype),
        offset=offset,
        row_bias=factors.U[:, k] * dtype.type(bias) if problem.row_bias else None,
        col_bias=factors.V[:, -1] * dtype.type(bias) if problem.col_bias else None,
        history=tuple(watch.history),
        converged=converged,
        reason=watch.reason,
        diagnostics={"oversampling": problem.observed.oversampling(k)},
        info=info,
    )


def _normalized(observed: Observations, *, center: bool) -> tuple[float, float, Observations]:
    """Return the mean, the scale and what is left of the values."""
    rows, columns = observed.rows, observed.columns
    mean = (
        float(np.average(rows.values, weights=rows.weights)) if center and observed.count else 0.0
    )
    shifted = rows.values - mean
    size = float(np.sqrt(np.mean(shifted.astype(np.float64) ** 2))) if observed.count else 0.0
    scale = 4.0 ** np.round(np.log2(size) / 2) if size else 1.0  # exact, and so is its root

    def changed(side: Compressed) -> Compressed:
        return replace(side, values=((side.values - mean) / scale).astype(observed.dtype))

    return mean, scale, Observations(observed.shape, changed(rows), changed(columns))
