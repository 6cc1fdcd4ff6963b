"""What a result says of single entries, of new rows, and after it was stored."""

from __future__ import annotations

import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import InputError, InputTypeError
from lowapprox.completion.diagnosis import diagnose
from lowapprox.completion.folding import Penalty, solve_rows
from lowapprox.completion.problem import Record
from lowapprox.completion.reading import read
from lowapprox.completion.result import CompletionResult
from tests.strategies import seeds

Array = np.ndarray[Any, Any]


def made(
    known: Array,
    rank: int,
    seed: int = 0,
    *,
    offset: float = 0.0,
    biases: tuple[bool, bool] = (False, False),
    dtype: Any = np.float64,
    ridge: float | None = None,
) -> CompletionResult:
    """A result that no fit has made, for a pattern of observed entries."""
    gen = np.random.default_rng(seed)
    m, n = known.shape
    U, V = (np.linalg.qr(gen.standard_normal((p, rank)))[0] for p in (m, n))
    s = np.sort(gen.uniform(1.0, 5.0, rank))[::-1] * np.sqrt(m * n)
    parts = [
        gen.standard_normal(p).astype(dtype) if b else None
        for p, b in zip((m, n), biases, strict=True)
    ]
    penalties = [
        None
        if ridge is None
        else Penalty(np.diag([*(ridge / s), *[ridge] * b]), np.eye(rank + b) * 0.1)
        for b in biases
    ]
    return CompletionResult(
        *(x.astype(dtype) for x in (U, s, V)),
        offset=offset,
        row_bias=parts[0],
        col_bias=parts[1],
        history=(Record("als-cg", rank, 0.1, np.nan, np.nan, 0.5),),
        converged=True,
        reason="change",
        diagnostics=diagnose(read(np.ones(known.shape), mask=known), rank),
        info={"method": "als-cg", "seconds": {"total": 1.0}, "threads": {"blas": 1}},
        penalties=(penalties[0], penalties[1]),
    )


def dense(fit: CompletionResult) -> Array:
    """The obvious way, entry by entry."""
    m, n = fit.shape
    has_means = bool(fit.offset) or fit.row_bias is not None or fit.col_bias is not None
    out = np.full((m, n), np.nan)
    for i in range(m):
        for j in range(n):
            a, b = fit.diagnostics.row_component[i], fit.diagnostics.col_component[j]
            if a == b and a >= 0:
                out[i, j] = np.sum(fit.U[i] * fit.s * fit.V[j])
            elif has_means:
                out[i, j] = 0.0
            out[i, j] += fit.offset
            out[i, j] += 0.0 if fit.row_bias is None else fit.row_bias[i]
            out[i, j] += 0.0 if fit.col_bias is None else fit.col_bias[j]
    return out


@st.composite
def fits(draw: st.DrawFn) -> CompletionResult:
    m, n = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    seed = draw(seeds)
    share = draw(st.sampled_from([0.05, 0.2, 0.6, 1.0]))
    return made(
        np.random.default_rng(seed).random((m, n)) < share,
        draw(st.integers(1, min(m, n, 3))),
        seed,
        offset=draw(st.sampled_from([0.0, 2.5])),
        biases=(draw(st.booleans()), draw(st.booleans())),
    )


@given(fits(), seeds)
def test_entries_blocks_and_operator_agree(fit: CompletionResult, seed: int) -> None:
    gen = np.random.default_rng(seed)
    (m, n), wanted = fit.shape, dense(fit)
    close = {"rtol": 1e-12, "atol": 1e-12 * np.nanmax(np.abs(wanted), initial=1.0)}
    np.testing.assert_allclose(fit.to_dense(), wanted, **close)
    np.testing.assert_allclose(fit.T.to_dense(), wanted.T, **close)
    i, j = gen.integers(0, m, (4, 3)), gen.integers(0, n, 3)
    np.testing.assert_allclose(fit.predict(i, j), wanted[i, j], **close)
    np.testing.assert_allclose(fit.predict(i[0].tolist(), 0), wanted[i[0], 0], **close)
    one = fit.predict(np.uint8(0), np.int8(0))
    assert one.shape == ()
    np.testing.assert_allclose(one, wanted[0, 0], **close)
    rows, cols = gen.random(m) < 0.5, gen.integers(0, n, 5)
    np.testing.assert_allclose(fit.block(rows, cols), wanted[rows][:, cols], **close)
    np.testing.assert_allclose(fit.block(slice(1, None, 2)), wanted[1::2], **close)
    np.testing.assert_allclose(fit.block(cols=slice(None, None, -1)), wanted[:, ::-1], **close)
    if np.isnan(wanted).any():
        with pytest.raises(InputError, match="a linear operator needs all entries"):
            fit.as_linear_operator()
        return
    op = fit.as_linear_operator()
    X, Y = gen.standard_normal((n, 2)), gen.standard_normal((m, 2))
    close["atol"] *= 10
    np.testing.assert_allclose(op @ X, wanted @ X, **close)
    np.testing.assert_allclose(op @ X[:, 0], wanted @ X[:, 0], **close)
    np.testing.assert_allclose(op.H @ Y, wanted.T @ Y, **close)


