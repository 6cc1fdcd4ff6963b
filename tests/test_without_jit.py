"""Kernels are Python too: their tests pass when nothing is compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Files, and what of them is quick enough without the compiler; `nox -s nojit` runs everything.
RUNS = [
    ("tests/completion/test_tangent.py", "forward or adjoint or normal or inverse"),
    ("tests/sketching/test_hash.py", "not independent"),
    ("tests/sketching/test_operators.py", "test_products or partition or identity or degenerate"),
]


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="this is that run")
@pytest.mark.parametrize(("file", "chosen"), RUNS)
def test_kernels_without_the_compiler(file: str, chosen: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file, "-k", chosen]
    env = os.environ | {"NUMBA_DISABLE_JIT": "1", "HYPOTHESIS_PROFILE": "dev"}
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stdout
    assert " passed" in run.stdout
