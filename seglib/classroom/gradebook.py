"""Scores and comments in nbgrader's gradebook, thin over `nbgrader.api.Gradebook`."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nbgrader.api import Grade, Gradebook, MissingEntry, SubmittedAssignment, SubmittedNotebook
from nbgrader.utils import parse_utc

from seglib.classroom.feedback import (
    comment_places,
    generate_pages,
    item_comment,
    remove_autograded,
    write_autograded,
)
from seglib.classroom.records import ItemRecord, Record
from seglib.classroom.roster import Student

__all__ = [
    "Standing",
    "manual_state",
    "max_score",
    "open_gradebook",
    "roster",
    "standings",
    "store_roster",
    "store_scores",
    "write_autograded",
    "write_feedback",
]

FAILED = "This submission could not be graded; ask your instructor."
NO_ANSWER = "No response."  # as nbgrader says it
WAITING = "Not graded yet."


@contextmanager
def open_gradebook(course: Path) -> Iterator[Gradebook]:
    """The course's `gradebook.db`; made where there is none.

    nbgrader asks the program `alembic` for a new database's version. It lies beside this Python,
    but on the PATH only where the environment is activated.
    """
    path = course / "gradebook.db"
    before = os.environ.get("PATH", "")
    if not path.exists():
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        gradebook = Gradebook(f"sqlite:///{path.resolve()}")
    finally:
        os.environ["PATH"] = before
    try:
        yield gradebook
    finally:
        gradebook.close()


def store_roster(course: Path, students: Sequence[Student]) -> None:
    """Enter the students, or change what is known of them; nobody is removed."""
    with open_gradebook(course) as gradebook:
        for student in students:
            gradebook.update_or_create_student(
                student.id,
                first_name=student.first_name or None,
                last_name=student.last_name or None,
                email=student.email or None,
                lms_user_id=student.lms_id or None,
            )


def roster(course: Path) -> list[Student]:
    """The gradebook's students, by id."""
    with open_gradebook(course) as gradebook:
        students = [
            Student(
                id=entry.id,
                first_name=entry.first_name or "",
                last_name=entry.last_name or "",
                email=entry.email or "",
                lms_id=entry.lms_user_id or "",
            )
            for entry in gradebook.students
        ]
    return sorted(students, key=lambda student: student.id)


def store_scores(course: Path, record: Record) -> None:
    """Enter what grading found out; the same record again changes nothing.

    A teacher's manual score or comment stays. Where the automatic score or the free-text answer
    below a manual score has changed, the cell is marked as in need of grading by hand.

    Raises:
        ValueError: if the student or the assignment is not in the gradebook, or the record's items
            are not the assignment's.
    """
    assignment, student = record.assignment, record.student
    with open_gradebook(course) as gradebook:
        timestamp = _timestamp(course, assignment, student)
        try:
            with gradebook.db.no_autoflush:  # nbgrader reads while the submission is half-made
                gradebook.update_or_create_submission(assignment, student, timestamp=timestamp)
            notebook = gradebook.find_submission_notebook(assignment, assignment, student)
        except MissingEntry as error:
            raise ValueError(
                f"{student}, {assignment}: not in the gradebook ({error}); give a --roster that"
                " names the student, and release the assignment"
            ) from error
        _store_items(notebook, record)
        _store_written(gradebook, notebook, record.written)
        _store_comments(notebook, comment_places(course, assignment), record)
        gradebook.db.commit()
    if record.status == "failed":
        remove_autograded(course, assignment, student)


def _timestamp(course: Path, assignment: str, student: str) -> datetime | None:
    """When the submission was handed in, in UTC; None if no file says so."""
    path = course / "submitted" / student / assignment / "timestamp.txt"
    if not path.is_file():
        return None
    try:
        time: datetime = parse_utc(path.read_text(encoding="utf-8").strip())
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path} holds no time, such as 2026-11-20 08:15:00 UTC") from error
    return time


def _store_items(notebook: SubmittedNotebook, record: Record) -> None:
    grades = {grade.name: grade for grade in notebook.grades if grade.cell.cell_type == "code"}
    scores = {item.name: item for item in record.items}
    if record.status == "failed":
        scores = {name: ItemRecord(name, grade.max_score, 0.0) for name, grade in grades.items()}
    if set(scores) != set(grades):
        raise ValueError(
            f"{record.assignment}: the items {sorted(scores)} are not the released notebook's"
            f" cells {sorted(grades)}; release the assignment again"
        )
    for name, item in scores.items():
        grade = grades[name]
        if abs(grade.max_score - item.points) > 1e-6:
            raise ValueError(
                f"{record.assignment}: {name} has {item.points:g} points, its released cell"
                f" {grade.max_score:g}; release the assignment again"
            )
        changed = grade.auto_score is None or abs(grade.auto_score - item.score) > 1e-9
        if grade.manual_score is None:
            grade.needs_manual_grade = False
        elif changed:
            grade.needs_manual_grade = True
        if changed:
            grade.auto_score = float(item.score)


