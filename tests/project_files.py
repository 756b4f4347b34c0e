"""What the project's files say about packages: shared by the tests and tools/lock.py."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


def canonical(name: str) -> str:
    """A package's name as registries compare it: lower case, runs of -, _ and . are one dash."""
    return re.sub(r"[-_.]+", "-", name).lower()


def table(text: str, header: str) -> str:
    """The text of one TOML table, up to the next header. (tomllib is not in Python 3.10.)"""
    found = re.search(rf"(?ms)^\[{re.escape(header)}\]\n(.*?)(?=^\[|\Z)", text)
    if not found:
        raise ValueError(f"pyproject.toml has no table [{header}]")
    return found.group(1)


def arrays(body: str) -> dict[str, list[str]]:
    """`name = ["…", …]` of a table, as {name: strings}."""
    found = re.findall(r"(?ms)^([\w-]+) = \[(.*?)\]$", body)
    return {name: re.findall(r'"([^"]+)"', items) for name, items in found}


def declared() -> dict[str, list[Requirement]]:
    """Requirements by extra; those of the library itself are under ''."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    groups = {"": arrays(table(text, "project"))["dependencies"]}
    groups |= arrays(table(text, "project.optional-dependencies"))
    return {extra: [Requirement(line) for line in lines] for extra, lines in groups.items()}


def constraints() -> list[Requirement]:
    """The lines of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]
