"""What every method must keep to: forms of input, units, threads, and awkward patterns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import AccuracyWarning, complete, thread_limit
from lowapprox.completion import CompletionResult
from lowapprox.completion.complete import METHODS
from tests.completion.problems import Known, low_rank
from tests.strategies import quiet, seeds

Array = np.ndarray[Any, Any]

every_method = pytest.mark.parametrize("method", METHODS)
EXACT = low_rank(40, 30, 2, 4.0, seed=1)
NOISY = low_rank(40, 30, 2, 5.0, noise=0.1, seed=2)


def triples(known: Known) -> tuple[Array, Array, Array]:
    rows = known.observed.rows
    return np.repeat(np.arange(rows.counts.size), rows.counts), rows.indices, rows.values


def dense(known: Known) -> Array:
    out = np.full(known.observed.shape, np.nan)
    i, j, v = triples(known)
    out[i, j] = v
    return out


def ridge(method: str, size: float = 1.0) -> dict[str, Any]:
    """Options for a ridge that the method knows."""
    return {"method": method, "rng": 0, "reg": "auto" if method == "irls" else size}


@every_method
def test_every_form_gives_the_same_bits(method: str) -> None:
    (i, j, v), A = triples(NOISY), dense(NOISY)
    order = np.random.default_rng(0).permutation(v.size)
    coo = sp.coo_array((v[order], (i[order], j[order])), shape=A.shape)
    mask = ~np.isnan(A)
    forms: list[tuple[Any, dict[str, Any]]] = [
        (coo, {}),
        (sp.csr_array((v, (i, j)), shape=A.shape), {}),
        (sp.csc_array((v, (i, j)), shape=A.shape), {}),
        (np.asfortranarray(A), {}),
        (np.repeat(np.repeat(A, 2, axis=0), 3, axis=1)[::2, ::3], {}),
        (A[::-1].copy()[::-1], {}),
        (np.where(mask, A, np.inf), {"mask": mask}),
        (np.ma.masked_invalid(A), {}),
        (A.tolist(), {}),
        ((i[order].astype(np.uint64), j[order].astype(np.int8), v[order]), {"shape": A.shape}),
    ]
    with quiet():
        wanted = complete(A, 2, **ridge(method))
        for form, more in forms:
            found = complete(form, 2, **ridge(method), **more)
            np.testing.assert_array_equal(found.U, wanted.U)
            np.testing.assert_array_equal(found.s, wanted.s)


def locked(*arrays: Array) -> None:
    for x in arrays:
        x.flags.writeable = False


@every_method
def test_nothing_that_is_given_is_written_to(method: str) -> None:
    (i, j, v), A, w = triples(NOISY), dense(NOISY), NOISY.observed.rows.values**2 + 0.1
    i, j, v, w = (x.copy() for x in (i, j, v, w))
    U, V = EXACT.U.copy(), EXACT.V.copy()
    judge = i[:9].copy(), j[:9].copy(), v[:9].copy()
    csr = sp.csr_array((v, (i, j)), shape=A.shape)
    heavy = sp.csr_array((w, (i, j)), shape=A.shape)
    mask = ~np.isnan(A)
    locked(i, j, v, w, A, U, V, *judge, mask)
    for S in (csr, heavy):
        locked(S.data, S.indices, S.indptr)
    options = {**ridge(method), "max_iter": 3}
    with quiet():
        complete((i, j, v), 2, shape=A.shape, weights=w, center=True, validation=judge, **options)
        complete(csr, 2, weights=heavy, center=True, init=(U, V), **options)
        complete(A, 2, mask=mask, init=(U, V), center=True, **options)
        fit = complete(A, 2, weights=A.clip(0.1, 2), **options)
        locked(fit.U, fit.s, fit.V)
        fit.update(csr, rng=0)
        fit.fold_in_rows(csr, weights=heavy)
        fit.fold_in_cols(csr)


@every_method
@pytest.mark.parametrize("power", [-300, -9, 150])
def test_units_of_values_and_weights_change_no_bit(method: str, power: int) -> None:
    A = dense(NOISY)
    w = np.random.default_rng(0).uniform(0.5, 2.0, A.shape)
    unit, weight = 4.0**power, 2.0**-power
    with quiet():
        one = complete(A, 2, weights=w, **ridge(method))
        # The ridge is in the units of the values times that of the weights.
        two = complete(unit * A, 2, weights=weight * w, **ridge(method, unit * weight))
    np.testing.assert_array_equal(two.U, one.U)
    np.testing.assert_array_equal(two.s, unit * one.s)
    assert two.history[-1].residual == one.history[-1].residual
    new = one.fold_in_rows(A[:5], weights=w[:5])
    again = two.fold_in_rows(unit * A[:5], weights=weight * w[:5])
    np.testing.assert_allclose(again.to_dense() / unit, new.to_dense(), rtol=1e-9)


@pytest.mark.parametrize("options", [{"reg_scale": "count"}, {"row_bias": True}, {"nonneg": True}])
def test_units_of_weights_with_other_models(options: dict[str, Any]) -> None:
    A = np.abs(dense(NOISY))
    w = np.random.default_rng(0).uniform(0.5, 2.0, A.shape)
    one = complete(A, 2, weights=w, reg=0.1, rng=0, tol=1e-9, **options)
    unit = 1.0 if "reg_scale" in options else 1024.0  # counts are sums of weights
    two = complete(A, 2, weights=1024.0 * w, reg=0.1 * unit, rng=0, tol=1e-9, **options)
    np.testing.assert_array_equal(two.U, one.U)
    X = one.to_dense()
    for fit, size in ((one, 1.0), (two, 1024.0)):
        new = fit.fold_in_rows(A, weights=size * w)
        np.testing.assert_allclose(new.to_dense(), X, atol=1e-5)


@every_method
def test_patterns_that_are_awkward(method: str) -> None:
    gen = np.random.default_rng(0)
    X = np.outer(gen.integers(1, 6, 30), gen.integers(-4, 5, 40)).astype(np.int8)
    known = gen.random(X.shape) < 0.25
    known[7] = True  # a sixth of the entries; the next one has none
    known[8], known[:, 5] = False, False
    with quiet():
        fit = complete(X, 1, mask=known, method=method, rng=0)
    assert (fit.diagnostics.empty_rows, fit.diagnostics.empty_cols) == (1, 1)
    found = fit.to_dense()
    assert np.isnan(found[8]).all()
    assert np.isnan(found[:, 5]).all()
    inner = np.delete(np.delete(np.arange(X.size).reshape(X.shape), 8, 0), 5, 1)
    gap = np.abs(found - X).ravel()[inner].max()
    assert gap <= (10.0 if method == "soft-impute" else 1e-6)  # of values up to 20
    assert found.dtype == np.float64


@every_method
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (3, 3)])
@pytest.mark.parametrize("value", [0.0, -2.5])
def test_smallest_matrices(method: str, shape: tuple[int, int], value: float) -> None:
    fit = complete(np.full(shape, value), 1, method=method, rng=0)
    assert fit.converged
    np.testing.assert_allclose(fit.to_dense(), value, atol=0.01)
    assert fit.iterations >= 1


@every_method
@pytest.mark.filterwarnings("ignore:`complete`. all values of `A` may be noise")
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (3, 3)])
@pytest.mark.parametrize("value", [0.0, -2.5])
def test_a_single_entry(method: str, shape: tuple[int, int], value: float) -> None:
    one = np.full(shape, np.nan)
    one[-1, 0] = value
    with quiet():
        found = complete(one, 1, method=method, rng=0).to_dense()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(one))
    assert abs(found[-1, 0]) <= abs(value) * (1 + 1e-9)
    centred = complete(one, 1, method=method, rng=0, center=True)
    assert centred.converged
    assert centred.predict(shape[0] - 1, 0) == value


@every_method
@pytest.mark.parametrize("init", ["random", "pair", "result"])
def test_starts_are_where_it_begins(method: str, init: str) -> None:
    A = dense(EXACT)
    fit = complete(A, 2, method="auto", rng=0)
    starts = {"random": "random", "pair": (fit.U * fit.s, fit.V), "result": fit}
    found = complete(A, 2, method=method, rng=0, init=starts[init])
    assert found.converged
    assert found.iterations >= 1
    truth = EXACT.U @ EXACT.V.T
    gap = np.linalg.norm(found.to_dense() - truth) / np.linalg.norm(truth)
    assert gap <= (0.02 if method == "soft-impute" else 1e-7)
    if init != "random" and method not in {"soft-impute", "irls"}:
        assert found.iterations <= 2
    again = found.update(A, rng=0)
    assert again.converged
    np.testing.assert_allclose(again.to_dense(), truth, atol=0.2)


@pytest.mark.large
@every_method
def test_threads_change_no_bit(method: str) -> None:
    known = low_rank(400, 300, 8, 6.0, seed=2)  # large enough for the kernels
    A, results = triples(known), []
    options: dict[str, Any] = {"method": method, "shape": (400, 300), "rng": 0, "max_iter": 12}
    for threads in (1, 2, 4):
        with thread_limit(threads), quiet():
            results.append(complete(A, 8, **options))
    for other in results[1:]:
        np.testing.assert_array_equal(other.U, results[0].U)
        np.testing.assert_array_equal(other.V, results[0].V)
        steps = [(r.residual, r.rank, r.method) for r in other.history]
        assert steps == [(r.residual, r.rank, r.method) for r in results[0].history]


@pytest.mark.filterwarnings("ignore::lowapprox.AccuracyWarning")
@given(
    seeds,
    st.sampled_from(sorted(METHODS)),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([1e-30, 1.0, 1e30]),
    st.booleans(),
    st.sampled_from([None, 0.2]),
)
def test_what_is_known_of_is_finite_and_nothing_else_is(
    seed: int, method: str, dtype: Any, size: float, weighted: bool, validation: Any
) -> None:
    gen = np.random.default_rng(seed)
    m, n = gen.integers(1, 16, 2)
    known = gen.random((m, n)) < gen.choice([0.1, 0.3, 0.7, 1.0])
    known[gen.integers(0, m), gen.integers(0, n)] = True
    A = np.where(known, size * gen.standard_normal((m, n)), np.nan).astype(dtype)
    options: dict[str, Any] = {"rng": 0, "max_iter": 40, "method": method}
    if weighted:
        options["weights"] = 10.0 ** gen.uniform(-4, 4, A.shape)
    rank = int(gen.integers(1, min(m, n) + 1))
    with quiet():
        fit: CompletionResult = complete(A, rank, validation=validation, **options)
    d, found = fit.diagnostics, fit.to_dense()
    inside = (d.row_component[:, None] == d.col_component) & (d.row_component[:, None] >= 0)
    assert inside[known].all()
    assert np.array_equal(np.isfinite(found), inside)
    assert found.dtype == dtype
    assert np.isfinite([r.residual for r in fit.history]).all()
    assert (fit.s >= 0).all()
    assert fit.rank <= rank


def test_few_values_tell_no_rank() -> None:
    """Any values at the entries of a tree are those of a matrix of rank one."""
    chain = np.full((5, 5), np.nan)
    i = np.arange(5)
    chain[i, i] = [1.0, -2, 3, 5, 7]
    chain[i[1:], i[:-1]] = [4.0, 1, -1, 2]
    with pytest.warns(AccuracyWarning, match="no more entries than unknowns"):
        fit = complete(chain, rng=0)
    assert fit.rank == 1


def test_all_methods_agree_where_all_converge() -> None:
    A, truth = dense(EXACT), EXACT.U @ EXACT.V.T
    for method in METHODS:
        if method != "soft-impute":
            fit = complete(A, 2, method=method, rng=0)
            assert fit.converged
            np.testing.assert_allclose(fit.to_dense(), truth, atol=1e-7)
    A = dense(NOISY)
    wanted = complete(A, 2, method="als-chol", reg=1.0, tol=1e-9, rng=0).to_dense()
    for method in METHODS:
        if method != "irls":
            with quiet():  # the last digits of Gauss-Newton are rounding
                found = complete(A, 2, method=method, reg=1.0, tol=1e-8, rng=0).to_dense()
            np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("method", [m for m in METHODS if m not in {"irls", "soft-impute"}])
def test_all_entries_without_a_ridge_give_the_truncated_svd(method: str) -> None:
    known = low_rank(40, 30, 5, 1e9, noise=0.3, condition=2.0)
    A = dense(known)
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    best = (U[:, :4] * s[:4]) @ Vh[:4]
    with quiet():
        fit = complete(A, 4, method=method, reg=0, tol=1e-12, rng=0)
    assert np.linalg.norm(fit.to_dense() - best) <= 1e-8 * np.linalg.norm(best)
    np.testing.assert_allclose(fit.s, s[:4], rtol=1e-10)


@pytest.mark.parametrize("rank", [3, 6])
def test_no_ridge_is_none_whatever_has_helped_to_find_the_fit(rank: int) -> None:
    """Components that the learned ridge would let die out are there, too."""
    known = low_rank(60, 50, 3, 8.0, noise=0.3, seed=1)
    fits = [
        complete(dense(known), rank, method=method, reg=0, tol=1e-6, rng=0)
        for method in ("auto", "als-chol")
    ]
    gaps = [
        np.linalg.norm((fit.to_dense() - dense(known))[~np.isnan(dense(known))]) for fit in fits
    ]
    assert fits[0].converged
    assert fits[0].s[-1] > 0.05 * fits[0].s[0]
    assert gaps[0] <= (1 + 1e-3) * gaps[1]
