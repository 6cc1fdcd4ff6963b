"""What the pattern of the observed entries can and cannot determine."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from lowapprox._core.errors import AccuracyWarning, InputError
from lowapprox._core.results import Result
from lowapprox.completion.observations import Observations, compressed
from lowapprox.completion.sorting import KERNEL_ENTRIES, Compressed, Host, row_numbers

__all__ = [
    "Diagnostics",
    "announce",
    "components",
    "core",
    "diagnose",
    "parts",
    "tie",
    "undetermined",
    "with_rows",
]

_SAFE_OVERSAMPLING = 1.5
_POWER_STEPS, _NONE = 6, 1e-3
_LISTED = 100  # components whose sizes are told


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Diagnostics(Result):
    """Whether the observed entries can determine a matrix of the rank.

    Attributes
    ----------
    shape : tuple of int
    rank : int
    count : int
        Observed entries.
    freedom : int
        Degrees of freedom of the matrices of this rank: ``rank * (m + n - rank)``, for each
        connected component apart, without the rows and columns that have no entries.
    oversampling : float
        `count` over `freedom`. Recovery is possible from somewhat above one on.
    empty_rows, empty_cols : int
        Rows and columns without entries.
    few_rows, few_cols : int
        Those with fewer entries than the rank, but not without any: entries alone do not determine
        them.
    core_rows, core_cols : int
        What remains if rows and columns with fewer entries than the rank are removed until there
        are none: what lies outside is not determined by entries alone either.
    component_sizes : tuple of (int, int)
        Rows and columns of the connected components of the graph whose edges are the entries, of
        the one with the most entries first; a hundred at most. Entries in the rows of one and the
        columns of another are not determined.
    components : int
        How many there are.
    row_component, col_component : numpy.ndarray of int32, shape (m,), (n,)
        The component of each row and column, -1 without entries.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox import complete
    >>> A = np.outer([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0])
    >>> A[3] = np.nan
    >>> found = complete(A, 1, reg=0, rng=0).diagnostics
    >>> found
    Diagnostics(count=9, rank=1, oversampling=1.8, components=1, few_rows=0, few_cols=0)
    >>> found.empty_rows, found.row_component.tolist()
    (1, [0, 0, 0, -1])
    """

    shape: tuple[int, int]
    rank: int
    count: int
    freedom: int
    oversampling: float
    empty_rows: int
    empty_cols: int
    few_rows: int
    few_cols: int
    core_rows: int
    core_cols: int
    component_sizes: tuple[tuple[int, int], ...]
    components: int
    row_component: Host
    col_component: Host

    _shown: ClassVar[tuple[str, ...]] = (
        "count",
        "rank",
        "oversampling",
        "components",
        "few_rows",
        "few_cols",
    )

    @property
    def connected(self) -> bool:
        """Whether entries join every row with every column."""
        return self.components == 1 and self.empty_rows == self.empty_cols == 0

    @property
    def complete(self) -> bool:
        """Whether all entries within the components are observed, of which there are few."""
        known = sum(a * b for a, b in self.component_sizes)
        return self.components == len(self.component_sizes) and known == self.count

    @property
    def T(self) -> Diagnostics:
        """The diagnostics of the transpose."""
        return replace(
            self,
            shape=self.shape[::-1],
            empty_rows=self.empty_cols,
            empty_cols=self.empty_rows,
            few_rows=self.few_cols,
            few_cols=self.few_rows,
            core_rows=self.core_cols,
            core_cols=self.core_rows,
            component_sizes=tuple((b, a) for a, b in self.component_sizes),
            row_component=self.col_component,
            col_component=self.row_component,
        )


def with_rows(found: Diagnostics, counts: Host, row_component: Host) -> Diagnostics:
    """Return what is known if there are other rows, with these numbers of entries."""
    return replace(
        found,
        shape=(counts.size, found.shape[1]),
        count=int(counts.sum()),
        empty_rows=int((counts == 0).sum()),
        few_rows=int(((counts > 0) & (counts < found.rank)).sum()),
        core_rows=int((counts >= max(found.rank, 1)).sum()),
        row_component=row_component,
    )


def diagnose(observed: Observations, rank: int) -> Diagnostics:
    """Look at the pattern of the entries.

    Notes
    -----
    Costs one pass over the entries, and one more over those that lie outside the core.
    """
    counts = (observed.rows.counts, observed.columns.counts)
    empty = [int((c == 0).sum()) for c in counts]
    few = [int(((c > 0) & (c < rank)).sum()) for c in counts]
    found, labels = observed.components
    cores = core(observed, rank) if any(few) else tuple(c > 0 for c in counts)
    sizes = np.stack([np.bincount(x[x >= 0], minlength=found) for x in labels])
    k = np.minimum(sizes.min(axis=0), rank)
    freedom = int(np.sum(k * (sizes.sum(axis=0) - k)))
    return Diagnostics(
        shape=observed.shape,
        rank=rank,
        count=observed.count,
        freedom=freedom,
        oversampling=observed.count / max(freedom, 1),
        empty_rows=empty[0],
        empty_cols=empty[1],
        few_rows=few[0],
        few_cols=few[1],
        core_rows=int(cores[0].sum()),
        core_cols=int(cores[1].sum()),
        component_sizes=tuple((int(a), int(b)) for a, b in sizes[:, :_LISTED].T),
        components=found,
        row_component=labels[0],
        col_component=labels[1],
    )


def announce(found: Diagnostics, ridge: float | None, stacklevel: int = 3) -> None:
    """Refuse what cannot be solved, and warn of what entries alone do not determine.

    Parameters
    ----------
    ridge : float or None
        None is the automatic one, which may vanish.
    stacklevel : int
        By default that of the caller of the caller.

    Raises
    ------
    InputError
        If nothing is observed, or, without a ridge, less than there are degrees of freedom.

    Warns
    -----
    AccuracyWarning
    """
    if 0 in found.shape:
        return
    if not found.count:
        raise InputError(f"`A` must hold observed entries, got none in shape {found.shape}")
    have = f"{found.count} entries for {found.freedom} degrees of freedom at rank {found.rank}"
    if found.count < found.freedom and ridge == 0:
        raise InputError(
            f"`A` must hold more entries than there are degrees of freedom, got {have}; "
            "lower `rank`, or leave `reg` at 'auto'"
        )
    told = []
    if found.count < found.freedom and ridge is None:
        told.append(f"there are fewer entries than unknowns, {have}: the fit leans on the ridge")
    elif found.count == found.freedom and ridge is None and not found.complete:
        told.append(f"there are no more entries than unknowns, {have}: any values could be fitted")
    if ridge == 0:
        m, n = found.shape
        if found.oversampling < _SAFE_OVERSAMPLING and found.count < m * n:
            told.append(f"there are hardly more entries than unknowns, {have}")
        if found.few_rows or found.few_cols:
            told.append(
                f"{found.few_rows} rows and {found.few_cols} columns hold fewer entries than the "
                f"rank {found.rank}, and only {found.core_rows} rows and {found.core_cols} columns "
                "are left without those: the rest has solutions of least norm"
            )
    if found.components > 1:
        sizes = ", ".join(f"{a} x {b}" for a, b in found.component_sizes[:5])
        more = ", ..." if found.components > 5 else ""
        told.append(
            f"the entries fall into {found.components} parts without a row or column in common "
            f"({sizes}{more}): entries between them are not determined"
        )
    for text in told:
        warnings.warn(text, AccuracyWarning, stacklevel=stacklevel)


def core(observed: Observations, degree: int) -> tuple[Host, Host]:
    """Mark the rows and columns of the core, in which each has at least `degree` entries."""
    halves = (observed.rows, observed.columns)
    left = [half.counts for half in halves]
    alive = [counts >= degree for counts in left]
    going = [np.flatnonzero(~x) for x in alive]
    side = 0
    while going[0].size or going[1].size:
        lost = _neighbours(halves[side], going[side])
        going[side] = going[side][:0]
        side = 1 - side
        np.subtract.at(left[side], lost, 1)
        new = np.unique(lost[alive[side][lost] & (left[side][lost] < degree)])
        alive[side][new] = False
        going[side] = np.concatenate([going[side], new])
    return alive[0], alive[1]


def undetermined(observed: Observations, rank: int) -> tuple[int, int]:
    """Count the rows, and the columns, with too few entries for the rank of their component.

    That is the one given, or the number of rows or columns of a component that has fewer.
    """
    count, labels = observed.components
    sizes = np.stack([np.bincount(x[x >= 0], minlength=count) for x in labels])
    needed = np.append(np.minimum(sizes.min(axis=0), rank), 0)
    rows, columns = (
        int(np.count_nonzero((x >= 0) & (half.counts < needed[x])))
        for x, half in zip(labels, (observed.rows, observed.columns), strict=True)
    )
    return rows, columns


def tie(observed: Observations, rng: np.random.Generator) -> float:
    """Return how loosely entries hold a component together: near one, a few of them join its parts.

    It is the second singular value of the pattern with each row and column over the root of the
    number of its entries, by power iteration; the vector of the first one is known.
    """
    count, labels = observed.components
    sides = (observed.rows, observed.columns)
    degree = [half.counts.astype(np.float64) for half in sides]
    scale = [1.0 / np.sqrt(np.maximum(d, 1.0)) for d in degree]
    label = np.where(labels[1] < 0, count, labels[1])
    total = np.maximum(np.bincount(label, degree[1], count + 1), 1.0)
    A = observed.products(np.ones(observed.count, observed.dtype))
    x, value = rng.standard_normal(observed.shape[1]), 0.0
    for _ in range(_POWER_STEPS):
        first = np.sqrt(degree[1])
        x = x - first * (np.bincount(label, first * x, count + 1) / total)[label]
        norm = float(np.linalg.norm(x))
        y = scale[0] * A.mat((scale[1] * x / (norm or 1.0)).astype(observed.dtype)[:, None])[:, 0]
        value = float(np.linalg.norm(y))
        if value < _NONE:  # what is left is the rounding of the first one
            return 0.0
        x = scale[1] * A.rmat((scale[0] * y).astype(observed.dtype)[:, None])[:, 0]
    return value


def parts(
    observed: Observations, values: Host | None = None, most: int | None = None
) -> Iterator[tuple[Observations, Host, Host]]:
    """Yield each connected component, with the numbers of its rows and columns.

    Parameters
    ----------
    values : numpy.ndarray, optional
        Others than those observed, in the order of the rows.
    most : int, optional
        How many there are at most; the smallest ones are left together.
    """
    count, labels = observed.components
    entries = observed.rows
    values = entries.values if values is None else values
    if count == 1 and observed.rows.counts.all() and observed.columns.counts.all():
        if values is not entries.values:
            observed = replace(observed, rows=replace(entries, values=values))
        m, n = observed.shape
        yield observed, np.arange(m), np.arange(n)
        return
    if most is not None:
        count, labels = min(count, most), [np.minimum(x, most - 1) for x in labels]
    numbers = row_numbers(entries)
    order = np.argsort(labels[0][numbers], kind="stable")
    bounds = np.searchsorted(labels[0][numbers[order]], np.arange(count + 1))
    for c in range(count):
        rows, columns = (np.flatnonzero(x == c) for x in labels)
        own = order[bounds[c] : bounds[c + 1]]
        i = np.searchsorted(rows, numbers[own])
        j = np.searchsorted(columns, entries.indices[own])
        w = None if entries.weights is None else entries.weights[own]
        shape = (rows.size, columns.size)
        yield compressed(i, j, values[own], w, shape), rows, columns


def _neighbours(half: Compressed, rows: Host) -> Host:
    """Return the columns of all entries of some rows."""
    begins = half.indptr[rows]
    counts = half.indptr[rows + 1] - begins
    steps = np.repeat(begins - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    found: Host = half.indices[steps]
    return found


def components(observed: Observations) -> tuple[int, list[Host]]:
    """Return how many components there are, and that of each row and column."""
    (m, n), rows, columns = observed.shape, observed.rows, observed.columns
    if observed.count <= KERNEL_ENTRIES:
        count, labels = _by_scipy(observed)
    else:
        from lowapprox.completion.kernels_graph import components

        labels = [np.full(size, -1, np.int32) for size in (m, n)]
        queue = np.empty(m + n, np.int64)
        halves = (rows.indptr, rows.indices, columns.indptr, columns.indices)
        count = int(components(*halves, queue, *labels))
    # By the number of entries, equal ones by their first row.
    known = np.flatnonzero(labels[0] >= 0)
    sizes = np.bincount(labels[0][known], weights=rows.counts[known], minlength=count)
    first = np.empty(count, np.int64)
    first[labels[0][known[::-1]]] = known[::-1]
    place = np.full(count + 1, -1, np.int32)
    place[np.lexsort((first, -sizes))] = np.arange(count)
    return count, [place[x] for x in labels]


def _by_scipy(observed: Observations) -> tuple[int, list[Host]]:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    (m, n), rows = observed.shape, observed.rows
    indptr = np.concatenate([rows.indptr, np.full(n, observed.count)])
    graph = csr_array((np.ones(observed.count), rows.indices + m, indptr), shape=(m + n, m + n))
    _, labels = connected_components(graph, directed=False)
    empty = np.concatenate([rows.counts, observed.columns.counts]) == 0
    kept, labels[~empty] = np.unique(labels[~empty], return_inverse=True)
    labels[empty] = -1
    return int(kept.size), [labels[:m], labels[m:]]
