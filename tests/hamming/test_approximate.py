"""Approximate distances: sizes of samples against exact tails, and both contracts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from lowapprox import InputError, InputTypeError, thread_limit
from lowapprox.hamming import approximate, approximate_hamming_distances, hamming_distances
from lowapprox.hamming.samples import additive_sample, multiplicative_sample

SEEDS = range(100)


@pytest.mark.parametrize("size", [40, 150, 600, 10_000])
@pytest.mark.parametrize("eps", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("nats", [2.0, 6.0, 15.0])
def test_additive_sample_against_exact_tails(size: int, eps: float, nats: float) -> None:
    s = additive_sample(eps, nats, size)
    assert 1 <= s <= size

    def worst(s: int) -> float:
        """Largest chance of an error beyond eps, over all numbers of mismatches."""
        mismatches = np.unique(np.linspace(0, size, 201).astype(int))[:, None]
        low = np.ceil(s * (mismatches / size - eps) - 1e-9) - 1
        high = np.floor(s * (mismatches / size + eps) + 1e-9)
        law = stats.hypergeom(size, mismatches, s)
        return float((law.cdf(low) + law.sf(high)).max())

    assert worst(s) <= math.exp(-nats)
    if s < size / 2:
        assert worst(s // 3) > math.exp(-nats)  # not far more than is needed


def test_additive_sample_is_below_hoeffding() -> None:
    for size in (10**2, 10**4, 10**6, 10**9):
        bound = math.log(2e9) / (2 * 0.05**2)
        s = additive_sample(0.05, math.log(1e9), size)
        assert s <= math.ceil(bound)
        assert s <= size
    assert s == math.ceil(bound)  # a sample of a very long pattern: replacement hardly matters
    assert additive_sample(1e-200, 20.0, 10**6) == 10**6


@pytest.mark.parametrize("threshold", [1 / 64, 0.25, 0.5, 0.8, 63 / 64])
@pytest.mark.parametrize("eps", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("nats", [2.0, 15.0])
def test_multiplicative_sample_against_exact_tails(
    threshold: float, eps: float, nats: float
) -> None:
    s = multiplicative_sample(eps, nats, threshold)
    q = np.append(np.linspace(0, 1, 401), threshold / (1 + eps) * (1 + np.array([-1e-9, 0, 1e-9])))
    enough = math.ceil(threshold * s) - 1

    def chance(law: Any, q: np.ndarray) -> np.ndarray:
        """Chance that the threshold is reached with an error beyond eps q."""
        low = np.ceil(s * (1 - eps) * q - 1e-9) - 1  # the largest count that is too small
        high = np.floor(s * (1 + eps) * q + 1e-9)
        return law.sf(np.maximum(high, enough)) + np.maximum(law.cdf(low) - law.cdf(enough), 0)

    assert chance(stats.binom(s, q), q).max() <= math.exp(-nats)
    size = 3 * s
    mismatches = np.unique(np.rint(size * q)).astype(int)  # the worst ones too
    law = stats.hypergeom(size, mismatches, s)
    assert chance(law, mismatches / size).max() <= math.exp(-nats)


@pytest.mark.parametrize("threshold", [1 / 64, 0.5, 63 / 64])
@pytest.mark.parametrize("eps", [0.001, 0.02, 0.5, 0.99])
def test_multiplicative_sample_is_the_least(threshold: float, eps: float) -> None:
    def divergence(a: float, b: float) -> float:
        return float(special.rel_entr(a, b) + special.rel_entr(1 - a, 1 - b))

    nats, q = 12.0, threshold / (1 + eps)
    s = multiplicative_sample(eps, nats, threshold)
    over, under = divergence(threshold, q), divergence((1 - eps) * q, q)
    assert math.exp(-s * (1 + 1e-3) * over) + math.exp(-s * (1 + 1e-3) * under) < math.exp(-nats)
    less = (s - 1) * (1 - 1e-3)
    assert math.exp(-less * over) + math.exp(-less * under) > math.exp(-nats)
    tiny = 1e-9  # the divergence is the first term of its series
    s = multiplicative_sample(tiny, nats, threshold)
    limit = 2 * (nats + math.log(2)) * (1 - threshold) / (threshold * tiny**2)
    assert math.isclose(s, limit, rel_tol=1e-6)


def test_exponents_grow_with_the_share() -> None:
    """The step of the proof that makes the threshold the worst case."""
    for a in (0.01, 0.5, 0.9, 0.99, 1.01, 1.1, 1.5, 1.99):
        q = np.linspace(1e-6, min(1, 1 / a) - 1e-6, 5000)
        exponent = special.rel_entr(a * q, q) + special.rel_entr(1 - a * q, 1 - q)
        assert (np.diff(exponent) > 0).all()


def _planted(gen: np.random.Generator) -> tuple[Any, Any, dict[str, Any]]:
    """Copies of the pattern with 0, 1 and 30 % of the letters changed, among random letters."""
    pattern = gen.integers(0, 50, 600)
    text = gen.integers(0, 50, 1800)
    for start, share in ((0, 0.0), (601, 0.01), (1200, 0.3)):
        text[start : start + 600] = np.where(gen.random(600) < share, 99, pattern)
    text[300] = 99
    return text, pattern, {}


def _periodic(gen: np.random.Generator) -> tuple[Any, Any, dict[str, Any]]:
    """Zero mismatches, all, or any share of them, in turn."""
    word = gen.integers(0, 4, 37)
    return np.resize(word, 1500), np.resize(word, 600), {}


def _halves(gen: np.random.Generator) -> tuple[Any, Any, dict[str, Any]]:
    """Every share of mismatches once: the text is a ramp from one letter to another."""
    return np.arange(1800) < 900, np.ones(600, bool), {}


def _near(gen: np.random.Generator) -> tuple[Any, Any, dict[str, Any]]:
    """Shares of mismatches about the thresholds, letters in runs."""
    text = np.repeat(gen.integers(0, 3, 40), 40)
    return text, np.repeat(gen.integers(0, 3, 15), 40), {}


def _wild(gen: np.random.Generator) -> tuple[Any, Any, dict[str, Any]]:
    letters = gen.choice(list("ACGTNR"), 2000, p=[0.23] * 4 + [0.04] * 2)
    options = {"wildcard": "N", "classes": {"R": "AG"}, "mode": "full"}
    return "".join(letters[:1400]), "".join(letters[1400:]), options


def _cyclic(gen: np.random.Generator) -> tuple[Any, Any, dict[str, Any]]:
    text = gen.integers(0, 300, 1200).astype(np.uint16)
    return text, text[500:1100], {"mode": "cyclic"}


CASES = [_planted, _periodic, _halves, _near, _wild, _cyclic]


@pytest.fixture
def sampling_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every position dear, so that a sample is taken wherever it is allowed."""
    monkeypatch.setattr(approximate, "predicted_time", _dear(1.0))
    monkeypatch.setattr(approximate, "verify_time", float)


