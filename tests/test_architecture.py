"""Imports point down: every file is read and compared with the table of allowed edges."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "lowapprox").rglob("*.py"))

# What each part may import besides itself. A new family adds its name to FAMILIES.
FAMILIES = ("completion", "hamming", "regression", "svd")
CORE = {"base", "_core"}
BELOW_FAMILIES = CORE | {"datasets", "sketching", "_subspace"}
ALLOWED: dict[str, set[str]] = {
    "base": set(),  # _core/errors.py, typing.py, jit.py, simd*.py
    "_core": {"base"},
    "datasets": CORE,
    "sketching": CORE,
    "_subspace": CORE | {"sketching"},
    **dict.fromkeys(FAMILIES, BELOW_FAMILIES),
    "adapters": BELOW_FAMILIES | set(FAMILIES),  # cli.py, demo.py, plot.py, estimators.py
    "lowapprox": {"adapters"} | BELOW_FAMILIES | set(FAMILIES),  # lowapprox/__init__.py
}
BASE = {"errors", "typing", "jit", "simd", "simd_tiles"}
ADAPTERS = {"__main__", "cli", "demo", "plot", "estimators"}
NUMBA_DOORS = {f"lowapprox/_core/{door}.py" for door in ("jit", "simd", "simd_tiles")}
NUMBA_SETTINGS = {"lowapprox/_core/threads.py", "lowapprox/_core/config.py"}
# Too slow, or optional: only inside the function that needs them.
HEAVY = {
    *("scipy", "numba", "llvmlite", "array_api_compat", "threadpoolctl", "sklearn", "matplotlib"),
    *("torch", "cupy", "jax", "dask", "rich", "pandas", "joblib"),
}
KERNEL_IMPORTS = {"__future__", "math", "typing", "collections.abc", "numpy"}
KERNEL_DOORS = {f"lowapprox._core.{door}" for door in ("jit", "simd", "simd_tiles")}


def part(module: str) -> str:
    """Name the part of the package that a module belongs to."""
    names = module.split(".")
    if len(names) == 1:
        return "lowapprox"
    if names[1] == "_core":
        return "base" if len(names) > 2 and names[2] in BASE else "_core"
    return "adapters" if names[1] in ADAPTERS else names[1]


def module_of(path: str) -> str:
    names = PurePosixPath(path).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def is_kernel(module: str) -> bool:
    return module.rsplit(".", maxsplit=1)[-1].startswith("kernels")


def imports(tree: ast.Module) -> Iterator[tuple[str, bool, bool]]:
    """Yield (module, at the top, for types only) of every import, however deep."""

    def walk(node: ast.AST, top: bool, types: bool) -> Iterator[tuple[str, bool, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, top, types) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "imports are absolute"
                assert child.module is not None
                for alias in child.names:
                    full = f"{child.module}.{alias.name}"
                    source = ROOT / full.replace(".", "/")
                    inner = source.is_dir() or source.with_suffix(".py").is_file()
                    yield (full if inner else child.module), top, types
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for statement in child.body:
                    yield from walk(ast.Module([statement], []), top, True)
                for statement in child.orelse:
                    yield from walk(ast.Module([statement], []), top, types)
            else:
                inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                yield from walk(child, top and not inside, types)

    yield from walk(tree, True, False)


def shares(module: str, target: str) -> bool:
    """Tell whether both are kernel files of one folder, which may share pieces of loops."""
    return (
        is_kernel(module)
        and is_kernel(target)
        and module.rpartition(".")[0] == (target.rpartition(".")[0])
    )


def violations(path: str, source: str) -> list[str]:
    """Return what is wrong with a file, in words."""
    module, tree = module_of(path), ast.parse(source)
    here, found = part(module), []
    for target, top, types in imports(tree):
        package = target.split(".", maxsplit=1)[0]
        if package == "lowapprox":
            there = part(target)
            if there not in {here, "lowapprox"} and there not in ALLOWED[here]:
                found.append(f"{here} imports {target}")
            if there == "lowapprox" and top and here not in {"adapters", "lowapprox"}:
                found.append(f"{here} imports the package that imports it")
            if top and not types and is_kernel(target) and not shares(module, target):
                found.append(f"{target} at the top loads numba")
            if target in KERNEL_DOORS and not types and top and not _may_open(path, module):
                found.append(f"{target} at the top loads numba")
        if package in {"numba", "llvmlite"} and path not in NUMBA_DOORS:
            if top or path not in NUMBA_SETTINGS:
                found.append(f"{target} outside the door")
        elif package in HEAVY and top and not types and path not in NUMBA_DOORS:
            found.append(f"{target} at the top")
        allowed = target in KERNEL_IMPORTS | KERNEL_DOORS or shares(module, target)
        if is_kernel(module) and not allowed:
            found.append(f"a kernel imports {target}")
    found += _forbidden_calls(path, tree)
    return found


def _may_open(path: str, module: str) -> bool:
    return is_kernel(module) or path in NUMBA_DOORS


def _forbidden_calls(path: str, tree: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if name.startswith(("np.random.default_rng", "np.random.seed")):
                if path != "lowapprox/_core/rng.py":
                    found.append(f"{name} outside _core/rng.py")
            elif name == "np.linalg" and is_kernel(module_of(path)):
                found.append("np.linalg in a kernel compiles for seconds")
        elif isinstance(node, ast.keyword) and ast.unparse(node) == "fastmath=True":
            found.append("fastmath=True lets NaN pass")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_imports(file: Path) -> None:
    assert violations(file.relative_to(ROOT).as_posix(), file.read_text()) == []


def test_every_part_is_in_the_table() -> None:
    assert {part(module_of(f.relative_to(ROOT).as_posix())) for f in FILES} <= set(ALLOWED)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("lowapprox/_core/errors.py", "from lowapprox._core.matrix import as_matrix"),
        ("lowapprox/_core/matrix.py", "from lowapprox.sketching import Gaussian"),
        ("lowapprox/_core/matrix.py", "def f():\n    import lowapprox.svd"),
        ("lowapprox/_core/matrix.py", "from lowapprox import svd"),
        ("lowapprox/sketching/gaussian.py", "from lowapprox._subspace import orth"),
        ("lowapprox/svd/krylov.py", "from lowapprox.demo import rows"),
        ("lowapprox/svd/krylov.py", "def f():\n    from lowapprox import cli"),
        ("lowapprox/svd/krylov.py", "import scipy.linalg"),
        ("lowapprox/svd/krylov.py", "try:\n    import sklearn\nexcept ImportError:\n    pass"),
        ("lowapprox/svd/krylov.py", "def f():\n    import numba"),
        ("lowapprox/_core/threads.py", "import numba"),
        ("lowapprox/svd/krylov.py", "from lowapprox.svd.kernels import product"),
        ("lowapprox/svd/krylov.py", "from lowapprox._core.jit import kernel"),
        ("lowapprox/svd/kernels.py", "import scipy.sparse"),
        ("lowapprox/svd/kernels.py", "from lowapprox.hamming.kernels_bits import mark"),
        ("lowapprox/svd/kernels.py", "def f():\n    from lowapprox._core.errors import InputError"),
        ("lowapprox/svd/kernels.py", "import numpy as np\nnp.linalg.solve"),
        ("lowapprox/svd/kernels.py", "kernel(fastmath=True)"),
        ("lowapprox/svd/krylov.py", "import numpy as np\ngen = np.random.default_rng(0)"),
    ],
)
def test_a_violation_is_found(path: str, source: str) -> None:
    assert violations(path, source) != []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("lowapprox/svd/krylov.py", "def f():\n    import scipy.linalg"),
        ("lowapprox/svd/krylov.py", "if TYPE_CHECKING:\n    from scipy.sparse import csr_array"),
        ("lowapprox/svd/krylov.py", "from lowapprox._subspace.orth import orth"),
        ("lowapprox/svd/krylov.py", "def f():\n    from lowapprox.svd.kernels import product"),
        ("lowapprox/svd/kernels.py", "import numpy as np\nfrom lowapprox._core.jit import kernel"),
        ("lowapprox/svd/kernels_more.py", "from lowapprox.svd.kernels import product"),
        ("lowapprox/_core/threads.py", "def f():\n    import numba"),
        ("lowapprox/_core/config.py", "def f():\n    from lowapprox import __version__"),
        ("lowapprox/cli.py", "from lowapprox import __version__"),
    ],
)
def test_what_is_allowed_passes(path: str, source: str) -> None:
    assert violations(path, source) == []
