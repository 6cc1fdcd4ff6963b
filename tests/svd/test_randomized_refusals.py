"""What the truncated SVD refuses, and what it says then."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from lowapprox import ConvergenceWarning, InputError, InputTypeError
from lowapprox.svd import randomized_svd
from tests.reference import (
    error,
    residuals,
)
from tests.strategies import (
    DENSE_FORMS,
    FORMS,
    SPARSE_FORMS,
)
from tests.svd.problems import METHODS, harmonic


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
    true = residuals(A, *res)
    assert (true <= res.residuals + 1e-13).all()
    assert (res.residuals <= 20 * true + 1e-13).all()
    assert res.error == pytest.approx(error(A, res.reconstruct()), rel=1e-9)
