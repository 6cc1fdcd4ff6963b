"""New rows, more entries and files of results that `complete` has found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from lowapprox import InputError, complete
from lowapprox.completion import CompletionResult
from lowapprox.completion.observations import Observations
from lowapprox.completion.sorting import row_numbers
from tests.completion.problems import low_rank

Array = np.ndarray[Any, Any]


def sparse(observed: Observations, factor: float = 1.0) -> Any:
    rows = observed.rows
    return sp.csr_array((factor * rows.values, rows.indices, rows.indptr), shape=observed.shape)


def gap(A: Array, B: Array) -> float:
    return float(np.abs(A - B).max() / np.abs(B).max())


@pytest.mark.parametrize(
    "options",
    [
        {"reg": 2.0},
        {"reg": 2.0, "row_bias": True, "col_bias": True, "center": True},
        {"reg": 1.0, "row_bias": True},
        {"reg": 1.0, "col_bias": True, "method": "als-chol"},
        {"reg": 0.05, "reg_scale": "count"},
        {"reg": 1.0, "method": "gauss-newton", "tol": 1e-6},
    ],
    ids=str,
)
@pytest.mark.parametrize("factor", [1.0, 1e-5, 1e7])
def test_rows_of_the_fit_are_folded_in_as_they_are(options: dict[str, Any], factor: float) -> None:
    observed = low_rank(80, 60, 3, 5.0, noise=0.3).observed
    scaled = {**options, "reg": options["reg"] * factor}  # in the units of the data
    A = sparse(observed, factor)
    fit = complete(A, 3, rng=0, **{"tol": 1e-10, **scaled})
    assert fit.converged
    X = fit.to_dense()
    assert gap(fit.fold_in_rows(A).to_dense(), X) <= 1e-6
    assert gap(fit.fold_in_cols(A).to_dense(), X) <= 1e-6
    part = fit.fold_in_rows(A[5:9])
    np.testing.assert_allclose(part.to_dense(), X[5:9], atol=1e-6 * np.abs(X).max())


def test_rows_with_other_losses() -> None:
    known = low_rank(80, 60, 2, 6.0, noise=0.1).observed
    gen = np.random.default_rng(0)
    rows = known.rows
    outliers = np.where(gen.random(rows.values.size) < 0.1, 8.0, 0.0)
    huber = sp.csr_array((rows.values + outliers, rows.indices, rows.indptr), shape=known.shape)
    odds = 1.0 / (1.0 + np.exp(-3.0 * rows.values))
    votes = (gen.random(odds.size) < odds).astype(float)
    logit = sp.csr_array((votes, rows.indices, rows.indptr), shape=known.shape)
    for A, options in (
        (huber, {"loss": "huber", "reg": 0.5, "row_bias": True}),
        (1e6 * huber, {"loss": "huber", "reg": 5e5}),
        (logit, {"loss": "logit", "reg": 2.0, "col_bias": True}),
    ):
        fit = complete(A, 2, rng=0, tol=1e-9, **options)
        assert fit.converged
        assert (fit.threshold < np.inf) == (options["loss"] == "huber")
        X = fit.to_dense()
        assert gap(fit.fold_in_rows(A).to_dense(), X) <= 1e-5
        assert gap(fit.fold_in_cols(A).to_dense(), X) <= 1e-5


def test_nonnegative_rows() -> None:
    gen = np.random.default_rng(0)
    X = gen.gamma(0.5, size=(60, 2)) @ gen.gamma(0.5, size=(2, 40))
    A = np.where(gen.random(X.shape) < 0.5, X + 0.05 * gen.standard_normal(X.shape), np.nan)
    fit = complete(A, 2, nonneg=True, reg=0.1, rng=0, tol=1e-10)
    new, beside = fit.fold_in_rows(A), fit.fold_in_cols(A)
    assert (new.U >= 0).all()
    assert (beside.V >= 0).all()
    assert fit.nonneg
    assert gap(new.to_dense(), fit.to_dense()) <= 1e-5
    assert gap(beside.to_dense(), fit.to_dense()) <= 1e-5


@pytest.mark.parametrize(("method", "tol"), [("als-cg", 1e-4), ("als-chol", 1e-12)])
def test_with_the_learned_ridge(method: str, tol: float) -> None:
    exact = low_rank(80, 60, 3, 5.0)
    A = sparse(exact.observed)
    fit = complete(A, 3, method=method, rng=0)
    assert gap(fit.fold_in_rows(A).to_dense(), exact.U @ exact.V.T) <= 1e-7
    # Columns were solved for last, with the ridge that fold-in takes. The ridge of the rows is not
    # one of the same objective: V moves on along the factors of the same product.
    A = sparse(low_rank(80, 60, 3, 5.0, noise=0.3).observed)
    fit = complete(A, 3, method=method, rng=0, tol=1e-10)
    assert gap(fit.fold_in_cols(A).to_dense(), fit.to_dense()) <= tol
    assert gap(fit.fold_in_rows(A).to_dense(), fit.to_dense()) <= 1e-3


def test_new_rows_of_an_exact_matrix() -> None:
    known = low_rank(200, 60, 3, 5.0)
    X = known.U @ known.V.T
    rows = known.observed.rows
    A = sparse(known.observed)
    fit = complete(A[:150], 3, rng=0)
    new = fit.fold_in_rows(A[150:])
    assert gap(new.to_dense(), X[150:]) <= 1e-6
    i = row_numbers(rows)[rows.indptr[150] :] - 150
    j, v = rows.indices[rows.indptr[150] :], rows.values[rows.indptr[150] :]
    assert gap(new.predict(i, j), v) <= 1e-6


def test_update_begins_where_the_fit_ended() -> None:
    known = low_rank(120, 90, 3, 5.0, noise=0.05)
    A = sparse(known.observed)
    options = {"reg": 0.5, "row_bias": True, "col_bias": True, "center": True, "tol": 1e-8}
    part = complete(A[:100, :80], 3, rng=0, **options)
    cold = complete(A, 3, rng=0, **options)
    warm = part.update(A, rng=0)
    assert warm.shape == (120, 90)
    assert warm.info["options"] == cold.info["options"]
    assert gap(warm.to_dense(), cold.to_dense()) <= 1e-4
    again = cold.update(A)
    assert again.iterations <= 0.2 * cold.iterations
    assert gap(again.to_dense(), cold.to_dense()) <= 1e-6
    first = warm.history[0].residual
    assert first <= 1.1 * cold.history[-1].residual
    stored = cold.update(A, method="als-chol", tol=1e-4)
    assert stored.info["options"] == {**cold.info["options"], "method": "als-chol", "tol": 1e-4}
    with pytest.raises(InputError, match="`A_more` must have at least 120 rows and 90 columns"):
        cold.update(A[:100])
    for name in ("rank", "init"):
        with pytest.raises(InputError, match=f"`{name}` must be left out"):
            cold.update(A, **{name: 4})


def test_updates_of_new_rows_and_of_a_transpose_keep_the_model() -> None:
    known = low_rank(120, 90, 3, 5.0, noise=0.05)
    A = sparse(known.observed)
    shift = 2.0 * np.arange(120.0) / 120.0
    A.data += shift[np.repeat(np.arange(120), np.diff(A.indptr))]
    fit = complete(A, 3, reg=0.5, row_bias=True, tol=1e-8, rng=0)
    turned = fit.T.update(A.T.tocsr(), rng=0)
    assert turned.row_bias is None
    assert gap(turned.T.to_dense(), fit.to_dense()) <= 1e-5
    new = fit.fold_in_rows(A[:60])
    assert new.info["options"] == fit.info["options"]
    columns = fit.fold_in_cols(A[:, :50])
    assert columns.info["options"] == fit.info["options"]
    assert gap(columns.update(A[:, :50], rng=0).row_bias, fit.row_bias) < 0.5


def test_stored_fits_go_on(tmp_path: Path) -> None:
    A = sparse(low_rank(60, 50, 2, 5.0, noise=0.1).observed)
    fit = complete(A, 2, row_bias=True, rng=0)
    fit.save(tmp_path / "fit.npz")
    again = CompletionResult.load(tmp_path / "fit.npz")
    assert again.info["options"] == fit.info["options"]
    np.testing.assert_array_equal(again.fold_in_rows(A).U, fit.fold_in_rows(A).U)
    np.testing.assert_array_equal(again.update(A, rng=0).U, fit.update(A, rng=0).U)


@pytest.mark.filterwarnings("ignore:the entries fall into 2 parts")
def test_parts_are_fitted_as_if_they_were_alone() -> None:
    first, second = low_rank(40, 30, 2, 5.0, seed=1), low_rank(30, 30, 2, 5.0, seed=2)
    A = sp.block_array(
        [[sparse(first.observed), None], [None, sparse(second.observed)]], format="csr"
    )
    fit = complete(A, 2, rng=0)
    X = fit.to_dense()
    assert fit.diagnostics.components == 2
    assert gap(X[:40, :30], first.U @ first.V.T) <= 1e-6
    assert gap(X[40:, 30:], second.U @ second.V.T) <= 1e-6
    assert np.isnan(X[:40, 30:]).all()
    assert np.isnan(X[40:, :30]).all()


@pytest.mark.filterwarnings("ignore:the entries fall into 2 parts")
def test_what_is_empty_or_apart_does_not_keep_from_convergence() -> None:
    """So few entries that the fit is checked for others that are as good."""
    first, second = low_rank(40, 30, 2, 2.5, seed=1), low_rank(30, 30, 2, 2.5, seed=2)
    blocks = [[sparse(first.observed), None], [None, sparse(second.observed)]]
    A = sp.block_array(blocks, format="coo")
    A.resize(72, 63)
    fit = complete(A, 2, rng=0)
    assert fit.converged
    X = fit.to_dense()
    assert gap(X[:40, :30], first.U @ first.V.T) <= 1e-6
    assert gap(X[40:70, 30:60], second.U @ second.V.T) <= 1e-6
    assert np.isnan(X[70:]).all()
    assert np.isnan(X[:, 60:]).all()


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rank": 0, "row_bias": True, "col_bias": True, "center": True},
        {"rank": 0, "nonneg": True},
        {"rank": 0, "loss": "huber"},
        {"rank": 0, "method": "irls"},
    ],
    ids=str,
)
def test_matrices_without_entries(shape: tuple[int, int], options: dict[str, Any]) -> None:
    A = np.zeros(shape)
    fit = complete(A, rng=0, **options)
    assert (fit.shape, fit.rank, fit.converged) == (shape, 0, True)
    assert fit.to_dense().shape == shape
    assert (fit.as_linear_operator() @ np.ones(shape[1])).shape == shape[:1]
    assert fit.update(A).shape == shape
    new = fit.fold_in_rows(np.zeros((2, shape[1])))
    assert new.to_dense().shape == (2, shape[1])
