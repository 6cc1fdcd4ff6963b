"""The arguments of a least-squares call, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowapprox._core.checks import check_home, checked_choice, checked_float, checked_tol
from lowapprox._core.errors import InputError, InputTypeError
from lowapprox._core.matrix import MatrixLike, as_matrix
from lowapprox._core.typing import Array
from lowapprox.regression.memory import check_memory
from lowapprox.regression.system import Host, squares_of
from lowapprox.sketching.tensor import LazyProduct

__all__ = [
    "METHODS",
    "ONE_PASS",
    "Request",
    "RightHandSides",
    "checked_number",
    "checked_request",
    "checked_sides",
    "checked_weights",
]

METHODS = ("auto", "direct", "cholesky", "spir", "fossils", "iterative", "sketch", "linf")
ONE_PASS = ("sketch", "linf")
SKETCHES = ("auto", "sparse", "srht", "gaussian")

_SAFE = 1e100  # sizes of right-hand sides whose squares are far from the limits


@dataclass(frozen=True, slots=True)
class RightHandSides:
    """Right-hand sides in double precision, scaled by powers of two into a safe range.

    Attributes
    ----------
    values : numpy.ndarray, shape (n, k)
        The columns times ``2**-exponents``.
    norms : numpy.ndarray, shape (k,)
        Their norms, weighted.
    vector : bool
        Whether the caller gave one dimension.
    bad : numpy.ndarray, shape (k,), optional
        Which columns contain NaN or infinity, if any; their `values` are zeros.
    dtype : numpy.dtype
        Of the results.
    """

    values: Host
    exponents: Host
    norms: Host
    vector: bool
    bad: Host | None
    dtype: np.dtype[Any]

    @property
    def count(self) -> int:
        """The number of right-hand sides."""
        return int(self.values.shape[1])

    def restored(self, x: Host) -> Host:
        """Undo the scaling of what is linear in b, one column or entry for each column of b."""
        x = np.ldexp(x, self.exponents) if x.dtype.kind == "f" else x * 2.0**self.exponents
        return self.marked(x)

    def marked(self, x: Host) -> Host:
        """Return x with NaN in the columns or entries that belong to bad columns of b."""
        return x if self.bad is None else np.where(self.bad, np.nan, x)


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for."""

    rhs: RightHandSides
    method: str
    tol: float
    target: float
    ridge: float
    weights: Host | None
    rcond: float
    eps: float | None
    delta: float
    sketch: str


def checked_request(
    op: MatrixLike,
    b: Array,
    method: Any,
    tol: Any,
    ridge: Any,
    weights: Any,
    rcond: Any,
    eps: Any,
    delta: Any,
    sketch: Any,
) -> Request:
    """Check all arguments."""
    method = checked_choice(method, "method", METHODS)
    sketch = checked_choice(sketch, "sketch", SKETCHES)
    n, d = op.shape
    by_rows = op.kind != "operator" or isinstance(op, LazyProduct)
    factored = by_rows and (n < 8 * d or method in {"direct", "cholesky"})
    check_memory(op.shape, 4 if factored else 8, by_rows=by_rows)  # a sketch has 4 d rows, twice
    weights = checked_weights(weights, n)
    rhs = _right_hand_sides(op, b, weights)
    unit = float(np.finfo(rhs.dtype).eps)
    goal = 4.0 * unit if tol is None else checked_tol(tol)
    ridge = checked_number(ridge, "ridge", 0.0, math.inf)
    rcond = 30.0 * unit if rcond is None else checked_number(rcond, "rcond", 0.0, 1.0)
    if eps is not None:
        eps = checked_number(eps, "eps", 0.0, math.inf)
        if eps == 0.0 or method not in ONE_PASS:
            raise InputError(
                "`eps` must be positive, and is for method 'linf' or 'sketch', "
                f"got {eps} with method {method!r}"
            )
    if method in ONE_PASS:
        if ridge or tol is not None:
            raise InputError(
                f"`ridge` and `tol` must be left out for method {method!r}, which reads A once; "
                f"got ridge={ridge}, tol={tol}"
            )
        if np.result_type(op.dtype, rhs.values.dtype).kind == "c":
            raise InputTypeError(f"method {method!r} needs real `A` and `b`, got complex ones")
    if method == "linf" and sketch == "sparse":
        raise InputError(
            "`sketch` must be 'auto', 'srht' or 'gaussian' for method 'linf': the errors of a "
            "sparse sketch concentrate on single entries for some data; got 'sparse'"
        )
    return Request(
        rhs=rhs,
        method=method,
        tol=goal,
        target=unit / 2.0 if tol is None else goal,
        ridge=ridge,
        weights=weights,
        rcond=rcond,
        eps=eps,
        delta=checked_tol(delta, "delta"),
        sketch=sketch,
    )


