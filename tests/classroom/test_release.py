"""What students get: no solution, no hidden input, and errors at the stubs alone."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path

import assignments
import nbformat
import pytest
from assignments import NAMES, SECRETS
from nbformat import NotebookNode

from seglib.classroom.judges import load_assignment
from seglib.classroom.release import (
    leaked,
    open_course,
    read_secret,
    release,
    released_assignment,
)
from seglib.classroom.rendering import render, shown

SECRET = SECRETS[0]


@pytest.fixture(scope="module", params=NAMES)
def released(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, NotebookNode]:
    course = tmp_path_factory.mktemp("course")
    path = release(request.param, course, open_course(course, SECRET))
    return request.param, nbformat.read(path, as_version=4)


def test_a_release_holds_no_solution(released: tuple[str, NotebookNode]) -> None:
    name, notebook = released
    assert list(leaked(assignments.source(name, SECRET), notebook)) == []
    text = nbformat.writes(notebook)
    for word in ("SOLUTION", "Rubric", "given.", "instructor", SECRET, "example("):
        assert word not in text, word
    assert all(not cell.get("outputs") for cell in notebook.cells)


def numbers(value: object) -> set[str]:
    """Numbers of four digits or more, and arrays, as they would stand in a text."""
    if isinstance(value, dict):
        array = value.get("array")
        if isinstance(array, list):
            return {array[2][:40]} if len(array[2]) >= 40 else set()
        if "float" in value:
            text = repr(float.fromhex(value["float"]))
            return {text} if len(re.sub(r"\D|^0+", "", text)) >= 4 else set()
        return set().union(*map(numbers, value.values()))
    if isinstance(value, list):
        return set().union(*map(numbers, value))
    return set()


def test_a_release_holds_no_hidden_input(released: tuple[str, NotebookNode]) -> None:
    name, notebook = released
    text = "\n".join(cell.source for cell in notebook.cells)
    parameters = json.dumps(dict(assignments.assignment(name, SECRET).parameters))
    for item in assignments.items(name):
        request = json.loads(assignments.judge(name, SECRET, item).request)
        hidden = {one for one in numbers(request["cases"]) if one not in parameters}
        assert [
            one for one in hidden if re.search(rf"(?<![\d.]){re.escape(one)}(?!\d)", text)
        ] == []


def test_a_release_fails_at_its_stubs_alone(released: tuple[str, NotebookNode]) -> None:
    name, notebook = released
    namespace: dict[str, object] = {"__name__": "__main__"}
    failed = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(cell.source, "cell", "exec"), namespace)
        except BaseException as error:
            failed[cell.metadata.get("nbgrader", {}).get("grade_id", "")] = type(error)
    assert failed == dict.fromkeys(assignments.items(name), NotImplementedError)


def test_every_stub_counts_as_not_attempted(released: tuple[str, NotebookNode]) -> None:
    name, notebook = released
    cells = [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code" and not cell.metadata.get("nbgrader", {}).get("grade")
    ]
    namespace = assignments.executed(cells)
    for item in assignments.items(name):
        record = assignments.verdict(name, SECRET, item, namespace)
        assert (record.score, record.slug) == (0, "not-attempted")


def test_a_secret_is_kept_and_must_be_good(tmp_path: Path) -> None:
    made = open_course(tmp_path / "course")
    assert len(made) >= 16
    assert read_secret(tmp_path / "course") == made
    assert (tmp_path / "course" / "course_secret").stat().st_mode & 0o077 == 0
    assert (tmp_path / "course").stat().st_mode & 0o077 == 0
    for bad in ("short", "example", " padded-secret "):
        with pytest.raises(ValueError, match="secret"):
            open_course(tmp_path / "other", bad)
    assert not (tmp_path / "other" / "course_secret").exists()
    with pytest.raises(ValueError, match="no course folder yet"):
        read_secret(tmp_path / "nothing")


def test_parameters_that_changed_since_the_release_are_noticed(tmp_path: Path) -> None:
    course, name = tmp_path, NAMES[0]
    secret = open_course(course, SECRET)
    with pytest.raises(ValueError, match="not released"):
        released_assignment(name, course)
    folder = course / "parameters"
    folder.mkdir()
    kept = dict(load_assignment(name, secret).parameters)
    (folder / f"{name}.json").write_text(json.dumps(kept))
    assert released_assignment(name, course).parameters == kept
    first = next(key for key, value in kept.items() if isinstance(value, int))
    (folder / f"{name}.json").write_text(json.dumps({**kept, first: -1}))
    with pytest.raises(ValueError, match="other parameters"):
        released_assignment(name, course)


def test_rendering_names_what_it_does_not_know() -> None:
    cells = [
        nbformat.v4.new_markdown_cell("use {given.width} of {given.widths}"),
        nbformat.v4.new_code_cell("x = given.width + len(given.widths)  # forgiven.width"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    found = render(notebook, {"width": 8, "widths": (16, 24)})
    assert found.cells[0].source == "use 8 of 16, 24"
    assert found.cells[1].source == "x = 8 + len((16, 24))  # forgiven.width"
    assert notebook.cells[0].source.startswith("use {")
    with pytest.raises(ValueError, match=r"given\.widths"):
        render(notebook, {"width": 8})
    assert shown((1, (2.5, "x"))) == "1, 2.5, x"
