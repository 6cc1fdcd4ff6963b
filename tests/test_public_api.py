"""The public names: they exist, are typed, and are documented."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

import lowapprox
from lowapprox._core.errors import LowApproxError, LowApproxWarning

PACKAGES = (
    "lowapprox",
    "lowapprox.svd",
    "lowapprox.sketching",
    "lowapprox.hamming",
    "lowapprox.regression",
    "lowapprox.completion",
    "lowapprox.datasets",
)

# Other code relies on these: (positional parameters, keyword-only parameters) with defaults.
# Parameters may be added as keywords; none may be renamed, dropped or get another default.
SIGNATURES = {
    "lowapprox.randomized_svd": (
        "A, rank=None",
        "tol=None, norm='fro', method='auto', accuracy='balanced', oversample=None, passes=None, "
        "center=False, sign='auto', certify='free', rng=None, callback=None, progress=False",
    ),
    "lowapprox.svd.randomized_eigh": ("A, rank=None", "tol=None, rng=None"),
    "lowapprox.svd.range_finder": ("A, size", "tol=None, passes=2, rng=None"),
    "lowapprox.svd.nystrom": ("A, rank", "shift='auto', rng=None"),
    "lowapprox.svd.rp_cholesky": (
        "A_or_kernel, rank",
        "diag=None, block=None, tol=None, rng=None",
    ),
    "lowapprox.svd.interpolative": ("A, rank=None", "tol=None, rng=None"),
    "lowapprox.svd.cur": ("A, rank=None", "tol=None, rng=None"),
    "lowapprox.svd.estimate_error": ("A, result", "norm='fro', probes=10, rng=None"),
    "lowapprox.svd.StreamingSVD": ("n_cols, rank", "rng=None"),
    "lowapprox.svd.StreamingSVD.partial_fit": ("self, rows, row_start=None", ""),
    "lowapprox.svd.StreamingSVD.update": ("self, delta", ""),
    "lowapprox.svd.StreamingSVD.merge": ("self, other", ""),
    "lowapprox.svd.StreamingSVD.result": ("self", ""),
    "lowapprox.svd.SVDResult.reconstruct": ("self, rows=None, cols=None", ""),
    "lowapprox.svd.SVDResult.truncate": ("self, k=None", "tol=None"),
    "lowapprox.svd.SVDResult.transform": ("self, X", ""),
    "lowapprox.svd.SVDResult.as_linear_operator": ("self", ""),
    "lowapprox.svd.NystromResult.solve": ("self, b, mu", ""),
    **{
        f"lowapprox.sketching.{name}": ("m, n", "rng=None, dtype=None")
        for name in (
            *("Gaussian", "Rademacher", "SparseSign", "CountSketch", "SRHT", "SRTT", "Fastfood"),
            *("RowSampling", "TensorSRHT", "TensorSketch", "KhatriRaoSign"),
        )
    },
    "lowapprox.sketching.embedding_dim": (
        "d",
        "eps=None, delta=0.05, kind='sparse', purpose='embed'",
    ),
    "lowapprox.sketching.distortion": ("S, X", ""),
    "lowapprox.sketching.fwht": ("x, axis=0", "out=None"),
    "lowapprox.lstsq": (
        "A, b",
        "method='auto', tol=None, ridge=0.0, weights=None, rcond=None, eps=None, delta=0.05, "
        "sketch='auto', check_finite=True, callback=None, rng=None",
    ),
    "lowapprox.regression.lstsq_factor": (
        "A",
        "ridge=0.0, weights=None, rcond=None, sketch='auto', check_finite=True, rng=None",
    ),
    "lowapprox.regression.LstsqFactor.solve": ("self, b", "tol=None"),
    "lowapprox.regression.LstsqFactor.leverage_scores": ("self", ""),
    "lowapprox.regression.LstsqFactor.covariance": ("self, residual_variance=1.0", ""),
    "lowapprox.regression.LstsqFactor.standard_errors": ("self, residual_variance=1.0", ""),
    "lowapprox.regression.LstsqResult.covariance": ("self", ""),
    "lowapprox.hamming_distances": (
        "text, pattern",
        "method='auto', mode='valid', wildcard=None, classes=None, dtype=None, out=None",
    ),
    "lowapprox.hamming.hamming_matches": ("text, pattern, k", "mode='valid'"),
    "lowapprox.hamming.hamming_search": ("text, pattern", "top=1, mode='valid'"),
    "lowapprox.hamming.iter_hamming_distances": ("chunks, pattern", ""),
    "lowapprox.hamming.approximate_hamming_distances": (
        "text, pattern, eps",
        "delta=0.001, rng=None",
    ),
    "lowapprox.complete": (
        "A, rank=None",
        "mask=None, shape=None, method='auto', reg='auto', center=False, row_bias=False, "
        "col_bias=False, nonneg=False, loss='squared', weights=None, init='spectral', "
        "max_iter=None, tol=None, validation=None, callback=None, progress=False, rng=None",
    ),
    "lowapprox.completion.CompletionResult.predict": ("self, rows, cols", ""),
    "lowapprox.completion.CompletionResult.block": ("self, rows=None, cols=None", ""),
    "lowapprox.completion.CompletionResult.fold_in_rows": ("self, A_new", ""),
    "lowapprox.completion.CompletionResult.fold_in_cols": ("self, A_new", ""),
    "lowapprox.completion.CompletionResult.update": ("self, A_more", ""),
    "lowapprox.completion.read_ratings": ("path", "sep=None, header=None, dtype='float32'"),
    "lowapprox.thread_limit": ("n", ""),
    "lowapprox.show_config": ("", ""),
}

FIELDS = {
    "lowapprox.hamming.Matches": "positions distances",
    "lowapprox.regression.LstsqResult": (
        "x residual_norm backward_error forward_error_bound entry_bound cond_estimate rank "
        "converged passes info residual_variance standard_errors covariance"
    ),
    "lowapprox.regression.LstsqFactor": (
        "shape rank cond_estimate passes info solve leverage_scores covariance standard_errors"
    ),
    "lowapprox.completion.CompletionResult": (
        "U s V offset row_bias col_bias rank history converged reason diagnostics iterations info "
        "predict block to_dense fold_in_rows fold_in_cols update as_linear_operator save load"
    ),
    "lowapprox.svd.SVDResult": (
        "U s Vh rank error error_kind error_bound failure_probability residuals converged passes "
        "matvecs info explained_variance_ratio"
    ),
    "lowapprox.svd.EighResult": "w V converged passes info",
    "lowapprox.svd.RangeResult": "Q converged passes info",
    "lowapprox.svd.NystromResult": "U w converged passes info preconditioner",
    "lowapprox.svd.PivotedCholeskyResult": "F pivots trace_error converged iterations info",
    "lowapprox.svd.InterpolativeResult": "indices coefficients converged passes info",
    "lowapprox.svd.CURResult": "C U R row_indices col_indices converged passes info",
    "lowapprox.svd.ErrorEstimate": "value lower upper",
    **{
        f"lowapprox.sketching.{name}": "T H shape toarray columns apply_rows"
        for name in (
            *("Gaussian", "Rademacher", "SparseSign", "CountSketch", "SRHT", "SRTT", "Fastfood"),
            *("RowSampling", "TensorSRHT", "TensorSketch", "KhatriRaoSign"),
        )
    },
}


def resolve(path: str) -> Any:
    """Read attributes as far as they go, and import modules where they do not."""
    names = path.split(".")
    found: Any = importlib.import_module(names[0])
    for i, name in enumerate(names[1:], 2):
        if not hasattr(found, name):
            importlib.import_module(".".join(names[:i]))
        found = getattr(found, name)
    return found


def public() -> list[tuple[str, Any]]:
    """Every public function and class once, with the shortest path to it."""
    found: dict[int, tuple[str, Any]] = {}
    for package in PACKAGES:
        for name in importlib.import_module(package).__all__:
            value = resolve(f"{package}.{name}")
            if inspect.isfunction(value) or inspect.isclass(value):
                found.setdefault(id(value), (f"{package}.{name}", value))
    return list(found.values())


PUBLIC = public()
FUNCTIONS = [(path, f) for path, f in PUBLIC if inspect.isfunction(f)]
METHODS = [
    (f"{path}.{name}", f)
    for path, cls in PUBLIC
    if inspect.isclass(cls)
    for name, f in inspect.getmembers(cls)
    if not name.startswith("_")
    and (inspect.isfunction(f) or isinstance(f, property))
    and getattr(f.fget if isinstance(f, property) else f, "__module__", "").startswith("lowapprox")
]


@pytest.mark.parametrize("package", PACKAGES)
def test_all_names_exist_and_are_listed(package: str) -> None:
    module = importlib.import_module(package)
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("package", PACKAGES[1:])
def test_nothing_else_is_public(package: str) -> None:
    module = importlib.import_module(package)
    names = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert names == set(module.__all__)


def test_star_import() -> None:
    names: dict[str, Any] = {}
    exec("from lowapprox import *", names)
    assert set(lowapprox.__all__) <= set(names)


def test_unknown_names_raise() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lowapprox.nothing
    with pytest.raises(ImportError):
        exec("from lowapprox import nothing")


def test_stub_agrees_with_the_package() -> None:
    stub = Path(lowapprox.__file__).with_suffix(".pyi")
    tree = ast.parse(stub.read_text())
    names = {"__version__"}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            for alias in node.names:
                assert alias.asname == alias.name  # else a stub does not export it
                names.add(alias.name)
                assert resolve(f"{node.module}.{alias.name}") is getattr(lowapprox, alias.name)
    assert names == set(lowapprox.__all__)
    declared = {n.target.id for n in tree.body if isinstance(n, ast.AnnAssign)}  # type: ignore[union-attr]
    assert declared == {"__all__", "__version__"}


@pytest.mark.parametrize("path", SIGNATURES)
def test_signatures(path: str) -> None:
    positional, keywords = SIGNATURES[path]
    parameters = list(inspect.signature(resolve(path)).parameters.values())
    plain = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    shown = [str(p.replace(annotation=p.empty)) for p in plain]
    wanted = list(filter(None, positional.split(", ")))
    assert shown[: len(wanted)] == wanted
    assert all("=" in name for name in shown[len(wanted) :])  # what was added may be left out
    only = {str(p.replace(annotation=p.empty)) for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert set(filter(None, keywords.split(", "))) <= only


@pytest.mark.parametrize("path", FIELDS)
def test_fields(path: str) -> None:
    cls = resolve(path)
    known = set(dir(cls)) | set(getattr(cls, "__dataclass_fields__", ()))
    known |= set(re.findall(r"self\.(\w+)(?:: [^=\n]+)? =", inspect.getsource(cls)))
    known |= {name for base in cls.__mro__ for name in getattr(base, "__annotations__", ())}
    assert set(FIELDS[path].split()) <= known


def section(doc: str, title: str) -> str:
    """Return the text of a numpydoc section, empty when there is none."""
    found = re.search(
        rf"^{title}\n-{{{len(title)}}}\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", doc, re.M | re.S
    )
    return found.group(1) if found else ""


def described(text: str) -> set[str]:
    """Names that a Parameters or Attributes section describes."""
    lines = re.findall(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: :|$)", text, re.M)
    return {name.strip("*") for line in lines for name in line.split(", ")}


@pytest.mark.parametrize(("path", "function"), FUNCTIONS, ids=[p for p, _ in FUNCTIONS])
def test_functions_are_documented(path: str, function: Any) -> None:
    doc = inspect.getdoc(function) or ""
    parameters = set(inspect.signature(function).parameters)
    assert described(section(doc, "Parameters")) == parameters
    returns = inspect.signature(function).return_annotation
    if returns != "None" and not str(returns).startswith("Iterator"):
        assert section(doc, "Returns")
    assert ">>> " in section(doc, "Examples")


@pytest.mark.parametrize(
    ("path", "cls"),
    [(p, c) for p, c in PUBLIC if inspect.isclass(c)],
    ids=[p for p, c in PUBLIC if inspect.isclass(c)],
)
def test_classes_are_documented(path: str, cls: Any) -> None:
    doc = inspect.getdoc(cls) or ""
    assert cls.__doc__
    if issubclass(cls, (LowApproxError, LowApproxWarning)):
        return
    if is_dataclass(cls):
        names = {f.name for f in fields(cls) if not f.name.startswith("_")}
        assert names <= described(section(doc, "Attributes"))
    elif issubclass(cls, tuple):
        assert described(section(doc, "Attributes")) == set(cls._fields)
    else:
        assert described(section(doc, "Parameters")) == set(inspect.signature(cls).parameters)
        assert ">>> " in section(doc, "Examples")


@pytest.mark.parametrize(("path", "method"), METHODS, ids=[p for p, _ in METHODS])
def test_methods_are_documented(path: str, method: Any) -> None:
    doc = inspect.getdoc(method) or ""
    assert doc
    if isinstance(method, property):
        return
    parameters = set(inspect.signature(method).parameters) - {"self", "cls"}
    if parameters and section(doc, "Parameters"):
        assert described(section(doc, "Parameters")) == parameters


def test_summary_lines_are_sentences() -> None:
    for path, value in PUBLIC + METHODS:
        first = (inspect.getdoc(value) or "").split("\n\n")[0]
        assert first.endswith((".", ":")), path
