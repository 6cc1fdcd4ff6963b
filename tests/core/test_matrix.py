"""The adapter: products of every kind of input equal those of the dense matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator

from lowapprox._core import matrix as matrix_module
from lowapprox._core.errors import InputError, InputTypeError, NumericalError
from lowapprox._core.matrix import as_matrix, set_rows
from lowapprox._core.views import Adjoint
from tests.reference import random_array
from tests.strategies import DENSE_FORMS, DTYPES, FORMS, SPARSE_FORMS, matrices, seeds

INTEGERS = [np.dtype(c) for c in ("?", "b", "B", "h", "H", "i", "I", "q", "Q")]


def wide(x: Any) -> np.ndarray:
    x = np.asarray(x)
    return x.astype(np.result_type(x, np.float64))


def assert_products(op: Any, A: np.ndarray, gen: np.random.Generator) -> None:
    """Both products are right to rounding, in the precision and shape that the matrix states."""
    m, n = A.shape
    assert op.shape == (m, n)
    for mat, M in ((op.mat, wide(A)), (op.rmat, wide(A).conj().T)):
        X = random_array(gen, (M.shape[1], 3), op.dtype)
        Y = op.to_numpy(mat(op.from_numpy(X)))
        assert Y.dtype == op.dtype
        bound = np.abs(M) @ np.abs(wide(X))
        # Complex products round twice as much; the row blocks add at most one sum.
        assert (np.abs(Y - M @ wide(X)) <= 4 * (max(m, n) + 4) * op.eps * bound).all()


@given(matrices(), st.sampled_from(sorted(FORMS)), seeds)
def test_every_form_of_a_matrix_gives_its_products(A: np.ndarray, form: str, seed: int) -> None:
    given_form = FORMS[form](A)
    op = as_matrix(given_form)
    assert op.dtype == A.dtype
    assert_products(op, A, np.random.default_rng(seed))
    assert_products(op.H, A.conj().T, np.random.default_rng(seed))
    if op.kind == "operator":
        assert op.fro2() is None
        with pytest.raises(InputTypeError, match="products"):
            op.max_abs()
    else:
        norm = np.linalg.norm(wide(A))
        assert op.fro2() == pytest.approx(norm**2, rel=4 * A.size * op.eps, abs=1e-30)
        assert op.max_abs() == pytest.approx(np.abs(wide(A)).max(), rel=4 * op.eps)
    # Reading entries of an operator or a sparse matrix multiplies with the identity.
    np.testing.assert_array_equal(op.to_numpy(op.entries()), A)
    np.testing.assert_array_equal(op.to_numpy(op.H.entries()), A.conj().T)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize("form", sorted(FORMS))
def test_empty_and_thin(shape: tuple[int, int], form: str, gen: np.random.Generator) -> None:
    if form == "bsr_array" and 0 in shape:
        pytest.skip("scipy has no empty BSR arrays")
    A = random_array(gen, shape, float)
    op = as_matrix(FORMS[form](A))
    assert_products(op, A, gen)
    if op.kind != "operator":
        assert op.fro2() == pytest.approx(np.linalg.norm(A) ** 2)
        assert op.max_abs() == np.abs(A).max(initial=0.0)


@pytest.mark.parametrize("form", sorted(DENSE_FORMS) + sorted(SPARSE_FORMS))
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integers_compute_in_float64(form: str, dtype: np.dtype, gen: np.random.Generator) -> None:
    if form == "csr messy":
        pytest.skip("entries in halves are no integers")
    A = gen.integers(0, 2, (6, 4)).astype(dtype)
    if dtype.kind != "b":
        A[0, 0] = np.iinfo(dtype).max
    op = as_matrix(FORMS[form](A))
    assert op.dtype == np.float64
    assert_products(op, A, gen)
    assert op.max_abs() == float(A.max())
    assert op.fro2() == pytest.approx(np.linalg.norm(A.astype(float)) ** 2)


@pytest.mark.parametrize("form", sorted(DENSE_FORMS))
def test_half_precision_computes_in_single(form: str, gen: np.random.Generator) -> None:
    A = random_array(gen, (6, 4), np.float16) * np.float16(300)
    op = as_matrix(FORMS[form](A))
    assert op.dtype == np.float32
    assert_products(op, A, gen)
    assert op.fro2() == pytest.approx(np.linalg.norm(A.astype(float)) ** 2, rel=1e-5)


@pytest.mark.parametrize("dtype", ["g", "G", "O", "U3", "S3", "M8[s]", "m8[s]", "V8"])
def test_dtypes_without_a_computing_precision_are_refused(dtype: str) -> None:
    with pytest.raises(InputTypeError, match=r"`K` must have a .* dtype, got"):
        as_matrix(np.zeros((2, 2), dtype), "K")


@pytest.mark.parametrize("dtype", ["g", "G"])
def test_sparse_and_operators_refuse_long_double(dtype: str) -> None:
    sparse = scipy.sparse.csr_array(np.ones((2, 2), dtype))
    operator = LinearOperator((2, 2), matvec=lambda x: x, rmatvec=lambda x: x, dtype=dtype)
    for A in (sparse, operator):
        with pytest.raises(InputTypeError, match=r"`K` must have a .* dtype, got"):
            as_matrix(A, "K")


@pytest.mark.parametrize("shape", [(), (3,), (2, 2, 2)])
@pytest.mark.parametrize("form", ["numpy", "array-api-strict", "list", "operator"])
def test_two_dimensions(shape: tuple[int, ...], form: str) -> None:
    A: Any = np.ones(shape)
    if form == "array-api-strict":
        A = FORMS[form](A)
    elif form == "list":
        A = A.tolist()
        if not shape:
            A = np.float64(A)
    elif form == "operator":
        A = _Products(A)
    with pytest.raises(InputError, match=r"`A` must have 2 dimensions, got shape"):
        as_matrix(A)


def test_sparse_vectors_are_refused() -> None:
    with pytest.raises(InputError, match="2 dimensions"):
        as_matrix(scipy.sparse.coo_array(np.ones(3)))


@pytest.mark.parametrize("A", [None, "abc", b"abc", {1: 2}, {3}, lambda x: x, object()])
def test_other_objects_are_refused(A: Any) -> None:
    with pytest.raises(InputTypeError, match="`A` must"):
        as_matrix(A)


@pytest.mark.parametrize("A", [[[1, 2], [3]], [["a", "b"]], [[1, None]], [[{}, {}]]])
def test_lists_that_are_no_matrix_are_refused(A: Any) -> None:
    with pytest.raises(InputTypeError, match="`A`"):
        as_matrix(A)


@pytest.mark.parametrize("make", [list, tuple])
def test_lists(make: Any, gen: np.random.Generator) -> None:
    assert_products(as_matrix(make([[1, 2, 3], [4, 5, 6]])), np.array([[1, 2, 3], [4, 5, 6]]), gen)


class _Frame:
    """Table that offers its values as an array, as data frames do."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape = values, values.shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.values, dtype)