def _store_written(gradebook: Gradebook, notebook: SubmittedNotebook, written: str) -> None:
    """Mark the free-text answer's cell where the answer differs from the one seen last.

    nbgrader keeps no answers; a table of this package's own does, so that both change together.
    """
    answers = gradebook.db.connection()
    answers.exec_driver_sql(
        "CREATE TABLE IF NOT EXISTS seglib_answer (grade TEXT PRIMARY KEY, digest TEXT)"
    )
    digest = hashlib.sha256(written.encode("utf-8", "replace")).hexdigest()
    for grade in notebook.grades:
        if grade.cell.cell_type != "markdown":
            continue
        known = "SELECT digest FROM seglib_answer WHERE grade = ?"
        if answers.exec_driver_sql(known, (grade.id,)).scalar() == digest:
            continue
        grade.auto_score = None if written else 0.0
        grade.needs_manual_grade = bool(written) or grade.manual_score is not None
        new = "INSERT OR REPLACE INTO seglib_answer VALUES (?, ?)"
        answers.exec_driver_sql(new, (grade.id, digest))


def _store_comments(notebook: SubmittedNotebook, places: dict[str, str], record: Record) -> None:
    said: dict[str, list[str]] = {}
    for item in record.items:
        if comment := item_comment(item):
            said.setdefault(places.get(item.name, ""), []).append(comment)
    written = {grade.name for grade in notebook.grades if grade.cell.cell_type == "markdown"}
    for entry in notebook.comments:
        if record.status == "failed":
            comment = FAILED
        elif entry.name in written:
            waits = entry.auto_comment == WAITING  # until the page is written again
            comment = (WAITING if waits else "") if record.written else NO_ANSWER
        else:
            comment = "\n\n".join(said.get(entry.name, []))
        entry.auto_comment = comment or None


def write_feedback(course: Path, assignment: str) -> list[str]:
    """Write `feedback/STUDENT/ASSIGNMENT/ASSIGNMENT.html` for everybody with a graded notebook.

    Not for use in several threads: nbgrader changes the process's working directory meanwhile.

    Returns:
        A line for each student whose page could not be written; the others' are.
    """
    with open_gradebook(course) as gradebook:
        for book in gradebook.notebook_submissions(assignment, assignment):
            waiting = {
                grade.name
                for grade in book.grades
                if grade.cell.cell_type == "markdown"
                and grade.needs_manual_grade
                and grade.manual_score is None
            }
            for entry in book.comments:
                if entry.name in waiting or entry.auto_comment == WAITING:
                    entry.auto_comment = WAITING if entry.name in waiting else None
        gradebook.db.commit()
    return generate_pages(course, assignment)


@dataclass(frozen=True)
class Standing:
    """A submission in the gradebook.

    Attributes:
        submitted_at: UTC, as 2026-11-21T10:00:00; "" if unknown.
        score: with the teacher's scores in place of automatic ones, extra credit and penalties.
        auto_score: of the automatic scores alone.
        manual_score: the teacher's scores alone; None if there is none.
        needs_manual_grade: something waits for the teacher.
    """

    submitted_at: str
    score: float
    max_score: float
    auto_score: float
    manual_score: float | None
    needs_manual_grade: bool


def manual_state(course: Path, assignment: str, student: str) -> Standing | None:
    """A student's submission in the gradebook; None without one."""
    return standings(course, assignment).get(student)


def standings(course: Path, assignment: str) -> dict[str, Standing]:
    """All submissions of an assignment, by student."""
    with open_gradebook(course) as gradebook:
        return {
            submission.student.id: _standing(submission)
            for submission in gradebook.assignment_submissions(assignment)
        }


def max_score(course: Path, assignment: str) -> float:
    """The points of an assignment.

    Raises:
        ValueError: if it is not in the gradebook.
    """
    with open_gradebook(course) as gradebook:
        return float(gradebook.find_assignment(assignment).max_score)


def _standing(submission: SubmittedAssignment) -> Standing:
    grades: list[Grade] = [grade for book in submission.notebooks for grade in book.grades]
    manual = [grade.manual_score for grade in grades if grade.manual_score is not None]
    penalty = submission.late_submission_penalty or 0.0
    time = submission.timestamp
    return Standing(
        submitted_at=time.replace(microsecond=0).isoformat() if time else "",
        score=max(0.0, submission.score - penalty),
        max_score=submission.max_score,
        auto_score=sum(grade.auto_score or 0.0 for grade in grades),
        manual_score=sum(manual) if manual else None,
        needs_manual_grade=bool(submission.needs_manual_grade),
    )
