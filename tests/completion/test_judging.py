"""No fit is called converged that other matrices equal, or that entries held out contradict."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowapprox import AccuracyWarning, ConvergenceWarning, InputError, complete
from lowapprox._core.progress import Reporter
from lowapprox.completion import judging
from lowapprox.completion.complete import METHODS
from lowapprox.completion.diagnosis import tie, undetermined
from lowapprox.completion.losses import log_loss
from lowapprox.completion.problem import Factors, HeldOut, Problem, Watch
from lowapprox.completion.reading import read
from tests.completion.problems import low_rank
from tests.strategies import quiet, seeds

Array = np.ndarray[Any, Any]
EXACT = [name for name in METHODS if name != "soft-impute"]


def blocks(common: int, rank: int = 2, side: int = 30, share: float = 0.8) -> tuple[Array, Array]:
    """Return two blocks of known entries that share some columns, and the truth."""
    gen = np.random.default_rng(0)
    X = gen.standard_normal((2 * side, rank)) @ gen.standard_normal((rank, 2 * side))
    known = np.zeros(X.shape, bool)
    known[:side, : side + common] = known[side:, side:] = True
    known &= gen.random(X.shape) < share
    # The columns in common are known throughout.
    known[:, side : side + common] = True
    return np.where(known, X, np.nan), X


def distance(A: Array, B: Array) -> float:
    return float(np.linalg.norm(A - B) / np.linalg.norm(B))


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("reg", ["auto", 0])
def test_blocks_that_share_fewer_columns_than_the_rank(method: str, reg: Any) -> None:
    # Five entries for each unknown, and yet the blocks may turn against one another.
    options: dict[str, Any] = {"method": method, "rng": 0, "reg": reg, "max_iter": 300}
    A, X = blocks(1)
    with pytest.warns(ConvergenceWarning):
        fit = complete(A, 2, **options)
    assert fit.diagnostics.oversampling > 3.0
    assert not fit.converged
    assert distance(fit.to_dense(), X) > 0.1
    assert fit.history[-1].residual > 1e-10 or fit.reason == "not identified"
    A, X = blocks(2)
    with quiet():
        fit = complete(A, 2, **options)
    assert not fit.converged or distance(fit.to_dense(), X) <= 1e-6


def test_blocks_that_share_as_many_columns_as_the_rank() -> None:
    A, X = blocks(2)
    assert distance(complete(A, 2, method="irls", rng=0).to_dense(), X) <= 1e-6
    with pytest.warns(ConvergenceWarning, match="too loosely"):
        complete(blocks(1)[0], 2, method="irls", rng=0)


@pytest.mark.parametrize("method", ["irls", "gauss-newton"])
def test_large_matrices_are_looked_at_if_few_entries_tie_them(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "searches", lambda problem: False)
    options: dict[str, Any] = {"method": method, "rng": 0, "validation": 0}
    A, _ = blocks(1, side=60, share=0.3)
    with pytest.warns(ConvergenceWarning, match="too loosely"):
        assert not complete(A, 2, **options).converged
    A, X = blocks(30, side=60, share=0.3)
    assert distance(complete(A, 2, **options).to_dense(), X) <= 1e-6


def test_how_loosely_entries_hold_together() -> None:
    gen = np.random.default_rng(0)
    for known in (gen.random((70, 90)) < 0.1, np.isfinite(blocks(2)[0]), np.ones((5, 6), bool)):
        observed = read(np.ones(known.shape), mask=known)
        a, b = (np.maximum(known.sum(axis=i), 1) for i in (1, 0))
        s = np.linalg.svd(known / np.sqrt(np.outer(a, b)), compute_uv=False)
        found = tie(observed, np.random.default_rng(1))
        assert found <= s[1] * (1 + 1e-6) + 1e-12
        assert found >= 0.9 * s[1] - 1e-12
    apart = read(np.ones((5, 5)), mask=np.kron(np.eye(2), np.ones((3, 3)))[:5, :5] > 0)
    assert tie(apart, gen) <= 1e-6  # each component holds together
    assert tie(read(np.ones((3, 4)), mask=np.eye(3, 4) > 0), gen) <= 1e-6


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("large", [False, True])
def test_rows_with_fewer_entries_than_the_rank(
    method: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(judging, "searches", lambda problem: False)
    gen = np.random.default_rng(1)
    X = gen.standard_normal((60, 3)) @ gen.standard_normal((3, 50))
    known = gen.random(X.shape) < 0.5
    known[5], known[:, 7] = False, False
    known[5, :2] = known[:1, 7] = True
    A = np.where(known, X, np.nan)
    with pytest.warns(ConvergenceWarning, match="1 rows and 1 columns hold fewer entries than its"):
        fit = complete(A, 3, method=method, rng=0)
    assert not fit.converged
    inner = np.ix_(np.arange(60) != 5, np.arange(50) != 7)
    assert distance(fit.to_dense()[inner], X[inner]) <= 1e-6
    assert distance(fit.to_dense()[5], X[5]) > 0.1


def test_what_a_component_has_fewer_rows_for_is_no_lack() -> None:
    known = np.zeros((7, 8), bool)
    known[:4, :5] = known[4:6, 5:7] = True
    known[6, 7] = True
    observed = read(np.ones(known.shape), mask=known)
    assert undetermined(observed, 3) == (0, 0)
    known[0, 2:5] = False
    assert undetermined(read(np.ones(known.shape), mask=known), 3) == (1, 0)
    assert undetermined(read(np.zeros((0, 3))), 1) == (0, 0)


def test_components_that_have_died_out_need_no_entries() -> None:
    gen = np.random.default_rng(1)
    X = gen.standard_normal((60, 2)) @ gen.standard_normal((2, 50))
    known = gen.random(X.shape) < 0.7
    known[3] = np.arange(50) % 12 == 0
    fit = complete(np.where(known, X, np.nan), 6, rng=0, method="als-cg")
    assert fit.diagnostics.few_rows == 1  # for the rank of six
    assert fit.converged
    assert distance(fit.to_dense(), X) <= 1e-6


@pytest.mark.filterwarnings("ignore:there are hardly more entries")
def test_as_many_entries_as_unknowns() -> None:
    """A cross of full rows and columns determines all; others leave more than one matrix."""
    gen = np.random.default_rng(0)
    X = gen.standard_normal((8, 2)) @ gen.standard_normal((2, 9))
    cross = np.zeros(X.shape, bool)
    cross[:2] = cross[:, :2] = True
    fit = complete(np.where(cross, X, np.nan), 2, reg=0, rng=0)
    assert fit.diagnostics.count == fit.diagnostics.freedom
    assert fit.converged
    assert distance(fit.to_dense(), X) <= 1e-6
    # Two cycles of six: every row and column has three entries, none follows from the others.
    cycle = np.eye(6, dtype=bool)
    circle = cycle | np.roll(cycle, 1, axis=1) | np.roll(cycle, 3, axis=1)
    circle[0, 4] = circle[3, 5] = True
    X = X[:6, :6]
    assert circle.sum() == 2 * (6 + 6 - 2)
    with quiet():
        fit = complete(np.where(circle, X, np.nan), 2, reg=0, rng=0)
    assert not fit.converged


@pytest.mark.parametrize("reg", [0, "auto"])
def test_confident_and_wrong_about_zeros_and_ones(reg: Any) -> None:
    known = low_rank(60, 50, 2, 8.0)
    rows = known.observed.rows
    i = np.repeat(np.arange(60), rows.counts)
    votes = (rows.values > 0).astype(float)
    some = slice(None, 200)
    A, wrong = (i, rows.indices, votes), (i[some], rows.indices[some], 1.0 - votes[some])
    options: dict[str, Any] = {"shape": (60, 50), "loss": "logit", "reg": reg, "rng": 0}
    with pytest.warns(ConvergenceWarning, match="the error at entries held out"):
        fit = complete(A, 2, validation=wrong, **options)
    found = fit.predict(wrong[0], wrong[1])
    assert log_loss(found, wrong[2]).mean() > np.log(2.0)
    right = (i[some], rows.indices[some], votes[some])
    with quiet():
        assert complete(A, 2, validation=right, **options).reason != "not identified"
    assert complete(A, 2, validation=0.1, **(options | {"reg": "auto"})).converged


@pytest.mark.filterwarnings("ignore:the entries fall into 2 parts")
def test_entries_that_nothing_is_known_of_judge_nothing() -> None:
    gen = np.random.default_rng(0)
    A = np.full((40, 40), np.nan)
    for block in (slice(20), slice(20, 40)):
        A[block, block] = gen.standard_normal((20, 1)) @ gen.standard_normal((1, 20))
    inside, between = ([0, 25], [3, 21]), ([1, 30], [30, 1])
    values = [A[0, 3], A[25, 21], 99.0, 99.0]
    A[inside] = np.nan
    both = [a + b for a, b in zip(inside, between, strict=True)]
    with pytest.warns(AccuracyWarning, match="2 entries of `validation` lie between"):
        fit = complete(A, 1, rng=0, validation=(*both, values))
    assert fit.converged
    assert fit.history[-1].held_out <= 1e-6
    with pytest.raises(InputError, match="`validation` must hold entries that those of `A` say"):
        complete(A, 1, rng=0, validation=(*between, values[2:]))


def test_a_share_that_cannot_be_held_out_is_told() -> None:
    A = np.array([[1.0, 2.0, np.nan], [2.0, 4.0, 6.0]])
    with pytest.warns(AccuracyWarning, match="no entry can be held out for `validation`"):
        fit = complete(A, 1, rng=0, validation=0.3)
    assert np.isnan([step.held_out for step in fit.history]).all()


def test_biases_are_columns_that_others_may_replace() -> None:
    gen = np.random.default_rng(0)
    X = gen.standard_normal((30, 1)) @ gen.standard_normal((1, 30))
    X += gen.standard_normal((30, 1)) + gen.standard_normal(30)
    known = gen.random(X.shape) < 0.7
    options: dict[str, Any] = {"row_bias": True, "col_bias": True, "rng": 0}
    fit = complete(np.where(known, X, np.nan), 1, **options)
    assert fit.reason == "residual"
    assert distance(fit.to_dense(), X) <= 1e-6
    known[4] = False
    known[4, 3] = True
    with pytest.warns(ConvergenceWarning, match="other matrices"):
        assert not complete(np.where(known, X, np.nan), 1, **options).converged


def test_a_fit_that_is_huge_where_nothing_is_observed() -> None:
    known = np.ones((6, 5), bool)
    known[4:, 3:] = False
    gen = np.random.default_rng(0)
    observed = read(gen.standard_normal((6, 5)), mask=known)
    problem = Problem(observed, 2, 0.0, 1e-3, 10, gen)
    watch = Watch(problem, Reporter(None, progress=False))
    watch.reason = "change"
    U, V = gen.standard_normal((6, 2)), gen.standard_normal((5, 2))
    assert judging.judged(problem, Factors(U, V), watch).converged
    U[4:, 1], V[3:, 1] = 1e4, 1e4
    verdict = judging.judged(problem, Factors(U, V), watch)
    assert (verdict.converged, verdict.reason) == (False, "not identified")
    assert "times as large as the observed values" in verdict.text


def test_a_product_at_rest_with_a_residual_that_is_not() -> None:
    """Entries that nothing is known of may be so large that nothing else counts in the change."""
    observed = read(np.ones((3, 3)))
    problem = Problem(observed, 1, None, 1e-3, 10, np.random.default_rng(0), residual_tol=1e-10)
    watch = Watch(problem, Reporter(None, progress=False))
    one = Factors(np.ones((3, 1)), np.ones((3, 1)))
    assert not watch("als-cg", one, residual=0.5, change=1.0)
    assert not watch("als-cg", one, residual=0.4, change=1e-6)
    assert watch("als-cg", one, residual=0.4, change=1e-6)
    assert watch.reason == "change"


def test_falls_that_are_worth_nothing_stop_the_work_and_still_count_as_better() -> None:
    at = np.zeros(1, np.int64)
    held = HeldOut(at, at, np.zeros(1))
    rng = np.random.default_rng(0)
    problem = Problem(read(np.ones((3, 3))), 1, None, 1e-9, 99, rng, held_out=held)
    watch = Watch(problem, Reporter(None, progress=False))
    errors = [2.0, 1.0, 1.0 - 1e-5, 1.0 - 2e-5, 1.0 - 1e-5]
    steps = [Factors(np.full((3, 1), error), np.ones((3, 1))) for error in errors]
    ended = [watch("als-cg", step, residual=0.5, change=1.0) for step in steps]
    assert ended == [False] * 4 + [True]
    assert watch.reason == "held-out"
    assert watch.best is steps[3]


@settings(max_examples=100)
@given(seeds, st.sampled_from(EXACT), st.sampled_from(["random", "band", "blocks", "rows"]))
def test_whatever_fits_exactly_and_is_called_converged_is_right(
    seed: int, method: str, kind: str
) -> None:
    gen = np.random.default_rng(seed)
    m, n, r = *gen.integers(4, 22, 2), int(gen.integers(1, 4))
    X = gen.standard_normal((m, r)) @ gen.standard_normal((r, n))
    known = gen.random((m, n)) < gen.choice([0.3, 0.5, 0.8])
    if kind == "band":
        known &= np.abs(np.arange(m)[:, None] / m - np.arange(n) / n) < 0.4
    elif kind == "blocks":
        known[: m // 2, n // 2 + gen.integers(0, r + 2) :] = known[m // 2 :, : n // 2] = False
    elif kind == "rows":
        known[0] &= gen.random(n) < 0.2
        known[:, 0] &= gen.random(m) < 0.2
    known[0, 0] = True
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        options: dict[str, Any] = {"method": method, "rng": 0, "max_iter": 200}
        fit = complete(np.where(known, X, np.nan), min(r, m, n), **options)
    found, d = fit.to_dense(), fit.diagnostics
    inside = (d.row_component[:, None] == d.col_component) & (d.row_component[:, None] >= 0)
    assert np.array_equal(np.isfinite(found), inside)
    if fit.reason == "residual" and d.count > d.freedom:
        assert distance(found[inside], X[inside]) <= 1e-4
    if not fit.converged:
        assert any(issubclass(w.category, ConvergenceWarning) for w in told)
