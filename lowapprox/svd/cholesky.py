"""Randomly pivoted Cholesky, accelerated by block rejection sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, ClassVar, TypeAlias

import numpy as np

from lowapprox._core.checks import checked_int, checked_rank, checked_tol
from lowapprox._core.errors import InputError, InputTypeError, NumericalError
from lowapprox._core.matrix import as_matrix, set_rows
from lowapprox._core.results import Result, run_info
from lowapprox._core.rng import as_generator
from lowapprox._core.typing import Array, MatrixInput, RNGInput
from lowapprox._core.views import MatrixView
from lowapprox.svd.entries import PSDEntries, dense_entries, kernel_entries, sparse_entries

__all__ = ["PivotedCholeskyResult", "rp_cholesky"]

Host: TypeAlias = np.ndarray[Any, Any]

_LARGEST_BLOCK = 256  # proposals; the loop over them runs in Python
_TILE_BYTES = 1 << 20  # a tile of kernel entries and its temporaries stay in the L2 cache


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PivotedCholeskyResult(Result):
    """Partial Cholesky factor ``A ~ F @ F^H`` from randomly chosen columns.

    Attributes
    ----------
    F : array, shape (n, k)
        Factor; ``A - F @ F^H`` is positive semidefinite and zero in the rows `pivots`.
    pivots : numpy.ndarray, shape (k,)
        Indices of the chosen columns, distinct, in the order of the choice.
    trace_error : float
        ``trace(A - F @ F^H)``, exact up to rounding. It bounds the spectral and Frobenius errors.
    trace : float
        ``trace(A)``.
    residual_diagonal : numpy.ndarray, shape (n,)
        Diagonal of ``A - F @ F^H``.
    converged : bool
        True when the trace error met the tolerance or is rounding, and when only `rank` was asked
        and given.
    iterations : int
        Blocks of proposals that were drawn.
    info : Mapping
        Reason of the stop, proposals, entries evaluated, seconds of the phases.
    """

    F: Array
    pivots: Host
    trace_error: float
    trace: float
    residual_diagonal: Host
    converged: bool
    iterations: int
    info: Mapping[str, Any]

    _shown: ClassVar[tuple[str, ...]] = ("F", "trace_error", "trace", "converged", "iterations")

    @property
    def rank(self) -> int:
        """Number of columns."""
        return int(self.F.shape[1])

    def reconstruct(self) -> Array:
        """Return ``F @ F^H``, shape (n, n)."""
        import array_api_compat

        xp = array_api_compat.array_namespace(self.F)
        is_complex = xp.isdtype(self.F.dtype, "complex floating")
        return self.F @ (xp.conj(self.F) if is_complex else self.F).T


def rp_cholesky(
    A_or_kernel: MatrixInput | Callable[[Host, Host], Array],
    rank: int,
    *,
    diag: Array | None = None,
    block: int | None = None,
    tol: float | None = None,
    rng: RNGInput = None,
) -> PivotedCholeskyResult:
    """Approximate a positive semidefinite matrix from randomly pivoted columns.

    Each pivot is drawn with probability proportional to the diagonal of the residual. Pivots are
    proposed in blocks and thinned by rejection, which gives the same law as one column at a time
    with matrix-matrix products in place of matrix-vector products.

    Parameters
    ----------
    A_or_kernel : array or scipy.sparse array of shape (n, n), or callable
        Positive semidefinite matrix, of which the diagonal and about `rank` rows are read; or
        ``kernel(rows, cols)``, which returns the block of shape ``(len(rows), len(cols))`` for two
        int64 index arrays.
    rank : int
        Largest number of columns, between 1 and n.
    diag : array, shape (n,), optional
        Diagonal of the matrix; needed for a callable, and not allowed otherwise. Its namespace is
        that of the result.
    block : int, optional
        Proposals per block. 1 is the plain algorithm; by default the size follows the share of
        proposals that was accepted so far.
    tol : float, optional
        Stop as soon as ``trace_error <= tol * trace``.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Passed to `numpy.random.default_rng`.

    Returns
    -------
    PivotedCholeskyResult
        With fewer than `rank` columns when the residual is exhausted up to rounding.

    Raises
    ------
    InputError
        If the matrix is not square or not Hermitian, if its diagonal has a negative entry, or
        an argument is out of range.
    InputTypeError
        If `A_or_kernel` offers only products (use `nystrom`), `diag` is missing, or the kernel
        returns arrays of another namespace or device.
    NumericalError
        If an entry that was read is NaN or infinite, or the matrix is not positive semidefinite.

    Warns
    -----
    ConvergenceWarning
        If `rank` columns do not reach `tol`.
    AccuracyWarning
        If the residual turns out not to be positive semidefinite by little, mostly because the
        entries are less accurate than their precision. The factor ends before that.

    Notes
    -----
    Evaluates about ``k n`` entries and costs ``k**2 n`` multiplications, at the speed of
    matrix-matrix products. The matrix is never formed; a callable is asked for blocks of at most
    ``block`` rows and some thousand columns at a time.

    In expectation the trace error is within a factor ``1 + eps`` of the best rank-r one for
    ``k >= r / eps + r log(1 / (eps * eta))``, where eta is the relative error of the best rank-r
    approximation [1]_.

    References
    ----------
    .. [1] Y. Chen, E. N. Epperly, J. A. Tropp, R. J. Webber (2022), Randomly pivoted Cholesky,
       arXiv:2207.06503.
    .. [2] E. N. Epperly, J. A. Tropp, R. J. Webber (2024), Embrace rejection: kernel matrix
       approximation by accelerated randomly pivoted Cholesky, arXiv:2410.03969.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.svd import rp_cholesky
    >>> x = np.linspace(0.0, 1.0, 500)
    >>> def kernel(rows, cols):
    ...     return np.exp(-((x[rows, None] - x[cols]) ** 2))
    >>> res = rp_cholesky(kernel, 10, diag=np.ones(500), rng=0)
    >>> res.F.shape, res.trace_error < 1e-6 * res.trace
    ((500, 10), True)
    """
    start = perf_counter()
    entries = _entries(A_or_kernel, diag)
    rank = checked_rank(rank, (entries.n, entries.n))
    block = None if block is None else checked_int(block, "block", 1)
    tol = None if tol is None else checked_tol(tol)
    work = _PivotedCholesky(entries, rank, as_generator(rng))
    reason = work.run(block, 0.0 if tol is None else tol * work.trace)
    converged = reason in {"tol", "exhausted"} or (reason == "rank" and tol is None)
    if not converged:
        _warn(work, reason, tol)
    return PivotedCholeskyResult(
        F=work.factor(),
        pivots=work.pivots[: work.size].copy(),
        trace_error=work.trace_error,
        trace=work.trace,
        residual_diagonal=work.diagonal,
        converged=converged,
        iterations=work.iterations,
        info=run_info(
            start,
            "plain" if block == 1 else "accelerated",
            reason=reason,
            proposals=work.proposals,
            entries=work.entries_read,
            seconds=work.seconds,
        ),
    )


class _PivotedCholesky:
    """The growing factor, in rows: ``A ~ rows^T @ conj(rows)``."""

    def __init__(self, entries: PSDEntries, rank: int, gen: np.random.Generator) -> None:
        self.entries = entries
        self.gen = gen
        self.start = entries.diagonal
        self.diagonal = entries.diagonal.copy()
        self.trace = float(self.start.sum())
        if not np.isfinite(self.trace):
            raise NumericalError("the diagonal must have a finite sum, got NaN or infinity")
        self.eps = float(np.finfo(entries.dtype).eps)
        # Residual over entry that is rounding of the entry and of the subtracted products.
        self.noise = 16.0 * self.eps * float(np.sqrt(max(rank, 1)))
        self.guard = self.noise * self.start
        self.weights = np.where(self.diagonal > self.guard, self.diagonal, 0.0)
        self.indefinite = False
        self.rank = rank
        self.rows = entries.empty(rank)
        self.pivots = np.empty(rank, dtype=np.int64)
        self.size = self.iterations = self.proposals = self.entries_read = 0
        self.seconds = {"entries": 0.0, "pivots": 0.0, "products": 0.0}

    @property
    def trace_error(self) -> float:
        return float(self.diagonal.sum())

    def factor(self) -> Array:
        rows = self.rows[: self.size, :]
        if self.size < self.rank:
            rows = set_rows(self.entries.empty(self.size), 0, rows)  # frees the buffer
        return rows.T

    def run(self, block: int | None, target: float) -> str:
        """Add columns until one of the stops holds, and name it."""
        while True:
            if self.trace_error <= target:
                return "tol" if target else "exhausted"
            if self.size == self.rank:
                return "rank"
            cumulative = np.cumsum(self.weights)
            if not cumulative[-1] > 0.0:
                return "indefinite" if self.indefinite else "exhausted"
            count = self._block_size() if block is None else block
            draws = self.gen.random(count) * cumulative[-1]
            proposed = np.searchsorted(cumulative, draws, side="right")
            self._extend(np.minimum(proposed, np.flatnonzero(self.weights)[-1]).astype(np.int64))

    def _block_size(self) -> int:
        """Proposals from which the missing columns are expected."""
        missing = self.rank - self.size
        accepted = self.size / self.proposals if self.proposals else 1.0
        # Rejections cost block**2 entries; keep that below the n entries of each column.
        affordable = max(8, self.entries.n // 8)
        wanted = int(1.2 * missing / max(accepted, 0.1)) if self.proposals else missing
        return max(1, min(wanted, affordable, _LARGEST_BLOCK))

    def _extend(self, proposed: Host) -> None:
        clock = perf_counter()
        self.iterations += 1
        self.proposals += proposed.size
        self.entries_read += proposed.size**2
        H = self._residual_block(proposed)
        kept, L = self._accept(proposed, H)
        self.seconds["pivots"] += perf_counter() - clock
        if kept.size:
            self._append(proposed[kept], L)

    def _residual_block(self, proposed: Host) -> Host:
        """Residual at the proposals, in double precision."""
        entries = self.entries
        H = entries.block(proposed)
        H = H.astype(np.result_type(H.dtype, np.float64), copy=False)
        if not np.isfinite(H).all():
            raise NumericalError("the matrix has an entry that is NaN or infinite")
        scale = np.sqrt(self.start[proposed])
        skew = np.abs(H - H.conj().T) / scale / scale[:, None]
        off = np.abs(np.diagonal(H) - self.start[proposed]) / self.start[proposed]
        worst = max(float(skew.max()), float(off.max()))
        if worst > np.sqrt(np.finfo(entries.dtype).eps):
            raise InputError(
                "the matrix must be Hermitian and agree with its diagonal, "
                f"got a relative deviation of {worst:.1e}"
            )
        F = self._columns(proposed)
        return np.asarray(H - F.T @ F.conj())

    def _columns(self, indices: Host) -> Host:
        """Rows of the factor at some indices, transposed, in double precision."""
        if not self.size:
            return np.zeros((0, indices.size))
        F = self.entries.take(self.rows[: self.size, :], indices)
        return np.asarray(F, dtype=np.result_type(F.dtype, np.float64))

    def _accept(self, proposed: Host, H: Host) -> tuple[Host, Host]:
        """Go through the proposals in order; accept each with its share of what is left.

        Returns the accepted positions and the Cholesky factor of their residual block.
        """
        scale = np.sqrt(self.diagonal[proposed])
        H = H / scale / scale[:, None]
        left = np.diagonal(H).real.copy()  # 1 but for rounding, less with every pivot
        guard = self.guard[proposed] / self.diagonal[proposed]
        self.weights[proposed[left <= guard]] = 0.0  # or they would be proposed for ever
        coins = self.gen.random(proposed.size)
        rows = np.zeros_like(H)
        kept: list[int] = []
        for a in range(proposed.size):
            if coins[a] >= left[a] or left[a] <= guard[a]:
                continue
            done = rows[: len(kept)]
            row = (H[a] - done[:, a].conj() @ done) / np.sqrt(left[a])
            rows[len(kept)] = row
            kept.append(a)
            left -= row.real**2 + row.imag**2
            left[proposed == proposed[a]] = 0.0
            if self.size + len(kept) == self.rank:
                break
        accepted = np.asarray(kept, dtype=np.int64)
        upper = np.triu(rows[: accepted.size][:, accepted])  # H = L L^H with L^H = upper
        return accepted, upper.conj().T * scale[accepted, None]

    def _append(self, chosen: Host, L: Host) -> None:
        """Add the columns of the residual at the chosen pivots, times ``L^-H``."""
        entries = self.entries
        start, stop = self.size, self.size + chosen.size
        # Rows are scaled before the inversion, so that it meets a matrix of moderate condition.
        scale = np.linalg.norm(L, axis=1)
        solve = entries.from_numpy((np.linalg.inv(L / scale[:, None]) / scale).conj())
        known = entries.from_numpy(self._columns(chosen).conj().T)
        self.entries_read += chosen.size * entries.n
        read = entries.rows(chosen)
        before = self.diagonal.copy()
        for tile in entries.tiles(max(1, _TILE_BYTES // (chosen.size * entries.dtype.itemsize))):
            clock = perf_counter()
            Z = read(tile)
            between = perf_counter()
            with np.errstate(all="ignore"):  # NaN and infinity are found in the diagonal
                if start:
                    Z = Z - known @ self.rows[:start, tile]
                self.diagonal[tile] -= self._write(start, stop, tile, solve, Z)
            self.seconds["entries"] += between - clock
            self.seconds["products"] += perf_counter() - between
        self.pivots[start:stop] = chosen
        self.size = stop
        # The smallest pivot so far, relative to its entry, tells how much rounding was amplified.
        smallest = np.minimum.accumulate(np.diagonal(L).real ** 2 / self.start[chosen])
        self._settle(before, smallest)

    def _write(self, start: int, stop: int, tile: slice, solve: Array, Z: Array) -> Host:
        """Store new rows and return the squared norms of their columns."""
        if self.entries.xp is np:
            G = np.matmul(solve, Z, out=self.rows[start:stop, tile])
            squares: Host = np.einsum("ij,ij->j", G, G.conj() if np.iscomplexobj(G) else G)
            return squares.real
        xp = self.entries.xp
        G = solve @ Z
        self.rows = set_rows(self.rows, start, G)
        return np.asarray(self.entries.to_numpy(xp.sum(xp.abs(G) ** 2, axis=0)), dtype=np.float64)

    def _settle(self, before: Host, smallest: Host) -> None:
        """Check the residual diagonal, remove rounding below zero, refresh the weights."""
        d = self.diagonal
        if not np.isfinite(d).all():
            raise NumericalError("the matrix has an entry that is NaN or infinite")
        d[self.pivots[: self.size]] = 0.0
        if (d < self._negative(before, smallest[-1])).any():
            self._cut(before, smallest)
        np.maximum(d, 0.0, out=d)
        # A weight that was set to zero stays zero.
        self.weights = np.where((d > self.guard) & (self.weights > 0.0), d, 0.0)

    def _negative(self, before: Host, smallest: float) -> Host:
        """Residuals below this are not rounding.

        Of a semidefinite residual, the squared norm of a row of the new columns is at most
        ``before``; rounding adds ``noise * sqrt(start / pivot)`` to the norm. The factors leave
        room for what earlier small pivots amplified.
        """
        slack = 10.0 * self.noise / np.sqrt(smallest)
        norm = np.sqrt(before) + slack * np.sqrt(self.start)
        return np.asarray(before - norm**2 - 100.0 * self.guard)

    def _cut(self, before: Host, smallest: Host) -> None:
        """Drop the new columns from the first that shows a negative eigenvalue."""
        first = self.size - smallest.size
        new = self.entries.to_numpy(self.rows[first : self.size, :])
        d = before
        for kept in range(smallest.size):
            left = d - np.abs(new[kept]).astype(np.float64) ** 2
            left[self.pivots[: first + kept + 1]] = 0.0
            last = kept == smallest.size - 1  # broken by all together, if by none before
            if last or (left < self._negative(before, smallest[kept])).any():
                break
            d = left
        at = int((left / np.where(self.start > 0.0, self.start, np.inf)).argmin())
        little = self.eps ** (1 / 3)
        if left[at] < -little * self.start[at] and d.sum() > little * self.trace:
            raise NumericalError(
                "the matrix must be positive semidefinite, got a residual with the diagonal entry "
                f"{float(left[at]):.3g} where the matrix has {float(self.start[at]):.3g}"
            )
        self.size = first + kept
        self.diagonal[:] = d
        self.weights[:] = 0.0  # no more columns
        self.indefinite = bool(d.sum() > self.noise * self.trace)


def _warn(work: _PivotedCholesky, reason: str, tol: float | None) -> None:
    import warnings

    from lowapprox._core.errors import AccuracyWarning, ConvergenceWarning

    relative = work.trace_error / work.trace
    if reason == "indefinite":
        warnings.warn(
            f"{work.size} columns leave a relative trace error of {relative:.1e} and a residual "
            "that is not quite positive semidefinite; the entries may be too inaccurate for more",
            AccuracyWarning,
            stacklevel=3,
        )
    else:
        warnings.warn(
            f"rank {work.rank} leaves a relative trace error of {relative:.1e}, "
            f"above `tol` = {tol:.1e}",
            ConvergenceWarning,
            stacklevel=3,
        )


def _entries(A: Any, diag: Any) -> PSDEntries:
    if callable(A) and not hasattr(A, "shape"):
        if diag is None:
            raise InputTypeError("`diag` must be given with a callable, got None")
        return kernel_entries(A, diag)
    if diag is not None:
        raise InputError("`diag` is for callables; an array carries its own diagonal")
    op = as_matrix(A, "A_or_kernel")
    if op.shape[0] != op.shape[1]:
        raise InputError(f"`A_or_kernel` must be square, got shape {op.shape}")
    if op.kind == "operator" or isinstance(op, MatrixView):
        raise InputTypeError(
            "`A_or_kernel` must give access to its entries, got an operator that offers only "
            "products; use lowapprox.svd.nystrom"
        )
    return sparse_entries(op) if op.kind == "sparse" else dense_entries(op)
