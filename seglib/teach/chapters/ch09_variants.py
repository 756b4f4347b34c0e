"""ASPP with one mistake each: how wrong answers to chapter 09 are recognised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from seglib.teach.chapters.ch09_pooling import Norm, Pool, Statistics, pooled

Order = tuple[str, str, str]
RIGHT_ORDER: Order = ("one", "rates", "pool")
ORDERS: tuple[Order, ...] = (
    RIGHT_ORDER, ("one", "pool", "rates"), ("rates", "one", "pool"), ("rates", "pool", "one"),
    ("pool", "one", "rates"), ("pool", "rates", "one"),
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How to build ASPP; the defaults are right. Triples are for branches, pooling, projection."""

    rates: Literal[
        "given", "fixed", "one", "next", "double", "half", "sorted", "reversed"
    ] = "given"  # fmt: skip
    one: Literal["right", "missing", "3x3"] = "right"
    pool: Pool = "mean"
    pooling: Literal["right", "missing", "bare", "early"] = "right"
    series: bool = False
    shared: bool = False
    separable: bool = False
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"
    join: Literal["concatenate", "sum"] = "concatenate"
    places: Order = RIGHT_ORDER
    rates_reversed: bool = False
    project: Literal["1x1", "3x3", "missing"] = "1x1"
    norms: tuple[bool, bool, bool] = (True, True, True)
    joint_norm: bool = False
    group_norm: bool = False
    active: tuple[bool, bool, bool] = (True, True, True)
    activation: type[nn.Module] = nn.ReLU
    bias: tuple[bool, bool, bool] = (False, False, False)
    eps: float = 1e-5
    momentum: float = 0.1
    statistics: Statistics = "right"


_TRIPLES = [(a, b, c) for a in (True, False) for b in (True, False) for c in (True, False)]

# Which recipes stand for a mistake; where several recipes do, any of them.
RECIPES: tuple[tuple[str, Recipe], ...] = (
    ("missing-pooling", Recipe(pooling="missing")),
    ("missing-1x1-branch", Recipe(one="missing")),
    ("3x3-instead-of-1x1", Recipe(one="3x3")),
    ("rates-hard-coded", Recipe(rates="fixed")),
    ("dilation-ignored", Recipe(rates="one")),
    ("rates-changed", Recipe(rates="next")),
    ("rates-changed", Recipe(rates="double")),
    ("rates-changed", Recipe(rates="half")),
    ("branches-in-other-order", Recipe(rates="sorted")),
    ("branches-in-other-order", Recipe(rates="reversed")),
    ("branches-in-series", Recipe(series=True)),
    ("one-kernel-for-all-rates", Recipe(shared=True)),
    ("separable-instead-of-dense", Recipe(separable=True)),
    ("sum-instead-of-concatenation", Recipe(join="sum")),
    *(("branches-in-other-order", Recipe(places=order)) for order in ORDERS[1:]),
    *(("branches-in-other-order", Recipe(places=order, rates_reversed=True)) for order in ORDERS),
    ("maximum-instead-of-mean", Recipe(pool="max")),
    ("sum-instead-of-mean", Recipe(pool="sum")),
    ("averages-one-axis", Recipe(pool="rows")),
    ("averages-one-axis", Recipe(pool="columns")),
    ("mixes-images", Recipe(pool="over images")),
    ("pooling-without-convolution", Recipe(pooling="bare")),
    ("enlarged-before-the-norm", Recipe(pooling="early")),
    ("pooling-without-norm", Recipe(norms=(True, False, True))),
    ("pooling-without-norm", Recipe(norms=(True, False, True), bias=(False, True, False))),
    ("norm-after-concatenation", Recipe(joint_norm=True)),
    ("missing-projection", Recipe(project="missing")),
    ("3x3-projection", Recipe(project="3x3")),
    *(("missing-batchnorm", Recipe(norms=norms)) for norms in _TRIPLES if not all(norms)),
    *(
        ("missing-batchnorm", Recipe(norms=(a, b, c), bias=(not a, not b, not c)))
        for a, b, c in _TRIPLES if not (a and b and c)
    ),
    *(("conv-bias", Recipe(bias=bias)) for bias in _TRIPLES if any(bias)),
    *(("missing-activation", Recipe(active=active)) for active in _TRIPLES if not all(active)),
    *(
        ("other-activation", Recipe(activation=kind))
        for kind in (nn.ReLU6, nn.LeakyReLU, nn.Hardswish, nn.GELU, nn.SiLU, nn.ELU, nn.Sigmoid)
    ),
    ("pads-with-wrong-value", Recipe(padding_mode="replicate")),
    ("pads-with-wrong-value", Recipe(padding_mode="reflect")),
    ("pads-with-wrong-value", Recipe(padding_mode="circular")),
    *(
        ("other-batchnorm-settings", recipe)
        for recipe in (Recipe(eps=1e-3), Recipe(momentum=0.01), Recipe(eps=1e-3, momentum=0.01))
    ),
    ("other-norm", Recipe(group_norm=True)),
    ("ignores-eval-mode", Recipe(statistics="batch")),
    ("ignores-train-mode", Recipe(statistics="running")),
)  # fmt: skip


