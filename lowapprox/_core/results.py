"""What all result objects share."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

__all__ = ["Result"]


class Result:
    """Base of the frozen result objects: a one-line repr with shapes in place of contents."""

    __slots__ = ()
    _shown: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        parts = (f"{name}={_short(getattr(self, name))}" for name in self._shown)
        return f"{type(self).__name__}({', '.join(parts)})"


def _short(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.3g}"
    if hasattr(value, "shape"):
        return str(tuple(int(n) for n in value.shape))
    return repr(value)