def test_nothing_is_invented() -> None:
    known = np.zeros((5, 6), bool)
    known[:2, :3] = known[2:4, 3:5] = True  # the last row and column are empty
    fit = made(known, 1)
    unknown = ~np.kron(np.array([[1, 0], [0, 1]]), np.ones((2, 3))).astype(bool)
    found = np.isnan(fit.to_dense())
    assert np.array_equal(found[:4, :5], unknown[:, :5])
    assert found[4].all()
    assert found[:, 5].all()
    means = made(known, 1, offset=3.0, biases=(True, False)).to_dense()
    assert np.isfinite(means).all()
    assert (means[4] == means[4, 0]).all()  # the mean and the bias of the row alone
    assert means[4, 5] == means[0, 5] - means[0, 4] + means[4, 4]


def test_bulk_predictions_form_no_matrix() -> None:
    side, count = 300_000, 200_000
    gen = np.random.default_rng(0)
    diagonal = (np.arange(side),) * 2
    chain = read((*diagonal, np.ones(side)), shape=(side, side))
    U = gen.standard_normal((side, 4)).astype(np.float32)
    fit = CompletionResult(
        U, np.ones(4, np.float32), U, 1.0, None, None, (), True, "", diagnose(chain, 4), {}
    )
    i, j = gen.integers(0, side, (2, count))
    j[::2] = i[::2]
    tracemalloc.start()
    found = fit.predict(i, j)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    square = fit.predict(i[:500, None], j[:400])
    _, peak_of_square = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < U.nbytes
    assert peak_of_square < U.nbytes
    np.testing.assert_array_equal(square.diagonal(), found[:400])
    wanted = np.where(i == j, np.einsum("tk,tk->t", U[i], U[j]), 0) + 1
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert found.dtype == np.float32


def test_coherence_tells_of_rows_that_stand_out() -> None:
    fit = made(np.ones((40, 30), bool), 4)
    U, V = (np.linalg.norm(X, axis=1) ** 2 for X in (fit.U, fit.V))
    np.testing.assert_allclose(fit.coherence, (10 * U.max(), 7.5 * V.max()))
    assert fit.T.coherence == fit.coherence[::-1]
    alone = np.zeros((40, 4))
    alone[3, 0] = 1.0
    alone[:, 1:] = fit.U[:, 1:]
    assert replace(fit, U=alone).coherence[0] >= 10.0


def test_bad_positions() -> None:
    fit = made(np.ones((4, 3), bool), 1)
    for rows, cols, message in (
        (4, 0, r"`rows` must lie in \[0, 3\], got 4 to 4"),
        (0, [-1, 2], r"`cols` must lie in \[0, 2\], got -1 to 2"),
        ([0, 1], [0, 1, 2], "broadcast"),
    ):
        with pytest.raises(InputError, match=message):
            fit.predict(rows, cols)
    with pytest.raises(InputTypeError, match="`rows` must hold integers, got dtype float64"):
        fit.predict([0.0], [0])
    with pytest.raises(InputError, match=r"`rows` must have shape \(4,\)"):
        fit.block(np.ones(3, bool))
    with pytest.raises(InputError, match="`cols` must have one dimension"):
        fit.block(None, np.zeros((2, 2), int))
    assert fit.predict([], []).shape == (0,)
    assert fit.block([], [0]).shape == (0, 1)


# New rows


