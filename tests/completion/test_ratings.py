"""Ratings are read from every common layout of lines."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowapprox import InputError, InputTypeError
from lowapprox.completion import complete, read_ratings
from lowapprox.completion.reading import read

SEPARATORS = ("\t", "::", ";", ",", "|", " ", "   ")
integers = st.integers(-(2**40), 2**40)
words = st.text("abcdefXYZ0123456789.-_é", max_size=9).map("n".__add__)


@given(
    st.lists(st.tuples(integers, integers, st.integers(0, 10)), min_size=1, max_size=30),
    st.sampled_from(SEPARATORS),
    st.booleans(),
    st.booleans(),
)
def test_integers(lines: list[Any], sep: str, header: bool, time: bool) -> None:
    end = f"{sep}978300760" if time else ""
    text = [f"{u}{sep}{i}{sep}{v / 2}{end}" for u, i, v in lines]
    if header:
        text.insert(0, sep.join(["userId", "itemId", "rating", "when"]))
    found = read_ratings(io.StringIO("\n".join(text)))
    assert found.users.dtype == found.items.dtype == np.int64
    assert found.users.tolist() == sorted({u for u, _, _ in lines})
    assert found.items.tolist() == sorted({i for _, i, _ in lines})
    assert found.users[found.rows].tolist() == [u for u, _, _ in lines]
    assert found.items[found.cols].tolist() == [i for _, i, _ in lines]
    assert found.values.tolist() == [v / 2 for _, _, v in lines]
    assert found.values.dtype == np.float32
    assert found.shape == (found.users.size, found.items.size)
    assert read(found.triples, shape=found.shape, duplicates="last").count > 0


@given(
    st.lists(st.tuples(words, words, st.floats(-9, 9)), min_size=1, max_size=30),
    st.sampled_from(SEPARATORS),
)
def test_words(lines: list[Any], sep: str) -> None:
    text = "".join(f"{u}{sep}{i}{sep}{v}\r\n" for u, i, v in lines)
    found = read_ratings(io.StringIO(text), dtype="float64", header=False)
    assert found.users.tolist() == sorted({u for u, _, _ in lines})
    assert found.users[found.rows].tolist() == [u for u, _, _ in lines]
    assert found.items[found.cols].tolist() == [i for _, i, _ in lines]
    assert found.values.tolist() == [v for _, _, v in lines]


def test_a_name_that_is_no_integer_further_down() -> None:
    found = read_ratings(io.StringIO("1,2,3\n4,x5,1\n1,2,2\n"))
    assert found.users.tolist() == [1, 4]
    assert found.items.tolist() == ["2", "x5"]
    assert found.values.tolist() == [3, 1, 2]
    quoted = read_ratings(io.StringIO('who,what,how\n"Smith, J.","a ""b""",3\nann,c,1\n'))
    assert quoted.users.tolist() == ["Smith, J.", "ann"]
    assert quoted.items.tolist() == ['a "b"', "c"]