def test_data_frames(gen: np.random.Generator) -> None:
    A = random_array(gen, (5, 3), float)
    assert_products(as_matrix(_Frame(A)), A, gen)
    with pytest.raises(InputTypeError, match="dtype"):
        as_matrix(_Frame(np.array([[1, "a"]], dtype=object)))


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_matrix_class_and_subclasses(gen: np.random.Generator) -> None:
    class Sub(np.ndarray):
        def __matmul__(self, other: Any) -> Any:
            raise AssertionError("products go through the plain array")

    A = random_array(gen, (5, 3), float)
    assert_products(as_matrix(A.view(Sub)), A, gen)
    assert_products(as_matrix(np.asmatrix(A)), A, gen)


def test_masked_arrays(gen: np.random.Generator) -> None:
    A = random_array(gen, (5, 3), float)
    assert_products(as_matrix(np.ma.masked_array(A, mask=False)), A, gen)
    assert_products(as_matrix(np.ma.masked_array(A)), A, gen)
    with pytest.raises(InputTypeError, match="masked"):
        as_matrix(np.ma.masked_array(A, mask=A > 0))


def test_dask_arrays_are_never_computed() -> None:
    dask = pytest.importorskip("dask.array")

    def fail(block: Any) -> Any:
        raise AssertionError("computed")

    A = dask.ones((4, 4)).map_blocks(fail, meta=np.ones((0, 0)))
    with pytest.raises(InputTypeError, match="Dask"):
        as_matrix(A)


