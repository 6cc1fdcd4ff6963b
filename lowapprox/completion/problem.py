"""What every method is given, what it returns, and what it tells on its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Protocol

import numpy as np

from lowapprox._core.errors import NumericalError
from lowapprox._core.progress import Reporter
from lowapprox.completion.folding import Penalty
from lowapprox.completion.observations import Host, Observations
from lowapprox.completion.tall import finite

__all__ = ["Factors", "HeldOut", "Method", "Problem", "Record", "Watch"]

_IMPROVEMENT = 3e-4  # relative fall of the error that is worth the time of some steps
_BOTH = 10.0  # change of the residual over that of the product, from which on they disagree
_STILL = 1e-3  # change of the product over the residual, from which on nothing happens any more


@dataclass(frozen=True, slots=True)
class Factors:
    """A product ``U @ V.T``; U has shape (m, k), V shape (n, k), in no particular gauge.

    Methods that alternate add what the rows of U, and of V, cost when they were solved for: of all
    columns but the constants beside biases.
    """

    U: Host
    V: Host
    penalties: tuple[Penalty | None, Penalty | None] = (None, None)

    @property
    def rank(self) -> int:
        """The number of columns."""
        return int(self.U.shape[1])

    @property
    def T(self) -> Factors:
        """The factors of the transpose."""
        return Factors(self.V, self.U, self.penalties[::-1])

    def at(self, rows: Host, columns: Host) -> Host:
        """Return single entries of the product, by blocks that stay in the cache."""
        out = np.empty(rows.size, self.U.dtype)
        for start in range(0, rows.size, 1 << 14):
            cut = slice(start, start + (1 << 14))
            out[cut] = np.einsum("ij,ij->i", self.U[rows[cut]], self.V[columns[cut]])
        return out

    def residual(self, observed: Observations) -> Host:
        """Return observed values less those of the product, in the order of the rows."""
        entries = observed.rows
        rows = np.repeat(np.arange(observed.shape[0]), entries.counts)
        gap: Host = entries.values - self.at(rows, entries.indices)
        return gap


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Entries that no method sees, to judge it by."""

    rows: Host
    columns: Host
    values: Host
    loss: Callable[[Host, Host], Host] | None = None  # of the product and the values; squares

    def error(self, factors: Factors) -> float:
        """Return the root of the mean squared error, or the mean of another loss."""
        found = factors.at(self.rows, self.columns).astype(np.float64)
        return self.measured(found, self.values)

    def measured(self, found: Host, values: Host) -> float:
        """Measure what was found against any values in the same way."""
        if not values.size:
            return 0.0
        if self.loss is not None:
            return float(np.mean(self.loss(found, values)))
        gap = found - values
        return float(np.sqrt(np.mean(gap * gap)))


@dataclass(frozen=True, slots=True)
class Problem:
    """Find factors of a rank that fit the observed entries.

    Minimize ``sum w (x_ij - v_ij)^2 + ridge (|U|^2 + |V|^2)``.

    Biases are columns of the factors, around the `rank` others: with a bias for each row, the first
    column of U holds the biases and that of V the constant `unit`; with one for each column, the
    last column of V holds the biases and that of U the constant.

    Attributes
    ----------
    observed : Observations
        Their values have a root mean square of about one.
    rank : int
        At least 1, biases not counted.
    ridge : float or None
        None asks for the automatic one, which vanishes for exact data.
    tol : float
        Relative change of the product, and relative residual of exact data, at which to stop.
    max_iter : int
        Of steps that are recorded: sweeps, or outer steps of second-order methods.
    rng : numpy.random.Generator
    held_out : HeldOut or None
    row_bias, col_bias : bool
    unit : float
        The constant beside a column of biases.
    per_entry : bool
        Multiply the ridge of each row by the sum of the weights of its entries.
    weight : float
        The unit of the weights, which are about one.
    loss : {"squared", "huber", "logit"}
    nonneg : bool
        Keep the factors nonnegative.
    residual_tol : float or None
        Relative residual of exact data at which to stop, where it is another than `tol`. A change
        then counts as small only if it is also small beside the residual.
    """

    observed: Observations
    rank: int
    ridge: float | None
    tol: float
    max_iter: int
    rng: np.random.Generator
    held_out: HeldOut | None = None
    row_bias: bool = False
    col_bias: bool = False
    unit: float = 1.0
    per_entry: bool = False
    loss: str = "squared"
    nonneg: bool = False
    residual_tol: float | None = None
    weight: float = 1.0

    @property
    def width(self) -> int:
        """The number of columns of the factors, biases and their constants included."""
        return self.rank + self.row_bias + self.col_bias

    @property
    def inner(self) -> slice:
        """The columns of the factors without biases."""
        return slice(int(self.row_bias), int(self.row_bias) + self.rank)


