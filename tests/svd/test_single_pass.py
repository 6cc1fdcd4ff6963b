"""`randomized_svd` from one pass over the rows."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.sparse

from lowapprox import ConvergenceWarning, InputError, InputTypeError
from lowapprox.svd import StreamingSVD, randomized_svd
from lowapprox.svd import single_pass as module
from tests.reference import (
    centred,
    error,
    orthonormality_defect,
    product,
    random_array,
    with_spectrum,
)
from tests.strategies import DENSE_FORMS, DTYPES, FORMS, SPARSE_FORMS, SPECTRA

SHAPES = [(90, 40), (40, 90)]


def geometric(shape, dtype=float):
    return with_spectrum(
        np.random.default_rng(0), *shape, SPECTRA["geometric"](np.arange(40.0)), dtype
    )


def one_pass(A, rank=6, **options):
    return randomized_svd(A, rank, method="single_pass", rng=0, **options)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_BYTES", 4000)


@pytest.mark.parametrize("form", [*DENSE_FORMS, *SPARSE_FORMS])
@pytest.mark.parametrize("shape", SHAPES)
def test_forms_agree(form, shape):
    for dtype in DTYPES:
        A = geometric(shape, dtype)
        result, plain = one_pass(FORMS[form](A)), one_pass(A)
        assert (result.passes, result.error_kind, result.converged) == (1, "estimate", True)
        assert result.U.dtype == dtype
        eps = float(np.finfo(dtype).eps)
        np.testing.assert_allclose(result.s, plain.s, rtol=1e3 * eps)
        np.testing.assert_allclose(result.U, plain.U, atol=1e5 * eps)
        for Q in (result.U, result.Vh.conj().T):
            assert orthonormality_defect(Q) < 50 * eps
        true = error(A, product(*result))
        assert true <= 2 * np.linalg.norm(SPECTRA["geometric"](np.arange(6.0, 40.0)))
        assert true / 3 <= result.error <= 3 * true
        assert result.fro_norm == pytest.approx(np.linalg.norm(A), rel=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_stream(shape):
    A = geometric(shape)
    stream = StreamingSVD(shape[1], 6, rng=np.random.default_rng(0)).partial_fit(A)
    result, expected = one_pass(A), stream.result()
    np.testing.assert_allclose(result.s, expected.s, rtol=1e-10)
    assert result.error == pytest.approx(expected.error, rel=1e-8)
    assert stream.result().s.tolist() == expected.s.tolist()  # the public one goes on


@pytest.mark.parametrize("center", [False, True])
def test_every_row_is_read_once(center, monkeypatch):
    A = geometric((90, 40))
    reads = np.zeros(90, int)
    original = StreamingSVD._take

    def counted(self, rows, start, name):
        reads[start : start + rows.shape[0]] += 1
        return original(self, rows, start, name)

    monkeypatch.setattr(StreamingSVD, "_take", counted)
    one_pass(A, center=center)
    assert (reads == 1).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_centring(shape):
    A = geometric(shape) + np.arange(shape[1])
    result = one_pass(A, center=True)
    np.testing.assert_allclose(result.mean, A.mean(axis=0))
    assert error(A, result.reconstruct()) <= 3 * error(
        centred(A), product(*randomized_svd(centred(A), 6, rng=0))
    )
    with pytest.raises(InputError, match="`center`"):
        one_pass(scipy.sparse.csr_array(A), center=True)


@pytest.mark.parametrize("factor", [1e-200, 1e200])
@pytest.mark.parametrize("shape", SHAPES)
def test_scales(shape, factor):
    A = geometric(shape)
    result, plain = one_pass(A * factor), one_pass(A)
    np.testing.assert_allclose(result.s / factor, plain.s, rtol=1e-10)
    assert result.error / factor == pytest.approx(plain.error, rel=1e-8)
    assert result.converged


def test_zero_and_single_rows():
    for shape in ((30, 20), (1, 5), (5, 1)):
        k = min(3, *shape)
        result = one_pass(np.zeros(shape), k)
        assert (result.s.tolist(), result.rank, result.converged) == ([0.0] * k, 0, True)
        assert orthonormality_defect(result.U) < 1e-14
        A = random_array(np.random.default_rng(0), shape, float)
        if 1 in shape:
            np.testing.assert_allclose(product(*one_pass(A, 1)), A, atol=1e-12)


@pytest.mark.parametrize("norm", ["fro", "spectral", "residual"])
def test_tolerances_are_judged_by_the_estimate(norm):
    A = geometric((90, 40))
    plain = one_pass(A)
    scale = plain.fro_norm if norm == "fro" else plain.s[0]
    assert one_pass(A, tol=1.01 * plain.error / scale, norm=norm, certify="none").converged
    with pytest.warns(ConvergenceWarning, match="criterion was not met"):
        missed = one_pass(A, tol=0.99 * plain.error / scale, norm=norm, certify="none")
    assert not missed.converged


def test_the_spectral_error_costs_no_pass():
    A = geometric((90, 40))
    result, plain = one_pass(A, norm="spectral"), one_pass(A)
    assert (result.passes, result.norm, result.error_kind) == (1, "spectral", "estimate")
    assert result.error == plain.error
    assert result.error >= error(A, product(*result), "spectral")
    probed = one_pass(A, norm="spectral", certify="probe")
    assert probed.passes == 3
    assert probed.error_bound >= error(A, product(*result), "spectral")


def test_a_flat_spectrum_is_admitted():
    A = np.random.default_rng(0).standard_normal((400, 300))
    with pytest.warns(ConvergenceWarning, match="criterion was not met"):
        assert not one_pass(A, 2).converged


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stopped_pass_says_that_it_knows_no_error(shape):
    A = geometric(shape)
    seen = []

    def stop(progress):
        seen.append(progress.value)
        return progress.step == 2

    with pytest.warns(ConvergenceWarning, match=r"within rank 6 and 1 passes\. Allow"):
        result = one_pass(A, callback=stop)
    assert seen == sorted(seen, reverse=True)
    assert 0 < seen[-1] < 1
    assert not result.converged
    assert np.isnan([result.error, result.fro_norm, *result.residuals]).all()
    rows = round(shape[0] * (1 - seen[-1]))
    np.testing.assert_array_equal(np.asarray(result.reconstruct())[rows:], 0.0)
    assert result.U.shape == (shape[0], 6)
    near = result.reconstruct()[:rows]
    assert error(A[:rows], near) <= 2 * np.linalg.norm(np.linalg.svd(A[:rows])[1][6:])


def test_what_is_refused():
    A = geometric((90, 40))
    with pytest.raises(InputError, match="`rank`"):
        randomized_svd(A, tol=0.1, method="single_pass")
    for form in ("operator", "array-api-strict"):
        with pytest.raises(InputTypeError, match="`A` must be a NumPy or scipy"):
            one_pass(FORMS[form](A))
    for bad in (np.nan, np.inf):
        A[80, 3] = bad
        for form in ("C", "csr_array"):
            with pytest.raises(InputError, match="`A` must contain finite numbers"):
                one_pass(FORMS[form](A))
        with pytest.raises(InputError, match="`A` must contain finite numbers"):
            one_pass(A, center=True)


def test_memory(monkeypatch):
    """The rows of the sketch, which are freed while U is made, and no copy of the matrix."""
    streams = []
    original = StreamingSVD._solve

    def kept(self, **options):
        streams.append(self)
        return original(self, **options)

    monkeypatch.setattr(StreamingSVD, "_solve", kept)
    monkeypatch.setattr(module, "_BLOCK_BYTES", 1 << 20)
    m, n, k = 60_000, 100, 4
    A = np.random.default_rng(0).standard_normal((m, 8)) @ np.eye(8, n)
    one_pass(A[:5000], k)
    tracemalloc.start()
    one_pass(A, k)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 1.1 * 8 * m * (4 * k + 1) + (8 << 20)
    assert [stream.n_rows for stream in streams] == [0, 0]
