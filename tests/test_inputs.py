"""The registry of supported inputs tells the truth: every call on every kind of input."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lowapprox
from lowapprox import InputError, InputTypeError, NumericalError
from lowapprox._core.inputs import MATRICES, PRECISIONS, REFUSED, Call, registered
from lowapprox._core.results import Result
from lowapprox.svd import randomized_svd
from tests.reference import host, with_spectrum
from tests.strategies import DENSE_FORMS, FORMS, OPERATOR_FORMS, SPARSE_FORMS, bytes_of

N = 40


FAMILIES = registered()
CALLS = [(package, call) for package, inputs in FAMILIES.items() for call in inputs.calls]


def _memmap(A: np.ndarray, folder: Path) -> Any:
    A.tofile(folder / "A")
    return np.memmap(folder / "A", dtype=A.dtype, shape=A.shape, mode="r")


def _torch(A: np.ndarray, folder: Path) -> Any:
    return pytest.importorskip("torch").from_numpy(A.copy())


def _device(A: np.ndarray, folder: Path) -> Any:
    """An array on a device whose memory the host cannot read."""
    xp = pytest.importorskip("array_api_strict")
    return xp.asarray(A.copy(), device=xp.Device("device1"))


def _dask(A: np.ndarray, folder: Path) -> Any:
    return pytest.importorskip("dask.array").from_array(A, chunks=(16, 16))


# Ways to hand over a matrix as each kind. A family with kinds of its own has functions for them, of
# the same arguments, as EXAMPLES in `tests/<family>/input_kinds.py`.
EXAMPLES: dict[str, list[Callable[[np.ndarray, Path], Any]]] = {
    "numpy": [lambda A, _: A, lambda A, _: A.tolist()],
    "memmap": [_memmap],
    "array-api": [lambda A, _: FORMS["array-api-strict"](A), _torch, _device],
    "sparse": [lambda A, _: FORMS["csc_array"](A)],
    "operator": [lambda A, _: FORMS["vector operator"](A)],
    "dask": [_dask],
}
# What the calls of such a family need besides `A`: a function of `A`, `names` in the same file.
NAMES: dict[str, Callable[[Any], dict[str, Any]]] = {}
for family in FAMILIES:
    module = family.replace("lowapprox", "tests") + ".input_kinds"
    if importlib.util.find_spec(module):
        EXAMPLES |= importlib.import_module(module).EXAMPLES
        NAMES[family] = importlib.import_module(module).names
CASES = [
    pytest.param(package, call, kind, make, id=f"{call.code}-{kind}-{i}")
    for package, call in CALLS
    for kind in FAMILIES[package].kinds
    for i, make in enumerate(EXAMPLES[kind])
]


def arrays(result: Any) -> list[Any]:
    """All arrays in a result."""
    parts = [getattr(result, f.name) for f in fields(result)] if is_dataclass(result) else [result]
    return [x for x in parts if hasattr(x, "shape") and hasattr(x, "dtype")]


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    """Positive semidefinite, and of rank three to double precision, so that all calls fit it."""
    s = np.where(np.arange(N) < 3, 10.0 ** -np.arange(N), 0.0)
    U = with_spectrum(np.random.default_rng(0), N, N, np.ones(N))
    return (U * s) @ U.T


def run(package: str, call: Call, A: Any) -> Any:
    names = {"A": A, "rank": 3, "size": 3, "m": 5, "n": N, "out": np.zeros((5, N))}
    names |= NAMES[package](A) if package in NAMES else {}
    result = eval(call.code, {**vars(importlib.import_module(package)), **names})
    return next(result) if isinstance(result, Iterator) else result


@pytest.mark.parametrize(("package", "call", "kind", "make"), CASES)
def test_the_registry_is_true(
    package: str, call: Call, kind: str, make: Any, matrix: np.ndarray, tmp_path: Path
) -> None:
    A = make(matrix, tmp_path)
    if kind not in call.takes or (make is _device and call.note == "in host memory"):
        with pytest.raises(InputTypeError, match="`"):
            run(package, call, A)
        return
    result = run(package, call, A)
    result = result.result() if hasattr(result, "result") else result
    if isinstance(result, float) or hasattr(result, "value"):  # an estimate is a number
        assert np.isfinite(getattr(result, "value", result))
        return
    found = arrays(result)
    assert all(np.isfinite(host(x)).all() for x in found)
    if kind == "array-api" and "out" not in call.code:
        assert any(type(x) is type(A) and x.device == A.device for x in found)
    if hasattr(result, "reconstruct"):
        assert np.linalg.norm(host(result.reconstruct()) - matrix) <= 1e-5
    if isinstance(result, Result):
        assert {"method", "seconds", "threads"} <= set(result.info)


MATRIX_CALLS = [(p, call) for p, call in CALLS if FAMILIES[p].kinds is MATRICES]
every_call = pytest.mark.parametrize(
    ("package", "call"), MATRIX_CALLS, ids=[call.code for _, call in MATRIX_CALLS]
)
# Vectors, and NaN that goes through, are the business of the tests of the operators.
every_svd_call = pytest.mark.parametrize(
    "call", FAMILIES["lowapprox.svd"].calls, ids=lambda call: call.code
)


@every_call
def test_every_form_works_and_is_not_modified(package: str, call: Call, matrix: np.ndarray) -> None:
    operators = OPERATOR_FORMS if "operator" in call.takes else {}
    for make in (DENSE_FORMS | SPARSE_FORMS | operators).values():
        A = make(matrix)
        before = bytes_of(A)
        result = run(package, call, A)
        assert bytes_of(A) == before
        result = result.result() if hasattr(result, "result") else result
        if hasattr(result, "reconstruct"):
            assert np.linalg.norm(host(result.reconstruct()) - matrix) <= 1e-5


@every_call
def test_what_no_call_takes(package: str, call: Call, matrix: np.ndarray) -> None:
    for dtype in REFUSED:
        with pytest.raises(InputTypeError, match="dtype"):
            run(package, call, np.ones((N, N)).astype(dtype))
    with pytest.raises(InputTypeError, match="masked"):
        run(package, call, np.ma.masked_less(matrix, 0.0))
    forward = SimpleNamespace(shape=(N, N), dtype=matrix.dtype, matvec=lambda x: matrix @ x)
    with pytest.raises(InputTypeError):  # an operator without adjoint
        run(package, call, forward)
    with pytest.raises(InputError, match=r"dimensions|shape"):
        run(package, call, matrix[None])


@every_call
def test_zeros(package: str, call: Call) -> None:
    for form in ("C", "csr_array"):
        result = run(package, call, FORMS[form](np.zeros((N, N))))
        result = result.result() if hasattr(result, "result") else result
        assert all(np.isfinite(host(x)).all() for x in arrays(result))
        if hasattr(result, "reconstruct"):
            assert not host(result.reconstruct()).any()


@every_svd_call
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_refused(call: Call, bad: float, matrix: np.ndarray) -> None:
    A = matrix.copy()
    A[7, 7] = bad
    forms = {"numpy": "C", "sparse": "csr_array", "array-api": "array-api-strict"}
    for form in [form for kind, form in forms.items() if kind in call.takes]:
        with pytest.raises((InputError, NumericalError), match=r"NaN|finite"):
            run("lowapprox.svd", call, FORMS[form](A))
    if "operator" in call.takes:
        with pytest.raises(NumericalError, match="NaN"):
            run("lowapprox.svd", call, FORMS["operator"](A))


@every_svd_call
def test_vectors_are_no_matrices(call: Call, matrix: np.ndarray) -> None:
    for A in (matrix[:, 0], matrix[0].tolist()):
        with pytest.raises(InputError, match="2 dimensions"):
            run("lowapprox.svd", call, A)


def takes_a_matrix(function: Any) -> bool:
    return inspect.isfunction(function) and any(
        "MatrixInput" in str(p.annotation) for p in inspect.signature(function).parameters.values()
    )


def public_calls(package: str) -> Iterator[tuple[str, str]]:
    """Yield every public function and method that takes a matrix, and a pattern of its call."""
    module = importlib.import_module(package)
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if takes_a_matrix(value):
            yield name, rf"\b{name}\(.*\bA\b"
        if inspect.isclass(value):
            for method, _ in inspect.getmembers(value, takes_a_matrix):
                if method == "__matmul__":
                    yield f"{name} @", rf"\b{name}\(.*\) @ A"
                elif not method.startswith("_"):
                    yield f"{name}.{method}", rf"\b{name}\(.*\)\.{method}\(A"


def packages() -> list[str]:
    folders = sorted(Path(lowapprox.__file__).parent.glob("[a-z]*/__init__.py"))
    return [f"lowapprox.{file.parent.name}" for file in folders]


@pytest.mark.parametrize("package", packages())
def test_every_public_call_is_in_the_registry(package: str) -> None:
    codes = [call.code for call in FAMILIES[package].calls] if package in FAMILIES else []
    missing = [n for n, p in public_calls(package) if not any(re.search(p, c) for c in codes)]
    assert not missing


def test_the_registry_is_well_formed() -> None:
    assert {"lowapprox.svd", "lowapprox.sketching"} <= set(FAMILIES)
    for inputs in FAMILIES.values():
        assert all(call.takes <= set(inputs.kinds) for call in inputs.calls)
        assert len({call.code for call in inputs.calls}) == len(inputs.calls)


@pytest.mark.parametrize(
    ("given", "precision"), [(g, p) for p, given in PRECISIONS.items() for g in given]
)
def test_precisions_are_true(given: str, precision: str, matrix: np.ndarray) -> None:
    ones = np.ones((6, 5))
    if given == "bfloat16":
        torch = pytest.importorskip("torch")
        U, s, _ = randomized_svd(torch.from_numpy(ones).to(torch.bfloat16), 1, rng=0)
        assert (U.dtype, s.dtype) == (torch.float32, torch.float32)
        return
    U, s, Vh = randomized_svd(ones.astype(given), 1, rng=0)
    assert U.dtype == Vh.dtype == precision
    assert s.dtype == np.finfo(precision).dtype
    assert float(s[0]) == pytest.approx(np.sqrt(30), rel=1e-6)


@pytest.mark.parametrize("given", REFUSED)
def test_refused_precisions_are_true(given: str) -> None:
    with pytest.raises(InputTypeError, match=r"`A` must have a .* dtype"):
        randomized_svd(np.zeros((4, 3), given), 1)
