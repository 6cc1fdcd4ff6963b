"""The demo on the embedded data, and how it is shown."""

from __future__ import annotations

import importlib
import io
import sys
from pathlib import Path
from typing import Any

import pytest

from lowapprox import demo
from lowapprox._core.demo import DemoRow, timed
from lowapprox._core.errors import MissingDependencyError
from tests.test_architecture import FAMILIES


@pytest.fixture(scope="module")
def found() -> list[DemoRow]:
    return list(demo.rows(quick=True))


def test_every_family_has_rows() -> None:
    assert tuple(f"lowapprox.{family}.demo" for family in FAMILIES) == demo.FAMILIES
    for family in demo.FAMILIES:
        assert importlib.import_module(family).ROWS


def test_rows_say_what_they_should(found: list[DemoRow]) -> None:
    assert len({row.name for row in found}) == len(found)
    for row in found:
        assert row.data
        assert row.method
        assert min(row.shape) > 0
        assert row.seconds > 0
        assert row.exact_seconds > 0
        assert 0 <= row.error < 1, row.name
        assert row.error > 0 or row.kind == "exact", row.name


def test_stated_errors_are_true(found: list[DemoRow]) -> None:
    for row in found:
        if row.kind == "exact":
            assert row.estimate == pytest.approx(row.error, rel=1e-6), row.name
        elif row.kind == "estimate":  # the seeds are fixed
            assert 0.5 < row.estimate / row.error < 2.0, row.name
        else:
            assert row.kind == "bound"
            assert row.estimate >= row.error, row.name


def test_the_tolerance_is_met(found: list[DemoRow]) -> None:
    row = next(row for row in found if row.name == "svd-tolerance")
    assert row.error <= 0.02


def test_plain_table(found: list[DemoRow], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    stream = io.StringIO()
    demo.write_table(found, stream)
    lines = stream.getvalue().splitlines()
    assert lines[0].split()[:4] == ["example", "data", "shape", "method"]
    assert set(lines[1]) == {"-", " "}
    for row, line in zip(found, lines[2:], strict=False):
        for text in (row.name, row.method, f"{row.error:.3e}", f"{row.estimate:.3e} ({row.kind})"):
            assert text in line
    assert max(len(line) for line in lines) <= 140


def test_rich_table(found: list[DemoRow]) -> None:
    pytest.importorskip("rich")
    stream = io.StringIO()
    demo.write_table(found, stream)
    for row in found:
        assert row.name in stream.getvalue()
        assert f"{row.error:.3e}" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.00012, "0.1 ms"), (0.25, "250.0 ms"), (1.0, "1.00 s"), (75.0, "75.00 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert demo._duration(seconds) == text


def test_pictures(found: list[DemoRow], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    files = demo.save_pictures(found, tmp_path / "new" / "folder")
    assert [f.name for f in files] == [f"{row.name}.png" for row in found if row.draw]
    for file in files:
        assert file.read_bytes().startswith(b"\x89PNG")
        assert file.stat().st_size > 5_000


def test_pictures_need_matplotlib(
    found: list[DemoRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "lowapprox\[plot\]"'):
        demo.save_pictures(found, tmp_path)
    assert not list(tmp_path.iterdir())


def test_timing_leaves_out_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = [0.0], []
    durations: Any = iter([100.0, 1.0, 5.0, 2.0])

    def call() -> int:
        clock[0] += next(durations)
        calls.append(1)
        return len(calls)

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    assert timed(call) == (4, 2.0)
