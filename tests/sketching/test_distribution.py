"""Isotropy and distortion of the operators."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from lowapprox.sketching import SRHT, SRTT, CountSketch, Gaussian, SparseSign
from lowapprox.sketching.hadamard import _BlockTransform
from tests.sketching.kinds import KINDS

pytestmark = pytest.mark.stat


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [3, 40])
def test_the_mean_of_the_gram_matrix_is_the_identity(kind, n, dtype):
    # The bound of five standard errors is widened for the number of entries, so that one false
    # alarm in a million keys is expected; the keys are fixed.
    keys = 400
    grams = np.empty((keys, n, n), complex)
    for key in range(keys):
        S = KINDS[kind](12, n, rng=key, dtype=dtype).toarray()
        grams[key] = S.conj().T @ S
    mean, error = grams.mean(axis=0), grams.std(axis=0) / math.sqrt(keys)
    limit = max(5.0, -stats.norm.ppf(0.25e-6 / n**2))
    assert (np.abs(mean - np.eye(n)) <= limit * error + 1e-12).all()


@pytest.mark.parametrize(
    "kind", ["rademacher", "sparse", "sparse-3", "countsketch", "srht", "srht-16"]
)
@pytest.mark.parametrize("m", [1, 2, 5, 16, 17, 40])
def test_columns_have_norm_one(kind, m):
    S = KINDS[kind](m, 700, rng=0).toarray()
    np.testing.assert_allclose(np.linalg.norm(S, axis=0), 1.0, rtol=1e-14)


def test_sparse_columns_have_one_entry_in_each_block():
    for m, zeta in ((24, 8), (29, 4), (5, 8), (7, 7)):
        S = SparseSign(m, 3000, zeta=zeta, rng=0)
        assert S.zeta == min(zeta, m)
        D, bounds = S.toarray(), np.arange(S.zeta + 1) * m // S.zeta
        for a, b in itertools.pairwise(bounds):
            assert ((D[a:b] != 0).sum(axis=0) == 1).all()
            # Rows within a block and signs are uniform.
            hits = (D[a:b] != 0).sum(axis=1)
            if b - a > 1:
                assert stats.chisquare(hits).pvalue > 1e-6
            assert stats.binomtest(int((D[a:b] > 0).sum()), 3000).pvalue > 1e-6
        assert set(np.abs(D[D != 0])) == {S.zeta**-0.5}


def test_srht_entries_and_rows():
    S = SRHT(48, 320, block=64, rng=3).toarray() * math.sqrt(48)
    np.testing.assert_allclose(np.abs(S), 1.0, rtol=1e-15)
    # Rows of one block are orthogonal: distinct rows of a Hadamard matrix, columns permuted.
    for b in range(5):
        part = S[:, 64 * b : 64 * (b + 1)]
        np.testing.assert_allclose(part @ part.T, 64 * np.eye(48), atol=1e-11)


def test_srht_with_all_rows_preserves_norms_within_a_block():
    S = SRHT(64, 64, block=64, rng=1)
    np.testing.assert_allclose(S.toarray().T @ S.toarray(), np.eye(64), atol=1e-13)
    x = np.random.default_rng(0).standard_normal(64)
    assert np.linalg.norm(S @ x) == pytest.approx(np.linalg.norm(x), rel=1e-14)


def test_srht_stacks_independent_transforms_where_m_exceeds_the_block():
    S = SRHT(100, 64, block=32, rng=0)
    D = S.toarray() * 10
    for t in range(0, 100, 32):
        part = D[t : t + 32, :32]
        np.testing.assert_allclose(part @ part.T, 32 * np.eye(part.shape[0]), atol=1e-11)
    correlation = np.abs(D[:32] @ D[32:64].T) / 64
    assert correlation.max() < 0.9


def test_gaussian_entries():
    for dtype, parts in ((float, 1), (complex, 2)):
        D = Gaussian(31, 2000, rng=4, dtype=dtype).toarray() * math.sqrt(31 * parts)
        for z in (D.real, D.imag)[:parts]:
            assert stats.kstest(z.ravel(), "norm").pvalue > 1e-6
        if parts == 2:
            assert abs(np.mean(D.real * D.imag)) < 5 / math.sqrt(D.size)


@pytest.mark.parametrize("kind", ["gaussian", "rademacher"])
def test_first_rows_are_proportional(kind):
    a, b = KINDS[kind](5, 30, rng=1).toarray(), KINDS[kind](8, 30, rng=1).toarray()
    np.testing.assert_allclose(a * math.sqrt(5), b[:5] * math.sqrt(8), rtol=1e-14)


def orthonormal_input(form, n, d):
    """Orthonormal columns; the coherent ones live on d rows."""
    Q = np.zeros((n, d))
    if form == "contiguous":
        Q[:d] = np.eye(d)
    elif form == "late":
        Q[n - d - 3 : n - 3] = np.eye(d)
    elif form == "strided":
        Q[:: n // d][:d] = np.eye(d)
    elif form == "random rows":
        Q[np.random.default_rng(0).choice(n, d, replace=False)] = np.eye(d)
    elif form == "repeated rows":
        Q = np.repeat(np.linalg.qr(np.random.default_rng(0).standard_normal((n // 8, d)))[0], 8, 0)
        Q /= math.sqrt(8)
    elif form == "one huge row":
        Q = np.random.default_rng(0).standard_normal((n, d))
        Q[n // 3] *= 1e6
        Q = np.linalg.qr(Q)[0]
    elif form == "Hadamard":
        i, j = np.arange(n)[:, None], np.arange(d) * (n // d)
        Q = (1.0 - 2.0 * (np.bitwise_count(i & j) & 1)) / math.sqrt(n)
    else:
        Q = np.linalg.qr(np.random.default_rng(0).standard_normal((n, d)))[0]
    return Q


FORMS = [
    "contiguous",
    "late",
    "strided",
    "random rows",
    "one huge row",
    "repeated rows",
    "Hadamard",
    "incoherent",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["sparse", "srht"])
def test_coherent_subspaces_are_embedded(kind, form):
    # d = 64, m = 4d: a Gaussian operator gives singular values in about 0.5 to 1.5, by theory.
    n, d = 16384, 64
    Q = orthonormal_input(form, n, d)
    np.testing.assert_allclose(Q.T @ Q, np.eye(d), atol=1e-12)
    worst = []
    for key in range(12):
        s = np.linalg.svd(KINDS[kind](4 * d, n, rng=key) @ Q, compute_uv=False)
        worst.append((s[-1], s[0]))
    low, high = np.array(worst).T
    assert np.median(low) > 0.45
    assert low.min() > 0.4
    assert high.max() < 1.6


@pytest.mark.parametrize(("part", "form"), [("places", "contiguous"), ("block_signs", "strided")])
def test_srht_needs_its_permutation_and_its_block_signs(part, form, monkeypatch):
    if part == "places":
        made = _BlockTransform.__init__

        def without(self, rows, r, blocks, key):
            made(self, rows, r, blocks, key)
            self.common = np.arange(r)

        monkeypatch.setattr(_BlockTransform, "__init__", without)
    else:
        monkeypatch.setattr(
            _BlockTransform,
            "block_signs",
            lambda self, first, last: np.ones((last - first, self.samples.size)),
        )
    Q = orthonormal_input(form, 16384, 64)
    smallest = [
        np.linalg.svd(SRHT(256, 16384, rng=key) @ Q, compute_uv=False)[-1] for key in range(12)
    ]
    assert min(smallest) < 0.2


def test_count_sketch_fails_on_coordinates_as_theory_says():
    # 64 coordinates in 256 rows: some pair collides almost surely (birthday).
    Q = orthonormal_input("contiguous", 16384, 64)
    smallest = [
        np.linalg.svd(CountSketch(256, 16384, rng=key) @ Q, compute_uv=False)[-1]
        for key in range(20)
    ]
    assert np.mean(np.array(smallest) < 1e-12) > 0.9


@pytest.mark.parametrize(
    "kind", ["gaussian", "rademacher", "sparse", "srht", "srht-exact", "srtt", "fastfood"]
)
def test_distortion_of_incoherent_subspaces(kind):
    n, d = 1000, 50
    m = 10 * d
    Q = orthonormal_input("incoherent", n, d)
    spread = 1.6 * math.sqrt(d / m)
    inside = 0
    for key in range(100):
        SQ = KINDS[kind](m, n, rng=key) @ Q
        s = np.sqrt(np.linalg.eigvalsh(SQ.T @ SQ))
        inside += bool(1 - spread <= s[0] and s[-1] <= 1 + spread)
    assert inside >= 95


def test_count_sketch_distortion_with_many_rows():
    n, d = 4000, 20
    Q = orthonormal_input("incoherent", n, d)
    for key in range(30):
        s = np.linalg.svd(CountSketch(d * d, n, rng=key) @ Q, compute_uv=False)
        assert s[-1] > 0.5
        assert s[0] < 1.6


def smallest_on_coordinates(make, m, d, step):
    """Smallest singular value on coordinates 0, step, 2 step, ... for each of 100 keys."""
    values = []
    for key in range(100):
        S = make(m, d * step, rng=key)
        if step == 1:
            SQ = S.columns(0, d)
        else:
            SQ = np.hstack([S.columns(i, i + 1) for i in range(0, d * step, step)])
        values.append(np.linalg.svd(SQ, compute_uv=False)[-1])
    return np.array(values)


@pytest.mark.parametrize(("d", "step"), [(64, 1), (64, 16), (64, 256), (32, 1024)])
def test_srht_on_aligned_coordinates(d, step):
    assert smallest_on_coordinates(SRHT, 4 * d, d, step).min() >= 0.42
    # The negative control: two coordinates meet almost surely.
    assert np.median(smallest_on_coordinates(CountSketch, 4 * d, d, step)) < 1e-12


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["srht-exact", "srtt", "rademacher"])
def test_other_dense_operators_embed_coherent_subspaces(kind, form):
    if (kind, form) == ("srtt", "strided"):
        pytest.skip("a cosine transform without a permutation, see the next test")
    n, d = 4096, 32
    Q = orthonormal_input(form, n, d)
    for key in range(6):
        s = np.linalg.svd(KINDS[kind](4 * d, n, rng=key) @ Q, compute_uv=False)
        assert s[-1] > 0.4
        assert s[0] < 1.65


def test_the_cosine_transform_is_worse_on_equally_spaced_rows():
    n, d = 16384, 64
    Q = orthonormal_input("strided", n, d)
    smallest = {
        make: np.median(
            [np.linalg.svd(make(4 * d, n, rng=key) @ Q, compute_uv=False)[-1] for key in range(9)]
        )
        for make in (SRTT, SRHT)
    }
    assert smallest[SRTT] < 0.45 < smallest[SRHT]
