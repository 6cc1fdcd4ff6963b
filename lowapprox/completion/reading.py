"""Every form in which observed entries may be given becomes `Observations`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from lowapprox._core.checks import checked_choice, checked_int
from lowapprox._core.errors import InputError, InputTypeError
from lowapprox.completion.observations import Observations
from lowapprox.completion.ratings import Ratings
from lowapprox.completion.sorting import (
    Compressed,
    Host,
    borders,
    both_orders,
    by_row,
    index_dtype,
    selected,
    transposed,
)

__all__ = ["read"]

_BLOCK = 1 << 20  # entries of a dense array that are looked at together


class _Given(NamedTuple):
    """Entries in memory of their own, equal positions as they came, by rows or by columns."""

    half: Compressed
    shape: tuple[int, int]
    by_columns: bool = False

    def observed(self) -> Observations:
        """Return the entries in both orders."""
        if self.by_columns:
            return _Given(self.half, self.shape[::-1]).observed().T
        return Observations(self.shape, *both_orders(self.half, self.shape))


def read(
    A: Any,
    *,
    mask: Any = None,
    shape: Any = None,
    weights: Any = None,
    duplicates: str = "error",
    name: str = "A",
) -> Observations:
    """Read the observed entries of a matrix, and check them.

    Parameters
    ----------
    A : scipy.sparse array or matrix, array, numpy.ma array, tuple (rows, columns, values), Ratings
        Stored entries of a sparse array are observed, stored zeros too; the fill of BSR blocks and
        of DIA diagonals is stored. NaN in a dense array without a mask is missing.
    mask : array of bool, shape (m, n), optional
        Which entries of a dense array are observed.
    shape : tuple of int
        Needed for triples. For Ratings the numbers of users and items by default.
    weights : optional
        In the form of the values: of shape (m, n) for a dense array, a sparse array of the same
        pattern for a sparse one, of the shape of the values for triples. Zero is not observed.
    duplicates : {"error", "mean", "last"}
        What to do with entries that are given more than once. Their weights are treated alike; the
        mean is a weighted one.

    Raises
    ------
    InputError
        If an observed value is NaN or infinite, a weight negative, a position out of range or
        given twice, or a shape wrong.
    InputTypeError
        For what has no entries to read, is not in host memory, or not real.
    """
    checked_choice(duplicates, "duplicates", ("error", "mean", "last"))
    shape = None if shape is None else _checked_shape(shape)
    if isinstance(A, Ratings):
        A, shape = A.triples, A.shape if shape is None else shape
    if isinstance(A, tuple) and len(A) == 3:
        _no_mask(mask, "triples")
        given = _triples(A, weights, shape, name)
    elif _is_sparse(A):
        _no_mask(mask, "a sparse array")
        given = _sparse(A, name)
    else:
        given = _dense(A, mask, weights, name)
    if shape is not None and shape != given.shape:
        hint = "; triples are a tuple" if isinstance(A, list) and len(A) == 3 else ""
        raise InputError(f"`shape` must be that of `{name}`, {given.shape}, got {shape}{hint}")
    observed = given.observed()
    observed = _without_duplicates(observed, duplicates, name)
    if weights is not None and _is_sparse(A):
        observed = _weighted(observed, weights, duplicates, name)
    return _checked(observed, name)


def _checked(observed: Observations, name: str) -> Observations:
    """Leave out the entries without weight; what is left must be finite."""
    weights = observed.rows.weights
    if weights is not None:
        if not (weights >= 0).all() or np.isinf(weights).any():
            raise InputError(
                "`weights` must be finite and at least 0, "
                f"got values from {weights.min():.3g} to {weights.max():.3g}"
            )
        if not weights.all():
            observed = observed.selected(weights > 0)
    values = observed.rows.values
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise InputError(
            f"the observed entries of `{name}` must be finite, got NaN or infinity in {bad} of "
            f"{values.size}"
        )
    return observed


# Forms of input


def _triples(
    A: tuple[Any, Any, Any], weights: Any, shape: tuple[int, int] | None, name: str
) -> _Given:
    if shape is None:
        raise InputError("`shape` must be given with triples (rows, columns, values), got None")
    values = _numbers(A[2], f"{name}[2]")
    if values.ndim != 1:
        raise InputError(f"`{name}[2]` must have one dimension, got shape {values.shape}")
    rows = _positions(A[0], values.size, shape[0], f"{name}[0]")
    columns = _positions(A[1], values.size, shape[1], f"{name}[1]")
    if weights is not None:
        weights = _in_precision(_numbers(weights, "weights"), values.dtype)
        if weights.shape != values.shape:
            raise InputError(f"`weights` must have shape {values.shape}, got {weights.shape}")
    return _Given(by_row(rows, columns, values, weights, shape), shape)


def _sparse(A: Any, name: str) -> _Given:
    if A.ndim != 2:
        raise InputError(f"`{name}` must have 2 dimensions, got shape {A.shape}")
    shape = (int(A.shape[0]), int(A.shape[1]))
    if A.format not in {"csr", "csc"}:
        rows, columns, values = _dia(A) if A.format == "dia" else _coordinates(A)
        values = _numbers(values, name)
        rows = _positions(rows, values.size, shape[0], name)
        columns = _positions(columns, values.size, shape[1], name)
        return _Given(by_row(rows, columns, values, None, shape), shape)
    side = shape if A.format == "csr" else shape[::-1]
    count = int(A.indptr[-1])  # the arrays may be longer
    values = A.data[:count].astype(_precision(A.dtype, name))
    if (np.diff(A.indptr) < 0).any():
        raise InputError(f"`{name}.indptr` must not decrease")
    indices = _positions(A.indices[:count], count, side[1], f"{name}.indices")
    indices = indices.astype(index_dtype(shape))
    half = Compressed(A.indptr.astype(np.int64), indices, values, None)
    return _Given(half, shape, A.format == "csc")


def _coordinates(A: Any) -> tuple[Host, Host, Host]:
    """Return what a COO, BSR, LIL or DOK array stores."""
    coo = A.tocoo(copy=False)
    return coo.row, coo.col, coo.data


def _dia(A: Any) -> tuple[Host, Host, Host]:
    """Return the diagonals; scipy's own conversion would drop the zeros."""
    m, n = A.shape
    columns = np.broadcast_to(np.arange(A.data.shape[1]), A.data.shape)
    rows = columns - A.offsets[:, None]
    inside = (rows >= 0) & (rows < m) & (columns < n)
    return rows[inside], columns[inside], A.data[inside]


