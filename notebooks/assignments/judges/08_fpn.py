"""Judge of assignment 08: a pyramid with a way up, levels for boxes, a fusion, a merge to mend."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace

import torch
from seglib.classroom import Build, Call, Draw, Item, Mistake, Part, telling
from torch import Tensor, nn
from torch.nn import functional as F

Given = SimpleNamespace
Make = Callable[..., Callable[..., object]]
Case = Callable[[], Build | Call]


def parameters(draw: Draw) -> dict[str, object]:
    given = Given(
        down=draw.decimal(0.30, 0.70),
        up=draw.decimal(0.75, 1.60),
        canonical=draw.choice([side for side in range(80, 321) if abs(side - 224) > 9]),
        offset=draw.choice([3, 5, 6]),
        slim=draw.decimal(2.10, 4.90),
        floor=draw.decimal(0.05, 0.45),
        epsilon=draw.decimal(0.10, 0.90),
        fade=draw.decimal(0.30, 0.90),
        slope=draw.decimal(0.05, 0.45),
    )
    given.twice, given.above = 2 * given.canonical, given.offset + 1
    given.pyramid_values = pyramid_values(two_way_pyramid(given))
    maps, scores = [waves(1, 2, 3, 4), waves(1, 2, 2, 2)], torch.tensor([0.7, -0.2])
    given.fused_value = mean(fuse(given)(maps, scores))
    maps, kernels = [waves(1, 2, n, n + 1) for n in (7, 4, 2)], [waves(2, 2, 3, 3)] * 2
    given.merged_value = mean(merge_levels(given)(maps, [kernels[0], -kernels[1]]))
    return vars(given)


def waves(*shape: int) -> Tensor:
    return torch.cos(0.7 * torch.arange(math.prod(shape))).reshape(shape)


def mean(x: Tensor) -> float:
    return round(float(x.abs().mean()), 3)


@torch.no_grad()
def pyramid_values(make: Callable[..., nn.Module]) -> list[float]:
    """What the notebook's visible test finds, with the weights of its own `filled`."""
    pyramid = make([2, 3, 4], 5)
    for parameter in pyramid.parameters():
        parameter.copy_(waves(*parameter.shape))
    maps = [waves(1, 2, 9, 10), waves(1, 3, 5, 5), waves(1, 4, 3, 3)]
    return [mean(x) for x in pyramid(maps)]


def two_way_pyramid(given: Given, mistake: str = "") -> type[nn.Module]:
    """Down as in FPN, then up again by maxima; each way has a weight of its own."""

    def enlarge(x: Tensor, like: Tensor) -> Tensor:
        mode = "bilinear" if mistake == "bilinear-instead-of-nearest" else "nearest"
        return F.interpolate(x, like.shape[-2:], mode=mode)

    def shrink(x: Tensor, like: Tensor) -> Tensor:
        size, mean = (like.shape[2], like.shape[3]), mistake == "mean-instead-of-maximum"
        return F.adaptive_avg_pool2d(x, size) if mean else F.adaptive_max_pool2d(x, size)

    class TwoWayPyramid(nn.Module):
        def __init__(self, in_channels_list: Sequence[int], out_channels: int) -> None:
            super().__init__()
            d = out_channels
            self.lateral = nn.ModuleList(nn.Conv2d(c, d, 1) for c in in_channels_list)
            self.smooth = nn.ModuleList(nn.Conv2d(d, d, 3, padding=1) for _ in in_channels_list)

        def forward(self, features: list[Tensor]) -> list[Tensor]:
            laterals = [layer(x) for layer, x in zip(self.lateral, features, strict=True)]
            down = 1 if mistake == "way-down-not-weighted" else given.down
            up = 1 if mistake == "way-up-not-weighted" else given.up
            down, up = (up, down) if mistake == "weights-exchanged" else (down, up)
            sums = [laterals[-1]]
            for own in reversed(laterals[:-1]):
                sums.insert(0, own + down * enlarge(sums[0], own))
            if mistake == "merged-after-smoothing":
                sums = [layer(x) for layer, x in zip(self.smooth, sums, strict=True)]
            totals = [sums[0]]
            for level in range(1, len(sums)):
                own, below = sums[level], totals[-1]
                if mistake == "sum-not-carried":
                    below = sums[level - 1]
                elif mistake == "way-up-beside-way-down":
                    own = laterals[level]
                totals.append(own + up * shrink(below, own))
            if mistake == "merged-after-smoothing":
                return totals
            totals = sums if mistake == "missing-way-up" else totals
            return [layer(x) for layer, x in zip(self.smooth, totals, strict=True)]

    return TwoWayPyramid


