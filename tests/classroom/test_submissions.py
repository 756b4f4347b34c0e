"""Submissions as students hand them in: copied, split, deleted, renamed, retyped, damaged."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from class_course import (
    ANSWER,
    ROUND_DOWN,
    ROUND_TEST,
    SETUP,
    WIDTHS,
    WIDTHS_TEST,
    Cell,
    by_id,
    release_path,
    released,
    solved,
    write_notebook,
)

from seglib.classroom.submissions import Submission, read_submission

STUB = "def round_down(value):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
IDS = ["setup", "task_round_down", "answer_round_down", "round_down", "answer_widths", "widths"]
IDS += ["question", "why"]


@pytest.fixture
def cells(released_course: Path) -> list[Cell]:
    return solved(released_course)


@pytest.fixture
def read(released_course: Path, tmp_path: Path) -> Callable[[list[Cell]], Submission]:
    def read(cells: list[Cell]) -> Submission:
        path = write_notebook(tmp_path / "ann.ipynb", cells)
        return read_submission(path, release_path(released_course))

    return read


def sources(submission: Submission, kind: str = "code") -> list[str]:
    return [cell.source for cell in submission.cells if cell.kind == kind]


CODE = [SETUP, ROUND_DOWN, ROUND_TEST, WIDTHS, WIDTHS_TEST]
Read = Callable[[list[Cell]], Submission]


def test_a_usual_submission_is_taken_as_it_is(cells: list[Cell], read: Read) -> None:
    submission = read(cells)
    assert submission.lines == ()
    assert submission.written == ANSWER
    assert sources(submission) == CODE
    assert [cell.grade_id for cell in submission.cells if cell.grade_id] == IDS


def test_the_untouched_release_has_no_answer(released_course: Path, read: Read) -> None:
    submission = read(released(released_course))
    assert submission.lines == ()
    assert submission.written == ""
    assert sources(submission)[1] == STUB


def test_copied_cells_all_run_in_their_order(cells: list[Cell], read: Read) -> None:
    cells.insert(3, copy.deepcopy(cells[3]))
    cells[3]["source"] = ROUND_DOWN.replace("* 8", "* 16")
    submission = read(cells)
    assert submission.lines == (
        "the cell `answer_round_down` was copied: the last copy counts (2 cells)",
    )
    assert sources(submission)[1:3] == [cells[3]["source"], ROUND_DOWN]
    assert [cell.grade_id for cell in submission.cells if cell.grade_id] == IDS


def test_an_untouched_copy_does_not_undo_the_answer(cells: list[Cell], read: Read) -> None:
    cells.append(copy.deepcopy(by_id(cells, "answer_round_down")) | {"source": STUB})
    submission = read(cells)
    assert submission.lines == (
        "the cell `answer_round_down` was copied: the untouched copy is left out",
    )
    assert sources(submission) == CODE


def test_split_cells_all_run(cells: list[Cell], read: Read) -> None:
    second = copy.deepcopy(cells[3]) | {"source": "limit = 8"}
    cells.insert(4, second)
    submission = read(cells)
    assert submission.lines == (
        "the cell `answer_round_down` was split: all its pieces run (2 cells)",
    )
    assert sources(submission)[1:4] == [ROUND_DOWN, "limit = 8", ROUND_TEST]


def test_deleted_cells_are_told_and_locked_ones_put_back(cells: list[Cell], read: Read) -> None:
    kept = [cells[0], *(by_id(cells, name) for name in ("answer_round_down", "widths"))]
    submission = read(kept)
    assert submission.lines == (
        "the cell `answer_widths` is missing",
        "the answer to the free-text question is missing",
        "the locked cell `setup` was deleted: it is put back",
        "the locked cell `round_down` was deleted: it is put back",
    )
    assert sources(submission) == [SETUP, ROUND_DOWN, ROUND_TEST, WIDTHS_TEST]
    assert submission.written == ""
    assert [cell.grade_id for cell in submission.cells if cell.grade_id] == [
        name for name in IDS if name != "answer_widths"
    ]


def test_merged_cells_are_told(cells: list[Cell], read: Read) -> None:
    by_id(cells, "answer_round_down")["source"] = f"{ROUND_DOWN}\n\n{WIDTHS}"
    cells.remove(by_id(cells, "answer_widths"))
    assert read(cells).lines == (
        "the cell `answer_widths` is missing; `widths` is defined in another one",
    )


@pytest.mark.parametrize("metadata", [{}, {"nbgrader": {"grade_id": "mine", "solution": True}}])
def test_cells_that_lost_their_ids_are_recognised(
    cells: list[Cell], read: Read, metadata: dict[str, object]
) -> None:
    for cell in cells:
        cell["metadata"] = metadata
    submission = read(cells)
    assert [cell.grade_id for cell in submission.cells if cell.grade_id] == IDS
    assert sources(submission) == CODE
    assert submission.written == ANSWER
    assert "the cell `answer_round_down` had lost its id: recognised by its content" in (
        submission.lines
    )
    assert "the free-text answer was not in its cell: recognised by the heading above it" in (
        submission.lines
    )


@pytest.mark.parametrize("kind", ["markdown", "raw"])
@pytest.mark.parametrize("source", [ROUND_DOWN, f"```python\n{ROUND_DOWN}\n```"])
def test_code_that_became_text_is_code_again(
    cells: list[Cell], read: Read, kind: str, source: str
) -> None:
    cells[3] |= {"cell_type": kind, "source": source}
    submission = read(cells)
    assert submission.lines == (
        f"the cell `answer_round_down` had become a {kind} cell: it is run as code",
    )
    assert sources(submission) == CODE


def test_prose_is_not_run(cells: list[Cell], read: Read) -> None:
    cells[3] |= {"cell_type": "markdown", "source": "I could not do it.\nSorry."}
    submission = read(cells)
    assert submission.lines[0].endswith("and is not Python: it is not run")
    assert sources(submission)[1] == "# I could not do it.\n# Sorry."


def test_syntax_errors_and_magics_stay(cells: list[Cell], read: Read) -> None:
    cells[3]["source"] = "def round_down(value:"
    cells[5]["source"] = "%%bash\nrm -rf /"
    submission = read(cells)
    assert submission.lines == ()
    assert sources(submission)[1] == "def round_down(value:"
    assert sources(submission)[3] == "%%bash\nrm -rf /"


def test_weakened_tests_are_the_release_s_again(cells: list[Cell], read: Read) -> None:
    by_id(cells, "round_down")["source"] = "pass"
    cells.append(copy.deepcopy(by_id(cells, "widths")))
    submission = read(cells)
    assert submission.lines == ("the locked cell `round_down` was changed: the release's is run",)
    assert sources(submission) == CODE


def test_an_answer_inside_a_locked_cell_still_runs(cells: list[Cell], read: Read) -> None:
    by_id(cells, "round_down")["source"] = f"{ROUND_DOWN}\n{ROUND_TEST}"
    submission = read(cells)
    assert submission.lines == (
        "the locked cell `round_down` was changed: the release's is run",
        "a changed copy of the locked cell `round_down` runs too: it defines `round_down`",
    )
    assert sources(submission)[1:4] == [ROUND_DOWN, f"{ROUND_DOWN}\n{ROUND_TEST}", ROUND_TEST]


def test_a_locked_cell_of_another_type_is_code_again(cells: list[Cell], read: Read) -> None:
    by_id(cells, "round_down")["cell_type"] = "raw"
    assert sources(read(cells)) == CODE


def test_own_cells_stay_where_they_are(cells: list[Cell], read: Read) -> None:
    own = {"cell_type": "code", "metadata": {}, "source": ["a = 1\n", "b = 2"], "outputs": []}
    cells.insert(2, own)
    submission = read(cells)
    assert submission.lines == ()
    assert submission.cells[2].source == "a = 1\nb = 2"
    assert submission.cells[2].grade_id == ""


@pytest.mark.parametrize("kind", ["code", "raw"])
def test_an_answer_of_another_type_is_read(cells: list[Cell], read: Read, kind: str) -> None:
    by_id(cells, "why")["cell_type"] = kind
    submission = read(cells)
    assert submission.written == ANSWER
    assert submission.lines == (f"the answer's cell had become a {kind} cell: read as text",)
    assert ANSWER not in sources(submission)


def markdown(source: str) -> Cell:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def test_an_answer_below_its_untouched_cell_is_found(cells: list[Cell], read: Read) -> None:
    by_id(cells, "why")["source"] = "YOUR ANSWER HERE"
    cells.append(markdown("Because of the cache."))
    submission = read(cells)
    assert submission.written == "Because of the cache."
    assert [cell.source for cell in submission.cells][-1] == "Because of the cache."
    assert submission.cells[-1].grade_id == "why"


def test_an_answer_without_any_place_is_found(cells: list[Cell], read: Read) -> None:
    kept = [c for c in cells if c not in (by_id(cells, "why"), by_id(cells, "question"))]
    submission = read([markdown("Mine."), *kept, markdown("It is the vector unit's width.")])
    assert submission.written == "It is the vector unit's width."
    assert "the longest new text was taken" in submission.lines[0]


def test_an_answer_inside_the_question_is_found(cells: list[Cell], read: Read) -> None:
    by_id(cells, "why")["source"] = ""
    question = by_id(cells, "question")
    question["source"] = [*question["source"], "\n\nThe cache."]  # type: ignore[misc]
    submission = read(cells)
    assert submission.written == "The cache."
    assert next(c.source for c in submission.cells if c.grade_id == "why") == "The cache."
    assert "The cache." not in next(c.source for c in submission.cells if c.grade_id == "question")


def test_an_answer_in_pieces_is_put_together(cells: list[Cell], read: Read) -> None:
    second = copy.deepcopy(by_id(cells, "why")) | {"source": "Second."}
    assert read([*cells, second]).written == f"{ANSWER}\n\nSecond."


def test_a_book_is_cut(cells: list[Cell], read: Read) -> None:
    by_id(cells, "why")["source"] = "word " * 100_000
    submission = read(cells)
    assert len(submission.written) == 20_000
    assert submission.lines == ("the free-text answer is cut after 20000 characters",)


@pytest.mark.parametrize("version", [2, 3, None])
def test_other_formats_are_read(
    cells: list[Cell], released_course: Path, tmp_path: Path, version: int | None
) -> None:
    tree: dict[str, object] = {"metadata": {}, "cells": cells}
    if version is not None:
        old = [
            {key: value for key, value in cell.items() if key != "source"}
            | {"input" if cell["cell_type"] == "code" else "source": cell["source"]}
            for cell in cells
        ]
        heading: Cell = {"cell_type": "heading", "level": 2, "source": "Mine", "metadata": {}}
        tree = {"nbformat": version, "worksheets": [{"cells": [heading, *old]}]}
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps(tree), encoding="utf-8")
    submission = read_submission(path, release_path(released_course))
    assert sources(submission) == CODE
    assert submission.written == ANSWER
    assert submission.lines == ()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_other_encodings_are_read(
    cells: list[Cell], released_course: Path, tmp_path: Path, encoding: str
) -> None:
    cells.append(markdown("Größe"))
    path = tmp_path / "other.ipynb"
    path.write_text(json.dumps({"cells": cells}, ensure_ascii=False), encoding=encoding)
    submission = read_submission(path, release_path(released_course))
    assert sources(submission) == CODE
    assert bool(submission.lines) == (encoding == "cp1252")


@pytest.mark.parametrize(
    "content, what",
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"hello", "is no JSON at line 1, column 1"),
        (b'{"cells": [{"source": "a', "breaks off"),
        (b'{"cells": [', "breaks off"),
        (b"[]", "holds no cells"),
        (b"{}", "holds no cells"),
        (b'{"cells": {}}', "holds no cells"),
        (b"[" * 200_000, "no usual JSON"),
        (b'{"a": ' + b"1" * 10_000 + b"}", "no usual JSON"),
        (b"[" + b"0," * 5_000_000 + b"0]", "too many values"),
        (json.dumps({"cells": [{}] * 3000}).encode(), "3000 cells"),
        (json.dumps({"cells": [{"source": "a" * 6_000_000}]}).encode(), "5 MB of text"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is no notebook"),
    ],
)
def test_what_is_no_notebook_is_told(
    released_course: Path, tmp_path: Path, content: bytes, what: str
) -> None:
    path = tmp_path / "broken.ipynb"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=what) as caught:
        read_submission(path, release_path(released_course))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(released_course: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can't be read"):
        read_submission(tmp_path / "none.ipynb", release_path(released_course))


def test_unfit_fields_are_left_out(
    released_course: Path, tmp_path: Path, cells: list[Cell]
) -> None:
    odd: list[object] = [1, None, "x", {}, {"cell_type": 5, "source": {"a": 1}}]
    odd += [{"cell_type": "code", "metadata": [], "source": ["a = '", 3, "\ud800\x1b'"]}]
    path = tmp_path / "odd.ipynb"
    path.write_text(json.dumps({"cells": [*odd, *cells], "metadata": 3}), encoding="utf-8")
    submission = read_submission(path, release_path(released_course))
    assert submission.lines == ("cells that are none were left out: 3",)
    assert sources(submission) == ["a = '��'", *CODE]
    assert all("\ud800" not in cell.source for cell in submission.cells)


def test_many_changes_are_counted(released_course: Path, read: Read, cells: list[Cell]) -> None:
    copies = [by_id(cells, "round_down") | {"source": f"x{n} = {n}"} for n in range(60)]
    lines = read([*cells, *copies]).lines
    assert len(lines) == 41
    assert lines[-1] == "and 20 more changes"
