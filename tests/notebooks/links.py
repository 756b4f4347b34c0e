"""Links in Markdown: their targets, and whether they exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

OUTSIDE = re.compile(r"(?:https?|mailto):")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|(?:href|src)=[\"']([^\"']+)[\"']")


def targets(text: str) -> Iterator[str]:
    """Targets of links and pictures, outside of code."""
    prose = re.sub(r"(?ms)^(```|~~~).*?^\1|`[^`\n]*`", "", text)
    for markdown, html in LINK.findall(prose):
        yield markdown or html


def anchors(text: str) -> set[str]:
    """The names by which headings are linked: JupyterLab's, and the usual lower-case ones."""
    text = re.sub(r"(?ms)^(```|~~~).*?^\1", "", text)
    titles = [re.sub(r"[*`]", "", title) for title in re.findall(r"(?m)^#+\s+(.+?)\s*$", text)]
    lower = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    return {title.replace(" ", "-") for title in titles} | lower


def broken(text: str, path: Path) -> list[str]:
    """Links of the text at `path` that lead nowhere: no such file, or no such heading here."""
    found = []
    for target in targets(text):
        if OUTSIDE.match(target) or target.startswith("data:"):
            continue
        file, _, anchor = target.partition("#")
        if file and not (path.parent / file).exists():
            found.append(target)
        if not file and anchor not in anchors(text):
            found.append(target)
    return found
