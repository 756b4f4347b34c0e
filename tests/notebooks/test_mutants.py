"""Chapter 02 notices when one character of its canonical code is wrong.

Each mutant goes into a copy of the package, and the chapter's cells run against it under nbval, as
in `make test`. The cells that call `annotate` are left out: they show the source, so they would
notice anything. What must fail is a shape, a parity report or an assert.
"""

import os
import re
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import nbformat
import pytest
from project_files import ROOT

from seglib.backbones.mobilenetv2 import SETTINGS
from seglib.layers import fixed_padding

CHAPTER = ROOT / "notebooks" / "02_inverted_residual.ipynb"
MODULE = Path("seglib") / "backbones" / "mobilenetv2.py"

# (text that stands in the module once, the same with another character)
MUTANTS = [
    ("(6, 24, 2, 2),", "(6, 24, 2, 1),"),
    ("(6, 64, 4, 2),", "(6, 64, 3, 2),"),
    ("LEVELS = (3, 6, 13, 17)", "LEVELS = (3, 6, 12, 17)"),
    ("make_divisible(32 * width_mult)", "make_divisible(33 * width_mult)"),
    ("make_divisible(c * width_mult)", "make_divisible(c + width_mult)"),
    ("current_stride, dilation = 2, 1", "current_stride, dilation = 1, 1"),
    ("stride, dilation = 1, dilation * s", "stride, dilation = 1, dilation + s"),
    ("1, dilation, t)] * (n - 1)", "2, dilation, t)] * (n - 1)"),
    ("dilation, t)] * (n - 1)", "dilation, t)] * (n - 0)"),
    ("use_shortcut = stride == 1", "use_shortcut = stride >= 1"),
    ("if expand_ratio != 1:", "if expand_ratio != 2:"),
    ("hidden_channels, kernel_size=1))", "hidden_channels, kernel_size=3))"),
    ("padding = fixed_padding(3, dilation)", "padding = fixed_padding(5, dilation)"),
    ("padding=0 if legacy_padding", "padding=1 if legacy_padding"),
    ("round(in_channels * expand_ratio)", "round(in_channels + expand_ratio)"),
    ("return x + out if", "return x - out if"),
    ("stem_padding = 0 if", "stem_padding = 1 if"),
    ("stem_channels, stride=2,", "stem_channels, stride=1,"),
    ("mul, initial=2)", "mul, initial=1)"),
]

# These compute what the original computes, so that nothing can notice them.
EQUIVALENT = {
    ("use_shortcut = stride == 1", "use_shortcut = stride <= 1"): "the stride is 1 or 2",
    ("else padding[0]", "else padding[1]"): "left and right padding of a 3×3 kernel are the same",
    ("if current_stride * s >", "if current_stride + s >"): (
        "the sum decides otherwise only at s = 1, where dropping the stride changes nothing"
    ),
}


def package(folder: Path, old: str = "", new: str = "") -> None:
    """A copy of seglib in `folder`, mutated."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "seglib", folder / "seglib", ignore=ignored)
    file = folder / MODULE
    source = file.read_text(encoding="utf-8")
    if old:
        assert source.count(old) == 1, f"{old!r} is not there, or not once: mend the list"
        source = source.replace(old, new)
    file.write_text(source, encoding="utf-8")


def failing_cell(folder: Path) -> str:
    """Run the chapter, without `annotate`, on the package in `folder`, up to the first failure.

    Returns:
        The source of the first cell that fails; "" if none does.
    """
    notebook = nbformat.read(CHAPTER, as_version=4)
    notebook.cells = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and not re.search(r"^annotate\(", cell.source, re.MULTILINE)
    ]
    path = folder / "notebooks" / CHAPTER.name
    path.parent.mkdir()
    (folder / "data").symlink_to(ROOT / "data")  # the chapter opens ../data/checkpoints
    nbformat.write(notebook, path)
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
        [sys.executable, "-m", "pytest", *options, *places, "-r", "fE", "--color=no", str(path)],
        env=variables,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    found = re.search(r"(?m)^FAILED .*::Cell (\d+)", run.stdout)
    assert run.returncode == (1 if found else 0), run.stdout[-2000:] + run.stderr[-2000:]
    return str(notebook.cells[int(found[1])].source) if found else ""


@pytest.mark.slow
def test_the_true_code_passes(tmp_path: Path) -> None:
    package(tmp_path)
    assert failing_cell(tmp_path) == ""


@pytest.mark.slow
@pytest.mark.parametrize("old, new", MUTANTS, ids=[new for _, new in MUTANTS])
def test_a_mutant_fails(old: str, new: str, tmp_path: Path) -> None:
    package(tmp_path, old, new)
    cell = failing_cell(tmp_path)
    assert cell
    assert not cell.startswith("from seglib"), "it does not even import: no test of the chapter"


def test_mutants_differ_by_one_character() -> None:
    for old, new in (*MUTANTS, *EQUIVALENT):
        assert len(old) == len(new)
        assert sum(a != b for a, b in zip(old, new, strict=True)) == 1


def test_the_equivalent_ones_are_equivalent() -> None:
    source = (ROOT / MODULE).read_text(encoding="utf-8")
    assert all(source.count(old) == 1 for old, _ in EQUIVALENT)
    assert [stride == 1 for stride in (1, 2)] == [stride <= 1 for stride in (1, 2)]
    left, right, _, _ = fixed_padding(3, dilation=4)
    assert left == right
    strides = {s for _, _, _, s in SETTINGS}
    for current, limit, s in product((2, 4, 8, 16, 32), (8, 16, 32), strides):
        if current <= limit:
            assert (current * s > limit) == (current + s > limit) or s == 1
