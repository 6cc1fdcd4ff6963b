"""Least squares with Kronecker and Khatri-Rao products that are never formed."""

from __future__ import annotations

import importlib
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowapprox import InputError, InputTypeError, lstsq
from lowapprox._core.matrix import as_matrix
from lowapprox.regression.sketched import sketched
from lowapprox.regression.system import make_system
from lowapprox.sketching import KhatriRaoSign, TensorSketch, TensorSRHT, khatri_rao, kron
from tests.reference import random_array
from tests.strategies import seeds

PRODUCTS = {"kron": kron, "khatri_rao": khatri_rao}
N, KEYS = 48, 200


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat all operators as large ones."""
    monkeypatch.setattr(importlib.import_module("lowapprox.regression.lstsq"), "_SMALL_OPERATOR", 0)


def factors_of(name: str, gen: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two factors, whose product has 16 columns."""
    d = 4 if name == "kron" else 16
    return gen.standard_normal((N, d)), gen.standard_normal((N, d))


def instance(name: str, form: str) -> tuple[Any, np.ndarray, np.ndarray]:
    """A product, formed and not, and a right-hand side."""
    gen = np.random.default_rng(0)
    A, B = factors_of(name, gen)
    if form in {"coordinates", "one row"}:
        A = B = np.eye(N)[:, : A.shape[1]]
    if form == "noise":
        b = gen.standard_normal(N * N)
    elif form == "aligned":  # the residual has a factor in common with columns
        u = gen.standard_normal(N)
        b = np.kron(u - A @ np.linalg.lstsq(A, u)[0], B[:, 0])
    elif form == "coordinates":
        b = np.zeros((N, N))
        b[20, 20:28] = 1.0
        b = b.ravel()
    else:
        b = np.kron(np.eye(N)[20], np.eye(N)[0])
    P = PRODUCTS[name](A, B)
    return P, P.toarray(), b


