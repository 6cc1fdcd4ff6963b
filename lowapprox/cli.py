"""The command ``lowapprox``."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from lowapprox import __version__
from lowapprox._core.errors import InputError, LowApproxError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        0, or 1 when the work could not be done. Wrong usage exits with 2, as argparse does.
    """
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except (LowApproxError, OSError) as exc:
        print(f"lowapprox {args.command}: {exc}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lowapprox", description="Approximate linear algebra and counting with errors."
    )
    parser.add_argument("--version", action="version", version=f"lowapprox {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    demo = commands.add_parser("demo", help="run every family on the embedded data")
    demo.add_argument("--plot", metavar="DIR", help="write PNG pictures there (needs matplotlib)")
    demo.add_argument("--quick", action="store_true", help="use smaller parts of the data")
    demo.set_defaults(run=_demo)

    info = commands.add_parser("info", help="show versions, BLAS, threads and devices")
    info.set_defaults(run=_info)

    svd = commands.add_parser("svd", help="truncated SVD of a matrix in a .npy or .npz file")
    svd.add_argument("file", type=Path, help=".npy, .npz with one array, or scipy.sparse .npz")
    svd.add_argument("--rank", type=int, help="number of singular triplets")
    svd.add_argument("--tol", type=float, help="relative Frobenius error to reach")
    svd.add_argument("--center", action="store_true", help="subtract the column means")
    svd.add_argument("--seed", type=int, default=None, help="seed of the random numbers")
    svd.add_argument(
        "--out", type=Path, help="where U, s, Vh and the error go (default: FILE.svd.npz)"
    )
    svd.set_defaults(run=_svd)

    lstsq = commands.add_parser("lstsq", help="least squares for a design and observations")
    lstsq.add_argument("file", type=Path, help="the design: .npy or .npz, as for svd")
    lstsq.add_argument("observations", type=Path, help="one or many right-hand sides, as columns")
    lstsq.add_argument("--method", default="auto", help="as in the Python call (default: auto)")
    lstsq.add_argument("--ridge", type=float, default=0.0, help="of |x|^2 (default: 0)")
    lstsq.add_argument("--eps", type=float, help="size of the bounds that linf and sketch reach")
    lstsq.add_argument("--seed", type=int, default=None, help="seed of the random numbers")
    lstsq.add_argument("--out", type=Path, help="where x goes (default: FILE.lstsq.npz)")
    lstsq.set_defaults(run=_lstsq)

    complete = commands.add_parser("complete", help="fill in a matrix with missing entries")
    complete.add_argument(
        "file",
        type=Path,
        help="dense with NaN in .npy, scipy.sparse .npz whose stored entries are known, "
        "or text with user, item, rating on each line",
    )
    complete.add_argument("--rank", type=int, help="by default found from entries held out")
    complete.add_argument("--center", action="store_true", help="subtract the mean")
    complete.add_argument("--biases", action="store_true", help="one for each row and column")
    complete.add_argument("--holdout", type=float, help="share of the entries to judge by")
    complete.add_argument("--seed", type=int, default=None, help="seed of the random numbers")
    complete.add_argument(
        "--out",
        type=Path,
        help="the result, as CompletionResult.save (default: FILE.completion.npz)",
    )
    complete.add_argument("--dense", type=Path, help="the completed matrix too, as .npy")
    complete.set_defaults(run=_complete)

    match = commands.add_parser("match", help="places of a text where a pattern nearly fits")
    match.add_argument("file", type=Path, help="UTF-8 text; line ends are letters, too")
    match.add_argument("pattern")
    match.add_argument("--iupac", action="store_true", help="R, Y, N, ... stand for nucleotides")
    which = match.add_mutually_exclusive_group()
    which.add_argument("--k", type=int, help="all places with at most k mismatches")
    which.add_argument("--top", type=int, default=1, help="the best places (default: 1)")
    match.set_defaults(run=_match)

    bench = commands.add_parser("bench", help="compare with other packages (from a checkout)")
    bench.add_argument("arguments", nargs=argparse.REMAINDER, help="passed to benchmarks.peers")
    bench.set_defaults(run=_bench)
    return parser


def _demo(args: argparse.Namespace) -> int:
    from lowapprox import demo

    if args.plot is not None:
        demo.require_figure()  # before the work, not after it
    found = list(demo.rows(quick=args.quick))
    demo.write_table(found, sys.stdout)
    if args.plot is not None:
        for file in demo.save_pictures(found, args.plot):
            print(file)
    return 0


def _info(_: argparse.Namespace) -> int:
    from lowapprox import show_config

    show_config()
    return 0


def _svd(args: argparse.Namespace) -> int:
    import numpy as np

    from lowapprox import randomized_svd

    matrix = _read_matrix(args.file)
    result = randomized_svd(matrix, args.rank, tol=args.tol, center=args.center, rng=args.seed)
    out = args.out or args.file.with_suffix(".svd.npz")
    found = {"U": result.U, "s": result.s, "Vh": result.Vh, "error": result.error}
    np.savez(out, **found, **({} if result.mean is None else {"mean": result.mean}))
    print(result)
    print(out)
    return 0


def _lstsq(args: argparse.Namespace) -> int:
    import numpy as np

    from lowapprox import lstsq

    result = lstsq(
        _read_matrix(args.file),
        _read_matrix(args.observations),
        method=args.method,
        ridge=args.ridge,
        eps=args.eps,
        rng=args.seed,
    )
    out = args.out or args.file.with_suffix(".lstsq.npz")
    bound = {} if result.entry_bound is None else {"entry_bound": result.entry_bound}
    np.savez(out, x=result.x, backward_error=result.backward_error, **bound)
    print(result)
    print(out)
    return 0


def _complete(args: argparse.Namespace) -> int:
    from lowapprox.completion import complete, read_ratings

    matrix = args.file.suffix in {".npy", ".npz"}
    result = complete(
        _read_matrix(args.file) if matrix else read_ratings(args.file),
        args.rank,
        center=args.center,
        row_bias=args.biases,
        col_bias=args.biases,
        validation=args.holdout,
        rng=args.seed,
    )
    out = args.out or args.file.with_suffix(".completion.npz")
    result.save(out)
    if args.dense is not None:
        import numpy as np

        with args.dense.open("wb") as file:  # under the name that was given
            np.save(file, result.to_dense())
    print(result)
    if args.holdout:
        print(f"error at entries held out: {min(r.held_out for r in result.history):.4g}")
    print(out)
    return 0


def _read_matrix(file: Path) -> Any:
    if file.suffix not in {".npy", ".npz"}:
        raise InputError(f"`file` must end in .npy or .npz, got {file}")
    import numpy as np

    try:
        if file.suffix == ".npy":
            return np.load(file, mmap_mode="r", allow_pickle=False)
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            arrays = dict(data)
        if {"format", "shape"} <= set(arrays):
            import scipy.sparse

            return scipy.sparse.load_npz(file)
    except (ValueError, EOFError, BadZipFile) as exc:
        raise InputError(f"`file` cannot be read as a matrix: {exc}") from exc
    if len(arrays) != 1:
        raise InputError(f"`file` must hold one array, got {len(arrays)} in {file}")
    return next(iter(arrays.values()))


def _match(args: argparse.Namespace) -> int:
    from lowapprox.hamming import IUPAC, hamming_matches, hamming_search

    # Whatever is not UTF-8 becomes letters that agree with the same bytes of an argument.
    with args.file.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        text = stream.read()
    classes = IUPAC if args.iupac else None
    if args.k is None:
        found = hamming_search(text, args.pattern, top=args.top, classes=classes)
    else:
        found = hamming_matches(text, args.pattern, args.k, classes=classes)
    for place, distance in zip(found.positions.tolist(), found.distances.tolist(), strict=True):
        print(place, distance, repr(text[place : place + len(args.pattern)]), sep="\t")
    return 0


def _bench(args: argparse.Namespace) -> int:
    root = Path(__file__).resolve().parents[1]
    if not (root / "benchmarks" / "peers").is_dir():
        raise InputError("benchmarks are not part of the wheel; run this from a checkout")
    command = [sys.executable, "-m", "benchmarks.peers", *args.arguments]
    return subprocess.call(command, cwd=root)
