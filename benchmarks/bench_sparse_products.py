"""Products of a sparse matrix with panels, beside SciPy's."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np

from benchmarks.problems import power_law_matrix


class SparseProducts:
    """Both products on the numba threads; SciPy has one thread."""

    param_names = ("dtype", "columns")
    params = (["float64", "float32"], [1, 2, 3, 4, 8, 16, 32])
    timeout = 300

    def setup(self, dtype: str, columns: int) -> None:
        from lowapprox._core.matrix import as_matrix

        self.A = power_law_matrix().astype(dtype)
        m, n = self.A.shape
        rng = np.random.default_rng(0)
        self.X = rng.standard_normal((n, columns)).astype(dtype)
        self.Y = rng.standard_normal((m, columns)).astype(dtype)
        self.op = as_matrix(self.A)
        self.op.mat(self.X)
        self.op.rmat(self.Y)

    def time_mat(self, dtype: str, columns: int) -> None:
        self.op.mat(self.X)

    def time_rmat(self, dtype: str, columns: int) -> None:
        self.op.rmat(self.Y)

    def time_scipy_mat(self, dtype: str, columns: int) -> None:
        self.A @ self.X

    def time_scipy_rmat(self, dtype: str, columns: int) -> None:
        self.A.T @ self.Y

    def track_error_mat(self, dtype: str, columns: int) -> float:
        return _difference(self.op.mat(self.X), self.A @ self.X)

    def track_error_rmat(self, dtype: str, columns: int) -> float:
        return _difference(self.op.rmat(self.Y), self.A.T @ self.Y)


class PanelAlgebra:
    """What a Krylov step does between two products, for panels of one cache line a row."""

    param_names = ("dtype",)
    params = (["float64", "float32"],)

    def setup(self, dtype: str) -> None:
        from lowapprox._subspace import panels

        rng = np.random.default_rng(0)
        w = 64 // np.dtype(dtype).itemsize
        self.P, self.U = rng.standard_normal((2, 200_000, w)).astype(dtype)
        self.V = rng.standard_normal((128, 50_000)).astype(dtype)
        self.Z = rng.standard_normal((50_000, w)).astype(dtype)
        self.C, self.H = np.eye(w), np.zeros((128, w))
        self.panels = panels
        for name in ("gram", "multiply", "add_panel", "rows_dot", "add_rows"):
            getattr(self, f"time_{name}")(dtype)

    def time_gram(self, dtype: str) -> None:
        self.panels.gram(self.P)

    def time_multiply(self, dtype: str) -> None:
        self.panels.multiply(self.P, self.C)

    def time_add_panel(self, dtype: str) -> None:
        self.panels.add_panel(self.P, self.U, 0 * self.C)

    def time_rows_dot(self, dtype: str) -> None:
        self.panels.rows_dot(self.V, self.Z)

    def time_add_rows(self, dtype: str) -> None:
        self.panels.add_rows(self.Z, self.V, self.H)


class FirstProduct:
    """The first product in a fresh process, imports included; compiled kernels are on disk."""

    timeout = 300
    CODE = (
        "import numpy as np, scipy.sparse; from lowapprox._core.matrix import as_matrix; "
        "A = as_matrix(scipy.sparse.csr_array(np.ones((2048, 1024)))); "
        "A.rmat(A.mat(np.ones((1024, 8))))"
    )

    def setup(self) -> None:
        self.time_first_product()

    def time_first_product(self) -> None:
        subprocess.run([sys.executable, "-c", self.CODE], check=True)


def _difference(a: Any, b: Any) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))
