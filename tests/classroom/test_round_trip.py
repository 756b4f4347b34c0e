"""A small class, from release to grades, by the commands alone and in real sandboxes."""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
from pathlib import Path

import assignments
import nbformat
import pytest
from nbformat import NotebookNode

from seglib.cli import main

pytestmark = pytest.mark.requires("sandbox")
NAME = "01_make_divisible"
SECRET = assignments.SECRETS[0]
CLASS = ("ada", "bo", "cy", "dan", "zoë")
ROSTER = "id,first_name,last_name\n" + "".join(f"{name},{name.title()},Example\n" for name in CLASS)


def solutions() -> dict[str, str]:
    """{grade_id: code} of the reference."""
    return {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in assignments.source(NAME, SECRET).cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }


def answered(released: Path, answers: dict[str, str]) -> NotebookNode:
    """The released notebook with some cells filled in."""
    notebook = nbformat.read(released, as_version=4)
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        cell.source = answers.get(grade_id, cell.source)
    return notebook


def hand_in(released: Path, archive: Path) -> None:
    """What the class hands in: right, one mistake, untouched, broken; zoë nothing."""
    right = solutions() | {"question": "Small widths: one multiple is a large share of them."}
    code = assignments.wrong(NAME)["widest_within"]["percent-as-share"]
    wrong = right | {"answer_widest_within": assignments.filled(code, NAME, SECRET)}
    with zipfile.ZipFile(archive, "w") as file:
        for student, answers in (("ada", right), ("bo", wrong), ("cy", {})):
            text = nbformat.writes(answered(released, answers))
            file.writestr(f"{student}/{NAME}.ipynb", text)
        file.writestr(f"dan/{NAME}.ipynb", '{"cells": [')


def seglib(*arguments: str | Path) -> None:
    assert main(["class", *map(str, arguments)]) == 0


def fingerprint(course: Path) -> dict[str, str]:
    """Digests of what a second run must leave as it is."""
    paths = [course / "grades.csv", course / "report.html", *course.glob("results/*/*.json")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def rows(course: Path) -> dict[str, dict[str, str]]:
    with (course / "grades.csv").open(newline="", encoding="utf-8-sig") as file:
        return {row["student_id"]: row for row in csv.DictReader(file)}


def test_a_class_from_release_to_grades(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    course, roster = tmp_path / "course", tmp_path / "roster.csv"
    roster.write_text(ROSTER, encoding="utf-8")
    seglib("release", NAME, "--course", course, "--secret", SECRET, "--roster", roster)
    released = course / "release" / NAME / f"{NAME}.ipynb"
    hand_in(released, tmp_path / "handed_in.zip")
    seglib("collect", NAME, "--from", tmp_path / "handed_in.zip", "--course", course)
    assert "nothing from: zoë" in capsys.readouterr().out
    seglib("grade", "--course", course)
    seglib("report", "--course", course, "--feedback")
    found = rows(course)
    assert set(found) == set(CLASS)
    scores = {student: float(row["auto_score"] or 0) for student, row in found.items()}
    assert scores == {"ada": 10, "bo": 7, "cy": 0, "dan": 0, "zoë": 0}
    assert [found[student]["status"] for student in CLASS] == [
        "graded", "graded", "graded", "failed", "missing",
    ]  # fmt: skip
    assert "percent-as-share" in found["bo"]["mistakes"]
    assert found["ada"]["needs_manual_grade"] != found["cy"]["needs_manual_grade"]
    record = json.loads((course / "results" / NAME / "bo.json").read_text(encoding="utf-8"))
    assert [item["slug"] for item in record["items"]] == ["", "", "percent-as-share"]
    page = (course / "feedback" / "bo" / NAME / f"{NAME}.html").read_text(encoding="utf-8")
    assert "slack is in percent" in page

    before = fingerprint(course)
    seglib("grade", "--course", course)
    assert "as before" in capsys.readouterr().out
    seglib("report", "--course", course)
    assert fingerprint(course) == before


def test_another_secret_for_the_same_course_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["class", "release", NAME, "--course", str(tmp_path / "course"), "--secret"]
    assert main([*arguments, SECRET]) == 0
    capsys.readouterr()
    assert main([*arguments, "another-secret"]) == 2
    said = capsys.readouterr().err
    assert "secret differs" in said
    assert said.count("\n") == 1
