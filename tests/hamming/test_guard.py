"""The bound on rounding: transforms as they come out, against exact integers."""

from __future__ import annotations

import itertools
import math
import re
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowapprox.hamming import hamming_distances
from lowapprox.hamming.fft import LANES, FFTCounter, _factors, _roots
from lowapprox.hamming.guard import (
    DOUBLE,
    LIMIT,
    SINGLE,
    TWIDDLE,
    error_bound,
    transform_growth,
)
from lowapprox.hamming.kernels_fft import (
    TILE,
    _finish,
    _first_step,
    _inverse,
    _multiply,
    pattern_spectra,
)
from lowapprox.hamming.problem import pose

SIZES = (256, 1024, 4096, 16384)
TRIED = [256, 1024, *(pytest.param(n, marks=pytest.mark.large) for n in (4096, 16384))]
PI = Decimal("3.14159265358979323846264338327950288419716939937511")


def words(name: str, gen: np.random.Generator, n: int) -> np.ndarray:
    """Return n letters, 0 to 3."""
    j = np.arange(n)
    return {
        "uniform": lambda: gen.integers(0, 4, n),
        "skewed": lambda: np.where(gen.random(n) < 0.97, 0, gen.integers(0, 4, n)),
        "constant": lambda: np.zeros(n, dtype=np.int64),
        "periodic": lambda: np.resize(gen.integers(0, 4, 37), n),
        "alternating": lambda: j % 2,
        "chirp": lambda: (np.cos(np.pi * j * j / n) >= 0).astype(np.int64),
    }[name]()


WORDS = ("uniform", "skewed", "constant", "periodic", "alternating", "chirp")


