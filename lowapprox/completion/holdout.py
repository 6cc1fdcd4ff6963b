"""Entries that are held out, so that no row or column loses what it needs."""

from __future__ import annotations

import numpy as np

from lowapprox.completion.observations import Host, Observations
from lowapprox.completion.problem import HeldOut
from lowapprox.completion.sorting import row_numbers

__all__ = ["hold_out"]


def hold_out(
    observed: Observations, share: float, least: int, rng: np.random.Generator
) -> tuple[Observations, HeldOut]:
    """Take out about a share of the entries.

    Parameters
    ----------
    observed : Observations
    share : float
        Of the entries; fewer are taken where rows and columns cannot spare them.
    least : int
        The number of entries that every row and column keeps if it has as many.
    """
    rows, columns = row_numbers(observed.rows), observed.rows.indices
    chosen = np.sort(rng.choice(observed.count, round(share * observed.count), replace=False))
    for numbers, counts in (
        (rows, observed.rows.counts),
        (columns, observed.columns.counts),
    ):
        chosen = chosen[_within(numbers[chosen], counts - least, rng)]
    held = HeldOut(rows[chosen], columns[chosen], observed.rows.values[chosen].astype(np.float64))
    keep = np.ones(observed.count, bool)
    keep[chosen] = False
    return observed.selected(keep), held


def _within(numbers: Host, allowed: Host, rng: np.random.Generator) -> Host:
    """Mark at most ``allowed[i]`` of the items whose number is i."""
    order = rng.permutation(numbers.size)
    order = order[np.argsort(numbers[order], kind="stable")]
    ordered = numbers[order]
    first = np.searchsorted(ordered, ordered)
    marked = np.zeros(numbers.size, bool)
    marked[order] = np.arange(numbers.size) - first < allowed[ordered]
    return marked
