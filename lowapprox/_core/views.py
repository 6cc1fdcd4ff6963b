"""Matrices derived from a matrix without forming them: adjoint, scaled and centred."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowapprox._core.errors import InputError, InputTypeError
from lowapprox._core.matrix import MatrixLike
from lowapprox._core.typing import Array

__all__ = ["Adjoint", "Centred", "MatrixView", "Scaled", "normalize", "scaled"]

_BLOCK_BYTES = 8 << 20
_SAFE = {"f": (1e-24, 1e24), "d": (1e-200, 1e200)}  # |A|_F^2 that needs no rescaling


class MatrixView(MatrixLike):
    """A matrix defined through another one; lives where that one lives.

    It has no `source`: entries read past it would be those of the other matrix.
    """

    def __init__(self, base: MatrixLike) -> None:
        self.base = base
        self.xp, self.dtype, self.kind = base.xp, base.dtype, base.kind
        self.compiled = base.compiled
        self.shape = base.shape

    def from_numpy(self, x: np.ndarray[Any, Any], *, real: bool = False) -> Array:
        return self.base.from_numpy(x, real=real)

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        return self.base.to_numpy(x)

    def fro2(self) -> float | None:
        return self.base.fro2()

    def max_abs(self) -> float:
        return self.base.max_abs()

    def stored(self) -> Array:
        return self.base.stored()

    def column_indices(self) -> np.ndarray[Any, Any]:
        return self.base.column_indices()


class Adjoint(MatrixView):
    """The conjugate transpose of a matrix."""

    def __init__(self, base: MatrixLike) -> None:
        super().__init__(base)
        self.shape = base.shape[::-1]

    def mat(self, X: Array) -> Array:
        return self.base.rmat(X)

    def rmat(self, Y: Array) -> Array:
        return self.base.mat(Y)

    def entries(self) -> Array:
        if self.kind != "dense":  # by products with the identity of this side
            return super(MatrixView, self).entries()
        entries = self.base.entries()
        return self.xp.conj(entries).T if self.dtype.kind == "c" else entries.T

    @property
    def H(self) -> MatrixLike:
        return self.base


class Scaled(MatrixView):
    """A matrix times ``2**exponent``; the panels are scaled, not the matrix."""

    def __init__(self, base: MatrixLike, exponent: int) -> None:
        super().__init__(base)
        self.exponent = exponent
        # 2**exponent may overflow, and so may a panel times it: half of it goes to the panel and
        # half to the product.
        self._before, self._after = 2.0 ** (exponent // 2), 2.0 ** (exponent - exponent // 2)

    def mat(self, X: Array) -> Array:
        return self.base.mat(X * self._before) * self._after

    def rmat(self, Y: Array) -> Array:
        return self.base.rmat(Y * self._before) * self._after

    def fro2(self) -> float | None:
        if self.kind == "operator":
            return None
        values = scaled(self.base.stored(), self.exponent)
        return float(self.xp.linalg.vector_norm(values)) ** 2

    def stored(self) -> Array:
        return scaled(self.base.stored(), self.exponent)

    def max_abs(self) -> float:
        return float(scaled(self.base.max_abs(), self.exponent))

    def entries(self) -> Array:
        return scaled(self.base.entries(), self.exponent)


class Centred(MatrixView):
    """A matrix minus its column means, ``(I - 1 1^T / m) A``, without forming it.

    Projecting the long side is equal to subtracting ``1 mu^T`` in exact arithmetic and does not
    cancel when the means dominate.
    """

    def __init__(self, base: MatrixLike) -> None:
        super().__init__(base)
        self.mean = self._column_means()

    def _column_means(self) -> Array:
        # Partial sums over 16 row blocks keep the rounding of long float32 columns small.
        m = self.shape[0]
        blocks = np.zeros((m, 16))
        blocks[np.arange(m), np.arange(m) * 16 // max(m, 1)] = 1.0
        with np.errstate(all="ignore"):  # infinity and NaN go through
            sums = self.to_numpy(self.base.rmat(self.from_numpy(blocks)))
        mean = sums.astype(np.result_type(sums.dtype, np.float64)).sum(axis=1) / max(m, 1)
        return self.from_numpy(mean.conj())

    def _project(self, Y: Array) -> Array:
        return Y - self.xp.mean(Y, axis=0)

    def mat(self, X: Array) -> Array:
        return self._project(self.base.mat(X))

    def rmat(self, Y: Array) -> Array:
        return self.base.rmat(self._project(Y))

    def row_block(self, start: int, stop: int) -> Any:
        if self.kind == "sparse":
            raise InputError(
                "`center` must be False when sparse rows are read once, got True: centred rows "
                "are dense"
            )
        return self.base.row_block(start, stop) - self.mean

    def fro2(self) -> float | None:
        total = self.base.fro2()
        if total is None:
            return None
        m, n = self.shape
        mean = self.to_numpy(self.mean).astype(np.result_type(self.dtype, np.float64))
        shift = m * float(np.vdot(mean, mean).real)
        if total - shift > 1e-3 * total:
            return total - shift
        # The means dominate: sum the centred entries, so that nothing cancels.
        if self.kind == "sparse":
            columns = self.base.column_indices()
            inner = np.abs(self.base.stored() - mean[columns]) ** 2
            unstored = m - np.bincount(columns, minlength=n)
            return float(inner.sum() + (unstored * np.abs(mean) ** 2).sum())
        entries, total = self.base.entries(), 0.0
        step = max(1, _BLOCK_BYTES // max(1, 8 * n))
        for i in range(0, m, step):
            part = self.to_numpy(entries[i : min(i + step, m), :]) - mean
            total += float(np.vdot(part, part).real)
        return total

    def entries(self) -> Array:
        return self.base.entries() - self.mean

    def stored(self) -> Array:
        if self.kind == "sparse":
            raise InputTypeError("a centred sparse matrix has no stored entries")
        return self.entries()


def scaled(x: Any, exponent: int) -> Any:
    """Multiply by a power of two, in two steps since it may overflow alone."""
    return (x * 2.0 ** (exponent // 2)) * 2.0 ** (exponent - exponent // 2) if exponent else x


def normalize(op: MatrixLike, name: str = "A") -> tuple[MatrixLike, int, float | None]:
    """Check that a matrix is finite and bring its scale into a safe range.

    Returns
    -------
    op : MatrixLike
        The matrix times ``2**-exponent``.
    exponent : int
        0 for every matrix of ordinary scale.
    fro2 : float or None
        Squared Frobenius norm of the scaled matrix; None for operators.

    Raises
    ------
    InputError
        If an entry is NaN or infinite.
    NumericalError
        If a product with an operator is.

    Notes
    -----
    Reads the entries once; an operator costs one product with one column.
    """
    low, high = _SAFE["f" if op.dtype.char in "fF" else "d"]
    fro2 = op.fro2()
    if fro2 is not None and low < fro2 < high:
        return op, 0, fro2
    peak = _probe_peak(op) if fro2 is None else op.max_abs()
    if not np.isfinite(peak):
        raise InputError(f"`{name}` must contain finite numbers, got NaN or infinity")
    if peak == 0.0:
        return op, 0, fro2
    if fro2 is None and low < peak * peak < high:
        return op, 0, None
    exponent = int(np.frexp(peak)[1])
    view = Scaled(op, -exponent)
    return view, exponent, view.fro2()


def _probe_peak(op: MatrixLike) -> float:
    """Return the largest entry of one product, which tells the scale of an operator."""
    probe: Any = op.mat(op.from_numpy(np.cos(np.arange(op.shape[1], dtype=float))[:, None]))
    return float(np.abs(op.to_numpy(probe)).max(initial=0.0))
