"""The vocabulary of checks: exercises, stages, and what a judge may say about an answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

STAGES = ("shape", "dtype", "parameter count", "values", "gradients", "train/eval")


def _read() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for path in sorted(Path(__file__).with_name("mistakes").glob("*.json")):
        found.update(json.loads(path.read_text(encoding="utf-8")))
    return found


# {exercise: {slug: hint}}; "general" holds those that any exercise can have.
MISTAKES_OF = _read()


@dataclass(frozen=True)
class Exercise:
    """One exercise of a chapter.

    Attributes:
        id: what `check` takes, `"02.inverted_residual"`.
        chapter: the chapter's number.
        kind: `"warm-up"`, `"implement"`, `"debug"` or `"extend"`.
        signature: what to hand in.
        points: weight; a chapter's points add up to 10.
    """

    id: str
    chapter: int
    kind: str
    signature: str
    points: int


@dataclass(frozen=True)
class Task:
    """An exercise together with its judge.

    Attributes:
        exercise: what learners see.
        judge: yields the name of each stage when it begins, and raises `Wrong` or `NotAttempted`.
        mistakes: {slug: hint} of the mistakes that belong to this exercise.
        prepare: called before the clock starts; imports and builds what the judge compares with.
    """

    exercise: Exercise
    judge: Callable[[object], Iterator[str]]
    mistakes: Mapping[str, str]
    prepare: Callable[[], object] = lambda: None


class Wrong(Exception):
    """The answer fails the stage that is running: a slug, and what was seen."""

    def __init__(self, name: str, detail: str = "") -> None:
        super().__init__(name)
        self.name = name
        self.detail = detail


class NotAttempted(Exception):
    """The answer is a stub that was left as it was."""
