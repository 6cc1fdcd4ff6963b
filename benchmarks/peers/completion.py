"""Matrix completion: against recommenders on ratings, and recovery of matrices of low rank."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import numpy as np

from benchmarks.peers._measure import (
    Budget,
    Case,
    Row,
    Table,
    best_time,
    compare,
    fresh_process,
    need,
    once,
    seconds,
)
from benchmarks.peers._rated import FILE, rated_row
from benchmarks.problems import Triples, ratings
from tests.completion.problems import Known, low_rank

Array = np.ndarray[Any, Any]

TITLE = "Matrix completion"
THREADS = 2
RATINGS = (100_000, 20_000)
PENALTIES = (0.05,)  # of cmfrec, times the number of entries: the best of a grid from 0.02 to 0.1
SWEEPS = (10, 20)


@contextmanager
def our_threads(n: int = THREADS) -> Iterator[None]:
    """Limit our threads; warnings of runs that are stopped on purpose are not shown."""
    from lowapprox import thread_limit

    with thread_limit(n), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def ours(train: Triples, k: int, **options: Any) -> Any:
    """Complete ratings with biases."""
    from lowapprox import complete

    defaults = {"center": True, "row_bias": True, "col_bias": True, "rng": 0}
    return complete(train, k, shape=RATINGS, **(defaults | options))


def cmfrec(train: Triples, k: int, **options: Any) -> Any:
    """Fit the same model by cmfrec's conjugate gradients."""
    import scipy.sparse

    package = need("cmfrec")
    defaults: dict[str, Any] = {
        "use_float": True,
        "nthreads": THREADS,
        "precompute_for_predictions": False,
        "verbose": False,
    }
    model = package.CMF(k=k, **(defaults | options))
    rows, columns, values = train
    return model.fit(scipy.sparse.coo_matrix((values, (rows, columns)), shape=RATINGS))


def rmse(model: Any, test: Triples) -> float:
    """Return the root mean squared error at entries that no method has seen."""
    rows, columns, values = test
    gap = np.asarray(model.predict(rows, columns), np.float64) - values
    return float(np.sqrt(np.mean(gap * gap)))


@cache
def cmfrec_best() -> tuple[dict[str, Any], float]:
    """Return cmfrec's options for which it is best, with the fewest sweeps for nearly that."""
    train, test = ratings()
    found = []
    for penalty in PENALTIES:
        for sweeps in SWEEPS:
            options = {"lambda_": penalty, "scale_lam": True, "niter": sweeps}
            options["finalize_chol"] = False  # takes seconds, and gains nothing here
            found.append((rmse(cmfrec(train, 31, **options), test), options))
    best = min(error for error, _ in found)
    near = [pair for pair in found if pair[0] <= 1.001 * best]
    error, options = min(near, key=lambda pair: pair[1]["niter"])
    return options, error


def ratings_row(budget: Budget) -> list[Row]:
    """Compare whole fits, ours to an error that is no larger."""
    options, their_error = cmfrec_best()
    train, test = ratings()
    with our_threads():
        sweeps, our_error = 0, np.inf
        while our_error > their_error and sweeps < 40:
            sweeps += 1
            our_error = rmse(ours(train, 31, max_iter=sweeps), test)
        equal = compare(
            partial(ours, train, 31, max_iter=sweeps), partial(cmfrec, train, 31, **options), budget
        )
        own = compare(
            partial(ours, train, 31, validation=0.01),
            partial(cmfrec, train, 31, **options),
            budget,
        )
        own_error = rmse(ours(train, 31, validation=0.01), test)
    peer = f"cmfrec, {options['niter']} sweeps, penalty {options['lambda_']} a rating"
    cells = {"peer": peer, "asked for": ">= 5", "peer's error": f"{their_error:.4f}"}
    return [
        {"work": f"equal error, {sweeps} sweeps"} | cells | equal.cells
        | {"our error": f"{our_error:.4f}"},
        {"work": "to our own stop"} | cells | own.cells | {"our error": f"{own_error:.4f}"},
    ]  # fmt: skip


