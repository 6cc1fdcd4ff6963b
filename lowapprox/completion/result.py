"""The result of a completion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lowapprox._core.results import Result
from lowapprox.completion.diagnosis import Diagnostics
from lowapprox.completion.observations import Host
from lowapprox.completion.problem import Factors, Record

__all__ = ["CompletionResult"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CompletionResult(Result):
    """A matrix ``offset + row_bias + col_bias + U diag(s) V^T`` fitted to observed entries.

    Attributes
    ----------
    U, s, V : numpy.ndarray, shape (m, k), (k,), (n, k)
        Singular vectors and values.
    offset : float
        The mean of the observed values, zero without `center`.
    row_bias, col_bias : numpy.ndarray, shape (m,), (n,), or None
    history : tuple of Record
    converged : bool
    reason : str
        Why the work stopped.
    diagnostics : Diagnostics
    info : Mapping
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

    _shown: ClassVar[tuple[str, ...]] = ("U", "s", "V", "converged", "reason")

    @property
    def rank(self) -> int:
        """The number of singular values."""
        return int(self.s.size)

    def predict(self, rows: Host, columns: Host) -> Host:
        """Return single entries."""
        rows, columns = np.asarray(rows), np.asarray(columns)
        x: Host = Factors(self.U * self.s, self.V).at(rows, columns) + self.U.dtype.type(
            self.offset
        )
        if self.row_bias is not None:
            x += self.row_bias[rows]
        if self.col_bias is not None:
            x += self.col_bias[columns]
        return x