def assign_levels(given: Given, mistake: str = "") -> Callable[..., list[int | None]]:
    """A level for each box, by its size; slim boxes one finer, empty ones nowhere."""
    canonical = 224 if mistake == "canonical-of-the-paper" else given.canonical
    offset = 4 if mistake == "offset-of-the-paper" else given.offset

    def level(box: Sequence[float], finest: int, coarsest: int) -> int | None:
        w, h = box[2] - box[0], box[3] - box[1]
        if w <= 0 or h <= 0:
            return finest if mistake == "empty-boxes-at-the-finest" else None
        side = max(w, h) if mistake == "longer-side" else math.sqrt(w * h)
        found = offset + math.log2(side / canonical)
        k = math.floor(found + 0.5) if mistake == "rounds-to-nearest" else math.floor(found)
        longest = w / h if mistake == "only-wide-boxes" else max(w / h, h / w)
        slim = longest > given.slim and mistake != "slim-forgotten"
        if mistake == "held-before-slim":
            return min(max(k, finest), coarsest) - slim
        k = k + slim if mistake == "slim-goes-coarser" else k - slim
        return min(max(k, finest), coarsest)

    def assign(boxes: Sequence[Sequence[float]], finest: int, coarsest: int) -> list[int | None]:
        found = [level(box, finest, coarsest) for box in boxes]
        return [k for k in found if k is not None] if mistake == "empty-boxes-dropped" else found

    return assign


def fuse(given: Given, mistake: str = "") -> Callable[..., Tensor]:
    """A mean of maps by learned scores; a score below the floor counts as the floor."""

    def fused(maps: list[Tensor], scores: Tensor) -> Tensor:
        weights = scores.clamp(min=given.floor)
        if mistake == "floor-forgotten":
            weights = scores.relu()
        elif mistake == "floor-added":
            weights = scores.relu() + given.floor
        elif mistake == "weights-cut-off":
            weights = weights.detach()
        total = weights.sum() + given.epsilon
        if mistake == "softmax":
            weights, total = scores.softmax(0), torch.ones(())
        elif mistake == "epsilon-forgotten":
            total = weights.sum()
        elif mistake == "epsilon-for-each-map":
            total = (weights + given.epsilon).sum()
        elif mistake == "divisor-cut-off":
            total = total.detach()
        size, result = maps[0].shape[-2:], torch.zeros_like(maps[0])
        for x, weight in zip(maps, weights, strict=True):
            if mistake == "nearest-instead-of-bilinear":
                large = F.interpolate(x, size)
            else:
                corners = mistake == "corners-aligned"
                large = F.interpolate(x, size, mode="bilinear", align_corners=corners)
            result = result + weight * large
        return result / total

    return fused


def merge_levels(given: Given, mistake: str = "") -> Callable[..., Tensor]:
    """Levels climb to the finest one, step by step; with the colleague's mistakes one by one."""

    def merge(maps: list[Tensor], kernels: list[Tensor]) -> Tensor:
        bad, sizes, levels = mistake == "unchanged", [x.shape[-2:] for x in maps], list(maps)
        total = maps[0]
        for level in range(len(levels) - 1, 0, -1):
            x = maps.pop() if bad or mistake == "changes-features" else levels[level]
            for step in range(level - 1, -1, -1):
                kernel = kernels[level - 1 if mistake == "kernel-of-the-level" else step]
                slope = 0.0 if mistake == "relu-instead-of-leaky" else given.slope
                x = F.leaky_relu(F.conv2d(x, kernel, padding=1), slope)
                if bad or mistake == "fixed-factor":
                    x = F.interpolate(x, scale_factor=2, mode="bilinear")
                    x = x[..., : sizes[step][0], : sizes[step][1]]
                elif mistake != "one-leap" or step == 0:
                    x = F.interpolate(x, sizes[step], mode="bilinear")
            x = given.fade ** (1 if mistake == "fade-not-a-power" else level) * x
            total = total + x
        return total

    return merge


