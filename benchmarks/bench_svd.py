"""Truncated SVD: time, memory and error over the commits."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np

from benchmarks.problems import SPECTRA, RBFKernel, dense_matrix, low_rank_file, rbf_points

RANK = 50


class Dense:
    """A rank for a dense matrix, by preset of accuracy."""

    param_names = ("spectrum", "accuracy")
    params = (list(SPECTRA), ["fast", "balanced", "high"])
    timeout = 300

    def setup(self, spectrum: str, accuracy: str) -> None:
        self.A, self.s = dense_matrix(spectrum)
        self.svd(accuracy)

    def svd(self, accuracy: str) -> Any:
        from lowapprox.svd import randomized_svd

        return randomized_svd(self.A, RANK, accuracy=accuracy, rng=0)

    def time_svd(self, spectrum: str, accuracy: str) -> None:
        self.svd(accuracy)

    def track_error_excess(self, spectrum: str, accuracy: str) -> float:
        U, s, Vh = self.svd(accuracy)
        optimum = np.sqrt(np.sum(self.s[RANK:] ** 2))
        return float(np.linalg.norm(self.A - (U * s) @ Vh) / optimum - 1)

    def track_matvecs(self, spectrum: str, accuracy: str) -> int:
        return int(self.svd(accuracy).matvecs)


class Tolerance:
    """A tolerance in place of a rank."""

    def setup(self) -> None:
        self.A, _ = dense_matrix("1/j")
        self.svd()

    def svd(self) -> Any:
        from lowapprox.svd import randomized_svd

        return randomized_svd(self.A, tol=0.1, rng=0)

    def time_svd(self) -> None:
        self.svd()

    def track_rank(self) -> int:
        return len(self.svd().s)


class SinglePass:
    """One pass over a file that is larger than what it may use."""

    timeout = 300

    def setup(self) -> None:
        self.path = low_rank_file()

    def peakmem_single_pass(self) -> None:
        from lowapprox.svd import randomized_svd

        randomized_svd(np.load(self.path, mmap_mode="r"), 20, method="single_pass", rng=0)


class PositiveSemidefinite:
    """Columns of a kernel matrix that is never formed."""

    def setup(self) -> None:
        self.kernel = RBFKernel(rbf_points())
        self.cholesky()

    def cholesky(self) -> Any:
        from lowapprox.svd import rp_cholesky

        return rp_cholesky(self.kernel, 200, diag=self.kernel.diag, rng=0)

    def time_rp_cholesky(self) -> None:
        self.cholesky()

    def track_error_trace(self) -> float:
        return float(self.cholesky().trace_error)


class FirstCall:
    """A small problem in a fresh process, import included; compiled kernels are on disk."""

    CODE = (
        "import numpy as np, lowapprox; "
        "lowapprox.randomized_svd(np.random.default_rng(0).standard_normal((300, 200)), 5, rng=0)"
    )

    def setup(self) -> None:
        self.time_first_call()

    def time_first_call(self) -> None:
        subprocess.run([sys.executable, "-c", self.CODE], check=True)

    def time_import(self) -> None:
        subprocess.run([sys.executable, "-c", "import lowapprox"], check=True)
