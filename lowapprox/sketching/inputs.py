"""What the operators are applied to: a registry for the documentation and the tests."""

from __future__ import annotations

from lowapprox._core.inputs import ENTRIES, HOST, MATRICES, PRODUCTS, Call, Inputs

__all__ = ["INPUTS"]

_OPERATORS = (
    *("Gaussian", "Rademacher", "SRHT", "SRTT", "SparseSign", "CountSketch"),
    *("Fastfood", "RowSampling"),
)
_TENSOR = ("TensorSRHT", "TensorSketch", "KhatriRaoSign")
_WIDE = (*(f"{S}(m, n)" for S in _OPERATORS), *(f"{S}(m, (5, n // 5))" for S in _TENSOR))
_SQUARE = (*(f"{S}(n, n)" for S in _OPERATORS), *(f"{S}(n, (5, n // 5))" for S in _TENSOR))

INPUTS = Inputs(
    MATRICES,
    (
        *(Call(f"{S} @ A", PRODUCTS) for S in _WIDE),
        *(Call(f"{S}.T @ A", PRODUCTS) for S in _SQUARE),
        *(Call(f"{S}.apply_rows(A, 0, out)", ENTRIES, "in host memory") for S in _WIDE),
        *(Call(f"{S}(m, (n, n)) @ kron(A, A)", ENTRIES) for S in _TENSOR),
        *(Call(f"{S}(m, (n, n)) @ khatri_rao(A, A)", ENTRIES) for S in _TENSOR),
        Call("RowSampling.from_leverage(A, m) @ A", HOST),
        Call("distortion(Gaussian(n, n), A)", ENTRIES, "in host memory"),
    ),
)
