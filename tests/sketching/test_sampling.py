"""Sampling of rows."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats
from scipy.sparse.linalg import aslinearoperator

from lowapprox._core.errors import InputError, InputTypeError
from lowapprox.sketching import Gaussian, RowSampling
from lowapprox.sketching._hash import distinct
from lowapprox.sketching.sampling import _approximate_leverage, _host_matrix

KEY = (0x0123456789ABCDEF, 0xFEDCBA9876543210)


def test_samples_are_scaled_rows():
    A = np.random.default_rng(0).standard_normal((50, 3))
    p = 1.0 + np.arange(50)
    for S in (
        RowSampling(20, 50, rng=0),
        RowSampling(20, 50, replace=False, rng=0),
        RowSampling(20, 50, probabilities=p, rng=0),
    ):
        np.testing.assert_allclose(S @ A, S.weights[:, None] * A[S.rows], rtol=1e-15)
        assert pickle.loads(pickle.dumps(S)) == S
    np.testing.assert_allclose(S.weights, np.sqrt(p.sum() / (20 * p[S.rows])), rtol=1e-14)
    assert RowSampling(20, 50, probabilities=p, rng=0) != RowSampling(20, 50, rng=0)


def test_all_rows_without_replacement():
    S = RowSampling(30, 30, replace=False, rng=0)
    np.testing.assert_array_equal(S.toarray(), np.eye(30))
    far = RowSampling(1000, 2**62, replace=False, rng=0)
    assert np.unique(far.rows).size == 1000


@pytest.mark.stat
def test_samples_follow_their_probabilities():
    p = np.array([1.0, 2.0, 3.0, 4.0])
    S = RowSampling(20_000, 4, probabilities=p, rng=0)
    assert stats.chisquare(np.bincount(S.rows, minlength=4), 2000 * p).pvalue > 1e-6
    S = RowSampling(20_000, 7, rng=0)
    assert stats.chisquare(np.bincount(S.rows, minlength=7)).pvalue > 1e-6
    far = RowSampling(20_000, 2**62, rng=0)
    assert stats.kstest(far.rows / 2.0**62, "uniform").pvalue > 1e-6


@pytest.mark.stat
def test_distinct_sets_are_equally_likely():
    counts = {}
    for key in range(6000):
        chosen = tuple(distinct((key, 1), 5, 2).tolist())
        counts[chosen] = counts.get(chosen, 0) + 1
    assert len(counts) == math.comb(5, 2)
    assert stats.chisquare(list(counts.values())).pvalue > 1e-6
    assert distinct(KEY, 9, 9).tolist() == list(range(9))
    assert distinct(KEY, 9, 0).size == 0


def test_rows_of_tiny_probability_are_weighed_up():
    p = np.ones(100)
    p[3] = 1e-300
    S = RowSampling(50, 100, probabilities=p, rng=0)
    assert 3 not in S.rows
    p[4] = 1e300
    S = RowSampling(50, 100, probabilities=p, rng=0)
    assert set(S.rows) == {4}


@pytest.mark.parametrize("form", ["dense", "sparse", "float32", "complex", "scaled", "integers"])
def test_leverage_scores_are_right_up_to_a_factor(form):
    gen = np.random.default_rng(0)
    A = gen.standard_normal((3000, 30)) * np.logspace(0, -8, 30)
    A[:40] *= 100.0
    A[:, 7] = A[:, 8] - A[:, 9]  # dependent columns
    if form == "sparse":
        A *= gen.random(A.shape) < 0.3
    if form == "complex":
        A = A + 1j * gen.standard_normal(A.shape) * np.logspace(0, -8, 30)
    if form == "integers":
        A = np.round(100 * gen.standard_normal((3000, 30))).astype(np.int32)
    if form == "float32":
        A = (A / np.logspace(0, -8, 30)).astype(np.float32)
    s = np.linalg.norm(A, axis=0)
    U, sigma, _ = np.linalg.svd(A / s, full_matrices=False)
    eps = np.finfo(A.dtype).eps if A.dtype.kind in "fc" else 2e-16
    U = U[:, sigma > 3000 * eps * sigma[0]]
    exact = (np.abs(U) ** 2).sum(axis=1)
    given = sp.csr_array(A) if form == "sparse" else 1e200 * A if form == "scaled" else A
    got = _approximate_leverage(_host_matrix(given), np.random.default_rng(1))
    # Sixteen directions: a chi-square of 16 degrees is within a factor of 6 of its mean up to 1e-6.
    large = exact > 1e-3 * exact.max()
    ratio = got[large] / exact[large]
    assert ratio.min() > 0.1
    assert ratio.max() < 10.0
    assert 0.3 * exact.sum() < got.sum() < 3.0 * exact.sum()


@pytest.mark.parametrize("rows", ["few", "spread"])
def test_leverage_sampling_embeds_what_uniform_sampling_misses(rows):
    n, d = 5000, 20
    A = np.zeros((n, d))
    if rows == "few":
        A[:: n // d][:d] = np.eye(d)
    else:
        A[:] = np.random.default_rng(0).standard_normal((n, d))
        A[:, 0] = 0.0
        A[17, 0] = 1.0
    Q = np.linalg.qr(A)[0]
    S = RowSampling.from_leverage(A, 400, rng=0)
    s = np.linalg.svd(S @ Q, compute_uv=False)
    assert 0.5 < s[-1] <= s[0] < 1.5
    s = np.linalg.svd(RowSampling(400, n, rng=0) @ Q, compute_uv=False)
    assert s[-1] < 1e-12


def test_leverage_of_degenerate_matrices():
    for A in (np.zeros((5, 2)), np.zeros((5, 0)), np.ones((1, 1)), np.ones((3, 7))):
        S = RowSampling.from_leverage(A, 4, rng=0)
        assert S.shape == (4, A.shape[0])
        assert np.isfinite(S.weights).all()
    assert RowSampling.from_leverage(np.eye(3), 0, rng=0).shape == (0, 3)
    # The same sample for the same seed, another for the next one.
    A = np.random.default_rng(0).standard_normal((200, 3))
    assert RowSampling.from_leverage(A, 9, rng=3) == RowSampling.from_leverage(A, 9, rng=3)
    assert RowSampling.from_leverage(A, 9, rng=3) != RowSampling.from_leverage(A, 9, rng=4)


def _nan():
    A = np.ones((4, 2))
    A[1, 1] = np.nan
    return A


BAD_CALLS = {
    "`m` must be 0 where n is": (InputError, lambda: RowSampling(2, 0)),
    "`m` must be in [0, 5] without": (InputError, lambda: RowSampling(6, 5, replace=False)),
    "`replace` must be True": (
        InputError,
        lambda: RowSampling(1, 2, replace=False, probabilities=[1, 1]),
    ),
    "`replace` must be a bool": (InputTypeError, lambda: RowSampling(1, 2, replace=1)),
    "`probabilities` must have shape": (InputError, lambda: RowSampling(1, 2, probabilities=[1])),
    "`probabilities` must be positive": (
        InputError,
        lambda: RowSampling(1, 2, probabilities=[1, 0]),
    ),
    "`probabilities` must be positive and": (
        InputError,
        lambda: RowSampling(1, 2, probabilities=[1, np.nan]),
    ),
    "`probabilities` must be real": (
        InputTypeError,
        lambda: RowSampling(1, 2, probabilities=["a", "b"]),
    ),
    "`A` must be an array or": (
        InputTypeError,
        lambda: RowSampling.from_leverage(aslinearoperator(np.eye(2)), 1),
    ),
    "`A` must have rows": (InputError, lambda: RowSampling.from_leverage(np.ones((0, 2)), 1)),
    "`A` must contain finite": (InputError, lambda: RowSampling.from_leverage(_nan(), 1)),
}


@pytest.mark.parametrize("message", BAD_CALLS)
def test_refusals(message):
    error, call = BAD_CALLS[message]
    with pytest.raises(error) as info:
        call()
    assert str(info.value).startswith(message)


def test_sampling_is_not_blind_to_precision():
    assert (RowSampling(3, 9, rng=0, dtype=np.complex64) @ np.ones((9, 2))).dtype == np.complex128
    assert Gaussian(3, 9, rng=0) != RowSampling(3, 9, rng=0)
