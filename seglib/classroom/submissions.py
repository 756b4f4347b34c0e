"""A submission as it is to be run: compared with its release, mended, and told what was mended.

The locked cells come from the release whatever the student made of them; all other code runs in the
student's order. Nothing here decides a score: answers are looked up by name after all cells ran.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seglib.classroom.matching import identify, is_python, names, same, unfenced
from seglib.classroom.notebooks import Kind, NotebookCell, read_notebook
from seglib.classroom.text import shorten
from seglib.classroom.written import find_answer

MAX_LINES = 40


@dataclass(frozen=True)
class Cell:
    """A cell to run or to show; `grade_id` is "" for those that the release does not know."""

    kind: Kind
    source: str
    grade_id: str = ""


@dataclass(frozen=True)
class Submission:
    """What a student handed in.

    Attributes:
        cells: in the student's order, each of the release's ids at most once.
        lines: what differs from the release, in plain words.
        written: the free-text question's answer; "" where nothing was written.
    """

    cells: tuple[Cell, ...]
    lines: tuple[str, ...]
    written: str = ""


def read_submission(path: Path, release: Path) -> Submission:
    """Read a student's notebook and compare it with the one that was handed out.

    Args:
        path: the student's: any nbformat, any damage that leaves cells to be found.
        release: the release's notebook, with nbgrader's metadata.
    Raises:
        ValueError: if one of the two is no notebook; in one line.
    """
    given = read_notebook(release).cells
    found = read_notebook(path)
    comparison = _Comparison(found.cells, given)
    cells = comparison.mend()
    lines = [*found.lines, *comparison.lines]
    if len(lines) > MAX_LINES:
        lines[MAX_LINES:] = [f"and {len(lines) - MAX_LINES} more changes"]
    return Submission(tuple(cells), tuple(lines), "\n\n".join(comparison.written))


def is_written(cell: NotebookCell) -> bool:
    """Whether a release's cell takes the answer to the free-text question."""
    return cell.grade and cell.solution and cell.kind == "markdown"


