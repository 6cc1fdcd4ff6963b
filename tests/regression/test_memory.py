"""What least squares takes of the memory, and the refusal of what takes too much."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from lowapprox import InputError, lstsq, thread_limit
from lowapprox._core.matrix import as_matrix
from lowapprox.regression import StreamingLstsq, lstsq_factor, memory
from lowapprox.regression.system import make_system
from lowapprox.sketching import SRHT, operators

HUGE = 10**6


def never(_: Any) -> Any:
    raise AssertionError("a product was asked for")


def operator(n: int, d: int) -> LinearOperator:
    return LinearOperator((n, d), matvec=never, rmatvec=never, dtype=float)


REFUSED: dict[str, Callable[[], Any]] = {
    "a sparse array": lambda: lstsq(sp.eye_array(HUGE, format="csr"), np.ones(HUGE)),
    "direct": lambda: lstsq(sp.eye_array(HUGE, format="csc"), np.ones(HUGE), method="direct"),
    "one pass": lambda: lstsq(sp.eye_array(HUGE, format="csr"), np.ones(HUGE), method="linf"),
    "wide": lambda: lstsq(sp.csr_array((HUGE, 2 * HUGE)), np.ones(HUGE)),
    "an operator": lambda: lstsq(operator(10 * HUGE, HUGE), np.ones(10 * HUGE)),
    "a wide operator": lambda: lstsq(operator(HUGE, 10 * HUGE), np.ones(HUGE)),
    "lstsq_factor": lambda: lstsq_factor(operator(10 * HUGE, HUGE)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_before_it_is_tried(case: str) -> None:
    tracemalloc.start()
    with pytest.raises(InputError, match=r"`A` must be smaller: .*, and the memory is .* GB"):
        REFUSED[case]()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500e6  # the right-hand side and the matrix itself


def test_streams_of_too_many_columns() -> None:
    with pytest.raises(InputError, match=r"`d` must be smaller: .* shape \(1000000, 1000000\)"):
        StreamingLstsq(HUGE)


def test_the_limit_is_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    memory.check_memory((10**5, 10**4), 4)  # 3.2 GB
    for size, fits in ((3_100_000_000, False), (3_300_000_000, True), (None, True)):
        monkeypatch.setattr(memory, "_physical_memory", lambda size=size: size)
        if fits:
            memory.check_memory((10**5, 10**4), 4)
            continue
        with pytest.raises(InputError, match=r"at least 3\.2 GB, and the memory is 3\.1 GB"):
            memory.check_memory((10**5, 10**4), 4)
    monkeypatch.setattr(memory, "_physical_memory", lambda: 1)
    memory.check_memory((10**9, 10**3), 4)  # a small triangle, whatever the rows
    memory.check_memory((10**3, 10**9), 4, by_rows=False)
    with pytest.raises(InputError, match="`A`"):
        memory.check_memory((10**3, 10**9), 4)


@pytest.mark.large
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_matrix_is_not_copied(order: Any, weighted: bool) -> None:
    n, d, tiles = 200_000, 40, 36e6  # a few tiles of up to 2^21 numbers, whatever n is
    gen = np.random.default_rng(0)
    A = np.asarray(gen.standard_normal((n, d), np.float32), float, order=order)
    b, w = gen.standard_normal(n), gen.random(n) if weighted else None
    for method in ("auto", "direct", "cholesky", "spir", "fossils", "sketch", "linf"):
        with thread_limit(2):
            lstsq(A, b, weights=w, method=method, rng=0)  # compiled code takes memory of its own
            tracemalloc.start()
            result = lstsq(A, b, weights=w, method=method, rng=0)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        rows = result.info.get("rows", 20 * d)  # of the sketch
        assert peak <= 8 * (3 * rows * d + 4 * n) + tiles < A.nbytes


@pytest.mark.parametrize("columns", [1, 50])
@pytest.mark.parametrize("d", [20, 200, 700])
@pytest.mark.parametrize("n", [1, 5000, 70_000])
def test_tiles_with_weights_are_large_and_whole_blocks(n: int, d: int, columns: int) -> None:
    """All but the last are worth the compiled path, and none is a copy of the matrix."""
    A, side = np.broadcast_to(np.arange(d) + 1.0, (n, d)), np.ones((n, columns))
    seen: list[tuple[int, int]] = []

    class Sketch:
        shape = (3, n)

        def apply_rows(self, part: Any, start: int, out: Any) -> None:
            seen.append((start, part.shape[0]))
            out[0] += part.sum(axis=0)

    w = np.arange(n) % 3.0
    system = make_system(as_matrix(A), side, w, 0.0)
    got = system.sketch(Sketch())
    starts, rows = np.array(seen).T
    assert (starts % SRHT(4096, n).block == 0).all()
    assert (starts == np.cumsum(rows) - rows).all()
    assert rows.sum() == n
    entries = rows * (d + columns)
    assert (entries[:-1] >= operators._KERNEL_ENTRIES).all()
    assert (entries <= 2**21 + 4096 * (d + columns)).all()
    both = np.concatenate([A[0], side[0]])
    assert np.allclose(got[0], np.sqrt(w).sum() * both, rtol=1e-12)
