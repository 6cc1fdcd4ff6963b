"""The truncated SVD on every kind of array and sparse matrix."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import InputTypeError
from lowapprox.svd import randomized_svd
from tests.reference import (
    error,
    orthonormality_defect,
    product,
    residuals,
    tail,
    with_spectrum,
)
from tests.strategies import (
    DTYPES,
    FORMS,
    SPARSE_FORMS,
    SPECTRA,
    bytes_of,
    matrices,
    quiet,
    seeds,
)
from tests.svd.problems import METHODS, harmonic

# ---- forms


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
@pytest.mark.parametrize("shape", [(60, 45), (40, 50)])
def test_forms_agree(form, method, dtype, shape):
    s = SPECTRA["geometric"](np.arange(float(min(shape))))
    A = with_spectrum(np.random.default_rng(0), *shape, s, dtype)
    given_A = FORMS[form](A)
    before, flags = bytes_of(given_A), getattr(given_A, "has_sorted_indices", None)
    res = randomized_svd(given_A, 4, accuracy="high", rng=0, method=method)
    assert bytes_of(given_A) == before
    assert getattr(given_A, "has_sorted_indices", None) == flags
    U, s, Vh = (np.asarray(x) for x in res)
    eps = float(np.finfo(dtype).eps)
    assert U.dtype == Vh.dtype == dtype
    assert s.dtype == A.real.dtype
    exact = np.linalg.svd(A.astype(np.result_type(A, float)), compute_uv=False)
    np.testing.assert_allclose(s, exact[:4], atol=1e-6 * s[3] + 20 * eps)
    # Signs too, so that the vectors agree to the residual over the gap.
    expected = randomized_svd(A, 4, method="direct")
    np.testing.assert_allclose(U, expected.U, atol=0.02)
    np.testing.assert_allclose(Vh, expected.Vh, atol=0.02)


@given(matrices(), st.data(), st.sampled_from([f for f in FORMS if f != "array-api-strict"]), seeds)
def test_all_forms_of_all_matrices(A, data, form, seed):
    rank = data.draw(st.integers(1, min(A.shape)))
    given_A = FORMS[form](A)
    before = bytes_of(given_A)
    with quiet():
        res = randomized_svd(given_A, rank, method="krylov", accuracy="full", rng=seed)
    assert bytes_of(given_A) == before
    assert res.converged
    exact = np.linalg.svd(A.astype(np.result_type(A, float)), compute_uv=False)
    slack = (60 + 10 * np.sqrt(max(A.shape))) * float(np.finfo(A.dtype).eps) * exact[0]
    np.testing.assert_allclose(res.s, exact[:rank], atol=slack)
    assert error(A, product(*res)) <= tail(A, rank) + np.sqrt(min(A.shape)) * slack
    np.testing.assert_allclose(res.residuals, residuals(A, *res), atol=slack)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.bool_])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", ["dense", "csr", "list"])
def test_integers_compute_in_double(dtype, method, form):
    gen = np.random.default_rng(0)
    A = gen.integers(0, 2 if dtype == np.bool_ else 120, (50, 40)).astype(dtype)
    given_A = {"dense": A, "csr": scipy.sparse.csr_array(A), "list": A.tolist()}[form]
    res = randomized_svd(given_A, 40, rng=0, method=method)
    assert res.U.dtype == res.s.dtype == np.float64
    exact = np.linalg.svd(A.astype(float), compute_uv=False)
    np.testing.assert_allclose(res.s, exact, atol=1e-12 * exact[0])


def test_integers_do_not_overflow():
    A = np.full((30, 20), 127, np.int8)
    res = randomized_svd(A, 1, rng=0, method="krylov")
    assert res.s[0] == pytest.approx(127 * np.sqrt(600))
    big = np.full((30, 20), 2**62, np.int64)
    assert randomized_svd(big, 1, rng=0).s[0] == pytest.approx(2.0**62 * np.sqrt(600))


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_computes_in_single(method):
    A = harmonic(60, 50).astype(np.float16)
    res = randomized_svd(A, 5, rng=0, method=method)
    assert res.U.dtype == res.s.dtype == np.float32
    exact = np.linalg.svd(A.astype(float), compute_uv=False)
    np.testing.assert_allclose(res.s, exact[:5], rtol=1e-3)


def test_memmap_is_read_only(tmp_path):
    A = harmonic(300, 200)
    A.tofile(tmp_path / "A")
    mapped = np.memmap(tmp_path / "A", dtype=float, shape=A.shape, mode="r")
    for method in METHODS:
        res = randomized_svd(mapped, 5, method=method, accuracy="high", rng=0)
        np.testing.assert_allclose(res.s, 1.0 / np.arange(1, 6), rtol=1e-5)
    np.testing.assert_array_equal(np.fromfile(tmp_path / "A").reshape(A.shape), A)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_torch(method, dtype):
    torch = pytest.importorskip("torch")
    A = harmonic(70, 60, dtype)
    given_A = torch.from_numpy(A.copy()).requires_grad_()
    res = randomized_svd(given_A, 5, rng=0, method=method, accuracy="high", center=True)
    numpy = randomized_svd(A, 5, rng=0, method=method, accuracy="high", center=True)
    for x, y in zip((*res, res.mean), (*numpy, numpy.mean), strict=True):
        assert isinstance(x, torch.Tensor)
        np.testing.assert_allclose(
            x.detach().resolve_conj().numpy(), y, atol=1e4 * np.finfo(dtype).eps
        )
    np.testing.assert_array_equal(given_A.detach().numpy(), A)
    scores = res.transform(given_A.detach())
    np.testing.assert_allclose(scores.numpy(), numpy.transform(A), atol=1e4 * np.finfo(dtype).eps)


def test_torch_half_and_integers():
    torch = pytest.importorskip("torch")
    A = harmonic(40, 30, np.float32)
    for dtype in (torch.float16, torch.bfloat16):
        res = randomized_svd(torch.from_numpy(A).to(dtype), 3, rng=0)
        assert res.U.dtype == res.s.dtype == torch.float32
        np.testing.assert_allclose(res.s.numpy(), [1, 0.5, 1 / 3], rtol=1e-2)
    whole = torch.arange(12).reshape(4, 3)
    assert randomized_svd(whole, 2, rng=0).U.dtype == torch.float64


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_array_api_strict(method, dtype):
    xp = pytest.importorskip("array_api_strict")
    A = harmonic(40, 60, dtype)
    res = randomized_svd(xp.asarray(A.copy()), 5, rng=0, method=method, certify="probe")
    numpy = randomized_svd(A, 5, rng=0, method=method)
    assert all(type(x) is type(xp.asarray(0)) for x in res)
    np.testing.assert_allclose(np.asarray(res.s), numpy.s, rtol=1e-3)
    approximation = np.asarray(res.reconstruct())
    np.testing.assert_allclose(approximation, numpy.reconstruct(), atol=0.05)


def test_torch_and_numpy_do_not_mix():
    torch = pytest.importorskip("torch")
    res = randomized_svd(torch.eye(4), 2, rng=0)
    with pytest.raises((TypeError, InputTypeError)):
        res.transform(np.ones((3, 4)))


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("wrap", [np.matrix, np.ndarray.tolist, np.ma.masked_array, "DataFrame"])
def test_dense_wrappers(wrap):
    if wrap == "DataFrame":
        wrap = pytest.importorskip("pandas").DataFrame
    A = harmonic(40, 30)
    expected = randomized_svd(A, 3, rng=0)
    res = randomized_svd(wrap(A), 3, rng=0)
    assert type(res.U) is np.ndarray
    np.testing.assert_allclose(res.U, expected.U, atol=1e-12)


# ---- sparse matrices


@pytest.mark.parametrize("name", SPARSE_FORMS)
def test_empty_rows_and_columns(name):
    A = harmonic(60, 50)
    A[::3] = 0
    A[:, ::7] = 0
    res = randomized_svd(SPARSE_FORMS[name](A), 8, accuracy="full", rng=0, method="krylov")
    np.testing.assert_allclose(res.s, np.linalg.svd(A, compute_uv=False)[:8], atol=1e-13)
    np.testing.assert_allclose(res.U[::3], 0, atol=1e-14)
    np.testing.assert_allclose(res.Vh[:, ::7], 0, atol=1e-14)


@pytest.mark.parametrize("method", ["krylov", "subspace"])
@pytest.mark.parametrize("center", [False, True])
def test_a_huge_sparse_matrix_is_never_dense(method, center):
    """As a dense array it would take 72 GB."""
    gen = np.random.default_rng(0)
    m, n, nnz = 300_000, 30_000, 60_000
    A = scipy.sparse.coo_array(
        (gen.standard_normal(nnz), (gen.integers(0, m, nnz), gen.integers(0, n, nnz))), shape=(m, n)
    ).tocsr()
    tracemalloc.start()
    with quiet():
        res = randomized_svd(
            A,
            3,
            method=method,
            center=center,
            passes=9,
            accuracy="fast",
            certify="none",
            rng=0,
            oversample=5,
        )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The long vectors count: k + 5 of them or a block of eight, a few copies at once.
    assert peak < 10 * 8 * (m + n) * 8
    assert (res.U.shape, res.Vh.shape) == ((m, 3), (3, n))
    assert orthonormality_defect(res.U) < 1e-12


def test_identity_of_huge_size():
    n = 200_000
    A = scipy.sparse.eye_array(n, format="dia") * 2.0
    res = randomized_svd(A, 2, rng=0)
    np.testing.assert_allclose(res.s, 2.0, rtol=1e-13)
    assert res.error == pytest.approx(2 * np.sqrt(n - 2))


# ---- memory


@pytest.mark.parametrize("method", ["krylov", "subspace"])
@pytest.mark.parametrize("form", ["C", "F", pytest.param("csr_array", marks=pytest.mark.large)])
def test_memory(method, form):
    """No copy of the matrix, and work arrays of the size that the recipe states."""
    m, n, k = 3000, 2000, 10
    A = np.random.default_rng(0).standard_normal((m, n))
    given_A = FORMS[form](A)
    with quiet():
        run = lambda: randomized_svd(given_A, k, method=method, passes=6, accuracy="fast", rng=0)  # noqa: E731
        run()
        tracemalloc.start()
        res = run()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    size = max(res.info["dimension"], 4 * k + 64 + 16) if method == "krylov" else 3 * (k + 10)
    blocks = 16 << 20  # norms are summed over blocks of 8 MiB
    assert peak <= 1.2 * 8 * (m + n) * (size + 2 * k + 3 * 32) + blocks
    assert peak < A.nbytes / 2
