"""The one normalization of random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from lowapprox._core.errors import InputTypeError
from lowapprox._core.rng import as_generator, draw_key, standard_normal
from tests.strategies import DTYPES, seeds


@given(seeds)
def test_one_seed_is_one_stream_however_it_is_given(seed: int) -> None:
    expected = np.random.default_rng(seed).random(3)
    for rng in (
        seed,
        np.int64(seed),
        [seed],
        np.random.SeedSequence(seed),
        np.random.PCG64(seed),
        np.random.default_rng(seed),
    ):
        np.testing.assert_array_equal(as_generator(rng).random(3), expected)


def test_a_generator_is_used_and_advanced() -> None:
    gen = np.random.default_rng(1)
    assert as_generator(gen) is gen


def test_none_is_fresh_entropy() -> None:
    assert as_generator(None).random() != as_generator(None).random()


def test_the_global_state_is_left_alone() -> None:
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002
    standard_normal(as_generator(None), (3,), np.dtype(float))
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002


@pytest.mark.parametrize(
    "rng", [np.random.RandomState(0), np.random, "seed", 1.5, -1, object(), [1.5], {}]
)
def test_other_objects_are_refused(rng: Any) -> None:
    with pytest.raises(InputTypeError, match="`rng` must be None, a"):
        as_generator(rng)


def test_keys_are_128_bits_and_differ() -> None:
    gen = np.random.default_rng(0)
    keys = [draw_key(gen) for _ in range(200)]
    assert len(set(keys)) == 200
    assert all(0 <= word < 2**64 for key in keys for word in key)
    # Every bit takes both values: 200 draws agree by chance with probability 2^-199.
    for word in (0, 1):
        assert np.bitwise_or.reduce([np.uint64(k[word]) for k in keys]) == 2**64 - 1
        assert np.bitwise_and.reduce([np.uint64(k[word]) for k in keys]) == 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_normal_numbers_have_unit_second_moment(dtype: np.dtype) -> None:
    n = 40_000
    x = standard_normal(np.random.default_rng(2), (n,), dtype)
    assert x.dtype == dtype
    # Variance of |x|^2 is 2 for real and 1 for complex numbers; 5 standard errors.
    assert abs(np.mean(np.abs(x.astype(complex)) ** 2) - 1) < 5 * np.sqrt(2 / n)
    assert abs(x.astype(complex).mean()) < 5 / np.sqrt(n)
    if dtype.kind == "c":
        assert abs(np.mean(x.astype(complex) ** 2)) < 5 * np.sqrt(2 / n)  # circular


@pytest.mark.parametrize(("narrow", "wide"), [("f", "d"), ("F", "D")])
def test_precisions_share_a_stream(narrow: str, wide: str) -> None:
    one, two = (
        standard_normal(np.random.default_rng(3), (4, 2), np.dtype(d)) for d in (narrow, wide)
    )
    np.testing.assert_array_equal(one, two.astype(narrow))
