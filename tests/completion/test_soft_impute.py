"""Soft-impute: the conditions of its optimum, and the rank that comes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lowapprox._core.progress import Reporter
from lowapprox.completion.holdout import hold_out
from lowapprox.completion.problem import Problem, Watch
from lowapprox.completion.soft_impute import soft_impute
from tests.completion.problems import Array, Known, low_rank, solved


def gradient(known: Known, U: Array, V: Array) -> Array:
    rows = known.observed.rows
    G = np.zeros(known.observed.shape)
    numbers = np.repeat(np.arange(G.shape[0]), rows.counts)
    G[numbers, rows.indices] = rows.values - (U @ V.T)[numbers, rows.indices]
    return G


@pytest.mark.parametrize("ridge", [1.0, 5.0])
@pytest.mark.parametrize("seed", range(3))
def test_optimality(ridge: float, seed: int) -> None:
    # The residual is `ridge` times a subgradient of the sum of singular values.
    known = low_rank(40, 30, 4, 3.0, noise=0.3, seed=seed)
    factors, watch = solved(soft_impute, known, 30, ridge=ridge)
    assert watch.reason == "change"
    U, V = (np.linalg.qr(X)[0] for X in (factors.U, factors.V))
    G = gradient(known, factors.U, factors.V)
    polar = np.linalg.svd(factors.U @ factors.V.T)
    k = factors.rank
    np.testing.assert_allclose(U @ (U.T @ G), ridge * polar[0][:, :k] @ polar[2][:k], atol=1e-4)
    rest = G - U @ (U.T @ G)
    assert np.linalg.norm(rest - rest @ V @ V.T, 2) <= ridge * (1 + 1e-4)


def test_a_large_ridge_leaves_nothing() -> None:
    known = low_rank(20, 15, 2, 3.0)
    factors, _ = solved(soft_impute, known, 2, ridge=1e6)
    assert np.linalg.norm(factors.U @ factors.V.T) <= 1e-6 * np.linalg.norm(known.U @ known.V.T)
    assert factors.rank == 1


def test_entries_held_out_choose_the_penalty() -> None:
    known = low_rank(120, 100, 3, 6.0, noise=0.5)
    left, held = hold_out(known.observed, 0.1, 4, np.random.default_rng(0))
    options: dict[str, Any] = {"tol": 1e-6, "max_iter": 100, "held_out": held}
    problem = Problem(left, 20, None, rng=np.random.default_rng(0), **options)
    watch = Watch(problem, Reporter(None, progress=False))
    soft_impute(problem, None, watch)
    errors = [step.held_out for step in watch.history]
    assert watch.best is not None
    assert held.error(watch.best) <= min(errors) * (1 + 1e-3)
    assert 0 < int(np.argmin(errors)) < 11  # neither the first penalty nor the last
    assert watch.best.rank < 20


def test_ranks_grow_along_the_path() -> None:
    known = low_rank(60, 50, 5, 4.0, condition=30.0)
    _, watch = solved(soft_impute, known, 5)
    ranks = [step.rank for step in watch.history]
    assert ranks == sorted(ranks)
    assert ranks[0] < ranks[-1] == 5
