"""Truncated SVD of a matrix that is seen once, in blocks of rows or as a sum of updates."""

from __future__ import annotations

import warnings
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from lowapprox._core.checks import checked_int
from lowapprox._core.errors import ConvergenceWarning, InputError, InputTypeError
from lowapprox._core.matrix import MatrixLike, as_matrix
from lowapprox._core.results import run_info
from lowapprox._core.rng import as_generator, draw_key
from lowapprox._core.typing import MatrixInput, RNGInput
from lowapprox._core.views import normalize, scaled
from lowapprox.sketching import Gaussian, SparseSign
from lowapprox.sketching.operators import SketchOperator
from lowapprox.svd.result import SVDResult
from lowapprox.svd.signs import fix_signs
from lowapprox.svd.tall import RowStore, TallBasis, overflow

__all__ = ["StreamingSVD"]

Host: TypeAlias = np.ndarray[Any, Any]

_PROBES = 10
_ANY_ROWS = 2**62  # operators for a number of rows that is not known
_BLOCK_BYTES = 16 << 20
_EXPLICIT = 1 << 22  # entries of maps that are kept as arrays
_SPARSE_FROM = 32  # smaller sketches are Gaussian: few signs coincide too often


class StreamingSVD:
    r"""Truncated SVD in one pass, from linear sketches that add and merge.

    Feed blocks of rows with `partial_fit`, in any order and partition; add changes with `update`;
    add the sketches of other rows, made elsewhere, with `merge`. `result` may be called at any
    time, and the stream goes on.

    Parameters
    ----------
    n_cols : int
        Number of columns of the matrix. The number of rows need not be known.
    rank : int
        Number of singular triplets, in [1, n_cols].
    rng : None, int, SeedSequence, BitGenerator or Generator
        Source of the key of the random maps; a Generator is advanced once. Streams that are to be
        merged need the same key: make them with the same int.

    Attributes
    ----------
    n_cols, rank : int
    key : tuple of int
        Determines the random maps.
    n_rows : int
        Number of rows so far: one more than the largest row index. Rows that were not given
        count as zeros.

    Raises
    ------
    InputError
        If `n_cols` or `rank` is out of range.

    Notes
    -----
    The method of three sketches [1]_. With ``c = 4 rank + 1`` and ``s = 2 c + 1`` it keeps
    ``A Omega^H`` (n_rows, c), ``Upsilon A`` (c, n_cols) and ``Phi A Psi^H`` (s, s), and for the
    error ``Theta A`` (10, n_cols). The maps are functions of the key and of the index of a row or
    column, so that the sketch of a matrix does not depend on the order and the partition of its
    rows, up to rounding. With Gaussian maps the approximation B of rank c that they give, before it
    is truncated to `rank`, has

    .. math:: E ||A - B||_F^2 \le \frac{s-1}{s-c-1}
              \min_{\rho < c-1} \frac{c+\rho-1}{c-\rho-1} \sum_{j > \rho} \sigma_j^2 .

    Where the singular values hardly decay this is more than ``||A||_F^2``, and so may the error be:
    compare `error` with `fro_norm`. Sketches of 32 or more rows use sparse signs instead.

    A block of b dense rows costs ``2 b n_cols (c + s)`` operations in one product, and about
    ``20 b n_cols`` more; one of b sparse rows with z nonzeros costs O(z + n_cols).
    Memory is ``n_rows c + n_cols (c + 10) + s^2`` numbers: only the first grows. `result` costs
    O((n_rows + n_cols) c^2 + s^2 c) and further memory of ``(n_rows + n_cols) rank`` numbers.

    References
    ----------
    .. [1] J. A. Tropp, A. Yurtsever, M. Udell, V. Cevher (2019), "Streaming low-rank matrix
       approximation with an application to scientific simulation", arXiv:1902.08651.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.svd import StreamingSVD
    >>> A = np.outer(np.arange(1.0, 101.0), np.ones(30))
    >>> stream = StreamingSVD(30, 2, rng=0)
    >>> for i in range(0, 100, 25):
    ...     _ = stream.partial_fit(A[i : i + 25])
    >>> result = stream.result()
    >>> bool(abs(result.s[0] - np.linalg.norm(A)) < 1e-12 * np.linalg.norm(A))
    True
    """

    def __init__(self, n_cols: int, rank: int, *, rng: RNGInput = None) -> None:
        self.n_cols = checked_int(n_cols, "n_cols", 1)
        self.rank = checked_int(rank, "rank", 1, self.n_cols)
        self.key = draw_key(as_generator(rng))
        c = 4 * self.rank + 1
        s = 2 * c + 1
        self._range_map = self._operator(0, c, self.n_cols)  # Omega
        self._corange_map = self._operator(1, c, _ANY_ROWS)  # Upsilon
        self._core_maps = self._operator(2, s, _ANY_ROWS), self._operator(3, s, self.n_cols)
        self._error_map = Gaussian(_PROBES, _ANY_ROWS, rng=self._seed(4))
        self._range = RowStore(c)
        self._corange: Host = np.zeros((c, self.n_cols))
        self._core: Host = np.zeros((s, s))
        self._error: Host = np.zeros((_PROBES, self.n_cols))
        self._explicit: Host | None = None  # the maps of the columns, for dense rows
        self._dtype: np.dtype[Any] | None = None
        self._norm: float | None = 0.0  # |A|_F, unknown after an update

    def _seed(self, stream: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.key, spawn_key=(stream,))

    def _operator(self, stream: int, m: int, n: int) -> SketchOperator:
        kind = SparseSign if m >= _SPARSE_FROM else Gaussian
        return kind(m, n, rng=self._seed(stream))

    def __repr__(self) -> str:
        key = f"0x{self.key[1]:016x}{self.key[0]:016x}"
        return f"StreamingSVD({self.n_cols}, {self.rank}, n_rows={self.n_rows}, key={key})"

    @property
    def n_rows(self) -> int:
        """Number of rows so far."""
        return self._range.stop

    def partial_fit(self, rows: MatrixInput, row_start: int | None = None) -> StreamingSVD:
        """Add rows that have not been seen.

        Parameters
        ----------
        rows : numpy.ndarray or scipy.sparse array, shape (b, n_cols)
            Blocks of many rows are faster than single ones.
        row_start : int, optional
            Index of the first of them in the matrix; by default they follow the last row so far.

        Returns
        -------
        StreamingSVD
            This object.

        Raises
        ------
        InputError
            If a row has been seen (use `update` to add to it), the width is not `n_cols`, or an
            entry is NaN or infinite.
        InputTypeError
            If `rows` is no NumPy array or scipy.sparse array of numbers.
        """
        start = self.n_rows if row_start is None else checked_int(row_start, "row_start", 0)
        self._take(rows, start, "rows")
        return self

    def _take(self, rows: MatrixInput, start: int, name: str) -> None:
        """Add rows that have not been seen, called `name` in messages."""
        op, norm = self._checked(rows, name, start)
        if self._range.overlaps(start, start + op.shape[0]):
            raise InputError(
                f"`{name}` must be new, got rows {start} to {start + op.shape[0] - 1}, of which "
                "some have been seen; use `update` to add to them"
            )
        self._add(op, start)
        if self._norm is not None:
            self._norm = float(np.hypot(self._norm, norm))

    def update(self, delta: MatrixInput, row_start: int = 0) -> StreamingSVD:
        """Add a matrix to the one seen so far.

        Parameters
        ----------
        delta : numpy.ndarray or scipy.sparse array, shape (b, n_cols)
            What is added to the rows from `row_start` on. Rows not seen before count as zeros.
        row_start : int, default 0

        Returns
        -------
        StreamingSVD
            This object.

        Raises
        ------
        InputError
            If the width is not `n_cols`, or an entry is NaN or infinite.
        InputTypeError
            If `delta` is no NumPy array or scipy.sparse array of numbers.
        """
        start = checked_int(row_start, "row_start", 0)
        op, _ = self._checked(delta, "delta", start)
        self._add(op, start)
        self._norm = None
        return self

    def merge(self, other: StreamingSVD) -> StreamingSVD:
        """Add what another stream has seen of other rows of the same matrix.

        Parameters
        ----------
        other : StreamingSVD
            With the same `n_cols`, `rank` and `key`; it is not changed.

        Returns
        -------
        StreamingSVD
            This object.

        Raises
        ------
        InputError
            If the parameters differ, or both have seen the same row: give the shards disjoint
            ranges by `row_start`.
        InputTypeError
            If `other` is no StreamingSVD.
        """
        if not isinstance(other, StreamingSVD):
            raise InputTypeError(f"`other` must be a StreamingSVD, got {type(other).__name__}")
        for name in ("n_cols", "rank", "key"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise InputError(f"`other` must have {name}={mine}, got {theirs}")
        for start, rows in other._range:
            if self._range.overlaps(start, start + rows.shape[0]):
                raise InputError(
                    f"`other` must have seen other rows, got rows {start} to "
                    f"{start + rows.shape[0] - 1} that both have; shards need disjoint `row_start`"
                )
        for start, rows in other._range:
            self._range.add(start, rows)
        self._corange = self._corange + other._corange
        self._core = self._core + other._core
        self._error = self._error + other._error
        self._dtype = _common(self._dtype, other._dtype)
        if self._norm is None or other._norm is None:
            self._norm = None
        else:
            self._norm = float(np.hypot(self._norm, other._norm))
        return self

    def _checked(self, rows: MatrixInput, name: str, start: int) -> tuple[MatrixLike, float]:
        """Return the rows and their norm."""
        op = as_matrix(rows, name)
        if op.kind == "operator" or op.xp is not np:
            raise InputTypeError(
                f"`{name}` must be a NumPy or scipy.sparse array, got {type(rows).__name__}"
            )
        if op.shape[1] != self.n_cols:
            raise InputError(f"`{name}` must have {self.n_cols} columns, got shape {op.shape}")
        if start + op.shape[0] > _ANY_ROWS:
            raise InputError(f"`row_start` must be less than 2**62, got {start}")
        _, exponent, fro2 = normalize(op, name)
        return op, float(np.ldexp(np.sqrt(fro2 or 0.0), exponent))

    def _add(self, op: MatrixLike, start: int) -> None:
        self._dtype = _common(self._dtype, op.dtype)
        if op.dtype.kind == "c" and self._core.dtype.kind != "c":
            self._corange = self._corange.astype(np.complex128)
            self._core = self._core.astype(np.complex128)
            self._error = self._error.astype(np.complex128)
        step = max(256, _BLOCK_BYTES // (24 * self._core.shape[0]))
        for i in range(0, op.shape[0], step):
            block = op.row_block(i, i + step)
            if op.kind == "dense":
                block = np.asarray(block, op.dtype)
            sketch, core = self._times_right(block)
            self._range.add(start + i, sketch)
            self._corange_map.apply_rows(block, start + i, self._corange)
            self._core_maps[0].apply_rows(core, start + i, self._core)
            self._error_map.apply_rows(block, start + i, self._error)

    def _times_right(self, block: Any) -> tuple[Host, Host]:
        """Multiply rows by the maps of the columns, dense ones at once if that fits the cache."""
        c, s = self._corange.shape[0], self._core.shape[0]
        right = self._core_maps[1]
        if not isinstance(block, np.ndarray) or (c + s) * self.n_cols > _EXPLICIT:
            return (self._range_map @ block.T).T, (right @ block.T).T
        if self._explicit is None or self._explicit.dtype != block.real.dtype:
            maps = [self._range_map.toarray(), right.toarray()]
            self._explicit = np.concatenate(maps).astype(block.real.dtype).T
        both = block @ self._explicit
        return both[:, :c], both[:, c:]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_explicit": None}

    def result(self) -> SVDResult:
        """Compute the truncated SVD of what has been seen.

        Returns
        -------
        SVDResult
            With ``min(rank, n_rows, n_cols)`` triplets. Its `error` is an estimate from 10
            Gaussian products (unbiased for the square), as are the `residuals`, all equal to it:
            none exceeds the error. `fro_norm` is exact as long as `update` was not used.
            `converged` says whether the error is less than the norm of the matrix, below which
            the factors are no better than zeros.

        Raises
        ------
        NumericalError
            If entries near the largest floating-point number made a sum overflow.

        Warns
        -----
        ConvergenceWarning
            If the singular values decay too slowly for sketches of this size.
        """
        result = self._solve()
        if not result.converged:
            warnings.warn(
                f"the estimated error {result.error:.3g} is no less than the norm "
                f"{result.fro_norm:.3g}: the singular values decay too slowly for one pass; use a "
                "larger `rank`, or randomized_svd",
                ConvergenceWarning,
                stacklevel=2,
            )
        return result

    def _solve(self, *, last: bool = False) -> SVDResult:
        """Compute the result without a warning; the `last` time rows are freed as they are read."""
        start = perf_counter()
        dtype = np.dtype(np.float64) if self._dtype is None else self._dtype
        m, n = self.n_rows, self.n_cols
        k = min(self.rank, m, n)
        exponent = int(np.frexp(np.abs(self._corange).max(initial=0.0))[1])
        left, right = self._core_maps
        tall = TallBasis(self._range, exponent, left, min(m, n), dtype)
        rows = RowStore(self._corange.shape[0])
        rows.add(0, self._corange.conj().T)
        wide = TallBasis(rows, exponent, right, min(m, n), np.dtype(np.float64))
        if not np.isfinite(self._core).all():
            raise overflow()
        core = tall.pinv @ scaled(self._core, -exponent) @ wide.pinv.conj().T
        W, s, Zh = np.linalg.svd(core, full_matrices=False)
        found = min(k, s.size)
        s = np.append(s[:found], np.zeros(k - found))
        # The signs are decided on the short side; the long one is formed once, with them.
        host = as_matrix(np.zeros((1, 1), dtype))
        short, long = (wide, tall) if m >= n else (tall, wide)
        inner, outer = (Zh.conj().T, W) if m >= n else (W, Zh.conj().T)
        first = _completed(host, short.times(inner[:, :found], min(m, n)), k)
        turn, first = fix_signs(host, np.ones((1, k), dtype), first, "v")
        second = long.times(outer[:, :found] * turn[:, :found], max(m, n), last=last)
        second = _completed(host, second, k)
        U, V = (second, first) if m >= n else (first, second)
        seen = np.zeros((_PROBES, k), np.result_type(dtype, np.float64))
        self._error_map.apply_rows(U, 0, seen)
        probes = scaled(self._error, -exponent)
        error = scaled(float(np.linalg.norm(probes - (seen * s) @ V.conj().T)), exponent)
        estimate = scaled(float(np.linalg.norm(probes)), exponent)
        norm = estimate if self._norm is None else self._norm
        limit = max(m, n) * host.eps * s[:1]
        return SVDResult(
            U=U,
            s=scaled(s, exponent).astype(U.real.dtype),
            Vh=V.conj().T,
            rank=int((s > limit).sum()),
            error=error,
            error_kind="estimate",
            residuals=np.full(k, error),
            converged=error < norm or norm == 0.0,
            passes=1,
            matvecs=2 * self._corange.shape[0] + self._core.shape[0] + _PROBES,
            info=run_info(
                start,
                "three sketches",
                sketch_size=self._corange.shape[0],
                core_size=self._core.shape[0],
                fro_norm_kind="estimate" if self._norm is None else "exact",
            ),
            fro_norm=norm,
        )


def _completed(host: MatrixLike, Q: Host, k: int) -> Host:
    """Append orthonormal columns until there are k, and round."""
    missing = k - Q.shape[1]
    if missing:
        fresh: Host = as_generator(0).standard_normal((Q.shape[0], missing))
        for _ in range(2):
            fresh = np.linalg.qr(fresh - Q @ (Q.conj().T @ fresh))[0]
        Q = np.concatenate([Q, fresh], axis=1)
    return np.asarray(Q, host.dtype)


def _common(a: np.dtype[Any] | None, b: np.dtype[Any] | None) -> np.dtype[Any] | None:
    if a is None or b is None:
        return a or b
    return np.result_type(a, b)
