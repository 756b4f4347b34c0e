"""Make a course's folder, and release assignments into it."""

from __future__ import annotations

import ast
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from seglib.classroom.gradebook import open_gradebook
from seglib.classroom.judges import ASSIGNMENTS, EXAMPLE, Assignment, load_assignment, source_path
from seglib.classroom.nbgrader_api import generate_assignment
from seglib.classroom.rendering import render
from seglib.files import atomic_path

SECRET_FILE = "course_secret"
CONFIG = "nbgrader_config.py"
MARKS = ("BEGIN SOLUTION", "END SOLUTION", "MARK SCHEME", "HIDDEN TESTS", "given.")


def open_course(course: Path, secret: str | None = None) -> str:
    """Make the course's folder, for its owner alone, where there is none; give its secret.

    Args:
        course: the folder; keep it out of what students see.
        secret: the course's, at least 8 characters; None: the one that is stored, or a new random
            one.
    Returns:
        The secret that now lies in `course/course_secret`, readable for its owner alone.
    Raises:
        ValueError: if another secret is stored, or it is too short or the example's.
    """
    course.mkdir(0o700, parents=True, exist_ok=True)
    path = course / SECRET_FILE
    stored = path.read_text(encoding="utf-8").strip() if path.is_file() else None
    if stored is not None and secret not in (None, stored):
        raise ValueError(
            f"secret differs from the one in {path}: its assignments and grades belong to that"
            " one; leave --secret out, or name another course folder"
        )
    chosen = stored or secret or secrets.token_urlsafe(16)
    if chosen != chosen.strip() or len(chosen) < 8 or chosen == EXAMPLE:
        raise ValueError(
            f"secret is {chosen!r}, must be 8 characters or more without spaces at its ends"
        )
    if stored is None:
        path.touch(mode=0o600)
        path.write_text(chosen + "\n", encoding="utf-8")
    if (ASSIGNMENTS / CONFIG).is_file() and not (course / CONFIG).exists():
        shutil.copyfile(ASSIGNMENTS / CONFIG, course / CONFIG)
    return chosen


def read_secret(course: Path) -> str:
    """The secret of a course that has released something.

    Raises:
        ValueError: if the folder is no course yet.
    """
    path = course / SECRET_FILE
    if not path.is_file():
        raise ValueError(f"{course} is no course folder yet: run `seglib class release` first")
    return open_course(course)


def release(name: str, course: Path, secret: str, folder: Path = ASSIGNMENTS) -> Path:
    """Write an assignment's notebook for students to `course/release/NAME/NAME.ipynb`.

    The rendered source, with solutions, lies in `course/source`; nbgrader takes the solutions out
    and enters cells and points into the gradebook.

    Args:
        name: of the assignment.
        course: a course folder.
        secret: its secret.
        folder: what holds `source/` and `judges/`.
    Returns:
        The released notebook's path.
    Raises:
        ValueError: if the assignment breaks a rule, or nbgrader refuses it.
    """
    assignment = load_assignment(name, secret, folder)
    path = source_path(name, folder)
    if not path.is_file():
        raise ValueError(f"{path} does not exist; an assignment needs a source notebook")
    rendered = render(nbformat.read(path, as_version=4), assignment.parameters)
    check_points(rendered, assignment)
    target = course / "source" / name / f"{name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as temporary:
        nbformat.write(rendered, temporary)
    os.chmod(target, 0o600)
    _store_parameters(course, assignment)
    with open_gradebook(course):
        pass  # makes the database
    generate_assignment(course, name)
    released = course / "release" / name / f"{name}.ipynb"
    leaks = list(leaked(rendered, nbformat.read(released, as_version=4)))
    if leaks:
        released.unlink()
        raise ValueError(f"{name}: the release would show a solution: {leaks[0]!r}; not released")
    return released


def _store_parameters(course: Path, assignment: Assignment) -> None:
    path = course / "parameters" / f"{assignment.name}.json"
    path.parent.mkdir(exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(dict(assignment.parameters), indent=1) + "\n")


def released_assignment(name: str, course: Path, folder: Path = ASSIGNMENTS) -> Assignment:
    """The assignment as it was released.

    Raises:
        ValueError: if it was not, or if its judge file gives other parameters than at release.
    """
    path = course / "parameters" / f"{name}.json"
    if not path.is_file():
        raise ValueError(f"{name} is not released in {course}: run `seglib class release {name}`")
    assignment = load_assignment(name, read_secret(course), folder)
    if json.loads(path.read_text()) != json.loads(json.dumps(dict(assignment.parameters))):
        raise ValueError(
            f"{name} was released with other parameters: its judge file has changed since;"
            " grade with the version of seglib that released it, or release again"
        )
    return assignment


def check_points(notebook: NotebookNode, assignment: Assignment) -> None:
    """Raise ValueError unless each item has a cell of its name that carries its points."""
    points = {}
    for cell in notebook.cells:
        about = cell.metadata.get("nbgrader", {})
        if about.get("grade") and not about.get("solution"):
            points[about["grade_id"]] = float(about["points"])
    wanted = {item.name: float(item.points) for item in assignment.items}
    if points != wanted:
        raise ValueError(
            f"{assignment.name}: its cells give the points {points}, its judge file {wanted}"
        )


def leaked(source: NotebookNode, released: NotebookNode) -> Iterator[str]:
    """Lines of solutions, and marks of what students don't get, that a released notebook holds."""
    text = "\n".join(cell.source for cell in released.cells)
    yield from (mark for mark in MARKS if mark in text)
    shown = {line.strip() for line in text.splitlines()}
    for cell in source.cells:
        inside = False
        for line in cell.source.splitlines():
            if "BEGIN SOLUTION" in line or "END SOLUTION" in line:
                inside = "BEGIN" in line
            elif inside and line.strip() in shown and not _common(line.strip()):
                yield line.strip()


def _common(line: str) -> bool:
    """Whether a line gives nothing away wherever it stands: blank, a bracket, `return x`."""
    if len(line) < 12 or line.startswith(("def __init__", "super().__init__", "return ", "else:")):
        return True
    try:
        return isinstance(ast.parse(line).body[0], ast.Import | ast.ImportFrom)
    except (SyntaxError, IndexError):
        return False
