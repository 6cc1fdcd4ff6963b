"""Least-squares problems of every awkward kind, and independent measures of their solutions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.reference import random_array, with_spectrum
from tests.strategies import seeds

SOLVERS = ("auto", "direct", "cholesky", "spir", "fossils", "iterative")


class Problem(NamedTuple):
    A: np.ndarray
    b: np.ndarray
    condition: float


def problem(
    n: int,
    d: int,
    condition: float = 10.0,
    residual: float = 1.0,
    *,
    columns: int | None = None,
    dtype: Any = float,
    seed: int = 0,
) -> Problem:
    """A problem with known condition number and (about) the given residual."""
    gen = np.random.default_rng(seed)
    wide = np.result_type(dtype, float)
    A = with_spectrum(gen, n, d, condition ** -np.linspace(0.0, 1.0, d), wide)
    shape = (n,) if columns is None else (n, columns)
    x = random_array(gen, (d, *shape[1:]), wide)
    b = A @ x + residual * random_array(gen, shape, wide)
    return Problem(A.astype(dtype), b.astype(dtype), condition)


@st.composite
def problems(
    draw: st.DrawFn, *, max_condition: float = 1e15, spread: int = 8, max_columns: int = 24
) -> Problem:
    """Tall problems whose columns have sizes from 10^-spread to 10^spread."""
    d = draw(st.integers(1, max_columns))
    n = d * draw(st.integers(1, 30)) + draw(st.integers(0, 5))
    condition = 10.0 ** draw(st.floats(0.0, np.log10(max_condition)))
    residual = draw(st.sampled_from([0.0, 1e-8, 1e-3, 1.0, 1e3, 1e6]))
    seed = draw(seeds)
    made = problem(n, d, condition, residual, seed=seed)
    scale = 10.0 ** np.random.default_rng(seed).uniform(-spread, spread, d)
    return Problem(made.A * scale, made.b, condition)


def backward_error(A: np.ndarray, b: np.ndarray, x: np.ndarray, *, scale: bool = True) -> float:
    """The Karlson-Walden estimate by a full SVD, with columns scaled to unit norm or not."""
    A, b, x = (np.asarray(z, np.result_type(z, float)) for z in (A, b, x))
    D = np.abs(A).max(axis=0) if scale else np.ones(A.shape[1])
    D[D == 0.0] = 1.0
    if scale:
        norms = np.linalg.norm(A / D, axis=0)
        D = D * np.where(norms == 0.0, 1.0, norms)
    A, x = A / D, x * D
    size, b_norm = np.linalg.norm(A), np.linalg.norm(b)
    if size == 0.0 or b_norm == 0.0:
        return 0.0
    _, s, Vh = np.linalg.svd(A)
    s = np.append(s, np.zeros(A.shape[1] - s.size))
    r = b - A @ x
    q = 1.0 / ((b_norm / size) ** 2 + np.linalg.norm(x) ** 2)
    sizes = np.sqrt(s**2 + q * np.linalg.norm(r) ** 2)
    g = Vh @ (A.conj().T @ r)
    g, sizes = g[sizes > 0.0], sizes[sizes > 0.0]
    return float(np.sqrt(q) * np.linalg.norm(g / sizes) / size)


def exact_solution(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The solution for real A of full rank by Householder QR in extended precision.

    Columns are scaled first. Where long doubles are doubles the calling test is skipped.
    """
    if np.finfo(np.longdouble).eps > 1e-18:
        pytest.skip("no extended precision")
    D = np.linalg.norm(A, axis=0)
    R, c = np.asarray(A, np.longdouble) / D, np.array(b, np.longdouble)
    n, d = R.shape
    for j in range(min(d, n - 1)):
        v = R[j:, j].copy()
        v[0] += np.copysign(np.sqrt(v @ v), v[0])
        v /= np.sqrt(v @ v)
        R[j:, j:] -= 2 * np.multiply.outer(v, v @ R[j:, j:])
        c[j:] -= 2 * v * (v @ c[j:])
    x = np.zeros(d, np.longdouble)
    for j in reversed(range(d)):
        x[j] = (c[j] - R[j, j + 1 :] @ x[j + 1 :]) / R[j, j]
    return x / D


def wedin(A: np.ndarray, b: np.ndarray, x: np.ndarray, condition: float, error: float) -> float:
    """How far two solutions with backward errors of this size can be apart, to first order."""
    A, b = np.asarray(A, np.result_type(A, float)), np.asarray(b, np.result_type(b, float))
    r = np.linalg.norm(b - A @ x)
    size = np.linalg.norm(A) * np.linalg.norm(x) + np.linalg.norm(b)
    return float(error * condition * (size + condition * r) / np.linalg.norm(A, 2))
