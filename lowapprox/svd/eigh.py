"""Leading eigenpairs of a Hermitian matrix."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowapprox._core.checks import checked_choice
from lowapprox._core.errors import InputError
from lowapprox._core.matrix import MatrixLike, to_host
from lowapprox._core.progress import Reporter
from lowapprox._core.rng import as_generator
from lowapprox._core.threads import blas_threads
from lowapprox._core.typing import Array, MatrixInput
from lowapprox._core.views import MatrixView, normalize
from lowapprox._subspace.lanczos import Lanczos
from lowapprox._subspace.stopping import grow
from lowapprox.svd._certify import CERTIFICATES, certified, nothing
from lowapprox.svd._methods import Factors, Task, checked_request
from lowapprox.svd.direct import cut_full, refuse_dense
from lowapprox.svd.krylov import affordable_dim, block_size, stopping_rule
from lowapprox.svd.result import Factorization
from lowapprox.svd.signs import fix_signs
from lowapprox.svd.skeleton import index_array
from lowapprox.svd.spectral import hermitian_operator, reconstruct, square

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

    from lowapprox._core.progress import Progress
    from lowapprox._core.typing import RNGInput

__all__ = ["EighResult", "randomized_eigh"]

_METHODS = ("auto", "krylov", "direct")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EighResult(Factorization):
    """Eigenpairs ``A ~ V @ diag(w) @ V^H`` of largest modulus, with their error.

    Unpacks as ``w, V = result``.

    Attributes
    ----------
    w : array, shape (k,)
        Eigenvalues, real, of descending modulus.
    V : array, shape (n, k)
        Eigenvectors, orthonormal columns.
    rank : int
        Numerical rank among the k values: the number above ``n * eps * |w[0]|``.
    error : float
        ``||A - V diag(w) V^H||`` in `norm`; NaN when unknown.
    error_kind : {"exact", "estimate", "bound"}
        "exact" up to rounding, a statistical "estimate", or an upper "bound".
    residuals : numpy.ndarray, shape (k,)
        ``||A v_i - w_i v_i||``. Some eigenvalue of `A` lies within ``residuals[i]`` of ``w[i]``.
    converged : bool
        Whether the requested criterion was met.
    passes : int
        Passes over `A` in products. Reading the entries of an array before, for their norm, is not
        counted.
    matvecs : int
        Columns multiplied by `A`.
    info : Mapping
        Method and why it was chosen, dimensions, seconds of the phases, threads.
    norm : {"fro", "spectral"}
        The norm of `error`.
    fro_norm : float
        ``||A||_F``, NaN when unknown.
    error_bound : float or None
        Upper bound of the spectral error, wrong with probability `failure_probability` at most.
    failure_probability : float or None
        None without a bound.
    """

    w: Array
    V: Array

    _shown: ClassVar[tuple[str, ...]] = (
        "w",
        "V",
        "rank",
        "error",
        "error_kind",
        "converged",
        "passes",
    )

    def __iter__(self) -> Iterator[Array]:
        return iter((self.w, self.V))

    def reconstruct(self) -> Array:
        """Return ``V @ diag(w) @ V^H``, shape (n, n)."""
        return reconstruct(self.V, self.w)

    def as_linear_operator(self) -> LinearOperator:
        """Return the approximation as a `scipy.sparse.linalg.LinearOperator`."""
        return hermitian_operator(to_host(self.V), to_host(self.w))


def randomized_eigh(
    A: MatrixInput,
    rank: int | None = None,
    *,
    tol: float | None = None,
    norm: str = "fro",
    method: str = "auto",
    accuracy: str = "balanced",
    oversample: int | None = None,
    passes: int | None = None,
    certify: str = "free",
    rng: RNGInput = None,
    callback: Callable[[Progress], Any] | None = None,
    progress: bool = False,
) -> EighResult:
    """Compute the eigenpairs of largest modulus of a Hermitian matrix, and how wrong they are.

    Parameters
    ----------
    A : array, sparse array or linear operator, shape (n, n)
        Hermitian, definite or not. Of an operator only forward products are used.
    rank : int, optional
        Number of eigenpairs, in [1, n]. Together with `tol` it is the most that may be returned.
        One of the two is needed.
    tol : float, optional
        Relative error to reach, in (0, 1): ``||A - V diag(w) V^H|| <= tol * ||A||`` in `norm`, with
        as few eigenpairs as possible.
    norm : {"fro", "spectral", "residual"}
        What `tol` and ``result.error`` measure. "residual" (needs `rank`) asks that the largest
        residual be at most ``tol * abs(w[0])``; the error is then Frobenius.
    method : {"auto", "krylov", "direct"}
        "krylov" is block Lanczos, "direct" cuts a full LAPACK decomposition. "auto" takes "direct"
        for small matrices and large ranks.
    accuracy : {"fast", "balanced", "high", "full"}
        Where "krylov" stops when `tol` does not say: largest residual at most 0.15, 0.02 or 0.001
        of the last wanted modulus, or at rounding level.
    oversample : int, optional
        Least extra dimensions of the Krylov space.
    passes : int, optional
        The most passes over `A`. When they do not suffice, the result has ``converged=False``.
    certify : {"free", "probe", "none"}
        As in `randomized_svd`.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Passed to `numpy.random.default_rng`.
    callback : callable, optional
        Called with a `Progress` record at each check; returning True stops the work.
    progress : bool, default False
        Show progress on standard error.

    Returns
    -------
    EighResult
        Unpacks as ``w, V``; in the namespace, device and precision of `A`.

    Raises
    ------
    InputError
        If `A` is not square or not finite, is seen not to be Hermitian, neither `rank` nor `tol` is
        given, or an argument is out of range.
    InputTypeError
        If the dtype of `A` has no computing precision.
    NumericalError
        If a product with an operator contains NaN or infinity.

    Warns
    -----
    ConvergenceWarning
        If the criterion was not met; the result says ``converged=False``.

    Notes
    -----
    Multiplies A by about ``1.5 k`` to ``4 k`` columns (the dimension D of the space) and
    orthogonalizes in ``2 n D^2`` operations. Residuals are a by-product. The Frobenius error
    follows exactly from ``||A||_F^2 - sum(w**2)``, because ``V diag(w) V^H`` is an orthogonal
    projection of A.

    Whether `A` is Hermitian is checked on the products, to ``10 sqrt(eps)`` of its norm.

    References
    ----------
    .. [1] Golub, Underwood (1977), The block Lanczos method for computing eigenvalues.
    .. [2] Musco, Musco (2015), arXiv:1504.05477.
    .. [3] Tropp, Webber (2023), arXiv:2306.12418.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.svd import randomized_eigh
    >>> A = np.diag([1.0, -5.0, 2.0, 0.5])
    >>> w, V = randomized_eigh(A, 2, rng=0)
    >>> w.round(12)
    array([-5.,  2.])
    """
    start = time.perf_counter()
    op: MatrixLike = _SelfAdjoint(square(A))
    request = checked_request(op.shape, rank, tol, norm, accuracy, oversample, passes)
    method = checked_choice(method, "method", _METHODS)
    certify = checked_choice(certify, "certify", CERTIFICATES)
    op, exponent, fro2 = normalize(op)
    if 0 in op.shape or fro2 == 0.0:
        k, shared = nothing(op, request, start)
        w = op.from_numpy(np.zeros(k), real=True)
        return EighResult(w=w, V=op.from_numpy(np.eye(op.shape[0], k)), **shared)
    reporter = Reporter(callback, progress)
    task = Task(op=op, fro2=fro2, gen=as_generator(rng), report=reporter, **request)
    chosen, why = _choose(task) if method == "auto" else (method, "asked for")
    if method == "direct":
        refuse_dense(task, method)
    factors = _direct(task) if chosen == "direct" else _krylov(task)
    reporter.close()
    shared = certified(task, factors, certify, exponent, start, method=chosen, why=why)
    signs = np.real(op.to_numpy(op.xp.sum(factors.U * _conj(op, factors.V), axis=0)))
    w = np.copysign(np.ldexp(factors.s, exponent), signs)
    return EighResult(w=op.from_numpy(w, real=True), V=factors.V, **shared)


class _SelfAdjoint(MatrixView):
    """A Hermitian matrix: adjoint products are products."""

    def mat(self, X: Array) -> Array:
        return self.base.mat(X)

    def rmat(self, Y: Array) -> Array:
        return self.base.mat(Y)

    def entries(self) -> Array:
        return self.base.entries()


def _choose(task: Task) -> tuple[str, str]:
    n = task.op.shape[0]
    if task.rank is not None and task.rank >= 0.35 * n:
        return "direct", "rank at least 0.35 n"
    if n <= (128 if task.op.kind == "dense" else 32):
        return "direct", "small"
    return "krylov", "fewest products"


def _krylov(task: Task) -> Factors:
    """Eigenpairs from a block Krylov space, in the form of singular triplets."""
    op = task.op
    n = op.shape[0]
    width = _block_size(task)
    expected = min(n, max(4 * task.cap, task.cap + 10 * width, 2 * task.cap + 64))
    if task.rank is None:
        expected = min(n, 16 * width)
    # Kernels and a threaded BLAS would fight for the cores between the sparse products.
    with blas_threads(1) if op.compiled else nullcontext():
        space = Lanczos(op, width, task.gen, expected)
        ritz, verdict, restarts = grow(
            space,
            stopping_rule(task, width),
            max_dim=min(max(expected, affordable_dim(op, n)), n),
            max_passes=task.passes,
            report=task.report,
        )
        size = min(verdict.size, task.cap)
        w, rows = space.vectors(ritz, size)
    residuals = np.hypot(ritz.residuals[:size], space.dropped)
    residuals += op.eps * float(ritz.s[0]) * np.sqrt(size)
    return _factors(
        task,
        w,
        rows.T,
        residuals,
        converged=verdict.done and (task.tol is None or verdict.value <= verdict.target),
        passes=space.passes,
        matvecs=space.matvecs,
        info={"block": width, "dimension": space.size, "restarts": restarts},
        next_value=float(ritz.s[size]) if size < ritz.s.shape[0] else 0.0,
    )


def _direct(task: Task) -> Factors:
    """Eigenpairs from the full decomposition."""
    op = task.op
    n = op.shape[0]
    entries = op.entries()
    skew = float(op.xp.max(op.xp.abs(entries - _conj(op, entries).T)))
    top = float(op.xp.max(op.xp.abs(entries)))
    if skew > 10.0 * float(np.sqrt(op.eps)) * top:
        raise InputError(f"`A` must be Hermitian, got a relative deviation of {skew / top:.1e}")
    w, V = op.xp.linalg.eigh(entries)
    values = op.to_numpy(w).astype(np.float64)
    order = np.argsort(-np.abs(values), kind="stable")
    size, met = cut_full(task, np.abs(values)[order])
    values, V = values[order], op.xp.take(V, index_array(op, order[:size]), axis=1)
    return _factors(
        task,
        values[:size],
        V,
        np.full(size, op.eps * abs(float(values[0])) * np.sqrt(n)),
        converged=met,
        passes=1,
        matvecs=n if op.kind != "dense" else 0,
        info={"dimension": n},
        next_value=abs(float(values[size])) if size < n else 0.0,
    )


def _factors(
    task: Task, w: np.ndarray[Any, Any], V: Array, residuals: np.ndarray[Any, Any], **rest: Any
) -> Factors:
    _, V = fix_signs(task.op, V[:0, :], V, "v")
    signs = task.op.from_numpy(np.where(w < 0, -1.0, 1.0), real=True)
    return Factors(U=V * signs, s=np.abs(w), V=V, residuals=residuals, **rest)


def _block_size(task: Task) -> int:
    """Columns a step: for many pairs of a dense matrix wide blocks, near the speed of GEMM."""
    width = block_size(task)
    if task.rank is None or task.op.kind != "dense":
        return width
    return max(width, min(48, task.rank // 5 // 8 * 8))


def _conj(op: MatrixLike, x: Array) -> Array:
    return op.xp.conj(x) if op.dtype.kind == "c" else x