@dataclass(frozen=True, slots=True)
class Record:
    """One step of the history.

    Attributes
    ----------
    method : str
    rank : int
        Of the product, biases not counted.
    residual : float
        Norm of the residual at the observed entries over the norm of the values; NaN if not
        computed.
    change : float
        Relative change of the product, of more than 65,536 rows or columns at some of them; NaN if
        not computed.
    held_out : float
        Root mean squared error at entries held out, in the units of the data; the mean absolute
        error for the loss "huber", the mean logistic loss for "logit"; NaN without such entries.
    seconds : float
        Since the start.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox import complete
    >>> result = complete(np.outer([1.0, 2.0, 3.0], [1.0, 2.0]), 1, reg=0, rng=0)
    >>> step = result.history[-1]
    >>> step.method, step.rank, step.residual < 1e-9
    ('als-cg', 1, True)
    """

    method: str
    rank: int
    residual: float
    change: float
    held_out: float
    seconds: float


@dataclass
class Watch:
    """Keeps the history and the best factors, and says when to stop.

    A method calls the watch after every step; True means stop, and `reason` says why: "residual"
    and "change" are the tolerance, "held-out" that the error there has ceased to fall,
    "max_iter" and "callback" that the work was cut short.

    Attributes
    ----------
    patience : int or None
        Steps without an improvement at the entries held out, after which to stop; None goes on.
    """

    problem: Problem
    reporter: Reporter
    patience: int | None = 3
    history: list[Record] = field(default_factory=list)
    best: Factors | None = None
    reason: str = ""
    _least: float = np.inf  # error from which falls are counted
    _since: int = 0
    _lowest: float = np.inf
    _start: float = field(default_factory=perf_counter)

    def __call__(
        self, method: str, factors: Factors, *, residual: float = np.nan, change: float = np.nan
    ) -> bool:
        """Record one step; return True when the work should stop."""
        problem, held = self.problem, self.problem.held_out
        if not (finite(factors.U) and finite(factors.V)):
            raise NumericalError(f"the factors overflowed in step {len(self.history) + 1}")
        error = np.nan if held is None else held.error(factors)
        seconds = perf_counter() - self._start
        rank = factors.rank - problem.row_bias - problem.col_bias
        self.history.append(Record(method, rank, residual, change, error, seconds))
        judged = residual if held is None else error
        if not judged >= self._least * (1 - _IMPROVEMENT):
            self._least, self._since = judged, 0
        else:
            self._since += 1
        if not judged >= self._lowest or self.best is None:
            self._lowest, self.best = judged, factors
        least, small = problem.tol, problem.tol
        if problem.residual_tol is not None:
            least, small = problem.residual_tol, min(small, _STILL * residual)
        if self.reporter(len(self.history), len(self.history), residual, least):
            self.reason = "callback"
        elif residual <= least:
            self.reason = "residual"
        elif change <= small and self._rests(small):
            self.reason = "change"
            self.best = factors if held is None else self.best
        elif held is not None and self.patience is not None and self._since >= self.patience:
            self.reason = "held-out"
        elif len(self.history) >= problem.max_iter:
            self.reason = "max_iter"
        return bool(self.reason)

    def _rests(self, small: float) -> bool:
        """Tell whether the residual has changed as little as the product.

        It has not where entries that nothing is known of are far larger than all others.
        """
        last = [
            step.residual for step in self.history[-2:] if step.method == self.history[-1].method
        ]
        return len(last) < 2 or not abs(last[1] - last[0]) > _BOTH * small

    def go_on(self, *, forget: bool = False) -> None:
        """Forget why the last method stopped, and what was best, for another one to follow."""
        self.reason, self._since = "", 0
        if forget:
            self.best, self._least, self._lowest = None, np.inf, np.inf

    def attempt(self, problem: Problem, steps: int) -> Watch:
        """Return a watch for one attempt of several, which continues the same history."""
        limited = replace(problem, max_iter=min(len(self.history) + steps, self.problem.max_iter))
        return Watch(limited, self.reporter, self.patience, self.history, _start=self._start)


class Method(Protocol):
    """A way to find factors."""

    def __call__(self, problem: Problem, start: Factors | None, watch: Watch) -> Factors:
        """Return factors, beginning from `start` if given."""
        ...
