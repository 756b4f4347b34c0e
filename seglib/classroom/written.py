"""The free-text question's answer, wherever the student has put it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seglib.classroom.notebooks import NotebookCell

MAX_LENGTH = 20_000  # characters; a page has 3000


@dataclass(frozen=True)
class Answer:
    """The answer's text, the indices of the cells that it fills, and a line about where it was."""

    text: str = ""
    cells: tuple[int, ...] = ()
    line: str = ""


def find_answer(
    grade_id: str,
    cells: Sequence[NotebookCell],
    ids: Sequence[str],
    release: Sequence[NotebookCell],
) -> Answer:
    """Look for the answer in the cell of the question, then below its heading, then anywhere.

    Args:
        grade_id: the answer's cell in the release.
        cells: the submission's, and
        ids: which of the release's each is.
        release: the release's cells.
    """
    where = next(i for i, cell in enumerate(release) if cell.grade_id == grade_id)
    known = {line for cell in release for line in _lines(cell.source)}
    own = [i for i, name in enumerate(ids) if name == grade_id]
    answer = _join(cells, own, set(_lines(release[where].source)))
    if answer.text:
        return answer
    free = [i for i, cell in enumerate(cells) if cell.kind == "markdown" and not ids[i]]
    heading = _heading_before(release, where)
    below = _below_heading(heading, cells, {*free, *own}, known)
    if below.text:
        return below
    candidates = [_join(cells, [i], known) for i in free]
    candidates += [_added(cells[i], known) for i in range(len(cells)) if ids[i] and i not in own]
    longest = max(candidates, key=lambda found: len(found.text), default=Answer())
    if longest.text:
        line = "the free-text answer had no place of its own: the longest new text was taken"
        return Answer(longest.text, longest.cells, longest.line or line)
    return Answer(line="" if own else "the answer to the free-text question is missing")


def _join(cells: Sequence[NotebookCell], indices: Sequence[int], known: set[str]) -> Answer:
    """The cells' text together; those that say nothing new are left out."""
    telling = [i for i in indices if not set(_lines(cells[i].source)) <= known]
    text = "\n\n".join(cells[i].source.strip() for i in telling)
    if len(text) <= MAX_LENGTH:
        return Answer(text, tuple(telling))
    line = f"the free-text answer is cut after {MAX_LENGTH} characters"
    return Answer(text[:MAX_LENGTH], tuple(telling), line)


def _below_heading(
    heading: str, cells: Sequence[NotebookCell], free: set[int], known: set[str]
) -> Answer:
    """What stands between the question's heading and the next cell that is not the student's."""
    starts = [i for i, cell in enumerate(cells) if heading and heading in _headings(cell)]
    for start in starts:
        below: list[int] = []
        for index in range(start + 1, len(cells)):
            if index not in free or _headings(cells[index]):
                break
            below.append(index)
        answer = _join(cells, below, known)
        if answer.text:
            line = "the free-text answer was not in its cell: recognised by the heading above it"
            return Answer(answer.text, answer.cells, answer.line or line)
    return Answer()


def _added(cell: NotebookCell, known: set[str]) -> Answer:
    """What the student has added to one of the release's texts."""
    if cell.kind != "markdown":
        return Answer()
    text = "\n".join(line for line in cell.source.split("\n") if line.strip() not in known)
    line = f"the free-text answer stood in the cell `{cell.grade_id}`"
    return Answer(text.strip()[:MAX_LENGTH], (), line)


def _heading_before(release: Sequence[NotebookCell], where: int) -> str:
    for cell in reversed(release[:where]):
        if headings := _headings(cell):
            return headings[-1]
    return ""


def _headings(cell: NotebookCell) -> list[str]:
    if cell.kind != "markdown":
        return []
    lines = [line for line in _lines(cell.source) if line.startswith("#")]
    return [line.strip("# \t").casefold() for line in lines]


def _lines(source: str) -> list[str]:
    return [line.strip() for line in source.split("\n") if line.strip()]
