"""Fast Walsh-Hadamard transform."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.checks import checked_int
from lowapprox._core.errors import InputError, InputTypeError
from lowapprox._core.matrix import _compute_dtype
from lowapprox._core.typing import Array
from lowapprox.sketching.operators import NDArray, use_kernels

__all__ = ["fwht", "hadamard_transform", "parity_signs"]

_ROWS = 2048  # rows that are transformed in the cache
_LANES = 32  # of the widest vectors
_TASKS = 32  # parts of one pass, spread over the threads


def fwht(x: Array, axis: int = 0, *, out: Array | None = None) -> Array:
    """Multiply by the Hadamard matrix of entries +-1 along an axis.

    Parameters
    ----------
    x : array
        Of any number of dimensions but none, and any array-API namespace. Its length n along the
        axis is a power of two.
    axis : int, default 0
        Axis of the transform.
    out : numpy.ndarray, optional
        Where the result goes, of the shape and precision of the result; `x` itself is allowed. For
        NumPy input only.

    Returns
    -------
    array
        ``H x`` with ``H[i, j] = (-1)^popcount(i & j)``, of the shape of `x`; integers become
        float64. Twice the transform is n times the identity.

    Raises
    ------
    InputError
        If the length along the axis is no power of two, there is no such axis, or `out` has
        another shape or is not writable.
    InputTypeError
        If the numbers are not real or complex ones, or `out` has another type.

    Notes
    -----
    Costs ``log2(n)`` additions for each entry, and two passes over the array for n up to four
    million. A NaN or an infinity makes its whole transform NaN or infinite.

    References
    ----------
    .. [1] Fino, Algazi (1976), "Unified matrix treatment of the fast Walsh-Hadamard transform",
       doi:10.1109/TC.1976.1674569.

    Examples
    --------
    >>> from lowapprox.sketching import fwht
    >>> fwht([1.0, 0.0, 1.0, 0.0])
    array([2., 2., 0., 0.])
    """
    xp = _other_namespace(x)
    if xp is None:
        if np.ma.isMaskedArray(x) and np.ma.getmaskarray(x).any():
            raise InputTypeError("`x` has masked entries; fill them")
        x = np.asarray(x)
    if x.ndim == 0:
        raise InputError("`x` must have at least one dimension, got a scalar")
    axis = checked_int(axis, "axis", -x.ndim, x.ndim - 1) % x.ndim
    n = x.shape[axis]
    if n == 0 or n & (n - 1):
        raise InputError(f"`x` must have a power of two as length along axis {axis}, got {n}")
    if xp is not None:
        if out is not None:
            raise InputTypeError("`out` must be None for arrays that are not of NumPy")
        return _transform_namespace(x, axis, xp)
    dtype = _compute_dtype(x.dtype, "x")
    if out is None:
        work = np.array(np.moveaxis(x, axis, 0), dtype, order="C")
        hadamard_transform(work.reshape(n, -1) if work.size else work)
        return np.moveaxis(work, 0, axis)
    _check_out(out, x.shape, dtype)
    target = np.moveaxis(out, axis, 0)
    work = target if target.flags.c_contiguous else np.empty(target.shape, dtype)
    work[...] = np.moveaxis(x, axis, 0)
    hadamard_transform(work.reshape(n, -1) if work.size else work)
    if work is not target:
        target[...] = work
    return out


def hadamard_transform(x: NDArray) -> None:
    """Transform a C-contiguous array of floating-point numbers along its first axis, in place."""
    if x.size == 0:
        return
    with np.errstate(over="ignore", invalid="ignore"):  # infinities and NaN go through
        if use_kernels(x.size) and x.shape[0] >= _LANES:
            _transform_large(x.view(x.real.dtype))
        else:
            _transform_levels(x.reshape(x.shape[0], -1))


def parity_signs(x: NDArray) -> NDArray:
    """Return ``(-1)^popcount(x)`` for nonnegative integers: entries of Hadamard matrices."""
    return 1.0 - 2.0 * (np.bitwise_count(x) & 1)


def _transform_levels(x: NDArray) -> None:
    h = 1
    while h < x.shape[0]:
        pairs = x.reshape(-1, 2, h, x.shape[1])
        difference = pairs[:, 0] - pairs[:, 1]
        pairs[:, 0] += pairs[:, 1]
        pairs[:, 1] = difference
        h *= 2


def _transform_large(x: NDArray) -> None:
    """Transform by kernels, whose vectors are 16 or 32 columns."""
    from lowapprox._core.threads import run_blocks
    from lowapprox.sketching.kernels import hadamard_groups

    (n, k), w = x.shape, 128 // x.itemsize
    if 1 < k < w // 2:
        for j in range(k):
            column = x[:, j].copy()
            _transform_large(column[:, None])
            x[:, j] = column
        return
    if k == 1:  # the lowest levels by a small dense transform: all its entries are signs
        x = x.reshape(n // w, w)
        n, k = x.shape
        index = np.arange(w)
        x[...] = x @ parity_signs(index[:, None] & index).astype(x.dtype)
    flat, lanes, h = x.reshape(-1), (0.0,) * w, 1
    while h < n:
        rows = min(_ROWS, n // h)
        groups = n // rows
        cuts = np.arange(_TASKS + 1) * groups // _TASKS

        def task(i: int, h: int = h, rows: int = rows, cuts: NDArray = cuts) -> None:
            with np.errstate(over="ignore", invalid="ignore"):  # of this thread
                hadamard_groups(flat, cuts[i], cuts[i + 1], h, rows, k, lanes)

        run_blocks(task, _TASKS)
        h *= rows


def _transform_namespace(x: Array, axis: int, xp: Any) -> Array:
    """Do the same with the operations of another namespace, on the device of the array."""
    dtype = _compute_dtype(str(x.dtype).rsplit(".", maxsplit=1)[-1], "x")
    x = xp.moveaxis(xp.astype(x, getattr(xp, dtype.name)), axis, 0)
    shape, n, h = tuple(x.shape), x.shape[0], 1
    x = xp.reshape(x, (n, -1)) if 0 not in shape else x
    while h < n and 0 not in shape:
        pairs = xp.reshape(x, (n // (2 * h), 2, h, -1))
        a, b = pairs[:, 0, :, :], pairs[:, 1, :, :]
        x = xp.stack([a + b, a - b], axis=1)
        h *= 2
    return xp.moveaxis(xp.reshape(x, shape), 0, axis)


def _check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if not isinstance(out, np.ndarray) or out.dtype != dtype:
        found = getattr(out, "dtype", type(out).__name__)
        raise InputTypeError(f"`out` must be a {dtype} NumPy array, got {found}")
    if out.shape != shape or not out.flags.writeable:
        raise InputError(
            f"`out` must have shape {shape} and be writable, got shape {out.shape}, "
            f"writable: {out.flags.writeable}"
        )


def _other_namespace(x: Any) -> Any:
    """Return the namespace of an array that is not of NumPy, else None."""
    if isinstance(x, (np.ndarray, np.generic, list, tuple, int, float, complex)):
        return None
    import array_api_compat

    if array_api_compat.is_dask_array(x):
        raise InputTypeError("`x` must not be a Dask array; pass one block after the other")
    try:
        return array_api_compat.array_namespace(x)
    except TypeError:
        if hasattr(x, "__array__"):
            return None
        raise InputTypeError(f"`x` must be an array, got {type(x).__name__}") from None
