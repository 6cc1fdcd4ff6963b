"""Hamming distances: against other ways to count, always with equal results."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np

from benchmarks.peers import _counting as peers
from benchmarks.peers import _measure
from benchmarks.peers._measure import (
    PAUSE,
    Budget,
    Case,
    Row,
    Table,
    Timing,
    Watch,
    fresh_process,
    once,
    seconds,
)
from benchmarks.problems import (
    cache_folder,
    letters_file,
    periodic_text,
    planted_dna,
    uniform_text,
    zipf_text,
)

Array = np.ndarray[Any, Any]
Problem: TypeAlias = tuple[Array, Array]  # text, pattern
Counting: TypeAlias = Callable[[Array, Array], Array]

TITLE = "Hamming distances"
THREADS = 2

#: What an instruction set without 512-bit vectors makes of the kernels; their cache is apart.
AVX2 = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "",
    "NUMBA_CACHE_DIR": str(cache_folder() / "kernels-avx2"),
}


def compare(ours: Callable[[], Any], peer: Callable[[], Any], budget: Budget) -> Timing:
    """Time interleaved pairs, without a rest: neither side has threads that spin."""
    return _measure.compare(ours, peer, many(budget), rest=0.0)


def many(budget: Budget) -> Budget:
    """Return a budget for calls that are short: more of them, in less time."""
    return replace(budget, seconds=budget.seconds / 4, most=5 * budget.most)


def distances(text: Any, pattern: Any, **options: Any) -> Array:
    """Call the function under test."""
    from lowapprox.hamming import hamming_distances

    return hamming_distances(text, pattern, **options)


@cache
def uniform(letters: int, n: int, m: int) -> Problem:
    """Return a text and a pattern of independent letters."""
    return uniform_text(letters, n, seed=0), uniform_text(letters, m, seed=1)


def same(ours: Any, theirs: Any) -> Row:
    """Stop where two results differ, and say that they do not."""
    np.testing.assert_array_equal(ours, theirs)
    return {"equal": "yes"}


def same_at_some(text: Array, pattern: Array, ours: Array, count: int = 200) -> Row:
    """Stop where a distance is wrong, looking at some of them, the first and the last included."""
    places = np.unique(np.linspace(0, ours.size - 1, count).astype(np.int64))
    right = [int(np.sum(text[i : i + pattern.size] != pattern)) for i in places]
    np.testing.assert_array_equal(ours[places], right)
    return {"equal": f"at {places.size} shifts"}


def power(n: float) -> str:
    """Return a number as it is read best."""
    head, exponent = f"{n:e}".split("e")
    if n < 10_000 or float(head) != int(float(head)):
        return f"{n:,.0f}"
    return ("" if float(head) == 1 else f"{float(head):.0f} x ") + f"10^{int(exponent)}"


def pair(timing: Timing, first: str, second: str) -> Row:
    """Return the cells that compare two calls of ours: the ratio is second / first."""
    cells = timing.cells
    row = {first: cells.pop("ours"), second: cells.pop("peer's")}
    return row | {f"{second} / {first}": cells.pop("ratio")} | cells


# All distances


def dense(
    budget: Budget, *, load: Callable[[], Problem], work: str, peer: str, threads: int, asked: float
) -> list[Row]:
    """Compare all distances, with the same letters in memory on both sides."""
    from lowapprox import thread_limit

    text, pattern = load()
    theirs: Counting
    name, theirs = PEERS[peer]
    row = {"work": work, "peer": name, "threads": f"{threads} / 1"}
    with thread_limit(threads):
        row_equal = same(distances(text, pattern), theirs(text, pattern))
        timing = compare(partial(distances, text, pattern), partial(theirs, text, pattern), budget)
    row |= timing.cells | {"asked for": f">= {asked:g}"} | row_equal
    row["ours, a shift"] = per_shift(timing.ours, text, pattern)
    with thread_limit(threads):
        rested = _measure.median_time(partial(distances, text, pattern), budget, PAUSE)
    row["ours, rested"] = seconds(rested)
    if peer == "oaconvolve" and threads > 1:
        import scipy.fft

        with scipy.fft.set_workers(threads):
            time = _measure.median_time(partial(theirs, text, pattern), budget, rest=0.0)
        row[f"peer's, {threads} workers"] = seconds(time)
    return [row]


PEERS: dict[str, tuple[str, Counting]] = {
    "oaconvolve": ("oaconvolve float32, a letter each", peers.oaconvolve_distances),
    "loop": ("njit double loop", peers.loop_distances),
}


def per_shift(times: Array, text: Array, pattern: Array) -> str:
    """Return the median time over the number of shifts."""
    return f"{np.median(times) / (text.size - pattern.size + 1) * 1e9:.3g} ns"


def long_pattern(budget: Budget, *, threads: int) -> list[Row]:
    """Compare a long pattern with a short one, for the same number of shifts."""
    from lowapprox import thread_limit

    shifts, short, long = 4_000_000, 1000, 100_000
    texts = {m: uniform(4, shifts + m - 1, m) for m in (short, long)}
    with thread_limit(threads):
        found = {m: distances(*texts[m]) for m in texts}
        timing = compare(
            partial(distances, *texts[short]), partial(distances, *texts[long]), budget
        )
    exact = peers.oaconvolve_distances(*texts[long], dtype=np.float64)
    row = {"work": f"4 letters, {power(shifts)} shifts", "threads": str(threads)}
    row |= pair(timing, f"m = {short}", f"m = {power(long)}") | {"asked for": "<= 12"}
    return [row | same(found[long], exact)]


def growth(budget: Budget) -> list[Row]:
    """Measure how the time grows with the pattern when few letters are frequent."""
    shifts, short, long = 1_000_000, 10_000, 100_000
    texts = {m: zipf(shifts, m) for m in (short, long)}
    equal = [same_at_some(*texts[m], distances(*texts[m])) for m in texts]
    timing = compare(partial(distances, *texts[short]), partial(distances, *texts[long]), budget)
    exponent = np.log(np.median(timing.peer) / np.median(timing.ours)) / np.log(long / short)
    row = {"work": f"{power(shifts)} shifts", "threads": str(THREADS)}
    row |= pair(timing, f"m = {power(short)}", f"m = {power(long)}")
    return [row | {"exponent": f"{exponent:.2f}", "asked for": "<= 0.6"} | equal[0]]


@cache
def zipf(shifts: int, m: int) -> Problem:
    """Return a text and a pattern whose i-th most frequent letter has weight 1 / i."""
    return zipf_text(100_000, shifts + m - 1, seed=0), zipf_text(100_000, m, seed=1)


def against_passes(budget: Budget, *, m: int) -> list[Row]:
    """Compare with one NumPy pass for each pattern letter, of which a part is measured."""
    shifts, part = 1_000_000, 50
    text, pattern = zipf(shifts, m)
    equal = same_at_some(text, pattern, distances(text, pattern))
    timing = compare(
        partial(distances, text, pattern),
        partial(peers.pass_distances, text, pattern[:part], shifts),
        budget,
    )
    timing = replace(timing, peer=timing.peer * (m / part))
    row = {"work": f"{power(shifts)} shifts, m = {power(m)}", "peer": "one NumPy pass a letter"}
    row |= {"threads": f"{THREADS} / 1"} | timing.cells | {"asked for": ">= 100"} | equal
    note = f"peer: {part} of the passes were measured; " + row.pop("note", "")
    return [row | {"note": note.removesuffix("; ")}]


# At most k mismatches


def bounded(budget: Budget, *, m: int, k: int, peer: str, asked: float) -> list[Row]:
    """Compare a search with at most k mismatches; the peer may get a part of the text."""
    from lowapprox.hamming import hamming_matches

    n = 1_000_000
    text, pattern = planted_dna(n, m, k)
    search, n_peer = SEARCHES[peer]
    part = text[:n_peer]
    found = hamming_matches(part, pattern, k)
    hits = search(part, pattern, k)
    equal = same(found.positions, hits[0]) | same(found.distances, hits[1])
    whole = hamming_matches(text, pattern, k)
    timing = compare(
        partial(hamming_matches, text, pattern, k), partial(search, part, pattern, k), budget
    )
    timing = replace(timing, peer=timing.peer * (n / n_peer))
    row = {"work": f"m = {m}, k = {k}", "peer": peer, "threads": f"{THREADS} / 1"}
    row |= timing.cells | {"asked for": f">= {asked:g}"} | equal
    row |= {"hits": str(whole.positions.size), "ours, a shift": f"{_ns(timing.ours, n)} ns"}
    if n_peer < n:
        row["note"] = "; ".join(
            filter(None, (f"peer: rate on {power(n_peer)} letters", row.get("note")))
        )
    return [row]


def _ns(times: Array, n: int) -> str:
    return f"{np.median(times) / n * 1e9:.3g}"


SEARCHES: dict[str, tuple[Callable[[str, str, int], peers.Hits], int]] = {
    "fuzzysearch": (peers.fuzzysearch_hits, 1_000_000),
    "regex": (peers.regex_hits, 20_000),
}


def periodic(budget: Budget, *, m: int, k: int, noise: float) -> list[Row]:
    """Compare a bounded search with all distances where a filter cannot help."""
    from lowapprox.hamming import hamming_matches

    text = periodic_text(4, 1_000_000, period=37, noise=noise)
    pattern = periodic_text(4, m, period=37, noise=0.0)
    every = distances(text, pattern)
    found = hamming_matches(text, pattern, k)
    equal = same(found.positions, np.flatnonzero(every <= k))
    equal |= same(found.distances, every[every <= k])
    timing = compare(
        partial(distances, text, pattern), partial(hamming_matches, text, pattern, k), budget
    )
    row = {"work": f"m = {power(m)}, k = {k}, {noise:.0%} of the letters changed"}
    row |= pair(timing, "all", "bounded") | {"asked for": "<= 1.5"} | equal
    return [row | {"hits": f"{found.positions.size / every.size:.2%} of the shifts"}]


# Approximate distances


def approximate(budget: Budget, *, error: str, eps: float) -> list[Row]:
    """Compare approximate distances with exact ones, in time and in error."""
    from lowapprox.hamming import approximate_hamming_distances

    text, pattern = uniform(256, 2_100_000, 100_000)
    m = pattern.size
    call = partial(approximate_hamming_distances, text, pattern, eps, error=error)
    exact = distances(text, pattern).astype(np.float64)
    allowed = eps * (m if error == "additive" else exact)
    worst = [float((np.abs(call(rng=seed) - exact) / allowed).max()) for seed in range(3)]
    timing = compare(partial(call, rng=0), partial(distances, text, pattern), budget)
    row = {"work": f"{error}, eps = {eps:g}", "peer": "our exact distances"}
    row |= {"threads": f"{THREADS} / {THREADS}"} | timing.cells
    return [row | {"largest error / allowed": f"{max(worst):.2f}"}]


# The automatic rule

METHODS = ("bits", "byte", "fft", "hybrid", "scatter")


def automatic(budget: Budget, *, letters: int, n: int, m: int) -> list[Row]:
    """Compare `method="auto"` with each method forced, those of hopeless rate left out."""
    from lowapprox import LowApproxError

    watch = Watch()
    text, pattern = uniform(letters, n, m)
    found = distances(text, pattern)
    auto = min(once(partial(distances, text, pattern), 0.0)[0] for _ in range(3))
    row = {"work": f"{letters} letters, n = {power(n)}, m = {power(m)}"}
    calls = {"auto": partial(distances, text, pattern)}
    for method in METHODS:
        call = partial(distances, method=method)
        part = max(n // 16, min(4 * m, n))
        try:
            call(text[: 1000 + m], pattern)
            trial = min(once(partial(call, text[:part], pattern), 0.0)[0] for _ in range(2))
        except LowApproxError:
            row[method] = "refused"
            continue
        if trial * (n / part) > 10 * auto:
            row[method] = "left out"
            continue
        same(call(text, pattern), found)
        calls[method] = partial(call, text, pattern)
    rounds = _measure.interleaved(tuple(calls.values()), many(budget), rest=0.0)
    times = dict(zip(calls, np.median(rounds, axis=1), strict=True))
    best = min(times[method] for method in METHODS if method in times)
    row = {key: row[key] for key in ("work",)} | {
        key: seconds(times[key]) if key in times else row[key] for key in ("auto", *METHODS)
    }
    row |= {"auto / best": f"{times['auto'] / best:.2f}", "asked for": "<= 1.25", "equal": "yes"}
    return [row | Watch.cells(watch.share)]


# Fresh processes


def memory(budget: Budget, *, m: int) -> list[Row]:
    """Measure the peak anonymous memory for a text and distances in files."""
    path = letters_file()
    arguments = ("_memory", "hamming", str(path), str(m))
    out = fresh_process(*arguments)
    if not out["equal"]:
        raise RuntimeError("the distances in the file are wrong")
    row = {"work": f"{path.stat().st_size / 1e6:.0f} MB of letters, m = {power(m)}"}
    row |= {"over the interpreter": f"{out['peak_mb']:.0f} MiB", "asked for": "<= 64 MiB"}
    return [row | {"interpreter": f"{out['base_mb']:.0f} MiB", "time": seconds(out["seconds"])}]


def first_call(budget: Budget, *, kind: str) -> list[Row]:
    """Measure the first call of a process, where compiled kernels are on disk."""
    fresh_process("_first", kind)  # fills the cache of kernels
    runs = [fresh_process("_first", kind) for _ in range(5)]
    row = {"work": runs[0]["work"]}
    for key in ("numba", "call"):
        row[{"numba": "import of numba", "call": "our import and call"}[key]] = seconds(
            float(np.median([run[key] for run in runs]))
        )
    return [row | {"asked for": runs[0]["asked"], "numba loaded": runs[0]["loaded"]}]


def restricted(case: Case) -> Case:
    """Return a case in a process whose kernels are compiled for AVX2."""

    def run(budget: Budget) -> list[Row]:
        limits = (budget.seconds, budget.fewest, budget.most)
        rows: list[Row] = fresh_process("_case", "hamming", case.name, *map(str, limits), env=AVX2)
        return rows

    return Case(f"avx2/{case.name}", run)


# The tables


def _dense_cases() -> Iterator[Case]:
    demands = {
        (THREADS, 100): 30,
        (THREADS, 1000): 20,
        (THREADS, 10_000): 8,
        (1, 100): 20,
        (1, 1000): 10,
        (1, 10_000): 5,
    }
    for n, ((threads, m), asked) in itertools.product((10**6, 10**7), demands.items()):
        run = partial(
            dense,
            load=partial(uniform, 4, n, m),
            work=f"4 letters, n = {power(n)}, m = {power(m)}",
            peer="oaconvolve",
            threads=threads,
            asked=asked,
        )
        yield Case(f"dense/4/{n}/{m}/{threads}-threads", run)


def _loop_cases() -> Iterator[Case]:
    demands = {(26, 100): 15, (26, 1000): 20, (256, 1000): 8}
    for n, ((letters, m), asked) in itertools.product((10**6, 10**7), demands.items()):
        run = partial(
            dense,
            load=partial(uniform, letters, n, m),
            work=f"{letters} letters, n = {power(n)}, m = {power(m)}",
            peer="loop",
            threads=THREADS,
            asked=asked,
        )
        yield Case(f"dense/{letters}/{n}/{m}", run)


def _long_cases() -> Iterator[Case]:
    for threads in (THREADS, 1):
        yield Case(f"long/{threads}-threads", partial(long_pattern, threads=threads))


def _bounded_cases() -> Iterator[Case]:
    sizes = ((20, 2), (100, 5), (100, 10), (1000, 10), (1000, 100))
    for (peer, asked), (m, k) in itertools.product({"fuzzysearch": 8, "regex": 200}.items(), sizes):
        yield Case(f"bounded/{peer}/{m}-{k}", partial(bounded, m=m, k=k, peer=peer, asked=asked))


def _periodic_cases() -> Iterator[Case]:
    for (m, k), noise in itertools.product(((1000, 10), (10_000, 100)), (0.0, 0.002, 0.02)):
        run = partial(periodic, m=m, k=k, noise=noise)
        yield Case(f"periodic/{m}-{k}-{noise:g}", run)


def _automatic_cases() -> Iterator[Case]:
    sizes = itertools.product((10**5, 10**6, 10**7), (4, 26, 256), (10, 100, 1000, 10_000))
    for n, letters, m in sizes:
        yield Case(f"auto/{n}/{letters}/{m}", partial(automatic, letters=letters, n=n, m=m))


DENSE, LOOP, LONG, BOUNDED = map(
    tuple, (_dense_cases(), _loop_cases(), _long_cases(), _bounded_cases())
)

TABLES = (
    Table(
        "Four letters against convolutions",
        "All distances, the whole call: encoding, counting, allocation of the result. Letters are "
        "independent and uniform, in uint8. The peer convolves once for each letter and rounds; "
        "scipy.signal.oaconvolve runs in one thread. Its time on as many FFT workers as we have "
        "threads is in a column of its own. As everywhere on this page, the calls follow each "
        "other without a rest, ours and the peer's in turn; a call that comes after a rest of a "
        "quarter of a second finds the processor and its caches asleep, and takes what the column "
        '"ours, rested" says.',
        DENSE,
    ),
    Table(
        "Larger alphabets against a compiled loop",
        "The peer is `for i: for j: count += text[i + j] != pattern[j]` on uint8 with an int32 "
        "counter, compiled by numba, which makes vector instructions of it; in one thread.",
        LOOP,
    ),
    Table(
        "Long patterns",
        "The same number of shifts for both lengths. The exact distances come from "
        "oaconvolve in float64.",
        LONG,
    ),
    Table(
        "Skewed letters: growth with the pattern",
        "A text over 10^5 letters of which the i-th most frequent has weight 1/i, in int32. The "
        "exponent is that of m in the time.",
        (Case("zipf/growth", growth),),
    ),
    Table(
        "Skewed letters against NumPy",
        "The same text. The peer is `out += text[j : j + shifts] != pattern[j]` for each j.",
        tuple(Case(f"zipf/{m}", partial(against_passes, m=m)) for m in (10_000, 100_000)),
    ),
    Table(
        "At most k mismatches",
        "Uniform random DNA, a str of 10^6 letters, with 40 planted copies of the pattern that "
        "have up to 2k changes. fuzzysearch with substitutions only; regex with overlapping "
        "matches. Where a peer gets a part of the text, its time is scaled to the whole.",
        BOUNDED,
    ),
    Table(
        "At most k mismatches, periodic text",
        "The text repeats 37 letters, as the pattern does, and some of its letters are changed: "
        "many shifts come near the bound, and a filter spares nothing.",
        tuple(_periodic_cases()),
    ),
    Table(
        "Approximate distances",
        "256 letters, n = 2,100,000, m = 10^5. The error holds at all shifts together, but for a "
        "chance of 1e-3; the largest one of three seeds is shown.",
        tuple(
            Case(f"approximate/{error}/{eps}", partial(approximate, error=error, eps=eps))
            for error, eps in itertools.product(("additive", "multiplicative"), (0.1, 0.05))
        ),
    ),
    Table(
        "The automatic rule",
        "`method='auto'` against each method forced, uniform letters in uint8; the methods are "
        "timed in turn, in random order. A method that would need ten times as long as 'auto', by "
        "its time for a part of the text, is left out.",
        tuple(_automatic_cases()),
    ),
    Table(
        "Memory",
        "Peak anonymous memory of a fresh process over that after a first small call; text and "
        "distances are memory-mapped files, whose pages are not counted.",
        tuple(Case(f"memory/{m}", partial(memory, m=m)) for m in (1000, 100_000)),
    ),
    Table(
        "First call of a process",
        "Median of five fresh processes, compiled kernels on disk. Our import and call come after "
        "numba has been imported; the tiny call does without. The first row is what any first call "
        "of a compiled function takes.",
        tuple(
            Case(f"first/{kind}", partial(first_call, kind=kind))
            for kind in ("floor", "4-100", "4-10000", "26-1000", "256-1000", "matches", "tiny")
        ),
    ),
    Table(
        "Restricted to AVX2",
        "The rows above in a process whose kernels are compiled for a processor with AVX2 and "
        "without AVX-512 (`NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=`), the compiled loop too. "
        "SciPy, fuzzysearch and regex are as they are installed.",
        tuple(map(restricted, (*DENSE, *LOOP, *LONG, *BOUNDED))),
    ),
)
