"""Bounds on the rounding errors of correlations by Fourier transforms.

The derivation stands in the user guide, "Rounding in counting by Fourier transforms".
"""

from __future__ import annotations

import math

__all__ = ["LIMIT", "error_bound", "transform_growth"]

# An error below one half leaves the nearest integer unchanged; the rest is a margin for what the
# bound leaves out: underflow, and the rounding of the bound itself.
LIMIT = 0.49

_SINGLE, _DOUBLE = 2.0**-24, 2.0**-53
_DOUBLE_TWIDDLE = 4 * _DOUBLE  # NumPy's sine and cosine, and the rounding of their argument


def transform_growth(
    size: int, unit: float = _SINGLE, twiddle: float | None = None, *, exact_start: bool = False
) -> float:
    """Return the logarithm of 1 + the relative error of a transform.

    Parameters
    ----------
    size : int
        Length, a power of 4.
    unit : float
        Unit roundoff.
    twiddle : float, optional
        Relative error of the twiddle factors; `unit` if they are rounded once.
    exact_start : bool
        Whether the first step adds small integers, without rounding.
    """
    steps = (size.bit_length() - 1) // 2
    adds = 2 * (steps - exact_start)
    turns = steps - 1  # the last step of a transform, the first of its inverse, turns nothing
    per_turn = _product(unit) + math.log1p(unit if twiddle is None else twiddle)
    return adds * math.log1p(unit) + turns * per_turn


def error_bound(size: int, norms: float, signals: int, chunks: int, largest: float = 0.0) -> float:
    """Bound the error of a correlation in single precision, at every output.

    Parameters
    ----------
    size : int
        Length of the transforms, a power of 4.
    norms : float
        Sum over the products of (2-norm of the text signal) (2-norm of the pattern signal), in
        units of the result.
    signals : int
        Number of products that are summed directly.
    chunks : int
        Number of such sums that are then added.
    largest : float
        Bound on the result where it is shifted by a constant at the end, else 0.
    """
    sums = _product(_SINGLE) + (2 * signals - 2 + chunks - 1) * math.log1p(_SINGLE)
    pattern = transform_growth(size, _DOUBLE, _DOUBLE_TWIDDLE) + math.log1p(_SINGLE)
    text = transform_growth(size, exact_start=True)
    error = math.expm1(text + pattern + sums + transform_growth(size)) * norms
    return error + _SINGLE * (largest + error)


def _product(unit: float) -> float:
    """Return the logarithm of 1 + the relative error of a complex product, fused or not."""
    return math.log1p(math.sqrt(2.0) * unit) + math.log1p(unit)
