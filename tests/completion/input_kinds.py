"""Observed entries as each kind in the registry of inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp


def _known(A: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).random(A.shape) < 0.7


def _holed(A: np.ndarray) -> np.ndarray:
    return np.where(_known(A), A, np.nan)


def _triples(A: np.ndarray, _: Path) -> Any:
    i, j = np.nonzero(_known(A))
    return i, j, A[i, j]


def _mapped(A: np.ndarray, folder: Path) -> Any:
    _holed(A).tofile(folder / "A")
    return np.memmap(folder / "A", dtype=A.dtype, shape=A.shape, mode="r")


EXAMPLES: dict[str, list[Callable[[np.ndarray, Path], Any]]] = {
    "stored": [
        lambda A, _: sp.csr_array(np.where(_known(A), A, 0)),
        lambda A, _: sp.coo_matrix(np.where(_known(A), A, 0)),
    ],
    "holed": [lambda A, _: _holed(A), lambda A, _: _holed(A).tolist(), _mapped],
    "masked": [lambda A, _: np.ma.masked_invalid(_holed(A))],
    "triples": [_triples],
}


def names(A: Any) -> dict[str, Any]:
    """What the calls need besides the entries."""
    return {"shape": (40, 40)}
