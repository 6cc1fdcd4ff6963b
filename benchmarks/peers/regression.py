"""Least squares against LAPACK: time, backward error, coverage of the bounds, memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, TypeAlias

import numpy as np

from benchmarks.peers._measure import (
    PAUSE,
    Budget,
    Case,
    Row,
    Table,
    compare,
    fresh_process,
    once,
    read_time,
    seconds,
)
from benchmarks.peers.svd import gemm_rate
from benchmarks.problems import TallProblem, hard_problem, tall_problem

Array = np.ndarray[Any, Any]
Solver: TypeAlias = Callable[[Array, Array], Array]  # (A, b) -> x

TITLE = "Least squares"
THREADS = 2
TALL, WIDE, HELD = (500_000, 200), (100_000, 1000), (200_000, 200)
KEYS = 1000
SMALL = ((100, 10), (300, 10), (100, 50), (1000, 10), (1000, 50), (2000, 50), (10_000, 10))
LESS_SMALL = ((500, 200), (10_000, 50), (1000, 500), (100_000, 10), (5000, 200))
OPERATIONS = {"cholesky": 1, "direct": 2}  # times n d^2
MEMORY = (("auto", 1e6), ("auto", 1e12), ("spir", 1e12), ("sketch", 1e6), ("linf", 1e6))


def our(**options: Any) -> Solver:
    """Return a call of `lstsq`."""

    def solve(A: Array, b: Array) -> Array:
        from lowapprox import lstsq

        x: Array = lstsq(A, b, rng=0, **options).x
        return x

    return solve


def gelsd(A: Array, b: Array) -> Array:
    """Call `numpy.linalg.lstsq`, which is asked not to cut off anything."""
    x: Array = np.linalg.lstsq(A, b, rcond=1e-300)[0]
    return x


def normal_equations(A: Array, b: Array) -> Array:
    """Form the Gram matrix and solve by `scipy.linalg.cho_factor`."""
    from scipy.linalg import cho_factor, cho_solve

    x: Array = cho_solve(cho_factor(A.T @ A), A.T @ b)
    return x


@lru_cache(maxsize=1)  # of large ones
def problem(n: int, d: int, condition: float) -> TallProblem:
    """Return a problem whose singular values are known."""
    return tall_problem(n, d, condition)


def times(n: int, d: int) -> str:
    """Write a shape."""
    return f"{n:,} x {d}"


def pair(x: float, y: float) -> str:
    """Write the errors of both sides."""
    return f"{x:.1e} / {y:.1e}"


def solve(
    budget: Budget,
    *,
    shape: tuple[int, int],
    condition: float,
    peer: str,
    theirs: Solver,
    asked: str,
    method: str = "auto",
) -> list[Row]:
    """Compare time and backward error, and show what reads and products would take alone."""
    from lowapprox import lstsq, thread_limit

    p = problem(*shape, condition)
    with thread_limit(THREADS):
        ours = our(method=method)
        found = [f(p.A, p.b) for f in (ours, theirs)]
        timing = compare(partial(ours, p.A, p.b), partial(theirs, p.A, p.b), budget)
        result = lstsq(p.A, p.b, method=method, rng=0)
        reading = result.passes * read_time(p.A, THREADS)
    chosen = str(result.info["method"])
    operations = OPERATIONS.get(chosen, 0.0)
    if chosen == "cholesky" and "sketch" in str(result.info["why"]):
        operations += 0.5  # as many again, in single precision
    work = operations * p.A.size * p.A.shape[1] / gemm_rate("float64")
    share = (reading + work) / float(np.median(timing.ours))
    row = {"work": f"{times(*shape)}, condition {condition:.0e}", "method": chosen, "peer": peer}
    row |= timing.cells | {"asked for": asked}
    limits = f"{result.passes} reads {seconds(reading)}, products {seconds(work)}"
    row["limits"] = f"{limits}, {share:.0%}"
    for what, scaled in (("backward errors", False), ("with unit columns", True)):
        row[what] = pair(*(p.backward_error(x, scaled=scaled) for x in found))
    return [row]


def one_pass(budget: Budget, *, method: str, asked: str) -> list[Row]:
    """Compare a fit with bounds of its entries, from one read of the matrix, with the solution."""
    from lowapprox import lstsq, thread_limit

    p = problem(*TALL, 1e6)
    with thread_limit(THREADS):
        result = lstsq(p.A, p.b, method=method, rng=0)
        exact = gelsd(p.A, p.b)
        timing = compare(
            lambda: lstsq(p.A, p.b, method=method, rng=1), lambda: gelsd(p.A, p.b), budget
        )
    assert result.entry_bound is not None
    share = np.abs(result.x - exact) / result.entry_bound
    row = {"work": f"{method!r}, {times(*TALL)}", "peer": "numpy.linalg.lstsq"} | timing.cells
    row |= {"asked for": asked, "rows of the sketch": f"{result.info['rows']:,}"}
    return [row | {"largest error by its bound": f"{share.max():.2f}"}]


def coverage(
    budget: Budget, *, name: str, kind: str, asked: str, eps: float | None = None
) -> list[Row]:
    """Count how often all entries lie within their bounds."""
    from lowapprox import lstsq

    keys = KEYS if budget.most > 3 else 50
    A, b, x = hard_problem(name)
    inside = rule = 0
    size = np.linalg.norm(b - A @ x) / np.linalg.norm(A, -2) / A.shape[1] ** 0.5
    for key in range(keys):
        result = lstsq(A, b, method=kind, eps=eps, rng=key)
        assert result.entry_bound is not None
        errors = np.abs(result.x - x)
        inside += bool((errors <= result.entry_bound).all())
        rule += bool((errors > row_rule_bound(*A.shape[1:], int(result.info["rows"])) * size).any())
    what = f"{kind!r}" if eps is None else f"{kind!r}, eps={eps:g}"
    row = {"work": f"{what}, {name}, {times(*A.shape)}", "keys": str(keys)}
    row |= {"rows of the sketch": f"{result.info['rows']:,}"}
    row |= {"all within": f"{inside / keys:.3f}", "asked for": asked}
    row |= {"above the row rule": f"{rule / keys:.3f}"}
    allowed = 0.05 + 3.0 * (0.05 * 0.95 / keys) ** 0.5  # its probability and three standard errors
    return [row | {"allowed": f"<= {allowed:.3f}" if kind == "linf" else "no promise"}]


def row_rule_bound(d: int, rows: int) -> float:
    """Return the eps that so many rows promise with probability 0.95."""
    return float(np.sqrt(2.0 * d * np.log(2.0 * d / 0.05) / (rows - d)))


def held(budget: Budget, *, what: str) -> list[Row]:
    """Compare a factorization that is kept, and a solution from it."""
    from scipy.linalg import qr, solve_triangular

    from lowapprox import thread_limit
    from lowapprox.regression import lstsq_factor

    p = problem(*HELD, 1e6)

    def triangular() -> Array:
        x: Array = solve_triangular(R, Q.T @ p.b)
        return x

    with thread_limit(THREADS):
        factor = lstsq_factor(p.A, rng=0)
        Q, R = qr(p.A, mode="economic", check_finite=False)
        peer, ours, theirs = {
            "factorization": (
                "scipy.linalg.qr, economic",
                lambda: lstsq_factor(p.A, rng=0),
                lambda: qr(p.A, mode="economic", check_finite=False),
            ),
            "a solution": (
                "Q.T @ b, solve_triangular",
                lambda: factor.solve(p.b).x,
                triangular,
            ),
            "a solution, nothing kept by the peer": (
                "numpy.linalg.lstsq",
                lambda: factor.solve(p.b).x,
                lambda: gelsd(p.A, p.b),
            ),
        }[what]
        timing = compare(ours, theirs, budget)
        errors = [p.backward_error(f(), scaled=True) for f in (ours, theirs) if "sol" in what]
    row = {"work": f"{what}, {times(*HELD)}", "peer": peer} | timing.cells
    kept = factor.shape[1] ** 2 * 8 * 20  # the sketch has 20 rows for each column
    row |= {"kept, ours / the peer's": f"{kept / 1e6:.0f} / {Q.nbytes / 1e6:.0f} MB"}
    return [row | {"with unit columns": pair(*errors) if errors else ""}]


def fused(budget: Budget, *, shape: tuple[int, int]) -> list[Row]:
    """Compare one pass for residual and gradient with two products of BLAS."""
    from lowapprox import thread_limit
    from lowapprox._core.matrix import as_matrix
    from lowapprox._core.threads import blas_threads
    from lowapprox.regression.system import make_system

    p = problem(*shape, 1e6)
    system = make_system(as_matrix(p.A), p.b[:, None], None, 0.0)
    X = p.x[:, None].copy()

    def ours() -> Any:
        with blas_threads(1):
            return system.residual(X)[1][:, 0]

    def theirs() -> Any:
        return p.A.T @ (p.b - p.A @ p.x)

    with thread_limit(THREADS):
        g, h = ours(), theirs()
        difference = np.linalg.norm(g - h) / (np.linalg.norm(p.A) * np.linalg.norm(p.b))
        assert difference < 1e-13, difference
        timing = compare(ours, theirs, budget)
    rate = p.A.nbytes / float(np.median(timing.ours)) / 1e9
    row = {"work": times(*shape), "peer": "A.T @ (b - A @ x)"} | timing.cells
    return [row | {"asked for": ">= 2.2", "our rate": f"{rate:.0f} GB/s"}]


def small(budget: Budget, *, shape: tuple[int, int]) -> list[Row]:
    """Compare small problems, many calls at a time."""
    from lowapprox import lstsq, thread_limit

    n, d = shape
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal(shape), rng.standard_normal(n)
    with thread_limit(THREADS):
        solvers = (lambda: lstsq(A, b), lambda: np.linalg.lstsq(A, b))
        for solver in solvers:
            solver()  # what is loaded once has no say in the number of calls
        one = max(once(f)[0] for f in solvers) + 1e-6
        calls = max(1, min(500, int(0.1 / one)))

        def repeated(f: Callable[[], Any]) -> Callable[[], None]:
            def run() -> None:
                for _ in range(calls):
                    f()

            return run

        timing = compare(*map(repeated, solvers), budget)
    ours, theirs = (float(np.median(t)) / calls for t in (timing.ours, timing.peer))
    row = {"work": times(n, d), "peer": "numpy.linalg.lstsq"}
    cells = timing.cells | {"ours": seconds(ours), "peer's": seconds(theirs)}
    more = f"{(ours - theirs) * 1e6:+.0f} us"
    asked = "<= 1.1 times" if n * d >= 10**5 else "<= 100 us more"
    return [row | cells | {"more time": more, "times": f"{ours / theirs:.2f}", "asked for": asked}]


def memory(_: Budget, *, method: str, condition: float) -> list[Row]:
    """Measure the memory of a call in a process of its own."""
    figures = fresh_process("_memory", "lstsq", f"{condition:g}", method)
    row = {"work": f"{times(*TALL)}, condition {condition:.0e}, {method!r}"}
    share = figures["peak_mb"] / figures["matrix_mb"]
    row |= {"peak": f"{figures['peak_mb']:.0f} MB", "of the matrix": f"{share:.1%}"}
    return [row | {"asked for": "<= 5%", "time": seconds(figures["seconds"])}]


def _tall_cases() -> list[Case]:
    cases = []
    for shape, condition, asked in (
        (TALL, 1e6, ">= 6"),
        (TALL, 1e12, ">= 5"),
        (WIDE, 1e6, ">= 2.8"),
        (WIDE, 1e12, ">= 2.8"),
    ):
        run = partial(solve, shape=shape, condition=condition, asked=asked)
        run = partial(run, peer="numpy.linalg.lstsq", theirs=gelsd)
        cases.append(Case(f"auto/{shape[0]}x{shape[1]}/{condition:.0e}", run))
    run = partial(solve, shape=TALL, condition=1e6, peer="numpy.linalg.lstsq", theirs=gelsd)
    run = partial(run, method="direct", asked=">= 3")
    cases.append(Case("direct", run))
    run = partial(solve, shape=TALL, condition=1e6, theirs=normal_equations)
    run = partial(run, peer="normal equations, scipy cho_factor", method="cholesky")
    run = partial(run, asked=">= 0.77; error >= 1000 times smaller")
    return [*cases, Case("cholesky", run)]


TABLES = (
    Table(
        "Tall problems",
        "Singular values in geometric progression, random singular vectors, solution and matrix of "
        "norm 1, residual of norm 1e-3. The backward errors, ours / the peer's, are Karlson-Walden "
        "estimates from the singular values that the matrix was made of, relative to the Frobenius "
        "norm; once as it stands and once for columns scaled to unit norm. Below about 1e-16 they "
        "are the rounding of their own evaluation. *Method* is what `lstsq` chose or was told. "
        "*Limits*: what the reads of the matrix would take at the rate of a plain read, and the "
        "operations (n d^2 for the Gram matrix, twice as many for the factorization) at the rate "
        "of square matrix products, and the share of both together of our time.",
        tuple(_tall_cases()),
    ),
    Table(
        "One read of the matrix",
        "Coefficients with simultaneous 95 % bounds of their distance from the solution, from "
        "sketches of default size, against the solution itself.",
        (
            Case("one-pass/linf", partial(one_pass, method="linf", asked=">= 22")),
            Case("one-pass/sketch", partial(one_pass, method="sketch", asked=">= 30")),
        ),
    ),
    Table(
        "Coverage of the bounds",
        "Share of the keys for which *all* entries lie within their bounds, which promise 0.95, "
        "and for which an entry is farther off than the row rule says, with the share that its "
        "probability of 0.05 and three standard errors allow. *Coherent*: every column lives on "
        "one row and the residual on eight others, all in one block of the transform; *spread*: "
        "the same with rows that are far apart. *Incoherent*: random singular vectors. The sparse "
        "sketch makes no promise for coherent data; its row shows why.",
        tuple(
            Case(
                f"coverage/{kind}/{name}" + (f"/{eps:g}" if eps else ""),
                partial(coverage, name=name, kind=kind, asked=asked, eps=eps),
            )
            for kind, name, asked, eps in (
                ("linf", "coherent", ">= 0.93", None),
                ("linf", "spread", ">= 0.93", None),
                ("linf", "spread", ">= 0.93", 1.0),
                ("linf", "incoherent", ">= 0.93", None),
                ("sketch", "incoherent", "", None),
                ("sketch", "coherent", "no promise", None),
            )
        ),
    ),
    Table(
        "Many right-hand sides over time",
        "`lstsq_factor`, which keeps a sketch and reads the matrix again for every solution and "
        "its check, for a condition number of 1e6. A QR factorization keeps as much as the matrix, "
        "reads that once for a solution, and checks nothing. With unit columns: backward errors, "
        "ours / the peer's.",
        tuple(
            Case(f"factor/{name}", partial(held, what=what))
            for name, what in (
                ("lstsq", "a solution, nothing kept by the peer"),
                ("qr", "factorization"),
                ("solve", "a solution"),
            )
        ),
    ),
    Table(
        "Residual and gradient in one pass",
        "``b - A x``, its norm and ``A^T (b - A x)`` from one read of the matrix.",
        tuple(
            Case(f"fused/{shape[0]}x{shape[1]}", partial(fused, shape=shape))
            for shape in (TALL, WIDE)
        ),
    ),
    Table(
        "Small problems",
        "Time of a call among many, with the check of the backward error that the peer does not "
        f"make. Both sides rest {PAUSE:g} s before each of the pairs.",
        tuple(
            Case(f"small/{n}x{d}", partial(small, shape=(n, d))) for n, d in (*SMALL, *LESS_SMALL)
        ),
    ),
    Table(
        "Memory",
        "Peak anonymous memory of a call over that of the process before it, which has solved a "
        "small problem of the same kind.",
        tuple(
            Case(f"memory/{method}/{c:.0e}", partial(memory, method=method, condition=c))
            for method, c in MEMORY
        ),
    ),
)
