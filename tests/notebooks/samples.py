"""A small chapter that keeps every rule, to be broken by the tests one rule at a time."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import gate
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import notebooks

NAME = "03_sample.ipynb"
TITLE = """# 03 · Sample

After this you will be able to tell a rule from a habit. 5 minutes. Prerequisites: none."""
PICTURE = """from IPython.display import Image, display
from PIL import Image as Picture

import io

buffer = io.BytesIO()
Picture.new("RGB", (40, 30), "navy").save(buffer, "png")
display(Image(buffer.getvalue(), alt="a plain field of navy blue"))"""
NOISE = "# Output not compared: it is the time of day\nimport time\n\nprint(time.time())"
CELLS = {
    "Build it": ["x = 3\nprint(x)", "x + 4", "assert x == 3"],
    "See it": [PICTURE],
    "Experiment": [NOISE, "import ipywidgets\n\nipywidgets.IntSlider(3)"],
    "Exercises": ["def answer():\n    return 42\n\n\nanswer()"],
}


def chapter() -> NotebookNode:
    """The sample, executed on a fresh kernel, in canonical form."""
    cells = [new_markdown_cell(TITLE)]
    for section in gate.SECTIONS:
        cells.append(new_markdown_cell(f"## {section}\n\nWhat there is to say about it, in short."))
        for source in CELLS.get(section, []):
            tags = {"tags": [gate.IGNORE]} if source == NOISE else {}
            cells.append(new_code_cell(source, metadata=tags))
    notebook = new_notebook(cells=cells)
    failures = notebooks.execute(notebook, Path.cwd())
    if failures:
        raise RuntimeError("\n".join(failures))
    return notebooks.canonical(notebook)


def code(notebook: NotebookNode, start: str) -> NotebookNode:
    """The code cell whose source begins with `start`."""
    return next(
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source.startswith(start)
    )


def broken(good: NotebookNode, change: Callable[[NotebookNode], None]) -> NotebookNode:
    """A copy of the sample with one thing changed."""
    notebook = copy.deepcopy(good)
    change(notebook)
    return notebook


def save(notebook: NotebookNode, path: Path) -> Path:
    """Write the notebook as it is, valid or not."""
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path
