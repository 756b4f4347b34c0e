"""`annotate`: the library's own source beside notes that are tied to its lines."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType

from pygments.lexers import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String, _TokenType

from seglib.teach._html import block, escape, markup

_TOKEN_CLASSES: tuple[tuple[_TokenType, str], ...] = (
    (Comment, "c"),
    (Keyword, "k"),
    (Operator.Word, "k"),
    (String, "s"),
    (Number, "m"),
    (Name.Class, "n"),
    (Name.Function, "n"),
    (Name.Decorator, "n"),
)


@dataclass(frozen=True)
class Row:
    """Some lines of code, and the notes on them as (number, text)."""

    lines: tuple[str, ...]
    notes: tuple[tuple[int, str], ...]


@dataclass(frozen=True, repr=False)
class Annotation:
    """Source and notes; shows itself in a notebook, and as plain text elsewhere.

    Attributes:
        title: heading of the display.
        source: the code shown, dedented.
        rows: the code in order, split where a note begins.
    """

    title: str
    source: str
    rows: tuple[Row, ...]

    def __repr__(self) -> str:
        parts = [self.title, ""]
        for row in self.rows:
            mark = "".join(f"[{number}]" for number, _ in row.notes)
            parts += [
                f"{mark if index == 0 else '':>6} | {line}" for index, line in enumerate(row.lines)
            ]
        parts.append("")
        parts += [f"[{number}] {note}" for row in self.rows for number, note in row.notes]
        return "\n".join(line.rstrip() for line in parts)

    def _repr_html_(self) -> str:
        highlighted = _highlight(self.source)
        rows, start = [], 0
        for row in self.rows:
            rows.append(_row_html(row, highlighted[start : start + len(row.lines)]))
            start += len(row.lines)
        title = f"<strong>{markup(self.title)}</strong>"
        figure = (
            f'<figure style="margin:0"><figcaption style="margin-bottom:4px">{title}</figcaption>'
            f'<div class="sl-frame">{"".join(rows)}</div></figure>'
        )
        return block(figure, label=f"{self.title}: code with notes")


def annotate(
    obj: Callable[..., object] | ModuleType,
    notes: Mapping[str, str],
    *,
    title: str | None = None,
    docstring: bool = True,
) -> Annotation:
    """Show the source of `obj` and, beside the line where each snippet stands, its note.

    Args:
        obj: a function, method, class or module.
        notes: {snippet: note}. A note may use `code`, **bold**, *italic* and $math$. Shown in
            the order of the source.
        title: heading; by default the qualified name.
        docstring: whether docstrings are shown (and searched for snippets).
    Returns:
        An object that shows itself: two columns, one below the other where the page is narrow.
    Raises:
        ValueError: if a snippet does not occur exactly once, or `obj` has no source.
    """
    source = _source(obj) if docstring else _without_docstrings(_source(obj))
    places: list[tuple[int, str]] = []
    for snippet, note in notes.items():
        count = source.count(snippet)
        if count != 1:
            raise ValueError(
                f"snippet {snippet!r} occurs {count} times in {_name(obj)}, must occur exactly once"
            )
        places.append((source.index(snippet), note))
    places.sort(key=lambda place: place[0])

    lines = source.split("\n")
    by_line: dict[int, list[tuple[int, str]]] = {}
    for number, (offset, note) in enumerate(places, start=1):
        by_line.setdefault(source.count("\n", 0, offset), []).append((number, note))
    starts = sorted({0, *by_line})
    rows = tuple(
        Row(tuple(lines[start:end]), tuple(by_line.get(start, ())))
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)
    )
    return Annotation(title if title is not None else f"`{_name(obj)}`", source, rows)


def _name(obj: object) -> str:
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
    return str(name or type(obj).__name__)


def _source(obj: Callable[..., object] | ModuleType) -> str:
    try:
        return textwrap.dedent(inspect.getsource(obj)).rstrip()
    except (TypeError, OSError):
        kind = f"obj: no source for {_name(obj)}"
        raise ValueError(
            f"{kind}; give a function, method, class or module written in Python"
        ) from None


def _without_docstrings(source: str) -> str:
    """The source without docstrings; one that is all of a body becomes `...`."""
    lines = source.split("\n")
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, owners) and ast.get_docstring(node, clean=False) is not None
    ]
    for node in sorted(found, key=lambda node: node.body[0].lineno, reverse=True):
        first, last = node.body[0].lineno - 1, node.body[0].end_lineno or node.body[0].lineno
        if last < len(lines) and not lines[last].strip():
            last += 1  # the blank line after the docstring
        indent = " " * node.body[0].col_offset
        lines[first:last] = [f"{indent}..."] if len(node.body) == 1 else []
    return "\n".join(lines).strip("\n")


def _highlight(source: str) -> list[str]:
    """The HTML of each line."""
    lines = [""]
    for kind, text in PythonLexer(stripnl=False, ensurenl=False).get_tokens(source):
        name = next((name for token, name in _TOKEN_CLASSES if kind in token), None)
        for index, part in enumerate(text.split("\n")):
            if index:
                lines.append("")
            if part:
                lines[-1] += (
                    f'<span class="sl-{name}">{escape(part)}</span>' if name else escape(part)
                )
    return lines


def _badge(number: int) -> str:
    style = (
        "display:inline-block;min-width:1.5em;line-height:1.5em;border-radius:1em;border:1px solid;"
        "text-align:center;font-size:75%;font-weight:bold;font-family:sans-serif;text-indent:0"
    )
    return f'<span class="sl-badge" style="{style}">{number}</span>'


def _row_html(row: Row, lines: list[str]) -> str:
    badges = "".join(f" {_badge(number)}" for number, _ in row.notes)
    code = []
    for index, (plain, line) in enumerate(zip(row.lines, lines, strict=True)):
        # A wrapped line continues right of its beginning; a monospaced character is 0.6 em wide.
        hang = 0.6 * (len(plain) - len(plain.lstrip()) + 4)
        style = (
            f"display:block;min-height:1.45em;padding-left:{hang:.1f}em;text-indent:-{hang:.1f}em"
        )
        code.append(f'<span style="{style}">{line}{badges if index == 0 else ""}\n</span>')
    pre = (
        '<pre style="margin:0;white-space:pre-wrap;word-break:normal;overflow-wrap:break-word;'
        'font-size:12.5px;line-height:1.45;text-align:left">'
        f'<code style="font-size:inherit;padding:0">{"".join(code)}</code></pre>'
    )
    notes = "".join(
        f'<p style="margin:0 0 4px 0">{_badge(number)} {markup(note)}</p>'
        for number, note in row.notes
    )
    left = f'<div class="sl-code" style="flex:3 1 26rem;min-width:0;padding:3px 10px">{pre}</div>'
    right = (
        f'<div class="sl-note" style="flex:2 1 15rem;min-width:0;padding:3px 12px">{notes}</div>'
    )
    # Without notes the column stays, so that all code is equally wide; wrapped, it has no height.
    if not notes:
        right = '<div style="flex:2 1 15rem;min-width:0;padding:0 12px"></div>'
    return f'<div class="sl-row" style="display:flex;flex-wrap:wrap">{left}{right}</div>'