def _dense(A: Any, mask: Any, weights: Any, name: str) -> _Given:
    A = _host_array(A, name)
    if A.ndim != 2:
        raise InputError(f"`{name}` must have 2 dimensions, got shape {A.shape}")
    dtype = _precision(A.dtype, name)
    if isinstance(A, np.ma.MaskedArray):
        _no_mask(mask, "a masked array")
        hidden = np.ma.getmaskarray(A)
        A, mask = A.data, ~hidden
    if mask is not None:
        mask = _host_array(mask, "mask")
        if mask.dtype != np.bool_:
            raise InputTypeError(f"`mask` must be an array of bool, got dtype {mask.dtype}")
        if mask.shape != A.shape:
            raise InputError(f"`mask` must have shape {A.shape}, got {mask.shape}")
    if weights is not None:
        weights = _numbers(_host_array(weights, "weights"), "weights")
        if weights.shape != A.shape:
            raise InputError(f"`weights` must have shape {A.shape}, got {weights.shape}")
    index = index_dtype(A.shape)
    indptr = np.zeros(A.shape[0] + 1, np.int64)
    # A first part without entries, since there may be no rows.
    indices, values, kept = [np.empty(0, index)], [np.empty(0, dtype)], [np.empty(0, dtype)]
    step = max(1, _BLOCK // max(1, A.shape[1]))
    for start in range(0, A.shape[0], step):
        rows = slice(start, start + step)
        block = A[rows]
        if mask is not None:
            known = mask[rows]
        else:
            known = ~np.isnan(block) if A.dtype.kind == "f" else np.ones(block.shape, np.bool_)
        indptr[1:][rows] = known.sum(axis=1)
        indices.append(np.nonzero(known)[1].astype(index))
        values.append(block[known].astype(dtype))
        if weights is not None:
            kept.append(_in_precision(weights[rows][known], dtype))
    np.cumsum(indptr, out=indptr)
    w = None if weights is None else np.concatenate(kept)
    return _Given(Compressed(indptr, np.concatenate(indices), np.concatenate(values), w), A.shape)


# Weights and duplicates


def _weighted(observed: Observations, weights: Any, duplicates: str, name: str) -> Observations:
    """Attach sparse weights, which must have the pattern of the values."""
    if not _is_sparse(weights):
        raise InputTypeError(
            f"`weights` must be a sparse array of the pattern of `{name}`, "
            f"got {type(weights).__name__}"
        )
    given = _without_duplicates(_sparse(weights, "weights").observed(), duplicates, "weights")
    shape = given.shape
    if shape != observed.shape or not (
        np.array_equal(given.rows.indptr, observed.rows.indptr)
        and np.array_equal(given.rows.indices, observed.rows.indices)
    ):
        raise InputError(
            f"`weights` must store the entries that `{name}` stores, {observed.count} of shape "
            f"{observed.shape}, got {given.count} of shape {shape}"
        )
    halves = (
        replace(half, weights=_in_precision(w.values, observed.dtype))
        for half, w in ((observed.rows, given.rows), (observed.columns, given.columns))
    )
    return Observations(shape, *halves)


def _in_precision(weights: Host, dtype: np.dtype[Any]) -> Host:
    """Return weights in the precision of the values; none may become zero or infinite by that."""
    with np.errstate(over="ignore"):
        w: Host = weights.astype(dtype, copy=False)
    if (
        w is not weights
        and ((np.isinf(w) & np.isfinite(weights)) | ((w == 0) & (weights != 0))).any()
    ):
        size = np.abs(weights[weights != 0])
        raise InputError(
            f"`weights` must lie in the range of {dtype}, the precision of the values, "
            f"got sizes from {size.min():.3g} to {size.max():.3g}"
        )
    return w


def _without_duplicates(observed: Observations, duplicates: str, name: str) -> Observations:
    """Refuse or merge entries at the same position."""
    rows = observed.rows
    same = rows.indices[1:] == rows.indices[:-1]
    same[borders(rows)] = False
    if not same.any():
        return observed
    first = np.concatenate([[True], ~same])
    if duplicates == "error":
        at = int(np.flatnonzero(same)[0])
        place = (int(np.searchsorted(rows.indptr, at, side="right")) - 1, int(rows.indices[at]))
        raise InputError(
            f"`{name}` must hold each entry once, got {int(same.sum())} entries more than there "
            f"are positions, such as {place}; merge them with duplicates='mean' or 'last'"
        )
    if duplicates == "last":
        merged = selected(rows, np.concatenate([~same, [True]]))
    else:
        merged = _mean(rows, first)
    return Observations(observed.shape, merged, transposed(merged, observed.shape[1]))


def _mean(rows: Compressed, first: Host) -> Compressed:
    """Return the mean of entries at the same position; `first` marks one for each position."""
    begins = np.flatnonzero(first)
    counts = np.diff(np.append(begins, first.size))
    kept = selected(rows, first)
    values = rows.values.astype(np.float64)
    total, size = np.add.reduceat(values, begins), counts.astype(np.float64)
    weights = None
    if rows.weights is not None:
        w = rows.weights.astype(np.float64)
        # An entry without weight is not observed, and its value may be anything.
        products = np.where(w == 0, 0.0, w * np.where(w == 0, 0.0, values))
        total, size = np.add.reduceat(products, begins), np.add.reduceat(w, begins)
        weights = (size / counts).astype(rows.weights.dtype)
    mean = total / np.where(size == 0, 1.0, size)
    return replace(kept, values=mean.astype(rows.values.dtype), weights=weights)


# Arrays


def _is_sparse(A: Any) -> bool:
    # scipy.sparse costs too much to import only to ask; whoever owns such an array has it.
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(A))


