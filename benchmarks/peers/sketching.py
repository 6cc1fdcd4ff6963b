"""Sketching operators against SciPy: one product with a tall dense matrix."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np

from benchmarks.peers._measure import Budget, Case, Row, Table, compare, read_time, seconds

Array = np.ndarray[Any, Any]
Sketch: TypeAlias = Callable[[Array, int], Array]  # (A, seed) -> S @ A

TITLE = "Sketching"
THREADS = 2
ROWS, COLUMNS, SIZE, ZETA = 500_000, 200, 800, 8
KEYS = 100


@cache
def matrix() -> Array:
    """Return the matrix that is sketched, with orthonormal columns up to a few per cent."""
    return np.random.default_rng(0).standard_normal((ROWS, COLUMNS)) / ROWS**0.5


@cache
def read_once() -> float:
    """Measure how long it takes to read the matrix once."""
    return read_time(matrix(), THREADS)


def our(kind: str, **options: Any) -> Sketch:
    """Return the product with an operator that is made for it."""

    def sketch(A: Array, seed: int) -> Array:
        import lowapprox.sketching

        make = getattr(lowapprox.sketching, kind)
        product: Array = make(SIZE, A.shape[0], rng=seed, **options) @ A
        return product

    return sketch


def clarkson_woodruff(A: Array, seed: int) -> Array:
    """Call `scipy.linalg.clarkson_woodruff_transform`."""
    from scipy.linalg import clarkson_woodruff_transform

    sketch: Array = clarkson_woodruff_transform(A, SIZE, rng=seed)
    return sketch


@cache
def sparse_signs() -> Any:
    """Return a sparse sign matrix in CSR format; its making is not timed."""
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    height = SIZE // ZETA
    rows = rng.integers(0, height, (ROWS, ZETA)) + height * np.arange(ZETA)
    signs = rng.choice([-1.0, 1.0], rows.shape) / ZETA**0.5
    columns = np.repeat(np.arange(ROWS), ZETA)
    return sp.csr_array((signs.ravel(), (rows.ravel(), columns)), shape=(SIZE, ROWS))


def csr_product(A: Array, _: int) -> Array:
    """Multiply a CSR matrix with the array."""
    product: Array = sparse_signs() @ A
    return product


def cosine_transform(A: Array, seed: int) -> Array:
    """Random signs, `scipy.fft.dct` on all cores, and some rows of it."""
    import scipy.fft

    rng = np.random.default_rng(seed)
    signed = A * rng.choice([-1.0, 1.0], (A.shape[0], 1))
    mixed = scipy.fft.dct(signed, axis=0, norm="ortho", workers=THREADS, overwrite_x=True)
    rows = rng.choice(A.shape[0], SIZE, replace=False)
    sketch: Array = mixed[rows] * (A.shape[0] / SIZE) ** 0.5
    return sketch


def product(
    budget: Budget, *, work: str, ours: Sketch, peer: str, theirs: Sketch, asked: float
) -> list[Row]:
    """Compare the time of a product, and how far both change lengths within the subspace."""
    from lowapprox import thread_limit

    A = matrix()
    with thread_limit(THREADS):
        spreads = [distortion(sketch(A, 0)) for sketch in (ours, theirs)]
        timing = compare(partial(ours, A, 1), partial(theirs, A, 1), budget)
    row = {"work": work, "peer": peer} | timing.cells | {"asked for": f">= {asked:g}"}
    row |= {"our distortion": f"{spreads[0]:.2f}", "peer's distortion": f"{spreads[1]:.2f}"}
    share = read_once() / float(np.median(timing.ours))
    return [row | {"reading alone": f"{seconds(read_once())}, {share:.0%}"}]


@cache
def triangle() -> Array:
    """Return R of the thin QR factorization of the matrix."""
    A = matrix()
    factor: Array = np.linalg.cholesky(A.T @ A, upper=True)
    return factor


def distortion(sketched: Array) -> float:
    """Return the largest ``|sigma(S Q) - 1|``, Q an orthonormal basis of the columns."""
    values = np.linalg.svd(np.linalg.solve(triangle().T, sketched.T), compute_uv=False)
    return float(np.abs(values - 1.0).max())


def coordinates(_: Budget, *, kind: str, step: int, asked: str) -> list[Row]:
    """Find the smallest singular value on coordinates that are equally far apart."""
    import lowapprox.sketching

    d, make = 64, getattr(lowapprox.sketching, kind)
    least = []
    for key in range(KEYS):
        S = make(4 * d, d * step, rng=key)
        columns = np.hstack([S.columns(i, i + 1) for i in range(0, d * step, step)])
        least.append(np.linalg.svd(columns, compute_uv=False)[-1])
    where = "consecutive rows" if step == 1 else f"every {step}th row"
    row = {"work": f"{kind}, d = {d}, m = {4 * d}, {where}"}
    row |= {"keys": str(KEYS), "least": f"{min(least):.3f}", "median": f"{np.median(least):.3f}"}
    return [row | {"asked for": asked}]


WORK = f"{ROWS:,} x {COLUMNS}, m = {SIZE}"
CLARKSON = ("clarkson_woodruff_transform", clarkson_woodruff)
CASES: tuple[tuple[str, str, Sketch, tuple[str, Sketch], float], ...] = (
    ("countsketch", "CountSketch", our("CountSketch"), CLARKSON, 2.0),
    ("sparse", "SparseSign(zeta=8)", our("SparseSign"), ("CSR product", csr_product), 12.0),
    ("srht", "SRHT", our("SRHT"), ("signs, scipy.fft.dct, rows", cosine_transform), 10.0),
)

TABLES = (
    Table(
        "One product with a tall matrix",
        "A matrix of independent normals in double precision, C-ordered; the operator is made "
        "within the time, the CSR matrix before it. The distortion is the largest "
        "``|sigma(S Q) - 1|`` for an orthonormal basis Q of the columns and one key; a Gaussian "
        f"operator has about ``sqrt(d / m)`` = {(COLUMNS / SIZE) ** 0.5:.2f}. The last column is "
        "the time to read the matrix once in as many threads, and its share of our time.",
        tuple(
            Case(
                name,
                partial(
                    product,
                    work=f"{what}, {WORK}",
                    ours=ours,
                    peer=peer,
                    theirs=theirs,
                    asked=asked,
                ),
            )
            for name, what, ours, (peer, theirs), asked in CASES
        ),
    ),
    Table(
        "Coordinate subspaces",
        "The smallest singular value of an operator on d coordinates, over the keys: the data that "
        "are hardest for a structured operator, since every column lives on one row. A Gaussian "
        "operator has about ``1 - sqrt(d / m)`` = 0.50; at 0 two coordinates can no longer be told "
        "apart.",
        tuple(
            Case(
                f"coordinates/{kind}/{step}",
                partial(coordinates, kind=kind, step=step, asked=asked),
            )
            for kind, step, asked in (
                ("SRHT", 1, ">= 0.42"),
                ("SRHT", 16, ">= 0.42"),
                ("SRHT", 256, ">= 0.42"),
                ("SparseSign", 256, ""),
                ("CountSketch", 256, "no promise"),
            )
        ),
    ),
)
