"""The measuring tools of the benchmarks: a wrong ruler makes every figure wrong."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.peers import _counting as counting
from benchmarks.peers import hamming, regression, svd
from benchmarks.peers._accuracy import DenseProblem, SparseProblem, cheapest
from benchmarks.peers._baselines import plain_rp_cholesky
from benchmarks.peers._measure import Budget, Timing, fresh_process, rst_table, text_table
from benchmarks.problems import (
    SPECTRA,
    RBFKernel,
    periodic_text,
    planted_dna,
    rbf_points,
    spectrum,
    tall_problem,
    uniform_text,
    zipf_text,
)
from lowapprox.hamming import hamming_distances


@pytest.mark.parametrize("tilt", [1e-1, 1e-3, 1e-5, 1e-7])
def test_excess_and_residual_of_dense_and_sparse_problems(tilt):
    rng = np.random.default_rng(0)
    A = sp.random_array((120, 80), density=0.1, rng=rng, format="csr")
    _, s, Vh = np.linalg.svd(A.toarray(), full_matrices=False)
    k = 8
    # Turn each of the leading vectors by `tilt` towards one that is left out.
    W = (Vh[:k] + tilt * Vh[k : 2 * k]) / np.hypot(1, tilt)
    P, t, Zh = np.linalg.svd(A @ W.T, full_matrices=False)
    factors = (P, t, Zh @ W)
    gain = np.sum(s[:k] ** 2 - s[k : 2 * k] ** 2) * tilt**2 / (1 + tilt**2)
    excess = gain / np.sum(s[k:] ** 2)
    excess /= 1 + np.sqrt(1 + excess)
    dense = DenseProblem(A.toarray(), s, k).accuracy(*factors)
    sparse = SparseProblem(A, s, k).accuracy(*factors)
    assert dense.excess == pytest.approx(excess, rel=1e-6, abs=3e-15)
    assert sparse.excess == pytest.approx(excess, rel=1e-6, abs=3e-15)
    assert dense.residual == pytest.approx(sparse.residual, rel=1e-6)
    left = np.linalg.norm(A @ factors[2].T - P * t, axis=0)
    right = np.linalg.norm(A.T @ P - factors[2].T * t, axis=0)
    assert dense.residual == pytest.approx(max(left.max(), right.max()) / s[k - 1])


def test_accuracy_reads_values_in_any_order():
    A = np.diag([5.0, 4.0, 3.0, 2.0, 1.0])
    U, s, Vh = np.linalg.svd(A)
    problem = DenseProblem(A, s, 2)
    a = problem.accuracy(U[:, :3][:, ::-1], s[:3][::-1], Vh[:3][::-1])
    assert abs(a.excess) < 1e-15
    assert a.residual < 1e-15


def test_cheapest_needs_every_seed():
    errors = {3: 1.0, 2: 0.5, 1: 0.2}

    def evaluate(setting, seed):
        return errors[setting] * (1 + seed)

    assert cheapest([3, 2, 1], evaluate, 1.6) == 2
    assert cheapest([3, 2, 1], evaluate, 1.4) == 1
    assert cheapest([3, 2, 1], evaluate, 0.5) is None


@pytest.mark.parametrize("name", list(SPECTRA))
def test_spectra_descend(name):
    s = spectrum(name, 300)
    assert np.all(np.diff(s) < 0)
    assert s[-1] > 0


def test_kernel_blocks_agree_with_the_definition():
    X = rbf_points(200)
    kernel = RBFKernel(X)
    K = np.exp(-((X[:, None] - X[None]) ** 2).sum(axis=2) / 8)
    rows, cols = np.array([3, 70, 199]), np.array([0, 3])
    np.testing.assert_allclose(kernel(rows, cols), K[np.ix_(rows, cols)], atol=1e-12)
    np.testing.assert_allclose(kernel.columns(cols), K[:, cols], atol=1e-12)
    np.testing.assert_allclose(kernel.matrix(), K, atol=1e-12)


def test_plain_pivoted_cholesky_is_exact_at_its_pivots():
    kernel = RBFKernel(rbf_points(200))
    F, pivots, trace = plain_rp_cholesky(kernel, 30, 0)
    rest = kernel.matrix() - F.T @ F
    assert len(set(pivots.tolist())) == 30
    np.testing.assert_allclose(rest[pivots], 0, atol=1e-10)
    assert trace == pytest.approx(np.trace(rest), abs=1e-8)


def test_timing_takes_the_median_of_the_ratios():
    timing = Timing(np.array([1.0, 2.0, 4.0]), np.array([3.0, 2.0, 20.0]))
    assert timing.ratio == 3.0
    assert timing.cells["spread"] == "1.00-5.00"
    assert "note" not in timing.cells
    assert "50%" in Timing(timing.ours, timing.peer, 0.5).cells["note"]


def test_pairs_are_odd_and_within_the_limits():
    assert {Budget().pairs(t) for t in np.geomspace(0.01, 100, 50)} == {3, 5, 7, 9}


def test_tables_show_every_column_of_every_row():
    rows = [{"a": "1", "b": "2"}, {"a": "3", "c": "4"}]
    assert text_table(rows).splitlines() == ["a  b  c", "1  2", "3     4"]
    assert rst_table(rows).splitlines()[4:8] == ["   * - a", "     - b", "     - c", "   * - 1"]


@pytest.mark.parametrize("family", [svd, hamming, regression])
def test_cases_have_names_of_their_own(family):
    names = [case.name for table in family.TABLES for case in table.cases]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("letters", "m"), [(4, 1), (4, 37), (26, 300), (256, 64)])
def test_counting_peers_agree_with_the_definition(letters, m):
    text, pattern = uniform_text(letters, 2000, seed=0), uniform_text(letters, m, seed=1)
    right = [np.sum(text[i : i + m] != pattern) for i in range(2000 - m + 1)]
    np.testing.assert_array_equal(counting.oaconvolve_distances(text, pattern), right)
    np.testing.assert_array_equal(counting.loop_distances(text, pattern), right)
    np.testing.assert_array_equal(counting.pass_distances(text, pattern, len(right)), right)


@pytest.mark.parametrize(
    ("package", "search"),
    [("fuzzysearch", counting.fuzzysearch_hits), ("regex", counting.regex_hits)],
)
@pytest.mark.parametrize(("m", "k"), [(12, 0), (20, 2), (60, 6)])
def test_searching_peers_agree_with_the_definition(package, search, m, k):
    pytest.importorskip(package)
    text, pattern = planted_dna(4000, m, k, copies=10)
    every = hamming_distances(text, pattern, method="naive")
    positions, found = search(text, pattern, k)
    np.testing.assert_array_equal(positions, np.flatnonzero(every <= k))
    np.testing.assert_array_equal(found, every[every <= k])
    assert positions.size >= 5  # copies with few enough changes


def test_planted_copies_have_the_changes_that_they_should():
    text, pattern = planted_dna(5000, 50, 3, copies=10)
    starts = np.arange(10) * (4950 // 9)
    every = hamming_distances(text, pattern, method="naive")
    assert every[starts].tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2]


def test_periodic_text_repeats_but_for_the_noise():
    text = periodic_text(4, 37_000, period=37, noise=0.0)
    np.testing.assert_array_equal(text[37:], text[:-37])
    noisy = periodic_text(4, 37_000, period=37, noise=0.02)
    # A letter drawn anew is the old one in a quarter of the cases.
    assert np.mean(noisy != text) == pytest.approx(0.015, abs=0.004)


def test_zipf_text_follows_its_law():
    text = zipf_text(1000, 200_000, seed=0)
    counts = np.bincount(text, minlength=1000)
    harmonic = np.sum(1 / np.arange(1, 1001))
    np.testing.assert_allclose(counts[:10] / text.size, 1 / (harmonic * np.arange(1, 11)), rtol=0.1)


def test_unequal_results_stop_the_measurement():
    with pytest.raises(AssertionError):
        hamming.same(np.array([1, 2]), np.array([1, 3]))
    text, pattern = uniform_text(4, 1000, seed=0), uniform_text(4, 10, seed=1)
    right = hamming_distances(text, pattern, method="naive").astype(np.int64)
    assert hamming.same_at_some(text, pattern, right) == {"equal": "at 200 shifts"}
    right[-1] += 1
    with pytest.raises(AssertionError):
        hamming.same_at_some(text, pattern, right)


def test_numbers_are_written_as_they_are_read():
    shown = [hamming.power(n) for n in (20, 1000, 10**4, 4 * 10**6, 2_100_000)]
    assert shown == ["20", "1,000", "10^4", "4 x 10^6", "2,100,000"]


def test_a_tiny_first_call_loads_no_compiler():
    assert fresh_process("_first", "tiny")["loaded"] == "no"


@pytest.mark.parametrize("condition", [1e2, 1e8])
def test_backward_errors_of_tall_problems(condition, monkeypatch, tmp_path):
    """A solution of a changed problem has the size of the change as its backward error."""
    monkeypatch.setenv("LOWAPPROX_BENCH_CACHE", str(tmp_path))
    p = tall_problem(400, 8, condition)
    D = np.linalg.norm(p.A, axis=0)
    rng = np.random.default_rng(0)
    for scaled in (False, True):
        assert p.backward_error(p.x, scaled=scaled) < 1e-15
        E = rng.standard_normal(p.A.shape)
        E *= 1e-11 * (D if scaled else 1.0) / np.linalg.norm(E)
        x = np.linalg.lstsq(p.A + E, p.b, rcond=1e-300)[0]
        size = np.linalg.norm(p.A / D) if scaled else np.linalg.norm(p.A)
        change = np.linalg.norm(E / D) if scaled else np.linalg.norm(E)
        assert p.backward_error(x, scaled=scaled) <= 1.5 * change / size
        assert p.backward_error(x + 1e-3 * rng.standard_normal(8), scaled=scaled) > change / size


@pytest.mark.parametrize("name", ["coherent", "spread", "incoherent"])
def test_hard_problems_have_the_solution_that_they_state(name):
    from benchmarks.problems import hard_problem

    A, b, x = hard_problem(name, n=512, d=16)
    assert np.linalg.norm(b - A @ x) == pytest.approx(1.0)
    assert np.abs(A.T @ (b - A @ x)).max() < 1e-14
    assert np.linalg.matrix_rank(A) == 16
    rows = np.flatnonzero(np.any(A, axis=1))
    assert np.diff(rows).min() == (32 if name == "spread" else 1)
