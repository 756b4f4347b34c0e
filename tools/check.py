"""Everything that must hold before a commit; the Makefile's `test`, `test-full` and `lint` call it.

Every step runs, also after one has failed, and a table closes the run. Exit code 1 if any step
failed. Nightly steps run with --full, or where --only names them: `--only machines` runs the
notebooks as other processors and thread counts would, `--only seeds` with other seeds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import affected

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = "notebooks"
CELL_TIMEOUT = 600  # seconds; far above what a chapter may take, for slow machines
# Instruction sets of PyTorch's own kernels and of oneDNN's, from the oldest.
PROCESSORS = (("default", "SSE41"), ("avx2", "AVX2"), ("avx512", "AVX512_CORE"))
THREADS = (1, 2, 4)
SEED_SHIFTS = (1000, 2000, 3000, 4000, 5000)


@dataclass(frozen=True)
class Step:
    """A command for the interpreter, and what is special about it.

    Attributes:
        variables: of its environment, beside the usual ones.
        nightly: whether it is left to `--full` and `--only`.
        needs: the instruction set that the processor must have, "" for none.
    """

    arguments: list[str]
    variables: dict[str, str] = field(default_factory=dict)
    nightly: bool = False
    needs: str = ""


def notebook_command(workers: int, paths: tuple[str, ...] = (NOTEBOOKS,)) -> list[str]:
    """pytest's arguments that run notebooks and compare their outputs, a notebook to a worker."""
    options = ["--nbval", "--nbval-current-env", f"--nbval-cell-timeout={CELL_TIMEOUT}"]
    return ["-m", "pytest", *options, "-q", "-n", str(workers), "--dist", "loadscope", *paths]


def unit_command(workers: int, paths: tuple[str, ...] = ("tests",)) -> list[str]:
    """pytest's arguments for unit tests, a file to a worker: what its tests share is built once."""
    return ["-m", "pytest", "-q", "-n", str(workers), "--dist", "loadscope", *paths]


def steps(workers: int, full: bool) -> dict[str, Step]:
    """The steps by name, in order."""
    unit = unit_command(workers)
    return {
        "lint: ruff check": Step(["-m", "ruff", "check", "--quiet"]),
        "lint: ruff format": Step(["-m", "ruff", "format", "--check", "--quiet"]),
        "lint: mypy": Step(["-m", "mypy"]),
        "unit tests": Step(unit if full else [*unit, "-m", "not slow"], {"MPLBACKEND": "agg"}),
        "notebooks": Step(notebook_command(workers)),
        **dict(machines(workers)),
        **dict(seeds(workers)),
    }


def machines(workers: int) -> Iterator[tuple[str, Step]]:
    """The notebooks, outputs compared, as on other processors and with other numbers of threads."""
    for kernels, onednn in PROCESSORS:
        variables = {"ATEN_CPU_CAPABILITY": kernels, "ONEDNN_MAX_CPU_ISA": onednn}
        yield (
            f"machines: {kernels}, {onednn}",
            Step(notebook_command(workers), variables, nightly=True, needs=kernels),
        )
    for threads in THREADS:
        processes = workers if threads == 1 else 1
        yield (
            f"machines: {threads} thread{'s' if threads > 1 else ''}",
            Step(notebook_command(processes), {"OMP_NUM_THREADS": str(threads)}, nightly=True),
        )


def seeds(workers: int) -> Iterator[tuple[str, Step]]:
    """The notebooks with every seed moved: outputs are not compared, asserts must hold."""
    for shift in SEED_SHIFTS:
        variables = {"SEGLIB_SEED_SHIFT": str(shift)}
        yield f"seeds: +{shift}", Step(notebook_command(workers), variables, nightly=True)


def changed_steps(workers: int) -> dict[str, Step]:
    """Style, types, and the tests and notebooks that a change since main touches."""
    tests, notebooks = affected.by_changes(ROOT, affected.changed_files(ROOT))
    found = {name: step for name, step in steps(workers, False).items() if "lint" in name}
    print(f"touched by what changed: {len(tests)} test files, {len(notebooks)} notebooks")
    if tests:
        unit = [*unit_command(workers, tuple(tests)), "-m", "not slow"]
        found["unit tests"] = Step(unit, {"MPLBACKEND": "agg"})
    if notebooks:
        found["notebooks"] = Step(notebook_command(workers, tuple(notebooks)))
    return found


def environment(step: Step, ipython: str) -> dict[str, str]:
    """Variables for a step: one thread a worker, no personal settings of IPython or matplotlib."""
    variables = dict(os.environ, OMP_NUM_THREADS="1", IPYTHONDIR=ipython)
    variables.pop("PYTEST_ADDOPTS", None)
    variables.pop("MPLBACKEND", None)  # a kernel chooses the inline backend only where none is set
    return {**variables, **step.variables}


def lacks(needed: str) -> bool:
    """Whether this processor lacks an instruction set, by the name that PyTorch gives it."""
    if not needed or needed == "default":
        return False
    question = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    has = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True).stdout
    order = [kernels for kernels, _ in PROCESSORS]
    return order.index(needed) > order.index(has.strip().lower())


def main() -> int:
    """Run the steps and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2, help="processes, default 2")
    parser.add_argument("--full", action="store_true", help="with slow tests and nightly steps")
    parser.add_argument("--fast", action="store_true", help="only what a change since main touches")
    parser.add_argument("--only", default="", help="only steps whose name contains this")
    options = parser.parse_args()

    results: list[tuple[str, str, float]] = []
    with tempfile.TemporaryDirectory() as ipython:
        # On a new machine matplotlib lists the fonts first, and says so on stderr, in some cell.
        warm_up = "import matplotlib.font_manager"
        subprocess.run([sys.executable, "-c", warm_up], cwd=ROOT, check=False)
        chosen = (
            changed_steps(options.workers) if options.fast else steps(options.workers, options.full)
        )
        for name, step in chosen.items():
            if options.only not in name or (step.nightly and not (options.full or options.only)):
                continue
            print(f"\n== {name}", flush=True)
            if lacks(step.needs):
                print(f"skipped: this processor has no {step.needs}")
                results.append((name, "skipped", 0.0))
                continue
            start = time.monotonic()
            command = [sys.executable, *step.arguments]
            code = subprocess.call(command, cwd=ROOT, env=environment(step, ipython))
            results.append((name, "FAILED" if code else "ok", time.monotonic() - start))

    print("\n== summary")
    for name, result, seconds in results:
        print(f"{name:28} {result:8} {seconds:6.0f} s")
    return 0 if results and all(result != "FAILED" for _, result, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
