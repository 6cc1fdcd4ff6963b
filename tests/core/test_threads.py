"""Thread limits hold inside and are restored outside."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import numba
import numpy as np
import pytest
import threadpoolctl

import lowapprox
from lowapprox._core import threads
from lowapprox._core.errors import InputError, InputTypeError

MANY = numba.config.NUMBA_NUM_THREADS


def blas() -> list[int]:
    np.linalg.norm(np.ones((2, 2)) @ np.ones((2, 2)))
    return [p["num_threads"] for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]


@pytest.mark.parametrize("n", [1, 2, 1000, np.int64(1)])
def test_limit_holds_for_both_and_is_restored(n: Any) -> None:
    before = numba.get_num_threads(), blas()
    with lowapprox.thread_limit(n):
        assert numba.get_num_threads() == threads.kernel_threads() == min(int(n), MANY)
        if n == 1:
            assert set(blas()) == {1}
    assert (numba.get_num_threads(), blas()) == before


def test_counts_are_those_that_hold() -> None:
    assert threads.thread_counts() == {"blas": max(blas()), "kernels": numba.get_num_threads()}
    with lowapprox.thread_limit(1):
        assert threads.thread_counts() == {"blas": 1, "kernels": 1}
        result = lowapprox.randomized_svd(np.eye(4), 2, rng=0)
    assert result.info["threads"] == {"blas": 1, "kernels": 1}


def test_limits_nest_and_survive_errors() -> None:
    def fail() -> None:
        with lowapprox.thread_limit(MANY):
            with lowapprox.thread_limit(1):
                assert threads.kernel_threads() == 1
            assert threads.kernel_threads() == MANY
            raise KeyError

    before = numba.get_num_threads(), blas()
    with pytest.raises(KeyError):
        fail()
    assert (numba.get_num_threads(), blas()) == before


@pytest.mark.parametrize("n", [0, -1, 1.0, 1.5, True, None, "2", np.nan, np.inf])
def test_limits_out_of_range(n: Any) -> None:
    limit = lowapprox.thread_limit(n)
    with pytest.raises((InputError, InputTypeError), match="`n` must be"):
        limit.__enter__()


def test_blas_alone() -> None:
    kernels = numba.get_num_threads()
    with threads.blas_threads(1):
        assert set(blas()) == {1}
        assert numba.get_num_threads() == kernels


def test_limits_of_threads_end_in_any_order() -> None:
    before = blas()
    first, second = threads.blas_threads(1), threads.blas_threads(1)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(blas()) == {1}
    second.__exit__(None, None, None)
    assert blas() == before


def test_one_thread_never_runs_a_parallel_kernel() -> None:
    with lowapprox.thread_limit(1):
        assert not threads.parallel_allowed()


@pytest.mark.parametrize("layer", ["workqueue", "omp", "tbb"])
def test_workqueue_is_kept_to_the_main_thread(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "kernel_threads", lambda: 2)
    monkeypatch.setattr(threads, "threading_layer", lambda: layer)
    assert threads.parallel_allowed()
    seen: list[bool] = []
    worker = threading.Thread(target=lambda: seen.append(threads.parallel_allowed()))
    worker.start()
    worker.join()
    assert seen == [layer != "workqueue"]


@pytest.mark.parametrize("available", [1, 2, 4])
@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_every_block_runs_once(available: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "kernel_threads", lambda: available)
    done: list[int] = []
    threads.run_blocks(done.append, count)
    assert sorted(done) == list(range(count))


@pytest.mark.parametrize("available", [1, 3])
def test_errors_in_a_block_are_raised(available: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "kernel_threads", lambda: available)

    def work(block: int) -> None:
        if block == 5:
            raise RuntimeError("block 5")

    with pytest.raises(RuntimeError, match="block 5"):
        threads.run_blocks(work, 20)


def test_blocks_within_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """All threads of the pool call, and wait for, the pool."""
    monkeypatch.setattr(threads, "kernel_threads", lambda: 4)
    done: list[tuple[int, int]] = []

    def work(block: int) -> None:
        threads.run_blocks(lambda inner: done.append((block, inner)), 5)

    threads.run_blocks(work, 50)
    assert sorted(done) == [(block, inner) for block in range(50) for inner in range(5)]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs affinities of threads")
def test_the_pool_keeps_off_the_processor_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "kernel_threads", lambda: 2)
    allowed = os.sched_getaffinity(0)
    here = min(allowed)
    monkeypatch.setattr(threads, "_processor", lambda: lambda: here)
    seen: dict[int, set[int]] = {}
    met = threading.Barrier(2)

    def work(_: int) -> None:
        met.wait(60)
        seen[threading.get_native_id()] = os.sched_getaffinity(0)
        threads.run_blocks(lambda _: None, 3)  # changes nothing in the threads of the pool

    for _ in range(2):  # the first call may start the thread
        seen.clear()
        threads.run_blocks(work, 2)
    assert seen.pop(threading.get_native_id()) == allowed == os.sched_getaffinity(0)
    assert list(seen.values()) == [allowed - {here} or allowed]


def test_an_unknown_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    threads._processor.cache_clear()
    assert threads._processor()() == -1
    threads._processor.cache_clear()


def test_threading_layer_has_a_name() -> None:
    assert threads.threading_layer() in {"workqueue", "omp", "tbb"}


@pytest.mark.parametrize("wanted", ["tbb", "omp", "workqueue"])
def test_a_layer_that_was_asked_for(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_started() -> str:
        raise ValueError("Threading layer is not initialized.")

    monkeypatch.setattr(numba, "threading_layer", not_started)
    monkeypatch.setattr(numba.config, "THREADING_LAYER", wanted)
    assert threads.threading_layer() == wanted
    monkeypatch.setattr(numba.config, "THREADING_LAYER", "default")
    assert threads.threading_layer() in {"workqueue", "omp", "tbb"}


def test_numba_is_seen() -> None:
    assert threads.numba_loaded()


def test_libraries_that_come_later_are_limited_too() -> None:
    code = (
        "import numpy as np, sys, threadpoolctl\n"
        "from lowapprox._core.threads import blas_threads\n"
        "with blas_threads(1): pass\n"
        "assert 'scipy' not in sys.modules\n"
        "import scipy.linalg\n"
        "with blas_threads(1):\n"
        "    blas = [p for p in threadpoolctl.threadpool_info() if p['user_api'] == 'blas']\n"
        "    assert {p['num_threads'] for p in blas} == {1}, blas\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
