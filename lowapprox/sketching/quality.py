"""How many rows an operator needs, and how well one keeps a subspace."""

from __future__ import annotations

import math

import numpy as np

from lowapprox._core.checks import checked_choice, checked_int, checked_tol
from lowapprox._core.errors import InputError, InputTypeError, NumericalError
from lowapprox._core.matrix import MatrixLike, as_matrix
from lowapprox._core.typing import MatrixInput
from lowapprox._core.views import normalize, scaled
from lowapprox.sketching.operators import NDArray, SketchOperator, on_host

__all__ = ["distortion", "embedding_dim", "unit_columns"]

_DENSE = ("gaussian", "rademacher", "srht", "srtt")
_KINDS = (*_DENSE, "sparse", "countsketch")
_PURPOSES = ("embed", "precondition", "linf", "jl")


def embedding_dim(
    d: int,
    *,
    eps: float | None = None,
    delta: float = 0.05,
    kind: str = "sparse",
    purpose: str = "embed",
) -> int:
    """Return how many rows a sketching operator should have.

    Parameters
    ----------
    d : int
        Dimension of the subspace; for ``purpose="jl"`` the number of points.
    eps : float, optional
        In (0, 1): the distortion, or the error by ``purpose``; 1/2 by default. For
        ``"precondition"`` the factor of the residual in one step, by default that of m = 12 d.
    delta : float, default 0.05
        In (0, 1): the chance to fail.
    kind : {"sparse", "gaussian", "rademacher", "srht", "srtt", "countsketch"}
        The operator; "sparse" is `SparseSign` with eight entries in a column.
    purpose : {"embed", "precondition", "linf", "jl"}
        - "embed": ``|sigma(S Q) - 1| <= eps`` for an orthonormal basis Q of the subspace.
        - "precondition": the triangular factor of the sketch makes the condition number small.
        - "linf": each coefficient of a sketched least-squares problem is within
          ``eps / sqrt(d)`` times the residual, for A of orthonormal columns.
        - "jl": the squared distances of d points are within a factor ``1 +- eps``.

    Returns
    -------
    int
        The number of rows m.

    Raises
    ------
    InputError
        If an argument is out of its range, or entrywise accuracy is asked of a sparse kind.
    InputTypeError
        If `d` is no integer, or `eps` or `delta` no number.

    Notes
    -----
    With L = ln(1 / delta), "embed" is ``d / eps^2 (1 + 2 sqrt(L / d))^2``, "linf"
    ``d + 2 d ln(2 d / delta) / eps^2`` and "jl" ``(4 ln(d) + 2 L) / (eps^2 / 2 - eps^3 / 3)``:
    theorems for `Gaussian` where delta is at most 1/2. The other kinds behave alike in the tests,
    coherent subspaces included; their theorems ask for more. CountSketch needs
    ``(d^2 + d) / (delta (2 eps - eps^2)^2)`` rows [1]_, for points ``d^2 / (delta eps^2)``; that
    many are enough, and on coordinate subspaces about that many are needed.

    References
    ----------
    .. [1] Nelson, Nguyen (2013), "OSNAP: faster numerical linear algebra algorithms via sparser
       subspace embeddings", arXiv:1211.1002.

    Examples
    --------
    >>> from lowapprox.sketching import embedding_dim
    >>> embedding_dim(50, eps=0.5), embedding_dim(50, eps=0.5, kind="countsketch")
    (444, 90667)
    """
    d = checked_int(d, "d", 0)
    checked_choice(kind, "kind", _KINDS)
    checked_choice(purpose, "purpose", _PURPOSES)
    delta = checked_tol(delta, "delta")
    if eps is None:
        eps = 12**-0.5 if purpose == "precondition" else 0.5
    eps = checked_tol(eps, "eps")
    if purpose == "linf" and kind not in _DENSE:
        allowed = ", ".join(map(repr, _DENSE))
        raise InputError(
            f"`kind` must be one of {allowed} for purpose='linf', got {kind!r}: sparse operators "
            "can miss single entries by far"
        )
    return math.ceil(_rows(d, eps, delta, kind, purpose)) if d else 0