def _no_mask(mask: Any, form: str) -> None:
    if mask is not None:
        raise InputError(f"`mask` must be None with {form}, whose entries say what is observed")


def _host_array(A: Any, name: str) -> Any:
    """Return an array in host memory, masked or not."""
    if isinstance(A, np.ndarray):  # numpy.matrix is none that can be indexed
        return A if isinstance(A, np.ma.MaskedArray) else np.asarray(A)
    package = type(A).__module__.split(".")[0]
    if package in {"torch", "cupy", "jax", "jaxlib"} or hasattr(A, "__array_namespace__"):
        raise InputTypeError(
            f"`{name}` must be in host memory, a NumPy or scipy.sparse array, got an array of "
            f"{package}; pass numpy.asarray({name}), the result is NumPy's too"
        )
    if package == "dask":
        raise InputTypeError(
            f"`{name}` is a Dask array, which this function does not take; use {name}.compute()"
        )
    if not isinstance(A, (list, tuple)) and not hasattr(A, "__array__"):
        raise InputTypeError(
            f"`{name}` must be a scipy.sparse array, an array, or a tuple (rows, columns, values), "
            f"got {type(A).__name__}"
        )
    try:
        return np.asarray(A)
    except ValueError as exc:
        raise InputTypeError(f"`{name}` cannot be read as an array of numbers: {exc}") from exc


def _numbers(x: Any, name: str) -> Host:
    """Return a real array in the precision that is computed in."""
    array = _host_array(x, name)
    if isinstance(array, np.ma.MaskedArray):
        raise InputTypeError(f"`{name}` must not be a masked array here; leave entries out")
    values: Host = array.astype(_precision(array.dtype, name), copy=False)
    return values


def _precision(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    if dtype.kind in "biu" or dtype.char == "d":
        return np.dtype(np.float64)
    if dtype.char in "ef":
        return np.dtype(np.float32)
    raise InputTypeError(
        f"`{name}` must have a boolean, integer or float16/32/64 dtype, got {dtype}"
    )


def _positions(x: Any, count: int, size: int, name: str) -> Host:
    """Return row or column numbers, checked."""
    index = _host_array(x, name)
    if index.dtype.kind not in "iu" and index.size:
        raise InputTypeError(f"`{name}` must hold integers, got dtype {index.dtype}")
    if index.shape != (count,):
        raise InputError(f"`{name}` must have shape ({count},), got {index.shape}")
    if count:
        low, high = int(index.min()), int(index.max())
        if low < 0 or high >= size:
            raise InputError(f"`{name}` must lie in [0, {size - 1}], got {low} to {high}")
    kind = np.int32 if index.dtype.itemsize <= 4 and size < 2**31 else np.int64
    positions: Host = index.astype(kind, copy=False)
    return positions


def _checked_shape(shape: Any) -> tuple[int, int]:
    try:
        m, n = shape
    except (TypeError, ValueError):
        raise InputTypeError(f"`shape` must be a pair of integers, got {shape!r}") from None
    return checked_int(m, "shape[0]", 0), checked_int(n, "shape[1]", 0)