def checked_sides(op: MatrixLike, b: Array) -> tuple[Host, bool, np.dtype[Any]]:
    """Return b in double precision with two dimensions, whether it has one, and what x becomes."""
    if op.xp is np:
        check_home(b, np.empty(0), "b")
    given = b if hasattr(b, "ndim") else np.asarray(b)
    if given.ndim not in {1, 2} or given.shape[0] != op.shape[0]:
        raise InputError(
            f"`b` must have shape ({op.shape[0]},) or ({op.shape[0]}, k) for `A` of shape "
            f"{op.shape}, got {tuple(given.shape)}"
        )
    vector = given.ndim == 1
    side = as_matrix(given[:, None] if vector else given, "b")
    if side.kind != "dense":
        raise InputTypeError(f"`b` must be a dense array, got {type(b).__name__}")
    if isinstance(given.dtype, np.dtype):
        exact = given.dtype.kind in "biu"
    else:
        exact = str(given.dtype) == "bool" or "int" in str(given.dtype)
    dtype = op.dtype if exact else np.result_type(op.dtype, side.dtype)
    wide = np.result_type(side.dtype, np.float64)
    return np.ascontiguousarray(side.to_numpy(side.entries()), wide), vector, dtype


def _right_hand_sides(op: MatrixLike, b: Array, weights: Host | None) -> RightHandSides:
    values, vector, dtype = checked_sides(op, b)
    peak = np.abs(values).max(axis=0, initial=0.0)
    exponents = np.zeros(peak.shape, np.int32)
    bad, safe = None, True
    if not (peak.min(initial=1.0) > 1.0 / _SAFE and peak.max(initial=1.0) < _SAFE):
        if not np.isfinite(peak).all():
            bad = ~np.isfinite(peak)
            values, peak = np.where(bad, 0.0, values), np.where(bad, 0.0, peak)
        moderate = (peak > 1.0 / _SAFE) & (peak < _SAFE)
        exponents = np.where(moderate | (peak == 0.0), 0, np.frexp(peak)[1])
        safe = not exponents.any()
    if not safe:
        half = -exponents // 2
        values = values * 2.0**half * 2.0 ** (-exponents - half)
    weighted = values if weights is None else values * np.sqrt(weights)[:, None]
    with np.errstate(all="ignore"):
        norms = np.sqrt(squares_of(weighted))
    return RightHandSides(values, exponents, norms, vector, bad, dtype)


def checked_weights(weights: Any, n: int) -> Host | None:
    """Return weights in double precision, finite and nonnegative."""
    if weights is None:
        return None
    given = np.asarray(weights)
    if given.dtype.kind not in "biuf":
        raise InputTypeError(f"`weights` must be real numbers, got dtype {given.dtype}")
    if given.shape != (n,):
        raise InputError(f"`weights` must have shape ({n},), got {given.shape}")
    values: Host = given.astype(np.float64)
    if not (np.isfinite(values).all() and (values >= 0.0).all()):
        raise InputError(
            "`weights` must be finite and at least 0, "
            f"got values from {values.min():.3g} to {values.max():.3g}"
        )
    return values


def checked_number(value: Any, name: str, low: float, high: float) -> float:
    """Return a number within [low, high)."""
    number = checked_float(value, name)
    if not (low <= number < high):
        raise InputError(f"`{name}` must lie in [{low:g}, {high:g}), got {number}")
    return number
