"""Chapter 05's debugging: a stage at stride 1, with the same weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations, product

import torch
from torch import Tensor, nn

from seglib.teach.answers import Calls, function_answer
from seglib.teach.interrupting import TimeLimit
from seglib.teach.probing import same
from seglib.teach.randomness import randomize
from seglib.teach.shapes import Shapes
from seglib.teach.tasks import Wrong

# Mistakes that exclude each other; a word behind one tells a second form of it.
_REST = (
    "padding-forgotten", "padding-forgotten always", "shortcut-still-strided", "stride-kept",
    "stride-kept always", "dilation-forgotten",
)  # fmt: skip
_FIRST = (
    "first-block-dilated", "behind-the-stride-undilated", "dilation-grows", "shortcut-counted",
)  # fmt: skip
_SET = (
    "dilation-not-multiplied", "dilation-not-multiplied always", "dilation-not-multiplied larger",
)  # fmt: skip
_RATE = ("rate-hard-coded",)


def dense(stage: nn.Module, *mistakes: str) -> nn.Module:
    """A copy of `stage` without its stride: each 3×3 convolution behind it is dilated instead.

    With `mistakes`, as somebody who makes them would write it.
    """
    stage = copy.deepcopy(stage)
    if "stride-kept always" in mistakes:
        return stage
    total = math.prod(conv.stride[0] for _, conv in _main_path(stage))
    rate = 1
    for block, conv in _main_path(stage):
        factor = _factor(block, rate, total, mistakes)
        if conv.kernel_size == (3, 3) and "dilation-forgotten" not in mistakes:
            dilation = factor * conv.dilation[0]
            if "dilation-not-multiplied always" in mistakes:
                dilation = factor
            elif "dilation-not-multiplied larger" in mistakes:
                dilation = max(factor, conv.dilation[0])
            elif "dilation-not-multiplied" in mistakes:
                dilation = factor if factor > 1 else conv.dilation[0]
            conv.dilation = (dilation, dilation)
            if "padding-forgotten always" in mistakes:
                conv.padding = (1, 1)
            elif "padding-forgotten" not in mistakes:
                conv.padding = (dilation, dilation)
        rate *= conv.stride[0]
        if "stride-kept" not in mistakes:
            conv.stride = (1, 1)
    for name, part in stage.named_modules():
        on_shortcut = isinstance(part, nn.Conv2d) and "downsample" in name
        if on_shortcut and not {"shortcut-still-strided", "stride-kept"} & set(mistakes):
            part.stride = (1, 1)
    return stage


def _factor(block: int, rate: int, total: int, mistakes: tuple[str, ...]) -> int:
    """What a 3×3 convolution's dilation is multiplied by: `rate`, the strides before it."""
    if "first-block-dilated" in mistakes:
        rate = total
    if "behind-the-stride-undilated" in mistakes:
        rate = 1 if block == 0 else total
    if "dilation-grows" in mistakes:
        rate = total**block
    if "shortcut-counted" in mistakes and block > 0:
        rate = total**2
    return 2 if "rate-hard-coded" in mistakes and rate > 1 else rate


def _main_path(stage: nn.Module) -> Iterator[tuple[int, nn.Conv2d]]:
    """The convolutions in the order in which they run, with the number of their block."""
    for index, block in enumerate(stage.children()):
        for name, part in block.named_modules():
            if isinstance(part, nn.Conv2d) and "downsample" not in name:
                yield index, part


Fact = Tensor | str  # the output, or the kind of error and how far the pass came


