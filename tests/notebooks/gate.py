"""The rules a committed notebook keeps. `pytest --nbval` alone would pass on many that break them.

`problems(notebook, path)` lists what is wrong, in words for whoever mends it. Nothing is executed
here; what can only be seen by running is in notebook_plugin.py.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import seeds
import tolerance
from nbformat import NotebookNode
from nbval.plugin import coalesce_streams

SECTIONS = (
    "Predict first",
    "Where it sits",
    "From the paper",
    "Build it",
    "The canonical code",
    "Does it agree?",
    "See it",
    "Errata lab",
    "Experiment",
    "Exercises",
    "Answers and summary",
)
MAX_LINES = 15
MAX_ANSWER_LINES = 45  # in an assignment, whose answer cells hold a whole class
MAX_COLUMNS = 88
MAX_IGNORED = 4
IGNORE = "nbval-ignore-output"
# An assignment's students don't get the cell that is tagged "instructor".
ALLOWED_TAGS = {IGNORE, seeds.FIXED, "hide-input", "instructor"}  # and a tolerance's
REASON = re.compile(r"#\s*output not compared:[ \t]*\S+(?:[ \t]+\S+){2,}", re.IGNORECASE)
SEED_REASON = re.compile(r"(?m)^#\s*seed fixed:[ \t]*\S+(?:[ \t]+\S+){2,}", re.IGNORECASE)
# nbval obeys comments line by line, also inside strings; a chapter has no use for any spelling.
MARKER = re.compile(r"nbval|pytest[\s_-]*validate", re.IGNORECASE)
IMAGES = ("image/png", "image/jpeg", "image/svg+xml", "image/gif")
# Calls that hide output, errors or warnings from the reader and from the comparison.
HIDING = {
    "capture_output": "hides output",
    "clear_output": "hides output",
    "devnull": "hides output",
    "dup2": "hides output",
    "get_ipython": "reaches around the notebook",
    "redirect_stderr": "hides output",
    "redirect_stdout": "hides output",
    "set_trace": "stops the notebook",
    "suppress": "hides errors",
}
MACHINE = re.compile(
    r"(?:/(?:home|root|tmp|Users)/|[A-Z]:\\Users|site-packages)\S*|\bat 0x[0-9a-f]{6,}"
)


def problems(notebook: NotebookNode, path: Path) -> list[str]:
    """Everything wrong with the notebook that lies, or would lie, at `path`; empty when fine."""
    found = [*_execution(notebook), *_images(notebook), *_kernel(notebook)]
    limit = MAX_ANSWER_LINES if "assignments" in path.parts else MAX_LINES
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            found += [f"cell {index}: {problem}" for problem in _code_cell(cell, limit)]
    ignored = sum(IGNORE in tags(cell) for cell in notebook.cells)
    if ignored > MAX_IGNORED:
        found.append(f"{ignored} cells with ignored output, at most {MAX_IGNORED} are allowed")
    if is_chapter(path):
        found += _sections(notebook)
    return found


def is_chapter(path: Path) -> bool:
    """Whether the sections are required: chapters 01 to 15, not 00, solutions or assignments."""
    if {"solutions", "assignments"} & set(path.parts):
        return False
    return re.match(r"(0[1-9]|1[0-5])_", path.name) is not None


def headings(notebook: NotebookNode) -> Iterator[tuple[int, int, str]]:
    """(cell index, level, text) of every Markdown heading, outside of fenced code."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            continue
        text = re.sub(r"(?ms)^(```|~~~).*?^\1", "", cell.source)
        for marks, title in re.findall(r"(?m)^(#{1,6})\s+(.+?)\s*#*\s*$", text):
            yield index, len(marks), title


def tags(cell: NotebookNode) -> list[str]:
    found = cell.metadata.get("tags", [])
    return found if isinstance(found, list) else [f"not a list: {found}"]


def tolerances(cell: NotebookNode) -> list[tolerance.Tolerance]:
    """How far a cell's numbers may move, by its tags; empty where they may not."""
    return [found for tag in tags(cell) if (found := tolerance.named(tag)) is not None]


def texts(outputs: list[NotebookNode]) -> list[str]:
    """What outputs say in words, in order: printed, and each textual form of what is shown."""
    found = []
    for output in coalesce_streams(copy.deepcopy(outputs)):  # which writes into its argument
        if output.output_type == "stream":
            found.append(str(output.text))
        data = output.get("data", {})
        found += [str(data[mime]) for mime in sorted(data) if mime.startswith("text/")]
    return found


def _kernel(notebook: NotebookNode) -> list[str]:
    name = notebook.metadata.get("kernelspec", {}).get("name")
    return [] if name == "python3" else [f"kernelspec is {name!r}, not 'python3'"]


def _execution(notebook: NotebookNode) -> list[str]:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in cells]
    found = []
    if counts != list(range(1, len(cells) + 1)):
        found.append(f"not executed in order on a fresh kernel: execution counts are {counts}")
    if cells and not any(cell.outputs for cell in cells):
        found.append("no cell has an output: the outputs were stripped")
    return found