def spectrum(values: np.ndarray, size: int) -> np.ndarray:
    """Return the transform of a pattern signal as the method keeps it: one tile a row."""
    z, tiles = np.empty((2, 2 * size))
    out = np.empty((size // TILE, 2 * TILE), dtype=np.float32)
    places = np.arange(values.size)
    factors = _factors(size)[1]
    pattern_spectra(places, places, values.astype(float), factors, z, tiles, out, LANES)
    return out


def outputs(text: np.ndarray, pattern: np.ndarray, values: Any, low: int, high: int, size: int):
    """Return sums of products before they are rounded, what they stand for, and the norms.

    `values[c]` are the values of signal c for each letter, `low` or `high`. The text is as long
    as two streams of the chunks of the pattern, which are size / 2 long, and one more.
    """
    half, signals = size // 2, len(values)
    chunks = pattern.size // half
    streams = text.reshape(2, (chunks + 1) * half)
    marks = np.zeros(streams.shape, dtype=np.uint8)
    for c, row in enumerate(values):
        marks |= (row[streams] == high).astype(np.uint8) << c
    z, factors = np.empty(2 * size, dtype=np.float32), _factors(size)[0]
    slots = chunks + 3
    spectra = np.zeros((slots * signals, 2 * size + 32), dtype=np.float32)
    patterns = np.empty((size // TILE, chunks, signals, 2 * TILE), dtype=np.float32)
    exact, norms = np.zeros(size, dtype=complex), 0.0
    flat = spectra.reshape(-1)
    for s, c in itertools.product(range(chunks), range(signals)):
        a, b = s * half, s * half + marks.shape[1]
        bit, place = np.uint8(1 << c), spectra.shape[1] * (s * signals + c)
        bounds = np.float32(low), np.float32(high)
        _first_step(marks.reshape(-1), a, b, bit, *bounds, z, factors, LANES)
        _finish(z, factors, flat, place, 2 * TILE, LANES)
        h = np.zeros(size)
        h[:half] = values[c][pattern[a : a + half]]
        patterns[:, s, c] = spectrum(h[:half], size)
        x = values[c][streams[:, a : a + size]]
        x = x[0] + 1j * x[1]
        exact += np.fft.ifft(np.fft.fft(x) * np.conj(np.fft.fft(h)))
        norms += float(np.linalg.norm(x) * np.linalg.norm(h))
    sums = np.empty((4, 2 * size), dtype=np.float32)
    shape = signals, chunks, slots, 1
    _multiply(spectra, 0, patterns.reshape(-1), shape, 0, chunks, sums, LANES)
    _inverse(sums[0], factors, LANES)
    parts = sums[0].astype(float).reshape(-1, 2, len(LANES)) / size
    return parts[:, 0].ravel() + 1j * parts[:, 1].ravel(), np.rint(exact), norms


INDICATORS = np.eye(4)
CHARACTERS = np.array([[1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])


@pytest.mark.parametrize("size", TRIED)
def test_bound(size: int, gen: np.random.Generator) -> None:
    """It holds for all signals, codes and numbers of chunks, and is not far from what happens."""
    ratios = []
    for name, other, chunks in itertools.product(WORDS, WORDS, (1, 3)):
        if name != other and (chunks == 3 or "uniform" not in (name, other)):
            continue
        text = words(name, gen, (chunks + 1) * size)
        pattern = words(other, gen, chunks * size // 2)
        for values, low in ((INDICATORS, 0), (CHARACTERS, -1), (CHARACTERS[:1], -1)):
            found, exact, norms = outputs(text, pattern, values, low, 1, size)
            bound = error_bound(size, norms, len(values), chunks)
            error = float(np.abs(found - exact).max())
            assert error <= bound
            ratios.append(error / bound)
    assert max(ratios) > 1e-3


@pytest.mark.parametrize("size", SIZES)
def test_spectra_of_the_pattern(size: int, gen: np.random.Generator) -> None:
    """They are rounded once: their relative error is one rounding, not that of a transform."""
    h = np.zeros(size)
    h[: size // 2] = gen.choice([-1.0, 1.0], size // 2)
    found = spectrum(h[: size // 2], size).reshape(-1, 2, len(LANES)).astype(float)
    # The order of frequencies is that of the transform of a shifted unit.
    unit = spectrum(np.array([0.0, 1.0]), size).reshape(-1, 2, len(LANES)).astype(float)
    angles = np.angle(unit[:, 0].ravel() + 1j * unit[:, 1].ravel())
    order = np.rint(angles * size / (2 * np.pi)).astype(int) % size
    assert np.array_equal(np.sort(order), np.arange(size))
    exact = np.conj(np.fft.fft(h))[order]
    error = np.linalg.norm(found[:, 0].ravel() + 1j * found[:, 1].ravel() - exact)
    growth = math.expm1(transform_growth(size, DOUBLE) + math.log1p(SINGLE))
    assert error <= growth * np.linalg.norm(exact)
    assert growth < 1.001 * SINGLE


def test_twiddle_factors(gen: np.random.Generator) -> None:
    length = 16384
    turns = gen.integers(0, 3 * length // 4, 200)
    for turn, root in zip(turns.tolist(), _roots(turns, length).tolist(), strict=True):
        with localcontext() as context:
            context.prec = 50
            x = -2 * PI * turn / length
            # The series alternates: terms of even order are the cosine, of odd order the sine.
            terms = [Decimal(1)]
            for k in range(1, 60):
                terms.append(terms[-1] * x / k)
            real = sum(t * (-1) ** i for i, t in enumerate(terms[::2]))
            imag = sum(t * (-1) ** i for i, t in enumerate(terms[1::2]))
            error = float(
                ((Decimal(root.real) - real) ** 2 + (Decimal(root.imag) - imag) ** 2).sqrt()
            )
        assert error <= TWIDDLE


def test_quarter_turns_are_exact() -> None:
    assert _roots(np.arange(0, 16, 4), 16).tolist() == [1, -1j, -1, 1j]


@pytest.mark.parametrize("size", [*SIZES, 65536])
@pytest.mark.parametrize(("signals", "chunks"), [(1, 1), (3, 12), (8, 5)])
def test_first_order(size: int, signals: int, chunks: int) -> None:
    p = math.log(size, 4)
    roundings = 2 * (p - 1) + 2 * p + 2 * (p - 1) * (2 + math.sqrt(2)) + 1
    roundings += math.sqrt(2) + 2 * signals - 1 + chunks - 1
    bound = error_bound(size, 1.0, signals, chunks)
    assert bound == pytest.approx(roundings * SINGLE, rel=1e-4)
    assert roundings == pytest.approx(10.83 * p - 8.41 + 2 * signals + chunks, abs=0.02)
    shifted = error_bound(size, 1.0, signals, chunks, 1e3)
    assert shifted == pytest.approx(bound + 1e3 * SINGLE)


@pytest.mark.parametrize("size", SIZES)
def test_a_single_chunk_is_safe(size: int) -> None:
    """Whatever agrees with what: eight signals that are all one."""
    norms = 8 * math.sqrt(2 * size) * math.sqrt(size / 2 / 8)
    assert error_bound(size, norms, 8, 1) < LIMIT


@pytest.mark.large
@pytest.mark.parametrize(("kinds", "share"), [(2, 0.97), (4, 0.97), (6, 0.97), (4, 0.25)])
def test_long_patterns_are_refused_at_once(
    kinds: int, share: float, gen: np.random.Generator
) -> None:
    """One sum in single precision would not be certain; parts are, and their count is right."""
    m = 100_000
    text = np.where(gen.random(m + 500) < share, 0, gen.integers(0, kinds, m + 500))
    pattern = np.where(gen.random(m) < share, 0, gen.integers(0, kinds, m))
    problem = pose(text, pattern)
    counter = FFTCounter.prepare(problem.pattern, problem.text.alphabet)
    for part in (*counter._indicators, counter._characters):
        if part is None:
            continue
        cut, signals = part.partition, part.bits.size
        counts = np.diff(cut.bounds)
        norms, largest = np.sqrt(2 * cut.size * counts), 0 * counts
        if part is counter._characters:
            norms, largest = (kinds - 1) / kinds * norms, counts
        assert cut.chunks > len(part.groups) - 1 > 1
        whole = error_bound(cut.size, norms.sum(), signals, cut.chunks, largest.sum())
        assert whole >= LIMIT
        for begin, end in itertools.pairwise(part.groups.tolist()):
            run = slice(begin, end)
            norm, most = norms[run].sum(), largest[run].sum()
            assert error_bound(cut.size, norm, signals, end - begin, most) < LIMIT
    found = hamming_distances(text, pattern, method="fft")
    assert np.array_equal(found, hamming_distances(text, pattern, method="naive"))


@pytest.mark.large
@pytest.mark.parametrize(
    "options",
    [{}, {"wildcard": 11}, {"classes": {0: [1, 2, 3], 4: [0, 5], 6: [6, 7]}}, {"mode": "full"}],
)
def test_norms_of_any_text(options: dict[str, Any], gen: np.random.Generator) -> None:
    """What is summed at once stays within the limit for the texts with the largest norms."""
    size, m = 256, 100_000
    problem = pose(gen.integers(0, 12, 50), gen.integers(0, 12, m) % 9 % 7, **options)
    pattern, alphabet = problem.pattern, problem.text.alphabet
    counter = FFTCounter.prepare(pattern, alphabet, size)
    chunk = pattern.positions // (size // 2)
    used = iter(np.unique(pattern.letters).tolist())
    for part in counter._indicators:
        letters = [next(used) for _ in range(part.bits.size)]
        held = np.stack([np.bincount(chunk[pattern.letters == x]) for x in letters])
        agree = alphabet.agreement()[letters].astype(int)
        agree = agree if alphabet.wild_in_text else agree[:, : alphabet.wild]
        # Every text of one letter, and some of all of them.
        shares = [*agree.T, *gen.dirichlet(np.ones(agree.shape[1]), 20) @ agree.T]
        for begin, end in itertools.pairwise(part.groups.tolist()):
            for share in shares:
                norms = np.sqrt(2 * size * share[:, None] * held[:, begin:end]).sum()
                assert error_bound(size, norms, len(letters), end - begin) < LIMIT
            # Not more parts than needed: with the next chunk, they would be too large.
            if end < held.shape[1]:
                mixed = agree.max(axis=1)[:, None] * held[:, begin : end + 1]
                norms = np.sqrt(2 * size * mixed).sum()
                assert error_bound(size, norms, len(letters), end + 1 - begin) >= LIMIT
        assert part.groups.size > 2
    assert next(used, None) is None


def test_table_of_the_guide() -> None:
    """The longest patterns that are rounded at once, whatever the text."""

    def longest(size: int, norm: float, signals: int, scale: int = 1) -> int:
        """Count whole chunks; `norm` is that of one, in units of sqrt(size)."""
        chunks, half = 0, size // 2
        while True:
            chunks += 1
            largest = chunks * half if scale > 1 else 0
            total = chunks * math.sqrt(size) * norm / scale
            if error_bound(size, total, signals, chunks, largest) >= LIMIT:
                return (chunks - 1) * half

    page = (Path(__file__).parents[2] / "docs" / "guide" / "hamming-rounding.rst").read_text()
    table = page[page.index("The longest patterns") :]
    rows = re.findall(r"\* - (\d+)\n((?:     - [\d ]+\n){5})", table)
    assert [int(size) for size, _ in rows] == [1024, 4096, 16384]
    for name, row in rows:
        size = int(name)
        norm = math.sqrt(size)  # of a chunk and two streams that are all ones
        expected = [
            longest(size, norm, 1, 2),
            longest(size, 3 * norm, 3, 4),
            longest(size, norm, 4),
            longest(size, norm, 8),
            longest(size, math.sqrt(8) * norm, 8),
        ]
        assert [int(x.replace(" ", "")) for x in re.findall(r"- ([\d ]+)", row)] == expected
