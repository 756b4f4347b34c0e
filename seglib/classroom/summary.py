"""Grades as a table for other programs, and a page about the class for its teacher."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from seglib.classroom.classbook import Row, read_classbook
from seglib.classroom.collected import read_lines
from seglib.classroom.report_page import page
from seglib.classroom.text import clean
from seglib.files import atomic_path

COLUMNS = (
    "assignment",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "status",
    "submitted_at",
    "score",
    "max_score",
    "auto_score",
    "manual_score",
    "needs_manual_grade",
    "mistakes",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\n", "|", "＝", "＋", "－", "＠")


def write_csv(course: Path, path: Path, assignments: Sequence[str]) -> int:
    """Write one row for each student and assignment; the same grades give the same bytes.

    UTF-8 with a byte order mark, which spreadsheets need for names beyond ASCII. Text that a
    spreadsheet would compute begins with an apostrophe. `submitted_at` is UTC.

    Returns:
        The number of rows.
    Raises:
        ValueError: if an assignment is not released, or a record is damaged.
        OSError: if the file can't be written.
    """
    rows = []
    for assignment in sorted(set(assignments)):
        book = read_classbook(course, assignment)
        rows += [_fields(assignment, book.max_score, row) for row in book.rows]
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8-sig", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return len(rows)


def _fields(assignment: str, max_score: float, row: Row) -> list[str]:
    student, standing = row.student, row.standing
    items = row.record.items if row.record else ()
    mistakes = "; ".join(f"{item.name}: {item.slug}" for item in items if item.slug)
    manual = standing.manual_score if standing else None
    return [
        _text(assignment),
        _text(student.id),
        _text(student.last_name),
        _text(student.first_name),
        _text(student.email),
        row.status,
        standing.submitted_at if standing else "",
        _number(row.score),
        _number(max_score),
        _number(standing.auto_score if standing else 0.0),
        "" if manual is None else _number(manual),
        "true" if row.waits else "false",
        _text(mistakes),
    ]


def _text(value: str) -> str:
    value = clean(value)
    return f"'{value}" if value.lstrip(" ").startswith(_FORMULA) else value


def _number(value: float) -> str:
    return f"{round(value, 4):.10g}"


def write_summary(course: Path, path: Path, assignments: Sequence[str]) -> None:
    """Write the page: one file, no scripts, nothing loaded from elsewhere.

    Raises:
        ValueError: if an assignment is not released, or a record is damaged.
        OSError: if the file can't be written.
    """
    names = sorted(set(assignments))
    books = [read_classbook(course, name) for name in names]
    collected = {name: read_lines(course, name) for name in names}
    with atomic_path(path) as temporary:
        temporary.write_text(page(books, collected), encoding="utf-8")
