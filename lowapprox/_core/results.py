"""What all result objects share."""

from __future__ import annotations

from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from lowapprox._core.threads import thread_counts

__all__ = ["Result", "run_info"]


class Result:
    """Base of the frozen result objects: a one-line repr with shapes in place of contents."""

    __slots__ = ()
    _shown: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        parts = (f"{name}={_short(getattr(self, name))}" for name in self._shown)
        return f"{type(self).__name__}({', '.join(parts)})"


def run_info(start: float, method: str, **more: Any) -> dict[str, Any]:
    """Return what every `info` says: method, seconds since `start` and threads; and more."""
    seconds = {"total": perf_counter() - start}
    return {"method": method, "seconds": seconds, "threads": thread_counts(), **more}


def _short(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.3g}"
    if hasattr(value, "shape"):
        return str(tuple(int(n) for n in value.shape))
    return repr(value)
