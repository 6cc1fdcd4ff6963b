"""The package in a process of its own: what is loaded, caches, spawned workers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import lowapprox

ROOT = Path(__file__).resolve().parents[1]
compiled = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="no compilation")


def run(code: str, **environment: str) -> Any:
    """Run code in a fresh interpreter that treats warnings as errors; return its JSON output."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        cwd=ROOT,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


LOADED = "import json, sys; print(json.dumps([m for m in {names!r} if m in sys.modules]))"
HEAVY = ["numpy", "scipy", "numba", "llvmlite", "array_api_compat", "threadpoolctl", "dask"]
OPTIONAL = ["sklearn", "matplotlib", "torch", "rich", "pandas"]


def test_import_loads_nothing_heavy() -> None:
    assert run("import lowapprox\n" + LOADED.format(names=HEAVY + OPTIONAL)) == []


def test_errors_and_version_load_nothing_heavy() -> None:
    code = "import lowapprox; lowapprox.InputError, lowapprox.__version__, dir(lowapprox)\n"
    assert run(code + LOADED.format(names=HEAVY + OPTIONAL)) == []


def test_the_command_starts_without_heavy_imports() -> None:
    code = """
    import lowapprox.cli
    try:
        lowapprox.cli.main(["--version"])
    except SystemExit:
        pass
    """
    assert run(textwrap.dedent(code) + LOADED.format(names=HEAVY + OPTIONAL)) == []


@pytest.mark.parametrize("package", ["svd", "sketching", "datasets"])
def test_families_load_no_numba_and_no_scipy(package: str) -> None:
    names = [m for m in HEAVY + OPTIONAL if m != "numpy"]
    assert run(f"import lowapprox.{package}\n" + LOADED.format(names=names)) == []


def test_a_small_dense_svd_needs_no_numba() -> None:
    code = """
    import numpy as np, lowapprox
    A = np.random.default_rng(0).standard_normal((60, 40))
    lowapprox.randomized_svd(A, 3, rng=0)
    lowapprox.svd.range_finder(A, 5, rng=0)
    """
    names = ["numba", "llvmlite", *OPTIONAL]
    assert run(textwrap.dedent(code) + LOADED.format(names=names)) == []


@compiled
def test_numba_is_loaded_for_large_dense_matrices_alone() -> None:
    """By size and dtype: what ran before in the process has no say in it."""
    code = """
    import json, sys
    import numpy as np, lowapprox
    from lowapprox._core.dense import KERNEL_ENTRIES
    m = KERNEL_ENTRIES // 64
    A = np.random.default_rng(0).standard_normal((m, 64))
    loaded = []
    for B in (A[:-1], A.astype(complex), A):
        lowapprox.randomized_svd(B, 2, method="krylov", rng=0)
        loaded.append("numba" in sys.modules)
    print(json.dumps(loaded))
    """
    assert run(code) == [False, False, True]


SPARSE = """
import json, sys
import numpy as np, scipy.sparse, lowapprox
A = scipy.sparse.random_array((3000, 2000), density=0.2, format="csr", rng=0)
S = lowapprox.sketching.SparseSign(50, 3000, rng=0) @ A
s = lowapprox.randomized_svd(A, 8, rng=0).s
assert "numba" in sys.modules
print(json.dumps([float(abs(S).sum()), s.tolist()]))
"""


@compiled
def test_kernels_run_where_nothing_can_be_cached() -> None:
    """numba finds no place that it may write to: the same results, compiled for this process."""
    no_place = "from numba.core.caching import CacheImpl; CacheImpl._locator_classes = []\n"
    expected_sum, expected_s = run(SPARSE)
    found_sum, found_s = run(no_place + SPARSE)
    assert found_sum == pytest.approx(expected_sum, rel=1e-12)
    assert found_s == pytest.approx(expected_s, rel=1e-9)


@compiled
def test_cache_folder_can_be_chosen(tmp_path: Path) -> None:
    run(SPARSE, NUMBA_CACHE_DIR=str(tmp_path))
    assert list(tmp_path.rglob("*.nbi"))


def test_spawned_workers(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(
        textwrap.dedent(
            """
            import multiprocessing
            import numpy as np
            import lowapprox

            def work(seed):
                A = np.random.default_rng(seed).standard_normal((200, 90))
                return lowapprox.randomized_svd(A, 4, rng=seed)

            if __name__ == "__main__":
                with multiprocessing.get_context("spawn").Pool(2) as pool:
                    results = pool.map(work, [0, 1])
                for seed, result in enumerate(results):
                    assert np.allclose(result.s, work(seed).s, rtol=1e-10)
                print("done")
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr


def test_module_runs_as_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lowapprox", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"lowapprox {lowapprox.__version__}"


def test_metadata_agrees_with_the_package() -> None:
    assert metadata.version("lowapprox") == lowapprox.__version__
    scripts = metadata.entry_points(group="console_scripts", name="lowapprox")
    assert {e.value for e in scripts} == {"lowapprox.cli:main"}


def test_citation_and_changelog_agree_with_the_version() -> None:
    assert f"version: {lowapprox.__version__}" in (ROOT / "CITATION.cff").read_text()
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_two_commands_of_the_readme() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert lines.count("pip install uv && uv run lowapprox demo") == 1
    tests = [line for line in lines if re.match("pip install uv && uv run .*pytest", line)]
    # What .ci/run reads.
    assert tests == ["pip install uv && uv run --group test pytest -n auto --dist loadfile"]


def test_type_marker_is_there() -> None:
    assert (Path(lowapprox.__file__).parent / "py.typed").is_file()
