"""The rows of a least-squares problem: passes over them, in double precision whatever they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from lowapprox._core.errors import InputTypeError
from lowapprox._core.matrix import MatrixLike
from lowapprox.sketching.tensor import LazyProduct

__all__ = ["Host", "Rows", "System", "blocks", "make_system", "squares_of"]

Host: TypeAlias = np.ndarray[Any, Any]

_KERNEL_ENTRIES = 1 << 20  # smaller matrices never load numba
_BLOCKS = 64  # ranges of rows, whose sums are made apart and added in order
_PRODUCT_ENTRIES = 1 << 22  # of a sketch that an operator is multiplied with at a time
_LEAST_PRODUCTS = 8
_BLOCK_ROWS = 4096  # a multiple of the blocks of every sketch
_TILE_ENTRIES = 1 << 17  # a tile is read twice in a pass, the second time from the cache


class System:
    """``min |W^(1/2) (b - A x)|^2 + ridge |x|^2`` for the columns b of an array.

    Attributes
    ----------
    op : MatrixLike
        The matrix A, n rows and d columns.
    b : numpy.ndarray, shape (n, k)
        Right-hand sides in double precision.
    weights : numpy.ndarray, shape (n,), or None
        The diagonal of W.
    ridge : float
        Adds rows ``sqrt(ridge) I`` to A and zeros to b.
    dtype : numpy.dtype
        float64, or complex128 where A or b is complex.
    by_rows : bool
        Whether the rows of A can be read, and not only products.
    passes : int
        Reads of A so far.
    """

    def __init__(self, op: MatrixLike, b: Host, weights: Host | None, ridge: float) -> None:
        self.op, self.b, self.weights, self.ridge = op, b, weights, ridge
        self.dtype = np.result_type(op.dtype, b.dtype, np.float64)
        self.shape = op.shape
        self.passes = 0
        self.compiled = op.shape[0] * op.shape[1] >= _KERNEL_ENTRIES
        self.by_rows = op.kind != "operator" or isinstance(op, LazyProduct)

    def residual(self, X: Host) -> tuple[Host, Host]:
        """Return ``|b - A X|^2``, one for each column and with the ridge, and half its gradient.

        The gradient is ``A^H W (b - A X) - ridge X``. One pass.
        """
        squares, G = self._pass(X, self.b)
        if self.ridge:
            squares = squares + self.ridge * squares_of(X)
            G = G - self.ridge * X
        return squares, G

    def normal(self, X: Host) -> Host:
        """Return ``(A^H W A + ridge I) X``, in one pass."""
        G = -self._pass(X, None)[1]
        return G + self.ridge * X if self.ridge else G

    def _pass(self, X: Host, b: Host | None) -> tuple[Host, Host]:
        self.passes += 1
        with np.errstate(over="ignore", invalid="ignore"):  # NaN and infinity go through
            return self._one_pass(X, b)

    def _one_pass(self, X: Host, b: Host | None) -> tuple[Host, Host]:
        """Return the squares and ``A^H W (b - A X)``, b = None being zeros."""
        AX = self.op.mat(X.astype(self._product_dtype(X), copy=False))
        R = -AX if b is None else b - AX
        WR = R if self.weights is None else R * self.weights[:, None]
        G = self.op.rmat(WR.astype(self._product_dtype(WR), copy=False))
        return np.einsum("ij,ij->j", R.conj(), WR).real, G.astype(self.dtype, copy=False)

    def _product_dtype(self, X: Host) -> Any:
        return np.result_type(self.op.dtype, X.dtype)

    def gram(self, E: Host | None = None) -> Host:
        """Return ``(A E)^H W (A E)`` with E = I as the default, in one pass."""
        return self._normal_equations(E)[0]

    def normal_equations(self) -> tuple[Host, Host]:
        """Return ``A^H W A`` and ``A^H W b``, in one pass."""
        return self._normal_equations(None)

    def _normal_equations(self, E: Host | None) -> tuple[Host, Host]:
        self.passes += 1
        n, d = self.shape
        rows = max(512, 2 * d, 8 * _TILE_ENTRIES // max(1, d))
        # Sums apart take at most a twenty-fifth of the memory of A.
        bounds = blocks(n, max(2, min(16, n // (25 * max(d, 1)))), rows)
        grams: Host = np.zeros((len(bounds) - 1, d, d), self.dtype)
        sides: Host = np.zeros((len(bounds) - 1, d, self.b.shape[1]), self.dtype)

        def work(i: int) -> None:
            for start in range(bounds[i], bounds[i + 1], rows):
                stop = min(start + rows, bounds[i + 1])
                tile = self.tile(start, stop)
                if E is None:
                    sides[i] += tile.conj().T @ self.tile_b(start, stop)
                else:
                    tile = tile @ E
                grams[i] += tile.conj().T @ tile

        self.run(work, len(bounds) - 1)
        return grams.sum(axis=0), sides.sum(axis=0)

    @property
    def count(self) -> int:
        """The number of rows of positive weight."""
        return self.shape[0] if self.weights is None else int(np.count_nonzero(self.weights))

    def tile(self, start: int, stop: int) -> Host:
        """Return rows of ``W^(1/2) A`` as a C-ordered array in double precision."""
        block = self.op.row_block(start, stop)
        block = block.toarray() if hasattr(block, "toarray") else block
        tile = np.ascontiguousarray(block, np.result_type(self.op.dtype, np.float64))
        return tile if self.weights is None else tile * np.sqrt(self.weights[start:stop, None])

    def tile_b(self, start: int, stop: int) -> Host:
        """Return rows of ``W^(1/2) b``."""
        part = self.b[start:stop]
        return part if self.weights is None else part * np.sqrt(self.weights[start:stop, None])

    def sketch(self, S: Any) -> Host:
        """Return ``S [A, b]``, weighted, in one pass."""
        self.passes += 1
        if self.by_rows and self.weights is not None:
            return self._weighted(S, np.sqrt(self.weights))
        d = self.shape[1]
        A: Host = np.zeros((S.shape[0], d), self.dtype)
        B: Host = np.zeros((S.shape[0], self.b.shape[1]), self.dtype)
        if not self.by_rows:
            A[...] = self._products(S)
            S.apply_rows(self.tile_b(0, self.shape[0]), 0, B)
        elif isinstance(self.op, LazyProduct):
            A[...] = S @ self.op
            S.apply_rows(self.b, 0, B)
        else:
            S.apply_rows(self.op.row_block(0, self.shape[0]), 0, A)
            # A single column costs more where it is too small for the compiled path than several.
            copies = -(-_KERNEL_ENTRIES // max(1, self.b.size)) if self.compiled else 1
            wide: Host = np.zeros((S.shape[0], copies * B.shape[1]), self.dtype)
            B = S.apply_rows(np.tile(self.b, copies), 0, wide)[:, : B.shape[1]]
        return np.concatenate([A, B], axis=1)

    def _weighted(self, S: Any, roots: Host) -> Host:
        """Return the same by tiles of about equal height.

        They are whole blocks of a sketch, and large enough for the compiled path.
        """
        n, d = self.shape
        sketch: Host = np.zeros((S.shape[0], d + self.b.shape[1]), self.dtype)
        count = -(-n // max(_BLOCK_ROWS, 16 * _TILE_ENTRIES // sketch.shape[1]))
        step = -(-n // (count * _BLOCK_ROWS)) * _BLOCK_ROWS
        tile: Host = np.empty((min(step, n), sketch.shape[1]), self.dtype)
        for i in range(0, n, step):
            part, block = tile[: n - i], self.op.row_block(i, i + step)
            part[:, :d] = block.toarray() if hasattr(block, "toarray") else block
            part[:, d:] = self.b[i : i + step]
            part *= roots[i : i + step, None]
            S.apply_rows(part, i, sketch)
        return sketch

    def _products(self, S: Any) -> Host:
        """Return ``S W^(1/2) A`` by products with some rows of S at a time."""
        n, m = self.shape[0], S.shape[0]
        step = max(_LEAST_PRODUCTS, _PRODUCT_ENTRIES // n)
        parts = []
        for i in range(0, m, step):
            rows = S.H @ np.eye(m, min(step, m - i), -i)
            if self.weights is not None:
                rows = rows * np.sqrt(self.weights[:, None])
            parts.append(self.op.rmat(rows.astype(self.op.dtype, copy=False)).conj().T)
        return np.concatenate(parts)

    def run(self, work: Callable[[int], None], count: int) -> None:
        """Call ``work`` for all ranges, on several threads where the matrix is large."""

        def quiet(i: int) -> None:
            with np.errstate(all="ignore"):  # what the caller ignores, threads do not know of
                work(i)

        if not self.compiled:
            for i in range(count):
                quiet(i)
            return
        from lowapprox._core.threads import run_blocks

        run_blocks(quiet, count)


class Rows(System):
    """A dense matrix in host memory."""

    def __init__(self, op: MatrixLike, b: Host, weights: Host | None, ridge: float) -> None:
        super().__init__(op, b, weights, ridge)
        self._bounds = blocks(self.shape[0], _BLOCKS, 512) if self.compiled else None
        self._flat = _flat(op.source) if self.compiled and op.dtype.kind == "f" else None

    def some_rows(self, gen: np.random.Generator, count: int) -> Host:
        """Return random rows of ``W^(1/2) A``, in double precision."""
        index = np.sort(gen.integers(0, self.shape[0], count))
        rows: Host = self.op.source[index].astype(np.result_type(self.op.dtype, np.float64))
        return rows if self.weights is None else rows * np.sqrt(self.weights[index, None])

    def _one_pass(self, X: Host, b: Host | None) -> tuple[Host, Host]:
        n, d = self.shape
        bounds = np.array([0, n]) if self._bounds is None else self._bounds
        count = len(bounds) - 1
        squares = np.zeros((count, X.shape[1]))
        G: Host = np.zeros((count, d, X.shape[1]), self.dtype)
        if X.shape[1] == 1 and self._flat is not None and self.dtype.kind == "f":
            self._by_kernel(X, b, bounds, squares, G)
        else:
            self._by_tiles(X, b, bounds, squares, G)
        return squares.sum(axis=0), G.sum(axis=0)

    def _by_kernel(self, X: Host, b: Host | None, bounds: Host, squares: Host, G: Host) -> None:
        from lowapprox.regression.kernels import pass_by_columns, pass_by_rows

        assert self._flat is not None
        flat, step, by_rows = self._flat
        run = pass_by_rows if by_rows else pass_by_columns
        empty = np.empty(0)
        x = np.ascontiguousarray(X[:, 0])
        rhs = empty if b is None else b[:, 0]
        weights = empty if self.weights is None else self.weights

        def work(i: int) -> None:
            args = (flat, step, x, rhs, weights, int(bounds[i]), int(bounds[i + 1]))
            squares[i, 0] = run(*args, G[i, :, 0])

        self.run(work, len(bounds) - 1)

    def _by_tiles(self, X: Host, b: Host | None, bounds: Host, squares: Host, G: Host) -> None:
        rows = max(16, _TILE_ENTRIES // max(1, self.shape[1]))

        def work(i: int) -> None:
            for start in range(bounds[i], bounds[i + 1], rows):
                stop = min(start + rows, bounds[i + 1])
                tile = self.tile(start, stop)
                R = -(tile @ X)
                if b is not None:
                    R += self.tile_b(start, stop)
                squares[i] += squares_of(R)
                G[i] += tile.conj().T @ R

        self.run(work, len(bounds) - 1)


def make_system(op: MatrixLike, b: Host, weights: Host | None, ridge: float) -> System:
    """Choose how the matrix is read."""
    if op.xp is not np:
        raise InputTypeError(
            "`A` must be a NumPy or scipy.sparse array or a LinearOperator, got an array of "
            f"{op.xp.__name__}; copy it to the host with numpy.asarray"
        )
    return Rows(op, b, weights, ridge) if op.kind == "dense" else System(op, b, weights, ridge)


def blocks(n: int, count: int, least: int) -> Host:
    """Return the bounds of at most `count` ranges of about equal and `least` many rows."""
    count = max(1, min(count, n // least))
    return np.arange(count + 1) * n // count


def _flat(A: Host) -> tuple[Host, int, bool] | None:
    """Return the memory of a matrix, the distance of its rows or columns, and whether of rows."""
    if not (A.dtype.char in "fd" and A.dtype.isnative and A.flags.aligned and A.size):
        return None
    by_rows = A.strides[1] == A.itemsize
    M = A if by_rows else A.T
    if M.strides[1] != M.itemsize or M.strides[0] < M.shape[1] * M.itemsize:
        return None
    step, rest = divmod(M.strides[0], M.itemsize)
    if rest:
        return None
    size = (M.shape[0] - 1) * step + M.shape[1]
    flat = np.lib.stride_tricks.as_strided(M, (size,), (M.itemsize,), writeable=False)
    return flat, step, by_rows


def squares_of(X: Host) -> Host:
    """Return the squared norms of the columns."""
    squares: Host = np.einsum("ij,ij->j", X.conj(), X).real
    return squares
