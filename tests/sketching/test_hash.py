"""Counter-based words and normals: known answers, and the laws that they follow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lowapprox.sketching import _hash

KEY = (0x0123456789ABCDEF, 0xFEDCBA9876543210)
WORD = st.integers(0, 2**64 - 1)
MASK = 2**64 - 1

# Recorded once: these may never change, on any machine.
KNOWN_WORDS = [
    "0x228ae2017bd4955f",
    "0x5e6853e2dc569138",
    "0x12606bc1c15101c8",
    "0x8b6e1e78bd57e191",
    "0x67ff49dca496e829",
    "0xb209261c8290c57f",
]
KNOWN_SUBKEY = ["0xb9cae5dbdbbb1ca0", "0x60d51f8b9cc5a6dd"]
KNOWN_NORMALS = [
    "0x1.d25e512b80b8cp-1",
    "-0x1.96bfdc33774b2p-2",
    "-0x1.c83f06c155e5cp+0",
    "0x1.483960525d4b0p+0",
]
KNOWN_SIGNS = "+-+++++-++---+++"


def mix(z: int) -> int:
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


def word(key: tuple[int, int], i: int, k: int) -> int:
    golden = 0x9E3779B97F4A7C15
    row = mix((i * golden + key[0]) & MASK)
    return mix(((row ^ key[1]) + (k + 1) * golden) & MASK)


@given(st.tuples(WORD, WORD), WORD, WORD)
def test_words_agree_with_whole_numbers(key, i, k):
    assert int(_hash.words(key, i, k)[0]) == word(key, i, k)


def test_splitmix64_known_answers():
    # The first outputs of SplitMix64 from the state 0 are mix(golden), mix(2 golden), ...
    known = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    got = _hash.words((0, 0), [0], [0, 1, 2])  # the state of row 0 under a zero key is 0
    assert [int(w) for w in got] == known


def test_known_answers():
    got = _hash.words(KEY, np.array([[0], [1], [2**62]]), [0, 7])
    assert [hex(int(w)) for w in got.ravel()] == KNOWN_WORDS
    assert [f"{int(w):#x}" for w in _hash.subkey(KEY, 3)] == KNOWN_SUBKEY
    x, y = _hash.normal_pairs(KEY, [0, 2**62], [0])
    assert [float(v).hex() for v in (*x, *y)] == KNOWN_NORMALS
    assert "".join("+-"[int(s < 0)] for s in _hash.signs(KEY, 60, 76)) == KNOWN_SIGNS


@given(st.integers(0, 300), st.integers(0, 300), st.sampled_from([0, 2**40 + 17]))
def test_signs_do_not_depend_on_the_slab(a, b, far):
    a, b = sorted((a, b))
    whole = _hash.signs(KEY, far, far + 300)
    np.testing.assert_array_equal(_hash.signs(KEY, far + a, far + b), whole[a:b])
    assert set(np.abs(whole)) == {1.0}


@given(st.integers(0, 40), st.integers(1, 40), st.integers(0, 9), st.integers(1, 9))
def test_normals_do_not_depend_on_the_slab(i, b, k, p):
    rows, pairs = np.arange(60), np.arange(20)[:, None]
    whole = _hash.normal_pairs(KEY, rows, pairs)
    part = _hash.normal_pairs(KEY, rows[i : i + b], pairs[k : k + p])
    for w, v in zip(whole, part, strict=True):
        np.testing.assert_array_equal(w[k : k + p, i : i + b], v)


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (7, 33), (100, 700), (0, 3), (3, 0)])
@pytest.mark.parametrize("start", [0, 77, 2**62 - 701])
def test_compiled_normals_have_the_same_bits(shape, start):
    plain, compiled = np.empty(shape), np.empty(shape)
    _hash.fill_normals(KEY, start, plain)
    _hash.fill_normals_compiled(KEY, start, compiled)
    np.testing.assert_array_equal(plain, compiled)
    x, y = _hash.normal_pairs(KEY, start + np.arange(shape[1]), np.arange(shape[0])[:, None])
    np.testing.assert_array_equal(plain[::2], x[: (shape[0] + 1) // 2])
    np.testing.assert_array_equal(plain[1::2], y[: shape[0] // 2])


def test_logarithm_and_angles_are_accurate():
    x = np.concatenate(
        [
            np.random.default_rng(0).random(10_000),
            2.0 ** -np.arange(54),
            1 - 2.0 ** -np.arange(2, 54),
        ]
    )
    exact = np.log(x)
    np.testing.assert_allclose(_hash.log(x), exact, rtol=1e-15, atol=0)
    angle = np.linspace(0, math.pi / 4, 1001)
    np.testing.assert_allclose(_hash._horner(_hash._COS, angle**2), np.cos(angle), rtol=4e-16)
    np.testing.assert_allclose(
        _hash._horner(_hash._SIN, angle**2) * angle, np.sin(angle), rtol=4e-16
    )


@pytest.mark.stat
def test_normals_are_independent_standard_normals():
    x, y = _hash.normal_pairs(KEY, np.arange(500), np.arange(400)[:, None])
    for z in (x, y):
        assert stats.kstest(z.ravel(), "norm").pvalue > 1e-6
    # Radius and angle are independent with these laws exactly when x and y are standard normals.
    angle = np.arctan2(y, x)
    assert stats.kstest(angle.ravel(), "uniform", args=(-math.pi, 2 * math.pi)).pvalue > 1e-6
    assert stats.kstest((x**2 + y**2).ravel(), "expon", args=(0, 2)).pvalue > 1e-6
    n = x.size
    for z in (x * y, x[1:] * x[:-1], x[:, 1:] * x[:, :-1], x**2 * y**2 - 1):
        assert abs(z.mean()) < 5 * z.std() / math.sqrt(n)


@pytest.mark.stat
def test_words_of_neighbouring_counters_look_independent():
    w = _hash.words(KEY, np.arange(1000), np.arange(64)[:, None])
    flips = [
        w[1:] ^ w[:-1],
        w[:, 1:] ^ w[:, :-1],
        w ^ _hash.words((KEY[0] ^ 1, KEY[1]), np.arange(1000), np.arange(64)[:, None]),
    ]
    for x in flips:
        bits = (x[..., None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
        share = bits.mean(axis=(0, 1), dtype=float)
        assert np.abs(share - 0.5).max() < 6 * 0.5 / math.sqrt(x.size)
