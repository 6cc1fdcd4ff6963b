"""Matrix completion: time and memory over the commits."""

from __future__ import annotations

import warnings

import numpy as np

from benchmarks.problems import Triples, ratings
from tests.completion.problems import Known, low_rank


def triples(known: Known) -> Triples:
    """Return rows, columns and values of the observations."""
    rows = known.observed.rows
    index = np.repeat(np.arange(known.observed.shape[0]), rows.counts)
    return index, rows.indices[: index.size], rows.values[: index.size]


class Ratings:
    """A few sweeps over a million ratings, by rank."""

    param_names = ("rank",)
    params = ([15, 31, 63, 127],)
    timeout = 300

    def setup(self, rank: int) -> None:
        from lowapprox import complete

        self.complete = complete
        self.train, _ = ratings(20_000, 5_000, 1_000_000)
        self.options = {
            **{"shape": (20_000, 5_000), "center": True, "row_bias": True, "col_bias": True},
            **{"max_iter": 5, "rng": 0},
        }
        warnings.simplefilter("ignore")  # five sweeps do not converge
        self.complete(self.train, rank, **self.options)

    def time_sweeps(self, rank: int) -> None:
        self.complete(self.train, rank, **self.options)

    def peakmem_sweeps(self, rank: int) -> None:
        self.complete(self.train, rank, **self.options)


class Exact:
    """Recovery of exact data by the default method."""

    param_names = ("rank", "condition", "oversampling")
    params = ([5], [1.0, 1e3], [2.0, 3.0, 5.0])
    timeout = 300

    def setup(self, rank: int, condition: float, oversampling: float) -> None:
        from lowapprox import complete

        self.complete = complete
        self.known = low_rank(1000, 800, rank, oversampling, condition=condition, seed=0)
        self.triples = triples(self.known)
        warnings.simplefilter("ignore")
        self._fit(rank)

    def _fit(self, rank: int) -> object:
        return self.complete(self.triples, rank, shape=(1000, 800), reg=0, rng=0)

    def time_recovery(self, rank: int, condition: float, oversampling: float) -> None:
        del condition, oversampling
        self._fit(rank)


class Methods:
    """Each method on the same noisy matrix."""

    param_names = ("method",)
    params = (["als-cg", "als-chol", "increment", "gauss-newton", "scaled-gd", "soft-impute"],)
    timeout = 300

    def setup(self, method: str) -> None:
        from lowapprox import complete

        self.complete = complete
        known = low_rank(1000, 800, 5, 5.0, noise=0.1, seed=0)
        self.triples = triples(known)
        warnings.simplefilter("ignore")
        self.time_fit(method)

    def time_fit(self, method: str) -> None:
        self.complete(self.triples, 5, shape=(1000, 800), method=method, max_iter=30, rng=0)
