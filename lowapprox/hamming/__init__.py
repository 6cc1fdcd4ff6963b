"""Text-to-pattern Hamming distances: exact, bounded, approximate."""

from lowapprox.hamming.alphabet import IUPAC
from lowapprox.hamming.approximate import SamplingInfo, approximate_hamming_distances
from lowapprox.hamming.bounded import hamming_matches
from lowapprox.hamming.distances import hamming_distances
from lowapprox.hamming.result import Matches
from lowapprox.hamming.search import hamming_search
from lowapprox.hamming.stream import iter_hamming_distances

__all__ = [
    "IUPAC",
    "Matches",
    "SamplingInfo",
    "approximate_hamming_distances",
    "hamming_distances",
    "hamming_matches",
    "hamming_search",
    "iter_hamming_distances",
]
