"""What collecting had to say, kept for the report: `collected/ASSIGNMENT.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from seglib.classroom.text import clean
from seglib.files import atomic_path


def _path(course: Path, assignment: str) -> Path:
    return course / "collected" / f"{assignment}.json"


def store_lines(course: Path, assignment: str, origin: str, lines: Sequence[str]) -> None:
    """Keep the lines of a collection from `origin`, in place of earlier ones from there."""
    path = _path(course, assignment)
    known = _read(path)
    if not lines and origin not in known:
        return
    known[clean(origin)] = [clean(line) for line in lines]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        text = json.dumps(known, ensure_ascii=False, indent=1, sort_keys=True)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_lines(course: Path, assignment: str) -> list[str]:
    """All that collecting had to say about an assignment.

    Raises:
        ValueError: if the file is damaged.
    """
    known = _read(_path(course, assignment))
    return [line for origin in sorted(known) for line in known[origin]]


def _read(path: Path) -> dict[str, list[str]]:
    if not path.is_file():
        return {}
    try:
        known = json.loads(path.read_bytes())
    except ValueError:
        known = None
    lines = known.values() if isinstance(known, dict) else [None]
    if not all(isinstance(x, list) and all(isinstance(line, str) for line in x) for x in lines):
        raise ValueError(f"{path} is damaged; delete it and collect again")
    assert isinstance(known, dict)
    return known
