"""What `kernels_tangent` does, in NumPy: for problems too small to load compiled code for.

The arguments are the same, so that the two take each other's place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox.completion.observations import Host

__all__ = ["apply_blocks", "gather", "inner", "invert_blocks", "normal"]


def inner(
    indptr: Host,
    indices: Host,
    left: Host,
    right: Host,
    lanes: tuple[int, ...],
    first: int,
    last: int,
    out: Host,
) -> None:
    """Write the products of rows of two factors at the entries of some rows."""
    L, R = left.reshape(-1, len(lanes)), right.reshape(-1, len(lanes))
    rows = np.repeat(np.arange(first, last), np.diff(indptr[first : last + 1]))
    own = slice(indptr[first], indptr[last])
    out[own] = np.einsum("ij,ij->i", L[rows], R[indices[own]])


def gather(
    indptr: Host,
    indices: Host,
    values: Host,
    order: Host,
    panel: Host,
    lanes: tuple[int, ...],
    first: int,
    last: int,
    out: Host,
) -> None:
    """Write some rows of a sparse matrix times a panel."""
    from scipy.sparse import csr_array

    X, own = panel.reshape(-1, len(lanes)), slice(indptr[first], indptr[last])
    chosen = values[order[own]] if order.size else values[own]
    starts = indptr[first : last + 1] - indptr[first]
    A: Any = csr_array((chosen, indices[own], starts), shape=(last - first, X.shape[0]))
    out.reshape(-1, len(lanes))[first:last] = A @ X


def normal(
    indptr: Host,
    indices: Host,
    weights: Host,
    left: Host,
    right: Host,
    wide: tuple[int, ...],
    lanes: tuple[int, ...],
    first: int,
    last: int,
    z: Host,
    out: Host,
) -> None:
    """Do `inner`, weight the products, and gather the beginnings of the rows of `right`."""
    inner(indptr, indices, left, right, wide, first, last, z)
    own = slice(indptr[first], indptr[last])
    if weights.size:
        z[own] *= weights[own]
    panel = np.ascontiguousarray(right.reshape(-1, len(wide))[:, : len(lanes)])
    gather(indptr, indices, z, z[:0], panel.reshape(-1), lanes, first, last, out)


def invert_blocks(blocks: Host, first: int, last: int) -> None:
    """Overwrite positive definite matrices by their inverses, of which none is infinite."""
    own = blocks[first:last]
    if not np.isfinite(own).all():
        own[...] = np.nan
        return
    w, Q = np.linalg.eigh(own)
    w = np.maximum(w, np.maximum(1e-14 * w[:, -1:], 1e-300))
    own[...] = (Q / w[:, None, :]) @ Q.transpose(0, 2, 1)


def apply_blocks(
    blocks: Host, lanes: tuple[int, ...], x: Host, first: int, last: int, out: Host
) -> None:
    """Write row i of `x` times the symmetric matrix i, for some rows."""
    B = blocks.reshape(-1, x.shape[1], len(lanes))[first:last]
    out.reshape(-1, len(lanes))[first:last] = np.einsum("ia,iab->ib", x[first:last], B)
