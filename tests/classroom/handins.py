"""Submissions of every kind: right, broken by students, and hostile ones; each for assignment 01.

`CASES` maps a student's id to a `Case`: how the notebook is made, and what must come of it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass

import assignments
import nbformat
from nbformat import NotebookNode

NAME = "01_make_divisible"
SECRET = assignments.SECRETS[0]
FULL = 10.0
ANSWERS = ("answer_round_channels", "answer_network_widths", "answer_widest_within")
Change = Callable[[NotebookNode], NotebookNode | bytes | None]


@dataclass(frozen=True)
class Case:
    """A way to hand in.

    Attributes:
        make: changes the solved notebook, or gives a file's bytes; None: hands in an empty folder.
        score: expected points of the automatic items.
        line: words that a line of the record must hold; "" for none in particular.
        status: of the record.
    """

    make: Change
    score: float = FULL
    line: str = ""
    status: str = "graded"


def place(notebook: NotebookNode, grade_id: str) -> int:
    ids = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells]
    return ids.index(grade_id)


def solved(released: NotebookNode) -> NotebookNode:
    """The released notebook with the reference's answers."""
    notebook = copy.deepcopy(released)
    for cell in assignments.source(NAME, SECRET).cells:
        about = cell.metadata.get("nbgrader", {})
        if about.get("solution"):
            notebook.cells[place(notebook, about["grade_id"])].source = cell.source
    return notebook


def code(text: str, front: bool = True) -> Change:
    """Add a cell with this code, at the front or at the end."""

    def make(notebook: NotebookNode) -> NotebookNode:
        cell = nbformat.v4.new_code_cell(text)
        notebook.cells.insert(1 if front else len(notebook.cells), cell)
        return notebook

    return make


def answer(grade_id: str, text: str) -> Change:
    def make(notebook: NotebookNode) -> NotebookNode:
        notebook.cells[place(notebook, grade_id)].source = text
        return notebook

    return make


def both(first: Change, second: Change) -> Change:
    def make(notebook: NotebookNode) -> NotebookNode | bytes | None:
        changed = first(notebook)
        assert isinstance(changed, NotebookNode)
        return second(changed)

    return make


def copied(notebook: NotebookNode) -> NotebookNode:
    notebook.cells.insert(5, copy.deepcopy(notebook.cells[place(notebook, ANSWERS[0])]))
    return notebook


def split(notebook: NotebookNode) -> NotebookNode:
    """The answer in two cells, one of them without an id."""
    index = place(notebook, ANSWERS[0])
    notebook.cells[index].source += "\n\ndef helper():\n    return 1"
    extra = nbformat.v4.new_code_cell("unit = helper()")
    notebook.cells.insert(index + 1, extra)
    return notebook


def deleted_tests(notebook: NotebookNode) -> NotebookNode:
    for grade_id in ("round_channels", "network_widths", "widest_within"):
        del notebook.cells[place(notebook, grade_id)]
    return notebook


def deleted_answer(notebook: NotebookNode) -> NotebookNode:
    del notebook.cells[place(notebook, ANSWERS[2])]
    return notebook


def as_markdown(notebook: NotebookNode) -> NotebookNode:
    cell = notebook.cells[place(notebook, ANSWERS[1])]
    cell.cell_type = "markdown"
    for key in ("outputs", "execution_count"):
        cell.pop(key, None)
    return notebook


def without_metadata(notebook: NotebookNode) -> NotebookNode:
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
    return notebook


def reversed_order(notebook: NotebookNode) -> NotebookNode:
    notebook.cells.reverse()
    return notebook


def format3(notebook: NotebookNode) -> bytes:
    return nbformat.writes(nbformat.convert(notebook, 3), version=3).encode()


def with_mark(notebook: NotebookNode) -> bytes:
    return b"\xef\xbb\xbf" + nbformat.writes(notebook).encode()


def other_kernel(notebook: NotebookNode) -> NotebookNode:
    notebook.metadata.kernelspec = {"name": "bash", "display_name": "B", "language": "bash"}
    return notebook


def rewarded(notebook: NotebookNode) -> NotebookNode:
    """Asks for a hundred points a task in the metadata, and weakens the visible tests."""
    for cell in notebook.cells:
        about = cell.metadata.get("nbgrader", {})
        if about.get("grade"):
            about["points"] = 100
            cell.source = "print('fine')"
    notebook.cells[place(notebook, ANSWERS[2])].source = "def widest_within(a, b):\n    return a"
    return notebook


