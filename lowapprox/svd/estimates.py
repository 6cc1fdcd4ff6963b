"""Error estimates from products with random vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowapprox._core.checks import check_home, checked_choice, checked_int
from lowapprox._core.errors import InputError
from lowapprox._core.matrix import MatrixLike, as_matrix
from lowapprox._core.results import Result, run_info
from lowapprox._core.rng import as_generator, standard_normal
from lowapprox._core.typing import Array, MatrixInput
from lowapprox._core.views import Centred, normalize
from lowapprox._subspace.algebra import double

if TYPE_CHECKING:
    from lowapprox._core.typing import RNGInput

__all__ = [
    "ErrorEstimate",
    "SpectralProbe",
    "estimate_error",
    "frobenius_probe",
    "residual_map",
    "spectral_probe",
]

# a sqrt(2/pi) max |E w| >= |E|_2 over p vectors w, but for probability a^-p (reference 1).
_STRETCH = 3.0


@dataclass(frozen=True, slots=True, repr=False)
class ErrorEstimate(Result):
    """Estimate of the norm of an error.

    Attributes
    ----------
    value : float
        Estimate of the norm.
    lower, upper : float
        Interval; see `estimate_error` for its meaning in each norm.
    norm : {"fro", "spectral"}
    probes : int
        Number of random vectors.
    converged : bool
        Always True: the estimate needs no iteration.
    passes : int
        Passes over the matrix.
    info : Mapping
        Method, seconds, threads.
    """

    value: float
    lower: float
    upper: float
    norm: str
    probes: int
    converged: bool = True
    passes: int = 1
    info: Mapping[str, Any] = field(default_factory=dict, compare=False)
    _shown: ClassVar[tuple[str, ...]] = ("value", "lower", "upper", "norm", "probes")


@dataclass(frozen=True, slots=True)
class SpectralProbe:
    """Lower bound, estimate and probable upper bound of a spectral norm."""

    lower: float
    upper: float
    failure_probability: float


def estimate_error(
    A: MatrixInput, result: Any, *, norm: str = "fro", probes: int = 10, rng: RNGInput = None
) -> ErrorEstimate:
    r"""Estimate how far a truncated SVD is from a matrix, by random products.

    Independent of how the factors were computed, so that it also checks results of others.

    Parameters
    ----------
    A : array, sparse array or linear operator, shape (m, n)
        The matrix.
    result : SVDResult or tuple (U, s, Vh)
        The approximation; the means of a centred result are honoured.
    norm : {"fro", "spectral"}
        The norm of ``A - U diag(s) Vh``.
    probes : int, default 10
        Number of Gaussian vectors, at least 2.
    rng : None, int, SeedSequence, BitGenerator or Generator
        Passed to `numpy.random.default_rng`.

    Returns
    -------
    ErrorEstimate
        For "fro" the `value` squared is unbiased, and the interval is that of a matrix of rank one
        at 95 %, the widest case. For "spectral", `lower` is a certain lower bound (a Rayleigh
        quotient, also the `value`), and `upper` holds but for probability ``3**-probes``.

    Raises
    ------
    InputError
        If shapes do not match or `probes` is too small.
    InputTypeError
        If the dtype of `A` has no computing precision, an operator has no adjoint, or `result` and
        `A` belong to different namespaces or devices.

    Notes
    -----
    Costs one pass over `A` ("fro") or two ("spectral").

    References
    ----------
    .. [1] Halko, Martinsson, Tropp (2011), arXiv:0909.4061, Lemma 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> from lowapprox.svd import estimate_error, randomized_svd
    >>> A = np.diag(0.5 ** np.arange(10.0))
    >>> result = randomized_svd(A, 3, rng=0)
    >>> estimate = estimate_error(A, result, rng=0)
    >>> true = float(np.linalg.norm(A - result.reconstruct()))
    >>> estimate.lower <= true <= estimate.upper
    True
    """
    start = perf_counter()
    norm = checked_choice(norm, "norm", ("fro", "spectral"))
    probes = checked_int(probes, "probes", 2)
    op, exponent, _ = normalize(as_matrix(A))
    U, s, Vh = result
    if (U.shape[0], Vh.shape[1]) != op.shape:
        raise InputError(
            f"`result` must approximate a matrix of shape {op.shape}, "
            f"got factors of shape {(int(U.shape[0]), int(Vh.shape[1]))}"
        )
    check_home(U, op.from_numpy(np.zeros(0)), "result")
    if getattr(result, "mean", None) is not None:
        op = Centred(op)
    conj = op.xp.conj(Vh) if op.dtype.kind == "c" else Vh
    values = np.ldexp(op.to_numpy(s).astype(np.float64), -exponent)
    forward, backward = residual_map(op, U, values, conj.T)
    gen = as_generator(rng)
    if norm == "fro":
        value = frobenius_probe(op, forward, probes, gen)
        from scipy.stats import chi2

        low, high = (float(chi2.ppf(q, probes)) / probes for q in (0.025, 0.975))
        lower, upper = value / np.sqrt(high), value / np.sqrt(low)
        passes = 1
    else:
        bounds = spectral_probe(op, forward, backward, probes, gen)
        value, lower, upper, passes = bounds.lower, bounds.lower, bounds.upper, 2
    value, lower, upper = (float(np.ldexp(x, exponent)) for x in (value, lower, upper))
    info = run_info(start, "Gaussian probes")
    return ErrorEstimate(value, lower, upper, norm, probes, passes=passes, info=info)


def residual_map(
    op: MatrixLike, U: Array, s: np.ndarray[Any, Any], V: Array
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Return the products with ``E = A - U diag(s) V^H`` and with its adjoint."""
    values = op.from_numpy(s[:, None], real=True)

    def dual(x: Array) -> Array:
        return op.xp.conj(x).T if op.dtype.kind == "c" else x.T

    def forward(X: Array) -> Array:
        return op.mat(X) - U @ (values * (dual(V) @ X))

    def backward(Y: Array) -> Array:
        return op.rmat(Y) - V @ (values * (dual(U) @ Y))

    return forward, backward


def frobenius_probe(
    op: MatrixLike,
    forward: Callable[[Array], Array],
    probes: int,
    gen: np.random.Generator,
) -> float:
    """Estimate ``|E|_F`` from Gaussian probes; the square is unbiased."""
    W = standard_normal(gen, (op.shape[1], probes), op.dtype)
    image = double(op.to_numpy(forward(op.from_numpy(W))))
    return float(np.linalg.norm(image) / np.sqrt(probes))


def spectral_probe(
    op: MatrixLike,
    forward: Callable[[Array], Array],
    backward: Callable[[Array], Array],
    probes: int,
    gen: np.random.Generator,
) -> SpectralProbe:
    """Bound ``|E|_2`` from real Gaussian probes and one power step."""
    W = gen.standard_normal((op.shape[1], probes))
    image = forward(op.from_numpy(W))
    norms = np.linalg.norm(double(op.to_numpy(image)), axis=0)
    upper = _STRETCH * np.sqrt(2.0 / np.pi) * float(norms.max(initial=0.0))
    if op.dtype.kind == "c":  # a complex unit vector is two real ones, of norm sqrt(2) at most
        upper *= np.sqrt(2.0)
    # Unit vectors: the squares of a second product could leave the range.
    image = image / op.from_numpy(np.where(norms == 0.0, 1.0, norms), real=True)
    back = np.linalg.norm(double(op.to_numpy(backward(image))), axis=0)
    lower = float(back.max(initial=0.0))
    return SpectralProbe(lower, float(np.maximum(upper, lower)), _STRETCH**-probes)
