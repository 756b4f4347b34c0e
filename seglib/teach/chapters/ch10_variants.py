"""The decoder with one mistake each: how wrong answers to chapter 10 are recognised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglib.teach.flawed_norm import OneModeNorm


@dataclass(frozen=True)
class Recipe:
    """How to build the decoder; the defaults are right."""

    reduced: Literal["right", "raw", "48", "aspp"] = "right"
    width: Literal["aspp", "256", "joined", "low"] = "aspp"
    project_kernel: int = 1
    kernel: int = 3
    padded: bool = True
    convs: Literal["right", "one", "two", "more", "fewer", "one or fewer"] = "right"
    norms: tuple[bool, bool, bool] = (True, True, True)  # projection, earlier 3×3, last 3×3
    active: tuple[bool, bool, bool] = (True, True, True)
    bias: tuple[bool, bool] = (False, False)  # projection, 3×3
    activation: type[nn.Module] = nn.ReLU
    classifier_bias: bool = True
    classifier_kernel: int = 1
    end: str = "logits"  # or "norm", "norm relu", "relu", "softmax", "argmax" …, "enlarged"
    join: Literal["low first", "high first", "sum"] = "low first"
    enlarge: Literal["to low", "by 4", "none", "shrink low"] = "to low"
    mode: Literal["bilinear", "nearest", "nearest-exact", "bicubic", "area"] = "bilinear"
    align: Literal["right", "never", "always", "inverted"] = "right"
    eps: float = 1e-5
    momentum: float = 0.1
    statistics: Literal["right", "batch", "running"] = "right"


_YES = (True, False)
_PARTS = [(a, b, c) for a in _YES for b in _YES for c in _YES if not (a and b and c)]

# Which recipes stand for a mistake; where several recipes do, any of them.
RECIPES: tuple[tuple[str, Recipe], ...] = (
    ("fixed-scale-factor", Recipe(enlarge="by 4")),
    ("not-enlarged", Recipe(enlarge="none")),
    ("low-level-shrunk", Recipe(enlarge="shrink low")),
    ("enlarged-to-image", Recipe(end="enlarged")),
    ("missing-padding", Recipe(padded=False)),
    ("low-level-not-reduced", Recipe(reduced="raw")),
    ("widths-hard-coded", Recipe(reduced="48")),
    ("widths-hard-coded", Recipe(width="256")),
    ("widths-hard-coded", Recipe(reduced="48", width="256")),
    ("channels-not-narrowed", Recipe(width="joined")),
    ("channels-not-narrowed", Recipe(width="low")),
    ("sum-instead-of-concatenation", Recipe(reduced="aspp", join="sum")),
    ("number-of-convs", Recipe(convs="one")),
    ("number-of-convs", Recipe(convs="two")),
    ("number-of-convs", Recipe(convs="more")),
    ("number-of-convs", Recipe(convs="fewer")),
    ("number-of-convs", Recipe(convs="one or fewer")),
    ("kernel-1-instead-of-3", Recipe(kernel=1)),
    ("wide-projection", Recipe(project_kernel=3)),
    ("wide-classifier", Recipe(classifier_kernel=3)),
    ("conv-bias", Recipe(bias=(True, True))),
    ("conv-bias", Recipe(bias=(True, False))),
    ("conv-bias", Recipe(bias=(False, True))),
    ("classifier-without-bias", Recipe(classifier_bias=False)),
    *(("missing-batchnorm", Recipe(norms=flags)) for flags in _PARTS),
    ("missing-batchnorm", Recipe(norms=(False, False, False), bias=(True, True))),
    ("missing-batchnorm", Recipe(norms=(False, True, True), bias=(True, False))),
    ("missing-batchnorm", Recipe(norms=(True, False, False), bias=(False, True))),
    *(
        (
            "missing-batchnorm",
            Recipe(norms=(False, True, True), active=(False, True, True), bias=(bias, False)),
        )
        for bias in (False, True)
    ),
    ("classifier-followed", Recipe(end="norm")),
    ("classifier-followed", Recipe(end="norm relu")),
    ("classifier-followed", Recipe(end="norm relu", classifier_bias=False)),
    ("classifier-followed", Recipe(end="norm", classifier_bias=False)),
    ("classifier-followed", Recipe(end="relu")),
    *(("softmax-at-the-end", Recipe(end=end)) for end in ("softmax", "log_softmax", "sigmoid")),
    ("classes-instead-of-logits", Recipe(end="argmax")),
    *(("missing-activation", Recipe(active=flags)) for flags in _PARTS),
    ("relu6-instead-of-relu", Recipe(activation=nn.ReLU6)),
    *(
        ("other-activation", Recipe(activation=other))
        for other in (nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Sigmoid, nn.ELU)
    ),
    ("joined-in-other-order", Recipe(join="high first")),
    ("align-corners-ignored", Recipe(align="never")),
    ("align-corners-ignored", Recipe(align="always")),
    ("align-corners-inverted", Recipe(align="inverted")),
    ("other-interpolation", Recipe(mode="nearest")),
    ("other-interpolation", Recipe(mode="nearest-exact")),
    ("other-interpolation", Recipe(mode="area")),
    ("other-interpolation", Recipe(mode="bicubic")),
    ("other-interpolation", Recipe(mode="bicubic", align="never")),
    ("other-interpolation", Recipe(mode="bicubic", align="always")),
    ("other-batchnorm-settings", Recipe(eps=1e-3)),
    ("other-batchnorm-settings", Recipe(momentum=0.01)),
    ("other-batchnorm-settings", Recipe(momentum=0.01, eps=1e-3)),
    ("ignores-eval-mode", Recipe(statistics="batch")),
    ("ignores-train-mode", Recipe(statistics="running")),
)  # fmt: skip


class FlawedDecoder(nn.Module):
    """A decoder built by a recipe."""

    def __init__(
        self,
        recipe: Recipe,
        in_channels: int,
        low_level_channels: int,
        aspp_channels: int,
        num_classes: int,
        decoder_convs: int,
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.recipe, self.align_corners = recipe, align_corners
        low = {"right": low_level_channels, "raw": in_channels, "48": 48, "aspp": aspp_channels}
        reduced = low[recipe.reduced]
        self.project = nn.Sequential()
        if recipe.reduced != "raw":
            kernel = recipe.project_kernel
            self.project.append(
                nn.Conv2d(in_channels, reduced, kernel, padding=kernel // 2, bias=recipe.bias[0])
            )
            self.project.extend(self._after(0, reduced))
        joined = aspp_channels if recipe.join == "sum" else reduced + aspp_channels
        widths = {"aspp": aspp_channels, "256": 256, "joined": joined, "low": reduced}
        width = widths[recipe.width]
        fewer = decoder_convs - 1
        counts = {"one": 1, "two": 2, "more": decoder_convs + 1, "fewer": fewer}
        counts["one or fewer"] = max(1, fewer)
        count = counts.get(recipe.convs, decoder_convs)
        self.classifier = nn.Sequential()
        channels, padding = joined, recipe.kernel // 2 if recipe.padded else 0
        for index in range(count):
            self.classifier.append(
                nn.Conv2d(channels, width, recipe.kernel, padding=padding, bias=recipe.bias[1])
            )
            self.classifier.extend(self._after(2 if index == count - 1 else 1, width))
            channels = width
        kernel = recipe.classifier_kernel
        last = nn.Conv2d(
            channels, num_classes, kernel, padding=kernel // 2, bias=recipe.classifier_bias
        )
        self.classifier.append(last)
        if "norm" in recipe.end:
            self.classifier.append(nn.BatchNorm2d(num_classes))
        if "relu" in recipe.end:
            self.classifier.append(nn.ReLU())

    def _after(self, place: int, channels: int) -> Iterator[nn.Module]:
        recipe = self.recipe
        if recipe.norms[place] and recipe.statistics != "right":
            yield OneModeNorm(channels, recipe.statistics == "batch")
        elif recipe.norms[place]:
            yield nn.BatchNorm2d(channels, recipe.eps, recipe.momentum)
        if recipe.active[place]:
            yield recipe.activation()

    def _resize(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        if self.recipe.mode not in ("bilinear", "bicubic"):
            return F.interpolate(x, size, mode=self.recipe.mode)
        align = {
            "right": self.align_corners,
            "never": False,
            "always": True,
            "inverted": not self.align_corners,
        }[self.recipe.align]
        return F.interpolate(x, size, mode=self.recipe.mode, align_corners=align)

    def forward(self, low_level: Tensor, high: Tensor) -> Tensor:
        recipe = self.recipe
        low_level = self.project(low_level)
        if recipe.enlarge == "shrink low":
            low_level = self._resize(low_level, (high.shape[2], high.shape[3]))
        elif recipe.enlarge == "by 4":
            high = self._resize(high, (4 * high.shape[2], 4 * high.shape[3]))
        elif recipe.enlarge == "to low":
            high = self._resize(high, (low_level.shape[2], low_level.shape[3]))
        if recipe.join == "sum":
            x = low_level + high
        else:
            x = torch.cat([low_level, high][:: 1 if recipe.join == "low first" else -1], dim=1)
        logits: Tensor = self.classifier(x)
        if "softmax" in recipe.end:
            logits = logits.softmax(dim=1) if recipe.end == "softmax" else logits.log_softmax(1)
        if recipe.end == "sigmoid":
            logits = logits.sigmoid()
        if recipe.end == "argmax":
            logits = logits.argmax(dim=1)
        if recipe.end == "enlarged":
            logits = self._resize(logits, (4 * logits.shape[2], 4 * logits.shape[3]))
        return logits
