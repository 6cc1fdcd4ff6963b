"""Least squares: time, memory and error over the commits."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.problems import hard_problem, tall_problem

METHODS = ["auto", "direct", "cholesky", "spir", "fossils", "sketch", "linf"]


class Tall:
    """One right-hand side, by method and condition number."""

    param_names = ("method", "condition")
    params = (METHODS, [1e2, 1e6, 1e12])
    timeout = 300
    shape = (100_000, 100)

    def setup(self, method: str, condition: float) -> None:
        if method == "cholesky" and condition > 1e6:
            raise NotImplementedError
        self.problem = tall_problem(*self.shape, condition)
        self.solve(method)

    def solve(self, method: str) -> Any:
        from lowapprox import lstsq

        return lstsq(self.problem.A, self.problem.b, method=method, rng=0)

    def time_solve(self, method: str, condition: float) -> None:
        self.solve(method)

    def peakmem_solve(self, method: str, condition: float) -> None:
        self.solve(method)

    def track_passes(self, method: str, condition: float) -> int:
        return int(self.solve(method).passes)

    def track_backward_error(self, method: str, condition: float) -> float:
        return self.problem.backward_error(self.solve(method).x, scaled=True)


class Orders:
    """Memory layouts and precisions."""

    param_names = ("order", "dtype", "method")
    params = (["C", "F"], ["float32", "float64"], ["auto", "direct", "spir"])

    def setup(self, order: str, dtype: str, method: str) -> None:
        p = tall_problem(100_000, 100, 1e2)
        self.A, self.b = np.asarray(p.A, dtype, order=order), p.b.astype(dtype)
        self.time_solve(order, dtype, method)

    def time_solve(self, order: str, dtype: str, method: str) -> None:
        from lowapprox import lstsq

        lstsq(self.A, self.b, method=method, rng=0)


class Small:
    """Problems where the call itself counts."""

    param_names = ("shape",)
    params = ([(100, 10), (1000, 10), (1000, 50), (5000, 200)],)

    def setup(self, shape: tuple[int, int]) -> None:
        rng = np.random.default_rng(0)
        self.A, self.b = rng.standard_normal(shape), rng.standard_normal(shape[0])
        self.time_solve(shape)

    def time_solve(self, shape: tuple[int, int]) -> None:
        from lowapprox import lstsq

        lstsq(self.A, self.b)


class ManySides:
    """Many right-hand sides."""

    param_names = ("columns",)
    params = ([10, 100],)

    def setup(self, columns: int) -> None:
        self.A = tall_problem(100_000, 100, 1e6).A
        self.B = np.random.default_rng(0).standard_normal((100_000, columns))
        self.time_solve(columns)

    def time_solve(self, columns: int) -> None:
        from lowapprox import lstsq

        lstsq(self.A, self.B, rng=0)


class Weights:
    """Weighted rows of an array, and of a Kronecker product that is not formed."""

    param_names = ("design", "method")
    params = (["array", "kron"], ["auto", "spir", "sketch", "linf"])

    def setup(self, design: str, method: str) -> None:
        from lowapprox.sketching import kron

        rng = np.random.default_rng(0)
        if design == "array":
            self.A: Any = tall_problem(100_000, 100, 1e2).A
        else:
            self.A = kron(rng.standard_normal((500, 5)), rng.standard_normal((1000, 4)))
        self.b, self.weights = rng.standard_normal((2, self.A.shape[0])) ** 2
        self.time_solve(design, method)

    def time_solve(self, design: str, method: str) -> None:
        from lowapprox import lstsq

        lstsq(self.A, self.b, weights=self.weights, method=method, rng=0)


class Factor:
    """A factorization that is kept, and what is asked of it."""

    def setup(self) -> None:
        p = tall_problem(100_000, 100, 1e6)
        self.A, self.b = p.A, p.b
        self.factor = self.time_factor()
        self.time_solve()
        self.time_leverage_scores()

    def time_factor(self) -> Any:
        from lowapprox.regression import lstsq_factor

        return lstsq_factor(self.A, rng=0)

    def time_solve(self) -> None:
        self.factor.solve(self.b)

    def time_leverage_scores(self) -> None:
        self.factor.leverage_scores()


class Sparse:
    """A sparse matrix."""

    def setup(self) -> None:
        import scipy.sparse

        rng = np.random.default_rng(0)
        self.A = scipy.sparse.random_array((200_000, 300), density=0.02, format="csr", rng=rng)
        self.b = rng.standard_normal(200_000)
        self.time_solve()

    def time_solve(self) -> None:
        from lowapprox import lstsq

        lstsq(self.A, self.b, rng=0)


class Bounds:
    """Coverage of the bounds over 100 keys, and their width by the error."""

    param_names = ("name",)
    params = (["coherent", "incoherent"],)
    timeout = 300

    def setup(self, name: str) -> None:
        self.A, self.b, self.x = hard_problem(name, n=4096, d=16)

    def track_coverage(self, name: str) -> float:
        from lowapprox import lstsq

        results = [lstsq(self.A, self.b, method="linf", rng=key) for key in range(100)]
        return float(np.mean([np.all(np.abs(r.x - self.x) <= r.entry_bound) for r in results]))
