"""The operators under test, and a switch between their two paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from lowapprox.sketching import SRHT, CountSketch, Gaussian, Rademacher, SparseSign, operators

KINDS: dict[str, Callable[..., Any]] = {
    "gaussian": Gaussian,
    "rademacher": Rademacher,
    "sparse": SparseSign,
    "sparse-3": partial(SparseSign, zeta=3),
    "countsketch": CountSketch,
    "srht": SRHT,
    "srht-16": partial(SRHT, block=16),
}


@contextmanager
def kernels(compiled: bool) -> Iterator[None]:
    """Use the compiled kernels always or never."""
    before = operators._KERNEL_ENTRIES
    operators._KERNEL_ENTRIES = 0 if compiled else 2**62
    try:
        yield
    finally:
        operators._KERNEL_ENTRIES = before


def tolerance(dtype: Any) -> float:
    return 1e-13 if str(dtype) in {"float64", "complex128"} else 1e-5
