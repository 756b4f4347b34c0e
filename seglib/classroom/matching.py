"""Which of a submission's cells is which of the release's: by nbgrader's id, then by content."""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

from seglib.classroom.notebooks import NotebookCell

_DEFINED = re.compile(r"^(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)", re.MULTILINE)
_ASSIGNED = re.compile(r"^(\w+)[ \t]*(?::[^=\n]{1,200})?=(?!=)", re.MULTILINE)
_FENCED = re.compile(r"\s*```(?:python|py)?[ \t]*\n(.*)\n```\s*", re.DOTALL)
_MAX_PARSED = 20_000  # characters
_MAX_TRIED = 20  # cells
_ALIKE = 0.6  # share of the release's lines that makes a changed cell the same cell


def same(first: str, second: str) -> bool:
    """Whether two sources differ by blank lines and by blanks at lines' ends at most."""
    return _lines(first) == _lines(second)


def names(source: str) -> set[str]:
    """What the source defines or assigns at its left margin."""
    return {*_DEFINED.findall(source), *_ASSIGNED.findall(source)}


def is_python(source: str) -> bool:
    """Whether the source is Python, and more than one word."""
    if len(source) > _MAX_PARSED or not source.strip() or source.strip().isidentifier():
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of "\d" and `1 is 1`
            ast.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


def unfenced(source: str) -> str:
    """The code between ``` fences where there is nothing else; else the source."""
    match = _FENCED.fullmatch(source)
    return match.group(1) if match else source


def identify(cells: Sequence[NotebookCell], given: Mapping[str, NotebookCell]) -> list[str]:
    """For each cell the release's id, or "" for a student's own.

    An id that no cell carries goes to the cell without one whose content fits best.

    Args:
        cells: the submission's.
        given: the release's cells by their ids.
    """
    ids = [cell.grade_id if cell.grade_id in given else "" for cell in cells]
    for grade_id, original in given.items():
        if grade_id in ids:
            continue
        free = [index for index, known in enumerate(ids) if not known]
        index = _find(original, cells, free)
        if index is not None:
            ids[index] = grade_id
    return ids


def _find(original: NotebookCell, cells: Sequence[NotebookCell], free: Sequence[int]) -> int | None:
    for index in free:
        if same(cells[index].source, original.source):
            return index
    if original.kind != "code":
        return None
    if original.solution:
        wanted = names(original.source)
        fitting = [i for i in free if wanted and wanted <= names(unfenced(cells[i].source))]
        last = fitting[: -_MAX_TRIED - 1 : -1]  # the last definition is the one that counts
        return next((i for i in last if _is_code(cells[i])), None)
    shares = {index: _share(original.source, cells[index].source) for index in free}
    best = max(shares, key=lambda index: shares[index], default=None)
    return best if best is not None and shares[best] >= _ALIKE else None


def _is_code(cell: NotebookCell) -> bool:
    return cell.kind == "code" or is_python(unfenced(cell.source))


def _share(original: str, source: str) -> float:
    wanted = Counter(_lines(original))
    return (wanted & Counter(_lines(source))).total() / max(1, wanted.total())


def _lines(source: str) -> list[str]:
    return [line.rstrip() for line in source.split("\n") if line.strip()]
