"""The inverted residual with one mistake each: how wrong answers to chapter 02 are recognised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from seglib.teach.flawed_norm import OneModeNorm


@dataclass(frozen=True)
class Recipe:
    """How to build the block; the defaults are right."""

    hidden: Literal["input", "output"] = "input"
    always_expand: bool = False
    dense: bool = False
    grouped: Literal["hidden", "input"] = "hidden"
    bias: tuple[bool, bool, bool] = (False, False, False)
    norms: tuple[bool, bool, bool] = (True, True, True)
    eps: float = 1e-5
    momentum: float = 0.1
    statistics: Literal["right", "batch", "running"] = "right"
    activation: type[nn.Module] = nn.ReLU6
    activated: tuple[bool, bool, bool] = (True, True, False)
    capped: tuple[bool, bool] = (True, True)
    strided: Literal["first", "expansion", "depthwise", "projection", "all", "none"] = "depthwise"
    dilated: bool = True
    dilated_with_stride: bool = True
    padding: Literal["right", "one", "none"] = "right"
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"
    pads_input: bool = False
    pad_value: float = 0.0
    shortcut: Literal[
        "right",
        "none",
        "any stride",
        "any channels",
        "fewer channels",
        "more channels",
        "always",
        "convolution",
        "subsampled",
        "undilated",
        "expanded",
        "cropped",
    ] = "right"
    after_sum: Literal["nothing", "activation", "always activation"] = "nothing"
    sum_activation: type[nn.Module] = nn.ReLU6
    in_place: bool = False


# Which recipes stand for a mistake; where several recipes do, any of them.
RECIPES: tuple[tuple[str, Recipe], ...] = (
    ("relu-after-projection", Recipe(activated=(True, True, True))),
    ("relu-after-projection", Recipe(activated=(True, True, True), activation=nn.ReLU)),
    ("relu-after-sum", Recipe(after_sum="activation")),
    ("relu-after-sum", Recipe(after_sum="activation", sum_activation=nn.ReLU)),
    ("relu-after-sum", Recipe(after_sum="always activation")),
    ("relu-after-sum", Recipe(after_sum="always activation", sum_activation=nn.ReLU)),
    ("missing-activation", Recipe(activated=(False, True, False))),
    ("missing-activation", Recipe(activated=(True, False, False))),
    ("missing-activation", Recipe(activated=(False, False, False))),
    ("relu-instead-of-relu6", Recipe(activation=nn.ReLU)),
    ("relu-instead-of-relu6", Recipe(capped=(False, True))),
    ("relu-instead-of-relu6", Recipe(capped=(True, False))),
    ("pad-before-expansion", Recipe(pads_input=True, padding="none")),
    ("pads-with-wrong-value", Recipe(padding_mode="replicate")),
    ("pads-with-wrong-value", Recipe(padding_mode="reflect")),
    ("pads-with-wrong-value", Recipe(padding_mode="circular")),
    ("pads-with-wrong-value", Recipe(padding="none", pad_value=1.0)),
    ("pads-with-wrong-value", Recipe(padding="none", pad_value=6.0)),
    ("padded-twice", Recipe(pads_input=True)),
    ("crop-instead-of-pad", Recipe(padding="none", shortcut="cropped")),
    ("missing-padding", Recipe(padding="none")),
    ("padding-ignores-dilation", Recipe(padding="one")),
    ("dilation-ignored", Recipe(dilated=False, padding="one")),
    ("dilation-ignored", Recipe(dilated=False)),
    ("dilation-ignored", Recipe(dilated_with_stride=False)),
    ("stride-ignored", Recipe(strided="none")),
    ("stride-on-wrong-conv", Recipe(strided="first")),
    ("stride-on-wrong-conv", Recipe(strided="expansion")),
    ("stride-on-wrong-conv", Recipe(strided="projection")),
    ("stride-on-wrong-conv", Recipe(strided="all")),
    ("shortcut-with-stride", Recipe(shortcut="any stride")),
    ("shortcut-with-stride", Recipe(shortcut="subsampled")),
    ("shortcut-channel-mismatch", Recipe(shortcut="any channels")),
    ("shortcut-channel-mismatch", Recipe(shortcut="fewer channels")),
    ("shortcut-channel-mismatch", Recipe(shortcut="more channels")),
    ("shortcut-always", Recipe(shortcut="always")),
    ("missing-shortcut", Recipe(shortcut="none")),
    ("missing-shortcut", Recipe(shortcut="expanded")),
    ("shortcut-lost-by-dilation", Recipe(shortcut="undilated")),
    ("projection-shortcut", Recipe(shortcut="convolution")),
    ("dense-instead-of-depthwise", Recipe(dense=True)),
    ("dense-instead-of-depthwise", Recipe(grouped="input")),
    ("expansion-when-ratio-1", Recipe(always_expand=True)),
    ("expansion-on-output", Recipe(hidden="output")),
    *(
        ("missing-batchnorm", Recipe(norms=(a, b, c)))
        for a in (True, False) for b in (True, False) for c in (True, False) if not (a and b and c)
    ),
    *(
        ("conv-bias", Recipe(bias=(a, b, c)))
        for a in (True, False) for b in (True, False) for c in (True, False) if a or b or c
    ),
    ("other-batchnorm-settings", Recipe(eps=1e-3)),
    ("other-batchnorm-settings", Recipe(momentum=0.01)),
    ("other-batchnorm-settings", Recipe(momentum=0.01, eps=1e-3)),
    ("ignores-eval-mode", Recipe(statistics="batch")),
    ("ignores-train-mode", Recipe(statistics="running")),
    ("modifies-input", Recipe(in_place=True)),
)  # fmt: skip


class _PadValue(nn.Module):
    def __init__(self, width: int, value: float) -> None:
        super().__init__()
        self.width, self.value = width, value

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (self.width,) * 4, value=self.value)


class FlawedBlock(nn.Module):
    """An inverted residual built by a recipe."""

    def __init__(
        self,
        recipe: Recipe,
        in_channels: int,
        out_channels: int,
        stride: int,
        dilation: int,
        expand_ratio: float,
    ) -> None:
        super().__init__()
        self.recipe, self.stride, self.dilation = recipe, stride, dilation
        hidden = round((in_channels if recipe.hidden == "input" else out_channels) * expand_ratio)
        expands = recipe.always_expand or expand_ratio != 1
        if not recipe.dilated_with_stride and stride != 1:
            dilation = 1
        width = {"right": dilation, "one": 1, "none": 0}[recipe.padding]
        self.margin = dilation if recipe.pads_input else 0
        strides = {
            place: stride if recipe.strided in (place, "all") else 1
            for place in ("expansion", "depthwise", "projection")
        }
        if recipe.strided == "first":
            strides["expansion" if expands else "depthwise"] = stride
        layers: list[nn.Module] = []
        if expands:
            conv = nn.Conv2d(in_channels, hidden, 1, strides["expansion"], bias=recipe.bias[0])
            layers += [conv, *self._after(0, hidden)]
        if recipe.padding == "none" and recipe.pad_value:
            layers.append(_PadValue(dilation, recipe.pad_value))
        groups = 1 if recipe.dense else in_channels if recipe.grouped == "input" else hidden
        layers.append(
            nn.Conv2d(
                hidden, hidden, 3, strides["depthwise"], width, dilation if recipe.dilated else 1,
                groups, recipe.bias[1], recipe.padding_mode,
            )
        )  # fmt: skip
        layers += self._after(1, hidden)
        layers.append(
            nn.Conv2d(hidden, out_channels, 1, strides["projection"], bias=recipe.bias[2])
        )
        layers += self._after(2, out_channels)
        self.conv = nn.Sequential(*layers)
        self.last = nn.Identity() if recipe.after_sum == "nothing" else recipe.sum_activation()
        fits = stride == 1 and in_channels == out_channels
        self.use_shortcut = {
            "right": fits,
            "none": False,
            "any stride": in_channels == out_channels,
            "any channels": stride == 1,
            "fewer channels": stride == 1 and in_channels >= out_channels,
            "more channels": stride == 1 and in_channels <= out_channels,
            "always": True,
            "convolution": stride == 1,
            "subsampled": in_channels == out_channels,
            "undilated": fits and dilation == 1,
            "expanded": fits and expand_ratio != 1,
            "cropped": fits,
        }[recipe.shortcut]
        if recipe.shortcut == "convolution" and in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
            )

    def _after(self, place: int, channels: int) -> Iterator[nn.Module]:
        recipe = self.recipe
        if recipe.norms[place] and recipe.statistics != "right":
            yield OneModeNorm(channels, recipe.statistics == "batch")
        elif recipe.norms[place]:
            yield nn.BatchNorm2d(channels, recipe.eps, recipe.momentum)
        if recipe.activated[place]:
            capped = place == 2 or recipe.capped[place]
            yield recipe.activation() if capped else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, (self.margin,) * 4) if self.margin else x)
        if not self.use_shortcut:
            return self.last(out) if self.recipe.after_sum == "always activation" else out
        shortcut: Tensor = self.shortcut(x) if hasattr(self, "shortcut") else x
        if self.recipe.shortcut == "subsampled":
            shortcut = shortcut[:, :, :: self.stride, :: self.stride]
        if self.recipe.shortcut == "cropped":
            margin = self.dilation
            shortcut = shortcut[:, :, margin:-margin, margin:-margin]
        if self.recipe.in_place:
            return x.add_(out)
        total: Tensor = self.last(shortcut + out)
        return total
