"""Randomly pivoted Cholesky: algebra, law of the pivots, inputs."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from lowapprox import (
    AccuracyWarning,
    ConvergenceWarning,
    InputError,
    InputTypeError,
    NumericalError,
)
from lowapprox._core.matrix import as_matrix
from lowapprox._core.views import Scaled
from lowapprox.svd import rp_cholesky
from tests.reference import plain_rp_cholesky, random_array, rbf_kernel
from tests.strategies import DENSE_FORMS, DTYPES, SPARSE_FORMS, psd_matrices, scales, seeds

BLOCKS = st.sampled_from([None, 1, 3, 300])


def kernel_of(K):
    return lambda rows, cols: K[np.ix_(rows, cols)]


def psd(gen, n, rank, dtype=float):
    B = random_array(gen, (n, rank), dtype)
    return B @ B.conj().T


@given(psd_matrices(), st.data(), BLOCKS, seeds)
def test_schur_complement_properties(K, data, block, seed):
    n = K.shape[0]
    rank = data.draw(st.integers(1, n))
    res = rp_cholesky(K, rank, block=block, rng=seed)
    k = res.rank
    assert res.F.shape == (n, k)
    assert res.F.dtype == K.dtype
    assert k <= rank
    assert len(set(res.pivots.tolist())) == k
    residual = K - res.F.astype(wide := np.result_type(K, float)) @ res.F.conj().T
    rounding = 20 * n * float(np.finfo(K.dtype).eps * K.diagonal().real.max())
    assert np.linalg.eigvalsh(residual)[0] >= -rounding
    np.testing.assert_allclose(residual.diagonal().real, res.residual_diagonal, atol=rounding)
    assert res.trace_error == pytest.approx(residual.trace().real, abs=n * rounding)
    assert res.trace == pytest.approx(K.trace().real, rel=n * float(np.finfo(K.dtype).eps))
    assert res.trace_error >= 0
    # The residual vanishes in the rows of the pivots, where F interpolates.
    assert np.abs(residual[res.pivots]).max(initial=0.0) <= rounding
    if k < rank:
        assert res.info["reason"] == "exhausted"
        assert res.trace_error <= n * rounding
    # It can do no better than the eigenvalues (Eckart-Young).
    tail = np.linalg.eigvalsh(K.astype(wide))[: n - k].sum()
    assert res.trace_error >= tail - n * rounding


@pytest.mark.parametrize("block", [None, 1, 7])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rank_deficient_is_recovered_and_stops(block, dtype):
    K = psd(np.random.default_rng(3), 80, 12, dtype)
    res = rp_cholesky(K, 40, block=block, rng=1)
    assert res.rank == 12
    assert res.converged
    assert res.info["reason"] == "exhausted"
    assert np.abs(res.reconstruct() - K).max() <= 300 * np.finfo(dtype).eps * np.abs(K).max()


def test_full_rank_is_a_cholesky_factorization():
    K = psd(np.random.default_rng(3), 60, 60)
    res = rp_cholesky(K, 60, rng=0)
    order = np.asarray(res.pivots)
    np.testing.assert_allclose(
        res.F[order], np.linalg.cholesky(K[np.ix_(order, order)]), atol=1e-9 * K.max()
    )


# ---- the law of the pivots


def enumerated_law(K, rank):
    """Probability of every ordered choice of pivots, from exact Schur complements."""
    law = {}
    for choice in itertools.permutations(range(K.shape[0]), rank):
        S, p = K.copy(), 1.0
        for j in choice:
            p *= max(S[j, j], 0.0) / S.trace()
            S = S - np.outer(S[:, j], S[j]) / S[j, j]
        law[choice] = p
    return law


def tiny_kernel():
    points = np.array([[0.0], [0.3], [0.5], [2.0]])
    scale = np.array([1.0, 1.5, 0.7, 0.9])
    return rbf_kernel(points, 0.5) * scale * scale[:, None]


@pytest.mark.stat
@pytest.mark.parametrize("block", [None, 1, 2, 12])
def test_joint_law_of_the_pivots(block):
    K, rank, draws = tiny_kernel(), 3, 2500
    law = enumerated_law(K, rank)
    assert sum(law.values()) == pytest.approx(1.0)
    gen = np.random.default_rng(20)
    counts = dict.fromkeys(law, 0)
    for _ in range(draws):
        counts[tuple(rp_cholesky(K, rank, block=block, rng=gen).pivots.tolist())] += 1
    expected = np.array([law[c] * draws for c in law])
    seen = np.array([counts[c] for c in law])
    small = expected < 5  # pooled, so that the chi-square law holds
    if small.any():
        expected = np.append(expected[~small], expected[small].sum())
        seen = np.append(seen[~small], seen[small].sum())
    statistic = ((seen - expected) ** 2 / expected).sum()
    assert statistic < chi2.isf(1e-6, len(expected) - 1)


@pytest.mark.stat
def test_first_pivot_follows_the_diagonal():
    gen = np.random.default_rng(4)
    K = psd(gen, 30, 5) * np.outer(w := np.linspace(0.1, 3.0, 30), w)
    first = [rp_cholesky(K, 5, rng=gen).pivots[0] for _ in range(2000)]
    expected = K.diagonal() / K.trace() * 2000
    assert expected.min() > 0
    keep = expected >= 5
    seen = np.bincount(first, minlength=30).astype(float)
    parts = [((seen - expected) ** 2 / expected)[keep].sum()]
    rest = expected[~keep].sum()
    parts.append((seen[~keep].sum() - rest) ** 2 / rest if rest else 0.0)
    assert sum(parts) < chi2.isf(1e-6, keep.sum())


@pytest.mark.stat
def test_mean_error_is_that_of_the_plain_algorithm():
    gen = np.random.default_rng(11)
    points = np.concatenate([gen.standard_normal((90, 2)), 4 + 0.1 * gen.standard_normal((60, 2))])
    K = rbf_kernel(points, 0.7)
    plain, fast = [], []
    for _ in range(300):
        F, _ = plain_rp_cholesky(K, 15, gen)
        plain.append(K.trace() - (F**2).sum())
        fast.append(rp_cholesky(K, 15, rng=gen).trace_error)
    spread = np.sqrt((np.var(plain) + np.var(fast)) / 300)
    assert abs(np.mean(plain) - np.mean(fast)) < 3 * spread


def test_duplicated_points_are_chosen_once():
    points = np.repeat(np.random.default_rng(0).standard_normal((6, 3)), 50, axis=0)
    res = rp_cholesky(rbf_kernel(points, 1.0), 100, rng=0)
    assert res.rank == 6
    assert sorted(res.pivots // 50) == list(range(6))


# ---- ways of giving the matrix


@pytest.mark.parametrize("form", [*DENSE_FORMS, *SPARSE_FORMS])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_forms_agree(form, dtype):
    K = psd(np.random.default_rng(5), 40, 25, dtype)
    before = K.copy()
    A = {**DENSE_FORMS, **SPARSE_FORMS}[form](K)
    res, expected = rp_cholesky(A, 20, rng=9), rp_cholesky(K, 20, rng=9)
    np.testing.assert_array_equal(res.pivots, expected.pivots)
    np.testing.assert_allclose(res.F, expected.F, atol=1e-12 * np.abs(K).max())
    np.testing.assert_array_equal(K, before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_other_namespaces_agree(dtype):
    strict = pytest.importorskip("array_api_strict")
    K = psd(np.random.default_rng(5), 40, 25, dtype)
    expected = rp_cholesky(K, 20, rng=9)
    res = rp_cholesky(strict.asarray(K.copy()), 20, rng=9)
    assert isinstance(res.F, type(strict.asarray(0.0)))
    np.testing.assert_array_equal(res.pivots, expected.pivots)
    atol = 1e4 * np.finfo(dtype).eps * np.abs(K).max()
    np.testing.assert_allclose(np.asarray(res.F), expected.F, atol=atol)
    assert np.asarray(res.reconstruct()).shape == (40, 40)


def test_torch():
    torch = pytest.importorskip("torch")
    K = psd(np.random.default_rng(5), 40, 25)
    expected = rp_cholesky(K, 20, rng=9)
    res = rp_cholesky(torch.from_numpy(K), 20, rng=9)
    assert isinstance(res.F, torch.Tensor)
    np.testing.assert_array_equal(res.pivots, expected.pivots)
    np.testing.assert_allclose(res.F.numpy(), expected.F, atol=1e-10 * K.max())


@pytest.mark.parametrize("dtype", DTYPES)
def test_callable_agrees_and_sees_int64(dtype):
    K = psd(np.random.default_rng(5), 50, 25, dtype)
    kinds = set()

    def kernel(rows, cols):
        kinds.update([rows.dtype, cols.dtype])
        assert rows.ndim == cols.ndim == 1
        return K[np.ix_(rows, cols)]

    res = rp_cholesky(kernel, 20, diag=K.diagonal().real, rng=9)
    assert kinds == {np.dtype(np.int64)}
    assert res.F.dtype == K.dtype
    np.testing.assert_array_equal(res.pivots, rp_cholesky(K, 20, rng=9).pivots)


def test_callable_in_torch():
    torch = pytest.importorskip("torch")
    K = torch.from_numpy(psd(np.random.default_rng(5), 30, 25))
    res = rp_cholesky(lambda r, c: K[r][:, c], 20, diag=torch.diagonal(K), rng=9)
    assert isinstance(res.F, torch.Tensor)
    np.testing.assert_array_equal(res.pivots, rp_cholesky(K, 20, rng=9).pivots)


def test_callable_may_return_integers():
    K = np.random.default_rng(0).integers(-3, 4, (20, 6))
    K = K @ K.T
    res = rp_cholesky(kernel_of(K), 10, diag=K.diagonal(), rng=0)
    assert res.F.dtype == np.float64
    assert res.rank == 6
    np.testing.assert_allclose(res.reconstruct(), K, atol=1e-11)


def test_many_columns_in_tiles():
    x = np.linspace(0.0, 30.0, 20_000)
    wide = []

    def kernel(rows, cols):
        wide.append(rows.size * cols.size)
        return np.exp(-((x[rows, None] - x[cols]) ** 2))

    res = rp_cholesky(kernel, 100, diag=np.ones(x.size), rng=0)
    assert max(wide) <= 1 << 17  # never a block of the size of all columns
    assert res.info["entries"] == sum(wide) - 1  # the first entry tells the precision
    some = np.arange(0, x.size, 997)
    np.testing.assert_allclose(
        (res.F[some] ** 2).sum(axis=1) + res.residual_diagonal[some], 1.0, rtol=1e-12
    )
    assert res.trace_error < 1e-9 * res.trace


# ---- stops


@given(st.sampled_from([0.5, 0.1, 1e-3, 1e-8]), BLOCKS, seeds)
def test_tolerance_is_met(tol, block, seed):
    x = np.linspace(0.0, 8.0, 60)[:, None]
    K = rbf_kernel(x, 1.0)
    res = rp_cholesky(K, 60, tol=tol, block=block, rng=seed)
    assert res.converged
    assert res.info["reason"] == "tol"
    assert res.trace_error <= tol * res.trace
    assert res.trace_error == pytest.approx(K.trace() - (res.F**2).sum(), abs=1e-12)


def test_missed_tolerance_warns():
    with pytest.warns(ConvergenceWarning, match="`tol`"):
        res = rp_cholesky(np.eye(10), 3, tol=0.1, rng=0)
    assert not res.converged
    assert res.rank == 3


def test_only_rank_is_converged():
    assert rp_cholesky(np.eye(10), 3, rng=0).converged


# ---- extreme input


@given(st.sampled_from(DTYPES).flatmap(lambda t: st.tuples(st.just(t), scales(t))), seeds)
def test_power_of_four_scaling_is_exact(case, seed):
    dtype, factor = case
    factor = 4.0 ** int(np.log2(factor) / 2)  # the square root is a power of two as well
    factor = dtype.type(factor).real
    K = psd(np.random.default_rng(2), 25, 10, dtype)
    res, scaled = rp_cholesky(K, 8, rng=seed), rp_cholesky(K * factor, 8, rng=seed)
    np.testing.assert_array_equal(res.pivots, scaled.pivots)
    assert scaled.trace_error == pytest.approx(res.trace_error * float(factor), rel=1e-12, abs=0)
    assert np.isfinite(scaled.F).all()


@pytest.mark.parametrize("factor", [1e-300, 1e-200, 1e200, 1e300])
def test_extreme_scales(factor):
    K = psd(np.random.default_rng(2), 25, 10)
    res = rp_cholesky(K * factor, 20, rng=0)
    assert res.rank == 10
    np.testing.assert_allclose(res.reconstruct() / factor, K, atol=1e-12 * K.max())


def test_zero_matrix():
    res = rp_cholesky(np.zeros((5, 5)), 3, rng=0)
    assert res.F.shape == (5, 0)
    assert res.trace_error == 0
    assert res.converged
    np.testing.assert_array_equal(res.reconstruct(), np.zeros((5, 5)))


def test_empty_and_single():
    res = rp_cholesky(np.zeros((0, 0)), 0, rng=0)
    assert res.F.shape == (0, 0)
    assert rp_cholesky(kernel_of(np.zeros((0, 0))), 0, diag=np.zeros(0)).F.shape == (0, 0)
    res = rp_cholesky([[4.0]], 1, rng=0)
    assert res.F.tolist() == [[2.0]]
    assert res.trace_error == 0


def test_graded_diagonal_is_not_taken_for_rounding():
    d = 10.0 ** -np.arange(0, 100, 5)
    res = rp_cholesky(np.diag(d), d.size, rng=0)
    assert res.rank == d.size
    np.testing.assert_allclose(res.reconstruct().diagonal(), d, rtol=1e-14)


@pytest.mark.parametrize("block", [None, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ends_where_inaccurate_entries_turn_indefinite(block, dtype):
    gen = np.random.default_rng(1)
    K = psd(gen, 60, 5) + 1e-3 * psd(gen, 60, 20)
    noise = gen.standard_normal((60, 60)) * (1e-9 if dtype == np.float64 else 1e-3)
    K = (K + noise + noise.T).astype(dtype)
    with pytest.warns(AccuracyWarning, match="not quite positive semidefinite"):
        res = rp_cholesky(K, 60, block=block, rng=0)
    assert not res.converged
    assert res.info["reason"] == "indefinite"
    assert 5 <= res.rank < 60
    # What is returned is the factor before that, with its error.
    assert np.abs(res.F).max() ** 2 <= K.max() * (1 + 1e-6)
    left = K.trace(dtype=float) - (res.F.astype(float) ** 2).sum()
    assert res.trace_error == pytest.approx(left, abs=1e-5 * res.trace_error + 1e-6 * res.trace)
    assert np.abs(K - res.reconstruct()).max() < 10 * res.trace_error


@pytest.mark.parametrize("block", [None, 1])
def test_indefinite_is_refused(block):
    gen = np.random.default_rng(0)
    B = gen.standard_normal((40, 10))
    K = B @ B.T - 0.5 * np.outer(v := gen.standard_normal(40), v)
    np.fill_diagonal(K, np.abs(K.diagonal()))
    with pytest.raises(NumericalError, match="positive semidefinite"):
        rp_cholesky(K, 30, block=block, rng=0)


def test_wrong_matrices_are_refused():
    with pytest.raises(InputError, match="square"):
        rp_cholesky(np.ones((3, 4)), 1)
    with pytest.raises(InputError, match="nonnegative"):
        rp_cholesky(np.diag([1.0, -1.0]), 1)
    with pytest.raises(InputError, match="finite"):
        rp_cholesky(np.diag([1.0, np.nan]), 1)
    with pytest.raises(InputError, match="not real"):
        rp_cholesky(np.diag([1.0, 1.0 + 1.0j]), 1)
    skewed = np.eye(20) + 0.5 * np.triu(np.ones((20, 20)), 1)
    with pytest.raises(InputError, match="Hermitian"):
        rp_cholesky(skewed, 20, rng=0)
    with pytest.raises(InputTypeError, match="nystrom"):
        rp_cholesky(scipy.sparse.linalg.aslinearoperator(np.eye(3)), 1)
    with pytest.raises(InputTypeError, match="entries"):  # a view, whose entries are not those of
        rp_cholesky(Scaled(as_matrix(np.eye(3)), 2), 1)  # what it is made of


@pytest.mark.parametrize("block", [None, 1])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_never_becomes_a_result(block, bad):
    K = psd(np.random.default_rng(0), 30, 30)
    K[3, 7] = K[7, 3] = bad
    with pytest.raises(NumericalError, match="NaN"):
        rp_cholesky(K, 30, block=block, rng=0)
    with pytest.raises(NumericalError, match="NaN"):
        rp_cholesky(kernel_of(K), 30, diag=K.diagonal(), block=block, rng=0)


def test_wrong_arguments_are_refused():
    K = np.eye(4)
    for bad in (0, 5):
        with pytest.raises(InputError, match="`rank`"):
            rp_cholesky(K, bad)
    with pytest.raises(InputTypeError, match="`rank`"):
        rp_cholesky(K, 2.0)
    with pytest.raises(InputError, match="`block`"):
        rp_cholesky(K, 2, block=0)
    for bad in (0.0, 1.0, np.nan):
        with pytest.raises(InputError, match="`tol`"):
            rp_cholesky(K, 2, tol=bad)
    with pytest.raises(InputTypeError, match="`diag`"):
        rp_cholesky(kernel_of(K), 2)
    with pytest.raises(InputError, match="`diag`"):
        rp_cholesky(K, 2, diag=np.ones(4))
    with pytest.raises(InputError, match="`diag`"):
        rp_cholesky(kernel_of(K), 2, diag=np.ones((4, 1)))
    with pytest.raises(InputError, match="diagonal"):
        rp_cholesky(kernel_of(K), 2, diag=2 * np.ones(4), rng=0)
    with pytest.raises(InputError, match="shape"):
        rp_cholesky(lambda rows, cols: K[rows], 2, diag=np.ones(4))
    with pytest.raises(InputError, match="shape"):
        rp_cholesky(lambda rows, cols: 1.0, 2, diag=np.ones(4))
    with np.errstate(over="ignore"), pytest.raises(NumericalError, match="finite sum"):
        rp_cholesky(kernel_of(1e308 * K), 2, diag=np.full(4, 1e308))


def test_the_diagonal_of_a_kernel_may_be_a_list():
    K = psd(np.random.default_rng(5), 8, 8)
    res = rp_cholesky(kernel_of(K), 3, diag=K.diagonal().tolist(), rng=0)
    np.testing.assert_array_equal(res.F, rp_cholesky(kernel_of(K), 3, diag=K.diagonal(), rng=0).F)


def test_same_seed_same_bits_and_result_object():
    K = psd(np.random.default_rng(5), 50, 25)
    res, again = rp_cholesky(K, 20, rng=9), rp_cholesky(K, 20, rng=9)
    np.testing.assert_array_equal(res.F, again.F)
    copy = pickle.loads(pickle.dumps(res))
    np.testing.assert_array_equal(copy.F, res.F)
    assert copy.info["entries"] == res.info["entries"]
    assert repr(res).startswith("PivotedCholeskyResult(F=(50, 20), trace_error=")
    assert "\n" not in repr(res)
    with pytest.raises(AttributeError):
        res.trace = 0.0