def sweep_time(k: int) -> tuple[float, Any]:
    """Return the median time of one of our sweeps over k columns with biases, and a fit by six."""
    train, _ = ratings()
    times = []
    ours(train, k - 1, max_iter=1)  # compiled
    for _ in range(3):
        found = ours(train, k - 1, max_iter=6)
        times.append(np.diff([record.seconds for record in found.history])[1:])
    return float(np.median(times)), found


def cmfrec_sweep(k: int) -> tuple[float, Any]:
    """Return the time of one sweep of cmfrec: the difference of two fits, and that by six."""
    train, _ = ratings()
    options = {"lambda_": PENALTIES[0], "scale_lam": True, "finalize_chol": False}
    runs = {n: once(lambda n=n: cmfrec(train, k - 1, niter=n, **options)) for n in (2, 6)}
    return (runs[6][0] - runs[2][0]) / 4, runs[6][1]


def kernel_rate(k: int, steps: int) -> float:
    """Return the operations in a second of the conjugate gradients of both factors alone."""
    from lowapprox.completion.compiled import CompiledGradients
    from lowapprox.completion.halfstep import Gauge, Half
    from lowapprox.completion.observations import compressed

    (rows, columns, values), _ = ratings()
    observed = compressed(rows, columns, values, None, RATINGS)
    rng = np.random.default_rng(0)
    solver, one = CompiledGradients(steps), np.eye(k)
    gauge = Gauge(one, one, np.full(k, 1.0), np.zeros(k))
    elapsed = 0.0
    for side in (observed, observed.T):
        totals = [half.counts.astype(float) for half in (side.rows, side.columns)]
        F, X = solver.panels(side.shape[1], side.shape[0], k, values.dtype)
        F[:], X[:] = rng.standard_normal(F.shape), 0
        half = Half(side.rows, *totals)
        elapsed += best_time(partial(solver, half, X, F, None, gauge, 1.0, 1.0), 3)
    # The last step takes no sum.
    return 2 * values.size * k * (4 * steps + 2) / elapsed


def implicit_sweep(k: int) -> float:
    """Return the time of one sweep of implicit's conjugate gradients: the difference of two fits.

    Its model is another one, with as many multiplications for each entry.
    """
    import scipy.sparse

    als = need("implicit", "implicit.cpu.als")
    (rows, columns, values), _ = ratings()
    matrix = scipy.sparse.csr_matrix((values, (rows, columns)), shape=RATINGS)
    times = {}
    for n in (2, 6):
        model = als.AlternatingLeastSquares(k, iterations=n, num_threads=THREADS)
        times[n] = once(lambda model=model: model.fit(matrix, show_progress=False))[0]
    return (times[6] - times[2]) / 4


def sweep_rows(_: Budget, *, k: int) -> list[Row]:
    """Compare single sweeps, and what six of them reach."""
    test = ratings()[1]
    with our_threads():
        mine, found = sweep_time(k)
    theirs, fitted = cmfrec_sweep(k)
    asked = ">= 3.5" if k <= 64 else ">= 2"
    errors = {"our error": f"{rmse(found, test):.4f}", "peer's error": f"{rmse(fitted, test):.4f}"}
    return [
        {
            "work": f"one sweep, k = {k}",
            "peer": name,
            "ours": seconds(mine),
            "peer's": seconds(time),
            "ratio": f"{time / mine:.2f}",
            "asked for": asked,
        }
        | more
        for name, time, more in (("cmfrec", theirs, errors), ("implicit", implicit_sweep(k), {}))
    ]


def growth_row(_: Budget) -> list[Row]:
    """Tell how the time of a sweep grows with the rank."""
    with our_threads():
        few, many = sweep_time(32)[0], sweep_time(128)[0]
    row = {"work": "sweep, k = 128 against k = 32", "ours": seconds(many), "peer's": seconds(few)}
    return [row | {"ratio": f"{many / few:.2f}", "asked for": "<= 4.2"}]


