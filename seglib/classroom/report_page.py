"""The summary page's HTML. All text is escaped: names and lines come from students."""

from __future__ import annotations

import html
import re
import statistics
from collections.abc import Mapping, Sequence
from importlib.resources import files

from seglib.classroom.classbook import Classbook, Row
from seglib.classroom.histogram import histogram
from seglib.classroom.text import clean

_NAME = re.compile(r"`([^`\n]{1,80})`")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(books: Sequence[Classbook], collected: Mapping[str, Sequence[str]]) -> str:
    """The whole page.

    Args:
        books: the assignments.
        collected: for each, what collecting had to say.
    """
    style = files("seglib.classroom").joinpath("report.css").read_text(encoding="utf-8")
    sections = [_assignment(book, collected.get(book.assignment, ())) for book in books]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>Class report</title><style>\n{style}</style></head><body><main>",
            "<h1>Class report</h1>",
            _overview(books),
            *sections,
            "</main></body></html>\n",
        ]
    )


def _text(value: str) -> str:
    return html.escape(clean(value))


def _marked(value: str) -> str:
    """Text whose `names` in backticks are set as code."""
    return _NAME.sub(r"<code>\1</code>", _text(value))


def _number(value: float) -> str:
    return f"{round(value, 2):g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table of cells that are HTML; the columns in `numbers` are aligned to the right."""
    kinds = [' class="number"' if column in numbers else "" for column in range(len(head))]
    names = "".join(f"<th{kind}>{name}</th>" for kind, name in zip(kinds, head, strict=True))
    lines = [
        "<tr>" + "".join(f"<td{k}>{c}</td>" for k, c in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    ]
    head_row = f"<thead><tr>{names}</tr></thead>"
    return (
        f'<div class="wide"><table>{head_row}<tbody>\n'
        + "\n".join(lines)
        + "</tbody></table></div>"
    )


def _overview(books: Sequence[Classbook]) -> str:
    head = ["Assignment", "Graded", "Failed", "Ungraded", "Missing", "Median", "Points", "By hand"]
    rows = []
    for book in books:
        graded = book.with_status("graded")
        name = _text(book.assignment)
        rows.append(
            [
                f'<a href="#{name}">{name}</a>',
                f"{len(graded)} of {len(book.rows)}",
                *(_count(len(book.with_status(s))) for s in ("failed", "ungraded", "missing")),
                _number(statistics.median(row.score for row in graded)) if graded else "–",
                _number(book.max_score),
                _count(sum(row.waits for row in book.rows)),
            ]
        )
    return _table(head, rows, range(1, 8))


def _count(number: int) -> str:
    return f'<strong class="warn">{number}</strong>' if number else "0"


def _assignment(book: Classbook, collected: Sequence[str]) -> str:
    name = _text(book.assignment)
    graded = book.with_status("graded")
    parts = [f'<section id="{name}"><h2>{name}</h2>']
    if graded:
        scores = [row.score for row in graded]
        mean, median = statistics.mean(scores), statistics.median(scores)
        parts += [
            f"<p>{len(graded)} graded: mean {_number(mean)}, median {_number(median)} of"
            f" {_number(book.max_score)} points.</p>",
            histogram([row.score / book.max_score if book.max_score else 1.0 for row in graded]),
            _items(book),
            _mistakes(book),
        ]
    else:
        parts.append("<p>Nothing is graded yet.</p>")
    parts += [_waiting(book), _trouble(book, collected), _students(book), "</section>"]
    return "\n".join(filter(None, parts))


def _items(book: Classbook) -> str:
    rows = []
    for item in book.items():
        percent = round(100 * item.share)
        bar = f'<span class="bar"><span style="width:{percent}%"></span></span>'
        rows.append(
            [
                f"<code>{_text(item.name)}</code>",
                _number(item.points),
                f'<span class="share">{bar} {percent} %</span>',
                f"{item.attempted} of {item.of}",
                f"{item.full} of {item.of}",
            ]
        )
    head = ["Item", "Points", "Mean share of the points", "Attempted", "Full points"]
    return "<h3>Items</h3>" + _table(head, rows, (1, 3, 4))


def _mistakes(book: Classbook) -> str:
    rows = [
        [
            str(found.count),
            f"<code>{_text(found.item)}</code>",
            f"<code>{_text(found.slug)}</code>",
            _marked(found.hint),
        ]
        for found in book.mistakes()
    ]
    if not rows:
        return ""
    head = ["Times", "Item", "Mistake", "What the student reads"]
    return "<h3>Most frequent mistakes</h3>" + _table(head, rows, (0,))


def _waiting(book: Classbook) -> str:
    rows = [row for row in book.rows if row.waits]
    if not rows:
        return ""
    names = "".join(f"<li>{_name(row)}</li>" for row in rows)
    title = f"<h3>To be graded by hand ({len(rows)})</h3>"
    return f'{title}<p>In nbgrader\'s formgrader.</p><ul class="names">{names}</ul>'


def _trouble(book: Classbook, collected: Sequence[str]) -> str:
    rows = [
        [_name(row), _list(row.record.lines)]
        for row in book.rows
        if row.record and row.record.lines
    ]
    parts = ["<h3>What to look at</h3>"] if rows or collected else []
    if collected:
        parts.append(f"<p>While collecting:</p>{_list(collected)}")
    if rows:
        parts.append(_table(["Student", "Lines"], rows))
    return "\n".join(parts)


def _students(book: Classbook) -> str:
    rows = []
    for row in book.rows:
        items = row.record.items if row.record else ()
        slugs = [f"<code>{_text(item.slug)}</code>" for item in items if item.slug]
        rows.append(
            [
                _name(row),
                f'<span class="{row.status}">{row.status}</span>',
                _number(row.score) if row.standing else "–",
                f'<span class="time">{_time(row)}</span>',
                ", ".join(dict.fromkeys(slugs)),
            ]
        )
    head = ["Student", "Status", "Points", "Submitted (UTC)", "Mistakes"]
    summary = f"<summary>All students ({len(rows)})</summary>"
    return f"<details>{summary}{_table(head, rows, (2,))}</details>"


def _time(row: Row) -> str:
    """To the minute."""
    return row.standing.submitted_at[:16].replace("T", " ") if row.standing else ""


def _name(row: Row) -> str:
    name, key = _text(row.name), _text(row.student.id)
    shown = f"<bdi>{name}</bdi>"
    return shown if name == key else f'{shown} <span class="id"><bdi>{key}</bdi></span>'


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li><bdi>{_marked(line)}</bdi></li>" for line in lines) + "</ul>"
