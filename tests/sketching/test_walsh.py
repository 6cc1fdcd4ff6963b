"""The fast Walsh-Hadamard transform, and the operators made of it against explicit matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from lowapprox._core.errors import InputError, InputTypeError
from lowapprox.sketching import SRHT, SRTT, Fastfood, fwht
from lowapprox.sketching.fastfood import _chi
from lowapprox.sketching.hadamard import parity_signs
from tests.reference import random_array
from tests.sketching.kinds import kernels, tolerance
from tests.strategies import dtypes, seeds

axes = st.sampled_from([0, 1, 2, -1, -2, -3])


@given(seeds, st.integers(0, 9), axes, dtypes(), st.booleans())
@settings(max_examples=60)
def test_fwht_is_the_product_with_the_hadamard_matrix(seed, p, axis, dtype, compiled):
    gen = np.random.default_rng(seed)
    shape = [int(s) for s in gen.integers(1, 20, 3)]
    shape[axis] = n = 1 << p
    x = random_array(gen, tuple(shape), dtype)
    before = x.copy()
    with kernels(compiled):
        got, again = fwht(x, axis), fwht(fwht(x, axis), axis)
    exact = np.moveaxis(np.tensordot(scipy.linalg.hadamard(n), x, (1, axis)), 0, axis)
    tol = tolerance(dtype) * math.sqrt(n) * np.abs(exact).max()
    assert got.dtype == dtype
    np.testing.assert_allclose(got, exact, rtol=0, atol=tol)
    np.testing.assert_allclose(again, n * x, rtol=0, atol=math.sqrt(n) * tol)
    assert np.linalg.norm(got) == pytest.approx(math.sqrt(n) * np.linalg.norm(x), rel=1e-4)
    np.testing.assert_array_equal(x, before)


@pytest.mark.large
@pytest.mark.parametrize("shape", [(2**15, 1), (2**15, 3), (2**13, 8), (2**12, 37), (2**14, 16)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
def test_large_and_small_transforms_agree(shape, dtype):
    x = random_array(np.random.default_rng(0), shape, dtype)
    with kernels(True):
        large = fwht(x)
    with kernels(False):
        small = fwht(x)
    np.testing.assert_allclose(large, small, rtol=0, atol=tolerance(dtype) * np.abs(small).max())


@pytest.mark.large
@pytest.mark.parametrize("k", [1, 3, 40])
def test_nan_and_infinity_stay_in_their_column(k):
    x = np.ones((4096, k))
    x[7, 0], x[9, k - 1] = np.nan, np.inf
    for compiled in (False, True):
        with kernels(compiled):
            got = fwht(x)
        assert not np.isfinite(got[:, [0, k - 1]]).any()
        assert np.isfinite(got[:, 1 : k - 1]).all()


@pytest.mark.parametrize("compiled", [False, True])
def test_fwht_into_out(compiled):
    x = np.random.default_rng(0).standard_normal((64, 5, 3))
    with kernels(compiled):
        exact = fwht(x)
        out = np.empty_like(x)
        assert fwht(x, out=out) is out
        np.testing.assert_array_equal(out, exact)
        far = np.empty((3, 5, 64)).T
        assert fwht(x, out=far) is far
        np.testing.assert_array_equal(far, exact)
        same = x.copy()
        assert fwht(same, out=same) is same
        np.testing.assert_array_equal(same, exact)
        np.testing.assert_array_equal(fwht(x.T, -1), exact.T)


def test_fwht_of_other_numbers_and_namespaces():
    assert fwht(np.array([1, 2], np.int8)).tolist() == [3.0, -1.0]
    assert fwht([True, False]).dtype == np.float64
    assert fwht(np.ones(4, np.float16)).dtype == np.float32
    assert fwht(np.ones(4, ">f8")).tolist() == [4.0, 0.0, 0.0, 0.0]
    assert fwht(np.zeros((4, 0))).shape == (4, 0)
    x = np.random.default_rng(0).standard_normal((3, 16))
    xp = pytest.importorskip("array_api_strict")
    device = xp.Device("device1")
    got = fwht(xp.asarray(x, device=device), 1)
    assert got.device == device
    got = np.asarray(xp.asarray(got, device=xp.Device("CPU_DEVICE")))
    np.testing.assert_allclose(got, fwht(x, 1), rtol=0, atol=1e-14 * 16)
    assert fwht(xp.zeros((4, 0))).shape == (4, 0)


def test_fwht_of_tensors():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((3, 16))
    got = fwht(torch.from_numpy(x), 1)
    assert isinstance(got, torch.Tensor)
    np.testing.assert_allclose(got.numpy(), fwht(x, 1), rtol=0, atol=1e-14 * 16)
    assert fwht(torch.ones(4, dtype=torch.bfloat16)).dtype == torch.float32


BAD_CALLS = {
    "`x` must have a power of two": (InputError, lambda: fwht(np.ones(6))),
    "`x` must have a power of two as length along axis 0, got 0": (
        InputError,
        lambda: fwht(np.ones(0)),
    ),
    "`x` must have at least one dimension": (InputError, lambda: fwht(np.float64(1.0))),
    "`axis` must be in": (InputError, lambda: fwht(np.ones((2, 2)), 2)),
    "`axis` must be an integer": (InputTypeError, lambda: fwht(np.ones((2, 2)), 0.5)),
    "`x` must have a boolean": (InputTypeError, lambda: fwht(np.ones(2, object))),
    "`x` must be an array, got dict": (InputTypeError, lambda: fwht({})),
    "`x` must be an array, got csr_array": (
        InputTypeError,
        lambda: fwht(scipy.sparse.csr_array(np.eye(2))),
    ),
    "`x` has masked": (InputTypeError, lambda: fwht(np.ma.masked_less([1.0, 2.0], 1.5))),
    "`out` must be a float64 NumPy array": (
        InputTypeError,
        lambda: fwht(np.ones(2), out=np.empty(2, np.float32)),
    ),
    "`out` must have shape": (InputError, lambda: fwht(np.ones(2), out=np.empty(3))),
}


@pytest.mark.parametrize("message", BAD_CALLS)
def test_refusals(message):
    error, call = BAD_CALLS[message]
    with pytest.raises(error) as info:
        call()
    assert str(info.value).startswith(message)


def test_refusals_of_other_libraries():
    xp = pytest.importorskip("array_api_strict")
    with pytest.raises(InputTypeError, match="`out` must be None"):
        fwht(xp.ones(2), out=np.empty(2))
    da = pytest.importorskip("dask.array")
    with pytest.raises(InputTypeError, match="Dask"):
        fwht(da.ones(2))


# The textbook transform


@pytest.mark.parametrize("n", [1, 2, 3, 5, 17, 1000, 1024, 1025])
@pytest.mark.parametrize("block", [None, 1, 4, 64, 2048])
def test_exact_srht_is_its_formula(n, block):
    m = 12
    S = SRHT(m, n, block=block, exact=True, rng=n)
    r = S.block
    N = max(1 << max(n - 1, 0).bit_length(), r)
    H, exact = scipy.linalg.hadamard(N), np.empty((m, n))
    copies = S._copies()
    assert len(copies) == -(-m // N)
    for part in copies:
        samples = part.high * r + part.samples
        assert len(set(samples)) == part.rows.stop - part.rows.start
        order = part.places(0, N // r)
        assert (np.sort(order, axis=1) == np.arange(r)).all()
        place = (order + r * np.arange(N // r)[:, None]).ravel()[:n]
        exact[part.rows] = H[samples][:, place] * part.row_signs(0, n)
    np.testing.assert_allclose(S.toarray(), exact / math.sqrt(m), rtol=1e-15)


def test_exact_srht_with_all_rows_is_orthogonal():
    S = SRHT(64, 50, block=16, exact=True, rng=0).toarray()
    np.testing.assert_allclose(S.T @ S, np.eye(50), atol=1e-14)
    wide = SRHT(32, 64, block=16, exact=True, rng=0).toarray()
    np.testing.assert_allclose(wide @ wide.T, 2 * np.eye(32), atol=1e-14)


def test_parity_signs():
    i = np.arange(256)
    np.testing.assert_array_equal(parity_signs(i[:, None] & i), scipy.linalg.hadamard(256))
    assert parity_signs(np.array([2**62, 2**62 + 1])).tolist() == [-1.0, 1.0]


# Cosine transform and Fastfood


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_srtt_is_its_formula(n):
    import scipy.fft

    m = 9
    S = SRTT(m, n, rng=n)
    F, exact = scipy.fft.dct(np.eye(n), axis=0, norm="ortho"), np.empty((m, n))
    from lowapprox.sketching._hash import signs

    for rows, chosen, key in S._copies():
        assert len(set(chosen)) == rows.stop - rows.start
        exact[rows] = F[chosen] * signs(key, 0, n)
    np.testing.assert_allclose(S.toarray(), exact * math.sqrt(n / m), rtol=0, atol=1e-14)


def test_srtt_with_all_rows_is_orthogonal():
    S = SRTT(60, 60, rng=0).toarray()
    np.testing.assert_allclose(S.T @ S, np.eye(60), atol=1e-13)
    with pytest.raises(InputError, match="`n` must be in"):
        SRTT(2, 2**40)


def test_fastfood_is_its_formula():
    from lowapprox.sketching._hash import signs

    n, size = 13, 16
    S = Fastfood(20, n, rng=0)
    H, exact = scipy.linalg.hadamard(size), np.empty((20, n))
    for copy in S._copies():
        P = np.eye(size)[copy.places]
        V = H @ (copy.normals * (P @ (H * signs(copy.sign_key, 0, size))))
        exact[copy.rows] = (copy.lengths * V[: copy.lengths.size])[:, :n]
    np.testing.assert_allclose(S.toarray(), exact / math.sqrt(20 * size), rtol=0, atol=1e-14)


@pytest.mark.stat
def test_fastfood_rows_have_gaussian_lengths():
    from scipy import stats

    S = Fastfood(256, 256, rng=0).toarray() * 16.0
    assert stats.kstest((S * S).sum(axis=1), "chi2", args=(256,)).pvalue > 1e-6
    assert stats.kstest(S.ravel(), "norm").statistic < 0.02
    for freedom in (2, 3, 50):
        x = _chi((1, freedom), freedom, 20_000)
        assert stats.kstest(x, "chi", args=(freedom,)).pvalue > 1e-6
