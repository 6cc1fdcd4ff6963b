"""One-pass least squares: the bounds of all entries hold together, as often as they promise."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import lstsq
from lowapprox._core.matrix import as_matrix
from lowapprox.regression.sketched import Sketched, row_rule, sketched
from lowapprox.regression.system import make_system
from lowapprox.sketching import SRHT, CountSketch, Gaussian, kron
from tests.reference import CountedOperator
from tests.regression.problems import Problem, exact_solution, problem, problems
from tests.strategies import FORMS

N, D, KEYS = 2048, 16, 200


def hard(k: int) -> Problem:
    """The residual lives on k rows, and every column on one row: sparse sketches let them meet."""
    A, b = np.zeros((N, D)), np.zeros(N)
    A[np.arange(D), np.arange(D)] = 1.0
    b[D : D + k] = k**-0.5
    return Problem(A, b, 1.0)


def spread() -> Problem:
    """The same with rows that are far apart: equally spaced, and not all in one block."""
    A, b = np.zeros((N, D)), np.zeros(N)
    A[np.arange(D) * (N // D), np.arange(D)] = 1.0
    b[np.arange(8) * (N // 8) + 5] = 8**-0.5
    return Problem(A, b, 1.0)


INSTANCES = {
    "one row": hard(1),
    "eight rows": hard(8),
    "spread": spread(),
    "incoherent": problem(N, D, 10.0),
}


def runs(p: Problem, kind: Any, rows: int) -> list[Sketched]:
    system = make_system(as_matrix(p.A), p.b[:, None], None, 0.0)
    gen = np.random.default_rng(0)
    found = [
        sketched(system, lambda _, i=i: kind(rows, N, rng=i), gen, None, 0.05, 1e12)
        for i in range(KEYS)
    ]
    return [f for f in found if f is not None]


def coverage(p: Problem, found: list[Sketched]) -> float:
    """The share of all runs where every entry lies within its bound."""
    x = np.linalg.lstsq(p.A, p.b)[0]
    return sum(bool((np.abs(f.X[:, 0] - x) <= f.bound[:, 0]).all()) for f in found) / KEYS


def excess(p: Problem, found: list[Sketched], eps: float) -> float:
    """The share of all runs with an error larger than the rule allows."""
    x = np.linalg.lstsq(p.A, p.b)[0]
    size = np.linalg.norm(p.b - p.A @ x) / np.linalg.svd(p.A, compute_uv=False)[-1]
    errors = [np.abs(f.X[:, 0] - x).max() for f in found]
    return float(sum(e > eps * size / np.sqrt(D) for e in errors)) / KEYS


@pytest.mark.stat
@pytest.mark.parametrize(
    ("name", "kind", "rows"),
    [
        *((name, SRHT, 8 * D) for name in INSTANCES),
        *((name, SRHT, row_rule(D, 1.0, 0.05)) for name in INSTANCES),
        ("eight rows", Gaussian, 8 * D),
    ],
)
def test_simultaneous_coverage(name: str, kind: Any, rows: int) -> None:
    p = INSTANCES[name]
    found = runs(p, kind, rows)
    assert len(found) == KEYS
    assert coverage(p, found) >= 0.90
    eps = np.sqrt(2.0 * D * np.log(2.0 * D / 0.05) / (rows - D))  # what the rule promises then
    assert excess(p, found, eps) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / KEYS)


@pytest.mark.stat
def test_a_sparse_sketch_fails_where_it_may() -> None:
    p = INSTANCES["eight rows"]
    found = runs(p, CountSketch, 8 * D)
    assert len(found) > 50  # the others are singular: two columns meet
    assert coverage(p, found) * KEYS / len(found) < 0.6
    eps = np.sqrt(2.0 * D * np.log(2.0 * D / 0.05) / (7 * D))
    share = excess(p, found, eps) * KEYS / len(found)
    assert share > 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(found))


@given(st.integers(1, 10**5), st.floats(0.01, 10.0), st.floats(1e-6, 0.5))
def test_row_rule(d: int, eps: float, delta: float) -> None:
    rows = row_rule(d, eps, delta)
    assert rows >= min(max(8 * d, d + 8), 2**31)
    assert row_rule(d, eps / 2.0, delta) >= rows
    assert row_rule(d, eps, delta / 2.0) >= rows
    if rows < 2**31:
        assert eps**2 * (rows - d) >= 2.0 * d * np.log(2.0 * d / delta) * (1 - 1e-12)


@pytest.mark.parametrize("eps", [0.5, 0.3])
def test_bounds_are_as_small_as_asked(eps: float) -> None:
    A, b, _ = problem(20_000, 8, 5.0)
    result = lstsq(A, b, method="linf", eps=eps, rng=0)
    x = np.linalg.lstsq(A, b)[0]
    size = np.linalg.norm(b - A @ x) / np.linalg.svd(A, compute_uv=False)[-1]
    assert result.info["method"] == "linf"
    assert result.entry_bound is not None
    assert (result.entry_bound <= 1.3 * eps * size / np.sqrt(8)).all()
    assert (np.abs(result.x - x) <= result.entry_bound).all()
    assert result.residual_norm == pytest.approx(np.linalg.norm(b - A @ x), rel=0.2)


def test_more_rows_until_the_bounds_suffice() -> None:
    A, b, _ = problem(20_000, 4)
    system = make_system(as_matrix(A), b[:, None], None, 0.0)
    asked: list[int] = []

    def make(rows: int) -> SRHT:
        asked.append(rows)
        return SRHT(max(rows // 4, 40), 20_000, rng=0)  # fewer than were asked for

    found = sketched(system, make, np.random.default_rng(0), 0.5, 0.05, 1e12)
    assert found is not None
    assert found.ratio <= 0.5
    assert len(asked) == system.passes > 1
    assert asked == sorted(asked)


@pytest.mark.parametrize("method", ["linf", "sketch"])
@given(p=problems(max_condition=1e6, spread=3))
def test_a_solution_of_all_rows_where_no_sketch_is_smaller(method: str, p: Problem) -> None:
    result = lstsq(p.A, p.b, method=method, rng=0)
    assert result.entry_bound is not None
    assert result.entry_bound.shape == result.x.shape
    if result.info["method"] == "direct":
        assert (np.abs(result.x - exact_solution(p.A, p.b)) <= result.entry_bound).all()


@pytest.mark.parametrize("method", ["linf", "sketch"])
@pytest.mark.parametrize("form", ["C", "F", "csr_array"])
def test_many_sides_and_weights(method: str, form: str) -> None:
    A, b, _ = problem(4000, 6, columns=3)
    w = np.random.default_rng(0).random(4000)
    result = lstsq(FORMS[form](A), b, weights=w, method=method, rng=3)
    root = np.sqrt(w)[:, None]
    x = np.linalg.lstsq(A * root, b * root)[0]
    assert result.passes == 1
    assert result.entry_bound is not None
    assert result.entry_bound.shape == (6, 3)
    assert (np.abs(result.x - x) <= 2.0 * result.entry_bound).all()
    assert np.isnan(result.backward_error).all()


def test_the_matrix_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    public = importlib.import_module("lowapprox.regression.lstsq")
    monkeypatch.setattr(public, "_SMALL_OPERATOR", 0)
    A, b, _ = problem(3000, 6)
    counted = CountedOperator(A)
    result = lstsq(counted, b, method="sketch", rng=0)
    assert result.passes == 1
    assert counted.columns == result.info["rows"]


def test_deficient_matrices_are_solved_directly() -> None:
    A, b, _ = problem(4000, 6)
    A[:, 3] = A[:, 1]
    result = lstsq(A, b, method="linf", rng=0)
    assert result.info["method"] == "direct"
    assert result.rank == 5
    assert result.entry_bound is not None
    assert np.isnan(result.entry_bound).all()


@pytest.mark.parametrize("power", [-250, -150, -8, 150, 250])
@pytest.mark.parametrize("method", ["linf", "sketch"])
def test_bounds_follow_the_sizes_of_columns_and_sides(method: str, power: int) -> None:
    """Also where their squares are out of range."""
    A, b, _ = problem(3000, 5, 10.0)
    plain = lstsq(A, b, method=method, rng=0)
    assert plain.entry_bound is not None
    for scale in (np.full(5, 10.0**power), np.where(np.arange(5) == 2, 10.0**power, 1.0)):
        result = lstsq(A * scale, b, method=method, rng=0)
        assert result.info["method"] == method
        assert result.entry_bound is not None
        assert np.allclose(result.entry_bound * scale, plain.entry_bound, rtol=1e-8, atol=0.0)
    result = lstsq(A, b * 10.0**power, method=method, rng=0)
    assert result.entry_bound is not None
    assert np.allclose(result.entry_bound / 10.0**power, plain.entry_bound, rtol=1e-8, atol=0.0)


@pytest.mark.parametrize("power", [-200, 200])
def test_bounds_of_products_follow_the_sizes_of_columns(power: int) -> None:
    gen = np.random.default_rng(0)
    A, B, b = gen.standard_normal((60, 3)), gen.standard_normal((50, 2)), gen.standard_normal(3000)
    scale = np.array([1.0, 10.0**power, 1.0])
    plain = lstsq(kron(A, B), b, method="linf", rng=0)
    result = lstsq(kron(A * scale, B), b, method="linf", rng=0)
    assert plain.entry_bound is not None
    assert result.entry_bound is not None
    sizes = np.kron(scale, np.ones(2))
    assert np.allclose(result.entry_bound * sizes, plain.entry_bound, rtol=1e-8, atol=0.0)
