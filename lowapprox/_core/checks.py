"""Checks of scalar arguments that several families share."""

from __future__ import annotations

import operator
from typing import Any

from lowapprox._core.errors import InputError, InputTypeError

__all__ = ["checked_choice", "checked_int", "checked_rank", "checked_tol"]


def checked_int(value: Any, name: str, low: int, high: int | None = None) -> int:
    """Return `value` as an int within [low, high]."""
    try:
        number = operator.index(value)
    except TypeError:
        raise InputTypeError(f"`{name}` must be an integer, got {value!r}") from None
    if isinstance(value, bool):
        raise InputTypeError(f"`{name}` must be an integer, got {value!r}")
    if number < low or (high is not None and number > high):
        allowed = f"at least {low}" if high is None else f"in [{low}, {high}]"
        raise InputError(f"`{name}` must be {allowed}, got {number}")
    return number


def checked_rank(rank: Any, shape: tuple[int, int]) -> int:
    """Return `rank` as an int in [1, min(shape)]; an empty matrix gives 0."""
    limit = min(shape)
    number = checked_int(rank, "rank", 0 if limit == 0 else 1)
    if limit and number > limit:
        raise InputError(f"`rank` must lie in [1, {limit}] for shape {shape}, got {number}")
    return min(number, limit)


def checked_tol(tol: Any, name: str = "tol") -> float:
    """Return `tol` as a float in (0, 1)."""
    try:
        number = float(tol)
    except (TypeError, ValueError):
        raise InputTypeError(f"`{name}` must be a number, got {tol!r}") from None
    if not 0.0 < number < 1.0:
        raise InputError(f"`{name}` must lie strictly between 0 and 1, got {number}")
    return number


def checked_choice(value: Any, name: str, allowed: tuple[str, ...]) -> str:
    """Return `value` if it is one of the allowed words."""
    if not isinstance(value, str) or value not in allowed:
        words = ", ".join(repr(a) for a in allowed)
        raise InputError(f"`{name}` must be one of {words}, got {value!r}")
    return value