def _code_cell(cell: NotebookNode, limit: int) -> Iterator[str]:
    lines = cell.source.splitlines()
    if not cell.source.strip():
        yield "empty"
    if len(lines) > limit:
        yield f"{len(lines)} lines, at most {limit} are allowed"
    longest = max(map(len, lines), default=0)
    if longest > MAX_COLUMNS:
        yield f"a line of {longest} columns, at most {MAX_COLUMNS} are allowed"
    if MARKER.search(cell.source):
        yield "a comment or string addresses nbval: only the tag nbval-ignore-output may"
    yield from _tag_problems(cell)
    yield from _source_problems(cell)
    yield from _output_problems(cell)


def _tag_problems(cell: NotebookNode) -> Iterator[str]:
    within = [tag for tag in tags(cell) if tolerance.named(tag)]
    for tag in tags(cell):
        if tag not in ALLOWED_TAGS and tag not in within:
            yield f"tag {tag!r} is not among {sorted(ALLOWED_TAGS)}, nor a tolerance like within-5%"
    if IGNORE in tags(cell) and not REASON.match(cell.source):
        yield (
            f"tagged {IGNORE} without a written reason: begin with `# Output not compared: …`, "
            "three words or more"
        )
    if seeds.FIXED in tags(cell) and not SEED_REASON.search(cell.source):
        yield (
            f"tagged {seeds.FIXED} without a written reason: add a line `# Seed fixed: …`, "
            "three words or more"
        )
    if len(within) > 1 or (within and IGNORE in tags(cell)):
        yield f"one of these tags is enough: {tags(cell)}"
    for tag in within:
        if (problem := tolerance.problem(tag, texts(cell.outputs))) is not None:
            yield problem
        if not _asserts_what_it_prints(cell.source):
            yield f"{tag}: nothing that the cell prints is compared in an assert: assert the claim"


