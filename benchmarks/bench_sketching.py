"""Sketching operators: time of one product, and distortion of a subspace."""

from __future__ import annotations

import numpy as np

from lowapprox.sketching import SRHT, CountSketch, Gaussian, SparseSign

KINDS = {"gaussian": Gaussian, "sparse": SparseSign, "countsketch": CountSketch, "srht": SRHT}


class Dense:
    """S @ A for a tall array; the first call, which compiles, is in `setup`."""

    params = (["sparse", "countsketch", "srht"], ["float32", "float64"], ["C", "F"])
    param_names = ("kind", "dtype", "order")
    rows, columns, size = 200_000, 200, 800

    def setup(self, kind, dtype, order):
        gen = np.random.default_rng(0)
        self.A = np.asarray(gen.standard_normal((self.rows, self.columns), dtype), order=order)
        self.S = KINDS[kind](self.size, self.rows, rng=0)
        self.S @ self.A

    def time_product(self, kind, dtype, order):
        self.S @ self.A

    def peakmem_product(self, kind, dtype, order):
        self.S @ self.A


class Normals:
    """A Gaussian operator of few rows, as streaming uses it."""

    def setup(self):
        self.A = np.random.default_rng(0).standard_normal((200_000, 50))
        self.S = Gaussian(20, 200_000, rng=0)
        self.S @ self.A

    def time_product(self):
        self.S @ self.A


class Sparse:
    """S @ A for a sparse array."""

    params = (["sparse", "countsketch"],)
    param_names = ("kind",)

    def setup(self, kind):
        import scipy.sparse

        gen = np.random.default_rng(0)
        self.A = scipy.sparse.random_array((200_000, 2000), density=0.005, format="csr", rng=gen)
        self.S = KINDS[kind](100, 200_000, rng=0)
        self.S @ self.A

    def time_product(self, kind):
        self.S @ self.A


class Distortion:
    """Largest |sigma(S Q) - 1| over ten keys, m = 4d, for coordinates and for a random subspace."""

    params = (["gaussian", "sparse", "srht"], ["contiguous", "strided", "random"])
    param_names = ("kind", "subspace")

    def track_distortion(self, kind, subspace):
        n, d = 4096, 64
        if subspace == "random":
            Q = np.linalg.qr(np.random.default_rng(0).standard_normal((n, d)))[0]
        else:
            Q = np.zeros((n, d))
            Q[:: n // d if subspace == "strided" else 1][:d] = np.eye(d)
        values = [
            np.linalg.svd(KINDS[kind](4 * d, n, rng=key) @ Q, compute_uv=False) for key in range(10)
        ]
        return float(np.abs(np.array(values) - 1.0).max())
