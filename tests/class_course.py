"""A course folder with one small assignment, released by nbgrader itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.apps import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from seglib.classroom.gradebook import open_gradebook, store_roster
from seglib.classroom.roster import Student

ASSIGNMENT = "01_rule"
CLASS = [Student("ann", "Ann", "Lee", "ann@example.org", "17"), Student("bob"), Student("李明")]
NOTEBOOK = f"{ASSIGNMENT}.ipynb"
SETUP = "import math"
ROUND_DOWN = "def round_down(value):\n    return math.floor(value / 8) * 8"
ROUND_TEST = "assert round_down(17) == 16"
WIDTHS = "def widths(scale):\n    return [round_down(c * scale) for c in (16, 24)]"
WIDTHS_TEST = "assert len(widths(1.0)) == 2"
QUESTION = "## Question: why 8?\n\nSay it in two sentences."
ANSWER = "Hardware reads 8 channels at once."

Cell = dict[str, object]


def grading(
    grade_id: str, *, grade: bool = False, solution: bool = False, points: float | None = None
) -> Cell:
    """nbgrader's metadata of a source cell; one that is no solution is locked."""
    entry: Cell = {"schema_version": 3, "grade_id": grade_id, "task": False}
    entry |= {"grade": grade, "solution": solution, "locked": not solution}
    return {"nbgrader": entry if points is None else entry | {"points": points}}


def _hidden(signature: str, body: str) -> str:
    return f"{signature}\n    ### BEGIN SOLUTION\n{body}\n    ### END SOLUTION"


def source_notebook() -> nbformat.NotebookNode:
    """Two items with 4 and 6 points, and a free-text question of 3."""
    cells = [
        new_markdown_cell("# Rounding"),
        new_code_cell(SETUP, metadata=grading("setup")),
        new_markdown_cell("## Task: round down", metadata=grading("task_round_down")),
        new_code_cell(
            _hidden(*ROUND_DOWN.split("\n")), metadata=grading("answer_round_down", solution=True)
        ),
        new_code_cell(ROUND_TEST, metadata=grading("round_down", grade=True, points=4)),
        new_code_cell(
            _hidden(*WIDTHS.split("\n")), metadata=grading("answer_widths", solution=True)
        ),
        new_code_cell(WIDTHS_TEST, metadata=grading("widths", grade=True, points=6)),
        new_markdown_cell(QUESTION, metadata=grading("question")),
        new_markdown_cell(
            f"### BEGIN SOLUTION\n{ANSWER}\n### END SOLUTION",
            metadata=grading("why", grade=True, solution=True, points=3),
        ),
    ]
    return new_notebook(cells=cells)


def open_course(course: Path) -> NbGraderAPI:
    """nbgrader's own functions, on this folder."""
    config = Config()
    config.CourseDirectory.root = str(course)
    config.NbGraderAPI.log_level = "ERROR"
    return NbGraderAPI(coursedir=CourseDirectory(config=config), config=config)


def make_course(course: Path) -> Path:
    """Write the source and release it; enter the class; gives `course`."""
    folder = course / "source" / ASSIGNMENT
    folder.mkdir(parents=True)
    nbformat.write(source_notebook(), folder / NOTEBOOK)
    (course / "nbgrader_config.py").write_text("c = get_config()\n", encoding="utf-8")
    with open_gradebook(course):
        pass
    result = open_course(course).generate_assignment(ASSIGNMENT)
    assert result["success"], result
    store_roster(course, CLASS)
    return course


def release_path(course: Path) -> Path:
    return course / "release" / ASSIGNMENT / NOTEBOOK


def released(course: Path) -> list[Cell]:
    """The release's cells, to be changed as students do."""
    cells: list[Cell] = json.loads(release_path(course).read_bytes())["cells"]
    return cells


def by_id(cells: Sequence[Cell], grade_id: str) -> Cell:
    return next(c for c in cells if c["metadata"].get("nbgrader", {}).get("grade_id") == grade_id)  # type: ignore[attr-defined]


def solved(course: Path) -> list[Cell]:
    """The release's cells with everything answered."""
    cells = released(course)
    by_id(cells, "answer_round_down")["source"] = ROUND_DOWN
    by_id(cells, "answer_widths")["source"] = WIDTHS
    by_id(cells, "why")["source"] = ANSWER
    return cells


def write_notebook(path: Path, cells: Sequence[Cell]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tree = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path
