"""Texts of each kind in the registry of inputs, and patterns for them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WORD = "abracadabra"
BYTES = WORD.encode()
CODES = np.frombuffer(BYTES, np.uint8)


def _mapped(_: Any, folder: Path) -> Any:
    (folder / "letters").write_bytes(BYTES)
    return np.memmap(folder / "letters", dtype=np.uint8, mode="r")


EXAMPLES: dict[str, list[Callable[[Any, Path], Any]]] = {
    "characters": [lambda *_: WORD, lambda *_: np.array(list(WORD))],
    "integers": [
        lambda *_: BYTES,
        lambda *_: bytearray(BYTES),
        lambda *_: memoryview(BYTES),
        lambda *_: CODES.astype(">i4")[::-2],
        lambda *_: CODES.mean() < CODES,
    ],
    "floats": [lambda *_: CODES / 3.0, lambda *_: CODES.astype(np.float32)],
    "mapped": [_mapped],
    "objects": [lambda *_: np.array([*"abra", None, 1, (2, 3)], dtype=object)],
    "pieces": [lambda *_: iter(["abra", "", "cadabra"]), lambda *_: io.StringIO(WORD)],
}


def names(A: Any) -> dict[str, Any]:
    """What the calls need besides the text."""
    return {"pattern": A[1:4] if hasattr(A, "__getitem__") else "bra", "k": 1, "eps": 0.1}
