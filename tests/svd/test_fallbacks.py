"""Methods that give up or are refused, and what they have cost."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.sparse import random_array as random_sparse
from scipy.sparse.linalg import LinearOperator

from lowapprox import ConvergenceWarning, InputError
from lowapprox.svd import randomized_eigh, randomized_svd
from tests.reference import CountedOperator, residuals, with_spectrum


@pytest.mark.parametrize("method", ["direct", "gram"])
def test_a_large_sparse_matrix_is_not_made_dense(method):
    A = random_sparse((50_000, 8_000), density=1e-5, rng=0)
    with pytest.raises(InputError, match=rf"`?method='{method}' would make a dense array"):
        randomized_svd(A, 3, method=method)
    op = LinearOperator(A.shape, matvec=A.dot, rmatvec=A.T.dot, dtype=float)
    with pytest.raises(InputError, match="would make a dense array"):
        randomized_svd(op, 3, method=method)


def test_nor_is_a_large_hermitian_one():
    A = random_sparse((20_000, 20_000), density=1e-5, rng=0)
    with pytest.raises(InputError, match="would make a dense array"):
        randomized_eigh(A + A.T, 3, method="direct")


def test_small_sparse_matrices_may_use_every_method():
    A = random_sparse((300, 40), density=0.2, rng=0)
    s = np.linalg.svd(A.toarray(), compute_uv=False)
    for method in ("direct", "gram"):
        assert np.allclose(randomized_svd(A, 5, method=method, rng=0).s, s[:5])


def test_products_of_an_abandoned_krylov_run_are_counted():
    A = np.random.default_rng(0).standard_normal((400, 300))
    result = randomized_svd(A, tol=0.05, rng=0)
    assert result.info["method"] == "direct"
    assert result.matvecs > 300
    assert result.passes > 10


def test_a_gram_matrix_that_was_not_enough_is_counted():
    A = with_spectrum(np.random.default_rng(1), 500, 40, 0.3 ** np.arange(40.0))
    gram = randomized_svd(A, 20, method="gram", rng=0)
    krylov = randomized_svd(A, 20, method="krylov", rng=0)
    assert gram.info["method"] == "krylov"
    assert gram.passes == krylov.passes + 1


@pytest.mark.parametrize("kind", ["dense", "operator"])
def test_gram_hands_over_what_it_cannot_resolve(kind):
    """A^H A holds the last wanted value, but not to rounding level."""
    A = with_spectrum(np.random.default_rng(1), 500, 40, 0.4 ** np.arange(40.0))
    op = A if kind == "dense" else CountedOperator(A)
    result = randomized_svd(op, 14, method="gram", accuracy="full", rng=0)
    assert result.converged
    assert result.info["method"] == "krylov"
    assert "A^H A" in result.info["why"]
    assert residuals(A, *result).max() <= 1e-14
    if kind == "operator":
        assert op.columns == result.matvecs + 1  # one column more tells the scale
    assert randomized_svd(op, 14, method="gram", accuracy="high", rng=0).info["method"] == "gram"


@pytest.mark.parametrize("ratio", [0.4, 0.2])
def test_gram_keeps_to_a_limit_of_passes(ratio):
    A = with_spectrum(np.random.default_rng(1), 500, 40, ratio ** np.arange(40.0))
    for passes in (4, 5):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = randomized_svd(
                A, 14, method="gram", accuracy="full", passes=passes, certify="none", rng=0
            )
        assert result.passes <= passes
        # Values that fall so fast that one wide block holds them all may be found in time.
        assert not result.converged or ratio == 0.2
        assert not result.converged or residuals(A, *result).max() <= 1e-13
        warned = any(w.category is ConvergenceWarning for w in caught)
        assert warned != result.converged
    for method, least in (("gram", 4), ("subspace", 2), ("krylov", 2)):
        with pytest.raises(InputError, match=rf"`passes` must be at least {least} .* got"):
            randomized_svd(A, 14, method=method, passes=least - 1)
    assert randomized_svd(A, 4, passes=3, rng=0).info["method"] != "gram"


def test_the_bound_is_no_more_than_the_exact_frobenius_error():
    A = with_spectrum(np.random.default_rng(3), 300, 200, np.r_[1.0, np.full(199, 0.01)])
    result = randomized_svd(A, 1, certify="probe", rng=0)
    assert result.error_kind == "exact"
    assert result.error_bound <= result.error
    assert result.error_bound >= 0.01 * (1 - 1e-9)


@pytest.mark.parametrize("function", [randomized_svd, randomized_eigh])
def test_warnings_point_at_the_caller(function):
    A = with_spectrum(np.random.default_rng(0), 300, 300, 1.0 / np.arange(1.0, 301.0))
    with pytest.warns(ConvergenceWarning) as caught:
        function(A + A.T, 5, accuracy="full", passes=4, method="krylov", rng=0)
    assert [warning.filename for warning in caught] == [__file__]
