"""Sampling of rows: uniform, with given probabilities, or by approximate leverage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lowapprox._core.errors import InputError, InputTypeError
from lowapprox._core.matrix import MatrixLike, as_matrix
from lowapprox._core.typing import MatrixInput, RNGInput
from lowapprox._core.views import normalize, scaled
from lowapprox.sketching._hash import distinct, subkey, uniforms, words
from lowapprox.sketching.gaussian import Gaussian
from lowapprox.sketching.operators import NDArray, SketchOperator
from lowapprox.sketching.quality import unit_columns
from lowapprox.sketching.sparse import SparseSign

__all__ = ["RowSampling"]

_UNIFORM_SHARE = 0.1  # of leverage sampling: every row keeps a chance
_PROBES = 16  # directions that estimate the length of a row
_BLOCK_ENTRIES = 1 << 20


class RowSampling(SketchOperator):
    """Random rows of the input, scaled so that sums of squares are right on average.

    Parameters
    ----------
    m, n : int
        Shape: m rows are chosen out of n.
    probabilities : array_like of shape (n,), optional
        Positive numbers that the chances of the rows are proportional to; by default all are
        alike. A row of chance p is scaled by ``1 / sqrt(m p)``.
    replace : bool, default True
        Choose independently, so that a row may come several times. False, for equal chances only,
        chooses m different rows.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Source of the key; a Generator is advanced once.
    dtype : dtype, default float64
        Precision of the explicit entries.

    Attributes
    ----------
    rows : numpy.ndarray of int, shape (m,)
        Indices of the chosen rows.
    weights : numpy.ndarray, shape (m,)
        Their factors.

    Raises
    ------
    InputError
        If `m` or `n` is negative, m is positive and n zero, m is larger than n without
        replacement, or the probabilities are not n positive finite numbers.
    InputTypeError
        If `replace` is not a bool, or `dtype` not a floating-point one.

    Notes
    -----
    Costs ``m k`` operations for a matrix of k columns. A uniform sample misses what lives on few
    rows: use it after a look at the data, or `from_leverage`, whose sample embeds the range of the
    matrix that it was made for with of the order of ``d log d`` rows. The chosen rows are
    determined by the key, n and the probabilities.

    References
    ----------
    .. [1] Drineas, Magdon-Ismail, Mahoney, Woodruff (2012), "Fast approximation of matrix
       coherence and statistical leverage", arXiv:1109.3843.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.sketching import RowSampling
    >>> S = RowSampling(3, 100, replace=False, rng=0)
    >>> A = np.arange(200.0).reshape(100, 2)
    >>> bool(np.allclose(S @ A, np.sqrt(100 / 3) * A[S.rows]))
    True
    """

    rows: NDArray
    weights: NDArray

    def __init__(
        self,
        m: int,
        n: int,
        *,
        probabilities: Any = None,
        replace: bool = True,
        rng: RNGInput = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(m, n, rng=rng, dtype=dtype)
        m, n = self.shape
        if not isinstance(replace, bool):
            raise InputTypeError(f"`replace` must be a bool, got {replace!r}")
        if n == 0 and m > 0:
            raise InputError(f"`m` must be 0 where n is, got {m}")
        if not replace and probabilities is not None:
            raise InputError("`replace` must be True where `probabilities` are given, got False")
        if not replace and m > n:
            raise InputError(f"`m` must be in [0, {n}] without replacement, got {m}")
        if probabilities is None:
            self.weights = np.full(m, (n / max(m, 1)) ** 0.5)
            self.rows = _independent(self, n) if replace else distinct(subkey(self.key, 0), n, m)
        else:
            p = _checked_probabilities(probabilities, n)
            sums = np.cumsum(p)
            u = 1.0 - uniforms(words(self.key, np.arange(m), [0]))  # in [0, 1)
            self.rows = np.minimum(np.searchsorted(sums, u * sums[-1:], side="right"), n - 1)
            self.weights = np.sqrt(sums[-1:] / (m * p[self.rows]))

    @classmethod
    def from_leverage(
        cls, A: MatrixInput, m: int, *, rng: RNGInput = None, dtype: Any = None
    ) -> RowSampling:
        """Choose rows of a matrix by approximate leverage scores.

        Parameters
        ----------
        A : array or scipy.sparse array, shape (n, d)
            In host memory. Dependent columns are allowed.
        m : int
            Number of rows to choose, with replacement.
        rng : None, int, SeedSequence, BitGenerator or Generator
            Source of the keys of the sketch and of the sample; a Generator is advanced.
        dtype : dtype, default float64
            Precision of the explicit entries.

        Returns
        -------
        RowSampling

        Raises
        ------
        InputError
            If `A` has no rows, or not finite numbers.
        InputTypeError
            If `A` is not an array or sparse array in host memory.

        Notes
        -----
        Leverage comes from a sketch of A by `SparseSign` and its singular value decomposition, and
        16 random directions for the lengths of the rows of ``A V / s``: the cost is about
        ``8 n d + 32 n d`` operations and two passes. A tenth of the chances is spread over all
        rows alike, so that the operator is right on average for other data too.

        Examples
        --------
        >>> import numpy as np
        >>> from lowapprox.sketching import RowSampling
        >>> A = np.zeros((1000, 2))
        >>> A[[17, 400]] = np.eye(2)
        >>> S = RowSampling.from_leverage(A, 40, rng=0)
        >>> sorted(set(S.rows.tolist()) & {17, 400})
        [17, 400]
        """
        from lowapprox._core.rng import as_generator

        gen = as_generator(rng)
        scores = _approximate_leverage(_host_matrix(A), gen)
        total = scores.sum()
        uniform = np.full(scores.size, 1.0 / scores.size)
        if total > 0.0:
            uniform = (1.0 - _UNIFORM_SHARE) * scores / total + _UNIFORM_SHARE * uniform
        return cls(m, scores.size, probabilities=uniform, rng=gen, dtype=dtype)

    def _identity(self) -> tuple[Any, ...]:
        return (*super()._identity(), self.rows.tobytes(), self.weights.tobytes())

    def _scale(self) -> float:
        return 1.0

    def _chosen(self, i0: int, i1: int) -> tuple[NDArray, NDArray]:
        """Return which of the samples lie in a range of rows, and which rows they are."""
        samples = np.flatnonzero((self.rows >= i0) & (self.rows < i1))
        return samples, self.rows[samples] - i0

    def _entries(self, i0: int, i1: int) -> NDArray:
        slab = np.zeros((self.shape[0], i1 - i0))
        samples, rows = self._chosen(i0, i1)
        slab[samples, rows] = self.weights[samples]
        return slab

    def _accumulate_dense(self, X: NDArray, dtype: np.dtype[Any], start: int, out: NDArray) -> None:
        samples, rows = self._chosen(start, start + X.shape[0])
        out[samples] += self.weights[samples, None] * X[rows].astype(dtype, copy=False)

    def _accumulate_sparse(self, X: Any, start: int, out: NDArray) -> None:
        samples, rows = self._chosen(start, start + X.shape[0])
        out[samples] += self.weights[samples, None] * X[rows].toarray()

    def _adjoint_rows(self, Y: NDArray, i0: int, i1: int) -> NDArray:
        out = np.zeros((i1 - i0, Y.shape[1]), np.result_type(Y.dtype, np.float64))
        samples, rows = self._chosen(i0, i1)
        np.add.at(out, rows, self.weights[samples, None] * Y[samples])
        return out


def _independent(S: RowSampling, n: int) -> NDArray:
    word = words(S.key, np.arange(S.shape[0]), [0])
    return np.array([w * n >> 64 for w in word.tolist()], dtype=np.int64)


def _checked_probabilities(probabilities: Any, n: int) -> NDArray:
    try:
        p = np.asarray(probabilities, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputTypeError("`probabilities` must be real numbers") from None
    if p.shape != (n,):
        raise InputError(f"`probabilities` must have shape {(n,)}, got {p.shape}")
    if not (np.isfinite(p) & (p > 0.0)).all() or not np.isfinite(p.sum()):
        raise InputError(
            "`probabilities` must be positive and finite, and so their sum, "
            f"got numbers from {p.min(initial=np.inf)} to {p.max(initial=-np.inf)}"
        )
    return p


def _host_matrix(A: MatrixInput) -> MatrixLike:
    op = as_matrix(A)
    if op.kind == "operator" or (op.kind == "dense" and op.xp is not np):
        raise InputTypeError(
            f"`A` must be an array or sparse array in host memory, got {type(A).__name__}"
        )
    if op.shape[0] == 0:
        raise InputError(f"`A` must have rows, got shape {op.shape}")
    return op


def _approximate_leverage(op: MatrixLike, gen: np.random.Generator) -> NDArray:
    """Return squared lengths of the rows of an orthonormal basis, up to a constant factor."""
    n, d = op.shape
    if d == 0:
        return np.zeros(n)
    exponent = normalize(op)[1]
    wide = np.result_type(op.dtype, np.float64)
    step = max(1, _BLOCK_ENTRIES // d)

    def blocks() -> Iterator[tuple[int, NDArray]]:
        for i in range(0, n, step):
            x = op.row_block(i, min(i + step, n))
            x = np.asarray(x.toarray() if op.kind == "sparse" else x)
            yield i, scaled(x.astype(wide), -exponent)

    S = SparseSign(4 * d + 40, n, rng=gen)
    sketched = np.zeros((S.shape[0], d), wide)
    for i, rows in blocks():
        S.apply_rows(rows, i, sketched)
    scale = unit_columns(sketched)
    _, s, Vh = np.linalg.svd(sketched * scale, full_matrices=False)
    keep = s > s.max(initial=0.0) * max(n, d) * op.eps
    basis = Vh[keep].conj().T / s[keep]
    if basis.shape[1] > _PROBES:
        basis = basis @ Gaussian(_PROBES, basis.shape[1], rng=gen).toarray().T
    scores = np.empty(n)
    for i, rows in blocks():
        scores[i : i + step] = (np.abs(rows * scale @ basis) ** 2).sum(axis=1)
    return scores