def ridge_regression(A: Array, W: Array, D: Array, penalty: Penalty) -> Array:
    """One row after the other, by the normal equations; A holds NaN where nothing is known."""
    out = np.zeros((A.shape[0], D.shape[1]))
    for i, (a, w) in enumerate(zip(A, W, strict=True)):
        k = ~np.isnan(a)
        G = (D[k].T * w[k]) @ D[k] + penalty.matrix + w[k].sum() * penalty.per_entry
        out[i] = np.linalg.lstsq(G, D[k].T @ (w[k] * a[k]), rcond=1e-13)[0]
    return out


@given(seeds, st.booleans(), st.booleans())
def test_rows_are_ridge_regressions(seed: int, weighted: bool, free: bool) -> None:
    gen = np.random.default_rng(seed)
    n, p = gen.integers(1, 12), gen.integers(1, 5)
    D = gen.standard_normal((n, p))
    A = np.where(gen.random((7, n)) < 0.6, gen.standard_normal((7, n)), np.nan)
    W = gen.uniform(0.5, 2.0, A.shape)
    B, C = gen.standard_normal((2, p, p))
    penalty = Penalty.none(p) if free else Penalty(B @ B.T + 0.1 * np.eye(p), 0.1 * C @ C.T)
    rows = read(A, weights=W if weighted else None).rows
    found = solve_rows(rows, rows.values, D, penalty, np.flatnonzero(rows.counts))
    wanted = ridge_regression(A, W if weighted else np.ones(A.shape), D, penalty)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())


def test_least_norm_where_entries_are_few() -> None:
    gen = np.random.default_rng(0)
    D = gen.standard_normal((30, 5))
    A = np.full((2, 30), np.nan)
    A[0, [3, 7]], A[1] = [1.0, 2.0], D @ np.arange(5.0)
    rows = read(A).rows
    found = solve_rows(rows, rows.values, D, Penalty.none(5), np.arange(2))
    np.testing.assert_allclose(found[0], np.linalg.pinv(D[[3, 7]]) @ [1.0, 2.0], atol=1e-12)
    np.testing.assert_allclose(found[1], np.arange(5.0), atol=1e-12)


def test_a_penalty_in_other_coordinates() -> None:
    gen = np.random.default_rng(0)
    B, C, M = gen.standard_normal((3, 4, 4))
    penalty = Penalty(B @ B.T, C @ C.T)
    z = gen.standard_normal(4)
    other = penalty.into(M)
    for matrix, changed in ((penalty.matrix, other.matrix), (penalty.per_entry, other.per_entry)):
        assert z @ matrix @ z == pytest.approx((M @ z) @ changed @ (M @ z))
    root = other.root(2.0)
    np.testing.assert_allclose(root.T @ root, other.matrix + 2 * other.per_entry, atol=1e-10)


@given(fits(), seeds)
def test_new_rows_keep_to_their_component(fit: CompletionResult, seed: int) -> None:
    gen = np.random.default_rng(seed)
    n = fit.shape[1]
    A = np.where(gen.random((6, n)) < 0.4, gen.standard_normal((6, n)), np.nan)
    new = fit.fold_in_rows(A)
    assert new.shape == (6, n)
    close = {"rtol": 1e-9, "atol": 1e-9 * np.nanmax(np.abs(new.to_dense()), initial=1.0)}
    component = fit.diagnostics.col_component
    for i, a in enumerate(A):
        seen = component[~np.isnan(a)]
        counts = np.bincount(seen[seen >= 0], minlength=max(fit.diagnostics.components, 1))
        wanted = int(counts.argmax()) if counts.any() else -1
        assert new.diagnostics.row_component[i] == wanted
        other = np.where(component == wanted, a, np.nan)  # what lies elsewhere does not count
        again = fit.fold_in_rows(other[None])
        np.testing.assert_allclose(again.to_dense()[0], new.to_dense()[i], **close)
    mirrored = fit.T.fold_in_cols(A.T)
    np.testing.assert_allclose(mirrored.to_dense(), new.to_dense().T, **close)
    np.testing.assert_allclose(new.to_dense(), dense(new), **close)


