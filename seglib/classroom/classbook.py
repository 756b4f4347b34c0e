"""A class's results of one assignment: every student, with what is known of their submission."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seglib.classroom.gradebook import Standing, max_score, roster, standings
from seglib.classroom.records import ItemRecord, Record, read_records
from seglib.classroom.roster import Student

Status = Literal["graded", "failed", "ungraded", "missing"]
NOT_ATTEMPTED = ("not-attempted", "missing-answer")


@dataclass(frozen=True)
class Row:
    """A student's submission; `record` and `standing` are None before it is graded."""

    student: Student
    status: Status
    record: Record | None
    standing: Standing | None

    @property
    def name(self) -> str:
        return f"{self.student.first_name} {self.student.last_name}".strip() or self.student.id

    @property
    def score(self) -> float:
        """Points, with the teacher's in place of automatic ones."""
        return self.standing.score if self.standing else 0.0

    @property
    def waits(self) -> bool:
        """Whether something of it is to be graded by hand."""
        return self.standing is not None and self.standing.needs_manual_grade


@dataclass(frozen=True)
class ItemSummary:
    """An item over the class: of the graded submissions, how many tried, and how many solved it.

    Attributes:
        share: mean share of its points, 0 to 1.
    """

    name: str
    points: float
    share: float
    attempted: int
    full: int
    of: int


@dataclass(frozen=True)
class MistakeSummary:
    """A mistake that was recognised `count` times in an item."""

    item: str
    slug: str
    hint: str
    count: int


@dataclass(frozen=True)
class Classbook:
    """An assignment's rows, one for each student, by id."""

    assignment: str
    max_score: float
    rows: tuple[Row, ...]

    def with_status(self, *statuses: Status) -> list[Row]:
        return [row for row in self.rows if row.status in statuses]

    def items(self) -> list[ItemSummary]:
        """The items in the order in which they were judged."""
        found: dict[str, list[ItemRecord]] = {}
        for row in self.with_status("graded"):
            for item in row.record.items if row.record else ():
                found.setdefault(item.name, []).append(item)
        return [_summary(name, items) for name, items in found.items()]

    def mistakes(self) -> list[MistakeSummary]:
        """What went wrong, the most frequent first; what nobody tried is no mistake."""
        hints: dict[tuple[str, str], Counter[str]] = {}
        for row in self.with_status("graded"):
            for item in row.record.items if row.record else ():
                if item.slug and item.slug not in NOT_ATTEMPTED:
                    hints.setdefault((item.name, item.slug), Counter())[item.hint] += 1
        found = [
            MistakeSummary(
                item, slug, min(said, key=lambda hint: (-said[hint], hint)), said.total()
            )
            for (item, slug), said in hints.items()
        ]
        return sorted(found, key=lambda mistake: (-mistake.count, mistake.item, mistake.slug))


def _summary(name: str, items: list[ItemRecord]) -> ItemSummary:
    return ItemSummary(
        name=name,
        points=max(item.points for item in items),
        share=sum(item.score / item.points if item.points else 1.0 for item in items) / len(items),
        attempted=sum(item.slug not in NOT_ATTEMPTED for item in items),
        full=sum(item.score >= item.points for item in items),
        of=len(items),
    )


def read_classbook(course: Path, assignment: str) -> Classbook:
    """Everything that is known of an assignment.

    Raises:
        ValueError: if the assignment is not in the gradebook, or a record is damaged.
    """
    records = {record.student: record for record in read_records(course, assignment)}
    known = standings(course, assignment)
    students = {student.id: student for student in roster(course)}
    for name in (*records, *known):
        students.setdefault(name, Student(name))
    rows = []
    for name in sorted(students):
        record = records.get(name)
        submitted = course / "submitted" / name / assignment / f"{assignment}.ipynb"
        status: Status = record.status if record else "missing"
        if record is None and submitted.is_file():
            status = "ungraded"
        rows.append(Row(students[name], status, record, known.get(name)))
    return Classbook(assignment, max_score(course, assignment), tuple(rows))
