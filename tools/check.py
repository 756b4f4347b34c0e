"""Everything that must hold before a commit; the Makefile's `test`, `test-full` and `lint` call it.

Every step runs, also after one has failed, and a table closes the run. Exit code 1 if any step
failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = "notebooks"
CELL_TIMEOUT = 600  # seconds; far above what a chapter may take, for slow machines


def notebook_command(workers: int, paths: tuple[str, ...] = (NOTEBOOKS,)) -> list[str]:
    """pytest's arguments that run notebooks and compare their outputs, a notebook to a worker."""
    options = ["--nbval", "--nbval-current-env", f"--nbval-cell-timeout={CELL_TIMEOUT}"]
    return ["-m", "pytest", *options, "-q", "-n", str(workers), "--dist", "loadscope", *paths]


def steps(workers: int, full: bool) -> dict[str, list[str]]:
    """The steps by name, as arguments for the interpreter, in order."""
    unit = ["-m", "pytest", "-q", "-n", str(workers), "tests"]
    return {
        "lint: ruff check": ["-m", "ruff", "check", "--quiet"],
        "lint: ruff format": ["-m", "ruff", "format", "--check", "--quiet"],
        "lint: mypy": ["-m", "mypy"],
        "unit tests": unit if full else [*unit, "-m", "not slow"],
        "notebooks": notebook_command(workers),
    }


def environment(name: str, ipython: str) -> dict[str, str]:
    """Variables for a step: one thread a worker, no personal settings of IPython or matplotlib."""
    variables = dict(os.environ, OMP_NUM_THREADS="1", IPYTHONDIR=ipython)
    variables.pop("PYTEST_ADDOPTS", None)
    variables.pop("MPLBACKEND", None)  # a kernel chooses the inline backend only where none is set
    if name == "unit tests":
        variables["MPLBACKEND"] = "agg"
    return variables


def main() -> int:
    """Run the steps and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="processes, default 2")
    parser.add_argument("--full", action="store_true", help="include tests marked slow")
    parser.add_argument("--only", default="", help="only steps whose name contains this")
    options = parser.parse_args()

    results: list[tuple[str, bool, float]] = []
    with tempfile.TemporaryDirectory() as ipython:
        # On a new machine matplotlib lists the fonts first, and says so on stderr, in some cell.
        warm_up = "import matplotlib.font_manager"
        subprocess.run([sys.executable, "-c", warm_up], cwd=ROOT, check=False)
        for name, arguments in steps(options.workers, options.full).items():
            if options.only not in name:
                continue
            print(f"\n== {name}", flush=True)
            start = time.monotonic()
            command = [sys.executable, *arguments]
            code = subprocess.call(command, cwd=ROOT, env=environment(name, ipython))
            results.append((name, code == 0, time.monotonic() - start))

    print("\n== summary")
    for name, good, seconds in results:
        print(f"{name:20} {'ok' if good else 'FAILED':8} {seconds:6.0f} s")
    return 0 if results and all(good for _, good, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
