"""The bottleneck with one mistake each: how wrong answers to chapter 05 are recognised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from seglib.teach.flawed_norm import OneModeNorm

Four = tuple[bool, bool, bool, bool]  # of the three convolutions and the projection


@dataclass(frozen=True)
class Recipe:
    """How to build the block; the defaults are right."""

    expansion: int = 4
    inner: Literal["right", "quarter of input", "wide"] = "right"
    depthwise: bool = False
    bias: Four = (False, False, False, False)
    norms: Four = (True, True, True, True)
    shared_norm: bool = False
    eps: float = 1e-5
    momentum: float = 0.1
    statistics: Literal["right", "batch", "running"] = "right"
    activation: type[nn.Module] = nn.ReLU
    last_activation: type[nn.Module] = nn.ReLU
    activated: Four = (True, True, False, False)
    after_sum: bool = True
    strided: Literal["right", "first", "middle", "last", "swapped", "both", "none"] = "right"
    dilated: bool = True
    dilated_with_stride: bool = True
    padding: Literal["right", "one", "none"] = "right"
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"
    shortcut: Literal[
        "right",
        "none",
        "unused",
        "identity",
        "where it fits",
        "always projects",
        "by channels",
        "by channels, subsampled",
        "by stride",
        "by neither",
        "by stride, or wider",
        "by stride, or narrower",
        "unstrided",
        "averaged",
        "parameter-free",
    ] = "right"
    projection_kernel: int = 1
    activated_shortcut: bool = False
    in_place: bool = False


# One of the four, the three of the main path, all.
_SOME: tuple[Four, ...] = (
    (True, False, False, False), (False, True, False, False), (False, False, True, False),
    (False, False, False, True), (True, True, True, False), (True, True, True, True),
)  # fmt: skip


def _without(some: Four) -> Four:
    return not some[0], not some[1], not some[2], not some[3]


# Which recipes stand for a mistake; where several recipes do, any of them.
RECIPES: tuple[tuple[str, Recipe], ...] = (
    ("relu-before-sum", Recipe(activated=(True, True, True, False), after_sum=False)),
    ("relu-before-sum", Recipe(activated=(True, True, True, False))),
    ("missing-relu-after-sum", Recipe(after_sum=False)),
    ("relu-on-shortcut", Recipe(activated=(True, True, False, True))),
    ("relu-on-shortcut", Recipe(activated=(True, True, True, True))),
    ("relu-on-shortcut", Recipe(activated_shortcut=True)),
    ("missing-activation", Recipe(activated=(True, False, False, False))),
    ("missing-activation", Recipe(activated=(False, True, False, False))),
    ("missing-activation", Recipe(activated=(False, False, False, False))),
    ("relu6-instead-of-relu", Recipe(activation=nn.ReLU6, last_activation=nn.ReLU6)),
    ("relu6-instead-of-relu", Recipe(activation=nn.ReLU6)),
    ("relu6-instead-of-relu", Recipe(last_activation=nn.ReLU6)),
    ("styles-swapped", Recipe(strided="swapped")),
    ("style-ignored", Recipe(strided="middle")),
    ("style-ignored", Recipe(strided="first")),
    ("stride-on-last-convolution", Recipe(strided="last")),
    ("stride-twice", Recipe(strided="both")),
    ("stride-ignored", Recipe(strided="none")),
    ("stride-ignored", Recipe(strided="none", shortcut="unstrided")),
    ("stride-ignored", Recipe(strided="none", shortcut="by neither")),
    ("dilation-ignored", Recipe(dilated=False, padding="one")),
    ("dilation-ignored", Recipe(dilated=False)),
    ("dilation-ignored", Recipe(dilated_with_stride=False)),
    ("padding-ignores-dilation", Recipe(padding="one")),
    ("missing-padding", Recipe(padding="none")),
    ("pads-with-wrong-value", Recipe(padding_mode="reflect")),
    ("pads-with-wrong-value", Recipe(padding_mode="replicate")),
    ("pads-with-wrong-value", Recipe(padding_mode="circular")),
    ("missing-shortcut", Recipe(shortcut="none")),
    ("missing-shortcut", Recipe(shortcut="unused")),
    ("missing-shortcut", Recipe(shortcut="where it fits")),
    ("missing-projection", Recipe(shortcut="identity")),
    ("projection-always", Recipe(shortcut="always projects")),
    ("projection-by-channels-only", Recipe(shortcut="by channels")),
    ("projection-by-channels-only", Recipe(shortcut="by channels, subsampled")),
    ("projection-by-stride-only", Recipe(shortcut="by stride")),
    ("projection-by-stride-only", Recipe(shortcut="by stride, or wider")),
    ("projection-by-stride-only", Recipe(shortcut="by stride, or narrower")),
    ("projection-not-strided", Recipe(shortcut="unstrided")),
    ("averaged-shortcut", Recipe(shortcut="averaged")),
    ("parameter-free-shortcut", Recipe(shortcut="parameter-free")),
    ("projection-is-3x3", Recipe(projection_kernel=3)),
    ("expansion-forgotten", Recipe(expansion=1)),
    ("expansion-forgotten", Recipe(expansion=2)),
    ("quarter-of-input", Recipe(inner="quarter of input")),
    ("wide-in-the-middle", Recipe(inner="wide")),
    ("depthwise-instead-of-dense", Recipe(depthwise=True)),
    ("batchnorm-shared", Recipe(shared_norm=True)),
    *(("missing-batchnorm", Recipe(norms=_without(some))) for some in _SOME),
    *(("conv-bias", Recipe(bias=some)) for some in _SOME),
    ("other-batchnorm-settings", Recipe(eps=1e-3)),
    ("other-batchnorm-settings", Recipe(momentum=0.01)),
    ("other-batchnorm-settings", Recipe(momentum=0.01, eps=1e-3)),
    ("ignores-eval-mode", Recipe(statistics="batch")),
    ("ignores-train-mode", Recipe(statistics="running")),
    ("modifies-input", Recipe(in_place=True)),
)


class _ZeroChannels(nn.Module):
    """Skips pixels, and adds channels of zeros or drops some: the paper's option A."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.channels - x.shape[1]))


