"""Threads of the user call at once, and each gets what it would get alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import lowapprox as la
from lowapprox import completion, hamming, regression, sketching, svd

GEN = np.random.default_rng(0)
TALL = GEN.standard_normal((3000, 30))
RHS = GEN.standard_normal(3000)
SPARSE = sp.random_array((2000, 900), density=0.02, rng=GEN, format="csr")
ENTRIES = sp.random_array((300, 200), density=0.3, rng=GEN, format="csr")
TEXT = GEN.integers(0, 4, 200_000).astype(np.uint8)
WORDS = GEN.zipf(1.3, 60_000).clip(max=5000)
LONG = TEXT[500:5500]

CALLS: dict[str, Callable[[], Any]] = {
    "svd": lambda: la.randomized_svd(TALL, 5, rng=0).s,
    "sparse svd": lambda: la.randomized_svd(SPARSE, 5, rng=0).s,
    "cholesky": lambda: svd.rp_cholesky(TALL[:400] @ TALL[:400].T, 10, rng=0).F,
    "bits": lambda: la.hamming_distances(TEXT, TEXT[:100], method="bits"),
    "fft": lambda: la.hamming_distances(TEXT, LONG, method="fft"),
    "hybrid": lambda: la.hamming_distances(WORDS, WORDS[:3000]),
    "matches": lambda: hamming.hamming_matches(TEXT, LONG[:200], 20).positions,
    "lstsq": lambda: la.lstsq(TALL, RHS).x,
    "direct": lambda: la.lstsq(TALL, RHS, method="direct").x,
    "one pass": lambda: la.lstsq(TALL, RHS, method="linf", rng=0).x,
    "stream": lambda: regression.StreamingLstsq(30).partial_fit(TALL, RHS).result().x,
    "sketch": lambda: sketching.SparseSign(200, 3000, rng=0) @ TALL,
    "complete": lambda: completion.complete(ENTRIES, 4, rng=0, max_iter=5).U,
}


@pytest.mark.filterwarnings("ignore::lowapprox.LowApproxWarning")
@pytest.mark.parametrize("name", CALLS)
def test_threads_at_once(name: str) -> None:
    alone = CALLS[name]()
    begun = threading.Barrier(4)

    def call(_: int) -> list[Any]:
        begun.wait()
        return [CALLS[name]() for _ in range(3)]

    with ThreadPoolExecutor(4) as pool:
        for results in pool.map(call, range(4)):
            for result in results:
                np.testing.assert_allclose(result, alone, rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore::lowapprox.LowApproxWarning")
def test_different_calls_at_once() -> None:
    alone = {name: call() for name, call in CALLS.items()}
    with ThreadPoolExecutor(4) as pool:
        running = [(name, pool.submit(CALLS[name])) for _ in range(3) for name in CALLS]
    for name, result in running:
        np.testing.assert_allclose(result.result(), alone[name], rtol=1e-10, atol=1e-10)
