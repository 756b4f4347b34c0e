"""Chapter 01's exercises: right answers in several hands, wrong ones with the fitting slug."""

import functools
import math
from collections.abc import Callable

import numpy as np
import pytest
import timm.layers
import torch
from torchvision.models._utils import _make_divisible

from seglib.backbones import classifier
from seglib.backbones.mobilenetv2 import SETTINGS, MobileNetV2, MobileNetV2Classifier, block_table
from seglib.layers import make_divisible
from seglib.teach import check, exercises
from seglib.teach.chapters import ch01, ch01_rounding, ch01_widths
from seglib.teach.tasks import MISTAKES_OF


def names(exercise: str, answer: object) -> list[str]:
    report = check(exercise, answer)
    assert report.attempted, report
    return [failure.name for failure in report.failures]


def source(text: str, name: str, *changes: tuple[str, str]) -> object:
    """The function `name` of the text, changed."""
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    space: dict[str, object] = {"__name__": "answers", "SETTINGS": SETTINGS, "math": math}
    space["make_divisible"] = make_divisible
    exec(text, space)
    return space[name]


def test_points_and_kinds() -> None:
    found = [item for item in exercises() if item.chapter == 1]
    assert [item.kind for item in found] == ["warm-up", "implement", "debug", "extend"]
    assert sum(item.points for item in found) == 10


# The warm-up.

BY_HAND = {3: 8, 18: 24, 33: 32, 44: 48, 52: 56, 70: 72}


def test_prediction() -> None:
    assert {value: make_divisible(value) for value in BY_HAND} == BY_HAND
    assert check("01.predict", BY_HAND).passed
    assert check("01.predict", list(BY_HAND.values())).passed
    assert check("01.predict", {3: 8.0, 18: np.int64(24), 33: torch.tensor(32), **{
        value: BY_HAND[value] for value in (44, 52, 70)
    }}).passed  # fmt: skip
    assert check("01.predict", np.array(list(BY_HAND.values()))).passed
    assert check("01.predict", {key: np.float32(value) for key, value in BY_HAND.items()}).passed
    assert not check("01.predict", dict.fromkeys(BY_HAND)).attempted
    named = {str(key): value for key, value in BY_HAND.items()}
    assert names("01.predict", named) == ["missing-value"]


@pytest.mark.parametrize(
    "changes, slug",
    [
        ({18: 16}, "rule-forgotten"),
        ({3: 0}, "zero-channels"),
        ({3: 0, 18: 16}, "zero-channels"),
        ({33: 40}, "ceil-instead-of-nearest"),
        ({44: 40, 52: 48}, "half-rounds-down"),
        ({52: 48}, "rounds-half-to-even"),
        ({52: 48, 18: 16}, "rounds-half-to-even"),
        ({44: 40, 52: 48, 70: 64}, "floor-instead-of-nearest"),
        ({18: 16, 44: 40, 52: 48, 70: 64}, "floor-instead-of-nearest"),
        ({18: 32}, "doubled-instead-of-added"),
        ({70: 64}, "floor-instead-of-nearest"),
        ({33: 33}, "not-a-multiple"),
        ({3: 3}, "not-a-multiple"),
        ({33: 32.5}, "not-a-multiple"),
        ({3: 1, 18: 3, 33: 4, 44: 6, 52: 7, 70: 9}, "not-multiplied-back"),
        ({70: 80}, "wrong-values"),
        ({70: "72"}, "wrong-dtype"),
        ({70: None}, "missing-value"),
    ],
)
def test_wrong_prediction(changes: dict[int, object], slug: str) -> None:
    assert names("01.predict", {**BY_HAND, **changes}) == [slug]


def test_a_prediction_that_is_no_dict() -> None:
    assert names("01.predict", 24) == ["wrong-type"]


# Implement.

OWN = """
def my_make_divisible(value, divisor=8, min_value=None):
    if min_value is None:
        min_value = divisor
    if min_value % divisor != 0:
        raise ValueError(f"min_value is {min_value}")
    result = int(value + divisor / 2) // divisor * divisor
    result = max(min_value, result)
    if result < 0.9 * value:
        result += divisor
    return result
"""


