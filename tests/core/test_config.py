"""What the library says about its surroundings."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import lowapprox
from lowapprox._core import config


def test_what_is_reported() -> None:
    info = config.config_info()
    assert info["lowapprox"] == lowapprox.__version__
    assert info["packages"]["numpy"] == np.__version__
    assert info["packages"]["numba"] == numba.__version__
    assert info["cpus"] == os.cpu_count()
    assert info["kernel threads"] == numba.get_num_threads()
    assert info["threading layer"] in {"workqueue", "omp", "tbb"}
    assert info["blas"]
    assert info["devices"]
    assert info["kernel cache"]


def kernel_cache(setup: str = "", **environment: str) -> str:
    """What a process of its own says."""
    code = f"{setup}\nfrom lowapprox._core.config import config_info"
    code += "\nprint(config_info()['kernel cache'])"
    env = os.environ | {"NUMBA_DISABLE_JIT": "0"} | environment
    run = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def test_the_kernel_cache_is_where_numba_writes(tmp_path: Path) -> None:
    assert Path(kernel_cache(NUMBA_CACHE_DIR=str(tmp_path))).is_relative_to(tmp_path)
    no_place = "from numba.core.caching import CacheImpl; CacheImpl._locator_classes = []"
    assert kernel_cache(no_place) == "none, no folder can be written"
    assert kernel_cache(NUMBA_DISABLE_JIT="1") == "none, the kernels run as Python"


def test_printed_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    lowapprox.show_config()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].strip() for line in lines] == list(config.config_info())


def test_packages_that_are_missing_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "scikit-learn":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    assert "scikit-learn" not in config.config_info()["packages"]


@pytest.mark.parametrize("devices", [0, 2])
def test_cuda_devices(devices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Runtime:
        class CUDARuntimeError(Exception):
            pass

        def getDeviceCount(self) -> int:  # noqa: N802
            if not devices:
                raise self.CUDARuntimeError("no driver")
            return devices

        def getDeviceProperties(self, i: int) -> dict[str, Any]:  # noqa: N802
            return {"name": f"card {i}".encode()}

    cupy = types.ModuleType("cupy")
    cupy.cuda = types.SimpleNamespace(runtime=Runtime())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    real = config._version
    monkeypatch.setattr(config, "_version", lambda p: "13.6" if "cupy" in p else real(p))
    assert config.config_info()["devices"] == (["card 0", "card 1"] if devices else ["cpu"])
