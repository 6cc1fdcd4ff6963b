"""Test problems whose answer is known, the same for asv classes and comparisons with peers.

What is slow to make is kept in the folder named by ``LOWAPPROX_BENCH_CACHE`` (by default a folder
of its own under the system's temporary folder).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

#: Singular values sigma_j, j = 1, 2, ..., n.
SPECTRA: dict[str, Callable[[Array, int], Array]] = {
    "1/j": lambda j, n: 1 / j,
    "j^-1/2": lambda j, n: j**-0.5,
    "2^(-j/5)": lambda j, n: 2.0 ** (-j / 5),
    "flat-50-then-0.1": lambda j, n: np.where(
        j <= 50, 1 - 0.002 * (j - 1), 0.1 * (1 - 0.5 * j / n)
    ),
}


def cache_folder() -> Path:
    """Return the folder that keeps problems between runs."""
    default = Path(tempfile.gettempdir()) / "lowapprox-bench"
    folder = Path(os.environ.get("LOWAPPROX_BENCH_CACHE", default))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cached(name: str, make: Callable[[], Array]) -> Array:
    """Load an array from the cache, or make it and store it there."""
    path = cache_folder() / f"{name}.npy"
    if not path.exists():
        partial = path.with_suffix(f".{os.getpid()}.npy")
        np.save(partial, make())
        partial.replace(path)  # atomic: two processes may make the same problem
    return np.load(path)


def spectrum(name: str, n: int) -> Array:
    """Return the n singular values of the spectrum called `name`."""
    return SPECTRA[name](np.arange(1.0, n + 1), n)


def dense_matrix(name: str, m: int = 4000, n: int = 3000) -> tuple[Array, Array]:
    """Return an m x n matrix with Haar-like singular vectors, and its singular values.

    The singular vectors are the same for all spectra; m >= n.
    """
    U = cached(f"left-{m}x{n}", lambda: _orthonormal(m, n, 1))
    V = cached(f"right-{n}x{n}", lambda: _orthonormal(n, n, 2))
    s = spectrum(name, n)
    return (U * s) @ V.T, s


def _orthonormal(m: int, n: int, seed: int) -> Array:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((m, n)))[0]


@dataclass(frozen=True, eq=False)
class TallProblem:
    """Least squares with ``A = U diag(s) V^T`` for known factors, and a solution `x`."""

    A: Array
    b: Array
    x: Array
    s: Array
    V: Array

    def backward_error(self, x: Array, *, scaled: bool = False) -> float:
        """Return the Karlson-Walden estimate relative to ``|A|_F``, also for unit columns."""
        residual = self.b - self.A @ x
        gradient = self.A.T @ residual
        s, Vh = self.s, self.V.T
        if scaled:
            columns = np.linalg.norm(s[:, None] * Vh, axis=0)
            s, Vh = np.linalg.svd(s[:, None] * Vh / columns)[1:]
            x, gradient = x * columns, gradient / columns
        size = np.linalg.norm(s)
        weight = 1 / ((np.linalg.norm(self.b) / size) ** 2 + x @ x)
        sizes = np.sqrt(s**2 + weight * (residual @ residual))
        return float(np.sqrt(weight) * np.linalg.norm((Vh @ gradient) / sizes) / size)


def tall_problem(n: int, d: int, condition: float, *, residual: float = 1e-3) -> TallProblem:
    """Return an n x d problem of norm 1 with singular values in geometric progression."""
    U = cached(f"left-{n}x{d}", lambda: _orthonormal(n, d, 1))
    V = cached(f"right-{d}x{d}", lambda: _orthonormal(d, d, 2))
    rng = np.random.default_rng(3)
    s = np.geomspace(1.0, 1.0 / condition, d)
    A = U @ (s[:, None] * V.T)
    x, rest = rng.standard_normal(d), rng.standard_normal(n)
    x /= np.linalg.norm(x)
    for _ in range(2):
        rest -= U @ (U.T @ rest)
    return TallProblem(A, A @ x + rest * (residual / np.linalg.norm(rest)), x, s, V)


def hard_problem(name: str, n: int = 16_384, d: int = 64) -> tuple[Array, Array, Array]:
    """Return a matrix, a right-hand side and the solution, for sketches to be tried on.

    "coherent": every column lives on one row, and the residual on eight others; "spread": the same
    with rows that are far apart; "incoherent": random singular vectors.
    """
    if name == "incoherent":
        p = tall_problem(n, d, 10.0, residual=1.0)
        return p.A, p.b, p.x
    A, b = np.eye(n, d), np.zeros(n)
    b[d : d + 8] = 8**-0.5
    if name == "spread":
        order = np.arange(n).reshape(d, n // d).T.ravel()  # of i and i + 1 n / d apart
        A[order], b[order] = A.copy(), b.copy()
    return A, b, np.zeros(d)


def rbf_points(n: int = 10_000, d: int = 10) -> Array:
    """Return n points in d dimensions: twenty clusters of uneven weight and fifty outliers."""
    rng = np.random.default_rng(0)
    centres = 2 * rng.standard_normal((20, d))
    weights = rng.dirichlet(np.full(20, 0.3))
    X = centres[rng.choice(20, n, p=weights)] + 0.5 * rng.standard_normal((n, d))
    X[:50] *= 4
    return X


class RBFKernel:
    """The kernel exp(-|x - y|^2 / (2 h^2)) on a set of points, evaluated block by block."""

    def __init__(self, X: Array, bandwidth: float = 2.0) -> None:
        self.X = X
        self.gamma = 1 / (2 * bandwidth**2)
        self.squares = np.vecdot(X, X)

    def __call__(self, rows: Array, cols: Array) -> Array:
        return self._block(self.X[rows], self.squares[rows], cols)

    def columns(self, cols: Array) -> Array:
        """Evaluate whole columns; spares the copy of the points that all rows would need."""
        return self._block(self.X, self.squares, cols)

    def _block(self, X: Array, squares: Array, cols: Array) -> Array:
        D = squares[:, None] + self.squares[cols][None, :]
        D -= X @ (2 * self.X[cols].T)
        np.maximum(D, 0, out=D)
        D *= -self.gamma
        return np.exp(D, out=D)

    @property
    def diag(self) -> Array:
        """The diagonal of the kernel matrix, all ones."""
        return np.ones(len(self.X))

    def matrix(self) -> Array:
        """Return the whole kernel matrix."""
        every = np.arange(len(self.X))
        K = np.empty((every.size, every.size))
        for i in range(0, every.size, 1000):
            K[i : i + 1000] = self(every[i : i + 1000], every)
        return (K + K.T) / 2  # exactly symmetric


def low_rank_file(m: int = 100_000, n: int = 2_500, rank: int = 20) -> Path:
    """Return the path of an m x n float64 matrix, 2 GB by default: low rank plus noise.

    The file is in the format of `numpy.save`, so that it opens as a memmap.
    """
    path = cache_folder() / f"low-rank-{m}x{n}.npy"
    if not path.exists():
        rng = np.random.default_rng(3)
        right = rng.standard_normal((rank, n)) / np.arange(1, rank + 1)[:, None]
        partial = path.with_suffix(f".{os.getpid()}.npy")
        A = np.lib.format.open_memmap(partial, "w+", np.float64, (m, n))
        for i in range(0, m, 2000):
            rows = min(2000, m - i)
            A[i : i + rows] = rng.standard_normal((rows, rank)) @ right
            A[i : i + rows] += 0.05 * rng.standard_normal((rows, n))
        A.flush()
        del A
        partial.replace(path)
    return path


def power_law_matrix(
    m: int = 200_000, n: int = 50_000, nnz: int = 10_000_000, *, seed: int = 1
) -> Any:
    """Return a CSR matrix of ratings whose row and column counts follow power laws.

    The i-th fullest row has a weight of i^-0.6, the j-th fullest column of j^-0.8, at random
    places. The ratings 0.5, 1, ..., 5 are a product of rank 8 plus noise.
    """
    import scipy.sparse

    path = cache_folder() / f"power-law-{m}x{n}-{nnz}-{seed}.npz"
    if not path.exists():
        rng = np.random.default_rng(seed)
        rows, cols = _power_law_places(m, n, nnz, rng)
        left, right = rng.standard_normal((m, 8)), rng.standard_normal((n, 8))
        ratings = 3 + 0.7 * rng.standard_normal(nnz)
        for i in range(0, nnz, 1 << 20):
            part = slice(i, i + (1 << 20))
            ratings[part] += 0.35 * np.vecdot(left[rows[part]], right[cols[part]])
        values = np.clip(np.round(2 * ratings) / 2, 0.5, 5)
        A = scipy.sparse.csr_array((values, (rows, cols)), shape=(m, n))
        partial = path.with_suffix(f".{os.getpid()}.npz")
        scipy.sparse.save_npz(partial, A, compressed=False)
        partial.replace(path)
    return scipy.sparse.load_npz(path)


Triples = tuple[Array, Array, Array]  # rows, columns, values


def ratings(
    m: int = 100_000, n: int = 20_000, count: int = 10_000_000, *, seed: int = 2
) -> tuple[Triples, Triples]:
    """Return ratings to learn from, in random order, and two per cent as many to judge by.

    Users and items have biases, a product of rank 24 with decaying singular values, and noise of
    0.8; the stars are 0.5, 1, ..., 5, and counts follow power laws as in `power_law_matrix`.
    """
    path = cache_folder() / f"ratings-{m}x{n}-{count}-{seed}.npz"
    if not path.exists():
        rng = np.random.default_rng(seed)
        total = count + count // 50
        rows, cols = _power_law_places(m, n, total, rng)
        order = rng.permutation(total)
        rows, cols = rows[order], cols[order]
        strength = 0.5 / np.sqrt(np.arange(1.0, 25))
        left, right = rng.standard_normal((m, 24)) * strength, rng.standard_normal((n, 24))
        stars = 3.4 + 0.8 * rng.standard_normal(total)
        stars += (0.4 * rng.standard_normal(m))[rows] + (0.5 * rng.standard_normal(n))[cols]
        for i in range(0, total, 1 << 20):
            part = slice(i, i + (1 << 20))
            stars[part] += np.vecdot(left[rows[part]], right[cols[part]])
        values = np.clip(np.round(2 * stars) / 2, 0.5, 5).astype(np.float32)
        partial = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial, rows=rows, cols=cols, values=values)
        partial.replace(path)
    with np.load(path) as data:
        rows, cols, values = data["rows"], data["cols"], data["values"]
    test, train = slice(0, count // 50), slice(count // 50, None)
    return (rows[train], cols[train], values[train]), (rows[test], cols[test], values[test])


def _power_law_places(m: int, n: int, nnz: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return distinct places (rows, columns), in the order of the rows."""
    row_law = np.cumsum(np.arange(1.0, m + 1) ** -0.6)
    col_law = np.cumsum(np.arange(1.0, n + 1) ** -0.8)
    row_at, col_at = rng.permutation(m), rng.permutation(n)
    places = np.empty(0, np.int64)
    while places.size < nnz:
        count = int(1.2 * (nnz - places.size)) + 100
        i = np.searchsorted(row_law, row_law[-1] * rng.random(count))
        j = np.searchsorted(col_law, col_law[-1] * rng.random(count))
        places = np.union1d(places, row_at[i] * n + col_at[j])
    places = np.delete(places, rng.choice(places.size, places.size - nnz, replace=False))
    rows, cols = np.divmod(places, n)
    return rows.astype(np.int32), cols.astype(np.int32)