class _Comparison:
    """A submission's cells beside the release's.

    Attributes:
        kept: what becomes of the submission's cells, by their position.
        ids: which of the release's cells each position is or is a piece of; "" for own ones.
    """

    def __init__(self, cells: Sequence[NotebookCell], given: Sequence[NotebookCell]) -> None:
        self.given = given
        self.known = {
            cell.grade_id: cell
            for cell in given
            if cell.grade_id and (cell.grade or cell.solution or cell.locked)
        }
        self.cells = cells
        self.ids = identify(cells, self.known)
        self.kept = {i: Cell(cell.kind, cell.source) for i, cell in enumerate(cells)}
        self.written: list[str] = []
        self.lines: list[str] = []

    def mend(self) -> list[Cell]:
        """All the cells in their order, each of the release's where the student has it."""
        defined = self._defined()
        for grade_id, original in self.known.items():
            members = [i for i, name in enumerate(self.ids) if name == grade_id]
            if is_written(original):
                self._mend_written(grade_id, members)
                continue
            if members and self.cells[members[0]].grade_id != grade_id:
                self.lines.append(
                    f"the cell `{grade_id}` had lost its id: recognised by its content"
                )
            if not original.solution:
                self._mend_locked(original, members)
            elif members:
                self._mend_solution(original, members)
            else:
                elsewhere = sorted(names(original.source) & defined)
                but = f"; {_listed(elsewhere)} is defined in another one" if elsewhere else ""
                self.lines.append(f"the cell `{grade_id}` is missing{but}")
        return self._put_back()

    def _defined(self) -> set[str]:
        """What the student's code cells define."""
        return {name for cell in self.cells if cell.kind == "code" for name in names(cell.source)}

    def _mend_solution(self, original: NotebookCell, members: Sequence[int]) -> None:
        grade_id = original.grade_id
        untouched = [i for i in members if same(self.cells[i].source, original.source)]
        if len(untouched) == len(members):
            untouched = untouched[1:]
        for index in untouched:  # run last, it would undo the answer
            del self.kept[index]
        pieces = [i for i in members if i in self.kept]
        if untouched:
            self.lines.append(f"the cell `{grade_id}` was copied: the untouched copy is left out")
        for index in pieces:
            self._mend_type(index, original)
        self.kept[pieces[0]] = Cell("code", self.kept[pieces[0]].source, grade_id)
        if len(pieces) > 1:
            defined = [names(self.kept[i].source) for i in pieces]
            copied = any(defined[0] & other for other in defined[1:])
            what = "copied: the last copy counts" if copied else "split: all its pieces run"
            self.lines.append(f"the cell `{grade_id}` was {what} ({len(pieces)} cells)")

    def _mend_type(self, index: int, original: NotebookCell) -> None:
        """A cell of code that has become text is code again, if it is Python."""
        cell = self.cells[index]
        if cell.kind == "code" or original.kind != "code":
            return
        source = unfenced(cell.source)
        was = f"the cell `{original.grade_id}` had become a {cell.kind} cell"
        if is_python(source):
            self.kept[index] = Cell("code", source)
            self.lines.append(f"{was}: it is run as code")
        else:
            self.kept[index] = Cell("code", "\n".join(f"# {x}" for x in source.split("\n")))
            self.lines.append(f"{was}, and is not Python: it is not run")

    def _mend_locked(self, original: NotebookCell, members: Sequence[int]) -> None:
        grade_id, is_code = original.grade_id, original.kind == "code"
        equal = [i for i in members if same(self.cells[i].source, original.source)]
        if is_code and members and not equal:
            self.lines.append(f"the locked cell `{grade_id}` was changed: the release's is run")
        place = (equal or list(members))[:1]
        for index in members:
            adds = names(self.cells[index].source) - names(original.source)
            if index in place and not (is_code and adds):
                self.kept[index] = Cell(original.kind, original.source, grade_id)
            elif index in equal:
                del self.kept[index]
            elif is_code and adds:  # an answer may have been written into it
                self._mend_type(index, original)
                self.lines.append(
                    f"a changed copy of the locked cell `{grade_id}` runs too: it defines"
                    f" {_listed(sorted(adds))}"
                )
            elif index not in place:
                del self.kept[index]

    def _mend_written(self, grade_id: str, members: Sequence[int]) -> None:
        answer = find_answer(grade_id, self.cells, self.ids, self.given)
        self.written += [answer.text] if answer.text else []
        self.lines += [answer.line] if answer.line else []
        changed = {self.cells[i].kind for i in members} - {"markdown"}
        if changed:
            self.lines.append(f"the answer's cell had become a {min(changed)} cell: read as text")
        for index in {*members, *answer.cells}:
            self.kept.pop(index, None)
        place = min([*answer.cells, *members], default=None)
        if place is not None:
            text = answer.text or self.known[grade_id].source
            self.kept[place] = Cell("markdown", text, grade_id)
            self.ids[place] = grade_id

    def _put_back(self) -> list[Cell]:
        """The cells in order; locked ones that are missing go behind what they followed."""
        order = list(self.known)
        cells = [(self.kept[i], self.ids[i]) for i in sorted(self.kept)]
        for position, (grade_id, original) in enumerate(self.known.items()):
            present = any(cell.grade_id == grade_id for cell, _ in cells)
            if present or (original.solution and not is_written(original)):
                continue
            homes = [home for _, home in cells]
            before = (name for name in reversed(order[: position + 1]) if name in homes)
            neighbour = next(before, None)  # its own changed copy, or the nearest one above
            after = 0 if neighbour is None else len(homes) - homes[::-1].index(neighbour)
            if original.kind == "code" and grade_id not in self.ids:
                self.lines.append(f"the locked cell `{grade_id}` was deleted: it is put back")
            cells.insert(after, (Cell(original.kind, original.source, grade_id), grade_id))
        return [cell for cell, _ in cells]


def _listed(found: Sequence[str]) -> str:
    return ", ".join(f"`{shorten(name)}`" for name in found[:3])
