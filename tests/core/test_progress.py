"""Callbacks and the progress line."""

from __future__ import annotations

from typing import Any

import pytest

from lowapprox._core.progress import Progress, Reporter


@pytest.mark.parametrize(
    ("answer", "stop"), [(None, False), (False, False), (0, False), (True, True), (1, True)]
)
def test_callback_gets_a_record_and_may_stop(answer: Any, stop: bool) -> None:
    seen: list[Progress] = []

    def callback(record: Progress) -> Any:
        seen.append(record)
        return answer

    assert Reporter(callback, progress=False)(3, 7, 0.5, 0.1) is stop
    assert seen == [Progress(step=3, passes=7, value=0.5, target=0.1)]
    with pytest.raises(AttributeError):
        seen[0].step = 1


def test_without_callback_and_display_nothing_happens(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(None, progress=False)
    assert reporter(1, 1, 1.0, 0.1) is False
    reporter.close()
    assert capsys.readouterr() == ("", "")


def test_display_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(None, progress=True)
    reporter(1, 2, 0.25, 1e-3)
    reporter(2, 4, 0.125, 1e-3)
    reporter.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\r") == 2
    assert "step 2, 4 passes" in err
    assert "1.25e-01" in err
    assert err.endswith("\n")


def test_errors_of_the_callback_reach_the_caller() -> None:
    def callback(record: Progress) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Reporter(callback, progress=False)(1, 1, 1.0, 0.1)
