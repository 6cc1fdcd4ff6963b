"""The embedded data are what the README of their folder says."""

from __future__ import annotations

import hashlib
from importlib import resources

import numpy as np
import pytest

from lowapprox import datasets

HASHES = {
    "photograph": "f5658c303bd1136092f9b5b86098d69a129c0eabbf401b63f175f9272cf08dcd",
    "elevation": "29d7ef31c188d28e81739050756468d334859640c0724c8e3940703f0cae2c3d",
    "documents": "55b1304a38bece6505c58673d799f82033a43c18f05f3ca4bac61601c28ea670",
    "genome": "67fecb8cc915ccdabedc21f80ae4395d057ceb4e10e7a49fb499b9b675ea8dde",
}
PHOTOGRAPH = "5cb24482a53416f99052258be2b1ee38cd31c559a70c8a8b321cba231b332e21"
ELEVATION = "0c7e9f894eb7c8d444ca4475e64249e060d96c90ab63fdf439a0381c590ed502"
GENOME = "36432a40f602258d19ae7c8152ddbc30390b559f2859c01d7047c77b048c71b3"
FOLDER = resources.files("lowapprox.datasets")


@pytest.mark.parametrize("name", datasets.SOURCES)
def test_files_are_those_whose_licence_was_checked(name: str) -> None:
    assert hashlib.sha256((FOLDER / f"{name}.npz").read_bytes()).hexdigest() == HASHES[name]


def test_every_file_has_a_source_and_a_line_in_the_readme() -> None:
    files = {f.name for f in FOLDER.iterdir() if f.name.endswith(".npz")}
    assert files == {f"{name}.npz" for name in datasets.SOURCES}
    readme = (FOLDER / "README.md").read_text()
    for name, source in datasets.SOURCES.items():
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{name}.npz`"))
        assert all(source)
        assert source.licence in row
        assert callable(getattr(datasets, name))


def test_the_wheel_stays_small() -> None:
    assert sum(len((FOLDER / f"{name}.npz").read_bytes()) for name in datasets.SOURCES) < 400_000


def test_photograph() -> None:
    image = datasets.photograph()
    assert (image.shape, image.dtype) == ((512, 512), np.uint8)
    assert (int(image.min()), int(image.max())) == (0, 255)
    # Neighbours in a photograph differ little: the differences were summed along the right axis.
    assert np.abs(np.diff(image.astype(int), axis=0)).mean() < 10
    assert hashlib.sha256(image.tobytes()).hexdigest() == PHOTOGRAPH


def test_elevation() -> None:
    z = datasets.elevation()
    assert (z.shape, z.dtype) == ((344, 403), np.int16)
    assert (int(z.min()), int(z.max())) == (236, 1076)
    assert np.abs(np.diff(z.astype(int), axis=0)).mean() < 20
    assert hashlib.sha256(z.astype("<i2").tobytes()).hexdigest() == ELEVATION


def test_documents() -> None:
    counts, titles, terms = datasets.documents()
    assert counts.shape == (len(titles), len(terms)) == (697, 1587)
    assert counts.has_canonical_format
    assert counts.data.min() >= 1
    used = np.bincount(counts.indices, minlength=len(terms))
    assert used.min() >= 30
    assert used.max() <= 0.12 * len(titles)
    assert list(terms) == sorted(set(terms))
    # A proposal about hooks uses that word most: counts, titles and terms belong together.
    row = counts[[titles.index("New Import Hooks")]].toarray()[0]
    assert terms[int(row.argmax())] == "hooks"


def test_genome() -> None:
    bases = datasets.genome()
    assert (len(bases), set(bases)) == (48_502, set("ACGT"))
    # The first cohesive end, and the operator next to the promoter of the gene N.
    assert bases.startswith("GGGCGGCGACCT")
    assert bases.index("TATCACCGCCAGTGGTA") == 35_590
    assert hashlib.sha256(bases.encode()).hexdigest() == GENOME


@pytest.mark.parametrize("name", ["photograph", "elevation"])
def test_each_call_returns_a_fresh_array(name: str) -> None:
    load = getattr(datasets, name)
    first = load()
    first[...] = 0
    assert load().any()
