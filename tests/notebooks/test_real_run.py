"""The real thing: `pytest --nbval`, as `make test` calls it, on notebooks that must not pass."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import check
import gate
import pytest
from nbformat import NotebookNode
from samples import NAME, PICTURE, broken, code, save
from test_gate import ROOT, add, strip, strip_one, unexecute

Change = Callable[[NotebookNode], None]


def stale_text(notebook: NotebookNode) -> None:
    code(notebook, "x = 3").outputs[0].text = "4\n"


def stale_source(notebook: NotebookNode) -> None:
    code(notebook, "x + 4").source = "x + 5"


def stale_picture(notebook: NotebookNode) -> None:
    cell = code(notebook, "from IPython")
    cell.source = PICTURE.replace("navy", "white")


def stale_alt(notebook: NotebookNode) -> None:
    cell = code(notebook, "from IPython")
    cell.outputs[0].metadata["image/png"]["alt"] = "another field of blue"


def stale_kind(notebook: NotebookNode) -> None:
    output = code(notebook, "x + 4").outputs[0]
    output.output_type = "display_data"
    del output["execution_count"]


def stale_and_tagged(tag: str) -> Change:
    def change(notebook: NotebookNode) -> None:
        stale_text(notebook)
        code(notebook, "x = 3").metadata["tags"] = [tag]

    return change


def stale_and_commented(comment: str) -> Change:
    def change(notebook: NotebookNode) -> None:
        stale_text(notebook)
        cell = code(notebook, "x = 3")
        cell.source = f"{comment}\n{cell.source}"

    return change


def keep(notebook: NotebookNode) -> None:
    pass


# name: (change, whether a cell fails in the run, whether the gate fails)
CASES: dict[str, tuple[Change, bool, bool]] = {
    "good": (keep, False, False),
    "unexecuted": (unexecute, True, True),
    "stripped": (strip, True, True),
    "stripped_of_its_figure": (strip_one("from IPython"), True, False),
    "stripped_of_its_widget": (strip_one("import ipywidgets"), True, False),
    "stripped_of_its_result": (strip_one("def answer"), True, False),
    "stripped_where_ignored": (strip_one("# Output not compared"), True, True),
    "stale_text": (stale_text, True, False),
    "stale_source": (stale_source, True, False),
    "stale_picture": (stale_picture, True, False),
    "stale_alt": (stale_alt, True, False),
    "stale_kind": (stale_kind, True, False),
    "silenced_by_skip": (stale_and_tagged("nbval-skip"), True, True),
    "silenced_by_ignore": (stale_and_tagged("nbval-ignore-output"), False, True),
    "silenced_by_comment": (stale_and_commented("# NBVAL_IGNORE_OUTPUT"), False, True),
    "silenced_by_skip_comment": (stale_and_commented("#NBVAL_SKIP"), True, True),
    "silenced_by_capture": (add("%%capture\nprint(1)", outputs=[]), False, True),
    "silenced_exception": (add("1 / 0", tags=["raises-exception"], outputs=[]), True, True),
}


def outcomes(folder: Path) -> tuple[int, dict[str, tuple[bool, bool]]]:
    """Run the notebooks of a folder; (exit code, {name: (a cell failed, the gate failed)})."""
    command = [sys.executable, *check.notebook_command(0, (str(folder),)), "-rA", "--color=no"]
    places = [str(ROOT / part) for part in ("tests/notebooks", "tools", "tests")]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"}
    options = [
        "-c",
        str(ROOT / "pyproject.toml"),
        "--rootdir",
        str(folder),
        "-p",
        "notebook_plugin",
    ]
    run = subprocess.run([*command, *options], env=variables, capture_output=True, text=True)
    found: dict[str, tuple[bool, bool]] = {}
    line = r"(?m)^(PASSED|FAILED|ERROR|SKIPPED|XFAIL) .*?(\w+)/[^/\s]+::(\w+)"
    for result, name, test in re.findall(line, run.stdout):
        cell, rules = found.get(name, (False, False))
        bad = result not in ("PASSED", "SKIPPED")
        found[name] = (cell or (bad and test == "Cell"), rules or (bad and test == "rules"))
    return run.returncode, found


def test_the_run_fails_on_every_bad_notebook(good: NotebookNode, tmp_path: Path) -> None:
    for name, (change, _, _) in CASES.items():
        (tmp_path / name).mkdir()
        save(broken(good, change), tmp_path / name / NAME)
    code, found = outcomes(tmp_path)
    assert code == 1
    assert found == {name: (cell, rules) for name, (_, cell, rules) in CASES.items()}


def test_the_run_passes_on_a_good_notebook(good: NotebookNode, tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    save(good, tmp_path / "good" / NAME)
    assert outcomes(tmp_path) == (0, {"good": (False, False)})


def test_every_cell_of_every_notebook_is_collected() -> None:
    import nbformat

    import notebooks

    command = [*check.notebook_command(0), "--collect-only"]
    run = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    wanted = set()
    for path in notebooks.notebooks([ROOT / "notebooks"]):
        cells = nbformat.read(path, as_version=4).cells
        count = sum(cell.cell_type == "code" for cell in cells)
        name = path.relative_to(ROOT).as_posix()
        wanted |= {f"{name}::Cell {i}" for i in range(count)} | {f"{name}::rules"}
    assert {line for line in run.stdout.splitlines() if "::" in line} == wanted


SILENT = r"nbval-lax|sanitize-with|sanitize_with|nbval_lax|PYTEST_ADDOPTS=|--deselect|--ignore"


@pytest.mark.parametrize(
    "name",
    [
        "Makefile",
        "pyproject.toml",
        ".ci/run",
        ".github/workflows/ci.yml",
        "tools/check.py",
        "conftest.py",
    ],
)
def test_no_setting_weakens_the_comparison(name: str) -> None:
    assert re.findall(SILENT, (ROOT / name).read_text(encoding="utf-8")) == []


def test_no_other_file_configures_pytest() -> None:
    names = ("pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg", "pytest.toml", ".pytest.toml")
    assert [name for name in names if (ROOT / name).exists()] == []


def test_the_gate_s_limits_are_the_course_s() -> None:
    assert (gate.MAX_LINES, gate.MAX_COLUMNS, gate.MAX_IGNORED) == (15, 88, 4)
