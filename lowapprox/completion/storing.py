"""Results in files: arrays and a text in JSON, nothing that could run."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from lowapprox._core.errors import InputError
from lowapprox.completion.diagnosis import Diagnostics
from lowapprox.completion.folding import Penalty
from lowapprox.completion.problem import Record
from lowapprox.completion.result import CompletionResult

__all__ = ["load", "save"]

_FORMAT = "lowapprox completion 1"
_FACTORS = ("U", "s", "V")
_BIASES = ("row_bias", "col_bias")
_LABELS = ("row_component", "col_component")
_SIDES = ("row", "col")


def save(result: CompletionResult, path: Path) -> None:
    """Write a result."""
    arrays = {name: getattr(result, name) for name in _FACTORS + _BIASES}
    found = {f.name: getattr(result.diagnostics, f.name) for f in fields(Diagnostics)}
    arrays |= {name: found.pop(name) for name in _LABELS}
    for side, penalty in zip(_SIDES, result.penalties, strict=True):
        if penalty is not None:
            arrays[f"{side}_penalty"] = np.stack([penalty.matrix, penalty.per_entry])
    text = json.dumps(
        {
            "format": _FORMAT,
            "offset": result.offset,
            "converged": result.converged,
            "reason": result.reason,
            "loss": result.loss,
            "threshold": result.threshold,
            "nonneg": result.nonneg,
            "history": [asdict(record) for record in result.history],
            "diagnostics": found,
            "info": dict(result.info),
        },
        default=_plain,
    )
    arrays["text"] = np.frombuffer(text.encode(), np.uint8)
    with path.open("wb") as file:
        np.savez(file, **{name: x for name, x in arrays.items() if x is not None})


def load(path: Path) -> CompletionResult:
    """Read a result, and check that it is one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        said = json.loads(arrays.pop("text").tobytes())
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, TypeError) as exc:
        raise InputError(
            f"`path` must be a file that CompletionResult.save has written, got {path}"
        ) from exc
    if said.get("format") != _FORMAT:
        raise InputError(f"`path` must be a file of {_FORMAT!r}, got {said.get('format')!r}")
    found = said["diagnostics"]
    found["shape"] = tuple(found["shape"])
    found["component_sizes"] = tuple((a, b) for a, b in found["component_sizes"])
    penalties = (
        Penalty(*arrays[f"{side}_penalty"]) if f"{side}_penalty" in arrays else None
        for side in _SIDES
    )
    rows, columns = penalties
    U, s, V = (arrays[name] for name in _FACTORS)
    row_bias, col_bias = (arrays.get(name) for name in _BIASES)
    return CompletionResult(
        U=U,
        s=s,
        V=V,
        row_bias=row_bias,
        col_bias=col_bias,
        offset=said["offset"],
        history=tuple(Record(**record) for record in said["history"]),
        converged=said["converged"],
        reason=said["reason"],
        loss=said["loss"],
        threshold=said["threshold"],
        nonneg=said["nonneg"],
        diagnostics=Diagnostics(**found, **{name: arrays[name] for name in _LABELS}),
        info=said["info"],
        penalties=(rows, columns),
    )


def _plain(x: Any) -> Any:
    """Turn what JSON does not know into what it does."""
    if isinstance(x, (np.generic, np.ndarray)):
        return x.tolist()
    return str(x)
