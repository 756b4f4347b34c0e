"""The gradebook: scores, comments, what a teacher changed by hand, and the pages made from it."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from class_course import ASSIGNMENT, CLASS

from seglib.classroom.gradebook import (
    Standing,
    manual_state,
    max_score,
    open_gradebook,
    roster,
    standings,
    store_roster,
    store_scores,
)
from seglib.classroom.records import ItemRecord, PartRecord, Record
from seglib.classroom.roster import Student

ANN, BOB, LI = CLASS
ROUND = ItemRecord("round_down", 4, 1, "rounds-up", "It rounds up.", (PartRecord("edges", 3, 0),))
WIDTHS = ItemRecord("widths", 6, 6)
RECORD = Record(ASSIGNMENT, "ann", "graded", (ROUND, WIDTHS), (), "f", 1.0, "Because.")


def dump(course: Path) -> list[str]:
    with sqlite3.connect(course / "gradebook.db") as connection:
        return sorted(connection.iterdump())


def grade_by_hand(course: Path, cell: str, score: float) -> None:
    """What nbgrader's formgrader does."""
    with open_gradebook(course) as gradebook:
        grade = gradebook.find_grade(cell, ASSIGNMENT, ASSIGNMENT, "ann")
        grade.manual_score, grade.needs_manual_grade = score, False
        gradebook.db.commit()


def waiting(course: Path) -> dict[str, bool]:
    with open_gradebook(course) as gradebook:
        book = gradebook.find_submission_notebook(ASSIGNMENT, ASSIGNMENT, "ann")
        return {grade.name: grade.needs_manual_grade for grade in book.grades}


def comments(course: Path) -> dict[str, str | None]:
    with open_gradebook(course) as gradebook:
        book = gradebook.find_submission_notebook(ASSIGNMENT, ASSIGNMENT, "ann")
        return {comment.name: comment.comment for comment in book.comments}


def standing(course: Path) -> Standing:
    state = manual_state(course, ASSIGNMENT, "ann")
    assert state is not None
    return state


def test_the_roster_is_stored_and_changed(course: Path) -> None:
    assert roster(course) == [ANN, BOB, LI]
    before = dump(course)
    store_roster(course, [ANN, BOB, LI])
    assert dump(course) == before
    store_roster(course, [replace(ANN, email="new@example.org")])
    assert roster(course) == [replace(ANN, email="new@example.org"), BOB, LI]


def test_scores_and_comments_are_stored(course: Path) -> None:
    store_scores(course, RECORD)
    assert standing(course) == Standing("", 7.0, 13.0, 7.0, None, True)
    assert comments(course) == {
        "answer_round_down": "`round_down`: 1 of 4 points. It rounds up."
        " Points went in: edges (0 of 3). (`rounds-up`)",
        "answer_widths": None,
        "why": None,
    }
    assert waiting(course) == {"round_down": False, "widths": False, "why": True}
    assert manual_state(course, ASSIGNMENT, "李明") is None
    assert set(standings(course, ASSIGNMENT)) == {"ann"}
    assert max_score(course, ASSIGNMENT) == 13.0


def test_storing_again_changes_nothing(course: Path) -> None:
    store_scores(course, RECORD)
    before = dump(course)
    store_scores(course, RECORD)
    assert dump(course) == before
    grade_by_hand(course, "why", 2.0)
    grade_by_hand(course, "widths", 5.0)
    before = dump(course)
    store_scores(course, RECORD)
    assert dump(course) == before


@pytest.mark.parametrize("written", ["Another answer.", ""])
def test_a_manual_score_stays_and_waits_where_its_answer_changed(
    course: Path, written: str
) -> None:
    store_scores(course, RECORD)
    grade_by_hand(course, "why", 2.0)
    grade_by_hand(course, "widths", 5.0)
    assert not standing(course).needs_manual_grade
    store_scores(course, replace(RECORD, written=written))
    state = standing(course)
    assert (state.score, state.manual_score, state.needs_manual_grade) == (8.0, 7.0, True)
    assert waiting(course) == {"round_down": False, "widths": False, "why": True}


def test_a_manual_score_of_code_waits_where_the_automatic_one_changed(course: Path) -> None:
    store_scores(course, RECORD)
    grade_by_hand(course, "why", 2.0)
    grade_by_hand(course, "widths", 5.0)
    store_scores(course, replace(RECORD, items=(ROUND, replace(WIDTHS, score=3))))
    state = standing(course)
    assert (state.score, state.auto_score, state.needs_manual_grade) == (8.0, 4.0, True)
    assert waiting(course) == {"round_down": False, "widths": True, "why": False}


def test_no_answer_needs_no_teacher(course: Path) -> None:
    store_scores(course, replace(RECORD, written=""))
    assert standing(course) == Standing("", 7.0, 13.0, 7.0, None, False)
    assert comments(course)["why"] == "No response."
    store_scores(course, RECORD)
    assert standing(course).needs_manual_grade
    assert comments(course)["why"] is None


def test_a_failed_submission_has_no_points(course: Path) -> None:
    store_scores(course, RECORD)
    pages = course / "autograded" / "ann" / ASSIGNMENT
    pages.mkdir(parents=True)
    store_scores(course, replace(RECORD, status="failed", items=(), written=""))
    assert standing(course) == Standing("", 0.0, 13.0, 0.0, None, False)
    assert set(comments(course).values()) == {
        "This submission could not be graded; ask your instructor."
    }
    assert not pages.exists()


def test_the_time_of_submission_is_stored(course: Path) -> None:
    folder = course / "submitted" / "ann" / ASSIGNMENT
    folder.mkdir(parents=True)
    (folder / "timestamp.txt").write_text("2026-11-20 07:15:00 UTC", encoding="utf-8")
    store_scores(course, RECORD)
    assert standing(course).submitted_at == "2026-11-20T07:15:00"
    (folder / "timestamp.txt").write_text("yesterday", encoding="utf-8")
    with pytest.raises(ValueError, match="holds no time, such as"):
        store_scores(course, RECORD)


@pytest.mark.parametrize(
    "record, what",
    [
        (replace(RECORD, student="nobody"), "nobody, 01_rule: not in the gradebook"),
        (replace(RECORD, assignment="09_none"), "09_none"),
        (replace(RECORD, items=(ROUND,)), "the items ['round_down'] are not"),
        (replace(RECORD, items=(ROUND, replace(WIDTHS, points=7))), "widths has 7 points"),
    ],
)
def test_what_does_not_fit_is_told(course: Path, record: Record, what: str) -> None:
    with pytest.raises(ValueError) as caught:
        store_scores(course, record)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_threads_may_store_at_once(course: Path) -> None:
    students = [Student(f"s{number}") for number in range(12)]
    store_roster(course, students)
    with ThreadPoolExecutor(4) as pool:
        records = [replace(RECORD, student=student.id) for student in students]
        list(pool.map(lambda record: store_scores(course, record), records))
    assert {state.score for state in standings(course, ASSIGNMENT).values()} == {7.0}
