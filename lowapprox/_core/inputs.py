"""Which kinds of input every public call takes: one table, told by each family for itself.

A family lists its calls as ``INPUTS`` in its ``inputs.py``. The documentation makes its page of
supported inputs from these lists, and ``tests/test_inputs.py`` runs every call on every kind: it
works where the list says so, and raises InputTypeError elsewhere.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "ENTRIES",
    "HOST",
    "MATRICES",
    "PRECISIONS",
    "PRODUCTS",
    "REFUSED",
    "Call",
    "Inputs",
    "Kind",
    "registered",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of input: a heading of a column, and in words what it is and how it is treated."""

    heading: str
    what: str
    treatment: str


@dataclass(frozen=True, slots=True)
class Call:
    """A public call, as a user would write it with the input `A`, and the kinds of `A` it takes."""

    code: str
    takes: frozenset[str]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The calls of a family, and the kinds of input that they may or may not take, by name."""

    kinds: Mapping[str, Kind]
    calls: tuple[Call, ...]


def registered() -> dict[str, Inputs]:
    """Return what each family says, by the name of its package."""
    files = Path(__file__).parents[1].glob("[a-z]*/inputs.py")
    names = sorted(f"lowapprox.{file.parent.name}" for file in files)
    return {name: importlib.import_module(f"{name}.inputs").INPUTS for name in names}


MATRICES: Mapping[str, Kind] = {
    "numpy": Kind(
        "NumPy",
        "NumPy array, of any strides and byte order; nested list, data frame",
        "Used as it is. What BLAS cannot read is converted block by block inside the products; "
        "lists and data frames go through ``numpy.asarray``.",
    ),
    "memmap": Kind(
        "memmap",
        "``numpy.memmap``",
        "As a NumPy array, read as often as ``passes`` of the result says.",
    ),
    "array-api": Kind(
        "other arrays",
        "array of another array-API namespace: PyTorch, CuPy, JAX, ...",
        "Products and small algebra in its namespace and on its device; results too. The standard "
        "has no LU and no pivoted QR: pivoting is done on the host.",
    ),
    "sparse": Kind(
        "sparse",
        "``scipy.sparse`` array or matrix of any format",
        "Converted once to CSR with sorted indices and summed duplicates; never made dense.",
    ),
    "operator": Kind(
        "operator",
        "``LinearOperator``, or any object with ``shape`` and products",
        "Products only, adjoint ones (``rmatmat`` or ``rmatvec``) too. The norm is unknown, so "
        "errors are estimates.",
    ),
    "dask": Kind(
        "Dask",
        "Dask array",
        "Refused with a hint where there is no path for it; nothing is computed silently.",
    ),
}
HOST = frozenset({"numpy", "memmap", "sparse"})
ENTRIES = HOST | {"array-api"}
PRODUCTS = ENTRIES | {"operator"}

# What is computed and returned in each precision; the others are refused.
PRECISIONS: Mapping[str, tuple[str, ...]] = {
    "float64": ("float64", "bool", *(f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64))),
    "float32": ("float32", "float16", "bfloat16"),
    "complex128": ("complex128",),
    "complex64": ("complex64",),
}
REFUSED = ("longdouble", "clongdouble", "object", "str", "datetime64[s]")
