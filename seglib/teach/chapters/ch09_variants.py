"""ASPP and image pooling with one mistake each: how wrong answers to chapter 09 are recognised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Order = tuple[str, str, str]
RIGHT_ORDER: Order = ("one", "rates", "pool")
ORDERS: tuple[Order, ...] = (
    RIGHT_ORDER, ("one", "pool", "rates"), ("rates", "one", "pool"), ("rates", "pool", "one"),
    ("pool", "one", "rates"), ("pool", "rates", "one"),
)  # fmt: skip
Statistics = Literal["right", "batch", "running"]


@dataclass(frozen=True)
class Recipe:
    """How to build ASPP; the defaults are right. Triples are for branches, pooling, projection."""

    rates: Literal["given", "fixed", "one"] = "given"
    one: Literal["right", "missing", "3x3"] = "right"
    pool: Literal["mean", "max", "sum", "missing", "bare", "early"] = "mean"
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
    active: tuple[bool, bool, bool] = (True, True, True)
    activation: type[nn.Module] = nn.ReLU
    bias: tuple[bool, bool, bool] = (False, False, False)
    eps: float = 1e-5
    momentum: float = 0.1
    statistics: Statistics = "right"


_TRIPLES = [(a, b, c) for a in (True, False) for b in (True, False) for c in (True, False)]

# Which recipes stand for a mistake; where several recipes do, any of them.
RECIPES: tuple[tuple[str, Recipe], ...] = (
    ("missing-pooling", Recipe(pool="missing")),
    ("missing-1x1-branch", Recipe(one="missing")),
    ("3x3-instead-of-1x1", Recipe(one="3x3")),
    ("rates-hard-coded", Recipe(rates="fixed")),
    ("dilation-ignored", Recipe(rates="one")),
    ("branches-in-series", Recipe(series=True)),
    ("one-kernel-for-all-rates", Recipe(shared=True)),
    ("separable-instead-of-dense", Recipe(separable=True)),
    ("sum-instead-of-concatenation", Recipe(join="sum")),
    *(("branches-in-other-order", Recipe(places=order)) for order in ORDERS[1:]),
    *(("branches-in-other-order", Recipe(places=order, rates_reversed=True)) for order in ORDERS),
    ("maximum-instead-of-mean", Recipe(pool="max")),
    ("sum-instead-of-mean", Recipe(pool="sum")),
    ("pooling-without-convolution", Recipe(pool="bare")),
    ("enlarged-before-the-norm", Recipe(pool="early")),
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
        for kind in (nn.ReLU6, nn.LeakyReLU, nn.Hardswish)
    ),
    ("pads-with-wrong-value", Recipe(padding_mode="replicate")),
    ("pads-with-wrong-value", Recipe(padding_mode="reflect")),
    ("pads-with-wrong-value", Recipe(padding_mode="circular")),
    *(
        ("other-batchnorm-settings", recipe)
        for recipe in (Recipe(eps=1e-3), Recipe(momentum=0.01), Recipe(eps=1e-3, momentum=0.01))
    ),
    ("ignores-eval-mode", Recipe(statistics="batch")),
    ("ignores-train-mode", Recipe(statistics="running")),
)  # fmt: skip


class Norm(nn.BatchNorm2d):
    """BatchNorm that takes its statistics always from the batch, or never."""

    def __init__(self, channels: int, statistics: Statistics) -> None:
        super().__init__(channels)
        self.statistics = statistics

    def forward(self, x: Tensor) -> Tensor:
        batch = self.statistics == "batch"
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, batch)


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
        self.rates = {"given": tuple(rates), "fixed": (6, 12, 18), "one": (1,) * len(rates)}[
            recipe.rates
        ]
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
        if recipe.pool not in ("missing", "bare"):
            self.pool = nn.Sequential(*self._brick(1, in_channels, out_channels, 1, 1))
        parts = len(self.rates) + (recipe.one != "missing") + (recipe.pool != "missing")
        joined = out_channels if recipe.join == "sum" else parts * out_channels
        joined += in_channels - out_channels if recipe.pool == "bare" else 0
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
        if recipe.norms[place] and recipe.statistics != "right":
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
            return [] if self.recipe.pool == "missing" else [self._pooled(x)]
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
        kind, size = self.recipe.pool, x.shape[-2:]
        pool = {"max": x.amax, "sum": x.sum}.get(kind, x.mean)
        vector: Tensor = pool((2, 3), keepdim=True)  # type: ignore[operator]
        if kind in ("bare", "early"):
            vector = vector.expand(-1, -1, *size)
        if kind != "bare":
            vector = self.pool(vector)
        return vector.expand(-1, -1, *size)


@dataclass(frozen=True)
class PoolRecipe:
    """How to build image pooling; the defaults are right."""

    pool: Literal["mean", "max", "sum", "over images", "rows", "columns", "window", "grid"] = "mean"
    size: Literal["right", "fixed", "height", "width", "swapped", "none"] = "right"
    norm: Literal["batch", "none", "group", "skipped", "running"] = "batch"
    active: bool = True
    bias: bool = False
    early: bool = False
    statistics: Statistics = "right"


_SIZES: tuple[tuple[str, PoolRecipe], ...] = (
    ("size-hard-coded", PoolRecipe(size="fixed")),
    ("assumes-a-square", PoolRecipe(size="height")),
    ("assumes-a-square", PoolRecipe(size="width")),
    ("sides-swapped", PoolRecipe(size="swapped")),
    ("not-enlarged", PoolRecipe(size="none")),
)
POOL_RECIPES: tuple[tuple[str, PoolRecipe], ...] = (
    *_SIZES,
    ("size-hard-coded", PoolRecipe(pool="window", size="fixed")),
    ("window-hard-coded", PoolRecipe(pool="window")),
    *(("window-hard-coded", replace(recipe, pool="window")) for _, recipe in _SIZES[1:]),
    ("pools-to-a-grid", PoolRecipe(pool="grid")),
    ("pools-to-a-grid", PoolRecipe(pool="grid", size="none")),
    ("averages-one-axis", PoolRecipe(pool="rows")),
    ("averages-one-axis", PoolRecipe(pool="columns")),
    ("mixes-images", PoolRecipe(pool="over images")),
    ("maximum-instead-of-mean", PoolRecipe(pool="max")),
    ("sum-instead-of-mean", PoolRecipe(pool="sum")),
    ("norm-removed", PoolRecipe(norm="none")),
    ("norm-removed", PoolRecipe(norm="none", bias=True)),
    ("other-norm", PoolRecipe(norm="group")),
    ("guesses-at-batch-1", PoolRecipe(norm="skipped")),
    ("guesses-at-batch-1", PoolRecipe(norm="running")),
    ("enlarged-before-the-norm", PoolRecipe(early=True)),
    ("missing-activation", PoolRecipe(active=False)),
    ("conv-bias", PoolRecipe(bias=True)),
    ("ignores-eval-mode", PoolRecipe(statistics="batch")),
    ("ignores-train-mode", PoolRecipe(statistics="running")),
)


class FlawedPooling(nn.Module):
    """Image pooling built by a recipe."""

    def __init__(self, recipe: PoolRecipe, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=recipe.bias)
        self.norm: nn.Module = nn.BatchNorm2d(out_channels)
        if recipe.statistics != "right":
            self.norm = Norm(out_channels, recipe.statistics)
        if recipe.norm == "group":
            self.norm = nn.GroupNorm(1, out_channels)
        if recipe.norm == "none":
            self.norm = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        recipe, (height, width) = self.recipe, x.shape[-2:]
        y = self._pool(x)
        y = y.expand(-1, -1, height, width) if recipe.early else y
        y = self._normalise(self.conv(y))
        y = F.relu(y) if recipe.active else y
        size = {
            "right": (height, width), "fixed": (33, 33), "height": (height, height),
            "width": (width, width), "swapped": (width, height),
        }.get(recipe.size)  # fmt: skip
        if recipe.early or size is None:
            return y
        return F.interpolate(y, size=size, mode="bilinear", align_corners=True)

    def _pool(self, x: Tensor) -> Tensor:
        kind = self.recipe.pool
        if kind == "max":
            return x.amax((2, 3), keepdim=True)
        if kind == "sum":
            return x.sum((2, 3), keepdim=True)
        if kind == "over images":
            return x.mean((0, 2, 3), keepdim=True).expand(len(x), -1, -1, -1)
        if kind in ("rows", "columns"):
            return x.mean(2 if kind == "rows" else 3, keepdim=True)
        if kind == "window":
            return F.avg_pool2d(x, 33)
        return F.adaptive_avg_pool2d(x, 33 if kind == "grid" else 1)

    def _normalise(self, y: Tensor) -> Tensor:
        norm = self.norm
        if len(y) == 1 and isinstance(norm, nn.BatchNorm2d):
            if self.recipe.norm == "skipped":
                return y
            if self.recipe.norm == "running":
                return F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        out: Tensor = norm(y)
        return out