def _rows(d: int, eps: float, delta: float, kind: str, purpose: str) -> float:
    log = math.log(1 / delta)
    if kind == "countsketch":
        if purpose == "jl":
            return d * d / (delta * eps**2)
        return (d * d + d) / (delta * (2 * eps - eps**2) ** 2)
    if purpose == "jl":
        return max(1.0, (4 * math.log(d) + 2 * log) / (eps**2 / 2 - eps**3 / 3))
    if purpose == "linf":
        return d + 2 * d * math.log(2 * d / delta) / eps**2
    if purpose == "precondition":
        return d / eps**2
    return d / eps**2 * (1 + 2 * math.sqrt(log / d)) ** 2


def distortion(S: SketchOperator, X: MatrixInput) -> float:
    """Return how far an operator changes lengths in the range of a matrix.

    Parameters
    ----------
    S : sketching operator, shape (m, n)
    X : array or scipy.sparse array, shape (n, d) or (n,)
        Dependent columns are allowed, and of any scale. In host memory.

    Returns
    -------
    float
        The largest ``|sigma(S Q) - 1|`` for an orthonormal basis Q of the range, that is of
        ``| |S x| / |x| - 1 |`` over all x in it; 0 where the range is.

    Raises
    ------
    InputError
        If `X` has not n rows, or contains NaN or infinity.
    InputTypeError
        If `S` is no sketching operator, or `X` no array in host memory.

    Notes
    -----
    Costs an orthogonal factorization of X, ``4 n d^2`` operations, and one sketch.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.sketching import SRHT, distortion
    >>> X = np.random.default_rng(0).standard_normal((2000, 10))
    >>> 0.0 < distortion(SRHT(1000, 2000, rng=0), X) < 0.2
    True
    """
    if not isinstance(S, SketchOperator):
        raise InputTypeError(f"`S` must be a sketching operator, got {type(S).__name__}")
    if getattr(X, "ndim", np.ndim(X) if isinstance(X, (list, tuple)) else 2) == 1:
        X = X.reshape((-1, 1)) if hasattr(X, "reshape") else np.asarray(X)[:, None]
    op = as_matrix(X, "X")
    if op.shape[0] != S.shape[1]:
        raise InputError(f"`X` must have {S.shape[1]} rows, got shape {op.shape}")
    if op.kind == "operator" or not on_host(op):
        raise InputTypeError(
            f"`X` must be an array or sparse array in host memory, got {type(X).__name__}"
        )
    Q = _basis(op)
    if Q.shape[1] == 0:
        return 0.0
    SQ = S @ Q
    if not np.isfinite(SQ).all():
        raise NumericalError("the sketch of an orthonormal basis is not finite")
    values = np.linalg.svd(SQ, compute_uv=False)
    missing = 1.0 if SQ.shape[0] < SQ.shape[1] else 0.0  # some x is taken to zero
    return max(missing, float(np.abs(values - 1.0).max(initial=0.0)))


def _basis(op: MatrixLike) -> NDArray:
    """Return an orthonormal basis of the range in double precision."""
    n, d = op.shape
    if 0 in (n, d):
        return np.zeros((n, 0))
    _, exponent, _ = normalize(op, "X")
    entries = op.row_block(0, n).toarray() if op.kind == "sparse" else op.entries()
    X = np.asarray(op.to_numpy(entries))
    X = scaled(X.astype(np.result_type(op.dtype, np.float64)), -exponent)
    Q, R = np.linalg.qr(X * unit_columns(X))
    U, s, _ = np.linalg.svd(R)
    basis: NDArray = Q @ U[:, : s.size][:, s > s.max() * max(n, d) * op.eps]
    return basis


def unit_columns(X: NDArray) -> NDArray:
    """Return factors that give the columns norm 1, and 0 for columns of zeros."""
    peaks = np.abs(X).max(axis=0, initial=0.0)
    peaks = np.where(peaks > 0.0, peaks, 1.0)  # the squares of small columns would underflow
    norms = np.linalg.norm(X / peaks, axis=0) * peaks
    factors: NDArray = np.zeros(X.shape[1])
    np.divide(1.0, norms, where=norms >= np.finfo(np.float64).tiny, out=factors)
    return factors
