"""Wrong input to `seglib class`: one line that says what to do, exit code 2, nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seglib.classroom.gradebook import open_gradebook
from seglib.classroom.release import open_course
from seglib.cli import main

NAME = "01_make_divisible"


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course with a secret, a gradebook and a mark that 01 was released, and no submission."""
    course = tmp_path_factory.mktemp("class") / "course"
    open_course(course, "first-secret")
    with open_gradebook(course):
        pass
    (course / "parameters").mkdir()
    (course / "parameters" / f"{NAME}.json").write_text(json.dumps({}))
    return course


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("class", "give release, collect, grade or report"),
        ("class grades", "'grades'"),
        ("class release --course {new}", "--all"),
        ("class release 99_none --course {new}", "'99_none'"),
        ("class release 99_none --course {new}", "--sources DIR"),
        ("class release ../secret --course {new}", "'../secret'"),
        (f"class release {NAME} --all --course {{new}}", "--all"),
        (f"class release {NAME} --secret short --course {{new}}", "8 characters"),
        (f"class release {NAME} --secret another-one --course {{course}}", "differs"),
        (f"class release {NAME} --roster {{new}}/no.csv --course {{course}}", "no.csv"),
        (f"class release {NAME} --sources {{new}} --course {{course}}", "--sources"),
        (f"class collect {NAME} --from {{new}} --course {{new}}", "no course folder yet"),
        (f"class collect {NAME} --from {{course}} --course {{course}}", "--roster"),
        (f"class collect {NAME} --course {{course}}", "--from"),
        ("class grade --course {new}", "no course folder yet"),
        ("class grade --course {course}", "nothing was collected"),
        ("class grade 99_none --course {course}", "released are"),
        (f"class grade {NAME} --jobs 0 --course {{course}}", "--jobs is 0"),
        (f"class grade {NAME} --student ada --course {{course}}", "other parameters"),
        ("class report --course {new}", "no course folder yet"),
        ("class report 99_none --course {course}", "released are"),
    ],
)
def test_wrong_input(
    arguments: str,
    words: str,
    course: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    new = tmp_path / "new"
    before = {path: path.read_bytes() for path in course.rglob("*") if path.is_file()}
    command = [part.format(new=new, course=course) for part in arguments.split()]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert said.startswith("seglib: error: ")
    assert said.count("\n") == 1
    assert words in said
    assert {path: path.read_bytes() for path in course.rglob("*") if path.is_file()} == before
