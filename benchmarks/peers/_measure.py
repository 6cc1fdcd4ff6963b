"""How a comparison is measured: interleaved pairs, medians, spread, accuracy beside time."""

from __future__ import annotations

import gc
import itertools
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.problems import cache_folder

#: Rest before each timed call, so that the worker threads of the call before stop spinning: for
#: families that leave the work to BLAS.
PAUSE = 0.25

#: Packages that are compared with, and that the library itself does not know.
PEERS = ("fbpca", "torch", "fuzzysearch", "regex", "cmfrec", "implicit")

#: A row of a table: its cells in the order of the columns.
Row = dict[str, str]


class NotInstalledError(Exception):
    """A peer is missing; the row says so."""


@dataclass(frozen=True)
class Case:
    """One selectable measurement: `run` returns one row for each comparison it makes."""

    name: str
    run: Callable[[Budget], list[Row]]


@dataclass(frozen=True)
class Table:
    """Cases that share their columns."""

    title: str
    about: str
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Budget:
    """How many pairs to measure: as many as fit `seconds`, within limits that are odd."""

    seconds: float = 45.0
    fewest: int = 3
    most: int = 9

    def pairs(self, one_pair: float) -> int:
        """Return the number of pairs, one of which takes `one_pair` seconds."""
        fit = int(self.seconds / max(one_pair, 1e-9))
        return max(self.fewest, min(self.most, fit - (fit + 1) % 2))


QUICK = Budget(seconds=5.0, fewest=1, most=3)


@dataclass(frozen=True)
class Timing:
    """Times of interleaved runs, in seconds; index i of both arrays is pair i."""

    ours: np.ndarray[Any, Any]
    peer: np.ndarray[Any, Any]
    foreign: float = 0.0  # share of the cores that other processes used meanwhile

    @property
    def ratio(self) -> float:
        """Median over the pairs of peer time / our time."""
        return float(np.median(self.peer / self.ours))

    @property
    def cells(self) -> Row:
        """The cells every comparison shows."""
        ratios = self.peer / self.ours
        cells = {
            "ours": seconds(float(np.median(self.ours))),
            "peer's": seconds(float(np.median(self.peer))),
            "ratio": f"{self.ratio:.2f}",
            "spread": f"{ratios.min():.2f}-{ratios.max():.2f}",
            "pairs": str(ratios.size),
        }
        return cells | Watch.cells(self.foreign)


def once(f: Callable[[], Any], rest: float = PAUSE) -> tuple[float, Any]:
    """Time one call, after a rest and a garbage collection; with no rest, right away."""
    if rest:
        gc.collect()
        time.sleep(rest)
    start = time.perf_counter()
    result = f()
    return time.perf_counter() - start, result


def compare(
    ours: Callable[[], Any], peer: Callable[[], Any], budget: Budget, rest: float = PAUSE
) -> Timing:
    """Time two calls in interleaved pairs ours, peer, ours, peer, ...; both have been warmed."""
    watch = Watch()
    a, b = interleaved((ours, peer), budget, rest)
    return Timing(a, b, watch.share)


def interleaved(
    calls: Sequence[Callable[[], Any]], budget: Budget, rest: float = PAUSE
) -> np.ndarray[Any, Any]:
    """Time some warmed calls in turn, again and again; return a row for each of them.

    More than two come in another order each time: a call that follows one which empties the caches
    takes longer.
    """
    order, shuffle = list(range(len(calls))), random.Random(0).shuffle
    times = np.empty((len(calls), 1))
    gc.collect()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for i in order:
            times[i] = once(calls[i], rest)[0]
        # The first round also tells how many fit the budget.
        count = budget.pairs(float(times.sum()) + len(calls) * rest)
        times = np.repeat(times, count, axis=1)
        for k in range(1, count):
            if len(calls) > 2:
                shuffle(order)
            for i in order:
                times[i, k] = once(calls[i], rest)[0]
    finally:
        if collecting:
            gc.enable()
    return times


class Watch:
    """What other processes used of the cores since the watch was made."""

    def __init__(self) -> None:
        self.start, self.foreign = time.perf_counter(), foreign_seconds()

    @property
    def share(self) -> float:
        """Share of the cores."""
        cores = (time.perf_counter() - self.start) * (os.cpu_count() or 1)
        return (foreign_seconds() - self.foreign) / cores

    @staticmethod
    def cells(share: float) -> Row:
        """Return the note that a disturbed row carries."""
        return {"note": f"other processes used {share:.0%} of the cores"} if share > 0.05 else {}


