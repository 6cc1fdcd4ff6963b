"""The problem that every function of the family solves: a coded pattern at the shifts of a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowapprox._core.checks import checked_choice
from lowapprox._core.errors import InputError, InputTypeError
from lowapprox.hamming.alphabet import Pattern, encode_pattern
from lowapprox.hamming.letters import as_letters
from lowapprox.hamming.text import CodedText, shifts_of

__all__ = ["MODES", "Problem", "checked_dtype", "narrowest", "pose"]

MODES = ("valid", "full", "cyclic")

_SIGNED = tuple(map(np.dtype, "bhiq"))


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A coded text, a coded pattern, and the number of shifts at which they meet."""

    text: CodedText
    pattern: Pattern
    shifts: int


def pose(
    text: Any,
    pattern: Any,
    *,
    mode: str = "valid",
    wildcard: Any = None,
    classes: Mapping[Any, Iterable[Any]] | None = None,
) -> Problem:
    """Check and code the arguments that the public functions share."""
    checked_choice(mode, "mode", MODES)
    letters, wanted = as_letters(text, "text"), as_letters(pattern, "pattern")
    shifts, lead = shifts_of(mode, len(letters), len(wanted))
    letters, coded, alphabet = encode_pattern(
        letters, wanted, wildcard=wildcard, classes=classes, padded=mode == "full"
    )
    return Problem(CodedText(letters, alphabet, lead, cyclic=mode == "cyclic"), coded, shifts)


def narrowest(span: int) -> np.dtype[Any]:
    """Return the narrowest signed dtype that holds distances up to `span`."""
    return next(dtype for dtype in _SIGNED if span >> (8 * dtype.itemsize - 1) == 0)


def checked_dtype(dtype: Any, span: int, name: str = "dtype") -> np.dtype[Any]:
    """Return the dtype of distances up to `span`; None is the narrowest."""
    if dtype is None:
        return narrowest(span)
    try:
        checked: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise InputTypeError(f"`{name}` must be an integer dtype, got {dtype!r}") from None
    if checked.kind not in "iu":
        raise InputTypeError(f"`{name}` must be an integer dtype, got {checked}")
    if np.iinfo(checked).max < span:
        raise InputError(f"`{name}` must hold distances up to {span}, got {checked}")
    return checked
