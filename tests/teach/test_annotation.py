"""Annotated source: every note in its place, the same HTML every time."""

import re
from html.parser import HTMLParser

import pytest

from seglib import layers
from seglib.backbones.mobilenetv2 import InvertedResidual
from seglib.teach import annotate
from seglib.teach._html import markup


class _Balance(HTMLParser):
    """Checks that tags are closed in order; collects text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def parsed(html: str) -> _Balance:
    parser = _Balance()
    parser.feed(html)
    assert parser.open == []
    return parser


NOTES = {
    "return begin, end, begin, end": "left, right, top, bottom: `F.pad`'s **order**",
    "total = dilation * (kernel_size - 1)": "<span> minus one & $d (k - 1)$",
}


def test_notes_stand_in_the_order_of_the_source() -> None:
    annotation = annotate(layers.fixed_padding, NOTES)
    assert [note for row in annotation.rows for note in row.notes] == [
        (1, NOTES["total = dilation * (kernel_size - 1)"]),
        (2, NOTES["return begin, end, begin, end"]),
    ]
    assert "\n".join(line for row in annotation.rows for line in row.lines) == annotation.source
    assert annotation.rows[1].lines[0].strip().startswith("total =")
    html = annotation._repr_html_()
    text = parsed(html).text
    assert "order" in text
    assert "<code>F.pad</code>" in html
    assert "<strong>order</strong>" in html
    assert "&lt;span&gt; minus one &amp; $d (k - 1)$" in html
    for line in annotation.source.splitlines():
        assert line.strip() in text


def test_an_asterisk_in_code_or_in_a_formula_is_one() -> None:
    note = "*one* **two** `f(*a, *b)` **`c`** $a*b*c$ 2 * 3 * 4"
    html = (
        "<em>one</em> <strong>two</strong> <code>f(*a, *b)</code> <strong><code>c</code></strong>"
    )
    assert markup(note) == f"{html} $a*b*c$ 2 * 3 * 4"


def test_html_is_the_same_every_time_and_names_no_place() -> None:
    first, second = (annotate(InvertedResidual, {}, title="T")._repr_html_() for _ in range(2))
    assert first == second
    assert not re.search(r'id="|/seglib|0x[0-9a-f]{6}|\.py', first)
    assert not re.search(
        r"color:\s*(black|white|#000\b|#fff\b)", re.sub(r"<style>.*?</style>", "", first)
    )


def test_plain_text() -> None:
    text = repr(annotate(layers.fixed_padding, NOTES, title="Padding"))
    assert text.startswith("Padding\n")
    assert "   [1] |     total = dilation" in text
    assert "\n[2] left, right" in text


@pytest.mark.parametrize("snippet, count", [("kernel", "occurs 1"), ("no such code", "occurs 0")])
def test_a_snippet_must_occur_once(snippet: str, count: str) -> None:
    if count == "occurs 1":
        snippet, count = "dilation", "occurs "
    with pytest.raises(ValueError, match=re.escape(repr(snippet)) + f" {count}"):
        annotate(layers.fixed_padding, {snippet: "?"})


def test_docstrings_can_be_hidden() -> None:
    hidden = annotate(InvertedResidual, {}, docstring=False).source
    assert "Expand, filter" not in hidden
    assert "super().__init__()" in hidden
    assert hidden.startswith("class InvertedResidual(nn.Module):\n    def __init__(")
    compile(hidden, "shown", "exec")
    snippet = {"Expand, filter each channel": "words"}
    annotate(InvertedResidual, snippet)
    with pytest.raises(ValueError, match="occurs 0 times"):
        annotate(InvertedResidual, snippet, docstring=False)


def test_what_can_be_shown() -> None:
    assert annotate(InvertedResidual.forward, {"return x + out": "sum"}).source.startswith(
        "def forward"
    )
    assert annotate(layers, {}, docstring=False).source
    with pytest.raises(ValueError, match="no source for len"):
        annotate(len, {})
    with pytest.raises(ValueError, match="no source"):
        annotate(3, {})  # type: ignore[arg-type]


def test_multi_line_and_same_line_snippets() -> None:
    annotation = annotate(
        layers.fixed_padding,
        {"begin = total // 2\n    end =": "two lines", "begin = total": "same line"},
    )
    assert [len(row.notes) for row in annotation.rows] == [0, 2]
    parsed(annotation._repr_html_())
