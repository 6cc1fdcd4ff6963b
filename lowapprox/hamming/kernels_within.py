"""Counting every shift, bit-sliced, of which few are wanted."""

from __future__ import annotations

from typing import Any

from lowapprox._core.jit import kernel
from lowapprox.hamming.kernels_bits import COLUMN, count_tile, subtract_column
from lowapprox.hamming.kernels_sieve import places_below

__all__ = ["tiles_within"]


@kernel()
def tiles_within(
    codes: Any,
    plan: Any,
    scratch: Any,
    lanes: Any,
    size: int,
    bound: int,
    start: int,
    shifts: int,
    distances: Any,
    places: Any,
    values: Any,
) -> tuple[int, int]:
    """Write the shifts from `start` on whose distances are below a bound, and these distances.

    A tile of shifts is looked at while its distances are in cache. It stops where there may be no
    more room.

    Parameters
    ----------
    codes, plan, scratch, lanes
        As `count_tile` and `subtract_column` take them.
    size : int
        The number of positions.
    bound, start, shifts : int
    distances : ndarray of unsigned int
        Scratch: a tile.
    places, values : ndarray
        Have room for a tile.

    Returns
    -------
    count, stop : int
        How many were written, and how far it came.
    """
    _, _, _, waiting, _, masks = scratch
    levels, tile, count = waiting.size - 1, distances.size, 0
    counter = masks.size // (tile // COLUMN)
    below = distances.dtype.type(bound)
    while start < shifts and count + tile <= places.size:
        here = distances[: min(tile, shifts - start)]
        columns = -(-here.size // COLUMN)
        count_tile(codes, plan, scratch, start, columns, start + tile, here)
        for column in range(columns):
            at = column * COLUMN
            subtract_column(masks, column * counter, levels, (size,), lanes, here, at)
        more, _ = places_below(here, 0, below, lanes, places[count:], values[count:])
        places[count : count + more] += start
        count += more
        start += here.size
    return count, start
