"""Progress records, callbacks and bars."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lowapprox._core.errors import InputTypeError

__all__ = ["Progress", "Reporter"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What a callback is told.

    Attributes
    ----------
    step : int
        Number of steps done.
    passes : int
        Passes over the matrix so far.
    value : float
        The quantity that the stopping rule watches.
    target : float
        The value at which the work stops.
    """

    step: int
    passes: int
    value: float
    target: float


class Reporter:
    """Hands progress to a callback and a line on stderr; remembers a request to stop."""

    def __init__(self, callback: Callable[[Progress], Any] | None, progress: bool) -> None:
        if callback is not None and not callable(callback):
            raise InputTypeError(f"`callback` must be a function or None, got {callback!r}")
        self._callback = callback
        self._progress = progress
        self._stopped = False

    def __call__(self, step: int, passes: int, value: float, target: float) -> bool:
        """Report one step; return True when the callback asks to stop, or has asked."""
        if self._progress:
            sys.stderr.write(f"\rstep {step}, {passes} passes: {value:.2e} (target {target:.2e})")
            sys.stderr.flush()
        if self._callback is not None and self._callback(Progress(step, passes, value, target)):
            self._stopped = True
        return self._stopped

    def close(self) -> None:
        """End the line of the progress display."""
        if self._progress:
            sys.stderr.write("\n")
