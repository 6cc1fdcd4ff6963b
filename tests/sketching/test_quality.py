"""Numbers of rows, and distortion."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from lowapprox._core.errors import InputError, InputTypeError
from lowapprox.sketching import (
    SRHT,
    CountSketch,
    Gaussian,
    Rademacher,
    RowSampling,
    SparseSign,
    distortion,
    embedding_dim,
)
from tests.strategies import DENSE_FORMS, SPARSE_FORMS

CLASSES = {
    "gaussian": Gaussian,
    "rademacher": Rademacher,
    "srht": SRHT,
    "sparse": SparseSign,
    "countsketch": CountSketch,
}


@pytest.mark.stat
@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("form", ["random", "coordinates"])
def test_embedding_dim_keeps_its_promise(kind, form):
    d, eps, delta, n = 10, 0.5, 0.1, 3000
    m = embedding_dim(d, eps=eps, delta=delta, kind=kind)
    X = np.random.default_rng(0).standard_normal((n, d))
    if form == "coordinates":
        X = np.eye(n)[:, 100 : 100 + d]
    keys = 40
    failures = sum(distortion(CLASSES[kind](m, n, rng=key), X) > eps for key in range(keys))
    # With chance at most delta each, more than 13 of 40 fail with a chance below 1e-4; fixed keys.
    assert failures <= 13


@pytest.mark.stat
@pytest.mark.parametrize("kind", CLASSES)
def test_points_keep_their_distances(kind):
    N, eps, delta = 12, 0.5, 0.05
    m = embedding_dim(N, eps=eps, delta=delta, kind=kind, purpose="jl")
    X = np.random.default_rng(0).standard_normal((500, N))
    i, j = np.triu_indices(N, 1)
    exact = ((X[:, i] - X[:, j]) ** 2).sum(axis=0)
    failures = 0
    for key in range(20):
        Y = CLASSES[kind](m, 500, rng=key) @ X
        ratio = ((Y[:, i] - Y[:, j]) ** 2).sum(axis=0) / exact
        failures += bool((np.abs(ratio - 1) > eps).any())
    assert failures <= 8  # chance below 1e-5 where each fails with delta


def test_numbers_of_rows():
    assert embedding_dim(100, purpose="precondition") == 1200
    assert embedding_dim(0) == 0
    assert embedding_dim(1, purpose="jl", eps=0.9) >= 1
    L = math.log(20)
    assert embedding_dim(7, eps=0.3) == math.ceil(7 / 0.09 * (1 + 2 * math.sqrt(L / 7)) ** 2)
    assert embedding_dim(7, eps=0.3, kind="srht", purpose="linf") == math.ceil(
        7 + 14 * math.log(14 / 0.05) / 0.09
    )
    for purpose in ("embed", "jl"):
        few = embedding_dim(50, eps=0.3, purpose=purpose)
        assert few < embedding_dim(50, eps=0.2, purpose=purpose)
        assert few < embedding_dim(50, eps=0.3, delta=1e-6, purpose=purpose)
        assert few < embedding_dim(50, eps=0.3, kind="countsketch", purpose=purpose)


def test_distortion_is_that_of_an_orthonormal_basis():
    gen = np.random.default_rng(0)
    X = gen.standard_normal((300, 6))
    S = Gaussian(100, 300, rng=0)
    s = np.linalg.svd(S.toarray() @ np.linalg.qr(X)[0], compute_uv=False)
    exact = max(s[0] - 1, 1 - s[-1])
    assert distortion(S, X) == pytest.approx(exact, rel=1e-10)
    # The range decides: scaled and dependent columns change nothing.
    scales = np.logspace(-150, 150, 6)
    assert distortion(S, X * scales) == pytest.approx(exact, rel=1e-10)
    dependent = np.c_[X, X @ gen.standard_normal((6, 3))]
    assert distortion(S, dependent) == pytest.approx(exact, rel=1e-6)
    for form in {**DENSE_FORMS, **SPARSE_FORMS}.values():
        assert distortion(S, form(X)) == pytest.approx(exact, rel=1e-10)
    assert distortion(S, X.astype(np.float32)) == pytest.approx(exact, rel=1e-4)
    x = X[:, 0]
    one = abs(np.linalg.norm(S @ x) / np.linalg.norm(x) - 1)
    for given in (x, x.tolist(), sp.coo_array(x)):
        assert distortion(S, given) == pytest.approx(one, rel=1e-10)


def test_distortion_of_degenerate_cases():
    assert distortion(Gaussian(5, 9, rng=0), np.zeros((9, 2))) == 0.0
    assert distortion(Gaussian(5, 9, rng=0), np.zeros((9, 0))) == 0.0
    assert distortion(Gaussian(5, 0, rng=0), np.zeros((0, 3))) == 0.0
    assert distortion(Gaussian(0, 9, rng=0), np.ones((9, 1))) == 1.0
    assert distortion(Gaussian(2, 9, rng=0), np.eye(9)[:, :3]) >= 1.0  # some x is taken to zero
    assert distortion(RowSampling(9, 9, replace=False, rng=0), np.eye(9)) == 0.0
    assert distortion(SRHT(64, 64, block=64, rng=0), np.eye(64)[:, :7]) < 1e-13


BAD_CALLS = {
    "`d` must be an integer": (InputTypeError, lambda: embedding_dim(2.5)),
    "`d` must be at least 0": (InputError, lambda: embedding_dim(-1)),
    "`eps` must lie strictly": (InputError, lambda: embedding_dim(2, eps=1.0)),
    "`delta` must lie strictly": (InputError, lambda: embedding_dim(2, delta=0.0)),
    "`kind` must be one of": (InputError, lambda: embedding_dim(2, kind="fourier")),
    "`purpose` must be one of": (InputError, lambda: embedding_dim(2, purpose="all")),
    "`kind` must be one of 'gaussian', 'rademacher', 'srht', 'srtt' for purpose='linf'": (
        InputError,
        lambda: embedding_dim(2, purpose="linf"),
    ),
    "`S` must be a sketching": (InputTypeError, lambda: distortion(np.eye(2), np.eye(2))),
    "`X` must have 3 rows": (InputError, lambda: distortion(Gaussian(2, 3, rng=0), np.eye(2))),
    "`X` must be an array or": (
        InputTypeError,
        lambda: distortion(Gaussian(2, 3, rng=0), aslinearoperator(np.eye(3))),
    ),
    "`X` must contain finite": (
        InputError,
        lambda: distortion(Gaussian(2, 3, rng=0), [[np.nan], [1.0], [2.0]]),
    ),
}


@pytest.mark.parametrize("message", BAD_CALLS)
def test_refusals(message):
    error, call = BAD_CALLS[message]
    with pytest.raises(error) as info:
        call()
    assert str(info.value).startswith(message)
