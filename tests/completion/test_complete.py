"""The public call: what it promises whatever the form of the input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import (
    AccuracyWarning,
    ConvergenceWarning,
    InputError,
    InputTypeError,
    NumericalError,
    complete,
    thread_limit,
)
from lowapprox.completion import CompletionResult
from lowapprox.completion.holdout import hold_out
from tests.completion.problems import Known, low_rank
from tests.strategies import quiet, seeds

Array = np.ndarray[Any, Any]


def triples(known: Known) -> tuple[Array, Array, Array]:
    rows = known.observed.rows
    return np.repeat(np.arange(rows.counts.size), rows.counts), rows.indices, rows.values


def whole(result: CompletionResult) -> Array:
    m, n = result.U.shape[0], result.V.shape[0]
    i, j = np.divmod(np.arange(m * n), n)
    return result.predict(i, j).reshape(m, n)


def dense(known: Known) -> Array:
    out = np.full(known.observed.shape, np.nan)
    i, j, v = triples(known)
    out[i, j] = v
    return out


EXACT = low_rank(60, 50, 3, 4.0, condition=5.0, seed=3)
NOISY = low_rank(60, 50, 3, 5.0, condition=3.0, noise=0.3, seed=4)


def fit(known: Known = EXACT, **options: Any) -> CompletionResult:
    options = {"rank": 3, "rng": 0, "tol": 1e-10} | options
    return complete(triples(known), shape=known.observed.shape, **options)


@pytest.mark.parametrize("known", [EXACT, NOISY], ids=["exact", "noisy"])
def test_every_form_of_input_gives_the_same_matrix(known: Known) -> None:
    i, j, v = triples(known)
    shape, A = known.observed.shape, dense(known)
    mask = np.isfinite(A)
    order = np.random.default_rng(0).permutation(v.size)
    forms: list[tuple[Any, dict[str, Any]]] = [
        ((i[order], j[order], v[order]), {"shape": shape}),
        (sp.coo_array((v[order], (i[order], j[order])), shape=shape), {}),
        (sp.csr_array((v, (i, j)), shape=shape), {}),
        (sp.csc_matrix((v, (i, j)), shape=shape), {}),
        (A, {}),
        (np.where(mask, A, 7.0), {"mask": mask}),
        (np.ma.masked_invalid(A), {}),
    ]
    expected = whole(fit(known))
    for form, more in forms:
        found = whole(complete(form, 3, rng=0, tol=1e-10, **more))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("known", "options", "tol"),
    [
        (EXACT, {}, 1e-7),
        (NOISY, {}, 4e-3),  # the learned ridges of the two halves of a sweep are not quite alike
        (NOISY, {"reg": 1.0}, 1e-7),
        (NOISY, {"reg": 1.0, "row_bias": True, "col_bias": True}, 1e-7),
    ],
    ids=["exact", "learned", "ridge", "biases"],
)
def test_order_of_rows_and_columns_and_transposition(
    known: Known, options: dict[str, Any], tol: float
) -> None:
    A, rng = dense(known), np.random.default_rng(1)
    p, q = rng.permutation(60), rng.permutation(50)
    expected = whole(complete(A, 3, rng=0, tol=1e-10, **options))
    moved = whole(complete(A[p][:, q], 3, rng=0, tol=1e-10, **options))
    np.testing.assert_allclose(moved, expected[p][:, q], atol=1e-8)
    turned = whole(complete(A.T, 3, rng=0, tol=1e-10, **options))
    np.testing.assert_allclose(turned, expected.T, atol=tol)


@pytest.mark.parametrize("exponent", [-300, -40, 3, 300])
@pytest.mark.parametrize("known", [EXACT, NOISY], ids=["exact", "noisy"])
def test_powers_of_four_change_no_bit(known: Known, exponent: int) -> None:
    i, j, v = triples(known)
    options: dict[str, Any] = {"rng": 0, "tol": 1e-4, "row_bias": True, "col_bias": True}
    first = complete((i, j, v), 3, shape=(60, 50), **options)
    second = complete((i, j, np.ldexp(v, 2 * exponent)), 3, shape=(60, 50), **options)
    np.testing.assert_array_equal(second.U, first.U)
    np.testing.assert_array_equal(second.s, np.ldexp(first.s, 2 * exponent))
    np.testing.assert_array_equal(second.row_bias, np.ldexp(first.row_bias, 2 * exponent))


@pytest.mark.parametrize("factor", [-1.0, 0.37, 1e6])
def test_scaling(factor: float) -> None:
    i, j, v = triples(NOISY)
    first = whole(fit(NOISY))
    second = whole(complete((i, j, factor * v), 3, shape=(60, 50), rng=0, tol=1e-10))
    np.testing.assert_allclose(second, factor * first, atol=1e-5 * abs(factor))


@pytest.mark.parametrize("method", ["auto", "als-cg", "als-chol", "increment"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_recovery(method: str, dtype: Any) -> None:
    i, j, v = triples(EXACT)
    result = complete((i, j, v.astype(dtype)), 3, shape=(60, 50), rng=0, method=method)
    assert result.converged
    assert result.U.dtype == result.V.dtype == result.s.dtype == dtype
    assert EXACT.error(result.U * result.s, result.V) <= (1e-8 if dtype is np.float64 else 1e-5)
    for basis in (result.U, result.V):
        gap = basis.T.astype(float) @ basis - np.eye(3)
        assert np.abs(gap).max() <= 1e2 * np.finfo(dtype).eps
    assert (np.diff(result.s) <= 0).all()


def test_observed_zeros_are_values() -> None:
    i, j, v = triples(EXACT)
    v = np.where(np.arange(v.size) % 7 == 0, 0.0, v)
    A = np.full((60, 50), np.nan)
    A[i, j] = v
    with quiet():
        first = whole(complete(sp.coo_array((v, (i, j)), shape=(60, 50)), 3, rng=0))
        second = whole(complete(A, 3, rng=0))
        third = whole(complete((i[v != 0], j[v != 0], v[v != 0]), 3, shape=(60, 50), rng=0))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - third).max() > 1e-3


def test_biases_and_mean() -> None:
    rng = np.random.default_rng(0)
    i, j, _ = triples(EXACT)
    b, c = rng.standard_normal(60), rng.standard_normal(50)
    truth = 7.0 + b[:, None] + c + 0.3 * np.outer(rng.standard_normal(60), rng.standard_normal(50))
    result = complete(
        (i, j, truth[i, j]),
        1,
        shape=(60, 50),
        center=True,
        row_bias=True,
        col_bias=True,
        rng=0,
        tol=1e-9,
    )
    assert result.rank == 1
    assert result.row_bias.shape == (60,)
    assert result.col_bias.shape == (50,)
    np.testing.assert_allclose(result.offset, truth[i, j].mean())
    assert np.abs(whole(result) - truth).max() <= 1e-3 * np.abs(truth).max()


@pytest.mark.parametrize(("row", "col"), [(True, False), (False, True)])
def test_one_kind_of_bias(row: bool, col: bool) -> None:
    result = fit(NOISY, row_bias=row, col_bias=col, center=True, tol=1e-3)
    assert (result.row_bias is not None, result.col_bias is not None) == (row, col)


def test_the_ridge_is_in_the_units_of_the_data() -> None:
    i, j, v = triples(NOISY)
    options: dict[str, Any] = {"shape": (60, 50), "rng": 0, "tol": 1e-11, "method": "als-chol"}
    options |= {"row_bias": True, "col_bias": True, "max_iter": 3000}
    result = complete((i, j, 5 * v), 3, reg=2.0, **options)

    def objective(*parts: Array) -> float:
        U, V, b, c = parts
        x = np.einsum("tk,tk->t", U[i], V[j]) + b[i] + c[j]
        size = sum(float(np.sum(part**2)) for part in parts)
        return float(np.sum((x - 5 * v) ** 2)) + 2.0 * size

    root = np.sqrt(result.s)
    parts = result.U * root, result.V * root, result.row_bias, result.col_bias
    best = objective(*parts)
    rng = np.random.default_rng(0)
    for _ in range(20):
        for at in range(4):
            near = list(parts)
            near[at] = near[at] + 1e-4 * rng.standard_normal(near[at].shape)
            assert objective(*near) > best


def test_weights() -> None:
    i, j, v = triples(NOISY)
    options: dict[str, Any] = {"shape": (60, 50), "rng": 0, "method": "als-chol", "tol": 1e-9}
    same = complete((i, j, v), 3, reg=1.0, weights=np.full(v.size, 2.0), **options)
    half = complete((i, j, v), 3, reg=0.5, **options)
    np.testing.assert_allclose(whole(same), whole(half), atol=1e-6)
    # Wrong values without weight do no harm.
    wrong = v + np.where(np.arange(v.size) % 9 == 0, 100.0, 0.0)
    none = complete((i, j, wrong), 3, reg=1.0, weights=wrong == v, **options)
    left = wrong == v
    kept = complete((i[left], j[left], v[left]), 3, reg=1.0, **options)
    np.testing.assert_array_equal(whole(none), whole(kept))


def test_ridge_by_count() -> None:
    first = fit(NOISY, reg=0.1, reg_scale="count", method="als-cg")
    second = fit(NOISY, reg=0.1, reg_scale="count", method="als-chol")
    np.testing.assert_allclose(whole(first), whole(second), atol=1e-5)
    assert np.abs(whole(first) - whole(fit(NOISY, reg=0.1, method="als-cg"))).max() > 1e-3


def test_starts() -> None:
    result = fit()
    again = fit(init=result, method="als-cg")
    assert len(again.history) == 1
    pair = fit(init=(result.U * result.s, result.V), method="als-cg")
    assert len(pair.history) <= 2
    np.testing.assert_allclose(whole(pair), whole(result), atol=1e-7)
    random = fit(init="random")
    assert EXACT.error(random.U * random.s, random.V) <= 1e-7


def test_factors_to_begin_from_have_the_rank() -> None:
    result = fit()
    again = fit(rank=None, init=result)
    assert again.rank == result.rank
    assert "rank_errors" not in again.info
    assert again.iterations == 1
    with pytest.raises(InputError, match="`rank` must lie in"):
        fit(rank=None, init=(np.ones((60, 51)), np.ones((50, 51))))


def test_an_entry_that_is_as_predicted_changes_nothing() -> None:
    i, j, v = triples(EXACT)
    first = fit()
    unseen = np.flatnonzero(np.isnan(dense(EXACT)))[::7]
    a, b = np.divmod(unseen, 50)
    more = np.append(i, a), np.append(j, b), np.append(v, first.predict(a, b))
    second = first.update(more, shape=(60, 50), rng=0)
    assert second.iterations == 1
    assert second.converged
    np.testing.assert_allclose(whole(second), whole(first), atol=1e-8)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.bool_, ">i2"])
def test_small_integers_do_not_overflow(dtype: Any) -> None:
    gen = np.random.default_rng(0)
    top = 1 if dtype is np.bool_ else 127
    A = (top * np.outer(gen.random(30) < 0.7, gen.random(20) < 0.7)).astype(dtype)
    mask = gen.random(A.shape) < 0.7
    found = complete(A, 1, mask=mask, rng=0)
    assert found.U.dtype == np.float64
    np.testing.assert_allclose(whole(found), A.astype(float), atol=1e-6 * top)


@pytest.mark.parametrize("method", ["auto", "als-cg", "als-chol"])
def test_few_values_do_not_pass_for_noise_unseen(method: str) -> None:
    found = whole(complete([[1.5, 2.0], [2.0, 3.0]], 1, method=method, rng=0))
    np.testing.assert_allclose(found, [[1.5, 2.0], [2.0, 3.0]], atol=0.1)
    toy = np.array([[5.0, 3, 0, 1], [4, 0, 0, 1], [1, 1, 0, 5], [1, 0, 0, 4], [0, 1, 5, 4]])
    with pytest.warns(AccuracyWarning, match="may be noise"):
        found = whole(complete(toy, 1, method=method, rng=0))
    np.testing.assert_allclose(found, 0.0, atol=1e-6)
    kept = whole(complete(toy, 1, method=method, reg=0.1, rng=0))
    assert np.linalg.norm(toy - kept) < 0.8 * np.linalg.norm(toy)


def test_one_row_says_nothing_of_what_is_missing() -> None:
    for method in ("auto", "als-chol", "increment", "gauss-newton", "irls", "scaled-gd"):
        found = complete([[1.0, np.nan, 3.0]], 1, method=method, rng=0).to_dense()
        np.testing.assert_allclose(found, [[1.0, np.nan, 3.0]], atol=1e-5)


def test_validation() -> None:
    known = low_rank(80, 70, 3, 6.0, noise=0.5, seed=5)
    early = fit(known, validation=0.1, reg=0.0, method="als-cg", tol=1e-9, rank=6)
    assert early.reason == "held-out"
    errors = [record.held_out for record in early.history]
    assert np.isfinite(errors).all()
    assert len(errors) < 100
    # The best factors are returned, not the last.
    rng = np.random.default_rng(0)
    i, j = rng.integers(0, 80, 500), rng.integers(0, 70, 500)
    key = np.unique(i * 70 + j)
    i, j = key // 70, key % 70
    judge = i, j, np.einsum("tk,tk->t", known.U[i], known.V[j])
    judged = fit(known, validation=judge, reg=0.0, method="als-cg", tol=1e-9, rank=6)
    error = np.sqrt(np.mean((judged.predict(i, j) - judge[2]) ** 2))
    scale = 4.0 ** np.round(np.log2(np.sqrt(np.mean(triples(known)[2] ** 2))) / 2)
    least = min(record.held_out for record in judged.history)
    np.testing.assert_allclose(error / scale, least, rtol=1e-3)


@pytest.mark.parametrize(
    "method",
    ["auto", "als-cg", "als-chol", "increment", "gauss-newton", "irls", "scaled-gd"],
)
def test_the_best_factors_are_returned_whatever_the_method(method: str) -> None:
    known = low_rank(120, 100, 3, 6.0, noise=0.5, seed=2)
    gen = np.random.default_rng(0)
    i, j = gen.integers(0, 120, 400), gen.integers(0, 100, 400)
    key = np.unique(i * 100 + j)
    i, j = key // 100, key % 100
    truth = np.einsum("tk,tk->t", known.U[i], known.V[j])
    with quiet():
        found = fit(known, rank=8, method=method, tol=1e-6, validation=(i, j, truth))
    error = np.sqrt(np.mean((found.predict(i, j) - truth) ** 2))
    errors = [step.held_out for step in found.history]
    np.testing.assert_allclose(error, min(errors), rtol=1e-3)
    # A rank that shows no more is not the end of those that add one after the other.
    assert error < 0.3 or method in {"irls", "scaled-gd"}


@pytest.mark.parametrize("method", ["als-cg", "increment", "gauss-newton", "scaled-gd"])
def test_entries_of_a_check_are_fitted_in_the_end(method: str) -> None:
    """Few entries: a hundredth is held out until the data turn out to be noisy."""
    known = low_rank(150, 120, 3, 2.5, noise=0.05, seed=1)
    options = {"method": method, "tol": 1e-7}
    found, without = fit(known, **options), fit(known, validation=0, **options)
    held = np.isfinite([step.held_out for step in found.history])
    assert held[0]
    assert not held[-1]
    assert (np.diff(held.astype(int)) <= 0).all()
    np.testing.assert_allclose(whole(found), whole(without), atol=1e-3)


def test_soft_impute_chooses_a_penalty_and_fits_everything() -> None:
    known = low_rank(120, 100, 3, 6.0, noise=0.5, seed=2)
    options: dict[str, Any] = {"method": "soft-impute", "rank": 8, "tol": 1e-7}
    found = fit(known, validation=0.1, **options)
    errors = np.array([step.held_out for step in found.history])
    assert np.isnan(errors[-1])
    penalty = found.penalties[0]
    assert penalty is not None
    reg = float(penalty.matrix[0, 0] * found.s[0])
    again = fit(known, reg=reg, **options)
    np.testing.assert_allclose(whole(found), whole(again), atol=1e-4)
    i, j, v = triples(known)
    new = found.fold_in_rows((i, j, v), shape=(120, 100))
    np.testing.assert_allclose(new.to_dense(), whole(found), atol=1e-4)


@given(seeds, st.sampled_from((0.02, 0.2, 0.5)), st.integers(1, 8))
def test_what_is_held_out(seed: int, share: float, least: int) -> None:
    observed = low_rank(30, 20, 2, 4.0, seed=seed % 50).observed
    left, held = hold_out(observed, share, least, np.random.default_rng(seed))
    assert held.values.size <= round(share * observed.count)
    assert left.count + held.values.size == observed.count
    for now, before in (
        (left.rows.counts, observed.rows.counts),
        (left.columns.counts, observed.columns.counts),
    ):
        assert (now >= np.minimum(before, least)).all()
    A, B = (np.zeros((30, 20)) for _ in range(2))
    for side, out in ((observed, A), (left, B)):
        out[np.repeat(np.arange(30), side.rows.counts), side.rows.indices] = side.rows.values
    B[held.rows, held.columns] = held.values
    np.testing.assert_array_equal(A, B)


def test_a_fit_that_others_equal_is_not_called_converged() -> None:
    # Rows with fewer entries than the rank: exact fits are many.
    known = low_rank(60, 50, 4, 1.1, least=1, seed=1)
    with pytest.warns((AccuracyWarning, ConvergenceWarning)):
        result = complete(triples(known), 4, shape=(60, 50), rng=0, reg=0.0)
    assert not result.converged
    for method in ("als-cg", "als-chol", "increment"):
        with pytest.warns((AccuracyWarning, ConvergenceWarning)):
            result = complete(
                triples(known), 4, shape=(60, 50), rng=0, reg=0.0, method=method, max_iter=50
            )
        if result.converged:
            assert known.error(result.U * result.s, result.V) <= 1e-4


@pytest.mark.filterwarnings("ignore:there are fewer entries than unknowns")
@pytest.mark.parametrize("method", ["gauss-newton", "irls", "scaled-gd"])
def test_exact_fits_with_fewer_entries_than_unknowns_are_not_called_converged(method: str) -> None:
    known = low_rank(12, 10, 3, 1.4, least=3)
    with pytest.warns(ConvergenceWarning, match="other matrices"):
        result = fit(known, rank=9, method=method, tol=1e-6)
    assert result.reason == "not identified"


@pytest.mark.parametrize("seed", range(3))
def test_weights_are_not_in_the_way_of_an_exact_fit(seed: int) -> None:
    known = low_rank(60, 50, 3, 2.0, seed=seed)
    weights = 10.0 ** np.random.default_rng(0).uniform(-3, 3, known.observed.count)
    result = fit(known, weights=weights)
    assert result.reason == "residual"
    assert known.error(result.U * result.s, result.V) <= 1e-6


def test_components_that_have_died_out_are_no_other_fits() -> None:
    known = low_rank(60, 50, 3, 2.4, seed=1)
    result = fit(known, rank=4, method="als-cg", validation=0)
    assert result.reason == "residual"
    assert result.s[3] <= 1e-8 * result.s[0]
    assert known.error(result.U * result.s, result.V) <= 1e-7


def test_values_near_the_end_of_the_range() -> None:
    i, j, v = triples(EXACT)
    for factor in (1e304, 1e-306):
        large = complete((i, j, factor * v), 3, shape=(60, 50), rng=0)
        np.testing.assert_allclose(large.to_dense() / factor, whole(fit()), atol=1e-7)
    signs = np.where(np.isnan(dense(EXACT)), np.nan, np.finfo(float).max)
    with pytest.raises(NumericalError, match="singular values of the fit overflow float64"):
        complete(signs, 1, rng=0)
    single = np.full((30, 30), 1e38, np.float32)
    with pytest.raises(NumericalError, match="overflow float32"):
        complete(single, 1, rng=0)
    signs[::2] *= -1.0
    with pytest.raises(NumericalError, match="less their mean overflow float64"):
        complete(np.abs(signs), 1, center=True, rng=0)


def test_threads_change_no_bit() -> None:
    known = low_rank(500, 400, 6, 5.0, noise=0.1, seed=2)
    found = []
    for threads in (1, 2):
        with thread_limit(threads):
            found.append(fit(known, rank=10, tol=1e-3))
    np.testing.assert_array_equal(found[0].U, found[1].U)
    np.testing.assert_array_equal(found[0].s, found[1].s)
    assert [r.residual for r in found[0].history] == [r.residual for r in found[1].history]


def test_callback_and_iterations() -> None:
    seen: list[int] = []

    def stop(progress: Any) -> bool:
        seen.append(progress.step)
        return len(seen) == 4

    with pytest.warns(ConvergenceWarning, match="callback"):
        result = fit(callback=stop)
    assert seen == [1, 2, 3, 4]
    assert result.reason == "callback"
    assert not result.converged
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        assert len(fit(max_iter=3).history) == 3


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_values(value: float) -> None:
    i, j, v = triples(EXACT)
    for center in (False, True):
        result = complete((i, j, np.full(v.size, value)), 1, shape=(60, 50), center=center, rng=0)
        assert result.converged
        np.testing.assert_allclose(whole(result), value, atol=1e-8)


@pytest.mark.parametrize("shape", [(1, 30), (30, 1), (1, 1), (2, 30)])
def test_thin_matrices(shape: tuple[int, int]) -> None:
    A = np.outer(np.arange(1.0, shape[0] + 1), np.arange(1.0, shape[1] + 1))
    result = complete(A, 1, rng=0)
    np.testing.assert_allclose(whole(result), A, rtol=1e-6)


def test_a_row_with_a_third_of_all_entries() -> None:
    rng = np.random.default_rng(0)
    truth = np.outer(1 + rng.random(60), 1 + rng.random(300))
    mask = rng.random(truth.shape) < 600 / truth.size
    mask[7] = True
    assert mask[7].sum() > 0.3 * mask.sum()
    A = np.where(mask, truth + 0.01 * rng.standard_normal(mask.shape), np.nan)
    result = complete(A, 1, rng=0)
    assert np.abs(whole(result) - truth).max() < 0.2


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"rank": 0}, InputError, "`rank`"),
        ({"rank": 51}, InputError, "`rank`"),
        ({"rank": 2.0}, InputTypeError, "`rank`"),
        ({"method": "magic"}, InputError, "`method`"),
        ({"reg": -1.0}, InputError, "`reg`"),
        ({"reg": "much"}, InputTypeError, "`reg`"),
        ({"reg": "0.1"}, InputTypeError, "`reg`"),
        ({"validation": "0.1"}, InputTypeError, "`validation`"),
        ({"reg": np.nan}, InputError, "`reg`"),
        ({"reg_scale": "rows"}, InputError, "`reg_scale`"),
        ({"tol": 0.0}, InputError, "`tol`"),
        ({"max_iter": 0}, InputError, "`max_iter`"),
        ({"validation": 0.9}, InputError, "`validation`"),
        ({"validation": ([0], [0], [np.nan])}, InputError, "`validation`"),
        ({"validation": ([0], [0])}, InputError, "`validation` must be a number or a tuple"),
        ({"validation": "some"}, InputTypeError, "`validation` must be a number or a tuple"),
        ({"validation": ([60], [0], [1.0])}, InputError, r"`validation\[0\]` must lie in"),
        ({"callback": 3}, InputTypeError, "`callback` must be a function or None"),
        ({"init": "zeros"}, InputError, "`init`"),
        ({"init": 3}, InputError, "`init`"),
        ({"init": (np.ones((60, 2)), np.ones((50, 3)))}, InputError, "`init`"),
        ({"init": (np.ones(60), np.ones(50))}, InputError, "`init` must hold two matrices"),
        ({"init": (np.full((60, 3), np.nan), np.ones((50, 3)))}, InputError, "`init`"),
        ({"loss": "absolute"}, InputError, "`loss`"),
        ({"method": "irls", "row_bias": True}, InputError, "`row_bias`"),
        (
            {"method": "irls", "reg": 1.0},
            InputError,
            "`reg` must be 'auto' or 0 with method 'irls'",
        ),
        ({"method": "soft-impute", "reg": 0}, InputError, "`reg` must be 'auto' or positive"),
        ({"method": "scaled-gd", "reg_scale": "count"}, InputError, "`reg_scale` must be 'none'"),
        ({"method": "gauss-newton", "reg_scale": "count"}, InputError, "`reg_scale`"),
        ({"row_bias": np.ones(60)}, InputTypeError, "`row_bias` must be True or False"),
        ({"center": "no"}, InputTypeError, "`center` must be True or False, got 'no'"),
        ({"init": (1j * np.ones((60, 3)), np.ones((50, 3)))}, InputTypeError, "`init`.*complex128"),
        ({"init": (np.full((60, 3), "a"), np.ones((50, 3)))}, InputTypeError, "`init`"),
        ({"init": (np.zeros((60, 3)), np.ones((50, 3)))}, InputError, "`init`.*not zero"),
        ({"weights": -np.ones(3)}, InputError, "`weights`"),
    ],
)
def test_bad_arguments(change: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        fit(**change)


def test_votes_to_judge_by_are_votes() -> None:
    i, j, v = triples(EXACT)
    votes = i, j, (v > 0).astype(float)
    with pytest.raises(InputError, match="of `validation` must be 0 or 1 for loss 'logit'"):
        complete(votes, 2, shape=(60, 50), loss="logit", validation=([0], [0], [5.0]))


def test_a_fit_of_zeros_can_be_updated() -> None:
    i, j, v = triples(EXACT)
    none = complete((i, j, 0 * v), 3, shape=(60, 50), rng=0)
    again = none.update((i, j, v), shape=(60, 50), rng=0)
    assert EXACT.error(again.U * again.s, again.V) <= 1e-7


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_fewer_components_than_asked_for_are_refined_as_they_are(seed: int) -> None:
    """Entries held out for a check may say that a rank below the last is the best."""
    gen = np.random.default_rng(seed)
    X = gen.standard_normal((11, 10))
    known = np.abs(np.arange(11)[:, None] / 11 - np.arange(10) / 10) < 0.4
    X = gen.standard_normal((11, 4)) @ gen.standard_normal((4, 10))
    with quiet():
        found = complete(np.where(known, X, np.nan), 3, method="increment", rng=0)
    assert found.rank < 3
    assert np.isnan(found.history[-1].held_out)  # all are fitted in the end
    assert np.isfinite(found.to_dense()).all()


def test_too_few_entries() -> None:
    known = low_rank(40, 30, 5, 0.9, least=1, seed=0)
    with pytest.raises(InputError, match="degrees of freedom"):
        fit(known, rank=5, reg=0.0)
    with pytest.warns(AccuracyWarning), quiet():
        assert np.isfinite(whole(fit(known, rank=5))).all()
    with pytest.raises(InputError, match="observed entries"):
        complete(np.full((4, 4), np.nan), 1)