def items(given: Given, draw: Draw) -> list[Item]:
    def pyramid(sizes: Sequence[tuple[int, int]], *stages: str) -> Build:
        channels = [draw.integer(2, 5) for _ in sizes]
        maps = [draw.normal(2, c, *size) for c, size in zip(channels, sizes, strict=True)]
        wide = {"in_channels_list": channels, "out_channels": draw.integer(2, 5)}
        return Build(wide, (maps,), draw.integer(0, 10**6), stages or ("eval",))

    def halves(count: int) -> list[tuple[int, int]]:
        size, found = (draw.integer(9, 16), draw.integer(9, 16)), []
        for _ in range(count):
            found.append(size)
            size = (size[0] + 1) // 2, (size[1] + 1) // 2
        return found

    def box() -> list[float]:
        x, y = draw.decimal(-40, 400, 1), draw.decimal(-40, 400, 1)
        w, h = draw.decimal(5, 700, 1), draw.decimal(5, 700, 1)
        return [x, y, round(x + w, 1), round(y + h, 1)]

    def boxes() -> Call:
        low = given.offset - draw.integer(0, 2)
        return Call(([box() for _ in range(5)], low, low + draw.integer(1, 3)))

    def square(side: float) -> list[float]:
        return [10, 20, 10 + side, 20 + side]

    def fusing(count: int, gradient: bool = False) -> Call:
        maps = [draw.normal(2, 3, *size) for size in halves(count)]
        scores = draw.normal(count)
        scores[0] = given.floor + draw.decimal(0.2, 1.5)  # above the floor, so that it learns
        return Call((maps, scores), gradient)

    def merging(sizes: Sequence[tuple[int, int]], gradient: bool = False) -> Call:
        maps = [draw.normal(2, 3, *size) for size in sizes]
        return Call((maps, [draw.normal(3, 3, 3, 3, scale=0.4) for _ in sizes[1:]]), gradient)

    def item(name: str, make: Make, hints: Mapping[str, str], case: Case, *parts: Part) -> Item:
        mistakes = {slug: Mistake(hint, make(given, slug)) for slug, hint in hints.items()}
        return telling(Item(name, make(given), parts, mistakes), case)

    same, far, steep = [(7, 9), (4, 5), (4, 5)], [(11, 13), (4, 3), (1, 1)], [(8, 6), (7, 5)]
    levels = Part("three levels and four", 2, (pyramid(halves(3)), pyramid(halves(4))))
    others = Part("other sizes, one level", 1, tuple(map(pyramid, (same, far, [(5, 7)]))))
    both = pyramid(halves(3), "eval", "gradients", "train"), pyramid(same, "gradients")
    flow = Part("gradients", 1, both)
    c, ends, long = given.canonical, (given.offset - 2, given.offset + 2), round(200 * given.slim)
    edges = [square(c * 2**k + more) for k in (-1, 0, 1) for more in (-0.5, 0, 0.5)]
    slim = [[0, 0, long + more, 200] for more in (-1, 1)]
    slim += [[5, 5, 205, 5 + long + more] for more in (-1, 1)]
    odd = [[0, 0, 0, 9], [3, 3, 9, 3], [9, 0, 3, 8], [9, 9, 3, 3], [0, 0, 0.5, 0.5]]
    odd += [[0, 0, 9000, 9000], [0, 0, 1, 90], [0, 0, 9000, 1000]]
    usual = Part("ordinary boxes", 1, (boxes(), boxes(), Call((edges, *ends))))
    few = tuple(Call((some, *ends)) for some in (slim, odd, []))
    rest = Part("slim, tiny, huge and empty boxes", 1, few)
    lower = Call(([draw.normal(1, 2, 4, 5)] * 3, draw.normal(3) * 0 - 1.0))
    fusions = Part("values", 1, (fusing(2), fusing(3), fusing(1), lower))
    slopes = Part("gradients", 1, (fusing(3, True), fusing(2, True)))
    merges = Part("values", 1, (merging(halves(3)), merging([(8, 12), (4, 6), (2, 3)])))
    uneven = merging(same), merging(far), merging([(5, 6)]), merging(steep)
    hard = Part("other sizes, one level, gradients", 1, (*uneven, merging(halves(3), True)))

    def some_pyramid() -> Build:
        return pyramid(halves(draw.integer(3, 4)))

    return [
        item("TwoWayPyramid", two_way_pyramid, PYRAMID, some_pyramid, levels, others, flow),
        item("assign_levels", assign_levels, LEVELS, boxes, usual, rest),
        item("fuse", fuse, FUSION, lambda: fusing(3, True), fusions, slopes),
        item("merge_levels", merge_levels, MERGE, lambda: merging(halves(3)), merges, hard),
    ]


