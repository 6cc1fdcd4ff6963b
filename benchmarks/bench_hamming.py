"""Hamming distances: time and memory over the commits."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from benchmarks.problems import (
    letters_file,
    periodic_text,
    planted_dna,
    uniform_text,
    zipf_text,
)


class Uniform:
    """All distances of independent letters, by size of the alphabet and of the pattern."""

    param_names = ("letters", "m")
    params = ([2, 4, 26, 256], [100, 1000, 10_000, 100_000])
    timeout = 300

    def setup(self, letters: int, m: int) -> None:
        from lowapprox.hamming import hamming_distances

        self.distances = hamming_distances
        self.text = uniform_text(letters, 1_000_000 + m - 1, seed=0)
        self.pattern = uniform_text(letters, m, seed=1)
        self.distances(self.text[: 2 * m], self.pattern)

    def time_distances(self, letters: int, m: int) -> None:
        self.distances(self.text, self.pattern)


class Methods:
    """Each method where it is at home."""

    param_names = ("method", "letters", "m")
    params = (["bits", "byte", "fft", "hybrid", "scatter"], [4, 256], [100, 3000])
    timeout = 300

    def setup(self, method: str, letters: int, m: int) -> None:
        from lowapprox.hamming import hamming_distances

        if method == "fft" and letters > 4:
            raise NotImplementedError  # asv skips what raises this: a transform for each letter
        self.distances = hamming_distances
        self.text = uniform_text(letters, 300_000, seed=0)
        self.pattern = uniform_text(letters, m, seed=1)
        self.distances(self.text[: 2 * m], self.pattern, method=method)

    def time_distances(self, method: str, letters: int, m: int) -> None:
        self.distances(self.text, self.pattern, method=method)


class Skewed:
    """Few letters are frequent, most of 10^5 are rare."""

    param_names = ("m",)
    params = ([1000, 10_000, 100_000],)
    timeout = 300

    def setup(self, m: int) -> None:
        from lowapprox.hamming import hamming_distances

        self.distances = hamming_distances
        self.text = zipf_text(100_000, 1_000_000 + m - 1, seed=0)
        self.pattern = zipf_text(100_000, m, seed=1)
        self.distances(self.text, self.pattern)

    def time_distances(self, m: int) -> None:
        self.distances(self.text, self.pattern)


class Bounded:
    """Shifts with at most k mismatches, in random DNA."""

    param_names = ("m", "k")
    params = ([20, 100, 1000], [2, 10])

    def setup(self, m: int, k: int) -> None:
        from lowapprox.hamming import hamming_matches

        self.matches = hamming_matches
        self.text, self.pattern = planted_dna(1_000_000, m, k)
        self.matches(self.text, self.pattern, k)

    def time_matches(self, m: int, k: int) -> None:
        self.matches(self.text, self.pattern, k)


class BoundedPeriodic:
    """The same where many shifts come near the bound."""

    param_names = ("noise",)
    params = ([0.0, 0.002, 0.02],)

    def setup(self, noise: float) -> None:
        from lowapprox.hamming import hamming_matches

        self.matches = hamming_matches
        self.text = periodic_text(4, 1_000_000, period=37, noise=noise)
        self.pattern = periodic_text(4, 1000, period=37, noise=0.0)
        self.matches(self.text, self.pattern, 10)

    def time_matches(self, noise: float) -> None:
        self.matches(self.text, self.pattern, 10)


class Approximate:
    """Approximate distances of a long pattern, and how far off the worst of them is."""

    param_names = ("eps",)
    params = ([0.1, 0.05],)
    timeout = 300

    def setup(self, eps: float) -> None:
        from lowapprox.hamming import approximate_hamming_distances

        self.approximate = approximate_hamming_distances
        self.text = uniform_text(256, 1_100_000, seed=0)
        self.pattern = uniform_text(256, 100_000, seed=1)
        self.approximate(self.text, self.pattern, eps, rng=0)

    def time_approximate(self, eps: float) -> None:
        self.approximate(self.text, self.pattern, eps, rng=0)

    def track_error(self, eps: float) -> float:
        from lowapprox.hamming import hamming_distances

        found = np.asarray(self.approximate(self.text, self.pattern, eps, rng=0), np.float64)
        worst = np.abs(found - hamming_distances(self.text, self.pattern)).max()
        return float(worst / self.pattern.size)


class Memory:
    """The best shifts of a text in a file: no array of all distances."""

    timeout = 300

    def setup(self) -> None:
        self.path = letters_file()

    def peakmem_search(self) -> None:
        from lowapprox.hamming import hamming_search

        text = np.load(self.path, mmap_mode="r")
        hamming_search(text, text[:1000].copy(), top=10)


class FirstCall:
    """A first call in a fresh process, import included; compiled kernels are on disk."""

    param_names = ("n",)
    params = ([1000, 1_000_000],)

    def setup(self, n: int) -> None:
        self.time_first_call(n)

    def time_first_call(self, n: int) -> None:
        code = "from lowapprox.hamming import hamming_distances as d; "
        code += f"d(b'acgt' * {n // 4}, b'gt' * 50)"
        subprocess.run([sys.executable, "-c", code], check=True)
