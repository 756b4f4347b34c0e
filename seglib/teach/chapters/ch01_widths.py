"""Chapter 01's widths: the debugging of a width table, and the multiplier within a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import combinations

from seglib.backbones.mobilenetv2 import SETTINGS
from seglib.layers import make_divisible
from seglib.teach.answers import Calls, function_answer, plain, real_number, whole_number
from seglib.teach.chapters.ch01_rounding import rounded
from seglib.teach.tasks import MISTAKES_OF, Wrong

Table = tuple[tuple[int, int, int, int], ...]

# The debugging: stem, seven rows, last layer.

_MULTIPLIERS = (1.0, 0.35, 0.5, 0.75, 1.4, 0.25, 0.1, 0.56, 0.55, 1.1, 1.3, 1.33, 2.0)
_WIDTH_MISTAKES = tuple(MISTAKES_OF["01.width_mult"])


def widths(width_mult: float, mistakes: Sequence[str] = (), everywhere: bool = True) -> list[float]:
    """MobileNetV2's nine widths at a multiplier; with `mistakes`, as those give them.

    Args:
        width_mult: the multiplier.
        mistakes: slugs.
        everywhere: whether a mistake in rounding is made for every width, or for the rows only.
    """
    if "multiplier-ignored" in mistakes:
        width_mult = 1.0
    outside = mistakes if everywhere else ()
    kept = {"kept-below-width-1", "kept-below-width-1 rows"} & {*mistakes}
    stem: float = 32 if "stem-not-scaled" in mistakes else _fit(32 * width_mult, outside)
    if {"kept-below-width-1", "kept-below-width-1 stem"} & {*mistakes}:
        stem = _fit(32 * max(1.0, width_mult), outside)
    if "stem-not-rounded" in mistakes:
        stem = int(32 * width_mult)
    if "rounded-twice stem" in mistakes:
        stem = _fit(int(32 * width_mult), outside)
    rows: list[float] = []
    for _, c, _, _ in SETTINGS:
        wanted = (rows[-1] if "scaled-twice" in mistakes and rows else c) * width_mult
        wanted = max(float(c), wanted) if kept else wanted
        rows.append(int(wanted) if "width-overwritten" in mistakes else _fit(wanted, mistakes))
    fixed, shrunk = "last-layer-fixed" in mistakes, "last-layer-shrunk" in mistakes
    factor = min(1.0, width_mult) if fixed else width_mult
    last: float = _fit(1280 * (factor if shrunk else max(1.0, factor)), outside)
    if "last-layer-not-rounded" in mistakes:
        last = int(1280 * max(1.0, factor))
    return [stem, *rows, last]


def _fit(value: float, mistakes: Sequence[str]) -> int:
    if "rounded-twice" in mistakes:
        value = int(value)
    if "rounded-twice to nearest" in mistakes:
        value = round(value)
    return rounded(value, mistakes=mistakes) if value > 0 else 8


def judge_widths(answer: object) -> Iterator[str]:
    """The stages of `01.width_mult`."""
    yield "shape"
    function = function_answer(answer, 1)
    calls = Calls()
    found: list[list[object]] = []
    for width_mult in _MULTIPLIERS:
        given = plain(calls(function, width_mult))
        if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
            kind = type(given).__name__
            raise Wrong("wrong-type", f"A list of nine widths is asked for, got {kind}.")
        if len(given) != 9:
            raise Wrong("wrong-shape", f"Nine widths are asked for, got {len(given)}.")
        found.append(list(given))
    yield "dtype"
    for place in (*range(1, 8), 0, 8):
        for item in (row[place] for row in found):
            if isinstance(item, float) and math.isfinite(item) and not item.is_integer():
                raise Wrong(
                    {0: "stem-not-rounded", 8: "last-layer-not-rounded"}.get(
                        place, "width-overwritten"
                    ),
                    f"For example {item:g} channels.",
                )
    numbers = [[whole_number(item) for item in row] for row in found]
    yield "values"
    right = [widths(one) for one in _MULTIPLIERS]
    if numbers != right:
        place = next(place for place, row in enumerate(right) if numbers[place] != row)
        raise Wrong(
            _width_mistake(numbers, right),
            f"At width {_MULTIPLIERS[place]:g}: expected {right[place]}, got {numbers[place]}.",
        )


def _width_mistake(numbers: list[list[int]], right: list[list[float]]) -> str:
    forms = (
        *_WIDTH_MISTAKES, "rounded-twice to nearest", "rounded-twice stem",
        "kept-below-width-1 stem", "kept-below-width-1 rows",
    )  # fmt: skip
    singles = [(mistake,) for mistake in forms]
    for mistakes in (*singles, *combinations(forms, 2)):
        for everywhere in (True, False):
            flawed = [widths(one, mistakes, everywhere) for one in _MULTIPLIERS]
            if flawed == numbers and flawed != right:
                return mistakes[0].split()[0]
    if [sorted(row) for row in numbers] == [sorted(row) for row in right]:
        return "wrong-order"
    if any(number % 8 for row in numbers for number in row):
        return "not-a-multiple"
    return "wrong-values"


# The extension: the largest multiplier within a budget of parameters.

_STEPS = range(5, 201)  # hundredths
_SHORT: Table = ((1, 24, 1, 1), (4, 40, 2, 2), (3, 56, 3, 2), (5, 72, 1, 1))
_OTHERS: Table = ((2, 20, 2, 2), (6, 44, 1, 1), (1, 88, 2, 2))
_COUNT_MISTAKES = (
    "widths-not-rounded",
    "widths-not-rounded as a float",
    "widths-not-rounded to nearest",
    "rule-forgotten",
    "stem-not-scaled",
    "stem-not-scaled below 1",
    "stem-forgotten",
    "batchnorm-forgotten",
    "expansion-at-ratio-1",
    "classifier-counted",
    "classifier-counted without classes",
    "settings-ignored",
    "repeats-forgotten",
    "multiply-adds-counted",
)


@cache
def parameters(settings: Table, hundredths: int, mistake: str = "") -> float:
    """Of the backbone at a multiplier; with `mistake`, as that mistake counts them."""

    def fit(channels: int) -> float:
        wanted = channels * hundredths / 100
        if mistake.startswith("widths-not-rounded t"):
            return round(wanted)
        if mistake == "widths-not-rounded":
            return int(wanted)
        if mistake == "rule-forgotten":
            return rounded(wanted, mistakes=[mistake])
        return wanted if mistake == "widths-not-rounded as a float" else make_divisible(wanted)

    norm = 0 if mistake == "batchnorm-forgotten" else 2  # a scale and a shift
    before: float = 32 if mistake == "stem-not-scaled" else fit(32)
    before = max(before, 32) if mistake == "stem-not-scaled below 1" else before
    total = 0 if mistake == "stem-forgotten" else (27 + norm) * before
    work, size = 27 * before * 112**2, 112
    for t, c, n, s in SETTINGS if mistake == "settings-ignored" else settings:
        after = fit(c)
        for index in range(1 if mistake == "repeats-forgotten" else n):
            hidden = t * before
            work += before * hidden * size**2 if t != 1 else 0
            size //= s if index == 0 else 1
            work += (9 + after) * hidden * size**2
            if t != 1 or mistake == "expansion-at-ratio-1":
                total += (before + norm) * hidden
            total += (9 + norm) * hidden + (hidden + norm) * after
            before = after
    if mistake.startswith("classifier-counted"):
        last = make_divisible(1280 * max(1.0, hundredths / 100))
        total += (before + norm) * last
        total += 0 if mistake.endswith("classes") else (last + 1) * 1000
    return work if mistake == "multiply-adds-counted" else total


def widest(settings: Table, budget: int, mistake: str = "") -> int | None:
    """Hundredths of the largest multiplier whose backbone keeps within `budget`, or None."""
    steps: Sequence[int] = _STEPS
    if mistake == "stops-at-one":
        steps = range(5, 101)
    if mistake.startswith("other-range"):
        first, last = (int(word) for word in mistake.split()[1:])
        steps = range(first, last + 1)
    if mistake.startswith("coarse-steps"):
        steps = [step for step in _STEPS if step % int(mistake.split()[1]) == 0]
    counting = mistake if mistake in _COUNT_MISTAKES else ""
    counts = {step: parameters(settings, step, counting) for step in steps}
    inside = [
        step
        for step, count in counts.items()
        if count < budget or (count == budget and mistake != "budget-excluded")
    ]
    if mistake.startswith("square-law"):
        share = math.sqrt(budget / parameters(settings, 100)) * 100
        return min(200, round(share) if mistake.endswith("nearest") else math.floor(share))
    if mistake == "over-budget":
        return min(counts, key=lambda step: abs(counts[step] - budget))
    if not inside:
        return None
    if mistake == "smallest-instead-of-largest":
        return inside[0]
    if mistake == "one-step-too-far":
        return min(inside[-1] + 1, steps[-1])
    if mistake == "start-of-plateau":
        return next(step for step in inside if counts[step] == counts[inside[-1]])
    return inside[-1]


_RANGES = ("5 199", "5 300", "6 200", "6 201", "10 200", "1 199")
_BUDGET_FORMS = (
    "smallest-instead-of-largest",
    "one-step-too-far",
    "start-of-plateau",
    "budget-excluded",
    *_COUNT_MISTAKES,
    *(f"square-law {how}" for how in ("down", "nearest")),
    "stops-at-one",
    "over-budget",
    *(f"other-range {both}" for both in _RANGES),
    *(f"coarse-steps {step}" for step in (5, 10, 25, 2)),
)


@cache
def _budgets() -> tuple[tuple[Table, int], ...]:
    """Exactly a network's count, and one parameter less than the next larger network's."""
    found: list[tuple[Table, int]] = []
    for settings, steps in (
        (SETTINGS, (23, 48, 75, 111)),
        (_SHORT, (31, 80)),
        (_OTHERS, (52, 163)),
    ):
        for step in steps:
            count = parameters(settings, step)
            larger = (parameters(settings, other) for other in _STEPS)
            after = next(other for other in larger if other > count)
            found += [(settings, int(count)), (settings, int(after) - 1)]
    found += [(SETTINGS, 10**9), (SETTINGS, int(parameters(SETTINGS, 5)))]
    return tuple(found)


def judge_budget(answer: object) -> Iterator[str]:
    """The stages of `01.budget`."""
    yield "shape"
    function = function_answer(answer, 2)
    calls = Calls()
    found = [_ask(function, calls, *question) for question in _budgets()]
    if all(value is None for value in found):
        raise Wrong("wrong-type", "It always returns None: is there a return?")
    yield "dtype"
    numbers = [None if value is None else real_number(value) for value in found]
    yield "values"
    right = [widest(*question) for question in _budgets()]
    if not _same(numbers, right):
        roots = [100 * math.sqrt(budget / parameters(rows, 100)) for rows, budget in _budgets()]
        if _same(numbers, roots) or _same(numbers, [min(200.0, root) for root in roots]):
            raise Wrong("square-law")
        if _same([number and number / 100 for number in numbers], right):
            raise Wrong("hundredths-instead-of-multiplier")
        for form in _BUDGET_FORMS:
            if _same(numbers, [widest(*question, mistake=form) for question in _budgets()]):
                raise Wrong(form.split()[0])
        raise Wrong("wrong-values", _budget_example(numbers, right))
    for settings in (SETTINGS, _SHORT):
        try:
            value = _ask(function, calls, settings, int(parameters(settings, 5)) - 1)
        except Wrong as wrong:
            if wrong.name != "raised-exception":
                raise
            raise Wrong("nothing-fits", wrong.detail) from None
        if value is not None:
            below = isinstance(value, float) and 0 < value < 0.049
            raise Wrong("other-range" if below else "nothing-fits")


def _ask(function: Callable[..., object], calls: Calls, settings: Table, budget: int) -> object:
    given = [tuple(row) for row in settings]
    value = calls(function, given, budget)
    if given != list(settings):
        raise Wrong("modifies-input", "It is the list of settings that changed.")
    return value


def _same(numbers: Sequence[float | None], right: Sequence[float | None]) -> bool:
    pairs = zip(numbers, right, strict=True)
    return all(
        a is b is None or (a is not None and b is not None and abs(a - b / 100) < 1e-6)
        for a, b in pairs
    )


def _budget_example(numbers: Sequence[float | None], right: Sequence[float | None]) -> str:
    place = next(i for i, known in enumerate(right) if not _same([numbers[i]], [known]))
    settings, budget = _budgets()[place]
    expected, got = right[place], numbers[place]
    wanted = None if expected is None else expected / 100
    return f"With {len(settings)} rows and a budget of {budget}: expected {wanted}, got {got}."