PYRAMID = {
    "bilinear-instead-of-nearest": "On the way down maps are enlarged by nearest neighbour.",
    "mean-instead-of-maximum": "On the way up maps are shrunk by their maxima, not by means.",
    "weights-exchanged": "The two ways have each other's weight.",
    "way-down-not-weighted": "What comes from above counts in full; see its weight.",
    "way-up-not-weighted": "What comes from below counts in full; see its weight.",
    "merged-after-smoothing": "The way up carries smoothed maps; smoothing only makes results.",
    "sum-not-carried": "What goes up is the whole total of the finer level, not its own map alone.",
    "way-up-beside-way-down": "The way up begins at the laterals; it adds to what came down.",
    "missing-way-up": "There is no way up: the coarsest level gets nothing.",
}
LEVELS = {
    "canonical-of-the-paper": "It compares with 224 pixels; your course has another size.",
    "offset-of-the-paper": "A box of the canonical size goes to level 4; see your course's level.",
    "rounds-to-nearest": "The logarithm is rounded to the nearest level; it is rounded down.",
    "longer-side": "The size is the longer side; the root of the area is asked for.",
    "only-wide-boxes": "A high box may be slim as well.",
    "slim-goes-coarser": "Slim boxes go to a coarser level; they need a finer one.",
    "slim-forgotten": "Slim boxes have a rule of their own.",
    "held-before-slim": "First comes the rule for slim boxes, then the ends hold the level.",
    "empty-boxes-at-the-finest": "A box without area belongs to no level.",
    "empty-boxes-dropped": "Each box has a place in the result, the empty ones, too.",
}
FUSION = {
    "floor-forgotten": "Scores below the floor count as 0; they count as the floor.",
    "floor-added": "The floor is added to every score; it only lifts the low ones.",
    "softmax": "The weights are a softmax; see the text's own.",
    "epsilon-forgotten": "The small number is missing in the divisor.",
    "epsilon-for-each-map": "The small number is added once, not for every map.",
    "nearest-instead-of-bilinear": "The maps are enlarged by nearest neighbour; see the text.",
    "corners-aligned": "The corners' pixels are aligned: leave align_corners off.",
    "weights-cut-off": "The values are right, but no gradient reaches the scores.",
    "divisor-cut-off": "The scores' gradient misses what passes through the divisor.",
}
MERGE = {
    "unchanged": "This computes what the colleague's function computes.",
    "changes-features": "What was handed in is changed: the list, or a map that is written to.",
    "fixed-factor": "It enlarges by 2 and cuts; a map is not always half of the finer one.",
    "kernel-of-the-level": "Each step has its own kernel; see which.",
    "one-leap": "A map climbs one level at a time.",
    "relu-instead-of-leaky": "Values below 0 vanish; they are to be weakened.",
    "fade-not-a-power": "Each level fades once more than the finer one.",
}