@pytest.mark.parametrize("form", ["C", "F", "read-only"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_blas_ready_arrays_are_used_in_place(form: str, dtype: np.dtype) -> None:
    A = FORMS[form](np.ones((5, 3), dtype))
    assert np.shares_memory(as_matrix(A).entries(), A)
    assert np.shares_memory(as_matrix(A[:, :2]).entries(), A)  # BLAS takes a leading dimension
    assert np.shares_memory(as_matrix(A.T).entries(), A)


def test_memory_maps(tmp_path: Any, gen: np.random.Generator) -> None:
    A = random_array(gen, (20, 5), float)
    np.save(tmp_path / "a.npy", A)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    op = as_matrix(mapped)
    assert np.shares_memory(op.source, mapped)
    assert_products(op, A, gen)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_input_is_never_modified(form: str, gen: np.random.Generator) -> None:
    A = random_array(gen, (6, 5), float)
    given_form = FORMS[form](A)
    before = _bytes(given_form)
    op = as_matrix(given_form)
    op.mat(op.from_numpy(np.ones((5, 2))))
    op.rmat(op.from_numpy(np.ones((6, 2))))
    op.entries()
    if op.kind != "operator":
        op.fro2(), op.max_abs(), op.stored()
    assert _bytes(given_form) == before


def _bytes(A: Any) -> list[bytes]:
    names = ("data", "indices", "indptr", "row", "col", "offsets")
    if scipy.sparse.issparse(A) and A.format in {"csr", "csc", "coo", "bsr", "dia"}:
        return [np.asarray(getattr(A, k)).tobytes() for k in names if hasattr(A, k)]
    if scipy.sparse.issparse(A):
        return [A.toarray().tobytes()]
    return [np.asarray(A).tobytes()] if hasattr(A, "__array__") else []


def test_sparse_duplicates_and_zeros(gen: np.random.Generator) -> None:
    rows, cols, values = [0, 0, 1, 1, 2], [1, 1, 0, 0, 2], [1.0, 2.0, 3.0, -3.0, 0.0]
    A = scipy.sparse.coo_array((values, (rows, cols)), shape=(3, 4))
    op = as_matrix(A)
    dense = A.toarray()
    assert op.fro2() == 9.0
    assert op.max_abs() == 3.0
    assert_products(op, dense, gen)
    assert A.nnz == 5  # the caller's duplicates are still there
    columns = op.column_indices()
    assert np.bincount(columns, weights=op.stored(), minlength=4).tolist() == [0.0, 3.0, 0.0, 0.0]


def test_canonical_csr_is_used_in_place() -> None:
    A = scipy.sparse.random_array((20, 10), density=0.2, format="csr", rng=0)
    assert np.shares_memory(as_matrix(A).stored(), A.data)


@pytest.mark.parametrize("form", [*sorted(DENSE_FORMS), "csr_array", "array-api-strict"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nan_and_infinity_show(form: str, bad: float, dtype: np.dtype) -> None:
    A = np.ones((7, 5), dtype)
    A[4, 3] = bad
    op = as_matrix(FORMS[form](A))
    peak, square = op.max_abs(), op.fro2()
    assert np.isnan(peak) if np.isnan(bad) else peak == np.inf
    assert square is not None
    assert not np.isfinite(square)  # complex infinities may square to NaN


@pytest.mark.parametrize("form", [*sorted(DENSE_FORMS), "csr_array", "array-api-strict"])
@pytest.mark.parametrize(
    ("dtype", "scale"), [("f", 1e30), ("f", 1e-30), ("d", 1e200), ("d", 1e-200)]
)
def test_out_of_range_squares(form: str, dtype: str, scale: float) -> None:
    A = np.full((3, 2), scale, dtype)
    op = as_matrix(FORMS[form](A))
    assert op.max_abs() == float(A[0, 0])
    square = op.fro2()  # inf or 0 where squares leave the range, but never NaN and never a warning
    assert square in {0.0, np.inf} or square == pytest.approx(6.0 * float(A[0, 0]) ** 2)


@given(matrices(max_side=12), st.sampled_from(sorted(DENSE_FORMS)), seeds)
def test_row_blocks(A: np.ndarray, form: str, seed: int) -> None:
    patch = pytest.MonkeyPatch()
    with patch.context() as p:
        p.setattr(matrix_module, "_BLOCK_BYTES", 1)  # one row a block
        op = as_matrix(FORMS[form](A))
        assert_products(op, A, np.random.default_rng(seed))
        assert op.max_abs() == pytest.approx(np.abs(A).max(), rel=4 * op.eps)
        assert op.fro2() == pytest.approx(np.linalg.norm(wide(A)) ** 2, rel=1e-4, abs=1e-30)


class _Products:
    """The least that an operator needs."""

    def __init__(self, A: np.ndarray) -> None:
        self.A, self.shape = A, A.shape

    def matvec(self, x: np.ndarray) -> np.ndarray:
        return self.A @ x

    def rmatvec(self, y: np.ndarray) -> np.ndarray:
        return self.A.conj().T @ y


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_operators_need_only_shape_and_products(dtype: np.dtype, gen: np.random.Generator) -> None:
    A = random_array(gen, (6, 4), dtype)
    op = as_matrix(_Products(A))  # without a dtype: that of a product with float64
    assert op.dtype == np.result_type(dtype, np.float64)
    assert_products(op, A, gen)


def test_operators_without_adjoint(gen: np.random.Generator) -> None:
    class Forward:
        shape, dtype = (3, 3), np.dtype(float)

        def matvec(self, x: np.ndarray) -> np.ndarray:
            return x

    with pytest.raises(InputTypeError, match="adjoint"):
        as_matrix(Forward())
    op = as_matrix(LinearOperator((3, 3), matvec=lambda x: x, dtype=float))
    np.testing.assert_array_equal(op.mat(np.eye(3)), np.eye(3))
    with pytest.raises(InputTypeError, match="rmatvec"):
        op.rmat(np.eye(3))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_operators_that_return_nan(bad: float) -> None:
    A = np.eye(3)
    A[1, 1] = bad
    op = as_matrix(_Products(A))
    for product in (op.mat, op.rmat):
        with pytest.raises(NumericalError, match="NaN or infinity"):
            product(np.ones((3, 2)))


def test_operators_with_wrong_shapes() -> None:
    class Short(_Products):
        def matmat(self, X: np.ndarray) -> np.ndarray:
            return X[:-1]

        rmatmat = matmat

    op = as_matrix(Short(np.eye(3)))
    for product in (op.mat, op.rmat):
        with pytest.raises(InputError, match=r"must have shape \(3, 2\), got \(2, 2\)"):
            product(np.ones((3, 2)))


def test_operators_that_return_complex_for_a_real_dtype() -> None:
    class Wrong(_Products):
        dtype = np.dtype(float)

    op = as_matrix(Wrong(1j * np.eye(3)))
    with pytest.raises(InputTypeError, match="complex"):
        op.mat(np.ones((3, 2)))


def test_errors_inside_an_operator_are_not_mistaken_for_a_missing_adjoint() -> None:
    class Broken(_Products):
        def rmatvec(self, y: np.ndarray) -> np.ndarray:
            raise TypeError("unsupported operand in user code")

    op = as_matrix(Broken(np.eye(3)))
    with pytest.raises(TypeError) as caught:
        op.rmat(np.ones((3, 1)))
    assert "unsupported operand" in str(caught.value) + str(caught.value.__cause__)


def test_adjoint_of_adjoint_is_the_matrix() -> None:
    op = as_matrix(np.ones((3, 2)))
    assert isinstance(op.H, Adjoint)
    assert op.H.shape == (2, 3)
    assert op.H.H is op
    assert as_matrix(op) is op


def test_set_rows() -> None:
    buffer = np.zeros((4, 2))
    assert set_rows(buffer, 1, np.ones((2, 2))) is buffer
    np.testing.assert_array_equal(buffer[:, 0], [0, 1, 1, 0])


def test_array_api_namespace_is_kept(gen: np.random.Generator) -> None:
    import array_api_strict

    A = array_api_strict.asarray(random_array(gen, (4, 3), float))
    op = as_matrix(A)
    assert op.xp.__name__.endswith("array_api_strict")
    assert op.source is A
    assert type(op.mat(op.from_numpy(np.ones((3, 1))))) is type(A)
    integers = as_matrix(array_api_strict.asarray(np.arange(12).reshape(4, 3)))
    assert integers.dtype == np.float64
    assert_products(integers, np.arange(12).reshape(4, 3), gen)


@pytest.mark.parametrize("name", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("view", ["plain", "transposed", "strided", "conjugate", "gradient"])
def test_torch(name: str, view: str, gen: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    A = random_array(gen, (6, 4), name)
    T = torch.from_numpy(A.copy())
    if view == "transposed":
        T, A = T.T, A.T
    elif view == "strided":
        T, A = T[::2, 1:], A[::2, 1:]
    elif view == "conjugate":
        T, A = T.conj(), A.conj()
    elif view == "gradient":
        T = T.requires_grad_()
    op = as_matrix(T)
    assert op.dtype == A.dtype
    assert_products(op, A, gen)
    assert op.fro2() == pytest.approx(np.linalg.norm(A) ** 2, rel=1e-5)
    assert op.max_abs() == pytest.approx(np.abs(A).max())
    np.testing.assert_array_equal(op.to_numpy(op.H.entries()), A.conj().T)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("float16", "f"), ("bfloat16", "f"), ("int8", "d"), ("uint8", "d"), ("bool", "d")],
)
def test_torch_dtypes(name: str, expected: str, gen: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    A = gen.integers(0, 2, (5, 3))
    op = as_matrix(torch.from_numpy(A).to(getattr(torch, name)))
    assert op.dtype == np.dtype(expected)
    assert_products(op, A, gen)
