"""Alternating least squares: half-steps against dense linear algebra, and what sweeps keep."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox._core.progress import Reporter
from lowapprox._core.threads import thread_limit
from lowapprox.completion import compiled
from lowapprox.completion.als import Alternation, als_cg, als_chol
from lowapprox.completion.compiled import CompiledGradients
from lowapprox.completion.direct import CholeskyRows
from lowapprox.completion.halfstep import Gauge, Gradients, Half, HalfSums, Prior, half_step
from lowapprox.completion.observations import Observations, compressed
from lowapprox.completion.problem import Factors, Problem, Watch
from lowapprox.completion.tall import factored, gram, product_change, times
from tests.completion.problems import Known, low_rank
from tests.strategies import seeds

Array = np.ndarray[Any, Any]
PRECISIONS = (np.float32, np.float64)


def problem_of(observed: Observations, rank: int, **more: Any) -> Problem:
    options: dict[str, Any] = {"ridge": None, "tol": 1e-10, "max_iter": 500}
    return Problem(observed, rank, rng=np.random.default_rng(0), **options | more)


def in_precision(observed: Observations, dtype: Any, seed: int | None = None) -> Observations:
    """Return the observations in a precision, with weights if there is a seed for them."""
    rows = np.repeat(np.arange(observed.shape[0]), observed.rows.counts)
    dense = np.ones(observed.shape)
    if seed is not None:
        dense = np.random.default_rng(seed).uniform(0.1, 2.0, observed.shape)

    def changed(side: Any, w: Array) -> Any:
        weights = None if seed is None else w.astype(dtype)
        return replace(side, values=side.values.astype(dtype), weights=weights)

    columns = np.repeat(np.arange(observed.shape[1]), observed.columns.counts)
    return Observations(
        observed.shape,
        changed(observed.rows, dense[rows, observed.rows.indices]),
        changed(observed.columns, dense[observed.columns.indices, columns]),
    )


def half_of(observed: Observations) -> Half:
    def totals(side: Any) -> Array:
        w = np.ones(side.values.size) if side.weights is None else side.weights.astype(float)
        return np.bincount(np.repeat(np.arange(side.counts.size), side.counts), w, side.counts.size)

    return Half(observed.rows, totals(observed.rows), totals(observed.columns))


def random_half(
    seed: int, dtype: Any, k: int, weighted: bool
) -> tuple[Half, Array, Array, Array, Prior]:
    """A half-step of random parts: some rows are empty, and one has all columns."""
    rng = np.random.default_rng(seed)
    known = low_rank(23, 31, 2, 3.0, noise=0.3, seed=seed)
    rows = known.observed.rows
    keep = rng.random(rows.indices.size) < 0.9
    at = np.repeat(np.arange(23), rows.counts)
    keep &= (at != 5) & (at != 11)
    observed = known.observed.selected(keep)
    half = half_of(in_precision(observed, dtype, seed if weighted else None))
    F, X = (rng.standard_normal((p, k)).astype(dtype) for p in (31, 23))
    A, B = rng.standard_normal((2, k, k))
    prior = Prior(0.3, A @ A.T + 0.1 * np.eye(k), 0.01 * B @ B.T)
    return half, X, F, rng.standard_normal(31).astype(dtype), prior


def energies(
    half: Half, X: Array, F: Array, offset: Array, gauge: Gauge, prior: Prior
) -> tuple[float, float]:
    """Loss and penalty of all rows, by dense arithmetic."""
    X, F = X.astype(float), F.astype(float)
    e = half.entries
    at = np.repeat(np.arange(X.shape[0]), e.counts)
    w = np.ones(e.values.size) if e.weights is None else e.weights.astype(float)
    gap = e.values - offset[e.indices] - np.einsum("tk,tk->t", F[e.indices], X[at])
    Y = X @ gauge.back  # coordinates in which the penalty is diagonal
    ridges = prior.ridge + half.totals[:, None] * gauge.spread
    return float(w @ gap**2), float(np.sum(ridges * Y**2))


SOLVERS = (Gradients(3), CompiledGradients(3), CholeskyRows())


@given(
    seeds,
    st.sampled_from(PRECISIONS),
    st.sampled_from((1, 3, 8, 17)),
    st.booleans(),
    st.sampled_from(SOLVERS),
    st.sampled_from((1.0, 0.6, 1.5, 1.9)),
)
def test_sums_are_those_of_the_half_step(
    seed: int, dtype: Any, k: int, weighted: bool, solver: Any, relax: float
) -> None:
    half, X, F, offset, prior = random_half(seed, dtype, k, weighted)
    out = np.empty_like(X)
    gauge, sums, own = half_step(half, X, F, offset, prior, solver, out, relax)
    before = energies(half, X, F, offset, gauge, prior)
    after = energies(half, out, F, offset, gauge, prior)
    tol = 200 * np.finfo(dtype).eps * sum(before)
    assert abs(sums.loss - before[0]) <= tol
    assert abs(sums.penalty - before[1]) <= tol
    assert abs(sums.penalty_after - after[1]) <= tol
    assert abs(sums.loss_after - after[0]) <= tol
    assert sum(after) <= sum(before) + tol  # the objective of no row rises
    empty = half.entries.counts == 0
    assert relax != 1.0 or not out[empty].any()
    np.testing.assert_allclose(own, out.astype(float).T @ out, rtol=0, atol=tol)


@given(seeds, st.sampled_from((1, 3, 8, 17)), st.booleans())
def test_exact_rows_solve_the_normal_equations(seed: int, k: int, weighted: bool) -> None:
    half, X, F, offset, prior = random_half(seed, np.float64, k, weighted)
    out = np.empty_like(X)
    gauge, *_ = half_step(half, X, F, offset, prior, CholeskyRows(), out)
    penalty = gauge.back @ np.diag(prior.ridge + 0 * gauge.spread) @ gauge.back.T
    added = gauge.back @ np.diag(gauge.spread) @ gauge.back.T
    e = half.entries
    for i in range(X.shape[0]):
        cut = slice(e.indptr[i], e.indptr[i + 1])
        f = F[e.indices[cut]]
        w = np.ones(len(f)) if e.weights is None else e.weights[cut]
        G = f.T @ (w[:, None] * f) + penalty + half.totals[i] * added
        b = f.T @ (w * (e.values[cut] - offset[e.indices[cut]]))
        np.testing.assert_allclose(out[i], np.linalg.solve(G, b), rtol=1e-6, atol=1e-8)


@given(seeds, st.sampled_from((1, 5, 9)), st.booleans())
def test_many_steps_are_exact(seed: int, k: int, weighted: bool) -> None:
    half, X, F, offset, prior = random_half(seed, np.float64, k, weighted)
    found = []
    for solver in (Gradients(40), CompiledGradients(40), CholeskyRows()):
        out = np.empty_like(X)
        half_step(half, X, F, offset, prior, solver, out)
        found.append(out)
    np.testing.assert_allclose(found[0], found[2], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found[1], found[2], rtol=1e-6, atol=1e-7)


def assert_alike(one: tuple[Array, HalfSums], other: tuple[Array, HalfSums]) -> None:
    (a, first), (b, second) = one, other
    tol = 2e4 * np.finfo(a.dtype).eps
    np.testing.assert_allclose(a, b, rtol=0, atol=tol * np.abs(a).max())
    for name in HalfSums.__slots__:
        np.testing.assert_allclose(
            getattr(first, name), getattr(second, name), rtol=tol, atol=tol * first.loss
        )


@given(seeds, st.sampled_from(PRECISIONS), st.sampled_from((1, 33, 130)), st.booleans())
def test_compiled_steps_are_those_of_numpy(seed: int, dtype: Any, k: int, weighted: bool) -> None:
    half, X, F, offset, prior = random_half(seed, dtype, k, weighted)
    F /= np.sqrt(k).astype(dtype)  # k can be far above the entries of a row
    found = []
    for solver in (Gradients(2), CompiledGradients(2)):
        out = np.empty_like(X)
        _, sums, *_ = half_step(half, X, F, offset, prior, solver, out)
        found.append((out, sums))
    assert_alike(*found)


@given(seeds, st.sampled_from(PRECISIONS), st.sampled_from((1, 33, 130)), st.booleans())
def test_steps_by_tiles_are_those_row_by_row(seed: int, dtype: Any, k: int, weighted: bool) -> None:
    gen = np.random.default_rng(seed)
    half, X, F, offset, prior = random_half(seed, dtype, k, weighted)
    F /= np.sqrt(k).astype(dtype)
    found = []
    for tiles in ((1, 4), (int(gen.integers(2, 9)), int(gen.integers(1, 5)))):
        out = np.empty_like(X)
        with mock.patch.object(compiled, "_tiles", lambda *_, tiles=tiles: tiles):
            fresh = replace(half, plans={})
            _, sums, *_ = half_step(fresh, X, F, offset, prior, CompiledGradients(2), out)
        found.append((out, sums))
    assert_alike(*found)


def test_rows_that_do_not_wait_in_the_cache() -> None:
    # One row of X meets more of F than stays in the cache, the next ones few rows.
    rng = np.random.default_rng(0)
    n, k = 20_000, 9
    rows = np.repeat(np.arange(4), (n, 3, 0, 200))
    columns = np.concatenate([rng.permutation(n)[:count] for count in (n, 3, 0, 200)])
    half = half_of(compressed(rows, columns, rng.standard_normal(rows.size), None, (4, n)))
    X, F = (rng.standard_normal((p, k)) for p in (4, n))
    found = []
    for solver in (Gradients(3), CompiledGradients(3)):
        found.append(np.empty_like(X))
        half_step(half, X, F, None, Prior(0.5), solver, found[-1])
    np.testing.assert_allclose(*found, rtol=1e-10, atol=1e-10)


@pytest.mark.large
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("tiles", [None, (3, 5)])
def test_equal_bits_for_any_number_of_threads(
    dtype: Any, biases: bool, tiles: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tiles:
        monkeypatch.setattr(compiled, "_tiles", lambda *_: tiles)
    observed = in_precision(low_rank(400, 300, 8, 6.0, noise=0.2).observed, dtype)
    problem = problem_of(observed, 16, row_bias=biases, col_bias=biases)
    found = []
    for threads in (1, 2, 4):
        with thread_limit(threads):
            alternation = Alternation(replace(problem, rng=np.random.default_rng(1)), None)
            solver = CompiledGradients(2)
            told = [alternation.sweep(solver) for _ in range(3)]
            found.append((alternation.factors, told))
    for factors, told in found[1:]:
        np.testing.assert_array_equal(factors.U, found[0][0].U)
        np.testing.assert_array_equal(factors.V, found[0][0].V)
        assert told == found[0][1]


@pytest.mark.large
@pytest.mark.parametrize("biases", [False, True])
def test_memory(biases: bool) -> None:
    m, n, k = 60_000, 20_000, 32
    rng = np.random.default_rng(0)
    key = np.unique(rng.integers(0, m * n, 500_000))
    values = rng.standard_normal(key.size).astype(np.float32)
    observed = compressed(key // n, key % n, values, None, (m, n))
    more = {"row_bias": biases, "col_bias": biases, "max_iter": 4}
    problem = problem_of(observed, k - 2 * biases, **more)
    als_cg(problem, None, Watch(problem, Reporter(None, False)))  # loads what is loaded once
    tracemalloc.start()
    als_cg(problem, None, Watch(problem, Reporter(None, False)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Three pairs of factors, and the work of some blocks; biases stand beside them for a moment.
    assert peak <= (3.9 if biases else 3.5) * (m + n) * k * 4


def objective(problem: Problem, factors: Factors) -> float:
    gap = factors.residual(problem.observed).astype(float)
    w = problem.observed.rows.weights
    assert problem.ridge is not None
    loss = float(gap @ gap if w is None else w @ gap**2)
    U, V = factors.U, factors.V
    if problem.col_bias:
        U = U[:, :-1]
    if problem.row_bias:
        V = V[:, 1:]
    return loss + problem.ridge * float(np.sum(U**2) + np.sum(V**2))


@given(
    seeds,
    st.sampled_from((0.0, 0.1, 3.0)),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(SOLVERS[::2]),
)
def test_the_objective_never_rises(
    seed: int, ridge: float, weighted: bool, row: bool, col: bool, solver: Any
) -> None:
    known = low_rank(30, 25, 3, 2.5, noise=0.3, seed=seed)
    observed = in_precision(known.observed, np.float64, seed if weighted else None)
    problem = problem_of(observed, 3, ridge=ridge, row_bias=row, col_bias=col, unit=0.5)
    alternation = Alternation(problem, None)
    last = objective(problem, alternation.factors)
    for _ in range(6):
        residual, _ = alternation.sweep(solver)
        now = objective(problem, alternation.factors)
        assert now <= last * (1 + 1e-10)
        last = now
        gap = alternation.factors.residual(observed)
        w = 1.0 if observed.rows.weights is None else observed.rows.weights
        np.testing.assert_allclose(
            residual, np.sqrt(np.sum(w * gap**2)) / observed.norm, rtol=1e-6, atol=1e-7
        )
        # The constants beside the biases stay what they are.
        if row:
            assert (alternation.factors.V[:, 0] == 0.5).all()
        if col:
            assert (alternation.factors.U[:, -1] == 0.5).all()


def run(method: Any, known: Known, rank: int, **more: Any) -> tuple[Factors, Watch]:
    problem = problem_of(known.observed, rank, **more)
    watch = Watch(problem, Reporter(None, False))
    return method(problem, None, watch), watch


@pytest.mark.parametrize("method", [als_cg, als_chol])
@pytest.mark.parametrize(("ridge", "oversampling"), [(None, 3.0), (None, 5.0), (0.0, 6.0)])
@pytest.mark.parametrize("seed", range(3))
def test_exact_recovery(method: Any, ridge: float | None, oversampling: float, seed: int) -> None:
    known = low_rank(200, 150, 4, oversampling, condition=5.0, seed=seed)
    factors, watch = run(method, known, 4, ridge=ridge)
    assert watch.reason == "residual"
    assert known.error(factors.U, factors.V) <= 1e-8


@pytest.mark.parametrize("method", [als_cg, als_chol])
def test_all_entries_give_the_truncated_svd(method: Any) -> None:
    known = low_rank(40, 30, 5, 1e9, noise=0.3, condition=2.0)
    factors, _ = run(method, known, 4, ridge=0.0, tol=1e-13)
    dense = np.zeros((40, 30))
    rows = known.observed.rows
    dense[np.repeat(np.arange(40), rows.counts), rows.indices] = rows.values
    U, s, Vh = np.linalg.svd(dense)
    best = (U[:, :4] * s[:4]) @ Vh[:4]
    gap = np.linalg.norm(factors.U @ factors.V.T - best)
    assert gap <= 1e-8 * np.linalg.norm(best)


def test_the_learned_ridge_is_near_the_best_fixed_one() -> None:
    known = low_rank(300, 250, 4, 4.0, noise=0.7, condition=4.0, seed=2)
    errors = []
    for ridge in (0.0, 1.0, 3.0, 6.0, 12.0, 25.0):
        factors, _ = run(als_cg, known, 8, ridge=ridge, tol=1e-3, max_iter=100)
        errors.append(known.error(factors.U, factors.V))
    factors, _ = run(als_cg, known, 8, tol=1e-4)
    assert known.error(factors.U, factors.V) <= 1.02 * min(errors)
    assert errors[0] > 1.5 * min(errors)  # it matters


def test_what_the_data_do_not_support_dies_out() -> None:
    known = low_rank(300, 250, 3, 10.0, noise=0.3, seed=1)
    factors, _ = run(als_cg, known, 8, tol=1e-5)
    s = np.linalg.svd(factors.U @ factors.V.T, compute_uv=False)
    assert s[2] > 0.5 * s[0]
    assert s[3] < 0.02 * s[0]


@given(seeds, st.integers(1, 6), st.integers(1, 200))
def test_tall_products(seed: int, k: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    X, w, C = rng.standard_normal((m, k)), rng.random(m), rng.standard_normal((k, k))
    np.testing.assert_allclose(gram(X, w), X.T @ (w[:, None] * X), atol=1e-12)
    out = X.copy()
    times(out, C, out)
    np.testing.assert_allclose(out, X @ C, atol=1e-12)
    if m >= k:
        Q, R = factored(X)
        np.testing.assert_allclose(Q @ R, X, atol=1e-12)
        np.testing.assert_allclose(Q.T @ Q, np.eye(k), atol=1e-12)
    V = rng.standard_normal((m + 1, k))
    for size in (1.0, 1e-3, 1e-12):
        new = Factors(X + size * rng.standard_normal(X.shape), V + size * rng.random(V.shape))
        change = product_change(Factors(X, V), new)
        dU, dV = new.U - X, new.V - V
        exact = np.linalg.norm(dU @ V.T + new.U @ dV.T) / np.linalg.norm(new.U @ new.V.T)
        np.testing.assert_allclose(change, exact, rtol=1e-5)


def test_the_change_of_very_tall_products() -> None:
    rng = np.random.default_rng(0)
    old = Factors(rng.standard_normal((200_000, 3)), rng.standard_normal((90_000, 3)))
    moved = (X + 0.01 * np.cumsum(rng.standard_normal(X.shape), 0) / 100 for X in (old.U, old.V))
    new = Factors(*moved)
    dU, dV = new.U - old.U, new.V - old.V
    pairs = [(dU, dU, old.V, old.V), (new.U, new.U, dV, dV), (dU, new.U, old.V, dV)]
    terms = [np.sum((a.T @ b) * (c.T @ d)) for a, b, c, d in pairs]
    size = np.sum((new.U.T @ new.U) * (new.V.T @ new.V))
    exact = np.sqrt((terms[0] + terms[1] + 2 * terms[2]) / size)
    np.testing.assert_allclose(product_change(old, new), exact, rtol=0.02)


@pytest.mark.parametrize("size", [1e-25, 1.0, 1e25])
def test_gram_matrices_of_any_size(size: float) -> None:
    X = np.random.default_rng(0).standard_normal((50, 4), dtype=np.float32) * np.float32(size)
    exact = X.astype(np.float64).T @ X
    np.testing.assert_allclose(gram(X), exact, rtol=0, atol=1e-5 * exact.max())
    assert np.isnan(gram(X * np.float32(np.nan))).all()


def test_large_tall_factors() -> None:
    X = np.random.default_rng(0).standard_normal((70_000, 20)) * 10.0 ** -np.arange(20)
    Q, R = factored(X[:, :4])
    np.testing.assert_allclose(Q @ R, X[:, :4], atol=1e-12)
    np.testing.assert_allclose(Q.T @ Q, np.eye(4), atol=1e-12)
    Q, R = factored(X)  # the Gram matrix has lost the smallest
    np.testing.assert_allclose(Q.T @ Q, np.eye(20), atol=1e-12)
