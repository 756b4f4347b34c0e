"""Chapter 03, squeeze-and-excitation and hard swish: one exercise of each kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial

from torch import nn

from seglib.layers import HardSwish, SqueezeExcite
from seglib.teach.answers import Calls, attempted_class, judge_values, real_number, whole_number
from seglib.teach.chapters import ch03_block, ch03_flawed, ch03_gate
from seglib.teach.ownership import refuse_modules
from seglib.teach.probing import Case, Make, Probe, judge_module, same
from seglib.teach.shapes import by_position
from seglib.teach.tasks import MISTAKES_OF, Exercise, Task, Wrong

Variants = Callable[[], Iterator[tuple[str, Callable[[int], Probe]]]]

# The warm-up: numbers of one squeeze-and-excite, values of hard swish.

_CHANNELS, _REDUCTION, _PIXELS = 72, 4, 28 * 28
_POINTS = (-4, -1, 1, 4)


# What is taken for hard swish, and its name.
_TAKEN: tuple[tuple[str, Callable[[float], float]], ...] = (
    ("swish-instead-of-hswish", lambda x: x / (1 + math.exp(-x))),
    ("relu-instead-of-hswish", lambda x: max(0.0, x)),
    ("division-forgotten", lambda x: x * _relu6(x + 3)),
    ("shift-forgotten", lambda x: x * _relu6(x) / 6),
    ("clamp-forgotten", lambda x: x * (x + 3) / 6),
    ("clamp-forgotten", lambda x: x * max(0.0, x + 3) / 6),
    ("clamp-forgotten", lambda x: x * min(6.0, x + 3) / 6),
    ("clamp-forgotten", lambda x: x),
    ("hsigmoid-instead-of-hswish", lambda x: _relu6(x + 3) / 6),
    ("sign-lost", lambda x: abs(x) * _relu6(x + 3) / 6),
    ("sign-lost", lambda x: -x * _relu6(x + 3) / 6),
)


def _relu6(x: float) -> float:
    return min(6.0, max(0.0, x))


def _prediction(answer: object) -> tuple[dict[str, object], dict[str, dict[object, str]]]:
    """The right answers, and what known mistakes give for each; the likeliest ones first."""
    layer = SqueezeExcite(_CHANNELS, _REDUCTION)
    reduce = layer.get_submodule("fc1")
    assert isinstance(reduce, nn.Conv2d)
    width, c = reduce.out_channels, _CHANNELS
    right: dict[str, object] = {
        "squeezed": width,
        "parameters": sum(parameter.numel() for parameter in layer.parameters()),
        "multiply_adds": 2 * c * width,
    }
    wrong: dict[str, dict[object, str]] = {"squeezed": {}, "parameters": {}, "multiply_adds": {}}
    wrong["squeezed"][c * _REDUCTION] = "reduction-forgotten"
    for number, slug in (
        (18, "rounding-forgotten"),
        (16, "rounded-too-far-down"),
        (c, "reduction-forgotten"),
    ):
        wrong["squeezed"][number] = slug
        wrong["parameters"] |= {2 * c * number + c + number: slug, 2 * c * number: slug}
        wrong["multiply_adds"] |= {2 * c * number: slug}
    sums = c + width
    wrong["parameters"] |= {
        2 * c * width: "bias-forgotten",
        2 * c * width + c: "bias-forgotten",
        2 * c * width + width: "bias-forgotten",
        2 * c * width + 2 * sums: "batchnorm-counted",
        2 * c * width + 3 * sums: "batchnorm-counted",
        c * width: "one-layer-only",
        c * width + width: "one-layer-only",
        c * width + c: "one-layer-only",
    }
    wrong["multiply_adds"] |= {
        2 * c * width * _PIXELS: "pixels-counted",
        (2 * c * width + sums) * _PIXELS: "pixels-counted",
        2 * c * width + sums: "bias-counted",
        4 * c * width: "counted-twice",
        c * width: "one-layer-only",
        c * width * _PIXELS: "pixels-counted",
    }
    points = {f"hswish({point})": float(point) for point in _POINTS}
    right |= {name: x * _relu6(x + 3) / 6 for name, x in points.items()}
    if isinstance(answer, Mapping):
        given = dict(answer)
    else:
        given = dict(zip(right, answer, strict=False)) if isinstance(answer, Sequence) else {}

    def fits(taken: tuple[str, Callable[[float], float]]) -> int:
        return sum(
            isinstance(given.get(name), (int, float)) and _equal(float(given[name]), taken[1](x))
            for name, x in points.items()
        )

    likely = sorted(_TAKEN, key=fits, reverse=True)
    for name, x in points.items():
        wrong[name] = {}
        for slug, taken in likely:
            wrong[name].setdefault(taken(x), slug)
    return right, wrong


def _number(key: str, value: object) -> object:
    return real_number(value) if key.startswith("hswish") else whole_number(value)


def _equal(value: object, known: object) -> bool:
    if isinstance(value, float) and isinstance(known, float):
        return abs(value - known) <= 0.005
    return value == known


def _judge_prediction(answer: object) -> Iterator[str]:
    yield from judge_values(answer, *_prediction(answer), convert=_number, equal=_equal)


def _judge_forms(
    answer: Make,
    forms: Sequence[Make],
    cases: Sequence[Case],
    variants: Variants,
    positional: bool,
) -> Iterator[str]:
    """Judge by whichever of the right `forms` the answer comes closest to.

    They compute the same, but torch's gradient of the hard sigmoid holds 1/6 in single precision.
    """
    reached: list[str] = []
    failures: list[Wrong] = []
    for form in forms:
        stages = 0
        try:
            for stage in judge_module(
                answer, form, cases, variants, Calls().watch, refuse_modules, positional
            ):
                stages += 1
                if stage not in reached:
                    reached.append(stage)
                    failures.clear()
                    yield stage
            return
        except Wrong as wrong:
            if stages == len(reached) and not failures:
                failures.append(wrong)
            if "gradients" in reached:
                continue
            if reached[-1] == "parameter count":
                make = by_position(answer) if positional else answer
                probes = [Probe(make, case, Calls().watch) for case in cases]
                raise Wrong(_closer(probes, variants) or wrong.name, wrong.detail) from None
            raise
    raise failures[0]


def _closer(probes: list[Probe], variants: Variants) -> str | None:
    """The mistake that gives the same parameter counts and the same values, if there is one."""
    for slug, flawed in variants():
        if all(
            same(probe.facts(stage), flawed(place).facts(stage))
            for stage in ("parameter count", "values")
            for place, probe in enumerate(probes)
        ):
            return slug
    return None


# Implement and debug: the gate.

_GATE_NAMES = ("channels", "reduction")
GATE_CASES = tuple(
    Case({"channels": channels, "reduction": reduction}, (images, channels, *size))
    for channels, reduction, images, size in (
        (68, 4, 2, (9, 11)),
        (24, 4, 2, (5, 3)),
        (40, 4, 3, (2, 1)),
        (72, 4, 2, (1, 1)),
        (16, 2, 2, (1, 1)),
        (24, 3, 1, (1, 2)),
        (96, 16, 2, (2, 2)),
    )
)


@cache
def _gate_probe(index: int, place: int) -> Probe:
    return ch03_gate.probe(ch03_gate.RECIPES[index][1], GATE_CASES[place])


def _gate_variants() -> Iterator[tuple[str, Callable[[int], Probe]]]:
    for index, (slug, _) in enumerate(ch03_gate.RECIPES):
        yield slug, partial(_gate_probe, index)


def _judge_gate(answer: object) -> Iterator[str]:
    yield "shape"
    positional = attempted_class(answer, _GATE_NAMES)
    assert callable(answer)
    by_hand = partial(ch03_gate.FlawedGate, ch03_gate.Recipe(gate="by hand"))
    yield from _judge_forms(
        answer, [SqueezeExcite, by_hand], GATE_CASES, _gate_variants, positional
    )


# Extend: the whole block.

_BLOCK_NAMES = (
    "in_channels", "hidden_channels", "out_channels", "kernel_size", "stride", "use_se", "use_hs",
)  # fmt: skip
BLOCK_CASES = tuple(
    Case(dict(zip(_BLOCK_NAMES, arguments, strict=True)), (2, arguments[0], *size))
    for arguments, size in (
        ((8, 16, 8, 3, 1, True, True), (7, 9)),
        ((8, 24, 8, 5, 1, True, False), (7, 6)),
        ((8, 40, 12, 3, 1, True, False), (1, 2)),
        ((8, 16, 12, 5, 1, False, True), (6, 5)),
        ((8, 8, 8, 3, 1, False, False), (5, 7)),
        ((8, 8, 8, 3, 2, True, False), (7, 9)),
        ((8, 24, 12, 5, 2, True, True), (5, 7)),
        ((8, 24, 8, 3, 2, False, True), (9, 7)),
    )
)


def block(
    in_channels: int,
    hidden_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int,
    use_se: bool,
    use_hs: bool,
) -> nn.Module:
    """The library's block, with the exercise's arguments."""
    from seglib.backbones.mobilenetv3 import InvertedResidual

    return InvertedResidual(
        in_channels,
        hidden_channels,
        out_channels,
        kernel_size,
        stride,
        use_se=use_se,
        activation_layer=HardSwish if use_hs else nn.ReLU,
    )


@cache
def _block_probe(index: int, place: int) -> Probe:
    return ch03_flawed.probe(ch03_block.RECIPES[index][1], BLOCK_CASES[place])


def _block_variants() -> Iterator[tuple[str, Callable[[int], Probe]]]:
    for index, (slug, _) in enumerate(ch03_block.RECIPES):
        yield slug, partial(_block_probe, index)


def _judge_block(answer: object) -> Iterator[str]:
    yield "shape"
    positional = attempted_class(answer, _BLOCK_NAMES)
    assert callable(answer)
    forms = (partial(ch03_flawed.FlawedBlock, form) for form in ch03_block.FORMS[1:])
    yield from _judge_forms(answer, [block, *forms], BLOCK_CASES, _block_variants, positional)


def _prepare() -> object:
    import seglib.backbones.mobilenetv3

    return seglib.backbones.mobilenetv3


_GATE = "class of nn.Module: __init__(channels, reduction), forward(x)"
_SPECS = (
    (
        "predict", "warm-up", 1, _judge_prediction, "predict",
        "dict of squeezed, parameters, multiply_adds of SqueezeExcite(72) on a (1, 72, 28, 28) "
        "input, and of hswish(-4), hswish(-1), hswish(1), hswish(4)",
    ),
    ("squeeze_excite", "implement", 4, _judge_gate, "squeeze_excite", _GATE),
    ("gate", "debug", 2, _judge_gate, "squeeze_excite", _GATE),
    (
        "bneck", "extend", 3, _judge_block, "bneck",
        f"class of nn.Module: __init__({', '.join(_BLOCK_NAMES)}), forward(x)",
    ),
)  # fmt: skip
TASKS = tuple(
    Task(Exercise(f"03.{name}", 3, kind, signature, points), judge, MISTAKES_OF[f"03.{words}"],
         _prepare)
    for name, kind, points, judge, words, signature in _SPECS
)  # fmt: skip
