"""Loaders of the embedded data, and where each comes from."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

__all__ = ["SOURCES", "Documents", "Source", "documents", "elevation", "genome", "photograph"]


class Source(NamedTuple):
    """Where a data set comes from.

    Attributes
    ----------
    title : str
        What it shows.
    creator : str
        Who made it.
    licence : str
        SPDX identifier, or the words of the public-domain statement.
    origin : str
        Where it was taken from.
    """

    title: str
    creator: str
    licence: str
    origin: str


SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "photograph": Source(
            "A man with a camera on a tripod, 512 x 512, grey levels",
            "Lav Varshney",
            "CC0-1.0",
            "scikit-image 0.26.0, skimage/data/camera.png",
        ),
        "elevation": Source(
            "Terrain around the Jacksboro fault, Tennessee, 344 x 403 points, metres",
            "NASA and USGS, Shuttle Radar Topography Mission",
            "public domain",
            "Matplotlib 3.11.2, sample_data/jacksboro_fault_dem.npz",
        ),
        "documents": Source(
            "Counts of words in the Python Enhancement Proposals",
            "the authors of each proposal",
            "public domain, or CC0-1.0 where a proposal says so",
            "github.com/python/peps, commit ba4deeb7969588d937da609008d05bb83a47b1ab",
        ),
        "genome": Source(
            "Genome of the bacteriophage lambda, 48,502 bases",
            "F. Sanger, A. R. Coulson, G. F. Hong, D. F. Hill, G. B. Petersen",
            "no restrictions",
            "NCBI record NC_001416.1, from racon 1.5.0, test/data/sample_reference.fasta.gz",
        ),
    }
)


class Documents(NamedTuple):
    """A document-term matrix and the names of its rows and columns.

    Attributes
    ----------
    counts : scipy.sparse.csr_array, shape (697, 1587)
        How often each document uses each term.
    titles : tuple of str
        Titles of the documents.
    terms : tuple of str
        Terms, in alphabetical order.
    """

    counts: Any
    titles: tuple[str, ...]
    terms: tuple[str, ...]


def photograph() -> np.ndarray[Any, Any]:
    """Return a photograph as grey levels.

    Returns
    -------
    ndarray, shape (512, 512), uint8

    Examples
    --------
    >>> from lowapprox import datasets
    >>> datasets.photograph().shape
    (512, 512)
    """
    # Stored as differences along the rows, which compress better; the sums wrap around.
    return np.cumsum(_load("photograph")["steps"], axis=1, dtype=np.uint8)


def elevation() -> np.ndarray[Any, Any]:
    """Return heights above the sea on a grid of three arc seconds, north at the top.

    Returns
    -------
    ndarray, shape (344, 403), int16
        Metres.

    Examples
    --------
    >>> from lowapprox import datasets
    >>> z = datasets.elevation()
    >>> int(z.min()), int(z.max())
    (236, 1076)
    """
    data = _load("elevation")
    return np.cumsum(np.hstack([data["first"], data["steps"]]), axis=1, dtype=np.int16)


def documents() -> Documents:
    """Return the counts of words in 697 Python Enhancement Proposals.

    Returns
    -------
    Documents
        Sparse counts, titles of the documents, and the terms.

    Notes
    -----
    Terms are runs of at least three letters a-z in the lower-cased text that occur in at least
    30 documents and in at most 12 % of them.

    Examples
    --------
    >>> from lowapprox import datasets
    >>> datasets.documents().counts.shape
    (697, 1587)
    """
    import scipy.sparse

    data = _load("documents")
    lengths, gaps = data["lengths"].astype(np.int32), data["gaps"].astype(np.int32)
    indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int32)])
    # The first column of a row is stored as it is, the others as steps from the one before.
    total = np.cumsum(gaps, dtype=np.int32)
    before = np.concatenate([[0], total])[indptr[:-1]]
    indices = total - np.repeat(before, lengths).astype(np.int32)
    titles, terms = (tuple(bytes(data[k]).decode().split("\n")) for k in ("titles", "terms"))
    counts = scipy.sparse.csr_array(
        (data["counts"].astype(np.int32), indices, indptr.astype(np.int32)),
        shape=(len(titles), len(terms)),
    )
    return Documents(counts, titles, terms)


def genome() -> str:
    """Return the genome of the bacteriophage lambda, one strand, as letters A, C, G and T.

    Returns
    -------
    str, 48502 letters

    References
    ----------
    .. [1] F. Sanger, A. R. Coulson, G. F. Hong, D. F. Hill, G. B. Petersen, "Nucleotide sequence of
       bacteriophage lambda DNA", J. Mol. Biol. 162 (1982), doi:10.1016/0022-2836(82)90546-0.

    Examples
    --------
    >>> from lowapprox import datasets
    >>> datasets.genome()[:12]
    'GGGCGGCGACCT'
    """
    data = _load("genome")
    # Four bases to a byte, the first one lowest.
    bases = data["bases"][:, None] >> np.array([0, 2, 4, 6], dtype=np.uint8) & 3
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)[bases.ravel()[: int(data["size"])]]
    return str(letters.tobytes(), "ascii")


def _load(name: str) -> dict[str, np.ndarray[Any, Any]]:
    file = resources.files("lowapprox.datasets") / f"{name}.npz"
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
        return dict(data)
