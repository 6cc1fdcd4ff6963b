"""The operators under test, and a switch between their two paths."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from lowapprox.sketching import (
    SRHT,
    SRTT,
    CountSketch,
    Fastfood,
    Gaussian,
    KhatriRaoSign,
    Rademacher,
    RowSampling,
    SparseSign,
    TensorSketch,
    TensorSRHT,
    operators,
)

# Their entries depend on the key and the indices only, whatever n is.
UNBOUNDED: dict[str, Callable[..., Any]] = {
    "gaussian": Gaussian,
    "rademacher": Rademacher,
    "sparse": SparseSign,
    "sparse-3": partial(SparseSign, zeta=3),
    "countsketch": CountSketch,
    "srht": SRHT,
    "srht-16": partial(SRHT, block=16),
}


def sampling(m: int, n: int, **options: Any) -> RowSampling:
    """Sample with unequal chances; nothing can be chosen where there is nothing."""
    return RowSampling(m if n else 0, n, probabilities=1.0 + np.arange(n) % 5, **options)


def tensor(operator: Callable[..., Any]) -> Callable[..., Any]:
    """Make a tensor operator for up to three factors, of about equal sizes."""

    def make(m: int, n: int, **options: Any) -> Any:
        sizes = [n]
        while sizes[-1] > 3 and len(sizes) < 3:
            n = sizes.pop()
            a = next(a for a in range(math.isqrt(n), 0, -1) if n % a == 0)
            sizes += [a, n // a]
        return operator(m, sizes, **options)

    return make


KINDS: dict[str, Callable[..., Any]] = UNBOUNDED | {
    "srht-exact": partial(SRHT, exact=True),
    "srht-exact-16": partial(SRHT, exact=True, block=16),
    "srtt": SRTT,
    "fastfood": Fastfood,
    "sampling": sampling,
    "tensor-srht": tensor(TensorSRHT),
    "tensor-sketch": tensor(TensorSketch),
    "khatri-rao-sign": tensor(KhatriRaoSign),
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
