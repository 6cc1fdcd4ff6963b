"""What results call passes is how often the matrix was read, counted by the matrix itself."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
import pytest

from lowapprox import lstsq
from lowapprox._core.matrix import MatrixLike, as_matrix
from lowapprox.regression import lstsq_factor
from tests.reference import CountedOperator
from tests.regression.problems import SOLVERS, problem
from tests.strategies import FORMS, quiet

SMALL, LARGE = (3000, 20), (40_000, 30)  # the second is read by the compiled pass


class Reads:
    """Counts rows, however they are read."""

    def __init__(self, A: Any, patch: pytest.MonkeyPatch) -> None:
        self.rows, self.n, self.lock = 0, A.shape[0], Lock()
        op = as_matrix(A)
        self.op: MatrixLike = copy.copy(op)
        self.op.__class__ = type("Counted", (type(op),), {"row_block": self._by_block(op)})
        kernels = importlib.import_module("lowapprox.regression.kernels")
        for name in ("pass_by_rows", "pass_by_columns"):
            patch.setattr(kernels, name, self._by_kernel(getattr(kernels, name)))

    def _count(self, rows: int) -> None:
        with self.lock:  # several threads read
            self.rows += rows

    def _by_block(self, op: MatrixLike) -> Callable[..., Any]:
        def row_block(_: Any, start: int, stop: int) -> Any:
            self._count(min(stop, self.n) - start)
            return op.row_block(start, stop)

        return row_block

    def _by_kernel(self, kernel: Any) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            self._count(args[6] - args[5])
            return kernel(*args)

        return run

    @property
    def passes(self) -> float:
        return self.rows / self.n


@pytest.mark.parametrize("method", [*SOLVERS, "sketch", "linf"])
@pytest.mark.parametrize("form", ["C", "F", "strided"])
@pytest.mark.parametrize("shape", [SMALL, pytest.param(LARGE, marks=pytest.mark.large)])
@pytest.mark.parametrize("weighted", [False, True])
def test_dense_matrices(
    method: str, form: str, shape: Any, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    A, b, _ = problem(*shape, 1e3)
    w = np.random.default_rng(0).random(shape[0]) if weighted else None
    reads = Reads(FORMS[form](A), monkeypatch)
    result = lstsq(reads.op, b, method=method, weights=w, rng=0)
    assert result.passes == reads.passes
    assert result.passes >= 1


@pytest.mark.parametrize("method", SOLVERS)
@pytest.mark.parametrize("columns", [1, 5])
@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_many_sides_and_ridge(
    method: str, columns: int, ridge: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    A, b, _ = problem(*SMALL, 1e8, columns=columns)
    reads = Reads(A, monkeypatch)
    with quiet():
        result = lstsq(reads.op, b, method=method, ridge=ridge, rng=0)
    assert result.passes == reads.passes


def test_deficient_and_wide_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    A, b, _ = problem(*SMALL)
    A[:, 3] = A[:, 5]
    for M, side in ((A, b), (A[:10], b[:10]), (A[:25], b[:25])):
        reads = Reads(M, monkeypatch)
        result = lstsq(reads.op, side, rng=0)
        assert result.passes == reads.passes
        monkeypatch.undo()


@pytest.mark.parametrize("method", ["spir", "fossils", "iterative"])
@pytest.mark.parametrize("columns", [1, 4])
def test_operators(method: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sketch is a product with as many columns as the sketch has rows, any other pass two."""
    public = importlib.import_module("lowapprox.regression.lstsq")
    monkeypatch.setattr(public, "_SMALL_OPERATOR", 0)
    A, b, _ = problem(*SMALL, 1e5, columns=columns)
    counted = CountedOperator(A)
    result = lstsq(counted, b, method=method, rng=0)
    assert counted.columns == 20 * SMALL[1] + 2 * columns * (result.passes - 1)


@pytest.mark.parametrize("method", ["direct", "sketch"])
@pytest.mark.parametrize("form", ["C", "F"])
@pytest.mark.parametrize("shape", [SMALL, pytest.param(LARGE, marks=pytest.mark.large)])
def test_factors(method: str, form: str, shape: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("lowapprox.regression.factor")
    monkeypatch.setattr(module, "_SMALL", 2**40 if method == "direct" else 0)
    A, b, _ = problem(*shape, 1e3)
    reads = Reads(FORMS[form](A), monkeypatch)
    factor = lstsq_factor(reads.op, rng=0)
    assert factor.passes == reads.passes
    reads.rows = 0
    assert factor.solve(b).passes == reads.passes
    reads.rows = 0
    factor.leverage_scores()
    assert reads.passes == 1
    factor.covariance()
    assert reads.passes == 1
