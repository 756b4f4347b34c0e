"""Chapter 10, the decoder of DeepLabV3+: one exercise of each kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor, nn

from seglib.teach.answers import Calls, attempted_class, judge_values, shape_or_number
from seglib.teach.chapters import ch10_counting, ch10_variants
from seglib.teach.interrupting import TimeLimit
from seglib.teach.ownership import refuse_modules
from seglib.teach.probing import Case, Probe, judge_module
from seglib.teach.tasks import MISTAKES_OF, Exercise, Task, Wrong
from seglib.teach.two_maps import MakesTwoMaps, TwoMaps

# Implement and debug: the decoder.

NAMES = (
    "in_channels", "low_level_channels", "aspp_channels", "num_classes", "decoder_convs",
    "align_corners",
)  # fmt: skip
_DECODER = f"class of nn.Module: __init__({', '.join(NAMES)}), forward(low_level, high)"
# (height, width) of the low-level map, and of ASPP's: 4 times as large, at odd sizes, equal, and
# 15 of 11, where 11 · (15 / 11) is less than 15.
SIZES = {(12, 16): (3, 4), (9, 11): (3, 3), (5, 7): (5, 7), (15, 6): (11, 2)}


@dataclass(frozen=True)
class PairCase(Case):
    """Arguments of the constructor, and the shape of the tensor that holds both maps."""

    def describe(self) -> str:
        arguments = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        low, high = self.shape[2:], SIZES[self.shape[2], self.shape[3]]
        return f"({arguments}) on maps of {low[0]}×{low[1]} and {high[0]}×{high[1]}"


def _case(size: tuple[int, int], *arguments: int) -> Case:
    return PairCase(
        dict(zip(NAMES, arguments, strict=True)), (2, arguments[0] + arguments[2], *size)
    )


CASES = (
    _case((12, 16), 6, 3, 5, 4, 1, False),
    _case((9, 11), 6, 3, 5, 4, 2, True),
    _case((9, 11), 4, 2, 3, 1, 1, False),
    _case((5, 7), 6, 3, 5, 4, 3, False),
    _case((15, 6), 3, 7, 4, 2, 2, False),
    _case((12, 16), 5, 4, 4, 3, 1, True),
)


class LibraryDecoder(nn.Module):
    """The library's head without its ASPP, which the second map has been through already."""

    def __init__(
        self,
        in_channels: int,
        low_level_channels: int,
        aspp_channels: int,
        num_classes: int,
        decoder_convs: int,
        align_corners: bool,
    ) -> None:
        from seglib.heads import DeepLabV3PlusHead

        super().__init__()
        self.head = DeepLabV3PlusHead(
            [in_channels, 1],
            num_classes,
            aspp_rates=(1,),
            aspp_channels=aspp_channels,
            low_level_channels=low_level_channels,
            decoder_convs=decoder_convs,
            align_corners=bool(align_corners),
        )
        self.head.aspp = nn.Identity()  # type: ignore[assignment]

    def forward(self, low_level: Tensor, high: Tensor) -> Tensor:
        logits: Tensor = self.head([low_level, high])
        return logits


@cache
def _probe(index: int, place: int) -> Probe:
    recipe = ch10_variants.RECIPES[index][1]
    make = MakesTwoMaps(partial(ch10_variants.FlawedDecoder, recipe), SIZES)
    return Probe(make, CASES[place])


def _variants() -> Iterator[tuple[str, Callable[[int], Probe]]]:
    for index, (slug, _) in enumerate(ch10_variants.RECIPES):
        yield slug, partial(_probe, index)


def _judge_decoder(answer: object) -> Iterator[str]:
    yield "shape"
    positional = attempted_class(answer, NAMES)
    assert callable(answer)
    make, calls = MakesTwoMaps(answer, SIZES, positional), Calls()
    reference = MakesTwoMaps(LibraryDecoder, SIZES)
    try:
        yield from judge_module(make, reference, CASES, _variants, calls.watch, _inspect, False)
    except Wrong as wrong:
        slug = _particular(wrong, make, calls)
        if slug:
            raise Wrong(slug, wrong.detail if slug == "sizes-differ" else "") from None
        raise


def _particular(wrong: Wrong, make: MakesTwoMaps, calls: Calls) -> str:
    """The mistake behind a general slug, where there is a sign of it."""
    if wrong.name == "wrong-train-eval" and _draws(make, calls):
        return "dropout-added"
    if wrong.name != "raised-exception":
        return ""
    if "Sizes of tensors must match" in wrong.detail:
        return "sizes-differ"
    sizes = [int(size) for pair in _MISFIT.findall(wrong.detail) for size in pair if size]
    return "widths-hard-coded" if max(sizes, default=0) > 20 else ""  # no case is as wide


# What torch says of a convolution or a BatchNorm that meets another number of channels.
_MISFIT = re.compile(r"weight of size \[(\d+), (\d+)|running_mean should contain (\d+)[^\d]+(\d+)")


def _inspect(module: nn.Module) -> None:
    assert isinstance(module, TwoMaps)
    refuse_modules(module.inner)


def _draws(make: MakesTwoMaps, calls: Calls) -> bool:
    """Whether two passes in train mode differ although nothing has changed."""
    probe = Probe(make, CASES[1], calls.watch)
    try:
        probe.facts("values")
        probe.set_mode(True)
        with torch.no_grad():
            return not torch.equal(probe.forward(probe.x), probe.forward(probe.x))
    except TimeLimit:
        raise
    except Exception:
        return False


# The warm-up: four numbers of one decoder.

LOW, HIGH = (24, 65, 97), (320, 17, 25)  # channels, height, width of the two maps
_CLASSES, _REDUCED, _ASPP = 19, 32, 256


