"""Ratings of a file that the user names: nothing tuned, against cmfrec at its best of a grid."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from benchmarks.peers._measure import Row, need, once, seconds
from benchmarks.problems import Triples

FILE = "LOWAPPROX_RATINGS"  # the environment variable
SPLITS = 5
RANKS = (5, 10, 20, 40)
PENALTIES: dict[bool, tuple[float, ...]] = {
    False: (2, 4, 6, 9, 13, 20, 30),
    True: (0.03, 0.05, 0.08, 0.13, 0.2, 0.3, 0.45),
}
SWEEPS = {"choice": 15, "fit": 30}


def rated_row(threads: int) -> list[Row]:
    """Compare errors at tenths of the ratings; no row if no file is named."""
    path = os.environ.get(FILE)
    if not path:
        return []
    import scipy.sparse

    from lowapprox import complete, thread_limit
    from lowapprox.completion import read_ratings

    package = need("cmfrec")
    read = read_ratings(path)
    places = read.rows.astype(np.int64) * read.shape[1] + read.cols
    first = np.sort(np.unique(places, return_index=True)[1])  # of each pair of user and item
    ratings = _taken(read.triples, first)

    def theirs(train: Triples, rank: int, penalty: float, scaled: bool, sweeps: int) -> Any:
        model = package.CMF(
            k=rank, lambda_=penalty, scale_lam=scaled, niter=sweeps, nthreads=threads,
            use_float=True, precompute_for_predictions=False, verbose=False,
        )  # fmt: skip
        rows, columns, values = train
        return model.fit(scipy.sparse.coo_matrix((values, (rows, columns)), shape=read.shape))

    def tuned(train: Triples, seed: int) -> Any:
        learn, judge = _parted(train, 1 / 9, 1000 + seed)
        errors = {
            (rank, penalty, scaled): _rmse(
                theirs(learn, rank, penalty, scaled, SWEEPS["choice"]).predict, judge
            )
            for scaled, penalties in PENALTIES.items()
            for rank, penalty in product(RANKS, penalties)
        }
        rank, penalty, scaled = min(errors, key=errors.__getitem__)
        return theirs(train, rank, penalty, scaled, SWEEPS["fit"])

    def ours(train: Triples) -> Any:
        with thread_limit(threads), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return complete(
                train, shape=read.shape, center=True, row_bias=True, col_bias=True, rng=0
            )

    errors, times, ranks = [], [], []
    for seed in range(SPLITS):
        train, test = _parted(ratings, 0.1, seed)
        runs = [once(partial(ours, train)), once(partial(tuned, train, seed))]
        ranks.append(runs[0][1].rank)
        times.append([elapsed for elapsed, _ in runs])
        errors.append([_rmse(model.predict, test) for _, model in runs])
    (mine, peer), spread = np.mean(errors, 0), np.std(errors, 0, ddof=1) / np.sqrt(SPLITS)
    mine_s, peer_s = np.median(times, 0)
    return [
        {
            "work": f"{first.size} ratings, {read.shape[0]} x {read.shape[1]}",
            "peer": f"cmfrec, best of {sum(map(len, PENALTIES.values())) * len(RANKS)}",
            "ours": seconds(float(mine_s)),
            "peer's": seconds(float(peer_s)),
            "our error": f"{mine:.4f} +- {spread[0]:.4f}",
            "peer's error": f"{peer:.4f} +- {spread[1]:.4f}",
            "ranks": " ".join(map(str, ranks)),
        }
    ]


def _taken(ratings: Triples, index: Any) -> Triples:
    rows, columns, values = ratings
    return rows[index], columns[index], values[index]


def _parted(ratings: Triples, share: float, seed: int) -> tuple[Triples, Triples]:
    """Return ratings to learn from, and a share of all to judge by."""
    order = np.random.default_rng(seed).permutation(ratings[0].size)
    cut = order.size - round(share * order.size)
    return _taken(ratings, order[:cut]), _taken(ratings, order[cut:])


def _rmse(predict: Callable[..., Any], test: Triples) -> float:
    rows, columns, values = test
    found = np.asarray(predict(rows, columns), np.float64)
    found[~np.isfinite(found)] = values.mean()  # what a model does not tell
    return float(np.sqrt(np.mean((found - values) ** 2)))
