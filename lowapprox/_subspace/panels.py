"""Panel algebra between compiled products.

The same operations as NumPy expressions, on the numba threads in place of BLAS: the idle threads
of a BLAS pool spin and take the cores from the products, and one BLAS thread is slower.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.typing import Array

__all__ = ["add_panel", "add_rows", "gram", "is_panel", "multiply", "rows_dot"]

_MAX_RANGES = 32
_RANGE_ROWS = 512  # a range has at least so many panel rows


def is_panel(P: Array) -> bool:
    """Tell whether the kernels take an array: C-contiguous, 4, 8, 16 or 32 real columns.

    Rows are two cache lines long at most, so that they stay in registers.
    """
    return (
        isinstance(P, np.ndarray)
        and P.ndim == 2
        and P.shape[1] in {4, 8, 16, 32}
        and P.shape[1] * P.itemsize <= 128
        and P.dtype.char in "fd"
        and P.dtype.isnative
        and P.flags.c_contiguous
        and P.flags.aligned
    )


def gram(P: Array) -> Array:
    """Return ``P^T P`` of a panel of shape (m, w), in double precision."""
    return _run("gram", P, slots=P.shape[1])


def multiply(P: Array, C: Array) -> None:
    """Replace a panel of shape (m, w) by ``P @ C``."""
    _run("multiply", P, _flat(C, P))


def add_panel(P: Array, U: Array, C: Array) -> Array:
    """Add ``U @ C`` to a panel and return the Gram matrix of the sum, in double precision.

    Parameters
    ----------
    P : numpy.ndarray, shape (m, w)
        A panel (see `is_panel`); it is changed.
    U : numpy.ndarray, shape (m, w)
        Another panel of the same precision.
    C : numpy.ndarray, shape (w, w)

    Returns
    -------
    numpy.ndarray, shape (w, w), float64
    """
    return _run("add_panel", P, U.reshape(-1), _flat(C, P), slots=P.shape[1])


def rows_dot(V: Array, P: Array) -> Array:
    """Return ``V @ P`` in double precision.

    Parameters
    ----------
    V : numpy.ndarray, shape (d, n), C-contiguous
    P : numpy.ndarray, shape (n, w)
        A panel (see `is_panel`) of the same precision.

    Returns
    -------
    numpy.ndarray, shape (d, w), float64
    """
    return _run("rows_dot", P, V, slots=V.shape[0])


def add_rows(P: Array, V: Array, H: Array) -> None:
    """Add ``V^T @ H`` to a panel.

    Parameters
    ----------
    P : numpy.ndarray, shape (n, w)
        A panel (see `is_panel`); it is changed.
    V : numpy.ndarray, shape (d, n), C-contiguous
        Rows of the same precision.
    H : numpy.ndarray, shape (d, w)
    """
    _run("add_rows", P, V, _flat(H, P))


def _flat(C: Array, P: Array) -> Array:
    return np.ascontiguousarray(C, dtype=P.dtype).reshape(-1)


def _run(name: str, P: Array, *args: Any, slots: int | None = None) -> Array:
    """Run a kernel on fixed ranges of panel rows; sum the `slots` rows that each one writes."""
    from lowapprox._core.threads import parallel_allowed
    from lowapprox._subspace import kernels_panel

    m, w = P.shape
    ranges = max(1, min(_MAX_RANGES, m // _RANGE_ROWS))
    bounds = np.arange(ranges + 1) * m // ranges
    sums = np.empty((ranges, (slots or 0) * w))
    out = () if slots is None else (sums,)
    common = (P.reshape(-1), *args, (0,) * w)
    if ranges > 1 and parallel_allowed():
        getattr(kernels_panel, f"{name}_parallel")(*common, bounds, *out)
    else:
        serial = getattr(kernels_panel, name)
        for p in range(ranges):
            serial(*common, bounds[p], bounds[p + 1], *(slot[p] for slot in out))
    return sums.sum(axis=0).reshape(-1, w)