def own(*changes: tuple[str, str]) -> object:
    return source(OWN, "my_make_divisible", *changes)


def by_search(v, d, least):  # type: ignore
    """Another hand: the first multiple that is at least the nearest and at least 90 %."""
    least = least or d
    if least % d:
        raise ValueError("no multiple")
    k = least // d
    while k * d < 0.9 * v or k * d + d / 2 <= v:
        k += 1
    return k * d


def by_shifted_edges(value, divisor=8, min_value=None):  # type: ignore
    """Another hand: the rule first, as the smallest multiple that loses no more than a tenth."""
    if min_value is not None and min_value % divisor:
        raise ValueError(min_value)
    enough = math.ceil(9 * value / (10 * divisor)) * divisor
    nearest = math.floor(value / divisor + 0.5) * divisor
    return max(enough, nearest, min_value or divisor)


def without_a_minimum(value, divisor=8, min_value=None):  # type: ignore
    """The rule alone lifts 0 to one divisor; the minimum can come last."""
    if (min_value or divisor) % divisor:
        raise ValueError(min_value)
    result = np.floor((value + divisor / 2) / divisor).astype(int) * divisor
    result = result + divisor if (value - result) / value > 0.1 else result
    return max(result, min_value or 0)


class AsObject:
    """Another hand: an object that can be called."""

    def __call__(self, v, d=8, m=None):  # type: ignore
        return by_shifted_edges(v, d, m)


RIGHT_ROUNDING = [
    own(),
    by_search,
    by_shifted_edges,
    without_a_minimum,
    AsObject(),
    functools.partial(by_shifted_edges),
    functools.lru_cache(by_shifted_edges),
    lambda *args, **kwargs: by_shifted_edges(*args, **kwargs),
    lambda v, d=8, m=None: np.int64(by_shifted_edges(v, d, m)),
    own(("result < 0.9 * value", "10 * result < 9 * value")),
    own(("    if result < 0.9 * value", "    while result < 0.9 * value")),
]


@pytest.mark.parametrize("answer", RIGHT_ROUNDING)
def test_right_rounding(answer: object) -> None:
    report = check("01.make_divisible", answer)
    assert report.passed, report
    assert [stage for stage, _ in report.stages] == ["shape", "dtype", "values"]


def test_rounding_is_the_librarys() -> None:
    for question in ch01_rounding.questions():
        assert ch01_rounding.rounded(*question) == make_divisible(*question)


