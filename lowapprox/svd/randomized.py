"""Truncated SVD: the public call."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lowapprox._core.checks import checked_choice
from lowapprox._core.errors import InputError
from lowapprox._core.matrix import MatrixLike, as_matrix
from lowapprox._core.progress import Reporter
from lowapprox._core.rng import as_generator
from lowapprox._core.typing import MatrixInput
from lowapprox._core.views import Centred, normalize, scaled
from lowapprox.svd._certify import CERTIFICATES, certified, nothing
from lowapprox.svd._methods import Factors, Spent, Task, checked_request
from lowapprox.svd.direct import direct, refuse_dense
from lowapprox.svd.gram import gram
from lowapprox.svd.krylov import krylov, krylov_up_to
from lowapprox.svd.result import SVDResult
from lowapprox.svd.signs import fix_signs
from lowapprox.svd.skeleton import adjoint
from lowapprox.svd.subspace import subspace

if TYPE_CHECKING:
    from lowapprox._core.progress import Progress
    from lowapprox._core.typing import RNGInput

__all__ = ["randomized_svd"]

_METHODS = ("auto", "krylov", "subspace", "single_pass", "gram", "direct")
_SIGNS = ("auto", "u", "v", "none")


def randomized_svd(
    A: MatrixInput,
    rank: int | None = None,
    *,
    tol: float | None = None,
    norm: str = "fro",
    method: str = "auto",
    accuracy: str = "balanced",
    oversample: int | None = None,
    passes: int | None = None,
    center: bool = False,
    sign: str = "auto",
    certify: str = "free",
    rng: RNGInput = None,
    callback: Callable[[Progress], Any] | None = None,
    progress: bool = False,
) -> SVDResult:
    """Compute the leading singular triplets of a matrix, and how wrong they are.

    Parameters
    ----------
    A : array, sparse array or linear operator, shape (m, n)
        Dense arrays of any array-API namespace, scipy.sparse of any format, or an object with
        matmat and rmatmat. Never modified; sparse input is never made dense.
    rank : int, optional
        Number of triplets, in [1, min(m, n)]. Together with `tol` it is the most that may be
        returned. One of the two is needed.
    tol : float, optional
        Relative error to reach, in (0, 1): ``||A - U diag(s) Vh|| <= tol * ||A||`` in `norm`, with
        as few triplets as possible.
    norm : {"fro", "spectral", "residual"}
        What `tol` and ``result.error`` measure. "residual" (needs `rank`) asks that the largest
        residual be at most ``tol * s[0]``; the error is then Frobenius.
    method : {"auto", "krylov", "subspace", "single_pass", "gram", "direct"}
        "krylov" is block Golub-Kahan, the work-horse; "subspace" iterates a wide block with dynamic
        shifts, in few passes; "single_pass" reads every row once; "gram" takes eigenvectors of
        ``A^H A``, for very tall matrices, and hands over to "krylov" what those cannot resolve;
        "direct" cuts a full LAPACK SVD. "auto" chooses by shape and kind;
        ``result.info["method"]`` says what was run in the end, ``result.info["why"]`` why.
    accuracy : {"fast", "balanced", "high", "full"}
        Where "krylov" and "subspace" stop when `tol` does not say: largest residual at most 0.15,
        0.02 or 0.001 of the last wanted value, or at rounding level.
    oversample : int, optional
        Extra columns of "subspace" (default ``max(10, rank / 2)``) and least extra dimensions of
        "krylov".
    passes : int, optional
        The most passes over `A`. When they do not suffice, the result has ``converged=False``; it
        is then no worse than that of [1]_ with as many passes and the columns of "subspace".
    center : bool, default False
        Subtract the column means (principal component analysis) without forming the difference.
    sign : {"auto", "u", "v", "none"}
        Make the first entry of (almost) largest modulus of each vector real and positive: in V for
        m >= n and in U else ("auto"), in U or in V; or leave the signs.
    certify : {"free", "probe", "none"}
        "free" reports the exact error where it costs nothing, and an estimate from 10 random
        products where ``||A||_F`` is unknown. "probe" adds an upper bound of the spectral error
        with its failure probability and a test for missed values (two passes of 12 columns).
        "none" makes no product beyond the method's own.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Passed to `numpy.random.default_rng`.
    callback : callable, optional
        Called with a `Progress` record at each check; returning True stops the work.
    progress : bool, default False
        Show progress on standard error.

    Returns
    -------
    SVDResult
        Unpacks as ``U, s, Vh``; in the namespace, device and precision of `A` (integers give
        float64, half precision float32, sparse and operators NumPy).

    Raises
    ------
    InputError
        If `A` is not finite or not two-dimensional, neither `rank` nor `tol` is given, or an
        argument is out of range.
    InputTypeError
        If the dtype of `A` has no computing precision, or an operator has no adjoint.
    NumericalError
        If a product with an operator contains NaN or infinity.

    Warns
    -----
    ConvergenceWarning
        If the criterion was not met; the result says ``converged=False``.

    Notes
    -----
    "krylov" multiplies A and A^H by about k + 3 b to 4 k columns each, b being 8 to 32, and
    orthogonalizes in ``2 (m + n) D^2`` operations for dimension D. Residuals are a by-product. The
    Frobenius error follows exactly from ``||A||_F^2 - sum(s**2)``, because A V = U diag(s) holds to
    rounding, or A^H U = V diag(s) when `passes` ran out or the callback ended the work; below
    ``1e-6 ||A||_F`` (1e-3 in single precision) that difference cancels, and the error is estimated
    by 10 random products. The residuals of work that was ended so are upper bounds, by a factor of
    2 to 20 as a rule; where ``||A||_F`` is unknown they rest on an estimate of what is left.

    "single_pass" keeps sketches; their memory and the bound of the error are those of
    `StreamingSVD`. It returns `rank` triplets also with `tol`, and the estimated error decides on
    ``converged``; in the spectral norm it is that of the Frobenius norm, which is no less. With
    `center` the rows are read once before, for the means.

    References
    ----------
    .. [1] Halko, Martinsson, Tropp (2011), arXiv:0909.4061.
    .. [2] Musco, Musco (2015), arXiv:1504.05477.
    .. [3] Tropp, Webber (2023), arXiv:2306.12418.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox import randomized_svd
    >>> A = np.outer(np.arange(6.0), np.ones(5)) + np.eye(6, 5)
    >>> result = randomized_svd(A, 2, rng=0)
    >>> U, s, Vh = result
    >>> bool(np.allclose(result.error, np.linalg.norm(A - U * s @ Vh)))
    True
    """
    start = time.perf_counter()
    op = as_matrix(A)
    request = checked_request(op.shape, rank, tol, norm, accuracy, oversample, passes)
    method = checked_choice(method, "method", _METHODS)
    sign = checked_choice(sign, "sign", _SIGNS)
    certify = checked_choice(certify, "certify", CERTIFICATES)
    chosen, why = _choose(op, request) if method == "auto" else (method, "asked for")
    if chosen == "krylov":
        op = op.with_kernels()
    exponent, fro2, mean = 0, None, None
    if method != "single_pass":  # which must not read the entries a first time
        op, exponent, fro2 = normalize(op)
    if center:
        op = Centred(op)
        mean = scaled(op.mean, exponent)
        if not np.isfinite(op.to_numpy(op.mean)).all():  # "single_pass" has not looked before
            raise InputError("`A` must contain finite numbers with finite sums of columns")
        fro2 = None if fro2 is None else op.fro2()
    if 0 in op.shape or fro2 == 0.0:
        k, shared = nothing(op, request, start)
        U, Vh = (op.from_numpy(x) for x in (np.eye(op.shape[0], k), np.eye(k, op.shape[1])))
        return SVDResult(U, op.from_numpy(np.zeros(k), real=True), Vh, mean, **shared)
    wide = op.shape[0] < op.shape[1]
    reporter = Reporter(callback, progress)
    task = Task(
        op=op.H if wide else op, fro2=fro2, gen=as_generator(rng), report=reporter, **request
    )
    factors, chosen, why = _run(task, chosen, why, automatic=method == "auto")
    reporter.close()
    shared = certified(task, factors, certify, exponent, start, method=chosen, why=why)
    U, V = (factors.V, factors.U) if wide else (factors.U, factors.V)
    if sign != "none":
        side = ("u" if wide else "v") if sign == "auto" else sign
        U, V = fix_signs(task.op, U, V, side)
    s = op.from_numpy(np.ldexp(factors.s, shared["info"]["exponent"]), real=True)
    return SVDResult(U, s, adjoint(op, V), mean, **shared)


def _choose(op: MatrixLike, request: Mapping[str, Any]) -> tuple[str, str]:
    """Choose a method by kind and shape."""
    m, n = sorted(op.shape, reverse=True)
    rank, passes = request["rank"], request["passes"]
    if passes == 1 and rank is not None:
        return "single_pass", "one pass"
    if rank is not None and rank >= 0.35 * n:
        return "direct", "rank at least 0.35 min(m, n)"
    if n <= (128 if op.kind == "dense" else 32):
        return "direct", "small"
    tall = m >= 8 * n and n <= 16 * (rank or 0)
    allowed = np.inf if passes is None else passes
    loose = request["accuracy"] in {"fast", "balanced"}
    if op.kind == "dense" and tall and loose and allowed >= 4:
        return "gram", "m >= 8 n and n <= 16 rank"
    if allowed <= 6 and rank is not None:
        return "subspace", "few passes"
    return "krylov", "fewest products"


def _run(task: Task, method: str, why: str, *, automatic: bool) -> tuple[Factors, str, str]:
    """Run a method, or the one that takes over from it."""
    if method == "single_pass":
        from lowapprox.svd.single_pass import single_pass

        return single_pass(task), method, why
    if method in {"direct", "gram"} and not automatic:
        refuse_dense(task, method)
    spent = Spent(0, 0)
    out: Factors | Spent = spent
    if method == "gram":
        out = gram(task)
        if isinstance(out, Factors):
            return out, method, why
        spent, method, why = out, "krylov", "A^H A lost digits that the wanted values need"
        if task.passes is not None:
            task = replace(task, passes=task.passes - spent.passes)
    if method == "krylov" and automatic and task.op.kind == "dense" and task.passes is None:
        out = krylov_up_to(task, min(task.op.shape) // 2)
        if isinstance(out, Spent):
            spent = Spent(spent.passes + out.passes, spent.matvecs + out.matvecs)
            method, why = "direct", "the Krylov space outgrew half of min(m, n)"
    if isinstance(out, Spent):
        out = {"krylov": krylov, "subspace": subspace, "direct": direct}[method](task)
    total = replace(out, passes=out.passes + spent.passes, matvecs=out.matvecs + spent.matvecs)
    return total, method, why