def _weights(
    reduced: int = _REDUCED,
    read: tuple[int, ...] = (_REDUCED + _ASPP, _ASPP),
    kernel: int = 9,
    project: bool = True,
    classify: bool = True,
) -> tuple[int, int]:
    """Weights of the convolutions, and scales and shifts of the BatchNorms behind them."""
    weights = sum(channels * _ASPP * kernel for channels in read)
    norms = 2 * _ASPP * len(read)
    if project:
        weights, norms = weights + LOW[0] * reduced, norms + 2 * reduced
    return weights + (_ASPP * _CLASSES if classify else 0), norms


def _prediction() -> tuple[dict[str, object], dict[str, dict[object, str]]]:
    """The right answer, and what known mistakes give for each of its parts."""
    weights, norms = _weights()
    joined, pixels = _REDUCED + _ASPP, LOW[1] * LOW[2]
    right: dict[str, object] = {
        "shape": (1, _CLASSES, *LOW[1:]),
        "joined_channels": joined,
        "parameters": weights + norms + _CLASSES,
        "multiply_adds": weights * pixels,
    }
    flawed = {
        "reads-joined-again": _weights(read=(joined, joined)),
        "one-conv-only": _weights(read=(joined,)),
        "kernel-forgotten": _weights(kernel=1),
        "default-48-channels": _weights(48, (48 + _ASPP, _ASPP)),
        "low-level-forgotten": _weights(read=(_ASPP, _ASPP), project=False),
        "projection-forgotten": _weights(read=(LOW[0] + _ASPP, _ASPP), project=False),
        "aspp-forgotten": _weights(read=(_REDUCED + HIGH[0], _ASPP)),
        "classifier-forgotten": _weights(classify=False),
    }
    parameters: dict[object, str] = {
        weights + norms: "classifier-bias-forgotten",
        weights: "forgot-batchnorm",
        weights + _CLASSES: "forgot-batchnorm",
        weights + norms + _CLASSES + norms // 2: "bias-counted",
        weights + _CLASSES + norms // 2: "forgot-batchnorm",
        weights + 2 * norms + _CLASSES: "buffers-counted",
        weights + norms + _CLASSES - LOW[0] * _REDUCED: "projection-forgotten",
        weights + norms + _CLASSES - LOW[0] * _REDUCED - 2 * _REDUCED: "projection-forgotten",
    }
    work: dict[object, str] = {
        2 * weights * pixels: "counted-twice",
        weights * HIGH[1] * HIGH[2]: "at-output-stride",
        weights * pixels * 16: "enlarged-to-image",
        weights: "pixels-forgotten",
        (weights + _CLASSES) * pixels: "bias-counted",
        (weights + norms // 2 + _CLASSES) * pixels: "bias-counted",
        (weights + norms + _CLASSES) * pixels: "norms-counted",
        (weights + norms // 2) * pixels: "norms-counted",
        (weights + norms) * pixels: "norms-counted",
        (weights - LOW[0] * _REDUCED) * pixels: "projection-forgotten",
    }
    for slug, (other, others_norms) in flawed.items():
        bias = 0 if slug == "classifier-forgotten" else _CLASSES
        parameters.setdefault(other + others_norms + bias, slug)
        work.setdefault(other * pixels, slug)
    wrong: dict[str, dict[object, str]] = {
        "shape": {
            (1, _CLASSES, *HIGH[1:]): "at-output-stride",
            (1, _CLASSES, 4 * LOW[1], 4 * LOW[2]): "enlarged-to-image",
            (1, _CLASSES, 4 * LOW[1] - 3, 4 * LOW[2] - 3): "enlarged-to-image",
            (1, _CLASSES, 4 * HIGH[1], 4 * HIGH[2]): "fixed-scale-factor",
            (1, _CLASSES, LOW[1] - 4, LOW[2] - 4): "padding-forgotten",
            (1, _CLASSES, LOW[1] - 2, LOW[2] - 2): "padding-forgotten",
            (1, _ASPP, *LOW[1:]): "classifier-forgotten",
        },
        "joined_channels": {
            _ASPP: "low-level-forgotten",
            48 + _ASPP: "default-48-channels",
            LOW[0] + _ASPP: "projection-forgotten",
            _REDUCED: "aspp-forgotten",
            _REDUCED + HIGH[0]: "aspp-forgotten",
            LOW[0] + HIGH[0]: "aspp-forgotten",
        },
        "parameters": parameters,
        "multiply_adds": work,
    }
    return right, wrong


def _judge_prediction(answer: object) -> Iterator[str]:
    yield from judge_values(answer, *_prediction(), convert=shape_or_number)


def _prepare() -> object:
    import seglib.heads

    return seglib.heads


_SPECS = (
    (
        "predict", "warm-up", 1, _judge_prediction,
        "dict of shape (a tuple), joined_channels, parameters, multiply_adds: "
        "DeepLabV3PlusHead([24, 320], 19, low_level_channels=32, decoder_convs=2), without its "
        "ASPP, on maps (1, 24, 65, 97) and (1, 320, 17, 25)",
    ),
    ("decoder", "implement", 4, _judge_decoder, _DECODER),
    ("mended", "debug", 2, _judge_decoder, _DECODER),
    (
        "multiply_adds", "extend", 3, ch10_counting.judge,
        "multiply_adds(model, x) -> {name of the layer: multiply-adds for one image}",
    ),
)  # fmt: skip
TASKS = tuple(
    Task(
        Exercise(f"10.{name}", 10, kind, signature, points),
        judge,
        MISTAKES_OF["10.decoder" if name == "mended" else f"10.{name}"],
        _prepare,
    )
    for name, kind, points, judge, signature in _SPECS
)
