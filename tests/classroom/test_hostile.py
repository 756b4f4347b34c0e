"""What students and attackers hand in: every one ends in a grade or a clear line."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import handins
import nbformat
import pytest
from handins import CASES, NAME

from seglib.classroom.grading import Graded, Settings, grade
from seglib.classroom.judges import ASSIGNMENTS
from seglib.classroom.kernel import Limits
from seglib.classroom.release import open_course, release

pytestmark = [pytest.mark.slow, pytest.mark.requires("sandbox")]
SETTINGS = Settings(jobs=2, limits=Limits(cell_seconds=6.0), seconds=90.0)


def digest(folder: Path) -> dict[str, str]:
    """Digests of a folder's files."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def hand_in(course: Path, canary: Path) -> None:
    """Every case as a student's submission; one more writes where it must not."""
    paths = [canary, course / "gradebook.db", course / "course_secret", ASSIGNMENTS / "README.md"]
    paths += [course / "submitted" / "perfect" / NAME / f"{NAME}.ipynb", Path("/usr/lib/x")]
    attack = handins.code(f"PATHS = {[str(path) for path in paths]}\n" + handins.WRITE)
    released = nbformat.read(course / "release" / NAME / f"{NAME}.ipynb", as_version=4)
    for student, make in [(s, case.make) for s, case in CASES.items()] + [("writes", attack)]:
        folder = course / "submitted" / student / NAME
        folder.mkdir(parents=True)
        made = make(handins.solved(released))
        if isinstance(made, bytes):
            (folder / f"{NAME}.ipynb").write_bytes(made)
        elif made is not None:
            (folder / f"{NAME}.ipynb").write_text(nbformat.writes(made), encoding="utf-8")


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that no submission may change."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "canary.txt").write_text("alive")
    return folder


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory, outside: Path) -> Path:
    course = tmp_path_factory.mktemp("class") / "course"
    release(NAME, course, open_course(course, handins.SECRET))
    hand_in(course, outside / "canary.txt")
    return course


@pytest.fixture(scope="module")
def graded(course: Path, outside: Path) -> dict[str, Graded]:
    watched = [outside, *(course / name for name in ("submitted", "source", "release"))]
    watched.append(ASSIGNMENTS / "source" / NAME)
    before = [digest(folder) for folder in watched]
    found = {one.record.student: one for one in grade(NAME, course, SETTINGS)}
    assert [digest(folder) for folder in watched] == before
    return found


def test_everybody_gets_a_result(graded: dict[str, Graded]) -> None:
    assert set(graded) == {*CASES, "writes"}
    for student, one in sorted(graded.items()):
        record = one.record
        score = sum(item.score for item in record.items)
        slugs = ", ".join(item.slug for item in record.items if item.slug)
        print(f"| {student} | {record.status} | {score:g} | {slugs} | {'; '.join(record.lines)} |")


@pytest.mark.parametrize("student", CASES)
def test_what_comes_of_it(student: str, graded: dict[str, Graded]) -> None:
    case, record = CASES[student], graded[student].record
    assert record.status == case.status, record
    assert sum(item.score for item in record.items) == case.score, record
    assert case.line in "; ".join(record.lines)
    assert record.seconds < SETTINGS.seconds + 30


def test_nothing_outside_can_be_written(graded: dict[str, Graded], course: Path) -> None:
    page = (course / "autograded" / "writes" / NAME / f"{NAME}.ipynb").read_text(encoding="utf-8")
    assert "AssertionError" not in page
    assert sum(item.score for item in graded["writes"].record.items) == handins.FULL


@pytest.mark.parametrize("student", ["searches", "network", "fork-bomb", "fills-the-disk"])
def test_an_attack_fails_inside_its_cell(
    student: str, graded: dict[str, Graded], course: Path
) -> None:
    page = nbformat.read(course / "autograded" / student / NAME / f"{NAME}.ipynb", as_version=4)
    attack = next(cell for cell in page.cells if cell.cell_type == "code")
    errors = [output for output in attack.outputs if output.output_type == "error"]
    assert errors == [], errors


def test_what_is_stored_stays_small_and_harmless(graded: dict[str, Graded], course: Path) -> None:
    for path in (course / "autograded").rglob("*.ipynb"):
        assert path.stat().st_size < 3 * 2**20, path
        for cell in nbformat.read(path, as_version=4).cells:
            shown = str(cell.get("outputs", "")) + cell.source * (cell.cell_type != "code")
            assert not re.search(r"text/html|<script>", shown)


def test_grading_again_changes_nothing(graded: dict[str, Graded], course: Path) -> None:
    kept = [course / name for name in ("results", "autograded")]
    before = [digest(folder) for folder in kept]
    again = grade(NAME, course, SETTINGS)
    assert {one.record.student for one in again if one.fresh} == {"missing"}
    after = [digest(folder) for folder in kept]
    for found in (before[0], after[0]):
        del found[f"{NAME}/missing.json"]  # graded anew: nothing was there to compare
    assert after == before
