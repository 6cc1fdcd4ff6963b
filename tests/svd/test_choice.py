"""Which method `auto` takes, and what stands in for one that fails or is too large."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import random_array as random_sparse

from lowapprox import InputError
from lowapprox.svd import randomized_svd
from tests.reference import with_spectrum
from tests.strategies import FORMS, quiet


@pytest.mark.parametrize(
    ("shape", "form", "options", "method"),
    [
        ((300, 128), "C", {"rank": 3}, "direct"),
        ((300, 129), "C", {"rank": 3}, "krylov"),
        ((300, 32), "csr_array", {"rank": 3}, "direct"),
        ((300, 33), "csr_array", {"rank": 3}, "krylov"),
        ((300, 33), "operator", {"rank": 3}, "krylov"),
        ((300, 200), "C", {"rank": 69, "passes": 8}, "krylov"),
        ((300, 200), "C", {"rank": 70}, "direct"),
        ((300, 200), "C", {"rank": 5, "passes": 1}, "single_pass"),
        ((300, 200), "C", {"rank": 5, "passes": 6}, "subspace"),
        ((300, 200), "C", {"rank": 5, "passes": 7}, "krylov"),
        ((300, 200), "C", {"tol": 0.5, "passes": 6}, "krylov"),
        ((1200, 150), "C", {"rank": 10}, "gram"),
        ((1200, 150), "C", {"rank": 9}, "krylov"),
        ((1199, 150), "C", {"rank": 10}, "krylov"),
        ((1200, 150), "csr_array", {"rank": 10}, "krylov"),
        ((1200, 150), "C", {"rank": 10, "accuracy": "high"}, "krylov"),
        ((1200, 150), "C", {"rank": 10, "passes": 4}, "gram"),
        ((1200, 150), "C", {"rank": 10, "passes": 3}, "subspace"),
    ],
)
def test_the_automatic_choice(shape, form, options, method):
    A = with_spectrum(np.random.default_rng(0), *shape, 1.0 / np.arange(1.0, min(shape) + 1))
    for matrix in (A, A.T.copy()):
        with quiet():
            res = randomized_svd(FORMS[form](matrix), rng=0, **options)
        assert res.info["method"] == method
        assert res.passes <= options.get("passes", np.inf)


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_a_slower_driver_where_the_fast_one_gives_up(dtype, monkeypatch):
    s = 1.0 / np.arange(1.0, 31)
    A = with_spectrum(np.random.default_rng(0), 40, 30, s, dtype)
    expected = randomized_svd(A, 4, method="direct", certify="none")
    svd = np.linalg.svd

    def gives_up(x, **options):
        if x.shape == A.shape:
            raise np.linalg.LinAlgError("SVD did not converge")
        return svd(x, **options)

    monkeypatch.setattr(np.linalg, "svd", gives_up)
    res = randomized_svd(A, 4, method="direct", certify="none")
    for one, two in zip(res, expected, strict=True):
        assert one.dtype == two.dtype
        np.testing.assert_allclose(one, two, atol=100 * np.finfo(dtype).eps)


def test_large_sparse_matrices_whose_factors_are_no_smaller():
    A = random_sparse((30_000, 60), density=0.01, rng=0)
    s = np.linalg.svd(A.toarray(), compute_uv=False)
    np.testing.assert_allclose(randomized_svd(A, 20, method="direct", rng=0).s, s[:20], rtol=1e-12)
    with pytest.raises(InputError, match="would make a dense array"):
        randomized_svd(A, 19, method="direct")
    # Inner products of 60 columns take little room, whatever the rank.
    np.testing.assert_allclose(randomized_svd(A, 3, method="gram", rng=0).s, s[:3], rtol=1e-6)
