"""What every row of the demo says."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["DemoRow", "timed"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class DemoRow:
    """One computation of the demo.

    Attributes
    ----------
    name : str
        The function, and the file name of its picture.
    data : str
        The data set, in words.
    shape : tuple of int
        Shape of the matrix, or lengths of text and pattern.
    method : str
        The method that was chosen, and the rank or whatever else bounds the result.
    seconds, exact_seconds : float
        Time of the call, and of the exact computation that it replaces.
    error, estimate : float
        Relative error (of counts, over the largest that is possible): the true one, and the one
        that the result states.
    kind : str
        What the stated error claims to be: "exact", "estimate" or "bound".
    draw : callable, optional
        Draws into the matplotlib figure that it is given.
    """

    name: str
    data: str
    shape: tuple[int, int]
    method: str
    seconds: float
    exact_seconds: float
    error: float
    estimate: float
    kind: str
    draw: Callable[[Any], None] | None = None


def timed(call: Callable[[], R], repeat: int = 3) -> tuple[R, float]:
    """Return the result of a call and its median time after one call that is not timed."""
    result, times = call(), []
    for _ in range(repeat):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return result, statistics.median(times)