@cache
def _questions() -> tuple[tuple[str, nn.Module, Tensor], ...]:
    """(what it is, a stage, its input); the stages are copied before they are handed out."""
    from seglib.backbones.resnet_blocks import BasicBlock, BlockOptions, Bottleneck

    def stage(basic: bool, style: str, stride: int, dilations: tuple[int, ...]) -> nn.Module:
        options = BlockOptions(style="caffe" if style == "caffe" else "pytorch")
        blocks, channels = nn.Sequential(), 6
        for index, dilation in enumerate(dilations):
            step = stride if index == 0 else 1
            if basic:
                blocks.append(BasicBlock(channels, 8, step, dilation, dilation))
            else:
                blocks.append(Bottleneck(channels, 2, step, dilation, dilation, options))
            channels = 8
        return randomize(blocks.double(), seed=len(dilations) + stride).eval()

    described = (
        ("a stage of style pytorch", False, "pytorch", 2, (1, 1, 1)),
        ("a stage without a stride", False, "pytorch", 1, (1, 1)),
        ("a stage of style pytorch that is dilated already", False, "pytorch", 2, (2, 2)),
        ("a stage with multi-grid", False, "pytorch", 2, (1, 2, 4)),
        ("a stage with stride 3", False, "pytorch", 3, (1, 1)),
        ("a stage of style caffe", False, "caffe", 2, (1, 1)),
        ("a stage of BasicBlocks", True, "pytorch", 2, (1, 1)),
    )
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(1, 6, 13, 16, dtype=torch.float64, generator=generator)
    return tuple((words, stage(*rest), x) for words, *rest in described)  # type: ignore[arg-type]


def _run(stage: object, x: Tensor) -> Fact:
    shapes = Shapes()
    try:
        with torch.no_grad(), shapes:
            out = stage(x.clone())  # type: ignore[operator]
    except TimeLimit:
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return f"{type(error).__name__} after {shapes.found}"
    return out if isinstance(out, Tensor) else f"no tensor but {type(out).__name__}"


@cache
def _behaviour(mistakes: tuple[str, ...], place: int) -> Fact:
    _, stage, x = _questions()[place]
    return _run(dense(stage, *mistakes), x)


def _flaws() -> Iterator[tuple[str, ...]]:
    """Mistakes alone, then in pairs."""
    groups: tuple[tuple[str, ...], ...] = (_REST, _FIRST, _SET, _RATE)
    for group in groups:
        yield from ((mistake,) for mistake in group)
    for group, other in combinations(groups, 2):
        yield from product(group, other)


def _settings(stage: nn.Module) -> str:
    convolutions = (part for part in stage.modules() if isinstance(part, nn.Conv2d))
    return " ".join(map(repr, convolutions))


def judge_dense(answer: object) -> Iterator[str]:
    """The stages of `05.dense`."""
    yield "shape"
    function = function_answer(answer, 1)
    calls = Calls()
    found: list[Fact] = []
    for words, stage, x in _questions():
        given = copy.deepcopy(stage)
        result = calls(function, given)
        if result is None:
            raise Wrong("wrong-type", "It returns None: is there a return?")
        if not isinstance(result, nn.Module):
            raise Wrong("wrong-type", f"A module is asked for, got {type(result).__name__}.")
        if _settings(given) != _settings(stage) or not _equal_states(given, stage):
            raise Wrong("changes-stage")
        if not _equal_states(result, stage):
            raise Wrong("changes-weights", f"It shows with {words}.")
        nn.Module.eval(result)
        found.append(_run(result, x))
    right = [_behaviour((), place) for place in range(len(found))]
    shapes = [fact.shape if isinstance(fact, Tensor) else fact for fact in found]
    if shapes != [fact.shape for fact in right if isinstance(fact, Tensor)]:
        raise _dense_mistake(found, right)
    yield "values"
    if not all(same(a, b) for a, b in zip(found, right, strict=True)):
        raise _dense_mistake(found, right)


def _equal_states(a: nn.Module, b: nn.Module) -> bool:
    mine, other = (list(nn.Module.state_dict(one).values()) for one in (a, b))
    return len(mine) == len(other) and all(map(torch.equal, mine, other))


def _dense_mistake(found: Sequence[Fact], right: Sequence[Fact]) -> Wrong:
    place = next(i for i, (a, b) in enumerate(zip(found, right, strict=True)) if not same(a, b))
    where = f"It shows with {_questions()[place][0]}."
    for mistakes in _flaws():
        if all(same(fact, _behaviour(mistakes, place)) for place, fact in enumerate(found)):
            return Wrong(mistakes[0].split()[0], where)
    fact = found[place]
    if isinstance(fact, str):
        return Wrong("raised-exception", f"{where} Running the result raises {fact.split()[0]}.")
    expected = right[place]
    assert isinstance(expected, Tensor)
    return Wrong("wrong-values" if fact.shape == expected.shape else "wrong-shape", where)
