"""A feature pyramid with one mistake each: how wrong answers to chapter 08 are recognised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Smoothing = Literal["each", "none", "shared", "not last", "only first"]


@dataclass(frozen=True)
class Recipe:
    """How to build the pyramid; the defaults are right."""

    lateral_kernel: int = 1
    smoothing: Smoothing = "each"
    smoothing_kernel: int = 3
    smoothing_dilation: int = 1
    spare: bool = False  # a smoothing that is not used is there all the same
    padded: bool = True
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"
    bias: tuple[bool, bool] = (True, True)
    norms: tuple[bool, bool] = (False, False)
    activated: tuple[bool, bool, bool] = (False, False, False)  # lateral, sum, result
    enlarge: Literal[
        "nearest", "exact", "area", "bilinear", "corners", "bicubic",
        "factor", "cropped", "bilinear factor",
    ] = "nearest"  # fmt: skip
    merge: Literal["add", "mean", "product", "maximum", "concatenate", "subtract"] = "add"
    carry: Literal["sum", "smoothed", "after smoothing", "lateral", "coarsest"] = "sum"
    direction: Literal["down", "up", "none"] = "down"
    left_out: Literal["none", "finest", "coarsest"] = "none"  # gets, or gives, nothing
    lateral_added: bool = True
    coarse_first: bool = False
    all_fine: bool = False
    extra_level: bool = False
    plain_lists: tuple[bool, bool] = (False, False)


_SMOOTHINGS: tuple[tuple[str, Smoothing], ...] = (
    ("missing-smoothing", "none"),
    ("shared-smoothing", "shared"),
    ("last-level-not-smoothed", "not last"),
    ("only-finest-smoothed", "only first"),
)

# Which recipes stand for a mistake; where several recipes do, any of them.
RECIPES: tuple[tuple[str, Recipe], ...] = (
    ("merged-after-smoothing", Recipe(carry="smoothed")),
    ("merged-after-smoothing", Recipe(carry="after smoothing")),
    ("sum-not-carried", Recipe(carry="lateral")),
    ("sum-not-carried", Recipe(carry="coarsest")),
    ("bilinear-instead-of-nearest", Recipe(enlarge="bilinear")),
    ("bilinear-instead-of-nearest", Recipe(enlarge="corners")),
    ("bilinear-instead-of-nearest", Recipe(enlarge="bicubic")),
    ("other-nearest", Recipe(enlarge="exact")),
    ("other-nearest", Recipe(enlarge="area")),
    ("fixed-factor", Recipe(enlarge="factor")),
    ("fixed-factor", Recipe(enlarge="cropped")),
    ("fixed-factor", Recipe(enlarge="bilinear factor")),
    ("missing-top-down", Recipe(direction="none")),
    ("level-left-out", Recipe(left_out="finest")),
    ("level-left-out", Recipe(left_out="coarsest")),
    ("wrong-direction", Recipe(direction="up")),
    ("missing-lateral", Recipe(lateral_added=False)),
    *(
        (slug, Recipe(smoothing=which, spare=spare))
        for slug, which in _SMOOTHINGS for spare in (False, True)
    ),
    ("smoothing-kernel", Recipe(smoothing_kernel=1)),
    ("smoothing-kernel", Recipe(smoothing_kernel=5)),
    ("smoothing-kernel", Recipe(smoothing_dilation=2)),
    ("lateral-kernel", Recipe(lateral_kernel=3)),
    ("missing-padding", Recipe(padded=False)),
    ("pads-with-wrong-value", Recipe(padding_mode="reflect")),
    ("pads-with-wrong-value", Recipe(padding_mode="replicate")),
    ("pads-with-wrong-value", Recipe(padding_mode="circular")),
    *(
        ("activation-added", Recipe(activated=(a, b, c)))
        for a in (True, False) for b in (True, False) for c in (True, False) if a or b or c
    ),
    *(
        ("normalization-added", Recipe(norms=(a, b), bias=(c, d)))
        for a in (True, False) for b in (True, False) if a or b
        for c in (True, not a) for d in (True, not b)
    ),
    *(
        ("missing-bias", Recipe(bias=bias))
        for bias in ((False, True), (True, False), (False, False))
    ),
    ("concatenated-instead-of-added", Recipe(merge="concatenate")),
    *(
        ("merged-otherwise", Recipe(merge=merge))
        for merge in ("mean", "product", "maximum", "subtract")
    ),
    ("reversed-list", Recipe(coarse_first=True)),
    ("all-at-finest-size", Recipe(all_fine=True)),
    ("extra-level", Recipe(extra_level=True)),
    *(
        ("plain-list", Recipe(plain_lists=lists))
        for lists in ((True, True), (True, False), (False, True))
    ),
)  # fmt: skip


class FlawedPyramid(nn.Module):
    """A pyramid built by a recipe."""

    def __init__(self, recipe: Recipe, in_channels_list: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.recipe = recipe
        c, last = out_channels, len(in_channels_list) - 1
        kernel, side = recipe.lateral_kernel, recipe.smoothing_kernel
        laterals = [
            self._brick(0, nn.Conv2d(width, c, kernel, padding=kernel // 2, bias=recipe.bias[0]))
            for width in in_channels_list
        ]
        rate = recipe.smoothing_dilation
        padding = rate * (side // 2) if recipe.padded else 0
        smooths: list[nn.Module] = []
        spares = nn.ModuleList()
        for level in range(last + 1):
            left_out = {"none": True, "not last": level == last, "only first": level > 0}
            width = 2 * c if recipe.merge == "concatenate" and level != last else c
            mode, bias = recipe.padding_mode, recipe.bias[1]
            conv = nn.Conv2d(width, c, side, 1, padding, rate, 1, bias, mode)
            if left_out.get(recipe.smoothing, False):
                smooths.append(nn.Identity())
            elif recipe.smoothing == "shared" and level:
                smooths.append(smooths[0])
            else:
                smooths.append(self._brick(1, conv))
                continue
            if recipe.spare:
                spares.append(conv)
        self.spares = spares
        self.laterals = laterals if recipe.plain_lists[0] else nn.ModuleList(laterals)
        self.smooths = smooths if recipe.plain_lists[1] else nn.ModuleList(smooths)

    def _brick(self, place: int, conv: nn.Conv2d) -> nn.Module:
        if not self.recipe.norms[place]:
            return conv
        return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        recipe = self.recipe
        laterals = [block(x) for block, x in zip(self.laterals, features, strict=True)]
        if recipe.activated[0]:
            laterals = [x.relu() for x in laterals]
        order = list(range(len(features)))
        if recipe.direction != "up":
            order.reverse()
        results: dict[int, Tensor] = {}
        carried = laterals[order[0]]
        for level in order:
            lateral = laterals[level]
            alone = {"finest": [0], "coarsest": order[1:2]}.get(recipe.left_out, [])
            if level == order[0] or level in alone or recipe.direction == "none":
                merged = lateral
            else:
                merged = self._merge(lateral, self._enlarge(carried, lateral))
            if recipe.activated[1] and level != order[0]:
                merged = merged.relu()
            if recipe.carry == "after smoothing" and level != order[0]:
                result = self._merge(self.smooths[level](lateral), self._enlarge(carried, lateral))
            else:
                result = self.smooths[level](merged)
            results[level] = result.relu() if recipe.activated[2] else result
            if recipe.carry in ("smoothed", "after smoothing") or recipe.merge == "concatenate":
                carried = results[level]
            elif recipe.carry == "lateral":
                carried = lateral
            elif recipe.carry == "sum":
                carried = merged
        maps = [results[level] for level in range(len(features))]
        if recipe.all_fine:
            maps = [F.interpolate(x, size=maps[0].shape[-2:]) for x in maps]
        if recipe.extra_level:
            maps.append(F.max_pool2d(maps[-1], 1, 2))
        return maps[::-1] if recipe.coarse_first else maps

    def _merge(self, lateral: Tensor, top_down: Tensor) -> Tensor:
        if not self.recipe.lateral_added:
            return top_down
        match self.recipe.merge:
            case "mean":
                return (lateral + top_down) / 2
            case "product":
                return lateral * top_down
            case "maximum":
                return torch.maximum(lateral, top_down)
            case "subtract":
                return lateral - top_down
            case "concatenate":
                return torch.cat([lateral, top_down], dim=1)
            case _:
                return lateral + top_down

    def _enlarge(self, x: Tensor, lateral: Tensor) -> Tensor:
        height, width = lateral.shape[-2:]
        match self.recipe.enlarge:
            case "bilinear":
                return F.interpolate(x, size=(height, width), mode="bilinear")
            case "corners":
                return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=True)
            case "bicubic":
                return F.interpolate(x, size=(height, width), mode="bicubic")
            case "exact":
                return F.interpolate(x, size=(height, width), mode="nearest-exact")
            case "area":
                return F.interpolate(x, size=(height, width), mode="area")
            case "factor":
                return F.interpolate(x, scale_factor=2)
            case "cropped":
                return F.interpolate(x, scale_factor=2)[:, :, :height, :width]
            case "bilinear factor":
                return F.interpolate(x, scale_factor=2, mode="bilinear")
            case _:
                return F.interpolate(x, size=(height, width))