_NEAREST = "int(value + divisor / 2) // divisor * divisor"
_NO_RULE = ("    if result < 0.9 * value:\n        result += divisor\n", "")
_NO_MINIMUM = ("    result = max(min_value, result)\n", "")
_REFUSES = (
    '    if min_value % divisor != 0:\n        raise ValueError(f"min_value is {min_value}")\n'
)
ROUNDING = [
    ("rule-forgotten", _NO_RULE),
    ("rule-forgotten", ("0.9 * value", "0.5 * value")),
    ("rule-compares-backwards", ("result < 0.9 * value", "value < 0.9 * result")),
    ("rule-compares-backwards", ("result < 0.9 * value", "0.9 * result > value")),
    ("rule-at-another-limit", ("0.9 * value", "0.8 * value")),
    ("rule-at-another-limit", ("0.9 * value", "0.95 * value")),
    ("rule-compares-backwards", ("result < 0.9 * value", "result > 0.9 * value")),
    ("rule-at-another-limit", ("result < 0.9 * value", "value - result > 0.1 * result")),
    ("rule-on-gains", ("result < 0.9 * value", "abs(value - result) / value > 0.1")),
    ("rule-subtracts", ("result += divisor", "result -= divisor")),
    ("min-instead-of-max", ("max(min_value, result)", "min(min_value, result)")),
    ("rule-includes-the-limit", ("result < 0.9", "result <= 0.9")),
    ("rule-on-truncated-value", ("0.9 * value", "0.9 * int(value)")),
    ("rule-on-truncated-value", ("    result = int(", "    value = int(value)\n    result = int(")),
    ("rule-adds-one", ("result += divisor", "result += 1")),
    ("rule-adds-eight", ("result += divisor", "result += 8")),
    ("rule-adds-min-value", ("result += divisor", "result += min_value")),
    ("doubled-instead-of-added", ("result += divisor", "result *= 2")),
    ("zero-channels", _NO_RULE, _NO_MINIMUM),
    ("min-value-ignored", _NO_MINIMUM),
    ("min-value-ignored", ("max(min_value, result)", "max(divisor, result)")),
    ("floor-instead-of-nearest", (_NEAREST, "int(value) // divisor * divisor")),
    ("floor-instead-of-nearest", (_NEAREST, "int(value // divisor) * divisor"), _NO_RULE),
    ("ceil-instead-of-nearest", (_NEAREST, "math.ceil(value / divisor) * divisor")),
    ("ceil-instead-of-nearest", (_NEAREST, "int(value // divisor + 1) * divisor if value % divisor"
                                           " else int(value)"), _NO_RULE),
    ("ceil-instead-of-nearest", ("result < 0.9 * value", "result < value")),
    ("rounds-half-to-even", (_NEAREST, "round(value / divisor) * divisor")),
    ("rounds-half-to-even", (_NEAREST, "divisor * round(value / divisor)"), _NO_RULE),
    ("half-rounds-down", (_NEAREST, "math.ceil(value / divisor - 0.5) * divisor")),
    ("half-divisor-truncated", ("divisor / 2", "divisor // 2")),
    ("divisor-hard-coded", ("    if min_value is", "    divisor = 8\n    if min_value is")),
    ("divisor-hard-coded", (_NEAREST, "int(value + 4) // 8 * 8"),
     ("result += divisor", "result += 8")),
    ("not-multiplied-back", ("return result", "return result // divisor")),
    ("not-a-multiple", (_NEAREST, "int(value)")),
    ("not-a-multiple", ("return result", "return value")),
    ("float-instead-of-int", ("return result", "return float(result)")),
    ("float-instead-of-int", (_NEAREST, "(value + divisor / 2) // divisor * divisor")),
    ("accepts-odd-minimum", (_REFUSES, "")),
    ("wrong-exception", ("ValueError", "TypeError")),
    ("wrong-exception", (_REFUSES, "    assert min_value % divisor == 0\n")),
    ("wrong-values", ("return result", "return result + 3 * divisor")),
    ("wrong-type", ("    return result\n", "")),
    ("wrong-dtype", ("return result", "return str(result)")),
    ("wrong-signature", ("divisor=8, min_value=None", "*, divisor=8, min_value=8")),
    ("raised-exception", ("divisor / 2", "divisor / 0")),
    ("half-divisor-truncated", (_NEAREST, "int(int(value) + divisor / 2) // divisor * divisor")),
    ("divisor-hard-coded", (_NEAREST, "int(value + 4) // divisor * divisor")),
    ("divisor-hard-coded", ("        min_value = divisor\n", "        min_value = 8\n"),
     ("max(min_value, result)", "max(min_value, result, 0)"), (_REFUSES, "")),
    ("divisor-hard-coded", ("min_value % divisor != 0", "min_value % 8 and min_value != divisor")),
    ("wrong-default", ("divisor=8, min_value=None", "divisor=4, min_value=None")),
    ("wrong-default", ("divisor=8, min_value=None", "divisor=8, min_value=8")),
    ("rule-at-another-limit", ("0.9 * value", "0.89 * value")),
    ("rule-at-another-limit", ("result < 0.9 * value", "value - result > divisor / 10")),
    ("rule-on-truncated-value", ("0.9 * value", "0.9 * math.ceil(value)")),
    ("rule-on-truncated-value", ("int(value +", "int(round(value) +")),
    ("accepts-odd-minimum", ("if min_value % divisor != 0",
                             "if min_value > divisor and min_value % divisor")),
    ("accepts-odd-minimum", ("if min_value % divisor != 0", "if min_value < divisor")),
    ("accepts-odd-minimum", (_REFUSES, "    min_value += -min_value % divisor\n")),
    ("raised-exception", ("min_value % divisor != 0", "min_value > value")),
    ("wrong-dtype", ("return result", "return [result]")),
    ("timed-out", ("    return result", "    while True:\n        pass\n    return result")),
]  # fmt: skip