class RecipeBlock(nn.Module):
    """A bottleneck built by a recipe.

    Args:
        recipe: what to do.
        place: how many of the three convolutions run before the shortcut is computed. It changes
            no value, but weights are matched by the order in which they are used.
        in_channels, channels, stride, dilation, caffe: as the exercise says.
    """

    def __init__(
        self,
        recipe: Recipe,
        place: int,
        in_channels: int,
        channels: int,
        stride: int,
        dilation: int,
        caffe: float,
    ) -> None:
        super().__init__()
        self.recipe, self.place = recipe, place
        out_channels = channels * recipe.expansion
        inner = {"right": channels, "quarter of input": max(1, in_channels // 4)}
        c = inner.get(recipe.inner, out_channels)
        in_first, in_middle = {
            "right": (caffe, not caffe),
            "swapped": (not caffe, caffe),
            "first": (True, False),
            "middle": (False, True),
            "both": (True, True),
            "last": (caffe, False),
        }.get(recipe.strided, (False, False))
        if not recipe.dilated_with_stride and stride != 1:
            dilation = 1
        width = {"right": dilation, "one": 1, "none": 0}[recipe.padding]
        middle = nn.Conv2d(
            c, c, 3, stride if in_middle else 1, width, dilation if recipe.dilated else 1,
            c if recipe.depthwise else 1, recipe.bias[1], recipe.padding_mode,
        )  # fmt: skip
        last_stride = stride if recipe.strided == "last" and not caffe else 1
        convolutions = (
            nn.Conv2d(in_channels, c, 1, stride if in_first else 1, bias=recipe.bias[0]),
            middle,
            nn.Conv2d(c, out_channels, 1, last_stride, bias=recipe.bias[2]),
        )
        self.steps = nn.ModuleList(
            nn.Sequential(conv, *self._after(index, conv.out_channels))
            for index, conv in enumerate(convolutions)
        )
        if recipe.shared_norm:
            first, second = self.steps[0], self.steps[1]
            assert isinstance(first, nn.Sequential)
            assert isinstance(second, nn.Sequential)
            second[1] = first[1]
        self.shortcut = self._shortcut(in_channels, out_channels, stride)
        self.last = recipe.last_activation() if recipe.after_sum else nn.Identity()

    def _after(self, index: int, channels: int) -> Iterator[nn.Module]:
        recipe = self.recipe
        if recipe.norms[index] and recipe.statistics != "right":
            yield OneModeNorm(channels, recipe.statistics == "batch")
        elif recipe.norms[index]:
            yield nn.BatchNorm2d(channels, recipe.eps, recipe.momentum)
        if recipe.activated[index]:
            yield recipe.activation()

    def _shortcut(self, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
        """Identity, a projection, or none, as the recipe says."""
        kind, kernel = self.recipe.shortcut, self.recipe.projection_kernel
        same = in_channels == out_channels
        fits = stride == 1 and same
        if kind == "none" or (kind == "where it fits" and not fits):
            return None
        if kind == "parameter-free":
            return _ZeroChannels(out_channels, stride)
        identity = {
            "identity": True,
            "always projects": False,
            "by channels": same,
            "by channels, subsampled": same,
            "by stride": stride == 1,
            "by neither": same,
            "by stride, or wider": stride == 1 and in_channels >= out_channels,
            "by stride, or narrower": stride == 1 and in_channels <= out_channels,
        }.get(kind, fits)
        if identity:
            step = stride if kind == "by channels, subsampled" else 1
            return nn.MaxPool2d(1, step) if step > 1 else nn.Identity()
        pool = [nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)]
        step = 1 if kind in ("unstrided", "averaged", "by neither") else stride
        convolution = nn.Conv2d(
            in_channels, out_channels, kernel, step, kernel // 2, bias=self.recipe.bias[3]
        )
        return nn.Sequential(
            *(pool if kind == "averaged" and stride > 1 else []),
            convolution,
            *self._after(3, out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        out, shortcut = x, None
        side = None if self.recipe.shortcut == "unused" else self.shortcut
        for index, step in enumerate((*self.steps, nn.Identity())):
            if side is not None and index == self.place:
                shortcut = side(x)
            out = step(out)
        if shortcut is None:
            return self.last(out)
        if self.recipe.in_place and shortcut is x:
            return self.last(x.add_(out))
        if self.recipe.activated_shortcut:
            shortcut = F.relu(shortcut)
        return self.last(shortcut + out)
