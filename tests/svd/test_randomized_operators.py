"""The truncated SVD of matrices that are known through products."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from lowapprox import InputError, InputTypeError, NumericalError
from lowapprox.svd import randomized_svd
from tests.reference import (
    CountedOperator,
    orthonormality_defect,
)
from tests.strategies import (
    DTYPES,
    quiet,
)
from tests.svd.problems import METHODS, harmonic


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