def _dear(price: float) -> Callable[..., float]:
    return lambda problem, size=None: price * (problem.pattern.size if size is None else size)


DELTA = 0.1


def _failed(case: Callable[..., Any], error: str, seeds: range, gen: np.random.Generator) -> int:
    """Return for how many seeds an error is larger than allowed, at one shift or more."""
    text, pattern, options = case(gen)
    exact = hamming_distances(text, pattern, **options).astype(float)
    eps = 0.4 if error == "multiplicative" else 0.1
    bound = eps * exact if error == "multiplicative" else np.full(exact.size, eps * len(pattern))
    failed = 0
    for seed in seeds:
        found, info = approximate_hamming_distances(
            text, pattern, eps, delta=DELTA, rng=seed, error=error, return_info=True, **options
        )
        assert found.shape == exact.shape
        assert (found.dtype == float) is not info.exact
        assert info.sample < len(pattern) / 2
        assert info.threshold > 0 or error == "additive"
        failed += bool((np.abs(found - exact) > bound * (1 + 1e-12)).any())
        if error == "multiplicative":
            assert (found[exact == 0] == 0).all()
    return failed


@pytest.mark.stat
@pytest.mark.usefixtures("sampling_pays")
@pytest.mark.parametrize("error", ["additive", "multiplicative"])
@pytest.mark.parametrize("case", CASES)
def test_contracts(case: Callable[..., Any], error: str, gen: np.random.Generator) -> None:
    """At all shifts together, for a share of the seeds that `delta` allows."""
    assert _failed(case, error, SEEDS, gen) <= DELTA * len(SEEDS)


