"""Residual and gradient of a least-squares problem in one read of the matrix.

A matrix is a flat array whose rows (or columns) begin `step` apart. Sums over a row are reordered,
so that they use vector registers; they are the same for any threads, since every call covers a
range of rows that the caller fixes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel

__all__ = ["pass_by_columns", "pass_by_rows"]

_PANEL = 256  # rows of a column-major matrix whose panel stays in the second cache


@kernel(reorder=True)
def pass_by_rows(
    A: Any, step: int, x: Any, b: Any, weights: Any, first: int, last: int, g: Any
) -> Any:
    """Add ``A^T W (b - A x)`` of a range of rows to g; return ``|b - A x|^2``, weighted by W.

    An empty b counts as zeros and empty weights as ones. Four rows go to g together: it is then
    loaded and stored once for all of them.
    """
    d = x.size
    total = np.float64(0)
    s = np.zeros(4)
    i = first
    while i < last:
        count = min(4, last - i)
        for q in range(count):
            row = A[(i + q) * step : (i + q) * step + d]
            value = np.float64(0)
            for j in range(d):
                value += row[j] * x[j]
            residual = (b[i + q] if b.size else np.float64(0)) - value
            s[q] = residual * weights[i + q] if weights.size else residual
            total += residual * s[q]
        if count == 4:
            row0, row1 = A[i * step : i * step + d], A[(i + 1) * step : (i + 1) * step + d]
            row2 = A[(i + 2) * step : (i + 2) * step + d]
            row3 = A[(i + 3) * step : (i + 3) * step + d]
            s0, s1, s2, s3 = s[0], s[1], s[2], s[3]
            for j in range(d):
                g[j] += row0[j] * s0 + row1[j] * s1 + row2[j] * s2 + row3[j] * s3
        else:
            for q in range(count):
                row = A[(i + q) * step : (i + q) * step + d]
                for j in range(d):
                    g[j] += row[j] * s[q]
        i += count
    return total


@kernel(reorder=True)
def pass_by_columns(
    A: Any, step: int, x: Any, b: Any, weights: Any, first: int, last: int, g: Any
) -> Any:
    """Do the same for a matrix that lies in memory by columns."""
    total = np.float64(0)
    s = np.zeros(_PANEL)
    for i in range(first, last, _PANEL):
        count = min(_PANEL, last - i)
        for q in range(count):
            s[q] = b[i + q] if b.size else np.float64(0)
        for j in range(x.size):
            column = A[j * step + i : j * step + i + count]
            value = x[j]
            for q in range(count):
                s[q] -= column[q] * value
        for q in range(count):
            residual = s[q]
            s[q] = residual * weights[i + q] if weights.size else residual
            total += residual * s[q]
        for j in range(x.size):
            column = A[j * step + i : j * step + i + count]
            value = np.float64(0)
            for q in range(count):
                value += column[q] * s[q]
            g[j] += value
    return total