class FlawedASPP(nn.Module):
    """ASPP built by a recipe, whose branches are computed in a given order."""

    def __init__(
        self,
        recipe: Recipe,
        order: Order,
        in_channels: int,
        rates: Sequence[int],
        out_channels: int,
    ) -> None:
        super().__init__()
        self.recipe, self.order = recipe, order
        self.rates: Sequence[int] = {
            "given": tuple(rates),
            "fixed": (6, 12, 18),
            "one": [1] * len(rates),
            "next": [rate + 1 for rate in rates],
            "double": [2 * rate for rate in rates],
            "half": [max(1, rate // 2) for rate in rates],
            "sorted": sorted(rates),
            "reversed": rates[::-1],
        }[recipe.rates]
        if recipe.one != "missing":
            size = 3 if recipe.one == "3x3" else 1
            self.one = nn.Sequential(*self._brick(0, in_channels, out_channels, size, 1))
        self.branches = nn.ModuleList()
        channels = in_channels
        for rate in self.rates:
            if self.branches and recipe.shared:
                break
            branch = self._brick(0, channels, out_channels, 3, rate, recipe.separable)
            self.branches.append(nn.Sequential(*branch))
            channels = out_channels if recipe.series else channels
        if recipe.pooling not in ("missing", "bare"):
            self.pool = nn.Sequential(*self._brick(1, in_channels, out_channels, 1, 1))
        parts = len(self.rates) + (recipe.one != "missing") + (recipe.pooling != "missing")
        joined = out_channels if recipe.join == "sum" else parts * out_channels
        joined += in_channels - out_channels if recipe.pooling == "bare" else 0
        self.joint = nn.Sequential(*self._after(0, joined)) if recipe.joint_norm else nn.Identity()
        self.project: nn.Module = nn.Identity()
        if recipe.project != "missing":
            size = 3 if recipe.project == "3x3" else 1
            self.project = nn.Sequential(*self._brick(2, joined, out_channels, size, 1))

    def _brick(
        self, place: int, c1: int, c2: int, size: int, rate: int, separable: bool = False
    ) -> Iterator[nn.Module]:
        recipe, padding, bias = self.recipe, rate * (size - 1) // 2, self.recipe.bias[place]
        groups, middle = (c1, c1) if separable else (1, c2)
        mode = recipe.padding_mode
        yield nn.Conv2d(c1, middle, size, 1, padding, rate, groups, bias, mode)
        if separable:
            yield nn.Conv2d(c1, c2, 1, bias=bias)
        if not recipe.joint_norm or place == 2:
            yield from self._after(place, c2)

    def _after(self, place: int, channels: int) -> Iterator[nn.Module]:
        recipe = self.recipe
        if recipe.norms[place] and recipe.group_norm:
            yield nn.GroupNorm(1, channels)
        elif recipe.norms[place] and recipe.statistics != "right":
            yield Norm(channels, recipe.statistics)
        elif recipe.norms[place]:
            yield nn.BatchNorm2d(channels, recipe.eps, recipe.momentum)
        if recipe.active[place]:
            yield recipe.activation()

    def forward(self, x: Tensor) -> Tensor:
        made = {name: self._group(name, x) for name in self.order}
        if self.recipe.rates_reversed:
            made["rates"].reverse()
        parts = [part for name in self.recipe.places for part in made[name]]
        added = self.recipe.join == "sum"
        joined = torch.stack(parts).sum(dim=0) if added else torch.cat(parts, dim=1)
        out: Tensor = self.project(self.joint(joined))
        return out

    def _group(self, name: str, x: Tensor) -> list[Tensor]:
        if name == "one":
            return [] if self.recipe.one == "missing" else [self.one(x)]
        if name == "pool":
            return [] if self.recipe.pooling == "missing" else [self._pooled(x)]
        found: list[Tensor] = []
        for place, rate in enumerate(self.rates):
            given = found[-1] if self.recipe.series and found else x
            if self.recipe.shared:
                conv = self.branches[0].get_submodule("0")
                assert isinstance(conv, nn.Conv2d)
                conv.dilation, conv.padding = (rate, rate), (rate, rate)
                found.append(self.branches[0](given))
            else:
                found.append(self.branches[place](given))
        return found

    def _pooled(self, x: Tensor) -> Tensor:
        vector, size = pooled(x, self.recipe.pool), x.shape[-2:]
        if self.recipe.pooling in ("bare", "early"):
            vector = vector.expand(-1, -1, *size)
        if self.recipe.pooling != "bare":
            vector = self.pool(vector)
        return vector.expand(-1, -1, *size)
