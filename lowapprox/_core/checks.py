"""Checks of arguments that several families share."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from lowapprox._core.errors import InputError, InputTypeError
from lowapprox._core.typing import Array

__all__ = [
    "check_home",
    "checked_choice",
    "checked_float",
    "checked_int",
    "checked_rank",
    "checked_target",
    "checked_tol",
]


def checked_int(value: Any, name: str, low: int | None, high: int | None = None) -> int:
    """Return `value` as an int within [low, high], None being no limit."""
    try:
        number = operator.index(value)
    except TypeError:
        raise InputTypeError(f"`{name}` must be an integer, got {value!r}") from None
    if isinstance(value, bool):
        raise InputTypeError(f"`{name}` must be an integer, got {value!r}")
    if (low is not None and number < low) or (high is not None and number > high):
        allowed = f"at least {low}" if high is None else f"in [{low}, {high}]"
        raise InputError(f"`{name}` must be {allowed}, got {number}")
    return number


def checked_rank(
    rank: Any, shape: tuple[int, int], name: str = "rank", *, cap: bool = False
) -> int:
    """Return `rank` as an int in [1, min(shape)]; an empty matrix gives 0.

    A `cap` may be larger than the matrix allows.
    """
    limit = min(shape)
    number = checked_int(rank, name, None if limit else 0)
    if limit and (number < 1 or (number > limit and not cap)):
        allowed = "be at least 1" if cap else f"lie in [1, min(m, n)] = [1, {limit}]"
        raise InputError(f"`{name}` must {allowed} for shape {shape}, got {number}")
    return min(number, limit)


def checked_target(rank: Any, tol: Any, shape: tuple[int, int]) -> tuple[int | None, float | None]:
    """Check what is asked for, of which at least one must be given; with both the rank is a cap."""
    if rank is None and tol is None:
        raise InputError("`rank` or `tol` must be given, got neither")
    if rank is not None:
        rank = checked_rank(rank, shape, cap=tol is not None)
    return rank, None if tol is None else checked_tol(tol)


def checked_float(value: Any, name: str, form: str = "a number") -> float:
    """Return `value` as a float, of any size; `form` says what it may be."""
    try:
        return float(+value)  # a str has no sign, though it may be read as a number
    except (TypeError, ValueError):
        raise InputTypeError(f"`{name}` must be {form}, got {value!r}") from None


def checked_tol(tol: Any, name: str = "tol") -> float:
    """Return `tol` as a float in (0, 1)."""
    number = checked_float(tol, name)
    if not 0.0 < number < 1.0:
        raise InputError(f"`{name}` must lie strictly between 0 and 1, got {number}")
    return number


def checked_choice(value: Any, name: str, allowed: tuple[str, ...]) -> str:
    """Return `value` if it is one of the allowed words."""
    if not isinstance(value, str) or value not in allowed:
        words = ", ".join(repr(a) for a in allowed)
        raise InputError(f"`{name}` must be one of {words}, got {value!r}")
    return value


def check_home(x: Any, like: Array, name: str) -> None:
    """Refuse an array of another namespace or device than `like`: nothing is moved silently.

    Sparse arrays and operators are at home where NumPy is.
    """
    if isinstance(x, np.ndarray) and isinstance(like, np.ndarray):
        return
    wanted, found = _home(like), _home(x)
    if wanted != found:
        raise InputTypeError(
            f"`{name}` must be of {wanted}, like what it is combined with, got {found}"
        )


def _home(x: Any) -> str:
    import array_api_compat

    try:
        namespace = array_api_compat.array_namespace(x).__name__
    except TypeError:
        return "numpy on cpu"
    return f"{namespace.removeprefix('array_api_compat.')} on {array_api_compat.device(x)}"
