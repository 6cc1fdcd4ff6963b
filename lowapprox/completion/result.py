"""The result of a completion."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowapprox._core.errors import InputError
from lowapprox._core.results import Result, run_info
from lowapprox.completion.diagnosis import Diagnostics
from lowapprox.completion.folding import Penalty, folded, grown
from lowapprox.completion.observations import Host
from lowapprox.completion.places import chosen, numbers
from lowapprox.completion.problem import Record
from lowapprox.completion.reading import read

if TYPE_CHECKING:
    from os import PathLike

    from scipy.sparse.linalg import LinearOperator

__all__ = ["CompletionResult"]

_BLOCK = 1 << 16  # numbers of the factors that are multiplied together


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CompletionResult(Result):
    """A matrix ``offset + row_bias + col_bias + U diag(s) V^T`` fitted to observed entries.

    What is not determined is not invented: an entry whose row and column are in different
    components of the observed entries (``diagnostics.row_component``), or have no entries, is
    predicted by the offset and the biases alone, and is NaN if there are none.

    Attributes
    ----------
    U, s, V : numpy.ndarray, shape (m, k), (k,), (n, k)
        Singular vectors and values: orthonormal columns, values in descending order; of the
        entries of a column of V that are largest in modulus the first is positive. Of new rows,
        those U that belong to the same s and V.
    offset : float
        The mean of the observed values, zero without `center`.
    row_bias, col_bias : numpy.ndarray, shape (m,), (n,), or None
        Of rows and columns, if they were asked for.
    history : tuple of Record
        Method, rank, residual, change, error at entries held out and time of each step.
    converged : bool
        Whether the tolerance was met, and nothing contradicts the fit.
    reason : str
        Why the work stopped: "residual" (an exact fit), "change", "held-out" (the error there has
        ceased to fall); not converged: "max_iter", "callback", "stagnated", "not identified". Of
        new rows and columns it is "fold-in".
    diagnostics : Diagnostics
        Whether the observed entries can determine the matrix.
    info : Mapping
        Method and why, seconds, threads, and the options that `update` repeats.
    penalties : tuple of Penalty
        What coefficients of rows, and of columns, cost in the fit, for new rows and columns.
    loss : str
        "logit" means that the matrix is that of the log-odds.
    threshold : float
        Residual from which on entries count less, for the loss "huber".
    nonneg : bool
        Whether U and V are nonnegative; their columns have unit norm then, but are not orthogonal.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox import complete
    >>> A = np.outer([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0])
    >>> A[3, 2] = np.nan
    >>> result = complete(A, 1, reg=0, rng=0)
    >>> result.converged, result.reason
    (True, 'residual')
    >>> ((result.U * result.s) @ result.V.T)[3].round(6)
    array([ 4.,  8., 12.])
    """

    U: Host
    s: Host
    V: Host
    offset: float
    row_bias: Host | None
    col_bias: Host | None
    history: tuple[Record, ...]
    converged: bool
    reason: str
    diagnostics: Diagnostics
    info: Mapping[str, Any]
    penalties: tuple[Penalty | None, Penalty | None] = (None, None)
    loss: str = "squared"
    threshold: float = np.inf
    nonneg: bool = False

    _shown: ClassVar[tuple[str, ...]] = ("U", "s", "V", "converged", "reason", "iterations")

    @property
    def rank(self) -> int:
        """The number of singular values."""
        return int(self.s.size)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the matrix."""
        return int(self.U.shape[0]), int(self.V.shape[0])

    @property
    def iterations(self) -> int:
        """The number of steps."""
        return len(self.history)

    @property
    def coherence(self) -> tuple[float, float]:
        """How far single rows of U, and of V, stand out: ``max |u|^2 m / k``, ``max |v|^2 n / k``.

        It is one where all rows are alike, and up to ``m / k`` for a row with a component of its
        own, which entries of other rows say nothing of.
        """
        found = []
        for X in (self.U, self.V):
            leverage = np.sum(X.astype(np.float64) ** 2, axis=1).max(initial=0.0)
            found.append(float(leverage) * X.shape[0] / max(self.rank, 1))
        return found[0], found[1]

    @property
    def T(self) -> CompletionResult:
        """The completion of the transpose."""
        return replace(
            self,
            U=self.V,
            V=self.U,
            row_bias=self.col_bias,
            col_bias=self.row_bias,
            diagnostics=self.diagnostics.T,
            penalties=self.penalties[::-1],
            info=_swapped(self.info),
        )

    def predict(self, rows: Any, cols: Any) -> Host:
        """Return single entries, as many as are asked for.

        Parameters
        ----------
        rows, cols : int or array of int
            Row and column numbers, of the same shape or of shapes that broadcast.

        Returns
        -------
        numpy.ndarray of that shape
            NaN where nothing is known, see above.

        Raises
        ------
        InputError
            If a number is negative or too large.

        Notes
        -----
        Costs ``2 k`` operations an entry. The matrix is not formed.

        Examples
        --------
        >>> import numpy as np
        >>> from lowapprox import complete
        >>> A = np.outer([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 2.0])
        >>> A[3, 2] = np.nan
        >>> result = complete(A, 1, reg=0, rng=0)
        >>> result.predict([0, 3], [2, 2]).round(6)
        array([2., 8.])
        """
        i, j = numbers(rows, "rows", self.shape[0]), numbers(cols, "cols", self.shape[1])
        try:
            i, j = np.broadcast_arrays(i, j)
        except ValueError:
            raise InputError(
                f"`rows` and `cols` must have shapes that broadcast, got {i.shape} and {j.shape}"
            ) from None
        out = np.empty(i.shape, self.U.dtype)
        step = max(1, _BLOCK // max(1, self.rank))
        for start in range(0, out.size, step):
            part = slice(start, start + step)
            a, b = i.flat[part], j.flat[part]
            left = np.take(self.U, a, axis=0)
            left *= self.s
            product = np.einsum("tk,tk->t", left, np.take(self.V, b, axis=0))
            out.flat[part] = self._finished(product, a, b)
        return out

    def block(self, rows: Any = None, cols: Any = None) -> Host:
        """Return the block of the matrix where some rows and columns meet.

        Parameters
        ----------
        rows, cols : slice, array of int or array of bool, optional
            All by default.

        Returns
        -------
        numpy.ndarray, shape (number of rows, number of columns)
            NaN where nothing is known, as for `predict`.

        Raises
        ------
        InputError
            If a number is negative or too large, or a mask has another length.

        Examples
        --------
        >>> import numpy as np
        >>> from lowapprox import complete
        >>> A = np.outer([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 2.0])
        >>> A[3, 2] = np.nan
        >>> result = complete(A, 1, reg=0, rng=0)
        >>> result.block([3, 0], slice(1, 3)).round(6)
        array([[4., 8.],
               [1., 2.]])
        """
        i, j = chosen(rows, "rows", self.shape[0]), chosen(cols, "cols", self.shape[1])
        product = (self.U[i] * self.s) @ self.V[j].T
        return self._finished(product, i[:, None], j)

    def to_dense(self) -> Host:
        """Return the whole matrix.

        Returns
        -------
        numpy.ndarray, shape (m, n)
            The fit, also where entries are known. NaN where nothing is known, as for `predict`.
        """
        return self.block()

    def as_linear_operator(self) -> LinearOperator:
        """Return the matrix as a `scipy.sparse.linalg.LinearOperator`.

        Returns
        -------
        LinearOperator
            Its products cost ``2 (m + n) k`` operations, and one more pass for biases.

        Raises
        ------
        InputError
            If entries are unknown: a product with NaN would be NaN as a whole.

        Examples
        --------
        >>> import numpy as np
        >>> from lowapprox import complete
        >>> A = np.outer([1.0, 2.0, 3.0], [1.0, 2.0])
        >>> result = complete(A, 1, reg=0, rng=0)
        >>> (result.as_linear_operator() @ np.ones(2)).round(6)
        array([3., 6., 9.])
        """
        from scipy.sparse.linalg import LinearOperator

        if not (self._has_means or self.diagnostics.connected or 0 in self.shape):
            raise InputError(
                "a linear operator needs all entries, and "
                f"{self.diagnostics.empty_rows} rows and {self.diagnostics.empty_cols} columns "
                f"without entries, {self.diagnostics.components} components leave some unknown; "
                "use `block` for the known ones"
            )
        return LinearOperator(
            dtype=self.U.dtype,
            shape=self.shape,
            matvec=lambda x: self._times(x.reshape(-1, 1))[:, 0],
            rmatvec=lambda y: self.T._times(y.reshape(-1, 1))[:, 0],
            matmat=self._times,
            rmatmat=self.T._times,
        )

    def fold_in_rows(
        self,
        A_new: Any,
        *,
        mask: Any = None,
        shape: Any = None,
        weights: Any = None,
        duplicates: str = "error",
    ) -> CompletionResult:
        """Complete new rows, with V as it is.

        Parameters
        ----------
        A_new : sparse array, array, or tuple (rows, columns, values)
            Observed entries of p new rows, in any form that `complete` takes.
        mask, shape, weights, duplicates : optional
            As for `complete`.

        Returns
        -------
        CompletionResult, shape (p, n)
            The new rows, with the same s and V; ``U`` are their coefficients.

        Raises
        ------
        InputError
            If the number of columns is another.

        Notes
        -----
        A row is the exact solution of the ridge regression that it would be in the fit, in
        float64: rows of the fit come out as they are there, if it has converged. With the learned
        ridge columns do, which were solved for last, and rows to about a thousandth: covariances of
        single rows are approximated, so that the ridges of rows and of columns are not those of
        one objective, and the two halves of a sweep differ by as much. Entries in
        columns of different components share no coordinates: a row belongs to the component
        where it has most of its entries, and only those count. A row with fewer entries than the
        rank is not determined where no ridge decides: it is the shortest solution then, and
        ``diagnostics.few_rows`` counts such rows. Costs ``O(N k^2 + p k^3)`` for N entries.

        Examples
        --------
        >>> import numpy as np
        >>> from lowapprox import complete
        >>> A = np.outer([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
        >>> result = complete(A, 1, reg=0, rng=0)
        >>> new = result.fold_in_rows([[5.0, np.nan, np.nan]])
        >>> new.to_dense().round(6)
        array([[ 5., 10., 20.]])
        """
        start = time.perf_counter()
        new = read(
            A_new, mask=mask, shape=shape, weights=weights, duplicates=duplicates, name="A_new"
        )
        _same_size(new.shape[1], self.shape[1], "columns")
        return replace(folded(self, new.rows), info=self._folded_info(start))

    def fold_in_cols(
        self,
        A_new: Any,
        *,
        mask: Any = None,
        shape: Any = None,
        weights: Any = None,
        duplicates: str = "error",
    ) -> CompletionResult:
        """Complete new columns, with U as it is.

        Parameters
        ----------
        A_new : sparse array, array, or tuple (rows, columns, values)
            Observed entries of p new columns, in any form that `complete` takes.
        mask, shape, weights, duplicates : optional
            As for `complete`.

        Returns
        -------
        CompletionResult, shape (m, p)
            The new columns, with the same U and s; ``V`` are their coefficients.

        Raises
        ------
        InputError
            If the number of rows is another.

        Notes
        -----
        As for `fold_in_rows`, of the transpose.

        Examples
        --------
        >>> import numpy as np
        >>> from lowapprox import complete
        >>> A = np.outer([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
        >>> result = complete(A, 1, reg=0, rng=0)
        >>> new = result.fold_in_cols([[np.nan], [6.0], [np.nan]])
        >>> new.predict([0, 1, 2], 0).round(6)
        array([3., 6., 9.])
        """
        start = time.perf_counter()
        new = read(
            A_new, mask=mask, shape=shape, weights=weights, duplicates=duplicates, name="A_new"
        )
        _same_size(new.shape[0], self.shape[0], "rows")
        return replace(folded(self.T, new.columns).T, info=self._folded_info(start))

    def update(
        self,
        A_more: Any,
        *,
        mask: Any = None,
        shape: Any = None,
        weights: Any = None,
        duplicates: str = "error",
        **options: Any,
    ) -> CompletionResult:
        """Fit again, from this result, when there are more entries, rows or columns.

        Parameters
        ----------
        A_more : sparse array, array, or tuple (rows, columns, values)
            All observed entries, those of the fit too. It may have more rows and columns.
        mask, shape, weights, duplicates : optional
            As for `complete`.
        **options
            Options of `complete` that shall be others than in this fit, but for `rank` and `init`.
            Those that say when to stop and how to draw, `validation`, `callback`, `progress` and
            `rng`, are not repeated.

        Returns
        -------
        CompletionResult
            Of the shape of `A_more`.

        Raises
        ------
        InputError
            If there are fewer rows or columns than in this fit.

        Examples
        --------
        >>> import numpy as np
        >>> from lowapprox import complete
        >>> A = np.outer([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
        >>> result = complete(A, 1, reg=0, rng=0)
        >>> more = np.vstack([A, [5.0, np.nan, 20.0]])
        >>> result.update(more, rng=0).predict([3], [1]).round(6)
        array([10.])
        """
        from lowapprox.completion.complete import complete

        form = {"mask": mask, "shape": shape, "weights": weights, "duplicates": duplicates}
        for name in ("rank", "init"):
            if name in options:
                raise InputError(
                    f"`{name}` must be left out, an update goes on from this fit of rank "
                    f"{self.rank}, got {options[name]!r}; `complete` fits anew"
                )
        start = grown(self, read(A_more, **form, name="A_more"))
        again = {**self.info.get("options", {}), **options}
        return complete(A_more, self.rank, **form, **again, init=start)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the result to a file, without pickle.

        Parameters
        ----------
        path : str or path
            By custom it ends in ``.npz``. What is there is overwritten.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from lowapprox.completion import CompletionResult, complete
        >>> A = np.outer([1.0, 2.0, 3.0], [1.0, 2.0])
        >>> result = complete(A, 1, reg=0, rng=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result.save(Path(folder) / "fit.npz")
        ...     again = CompletionResult.load(Path(folder) / "fit.npz")
        >>> bool((again.to_dense() == result.to_dense()).all())
        True
        """
        from lowapprox.completion.storing import save

        save(self, Path(path))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> CompletionResult:
        """Read a result from a file that `save` has written.

        Parameters
        ----------
        path : str or path
            Of the file.

        Returns
        -------
        CompletionResult
            With the same factors, bit by bit.

        Raises
        ------
        InputError
            If the file is none of those.

        Examples
        --------
        See `save`.
        """
        from lowapprox.completion.storing import load

        return load(Path(path))

    @property
    def _has_means(self) -> bool:
        return self.offset != 0.0 or self.row_bias is not None or self.col_bias is not None

    def _finished(self, product: Host, rows: Host, cols: Host) -> Host:
        """Add the means to entries of the product, and leave it out where nothing is known."""
        found = self.diagnostics
        if not found.connected:
            a, b = found.row_component[rows], found.col_component[cols]
            product[(a != b) | (a < 0)] = 0.0 if self._has_means else np.nan
        product += product.dtype.type(self.offset)
        if self.row_bias is not None:
            product += self.row_bias[rows]
        if self.col_bias is not None:
            product += self.col_bias[cols]
        return product

    def _times(self, X: Host) -> Host:
        """Return the product with X of shape (n, b)."""
        out = np.zeros((self.shape[0], X.shape[1]), np.result_type(self.U, X))
        for rows, cols in self._parts():
            out[rows] += (self.U[rows] * self.s) @ (self.V[cols].T @ X[cols])
        total = X.sum(axis=0)
        out += self.offset * total
        if self.row_bias is not None:
            out += np.outer(self.row_bias, total)
        if self.col_bias is not None:
            out += self.col_bias @ X
        return out

    def _parts(self) -> Iterator[tuple[Any, Any]]:
        """Yield the rows and columns of each component."""
        found = self.diagnostics
        if found.connected:
            yield slice(None), slice(None)
            return
        labels = (found.row_component, found.col_component)
        orders = [np.argsort(x, kind="stable") for x in labels]
        bounds = [
            np.searchsorted(x[o], np.arange(found.components + 1))
            for x, o in zip(labels, orders, strict=True)
        ]
        for c in range(found.components):
            rows, cols = (o[b[c] : b[c + 1]] for o, b in zip(orders, bounds, strict=True))
            yield rows, cols

    def _folded_info(self, start: float) -> dict[str, Any]:
        options = {"options": self.info["options"]} if "options" in self.info else {}
        return run_info(start, "fold-in", **options)


def _swapped(info: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is said of a fit for its transpose: biases of rows are those of columns."""
    options = info.get("options")
    if options is None:
        return info
    biases = {"row_bias": options["col_bias"], "col_bias": options["row_bias"]}
    return {**info, "options": {**options, **biases}}


def _same_size(got: int, wanted: int, what: str) -> None:
    if got != wanted:
        raise InputError(f"`A_new` must have {wanted} {what}, got {got}")