@pytest.mark.stat
@pytest.mark.usefixtures("sampling_pays")
@pytest.mark.parametrize(("error", "part"), [("additive", 3), ("multiplicative", 8)])
def test_contracts_need_their_samples(
    error: str, part: int, monkeypatch: pytest.MonkeyPatch, gen: np.random.Generator
) -> None:
    """The test above can fail: where samples are smaller by a factor, it does."""
    for name in ("additive_sample", "multiplicative_sample"):
        enough = getattr(approximate, name)
        monkeypatch.setattr(approximate, name, lambda *args, f=enough: max(f(*args) // part, 1))
    assert _failed(_wild, error, range(40), gen) > 3 * DELTA * 40


@pytest.mark.large
@pytest.mark.usefixtures("sampling_pays")
def test_estimates_are_unbiased(gen: np.random.Generator) -> None:
    text, pattern, _ = _planted(gen)
    exact = hamming_distances(text, pattern)
    mean = np.zeros(exact.size)
    for seed in SEEDS:
        found, info = approximate_hamming_distances(
            text, pattern, 0.1, delta=0.1, rng=seed, error="additive", return_info=True
        )
        mean += found / len(SEEDS)
    share = exact / pattern.size
    spread = pattern.size * np.sqrt(share * (1 - share) / info.sample / len(SEEDS))
    assert (np.abs(mean - exact) <= 6 * spread).all()
    counts = found * info.sample / pattern.size
    assert np.allclose(counts, np.rint(counts), rtol=0, atol=1e-9)


@pytest.mark.parametrize("price", [1.0, 0.01])
def test_where_all_shifts_are_counted_again(
    price: float, monkeypatch: pytest.MonkeyPatch, gen: np.random.Generator
) -> None:
    """One by one, or the block as a whole; then the distances are exact, and say so."""
    text = np.zeros(3000, np.uint8)
    monkeypatch.setattr(approximate, "predicted_time", _dear(price))
    monkeypatch.setattr(approximate, "_pilot", lambda _, thresholds, gen: np.zeros(len(thresholds)))
    found, info = approximate_hamming_distances(text, text[:1000], 0.5, rng=0, return_info=True)
    assert info.recounted == found.size == 2001
    assert info.exact
    assert found.dtype == np.int16
    assert not found.any()


@pytest.mark.usefixtures("sampling_pays")
def test_some_shifts_counted_again(gen: np.random.Generator) -> None:
    text, pattern, _ = _planted(gen)
    exact = hamming_distances(text, pattern)
    found, info = approximate_hamming_distances(text, pattern, 0.3, rng=0, return_info=True)
    assert not info.exact
    assert 2 <= info.recounted < found.size / 2
    again = exact < 0.3 * pattern.size
    assert np.array_equal(found[again], exact[again])


@pytest.mark.large
def test_long_text_with_any_number_of_threads(gen: np.random.Generator) -> None:
    text = gen.integers(0, 60, 420_000).astype(np.uint8)
    pattern = text[200_000:220_000].copy()
    exact = hamming_distances(text, pattern)
    for error in ("additive", "multiplicative"):
        results = []
        for threads in (1, 2, 4):
            with thread_limit(threads):
                found, info = approximate_hamming_distances(
                    text, pattern, 0.1, rng=5, error=error, return_info=True
                )
            assert not info.exact
            assert info.sample < 5000
            results.append(found)
        assert np.array_equal(results[0], results[1])
        assert np.array_equal(results[0], results[2])
        bound = 0.1 * (exact if error == "multiplicative" else pattern.size)
        assert (np.abs(results[0] - exact) <= bound).all()
        other = approximate_hamming_distances(text, pattern, 0.1, rng=6, error=error)
        assert not np.array_equal(results[0], other)
        generator = np.random.default_rng(5)
        same = approximate_hamming_distances(text, pattern, 0.1, rng=generator, error=error)
        assert np.array_equal(results[0], same)


@pytest.mark.parametrize("error", ["additive", "multiplicative"])
@pytest.mark.parametrize(
    ("n", "m", "eps", "why"),
    [
        (500, 20, 0.5, "few letters"),
        (20_000, 500, 0.01, "half of the pattern or more"),
        (300_000, 40, 0.9, "not cheaper|half of the pattern"),
    ],
)
def test_exact_where_that_is_cheaper(
    n: int, m: int, eps: float, why: str, error: str, gen: np.random.Generator
) -> None:
    text, pattern = gen.integers(0, 4, n), gen.integers(0, 4, m)
    found, info = approximate_hamming_distances(
        text, pattern, eps, error=error, return_info=True, rng=0
    )
    exact = hamming_distances(text, pattern)
    assert np.array_equal(found, exact)
    assert found.dtype == exact.dtype
    assert info.exact
    assert info.sample == m
    assert any(part in info.reason for part in why.split("|"))
    assert repr(info).startswith("SamplingInfo(exact=True, reason='")
    assert np.array_equal(approximate_hamming_distances(text, pattern, eps, error=error), exact)


@pytest.mark.usefixtures("sampling_pays")
def test_small_distances_are_counted_exactly(gen: np.random.Generator) -> None:
    """Where all distances are small, no sample is good enough."""
    text = gen.random(5000) < 0.002
    found = approximate_hamming_distances(text, np.zeros(2000, bool), 0.1, rng=0)
    assert found.dtype == np.int16
    assert np.array_equal(found, hamming_distances(text, np.zeros(2000, bool)))


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 3), (3, 0), (2, 5)])
@pytest.mark.parametrize("mode", ["valid", "full", "cyclic"])
def test_nothing_and_too_long(n: int, m: int, mode: str) -> None:
    text, pattern = "abc"[:n], "abcab"[:m]
    found = approximate_hamming_distances(text, pattern, 0.1, mode=mode)
    exact = hamming_distances(text, pattern, mode=mode)
    assert np.array_equal(found, exact)
    assert found.dtype == exact.dtype
    assert approximate_hamming_distances("abc", "??", 0.1, wildcard="?").tolist() == [0, 0]


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, math.nan, math.inf])
@pytest.mark.parametrize("name", ["eps", "delta"])
def test_values_out_of_range(name: str, value: float) -> None:
    options = {"eps": 0.1, name: value}
    with pytest.raises(InputError, match=f"`{name}` must lie strictly between 0 and 1, got"):
        approximate_hamming_distances("abc", "a", **options)


def test_messages() -> None:
    with pytest.raises(InputTypeError, match="`eps` must be a number, got None"):
        approximate_hamming_distances("abc", "a", None)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match=r"`eps` must be a number, got '0\.1'"):
        approximate_hamming_distances("abc", "a", "0.1")  # type: ignore[arg-type]
    with pytest.raises(
        InputError, match="`error` must be one of 'multiplicative', 'additive', got"
    ):
        approximate_hamming_distances("abc", "a", 0.1, error="relative")
    with pytest.raises(InputTypeError, match="`rng` must be"):
        approximate_hamming_distances("abc", "a", 0.1, rng="x")  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="one kind"):
        approximate_hamming_distances("abc", b"a", 0.1)
