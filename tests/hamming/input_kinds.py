"""A text as each kind of input that this family knows, for the test of the registry."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TEXT = "abracadabra" * 20
CODES = np.frombuffer(TEXT.encode(), dtype=np.uint8)


def _memmap(_: np.ndarray, folder: Path) -> Any:
    CODES.tofile(folder / "text")
    return np.memmap(folder / "text", dtype=np.uint8, mode="r")


def _torch(*_: Any) -> Any:
    return pytest.importorskip("torch").from_numpy(CODES.copy())


def _dask(*_: Any) -> Any:
    return pytest.importorskip("dask.array").from_array(CODES.copy(), chunks=30)


EXAMPLES: dict[str, list[Callable[[np.ndarray, Path], Any]]] = {
    "str": [lambda *_: TEXT, lambda *_: np.array(list(TEXT))],
    "bytes": [
        lambda *_: TEXT.encode(),
        lambda *_: bytearray(TEXT.encode()),
        lambda *_: memoryview(TEXT.encode()),
    ],
    "array": [lambda *_: CODES, lambda *_: CODES.astype(">i8")[::-1], lambda *_: CODES / 2],
    "map": [_memmap],
    "host": [_torch],
    "sequence": [lambda *_: tuple(range(50)), lambda *_: [None, "a", 1.5]],
    "parts": [lambda *_: iter([TEXT[:9], "", TEXT[9:]])],  # a list would be a text of words too
    "file": [lambda *_: io.BytesIO(TEXT.encode()), lambda *_: io.StringIO(TEXT)],
    "chunked": [_dask],
}


def names(text: Any) -> dict[str, Any]:
    """What the calls of the registry need besides the text: a pattern."""
    if isinstance(text, io.IOBase):
        return {"P": "ab" if isinstance(text, io.StringIO) else b"ab"}
    return {"P": text[:2] if hasattr(text, "__getitem__") else "ab"}
