"""Panels of few columns, in the form in which the kernels take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.typing import Array

__all__ = ["LINE", "aligned_empty", "packed", "panel_cuts"]

LINE = 64  # bytes of a cache line


def aligned_empty(shape: tuple[int, int], dtype: Any) -> Array:
    """Return an uninitialized C-ordered array that starts at a cache line."""
    dtype = np.dtype(dtype)
    size = shape[0] * shape[1] * dtype.itemsize
    buffer = np.empty(size + LINE, dtype=np.uint8)
    shift = -buffer.ctypes.data % LINE
    return buffer[shift : shift + size].view(dtype).reshape(shape)


def panel_cuts(b: int, itemsize: int) -> list[tuple[int, int]]:
    """Cut b columns into panels: first column and width, a power of two up to two cache lines."""
    widest = 2 * LINE // itemsize
    starts = range(0, b, widest)
    return [(c, min(widest, max(4, 1 << (b - c - 1).bit_length()))) for c in starts]


def packed(X: Array, start: int, width: int) -> Array:
    """Return columns `start` to ``start + width`` as an aligned panel, padded with zeros."""
    whole = X.shape[1] == width and X.flags.c_contiguous
    if whole and X.ctypes.data % LINE == 0:
        return X
    stop = min(start + width, X.shape[1])
    panel = aligned_empty((X.shape[0], width), X.dtype)
    panel[:, : stop - start] = X[:, start:stop]
    panel[:, stop - start :] = 0
    return panel
