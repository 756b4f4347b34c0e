"""Chapter 05, the bottleneck: one exercise of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial

import torch
from torch import nn

from seglib.teach.answers import Calls, attempted_class, judge_values, shape_or_number
from seglib.teach.chapters import ch05_dense, ch05_plan
from seglib.teach.chapters.ch05_variants import RECIPES, Recipe, RecipeBlock
from seglib.teach.ownership import refuse_modules
from seglib.teach.probing import Case, Crashed, Probe, judge_module
from seglib.teach.shapes import Shapes, by_position
from seglib.teach.tasks import MISTAKES_OF, Exercise, Task, Wrong

# The warm-up: four numbers of one block, the first of ResNet-50's second stage.

_IN, _CHANNELS, _OUT = 256, 128, 512
_LARGE, _SMALL = 57 * 75, 29 * 38  # pixels before and behind the stride


def _prediction() -> tuple[dict[str, object], dict[str, dict[object, str]]]:
    """The right answer, and what known mistakes give for each of its parts."""
    reduce, middle, expand = _IN * _CHANNELS, 9 * _CHANNELS**2, _CHANNELS * _OUT
    shortcut = _IN * _OUT
    weights = reduce + middle + expand + shortcut
    inner_norms, outer_norm = 2 * 2 * _CHANNELS, 2 * _OUT
    norms = inner_norms + 2 * outer_norm
    behind = middle + expand + shortcut
    pytorch, caffe = reduce * _LARGE + behind * _SMALL, weights * _SMALL
    quarter = _IN // 4
    narrow = _IN * quarter + 9 * quarter**2 + quarter * _OUT + shortcut
    depthwise = reduce + 9 * _CHANNELS + expand + shortcut
    right: dict[str, object] = {
        "shape": (1, _OUT, 29, 38),
        "parameters": weights + norms,
        "multiply_adds": pytorch,
        "caffe_multiply_adds": caffe,
    }
    common: dict[object, str] = {
        2 * pytorch: "counted-twice",
        2 * caffe: "counted-twice",
        weights * _LARGE: "macs-at-input-resolution",
        (weights - shortcut) * _LARGE: "macs-at-input-resolution",
        pytorch + middle * (_LARGE - _SMALL): "macs-at-input-resolution",
        weights: "pixels-forgotten",
        (weights - shortcut) * _SMALL: "projection-forgotten",
        pytorch - shortcut * _SMALL: "projection-forgotten",
        pytorch + shortcut * (_LARGE - _SMALL): "projection-at-input-resolution",
        caffe + shortcut * (_LARGE - _SMALL): "projection-at-input-resolution",
        depthwise * _SMALL: "depthwise-counted",
        reduce * _LARGE + (depthwise - reduce) * _SMALL: "depthwise-counted",
        weights * 28 * 37: "floor-instead-of-ceil",
        reduce * _LARGE + behind * 28 * 37: "floor-instead-of-ceil",
        narrow * _SMALL: "quarter-of-input",
        _IN * quarter * _LARGE + (narrow - _IN * quarter) * _SMALL: "quarter-of-input",
    }
    wrong: dict[str, dict[object, str]] = {
        "shape": {
            (1, _OUT, 28, 37): "floor-instead-of-ceil",
            (1, _OUT, 28, 38): "floor-instead-of-ceil",
            (1, _OUT, 29, 37): "floor-instead-of-ceil",
            (1, _OUT, 57, 75): "stride-forgotten",
            (1, _CHANNELS, 29, 38): "expansion-forgotten",
            (1, 4 * _IN, 29, 38): "expansion-on-input",
            (1, _IN, 29, 38): "input-channels-kept",
        },
        "parameters": {
            weights: "forgot-batchnorm",
            weights + norms - outer_norm: "forgot-batchnorm",
            weights - shortcut: "projection-forgotten",
            weights - shortcut + norms: "projection-forgotten",
            weights - shortcut + norms - outer_norm: "projection-forgotten",
            narrow + 4 * quarter + 2 * outer_norm: "quarter-of-input",
            narrow: "quarter-of-input",
            depthwise + norms: "depthwise-counted",
            depthwise: "depthwise-counted",
            weights + norms + norms // 2: "bias-counted",
            weights + norms // 2: "bias-counted",
            weights + 2 * norms: "buffers-counted",
            weights + 2 * norms + 4: "buffers-counted",  # num_batches_tracked, too
        },
        "multiply_adds": {caffe: "styles-swapped", **common},
        "caffe_multiply_adds": {pytorch: "styles-swapped", **common},
    }
    return right, wrong


def _judge_prediction(answer: object) -> Iterator[str]:
    yield from judge_values(answer, *_prediction(), convert=shape_or_number)


# Implement: the block in both styles.

_NAMES = ("in_channels", "channels", "stride", "dilation", "caffe")


def _case(in_channels: int, channels: int, stride: int, dilation: int, caffe: bool) -> Case:
    values = (in_channels, channels, stride, dilation, caffe)
    return Case(dict(zip(_NAMES, values, strict=True)), (2, in_channels, 9, 11))


CASES = (
    _case(8, 2, 1, 1, False),
    _case(6, 2, 2, 1, False),
    _case(6, 2, 2, 1, True),
    _case(6, 2, 1, 1, False),
    _case(8, 2, 2, 1, False),
    _case(8, 2, 1, 2, True),
    _case(6, 3, 2, 2, True),
    _case(6, 3, 2, 3, False),
    _case(12, 2, 1, 1, False),
)

_INDICES = range(len(RECIPES))


@cache
def _probe(index: int, order: int, case: int) -> Probe:
    return Probe(partial(RecipeBlock, RECIPES[index][1], order), CASES[case])


def _variants(order: int, answer: Probe) -> Iterator[tuple[str, Callable[[int], Probe]]]:
    """Known mistakes; those with as many parameters as the answer first."""
    count = answer.facts("parameter count")
    near = [_probe(index, order, 1).facts("parameter count") == count for index in _INDICES]
    for index in sorted(_INDICES, key=lambda index: not near[index]):
        yield RECIPES[index][0], partial(_probe, index, order)


def _judge_block(answer: object) -> Iterator[str]:
    yield "shape"
    positional = attempted_class(answer, _NAMES)
    assert callable(answer)
    calls = Calls()
    make = by_position(answer) if positional else answer
    probes = [Probe(make, case, calls.watch, refuse_modules) for case in CASES]
    order = _order(probes[1])
    _name_error(probes)
    yield from judge_module(
        answer,
        partial(RecipeBlock, Recipe(), order),
        CASES,
        partial(_variants, order, probes[1]),
        calls.watch,
        refuse_modules,
        positional,
    )


def _name_error(probes: list[Probe]) -> None:
    """Raise `Wrong` if the answer fails, case by case, as far into the block as a known mistake."""
    if all(probe.facts("shape")[0] != "error" for probe in probes):
        return
    place = next(i for i, probe in enumerate(probes) if probe.facts("shape")[0] == "error")
    found = [_progress(probe) for probe in probes]
    for index, (slug, _) in enumerate(RECIPES):
        if all(_known_progress(index, case) == one for case, one in enumerate(found)):
            arguments = CASES[place].describe()
            raise Wrong(slug, f"With {arguments}: your code raised {found[place][0]}.")


@cache
def _known_progress(index: int, case: int) -> tuple[object, ...]:
    return _progress(_probe(index, 3, case))


def _progress(probe: Probe) -> tuple[object, ...]:
    """The output's shape or the error, and the shapes of all convolutions' outputs on the way."""
    fact, shapes = probe.facts("shape"), Shapes()
    with suppress(Crashed, Wrong), torch.no_grad():
        parameters = nn.Module.parameters(probe.module)
        dtype = next((one.dtype for one in parameters), torch.float32)  # later stages change it
        with shapes:
            probe.forward(probe.x.to(dtype))
    return (fact[-1], shapes.found)


def _order(probe: Probe) -> int:
    """How many of the three convolutions an answer runs before its shortcut's.

    Either order is right; random weights are matched by the order in which they are used.
    """
    in_channels, out_channels = 6, 8
    try:
        steps = {
            use.step: tuple(tensor.shape[:2])
            for use, tensor in probe.tensors.items()
            if use.role == "weight" and tensor.dim() > 1
        }
    except Exception:  # the stages that follow will say what is wrong
        return 3
    shapes = [steps[step] for step in sorted(steps)]
    wanted = (out_channels, in_channels)
    return shapes.index(wanted) if wanted in shapes[:3] else 3


_SPECS = (
    (
        "predict", "warm-up", 1, _judge_prediction,
        "dict of shape (a tuple), parameters, multiply_adds, caffe_multiply_adds: "
        "Bottleneck(256, 128, stride=2) on a (1, 256, 57, 75) input, in both styles",
    ),
    (
        "bottleneck", "implement", 3, _judge_block,
        "class of nn.Module: __init__(in_channels, channels, stride, dilation, caffe), forward(x)",
    ),
    (
        "dense", "debug", 3, ch05_dense.judge_dense,
        "dense(stage) -> a copy of the stage at stride 1, with the same weights",
    ),
    (
        "stage_plan", "extend", 3, ch05_plan.judge_plan,
        "stage_plan(blocks, output_stride, multi_grid) -> a list for each stage, "
        "of (stride, dilation) for each block",
    ),
)  # fmt: skip
TASKS = tuple(
    Task(Exercise(f"05.{name}", 5, kind, signature, points), judge, MISTAKES_OF[f"05.{name}"])
    for name, kind, points, judge, signature in _SPECS
)