@pytest.mark.parametrize("case", ROUNDING, ids=lambda case: f"{case[0]}: {case[1][1][:30]!r}")
def test_wrong_rounding(case: tuple[object, ...]) -> None:
    slug, *changes = case
    seconds = 0.3 if slug == "timed-out" else 10.0
    report = check("01.make_divisible", own(*changes), seconds=seconds)  # type: ignore[arg-type]
    assert [failure.name for failure in report.failures] == [slug], report


@pytest.mark.parametrize(
    "answer",
    [
        make_divisible,
        _make_divisible,
        timm.layers.make_divisible,
        functools.partial(make_divisible),
        lambda value, divisor, least: make_divisible(value, divisor, least),
        lambda value, divisor, least: timm.layers.make_divisible(value, divisor, least),
        lambda value, divisor, least: _make_divisible(value, divisor, least),
    ],
)
def test_a_finished_rounding_is_refused(answer: Callable[..., object]) -> None:
    assert names("01.make_divisible", answer) == ["not-your-own"]


def test_every_rounding_mistake_differs_and_is_in_the_vocabulary() -> None:
    right = tuple(make_divisible(*question) for question in ch01_rounding.questions())
    slugs = {slug for slug, _ in ch01_rounding._behaviours()}
    assert slugs <= set(MISTAKES_OF["01.make_divisible"])
    assert all(results != right for _, results in ch01_rounding._behaviours())


def test_an_untouched_stub_is_not_attempted() -> None:
    def my_make_divisible(value, divisor=8, min_value=None):  # type: ignore
        raise NotImplementedError

    assert not check("01.make_divisible", my_make_divisible).attempted


# Debug.

TABLE = """
def widths(width_mult):
    found = [make_divisible(32 * width_mult)]
    for t, c, n, s in SETTINGS:
        width = make_divisible(c * width_mult)
        found.append(width)
    found.append(make_divisible(1280 * max(1.0, width_mult)))
    return found
"""


def table(*changes: tuple[str, str]) -> object:
    return source(TABLE, "widths", *changes)


def other_table(w):  # type: ignore
    """Another hand: its own rounding, a tuple, and the last layer by its own case."""

    def fit(v):  # type: ignore
        r = max(8, math.floor(v / 8 + 0.5) * 8)
        return r if r >= 0.9 * v else r + 8

    return (*(fit(w * c) for c in (32, 16, 24, 32, 64, 96, 160, 320)), max(1280, fit(1280 * w)))


@pytest.mark.parametrize(
    "answer",
    [
        table(),
        other_table,
        lambda width_mult: np.array(other_table(width_mult)),
        functools.partial(other_table),
        table(("return found", "return torch.tensor(found)"), ("def w", "import torch\ndef w")),
        table(("return found", "return [float(width) for width in found]")),
    ],
)
def test_right_widths(answer: object) -> None:
    report = check("01.width_mult", answer)
    assert report.passed, report


def test_widths_are_the_librarys() -> None:
    for width_mult in ch01_widths._MULTIPLIERS:
        rows = block_table(width_mult=width_mult)
        firsts = [0, 1, 3, 6, 10, 13, 16]
        last = MobileNetV2Classifier(width_mult=width_mult).classifier[1].in_features
        expected = [rows[0].in_channels, *(rows[i].out_channels for i in firsts), last]
        assert ch01_widths.widths(width_mult) == expected


_ROW = "width = make_divisible(c * width_mult)"
_LAST = "1280 * max(1.0, width_mult)"


