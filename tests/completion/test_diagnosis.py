"""The diagnosis agrees with slow and obvious ways to find the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import AccuracyWarning, InputError
from lowapprox.completion import diagnosis
from lowapprox.completion.diagnosis import announce, core, diagnose, parts
from lowapprox.completion.reading import read
from tests.strategies import seeds

Array = np.ndarray[Any, Any]


@st.composite
def patterns(draw: st.DrawFn) -> Array:
    """Which entries are observed, seldom all rows connected."""
    m, n = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    gen = np.random.default_rng(draw(seeds))
    return gen.random((m, n)) < draw(st.sampled_from([0.03, 0.1, 0.2, 0.5, 0.9, 1.0]))


def labelled(known: Array) -> tuple[Array, Array]:
    """Components by spreading the smallest number, then in order of entries and first row."""
    m, n = known.shape
    rows, columns = np.arange(m), np.full(n, m)
    for _ in range(m + n):
        columns = np.where(known, rows[:, None], m).min(axis=0)
        spread = np.minimum(rows, np.where(known, columns, m).min(axis=1))
        if np.array_equal(spread, rows):
            break
        rows = spread
    used = [int(r) for r in np.unique(rows[known.any(axis=1)])]
    used.sort(key=lambda r: (-known[rows == r].sum(), r))
    number = {r: i for i, r in enumerate(used)}
    row_labels = [number[r] if known[i].any() else -1 for i, r in enumerate(rows)]
    return np.array(row_labels), np.array([number.get(c, -1) for c in columns])


def peeled(known: Array, degree: int) -> tuple[Array, Array]:
    known = known.copy()
    rows, columns = np.ones(known.shape[0], bool), np.ones(known.shape[1], bool)
    for _ in range(sum(known.shape) + 1):
        rows &= known.sum(axis=1) >= degree
        known[~rows] = False
        columns &= known.sum(axis=0) >= degree
        known[:, ~columns] = False
    return rows, columns


@given(patterns(), st.integers(1, 4))
def test_against_slow_ways(known: Array, rank: int) -> None:
    rank = min(rank, *known.shape)
    observed = read(np.ones(known.shape), mask=known)
    found = diagnose(observed, rank)
    rows, columns = labelled(known)
    assert np.array_equal(found.row_component, rows)
    assert np.array_equal(found.col_component, columns)
    assert found.components == rows.max() + 1
    sizes = [(int((rows == c).sum()), int((columns == c).sum())) for c in range(found.components)]
    assert found.component_sizes == tuple(sizes)
    a, b = peeled(known, rank)
    masks = core(observed, rank)
    assert np.array_equal(masks[0], a)
    assert np.array_equal(masks[1], b)
    assert (found.core_rows, found.core_cols) == (a.sum(), b.sum())
    counts = known.sum(axis=1), known.sum(axis=0)
    assert (found.empty_rows, found.empty_cols) == tuple((c == 0).sum() for c in counts)
    few = tuple(((c > 0) & (c < rank)).sum() for c in counts)
    assert (found.few_rows, found.few_cols) == few
    assert found.connected == bool(
        len(sizes) == 1 and known.any(axis=1).all() and known.any(axis=0).all()
    )
    assert found.count == known.sum()
    assert found.freedom == sum(min(rank, m, n) * (m + n - min(rank, m, n)) for m, n in sizes)
    assert found.oversampling == pytest.approx(known.sum() / max(found.freedom, 1))


@given(patterns())
def test_transposition(known: Array) -> None:
    observed = read(np.ones(known.shape), mask=known)
    a, b = diagnose(observed, 1), diagnose(observed.T, 1)
    assert a.components == b.components
    assert a.oversampling == b.oversampling
    # Equal sizes may change places: compare who is together with whom.
    together = a.row_component[:, None] == a.row_component
    assert np.array_equal(together, b.col_component[:, None] == b.col_component)


@given(patterns())
def test_parts_hold_all_entries(known: Array) -> None:
    A = np.where(known, np.arange(1.0, known.size + 1).reshape(known.shape), np.nan)
    again, number = np.full(A.shape, np.nan), 0
    for part, rows, columns in parts(read(A, weights=np.where(known, A, 1.0))):
        assert part.count > 0
        assert part.rows.counts.all()
        assert part.columns.counts.all()
        assert np.array_equal(part.rows.values, part.rows.weights)
        i = np.repeat(np.arange(rows.size), part.rows.counts)
        again[rows[i], columns[part.rows.indices]] = part.rows.values
        number += 1
    assert np.array_equal(again, A, equal_nan=True)
    assert number == diagnose(read(A), 1).components


def many_parts() -> tuple[Any, Array, Array]:
    """Blocks of several sizes, rows and columns in random order."""
    gen = np.random.default_rng(0)
    sizes = [(1, 1), (3, 2), (40, 30), (1, 20), (30, 1), (20, 25)]
    known = np.zeros((sum(a for a, _ in sizes) + 3, sum(b for _, b in sizes) + 2), bool)
    i = j = 0
    for a, b in sizes:
        known[i : i + a, j : j + b] = True
        i, j = i + a, j + b
    known = known[gen.permutation(known.shape[0])][:, gen.permutation(known.shape[1])]
    return read(np.ones(known.shape), mask=known), *labelled(known)


def test_the_kernel_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    observed, rows, columns = many_parts()
    by_scipy = diagnose(observed, 2)
    monkeypatch.setattr(diagnosis, "KERNEL_ENTRIES", 100)
    compiled = diagnose(replace(observed), 2)
    for found in (compiled, by_scipy):
        assert np.array_equal(found.row_component, rows)
        assert np.array_equal(found.col_component, columns)
        assert found.component_sizes == ((40, 30), (20, 25), (30, 1), (1, 20), (3, 2), (1, 1))


def test_a_chain_is_peeled_to_nothing() -> None:
    """Each removal is due to the one before: as many rounds as there are rows."""
    n = 3000
    steps = np.arange(n)
    rows, columns = np.concatenate([steps, steps[1:]]), np.concatenate([steps, steps[:-1]])
    observed = read((rows, columns, np.ones(rows.size)), shape=(n, n))
    found = diagnose(observed, 2)
    assert (found.core_rows, found.core_cols, found.components) == (0, 0, 1)
    assert (found.few_rows, found.few_cols) == (1, 1)


def test_what_is_refused_and_told() -> None:
    full = np.ones((6, 5))
    announce(diagnose(read(full), 2), 0.0)  # all observed: nothing to tell
    announce(diagnose(read(np.ones((0, 5))), 1), 0.0)
    with pytest.raises(InputError, match=r"`A` must hold observed entries, got none"):
        announce(diagnose(read(np.full((2, 3), np.nan)), 1), None)
    few = full.copy()
    few[2:, 2:] = np.nan
    found = diagnose(read(few), 3)
    assert (found.count, found.freedom) == (18, 24)
    with pytest.raises(InputError, match="18 entries for 24 degrees of freedom at rank 3"):
        announce(found, 0.0)
    with pytest.warns(AccuracyWarning, match="fewer entries than unknowns"):
        announce(found, None)
    announce(found, 1.0)  # the ridge was asked for
    found = diagnose(read(few), 2)
    with pytest.warns(AccuracyWarning, match=r"hardly more .* 18 entries for 18"):
        announce(found, 0.0)
    with pytest.warns(AccuracyWarning, match=r"no more entries than unknowns, 18 entries for 18"):
        announce(found, None)
    announce(diagnose(read(full[:1]), 1), None)  # as many, but all there are
    assert not found.complete
    apart = np.full((7, 6), np.nan)
    apart[:3, :2], apart[3:, 2:] = 1.0, 2.0
    with pytest.warns(AccuracyWarning, match=r"into 2 parts .* \(4 x 4, 3 x 2\)"):
        announce(diagnose(read(apart), 1), 0.5)


def test_rows_below_the_rank_are_told_without_a_ridge() -> None:
    known = np.ones((8, 7), bool)
    known[0, 1:] = False
    found = diagnose(read(np.ones(known.shape), mask=known), 2)
    assert (found.few_rows, found.core_rows, found.core_cols) == (1, 7, 7)
    with pytest.warns(
        AccuracyWarning, match="1 rows and 0 columns hold fewer entries than the rank 2"
    ):
        announce(found, 0.0)
    announce(found, None)


def test_rows_without_entries_are_no_unknowns() -> None:
    A = np.full((50, 40), np.nan)
    A[:6, :5] = 1.0
    found = diagnose(read(A), 2)
    assert (found.empty_rows, found.empty_cols, found.components) == (44, 35, 1)
    assert found.freedom == 2 * (6 + 5 - 2)
    assert not found.connected
    assert repr(found).startswith("Diagnostics(count=30, rank=2, oversampling=1.67")
