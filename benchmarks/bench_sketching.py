"""Sketching operators: time of one product, and distortion of a subspace."""

from __future__ import annotations

import numpy as np

from lowapprox.sketching import (
    SRHT,
    SRTT,
    CountSketch,
    Fastfood,
    Gaussian,
    KhatriRaoSign,
    Rademacher,
    RowSampling,
    SparseSign,
    TensorSketch,
    TensorSRHT,
    fwht,
    khatri_rao,
    kron,
)

KINDS = {
    "gaussian": Gaussian,
    "rademacher": Rademacher,
    "sparse": SparseSign,
    "countsketch": CountSketch,
    "srht": SRHT,
    "srtt": SRTT,
    "fastfood": Fastfood,
}
TENSOR_KINDS = {"srht": TensorSRHT, "sketch": TensorSketch, "signs": KhatriRaoSign}


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


class Mixing:
    """Products with operators that transform whole columns, and their adjoints."""

    params = (["srtt", "fastfood", "rademacher"],)
    param_names = ("kind",)

    def setup(self, kind):
        self.A = np.random.default_rng(0).standard_normal((50_000, 40))
        self.S = KINDS[kind](200, 50_000, rng=0)
        self.Y = self.S @ self.A

    def time_product(self, kind):
        self.S @ self.A

    def time_adjoint(self, kind):
        self.S.T @ self.Y


class Transform:
    """The Hadamard transform of a tall array and of a long vector."""

    params = ([(2**17, 64), (2**22, 1)],)
    param_names = ("shape",)

    def setup(self, shape):
        self.x = np.random.default_rng(0).standard_normal(shape)
        self.out = fwht(self.x)

    def time_in_place(self, shape):
        fwht(self.out, out=self.out)

    def peakmem_in_place(self, shape):
        fwht(self.out, out=self.out)


class Products:
    """Sketches of lazy products of two factors."""

    params = (["srht", "sketch", "signs"], ["kron", "khatri_rao"])
    param_names = ("kind", "product")

    def setup(self, kind, product):
        gen = np.random.default_rng(0)
        A, B = gen.standard_normal((2, 20_000, 20))
        self.P = (kron if product == "kron" else khatri_rao)(A, B)
        self.S = TENSOR_KINDS[kind](1000, (20_000, 20_000), rng=0)
        self.S @ self.P

    def time_product(self, kind, product):
        self.S @ self.P

    def peakmem_product(self, kind, product):
        self.S @ self.P


class Leverage:
    """Sampling by approximate leverage."""

    def setup(self):
        self.A = np.random.default_rng(0).standard_normal((200_000, 50))
        RowSampling.from_leverage(self.A, 500, rng=0)

    def time_sample(self):
        RowSampling.from_leverage(self.A, 500, rng=0)

    def peakmem_sample(self):
        RowSampling.from_leverage(self.A, 500, rng=0)


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