@pytest.mark.parametrize(
    "slug, changes",
    [
        ("width-overwritten", [("append(width)", "append(int(c * width_mult))")]),
        (
            "width-overwritten",
            [("append(width)", "append(int(c * width_mult))"), (_LAST, "1280 * width_mult")],
        ),
        ("width-overwritten", [(_ROW, "width = c * width_mult")]),
        ("width-overwritten", [(_ROW, "width = make_divisible(c) * width_mult")]),
        ("last-layer-shrunk", [(_LAST, "1280 * width_mult")]),
        ("last-layer-shrunk", [(_LAST, "1280 * min(1.0, width_mult)"), ("1280", "1280")]),
        ("last-layer-fixed", [(f"make_divisible({_LAST})", "1280")]),
        ("last-layer-not-rounded", [(f"make_divisible({_LAST})", f"int({_LAST})")]),
        ("last-layer-not-rounded", [(f"make_divisible({_LAST})", _LAST)]),
        ("stem-not-scaled", [("32 * width_mult", "32")]),
        ("stem-not-rounded", [("make_divisible(32 * width_mult)", "int(32 * width_mult)")]),
        ("stem-not-rounded", [("make_divisible(32 * width_mult)", "32 * width_mult")]),
        ("rounded-twice", [(_ROW, "width = make_divisible(int(c * width_mult))")]),
        (
            "rounded-twice",
            [
                (_ROW, "width = make_divisible(round(c * width_mult))"),
                ("(32 * width_mult)", "(round(32 * width_mult))"),
            ],
        ),
        ("rule-forgotten", [(_ROW, "width = max(8, int(c * width_mult + 4) // 8 * 8)")]),
        (
            "ceil-instead-of-nearest",
            [
                (_ROW, "width = math.ceil(c * width_mult / 8) * 8"),
                ("make_divisible(32 * width_mult)", "math.ceil(32 * width_mult / 8) * 8"),
                (f"make_divisible({_LAST})", f"math.ceil({_LAST} / 8) * 8"),
            ],
        ),
        ("scaled-twice", [(_ROW, "width = make_divisible((found[1:] or [c])[-1] * width_mult)")]),
        (
            "kept-below-width-1",
            [
                (
                    "    found = [",
                    "    w, width_mult = width_mult, max(1.0, width_mult)\n    found = [",
                )
            ],
        ),
        (
            "kept-below-width-1",
            [("make_divisible(32 * width_mult)", "max(32, make_divisible(32 * width_mult))")],
        ),
        ("kept-below-width-1", [(_ROW, "width = max(c, make_divisible(c * width_mult))")]),
        ("rounded-twice", [("(32 * width_mult)", "(int(32 * width_mult))")]),
        ("not-a-multiple", [(_ROW, "width = max(8, int(c * width_mult))")]),
        ("not-a-multiple", [(_ROW, "width = math.ceil(c * width_mult)")]),
        ("wrong-order", [("return found", "return sorted(found)")]),
        ("wrong-shape", [("append(width)", "append(width)\n        found.append(width)")]),
        ("wrong-type", [("return found", "return dict(enumerate(found))")]),
        ("wrong-type", [("return found", "return set(found)")]),
        ("wrong-values", [(_ROW, "width = make_divisible(c * width_mult, 16)")]),
        ("multiplier-ignored", [("    found = [", "    width_mult = 1.0\n    found = [")]),
        ("not-a-multiple", [(_ROW, "width = make_divisible(c * width_mult, 4)")]),
        ("wrong-order", [("return found", "return found[::-1]")]),
        ("wrong-shape", [("return found", "return found[:-1]")]),
        ("wrong-type", [("    return found\n", "")]),
        ("wrong-dtype", [("append(width)", "append(str(width))")]),
        ("wrong-signature", [("widths(width_mult)", "widths(width_mult, divisor)")]),
        ("raised-exception", [("append(width)", "append(wide)")]),
        ("wrong-values", [("append(width)", "append(width + 8)")]),
    ],
)
def test_wrong_widths(slug: str, changes: list[tuple[str, str]]) -> None:
    assert names("01.width_mult", table(*changes)) == [slug]


# Extend.

BUDGET = """
def count(settings, w):
    c = make_divisible(32 * w)
    total = 27 * c + 2 * c
    for t, base, n, s in settings:
        for _ in range(n):
            out, hidden = make_divisible(base * w), t * c
            if t != 1:
                total += c * hidden + 2 * hidden
            total += 9 * hidden + 2 * hidden
            total += hidden * out + 2 * out
            c = out
    return total


def widest(settings, budget):
    steps = [k / 100 for k in range(5, 201)]
    inside = [w for w in steps if count(settings, w) <= budget]
    return inside[-1] if inside else None
"""


