"""What grading found out: one JSON file a submission, `results/ASSIGNMENT/STUDENT.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from seglib.classroom.text import clean
from seglib.files import atomic_path

Status = Literal["graded", "failed"]
T = TypeVar("T")


@dataclass(frozen=True)
class PartRecord:
    """A part of an item: points to be had, and had."""

    name: str
    points: float
    score: float


@dataclass(frozen=True)
class ItemRecord:
    """An item's score; `slug` names the mistake that was recognised, `hint` says it in words."""

    name: str
    points: float
    score: float
    slug: str = ""
    hint: str = ""
    parts: tuple[PartRecord, ...] = ()


@dataclass(frozen=True)
class Record:
    """What grading found out about one submission.

    Attributes:
        status: "failed" where nothing could be judged; `lines` says why.
        lines: what the instructor should know, in plain words.
        fingerprint: of everything that the result follows from; the same one, the same result.
        seconds: wall time of the grading.
        written: the free-text question's answer; "" without one.
    """

    assignment: str
    student: str
    status: Status
    items: tuple[ItemRecord, ...]
    lines: tuple[str, ...]
    fingerprint: str
    seconds: float
    written: str = ""


def record_path(course: Path, assignment: str, student: str) -> Path:
    """Where a student's record lies."""
    return course / "results" / assignment / f"{student}.json"


def write_record(course: Path, record: Record) -> None:
    """Write the record's file, whole or not at all; text that can't be stored is cleaned."""
    path = record_path(course, record.assignment, record.student)
    path.parent.mkdir(parents=True, exist_ok=True)
    cleaned = replace(
        record,
        items=tuple(replace(x, slug=clean(x.slug), hint=clean(x.hint)) for x in record.items),
        lines=tuple(map(clean, record.lines)),
        written=clean(record.written),
    )
    text = json.dumps(asdict(cleaned), ensure_ascii=False, indent=1, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_record(course: Path, assignment: str, student: str) -> Record | None:
    """A student's record; None if the submission has not been graded.

    Raises:
        ValueError: if the file is damaged or of another submission.
    """
    path = record_path(course, assignment, student)
    if not path.is_file():
        return None
    try:
        record = _record(json.loads(path.read_bytes()))
        if (record.assignment, record.student) != (assignment, student):
            raise ValueError(f"it is of {record.assignment}, {record.student}")
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); delete it and grade the submission again"
        ) from error
    return record


def read_records(course: Path, assignment: str) -> list[Record]:
    """The records of an assignment, by student.

    Raises:
        ValueError: if a file is damaged.
    """
    folder = record_path(course, assignment, "").parent
    students = sorted(path.stem for path in folder.glob("*.json") if path.name[0] != ".")
    records = (read_record(course, assignment, student) for student in students)
    return [record for record in records if record is not None]


def _record(value: object) -> Record:
    fields = _mapping(value)
    status = _get(fields, "status", str)
    if status not in ("graded", "failed"):
        raise ValueError(f"status is {status!r}")
    items = _many(fields, "items", _item)
    if len({item.name for item in items}) < len(items):
        raise ValueError("an item occurs twice")
    return Record(
        assignment=_get(fields, "assignment", str),
        student=_get(fields, "student", str),
        status="graded" if status == "graded" else "failed",
        items=items,
        lines=_many(fields, "lines", _line),
        fingerprint=_get(fields, "fingerprint", str),
        seconds=_number(fields, "seconds"),
        written=_get(fields, "written", str),
    )


def _item(value: object) -> ItemRecord:
    fields = _mapping(value)
    name, points, score = _scored(fields)
    slug, hint = _get(fields, "slug", str), _get(fields, "hint", str)
    return ItemRecord(name, points, score, slug, hint, _many(fields, "parts", _part))


def _part(value: object) -> PartRecord:
    return PartRecord(*_scored(_mapping(value)))


def _scored(fields: Mapping[str, object]) -> tuple[str, float, float]:
    name = _get(fields, "name", str)
    points, score = _number(fields, "points"), _number(fields, "score")
    if score > points:
        raise ValueError(f"{name}: {score} of {points} points")
    return name, points, score


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"a mapping is missing, got {type(value).__name__}")
    return value


def _get(fields: Mapping[str, object], key: str, kind: type[T]) -> T:
    value = fields.get(key)
    if not isinstance(value, kind):
        raise ValueError(f"{key} is {type(value).__name__}, not {kind.__name__}")
    return value


def _number(fields: Mapping[str, object], key: str) -> float:
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} is no number")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{key} is {value}")
    return float(value)


def _many(fields: Mapping[str, object], key: str, convert: Callable[[object], T]) -> tuple[T, ...]:
    return tuple(convert(entry) for entry in _get(fields, key, list))


def _line(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a line is no text")
    return value
