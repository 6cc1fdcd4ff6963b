"""Leading eigenpairs of Hermitian matrices: algebra, error, stops, inputs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse.linalg
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import ConvergenceWarning, InputError, InputTypeError, NumericalError
from lowapprox.svd import randomized_eigh
from tests.reference import (
    CountedOperator,
    error,
    orthonormal,
    orthonormality_defect,
    rbf_kernel,
    tail,
)
from tests.strategies import DENSE_FORMS, DTYPES, FORMS, SPECTRA, dtypes, seeds


def hermitian(values, dtype=float, seed=7):
    n = len(values)
    Q = orthonormal(np.random.default_rng(seed), n, n, np.result_type(dtype, float))
    A = (Q * values) @ Q.conj().T
    return ((A + A.conj().T) / 2).astype(dtype)


@st.composite
def hermitian_matrices(draw, max_side=40):
    """Any spectrum, with signs at random: definite and indefinite."""
    n = draw(st.integers(1, max_side))
    s = SPECTRA[draw(st.sampled_from(tuple(SPECTRA)))](np.arange(n, dtype=float))
    signs = np.random.default_rng(draw(seeds)).choice([-1.0, 1.0], n)
    return hermitian(s * draw(st.sampled_from([1.0, signs])), draw(dtypes()), draw(seeds))


def residuals(A, res):
    A, V = A.astype(np.result_type(A, float)), res.V
    return np.linalg.norm(A @ V - V * res.w, axis=0)


@given(hermitian_matrices(), st.data(), seeds)
def test_what_is_returned_is_true(A, data, seed):
    n = A.shape[0]
    rank = data.draw(st.integers(1, n))
    method = data.draw(st.sampled_from(["krylov", "direct"]))
    accuracy = data.draw(st.sampled_from(["fast", "balanced", "high", "full"]))
    res = randomized_eigh(A, rank, method=method, accuracy=accuracy, rng=seed)
    w, V = res
    eps = float(np.finfo(A.dtype).eps)
    assert V.shape == (n, rank)
    assert V.dtype == A.dtype
    assert w.dtype == A.real.dtype
    assert res.converged
    assert orthonormality_defect(V) <= 20 * eps * np.sqrt(n * rank)
    assert (np.diff(np.abs(w)) <= 0).all()
    exact = np.linalg.eigvalsh(A.astype(np.result_type(A, float)))
    top = max(float(np.abs(exact).max()), 1e-30)
    rounding = 20 * np.sqrt(n) * eps * top
    # Interlacing on either side of zero.
    up, down = np.sort(w[w > 0])[::-1], np.sort(w[w < 0])
    assert (up <= exact[::-1][: len(up)] + rounding).all()
    assert (down >= exact[: len(down)] - rounding).all()
    measured = residuals(A, res)
    np.testing.assert_allclose(res.residuals, measured, rtol=1e-3, atol=2 * rounding)
    # Eckart-Young and the reported error.
    true = error(A, res.reconstruct())
    assert true >= tail(A, rank) - np.sqrt(n) * rounding
    if res.error_kind == "exact":
        assert res.error == pytest.approx(true, rel=1e-2, abs=np.sqrt(n) * rounding)
    elif res.error_kind == "bound":
        assert true <= res.error + np.sqrt(n) * rounding
    assert res.fro_norm == pytest.approx(float(np.linalg.norm(A)), rel=1e-4)
    if accuracy == "full" or method == "direct":
        order = np.argsort(-np.abs(exact))[:rank]
        np.testing.assert_allclose(np.abs(w), np.abs(exact[order]), atol=10 * rounding)


@pytest.mark.parametrize("dtype", DTYPES)
def test_full_accuracy_equals_lapack(dtype):
    values = 1.0 / np.arange(1, 201) * (-1.0) ** np.arange(200)
    A = hermitian(values, dtype)
    res = randomized_eigh(A, 12, accuracy="full", rng=0)
    eps = float(np.finfo(dtype).eps)
    assert res.info["method"] == "krylov"
    np.testing.assert_allclose(res.w, values[:12], atol=50 * eps)
    _, S = np.linalg.eigh(A.astype(np.result_type(dtype, float)))
    order = np.argsort(-np.abs(np.linalg.eigvalsh(A.astype(np.result_type(dtype, float)))))[:12]
    overlap = np.abs(np.sum(S[:, order].conj() * res.V, axis=0))
    np.testing.assert_allclose(overlap, 1.0, atol=1e3 * eps)


@pytest.mark.parametrize("name", ["geometric", "rank-10", "harmonic"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_more_work_never_hurts(name, dtype):
    """A Krylov space that has converged must not fill with noise."""
    j = np.arange(1, 301)
    values = {"geometric": 2.0 ** -(j / 5), "rank-10": (j <= 10) * 1.0, "harmonic": 1.0 / j}[name]
    A = hermitian(values * (-1.0) ** j, dtype)
    eps = float(np.finfo(dtype).eps)
    for oversample in (10, 60, 150, 250):
        res = randomized_eigh(A, 40, oversample=oversample, accuracy="full", rng=0)
        assert res.converged
        assert orthonormality_defect(res.V) <= 50 * eps
        np.testing.assert_allclose(np.abs(res.w), values[:40], atol=50 * eps)
        true = residuals(A, res)
        assert (true <= 3 * res.residuals + 10 * eps).all()


def test_presets_reach_their_residuals():
    A = hermitian(1.0 / np.arange(1, 401))
    for accuracy, level in {"fast": 0.15, "balanced": 0.02, "high": 1e-3}.items():
        res = randomized_eigh(A, 30, accuracy=accuracy, rng=0)
        assert residuals(A, res).max() <= level * res.w[-1] * (1 + 1e-6)
        assert res.matvecs < 200


def test_kernel_matrix_has_nearly_optimal_trace_error():
    gen = np.random.default_rng(0)
    K = rbf_kernel(gen.standard_normal((600, 3)), 1.0)
    best = 600 - np.linalg.eigvalsh(K)[::-1][:40].sum()
    res = randomized_eigh(K, 40, accuracy="fast", rng=0)
    assert best * (1 - 1e-12) <= 600 - res.w.sum() <= 1.001 * best


@pytest.mark.parametrize("max_dim", [70, 90])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_thick_restart(max_dim, dtype):
    from lowapprox._core.matrix import as_matrix
    from lowapprox._subspace.lanczos import Lanczos
    from lowapprox._subspace.stopping import RankRule, grow

    values = 1.0 / np.arange(1, 301) * (-1.0) ** np.arange(300)
    A = hermitian(values, dtype)
    space = Lanczos(as_matrix(A), 8, np.random.default_rng(0), max_dim)
    ritz, verdict, restarts = grow(
        space,
        RankRule(20, 20, 0.0, 1e-10),
        max_dim=max_dim,
        max_passes=None,
        report=lambda *_: False,
    )
    assert verdict.done
    assert restarts > 0
    assert space.size <= max_dim
    w, rows = space.vectors(ritz, 20)
    V = rows.T
    np.testing.assert_allclose(w, values[:20], atol=1e-13)
    assert orthonormality_defect(V) < 1e-13
    measured = np.linalg.norm(A @ V - V * w, axis=0)
    np.testing.assert_allclose(ritz.residuals[:20], measured, rtol=1e-3, atol=1e-13)


# ---- tolerances


@pytest.mark.parametrize("norm", ["fro", "spectral"])
@pytest.mark.parametrize("tol", [0.5, 0.1, 0.03])
@pytest.mark.parametrize("spectrum", ["harmonic", "geometric", "step"])
def test_tolerance_is_met_with_few_pairs(norm, tol, spectrum):
    values = SPECTRA[spectrum](np.arange(300.0)) * (-1.0) ** np.arange(300)
    A = hermitian(values)
    res = randomized_eigh(A, tol=tol, norm=norm, rng=0, method="krylov")
    size = np.linalg.norm(A) if norm == "fro" else np.abs(values[0])
    assert res.converged
    assert res.norm == norm
    assert error(A, res.reconstruct(), norm) <= tol * size * (1 + 1e-9)
    left = np.sqrt(np.cumsum(values[::-1] ** 2))[::-1] if norm == "fro" else np.abs(values)
    optimal = np.count_nonzero(left > tol * size)  # left[k] is the error of the best k pairs
    assert res.w.shape[0] <= optimal + 1


def test_residual_tolerance():
    A = hermitian(0.9 ** np.arange(200))
    res = randomized_eigh(A, 10, tol=1e-6, norm="residual", rng=0)
    assert residuals(A, res).max() <= 1e-6 * res.w[0]
    assert res.norm == "fro"


def test_tolerance_of_an_operator():
    A = hermitian(0.8 ** np.arange(200))
    res = randomized_eigh(FORMS["operator"](A), tol=0.05, rng=0)
    assert res.error_kind == "estimate"
    true = error(A, res.reconstruct())
    assert true <= 0.05 * np.linalg.norm(A)
    assert 0.5 < res.error / true < 2.0


def test_missed_tolerance_warns():
    A = hermitian(np.ones(200))
    with pytest.warns(ConvergenceWarning, match="rank 5"):
        res = randomized_eigh(A, 5, tol=0.1, rng=0, method="direct")
    assert not res.converged
    assert res.error == pytest.approx(np.sqrt(195))


def test_pass_limit_warns():
    A = hermitian(1.0 / np.arange(1, 301))
    with pytest.warns(ConvergenceWarning, match="passes"):
        res = randomized_eigh(A, 20, accuracy="full", passes=3, rng=0)
    assert res.passes == 3
    assert not res.converged
    np.testing.assert_allclose(res.residuals, residuals(A, res), rtol=1e-6)
    assert res.error == pytest.approx(error(A, res.reconstruct()), rel=1e-10)


def test_callback_stops():
    seen = []

    def callback(record):
        seen.append(record)
        return True

    with pytest.warns(ConvergenceWarning):
        res = randomized_eigh(
            hermitian(1.0 / np.arange(1, 301)), 20, accuracy="full", callback=callback, rng=0
        )
    assert len(seen) == 1
    assert seen[0].value > seen[0].target
    assert res.passes == seen[0].passes


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_probes_bound_the_spectral_error(dtype):
    values = 1.0 / np.arange(1, 301) * (-1.0) ** np.arange(300)
    A = hermitian(values, dtype)
    for seed in range(20):
        res = randomized_eigh(A, 10, certify="probe", rng=seed)
        true = error(A, res.reconstruct(), "spectral")
        assert true <= res.error_bound <= 100 * true
        assert res.failure_probability < 1e-5
        assert res.converged


# ---- ways of giving the matrix


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_forms_agree(form, dtype):
    values = 0.8 ** np.arange(48) * (-1.0) ** np.arange(48)
    A = hermitian(values, dtype)
    before = A.copy()
    res = randomized_eigh(FORMS[form](A), 6, accuracy="full", rng=0, method="krylov")
    expected = randomized_eigh(A, 6, accuracy="full", rng=1, method="krylov")
    np.testing.assert_allclose(np.asarray(res.w), expected.w, atol=1e-14)
    np.testing.assert_allclose(np.asarray(res.V), expected.V, atol=1e-10)  # signs too
    np.testing.assert_array_equal(A, before)


@pytest.mark.parametrize("form", ["csr_array", "operator", "array-api-strict"])
def test_direct_in_other_forms(form):
    A = hermitian(0.8 ** np.arange(30), np.complex128)
    res = randomized_eigh(FORMS[form](A), 20, rng=0)
    assert res.info["method"] == "direct"
    np.testing.assert_allclose(np.asarray(res.w), 0.8 ** np.arange(20), atol=1e-14)


@pytest.mark.parametrize("method", ["krylov", "direct"])
def test_torch(method):
    torch = pytest.importorskip("torch")
    A = hermitian(0.8 ** np.arange(150), np.float32)
    w, V = randomized_eigh(torch.from_numpy(A), 5, accuracy="high", rng=0, method=method)
    assert w.dtype == V.dtype == torch.float32
    np.testing.assert_allclose(w.numpy(), 0.8 ** np.arange(5), atol=1e-5)


def test_forward_products_are_enough_and_counted():
    A = hermitian(1.0 / np.arange(1, 301))

    class Forward:
        shape, dtype, columns = A.shape, A.dtype, 0

        def matmat(self, X):
            self.columns += X.shape[1]
            return A @ X

        def rmatmat(self, Y):
            raise AssertionError

    op = Forward()
    res = randomized_eigh(op, 10, certify="probe", rng=0)
    assert op.columns == res.matvecs + 1  # one column more tells the scale
    counted = CountedOperator(A)
    res = randomized_eigh(counted, 10, certify="none", rng=0)
    assert counted.columns == res.matvecs + 1
    assert np.isnan(res.error)


def test_integers_compute_in_double():
    A = np.diag([3, -7, 2, 0])
    res = randomized_eigh(A, 2, rng=0)
    assert res.w.dtype == np.float64
    np.testing.assert_allclose(res.w, [-7, 3], rtol=1e-14)


# ---- extreme input


@pytest.mark.parametrize("method", ["krylov", "direct"])
@pytest.mark.parametrize("factor", [2.0**-600, 1e-200, 1e200, 2.0**600])
def test_extreme_scales(method, factor):
    A = hermitian(0.8 ** np.arange(150) * (-1.0) ** np.arange(150))
    res = randomized_eigh(A, 8, rng=0, method=method)
    scaled = randomized_eigh(A * factor, 8, rng=0, method=method)
    np.testing.assert_allclose(scaled.w / factor, res.w, rtol=1e-12)
    np.testing.assert_allclose(scaled.residuals / factor, res.residuals, rtol=1e-2, atol=1e-14)
    assert scaled.error == pytest.approx(res.error * factor, rel=1e-10, abs=0)


def test_zero_empty_single():
    res = randomized_eigh(np.zeros((5, 5)), 3)
    assert res.w.tolist() == [0, 0, 0]
    assert orthonormality_defect(res.V) == 0
    assert res.rank == 0
    assert res.error == 0
    assert randomized_eigh(np.zeros((0, 0)), 0).V.shape == (0, 0)
    for method in ("krylov", "direct"):
        w, V = randomized_eigh([[-4.0]], 1, method=method, rng=0)
        assert w.tolist() == [-4.0]
        assert V.tolist() == [[1.0]]
    zero = scipy.sparse.linalg.aslinearoperator(np.zeros((50, 50)))
    res = randomized_eigh(zero, 3, rng=0)
    assert res.w.tolist() == [0, 0, 0]
    assert orthonormality_defect(res.V) < 1e-14


def test_all_pairs_through_krylov():
    values = np.linspace(-1.0, 2.0, 45)
    A = hermitian(values)
    res = randomized_eigh(A, 45, method="krylov", rng=0)
    np.testing.assert_allclose(np.sort(res.w), values, atol=1e-14)
    np.testing.assert_allclose(res.reconstruct(), A, atol=1e-13)


def test_multiple_eigenvalues():
    A = hermitian(np.repeat([3.0, -2.0, 1.0, 0.01], [5, 5, 5, 185]))
    res = randomized_eigh(A, 15, accuracy="full", rng=0)
    np.testing.assert_allclose(res.w, np.repeat([3.0, -2.0, 1.0], 5), atol=1e-13)


@pytest.mark.parametrize("method", ["krylov", "direct"])
@pytest.mark.parametrize("form", ["C", "F", "csr_array", "operator", "array-api-strict"])
def test_not_hermitian_is_refused(method, form):
    gen = np.random.default_rng(0)
    skewed = hermitian(1.0 / np.arange(1, 201)) + 1e-4 * gen.standard_normal((200, 200))
    for A in (gen.standard_normal((200, 200)), np.triu(np.ones((200, 200))), skewed):
        with pytest.raises(InputError, match="Hermitian"):
            randomized_eigh(FORMS[form](A), 20, method=method, rng=0)
    with pytest.raises(InputError, match="Hermitian"):
        randomized_eigh(FORMS[form](1j * hermitian(np.ones(200), complex)), 20, method=method)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("method", ["krylov", "direct"])
@pytest.mark.parametrize("form", [*DENSE_FORMS, "csr_array", "array-api-strict"])
def test_nan_is_refused(method, form, bad):
    A = hermitian(1.0 / np.arange(1, 201))
    A[3, 4] = A[4, 3] = bad
    with pytest.raises(InputError, match="finite"):
        randomized_eigh(FORMS[form](A), 3, method=method, rng=0)


def test_nan_in_an_operator_is_refused():
    A = hermitian(1.0 / np.arange(1, 201))
    A[3, 4] = A[4, 3] = np.nan
    with pytest.raises(NumericalError, match="NaN"):
        randomized_eigh(FORMS["operator"](A), 3, rng=0)


def test_wrong_arguments_are_refused():
    A = np.eye(4)
    with pytest.raises(InputError, match="square"):
        randomized_eigh(np.ones((3, 4)), 1)
    with pytest.raises(InputError, match="`rank` or `tol`"):
        randomized_eigh(A)
    for bad in (0, 5):
        with pytest.raises(InputError, match="`rank`"):
            randomized_eigh(A, bad)
    with pytest.raises(InputTypeError, match="`rank`"):
        randomized_eigh(A, 1.5)
    for name, bad in {
        "method": "lanczos",
        "norm": "nuclear",
        "accuracy": "best",
        "certify": "yes",
        "oversample": -1,
        "passes": 0,
        "tol": 1.5,
    }.items():
        with pytest.raises(InputError, match=f"`{name}`"):
            randomized_eigh(A, 2, **{name: bad})
    with pytest.raises(InputTypeError, match="dtype"):
        randomized_eigh(A.astype(object), 2)


def test_result_object():
    A = hermitian(1.0 / np.arange(1, 201), np.complex128)
    res, again = randomized_eigh(A, 6, rng=1), randomized_eigh(A, 6, rng=1)
    np.testing.assert_array_equal(res.V, again.V)
    copy = pickle.loads(pickle.dumps(res))
    np.testing.assert_array_equal(copy.w, res.w)
    assert repr(res).startswith("EighResult(w=(6,), V=(200, 6), rank=6, error=")
    op = res.as_linear_operator()
    np.testing.assert_allclose(op @ np.eye(200), res.reconstruct(), atol=1e-14)
    assert {"method", "why", "seconds", "dimension"} <= set(res.info)
