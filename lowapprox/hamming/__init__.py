"""Text-to-pattern Hamming distances: exact, bounded, approximate."""

from lowapprox.hamming.alphabet import IUPAC
from lowapprox.hamming.distances import hamming_distances
from lowapprox.hamming.stream import iter_hamming_distances

__all__ = ["IUPAC", "hamming_distances", "iter_hamming_distances"]
