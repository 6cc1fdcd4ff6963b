"""Search within k mismatches and for the best shifts, held to the full array of distances."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import InputError, InputTypeError, thread_limit
from lowapprox.hamming import (
    IUPAC,
    Matches,
    bounded,
    counting,
    hamming_distances,
    hamming_matches,
    hamming_search,
    plan,
    sieve,
)

MODES = st.sampled_from(["valid", "full", "cyclic"])


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small problems take the way of large ones."""
    monkeypatch.setattr(plan, "_TINY", 0)


def check(text: Any, pattern: Any, k: int, **options: Any) -> Matches:
    """Compare the matches with all distances; return them."""
    distances = hamming_distances(text, pattern, method="naive", **options)
    lead = len(pattern) - 1 if options.get("mode") == "full" else 0
    places = np.flatnonzero(distances <= k)
    found = hamming_matches(text, pattern, k, **options)
    assert np.array_equal(found.positions, places - lead)
    assert np.array_equal(found.distances, distances[places])
    assert found.positions.dtype == np.int64
    assert found.distances.dtype == distances.dtype
    return found


@st.composite
def texts(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draw random, periodic and constant texts, and patterns near a part of them."""
    kinds = draw(st.sampled_from([1, 2, 4, 30]))
    n = draw(st.integers(1, 500))
    m = draw(st.integers(1, min(n, 90)))
    gen = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    text = gen.integers(0, kinds, n)
    period = draw(st.sampled_from([None, 1, 3, 37]))
    if period is not None:
        text = np.resize(text[:period], n)
    start = draw(st.integers(0, n - m))
    pattern = text[start : start + m].copy()
    changed = gen.random(m) < draw(st.sampled_from([0.0, 0.1, 1.0]))
    pattern[changed] = gen.integers(0, kinds, int(changed.sum()))
    return text, pattern


@given(texts(), st.integers(0, 100), MODES)
def test_within(case: tuple[np.ndarray, np.ndarray], k: int, mode: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        check(*case, k, mode=mode)
        patch.setattr(plan, "_TINY", 0)
        check(*case, k, mode=mode)
        # A sieve, whatever it costs; or none.
        patch.setattr(bounded, "sieve_time", lambda kinds, sizes, problem: 1e-9 * sizes)
        patch.setattr(bounded, "predicted_time", lambda problem, size: 1e9)
        check(*case, k, mode=mode)
        patch.setattr(bounded, "predicted_time", lambda problem, size: 1e-12)
        patch.setattr(bounded, "_FOUND", 64)
        check(*case, k, mode=mode)


@given(st.data())
def test_pieces(data: Any) -> None:
    """Where the sieve leaves too many shifts, every shift of the next piece is counted."""
    gen = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n, m = data.draw(st.integers(2000, 12_000)), data.draw(st.integers(20, 90))
    text, pattern = gen.integers(0, 4, n), gen.integers(0, 4, m)
    for _ in range(data.draw(st.integers(0, 3))):  # near places, one after the other
        start, stop = np.sort(gen.integers(0, n, 2))
        text[start:stop] = np.resize(pattern, stop - start)
        pattern = np.resize(pattern[: data.draw(st.integers(1, 9))], m)
    piece = data.draw(st.integers(100, 5000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_TINY", 0)
        patch.setattr(bounded, "_BLOCK", data.draw(st.integers(100, 20_000)))
        patch.setattr(bounded, "block_shifts", lambda span: piece)
        patch.setattr(counting, "_SHARE", 1.0)  # a block for each thread
        patch.setattr(sieve, "_SPARE", data.draw(st.integers(0, 20)))
        check(text, pattern, data.draw(st.integers(0, m // 4)), mode=data.draw(MODES))


def test_methods(gen: np.random.Generator) -> None:
    text = gen.integers(0, 4, 100_000).astype(np.uint8)
    assert hamming_matches(text, text[:40], 4).info["method"] == "sieve"
    text[30_000:60_000] = 0
    found = check(text, text[40_000:40_040], 4)
    assert found.info["method"].startswith("sieve + ")
    assert found.info["everywhere"] < 40


@given(texts(), st.integers(1, 20), MODES, st.booleans())
def test_best(case: tuple[np.ndarray, np.ndarray], top: int, mode: str, tiny: bool) -> None:
    text, pattern = case
    distances = hamming_distances(text, pattern, method="naive", mode=mode)
    order = np.argsort(distances, kind="stable")[:top]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_TINY", 10**9 if tiny else 0)
        found = hamming_search(text, pattern, top=top, mode=mode)
    assert np.array_equal(found.positions, order - (pattern.size - 1 if mode == "full" else 0))
    assert np.array_equal(found.distances, distances[order])


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("k", [0, 1, 99, 100, 10**6])
def test_all_k(k: int, gen: np.random.Generator) -> None:
    text = gen.integers(0, 4, 2000)
    check(text, text[700:800], k)


@pytest.mark.usefixtures("compiled")
def test_ambiguous_letters(gen: np.random.Generator) -> None:
    text = "".join(gen.choice(list("ACGTN"), 3000))
    pattern = "".join(gen.choice(list("ACGTRYN"), 40))
    assert len(check(text, pattern, 12, classes=IUPAC)) > 0
    assert len(check(text, pattern, 24, wildcard="N")) > 0
    assert len(check(text, pattern.replace("A", "a"), 25, wildcard="N")) > 0


@pytest.mark.parametrize("period", [1, 2, 37, 1000])
@pytest.mark.parametrize("k", [0, 3, 50])
def test_periodic_text_with_errors(period: int, k: int, gen: np.random.Generator) -> None:
    text = np.resize(gen.integers(0, 4, period).astype(np.uint8), 300_000)
    text[gen.random(text.size) < 0.001] = 0
    check(text, text[1000:1600], k)


def test_planted(gen: np.random.Generator) -> None:
    text = gen.integers(0, 4, 400_000).astype(np.uint8)
    pattern = gen.integers(0, 4, 200).astype(np.uint8)
    places = [0, 131_000, 131_072, 262_143, 399_800]
    for errors, place in enumerate(places):
        text[place : place + 200] = pattern
        text[place : place + errors] += 1
    found = check(text, pattern, 20)
    assert found.positions.tolist() == [0, 131_072, 262_143, 399_800]  # the second is overwritten
    assert found.distances.tolist() == [0, 2, 3, 4]


def test_threads(gen: np.random.Generator) -> None:
    text = gen.integers(0, 4, 500_000).astype(np.uint8)
    alone = []
    for threads in (1, 2, 4):
        with thread_limit(threads):
            found = hamming_matches(text, text[:64], 32)
            best = hamming_search(text, text[:64], top=100)
        alone.append([*found, *best])
    for other in alone[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(alone[0], other, strict=True))


@pytest.mark.parametrize(
    ("text", "pattern", "mode", "count"),
    [
        ("", "", "valid", 1),
        ("abc", "", "valid", 4),
        ("", "ab", "valid", 0),
        ("ab", "abc", "valid", 0),
        ("ab", "abc", "full", 4),
        ("ab", "abc", "cyclic", 2),
    ],
)
def test_empty_and_short(text: str, pattern: str, mode: str, count: int) -> None:
    assert len(check(text, pattern, 3, mode=mode)) == count
    assert len(hamming_search(text, pattern, top=100, mode=mode)) == count


def test_result() -> None:
    found = hamming_matches("abracadabra", "abra", 0)
    positions, distances = found
    assert positions.tolist() == [0, 7]
    assert distances.tolist() == [0, 0]
    assert len(found) == 2
    assert repr(found) == "Matches(positions=(2,), distances=(2,))"
    again = pickle.loads(pickle.dumps(found))
    assert np.array_equal(again.positions, positions)


@pytest.mark.parametrize(
    ("k", "error"), [(-1, InputError), (1.5, InputTypeError), (True, TypeError)]
)
def test_bad_k(k: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="`k`"):
        hamming_matches("abc", "a", k)


@pytest.mark.parametrize(("top", "error"), [(0, InputError), ("2", InputTypeError)])
def test_bad_top(top: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="`top`"):
        hamming_search("abc", "a", top=top)


def test_bad_mode() -> None:
    with pytest.raises(InputError, match="`mode`"):
        hamming_matches("abc", "a", 1, mode="same")
