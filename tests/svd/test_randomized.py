"""The truncated SVD against the mathematics: accuracy, optimality, invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import thread_limit
from lowapprox.svd import randomized_svd
from tests.reference import (
    error,
    orthonormal,
    orthonormality_defect,
    product,
    residuals,
    tail,
    with_spectrum,
)
from tests.strategies import (
    DTYPES,
    SPECTRA,
    dtypes,
    matrices,
    quiet,
    seeds,
    spectral_matrices,
)
from tests.svd.problems import METHODS

LEVELS = {"fast": 0.15, "balanced": 0.02, "high": 1e-3}


def rounding(A, top):
    """What rounding may do to a value: sqrt(N) steps, and the 50 eps at which xBDSQR stops."""
    return (60 + 10 * np.sqrt(max(A.shape))) * float(np.finfo(A.dtype).eps) * top


def assert_true(A, res):
    """Everything that the result claims, recomputed in double."""
    m, n = A.shape
    k = res.s.shape[0]
    U, s, Vh = (np.asarray(x) for x in res)
    eps = float(np.finfo(A.dtype).eps)
    assert (U.shape, Vh.shape) == ((m, k), (k, n))
    assert U.dtype == Vh.dtype == A.dtype
    assert s.dtype == A.real.dtype
    for Q in (U, Vh.conj().T):
        assert orthonormality_defect(Q) <= 20 * eps * np.sqrt(max(m, n) * k)
    assert np.isfinite(s).all()
    assert (s >= 0).all()
    assert (np.diff(s) <= 0).all()
    exact = np.linalg.svd(A.astype(np.result_type(A, float)), compute_uv=False)
    slack = rounding(A, exact[0])
    assert (s <= exact[:k] + slack).all()  # Cauchy interlacing
    measured = residuals(A, U, s, Vh)
    if res.converged:
        np.testing.assert_allclose(res.residuals, measured, rtol=1e-2, atol=slack)
    else:  # the last product went into the triplets: an upper bound
        assert (measured <= 1.01 * res.residuals + slack).all()
    # By Weyl, a singular value lies within each residual.
    nearest = np.abs(exact[:, None] - s).min(axis=0)
    assert (nearest <= res.residuals + slack).all()
    assert res.fro_norm == pytest.approx(float(np.linalg.norm(exact)), rel=1e-4, abs=1e-300)
    true = error(A, product(U, s, Vh))
    slack *= np.sqrt(min(m, n))
    assert true >= tail(A, k) - slack  # Eckart-Young
    assert error(A, product(U, s, Vh), "spectral") >= tail(A, k, "spectral") - slack
    if res.error_kind == "exact":
        assert res.error == pytest.approx(true, rel=1e-2, abs=slack)
    elif res.error_kind == "bound":
        assert true <= res.error + slack
    else:  # ten Gaussian probes: a factor 5 below has probability 1e-6, one of 3 above less
        assert true / 5 - slack <= res.error <= 3 * true + slack
    return exact, measured


@given(matrices(), st.data(), st.sampled_from(METHODS), seeds)
def test_what_is_returned_is_true(A, data, method, seed):
    rank = data.draw(st.integers(1, min(A.shape)))
    accuracy = data.draw(st.sampled_from([*LEVELS, "full"]))
    with quiet():
        res = randomized_svd(A, rank, method=method, accuracy=accuracy, rng=seed)
    assert res.s.shape == (rank,)
    exact, measured = assert_true(A, res)
    slack = rounding(A, exact[0])
    if not res.converged:  # gaps below rounding
        assert (method, accuracy) == ("subspace", "full")
        return
    if accuracy in LEVELS:
        assert measured.max() <= LEVELS[accuracy] * res.s[-1] + slack
    if accuracy == "full" or method == "direct" or rank == min(A.shape):
        np.testing.assert_allclose(res.s, exact[:rank], atol=slack)
        assert res.rank == np.count_nonzero(res.s > max(A.shape) * np.finfo(A.dtype).eps * res.s[0])


@given(matrices(min_side=2), seeds, st.sampled_from(METHODS))
def test_exact_at_the_rank_of_the_matrix(A, seed, method):
    exact = np.linalg.svd(A, compute_uv=False)
    slack = rounding(A, exact[0]) * np.sqrt(min(A.shape))
    full = max(np.count_nonzero(exact > slack), 1)
    for rank in {full, min(full + 2, *A.shape), min(A.shape)}:
        with quiet():
            res = randomized_svd(A, rank, method=method, accuracy="high", rng=seed)
        assert error(A, product(*res)) <= tail(A, rank) * 1.001 + slack
        assert orthonormality_defect(res.U) < 1e3 * np.finfo(A.dtype).eps
        assert orthonormality_defect(res.Vh.conj().T) < 1e3 * np.finfo(A.dtype).eps


# ---- larger matrices, where the Krylov space is a small part of the whole one


@pytest.mark.parametrize("shape", [(400, 300), (250, 400)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spectrum", ["harmonic", "root", "geometric", "step", "repeated"])
def test_full_accuracy_equals_lapack(spectrum, dtype, shape):
    s = SPECTRA[spectrum](np.arange(float(min(shape))))
    A = with_spectrum(np.random.default_rng(0), *shape, s, dtype)
    res = randomized_svd(A, 12, method="krylov", accuracy="full", rng=1)
    assert res.converged
    assert_true(A, res)
    np.testing.assert_allclose(res.s, s[:12], atol=50 * np.finfo(dtype).eps)


@pytest.mark.parametrize("method", ["krylov", "subspace"])
@pytest.mark.parametrize("spectrum", ["harmonic", "root", "geometric"])
def test_presets_buy_their_excess(spectrum, method):
    """Relative Frobenius excess over the optimum, as the user guide states it."""
    s = SPECTRA[spectrum](np.arange(300.0))
    A = with_spectrum(np.random.default_rng(0), 400, 300, s)
    best = tail(A, 20)
    floor = 1e-14 * np.linalg.norm(s) / best
    for accuracy, excess in {"fast": 2e-2, "balanced": 1e-3, "high": 1e-5}.items():
        for seed in range(3):
            res = randomized_svd(A, 20, method=method, accuracy=accuracy, rng=seed)
            assert res.converged
            _, measured = assert_true(A, res)
            assert measured.max() <= LEVELS[accuracy] * res.s[-1] + 1e-13
            assert 1 - floor <= error(A, product(*res)) / best <= 1 + excess + floor


def test_leading_subspaces_equal_lapack():
    s = 1.0 / np.arange(1.0, 301)
    A = with_spectrum(np.random.default_rng(0), 400, 300, s, complex)
    U, _, Vh = np.linalg.svd(A)
    for method in METHODS:
        res = randomized_svd(A, 8, method=method, accuracy="high", rng=0)
        # Davis-Kahan: the sine is at most the residual over the gap.
        sine = res.residuals.max() / (s[7] - s[8]) * 4 + 1e-12
        for Q, exact in ((res.U, U[:, :8]), (res.Vh.conj().T, Vh[:8].conj().T)):
            assert np.linalg.norm(Q - exact @ (exact.conj().T @ Q), 2) <= sine


@pytest.mark.parametrize("rank", [1, 7, 40])
@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_wider_than_a_block(dtype, rank):
    """Values more often repeated than a block has columns: found by fresh random directions."""
    gen = np.random.default_rng(3)
    for s in (
        np.r_[np.ones(8), np.full(162, 0.1)],
        np.ones(170),
        np.r_[np.ones(60), np.zeros(110)],
    ):
        A = with_spectrum(gen, 200, 170, s, dtype)
        res = randomized_svd(A, rank, method="krylov", accuracy="high", rng=0)
        exact, _ = assert_true(A, res)
        assert res.converged
        np.testing.assert_allclose(res.s, exact[:rank], atol=2 * rounding(A, exact[0]))


@pytest.mark.parametrize("form", ["identity", "projector", "permutation", "ones", "one entry"])
def test_plain_matrices(form):
    gen = np.random.default_rng(0)
    A = {
        "identity": np.eye(180, 150),
        "projector": np.diag(np.r_[np.ones(50), np.zeros(100)]),
        "permutation": np.eye(150)[gen.permutation(150)],
        "ones": np.ones((160, 150)),
        "one entry": np.where(np.arange(160 * 150).reshape(160, 150) == 777, 3.0, 0.0),
    }[form]
    for rank in (1, 5, 40, 150):
        res = randomized_svd(A, rank, method="krylov", accuracy="full", rng=0)
        exact, _ = assert_true(A, res)
        assert res.converged
        np.testing.assert_allclose(res.s, exact[:rank], atol=rounding(A, exact[0]))


# ---- more work is never worse


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ["krylov", "subspace"])
def test_error_falls_with_work(method, dtype):
    A = with_spectrum(np.random.default_rng(0), 300, 200, SPECTRA["root"](np.arange(200.0)), dtype)
    eps = float(np.finfo(dtype).eps)
    errors, worst = [], []
    for passes in (2, 4, 6, 10, 16, 24):
        with quiet():
            res = randomized_svd(A, 20, method=method, accuracy="full", passes=passes, rng=5)
        assert res.passes <= passes
        assert res.s.shape == (20,)
        errors.append(error(A, product(*res)))
        assert_true(A, res)
        worst.append(res.residuals[0])
    assert (np.diff(errors) <= 100 * eps).all()
    assert worst[-1] <= worst[0]


@given(spectral_matrices(min_side=10), st.sampled_from(METHODS), seeds)
def test_error_falls_with_rank(made, method, seed):
    A = made.A
    size = min(A.shape)
    with quiet():
        res = randomized_svd(A, size, method=method, rng=seed)
    errors = [error(A, product(*res.truncate(k))) for k in range(0, size + 1, 3)]
    slack = rounding(A, 1.0) * np.sqrt(size)
    assert (np.diff(errors) <= slack).all()
    for k, true in zip(range(0, size + 1, 3), errors, strict=True):
        cut = res.truncate(k)
        if cut.error_kind == "exact":
            assert cut.error == pytest.approx(true, abs=slack)
        assert true <= cut.error + slack


# ---- equivariance


@given(spectral_matrices(min_side=2), st.data(), st.sampled_from(METHODS), seeds)
def test_invariances(made, data, method, seed):
    A, gen = made.A, np.random.default_rng(seed)
    m, n = A.shape
    rank = data.draw(st.integers(1, min(m, n)))
    slack = 2 * rounding(A, 1.0)

    def values(B, k=rank):
        with quiet():
            return np.asarray(randomized_svd(B, k, method=method, accuracy="full", rng=seed).s)

    s = values(A)
    if method == "subspace":  # not made for rounding level
        slack = max(slack, 1e-3 if A.real.dtype == np.float32 else 1e-7)
    np.testing.assert_allclose(values(A.conj().T), s, atol=slack)
    np.testing.assert_allclose(values(A[gen.permutation(m)][:, gen.permutation(n)]), s, atol=slack)
    np.testing.assert_allclose(values(A * gen.choice([-1, 1], n).astype(A.dtype)), s, atol=slack)
    turned = orthonormal(gen, m, m, A.dtype) @ A @ orthonormal(gen, n, n, A.dtype)
    np.testing.assert_allclose(values(turned), s, atol=2 * slack)
    np.testing.assert_allclose(values(np.vstack([A, np.zeros_like(A)])), s, atol=slack)
    np.testing.assert_allclose(values(np.hstack([A, A])), s * np.sqrt(2), atol=2 * slack)
    twice = values(np.kron(A, np.eye(2, dtype=A.dtype)), 2 * rank)
    np.testing.assert_allclose(twice, np.repeat(s, 2), atol=2 * slack)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
def test_powers_of_two_scale_exactly(method, dtype):
    A = with_spectrum(np.random.default_rng(0), 70, 50, SPECTRA["harmonic"](np.arange(50.0)), dtype)
    res = randomized_svd(A, 6, method=method, rng=0)
    for exponent in (-12, 1, 20):
        other = randomized_svd(A * dtype.type(2.0**exponent), 6, method=method, rng=0)
        np.testing.assert_array_equal(np.ldexp(other.s, -exponent), res.s)
        np.testing.assert_array_equal(other.U, res.U)
        np.testing.assert_array_equal(other.Vh, res.Vh)


@given(spectral_matrices(min_side=2, spectra=("harmonic", "geometric")), st.data(), seeds)
def test_adjoint_swaps_the_factors(made, data, seed):
    A = made.A
    rank = data.draw(st.integers(1, min(A.shape)))
    res = randomized_svd(A, rank, accuracy="full", rng=seed, sign="u")
    swapped = randomized_svd(A.conj().T, rank, accuracy="full", rng=seed, sign="v")
    gaps = np.diff(np.r_[made.s, 0.0][: rank + 1])
    slack = 200 * float(np.finfo(A.dtype).eps) * max(A.shape) / np.abs(gaps).min()
    if slack < 0.1:
        np.testing.assert_allclose(swapped.U.conj().T, res.Vh, atol=slack)
        np.testing.assert_allclose(swapped.Vh.conj().T, res.U, atol=slack)


# ---- signs, seeds, threads


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(60, 40), (40, 60)])
def test_sign_convention(shape, dtype):
    A = with_spectrum(np.random.default_rng(0), *shape, SPECTRA["harmonic"](np.arange(40.0)), dtype)
    plain = randomized_svd(A, 6, accuracy="full", sign="none", rng=0)
    for sign in ("auto", "u", "v"):
        res = randomized_svd(A, 6, accuracy="full", sign=sign, rng=0)
        on_u = sign == "u" or (sign == "auto" and shape[0] < shape[1])
        X = res.U if on_u else res.Vh.conj().T
        eps = float(np.finfo(dtype).eps)
        size = np.abs(X)
        window = size >= (1 - 32 * np.sqrt(eps)) * size.max(axis=0)
        first = X[window.argmax(axis=0), np.arange(6)]
        np.testing.assert_allclose(first.imag, 0, atol=4 * eps)
        assert (first.real > 0).all()
        np.testing.assert_allclose(product(*res), product(*plain), atol=20 * eps)


def test_sign_of_vectors_with_equal_entries():
    """Rounding must not pick the entry: the first of all equal ones is positive."""
    j = np.arange(64)
    signs = np.array([(-1.0) ** np.bitwise_count(j & r) for r in (5, 11, 38)]) / 8
    A = (signs.T * [3.0, 2.0, 1.0]) @ signs
    for seed in range(10):
        res = randomized_svd(A, 3, method="krylov", accuracy="full", rng=seed)
        np.testing.assert_allclose(res.Vh, signs, atol=1e-14)


def test_seeds_agree_on_separated_values():
    A = with_spectrum(np.random.default_rng(0), 200, 150, SPECTRA["geometric"](np.arange(150.0)))
    one = randomized_svd(A, 8, accuracy="full", rng=1, method="krylov")
    for seed, method in ((2, "krylov"), (3, "krylov"), (4, "direct"), (5, "subspace")):
        two = randomized_svd(A, 8, accuracy="full", rng=seed, method=method)
        np.testing.assert_allclose(two.U, one.U, atol=1e-8)
        np.testing.assert_allclose(two.Vh, one.Vh, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_bits(method):
    A = with_spectrum(np.random.default_rng(0), 150, 140, SPECTRA["harmonic"](np.arange(140.0)))
    runs = [
        randomized_svd(A, 9, method=method, certify="probe", rng=rng)
        for rng in (7, 7, np.random.default_rng(7), np.random.SeedSequence(7))
    ]
    for other in runs[1:]:
        for x, y in zip(runs[0], other, strict=True):
            np.testing.assert_array_equal(x, y)
        assert other.error_bound == runs[0].error_bound
        np.testing.assert_array_equal(other.residuals, runs[0].residuals)


def test_a_generator_advances():
    A = with_spectrum(np.random.default_rng(0), 150, 140, SPECTRA["root"](np.arange(140.0)))
    gen = np.random.default_rng(7)
    one, two = (randomized_svd(A, 3, method="krylov", accuracy="fast", rng=gen) for _ in range(2))
    assert np.abs(one.s - two.s).max() > 1e-12


@pytest.mark.parametrize("form", ["dense", pytest.param("sparse", marks=pytest.mark.large)])
def test_threads_change_nothing_beyond_rounding(form):
    gen = np.random.default_rng(0)
    A = with_spectrum(gen, 400, 300, SPECTRA["harmonic"](np.arange(300.0)))
    if form == "sparse":
        import scipy.sparse

        A = scipy.sparse.random_array((3000, 1000), density=0.4, rng=gen, format="csr")
        A.data += 1.0
    results = []
    for threads in (1, 2, 4):
        with thread_limit(threads):
            results.append(randomized_svd(A, 5, method="krylov", accuracy="high", rng=0))
    for other in results[1:]:
        assert other.matvecs == results[0].matvecs
        np.testing.assert_allclose(other.s, results[0].s, rtol=1e-12)
        np.testing.assert_allclose(
            product(*other), product(*results[0]), atol=1e-10 * results[0].s[0]
        )


@given(dtypes(), seeds)
def test_numerical_rank(dtype, seed):
    gen = np.random.default_rng(seed)
    A = with_spectrum(gen, 40, 30, np.array([1.0, 0.5, 0.25]), dtype)
    with quiet():
        assert randomized_svd(A, 10, rng=seed, method="krylov").rank == 3
        assert randomized_svd(A, 10, rng=seed, method="direct").rank == 3
        assert randomized_svd(A, 2, rng=seed).rank == 2
