"""Truncated SVD and its relatives against other libraries, at equal accuracy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np

from benchmarks.peers import _baselines as peers
from benchmarks.peers._accuracy import SEEDS, Accuracy, DenseProblem, SparseProblem, cheapest
from benchmarks.peers._measure import (
    Budget,
    Case,
    Row,
    Table,
    Watch,
    best_time,
    compare,
    fresh_process,
    median_time,
    seconds,
)
from benchmarks.problems import (
    SPECTRA,
    RBFKernel,
    cached,
    dense_matrix,
    low_rank_file,
    power_law_matrix,
    rbf_points,
)

Array = np.ndarray[Any, Any]
Problem: TypeAlias = DenseProblem | SparseProblem
Rung: TypeAlias = str | float

TITLE = "Truncated SVD"
RANK = 50

#: Residuals relative to s_k to ask for, from loose to tight.
LADDER: tuple[Rung, ...] = (
    *(0.7, 0.5, 0.35, 0.25, 0.2, 0.14, 0.1, 0.07, 0.05, 0.035, 0.025, 0.02, 0.014, 0.01),
    *(7e-3, 5e-3, 3.5e-3, 2.5e-3, 1.8e-3, 1.3e-3, 1e-3, 7e-4, 5e-4, 3.5e-4, 2.5e-4, 1.8e-4),
    *(1.3e-4, 1e-4, 5e-5, 2e-5, 1e-5, 3e-6, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12),
)
PRESETS: tuple[Rung, ...] = ("fast", "balanced", "high", "full")


def svd(A: Any, k: int, seed: int, **options: Any) -> Any:
    """Call the function under test."""
    from lowapprox.svd import randomized_svd

    return randomized_svd(A, k, rng=seed, **options)


def options_of(rung: Rung, problem: Problem) -> dict[str, Any]:
    """Turn a rung of the ladder into arguments; `tol` is relative to s_1."""
    if isinstance(rung, str):
        return {"accuracy": rung}
    return {"tol": rung * problem.last / problem.first, "norm": "residual"}


@cache
def dense_problem(name: str) -> DenseProblem:
    """Return a dense 4000 x 3000 problem."""
    return DenseProblem(*dense_matrix(name), RANK)


@cache
def sparse_problem(dtype: str) -> SparseProblem:
    """Return the power-law matrix in a precision; its values come from a run to 1e-10."""
    A = power_law_matrix()
    reference = peers.scipy_svds("arpack", 1e-10)
    s = cached("power-law-values", lambda: np.sort(reference(A, RANK, 0)[1])[::-1])
    return SparseProblem(A.astype(dtype, copy=False), s, RANK)


def cycled(f: Callable[[int], Any], seeds: Sequence[int]) -> Callable[[], Any]:
    """Call with the next seed each time, so that no single seed decides."""
    turn = itertools.cycle(seeds)
    return lambda: f(next(turn))


def excess(a: Accuracy) -> float:
    """Return the figure that low-rank approximation is compared by."""
    return a.excess


def residual(a: Accuracy) -> float:
    """Return the figure that singular triplets are compared by."""
    return a.residual


def contest(
    load: Callable[[], Problem],
    peer: peers.Peer,
    budget: Budget,
    *,
    work: str,
    name: str,
    figure: Callable[[Accuracy], float] = excess,
    target: Callable[[float, Problem], float] = lambda own, _: max(own, 1e-8),
    seeds: Sequence[int] = SEEDS,
    demand: float,
) -> list[Row]:
    """Time our cheapest setting that meets the target set by the best run of the peer."""
    problem = load()
    theirs = [problem.accuracy(*peer(problem.A, RANK, seed)) for seed in seeds]
    wanted = target(min(figure(a) for a in theirs), problem)

    def call(rung: Rung, seed: int) -> Any:
        return svd(problem.A, RANK, seed, **options_of(rung, problem))

    @cache
    def run(rung: Rung, seed: int) -> Accuracy:
        return problem.accuracy(*call(rung, seed))

    ladders: tuple[Sequence[Rung], ...] = (LADDER, PRESETS)
    if figure is residual:  # is what `tol` promises
        ladders = ((wanted, 0.7 * wanted, 0.5 * wanted),)
    found = [
        rung
        for rungs in ladders
        if (rung := cheapest(rungs, lambda rung, seed: figure(run(rung, seed)), wanted)) is not None
    ]
    if not found:
        raise RuntimeError(f"no setting reaches {wanted:.2g}")
    if len(found) > 1:
        found.sort(key=lambda rung: best_time(partial(call, rung, 0), 3))
    rung = found[0]
    own = [run(rung, seed) for seed in SEEDS]
    timing = compare(
        cycled(partial(call, rung), SEEDS),
        cycled(partial(peer, problem.A, RANK), seeds),
        budget,
    )
    row = {"work": work, "peer": name} | timing.cells | {"asked for": f">= {demand:g}"}
    row["our setting"] = rung if isinstance(rung, str) else f"residual {rung:.2g} s_k"
    row |= _accuracy_cells("our", own) | _accuracy_cells("peer's", theirs)
    return [row | share(problem, call(rung, 0), float(np.median(timing.ours)))]


def _accuracy_cells(who: str, runs: Sequence[Accuracy]) -> Row:
    return {
        f"{who} excess": f"{max(a.excess for a in runs):.1e}",
        f"{who} residual / s_k": f"{max(a.residual for a in runs):.1e}",
    }


# Shares of what the machine can do


@cache
def gemm_rate(dtype: str) -> float:
    """Measure square matrix products, in flops a second."""
    A = np.ones((2048, 2048), dtype)
    A @ A
    return 2 * 2048**3 / best_time(lambda: A @ A)


@cache
def product_time(problem: Problem, width: int) -> float:
    """Measure our products with a panel and with its adjoint, in seconds a column."""
    from lowapprox._core.matrix import as_matrix

    A = problem.A
    M, rng = as_matrix(A), np.random.default_rng(0)
    X, Y = (rng.standard_normal((size, width)).astype(A.dtype) for size in A.shape[::-1])
    M.mat(X), M.rmat(Y)
    return (best_time(lambda: M.mat(X)) + best_time(lambda: M.rmat(Y))) / (2 * width)


def share(problem: Problem, result: Any, time: float) -> Row:
    """Return the part of the time that the products take, and would take at the best rate."""
    A = problem.A
    width = result.info.get("block", 8)
    row = {"products": str(result.matvecs)}
    if isinstance(A, np.ndarray):
        ideal = 2 * A.shape[0] * A.shape[1] * result.matvecs / gemm_rate(A.dtype.name)
        row["share of GEMM rate"] = f"{ideal / time:.0%}"
    return row | {"time in products": f"{result.matvecs * product_time(problem, width) / time:.0%}"}


# Sparse products


def sparse_products(budget: Budget, *, width: int, dtype: str) -> list[Row]:
    """Compare a panel product and its transpose with scipy.sparse."""
    from lowapprox._core.matrix import as_matrix

    A = sparse_problem(dtype).A
    M = as_matrix(A)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((A.shape[1], width)).astype(dtype)
    Y = rng.standard_normal((A.shape[0], width)).astype(dtype)
    rows = []
    for what, ours, theirs, operand in (
        ("A X", M.mat, A.__matmul__, X),
        ("A^H Y", M.rmat, A.T.__matmul__, Y),
    ):
        a, b = ours(operand), theirs(operand)
        error = np.linalg.norm(a - b) / np.linalg.norm(b)
        timing = compare(partial(ours, operand), partial(theirs, operand), budget)
        asked = 3.0 if width == 32 else {"A X": 2.5, "A^H Y": 1.8}[what]
        row = {"work": f"{what}, {width} columns, {dtype}", "peer": "scipy.sparse"}
        rows.append(
            row | timing.cells | {"asked for": f">= {asked:g}", "difference": f"{error:.0e}"}
        )
    return rows


# Tolerance mode


def tolerance(budget: Budget) -> list[Row]:
    """Compare `tol=0.1` with a full SVD that is truncated afterwards."""
    import scipy.linalg

    A, s = dense_matrix("1/j")
    norm = np.linalg.norm(s)
    tails = np.sqrt(np.cumsum(s[::-1] ** 2)[::-1])
    best = int(np.argmax(tails <= 0.1 * norm))  # the smallest rank that meets the tolerance

    def full() -> tuple[Array, Array, Array]:
        U, s, Vh = scipy.linalg.svd(A, full_matrices=False)
        k = int(np.argmax(np.sqrt(np.cumsum(s[::-1] ** 2)[::-1]) <= 0.1 * np.linalg.norm(s)))
        return U[:, :k], s[:k], Vh[:k]

    from lowapprox.svd import randomized_svd

    runs = [randomized_svd(A, tol=0.1, rng=seed) for seed in SEEDS]
    errors = [np.linalg.norm(A - (r.U * r.s) @ r.Vh) / norm for r in runs]
    full()
    timing = compare(cycled(lambda seed: randomized_svd(A, tol=0.1, rng=seed), SEEDS), full, budget)
    row = {"work": "tol=0.1, 1/j", "peer": "scipy.linalg.svd, truncated"} | timing.cells
    row |= {"asked for": ">= 10", "our rank": str(max(len(r.s) for r in runs))}
    return [row | {"optimal rank": str(best), "our relative error": f"{max(errors):.5f}"}]


# Positive semidefinite matrices


def pivoted_cholesky(budget: Budget) -> list[Row]:
    """Compare `rp_cholesky` with one column at a time, in time and in law."""
    from lowapprox.svd import rp_cholesky

    kernel, k, seeds = RBFKernel(rbf_points()), 200, range(100)

    def fast(seed: int) -> Any:
        return rp_cholesky(kernel, k, diag=kernel.diag, rng=seed)

    # Different seeds: two independent samples of the same law.
    a = np.array([float(fast(seed).trace_error) for seed in seeds])
    b = np.array([peers.plain_rp_cholesky(kernel, k, 100 + seed)[2] for seed in seeds])
    timing = compare(
        cycled(fast, seeds),
        cycled(lambda seed: peers.plain_rp_cholesky(kernel, k, seed), seeds),
        budget,
    )
    gap = abs(a.mean() - b.mean()) / np.hypot(a.std(ddof=1), b.std(ddof=1)) * len(seeds) ** 0.5
    row = {"work": "rp_cholesky, RBF 10^4 points, k=200", "peer": "column by column"}
    row |= timing.cells | {"asked for": ">= 3"}
    row |= {"our trace error": _mean(a), "peer's trace error": _mean(b)}
    return [row | {"difference / standard error": f"{gap:.1f}"}]


def _mean(x: Array) -> str:
    return f"{x.mean():.4g} +- {x.std(ddof=1) / np.sqrt(x.size):.2g}"


def psd_eigenpairs(budget: Budget) -> list[Row]:
    """Compare `randomized_eigh` at 1.001 of the optimal trace error with `eigsh`."""
    from scipy.sparse.linalg import eigsh

    from lowapprox.svd import randomized_eigh

    k = 200
    K = RBFKernel(rbf_points()).matrix()
    w = cached("rbf-eigenvalues", lambda: eigsh(K, k, rng=np.random.default_rng(0))[0])
    optimum = np.trace(K) - w.sum()

    def run(options: dict[str, Any], seed: int) -> Any:
        return randomized_eigh(K, k, rng=seed, **options)

    def trace_error(options: dict[str, Any], seed: int) -> float:
        V = np.asarray(run(options, seed).V)
        return float((np.trace(K) - np.sum(V * (K @ V))) / optimum)

    settings = [{"accuracy": name} for name in ("fast", "balanced", "high", "full")]
    setting = cheapest(settings, trace_error, 1.001)
    assert setting is not None
    errors = [trace_error(setting, seed) for seed in SEEDS]
    timing = compare(
        cycled(partial(run, setting), SEEDS),
        lambda: eigsh(K, k, rng=np.random.default_rng(0)),
        budget,
    )
    row = {"work": "eigenpairs of the RBF matrix, k=200", "peer": "eigsh"} | timing.cells
    row |= {"asked for": ">= 10", "our setting": setting["accuracy"]}
    return [row | {"our trace error / optimal": f"{max(errors):.6f}"}]


# Memory


def memory(budget: Budget) -> list[Row]:
    """Measure the peak anonymous memory of one pass over a 2 GB file, in a fresh process."""
    path = low_rank_file()
    fresh_process("_memory", "svd", str(path), "20")  # fills the cache of kernels
    out = fresh_process("_memory", "svd", str(path), "20")
    row = {"work": f"single pass over {path.stat().st_size / 1e9:.1f} GB, k=20"}
    row |= {"over the interpreter": f"{out['peak_mb']:.0f} MB", "asked for": "<= 256 MB"}
    row |= {"interpreter": f"{out['base_mb']:.0f} MB", "time": seconds(out["seconds"])}
    return [row | {"relative error": f"{out['error']:.4f}", "passes": str(out["passes"])}]


# The automatic rule

# The others would hold a dense square of the short side, or all entries.
METHODS = {"dense": ("krylov", "subspace", "gram", "direct"), "sparse": ("krylov", "subspace")}


def automatic(load: Callable[[], Problem], budget: Budget, *, work: str) -> list[Row]:
    """Compare `method="auto"` with each method that can be forced, at no worse excess."""
    problem, watch = load(), Watch()

    def cell(method: str, rung: Rung) -> tuple[float, Accuracy]:
        call = partial(svd, problem.A, RANK, method=method, **options_of(rung, problem))
        runs = [problem.accuracy(*call(seed=seed)) for seed in SEEDS[:1]]
        return median_time(cycled(lambda seed: call(seed=seed), SEEDS), budget), runs[0]

    auto, reached = cell("auto", "balanced")
    chosen = svd(problem.A, RANK, 0).info["method"]
    row = {"work": work, "auto": seconds(auto), "chosen": str(chosen)}
    times = {}
    kind = "dense" if isinstance(problem, DenseProblem) else "sparse"
    for method in METHODS[kind]:
        from lowapprox import LowApproxError

        try:
            time, accuracy = cell(method, "balanced")
        except LowApproxError:
            row[method] = "refused"
            continue
        meets = accuracy.excess <= max(reached.excess, 1e-8)
        row[method] = seconds(time) + ("" if meets else f" (excess {accuracy.excess:.0e})")
        if meets:
            times[method] = time
    best = min(times, key=times.__getitem__)
    row |= {"excess": f"{reached.excess:.0e}", "auto / best": f"{auto / times[best]:.2f}"}
    return [row | Watch.cells(watch.share)]


def presets(load: Callable[[], Problem], budget: Budget, *, work: str) -> list[Row]:
    """Show what each preset costs and buys."""
    problem = load()
    rows = []
    for preset in ("fast", "balanced", "high", "full"):
        runs = [svd(problem.A, RANK, seed, accuracy=preset) for seed in SEEDS]
        accuracies = [problem.accuracy(*run) for run in runs]
        watch = Watch()
        time = median_time(
            cycled(lambda seed, p=preset: svd(problem.A, RANK, seed, accuracy=p), SEEDS), budget
        )
        share = watch.share
        row = {"work": work, "accuracy": preset, "time": seconds(time)}
        row["products"] = str(max(run.matvecs for run in runs))
        row["excess"] = f"{max(a.excess for a in accuracies):.1e}"
        row["residual / s_k"] = f"{max(a.residual for a in accuracies):.1e}"
        rows.append(row | Watch.cells(share))
    return rows


# The tables


def _dense_cases() -> Iterator[Case]:
    rivals: tuple[tuple[str, str, peers.Peer, float], ...] = (
        ("sklearn", "sklearn randomized_svd", peers.sklearn_svd, 4),
        ("fbpca", "fbpca.pca", peers.fbpca_svd, 2.5),
        ("torch-7", "torch.svd_lowrank q=60 niter=7", peers.torch_svd(60, 7), 2),
        ("torch-2", "torch.svd_lowrank q=60 niter=2", peers.torch_svd(60, 2), 1.1),
    )
    yield Case(
        "dense/1/j/sklearn-2e-5",
        partial(
            contest,
            partial(dense_problem, "1/j"),
            peers.sklearn_svd,
            work="1/j, excess <= 2e-5",
            name="sklearn randomized_svd",
            target=lambda own, _: 2e-5,
            demand=6,
        ),
    )
    for spectrum, (short, name, peer, demand) in itertools.product(SPECTRA, rivals):
        load = partial(dense_problem, spectrum)
        run = partial(contest, load, peer, work=spectrum, name=name, demand=demand)
        yield Case(f"dense/{spectrum}/{short}", run)
    for spectrum in SPECTRA:
        run = partial(
            contest,
            partial(dense_problem, spectrum),
            peers.scipy_svds("arpack", 1e-2),  # the loosest that reaches 1e-8 s_1 here
            work=f"{spectrum}, residual <= 1e-8 s_1",
            name="svds (ARPACK), tol=1e-2",
            figure=residual,
            target=lambda own, problem: 1e-8 * problem.first / problem.last,
            demand=2.5,
        )
        yield Case(f"dense/{spectrum}/arpack", run)


def _sparse_cases() -> Iterator[Case]:
    for dtype, demand in (("float64", 8), ("float32", 4)):
        run = partial(
            contest,
            partial(sparse_problem, dtype),
            peers.sklearn_svd,
            work=dtype,
            name="sklearn randomized_svd",
            seeds=SEEDS[:1],
            demand=demand,
        )
        yield Case(f"sparse/sklearn-{dtype}", run)
    for solver, tol, demand in (("arpack", 1e-2, 2), ("propack", 1e-4, 1.5)):
        run = partial(
            contest,
            partial(sparse_problem, "float64"),
            peers.scipy_svds(solver, tol),
            work="float64, residual of the peer",
            name=f"svds ({solver.upper()}), tol={tol:g}",
            figure=residual,
            target=lambda own, problem: max(own, 1e-12 * problem.first / problem.last),
            seeds=SEEDS[:1],
            demand=demand,
        )
        yield Case(f"sparse/{solver}-{tol:g}", run)


def _product_cases() -> Iterator[Case]:
    for dtype, width in itertools.product(("float64", "float32"), (8, 32)):
        run = partial(sparse_products, width=width, dtype=dtype)
        yield Case(f"products/{dtype}-{width}", run)


def _preset_cases() -> Iterator[Case]:
    for name in SPECTRA:
        yield Case(f"presets/{name}", partial(presets, partial(dense_problem, name), work=name))
    load = partial(sparse_problem, "float64")
    yield Case("presets/sparse", partial(presets, load, work="sparse, power law"))


def _automatic_cases() -> Iterator[Case]:
    for name in SPECTRA:
        yield Case(f"auto/{name}", partial(automatic, partial(dense_problem, name), work=name))
    load = partial(sparse_problem, "float64")
    yield Case("auto/sparse", partial(automatic, load, work="sparse, power law"))


TABLES = (
    Table(
        "Dense, 4000 x 3000, float64, k = 50",
        "Our cheapest setting whose excess, with each of three seeds, is at most the larger of "
        "the peer's best excess and 1e-8; the rows with a bound in the first column ask for that "
        "bound instead.",
        tuple(_dense_cases()),
    ),
    Table(
        "Sparse, 200,000 x 50,000, 10 million nonzeros, k = 50",
        "Rows and columns follow power laws (exponents -0.6 and -0.8). Against sklearn the excess "
        "is at most the peer's; against svds the residual is at most the peer's, or 1e-12 s_1.",
        tuple(_sparse_cases()),
    ),
    Table(
        "The presets of accuracy",
        "The worst of three seeds; the same problems, no peer.",
        tuple(_preset_cases()),
    ),
    Table(
        "Sparse matrix times panel",
        "The same matrix times dense panels. scipy.sparse uses one thread.",
        tuple(_product_cases()),
    ),
    Table(
        "A tolerance in place of a rank",
        "The smallest rank with a relative Frobenius error of at most 0.1.",
        (Case("tolerance", tolerance),),
    ),
    Table(
        "Positive semidefinite matrices: randomly pivoted Cholesky",
        "Time and law: the trace errors are means over a hundred seeds with their standard errors.",
        (Case("psd/rp_cholesky", pivoted_cholesky),),
    ),
    Table(
        "Positive semidefinite matrices: eigenpairs",
        "Our cheapest preset whose trace error is at most 1.001 of the optimum.",
        (Case("psd/eigh", psd_eigenpairs),),
    ),
    Table(
        "Memory",
        "Peak anonymous memory of a fresh process over that of the interpreter with the package "
        "imported; pages of the file that the system maps are not counted.",
        (Case("memory", memory),),
    ),
    Table(
        "The automatic rule",
        "`method='auto'` against each method forced, accuracy 'balanced'. A method whose excess "
        "is worse than that of 'auto' shows it and does not count as best.",
        tuple(_automatic_cases()),
    ),
)
