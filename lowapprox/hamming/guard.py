"""Bounds on the rounding errors of correlations by Fourier transforms.

The derivation stands in the user guide, "Rounding in counting by Fourier transforms".
"""

from __future__ import annotations

import math

__all__ = ["DOUBLE", "LIMIT", "SINGLE", "TWIDDLE", "error_bound", "transform_growth"]

# An error below one half leaves the nearest integer unchanged; the rest is a margin for what the
# bound leaves out: underflow, and the rounding of the bound itself.
LIMIT = 0.49

SINGLE, DOUBLE = 2.0**-24, 2.0**-53  # unit roundoffs

# Of the twiddle factors in double precision: two roundings of an angle up to pi / 4, and sines and
# cosines with an error of four units in the last place, which more than covers NumPy's.
TWIDDLE = 8 * DOUBLE


def transform_growth(size: int, unit: float = SINGLE, *, exact_start: bool = False) -> float:
    """Return the logarithm of 1 + the relative error of a transform, in the 2-norm.

    Parameters
    ----------
    size : int
        Length, a power of 4.
    unit : float
        Unit roundoff; the twiddle factors are rounded to it from double precision.
    exact_start : bool
        Whether the first step adds small integers, without rounding.
    """
    steps = (size.bit_length() - 1) // 2
    adds = 2 * (steps - exact_start)
    turns = steps - 1  # the last step of a transform, the first of its inverse, turns nothing
    factor = math.log1p(TWIDDLE) + (math.log1p(unit) if unit > DOUBLE else 0.0)
    return adds * math.log1p(unit) + turns * (_product(unit) + factor)


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
    text = transform_growth(size, exact_start=True)
    pattern = transform_growth(size, DOUBLE) + math.log1p(SINGLE)
    sums = _product(SINGLE) + (2 * signals - 2 + chunks - 1) * math.log1p(SINGLE)
    error = math.expm1(text + pattern + sums + transform_growth(size)) * norms
    return error + (SINGLE * (largest + error) if largest else 0.0)


def _product(unit: float) -> float:
    """Return the logarithm of 1 + the relative error of a complex product, fused or not."""
    return math.log1p(math.sqrt(2.0) * unit) + math.log1p(unit)
