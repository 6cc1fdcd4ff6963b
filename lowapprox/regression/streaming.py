"""Least squares of rows that are seen once, a few at a time and in many places."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from lowapprox._core.checks import checked_int
from lowapprox._core.errors import ConvergenceWarning, InputError, InputTypeError, NumericalError
from lowapprox._core.matrix import as_matrix
from lowapprox._core.typing import Array, MatrixInput
from lowapprox.regression._request import checked_request, checked_sides, checked_weights
from lowapprox.regression.direct import direct
from lowapprox.regression.memory import check_memory
from lowapprox.regression.outcome import answered, result_of
from lowapprox.regression.result import LstsqResult
from lowapprox.regression.system import Host, System, make_system
from lowapprox.regression.tiles import Folded, empty_fold, fold_rows, folded_pair, height_of_tiles
from lowapprox.regression.triangle import one_thread

__all__ = ["StreamingLstsq"]

_UNITS = 30.0  # machine epsilons of backward error, and of singular values that count as zero
_BATCH = 16  # tiles that are folded side by side


class StreamingLstsq:
    """Least squares in one pass over the rows, exact up to rounding, in bounded memory.

    Feed blocks of rows with `partial_fit`; add what was made of other rows elsewhere with `merge`.
    `result` may be called at any time, for several values of `ridge`, and the stream goes on.

    Parameters
    ----------
    d : int
        Number of columns. Neither the number of rows nor that of right-hand sides need be known.
    check_finite : bool, default True
        Raise for NaN and infinity. Otherwise x is NaN from then on and `converged` is False.

    Attributes
    ----------
    d : int
    n_rows : int
        Number of rows so far.

    Raises
    ------
    InputError
        If `d` is not positive, or a triangle of d columns does not fit into memory.
    InputTypeError
        If `d` is no integer.

    See Also
    --------
    lstsq : The same for rows that can be read more than once, and faster methods for them.

    Notes
    -----
    Kept is the triangle R of the QR factorization ``[A, b] = Q R``, which determines x, the
    residual norm, rank and condition number. Its condition number is that of A, not the square as
    for sums of ``A^T A``, so that no digits are lost. A sketch of the rows would be cheaper to
    make and is smaller by nothing, but gives x up to statistical errors only, which a single pass
    cannot correct; where that is enough, see `lstsq` with ``method="linf"``.

    Rows fill tiles of a fixed height, whose triangles are joined in pairs, those of pairs again,
    and so on, so that the rounding error grows with the logarithm of the number of rows. Every
    factorization measures its error by one random combination of the columns;
    ``backward_error`` of the result is the sum of all that and of the error of the solution.

    The same rows in the same order give the same bits, in blocks of any sizes and for any number
    of threads; rows in another order, or merged, give the same up to rounding.

    Costs ``2 n (d + k)^2`` operations for n rows and k right-hand sides, `result`
    ``O((d + k)^3)``. Memory is ``(8 + log2(n / (8 (d + k)))) (d + k)^2`` numbers, or a block of
    32768 numbers where that is more.

    References
    ----------
    .. [1] Demmel, Grigori, Hoemmen, Langou (2012), "Communication-optimal parallel and sequential
       QR and LU factorizations", arXiv:0808.2664.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.regression import StreamingLstsq
    >>> gen = np.random.default_rng(0)
    >>> stream = StreamingLstsq(3)
    >>> for _ in range(100):
    ...     A = gen.standard_normal((50, 3))
    ...     _ = stream.partial_fit(A, A @ [1.0, 2.0, 3.0] + 0.1 * gen.standard_normal(50))
    >>> np.round(stream.result().x, 1)
    array([1., 2., 3.])
    >>> np.round(stream.result(ridge=5000.0).x, 1)
    array([0.5, 1. , 1.5])
    """

    def __init__(self, d: int, *, check_finite: bool = True) -> None:
        self.d = checked_int(d, "d", 1)
        check_memory((self.d, self.d), 4, name="d")
        self.check_finite = check_finite
        self.n_rows = 0
        self._count = 0  # of the rows of positive weight
        self._vector: bool | None = None  # whether b has one dimension, once that is known
        self._dtype: np.dtype[Any] | None = None  # of the result
        self._levels: list[Folded | None] = []  # the triangles of 1, 2, 4, ... tiles
        self._tile: Host = np.empty((0, 0))  # rows that fill no tile yet
        self._filled = 0

    def __repr__(self) -> str:
        return f"StreamingLstsq({self.d}, n_rows={self.n_rows})"

    def partial_fit(self, A: MatrixInput, b: Array, weights: Array | None = None) -> StreamingLstsq:
        """Add rows.

        Parameters
        ----------
        A : array or scipy.sparse array, shape (n, d)
            NumPy array of any strides, memmap, or scipy.sparse of any format. Blocks of many rows
            are faster than single ones.
        b : array, shape (n,) or (n, k)
            One or many right-hand sides, as many as in all blocks.
        weights : array, shape (n,), optional
            Factors of the squares of the residuals, at least 0.

        Returns
        -------
        StreamingLstsq
            This object.

        Raises
        ------
        InputError
            If a shape does not match, a weight is negative, or `A` or `b` contains NaN or
            infinity. Nothing has been added then.
        InputTypeError
            For dtypes and arrays without support, of which the rows cannot be read.
        """
        op = as_matrix(A)
        if op.shape[1] != self.d:
            raise InputError(f"`A` must have {self.d} columns, got shape {op.shape}")
        factors = checked_weights(weights, op.shape[0])
        values, vector, dtype = checked_sides(op, b)
        if self.check_finite and not np.isfinite(values).all():
            raise InputError("`b` must contain finite numbers, got NaN or infinity")
        if op.kind == "operator":
            raise InputTypeError(
                "`A` must be a NumPy or scipy.sparse array to be read by rows, "
                f"got {type(A).__name__}"
            )
        self._match(values.shape[1], vector, "b")
        with one_thread():
            self._take(make_system(op, values, factors, 0.0), vector, dtype)
        return self

    def merge(self, other: StreamingLstsq) -> StreamingLstsq:
        """Add the rows that another stream has seen.

        Parameters
        ----------
        other : StreamingLstsq
            With the same `d` and as many right-hand sides; it is not changed.

        Returns
        -------
        StreamingLstsq
            This object.

        Raises
        ------
        InputError
            If the columns or the right-hand sides are not as many.
        InputTypeError
            If `other` is no StreamingLstsq.
        """
        if not isinstance(other, StreamingLstsq):
            raise InputTypeError(f"`other` must be a StreamingLstsq, got {type(other).__name__}")
        if other.d != self.d:
            raise InputError(f"`other` must have d={self.d}, got {other.d}")
        if other._vector is None or other._dtype is None:
            return self
        width, rows = other._tile.shape[1] - 1, other._tile[: other._filled, :-1].copy()
        self._match(width - self.d, other._vector, "other")
        folds, rows_of_both = list(enumerate(other._levels)), self.n_rows + other.n_rows
        count = self._count + other._count
        part = make_system(as_matrix(rows[:, : self.d]), rows[:, self.d :], None, 0.0)
        self._take(part, other._vector, other._dtype)
        for level, fold in folds:
            if fold is not None:
                _push(self._levels, fold, level)
        self.n_rows, self._count = rows_of_both, count
        return self

    def result(self, *, ridge: float = 0.0, rcond: float | None = None) -> LstsqResult:
        """Solve ``min_x |A x - b|^2 + ridge |x|^2`` for the rows so far.

        Parameters
        ----------
        ridge : float, default 0.0
            At least 0.
        rcond : float, optional
            Singular values of A with columns of unit norm below `rcond` times the largest count as
            zero; x is then the solution of least norm. By default 30 times machine epsilon.

        Returns
        -------
        LstsqResult
            As of `lstsq`; `x` has the precision of all blocks together. It has converged if the
            backward error is at most 30 times machine epsilon, or `rcond` where the rank is not
            full.

        Raises
        ------
        InputError
            If `ridge` or `rcond` is out of its range.
        NumericalError
            If entries near the largest floating-point number made a sum overflow.

        Warns
        -----
        ConvergenceWarning
            If the rounding errors of all factorizations add up to more than that.
        """
        start = time.perf_counter()
        d, dtype = self.d, np.dtype(np.float64) if self._dtype is None else self._dtype
        unit = float(np.finfo(dtype).eps)
        with one_thread():
            fold = self._folded()
            op = as_matrix(fold.R[:, :d])
            request = checked_request(
                op, fold.R[:, d:], "direct", None, ridge, None, rcond, None, 0.05, "auto"
            )
            request = replace(
                request,
                rhs=replace(request.rhs, vector=self._vector is not False, dtype=dtype),
                tol=_UNITS * unit,
                rcond=_UNITS * unit if rcond is None else request.rcond,
            )
            norms = np.where(request.rhs.norms == 0.0, 1.0, request.rhs.norms)
            system = make_system(op, request.rhs.values, None, request.ridge)
            outcome = direct(system, request.rcond, norms, request.target)
        if self.check_finite and not outcome.finite:
            raise NumericalError("the sums of squares of the rows are not finite")
        columns = np.any(fold.R[:, :d], axis=0)
        slips = fold.slips[:d].sum() / max(int(columns.sum()), 1) + fold.slips[d:]
        found = replace(outcome.found, error=outcome.found.error + np.sqrt(slips))
        spread = outcome.spread and replace(outcome.spread, count=self._count)
        outcome = replace(outcome, found=found, spread=spread)
        answer = answered(system, outcome, "direct", "a stream", request)
        system.passes = 1
        if answer.shortfall:
            warnings.warn(
                f"`StreamingLstsq`: {answer.shortfall}; the result has converged=False",
                ConvergenceWarning,
                stacklevel=2,
            )
        return result_of(answer, system, request, start)

    def _match(self, count: int, vector: bool, name: str) -> None:
        """Check the right-hand sides against those so far."""
        if self._vector is None or (vector, count) == (self._vector, self._width - self.d):
            return
        wanted = "(n,)" if self._vector else f"(n, {self._width - self.d})"
        found = "(n,)" if vector else f"(n, {count})"
        raise InputError(
            f"`{name}` must have right-hand sides of shape {wanted} as all so far, got {found}"
        )

    @property
    def _width(self) -> int:
        """Columns and right-hand sides, once rows have been seen."""
        return int(self._tile.shape[1]) - 1

    def _take(self, system: System, vector: bool, dtype: np.dtype[Any]) -> None:
        """Add rows; where that fails, the stream is as it was."""
        n, tile, filled = system.shape[0], self._tile, self._filled
        if self._vector is None:
            width = self.d + system.b.shape[1]
            tile = np.empty((height_of_tiles(width), width + 1), system.dtype, order="F")
        elif tile.dtype.kind != "c" and system.dtype.kind == "c":
            tile = tile.astype(np.complex128)
        height, levels = tile.shape[0], list(self._levels)
        cut = min(n, height - filled)
        _write(tile[filled : filled + cut], system, 0, cut)
        fresh = tile[filled : filled + cut]
        filled += cut
        if filled == height:
            _push(levels, fold_rows(tile.copy(order="F")), 0)
            count = (n - cut) // height
            for first in range(0, count, _BATCH):
                starts = cut + height * np.arange(first, min(first + _BATCH, count))
                for fold in _folds(system, starts, height):
                    _push(levels, fold, 0)
            fresh = np.empty((n - cut - count * height, tile.shape[1]), tile.dtype)
            _write(fresh, system, n - fresh.shape[0], n)
        if self.check_finite:
            seen = {id(fold) for fold in self._levels}
            new = [fold.R for fold in levels if fold is not None and id(fold) not in seen]
            if not all(np.isfinite(x).all() for x in (*new, fresh[:, :-1])):
                raise InputError(
                    "`A` must contain finite numbers with finite sums, got NaN or infinity"
                )
        if filled == height:
            filled = fresh.shape[0]
            tile[:filled] = fresh
        self._tile, self._filled, self._levels = tile, filled, levels
        self._vector = vector
        self._dtype = dtype if self._dtype is None else np.result_type(self._dtype, dtype)
        self.n_rows += n
        self._count += system.count

    def _folded(self) -> Folded:
        """Return the triangle of all rows."""
        if self._vector is None:
            return empty_fold(self.d + 1)
        rows = self._tile[: self._filled].copy(order="F")
        found = fold_rows(rows) if self._filled else empty_fold(self._width)
        for fold in self._levels:
            if fold is not None:
                found = folded_pair(fold, found)
        return found


def _write(M: Host, system: System, start: int, stop: int) -> None:
    """Write rows of A and b to all columns of an array but the last."""
    d = system.shape[1]
    M[:, :d] = system.tile(start, stop)
    M[:, d:-1] = system.tile_b(start, stop)


def _folds(system: System, starts: Host, height: int) -> list[Folded]:
    """Fold tiles side by side."""
    found: list[Any] = [None] * starts.size

    def work(i: int) -> None:
        width = system.shape[1] + system.b.shape[1]
        M: Host = np.empty((height, width + 1), system.dtype, order="F")
        _write(M, system, int(starts[i]), int(starts[i]) + height)
        found[i] = fold_rows(M)

    system.run(work, starts.size)
    return found


def _push(levels: list[Folded | None], fold: Folded, level: int) -> None:
    """Add the triangle of ``2**level`` tiles, as a carry is added in binary numbers."""
    levels += [None] * (level + 1 - len(levels))
    while (other := levels[level]) is not None:
        fold, levels[level] = folded_pair(other, fold), None
        level += 1
        if level == len(levels):
            levels.append(None)
    levels[level] = fold
