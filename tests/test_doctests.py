"""Every example of every docstring runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

import lowapprox

MODULES = [
    m.name
    for m in pkgutil.walk_packages(lowapprox.__path__, "lowapprox.")
    if not m.name.endswith("__main__") and ".kernels" not in m.name
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    with np.printoptions(legacy=False):
        result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_examples_of_the_readme() -> None:
    readme = Path(__file__).resolve().parents[1] / "README.md"
    result = doctest.testfile(str(readme), module_relative=False)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.filterwarnings("ignore:the entries fall into 2 parts:lowapprox.AccuracyWarning")
@pytest.mark.parametrize(
    "page", ["index", "quickstart", "guide/sketching", "guide/hamming", "guide/completion"]
)
def test_code_of_the_documentation(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).resolve().parents[1] / "docs" / f"{page}.rst").read_text()
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text)
    gen = np.random.default_rng(0)
    names = {"A": gen.standard_normal((200, 150)), "X": gen.standard_normal((200, 50))}
    ratings = gen.standard_normal((80, 1)) + gen.standard_normal(60)
    ratings += 0.3 * gen.standard_normal((80, 60))
    names["ratings"] = np.where(gen.random((80, 60)) < 0.5, ratings, np.nan)
    monkeypatch.chdir(tmp_path)
    np.save("text.npy", gen.integers(0, 4, 1000))
    Path("letters.txt").write_text("abracadabra")
    taste = np.outer(gen.standard_normal(70), gen.standard_normal(70))
    stars = np.clip(np.round(3 + taste + 0.3 * gen.standard_normal((70, 70))), 1, 5)
    rated = np.argwhere(gen.random((70, 70)) < 0.3).tolist()
    lines = [f"{180 + i}\t{200 + j}\t{stars[i, j]:.0f}\t881250949\n" for i, j in rated]
    for file in ("u1.base", "u1.test"):
        Path(file).write_text("".join(lines))
    assert blocks
    for block in blocks:  # in order, as one reads them
        exec(textwrap.dedent(block), names)


def test_examples_are_found() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = finder.find(importlib.import_module("lowapprox.svd.randomized"))
    assert sum(len(e.examples) for e in examples) >= 3
