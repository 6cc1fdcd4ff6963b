"""Randomized Nystrom approximation of positive semidefinite matrices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from lowapprox._core.checks import check_home, checked_float, checked_rank
from lowapprox._core.errors import InputError, NumericalError
from lowapprox._core.matrix import MatrixLike, to_host
from lowapprox._core.results import Result, run_info
from lowapprox._core.rng import as_generator, standard_normal
from lowapprox._core.typing import Array, MatrixInput, RNGInput
from lowapprox._core.views import normalize
from lowapprox._subspace.algebra import double
from lowapprox._subspace.orth import orthonormalize, random_rows
from lowapprox.svd.spectral import (
    adjoint,
    hermitian_operator,
    read_diagonal,
    reconstruct,
    square,
)

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

__all__ = ["NystromResult", "nystrom"]

Host = np.ndarray[Any, Any]

_PROBES = 10


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NystromResult(Result):
    """Low-rank approximation ``A ~ U @ diag(w) @ U^H`` of a positive semidefinite matrix.

    Attributes
    ----------
    U : array, shape (n, k)
        Orthonormal columns.
    w : array, shape (k,)
        Eigenvalues of the approximation, descending, nonnegative.
    trace_error : float
        ``trace(A - U diag(w) U^H)``, which bounds the spectral and the Frobenius error since the
        difference is positive semidefinite.
    error_kind : {"exact", "estimate"}
        "exact" up to rounding when the diagonal of `A` could be read, else an unbiased estimate
        from 10 probe vectors.
    converged : bool
        False when rounding made the core matrix indefinite, so that directions were dropped.
    passes : int
        Passes over `A`.
    matvecs : int
        Columns multiplied by `A`.
    info : Mapping
        Sketch size, shift, seconds, threads.
    """

    U: Array
    w: Array
    trace_error: float
    error_kind: Literal["exact", "estimate"]
    converged: bool
    passes: int
    matvecs: int
    info: Mapping[str, Any]

    _shown: ClassVar[tuple[str, ...]] = ("U", "w", "trace_error", "error_kind", "converged")

    def reconstruct(self) -> Array:
        """Return ``U @ diag(w) @ U^H``, shape (n, n)."""
        return reconstruct(self.U, self.w)

    def as_linear_operator(self) -> LinearOperator:
        """Return the approximation as a `scipy.sparse.linalg.LinearOperator`."""
        return hermitian_operator(to_host(self.U), to_host(self.w))

    def solve(self, b: Array, mu: float) -> Array:
        """Solve ``(U diag(w) U^H + mu I) x = b``.

        Parameters
        ----------
        b : array, shape (n,) or (n, r)
            In the namespace of the result.
        mu : float
            Positive.

        Returns
        -------
        array, shape of b

        Raises
        ------
        InputError
            If `mu` is not positive and finite, or `b` has another number of rows.
        InputTypeError
            If `b` and the result belong to different namespaces or devices.

        Notes
        -----
        Costs ``4 n k`` operations for each right-hand side.
        """
        mu = _checked_mu(mu)
        if mu == 0.0:
            raise InputError("`mu` must be positive, got 0.0")
        n = int(self.U.shape[0])
        if b.ndim not in {1, 2} or int(b.shape[0]) != n:
            raise InputError(f"`b` must have shape ({n},) or ({n}, r), got {tuple(b.shape)}")
        check_home(b, self.U, "b")
        panel = b[:, None] if b.ndim == 1 else b
        # (w + mu)^-1 - mu^-1 = -w / (mu (w + mu)), without cancellation.
        shrink = self.w / (self.w + mu)
        x = (panel - self.U @ (shrink[:, None] * (adjoint(self.U) @ panel))) / mu
        return x[:, 0] if b.ndim == 1 else x

    def preconditioner(self, mu: float) -> LinearOperator:
        """Return the Nystrom preconditioner of ``A + mu I``, as an approximate inverse.

        Parameters
        ----------
        mu : float
            Nonnegative; the regularization of the system.

        Returns
        -------
        scipy.sparse.linalg.LinearOperator, shape (n, n)
            For the argument `M` of `scipy.sparse.linalg.cg`. It is
            ``(w_k + mu) U (diag(w) + mu I)^-1 U^H + (I - U U^H)``.

        Raises
        ------
        InputError
            If `mu` is negative, or zero while an eigenvalue of the approximation is zero.

        References
        ----------
        .. [1] Z. Frangella, J. A. Tropp, M. Udell (2021), Randomized Nystrom preconditioning,
           arXiv:2110.02820.
        """
        mu = _checked_mu(mu)
        w = to_host(self.w).astype(np.float64)
        last = float(w[-1]) + mu if w.size else 1.0
        if w.size and last <= w.size * float(np.finfo(to_host(self.w).dtype).eps) * float(w[0]):
            raise InputError(
                "`mu` must be positive beyond rounding when the approximation is singular, "
                f"got {mu:.3g}"
            )
        return hermitian_operator(to_host(self.U), last / (w + mu), rest=1.0)


def nystrom(
    A: MatrixInput, rank: int, *, shift: float | Literal["auto"] = "auto", rng: RNGInput = None
) -> NystromResult:
    """Approximate a positive semidefinite matrix from one product with a random matrix.

    Parameters
    ----------
    A : array, scipy.sparse array or linear operator, shape (n, n)
        Positive semidefinite. It is never modified.
    rank : int
        Number of eigenpairs of the approximation, between 1 and n.
    shift : float or "auto", default "auto"
        Multiple of the identity that is added for stability and taken off the eigenvalues again.
        By default ``sqrt(n) * eps * ||A G||``, which is of the size of rounding.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Passed to `numpy.random.default_rng`.

    Returns
    -------
    NystromResult

    Raises
    ------
    InputError
        If `A` is not square, contains NaN or infinity or is seen not to be Hermitian, or an
        argument is out of range.
    InputTypeError
        If the dtype of `A` has no computing precision, or the type of an argument is wrong.
    NumericalError
        If `A` is seen to have a negative eigenvalue, or a product with an operator contains NaN or
        infinity.

    Warns
    -----
    AccuracyWarning
        If rounding made the core matrix indefinite and directions were dropped.

    Notes
    -----
    One product with a block of ``l = rank + max(10, rank / 5)`` orthonormal random vectors G gives
    ``Y = A G`` and the approximation ``Y (G^H Y)^+ Y^H``, which is below `A` in the semidefinite
    order (up to the shift) and is cut to `rank` [1]_. The cost is that product and ``4 n l**2``
    operations. The expected trace error is at most ``1 + k / (l - k - 1)`` times the best one for
    rank k. For eigenpairs of nearly optimal error use `randomized_eigh`.

    An indefinite matrix is found when its compression, its residual diagonal or (for an operator)
    ten random quadratic forms of the residual are negative beyond rounding.

    References
    ----------
    .. [1] J. A. Tropp, A. Yurtsever, M. Udell, V. Cevher (2017), Fixed-rank approximation of a
       positive-semidefinite matrix from streaming data, arXiv:1706.05736.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.svd import nystrom
    >>> B = np.random.default_rng(0).standard_normal((100, 5))
    >>> res = nystrom(B @ B.T, 5, rng=0)
    >>> res.U.shape, bool(np.allclose(res.reconstruct(), B @ B.T))
    ((100, 5), True)
    """
    start = perf_counter()
    op = square(A)
    rank = checked_rank(rank, op.shape)
    amount = None if shift == "auto" else _checked_mu(shift, "shift")
    gen = as_generator(rng)
    return _Sketch(op, rank, gen).finish(rank, amount, start)


class _Sketch:
    """``Y = A G`` for orthonormal columns G, with probes beside it; all kept as rows."""

    def __init__(self, op: MatrixLike, rank: int, gen: np.random.Generator) -> None:
        n = op.shape[0]
        diagonal = read_diagonal(op)
        op, self.exponent, _ = normalize(op)
        self.op, self.gen = op, gen
        self.size = min(n, rank + max(10, rank // 5))
        self.G = orthonormalize(op, random_rows(op, self.size, n, gen), 0.0, gen).rows
        self.diagonal: Host | None = None
        if diagonal is not None:
            self.diagonal = np.ldexp(_real_diagonal(diagonal, op.eps), -self.exponent)
        probes = 0 if diagonal is not None else _PROBES
        self.W = op.from_numpy(standard_normal(gen, (probes, n), op.dtype))
        stacked = op.xp.concat([self.G, self.W], axis=0) if probes else self.G
        product = op.mat(stacked.T).T
        self.Y, self.AW = product[: self.size, :], product[self.size :, :]
        self.matvecs = self.size + probes

    def finish(self, rank: int, shift: float | None, start: float) -> NystromResult:
        op, exponent = self.op, self.exponent
        gram = double(op.to_numpy(self.Y @ adjoint(self.Y)))
        top = float(np.sqrt(np.linalg.norm(gram, 2))) if gram.size else 0.0  # |A G|
        rounding = math.sqrt(max(op.shape[0], 1)) * op.eps * top
        shift = rounding if shift is None else math.ldexp(shift, -exponent)
        Y = self.Y + shift * self.G
        solved, met = _divide(double(op.to_numpy(Y @ adjoint(self.G))), shift, top, op.eps)
        # The approximation is B B^H with B = Y (L^-1)^H, kept as rows.
        block = orthonormalize(op, op.from_numpy(solved) @ Y, 0.0, self.gen)
        P, s, _ = np.linalg.svd(block.factor.T)
        w = np.maximum(s**2 - shift, 0.0)[:rank]
        rows = op.from_numpy(P.T[:rank]) @ block.rows
        error, kind = self._error(rows, w, 1e3 * rounding + shift)
        return NystromResult(
            U=rows.T,
            w=op.from_numpy(np.ldexp(w, exponent), real=True),
            trace_error=math.ldexp(error, exponent),
            error_kind=kind,
            converged=met,
            passes=1,
            matvecs=self.matvecs,
            info=run_info(
                start, "nystrom", sketch_size=self.size, shift=math.ldexp(shift, exponent)
            ),
        )

    def _error(
        self, rows: Array, w: Host, rounding: float
    ) -> tuple[float, Literal["exact", "estimate"]]:
        """Trace of the residual, whose diagonal or quadratic forms must not be negative."""
        op = self.op
        weights = op.from_numpy(w, real=True)
        if self.diagonal is not None:
            size2 = op.to_numpy(op.xp.sum(op.xp.abs(rows) ** 2 * weights[:, None], axis=0))
            left = self.diagonal - size2
            total = float(left.sum())
        else:
            inner = op.to_numpy(rows @ adjoint(self.W))  # w . conj(u) up to conjugation
            forms = op.to_numpy(op.xp.sum(self.AW * _conj(op, self.W), axis=1))
            lengths = op.to_numpy(op.xp.sum(op.xp.abs(self.W) ** 2, axis=1))
            left = (forms.real - (w[:, None] * np.abs(inner) ** 2).sum(axis=0)) / lengths
            total = float(left.mean()) * op.shape[0]
        if (left < -rounding).any():
            raise NumericalError(
                "`A` must be positive semidefinite, got the negative quadratic form "
                f"of the residual, {math.ldexp(float(left.min()), self.exponent):.3g}"
            )
        return max(total, 0.0), "estimate" if self.diagonal is None else "exact"


def _divide(core: Host, shift: float, top: float, eps: float) -> tuple[Host, bool]:
    """Return R with ``R^T conj(R) = core^-1`` in the row convention, and whether it is exact.

    `core` is ``Y G^H`` in rows, that is the transpose of ``G^H Y``.
    """
    if not np.isfinite(core).all():
        raise NumericalError("a product with `A` contains NaN or infinity")
    if not core.size:
        return core, True
    skew = float(np.abs(core - core.conj().T).max())
    if skew > 10.0 * math.sqrt(eps) * top:
        raise InputError(f"`A` must be Hermitian, got a relative deviation of {skew / top:.1e}")
    core = (core + core.conj().T) / 2.0
    try:
        return np.linalg.inv(np.linalg.cholesky(core)), True
    except np.linalg.LinAlgError:
        pass
    w, S = np.linalg.eigh(core)
    allowed = len(core) * (shift + eps * top)
    if w[0] < -allowed:
        raise NumericalError(
            f"`A` must be positive semidefinite, got the eigenvalue {w[0] / top:.3g} (relative) "
            "in a compression"
        )
    if top == 0.0:
        return np.zeros_like(core), True
    import warnings

    from lowapprox._core.errors import AccuracyWarning

    keep = w > allowed
    warnings.warn(
        f"rounding made the core matrix indefinite; {int((~keep).sum())} directions were dropped",
        AccuracyWarning,
        stacklevel=4,
    )
    inverse = np.where(keep, 1.0 / np.sqrt(np.where(keep, w, 1.0)), 0.0)
    return inverse[:, None] * S.conj().T, False


def _real_diagonal(diagonal: Host, eps: float) -> Host:
    if (np.abs(diagonal.imag) > math.sqrt(eps) * np.abs(diagonal).max(initial=0.0)).any():
        raise InputError("`A` must be Hermitian, got a diagonal that is not real")
    return diagonal.real


def _conj(op: MatrixLike, x: Array) -> Array:
    return op.xp.conj(x) if op.dtype.kind == "c" else x


def _checked_mu(mu: Any, name: str = "mu") -> float:
    number = checked_float(mu, name)
    if not 0.0 <= number < math.inf:
        raise InputError(f"`{name}` must be nonnegative and finite, got {number}")
    return number
