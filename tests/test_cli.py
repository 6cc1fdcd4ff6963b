"""Every subcommand through `main`, with its exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import lowapprox
from lowapprox import cli, demo
from lowapprox._core.demo import DemoRow
from lowapprox.completion import CompletionResult
from tests.reference import error, product, with_spectrum

ROW = DemoRow("name", "data", (3, 2), "method", 0.1, 0.2, 1e-3, 1e-3, "exact")


@pytest.fixture
def matrix(gen: np.random.Generator) -> np.ndarray:
    return with_spectrum(gen, 30, 20, 2.0 ** -np.arange(20))


def run(*arguments: Any) -> int:
    return cli.main([str(a) for a in arguments])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["svd"],
        ["svd", "a.npy", "--rank", "x"],
        ["lstsq", "a.npy"],
        ["complete"],
        ["match", "a.txt"],
        ["match", "a.txt", "x", "--k", "1", "--top", "2"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    assert "usage: lowapprox" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["demo", "--help"]])
def test_help_and_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 0
    assert "lowapprox" in capsys.readouterr().out


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info") == 0
    assert f"lowapprox: {lowapprox.__version__}" in capsys.readouterr().out


def test_demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    def rows(*, quick: bool) -> list[DemoRow]:
        asked.append(quick)
        return [ROW]

    monkeypatch.setattr(demo, "rows", rows)
    assert run("demo") == run("demo", "--quick") == 0
    assert asked == [False, True]
    assert capsys.readouterr().out.count("1.000e-03 (exact)") == 2


def test_demo_pictures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    row = DemoRow(*(getattr(ROW, f) for f in ROW.__slots__[:-1]), draw=lambda f: f.subplots())
    monkeypatch.setattr(demo, "rows", lambda quick: [row])
    assert run("demo", "--plot", tmp_path) == 0
    assert (tmp_path / "name.png").is_file()
    assert str(tmp_path / "name.png") in capsys.readouterr().out


def test_demo_pictures_without_matplotlib(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(demo, "rows", lambda quick: pytest.fail("worked before it checked"))
    assert run("demo", "--plot", tmp_path) == 1
    assert capsys.readouterr().err == (
        'lowapprox demo: pictures need matplotlib; install it with pip install "lowapprox[plot]"\n'
    )


@pytest.mark.parametrize("form", ["dense", "sparse", "text"])
def test_complete(
    form: str, tmp_path: Path, gen: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    M = gen.standard_normal((30, 2)) @ gen.standard_normal((2, 20))
    known = gen.random(M.shape) < 0.6
    i, j = np.nonzero(known)
    file = tmp_path / {"dense": "a.npy", "sparse": "a.npz", "text": "a.csv"}[form]
    if form == "dense":
        np.save(file, np.where(known, M, np.nan))
    elif form == "sparse":
        scipy.sparse.save_npz(file, scipy.sparse.coo_array((M[i, j], (i, j)), shape=M.shape))
    else:
        file.write_text("".join(f"{a},{b},{float(M[a, b])!r}\n" for a, b in zip(i, j, strict=True)))
    filled = tmp_path / "filled"
    assert run("complete", file, "--rank", 2, "--seed", 0, "--dense", filled) == 0
    result = CompletionResult.load(tmp_path / "a.completion.npz")
    np.testing.assert_allclose(result.to_dense(), M, atol=1e-3)
    np.testing.assert_array_equal(np.load(filled), result.to_dense())
    printed = capsys.readouterr().out
    assert "CompletionResult(U=(30, 2)" in printed
    assert str(tmp_path / "a.completion.npz") in printed


def test_complete_with_entries_held_out(
    tmp_path: Path, gen: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    M = 5.0 + gen.standard_normal((40, 1)) + gen.standard_normal(30)
    M += 0.1 * gen.standard_normal(M.shape)
    np.save(tmp_path / "a.npy", np.where(gen.random(M.shape) < 0.5, M, np.nan))
    options = ("--rank", 1, "--center", "--biases", "--holdout", 0.1, "--seed", 0)
    assert run("complete", tmp_path / "a.npy", *options, "--out", tmp_path / "m.npz") == 0
    assert CompletionResult.load(tmp_path / "m.npz").row_bias.shape == (40,)
    text = capsys.readouterr().out.split("held out: ")[1]
    assert 0.05 < float(text.split()[0]) < 0.2


def test_lstsq(
    tmp_path: Path, gen: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    A, b = gen.standard_normal((40, 5)), gen.standard_normal((40, 2))
    np.save(tmp_path / "a.npy", A)
    np.savez(tmp_path / "b.npz", b)
    assert run("lstsq", tmp_path / "a.npy", tmp_path / "b.npz", "--ridge", "0.5") == 0
    found = np.load(tmp_path / "a.lstsq.npz")
    exact = np.linalg.solve(A.T @ A + 0.5 * np.eye(5), A.T @ b)
    np.testing.assert_allclose(found["x"], exact, rtol=1e-12)
    assert found["backward_error"].shape == (2,)
    assert "entry_bound" not in found
    printed = capsys.readouterr().out
    assert "LstsqResult(x=(5, 2)" in printed
    assert str(tmp_path / "a.lstsq.npz") in printed


def test_lstsq_with_bounds(tmp_path: Path, gen: np.random.Generator) -> None:
    A, b = gen.standard_normal((4000, 3)), gen.standard_normal(4000)
    np.save(tmp_path / "a.npy", A)
    np.save(tmp_path / "b.npy", b)
    out = tmp_path / "x.npz"
    assert (
        run(
            *("lstsq", tmp_path / "a.npy", tmp_path / "b.npy", "--method", "linf", "--eps", 0.5),
            *("--seed", 0, "--out", out),
        )
        == 0
    )
    found = np.load(out)
    exact = np.linalg.lstsq(A, b)[0]
    assert (found["entry_bound"] > 0).all()
    assert (abs(found["x"] - exact) <= found["entry_bound"]).all()


def test_lstsq_of_what_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "a.npy", np.ones((4, 2)))
    np.save(tmp_path / "b.npy", np.ones(5))
    assert run("lstsq", tmp_path / "a.npy", tmp_path / "b.npy") == 1
    assert "lowapprox lstsq: `b`" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["npy", "npz", "sparse"])
def test_svd_by_rank(
    form: str, matrix: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / ("a.npy" if form == "npy" else "a.npz")
    if form == "npy":
        np.save(file, matrix)
    elif form == "npz":
        np.savez(file, anything=matrix)
    else:
        scipy.sparse.save_npz(file, scipy.sparse.csr_array(matrix))
    before = file.read_bytes()
    assert run("svd", file, "--rank", 4, "--seed", 0) == 0
    assert file.read_bytes() == before
    out = np.load(tmp_path / "a.svd.npz")
    assert out["U"].shape == (30, 4)
    assert error(matrix, product(out["U"], out["s"], out["Vh"])) == pytest.approx(
        float(out["error"]), rel=1e-6
    )
    printed = capsys.readouterr().out
    assert "SVDResult(U=(30, 4)" in printed
    assert str(tmp_path / "a.svd.npz") in printed


def test_svd_by_tolerance_centred(matrix: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", matrix + 5.0)
    out = tmp_path / "b.npz"
    assert run("svd", tmp_path / "a.npy", "--tol", 0.01, "--center", "--out", out) == 0
    result = np.load(out)
    centred = matrix - matrix.mean(axis=0)
    gap = error(centred, product(result["U"], result["s"], result["Vh"]))
    assert gap <= 0.01 * np.linalg.norm(centred)
    np.testing.assert_allclose(result["mean"], (matrix + 5.0).mean(axis=0))


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.txt", b"1 2", ["--rank", 1], "`file` must end in .npy or .npz"),
        ("a.npy", None, ["--rank", 1], "a.npy"),
        ("a.npy", b"", ["--rank", 1], "`file` cannot be read"),
        ("a.npy", b"garbage", ["--rank", 1], "`file` cannot be read"),
        ("a.npz", b"PK\x03\x04garbage", ["--rank", 1], "`file` cannot be read"),
        ("a.npy", np.ones((3, 2)), [], "`rank`"),
        ("a.npy", np.ones((3, 2)), ["--rank", 3], "`rank` must lie in [1, min(m, n)] = [1, 2]"),
        ("a.npy", np.full((3, 2), np.nan), ["--rank", 1], "finite"),
        ("a.npy", np.ones(3), ["--rank", 1], "2 dimensions"),
        ("a.npz", {"a": np.ones((2, 2)), "b": np.ones((2, 2))}, ["--rank", 1], "one array, got 2"),
        ("a.npy", np.ones((3, 2)), ["--rank", 1, "--seed", -1], "`rng`"),
    ],
)
def test_svd_that_cannot_work(
    name: str,
    content: Any,
    options: list[Any],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(file, **content)
    elif content is not None:
        np.save(file, content)
    assert run("svd", file, *options) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("lowapprox svd: ")
    assert message in err
    assert not list(tmp_path.glob("*.svd.npz"))


def test_pickled_arrays_are_not_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "a.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    assert run("svd", tmp_path / "a.npy", "--rank", 1) == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "arguments", "printed"),
    [
        ("abracadabra", ["abr"], "0\t0\t'abr'\n"),
        ("abracadabra", ["abr", "--top", 2], "0\t0\t'abr'\n7\t0\t'abr'\n"),
        ("abracadabra", ["abs", "--k", 1], "0\t1\t'abr'\n7\t1\t'abr'\n"),
        ("abracadabra", ["xyz", "--k", 0], ""),
        ("GATTACA", ["YAN", "--k", 0, "--iupac"], "3\t0\t'TAC'\n"),
        ("GATTACA", ["YAN", "--k", 0], ""),
        ("a\r\nb", ["\r\n"], "1\t0\t'\\r\\n'\n"),
        ("naïve café", ["é"], "9\t0\t'é'\n"),
        (b"ab\xffc", ["b\udcff"], "1\t0\t'b\\udcff'\n"),
        ("", ["abc"], ""),
    ],
)
def test_match(
    text: str | bytes,
    arguments: list[Any],
    printed: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert run("match", file, *arguments) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["x", "--k", -1], "`k` must be"), (["x", "--top", 0], "`top` must be")],
)
def test_match_that_cannot_work(
    arguments: list[Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("match", tmp_path / "missing.txt", "x") == 1
    assert "missing.txt" in capsys.readouterr().err
    (tmp_path / "a.txt").write_text("abc")
    assert run("match", tmp_path / "a.txt", *arguments) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 3])
def test_bench_from_a_checkout(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def call(command: list[str], cwd: Path) -> int:
        calls.append((command, cwd))
        return code

    monkeypatch.setattr(subprocess, "call", call)
    assert run("bench", "svd", "--repeat", "3") == code
    root = Path(lowapprox.__file__).resolve().parents[1]
    assert calls == [([sys.executable, "-m", "benchmarks.peers", "svd", "--repeat", "3"], root)]


def test_bench_from_a_wheel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "__file__", str(tmp_path / "lowapprox" / "cli.py"))
    assert run("bench") == 1
    assert "checkout" in capsys.readouterr().err
