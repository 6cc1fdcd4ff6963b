"""Row and column numbers that a caller asks for."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.errors import InputError, InputTypeError
from lowapprox.completion.sorting import Host

__all__ = ["chosen", "numbers"]


def numbers(x: Any, name: str, size: int) -> Host:
    """Return row or column numbers as an array, checked."""
    index = np.asarray(x)
    if index.dtype.kind not in "iu" and index.size:
        raise InputTypeError(f"`{name}` must hold integers, got dtype {index.dtype}")
    if index.size and (index.min() < 0 or index.max() >= size):
        raise InputError(
            f"`{name}` must lie in [0, {size - 1}], got {index.min()} to {index.max()}"
        )
    checked: Host = index.astype(np.intp, copy=False)
    return checked


def chosen(x: Any, name: str, size: int) -> Host:
    """Return the numbers that a slice, a mask or numbers choose."""
    if x is None or isinstance(x, slice):
        return np.arange(size)[slice(None) if x is None else x]
    index = np.asarray(x)
    if index.dtype == np.bool_:
        if index.shape != (size,):
            raise InputError(f"`{name}` must have shape ({size},), got {index.shape}")
        return np.flatnonzero(index)
    if index.ndim != 1:
        raise InputError(f"`{name}` must have one dimension, got shape {index.shape}")
    return numbers(index, name, size)