def test_files(tmp_path: Path) -> None:
    text = "\ufeffuser,item,rating\n\n7,8,1.5\n\n9,8,2\n"
    plain = tmp_path / "plain.csv"
    plain.write_text(text, encoding="utf-8")
    paths: list[Any] = [plain, str(plain)]
    for module, end in ((gzip, "gz"), (bz2, "bz2"), (lzma, "xz")):
        paths.append(tmp_path / f"packed.{end}")
        with module.open(paths[-1], "wt", encoding="utf-8") as file:
            file.write(text)
    for path in paths:
        found = read_ratings(path)
        assert (found.users.tolist(), found.items.tolist()) == ([7, 9], [8])
        assert found.values.tolist() == [1.5, 2.0]
    with plain.open(encoding="utf-8") as file:
        assert read_ratings(file).values.tolist() == [1.5, 2.0]
    assert repr(found) == "Ratings(values=(2,), users=(2,), items=(1,))"
    bare = tmp_path / "bare"
    bare.write_text("\ufeff7 8 1.5", encoding="utf-8")
    assert read_ratings(bare).users.tolist() == [7]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got no line"),
        ("\n \n", "got no line"),
        ("user,item,rating\n", "header alone"),
        ("1,2\n", "three fields on each line, got '1,2'"),
        ("1,2,3\n1,2,3\n4,5\n", "a user, an item and a number on each line"),
        ("1,2,3\n4,5,high\n", "a user, an item and a number on each line"),
        ("a,2,3\n4,5,\n", "a user, an item and a number on each line"),
        ("1,2,3\n4,5,nan\n", "ratings must be finite, got nan as number 2"),
        ("1,2,inf\n", "ratings must be finite, got inf as number 1"),
    ],
)
def test_bad_files(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_ratings(io.StringIO(text))


def test_bad_arguments(tmp_path: Path) -> None:
    for options, message in (
        ({"sep": "ab"}, "`sep` must be one character"),
        ({"sep": ""}, "`sep` must be one character"),
        ({"sep": 34}, "`sep` must be one character"),
        ({"dtype": "int8"}, "`dtype` must be one of float32, float64"),
        ({"header": True}, "header alone"),
    ):
        with pytest.raises(InputError, match=message):
            read_ratings(io.StringIO("1,2,3"), **options)
    with pytest.raises(InputTypeError, match="`path` must be a path or an open text file"):
        read_ratings(3)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        read_ratings(tmp_path / "nothing")
    assert read_ratings(io.StringIO("0/0/1\n1/0/2"), sep="/").values.tolist() == [1, 2]


@given(
    st.lists(st.tuples(integers, integers), min_size=1, max_size=20),
    st.lists(st.tuples(integers, integers), min_size=1, max_size=20),
)
def test_numbers_are_those_of_other_ratings(first: list[Any], more: list[Any]) -> None:
    def text(pairs: list[Any]) -> io.StringIO:
        return io.StringIO("".join(f"{u}\t{i}\t1\n" for u, i in pairs))

    known = read_ratings(text(first))
    found = read_ratings(text(more), like=known)
    assert found.users[: known.users.size].tolist() == known.users.tolist()
    assert found.items[: known.items.size].tolist() == known.items.tolist()
    assert found.users[found.rows].tolist() == [u for u, _ in more]
    assert found.items[found.cols].tolist() == [i for _, i in more]
    assert sorted(found.users.tolist()) == sorted({u for u, _ in first + more})


def test_words_follow_numbers() -> None:
    known = read_ratings(io.StringIO("7 1 3\n5 1 3\n"))
    found = read_ratings(io.StringIO("ann 1 3\n7 1 2\n"), like=known)
    assert found.users.tolist() == ["5", "7", "ann"]
    assert found.rows.tolist() == [2, 1]
    with pytest.raises(InputTypeError, match="`like` must be Ratings"):
        read_ratings(io.StringIO("1 2 3"), like=[1])  # type: ignore[arg-type]


def test_ratings_in_another_column_are_refused() -> None:
    with pytest.raises(InputError, match="in the first three columns, got ',user,item,rating'"):
        read_ratings(io.StringIO(",user,item,rating\n0,1,2,4.5\n"))


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("user;book;rating\n1;7;3\n2;Z\xfcrich;4\n" + "3;x;5\n" * 5000, "latin-1")
    with pytest.raises(InputError, match="`path` must be encoded in UTF-8"):
        read_ratings(path)
    with path.open(encoding="latin-1") as file:
        assert read_ratings(file).items.tolist() == ["7", "Z\xfcrich", "x"]


def test_ratings_are_an_input_as_they_are() -> None:
    gen = np.random.default_rng(0)
    stars = np.outer(gen.random(30), gen.random(20)) + 0.1 * gen.standard_normal((30, 20))
    places = np.argwhere(gen.random((30, 20)) < 0.6)
    text = "".join(f"{i} {j} {stars[i, j]}\n" for i, j in places)
    ratings = read_ratings(io.StringIO(text), dtype="float64")
    whole = complete(ratings, 1, rng=0)
    same = complete(ratings.triples, 1, shape=ratings.shape, rng=0)
    np.testing.assert_array_equal(whole.U, same.U)
    assert read(ratings, shape=(31, 20)).shape == (31, 20)
    judged = complete(ratings, 1, validation=ratings, rng=0)
    error = judged.predict(ratings.rows, ratings.cols) - ratings.values
    np.testing.assert_allclose(
        min(step.held_out for step in judged.history), np.sqrt(np.mean(error**2)), rtol=1e-3
    )
    with pytest.raises(InputError, match="triples are a tuple"):
        complete(list(ratings.triples), 1, shape=ratings.shape)
