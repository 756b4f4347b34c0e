"""A chapter notices when one character of its canonical code is wrong.

`mutants_02.py` and its neighbours list the mutants, a module for each chapter. Each mutant goes
into a copy of the package, and the chapter's cells run against it under nbval, as in `make test`.
The cells that call `annotate` are left out: they show the source, so they would notice anything.
What must fail is a shape, a parity report or an assert.
"""

import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from itertools import product
from pathlib import Path

import nbformat
import pytest
from project_files import ROOT

from seglib.backbones.mobilenetv2 import SETTINGS
from seglib.layers import fixed_padding

Mutant = tuple[str, str, str]  # a module of seglib, text that stands in it once, its mutation

LISTS = {
    path.stem[-2:]: import_module(path.stem)
    for path in sorted(Path(__file__).parent.glob("mutants_??.py"))
}
MUTANTS = [(number, mutant) for number, found in LISTS.items() for mutant in found.MUTANTS]
EQUIVALENT = [(number, mutant) for number, found in LISTS.items() for mutant in found.EQUIVALENT]


def chapter(number: str) -> Path:
    """The notebook of a chapter, by its number."""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    return path


def package(folder: Path, module: str = "", old: str = "", new: str = "") -> None:
    """A copy of seglib in `folder`, mutated."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "seglib", folder / "seglib", ignore=ignored)
    if module:
        file = folder / "seglib" / module
        source = file.read_text(encoding="utf-8")
        file.write_text(source.replace(old, new), encoding="utf-8")


def failing_cell(path: Path, folder: Path) -> str:
    """Run a chapter, without `annotate`, on the package in `folder`, up to the first failure.

    Returns:
        The source of the first cell that fails; "" if none does.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and not re.search(r"^annotate\(", cell.source, re.MULTILINE)
    ]
    copy = folder / "notebooks" / path.name
    copy.parent.mkdir()
    for name in ("data", "benchmarks", "tests"):  # chapters read from these folders
        (folder / name).symlink_to(ROOT / name)
    nbformat.write(notebook, copy)
    options = ["--nbval", "--nbval-current-env", "-x", "-q", "-p", "no:cacheprovider"]
    places = ["-c", os.devnull, "--rootdir", str(folder)]
    variables = dict(
        os.environ,
        PYTHONPATH=str(folder),
        SEGLIB_DATA=str(ROOT / "data"),
        OMP_NUM_THREADS="1",
        IPYTHONDIR=str(folder / "ipython"),
    )
    variables.pop("MPLBACKEND", None)
    variables.pop("PYTEST_ADDOPTS", None)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *places, "-r", "fE", "--color=no", str(copy)],
        env=variables,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    found = re.search(r"(?m)^FAILED .*::Cell (\d+)", run.stdout)
    assert run.returncode == (1 if found else 0), run.stdout[-2000:] + run.stderr[-2000:]
    return str(notebook.cells[int(found[1])].source) if found else ""


@pytest.mark.slow
@pytest.mark.parametrize("number", LISTS)
def test_the_true_code_passes(number: str, tmp_path: Path) -> None:
    package(tmp_path)
    assert failing_cell(chapter(number), tmp_path) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "number, mutant", MUTANTS, ids=[f"{number} {mutant[2]}" for number, mutant in MUTANTS]
)
def test_a_mutant_fails(number: str, mutant: Mutant, tmp_path: Path) -> None:
    package(tmp_path, *mutant)
    cell = failing_cell(chapter(number), tmp_path)
    assert cell
    assert not cell.startswith("from seglib"), "it does not even import: no test of the chapter"


@pytest.mark.parametrize("number", LISTS)
def test_a_chapter_has_mutants_enough(number: str) -> None:
    assert len(LISTS[number].MUTANTS) >= 5


@pytest.mark.parametrize(
    "mutant", [mutant for _, mutant in (*MUTANTS, *EQUIVALENT)], ids=lambda mutant: mutant[2]
)
def test_a_mutant_differs_by_one_character_that_is_there(mutant: Mutant) -> None:
    module, old, new = mutant
    assert (ROOT / "seglib" / module).read_text(encoding="utf-8").count(old) == 1
    assert len(old) == len(new)
    assert sum(a != b for a, b in zip(old, new, strict=True)) == 1


def test_the_equivalent_ones_of_chapter_02_are_equivalent() -> None:
    assert [stride == 1 for stride in (1, 2)] == [stride <= 1 for stride in (1, 2)]
    left, right, _, _ = fixed_padding(3, dilation=4)
    assert left == right
    strides = {s for _, _, _, s in SETTINGS}
    for current, limit, s in product((2, 4, 8, 16, 32), (8, 16, 32), strides):
        if current <= limit:
            assert (current * s > limit) == (current + s > limit) or s == 1