def budget(*changes: tuple[str, str]) -> object:
    return source(BUDGET, "widest", *changes)


def by_halving(table, limit):  # type: ignore
    """Another hand: bisection, and the parameters of each block as one formula."""
    few, many = 4, 200

    def fits(hundredths):  # type: ignore
        width = hundredths * 0.01
        before = make_divisible(32 * width)
        total = 29 * before
        for t, c, n, _ in table:
            for _ in range(n):
                after, wide = make_divisible(c * width), t * before
                total += wide * (11 + after) + 2 * after + (t != 1) * wide * (before + 2)
                before = after
        return total <= limit

    while few < many:
        middle = (few + many + 1) // 2
        few, many = (middle, many) if fits(middle) else (few, middle - 1)
    return None if few == 4 else round(few * 0.01, 2)


def until_too_many(settings, limit):  # type: ignore
    """Another hand: upwards until it no longer fits, in running sums, with NumPy's numbers."""
    count = source(BUDGET, "count")
    best = None
    for width in np.arange(0.05, 2.005, 0.01):
        if count(settings, width) > limit:  # type: ignore[operator]
            break
        best = np.float32(width)
    return best


@pytest.mark.parametrize("answer", [budget(), by_halving, until_too_many])
def test_right_budgets(answer: object) -> None:
    report = check("01.budget", answer)
    assert report.passed, report


@pytest.mark.parametrize("hundredths", [5, 35, 75, 100, 140])
def test_parameters_are_the_librarys(hundredths: int) -> None:
    backbone = MobileNetV2(width_mult=hundredths / 100)
    published = MobileNetV2Classifier(width_mult=hundredths / 100)
    for network, mistake in ((backbone, ""), (published, "classifier-counted")):
        expected = sum(parameter.numel() for parameter in network.parameters())
        assert ch01_widths.parameters(SETTINGS, hundredths, mistake) == expected


def test_the_published_count() -> None:
    total = sum(parameter.numel() for parameter in classifier("mobilenetv2").parameters())
    assert ch01_widths.parameters(SETTINGS, 100, "classifier-counted") == total


def test_no_multiplier_of_the_check_stands_on_an_edge_of_rounding() -> None:
    """So that k / 100 and k * 0.01 and a running sum give the same network."""
    tables = {settings for settings, _ in ch01_widths._budgets()}
    for base in {32, *(c for settings in tables for _, c, _, _ in settings)}:
        for hundredths in range(5, 201):
            around = {make_divisible(base * (hundredths / 100 + off)) for off in (-1e-9, 0, 1e-9)}
            exact = (2 * base * hundredths) % 800 == 400 * 2 or (base * hundredths) % 800 == 400
            assert len(around) == 1 or exact, (base, hundredths)


