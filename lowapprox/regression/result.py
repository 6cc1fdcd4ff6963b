"""The result of a least-squares solution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lowapprox._core.results import Result
from lowapprox._core.typing import Array

__all__ = ["LstsqResult"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LstsqResult(Result):
    """Solution of a least-squares problem with its errors.

    What belongs to one right-hand side is a number where `b` has one dimension, and an array of
    shape (k,) where it has two.

    Attributes
    ----------
    x : numpy.ndarray, shape (d,) or (d, k)
        The solution.
    residual_norm : float or numpy.ndarray
        ``|b - A x|_2``, weighted where weights were given; without the ridge term. An estimate for
        the methods that read `A` once.
    backward_error : float or numpy.ndarray
        The size of the smallest change of `A` and `b` that makes `x` an exact solution, relative to
        ``|A|_F``, for columns of `A` scaled to unit norm (Karlson-Walden estimate). NaN for the
        methods that read `A` once.
    forward_error_bound : float or numpy.ndarray
        First-order bound of ``|x - x*| / |x|``, both multiplied by the norms of the columns, from
        the backward error and the estimated condition number. NaN where the rank is not full.
    entry_bound : numpy.ndarray, shape of `x`, or None
        With probability ``1 - delta`` all ``|x_i - x*_i|`` are smaller, where x* is the exact
        solution. For "linf", and for "sketch" where no few rows of `A` decide single entries.
    cond_estimate : float
        Condition number of `A` with columns scaled to unit norm.
    rank : int
        Numerical rank by the rule for `rcond`.
    converged : bool
        Whether the backward error is at most the tolerance, for the methods that read `A` once
        whether the bounds are as small as asked.
    passes : int
        Reads of `A`.
    info : Mapping
        Method and why, iterations, tolerance, seconds, threads.
    """

    x: Array
    residual_norm: float | np.ndarray[Any, Any]
    backward_error: float | np.ndarray[Any, Any]
    forward_error_bound: float | np.ndarray[Any, Any]
    entry_bound: Array | None
    cond_estimate: float
    rank: int
    converged: bool
    passes: int
    info: Mapping[str, Any]

    _shown: ClassVar[tuple[str, ...]] = (
        "x",
        "residual_norm",
        "backward_error",
        "rank",
        "converged",
        "passes",
    )
