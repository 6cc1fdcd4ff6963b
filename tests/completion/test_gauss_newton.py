"""Gauss-Newton: exact fits, agreement with other methods, and what every method must keep."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowapprox import thread_limit
from lowapprox._core.errors import NumericalError
from lowapprox._core.threads import blas_threads
from lowapprox.completion.gauss_newton import gauss_newton
from lowapprox.completion.irls import irls
from lowapprox.completion.observations import compressed
from lowapprox.completion.problem import Factors, Method
from lowapprox.completion.scaled_gd import scaled_gd
from lowapprox.completion.soft_impute import soft_impute
from tests.completion.problems import Array, Known, low_rank, solved
from tests.strategies import seeds

METHODS = (gauss_newton, irls, scaled_gd, soft_impute)
EXACT = METHODS[:3]
compiled = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="too slow without the compiler"
)


def product(factors: Factors) -> Array:
    return factors.U @ factors.V.T


def dense(values: Array, weights: Array | None = None) -> Known:
    """Observe every entry of a matrix."""
    m, n = values.shape
    rows, columns = (i.reshape(-1) for i in np.indices((m, n)))
    w = None if weights is None else weights.reshape(-1)
    observed = compressed(rows, columns, values.reshape(-1), w, (m, n))
    return Known(observed, values, np.eye(n))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("condition", [1.0, 10.0])
def test_few_steps_reach_an_exact_fit(condition: float, seed: int) -> None:
    known = low_rank(60, 50, 3, 4.0, condition=condition, seed=seed)
    factors, watch = solved(gauss_newton, known, 3)
    assert watch.reason == "residual"
    assert known.error(factors.U, factors.V) < 1e-8
    assert len(watch.history) <= 2 * 4 + 12


@pytest.mark.parametrize("seed", range(3))
def test_a_condition_number_of_a_million(seed: int) -> None:
    known = low_rank(100, 80, 4, 3.0, condition=1e6, seed=seed)
    factors, watch = solved(gauss_newton, known, 4, tol=1e-11)
    assert watch.reason == "residual"
    assert known.error(factors.U, factors.V) < 1e-9


@compiled
def test_convergence_is_faster_than_linear() -> None:
    known = low_rank(200, 200, 4, 2.5)
    _, watch = solved(gauss_newton, known, 4, tol=1e-13)
    logs = np.log10([step.residual for step in watch.history])
    falls = np.diff(logs[logs > -9])  # before rounding
    assert falls[-1] < 1.4 * falls[-2] < 0
    assert logs[-1] < -13


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("seed", range(3))
def test_all_exact_methods_agree(method: Method, seed: int) -> None:
    known = low_rank(50, 40, 2, 5.0, condition=3.0, seed=seed)
    factors, _ = solved(method, known, 2)
    assert known.error(factors.U, factors.V) < 1e-7


@pytest.mark.parametrize("method", [gauss_newton, scaled_gd, soft_impute])
@pytest.mark.parametrize("weighted", [False, True])
def test_with_a_ridge_all_find_the_least_sum_of_singular_values(
    method: Method, weighted: bool
) -> None:
    # All entries observed, no weights: singular values less the ridge. Weights: its gradient.
    gen = np.random.default_rng(3)
    A = (gen.standard_normal((20, 4)) * [4, 3, 2, 1]) @ gen.standard_normal((4, 15))
    weights = gen.uniform(0.3, 1.2, A.shape) if weighted else None
    ridge = 2.0
    factors, _ = solved(method, dense(A, weights), 4, ridge=ridge, tol=1e-12)
    X = product(factors)
    if not weighted:
        u, s, vh = np.linalg.svd(A, full_matrices=False)
        np.testing.assert_allclose(X, (u * np.maximum(s - ridge, 0)) @ vh, atol=1e-5)
        return
    G = weights * (A - X)
    u, s, vh = np.linalg.svd(X)
    np.testing.assert_allclose(u[:, :4].T @ G, ridge * vh[:4], atol=1e-4)
    np.testing.assert_allclose(G @ vh[:4].T, ridge * u[:, :4], atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_all_entries_give_the_truncated_svd(method: Method) -> None:
    gen = np.random.default_rng(0)
    A = gen.standard_normal((12, 3)) @ gen.standard_normal((3, 9))
    factors, _ = solved(method, dense(A), 3)
    tol = 1e-2 if method is soft_impute else 1e-7  # its last penalty is a thousandth
    assert np.linalg.norm(product(factors) - A) <= tol * np.linalg.norm(A)


@settings(max_examples=20)
@given(seeds, st.sampled_from(METHODS))
def test_transposition_and_scale(seed: int, method: Method) -> None:
    known = low_rank(25, 20, 2, 5.0, seed=seed % 1000)
    turned = Known(known.observed.T, known.V, known.U)
    one, _ = solved(method, known, 2)
    two, _ = solved(method, turned, 2)
    tol = 1e-2 if method is soft_impute else 1e-5
    found = known.error(one.U, one.V), turned.error(two.U, two.V)
    assert max(found) < tol


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (3, 3), (2, 7)])
def test_small_matrices(method: Method, shape: tuple[int, int]) -> None:
    A = np.random.default_rng(5).standard_normal(shape)
    factors, watch = solved(method, dense(A), min(shape), max_iter=300)
    assert np.isfinite(product(factors)).all()
    tol = 2e-2 if method is soft_impute else 1e-6
    assert np.linalg.norm(product(factors) - A) <= tol * np.linalg.norm(A)
    assert watch.reason


@pytest.mark.parametrize("method", METHODS)
def test_zeros(method: Method) -> None:
    factors, watch = solved(method, dense(np.zeros((5, 4))), 2)
    np.testing.assert_array_equal(product(factors), 0)
    assert watch.reason == "residual"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_values_never_become_a_finite_fit(method: Method, bad: float) -> None:
    A = np.random.default_rng(0).standard_normal((8, 6))
    A[2, 3] = bad
    with np.errstate(all="ignore"), pytest.raises((NumericalError, np.linalg.LinAlgError)):
        solved(method, dense(A), 2, max_iter=20)


@pytest.mark.parametrize("method", METHODS)
def test_a_start_is_used(method: Method) -> None:
    known = low_rank(40, 30, 2, 3.0)
    start = Factors(known.U * (1 + 1e-6), known.V)
    _, watch = solved(method, known, 2, start=start)
    _, cold = solved(method, known, 2)
    first, other = watch.history[0].residual, cold.history[0].residual
    assert first < 1e-4 or method is soft_impute
    assert len(watch.history) < len(cold.history) or first != other


@pytest.mark.parametrize("method", METHODS)
def test_callback_and_iterations(method: Method) -> None:
    known = low_rank(40, 30, 2, 3.0, condition=10.0, noise=0.1)
    _, watch = solved(method, known, 2, tol=1e-15, max_iter=3)
    assert watch.reason == "max_iter"
    assert len(watch.history) == 3
    _, watch = solved(method, known, 2, tol=1e-15, callback=lambda progress: progress.step >= 2)
    assert watch.reason == "callback"
    assert len(watch.history) == 2


@compiled
@pytest.mark.parametrize("method", METHODS)
def test_bits_do_not_depend_on_the_threads(method: Any) -> None:
    known = low_rank(1500, 900, 4, 3.0)
    results = []
    for threads in (1, 2, 4):
        with thread_limit(threads), blas_threads(1):  # as in `complete`
            results.append(solved(method, known, 4, max_iter=4)[0])
    for other in results[1:]:
        np.testing.assert_array_equal(other.U, results[0].U)
        np.testing.assert_array_equal(other.V, results[0].V)


def test_row_without_entries() -> None:
    known = low_rank(30, 25, 2, 4.0)
    rows = known.observed.rows
    numbers = np.repeat(np.arange(30), rows.counts)
    kept = numbers != 7
    observed = compressed(numbers[kept], rows.indices[kept], rows.values[kept], None, (30, 25))
    for method in EXACT:
        factors, _ = solved(method, Known(observed, known.U, known.V), 2)
        gap = np.delete(product(factors) - known.U @ known.V.T, 7, axis=0)
        assert np.linalg.norm(gap) < 1e-6 * np.linalg.norm(known.U @ known.V.T)
        assert np.isfinite(product(factors)).all()
