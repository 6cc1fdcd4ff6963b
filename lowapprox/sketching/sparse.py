"""Sparse sign operators: SparseSign and its special case CountSketch."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np

from lowapprox._core.checks import checked_int
from lowapprox._core.typing import RNGInput
from lowapprox.sketching._hash import words
from lowapprox.sketching._partial import CHUNKS, add_partial_sums
from lowapprox.sketching.operators import NDArray, SketchOperator, use_kernels

__all__ = ["CountSketch", "SparseSign", "add_signed"]

_HASHED_ROWS = 8192  # columns of the operator whose entries are made at a time, in the cache
_FEW_COLUMNS = 16  # which are counted one after the other: sorting the rows costs more


class SparseSign(SketchOperator):
    """Operator with a few random signs in each column.

    The rows form `zeta` blocks; each column has one entry ``+-1/sqrt(zeta)`` in each block, in a
    uniformly random row.

    Parameters
    ----------
    m, n : int
        Shape: the operator maps n rows to m.
    zeta : int, default 8
        Entries in each column, at most m.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Source of the key; a Generator is advanced once.
    dtype : dtype, default float64
        Precision of the explicit entries. The entries are real in any case, which is enough for
        complex data.

    Raises
    ------
    InputError
        If `zeta` is not positive, or `m` or `n` negative.
    InputTypeError
        If `dtype` is not float32, float64, complex64 or complex128.

    Notes
    -----
    Costs ``zeta n k`` additions for a dense matrix of k columns, ``zeta nnz`` for a sparse one.
    All columns have norm 1. With ``zeta = 8`` the distortion of a subspace of dimension d is like
    that of a Gaussian operator for m up to a few dozen times d.

    References
    ----------
    .. [1] Nelson, Nguyen (2013), "OSNAP: faster numerical linear algebra algorithms via sparser
       subspace embeddings", arXiv:1211.1002.
    .. [2] Camano, Epperly, Meyer, Tropp (2025), "Faster linear algebra algorithms with structured
       random matrices", arXiv:2508.21189.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.sketching import SparseSign
    >>> S = SparseSign(16, 1000, zeta=4, rng=0)
    >>> np.abs(S.columns(0, 2)).max(axis=0), (S.columns(0, 2) != 0).sum(axis=0)
    (array([0.5, 0.5]), array([4, 4]))
    """

    zeta: int
    _parameters: ClassVar[tuple[str, ...]] = ("zeta",)

    def __init__(
        self, m: int, n: int, *, zeta: int = 8, rng: RNGInput = None, dtype: Any = None
    ) -> None:
        super().__init__(m, n, rng=rng, dtype=dtype)
        self.zeta = min(checked_int(zeta, "zeta", 1), max(self.shape[0], 1))

    def _bounds(self) -> NDArray:
        """Return the first row of each block, and m."""
        return np.arange(self.zeta + 1, dtype=np.int64) * self.shape[0] // self.zeta

    def _targets(self, i0: int, i1: int) -> tuple[NDArray, NDArray]:
        """Return the rows and signs of the entries of some columns, as (zeta, b) arrays."""
        return self.targets(np.arange(i0, i1, dtype=np.uint64))

    def targets(self, index: NDArray) -> tuple[NDArray, NDArray]:
        """Return the same for columns with any indices."""
        bounds = self._bounds()[:, None]
        k = np.arange(self.zeta, dtype=np.uint64)[:, None]
        word = words(self.key, index, k)
        sizes = np.diff(bounds, axis=0).astype(np.uint64)
        offset = ((word >> np.uint64(32)) * sizes) >> np.uint64(32)
        return bounds[:-1] + offset.astype(np.int64), 1.0 - 2.0 * (word & np.uint64(1))

    def _scale(self) -> float:
        return float(self.zeta**-0.5)

    def _entries(self, i0: int, i1: int) -> NDArray:
        slab = np.zeros((self.shape[0], i1 - i0))
        rows, signs = self._targets(i0, i1)
        slab[rows, np.arange(i1 - i0)] = signs
        return slab

    def _add_tile(self, tile: NDArray, start: int, acc: NDArray, compiled: bool) -> None:
        if compiled:
            from lowapprox.sketching.kernels import add_signed_rows

            lanes = (0.0,) * 8  # a cache line in double precision
            add_signed_rows(tile, start, *self._kernel_key(), self._bounds(), lanes, acc)
            return
        step = max(_HASHED_ROWS, acc.shape[0])
        for i in range(0, tile.shape[0], step):
            part = tile[i : i + step]
            targets = self._targets(start + i, start + i + part.shape[0])
            for rows, signs in zip(*targets, strict=True):
                add_signed(part, rows, signs, acc)

    def _adjoint_rows(self, Y: NDArray, i0: int, i1: int) -> NDArray:
        out = np.zeros((i1 - i0, Y.shape[1]), Y.dtype)
        for rows, signs in zip(*self._targets(i0, i1), strict=True):
            out += Y[rows] * signs[:, None].astype(Y.real.dtype)
        return out

    def _kernel_key(self) -> tuple[np.uint64, np.uint64]:
        return np.uint64(self.key[0]), np.uint64(self.key[1])

    def _accumulate_sparse(self, X: Any, start: int, out: NDArray) -> None:
        if use_kernels(X.nnz):
            self._accumulate_csr(X, start, out)
            return
        import scipy.sparse as sp

        rows, signs = self._targets(start, start + X.shape[0])
        columns = np.broadcast_to(np.arange(X.shape[0]), rows.shape)
        shape = (self.shape[0], X.shape[0])
        S = sp.coo_array((signs.ravel(), (rows.ravel(), columns.ravel())), shape).tocsr()
        out += self._scale() * (S @ X.astype(out.dtype)).toarray()

    def _accumulate_csr(self, X: Any, start: int, out: NDArray) -> None:
        from lowapprox.sketching.kernels import add_signed_csr

        # The blocks of rows of the result are independent; few of them are split further.
        chunks = max(1, min(-(-CHUNKS // self.zeta), X.nnz // out.size))
        cuts = np.searchsorted(X.indptr, np.arange(1, chunks) * (X.nnz / chunks))
        cuts = np.concatenate(([0], cuts, [X.shape[0]]))
        bounds, (low, high) = self._bounds(), self._kernel_key()

        def compute(chunk: int, k: int, acc: NDArray) -> None:
            rows = cuts[chunk : chunk + 2]
            add_signed_csr(X.indptr, X.indices, X.data, rows, start, low, high, k, acc)

        add_partial_sums(
            compute,
            out,
            chunks=chunks,
            regions=[(slice(a, b), slice(None)) for a, b in itertools.pairwise(bounds)],
            dtype=np.result_type(X.dtype, np.float64),
            scale=self._scale(),
            threaded=True,
        )


def add_signed(tile: NDArray, rows: NDArray, signs: NDArray, acc: NDArray) -> None:
    """Add the rows of a tile, with signs, to some rows of acc, in double precision."""
    if tile.shape[1] <= _FEW_COLUMNS:
        for j in range(tile.shape[1]):
            acc[:, j] += np.bincount(rows, signs * tile[:, j], acc.shape[0])
        return
    order = np.argsort(rows, kind="stable")
    hit, first = np.unique(rows[order], return_index=True)
    acc[hit] += np.add.reduceat(tile[order] * signs[order, None], first, axis=0)


class CountSketch(SparseSign):
    """Operator with one random sign in each column.

    Parameters
    ----------
    m, n : int
        Shape: the operator maps n rows to m.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Source of the key; a Generator is advanced once.
    dtype : dtype, default float64
        Precision of the explicit entries. The entries are real in any case, which is enough for
        complex data.

    Raises
    ------
    InputError
        If `m` or `n` is negative.
    InputTypeError
        If `dtype` is not float32, float64, complex64 or complex128.

    Notes
    -----
    The special case ``zeta = 1`` of `SparseSign`: costs one addition for each entry of the input.
    To embed a subspace of dimension d it needs of the order of d^2 rows, so it serves as the first
    of two stages.

    References
    ----------
    .. [1] Clarkson, Woodruff (2013), "Low rank approximation and regression in input sparsity
       time", arXiv:1207.6365.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.sketching import CountSketch
    >>> S = CountSketch(5, 100, rng=0)
    >>> np.abs(S.toarray()).sum(axis=0).max()
    np.float64(1.0)
    """

    _parameters = ()

    def __init__(self, m: int, n: int, *, rng: RNGInput = None, dtype: Any = None) -> None:
        super().__init__(m, n, zeta=1, rng=rng, dtype=dtype)
