"""Image pooling with one mistake each: how wrong answers to chapter 09 are recognised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

Statistics = Literal["right", "batch", "running"]
Pool = Literal[
    "mean", "max", "sum", "over images", "rows", "columns", "window", "at most a window",
    "height", "width", "shorter", "grid",
]  # fmt: skip


class Norm(nn.BatchNorm2d):
    """BatchNorm that takes its statistics always from the batch, or never."""

    def __init__(self, channels: int, statistics: Statistics) -> None:
        super().__init__(channels)
        self.statistics = statistics

    def forward(self, x: Tensor) -> Tensor:
        batch = self.statistics == "batch"
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, batch)


def pooled(x: Tensor, kind: Pool) -> Tensor:
    """The map in one vector, or what a mistake takes for it."""
    if kind == "max":
        return x.amax((2, 3), keepdim=True)
    if kind == "sum":
        return x.sum((2, 3), keepdim=True)
    if kind == "over images":
        return x.mean((0, 2, 3), keepdim=True).expand(len(x), -1, -1, -1)
    if kind in ("rows", "columns"):
        return x.mean(2 if kind == "rows" else 3, keepdim=True)
    if kind == "at most a window":
        return x[:, :, :33, :33].mean((2, 3), keepdim=True)
    if kind in ("window", "height", "width", "shorter"):
        sides = {"window": 33, "height": x.shape[2], "shorter": min(x.shape[2:])}
        return F.avg_pool2d(x, sides.get(kind, x.shape[3]))
    return F.adaptive_avg_pool2d(x, 33 if kind == "grid" else 1)


@dataclass(frozen=True)
class PoolRecipe:
    """How to build image pooling; the defaults are right."""

    pool: Pool = "mean"
    size: Literal["right", "fixed", "height", "width", "swapped", "none"] = "right"
    norm: Literal["batch", "none", "idle", "group", "skipped", "running"] = "batch"
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
_SIDES: tuple[Pool, ...] = ("height", "width", "shorter")

# Which recipes stand for a mistake; where several recipes do, any of them.
POOL_RECIPES: tuple[tuple[str, PoolRecipe], ...] = (
    *_SIZES,
    ("size-hard-coded", PoolRecipe(pool="window", size="fixed")),
    ("window-hard-coded", PoolRecipe(pool="window")),
    ("window-hard-coded", PoolRecipe(pool="at most a window")),
    *(("window-hard-coded", replace(recipe, pool="window")) for _, recipe in _SIZES[1:]),
    *(
        ("assumes-a-square", replace(recipe, pool=side))
        for side in _SIDES
        for recipe in (PoolRecipe(), PoolRecipe(size="height"), PoolRecipe(size="width"))
    ),
    ("pools-to-a-grid", PoolRecipe(pool="grid")),
    ("pools-to-a-grid", PoolRecipe(pool="grid", size="none")),
    ("averages-one-axis", PoolRecipe(pool="rows")),
    ("averages-one-axis", PoolRecipe(pool="columns")),
    ("mixes-images", PoolRecipe(pool="over images")),
    ("maximum-instead-of-mean", PoolRecipe(pool="max")),
    ("sum-instead-of-mean", PoolRecipe(pool="sum")),
    ("norm-removed", PoolRecipe(norm="none")),
    ("norm-removed", PoolRecipe(norm="none", bias=True)),
    ("norm-removed", PoolRecipe(norm="idle")),
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
        y = pooled(x, recipe.pool)
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

    def _normalise(self, y: Tensor) -> Tensor:
        norm = self.norm
        if self.recipe.norm == "idle":
            return y
        if len(y) == 1 and isinstance(norm, nn.BatchNorm2d):
            if self.recipe.norm == "skipped":
                return y
            if self.recipe.norm == "running":
                return F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        out: Tensor = norm(y)
        return out