def rate_row(_: Budget) -> list[Row]:
    """Compare the rate of the conjugate gradients with that of a product of matrices."""
    A = np.random.default_rng(0).standard_normal((4096, 4096), dtype=np.float32)
    with our_threads():
        product = 2 * 4096**3 / best_time(lambda: A @ A, 5)
        rate = kernel_rate(64, 2)
    row = {"work": "kernel at k = 64, 2 steps, GF/s", "peer": "product of 4096 x 4096, float32"}
    row |= {"ours": f"{rate / 1e9:.0f}", "peer's": f"{product / 1e9:.0f}"}
    return [row | {"ratio": f"{rate / product:.2f}", "asked for": ">= 0.25"}]


# Recovery


@cache
def large(oversampling: float, condition: float, rank: int) -> Known:
    """Return observations of a 5000 x 4000 matrix."""
    return low_rank(5000, 4000, rank, oversampling, condition=condition, seed=1)


def triples(known: Known) -> Triples:
    """Return the observations in the order of the rows."""
    rows = known.observed.rows
    index = np.repeat(np.arange(known.observed.shape[0]), rows.counts)
    return index, rows.indices[: index.size], rows.values[: index.size]


def recover(known: Known, rank: int, **options: Any) -> tuple[Any, float]:
    """Complete, and return the result with its true relative error."""
    from lowapprox import complete

    result = complete(triples(known), rank, shape=known.observed.shape, reg=0, rng=0, **options)
    return result, known.error(result.U * result.s, result.V)


def recovery_row(
    _: Budget, *, rank: int, oversampling: float, condition: float, target: float
) -> list[Row]:
    """Time the recovery of a large matrix with the default method and stop."""
    known = large(oversampling, condition, rank)
    with our_threads():
        recover(known, rank)
        runs = [once(lambda: recover(known, rank, tol=target / 10)) for _ in range(3)]
    result, error = runs[0][1]
    solved = error <= target
    row = {"work": f"rank {rank}, condition {condition:g}, oversampling {oversampling:g}"}
    row |= {"ours": seconds(float(np.median([t for t, _ in runs]))), "our error": f"{error:.1e}"}
    path = " -> ".join(dict.fromkeys(record.method for record in result.history))
    row |= {"asked for": f"error <= {target:g}", "solved": "yes" if solved else "no"}
    return [row | {"converged": str(result.converged), "path": path}]


def exact_row(budget: Budget, *, oversampling: float) -> list[Row]:
    """Compare the recovery of exact data with cmfrec at its best number of sweeps."""
    known, rank = large(oversampling, 1.0, 10), 10
    data = triples(known)
    rows, columns, values = data

    def theirs(sweeps: int) -> Any:
        import scipy.sparse

        matrix = scipy.sparse.coo_matrix((values, (rows, columns)), shape=known.observed.shape)
        options = {"user_bias": False, "item_bias": False, "center": False, "use_float": False}
        model = need("cmfrec").CMF(
            k=rank, lambda_=1e-8, niter=sweeps, nthreads=THREADS, verbose=False,
            precompute_for_predictions=False, **options,
        )  # fmt: skip
        return model.fit(matrix)

    errors = {n: known.error(f.A_, f.B_) for n in (20, 40, 80, 160) for f in [theirs(n)]}
    reached = [n for n, error in errors.items() if error <= 1e-6]
    best = min(errors, key=errors.__getitem__)
    sweeps = min(reached) if reached else best
    with our_threads():
        result, error = recover(known, rank, tol=1e-7)
        timing = compare(lambda: recover(known, rank, tol=1e-7)[0], lambda: theirs(sweeps), budget)
    row = {"work": f"rank 10, oversampling {oversampling:g}", "peer": f"cmfrec, {sweeps} sweeps"}
    row |= timing.cells | {"asked for": ">= 4 where it solves"}
    row |= {"our error": f"{error:.1e}", "peer's error": f"{errors[sweeps]:.1e}"}
    return [row | {"converged": str(result.converged)}]


def share_row(_: Budget, *, oversampling: float, condition: float, asked: str) -> list[Row]:
    """Count recoveries of small matrices near the limit, and fits that are claimed and wrong."""
    solved = claimed = 0
    times = []
    with our_threads():
        for seed in range(20):
            known = low_rank(300, 300, 5, oversampling, condition=condition, seed=seed)
            elapsed, (result, error) = once(lambda known=known: recover(known, 5))
            times.append(elapsed)
            solved += error <= 1e-4
            claimed += result.converged and error > 1e-4
    return [
        {
            "work": f"300 x 300, rank 5, condition {condition:g}, oversampling {oversampling:g}",
            "ours": seconds(float(np.median(times))),
            "solved": f"{solved} of 20",
            "claimed and wrong": str(claimed),
            "asked for": f"{asked}, none wrong",
        }
    ]


