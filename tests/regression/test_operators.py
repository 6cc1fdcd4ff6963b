"""Least squares with operators that are known through products only."""

from __future__ import annotations

import importlib
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from lowapprox import ConvergenceWarning, InputTypeError, lstsq
from tests.reference import CountedOperator, random_array, with_spectrum
from tests.regression.problems import Problem, backward_error, problem, problems
from tests.strategies import quiet, seeds

U = float(np.finfo(float).eps)


@pytest.fixture(autouse=True)
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat all operators as large ones."""
    monkeypatch.setattr(importlib.import_module("lowapprox.regression.lstsq"), "_SMALL_OPERATOR", 0)


@given(problems(max_condition=1e11, spread=6))
def test_tall_operators_are_solved_as_matrices_are(p: Problem) -> None:
    counted = CountedOperator(p.A)
    result = lstsq(counted, p.b, rng=0)
    assert result.info["method"] == "spir"
    assert result.converged
    assert result.rank == p.A.shape[1]
    assert backward_error(p.A, p.b, result.x) <= 10 * U


@pytest.mark.parametrize("method", ["auto", "spir", "fossils", "iterative"])
@pytest.mark.parametrize("dtype", [float, np.float32, complex])
@pytest.mark.parametrize("n", [30, 90, 600])
def test_weights_ridge_and_precisions(method: str, dtype: Any, n: int) -> None:
    A, b, _ = problem(n, 20, 1e2, columns=2, dtype=dtype)
    gen = np.random.default_rng(0)
    unit = float(np.finfo(dtype).eps)
    for weights in (None, gen.random(n) + 0.01):
        for ridge in (0.0, 0.1):
            options: Any = {"weights": weights, "ridge": ridge, "rng": 0}
            result = lstsq(aslinearoperator(A), b, method=method, **options)
            dense = lstsq(A, b, method="direct", **options)
            assert result.converged
            assert result.x.dtype == A.dtype
            allowed = 1e4 * unit * np.linalg.norm(dense.x)
            assert np.linalg.norm(result.x - dense.x) <= allowed
            assert np.allclose(result.residual_norm, dense.residual_norm, rtol=1e3 * unit)


@given(seeds, st.integers(1, 12), st.integers(0, 4), st.integers(1, 300))
def test_dependent_columns_have_the_solution_of_least_norm(
    seed: int, rank: int, more: int, n: int
) -> None:
    gen = np.random.default_rng(seed)
    n += rank + more
    A = gen.standard_normal((n, rank)) @ gen.standard_normal((rank, rank + more))
    b = gen.standard_normal(n)
    result = lstsq(CountedOperator(A), b, rng=0)
    s = np.linalg.svd(A / np.linalg.norm(A, axis=0), compute_uv=False)[:rank]
    if s[-1] > 1e-6 * s[0]:
        assert result.rank == rank
        assert result.converged
        x = np.linalg.lstsq(A, b, rcond=1e-11)[0]
        slack = 1e-12 * (s[0] / s[-1]) ** 2 * (1 + np.linalg.norm(b) / np.linalg.norm(A, 2))
        assert np.linalg.norm(result.x - x) <= 100 * slack * (1 + np.linalg.norm(x))


@given(seeds, st.integers(1, 20), st.integers(1, 80), st.floats(0, 9), st.booleans())
def test_few_rows(seed: int, n: int, more: int, power: float, consistent: bool) -> None:
    """Solutions of least norm, of equations that can be fulfilled and of others."""
    gen = np.random.default_rng(seed)
    d = n + more
    rank = n if consistent else int(gen.integers(1, n + 1))
    s = 10.0 ** (-power * np.linspace(0, 1, n)) * (np.arange(n) < rank)
    A = with_spectrum(gen, d, n, s).T
    b = A @ gen.standard_normal(d) if consistent else gen.standard_normal(n)
    with quiet():
        result = lstsq(CountedOperator(A), b, rng=0)
    assert result.info["method"] == "wide"
    true = backward_error(A, b, result.x, scale=False)
    assert true <= 2 * result.backward_error + 2 * U  # the bound is one
    condition = s[0] / s[rank - 1]
    # The range of a deficient matrix is known as well as the condition number allows.
    if condition < (1e5 if consistent or rank == n else 50):
        assert result.converged
    if condition < 1e5:
        assert result.rank == rank
        x = np.linalg.pinv(A, rcond=1e-8) @ b
        slack = 1e3 * U * condition**2 * (1 + np.linalg.norm(b)) * (1 + np.linalg.norm(x))
        assert np.linalg.norm(result.x - x) <= slack


@pytest.mark.parametrize("dtype", [float, np.float32, complex])
def test_few_rows_with_weights_and_ridge(dtype: Any) -> None:
    gen = np.random.default_rng(0)
    A, b = random_array(gen, (20, 500), dtype), random_array(gen, (20, 3), dtype)
    unit = float(np.finfo(dtype).eps)
    for weights in (None, gen.random(20) + 0.1):
        for ridge in (0.0, 1.0, 1e4):
            options: Any = {"weights": weights, "ridge": ridge, "rng": 0}
            result = lstsq(aslinearoperator(A), b, **options)
            dense = lstsq(A, b, method="direct", **options)
            assert result.converged
            assert result.x.dtype == A.dtype
            assert np.linalg.norm(result.x - dense.x) <= 1e3 * unit * np.linalg.norm(dense.x)
            allowed = 1e3 * unit * np.linalg.norm(b)
            assert np.allclose(result.residual_norm, dense.residual_norm, atol=allowed)
    zero = lstsq(aslinearoperator(0 * A), b, rng=0)
    assert not zero.x.any()
    assert (zero.rank, zero.converged) == (0, True)


def test_what_is_not_solved_says_so() -> None:
    """A condition number that no iteration of products alone overcomes."""
    gen = np.random.default_rng(0)
    A = with_spectrum(gen, 300, 40, 1e-13 ** np.linspace(0, 1, 40)).T
    with pytest.warns(ConvergenceWarning, match="the backward error is"):
        result = lstsq(aslinearoperator(A), gen.standard_normal(40), rng=0)
    assert not result.converged
    assert result.backward_error > 1e-14


@pytest.mark.parametrize("method", ["linf", "sketch"])
def test_one_pass(method: str) -> None:
    A, b, _ = problem(3000, 6, columns=2)
    w = np.random.default_rng(0).random(3000)
    result = lstsq(aslinearoperator(A), b, weights=w, method=method, rng=0)
    root = np.sqrt(w)[:, None]
    x = np.linalg.lstsq(A * root, b * root)[0]
    assert result.passes == 1
    assert result.entry_bound is not None
    assert (np.abs(result.x - x) <= 2.0 * result.entry_bound).all()
    # Where no sketch is smaller, all products decide.
    exact = lstsq(aslinearoperator(A[:60]), b[:60], method=method, rng=0)
    assert exact.info["method"] == "spir"
    assert np.allclose(exact.x, np.linalg.lstsq(A[:60], b[:60])[0], rtol=1e-10)
    few = lstsq(aslinearoperator(A[:60].T), b[:6], method=method, rng=0)
    assert few.info["method"] == "wide"
    assert np.allclose(few.x, np.linalg.pinv(A[:60].T) @ b[:6], rtol=1e-10)


def test_the_passes_are_counted() -> None:
    A, b, _ = problem(400, 8, 1e3)
    for M, side in ((A, b), (A.T, b[:8])):
        counted = CountedOperator(M)
        result = lstsq(counted, side, rng=0)
        assert result.passes >= 3
        assert counted.columns >= result.passes


def test_the_sketch_is_made_few_rows_at_a_time() -> None:
    n, d = 200_000, 10

    def rmatmat(Y: np.ndarray) -> np.ndarray:
        return np.asarray(Y[: d * 1000].reshape(d, 1000, -1).sum(axis=1))

    def matmat(X: np.ndarray) -> np.ndarray:
        product = np.zeros((n, X.shape[1]))
        product[: d * 1000] = np.repeat(X, 1000, axis=0)
        return product

    operator = LinearOperator(
        (n, d), matvec=matmat, rmatvec=rmatmat, matmat=matmat, rmatmat=rmatmat, dtype=float
    )
    b = np.random.default_rng(0).standard_normal(n)
    tracemalloc.start()
    result = lstsq(operator, b, rng=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.allclose(result.x, b[: d * 1000].reshape(d, 1000).mean(axis=1), rtol=1e-10)
    assert peak < 20 * d * n * 8 / 2  # the sketch alone would take twice that


@pytest.mark.parametrize("method", ["direct", "cholesky"])
def test_methods_that_need_entries(method: str) -> None:
    with pytest.raises(InputTypeError, match=f"method '{method}' needs the entries"):
        lstsq(aslinearoperator(np.ones((30, 2))), np.ones(30), method=method)
