"""Chapter 08, the feature pyramid: one exercise of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

from torch import Tensor, nn

from seglib.teach.answers import Calls, attempted_class, judge_values, shape_or_number
from seglib.teach.chapters import ch08_plan
from seglib.teach.chapters.ch08_variants import RECIPES, FlawedPyramid
from seglib.teach.map_judging import judge_maps
from seglib.teach.map_probing import NAMES, MapsCase, MapsProbe
from seglib.teach.ownership import refuse_modules
from seglib.teach.remembering import remembers
from seglib.teach.tasks import MISTAKES_OF, Exercise, Task, Wrong

# Implement and debug: the pyramid.

_FPN = (
    "class of nn.Module: __init__(in_channels_list, out_channels), "
    "forward(features) -> list of maps, high resolution first"
)
CASES = (
    MapsCase((3, 5, 7, 9), 4, ((17, 25), (9, 13), (5, 7), (3, 4))),
    MapsCase((3, 5, 7), 4, ((16, 24), (8, 12), (4, 6))),
    MapsCase((5, 3, 6), 2, ((9, 12), (5, 6), (5, 6))),
    MapsCase((5, 3), 4, ((11, 7), (4, 3))),
    MapsCase((5,), 4, ((5, 7),)),
)


@cache
def _right() -> list[MapsProbe]:
    from seglib.heads import FPN

    return [MapsProbe(FPN, case) for case in CASES]


@cache
def _probe(index: int, place: int) -> MapsProbe:
    return MapsProbe(partial(FlawedPyramid, RECIPES[index][1]), CASES[place])


def _variants() -> Iterator[tuple[str, Callable[[int], MapsProbe]]]:
    for index, (slug, _) in enumerate(RECIPES):
        yield slug, partial(_probe, index)


def _recognize(wrong: list[int]) -> str | None:
    """A mistake by the cases that fail."""
    if {2, 3} <= set(wrong) <= {0, 2, 3}:  # right where every map is twice the next
        return "fixed-factor"
    if wrong == [1, 2, 3, 4]:  # right with four maps
        return "fixed-number-of-levels"
    return None


def _judge_fpn(answer: object) -> Iterator[str]:
    yield "shape"
    positional = attempted_class(answer, NAMES)
    assert callable(answer)
    yield from judge_maps(
        answer, _right(), _variants, Calls().watch, refuse_modules, positional, _recognize
    )
    small, large = CASES[2], MapsCase((5, 3, 6), 2, ((20, 11), (10, 6), (5, 3)))
    names = dict(zip(NAMES, (list(small.in_channels), small.out_channels), strict=True))
    module = answer(*names.values()) if positional else answer(**names)
    if remembers(module, partial(_maps, small), partial(_maps, large), Calls().watch):
        raise Wrong("size-remembered", f"First {small.describe()}; then {large.describe()}.")


def _maps(case: MapsCase) -> list[Tensor]:
    """New maps of a case."""
    return [x.clone() for x in MapsProbe(nn.Identity, case).maps]


# The warm-up: sizes and costs of one pyramid.

_CHANNELS, _STRIDES, _OUT, _IMAGE = (24, 32, 96, 320), (4, 8, 16, 32), 64, (100, 65)


def _prediction() -> tuple[dict[str, object], dict[str, dict[object, str]]]:
    """The right answer, and what known mistakes give for each of its parts."""
    from seglib.teach.pyramid import pyramid_facts

    facts = pyramid_facts(_CHANNELS, _STRIDES, _OUT, *_IMAGE, top="max pool")
    shapes = [(1, *level.shape) for level in facts.levels]
    right: dict[str, object] = {
        "maps": len(shapes),
        "finest": shapes[0],
        "coarsest": shapes[-1],
        "parameters": facts.parameters,
        "multiply_adds": facts.multiply_adds,
    }
    pixels = [shape[2] * shape[3] for shape in shapes[:4]]
    floor = [(_IMAGE[0] // stride) * (_IMAGE[1] // stride) for stride in _STRIDES]
    lateral, smooth = sum(_CHANNELS) * _OUT, 9 * _OUT * _OUT
    weights, biases = lateral + 4 * smooth, 8 * _OUT
    each = [channels * _OUT + smooth for channels in _CHANNELS]
    work = facts.multiply_adds

    def total(per_level: Sequence[int], sizes: Sequence[int]) -> int:
        return sum(one * size for one, size in zip(per_level, sizes, strict=True))

    wrong: dict[str, dict[object, str]] = {
        "maps": {4: "top-block-forgotten"},
        "finest": {
            (1, _OUT, 25, 16): "floor-instead-of-ceil",
            (1, _OUT, 24, 16): "floor-instead-of-ceil",
            (1, 24, 25, 17): "input-channels-kept",
            (1, _OUT, *_IMAGE): "image-size-kept",
            (1, _OUT, 17, 25): "size-order",
            (1, 25, 17, _OUT): "size-order",
        },
        "coarsest": {
            shapes[3]: "top-block-forgotten",
            (1, _OUT, 1, 1): "floor-instead-of-ceil",
            (1, _OUT, 2, 1): "floor-instead-of-ceil",
            (1, _OUT, 3, 2): "top-block-forgotten",
            (1, 2, 2, _OUT): "size-order",
            (1, 320, 2, 2): "input-channels-kept",
            (1, 320, 4, 3): "top-block-forgotten",
        },
        "parameters": {
            weights: "bias-forgotten",
            weights + biases // 2: "bias-forgotten",
            weights + biases + smooth + _OUT: "top-block-counted",
            weights + smooth: "top-block-counted",
            lateral + smooth + 5 * _OUT: "smoothing-counted-once",
            lateral + smooth: "smoothing-counted-once",
            lateral + 4 * _OUT: "smoothing-forgotten",
            lateral: "smoothing-forgotten",
            4 * smooth + 4 * _OUT: "lateral-forgotten",
            4 * smooth: "lateral-forgotten",
            9 * lateral + 4 * smooth + biases: "lateral-counted-3x3",
            9 * lateral + 4 * smooth: "lateral-counted-3x3",
            lateral + 4 * _OUT * _OUT + biases: "smoothing-counted-1x1",
            lateral + 4 * _OUT * _OUT: "smoothing-counted-1x1",
            10 * lateral + biases: "smoothing-from-input-channels",
            10 * lateral: "smoothing-from-input-channels",
            weights + 2 * biases: "normalization-counted",
            weights + 3 * biases: "normalization-counted",
            weights + biases + biases // 2: "normalization-counted",
        },
        "multiply_adds": {
            2 * work: "counted-twice",
            work + 2 * _OUT * sum(pixels): "bias-counted-as-work",
            weights * pixels[0]: "macs-at-finest-resolution",
            weights * _IMAGE[0] * _IMAGE[1]: "macs-at-finest-resolution",
            weights: "pixels-forgotten",
            weights + biases: "pixels-forgotten",
            total(each, floor): "floor-instead-of-ceil",
            total([9 * c * _OUT + smooth for c in _CHANNELS], pixels): "lateral-counted-3x3",
            total([c * _OUT + _OUT * _OUT for c in _CHANNELS], pixels): "smoothing-counted-1x1",
            total([10 * c * _OUT for c in _CHANNELS], pixels): "smoothing-from-input-channels",
            total([c * _OUT for c in _CHANNELS], pixels): "smoothing-forgotten",
            smooth * sum(pixels): "lateral-forgotten",
            work + smooth * shapes[4][2] * shapes[4][3]: "top-block-counted",
        },
    }
    return right, wrong


def _judge_prediction(answer: object) -> Iterator[str]:
    yield from judge_values(
        answer, *_prediction(), convert=partial(shape_or_number, shapes=("finest", "coarsest"))
    )


def _prepare() -> object:
    import seglib.teach.pyramid

    return seglib.teach.pyramid


_SPECS = (
    (
        "predict", "warm-up", 1, _judge_prediction,
        "dict of maps (how many), finest, coarsest (their shapes), parameters, multiply_adds: "
        "FPN([24, 32, 96, 320], 64, LastLevelMaxPool()) on the maps of one 100×65 image",
    ),
    ("fpn", "implement", 4, _judge_fpn, _FPN),
    ("odd_sizes", "debug", 2, _judge_fpn, _FPN),
    (
        "branch_plan", "extend", 3, ch08_plan.judge,
        "branch_plan(sizes, fpn_channels, head_channels) -> for each level a list of stages "
        "(in_channels, out_channels, size of the convolution, size afterwards)",
    ),
)  # fmt: skip
TASKS = tuple(
    Task(
        Exercise(f"08.{name}", 8, kind, signature, points),
        judge,
        MISTAKES_OF["08.fpn" if name == "odd_sizes" else f"08.{name}"],
        _prepare,
    )
    for name, kind, points, judge, signature in _SPECS
)
