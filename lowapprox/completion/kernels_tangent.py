"""Loops over the observed entries, for matrices that are products of thin factors.

Rows of a factor lie one after the other in a flat array, each padded with zeros to ``len(lanes)``
numbers, so that a row is a vector of a length that the compiler knows. Every output belongs to one
row, whose sums run in the order of its entries: the bits do not depend on how rows are shared out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.jit import kernel
from lowapprox._core.simd import vfill, vload, vmuladd, vstore

__all__ = ["apply_blocks", "gather", "inner", "invert_blocks", "normal"]


@kernel(reorder=True)
def inner(
    indptr: Any, indices: Any, left: Any, right: Any, lanes: Any, first: int, last: int, out: Any
) -> None:
    """Write the products of rows of two factors at the entries of some rows."""
    width = len(lanes)
    for i in range(first, last):
        for t in range(indptr[i], indptr[i + 1]):
            j = np.intp(indices[t])
            total = 0.0
            for q in range(width):
                total += left[i * width + q] * right[j * width + q]
            out[t] = total


@kernel()
def gather(
    indptr: Any,
    indices: Any,
    values: Any,
    order: Any,
    panel: Any,
    lanes: Any,
    first: int,
    last: int,
    out: Any,
) -> None:
    """Write some rows of a sparse matrix times a panel.

    Its entries are ``values[order[t]]``, or ``values[t]`` if `order` is empty.
    """
    width = len(lanes)
    for i in range(first, last):
        total = vfill(0.0, lanes)
        for t in range(indptr[i], indptr[i + 1]):
            value = values[order[t]] if order.size else values[t]
            total = vmuladd(total, value, vload(panel, np.intp(indices[t]) * width, lanes))
        vstore(out, i * width, total)


@kernel(reorder=True)
def normal(
    indptr: Any,
    indices: Any,
    weights: Any,
    left: Any,
    right: Any,
    wide: Any,
    lanes: Any,
    first: int,
    last: int,
    z: Any,
    out: Any,
) -> None:
    """Do `inner`, weight the products, and gather the beginnings of the rows of `right` with them.

    One read of a row serves both; `lanes` is as long as the beginnings.
    """
    width, short = len(wide), len(lanes)
    for i in range(first, last):
        total = vfill(0.0, lanes)
        for t in range(indptr[i], indptr[i + 1]):
            j = np.intp(indices[t])
            value = 0.0
            for q in range(width):
                value += left[i * width + q] * right[j * width + q]
            if weights.size:
                value *= weights[t]
            z[t] = value
            total = vmuladd(total, value, vload(right, j * width, lanes))
        vstore(out, i * short, total)


@kernel()
def invert_blocks(blocks: Any, first: int, last: int) -> None:
    """Overwrite positive definite matrices by their inverses, by the factors of Cholesky.

    A pivot that is lost to rounding is replaced by one that keeps the inverse finite.
    """
    k = blocks.shape[1]
    for i in range(first, last):
        G = blocks[i]
        floor = 1e-300
        for a in range(k):
            floor = max(floor, 1e-14 * G[a, a])
        for a in range(k):
            pivot = G[a, a]
            for q in range(a):
                pivot -= G[a, q] * G[a, q]
            pivot = np.sqrt(max(pivot, floor))
            G[a, a] = 1 / pivot
            for c in range(a + 1, k):
                s = G[c, a]
                for q in range(a):
                    s -= G[c, q] * G[a, q]
                G[c, a] = s / pivot
        for a in range(k):  # the triangle becomes its inverse
            for c in range(a + 1, k):
                s = 0.0
                for q in range(a, c):
                    s -= G[c, q] * G[q, a]
                G[c, a] = s * G[c, c]
        for a in range(k):
            for c in range(a, k):
                s = 0.0
                for q in range(c, k):
                    s += G[q, a] * G[q, c]
                G[a, c] = s
        for a in range(k):
            for c in range(a):
                G[a, c] = G[c, a]


@kernel()
def apply_blocks(blocks: Any, lanes: Any, x: Any, first: int, last: int, out: Any) -> None:
    """Write row i of `x` times the symmetric matrix i, for some rows."""
    width = len(lanes)
    k = x.shape[1]
    for i in range(first, last):
        total = vfill(0.0, lanes)
        for a in range(k):
            total = vmuladd(total, x[i, a], vload(blocks, (i * k + a) * width, lanes))
        vstore(out, i * width, total)