LOOP_IN_C = "sum(range(10**13))"
FORGE = """
import json
from IPython.display import publish_display_data
reply = json.dumps({"results": [{"value": {"dict": [["result", {"int": "8"}]]}}] * 40})
def forge(*arguments, **options):
    publish_display_data({"application/vnd.seglib.reply": reply})
"""
PATCH = """
import numpy, torch, seglib.layers
seglib.layers.make_divisible = lambda *a, **k: 8
numpy.isclose = numpy.allclose = torch.allclose = lambda *a, **k: True
torch.Tensor.__eq__ = lambda self, other: True
"""
KERNEL = """
import json
real = json.dumps
json.dumps = lambda value, *a, **k: real({"results": [{"value": None}] * 30})
"""
STUBBED = "def round_channels(value):\n    return 8"
SEARCH = """
import glob, os, re
found = []
for root in ("/", os.path.expanduser("~"), "/proc/1/root", "/proc/self/root", os.getcwd() + "/.."):
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders if f not in ("proc", "sys", "site-packages", "lib")]
        for name in files:
            if re.search("course_secret|gradebook|judges|01_make_divisible", folder + "/" + name):
                found.append(folder + "/" + name)
found += [k for k, v in os.environ.items() if "secret" in v]
assert not found, found
"""
WRITE = """
import os
done = []
for path in PATHS:
    try:
        with open(path, "a") as file:
            file.write("x")
        done.append(path)
    except OSError:
        pass
assert not done, done
"""
FORK = """
import os
try:
    while True:
        os.fork()
except OSError:
    pass
"""
FILL = """
import os
try:
    for number in range(10**6):
        with open(f"f{number}", "wb") as file:
            file.write(b"x" * 10**7)
except OSError:
    pass
"""
NETWORK = """
import socket
for place in (("127.0.0.1", 22), ("1.1.1.1", 53)):
    try:
        socket.create_connection(place, 1)
        raise SystemError("there is a network")
    except OSError:
        pass
"""

BROKEN = {
    "perfect": Case(lambda notebook: notebook),
    "zoë-学生": Case(lambda notebook: notebook),
    "copied": Case(copied),
    "split": Case(split),
    "deleted-tests": Case(deleted_tests, line="put back"),
    "deleted-answer": Case(deleted_answer, 7, "answer_widest_within"),
    "as-markdown": Case(as_markdown, line="answer_network_widths"),
    "no-metadata": Case(without_metadata, line="id"),
    "reversed": Case(reversed_order),
    "renamed": Case(answer(ANSWERS[0], "def my_rounding(value):\n    return 8"), 6),
    "syntax-error": Case(answer(ANSWERS[0], "def round_channels(value:\n    return 8"), 6),
    "loop-in-a-cell": Case(code("while True:\n    pass"), line="did not end in time"),
    "loop-in-c": Case(code(LOOP_IN_C), line="did not end in time"),
    "loop-in-an-answer": Case(
        answer(ANSWERS[2], "def widest_within(a, b):\n    while True:\n        pass"),
        7,
        "did not end in time",
    ),
    "memory-hog": Case(code("hog = [bytearray(10**8) for _ in range(10**4)]")),
    "prints-much": Case(code("for _ in range(100):\n    print('x' * 10**6)")),
    "stops-the-kernel": Case(code("import os\nos._exit(0)"), line="ended the kernel"),
    "leaves": Case(code("import sys\nsys.exit(1)")),
    "magics": Case(code("%pip install nothing\n!ls /\n%matplotlib inline")),
    "input": Case(code("name = input('Who are you? ')")),
    "format-3": Case(format3),
    "byte-order-mark": Case(with_mark),
    "truncated": Case(lambda notebook: b'{"cells": [{"cell_type": "co', 0, "no notebook", "failed"),
    "empty-file": Case(lambda notebook: b"", 0, "", "failed"),
    "other-json": Case(lambda notebook: json.dumps([1, 2]).encode(), 0, "", "failed"),
    "missing": Case(lambda notebook: None, 0, "0 notebooks", "failed"),
}
HOSTILE = {
    "other-kernel": Case(other_kernel),
    "rewards-itself": Case(rewarded, 7),
    "forges-a-reply": Case(answer(ANSWERS[0], FORGE + "round_channels = forge"), 6),
    "forges-early": Case(code(FORGE + "forge()\n" + STUBBED, front=False), 6),
    "patches-libraries": Case(both(code(PATCH), answer(ANSWERS[0], STUBBED)), 6),
    "patches-the-kernel": Case(both(code(PATCH + KERNEL), answer(ANSWERS[0], STUBBED)), 6),
    "searches": Case(code(SEARCH)),
    "network": Case(code(NETWORK)),
    "fork-bomb": Case(code(FORK)),
    "fills-the-disk": Case(code(FILL)),
    "kills": Case(code("import os, signal\nos.kill(-1, signal.SIGKILL)")),
    "html": Case(
        code("from IPython.display import HTML\nHTML('<script>document.title=\"100\"</script>')")
    ),
}
CASES = BROKEN | HOSTILE
