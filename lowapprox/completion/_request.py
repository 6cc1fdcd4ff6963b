"""The arguments of a completion, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowapprox._core.checks import (
    checked_choice,
    checked_float,
    checked_int,
    checked_rank,
    checked_tol,
)
from lowapprox._core.errors import InputError, InputTypeError
from lowapprox.completion.observations import Host, Observations
from lowapprox.completion.ratings import Ratings
from lowapprox.completion.reading import read
from lowapprox.completion.result import CompletionResult

__all__ = ["Request", "check_model", "checked_request", "given_factors"]

_TOL = 1e-3
_MODEL_METHODS = ("auto", "als-cg", "als-chol")  # that know biases, losses and signs
_COUNTING_METHODS = (*_MODEL_METHODS, "increment")  # that know a ridge for each row
_MAX_ITER = 2000
_EXACT = {"d": 1e-10, "f": 3e-6}  # relative residual at which data count as exact


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for.

    Attributes
    ----------
    rank : int or None
        None is automatic.
    ridge : float or None
        In the units of the data; None is automatic.
    tol, residual_tol : float
    max_iter : int
    share : float or None
        Of entries to hold out; None leaves it open.
    judged : Observations or None
        Entries to judge the fit by.
    """

    rank: int | None
    ridge: float | None
    per_entry: bool
    tol: float
    residual_tol: float
    max_iter: int
    share: float | None
    judged: Observations | None

    def ridge_in(self, scale: float, weight: float) -> float | None:
        """Return the ridge for values and weights in these units."""
        if self.ridge is None:
            return None
        # The sum of the weights of a row brings their unit with it.
        return self.ridge / scale / (1.0 if self.per_entry else weight)


def checked_request(
    observed: Observations,
    rank: Any,
    reg: Any,
    reg_scale: Any,
    max_iter: Any,
    tol: Any,
    validation: Any,
) -> Request:
    """Check all arguments but the matrix."""
    share, judged = None, None
    if isinstance(validation, Ratings):
        validation = validation.triples
    if isinstance(validation, tuple):
        if len(validation) != 3:
            raise InputError(
                "`validation` must be a number or a tuple (rows, columns, values), "
                f"got a tuple of {len(validation)}"
            )
        judged = read(validation, shape=observed.shape, name="validation")
        if not judged.count:
            raise InputError("`validation` must hold entries, got none")
    elif validation is not None:
        form = "a number or a tuple (rows, columns, values)"
        share = _number(validation, "validation", 0.0, 0.5, form)
    goal = _TOL if tol is None else checked_tol(tol)
    return Request(
        rank=None if rank is None or _is_auto(rank) else checked_rank(rank, observed.shape),
        ridge=None if _is_auto(reg) else _number(reg, "reg", 0.0, math.inf, "a number or 'auto'"),
        per_entry=checked_choice(reg_scale, "reg_scale", ("none", "count")) == "count",
        tol=goal,
        residual_tol=_EXACT[observed.dtype.char] if tol is None else goal,
        max_iter=_MAX_ITER if max_iter is None else checked_int(max_iter, "max_iter", 1),
        share=share,
        judged=judged,
    )


def check_model(
    observed: Observations, request: Request, method: str, loss: str, asked: dict[str, Any]
) -> None:
    """Refuse what does not go together."""
    for name, value in asked.items():
        if not isinstance(value, (bool, np.bool_)):
            raise InputTypeError(f"`{name}` must be True or False, got {value!r}")
    given = [name for name, value in asked.items() if value and name != "center"]
    given += ["loss"] if loss != "squared" else []
    if given and method not in _MODEL_METHODS:
        raise InputError(
            f"`{given[0]}` needs method 'auto', 'als-cg' or 'als-chol', got {method!r}"
        )
    _check_ridge(request, method)
    if asked["nonneg"] and (loss != "squared" or asked["row_bias"] or asked["col_bias"]):
        raise InputError("`nonneg` must be False with biases or another loss than 'squared'")
    if asked["center"] and (asked["nonneg"] or loss == "logit"):
        raise InputError("`center` must be False with `nonneg` or loss 'logit', got True")
    if loss == "logit":
        for entries, name in ((observed, "A"), (request.judged, "validation")):
            if entries is not None and not np.isin(entries.rows.values, (0, 1)).all():
                raise InputError(
                    f"the observed entries of `{name}` must be 0 or 1 for loss 'logit'"
                )


def _check_ridge(request: Request, method: str) -> None:
    """Refuse a ridge that the method would leave out, or minimize another one for."""
    if request.per_entry and method not in _COUNTING_METHODS:
        raise InputError(f"`reg_scale` must be 'none' with method {method!r}, got 'count'")
    if request.ridge and method == "irls":
        raise InputError(f"`reg` must be 'auto' or 0 with method 'irls', got {request.ridge}")
    if request.ridge == 0.0 and method == "soft-impute":
        raise InputError("`reg` must be 'auto' or positive with method 'soft-impute', got 0")


def given_factors(init: Any) -> tuple[Host, Host] | None:
    """Return the factors to begin from, if there are any."""
    if isinstance(init, str):
        checked_choice(init, "init", ("spectral", "random"))
        return None
    if isinstance(init, CompletionResult):
        if not init.s.any():  # nothing that could grow
            return None
        root = np.sqrt(init.s)
        return init.U * root, init.V * root
    try:
        U, V = (np.asarray(part) for part in init)
    except (TypeError, ValueError):
        raise InputError(
            "`init` must be 'spectral', 'random', a pair (U, V) or a CompletionResult, "
            f"got {type(init).__name__}"
        ) from None
    for part in (U, V):
        if part.dtype.kind not in "fiub":
            raise InputTypeError(f"`init` must hold real factors, got dtype {part.dtype}")
    if U.ndim != 2 or V.ndim != 2:
        raise InputError(f"`init` must hold two matrices, got shapes {U.shape} and {V.shape}")
    if not (np.isfinite(U).all() and np.isfinite(V).all()):
        raise InputError("`init` must hold finite factors, got NaN or infinity")
    if U.size and V.size and not (U.any() and V.any()):
        raise InputError("`init` must hold factors that are not zero: no method leaves them")
    return U, V


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


def _number(value: Any, name: str, low: float, high: float, form: str) -> float:
    number = checked_float(value, name, form)
    if not low <= number <= high or np.isinf(number):
        allowed = f"in [{low:g}, {high:g}]" if np.isfinite(high) else f"finite and at least {low:g}"
        raise InputError(f"`{name}` must be {allowed}, got {number}")
    return number
