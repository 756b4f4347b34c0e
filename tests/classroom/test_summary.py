"""The CSV file and the class's page: every student, in the same bytes, harmless."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from class_course import ASSIGNMENT, CLASS, NOTEBOOK

from seglib.classroom.classbook import ItemSummary, MistakeSummary, read_classbook
from seglib.classroom.collected import store_lines
from seglib.classroom.gradebook import open_gradebook, store_roster, store_scores
from seglib.classroom.records import ItemRecord, Record, write_record
from seglib.classroom.roster import Student
from seglib.classroom.summary import COLUMNS, write_csv, write_summary

ROUND = ItemRecord("round_down", 4, 4)
WIDTHS = ItemRecord("widths", 6, 6)
WRONG = replace(ROUND, score=1, slug="rounds-up", hint="It rounds up.")
NOTHING = replace(WIDTHS, score=0, slug="not-attempted", hint="The stub is as it was.")


def enter(
    course: Path,
    student: str,
    items: Sequence[ItemRecord],
    written: str = "",
    lines: Sequence[str] = (),
) -> None:
    """What `seglib class grade` stores."""
    status = "graded" if items else "failed"
    record = Record(ASSIGNMENT, student, status, tuple(items), tuple(lines), "f", 1.0, written)
    folder = course / "submitted" / student / ASSIGNMENT
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "timestamp.txt").write_text("2026-11-20 07:15:00 UTC\n", encoding="utf-8")
    write_record(course, record)
    store_scores(course, record)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_every_student_has_a_row(course: Path) -> None:
    enter(course, "ann", [WRONG, WIDTHS], "Because.")
    path = course / "grades.csv"
    assert write_csv(course, path, [ASSIGNMENT]) == 3
    rows = read(path)
    assert rows[0] == {
        "assignment": "01_rule",
        "student_id": "ann",
        "last_name": "Lee",
        "first_name": "Ann",
        "email": "ann@example.org",
        "status": "graded",
        "submitted_at": "2026-11-20T07:15:00",
        "score": "7",
        "max_score": "13",
        "auto_score": "7",
        "manual_score": "",
        "needs_manual_grade": "true",
        "mistakes": "round_down: rounds-up",
    }
    assert [row["student_id"] for row in rows] == ["ann", "bob", "李明"]
    assert [row["status"] for row in rows] == ["graded", "missing", "missing"]
    assert (rows[1]["score"], rows[1]["needs_manual_grade"]) == ("0", "false")


def test_failed_ungraded_and_graded_by_hand(course: Path) -> None:
    enter(course, "ann", [], lines=["no notebook"])
    enter(course, "李明", [ROUND, NOTHING], "Because.")
    folder = course / "submitted" / "bob" / ASSIGNMENT
    folder.mkdir(parents=True)
    (folder / NOTEBOOK).write_text("{}", encoding="utf-8")
    with open_gradebook(course) as gradebook:
        grade = gradebook.find_grade("why", ASSIGNMENT, ASSIGNMENT, "李明")
        grade.manual_score, grade.needs_manual_grade = 2.5, False
        gradebook.db.commit()
    write_csv(course, course / "grades.csv", [ASSIGNMENT])
    rows = read(course / "grades.csv")
    assert [row["status"] for row in rows] == ["failed", "ungraded", "graded"]
    last = rows[2]
    assert (last["score"], last["auto_score"], last["manual_score"]) == ("6.5", "4", "2.5")
    assert (last["needs_manual_grade"], last["mistakes"]) == ("false", "widths: not-attempted")


def test_the_same_grades_give_the_same_bytes(course: Path) -> None:
    enter(course, "ann", [WRONG, WIDTHS], "Because.", ["a line"])
    paths = [course / "grades.csv", course / "report.html"]
    write_csv(course, paths[0], [ASSIGNMENT])
    write_summary(course, paths[1], [ASSIGNMENT])
    before = [path.read_bytes() for path in paths]
    enter(course, "ann", [WRONG, WIDTHS], "Because.", ["a line"])
    write_csv(course, paths[0], [ASSIGNMENT, ASSIGNMENT])
    write_summary(course, paths[1], [ASSIGNMENT])
    assert [path.read_bytes() for path in paths] == before


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1", "＝1"])
def test_a_spreadsheet_computes_nothing(course: Path, name: str) -> None:
    store_roster(course, [Student("ann", first_name=name)])
    write_csv(course, course / "grades.csv", [ASSIGNMENT])
    assert read(course / "grades.csv")[0]["first_name"].startswith("'")


def test_a_spreadsheet_takes_separators_for_text(course: Path) -> None:
    store_roster(course, [Student("ann", first_name='A"nn, =1+1;\n=2')])
    write_csv(course, course / "grades.csv", [ASSIGNMENT])
    rows = read(course / "grades.csv")
    assert rows[0]["first_name"] == 'A"nn, =1+1;\n=2'
    assert len(rows) == 3
    assert tuple(rows[0]) == COLUMNS


def test_items_and_mistakes_are_counted(course: Path) -> None:
    other = replace(WRONG, hint="It rounds up: 17 gives 24.", score=2)
    enter(course, "ann", [WRONG, NOTHING])
    enter(course, "bob", [other, NOTHING])
    enter(course, "李明", [replace(WRONG, slug="rounds-up"), WIDTHS])
    book = read_classbook(course, ASSIGNMENT)
    assert book.items() == [
        ItemSummary("round_down", 4, pytest.approx(1 / 3), 3, 0, 3),
        ItemSummary("widths", 6, pytest.approx(1 / 3), 1, 1, 3),
    ]
    assert book.mistakes() == [MistakeSummary("round_down", "rounds-up", "It rounds up.", 3)]


def test_an_assignment_that_is_not_released_is_told(course: Path) -> None:
    with pytest.raises(ValueError, match="09_none"):
        write_csv(course, course / "grades.csv", ["09_none"])
    assert not (course / "grades.csv").exists()


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [tag, *(name for name, _ in attrs)]
        if tag not in ("meta", "rect", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line"):
            assert self.open.pop() == tag


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e\x1b[2J"


def test_the_page_is_made_of_known_tags_only(course: Path) -> None:
    store_roster(course, [Student("ann", HOSTILE, HOSTILE, HOSTILE)])
    mistake = replace(WRONG, slug=HOSTILE, hint=HOSTILE)
    enter(course, "ann", [mistake, WIDTHS], HOSTILE, [HOSTILE])
    store_lines(course, ASSIGNMENT, "x.zip", [HOSTILE])
    write_summary(course, course / "report.html", [ASSIGNMENT])
    text = (course / "report.html").read_text(encoding="utf-8")
    tags = Tags(text)
    assert tags.open == []
    assert not {"script", "img", "onerror", "src", "iframe"} & set(tags.found)
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert not re.search(r"https?://", text)


def test_the_page_says_all_that_is_known(course: Path) -> None:
    enter(course, "ann", [WRONG, WIDTHS], "Because.", ["the cell `x` was copied"])
    enter(course, "李明", [], lines=["is no notebook"])
    store_lines(course, ASSIGNMENT, "x.zip", ["who.ipynb: fits no student"])
    write_summary(course, course / "report.html", [ASSIGNMENT])
    text = (course / "report.html").read_text(encoding="utf-8")
    for part in (
        "the cell <code>x</code> was copied",
        "is no notebook",
        "who.ipynb: fits no student",
        "rounds-up",
        "It rounds up.",
        "To be graded by hand (1)",
        "mean 7, median 7 of 13 points",
        "李明",
    ):
        assert part in text, part


def test_a_page_without_grades(course: Path) -> None:
    write_summary(course, course / "report.html", [ASSIGNMENT])
    assert "Nothing is graded yet." in (course / "report.html").read_text(encoding="utf-8")


def test_a_student_who_left_the_list_is_kept(course: Path) -> None:
    write_record(course, Record(ASSIGNMENT, "zed", "failed", (), ("x",), "f", 1.0))
    write_csv(course, course / "grades.csv", [ASSIGNMENT])
    assert [row["student_id"] for row in read(course / "grades.csv")] == [
        *[student.id for student in CLASS[:2]],
        "zed",
        "李明",
    ]
