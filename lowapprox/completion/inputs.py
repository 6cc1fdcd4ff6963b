"""What observed entries may be given as: a registry for the documentation and the tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lowapprox._core.inputs import MATRICES, Call, Inputs, Kind

__all__ = ["INPUTS"]

_KINDS: Mapping[str, Kind] = {
    "stored": Kind(
        "sparse",
        "``scipy.sparse`` array or matrix of any format",
        "Stored entries are observed, stored zeros too; nothing is summed. Entries that are stored "
        "twice are refused, or merged by ``duplicates``.",
    ),
    "holed": Kind(
        "NumPy",
        "NumPy array of any real dtype, strides and byte order, memmap; nested list, data frame",
        "NaN is missing, or what ``mask`` leaves out. Read by blocks of rows.",
    ),
    "masked": Kind(
        "masked",
        "``numpy.ma`` array",
        "What is masked is missing.",
    ),
    "triples": Kind(
        "triples",
        "tuple ``(rows, columns, values)`` of arrays or lists",
        "Needs ``shape``. Entries in any order, of any integer dtype. The ``Ratings`` of a file "
        "are triples with a shape.",
    ),
    "array-api": replace(
        MATRICES["array-api"],
        treatment="Refused with a hint: ``numpy.asarray`` makes it one that is taken. Results are "
        "NumPy's.",
    ),
    "operator": replace(MATRICES["operator"], treatment="Refused: its entries cannot be read."),
    "dask": MATRICES["dask"],
}
_ENTRIES = frozenset({"stored", "holed", "masked", "triples"})

INPUTS = Inputs(
    _KINDS,
    (
        Call("complete(A, rank, shape=shape)", _ENTRIES, "``shape`` for triples alone"),
        Call("complete(A, rank, shape=shape).fold_in_rows(A, shape=shape)", _ENTRIES),
        Call("complete(A, rank, shape=shape).fold_in_cols(A, shape=shape)", _ENTRIES),
        Call("complete(A, rank, shape=shape).update(A, shape=shape)", _ENTRIES),
    ),
)
