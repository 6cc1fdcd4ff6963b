"""Checks of scalars: what passes, and what the message says."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox._core.checks import (
    checked_choice,
    checked_int,
    checked_rank,
    checked_target,
    checked_tol,
)
from lowapprox._core.errors import InputError, InputTypeError


@given(st.integers(-5, 15))
def test_integers_in_a_range(value: int) -> None:
    for given_value in (value, np.int16(value), np.array(value)):
        if 0 <= value <= 10:
            result = checked_int(given_value, "x", 0, 10)
            assert type(result) is int
            assert result == value
        else:
            with pytest.raises(InputError, match=rf"`x` must be in \[0, 10\], got {value}"):
                checked_int(given_value, "x", 0, 10)


def test_integers_without_an_upper_end() -> None:
    assert checked_int(10**30, "x", 1) == 10**30
    with pytest.raises(InputError, match="`x` must be at least 1, got 0"):
        checked_int(0, "x", 1)


@pytest.mark.parametrize("value", [1.0, "1", None, True, False, np.True_, [1], np.float64(2), 1j])
def test_what_is_no_integer(value: Any) -> None:
    with pytest.raises(InputTypeError, match="`x` must be an integer, got"):
        checked_int(value, "x", 0)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (1, 1)])
def test_ranks(shape: tuple[int, int]) -> None:
    limit = min(shape)
    assert [checked_rank(k, shape) for k in range(1, limit + 1)] == list(range(1, limit + 1))
    for bad in (-1, 0, limit + 1):
        wanted = f"`rank` must lie in [1, min(m, n)] = [1, {limit}] for shape {shape}, got {bad}"
        with pytest.raises(InputError, match=re.escape(wanted)):
            checked_rank(bad, shape)
    with pytest.raises(InputError, match="`size` must"):
        checked_rank(0, shape, "size")


def test_ranks_that_are_caps() -> None:
    assert [checked_rank(k, (5, 3), cap=True) for k in (1, 3, 4, 10**30)] == [1, 3, 3, 3]
    for bad in (0, -1):
        wanted = f"`rank` must be at least 1 for shape (5, 3), got {bad}"
        with pytest.raises(InputError, match=re.escape(wanted)):
            checked_rank(bad, (5, 3), cap=True)
    with pytest.raises(InputTypeError, match="`rank` must be an integer"):
        checked_rank("2", (5, 3), cap=True)


def test_targets() -> None:
    assert checked_target(2, None, (5, 3)) == (2, None)
    assert checked_target(None, 0.5, (5, 3)) == (None, 0.5)
    assert checked_target(4, 0.5, (5, 3)) == (3, 0.5)
    for rank, tol in ((None, None), (4, None), (0, 0.5), (2, 1.0)):
        with pytest.raises(InputError, match=r"`rank`|`tol`"):
            checked_target(rank, tol, (5, 3))


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0)])
def test_an_empty_matrix_has_rank_zero(shape: tuple[int, int]) -> None:
    assert checked_rank(3, shape) == checked_rank(0, shape) == 0
    with pytest.raises(InputError):
        checked_rank(-1, shape)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), 1e-300, np.nextafter(1.0, 0.0)])
def test_tolerances(value: Any) -> None:
    assert checked_tol(value) == float(value)


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, -0.1, 2, np.nan, np.inf, -np.inf])
def test_tolerances_out_of_range(value: Any) -> None:
    with pytest.raises(InputError, match="`tol` must lie strictly between 0 and 1, got"):
        checked_tol(value)


@pytest.mark.parametrize("value", [None, "a", [0.5, 0.5], 1j, True])
def test_what_is_no_tolerance(value: Any) -> None:
    with pytest.raises((InputTypeError, InputError), match="`eps` must"):
        checked_tol(value, "eps")


def test_choices() -> None:
    assert checked_choice("a", "method", ("a", "b")) == "a"
    for bad in ("c", "A", None, 1, ["a"]):
        with pytest.raises(InputError, match="`method` must be one of 'a', 'b', got"):
            checked_choice(bad, "method", ("a", "b"))


def test_choices_of_an_array() -> None:
    with pytest.raises(InputError, match="`method` must be one of"):
        checked_choice(np.array(["a", "b"]), "method", ("a", "b"))
