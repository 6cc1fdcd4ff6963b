"""Hypothesis strategies: matrices of every awkward kind, and every way of handing one over."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from lowapprox import ConvergenceWarning
from tests.reference import random_array, with_spectrum

DTYPES = tuple(np.dtype(c) for c in "fdFD")
REAL_DTYPES = DTYPES[:2]
DOUBLE_DTYPES = (DTYPES[1], DTYPES[3])

seeds = st.integers(0, 2**32 - 1)


@contextmanager
def quiet() -> Iterator[None]:
    """Let a run that does not converge say so in its result alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def dtypes(allowed: tuple[Any, ...] = DTYPES) -> st.SearchStrategy[np.dtype]:
    return st.sampled_from(allowed).map(np.dtype)


def shapes(max_side: int = 40, min_side: int = 1) -> st.SearchStrategy[tuple[int, int]]:
    """Square, tall, wide, and a single row or column."""
    side = st.integers(min_side, max_side)
    short = st.integers(min_side, max(min_side, max_side // 8))
    return st.one_of(
        st.tuples(side, side),
        st.tuples(side, short),
        st.tuples(short, side),
        side.map(lambda n: (n, n)),
    )


def _cluster(j: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + j // 4) * (1.0 + 1e-9 * (j % 4))


# Singular values as functions of the index 0, 1, 2, ..., in order and in [0, 1 + 1e-8].
SPECTRA: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "harmonic": lambda j: 1.0 / (j + 1.0),
    "root": lambda j: (j + 1.0) ** -0.5,
    "geometric": lambda j: 2.0 ** -(j / 2.0),
    "graded": lambda j: 10.0**-j,
    "flat": np.ones_like,
    "step": lambda j: np.where(j < 5, 1.0, 1e-4),
    "rank-3": lambda j: np.where(j < 3, 1.0 / (j + 1.0), 0.0),
    "repeated": lambda j: 2.0 ** -(j // 3),
    "cluster": lambda j: np.sort(_cluster(j))[::-1],
    "zero": np.zeros_like,
}


class Spectral(NamedTuple):
    """A matrix with the singular values that it was made from."""

    A: np.ndarray
    s: np.ndarray
    name: str


@st.composite
def spectral_matrices(
    draw: st.DrawFn,
    *,
    max_side: int = 40,
    min_side: int = 1,
    dtype: st.SearchStrategy[Any] | None = None,
    spectra: tuple[str, ...] = tuple(SPECTRA),
    scaled: bool = False,
) -> Spectral:
    """Draw a matrix with known singular values.

    With `scaled`, a power of two as far as 2^+-300 (2^+-50 in single precision) multiplies it.
    """
    m, n = draw(shapes(max_side, min_side))
    kind = draw(dtypes() if dtype is None else dtype)
    name = draw(st.sampled_from(spectra))
    s = SPECTRA[name](np.arange(min(m, n), dtype=float))
    A = with_spectrum(np.random.default_rng(draw(seeds)), m, n, s, kind)
    factor = draw(scales(kind)) if scaled else 1.0
    return Spectral(A * A.real.dtype.type(factor), s * factor, name)


def scales(dtype: Any) -> st.SearchStrategy[float]:
    """Powers of two that leave squares of the entries out of range."""
    limit = 50 if np.dtype(dtype).char in "fF" else 300
    return st.one_of(st.just(0), st.integers(-limit, limit)).map(lambda e: 2.0**e)


@st.composite
def structured_matrices(
    draw: st.DrawFn,
    *,
    max_side: int = 40,
    min_side: int = 1,
    dtype: st.SearchStrategy[Any] | None = None,
) -> np.ndarray:
    """Draw a matrix that is no random one: small integers, one row, equal columns, mostly zeros."""
    m, n = draw(shapes(max_side, min_side))
    kind = draw(dtypes() if dtype is None else dtype)
    gen = np.random.default_rng(draw(seeds))
    form = draw(st.sampled_from(["integers", "row", "column", "equal", "sparse", "identity"]))
    A = np.zeros((m, n), kind)
    if form == "integers":
        A[...] = gen.integers(-2, 3, (m, n))
    elif form == "row":
        A[:1] = random_array(gen, (min(m, 1), n), kind)
    elif form == "column":
        A[:, :1] = random_array(gen, (m, min(n, 1)), kind)
    elif form == "equal":
        A[...] = random_array(gen, (m, 1), kind)
    elif form == "sparse":
        A[...] = random_array(gen, (m, n), kind) * (gen.random((m, n)) < 0.1)
    else:
        A[...] = np.eye(m, n)
    return A


def matrices(**options: Any) -> st.SearchStrategy[np.ndarray]:
    """Any matrix of the two strategies above."""
    made = spectral_matrices(**options).map(lambda x: x.A)
    options.pop("scaled", None)
    options.pop("spectra", None)
    return st.one_of(made, structured_matrices(**options))


@st.composite
def psd_matrices(
    draw: st.DrawFn, *, max_side: int = 40, dtype: st.SearchStrategy[Any] | None = None
) -> np.ndarray:
    """Draw a Hermitian positive semidefinite matrix of one of the spectra."""
    n = draw(st.integers(1, max_side))
    kind = draw(dtypes() if dtype is None else dtype)
    s = SPECTRA[draw(st.sampled_from(tuple(SPECTRA)))](np.arange(n, dtype=float))
    half = with_spectrum(np.random.default_rng(draw(seeds)), n, n, np.sqrt(s), kind)
    K = half @ half.conj().T
    return ((K + K.conj().T) / 2).astype(kind)


def _strided(A: np.ndarray) -> np.ndarray:
    wide = np.zeros((2 * A.shape[0], 3 * A.shape[1]), A.dtype)
    wide[::2, ::3] = A
    return wide[::2, ::3]


def _negative(A: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(A[::-1, ::-1])[::-1, ::-1]


def _read_only(A: np.ndarray) -> np.ndarray:
    A = A.copy()
    A.flags.writeable = False
    return A


def _unaligned(A: np.ndarray) -> np.ndarray:
    raw = np.zeros(A.nbytes + 1, np.uint8)
    out = raw[1:].view(A.dtype).reshape(A.shape)
    out[...] = A
    return out


def _sparse(name: str) -> Callable[[np.ndarray], Any]:
    def make(A: np.ndarray) -> Any:
        import scipy.sparse

        with warnings.catch_warnings():  # DIA is inefficient for so many diagonals
            warnings.simplefilter("ignore", scipy.sparse.SparseEfficiencyWarning)
            return getattr(scipy.sparse, name)(A)

    return make


def _csr_int64(A: np.ndarray) -> Any:
    S = _sparse("csr_array")(A)
    S.indices, S.indptr = S.indices.astype(np.int64), S.indptr.astype(np.int64)
    return S


def _csr_messy(A: np.ndarray) -> Any:
    """Unsorted indices, every entry in two halves, an explicit zero in every row."""
    import scipy.sparse

    m, n = A.shape
    rows, columns = np.nonzero(A)
    rows, columns = np.repeat(rows, 2), np.repeat(columns, 2)
    with np.errstate(invalid="ignore"):  # complex infinities
        values = A[rows, columns] / 2
    if n:
        rows = np.concatenate([rows, np.arange(m)])
        columns = np.concatenate([columns, np.full(m, n - 1)])
        values = np.concatenate([values, np.zeros(m, A.dtype)])
    order = np.lexsort((-columns, rows))
    indptr = np.searchsorted(rows[order], np.arange(m + 1))
    return scipy.sparse.csr_array((values[order], columns[order], indptr), shape=(m, n))


def _operator(A: np.ndarray) -> Any:
    from scipy.sparse.linalg import aslinearoperator

    return aslinearoperator(A)


def _vector_operator(A: np.ndarray) -> Any:
    from scipy.sparse.linalg import LinearOperator

    return LinearOperator(
        A.shape, matvec=lambda x: A @ x, rmatvec=lambda y: A.conj().T @ y, dtype=A.dtype
    )


def _strict(A: np.ndarray) -> Any:
    import array_api_strict

    return array_api_strict.asarray(A.copy())


# Every way of handing over the same matrix; each makes a new object from a NumPy array.
DENSE_FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": _strided,
    "negative strides": _negative,
    "read-only": _read_only,
    "unaligned": _unaligned,
    "big-endian": lambda A: A.astype(A.dtype.newbyteorder(">")),
}
SPARSE_FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    **{f"{f}_array": _sparse(f"{f}_array") for f in ("csr", "csc", "coo", "bsr", "dia")},
    **{f"{f}_matrix": _sparse(f"{f}_matrix") for f in ("csr", "csc", "lil", "dok")},
    "csr int64": _csr_int64,
    "csr messy": _csr_messy,
}
OPERATOR_FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "operator": _operator,
    "vector operator": _vector_operator,
}
FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    **DENSE_FORMS,
    **SPARSE_FORMS,
    **OPERATOR_FORMS,
    "array-api-strict": _strict,
}


def bytes_of(A: Any) -> list[bytes]:
    """All memory that a form of a matrix refers to."""
    if isinstance(A, np.ndarray):
        base = A
        while isinstance(base.base, np.ndarray):
            base = base.base
        return [base.tobytes()]
    parts = [getattr(A, f, None) for f in ("data", "indices", "indptr", "row", "col", "offsets")]
    if isinstance(getattr(A, "coords", None), tuple):
        parts.extend(A.coords)
    return [x.tobytes() for x in parts if isinstance(x, np.ndarray)]