@given(seeds)
def test_fold_in_is_linear_and_takes_every_form(seed: int) -> None:
    gen = np.random.default_rng(seed)
    fit = made(np.ones((9, 8), bool), 2, seed, ridge=1.0)
    known = gen.random((3, 8)) < 0.6
    A, B = np.where(known, gen.standard_normal((2, 3, 8)), np.nan)
    sums = [fit.fold_in_rows(x).to_dense() for x in (A, B, 2 * A - 3 * B)]
    np.testing.assert_allclose(sums[2], 2 * sums[0] - 3 * sums[1], rtol=1e-9, atol=1e-9)
    i, j = np.nonzero(known)
    forms = [
        sp.csc_array(sp.coo_array((A[i, j], (i, j)), shape=A.shape)),
        np.ma.masked_invalid(A),
        A.tolist(),
    ]
    for form in forms:
        np.testing.assert_array_equal(fit.fold_in_rows(form).U, fit.fold_in_rows(A).U)
    triples = fit.fold_in_rows((i, j, A[i, j]), shape=A.shape)
    np.testing.assert_array_equal(triples.U, fit.fold_in_rows(A).U)
    double = fit.fold_in_rows(A, weights=np.full(A.shape, 2.0))
    harder = made(np.ones((9, 8), bool), 2, seed, ridge=0.5)
    np.testing.assert_allclose(double.U, harder.fold_in_rows(A).U, rtol=1e-9, atol=1e-12)


def test_fold_in_of_the_exact_row() -> None:
    fit = made(np.ones((40, 30), bool), 4, offset=1.5, biases=(True, True))
    A = fit.to_dense()
    A[np.random.default_rng(0).random(A.shape) < 0.5] = np.nan
    new = fit.fold_in_rows(A)
    np.testing.assert_allclose(new.to_dense(), fit.to_dense(), rtol=1e-9, atol=1e-9)
    assert new.reason == "fold-in"
    assert new.info["method"] == "fold-in"
    np.testing.assert_allclose(fit.fold_in_cols(A).to_dense(), fit.to_dense(), atol=1e-9)
    assert fit.fold_in_rows(np.full((2, 30), np.nan)).diagnostics.empty_rows == 2
    for bad, message in ((A[:, :-1], "30 columns, got 29"), (A[0], "2 dimensions")):
        with pytest.raises(InputError, match=message):
            fit.fold_in_rows(bad)
    with pytest.raises(InputError, match="`A_new` must have 40 rows, got 39"):
        fit.fold_in_cols(A[1:])
    with pytest.raises(InputError, match="of `A_new` must be finite"):
        fit.fold_in_rows(np.full((1, 30), np.inf))


# In files


@given(fits())
def test_a_file_holds_everything(fit: CompletionResult) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fit"
        fit.save(path)
        again = CompletionResult.load(str(path))
    for copy in (again, pickle.loads(pickle.dumps(fit))):
        np.testing.assert_array_equal(copy.to_dense(), fit.to_dense())
        assert repr(copy) == repr(fit)
        assert repr(copy.history) == repr(fit.history)
        assert repr(copy.diagnostics) == repr(fit.diagnostics)
        assert copy.diagnostics.component_sizes == fit.diagnostics.component_sizes
        assert copy.info == fit.info
        assert (copy.offset, copy.reason) == (fit.offset, fit.reason)
        assert copy.U.dtype == fit.U.dtype


def test_files_keep_penalties_and_precision(tmp_path: Path) -> None:
    fit = made(np.ones((9, 8), bool), 2, ridge=1.0, biases=(True, False), dtype=np.float32)
    fit.save(tmp_path / "a.npz")
    again = CompletionResult.load(tmp_path / "a.npz")
    A = np.random.default_rng(0).standard_normal((3, 8))
    np.testing.assert_array_equal(again.fold_in_rows(A).to_dense(), fit.fold_in_rows(A).to_dense())
    assert again.U.dtype == np.float32
    assert again.fold_in_rows(A).to_dense().dtype == np.float32


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("nothing")
    (tmp_path / "empty").write_bytes(b"")
    np.savez(tmp_path / "other.npz", U=np.ones(3))
    np.savez(tmp_path / "form.npz", text=np.frombuffer(b'{"format": "x"}', np.uint8))
    np.save(tmp_path / "array.npy", np.ones(3))
    np.savez(tmp_path / "objects.npz", text=np.array([{}], dtype=object))
    for name in ("text", "empty", "other.npz", "form.npz", "array.npy", "objects.npz"):
        with pytest.raises(InputError, match="`path` must be a file"):
            CompletionResult.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        CompletionResult.load(tmp_path / "missing")
