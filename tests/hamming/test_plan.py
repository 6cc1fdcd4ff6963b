"""The choice of the method, and the split of the letters between several."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox.hamming import hamming_distances, plan
from lowapprox.hamming.bits import BitsCounter
from lowapprox.hamming.fft import FFTCounter
from lowapprox.hamming.naive import NaiveCounter
from lowapprox.hamming.problem import pose
from lowapprox.hamming.scatter import ScatterCounter
from lowapprox.hamming.sparse import SparseBitsCounter


def zipf(gen: np.random.Generator, kinds: int, size: int) -> np.ndarray:
    """Return letters of which letter c has a share in proportion to 1 / (c + 1)."""
    share = 1.0 / np.arange(1, kinds + 1)
    return gen.choice(kinds, size=size, p=share / share.sum())


def chosen(text: np.ndarray, pattern: np.ndarray, **options) -> list[type]:
    return [type(counter) for counter in plan.prepare(pose(text, pattern, **options))[0]]


def test_choice(gen: np.random.Generator) -> None:
    """The kind of problem decides, as the user guide says."""
    dna = gen.integers(0, 4, 600_000).astype(np.uint8)
    assert chosen(dna[:1000], dna[:50]) == [NaiveCounter]
    assert chosen(dna, dna[:300]) == [BitsCounter]
    assert chosen(dna, dna[:100_000]) == [FFTCounter]
    words = zipf(gen, 10_000, 300_000)
    assert chosen(words, words[:5_000]) == [SparseBitsCounter, ScatterCounter]
    assert chosen(words, words[:30_000]) == [SparseBitsCounter, FFTCounter, ScatterCounter]
    long = gen.integers(0, 256, 2_000_000).astype(np.uint8)  # spectra would fill gigabytes
    assert chosen(long, long[:1_000_000]) == [SparseBitsCounter]
    rare = gen.integers(0, 10**6, 300_000)
    assert chosen(rare, rare[:100_000]) == [ScatterCounter]


@pytest.mark.parametrize("m", [300, 3000, 30_000])
def test_split_letters(m: int, gen: np.random.Generator) -> None:
    text = zipf(gen, 2000, 40_000)
    pattern = text[5000 : 5000 + m].copy()
    gen.shuffle(pattern[m // 2 :])
    distances = hamming_distances(text, pattern)
    assert np.array_equal(distances, hamming_distances(text, pattern, method="bits"))
    assert np.array_equal(distances, hamming_distances(text, pattern, method="scatter"))


def test_letters_about_the_threshold(
    monkeypatch: pytest.MonkeyPatch, gen: np.random.Generator
) -> None:
    """One occurrence more or less takes a letter from one method to another."""
    monkeypatch.setattr(plan, "_LOOK", 0)  # for a split, though the text is short
    text, rest = zipf(gen, 10_000, 60_000), zipf(gen, 10_000, 5000)
    places, letter = gen.permutation(rest.size), 60
    methods = []
    for count in range(1, 11):
        pattern = np.where(rest == letter, 0, rest)
        pattern[places[:count]] = letter
        code = np.searchsorted(np.unique(pattern), letter)
        counters = plan.prepare(pose(text, pattern), "hybrid")[0]
        methods += [type(x) for x in counters if (x.pattern.letters == code).any()]
        found = hamming_distances(text, pattern, method="hybrid")
        assert np.array_equal(found, hamming_distances(text, pattern, method="naive"))
    few = methods.count(SparseBitsCounter)
    assert 0 < few < 10
    assert methods == [SparseBitsCounter] * few + [ScatterCounter] * (10 - few)


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_all_letters_are_counted_once(seed: int, wild: bool, classes: bool) -> None:
    """Whatever the constants say."""
    gen = np.random.default_rng(seed)
    text, pattern = zipf(gen, 50, 1500), zipf(gen, 50, 200)
    problem = pose(
        text,
        pattern,
        wildcard=7 if wild else None,
        classes={3: [4, 5], 9: [1, 2]} if classes else None,
    )
    counts = np.bincount(problem.pattern.letters, minlength=problem.text.alphabet.kinds)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_INCREMENT", "_OCCURRENCES", "_SPARSE"):
            patch.setattr(plan, name, 10.0 ** gen.integers(-5, 2))
        patch.setattr(plan, "_FFT_SIGNAL", [float(10.0 ** gen.integers(-5, 2))] * 3)
        for split in plan._splits(problem, counts):
            parts = np.stack([split.bits, split.fft, split.scatter, split.byte]).sum(axis=0)
            assert np.array_equal(parts, counts > 0)
        expected = hamming_distances(text, pattern, method="naive", wildcard=7 if wild else None)
        found = hamming_distances(text, pattern, method="hybrid", wildcard=7 if wild else None)
        assert np.array_equal(found, expected)


def test_frequencies(gen: np.random.Generator) -> None:
    """The sample tells the shares to a few standard errors."""
    text = gen.integers(0, 5, 10**6)
    problem = pose(text, np.array([0, 1, 9]), classes={0: [2, 3]})
    found = plan.frequencies(problem)  # in the text too, 0 stands for 2 and 3
    error = 5 * np.sqrt(0.25 / 65536)
    assert np.allclose(found, [0.6, 0.2, 0.0], atol=error)
    assert plan.frequencies(pose(text[:3], text[:3])).sum() == pytest.approx(1.0)
