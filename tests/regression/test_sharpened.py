"""Cholesky after a sketch: ill-conditioned problems, and what its pieces compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import lstsq
from lowapprox._core.matrix import as_matrix
from lowapprox.regression.preconditioned import Start, corrected, sketch_operator, sketched_start
from lowapprox.regression.routines import add_gram, times_triangle
from lowapprox.regression.sharpened import rows_to_sharpen, sharpened
from lowapprox.regression.system import System, make_system
from tests.reference import random_array
from tests.regression.problems import Problem, backward_error, problem, problems
from tests.strategies import quiet, seeds

U = float(np.finfo(float).eps)


def begun(p: Problem, *, ridge: float = 0.0, weights: Any = None) -> tuple[System, Start]:
    b = p.b if p.b.ndim == 2 else p.b[:, None]
    system = make_system(as_matrix(p.A), b, weights, ridge)
    gen = np.random.default_rng(0)
    S = sketch_operator(system, "auto", rows_to_sharpen(*p.A.shape), gen)
    norms = np.linalg.norm(b, axis=0)
    start = sketched_start(system, S, norms, gen, lambda *_: False)
    sharp = sharpened(system, start, norms)
    assert sharp is not None
    return system, sharp


@given(seeds, st.integers(1, 40), st.integers(1, 30), st.sampled_from([float, complex]))
def test_a_tile_times_a_triangle(seed: int, rows: int, d: int, dtype: Any) -> None:
    gen = np.random.default_rng(seed)
    T, E = random_array(gen, (rows, d), dtype), random_array(gen, (d, d), dtype)
    found = T.copy()
    times_triangle(found, np.asfortranarray(E))
    assert np.allclose(found, T @ np.triu(E), rtol=1e-13, atol=1e-13)


@given(seeds, st.integers(1, 40), st.integers(1, 30), st.sampled_from("fdFD"))
def test_a_gram_matrix_is_added(seed: int, rows: int, d: int, kind: str) -> None:
    gen = np.random.default_rng(seed)
    T, G = random_array(gen, (rows, d), kind), random_array(gen, (d, d), kind)
    G[np.diag_indices(d)] = G.diagonal().real  # of a Hermitian matrix
    found = np.array(G, order="F")
    add_gram(T, found)
    close = 100 * np.finfo(kind).eps * rows
    whole = G + T.T @ T.conj()
    assert np.allclose(np.triu(found), np.triu(whole), rtol=close, atol=close)
    assert np.array_equal(np.tril(found, -1), np.tril(G, -1))


@pytest.mark.parametrize("dtype", [float, complex, np.float32])
@given(seed=seeds, power=st.floats(0, 12), d=st.integers(1, 24))
def test_the_triangle_is_nearly_that_of_the_matrix(
    dtype: Any, seed: int, power: float, d: int
) -> None:
    p = problem(30 * d, d, 10.0**power, dtype=dtype, seed=seed)
    system, sharp = begun(p)
    A = p.A.astype(system.dtype)
    Q = sharp.triangle.solve_adjoint(A.conj().T).conj().T
    R = sharp.triangle.R * sharp.triangle.D
    size = np.linalg.norm(A, axis=0)
    error = 1e-4 + 1e3 * U * min(sharp.condition, 1e10)
    assert np.abs(Q.conj().T @ Q - np.eye(d)).max() <= error
    assert (np.abs(R.conj().T @ R - A.conj().T @ A) <= error * size * size[:, None]).all()


@given(problems(max_condition=1e12, spread=8))
def test_few_corrections(p: Problem) -> None:
    if p.A.shape[0] < 8 * p.A.shape[1]:
        return
    system, sharp = begun(p)
    outcome = corrected(system, sharp, U / 2.0)
    assert outcome.iterations <= 5
    assert backward_error(p.A, p.b, outcome.found.X[:, 0]) <= 10 * U


@given(problems())
def test_cholesky_of_any_condition(p: Problem) -> None:
    result = lstsq(p.A, p.b, method="cholesky", rng=0)
    assert result.converged
    allowed = 10 * U if result.rank == p.A.shape[1] else 40 * U
    assert backward_error(p.A, p.b, result.x) <= allowed


@pytest.mark.parametrize("dtype", [float, complex, np.float32])
@given(seed=seeds, power=st.floats(4, 11), ridge=st.sampled_from([0.0, 1e-12, 1e-3]))
def test_many_sides_weights_and_ridge(dtype: Any, seed: int, power: float, ridge: float) -> None:
    A, B, _ = problem(400, 12, 10.0**power, columns=3, dtype=dtype, seed=seed)
    w = np.random.default_rng(seed).integers(0, 3, 400).astype(float)
    result = lstsq(A, B, method="cholesky", ridge=ridge, weights=w, rcond=U, rng=0)
    assert result.converged
    wide = np.result_type(dtype, float)
    root = np.sqrt(w)[:, None]
    M = np.concatenate([root * A.astype(wide), np.sqrt(ridge) * np.eye(12)])
    sides = np.concatenate([root * B.astype(wide), np.zeros((12, 3))])
    allowed = 10 * U + np.finfo(dtype).eps
    for j in range(3):
        assert backward_error(M, sides[:, j], result.x[:, j]) <= allowed


@pytest.mark.parametrize("power", [-150, 150])
def test_columns_of_extreme_size(power: int) -> None:
    A, b, _ = problem(500, 10, 1e9)
    scale = np.ones(10)
    scale[3], scale[7] = 10.0**power, 10.0 ** (-power / 2)
    result = lstsq(A * scale, b, method="cholesky", rng=0)
    assert result.info["method"] == "cholesky"
    assert result.converged
    assert backward_error(A, b, result.x * scale) <= 10 * U


@pytest.mark.parametrize("copies", [1, 2])
def test_dependent_columns(copies: int) -> None:
    A, b, _ = problem(500, 10, 10.0)
    A[:, -copies:] = A[:, :copies]
    result = lstsq(A, b, method="cholesky", rng=0)
    assert result.rank == 10 - copies
    assert result.converged
    assert np.allclose(result.x, np.linalg.lstsq(A, b, rcond=1e-10)[0], atol=1e-10)


def test_noise_spreads_as_by_a_factorization() -> None:
    A, b, _ = problem(2000, 20, 1e8)
    for ridge in (0.0, 1e-17):
        found, exact = (lstsq(A, b, method=m, ridge=ridge, rng=0) for m in ("cholesky", "direct"))
        assert found.info["why"].startswith("ill-conditioned")
        assert np.allclose(found.standard_errors, exact.standard_errors, rtol=1e-4)


@pytest.mark.parametrize("method", ["auto", "cholesky"])
def test_what_counts_as_zero_does_so_whatever_the_method(method: str) -> None:
    for n, condition in ((500, 1e4), (500, 1e9), (60_000, 1e4), (60_000, 1e9)):
        A, b, _ = problem(n, 40, condition)
        result = lstsq(A, b, method=method, rcond=1e-3, rng=0)
        s = np.linalg.svd(A / np.linalg.norm(A, axis=0), compute_uv=False)
        assert result.rank == (s > 1e-3 * s[0]).sum() < 40


@pytest.mark.large
@pytest.mark.parametrize("dtype", [float, complex, np.float32])
@pytest.mark.parametrize("condition", [1e8, 1e12, 1e17])
def test_auto_takes_it_for_wide_problems(condition: float, dtype: Any) -> None:
    gen = np.random.default_rng(0)
    n, d = 17_000, 130
    A = random_array(gen, (n, d), np.result_type(dtype, float))
    V = np.linalg.qr(gen.standard_normal((d, d)))[0]
    A = (A @ (np.geomspace(1.0, 1.0 / condition, d)[:, None] * V)).astype(dtype)
    A[:, 5] *= 1e-9
    b = (A @ np.ones(d) + 1e-3 * gen.standard_normal(n)).astype(dtype)
    with quiet():
        result = lstsq(A, b, rcond=U, rng=0)
    assert result.converged
    well = condition if dtype is not np.float32 else min(condition, 1e10)  # data are rounded
    assert result.info["method"] == ("cholesky" if well < 1e14 else "direct")
    wide = np.result_type(dtype, float)
    D = np.linalg.norm(A.astype(wide), axis=0)
    g = A.astype(wide).conj().T @ (b - A.astype(wide) @ result.x)
    sizes = np.linalg.norm(b) + np.linalg.norm(D * result.x)
    assert (np.abs(g) <= (1e-14 + np.finfo(dtype).eps) * D * sizes).all()
    if dtype is float and condition < 1e14:
        assert result.passes <= 6


@pytest.mark.large
def test_a_callback_stops_the_corrections() -> None:
    gen = np.random.default_rng(0)
    n, d = 17_000, 130
    A = gen.standard_normal((n, d)) * np.geomspace(1.0, 1e-9, d)
    A = A @ np.linalg.qr(gen.standard_normal((d, d)))[0]
    with quiet():
        result = lstsq(A, gen.standard_normal(n), rng=0, callback=lambda _: True)
    assert result.info["method"] == "cholesky"
    assert result.info["iterations"] == 1
