"""What the calls of this family take: a registry for the documentation and the tests."""

from __future__ import annotations

from lowapprox._core.inputs import ENTRIES, HOST, MATRICES, PRODUCTS, Call, Inputs

__all__ = ["INPUTS"]

INPUTS = Inputs(
    MATRICES,
    (
        Call("randomized_svd(A, rank)", PRODUCTS),
        Call("randomized_svd(A, rank, center=True)", PRODUCTS, "principal components"),
        Call(
            "randomized_svd(A, rank, method='single_pass')",
            HOST,
            "not centred when sparse",
        ),
        Call("randomized_svd(A, rank).transform(A)", PRODUCTS, "in the namespace of the result"),
        Call("randomized_eigh(A, rank)", PRODUCTS),
        Call("range_finder(A, size)", PRODUCTS),
        Call("nystrom(A, rank)", PRODUCTS),
        Call("rp_cholesky(A, rank)", ENTRIES, "also ``kernel(rows, cols)``"),
        Call("interpolative(A, rank)", PRODUCTS),
        Call("cur(A, rank)", PRODUCTS),
        Call("StreamingSVD(n, rank).partial_fit(A)", HOST),
        Call("StreamingSVD(n, rank).update(A)", HOST),
        Call("estimate_error(A, randomized_svd(A, rank))", PRODUCTS),
    ),
)
