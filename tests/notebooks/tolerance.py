"""Outputs whose numbers may move from machine to machine: the tags `within-5%` and `within-0.05`.

A cell that prints what it measured carries one, and asserts what the page concludes. Its text is
compared word by word; runs of blanks count as one, and only numbers with a decimal point may
differ, by the share or the amount that the tag names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_PERCENT = 25
TAG = re.compile(r"within-(\d+(?:\.\d+)?)(%?)")
NUMBER = re.compile(r"[-+−]?\d[\d,]*\.(\d+)(?:[eE][-+]?\d+)?")
ROUNDING = 1e-9  # of the subtraction, so that a difference of just the tolerance passes


@dataclass(frozen=True)
class Tolerance:
    """How far a fresh number may lie from the stored one: a share of it, or an amount."""

    amount: float
    relative: bool

    def allows(self, stored: float, fresh: float) -> bool:
        limit = self.amount * abs(stored) if self.relative else self.amount
        return abs(fresh - stored) <= limit + ROUNDING


def named(tag: str) -> Tolerance | None:
    """The tolerance that a tag names, or None for another tag."""
    found = TAG.fullmatch(tag)
    if found is None:
        return None
    percent = found[2] == "%"
    return Tolerance(float(found[1]) / (100 if percent else 1), percent)


def problem(tag: str, stored: list[str]) -> str | None:
    """What is wrong with a tolerance for a cell that stored these texts, or None."""
    tolerance = named(tag)
    assert tolerance is not None
    numbers = [number for text in stored for number in values(text)]
    if not numbers:
        return f"{tag}: its output holds no number with a decimal point; drop the tag"
    if tolerance.relative and tolerance.amount > MAX_PERCENT / 100:
        return f"{tag}: at most within-{MAX_PERCENT}% is allowed"
    if not tolerance.relative:
        smallest = min(numbers, key=abs)
        if tolerance.amount > abs(smallest) / 2:
            return f"{tag}: more than half of a number that it prints, {smallest:g}"
    return None


def difference(stored: str, fresh: str, tolerance: Tolerance) -> str | None:
    """How a fresh text differs from the stored one by more than the tolerance, or None."""
    if _words(stored) != _words(fresh):
        return f"the text is another one: stored {stored!r}, now {fresh!r}"
    for old, new in zip(values(stored), values(fresh), strict=True):
        if not tolerance.allows(old, new):
            allowed = f"{100 * tolerance.amount:g} %" if tolerance.relative else tolerance.amount
            return f"stored {old:g}, now {new:g}: more than {allowed} apart, in {fresh!r}"
    return None


def values(text: str) -> list[float]:
    """The numbers with a decimal point in a text."""
    found = (match.group() for match in NUMBER.finditer(text))
    return [float(number.replace(",", "").replace("−", "-")) for number in found]


def _words(text: str) -> str:
    """The text with as many # as decimals in the place of each number that may move."""
    return re.sub(r"[ \t]+", " ", NUMBER.sub(lambda found: "#." + "#" * len(found[1]), text))