def foreign_seconds() -> float:
    """Return the processor time that all other processes have used; zero where it is unknown."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    except OSError:
        return 0.0
    user, nice, system = (int(x) for x in fields[1:4])
    own = os.times()
    return (user + nice + system) / os.sysconf("SC_CLK_TCK") - own.user - own.system


def median_time(f: Callable[[], Any], budget: Budget, rest: float = PAUSE) -> float:
    """Return the median time of a warmed call, on its own."""
    return float(np.median(interleaved((f, f), budget, rest)[0]))


def best_time(f: Callable[[], Any], runs: int = 9) -> float:
    """Return the shortest time of a warmed call: what the machine can do, not what it did."""
    return min(once(f)[0] for _ in range(runs))


def read_time(A: np.ndarray[Any, Any], threads: int) -> float:
    """Return how long it takes to read a C-ordered array once, in as many threads, in seconds."""
    flat = A.reshape(-1)
    ends = [flat.size * i // threads for i in range(threads + 1)]
    parts = [flat[a:b] for a, b in itertools.pairwise(ends)]
    with ThreadPoolExecutor(threads) as pool:
        return best_time(lambda: list(pool.map(lambda x: np.dot(x, x), parts)))


def seconds(t: float) -> str:
    """Return a time with three figures and its unit."""
    return f"{t * 1e3:.3g} ms" if t < 0.9995 else f"{t:.3g} s"


def fresh_process(module: str, *arguments: str, env: Mapping[str, str] | None = None) -> Any:
    """Run a module of this folder in a process of its own; return the JSON that it prints."""
    command = [sys.executable, "-m", f"benchmarks.peers.{module}", *arguments]
    out = subprocess.run(
        command, env={**os.environ, **(env or {})}, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(out.stdout)


def need(package: str, module: str | None = None) -> Any:
    """Import a peer, or say that it is not installed."""
    import importlib

    try:
        return importlib.import_module(module or package)
    except ImportError as exc:
        raise NotInstalledError(package) from exc


# Results are kept in the cache, so that a long table can be measured in several calls.


def store(family: str) -> Path:
    """Return the file with the rows measured so far."""
    return cache_folder() / f"peers-{family}.json"


def load_rows(family: str) -> dict[str, list[Row]]:
    """Return the rows measured so far, by case."""
    path = store(family)
    return json.loads(path.read_text()) if path.exists() else {}


def save_rows(family: str, rows: dict[str, list[Row]]) -> None:
    """Keep the rows measured so far."""
    store(family).write_text(json.dumps(rows, indent=1))


def columns(rows: list[Row]) -> list[str]:
    """Return the columns of a table: every key, in the order of first appearance."""
    return list(dict.fromkeys(key for row in rows for key in row))


def text_table(rows: list[Row]) -> str:
    """Return rows as an aligned plain-text table."""
    names = columns(rows)
    cells = [names, *([row.get(c, "") for c in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def rst_table(rows: list[Row]) -> str:
    """Return rows as a reStructuredText list-table."""
    names = columns(rows)
    lines = [".. list-table::", "   :header-rows: 1", "   :class: benchmark", ""]
    for line in [names, *([row.get(c, "") for c in names] for row in rows)]:
        for i, cell in enumerate(line):
            escaped = cell.replace("|", "\\|")  # bars would be substitutions
            lines.append(f"   {'*' if i == 0 else ' '} - {escaped}".rstrip())
    return "\n".join(lines)


def machine() -> Iterator[tuple[str, str]]:
    """Describe what the figures were measured on, without naming the host."""
    import numba
    import threadpoolctl

    from lowapprox._core.config import config_info

    config = config_info()
    info = _proc("/proc/cpuinfo")
    yield "Processor", f"{info.get('model name', platform.processor())}, {os.cpu_count()} cores"
    memory = _proc("/proc/meminfo").get("MemTotal", "0 kB").split()[0]
    yield "Memory", f"{int(memory) / 2**20:.0f} GiB"
    yield "System", f"{platform.system()}, Python {platform.python_version()}"
    blas = sorted({b.rsplit(",", 1)[0] for b in config["blas"]})
    yield "BLAS", "; ".join(blas)
    pools = {p["num_threads"] for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"}
    yield "Kernels", f"compiled for {compiled_for()}"
    yield "Threads", f"BLAS {max(pools)}, kernels {numba.get_num_threads()}"
    versions = config["packages"] | _versions(*PEERS)
    names = ("numpy", "scipy", "numba", "scikit-learn", *PEERS)
    yield "Versions", ", ".join(f"{p} {versions[p]}" for p in names if p in versions)


def compiled_for() -> str:
    """Return the processor that numba compiles for, and its widest vectors."""
    from numba.core.registry import cpu_target

    _, name, features = cpu_target.target_context.codegen().magic_tuple()
    return f"{name} (AVX-512)" if "+avx512f" in features else str(name)


def _versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _proc(path: str) -> dict[str, str]:
    """Read a file of `key: value` lines, the first of each key; empty where there is none."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in reversed(lines) if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}
