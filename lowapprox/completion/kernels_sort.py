"""Counting sort of entries; equal keys keep their order, so the parts of the work do not show."""

from __future__ import annotations

from typing import Any

from lowapprox._core.jit import kernel

__all__ = ["count", "place", "place_rows"]


@kernel()
def count(keys: Any, start: int, stop: int, out: Any) -> None:
    """Add how often each key occurs in a part of the entries."""
    for t in range(start, stop):
        out[keys[t]] += 1


@kernel()
def place(
    keys: Any,
    others: Any,
    values: Any,
    weights: Any,
    start: int,
    stop: int,
    at: Any,
    others_out: Any,
    values_out: Any,
    weights_out: Any,
) -> None:
    """Move a part of the entries to where those of their key begin, ``at[key]``, and go on there.

    There are no weights if their array is empty.
    """
    for t in range(start, stop):
        key = keys[t]
        p = at[key]
        at[key] = p + 1
        others_out[p] = others[t]
        values_out[p] = values[t]
        if weights.size > 0:
            weights_out[p] = weights[t]


@kernel()
def place_rows(
    indptr: Any,
    indices: Any,
    values: Any,
    weights: Any,
    start: int,
    stop: int,
    at: Any,
    rows_out: Any,
    values_out: Any,
    weights_out: Any,
) -> None:
    """Do the same for a range of compressed rows, by columns."""
    for i in range(start, stop):
        for t in range(indptr[i], indptr[i + 1]):
            j = indices[t]
            p = at[j]
            at[j] = p + 1
            rows_out[p] = i
            values_out[p] = values[t]
            if weights.size > 0:
                weights_out[p] = weights[t]
