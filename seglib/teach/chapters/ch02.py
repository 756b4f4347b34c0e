"""Chapter 02, the inverted residual: one exercise of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

from seglib.backbones.mobilenetv2 import SETTINGS
from seglib.teach.answers import (
    Calls,
    attempted_class,
    judge_values,
    plain,
    shape_or_number,
    whole_number,
)
from seglib.teach.chapters import ch02_variants
from seglib.teach.ownership import is_stub, refuse_library, refuse_modules
from seglib.teach.probing import Case, Probe, judge_module
from seglib.teach.tasks import MISTAKES_OF, Exercise, NotAttempted, Task, Wrong

Row = tuple[int, int, int, int, int]
Settings = Sequence[tuple[int, int, int, int]]

_NAMES = ("in_channels", "out_channels", "stride", "dilation", "expand_ratio")
_BLOCK = (
    "class of nn.Module: __init__(in_channels, out_channels, stride, dilation, expand_ratio), "
    "forward(x)"
)


def _case(*arguments: int) -> Case:
    return Case(dict(zip(_NAMES, arguments, strict=True)), (2, arguments[0], 9, 11))


CASES = (
    _case(4, 4, 1, 1, 6),
    _case(4, 6, 2, 1, 6),
    _case(4, 4, 2, 1, 6),
    _case(4, 6, 1, 1, 6),
    _case(4, 4, 1, 2, 6),
    _case(4, 4, 1, 1, 1),
    _case(4, 4, 2, 1, 1),
    _case(4, 6, 1, 4, 3),
    _case(4, 6, 2, 2, 3),
    _case(6, 4, 1, 1, 3),
)


@cache
def _probe(index: int, place: int) -> Probe:
    recipe = ch02_variants.RECIPES[index][1]
    return Probe(partial(ch02_variants.FlawedBlock, recipe), CASES[place])


def _variants() -> Iterator[tuple[str, Callable[[int], Probe]]]:
    for index, (slug, _) in enumerate(ch02_variants.RECIPES):
        yield slug, partial(_probe, index)


def _judge_block(answer: object) -> Iterator[str]:
    from seglib.backbones.mobilenetv2 import InvertedResidual

    yield "shape"
    positional = attempted_class(answer, _NAMES)
    assert callable(answer)
    calls = Calls()
    yield from judge_module(
        answer, InvertedResidual, CASES, _variants, calls.watch, refuse_modules, positional
    )


# The warm-up: four numbers of one block.

_QUESTION = (24, 32, 6, 2, 1, 65, 97)


def _costs(
    hidden: int, size: tuple[int, int], *, dense: bool = False, mid: tuple[int, int] = (65, 97)
) -> tuple[int, int, int]:
    """Convolution weights, BatchNorm parameters, multiply-adds, as (wrong) reasoning has them."""
    depthwise = 9 * hidden * (hidden if dense else 1)
    weights = 24 * hidden + depthwise + hidden * 32
    norms = 2 * (hidden + hidden + 32)
    pixels = size[0] * size[1]
    multiply_adds = 24 * hidden * mid[0] * mid[1] + (depthwise + hidden * 32) * pixels
    return weights, norms, multiply_adds


def _prediction() -> tuple[dict[str, object], dict[str, dict[object, str]]]:
    """The right answer, and what known mistakes give for each of its parts."""
    from seglib.teach.facts import inverted_residual_facts

    facts = inverted_residual_facts(*_QUESTION)
    hidden, size = facts.hidden_channels, facts.shape[1:]
    right: dict[str, object] = {
        "shape": (1, *facts.shape),
        "hidden_channels": hidden,
        "parameters": facts.parameters,
        "multiply_adds": facts.multiply_adds,
    }
    weights, norms, _ = _costs(hidden, size)
    dense_weights, _, dense_work = _costs(hidden, size, dense=True)
    wide_weights, wide_norms, wide_work = _costs(192, size)
    floor_work = _costs(hidden, (32, 48))[2]
    no_expansion = 24 * 9 + 24 * 32
    late = 65 * 97 - size[0] * size[1]  # pixels that the stride leaves out
    wrong: dict[str, dict[object, str]] = {
        "shape": {
            (1, 32, 32, 48): "floor-instead-of-ceil",
            (1, 32, 65, 97): "stride-forgotten",
            (1, 32, 32, 49): "floor-instead-of-ceil",
            (1, 32, 33, 48): "floor-instead-of-ceil",
            (1, 24, 33, 49): "input-channels-kept",
            (1, hidden, 33, 49): "projection-forgotten",
            (1, 32, 31, 47): "padding-forgotten",
            (1, 32, 32, 47): "padding-forgotten",
        },
        "hidden_channels": {
            192: "expansion-on-output",
            24: "expansion-forgotten",
            32: "expansion-forgotten",
        },
        "parameters": {
            weights: "forgot-batchnorm",
            weights + 2 * hidden: "forgot-batchnorm",
            weights + 2 * 2 * hidden: "forgot-batchnorm",
            weights + 2 * 32: "forgot-batchnorm",
            weights + 2 * (hidden + 32): "forgot-batchnorm",
            dense_weights: "depthwise-counted-dense",
            dense_weights + norms: "depthwise-counted-dense",
            wide_weights + wide_norms: "expansion-on-output",
            wide_weights: "expansion-on-output",
            weights + norms + norms // 2: "bias-counted",
            weights + norms // 2: "bias-counted",
            weights + 2 * norms: "buffers-counted",
            no_expansion: "expansion-forgotten",
            no_expansion + 2 * (24 + 32): "expansion-forgotten",
        },
        "multiply_adds": {
            _costs(hidden, (65, 97))[2]: "macs-at-input-resolution",
            facts.multiply_adds + 9 * hidden * late: "macs-at-input-resolution",
            facts.multiply_adds + 32 * hidden * late: "macs-at-input-resolution",
            _costs(hidden, size, mid=(33, 49))[2]: "macs-at-output-resolution",
            facts.multiply_adds - 24 * hidden * 65 * 97: "expansion-forgotten",
            2 * facts.multiply_adds: "counted-twice",
            dense_work: "depthwise-counted-dense",
            wide_work: "expansion-on-output",
            floor_work: "floor-instead-of-ceil",
            _costs(hidden, (32, 48), mid=(32, 48))[2]: "floor-instead-of-ceil",
            weights: "pixels-forgotten",
        },
    }
    return right, wrong


def _judge_prediction(answer: object) -> Iterator[str]:
    yield from judge_values(answer, *_prediction(), convert=shape_or_number)


# The extension: strides become dilations.


def plan(settings: Settings, output_stride: int, mistake: str = "") -> list[Row]:
    """The blocks of MobileNetV2 at an output stride; with `mistake`, as that mistake gives them."""
    in_channels, current, dilation = 32, 1 if mistake == "stem-stride-forgotten" else 2, 1
    rows: list[Row] = []
    for t, c, n, s in settings:
        past = current * s > output_stride
        if mistake == "off-by-one-stage":
            past = current * s >= output_stride and s > 1
        stride, first = s, dilation
        if past:
            stride = s if mistake == "stride-kept" else 1
            grown = s if mistake == "dilation-not-accumulated" else dilation * s
            dilation = dilation if mistake == "dilation-forgotten" else grown
            if mistake == "dilation-added":
                dilation = first + s
        elif mistake == "dilation-not-kept":
            first = dilation = 1
        current *= s if mistake == "stride-kept" else stride
        if mistake == "first-block-dilated":
            first = dilation
        for index in range(n):
            last = mistake == "stride-on-last-block" and stride > 1
            strided = index == n - 1 if last else index == 0 or mistake == "repeats-strided"
            rows.append(
                (in_channels, c, stride if strided else 1, first if index == 0 else dilation, t)
            )
            if mistake != "in-channels-not-updated" or index == n - 1:
                in_channels = c
    return rows


_PLAN_MISTAKES = tuple(MISTAKES_OF["02.dilated_stage"])

_SHORT = ((1, 8, 2, 1), (4, 16, 2, 2), (3, 24, 2, 2), (2, 40, 1, 2), (5, 48, 2, 1))


def _five(row: object) -> tuple[object, ...]:
    row = plain(row)
    if not isinstance(row, Sequence) or len(row) != 5:
        raise Wrong("wrong-shape", "Each row is a tuple of five numbers.")
    return tuple(row)


def _judge_plan(answer: object) -> Iterator[str]:
    yield "shape"
    calls = Calls()
    if not callable(answer):
        raise Wrong("wrong-type", "A function is asked for.")
    refuse_library(answer)
    if is_stub(answer):
        raise NotAttempted
    questions = [(table, stride) for table in (SETTINGS, _SHORT) for stride in (8, 16, 32, 4)]
    found: list[tuple[tuple[object, ...], ...]] = []
    for settings, output_stride in questions:
        given = [tuple(row) for row in settings]
        rows = plain(calls(answer, given, output_stride))
        if given != list(settings):
            raise Wrong("changes-settings")
        if isinstance(rows, (str, bytes)) or not isinstance(rows, Sequence):
            raise Wrong("wrong-type", f"A list of tuples is asked for, got {type(rows).__name__}.")
        found.append(tuple(map(_five, rows)))
        blocks = sum(row[2] for row in settings)
        if len(rows) != blocks:
            raise Wrong("wrong-shape", f"Expected {blocks} rows, the sum of n; got {len(rows)}.")
    yield "dtype"
    numbers = [[tuple(whole_number(item) for item in row) for row in rows] for rows in found]
    yield "values"
    right = [plan(*question) for question in questions]
    if numbers == right:
        return
    for slug in _PLAN_MISTAKES:
        if numbers == [plan(*question, mistake=slug) for question in questions] != right:
            raise Wrong(slug)
    if all(map(_reordered, numbers, right)):
        raise Wrong("wrong-order")
    place = next(place for place, rows in enumerate(right) if numbers[place] != rows)
    index = next(index for index, row in enumerate(right[place]) if numbers[place][index] != row)
    raise Wrong(
        "wrong-values",
        f"At output_stride {questions[place][1]}, row {index}: "
        f"expected {right[place][index]}, got {numbers[place][index]}.",
    )


def _reordered(rows: Sequence[tuple[int, ...]], right: Sequence[tuple[int, ...]]) -> bool:
    """Whether the rows, or the numbers in each, are the right ones in another order."""
    return rows != right and sorted(map(sorted, rows)) == sorted(map(sorted, right))


def _prepare() -> object:
    import seglib.teach.facts

    return seglib.teach.facts


_SPECS = (
    (
        "predict", "warm-up", 1, _judge_prediction,
        "dict of shape (a tuple), hidden_channels, parameters, multiply_adds: "
        "InvertedResidual(24, 32, stride=2, expand_ratio=6) on a (1, 24, 65, 97) input",
    ),
    ("inverted_residual", "implement", 4, _judge_block, _BLOCK),
    ("border", "debug", 2, _judge_block, _BLOCK),
    (
        "dilated_stage", "extend", 3, _judge_plan,
        "stage_plan(settings, output_stride) -> list of "
        "(in_channels, out_channels, stride, dilation, expand_ratio)",
    ),
)  # fmt: skip
TASKS = tuple(
    Task(
        Exercise(f"02.{name}", 2, kind, signature, points),
        judge,
        MISTAKES_OF["02.inverted_residual" if name == "border" else f"02.{name}"],
        _prepare,
    )
    for name, kind, points, judge, signature in _SPECS
)
