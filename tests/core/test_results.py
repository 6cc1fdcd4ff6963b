"""What all result objects share."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from lowapprox._core.results import Result


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Example(Result):
    U: Any
    error: float
    converged: bool
    kind: str = "exact"

    _shown: ClassVar[tuple[str, ...]] = ("U", "error", "converged", "kind")


def test_repr_is_one_line_with_shapes() -> None:
    text = repr(Example(np.ones((1000, 3)), 1.23456e-7, True))
    assert text == "Example(U=(1000, 3), error=1.23e-07, converged=True, kind='exact')"


def test_repr_of_other_namespaces_and_of_nothing() -> None:
    import array_api_strict

    assert "U=(2, 2)" in repr(Example(array_api_strict.ones((2, 2)), 0.0, False))
    assert repr(Example(None, np.float32(0.5), False)).startswith("Example(U=None, error=0.5,")


def test_results_are_frozen_and_slotted() -> None:
    result = Example(np.ones(2), 0.0, True)
    with pytest.raises(FrozenInstanceError):
        result.error = 1.0
    with pytest.raises((AttributeError, TypeError)):
        object.__setattr__(result, "other", 1)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_results_pickle(protocol: int) -> None:
    if protocol < 2:
        pytest.skip("objects with slots need protocol 2")
    result = pickle.loads(pickle.dumps(Example(np.arange(3.0), 0.5, True), protocol))
    np.testing.assert_array_equal(result.U, np.arange(3.0))
    assert (result.error, result.converged) == (0.5, True)
