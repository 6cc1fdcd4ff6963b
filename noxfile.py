"""Every check by name: ``nox -l`` lists them, ``nox -s lint types tests`` runs some."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests"]

# A process for each core; a file stays in one, with its fixtures and compiled kernels.
EACH_CORE = ("-n", "auto", "--dist", "loadfile")

PYPROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str) -> None:
    """Install the package, editable, and the dependency groups."""
    session.install("-e", ".", *nox.project.dependency_groups(PYPROJECT, *groups))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and spelling."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, strictly."""
    install(session, "lint")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; arguments go to pytest."""
    install(session, "test")
    session.run("pytest", *EACH_CORE, *session.posargs)


@nox.session
def nightly(session: nox.Session) -> None:
    """Run the slow tests too, with many more examples."""
    install(session, "test")
    env = {"HYPOTHESIS_PROFILE": "nightly"}
    session.run("pytest", *EACH_CORE, "-m", "slow or not slow", *session.posargs, env=env)


@nox.session
def nojit(session: nox.Session) -> None:
    """Run the kernels as Python too, and measure the coverage of both runs together."""
    install(session, "test")
    env = {"HYPOTHESIS_PROFILE": "dev"}
    # A compiled kernel leaves no trace in the first run, and all the rest does.
    first = ("--cov", "--cov-report=", "--cov-fail-under=0")
    session.run("pytest", *EACH_CORE, *first, *session.posargs, env=env)
    # Statistical tests draw millions of numbers, one by one where nothing is compiled.
    few = ("-m", "not (slow or stat or large)")
    second = ("--cov", "--cov-append", "--cov-report=term-missing:skip-covered")
    env["NUMBA_DISABLE_JIT"] = "1"
    session.run("pytest", *EACH_CORE, *few, *second, *session.posargs, env=env)


@nox.session
def torch(session: nox.Session) -> None:
    """Run the tests with PyTorch installed, so that its backend tests do not skip."""
    install(session, "test")
    session.run("python", "-m", "ensurepip")  # environments that uv makes have no pip
    session.run("python", "-m", "pip", "install", "torch==2.13.0")
    session.run("pytest", *EACH_CORE, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    install(session, "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against the peers and write the table."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks.peers", *session.posargs)
