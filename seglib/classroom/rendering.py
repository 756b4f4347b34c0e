"""A source notebook with one course's values in place of the parameters' names."""

from __future__ import annotations

import re
from collections.abc import Mapping

import nbformat
from nbformat import NotebookNode

INSTRUCTOR = "instructor"  # tag of the cell that students don't get
_CODE = re.compile(r"\bgiven\.([A-Za-z_]\w*)")
_TEXT = re.compile(r"\{given\.([A-Za-z_]\w*)\}")


def render(notebook: NotebookNode, parameters: Mapping[str, object]) -> NotebookNode:
    """The notebook for one course: values for `given.name` in code and `{given.name}` in text.

    Args:
        notebook: the source; stays as it is.
        parameters: values by name.
    Returns:
        A new notebook without the instructor's cell and without outputs.
    Raises:
        ValueError: for a name that `parameters` lacks.
    """
    result = nbformat.from_dict(notebook)
    cells = [c for c in result.cells if INSTRUCTOR not in c.metadata.get("tags", [])]
    for cell in cells:
        code = cell.cell_type == "code"
        cell.source = _filled(cell.source, parameters, code)
        if code:
            cell.outputs, cell.execution_count = [], None
    result.cells = cells
    return result


def _filled(source: str, parameters: Mapping[str, object], code: bool) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in parameters:
            raise ValueError(
                f"the source names given.{name}, the judge file's parameters are"
                f" {', '.join(parameters)}"
            )
        return repr(parameters[name]) if code else shown(parameters[name])

    return (_CODE if code else _TEXT).sub(value, source)


def shown(value: object) -> str:
    """A value as it stands in a sentence: lists without brackets."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(shown, value))
    return str(value)
