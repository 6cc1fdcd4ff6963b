"""Thread limits for BLAS and kernels together."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from lowapprox._core.checks import checked_int

__all__ = [
    "blas_threads",
    "kernel_threads",
    "parallel_allowed",
    "run_blocks",
    "run_together",
    "thread_counts",
    "thread_limit",
]


@contextmanager
def thread_limit(n: int) -> Iterator[None]:
    """Limit the threads of BLAS and of the compiled kernels, and restore them.

    Parameters
    ----------
    n : int
        At least 1. More threads than the process was started with are not added to the kernels.

    Raises
    ------
    InputError
        If `n` is smaller than 1.
    InputTypeError
        If `n` is no integer.

    Examples
    --------
    >>> import lowapprox
    >>> with lowapprox.thread_limit(1):
    ...     pass
    """
    n = checked_int(n, "n", 1)
    import numba as nb

    before = nb.get_num_threads()
    nb.set_num_threads(min(n, nb.config.NUMBA_NUM_THREADS))
    try:
        with blas_threads(n):
            yield
    finally:
        nb.set_num_threads(before)


@contextmanager
def blas_threads(n: int) -> Iterator[None]:
    """Limit BLAS alone.

    A BLAS pool keeps spinning after each threaded call and takes the cores from numba threads,
    so loops that alternate between the two hold BLAS at one thread.
    """
    _BLAS.limit(n)
    try:
        yield
    finally:
        _BLAS.release(n)


class _BlasLimits:
    """The limits in force, which belong to the process: threads end theirs in any order.

    If each restored what it had found, the last to end could leave the limit of another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: list[int] = []
        self._before: dict[str, tuple[Any, int]] = {}  # libraries, and their threads

    def limit(self, n: int) -> None:
        with self._lock:
            self._limits.append(n)
            self._set(n)

    def release(self, n: int) -> None:
        with self._lock:
            self._limits.reverse()
            self._limits.remove(n)  # the latest such limit
            self._limits.reverse()
            if self._limits:
                self._set(self._limits[-1])
                return
            for library, threads in self._before.values():
                library.set_num_threads(threads)
            self._before.clear()

    def _set(self, n: int) -> None:
        for library in _blas_controller(len(sys.modules)).lib_controllers:
            if library.user_api == "blas":
                self._before.setdefault(library.filepath, (library, library.num_threads))
                library.set_num_threads(n)


_BLAS = _BlasLimits()


@lru_cache(maxsize=1)
def _blas_controller(_: int) -> Any:
    """Find the loaded BLAS libraries; the number of imported modules tells when to look again.

    Looking costs 0.3 ms or more, setting the limits of known libraries 0.02 ms.
    """
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()


def kernel_threads() -> int:
    """Return the number of threads that a parallel kernel may use now."""
    import numba as nb

    return int(nb.get_num_threads())


def thread_counts() -> dict[str, int]:
    """Return how many threads BLAS, and kernels where numba is loaded, may use now."""
    libraries = _blas_controller(len(sys.modules)).lib_controllers
    blas = (int(lib.num_threads) for lib in libraries if lib.user_api == "blas")
    counts = {"blas": max(blas, default=1)}
    return counts | {"kernels": kernel_threads()} if "numba" in sys.modules else counts


def parallel_allowed() -> bool:
    """Tell whether a parallel kernel may run: the workqueue layer is not safe for many callers."""
    if kernel_threads() == 1:
        return False
    if threading.current_thread() is threading.main_thread():
        return True
    return threading_layer() != "workqueue"


def run_blocks(work: Callable[[int], None], count: int) -> None:
    """Call ``work(0), ..., work(count - 1)``, in any order, on as many threads as kernels may use.

    For kernels that release the interpreter's lock and write to places of their own: unlike a
    parallel kernel, this works in every thread and with every threading layer, and each kernel is
    compiled once.
    """
    todo, lock = iter(range(count)), threading.Lock()

    def run() -> None:
        while True:
            with lock:
                block = next(todo, None)
            if block is None:
                return
            work(block)

    def finish() -> bool:
        run()
        return False

    run_together(finish, min(kernel_threads(), count))


def run_together(work: Callable[[], bool], threads: int) -> None:
    """Call ``work()`` on so many threads at once, the caller's among them, that share it out.

    If the caller's ``work()`` returns true, all is done, and the other threads are not waited for:
    they are about to return, or find nothing to do.
    """
    if threads <= 1:
        work()
        return
    pool = _pool()
    pool.keep_away()
    others = [pool.executor.submit(work) for _ in range(threads - 1)]
    done = False
    try:
        done = work()
    finally:
        # What has not begun is not needed any more; waiting for it could last for ever, if all
        # threads of the pool are callers of this function.
        for other in others:
            if not other.cancel() and not done:
                other.exception()
    for other in others:
        if not (done or other.cancelled()):
            other.result()


class _Pool:
    """Threads that wait for work: to start them takes longer than many a block."""

    def __init__(self, threads: int) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._threads: list[int] = []
        self._away: tuple[Any, int] | None = None
        self.executor = ThreadPoolExecutor(threads, "lowapprox", initializer=self._begin)

    def _begin(self) -> None:
        self._threads.append(threading.get_native_id())
        self._away = None

    def keep_away(self) -> None:
        """Keep the threads from the processor of the caller, but within those it may use.

        A thread that is woken may be put behind the one that woke it, on the same processor, and
        begin when that one has finished: seen on Linux, on virtual machines of two processors,
        for milliseconds.
        """
        inside = threading.get_native_id() in self._threads
        if inside or not hasattr(os, "sched_setaffinity"):
            return
        allowed, here = os.sched_getaffinity(0), _processor()()
        if self._away == (allowed, here):
            return
        self._away = allowed, here
        for thread in self._threads:
            with suppress(OSError):
                os.sched_setaffinity(thread, (allowed - {here}) or allowed)


@lru_cache(maxsize=1)
def _processor() -> Callable[[], int]:
    """Return what tells the processor that the calling thread runs on; -1 where it is unknown."""
    import ctypes

    try:
        found: Callable[[], int] = ctypes.CDLL(None).sched_getcpu
    except (AttributeError, OSError):
        return lambda: -1
    return found


@lru_cache(maxsize=1)
def _pool() -> _Pool:
    import numba as nb

    return _Pool(max(1, nb.config.NUMBA_NUM_THREADS - 1))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked child has no such threads


def threading_layer() -> str:
    """Return the numba threading layer, or the one that would be chosen."""
    import numba as nb

    try:
        return str(nb.threading_layer())
    except ValueError:  # not started yet
        wanted = str(nb.config.THREADING_LAYER)
        if wanted in {"tbb", "omp", "workqueue"}:
            return wanted
        from importlib.util import find_spec

        has = (m for m in ("tbb", "omp") if find_spec(f"numba.np.ufunc.{m}pool"))
        return next(has, "workqueue")


def numba_loaded() -> bool:
    """Tell whether numba has been imported."""
    return "numba" in sys.modules