def _asserts_what_it_prints(source: str) -> bool:
    """Whether an assert compares a variable that is printed too."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return False
    printed: set[str] = set()
    asserted: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (
            getattr(node.func, "id", None) == "print" or getattr(node.func, "attr", None) == "show"
        ):
            printed |= _names(node, tree)
        if isinstance(node, ast.Assert):
            comparisons = [part for part in ast.walk(node.test) if isinstance(part, ast.Compare)]
            asserted |= {name for part in comparisons for name in _names(part, tree)}
    return bool(printed & asserted)


def _names(node: ast.AST, tree: ast.Module) -> set[str]:
    """Variables that an expression reads; with one of a loop, what is looped over, too."""
    called = {id(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)}
    found = {
        part.id for part in ast.walk(node) if isinstance(part, ast.Name) and id(part) not in called
    }
    loops = [part for part in ast.walk(tree) if isinstance(part, (ast.For, ast.comprehension))]
    while True:
        sources = [loop.iter for loop in loops if found & _plain_names(loop.target)]
        more = set().union(*map(_plain_names, sources)) - found
        if not more:
            return found
        found |= more


def _plain_names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _source_problems(cell: NotebookNode) -> Iterator[str]:
    try:
        tree = ast.parse(cell.source)
    except SyntaxError:
        yield "not plain Python: magics, shell commands and `?` are not compared as code is"
        return
    if cell.source.rstrip().endswith(";"):
        yield "ends in `;`, which hides the result: assign it to `_` or call a helper"
    for node in ast.walk(tree):
        name = getattr(node, "attr", None) or getattr(node, "id", None)
        if isinstance(node, ast.alias):
            name = node.name.split(".")[-1]
        if name in HIDING:
            yield f"`{name}` {HIDING[name]}"
        if isinstance(node, ast.Assign) and any(map(_is_stream, node.targets)):
            yield "assigning to sys.stdout or sys.stderr hides output"
        if isinstance(node, ast.Call) and _ignores_warnings(node):
            yield "ignoring warnings hides them from the reader: mend the cause, or record and show"
        if isinstance(node, ast.Call) and _disables_logging(node):
            yield "logging.disable hides messages"
        if isinstance(node, ast.ExceptHandler) and all(map(_is_nothing, node.body)):
            yield "an exception is swallowed: print it"
    if _must_show(tree) and not cell.outputs:
        yield "its last line or a print shows something, but no output is stored: stripped?"


def _is_stream(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in {"stdout", "stderr"}


def _disables_logging(node: ast.Call) -> bool:
    target = node.func
    return isinstance(target, ast.Attribute) and ast.unparse(target) == "logging.disable"


def _ignores_warnings(node: ast.Call) -> bool:
    name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
    action: ast.expr | None = next((k.value for k in node.keywords if k.arg == "action"), None)
    if name == "catch_warnings":
        return action is not None
    if name not in {"filterwarnings", "simplefilter"}:
        return False
    action = node.args[0] if node.args else action
    return not (isinstance(action, ast.Constant) and action.value in {"error", "always", "default"})


def _is_nothing(node: ast.stmt) -> bool:
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return constant or isinstance(node, (ast.Pass, ast.Continue))


def _must_show(tree: ast.Module) -> bool:
    """Whether the cell surely shows something: an unconditional print, or a value at the end."""
    for node in tree.body:
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(call, ast.Call) and getattr(call.func, "id", None) == "print":
            return True
    last = tree.body[-1] if tree.body else None
    shown = (
        ast.Compare,
        ast.BinOp,
        ast.Tuple,
        ast.JoinedStr,
        ast.Attribute,
        ast.Name,
        ast.Subscript,
    )
    return isinstance(last, ast.Expr) and isinstance(last.value, shown)


def _output_problems(cell: NotebookNode) -> Iterator[str]:
    for output in cell.outputs:
        if output.output_type == "error":
            yield f"holds an error: {output.ename}"
        elif output.output_type == "stream" and output.name != "stdout":
            yield f"holds {output.name}: {output.text.strip()[:80]!r}"
        elif (
            output.output_type == "execute_result"
            and output.execution_count != cell.execution_count
        ):
            yield "its output is from another execution"
        place = MACHINE.search(_visible_text(output))
        if place:
            yield f"its output names a place on one machine: {place.group()!r}"


def _visible_text(output: NotebookNode) -> str:
    if output.output_type == "stream":
        return str(output.text)
    data = output.get("data", {})
    texts = [
        str(data[mime]) for mime in ("text/plain", "text/html", "text/markdown") if mime in data
    ]
    return re.sub(r"base64,[A-Za-z0-9+/=\s]+", "", "\n".join(texts))


class _HtmlImages(HTMLParser):
    """Collects pictures in HTML that say nothing to who cannot see them."""

    def __init__(self) -> None:
        super().__init__()
        self.silent: list[str] = []
        self._open_svg = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img" and not (values.get("alt") or "").strip():
            self.silent.append("<img>")
        if tag == "svg":
            named = values.get("aria-label") or values.get("aria-labelledby")
            self._open_svg = not (named or values.get("aria-hidden") == "true")
        if tag == "title":
            self._open_svg = False

    def handle_endtag(self, tag: str) -> None:
        if tag == "svg" and self._open_svg:
            self.silent.append("<svg>")
            self._open_svg = False


def _silent_pictures(html: str) -> list[str]:
    parser = _HtmlImages()
    parser.feed(html)
    return parser.silent


def _images(notebook: NotebookNode) -> Iterator[str]:
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            prose = re.sub(r"(?s)```.*?```|`[^`]*`", "", cell.source)
            for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)", prose):
                if not alt.strip():
                    yield f"cell {index}: picture {target} without alt text"
            for tag in _silent_pictures(prose):
                yield f"cell {index}: {tag} without alt text"
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            for mime in (mime for mime in IMAGES if mime in data):
                alt = output.metadata.get(mime, {}).get("alt", "")
                if len(str(alt).split()) < 3:
                    yield f"cell {index}: {mime} without alt text (of three words or more)"
            for tag in _silent_pictures(str(data.get("text/html", ""))):
                yield f"cell {index}: {tag} in its HTML output without alt text"


def _sections(notebook: NotebookNode) -> Iterator[str]:
    first = notebook.cells[0] if notebook.cells else None
    titles = [title for index, level, title in headings(notebook) if level == 1]
    if first is None or first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "the first cell is not the title"
    if len(titles) != 1:
        yield f"{len(titles)} headings of level 1, there is one title"
    opening = first.source.lower() if first is not None else ""
    for wanted, pattern in (
        ("'you will be able to'", r"you will be able to"),
        ("the minutes it takes", r"\d+\s*(?:min\b|minutes)"),
        ("the prerequisites", r"prerequisite"),
    ):
        if not re.search(pattern, opening):
            yield f"the title cell does not say {wanted}"

    found = [(index, title) for index, level, title in headings(notebook) if level == 2]
    names = [title for _, title in found]
    yield from (f"section {name!r} is missing" for name in SECTIONS if name not in names)
    yield from (
        f"section {name!r} is not one of design's" for name in names if name not in SECTIONS
    )
    known = [name for name in names if name in SECTIONS]
    if known != sorted(set(known), key=SECTIONS.index):
        yield f"sections are out of order or doubled: {known}"

    bounds = [index for index, _ in found] + [len(notebook.cells)]
    for (start, name), end in zip(found, bounds[1:], strict=True):
        cells = notebook.cells[start:end]
        prose = "".join(cell.source for cell in cells if cell.cell_type == "markdown")
        code = [cell for cell in cells if cell.cell_type == "code"]
        if len(prose.split()) < len(name.split()) + 5 and not code:
            yield f"section {name!r} is empty"
        if name == "Build it":
            yield from _build_it(code)


def _build_it(cells: list[NotebookNode]) -> Iterator[str]:
    if not 3 <= len(cells) <= 6:
        yield f"'Build it' has {len(cells)} code cells, 3 to 6 are wanted"
    for number, cell in enumerate(cells, 1):
        if not cell.outputs and "assert " not in cell.source:
            yield f"'Build it', code cell {number}: ends in no printed shape, count or assert"
