"""Each rule of the gate fails on a notebook that breaks it, and on no other."""

from collections.abc import Callable
from pathlib import Path

import gate
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from samples import NAME, broken, code

Change = Callable[[NotebookNode], None]
ROOT = Path(__file__).resolve().parents[2]
CHAPTER = Path("notebooks") / NAME


def add(source: str, *, tags: object = None, outputs: object = None) -> Change:
    """Append an executed code cell that shows something."""

    def change(notebook: NotebookNode) -> None:
        count = sum(cell.cell_type == "code" for cell in notebook.cells) + 1
        shown = [new_output("stream", name="stdout", text="1\n")] if outputs is None else outputs
        cell = new_code_cell(source, execution_count=count, outputs=shown)
        if tags is not None:
            cell.metadata["tags"] = tags
        notebook.cells.append(cell)

    return change


def replace(old: str, new: str) -> Change:
    """Change the text of every Markdown cell."""

    def change(notebook: NotebookNode) -> None:
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = cell.source.replace(old, new)

    return change


def unexecute(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = None, []


def strip(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []


def strip_one(start: str) -> Change:
    return lambda notebook: code(notebook, start).update(outputs=[])


def run_twice(notebook: NotebookNode) -> None:
    code(notebook, "x + 4").execution_count = 9


def leave_gap(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count += 1


def other_result(notebook: NotebookNode) -> None:
    code(notebook, "x + 4").outputs[0].execution_count = 1


def no_alt(notebook: NotebookNode) -> None:
    code(notebook, "from IPython").outputs[0].metadata = {}


def empty_section(notebook: NotebookNode) -> None:
    cell = next(cell for cell in notebook.cells if cell.source.startswith("## Errata lab"))
    cell.source = "## Errata lab"


def swap_sections(notebook: NotebookNode) -> None:
    starts = [
        i for i, c in enumerate(notebook.cells) if c.source.startswith(("## From", "## Where"))
    ]
    first, second = starts
    cells = notebook.cells
    cells[first], cells[second] = cells[second], cells[first]


def other_kernel(notebook: NotebookNode) -> None:
    notebook.metadata.kernelspec["name"] = "my-env"


def five_ignored(notebook: NotebookNode) -> None:
    for number in range(4):
        reason = f"# Output not compared: it is random number {number}\nprint(1)"
        add(reason, tags=[gate.IGNORE])(notebook)


def html(text: str) -> list[NotebookNode]:
    return [new_output("display_data", data={"text/html": text, "text/plain": "<HTML>"})]


STREAM = new_output("stream", name="stderr", text="UserWarning: careful\n")
ERROR = new_output("error", ename="ValueError", evalue="no", traceback=[])

BROKEN: dict[str, tuple[Change, str]] = {
    "unexecuted": (unexecute, "not executed in order"),
    "run twice": (run_twice, "not executed in order"),
    "not a fresh kernel": (leave_gap, "not executed in order"),
    "stripped": (strip, "the outputs were stripped"),
    "stripped print": (strip_one("x = 3"), "no output is stored"),
    "stripped value": (strip_one("x + 4"), "no output is stored"),
    "result of another run": (other_result, "from another execution"),
    "error": (add("1 / 0", outputs=[ERROR]), "holds an error"),
    "stderr": (add("warn()", outputs=[STREAM]), "holds stderr"),
    "empty cell": (add(" "), "empty"),
    "16 lines": (add("\n".join(["print(1)"] * 16)), "16 lines"),
    "89 columns": (add(f"print({'1' * 82})"), "a line of 89 columns"),
    "nbval-skip": (add("print(1)", tags=["nbval-skip"]), "tag 'nbval-skip'"),
    "raises-exception": (add("print(1)", tags=["raises-exception"]), "tag 'raises-exception'"),
    "nbval raises": (add("print(1)", tags=["nbval-raises-exception"]), "tag 'nbval-raises"),
    "old nbval tag": (
        add("print(1)", tags=["pytest-validate-ignore-output"]),
        "tag 'pytest-validate",
    ),
    "tag in capitals": (add("print(1)", tags=["NBVAL-SKIP"]), "tag 'NBVAL-SKIP'"),
    "skipped by nbclient": (add("print(1)", tags=["skip-execution"]), "tag 'skip-execution'"),
    "tags as text": (add("print(1)", tags="nbval-skip"), "not a list"),
    "ignored without reason": (add("print(1)", tags=[gate.IGNORE]), "without a written reason"),
    "ignored with one word": (
        add("# Output not compared: random\nprint(1)", tags=[gate.IGNORE]),
        "without a written reason",
    ),
    "ignored with one word and code": (
        add("# Output not compared: random\nprint(1, 2, 3)", tags=[gate.IGNORE]),
        "without a written reason",
    ),
    "reason below the code": (
        add("print(1)\n# Output not compared: it is a random number", tags=[gate.IGNORE]),
        "without a written reason",
    ),
    "five ignored": (five_ignored, "5 cells with ignored output"),
    "comment": (add("# NBVAL_SKIP\nprint(1)"), "addresses nbval"),
    "comment, lower case": (add("#nbval_ignore_output\nprint(1)"), "addresses nbval"),
    "comment, spaced": (add("##   NBVAL_RAISES_EXCEPTION   \nprint(1)"), "addresses nbval"),
    "comment, dashed": (add("print(1)  # nbval-skip"), "addresses nbval"),
    "comment, old": (add("# PYTEST_VALIDATE_IGNORE_OUTPUT\nprint(1)"), "addresses nbval"),
    "comment in a string": (add('print("""\n# NBVAL_SKIP\n""")'), "addresses nbval"),
    "capture": (add("%%capture\nprint(1)", outputs=[]), "not plain Python"),
    "line magic": (add("%time print(1)"), "not plain Python"),
    "shell": (add("!echo 1"), "not plain Python"),
    "help": (add("print?"), "not plain Python"),
    "magic by call": (add("get_ipython().run_line_magic('pinfo', 'x')"), "reaches around"),
    "semicolon": (add("print(1);"), "ends in `;`"),
    "redirected": (
        add("import contextlib\nwith contextlib.redirect_stdout(None):\n    print(1)"),
        "hides output",
    ),
    "captured by name": (add("from IPython.utils.capture import capture_output"), "hides output"),
    "cleared": (add("from IPython.display import clear_output\nclear_output()"), "hides output"),
    "stdout replaced": (add("import io, sys\nsys.stdout = io.StringIO()"), "assigning to sys"),
    "warnings ignored": (
        add("import warnings\nwarnings.filterwarnings('ignore')"),
        "ignoring warnings",
    ),
    "warnings filtered by a variable": (
        add("import warnings as w\nw.simplefilter(action=x)"),
        "ignoring warnings",
    ),
    "warnings caught and dropped": (
        add("import warnings\nwith warnings.catch_warnings(action='ignore'):\n    pass"),
        "ignoring warnings",
    ),
    "logging disabled": (add("import logging\nlogging.disable()"), "logging.disable"),
    "exception swallowed": (
        add("try:\n    1 / 0\nexcept ZeroDivisionError:\n    pass"),
        "swallowed",
    ),
    "exception suppressed": (
        add("import contextlib\nwith contextlib.suppress(Exception):\n    1 / 0"),
        "hides errors",
    ),
    "path in output": (
        add("print(p)", outputs=[new_output("stream", name="stdout", text="/home/ann/x.png\n")]),
        "a place on one machine",
    ),
    "address in output": (
        add("x", outputs=html("&lt;Net object at 0x7f3a5c0d9e80&gt;")),
        "a place on one machine",
    ),
    "figure without alt": (no_alt, "image/png without alt text"),
    "markdown picture without alt": (replace("in short.", "![](a.png)"), "a.png without alt text"),
    "img without alt": (add("show()", outputs=html("<img src='data:,'>")), "<img> in its HTML"),
    "svg without name": (add("show()", outputs=html("<svg><path/></svg>")), "<svg> in its HTML"),
    "kernel of one's own": (other_kernel, "kernelspec is 'my-env'"),
    "no title": (replace("# 03 · Sample", "03 · Sample"), "the first cell is not the title"),
    "two titles": (replace("## Experiment", "# Experiment"), "2 headings of level 1"),
    "no aim": (replace("you will be able to", "you can"), "'you will be able to'"),
    "no minutes": (replace("5 minutes", "A while"), "the minutes"),
    "no prerequisites": (replace("Prerequisites", "Before"), "the prerequisites"),
    "section missing": (replace("## Errata lab", "### Errata lab"), "'Errata lab' is missing"),
    "section in a code block": (
        replace("## See it", "```\n## See it\n```"),
        "'See it' is missing",
    ),
    "section renamed": (replace("Does it agree?", "Parity"), "'Parity' is not one of"),
    "section empty": (empty_section, "'Errata lab' is empty"),
    "sections swapped": (swap_sections, "out of order"),
    "nothing built": (replace("## Build it", "## Build it\n\n## Where it sits"), "0 code cells"),
}


def test_a_good_chapter_has_no_problem(good: NotebookNode) -> None:
    assert gate.problems(good, CHAPTER) == []


@pytest.mark.parametrize("name", BROKEN)
def test_each_rule_fails_where_it_is_broken(good: NotebookNode, name: str) -> None:
    change, message = BROKEN[name]
    found = gate.problems(broken(good, change), CHAPTER)
    assert any(message in problem for problem in found), found


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    int('x')\nexcept ValueError as error:\n    print(error)",
        "import warnings\nwith warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\nprint(len(seen))",
        "# Shapes first.\nprint(1)",
        "_ = [1, 2]\nprint(1)",
    ],
)
def test_fair_code_passes(good: NotebookNode, source: str) -> None:
    assert gate.problems(broken(good, add(source)), CHAPTER) == []


@pytest.mark.parametrize(
    "markup", ["<img src='data:,' alt='a street'>", "<svg aria-label='a map'><path/></svg>"]
)
def test_described_html_pictures_pass(good: NotebookNode, markup: str) -> None:
    assert gate.problems(broken(good, add("show()", outputs=html(markup))), CHAPTER) == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("notebooks/00_start_here.ipynb", False),
        ("notebooks/02_inverted_residual.ipynb", True),
        ("notebooks/15_prediction.ipynb", True),
        ("notebooks/solutions/02_inverted_residual.ipynb", False),
        ("notebooks/assignments/source/ps1/02_a.ipynb", False),
    ],
)
def test_sections_are_for_chapters_only(good: NotebookNode, path: str, expected: bool) -> None:
    notebook = broken(good, lambda n: n.cells.insert(1, new_markdown_cell("## An aside\n\nHm.")))
    assert bool(gate.problems(notebook, Path(path))) == expected
