"""Notebooks read with patience: any nbformat, any damage that leaves cells to be found.

nbformat's own reader refuses what does not fit its schema. A student's file is worth more than its
schema: here a cell is whatever has a source.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from seglib.classroom.text import clean

Kind = Literal["code", "markdown", "raw"]

MAX_BYTES = 50 * 2**20
MAX_VALUES = 4_000_000  # JSON values of 50 bytes each would fill the memory
MAX_CELLS = 2000
MAX_SOURCE = 5_000_000  # characters of all cells together
ASK_AGAIN = "ask the student for the file again"
_KINDS: Mapping[str, Kind] = {
    "code": "code",
    "markdown": "markdown",
    "raw": "raw",
    "heading": "markdown",  # nbformat 3
    "html": "markdown",
    "plaintext": "raw",  # nbformat 2
}


@dataclass(frozen=True)
class NotebookCell:
    """A cell; what follows `grade_id` is nbgrader's and true of a release only: a student can
    write anything there.
    """

    kind: Kind
    source: str
    grade_id: str = ""
    grade: bool = False
    solution: bool = False
    locked: bool = False
    points: float = 0.0


@dataclass
class Notebook:
    """The cells that a file holds, and in plain words what was mended to find them."""

    cells: list[NotebookCell] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def read_notebook(path: Path) -> Notebook:
    """Read a notebook's cells.

    Raises:
        ValueError: if there is no such file, or no notebook in it.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path} is larger than 50 MB; ask for it without its outputs")
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} can't be read ({error.strerror}); collect it again") from error
    return parse_notebook(content, str(path))


def parse_notebook(content: bytes, name: str) -> Notebook:
    """As `read_notebook`, of a file's content; `name` is what errors call it."""
    if not content.strip(b" \t\r\n\0"):
        raise ValueError(f"{name} is empty; {ASK_AGAIN}")
    if sum(content.count(sign) for sign in (b",", b"[", b"{")) > MAX_VALUES:
        raise ValueError(f"{name} holds too many values to be read; ask for it without its outputs")
    notebook = Notebook()
    tree = _parse_json(content, name, notebook.lines)
    cells = _find_cells(tree)
    if cells is None:
        raise ValueError(f"{name} is no notebook: it holds no cells; {ASK_AGAIN}")
    if len(cells) > MAX_CELLS:
        raise ValueError(f"{name} has {len(cells)} cells, more than {MAX_CELLS}; {ASK_AGAIN}")
    for cell in cells:
        if isinstance(cell, dict):
            notebook.cells.append(_cell(cell))
    if sum(len(cell.source) for cell in notebook.cells) > MAX_SOURCE:
        raise ValueError(f"{name} has cells of more than 5 MB of text; {ASK_AGAIN}")
    if len(notebook.cells) < len(cells):
        left_out = len(cells) - len(notebook.cells)
        notebook.lines.append(f"cells that are none were left out: {left_out}")
    return notebook


def _parse_json(content: bytes, name: str, lines: list[str]) -> dict[str, object]:
    try:
        try:
            tree = json.loads(content)  # UTF-8, UTF-16 and UTF-32, with a mark or without
        except UnicodeDecodeError:
            tree = json.loads(content.decode("utf-8", "replace"))
            lines.append("the file is not in UTF-8: some characters were replaced")
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        ended = error.pos >= len(error.doc.rstrip()) - 1 or error.msg.startswith("Unterminated")
        what = "breaks off" if ended else "is no JSON"
        raise ValueError(f"{name} is no notebook: it {what} at {where}; {ASK_AGAIN}") from error
    except (ValueError, RecursionError) as error:  # a number of a million digits, 10 000 brackets
        raise ValueError(f"{name} is no notebook: it is no usual JSON; {ASK_AGAIN}") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{name} is no notebook: it holds no cells; {ASK_AGAIN}")
    return tree


def _find_cells(tree: Mapping[str, object]) -> list[object] | None:
    cells, sheets = tree.get("cells"), tree.get("worksheets")
    if isinstance(cells, list):
        return cells
    if isinstance(sheets, list):  # nbformat 2 and 3
        return list(_cells_of_sheets(sheets))
    return None


def _cells_of_sheets(sheets: list[object]) -> Iterator[object]:
    for sheet in sheets:
        cells = sheet.get("cells") if isinstance(sheet, dict) else None
        if isinstance(cells, list):
            yield from cells


def _cell(cell: Mapping[str, object]) -> NotebookCell:
    name = cell.get("cell_type")
    kind = _KINDS.get(name, "raw") if isinstance(name, str) else "raw"
    if name is None and "outputs" in cell:
        kind = "code"
    source = clean(_text(cell.get("source", cell.get("input"))))
    if name == "heading":
        level = cell.get("level")
        source = "#" * (level if isinstance(level, int) and 1 <= level <= 6 else 1) + " " + source
    return _with_grading(kind, source, _dict(_dict(cell.get("metadata")).get("nbgrader")))


def _with_grading(kind: Kind, source: str, grading: Mapping[str, object]) -> NotebookCell:
    grade_id, points = grading.get("grade_id"), grading.get("points")
    return NotebookCell(
        kind=kind,
        source=source,
        grade_id=grade_id if isinstance(grade_id, str) else "",
        grade=grading.get("grade") is True,
        solution=grading.get("solution") is True,
        locked=grading.get("locked") is True or grading.get("task") is True,
        points=float(points) if isinstance(points, int | float) else 0.0,
    )


def _dict(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""
