"""The iterations themselves: what a poor sketch does to them, and how they stop."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import lstsq
from lowapprox._core.matrix import as_matrix
from lowapprox.regression.preconditioned import (
    Start,
    corrected,
    fossils,
    iterative,
    sketch_operator,
    sketch_rows,
    sketched_start,
    spir,
)
from lowapprox.regression.system import System, make_system
from lowapprox.regression.triangle import Triangle
from tests.regression.problems import Problem, backward_error, problem, problems
from tests.strategies import quiet, seeds

U = float(np.finfo(float).eps)


def begun(p: Problem, report: Any = None) -> tuple[System, Start]:
    system = make_system(as_matrix(p.A), p.b[:, None], None, 0.0)
    gen = np.random.default_rng(0)
    S = sketch_operator(system, "auto", sketch_rows(*system.shape), gen)
    norms = np.array([np.linalg.norm(p.b)])
    return system, sketched_start(system, S, norms, gen, report or (lambda *_: False))


@pytest.mark.parametrize("method", [iterative, fossils, spir])
@given(
    seed=seeds,
    scale=st.sampled_from([0.3, 0.6, 1.5, 3.0]),
    power=st.floats(0, 8),
    origin=st.booleans(),
)
def test_a_poor_preconditioner_costs_steps_only(
    method: Any, seed: int, scale: float, power: float, origin: bool
) -> None:
    """With a triangle too small the heavy ball goes astray, with one too large it is slow."""
    p = problem(300, 8, 10.0**power, seed=seed)
    system, start = begun(p)
    wrong = Triangle(start.triangle.R * start.triangle.D * scale)
    X = 0.0 * start.X if origin else start.X
    outcome = method(system, replace(start, triangle=wrong, X=X), U / 2.0)
    assert backward_error(p.A, p.b, outcome.found.X[:, 0]) <= 20 * U


@given(problems(max_condition=1e12, spread=0, max_columns=10))
def test_a_step_of_iterative_sketching_is_a_pass(p: Problem) -> None:
    system, start = begun(p)
    seen: list[tuple[int, int, float]] = []
    iterative(
        system,
        replace(start, report=lambda k, passes, value, _: seen.append((k, passes, value))),
        U / 2.0,
    )
    steps = [s for s in seen if s[1] == s[0] + 2]  # before conjugate gradients go on, if they do
    assert [s[0] for s in steps] == list(range(1, len(steps) + 1))
    assert all(b[2] <= a[2] for a, b in pairwise(steps))


@pytest.mark.parametrize("method", ["iterative", "fossils", "spir"])
@pytest.mark.parametrize("stop", [1, 2])
def test_a_callback_stops_at_the_best_so_far(method: str, stop: int) -> None:
    A, b, _ = problem(2000, 20, 1e10)
    values: list[float] = []

    def callback(progress: Any) -> bool:
        values.append(progress.value)
        return len(values) >= stop

    with quiet():
        result = lstsq(A, b, method=method, rng=0, callback=callback)
    assert len(values) <= stop
    assert result.backward_error == pytest.approx(values[-1])
    assert result.info["method"] == method
    assert result.converged == (result.backward_error <= 4 * U)


@given(problems(max_condition=1e12, spread=3, max_columns=10))
def test_an_exact_triangle_needs_few_corrections(p: Problem) -> None:
    system, start = begun(p)
    exact = Triangle(np.linalg.qr(p.A, mode="r"))
    outcome = corrected(system, replace(start, triangle=exact), U / 2.0)
    assert outcome.iterations <= 4
    assert backward_error(p.A, p.b, outcome.found.X[:, 0]) <= 10 * U


@pytest.mark.parametrize("tol", [1e-4, 1e-8, 1e-12])
@pytest.mark.parametrize("method", ["iterative", "fossils", "spir"])
def test_a_loose_tolerance_saves_passes(method: str, tol: float) -> None:
    A, b, _ = problem(3000, 20, 1e3)
    result, full = lstsq(A, b, method=method, tol=tol, rng=0), lstsq(A, b, method=method, rng=0)
    assert result.converged
    assert backward_error(A, b, result.x) <= 1.5 * tol
    assert result.passes <= full.passes
    if method == "iterative":
        assert result.passes < full.passes
