"""What every display shares: escaping, note markup, tables, and one theme-safe style sheet.

JupyterLab removes `<style>` and `var(…)` from the outputs of a notebook that is not trusted yet, so
layout stands in `style` attributes and colour in the style sheet: without it the text inherits the
theme's colour.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence

_LIGHT = (
    "--sl-text:var(--jp-content-font-color1,#1f2328);--sl-quiet:var(--jp-content-font-color2,#57606a);"
    "--sl-card:var(--jp-layout-color1,#fff);--sl-code:var(--jp-cell-editor-background,#f5f6f8);"
    "--sl-line:var(--jp-border-color2,#d0d7de);--sl-accent:#0072b2;--sl-on-accent:#fff;"
    "--sl-good:#00704f;--sl-bad:#b3430b;"
    # Not JupyterLab's: its numbers (light), comments and names (dark) have a contrast below 4.5.
    "--sl-keyword:#006b2d;--sl-string:#a31515;--sl-number:#0a6b55;--sl-comment:#3d6b73;"
    "--sl-name:#0a3fb5"
)
_DARK_FALLBACKS = {
    "#1f2328": "#e6e8eb",
    "#57606a": "#a9b1ba",
    "#f5f6f8": "#1f242b",
    "#d0d7de": "#444c56",
    "#006b2d": "#7ee0a0",
    "#a31515": "#ff9d8a",
    "#0a6b55": "#7fdcc4",
    "#3d6b73": "#9fc3c9",
    "#0a3fb5": "#8fb8ff",
    "#0072b2": "#56b4e9",
    "#00704f": "#3ddcaa",
    "#b3430b": "#ff9a5c",
    "#fff": "#15181c",
}
_DARK = re.sub(r"#[0-9a-f]{3,6}", lambda match: _DARK_FALLBACKS[match[0]], _LIGHT)

_RULES = """
.seglib{color:var(--sl-text);max-width:72rem;line-height:1.5}
.seglib code,.seglib pre{background:none;color:inherit;border:0}
.seglib .sl-quiet{color:var(--sl-quiet)}
.seglib .sl-good{color:var(--sl-good);font-weight:600}
.seglib .sl-bad{color:var(--sl-bad);font-weight:600}
.seglib .sl-frame{border:1px solid var(--sl-line);border-radius:6px;overflow:hidden}
.seglib .sl-row+.sl-row{border-top:1px dashed var(--sl-line)}
.seglib .sl-code{background:var(--sl-code)}
.seglib .sl-badge{background:var(--sl-accent);color:var(--sl-on-accent)}
.seglib .sl-badge{border-color:var(--sl-accent)}
.seglib .sl-note code{background:var(--sl-code);padding:0 .25em;border-radius:3px}
.seglib .sl-k{color:var(--sl-keyword);font-weight:600}
.seglib .sl-s{color:var(--sl-string)}
.seglib .sl-m{color:var(--sl-number)}
.seglib .sl-c{color:var(--sl-comment);font-style:italic}
.seglib .sl-n{color:var(--sl-name)}
.seglib table{color:inherit;border-collapse:collapse;border:0;margin:0;font-size:inherit}
.seglib td,.seglib th{border:0;border-bottom:1px solid var(--sl-line);color:inherit}
.seglib td,.seglib th{padding:.25em 1.2em .25em 0}
.seglib tr,.seglib tbody tr:nth-child(odd),.seglib tbody tr:hover{background:none}
"""
STYLE = (
    "<style>"
    + f".seglib{{{_LIGHT}}}"
    + f"@media(prefers-color-scheme:dark){{.seglib{{{_DARK}}}}}"
    # Pages whose own switch outranks the system's: Sphinx themes and JupyterLab.
    + f'html[data-theme="light"] .seglib,[data-jp-theme-light="true"] .seglib{{{_LIGHT}}}'
    + f'html[data-theme="dark"] .seglib,[data-jp-theme-light="false"] .seglib{{{_DARK}}}'
    + _RULES.replace("\n", "").replace(
        ".seglib ", ".seglib.seglib "
    )  # outrank the page's own rules
    + "</style>"
)


def escape(text: str) -> str:
    """`text` as HTML, quotes included."""
    return html.escape(text, quote=True)


def markup(note: str) -> str:
    """A note as HTML: `code`, **bold**, *italic* and line breaks; $math$ is left to MathJax."""
    kept: list[str] = []  # an asterisk in code or in a formula is only an asterisk

    def keep(match: re.Match[str]) -> str:
        kept.append(f"<code>{match[1]}</code>" if match[1] else match[0])
        return f"\0{len(kept) - 1}\0"

    text = re.sub(r"`([^`]+)`|\$[^$\n]+\$", keep, escape(note))
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
    text = re.sub(r"\*(\S|\S[^*]*\S)\*", r"<em>\1</em>", text)
    text = re.sub("\0(\\d+)\0", lambda match: kept[int(match[1])], text)
    return text.replace("\n", "<br>")


def table(
    header: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    *,
    label: str,
    numeric: tuple[int, ...] = (),
) -> str:
    """A small table; the cells are HTML already, the columns in `numeric` are aligned right."""

    def line(cells: tuple[str, ...], tag: str) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        return "".join(
            f'<{tag}{scope} style="text-align:{"right" if place in numeric else "left"};'
            f'vertical-align:top">{cell}</{tag}>'
            for place, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return (
        f'<table aria-label="{escape(label)}"><thead><tr>{line(header, "th")}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def block(content: str, *, label: str) -> str:
    """`content` as a titled region with the style sheet."""
    return f'<div class="seglib" role="group" aria-label="{escape(label)}">{STYLE}{content}</div>'


def put(bundle: Mapping[str, object], metadata: Mapping[str, object] | None = None) -> None:
    """Show a bundle {MIME type: data} in the notebook."""
    from IPython.display import display

    display(bundle, raw=True, metadata=metadata)
