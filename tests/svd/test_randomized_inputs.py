"""The truncated SVD on every kind of input, good and bad."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from lowapprox import ConvergenceWarning, InputError, InputTypeError, NumericalError
from lowapprox.svd import randomized_svd
from tests.reference import (
    CountedOperator,
    centred,
    error,
    orthonormality_defect,
    product,
    random_array,
    residuals,
    tail,
    with_spectrum,
)
from tests.strategies import (
    DENSE_FORMS,
    DTYPES,
    FORMS,
    OPERATOR_FORMS,
    SPARSE_FORMS,
    SPECTRA,
    matrices,
    quiet,
    scales,
    seeds,
    spectral_matrices,
)

METHODS = ("krylov", "subspace", "gram", "direct")


def harmonic(m, n, dtype=float, seed=0):
    s = SPECTRA["harmonic"](np.arange(float(min(m, n))))
    return with_spectrum(np.random.default_rng(seed), m, n, s, dtype)


def bytes_of(A):
    """All memory that an input refers to."""
    if isinstance(A, np.ndarray):
        base = A
        while isinstance(base.base, np.ndarray):
            base = base.base
        return [base.tobytes()]
    parts = [getattr(A, f, None) for f in ("data", "indices", "indptr", "row", "col", "offsets")]
    if isinstance(getattr(A, "coords", None), tuple):
        parts.extend(A.coords)
    return [x.tobytes() for x in parts if isinstance(x, np.ndarray)]


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


# ---- operators


class Vectors:
    """Only products with vectors."""

    def __init__(self, A):
        self.A, self.shape, self.dtype = A, A.shape, A.dtype

    def matvec(self, x):
        return self.A @ x

    def rmatvec(self, y):
        return self.A.conj().T @ y


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_object_with_vector_products(dtype):
    A = harmonic(90, 50, dtype)
    res = randomized_svd(Vectors(A), 5, accuracy="high", rng=0)
    assert res.U.dtype == dtype
    np.testing.assert_allclose(res.s, 1.0 / np.arange(1, 6), rtol=1e-5)


def test_an_operator_without_dtype():
    op = Vectors(harmonic(50, 40))
    del op.dtype
    np.testing.assert_allclose(randomized_svd(op, 2, rng=0, accuracy="high").s, [1, 0.5], rtol=1e-5)


@pytest.mark.parametrize("missing", ["attribute", "implementation"])
def test_an_operator_without_adjoint_is_refused(missing):
    A = harmonic(50, 40)
    op = LinearOperator(A.shape, matvec=lambda x: A @ x, dtype=float)
    if missing == "attribute":

        class Forward:
            shape, dtype = A.shape, A.dtype

            def matvec(self, x):
                return A @ x

        op = Forward()
    with pytest.raises(InputTypeError, match="rmat"):
        randomized_svd(op, 3, rng=0)


def test_an_operator_that_returns_its_argument():
    class Identity:
        shape, dtype = (60, 60), np.dtype(float)

        def matmat(self, X):
            return X

        rmatmat = matmat

    for method in ("krylov", "subspace"):
        for rank in (1, 9, 60):
            res = randomized_svd(Identity(), rank, method=method, rng=0)
            np.testing.assert_allclose(res.s, np.ones(rank), atol=1e-14)
            assert orthonormality_defect(res.U) < 1e-13
            np.testing.assert_allclose(res.U, res.Vh.T, atol=1e-13)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("certify", ["free", "probe", "none"])
@pytest.mark.parametrize("shape", [(400, 100), (100, 400), (200, 180)])
def test_products_are_counted(method, certify, shape):
    op = CountedOperator(harmonic(*shape))
    res = randomized_svd(op, 6, method=method, certify=certify, rng=0)
    assert op.columns == res.matvecs + 1  # one column more tells the scale
    assert np.isnan(res.error) == (certify == "none" and method != "direct")


class Passes(CountedOperator):
    """Counts the products too."""

    calls = 0

    def matmat(self, X):
        self.calls += 1
        return super().matmat(X)

    def rmatmat(self, Y):
        self.calls += 1
        return super().rmatmat(Y)


@pytest.mark.parametrize("shape", [(400, 100), (100, 400), (200, 180)])
@pytest.mark.parametrize("method", ["krylov", "subspace"])
@pytest.mark.parametrize("passes", [None, 4, 7, 12])
def test_passes_are_counted_and_kept(method, shape, passes):
    op = Passes(harmonic(*shape))
    with quiet():
        res = randomized_svd(
            op, 6, method=method, certify="none", accuracy="full", rng=0, passes=passes
        )
    assert op.calls == res.passes + 1
    if passes is not None:
        assert res.passes <= passes
        assert not res.converged


@pytest.mark.parametrize("method", ["krylov", "subspace"])
def test_nan_in_an_operator_is_refused(method):
    A = harmonic(60, 50)
    A[3, 4] = np.nan
    with pytest.raises(NumericalError, match="NaN"):
        randomized_svd(aslinearoperator(A), 3, method=method, rng=0)


def test_an_operator_that_lies_is_refused():
    A = harmonic(60, 50)

    class Short(CountedOperator):
        def rmatmat(self, Y):
            return super().rmatmat(Y)[:-1]

    with pytest.raises(InputError, match="shape"):
        randomized_svd(Short(A), 3, rng=0, method="krylov")

    class Complex(CountedOperator):
        def matmat(self, X):
            return super().matmat(X) + 1j

    with pytest.raises(InputTypeError, match="complex"):
        randomized_svd(Complex(A), 3, rng=0)


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
    """As a dense array it would take 800 GB."""
    gen = np.random.default_rng(0)
    m, n, nnz = 1_000_000, 100_000, 200_000
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


# ---- centring


@given(spectral_matrices(min_side=2), st.data(), st.sampled_from(METHODS), seeds)
def test_centring_equals_the_centred_matrix(made, data, method, seed):
    A = made.A + random_array(np.random.default_rng(seed), (1, made.A.shape[1]), made.A.dtype)
    A = A.astype(made.A.dtype)
    form = data.draw(st.sampled_from(["C", "F", "csr_array", "operator"]))
    rank = data.draw(st.integers(1, min(A.shape)))
    with quiet():
        res = randomized_svd(
            FORMS[form](A), rank, center=True, method=method, accuracy="full", rng=seed
        )
    exact = np.linalg.svd(centred(A), compute_uv=False)
    eps = float(np.finfo(A.dtype).eps)
    slack = 200 * np.sqrt(max(A.shape)) * eps * (exact[0] + float(np.linalg.norm(A)) / 10)
    if method == "subspace" and not res.converged:
        return
    np.testing.assert_allclose(res.s, exact[:rank], atol=slack)
    np.testing.assert_allclose(
        res.mean,
        A.astype(np.result_type(A, float)).mean(axis=0),
        atol=20 * eps * float(np.abs(A).max()),
    )
    assert error(A, res.reconstruct()) <= tail(centred(A), rank) + 10 * slack * np.sqrt(rank)
    np.testing.assert_allclose(
        res.transform(A), np.asarray(res.U) * res.s, atol=20 * slack + 2 * res.residuals.max()
    )
    share = res.explained_variance_ratio
    total = (exact**2).sum()
    if exact[0] > 1e3 * slack and form != "operator":
        np.testing.assert_allclose(share, exact[:rank] ** 2 / total, atol=1e-2)


@pytest.mark.parametrize("form", ["C", "csr_array", "operator"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_enormous_means(method, form, dtype):
    """The means exceed the rest by 1e4 or 1e8: values must not drown in their rounding."""
    gen = np.random.default_rng(0)
    ratio = 1e4 if dtype == np.float32 else 1e8
    A = (harmonic(300, 40) * 10 + ratio * (1 + gen.random(40))).astype(dtype)
    exact = np.linalg.svd(centred(A), compute_uv=False)
    with quiet():
        res = randomized_svd(FORMS[form](A), 5, center=True, method=method, accuracy="high", rng=0)
    slack = 50 * np.sqrt(300) * np.finfo(dtype).eps * ratio
    np.testing.assert_allclose(res.s, exact[:5], rtol=1e-4, atol=slack)
    assert res.fro_norm == pytest.approx(np.linalg.norm(exact), rel=1e-3) or form == "operator"


def test_constant_columns_centre_to_zero():
    A = np.tile(np.arange(1.0, 31.0), (50, 1))
    for form in ("C", "F", "csr_array", "array-api-strict"):
        res = randomized_svd(FORMS[form](A), 4, center=True, rng=0)
        np.testing.assert_allclose(np.asarray(res.s), 0, atol=1e-12)
        assert orthonormality_defect(np.asarray(res.U)) < 1e-13
        assert orthonormality_defect(np.asarray(res.Vh).T) < 1e-13
        np.testing.assert_allclose(np.asarray(res.reconstruct()), A, rtol=1e-14)


def test_centring_ignores_constants():
    A = harmonic(100, 60)
    plain = randomized_svd(A, 6, center=True, accuracy="full", rng=0)
    moved = A.copy()
    moved[:, 7] += 1e3
    res = randomized_svd(moved, 6, center=True, accuracy="full", rng=0)
    np.testing.assert_allclose(res.s, plain.s, atol=1e-11)


# ---- extreme values


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", ["C", "F", "csr_array", "operator", "array-api-strict"])
@pytest.mark.parametrize(
    ("dtype", "factor"),
    [
        (np.float64, 1e-200),
        (np.float64, 1e200),
        (np.float64, 2.0**1000),
        (np.float64, 2.0**-980),
        (np.float32, 1e-30),
        (np.float32, 1e30),
        (np.complex64, 1e30),
        (np.complex128, 1e-200),
    ],
)
@pytest.mark.parametrize("center", [False, True])
def test_extreme_scales(method, form, dtype, factor, center):
    factor = 2.0 ** np.round(np.log2(factor))
    A = harmonic(60, 50, dtype)
    res = randomized_svd(FORMS[form](A), 6, method=method, rng=0, center=center)
    scaled_A = (A * A.real.dtype.type(factor)).astype(dtype)
    scaled = randomized_svd(FORMS[form](scaled_A), 6, method=method, rng=0, center=center)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(np.asarray(scaled.s) / factor, res.s, atol=100 * eps)
    np.testing.assert_allclose(scaled.residuals / factor, res.residuals, rtol=0.1, atol=100 * eps)
    assert scaled.error / factor == pytest.approx(res.error, rel=1e-3)
    assert scaled.fro_norm / factor == pytest.approx(res.fro_norm, rel=1e-3)
    np.testing.assert_allclose(np.asarray(scaled.U), np.asarray(res.U), atol=2e4 * eps)
    if center:
        np.testing.assert_allclose(np.asarray(scaled.mean) / factor, res.mean, atol=10 * eps)


@given(spectral_matrices(scaled=True), st.data(), st.sampled_from(METHODS), seeds)
def test_scales(made, data, method, seed):
    A, s = made.A, made.s
    rank = data.draw(st.integers(1, min(A.shape)))
    with quiet():
        res = randomized_svd(A, rank, method=method, accuracy="high", rng=seed)
    eps = float(np.finfo(A.dtype).eps)
    assert orthonormality_defect(res.U) <= 100 * eps * np.sqrt(max(A.shape))
    slack = (100 + 10 * np.sqrt(max(A.shape))) * eps
    top = s[0] if s[0] > 0 else 1.0
    np.testing.assert_allclose(res.s / top, s[:rank] / top, atol=slack + 1e-3 * s[rank - 1] / top)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_subnormal_entries(method, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    A = np.zeros((60, 50), dtype)
    A[3, 4] = 40 * tiny
    A[5, 6] = 9 * tiny
    res = randomized_svd(A, 3, method=method, rng=0)
    np.testing.assert_array_equal(res.s, np.array([40 * tiny, 9 * tiny, 0], A.real.dtype))
    assert orthonormality_defect(res.U) < 1e3 * np.finfo(dtype).eps


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("huge", [1e8, 1e150, 1e300])
def test_one_huge_entry(method, huge):
    gen = np.random.default_rng(0)
    A = gen.standard_normal((60, 50))
    A[10, 20] = huge
    with quiet():
        res = randomized_svd(A, 3, method=method, accuracy="full", rng=0)
    exact = np.linalg.svd(A / huge, compute_uv=False)
    np.testing.assert_allclose(res.s / huge, exact[:3], atol=1e-14)
    assert np.isfinite(res.error)
    assert res.fro_norm == pytest.approx(huge)


@pytest.mark.parametrize("axis", ["row", "column"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(200, 150), (150, 200)])
def test_all_mass_in_one_line(axis, method, shape):
    A = np.zeros(shape)
    index = (17, slice(None)) if axis == "row" else (slice(None), 17)
    A[index] = np.random.default_rng(0).standard_normal(A[index].shape)
    res = randomized_svd(A, 4, method=method, rng=0)
    assert res.s[0] == pytest.approx(np.linalg.norm(A))
    np.testing.assert_allclose(res.s[1:], 0, atol=1e-13)
    assert orthonormality_defect(res.U) < 1e-13
    assert orthonormality_defect(res.Vh.T) < 1e-13
    assert res.rank == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", [*DENSE_FORMS, *SPARSE_FORMS, *OPERATOR_FORMS, "array-api-strict"])
@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_zero_matrix(method, form, dtype):
    for shape in ((30, 20), (20, 30), (1, 5), (5, 1), (1, 1)):
        k = min(3, *shape)
        res = randomized_svd(FORMS[form](np.zeros(shape, dtype)), k, method=method, rng=0)
        U, s, Vh = (np.asarray(x) for x in res)
        assert s.tolist() == [0.0] * k
        assert orthonormality_defect(U) < 10 * np.finfo(dtype).eps
        assert orthonormality_defect(Vh.conj().T) < 10 * np.finfo(dtype).eps
        assert (res.rank, res.error, res.converged) == (0, 0.0, True)
        assert not np.isnan(np.asarray(res.explained_variance_ratio)).any()


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0)])
@pytest.mark.parametrize("form", ["C", "csr_array", "operator"])
def test_empty(shape, form):
    for options in ({"rank": 0}, {"rank": 1}, {"tol": 0.1}):
        res = randomized_svd(FORMS[form](np.zeros(shape)), **options)
        assert res.U.shape == (shape[0], 0)
        assert res.Vh.shape == (0, shape[1])
        assert res.reconstruct().shape == shape
        assert res.error == 0


@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (1, 500), (500, 1), (2, 300)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_vectors(shape, method, dtype):
    A = random_array(np.random.default_rng(0), shape, dtype)
    k = min(shape)
    for form in ("C", "csr_array", "operator"):
        res = randomized_svd(FORMS[form](A), k, method=method, rng=0)
        eps = float(np.finfo(dtype).eps)
        exact = np.linalg.svd(A, compute_uv=False)
        np.testing.assert_allclose(res.s, exact, rtol=100 * eps)
        np.testing.assert_allclose(product(*res), A, atol=100 * eps * exact[0])


# ---- refusals


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize("form", [*DENSE_FORMS, *SPARSE_FORMS, "array-api-strict"])
def test_nan_is_refused(method, form, bad):
    A = harmonic(50, 40)
    A[3, 4] = bad
    with pytest.raises(InputError, match="finite"):
        randomized_svd(FORMS[form](A), 3, method=method, rng=0)
    with pytest.raises(InputError, match="finite"):
        randomized_svd(FORMS[form](A), 3, method=method, rng=0, center=True)


@pytest.mark.parametrize("dtype", [np.longdouble, np.clongdouble, object, "U3", "M8[s]"])
def test_dtypes_without_a_precision_are_refused(dtype):
    A = np.zeros((4, 3), dtype) if dtype is not object else np.array([[1, 2], [3, None]])
    with pytest.raises(InputTypeError, match="`A`"):
        randomized_svd(A, 1)


def test_other_objects_are_refused():
    for A in ("text", 3.0, None, {1: 2}):
        with pytest.raises((InputTypeError, InputError), match="`A`"):
            randomized_svd(A, 1)
    for A in (np.ones(4), np.ones((2, 2, 2)), scipy.sparse.coo_array([1.0, 2.0])):
        with pytest.raises(InputError, match="2 dimensions"):
            randomized_svd(A, 1)
    with pytest.raises(InputTypeError, match="masked"):
        randomized_svd(np.ma.masked_invalid([[1.0, np.nan], [3.0, 4.0]]), 1)
    with pytest.raises(InputTypeError, match="`A`"):
        randomized_svd([[1.0, 2.0], [3.0]], 1)


def test_dask_is_refused_with_a_hint():
    dask = pytest.importorskip("dask.array")
    with pytest.raises(InputTypeError, match="compute"):
        randomized_svd(dask.ones((4, 3)), 1)


def test_rank_is_checked():
    A = harmonic(7, 4)
    for bad in (0, -1, 5):
        with pytest.raises(InputError, match=rf"`rank` must .* got {bad}"):
            randomized_svd(A, bad)
    for bad in (1.5, "2", True):
        for tol in (None, 0.1):
            with pytest.raises(InputTypeError, match="`rank`"):
                randomized_svd(A, bad, tol=tol)
    with pytest.raises(InputError, match="`rank` or `tol`"):
        randomized_svd(A)
    assert randomized_svd(A, np.int8(2), rng=0).s.shape == (2,)
    assert randomized_svd(A, 100, tol=1e-9, rng=0).s.shape == (4,)  # only a cap


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("method", "lanczos"),
        ("norm", "nuclear"),
        ("accuracy", "best"),
        ("certify", "yes"),
        ("sign", "w"),
        ("oversample", -1),
        ("passes", 0),
        ("tol", 1.5),
        ("tol", 0.0),
        ("tol", -0.1),
        ("tol", np.nan),
    ],
)
def test_arguments_are_checked(name, bad):
    with pytest.raises(InputError, match=f"`{name}`"):
        randomized_svd(harmonic(7, 4), 2, **{name: bad})


def test_argument_types_are_checked():
    A = harmonic(7, 4)
    for name, bad in (("oversample", 1.5), ("passes", "3"), ("tol", "x")):
        with pytest.raises(InputTypeError, match=f"`{name}`"):
            randomized_svd(A, 2, **{name: bad})
    with pytest.raises(InputTypeError, match="RandomState"):
        randomized_svd(A, 2, rng=np.random.RandomState(0))
    with pytest.raises(InputError, match="norm='residual'"):
        randomized_svd(A, 2, norm="residual")
    for method in ("subspace", "single_pass"):
        with pytest.raises(InputError, match="`rank`"):
            randomized_svd(A, tol=0.1, method=method)


@pytest.mark.parametrize("method", ["krylov", "subspace"])
def test_too_few_passes_warn(method):
    A = harmonic(300, 250)
    with pytest.warns(ConvergenceWarning, match="passes"):
        res = randomized_svd(A, 5, accuracy="full", passes=4, method=method, rng=0)
    assert not res.converged
    assert res.passes == 4
    np.testing.assert_allclose(res.residuals, residuals(A, *res), rtol=1e-6, atol=1e-13)
    assert res.error == pytest.approx(error(A, res.reconstruct()), rel=1e-9)


@given(st.sampled_from(DTYPES), st.data())
def test_scaled_entries_are_exact(dtype, data):
    """A diagonal matrix keeps its values to the last bit under any power of two."""
    factor = data.draw(scales(dtype))
    A = np.diag(np.array([8.0, 4.0, 2.0, 1.0])).astype(dtype) * dtype.type(factor)
    res = randomized_svd(A, 4, method="direct")
    np.testing.assert_array_equal(res.s, np.array([8, 4, 2, 1]) * factor)