@pytest.mark.parametrize(
    "slug, changes",
    [
        ("smallest-instead-of-largest", [("inside[-1]", "inside[0]")]),
        (
            "one-step-too-far",
            [("inside[-1] if", "min(2.0, round(inside[-1] + 0.01, 2)) if")],
        ),
        (
            "start-of-plateau",
            [("inside[-1] if", "max(inside, key=lambda w: count(settings, w)) if")],
        ),
        ("budget-excluded", [("<= budget", "< budget")]),
        ("nothing-fits", [("inside[-1] if inside else None", "inside[-1]")]),
        ("nothing-fits", [("else None", "else 0.05")]),
        ("nothing-fits", [("inside[-1] if inside else None", "max(inside, default=0)")]),
        ("widths-not-rounded", [
            ("make_divisible(32 * w)", "32 * w"), ("make_divisible(base * w)", "base * w"),
        ]),
        ("widths-not-rounded", [
            ("make_divisible(32 * w)", "int(32 * w)"),
            ("make_divisible(base * w)", "int(base * w)"),
        ]),
        ("square-law", [(
            "    steps =",
            "    root = (budget / count(settings, 1)) ** 0.5\n"
            "    return min(2.0, int(100 * root) / 100)\n"
            "    steps =",
        )]),
        ("square-law", [
            ("    steps =", "    return (budget / count(settings, 1)) ** 0.5\n    steps ="),
        ]),
        ("stem-not-scaled", [("make_divisible(32 * w)", "32")]),
        ("stem-forgotten", [("total = 27 * c + 2 * c", "total = 0")]),
        ("batchnorm-forgotten", [
            ("27 * c + 2 * c", "27 * c"), ("c * hidden + 2 * hidden", "c * hidden"),
            ("9 * hidden + 2 * hidden", "9 * hidden"), ("hidden * out + 2 * out", "hidden * out"),
        ]),
        ("expansion-at-ratio-1", [("if t != 1:", "if True:")]),
        ("classifier-counted", [(
            "    return total",
            "    last = make_divisible(1280 * max(1, w))\n"
            "    return total + c * last + 2 * last + 1000 * last + 1000",
        )]),
        ("repeats-forgotten", [("range(n)", "range(min(n, 1))")]),
        ("multiply-adds-counted", [
            ("total = 27 * c + 2 * c", "total, size = 27 * c * 112**2, 112"),
            ("for _ in range(n):", "for i in range(n):"),
            ("total += c * hidden + 2 * hidden", "total += c * hidden * size**2"),
            ("total += 9 * hidden + 2 * hidden", "size //= 1 if i else s"),
            ("hidden * out + 2 * out", "(9 + out) * hidden * size**2"),
        ]),
        ("stops-at-one", [("range(5, 201)", "range(5, 101)")]),
        ("other-range", [("range(5, 201)", "range(5, 200)")]),
        ("other-range", [("range(5, 201)", "range(6, 201)")]),
        ("other-range", [("range(5, 201)", "range(10, 201)")]),
        ("other-range", [("range(5, 201)", "range(1, 201)")]),
        ("other-range", [("range(5, 201)", "range(5, 301)")]),
        ("over-budget", [
            (
                "    inside =",
                "    return min(steps, key=lambda w: abs(count(settings, w) - budget))\n"
                "    inside =",
            ),
        ]),
        ("rule-forgotten", [
            ("make_divisible(32 * w)", "max(8, int(32 * w + 4) // 8 * 8)"),
            ("make_divisible(base * w)", "max(8, int(base * w + 4) // 8 * 8)"),
        ]),
        ("widths-not-rounded", [
            ("make_divisible(32 * w)", "round(32 * w)"),
            ("make_divisible(base * w)", "round(base * w)"),
        ]),
        ("stem-not-scaled", [("make_divisible(32 * w)", "make_divisible(32 * max(1, w))")]),
        ("classifier-counted", [(
            "    return total",
            "    last = make_divisible(1280 * max(1, w))\n    return total + c * last + 2 * last",
        )]),
        ("nothing-fits", [("else None", "else -1")]),
        ("wrong-values", [("inside[-1] if", "round(inside[-1], 1) if")]),
        ("wrong-dtype", [("inside[-1] if", "(inside[-1],) if")]),
        ("coarse-steps", [("range(5, 201)", "range(5, 201, 5)")]),
        ("coarse-steps", [("[k / 100 for k in range(5, 201)]", "[k / 10 for k in range(1, 21)]")]),
        ("settings-ignored", [("in settings:", "in SETTINGS:")]),
        ("hundredths-instead-of-multiplier", [("inside[-1] if", "100 * inside[-1] if")]),
        ("modifies-input", [("    return inside", "    settings.pop()\n    return inside")]),
        ("wrong-values", [("9 * hidden", "25 * hidden")]),
        ("wrong-dtype", [("inside[-1] if", "str(inside[-1]) if")]),
        ("wrong-type", [("    return inside[-1] if inside else None\n", "")]),
        ("raised-exception", [("in steps if", "in step if")]),
    ],
)  # fmt: skip
def test_wrong_budgets(slug: str, changes: list[tuple[str, str]]) -> None:
    assert names("01.budget", budget(*changes)) == [slug]


def test_each_exercise_has_wrong_answers_enough() -> None:
    for form in ch01_widths._BUDGET_FORMS:
        assert form.split()[0] in MISTAKES_OF["01.budget"]
    assert len(ch01._flawed()) >= 6