def memory_row(_: Budget) -> list[Row]:
    """Tell what a fit adds to the memory at its peak, and what is allowed."""
    figures = fresh_process("_memory", "completion", "32")
    return [
        {
            "work": "ratings, k = 32, float32",
            "ours": f"{figures['peak_mb']:.0f} MiB",
            "asked for": f"<= {figures['allowed_mb']:.0f} MiB",
        }
    ]


def case(name: str, run: Callable[..., list[Row]], **options: Any) -> Case:
    """Return a case with its options filled in."""
    return Case(name, partial(run, **options) if options else run)


TABLES = (
    Table(
        "Ratings",
        "100,000 x 20,000 with 10 million synthetic ratings, k = 31 and biases of rows and "
        "columns, single precision, 2 threads; sorting and holding out are within the time, "
        "compilation is not. The error is the root mean square at 200,000 ratings that nobody saw. "
        "The penalty and the number of sweeps of the peer are its best of a grid.",
        (case("ratings", ratings_row),),
    ),
    Table(
        "Ratings of a file",
        f"The file that the environment variable ``{FILE}`` names; no row without it. Five random "
        "tenths of the ratings are predicted from the others, with rank and ridge automatic; the "
        "peer has its best rank and penalty of a grid, chosen by another tenth. The errors are "
        "root mean squares with their standard errors, the times those of all of that.",
        (case("ratings-file", lambda _: rated_row(THREADS)),),
    ),
    Table(
        "One sweep",
        "The same fits, with a rank of k - 1 and biases: the time of one sweep over both factors. "
        "That of the peers is the difference of fits with 6 and 2 sweeps, over 4. The errors are "
        "those after 6 sweeps, at ratings that nobody saw.",
        (
            *(case(f"sweep-{k}", sweep_rows, k=k) for k in (16, 32, 64, 128, 256)),
            case("sweep-growth", growth_row),
            case("sweep-rate", rate_row),
        ),
    ),
    Table(
        "Exact data",
        "5000 x 4000 of rank 10, double precision, every row and column with at least 11 entries. "
        "Oversampling is the number of entries over the degrees of freedom. The error is that of "
        "the whole matrix, relative, in the Frobenius norm.",
        tuple(case(f"exact-{o:g}", exact_row, oversampling=o) for o in (5, 3, 2)),
    ),
    Table(
        "Recovery",
        "5000 x 4000, the default method; the error is the true one of the whole matrix.",
        tuple(
            case(
                f"recovery-{rank}-{condition:g}-{oversampling:g}",
                recovery_row,
                rank=rank,
                condition=condition,
                oversampling=oversampling,
                target=target,
            )
            for rank, condition, oversampling, target in (
                (10, 1.0, 3.0, 1e-6),
                (10, 1.0, 2.0, 1e-6),
                (10, 1.0, 1.5, 1e-6),
                (5, 1e3, 3.0, 1e-6),
                (5, 1e6, 3.0, 1e-9),
                (10, 1e3, 2.0, 1e-6),
                (10, 1e3, 1.5, 1e-6),
            )
        ),
    ),
    Table(
        "Near the limit",
        "20 matrices, every row and column with at least 6 entries. Solved is a relative error of "
        "the whole matrix of at most 1e-4; wrong is a larger one with ``converged=True``.",
        tuple(
            case(
                f"share-{condition:g}-{oversampling:g}",
                share_row,
                condition=condition,
                oversampling=oversampling,
                asked=asked,
            )
            for oversampling, asked in ((1.5, ">= 19"), (1.35, ">= 13"))
            for condition in (1.0, 1e3)
        ),
    ),
    Table(
        "Memory",
        "What a fit adds to the memory of the process at its peak, beyond the triples it is given. "
        "Allowed are both orders of the observations and three times the factors.",
        (case("memory", memory_row),),
    ),
)
