"""The class list: a CSV file as nbgrader imports it."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seglib.classroom.text import clean

COLUMNS = ("id", "first_name", "last_name", "email", "lms_user_id")
_OTHER_NAMES = {"student_id": "id", "lms_id": "lms_user_id"}
MAX_LENGTH = 128  # characters, in nbgrader's database
MAX_BYTES = 200  # of a file's name, with room for a suffix
_RESERVED = frozenset('/\\:*?"<>|+,[]')  # in folders' names, nbgrader's keys and searches


@dataclass(frozen=True)
class Student:
    """A student; `id` names folders, `lms_id` is the learning management system's number."""

    id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_id: str = ""


def read_roster(path: Path) -> list[Student]:
    """Read the class list.

    The columns id, first_name, last_name, email, lms_user_id in any order, all but the first may be
    missing; separated by commas, semicolons or tabs; in UTF-8.

    Raises:
        ValueError: if the file can't be read, or a row does not name a student; with the row.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not in UTF-8; save it as CSV UTF-8 in the spreadsheet"
        ) from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    try:
        table = list(csv.reader(lines, delimiter=_separator(lines[0]), strict=True))
    except csv.Error as error:
        raise ValueError(f"{path} is no CSV: {error}") from error
    rows = [(number, row) for number, row in enumerate(table, 1) if any(map(str.strip, row))]
    if not rows:
        raise ValueError(f"{path} is empty; its first row must be {','.join(COLUMNS)}")
    columns = _columns(path, rows[0][1])
    students: dict[str, Student] = {}
    for number, row in rows[1:]:
        if len(row) > len(rows[0][1]) and any(map(str.strip, row[len(rows[0][1]) :])):
            raise ValueError(f"{path}, row {number}: more fields than the first row has names")
        student = _student(columns, row)
        if problem := unfit_id(student.id):
            raise ValueError(f"{path}, row {number}: id is {student.id!r}, {problem}")
        _add(students, student, f"{path}, row {number}")
    if not students:
        raise ValueError(f"{path} names no students below its first row")
    return list(students.values())


def _separator(first: str) -> str:
    return max(",;\t", key=first.count)


def _columns(path: Path, names: Sequence[str]) -> Mapping[str, int]:
    found = [name.strip().lower().replace(" ", "_") for name in names]
    found = [_OTHER_NAMES.get(name, name) for name in found]
    twice = [name for name in COLUMNS if found.count(name) > 1]
    if "id" not in found or twice:
        what = f"names {twice[0]} twice" if twice else "has no column id"
        raise ValueError(f"{path} {what}; its first row must be {','.join(COLUMNS)}")
    return {name: found.index(name) for name in COLUMNS if name in found}


def _student(columns: Mapping[str, int], row: Sequence[str]) -> Student:
    def field(name: str) -> str:
        index = columns.get(name, len(row))
        value = row[index] if index < len(row) else ""
        return unicodedata.normalize("NFC", clean(value)).strip()[:MAX_LENGTH]

    return Student(*(field(name) for name in COLUMNS))


def _add(students: dict[str, Student], student: Student, where: str) -> None:
    known = {other.id.casefold(): other.id for other in students.values()}
    if other := known.get(student.id.casefold()):
        raise ValueError(f"{where}: id {student.id!r} is there already, as {other!r}")
    numbers = {other.lms_id for other in students.values() if other.lms_id}
    if student.lms_id in numbers:
        raise ValueError(f"{where}: lms_user_id {student.lms_id!r} is there already")
    students[student.id] = student


def unfit_id(name: str) -> str:
    """Why `name` can't name a student's folder; "" if it can."""
    if not name:
        return "must not be empty"
    if name.startswith((".", "-")) or name.endswith("."):
        return "must not begin with . or - or end with ."
    if unfit := sorted(set(name) & _RESERVED):
        return f"must not contain {' '.join(unfit)}"
    if not all(sign.isprintable() for sign in name) or "\ufffd" in name:
        return "must not contain invisible characters"
    if name != name.strip() or len(name.encode()) > MAX_BYTES:
        return f"must not be longer than {MAX_BYTES} bytes"
    return ""
