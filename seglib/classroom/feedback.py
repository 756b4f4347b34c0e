"""What the student gets back: the graded notebook, and nbgrader's page made from it.

The notebook is opened in the instructor's browser too, by nbgrader's formgrader, at an address from
which a script could do all that the instructor can. So what students wrote is made harmless here,
in the file, whoever shows it later.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from nbgrader.converters import GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import capture_log
from traitlets.config import Config

from seglib.classroom.notebooks import read_notebook
from seglib.classroom.records import ItemRecord
from seglib.classroom.submissions import Cell, Submission
from seglib.classroom.text import clean, shorten
from seglib.files import atomic_path

Outputs = Sequence[Mapping[str, object]]
MISSING = "# This cell was missing in the submission."
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_MACRO = re.compile(r"\\(?=(?:href|require|class|cssId|style)\b)")  # of formulas
_SCHEME = re.compile(r"\b(javascript|vbscript|data|attachment)(?=\s*(?::|&))", re.IGNORECASE)
_ENTITY = re.compile(r"&(?=#|(?!(?:amp|lt|gt|quot|nbsp);)[A-Za-z])")  # mistune reads them in links
_LINK = re.compile(r"\](?=\s*[(:]\s*(?!https?://[\w.]|#\w))", re.IGNORECASE)
_TICKS = re.compile(r"`+")


def harmless(markdown: str) -> str:
    """Markdown that looks the same and holds no HTML, no scripts and no links to any.

    An invisible word joiner behind "<" keeps a tag from being one, in text, code and formulas; one
    inside a link keeps it from being one, unless it leads to https://, http:// or # in clear.
    """
    text = _TAG.sub("<\u2060", clean(markdown))
    text = _LINK.sub("]\u2060", _ENTITY.sub("&\u2060", text))
    text = _MACRO.sub("\u29f5", text)  # a backslash that is none
    return _SCHEME.sub(lambda match: match[0][0] + "\u2060" + match[0][1:], text)


def item_comment(item: ItemRecord) -> str:
    """What the student reads about an item; "" where nothing was lost."""
    if item.score >= item.points:
        return ""
    lost = [part for part in item.parts if part.score < part.points]
    parts = ", ".join(f"{part.name} ({part.score:g} of {part.points:g})" for part in lost)
    lines = [
        f"`{item.name}`: {item.score:g} of {item.points:g} points.",
        item.hint,
        f"Points went in: {parts}." if parts else "",
        f"(`{item.slug}`)" if item.slug else "",
    ]
    return harmless(" ".join(filter(None, lines)))


def _release(course: Path, assignment: str) -> Path:
    return course / "release" / assignment / f"{assignment}.ipynb"


def comment_places(course: Path, assignment: str) -> dict[str, str]:
    """For each graded cell the answer's cell that a comment on it belongs to: nbgrader has
    comments for answers only. It is the nearest one above.
    """
    places, answer = {}, ""
    for cell in read_notebook(_release(course, assignment)).cells:
        if cell.solution and cell.kind == "code":
            answer = cell.grade_id
        if cell.grade and cell.kind == "code":
            places[cell.grade_id] = answer
    return places


def write_autograded(
    course: Path,
    assignment: str,
    student: str,
    submission: Submission,
    outputs: Sequence[Outputs],
) -> None:
    """Write `autograded/STUDENT/ASSIGNMENT`: what ran and what came of it, for nbgrader's pages.

    Args:
        outputs: of each of the submission's cells, as nbformat 4 has them: plain text, PNG
            pictures, errors; empty for cells that did not run.
    """
    released = json.loads(_release(course, assignment).read_bytes())
    metadata = {}
    for cell in released["cells"]:
        about = cell["metadata"].get("nbgrader")
        if about:
            metadata[about["grade_id"]] = about | {"cell_type": cell["cell_type"]}
    shown = list(zip(submission.cells, outputs, strict=True))
    present = {cell.grade_id for cell, _ in shown}
    for grade_id, about in metadata.items():
        if grade_id not in present:
            text = MISSING if about["cell_type"] == "code" else ""
            place = _behind_earlier([cell.grade_id for cell, _ in shown], grade_id, list(metadata))
            shown.insert(place, (Cell(about["cell_type"], text, grade_id), ()))
    notebook = {
        "cells": [_shown(n, *entry, metadata) for n, entry in enumerate(shown)],
        "metadata": {"language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    folder = course / "autograded" / student / assignment
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / f"{assignment}.ipynb") as temporary:
        temporary.write_text(json.dumps(notebook, ensure_ascii=False, indent=1), encoding="utf-8")
    timestamp = course / "submitted" / student / assignment / "timestamp.txt"
    if timestamp.is_file():
        shutil.copyfile(timestamp, folder / "timestamp.txt")


def _behind_earlier(present: Sequence[str], grade_id: str, order: Sequence[str]) -> int:
    """Where a missing cell belongs: behind the nearest one that the release has before it."""
    for earlier in reversed(order[: order.index(grade_id)]):
        if earlier in present:
            return present.index(earlier) + 1
    return 0


def _shown(
    number: int, cell: Cell, outputs: Outputs, metadata: Mapping[str, object]
) -> dict[str, object]:
    about = metadata.get(cell.grade_id)
    entry: dict[str, object] = {
        "id": f"cell-{number}",
        "cell_type": "markdown",
        "metadata": {"nbgrader": about} if about else {},
        "source": harmless(cell.source),
    }
    if cell.kind == "code":
        kept = [dict(output) for output in outputs]
        return entry | {
            "cell_type": "code",
            "source": clean(cell.source),
            "execution_count": None,
            "outputs": kept,
        }
    if cell.kind == "raw":  # nbconvert hands raw cells to the browser as they are
        fence = "`" * max([3, *(len(run) + 1 for run in _TICKS.findall(cell.source))])
        entry["source"] = f"{fence}\n{harmless(cell.source)}\n{fence}"
    return entry


def remove_autograded(course: Path, assignment: str, student: str) -> None:
    """Remove the pages of a submission that was graded once and can't be any more."""
    for step in ("autograded", "feedback"):
        shutil.rmtree(course / step / student / assignment, ignore_errors=True)


def generate_pages(course: Path, assignment: str) -> list[str]:
    """Run nbgrader's converter for everybody with a graded notebook, one by one.

    Returns:
        A line for each student whose page could not be written.
    """
    found = (course / "autograded").glob(f"*/{assignment}/{assignment}.ipynb")
    lines, before = [], Path.cwd()
    for student in sorted(path.parent.parent.name for path in found):
        try:
            problem = _generate(course, assignment, student)
        finally:
            os.chdir(before)
        if problem:
            lines.append(f"{student}: no feedback page: {problem}")
    return lines


def _generate(course: Path, assignment: str, student: str) -> str:
    """Run nbgrader's converter for one student; what went wrong, or ""."""
    config = Config()
    config.CourseDirectory.root = str(course.resolve())
    config.CourseDirectory.assignment_id = assignment
    config.CourseDirectory.student_id = student
    config.GenerateFeedback.force = True
    config.HTMLExporter.exclude_input_prompt = True
    config.HTMLExporter.exclude_output_prompt = True
    config.HTMLExporter.exclude_anchor_links = True
    result = capture_log(GenerateFeedback(CourseDirectory(config=config), config=config))
    if result["success"]:
        return ""
    lines = [line.strip() for line in result.get("log", result["error"]).splitlines()]
    told = [line for line in lines if re.match(r"[\w.]*(?:Error|Exception|Notebook|Entry)\b", line)]
    return shorten((told or lines or ["unknown"])[-1], 200)
