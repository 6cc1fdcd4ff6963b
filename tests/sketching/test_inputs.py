"""Every way of handing over the matrix that is sketched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import aslinearoperator

from lowapprox._core.errors import InputTypeError
from lowapprox._core.matrix import as_matrix
from lowapprox._core.views import Centred, Scaled
from lowapprox.sketching import CountSketch, Gaussian, SparseSign, operators
from tests.reference import random_array
from tests.sketching.kinds import KINDS, kernels, tolerance
from tests.strategies import DENSE_FORMS, DTYPES, FORMS, SPARSE_FORMS, seeds

HOST_FORMS = {**DENSE_FORMS, **SPARSE_FORMS}


def matrix(dtype, n=70, k=12, seed=0):
    gen = np.random.default_rng(seed)
    return random_array(gen, (n, k), dtype) * (gen.random((n, k)) < 0.4)


def close(actual, exact, dtype):
    np.testing.assert_allclose(
        np.asarray(actual), exact, rtol=0, atol=tolerance(dtype) * np.abs(exact).max(initial=1.0)
    )


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_all_forms_give_the_same_product(kind, form, compiled):
    for dtype in DTYPES:
        A = matrix(dtype)
        for S in (KINDS[kind](15, 70, rng=1), KINDS[kind](15, 70, rng=1, dtype=complex)):
            with kernels(compiled):
                got = S @ FORMS[form](A)
            expected = np.result_type(dtype, np.complex64) if S.dtype.kind == "c" else dtype
            assert str(got.dtype).endswith(expected.name)
            close(got, S.toarray() @ A, dtype)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["gaussian", "sparse", "srht-16"])
def test_adjoint_products_of_all_forms(kind, form):
    for dtype in DTYPES:
        Y = matrix(dtype, n=15)
        for S in (KINDS[kind](15, 70, rng=1), KINDS[kind](15, 70, rng=1, dtype=complex)):
            close(S.T @ FORMS[form](Y), S.toarray().T @ Y, dtype)
            close(S.H @ FORMS[form](Y), S.toarray().conj().T @ Y, dtype)


@pytest.mark.parametrize("form", HOST_FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_row_blocks_of_all_forms(kind, form):
    S = KINDS[kind](15, 70, rng=1)
    A = matrix(complex)
    out = np.zeros((15, 12), complex)
    for i in range(0, 70, 33):
        S.apply_rows(HOST_FORMS[form](A[i : i + 33]), i, out)
    close(out, S.toarray() @ A, complex)


@pytest.mark.parametrize(
    ("dtype", "result"),
    [
        (np.int8, np.float64),
        (np.int64, np.float64),
        (np.uint8, np.float64),
        (bool, np.float64),
        (np.float16, np.float32),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_other_number_types(kind, compiled, dtype, result):
    S = KINDS[kind](15, 300, rng=1)
    A = np.random.default_rng(0).integers(0, 100, (300, 4)).astype(dtype)
    with kernels(compiled):
        got = S @ A
    assert got.dtype == result
    close(got, S.toarray() @ A.astype(float), result)


@pytest.mark.parametrize("kind", KINDS)
def test_memory_map(kind, tmp_path):
    A = np.random.default_rng(0).standard_normal((3000, 40))
    np.save(tmp_path / "A.npy", A)
    mapped = np.load(tmp_path / "A.npy", mmap_mode="r")
    S = KINDS[kind](20, 3000, rng=0)
    for compiled in (False, True):
        with kernels(compiled):
            got = S @ mapped
            assert type(got) is np.ndarray
            np.testing.assert_array_equal(got, S @ A)


def test_lists_and_sparse_vectors():
    import scipy.sparse as sp

    S = SparseSign(4, 3, rng=0)
    close(S @ [1, 2, 3], S.toarray() @ [1, 2, 3], float)
    close(S @ [[1], [2], [3]], S.toarray() @ [[1], [2], [3]], float)
    close(S @ sp.coo_array(np.array([1.0, 0.0, 3.0])), S.toarray() @ [1, 0, 3], float)


@given(seeds, st.integers(0, 2**20), st.booleans(), st.sampled_from(DTYPES), st.booleans())
@settings(max_examples=60)
def test_sparse_rows_at_any_place(seed, start, compiled, dtype, wide):
    import scipy.sparse as sp

    gen = np.random.default_rng(seed)
    b, k = int(gen.integers(1, 200)), int(gen.integers(1, 30))
    X = sp.random_array((b, k), density=gen.random(), format="csr", rng=gen).astype(dtype)
    if wide:
        X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    for S in (SparseSign(30, 2**30, rng=3), CountSketch(30, 2**30, rng=3)):
        out = np.zeros((30, k), complex)
        with kernels(compiled):
            S.apply_rows(X, start, out)
        close(out, S.columns(start, start + b) @ X.toarray(), dtype)


@pytest.mark.large
def test_large_sparse_input_uses_the_kernel_and_agrees():
    import scipy.sparse as sp

    X = sp.random_array((30_000, 400), density=0.1, format="csr", rng=np.random.default_rng(0))
    assert X.nnz > 10**6
    for S in (SparseSign(60, 30_000, rng=0), CountSketch(60, 30_000, rng=0)):
        big = S @ X
        with kernels(False):
            close(big, S @ X, float)
        close(big, S @ X.toarray(), float)


def test_slabs_without_entries_add_nothing(monkeypatch):
    import scipy.sparse as sp

    X = sp.csr_array((np.ones(3), ([0, 1, 59], [0, 1, 0])), shape=(60, 2))
    S = Gaussian(5, 60, rng=0)
    monkeypatch.setattr(operators, "_SLAB_BYTES", 10 * 5 * 8)
    assert S._slab_rows(60) == 10
    close(S @ X, S.toarray() @ X.toarray(), float)


def test_views_and_operators_are_sketched_through_their_products():
    A = matrix(float)
    S = SparseSign(15, 70, rng=1)
    centred, scaled = Centred(as_matrix(A)), Scaled(as_matrix(A), 3)
    close(S @ centred, S.toarray() @ (A - A.mean(axis=0)), float)
    close(S @ scaled, S.toarray() @ (8 * A), float)
    close(S @ as_matrix(A).H.H, S.toarray() @ A, float)
    with pytest.raises(InputTypeError, match="`block` must be an array"):
        S.apply_rows(aslinearoperator(A), 0, np.zeros((15, 12)))


def test_device_arrays_are_multiplied_where_they_are():
    xp = pytest.importorskip("array_api_strict")
    device = xp.Device("device1")
    for kind, make in KINDS.items():
        for dtype in DTYPES:
            A, Y = matrix(dtype, n=9000 if kind == "srht" else 70), matrix(dtype, n=15)
            S = make(15, A.shape[0], rng=1)
            X = xp.asarray(A, device=device)
            got = S @ X
            assert got.device == device
            assert got.dtype == X.dtype
            close(xp.asarray(got, device=xp.Device("CPU_DEVICE")), S.toarray() @ A, dtype)
            back = S.H @ xp.asarray(Y, device=device)
            close(xp.asarray(back, device=xp.Device("CPU_DEVICE")), S.toarray().T @ Y, dtype)
            with pytest.raises(InputTypeError, match="host memory"):
                S.apply_rows(X, 0, np.zeros((15, 12), complex))
    S = Gaussian(15, 70, rng=1, dtype=complex)  # complex operator, real array
    got = S @ xp.asarray(matrix(float), device=device)
    close(xp.asarray(got, device=xp.Device("CPU_DEVICE")), S.toarray() @ matrix(float), complex)
    empty = Gaussian(3, 0, rng=1) @ xp.zeros((0, 2), device=device)
    assert empty.shape == (3, 2)


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    for make in KINDS.values():
        for dtype in DTYPES:
            A = matrix(dtype)
            S = make(15, 70, rng=1)
            got = S @ torch.from_numpy(A)
            assert isinstance(got, torch.Tensor)
            assert got.dtype == torch.from_numpy(A).dtype
            close(got, S.toarray() @ A, dtype)
            out = np.zeros((15, 12), complex)
            close(S.apply_rows(torch.from_numpy(A), 0, out), S.toarray() @ A, dtype)
    half = S @ torch.ones((70, 2), dtype=torch.bfloat16)
    assert half.dtype == torch.float32
    close(half, S.toarray() @ np.ones((70, 2)), np.float32)


def test_dask_arrays_are_refused():
    da = pytest.importorskip("dask.array")
    with pytest.raises(InputTypeError, match="Dask"):
        Gaussian(3, 10, rng=0) @ da.ones((10, 2))
