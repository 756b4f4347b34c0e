"""The assignments as tests need them: rendered sources, namespaces, canned wrong answers."""

from __future__ import annotations

import contextlib
import importlib
import io
from functools import cache

import nbformat
from nbformat import NotebookNode

from seglib.classroom import harness
from seglib.classroom.judges import Assignment, available, load_assignment, source_path
from seglib.classroom.judging import Judge
from seglib.classroom.records import ItemRecord
from seglib.classroom.rendering import render

NAMES = available()
SECRETS = ("first-secret", "second-secret")


@cache
def assignment(name: str, secret: str) -> Assignment:
    return load_assignment(name, secret)


@cache
def judge(name: str, secret: str, item: str) -> Judge:
    found = {one.name: one for one in assignment(name, secret).items}
    return Judge.of(found[item])


@cache
def source(name: str, secret: str) -> NotebookNode:
    """The source notebook, with solutions, rendered for a secret."""
    return render(
        nbformat.read(source_path(name), as_version=4), assignment(name, secret).parameters
    )


def executed(cells: list[str]) -> dict[str, object]:
    """The namespace after the cells ran in order; what they print is dropped."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in cells:
            exec(compile(cell, "cell", "exec"), namespace)
    return namespace


def solution_cells(name: str, secret: str) -> list[str]:
    return [cell.source for cell in source(name, secret).cells if cell.cell_type == "code"]


@cache
def solved(name: str, secret: str) -> dict[str, object]:
    return executed(solution_cells(name, secret))


def verdict(name: str, secret: str, item: str, namespace: dict[str, object]) -> ItemRecord:
    one = judge(name, secret, item)
    return one.verdict(harness.respond(namespace, one.request))


def filled(code: str, name: str, secret: str) -> str:
    """Code with the values of a secret in place of `given.x`."""
    cell = nbformat.v4.new_code_cell(code)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    return str(render(notebook, assignment(name, secret).parameters).cells[0].source)


def wrong(name: str) -> dict[str, dict[str, str]]:
    """{item: {slug: code}} of canned wrong answers."""
    module = importlib.import_module(f"canned_{name[:2]}")
    answers: dict[str, dict[str, str]] = module.WRONG
    return answers


def items(name: str) -> list[str]:
    """The items' names, from the source's cells: judges take seconds to load."""
    cells = nbformat.read(source_path(name), as_version=4).cells
    about = [cell.metadata.get("nbgrader", {}) for cell in cells]
    return [one["grade_id"] for one in about if one.get("grade") and not one.get("solution")]