# Texts


def uniform_text(letters: int, n: int, *, seed: int) -> Array:
    """Return independent uniform letters 0, ..., letters - 1, at most 256, as uint8."""
    return np.random.default_rng(seed).integers(0, letters, n, dtype=np.uint8)


def zipf_text(letters: int, n: int, *, seed: int) -> Array:
    """Return independent letters as int32; letter i has a weight of 1 / (i + 1)."""
    law = np.cumsum(1 / np.arange(1.0, letters + 1))
    draws = np.random.default_rng(seed).random(n)
    return np.searchsorted(law, law[-1] * draws).astype(np.int32)


def periodic_text(letters: int, n: int, *, period: int, noise: float) -> Array:
    """Return a word repeated, of whose letters a share is drawn anew."""
    word = uniform_text(letters, period, seed=0)
    text = np.resize(word, n)
    rng = np.random.default_rng(1)
    changed = rng.random(n) < noise
    text[changed] = rng.integers(0, letters, int(changed.sum()), dtype=np.uint8)
    return text


def planted_dna(n: int, m: int, k: int, copies: int = 40) -> tuple[str, str]:
    """Return random DNA that holds changed copies of a pattern, and the pattern.

    The copies lie at even distances and have 0, ..., 2k changed letters in turn.
    """
    rng = np.random.default_rng(0)
    text, pattern = (rng.integers(0, 4, size, dtype=np.uint8) for size in (n, m))
    for copy in range(copies):
        start = copy * ((n - m) // (copies - 1))
        text[start : start + m] = pattern
        changed = start + rng.choice(m, copy % (2 * k + 1), replace=False)
        text[changed] = (text[changed] + rng.integers(1, 4, changed.size, dtype=np.uint8)) % 4
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    return tuple(letters[codes].tobytes().decode("ascii") for codes in (text, pattern))


def letters_file(n: int = 100_000_000) -> Path:
    """Return the path of n uniform letters of four, uint8, in the format of `numpy.save`."""
    cached(f"letters-4-{n}", lambda: uniform_text(4, n, seed=0))
    return cache_folder() / f"letters-4-{n}.npy"
