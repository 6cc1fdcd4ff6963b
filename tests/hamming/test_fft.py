"""Counting by Fourier transforms, held to the definition."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import thread_limit
from lowapprox.hamming import fft, hamming_distances
from lowapprox.hamming.counting import count_range
from lowapprox.hamming.fft import FFTCounter
from lowapprox.hamming.naive import NaiveCounter
from lowapprox.hamming.problem import pose
from tests.hamming.problems import Problem, counted, naive, problems

SIZES = (256, 1024)


@given(problems(), st.sampled_from(SIZES))
def test_definition(problem: Problem, size: int) -> None:
    counter = FFTCounter.prepare(problem.pattern, problem.alphabet, size)
    assert np.array_equal(counted(problem, counter), naive(problem))


@given(problems(max_text=900, max_pattern=700))
def test_many_chunks(problem: Problem) -> None:
    """Patterns longer than a transform; several blocks of the text."""
    problem = dataclasses.replace(problem, dtype=np.dtype(np.int16))
    counter = FFTCounter.prepare(problem.pattern, problem.alphabet, 256)
    assert np.array_equal(counted(problem, counter), naive(problem))


def test_spectra_that_are_not_kept(
    monkeypatch: pytest.MonkeyPatch, gen: np.random.Generator
) -> None:
    monkeypatch.setattr(fft, "_MOST_KEPT", 0)
    text, pattern = gen.integers(0, 20, 5000), gen.integers(0, 20, 300)
    found = hamming_distances(text, pattern, method="fft")
    assert np.array_equal(found, hamming_distances(text, pattern, method="naive"))


@given(problems(), st.randoms(use_true_random=False))
def test_letters_apart(problem: Problem, random) -> None:
    """The letters can be counted in two parts."""
    chosen = np.array([random.random() < 0.5 for _ in range(problem.alphabet.kinds)], dtype=bool)
    mask = chosen[problem.pattern.letters]
    parts = [problem.pattern.take(mask), problem.pattern.take(~mask)]
    counters = [FFTCounter.prepare(part, problem.alphabet, 256) for part in parts]
    assert np.array_equal(counted(problem, *counters), naive(problem))


@pytest.mark.parametrize("kinds", [2, 4])
@pytest.mark.parametrize("strange", [0, 1])
def test_characters(kinds: int, strange: int, gen: np.random.Generator) -> None:
    """Two and four letters: one signal less, unless the text has another letter."""
    text, pattern = gen.integers(0, kinds, 5000), gen.integers(0, kinds, 300)
    text[2345:4321][:strange] = 9
    found = hamming_distances(text, pattern, method="fft")
    assert np.array_equal(found, hamming_distances(text, pattern, method="naive"))


@pytest.mark.parametrize("m", [1, 127, 128, 129, 2047, 2048, 2049, 8192, 8193])
@pytest.mark.parametrize("shifts", [1, 2, 3, 700])
def test_edges_of_chunks(m: int, shifts: int, gen: np.random.Generator) -> None:
    text, pattern = gen.integers(0, 3, m + shifts - 1), gen.integers(0, 3, m)
    text[:m] = pattern
    found = hamming_distances(text, pattern, method="fft")
    assert found[0] == 0
    assert np.array_equal(found, hamming_distances(text, pattern, method="naive"))


@pytest.mark.large
@pytest.mark.parametrize("mode", ["valid", "full", "cyclic"])
def test_long_texts(mode: str, gen: np.random.Generator) -> None:
    """More than one block, whatever the number of threads."""
    text, pattern = gen.integers(0, 4, 300_000), gen.integers(0, 5, 200)
    found = hamming_distances(text, pattern, method="fft", mode=mode)
    assert np.array_equal(found, hamming_distances(text, pattern, method="naive", mode=mode))
    with thread_limit(1):
        alone = hamming_distances(text, pattern, method="fft", mode=mode)
    assert np.array_equal(found, alone)


def test_many_callers(gen: np.random.Generator) -> None:
    """One counter in several threads at once."""
    problem = pose(gen.integers(0, 6, 20_000), gen.integers(0, 6, 1500))
    counter = FFTCounter.prepare(problem.pattern, problem.text.alphabet)
    found = np.empty((5, problem.shifts), dtype=np.int16)

    def run(row: np.ndarray) -> None:
        count_range(problem.text, [counter], 0, row)

    threads = [threading.Thread(target=run, args=(row,)) for row in found[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    exact = NaiveCounter(problem.pattern, problem.text.alphabet)
    count_range(problem.text, [exact], 0, found[0])
    assert (found == found[0]).all()