@pytest.mark.stat
@pytest.mark.parametrize("form", ["noise", "aligned", "coordinates", "one row"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_simultaneous_coverage(name: str, form: str) -> None:
    P, A, b = instance(name, form)
    d = A.shape[1]
    x = np.linalg.lstsq(A, b)[0]
    size = np.linalg.norm(b - A @ x) / np.linalg.svd(A, compute_uv=False)[-1]
    inside = above = 0
    for key in range(KEYS):
        result = lstsq(P, b, method="linf", rng=key)
        assert result.info["method"] == "linf"
        assert result.info["rows"] == 8 * d
        assert result.entry_bound is not None
        errors = np.abs(result.x - x)
        inside += bool((errors <= result.entry_bound).all())
        rule = np.sqrt(2.0 * np.log(2.0 * d / 0.05) / (8 * d - d)) * size
        above += bool(errors.max() > rule)
    assert inside >= 0.90 * KEYS
    assert above <= (0.05 + 3 * np.sqrt(0.05 * 0.95 / KEYS)) * KEYS


@pytest.mark.stat
@pytest.mark.parametrize("form", ["aligned", "coordinates"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_simultaneous_coverage_with_weights(name: str, form: str) -> None:
    P, A, b = instance(name, form)
    w = np.random.default_rng(1).random(N * N) + 0.1
    x = lstsq(A, b, weights=w, method="direct").x
    inside = 0
    for key in range(KEYS):
        result = lstsq(P, b, weights=w, method="linf", rng=key)
        assert result.info["method"] == "linf"
        assert result.entry_bound is not None
        inside += bool((np.abs(result.x - x) <= result.entry_bound).all())
    assert inside >= 0.90 * KEYS


def coverage(form: str, kind: Any, rows: int, robust: bool) -> tuple[float, int]:
    """The share of the solved sketches where every entry is within its bound, and their number."""
    P, A, b = instance("kron", form)
    x = np.linalg.lstsq(A, b)[0]
    system = make_system(as_matrix(P), b[:, None], None, 0.0)
    gen = np.random.default_rng(0)
    inside = count = 0
    for key in range(KEYS):
        make = lambda _, key=key: kind(rows, (N, N), rng=key)  # noqa: E731
        found = sketched(system, make, gen, None, 0.05, 1e12, robust)
        if found is not None:
            count += 1
            inside += bool((np.abs(found.X[:, 0] - x) <= found.bound[:, 0]).all())
    return inside / max(count, 1), count


@pytest.mark.stat
def test_ordinary_intervals_fail_where_the_residual_is_aligned() -> None:
    """The reason for the robust ones; and a sparse sketch fails with both."""
    for kind in (TensorSRHT, KhatriRaoSign):
        assert coverage("aligned", kind, 128, False)[0] < 0.85
        assert coverage("aligned", kind, 128, True)[0] >= 0.90
    share, count = coverage("coordinates", TensorSketch, 64, True)
    assert count < 0.9 * KEYS or share < 0.6


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("eps", [0.5, 0.25])
def test_more_rows_until_the_bounds_suffice(name: str, eps: float) -> None:
    gen = np.random.default_rng(1)
    A, B = factors_of(name, gen)
    A, B = np.tile(A, (8, 1)), np.tile(B, (8, 1))
    P, b = PRODUCTS[name](A, B), gen.standard_normal(64 * N * N)
    result = lstsq(P, b, method="linf", eps=eps, delta=1e-5, rng=0)
    x = lstsq(P, b).x
    size = (
        np.linalg.norm(b - P.mat(x[:, None])[:, 0])
        / np.linalg.svd(P.toarray(), compute_uv=False)[-1]
    )
    assert result.info["method"] == "linf"
    assert result.entry_bound is not None
    assert result.entry_bound.max() <= 1.3 * eps * size / 4.0
    assert (np.abs(result.x - x) <= result.entry_bound).all()


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("method", ["auto", "direct", "spir", "fossils", "cholesky"])
@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("dtype", [float, np.float32, complex])
def test_exact_methods_agree_with_the_formed_product(name: str, method: str, dtype: Any) -> None:
    gen = np.random.default_rng(0)
    d = 3 if name == "kron" else 9
    A, B = random_array(gen, (30, d), dtype), random_array(gen, (40, d), dtype)
    P, b = PRODUCTS[name](A, B), random_array(gen, (1200, 2), dtype)
    for weights in (None, gen.random(1200)):
        result = lstsq(P, b, method=method, weights=weights, rng=0)
        dense = lstsq(P.toarray(), b, method="direct", weights=weights)
        assert result.converged
        assert result.x.dtype == P.dtype
        unit = float(np.finfo(dtype).eps)
        assert np.linalg.norm(result.x - dense.x) <= 1e3 * unit * np.linalg.norm(dense.x)


@given(seeds, st.sampled_from(sorted(PRODUCTS)), st.integers(1, 3), st.booleans())
def test_factors_are_factored_before_they_are_multiplied(
    seed: int, name: str, count: int, imaginary: bool
) -> None:
    gen = np.random.default_rng(seed)
    d = int(gen.integers(1, 4))
    widths = [d] * count if name == "khatri_rao" else gen.integers(1, 4, count)
    dtype = complex if imaginary else float
    factors = [random_array(gen, (int(gen.integers(1, 20)), int(w)), dtype) for w in widths]
    product = PRODUCTS[name](*factors)
    Q, P = product.compressed()
    assert np.allclose(Q.toarray() @ P.toarray(), product.toarray(), atol=1e-13)
    assert np.allclose(Q.toarray().conj().T @ Q.toarray(), np.eye(Q.shape[1]), atol=1e-13)
    b = random_array(gen, (product.shape[0], 2), dtype)
    result, dense = (lstsq(A, b, method="direct") for A in (product, product.toarray()))
    assert result.rank == dense.rank
    assert np.allclose(result.residual_norm, dense.residual_norm, atol=1e-12)
    assert np.allclose(result.x, dense.x, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("name", PRODUCTS)
def test_no_row_of_the_product_is_made(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gen = np.random.default_rng(0)
    A, B = factors_of(name, gen)
    P, b = PRODUCTS[name](A, B), gen.standard_normal(N * N)
    exact = lstsq(P.toarray(), b, ridge=0.5, method="direct")
    monkeypatch.setattr(P, "row_block", None)
    result = lstsq(P, b, ridge=0.5)
    assert result.info["method"] == "direct"
    assert result.passes <= 3
    assert np.allclose(result.x, exact.x, rtol=1e-12)
    assert np.allclose(result.standard_errors, exact.standard_errors, rtol=1e-10)


@pytest.mark.parametrize("name", PRODUCTS)
def test_dependent_columns(large: None, name: str) -> None:
    gen = np.random.default_rng(0)
    A, B = factors_of(name, gen)
    A[:, 1], B[:, 1] = A[:, 0], B[:, 0]
    P, b = PRODUCTS[name](A, B), gen.standard_normal(N * N)
    for method in ("auto", "linf"):
        result = lstsq(P, b, method=method, rng=0)
        assert result.info["method"] == "direct"
        x = np.linalg.lstsq(P.toarray(), b, rcond=1e-12)[0]
        assert np.allclose(result.x, x, atol=1e-12)


@given(seeds, st.booleans(), st.sampled_from(["linf", "sketch"]))
@settings(max_examples=20)
def test_weights_and_kinds_of_sketches(seed: int, weighted: bool, method: str) -> None:
    gen = np.random.default_rng(seed)
    P = kron(gen.standard_normal((50, 3)), gen.standard_normal((60, 2)))
    b, w = gen.standard_normal((3000, 2)), gen.random(3000) + 0.1
    weights = w if weighted else None
    root = np.sqrt(w)[:, None] if weighted else np.ones((3000, 1))
    x = np.linalg.lstsq(P.toarray() * root, b * root)[0]
    kinds = ["auto", "srht", "gaussian", *(["sparse"] if method == "sketch" else [])]
    for kind in kinds:
        result = lstsq(P, b, method=method, sketch=kind, weights=weights, rng=seed)
        assert result.passes == 1
        assert result.entry_bound is not None
        assert (np.abs(result.x - x) <= 3.0 * result.entry_bound).all()


def test_memory_is_that_of_the_right_hand_side() -> None:
    gen = np.random.default_rng(0)
    A, B = gen.standard_normal((1500, 16)), gen.standard_normal((1000, 16))
    b = gen.standard_normal(1_500_000)
    formed = b.nbytes * 16
    for P in (khatri_rao(A, B), kron(A[:, :4], B[:, :4])):
        for method, most in (("linf", 1.5), ("auto", 4.0)):
            lstsq(P, b, method=method, rng=0)  # compiled code takes memory of its own
            tracemalloc.start()
            result = lstsq(P, b, method=method, rng=0)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert result.converged
            assert peak <= most * b.nbytes + 4e6
            assert peak < formed / 3


def test_refusals() -> None:
    P, b = kron(np.eye(50)[:, :2], np.eye(50)[:, :2]), np.ones(2500)
    with pytest.raises(InputError, match="`sketch` must be 'auto', 'srht' or 'gaussian'"):
        lstsq(P, b, method="linf", sketch="sparse")
    with pytest.raises(InputError, match="`b` must have shape"):
        lstsq(P, np.ones(50))
    with pytest.raises(InputTypeError, match="needs real"):
        lstsq(P, b + 1j, method="linf")
    for bad in (np.nan, np.inf):
        A = np.ones((50, 2))
        A[3] = bad
        with pytest.raises(InputError, match="`A` must contain finite"):
            lstsq(kron(A, A), b, method="linf")
        with pytest.raises(InputError, match="`b` must contain finite"):
            lstsq(P, np.full(2500, bad), method="linf")
