"""Arrays in the form that the kernels are compiled for."""

from __future__ import annotations

import numpy as np

from lowapprox._core.typing import Array

__all__ = ["as_writeable"]


def as_writeable(array: Array) -> Array:
    """Return a view that may be written to: kernels are compiled apart for arrays that may not.

    Only for kernels that read it.
    """
    return array if array.flags.writeable else np.asarray(_Memory(array))


class _Memory:
    """Memory of an array, which it keeps alive."""

    __slots__ = ("__array_interface__", "_owner")

    def __init__(self, owner: Array) -> None:
        interface = owner.__array_interface__
        self.__array_interface__ = interface | {"data": (interface["data"][0], False)}
        self._owner = owner
