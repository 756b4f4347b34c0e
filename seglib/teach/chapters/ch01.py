"""Chapter 01, channel counts that divide by 8: one exercise of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from seglib.teach.answers import judge_values, whole_number
from seglib.teach.chapters import ch01_rounding, ch01_widths
from seglib.teach.chapters.ch01_rounding import rounded
from seglib.teach.tasks import MISTAKES_OF, Exercise, Task, Wrong

# The warm-up: six values by hand.

_VALUES = (3, 18, 33, 44, 52, 70)
_MISTAKES = (
    "rule-forgotten",
    "not-multiplied-back",
    "half-rounds-down",
    "rounds-half-to-even",
    "floor-instead-of-nearest",
    "ceil-instead-of-nearest",
    "doubled-instead-of-added",
)


@cache
def _flawed() -> tuple[tuple[str, dict[int, int]], ...]:
    """(slug, answer) of what known mistakes give."""
    without_rule = ("rule-forgotten",)
    found: list[tuple[str, tuple[str, ...]]] = [(name, (name,)) for name in _MISTAKES]
    found += [(name, (name, *without_rule)) for name in _MISTAKES if name != "rule-forgotten"]
    found.append(("zero-channels", (*without_rule, "min-value-ignored")))
    return tuple(
        (slug, {value: rounded(value, mistakes=mistakes) for value in _VALUES})
        for slug, mistakes in found
    )


def _judge_prediction(answer: object) -> Iterator[str]:
    right: dict[int, object] = {value: rounded(value) for value in _VALUES}
    single: dict[int, dict[object, str]] = {value: {} for value in _VALUES}
    for slug, flawed in _flawed():
        for value, result in flawed.items():
            if result != right[value]:
                single[value].setdefault(result, slug)
    single[3].update({0: "zero-channels"})
    for value in _VALUES:
        for near in range(1, 100):
            if near % 8 and near not in single[value]:
                single[value][near] = "not-a-multiple"
    given: dict[int, int] = {}

    def convert(key: int, value: object) -> int:
        if isinstance(value, float) and not value.is_integer():
            raise Wrong("not-a-multiple", f"Look at {key} again.")
        given[key] = whole_number(value)
        return given[key]

    try:
        yield from judge_values(answer, right, single, convert=convert)
    except Wrong:
        for slug, flawed in _flawed():
            if given == flawed:
                raise Wrong(slug) from None
        raise


def _prepare() -> object:
    return ch01_rounding._behaviours(), ch01_widths._budgets()


_SPECS = (
    (
        "predict", "warm-up", 1, _judge_prediction,
        f"dict {{value: make_divisible(value)}} for {', '.join(map(str, _VALUES))}",
    ),
    (
        "make_divisible", "implement", 4, ch01_rounding.judge,
        "my_make_divisible(value, divisor=8, min_value=None) -> int; ValueError for a min_value "
        "that is no multiple of divisor",
    ),
    (
        "width_mult", "debug", 2, ch01_widths.judge_widths,
        "widths(width_mult) -> list of nine channel counts: stem, the table's seven rows, last "
        "layer",
    ),
    (
        "budget", "extend", 3, ch01_widths.judge_budget,
        "widest(settings, budget) -> the largest multiplier of 0.05, 0.06, …, 2.00 whose backbone "
        "has at most `budget` parameters, or None",
    ),
)  # fmt: skip
TASKS = tuple(
    Task(
        Exercise(f"01.{name}", 1, kind, signature, points),
        judge,
        MISTAKES_OF[f"01.{name}"],
        _prepare,
    )
    for name, kind, points, judge, signature in _SPECS
)
