"""Judge of assignment 09: a pyramid, the largest rate that pays, a cascade, pooling over strips."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import SimpleNamespace

import torch
from seglib.classroom import Build, Call, Draw, Item, Mistake, Part, telling
from torch import Tensor, nn
from torch.nn import functional as F

Given = SimpleNamespace
Make = Callable[..., Callable[..., object]]
Case = Callable[[], Build | Call]
Hints = Mapping[str, str]
Blocks = Sequence[tuple[Sequence[int], int]]


def parameters(draw: Draw) -> dict[str, object]:
    rates = draw.sample(range(2, 9), 4)
    given = Given(
        rates=rates[::-1] if rates == sorted(rates) else rates,
        slope=draw.decimal(0.05, 0.40),
        share=draw.decimal(14, 30),
        step=draw.integer(2, 4),
        field=draw.integer(40, 400),
        stride=draw.choice([2, 4, 8, 16]),
        kernel=draw.choice([3, 5, 7]),
        second=draw.choice([3, 5]),
        strips=draw.integer(3, 5),
        weight=draw.choice([n / 100 for n in range(15, 86) if not 44 < n < 56]),
    )
    given.rest = round(1 - given.weight, 2)
    given.pyramid_value = shown(pyramid(given)(3, 4, 5), waves(2, 3, 12, 9))
    given.example_share = round(100 * share_inside(60, 80, 3, 12), 1)
    given.example_rate = largest_rate(given)(60, 80, 3)
    given.few_fields = cascade(given)([([1, 4], 1), ([3], 2), ([1], 1)])
    given.even_value = shown(strip_pooling(given)(3, 4), waves(2, 3, 3 * given.strips, 4))
    given.odd_value = shown(strip_pooling(given)(3, 4), waves(2, 3, 2 * given.strips + 2, 5))
    return vars(given)


def waves(*shape: int) -> Tensor:
    return torch.cos(0.7 * torch.arange(math.prod(shape))).reshape(shape)


@torch.no_grad()
def shown(module: nn.Module, x: Tensor) -> float:
    """What the notebook's visible test finds, with the weights of its own `filled`."""
    for parameter in module.parameters():
        parameter.copy_(waves(*parameter.shape))
    return round(float(module.eval()(x).abs().mean()), 3)


def taps_inside(height: int, width: int, rate: int) -> Tensor:
    """Of a dilated 3×3 kernel's nine taps those that read the map, for each pixel."""
    ones = torch.ones(1, 1, height, width, dtype=torch.float64)
    return F.conv2d(ones, ones.new_ones(1, 1, 3, 3), padding=rate, dilation=rate)


def conv(c_in: int, c_out: int) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 1, bias=False)


def pyramid(given: Given, mistake: str = "") -> type[nn.Module]:
    """ASPP with four separable branches, weighed by the taps that read the map."""

    def act(x: Tensor) -> Tensor:
        return F.relu(x) if mistake == "relu-instead-of-leaky" else F.leaky_relu(x, given.slope)

    class Pyramid(nn.Module):
        def __init__(self, in_channels: int, channels: int, out_channels: int) -> None:
            super().__init__()
            c, d = in_channels, channels
            self.rates = sorted(given.rates) if mistake == "rates-sorted" else given.rates
            self.near, self.near_norm = conv(c, d), nn.BatchNorm2d(d)
            self.depthwise = nn.ModuleList(
                nn.Conv2d(c, c, 3, 1, rate, rate, groups=c, bias=False) for rate in self.rates
            )
            self.pointwise = nn.ModuleList(conv(c, d) for _ in range(4))
            self.norms = nn.ModuleList(nn.BatchNorm2d(d) for _ in range(4))
            self.pool, self.pool_norm = conv(c, d), nn.BatchNorm2d(d)
            self.project = conv(6 * d, out_channels)
            self.project_norm = nn.BatchNorm2d(out_channels)

        def wide(self, x: Tensor, i: int) -> Tensor:
            taps = taps_inside(x.shape[2], x.shape[3], self.rates[i]).to(x)
            late = mistake == "weighed-after-the-norm"
            y = self.depthwise[i](x)
            if not late and mistake != "taps-not-weighed":
                y = y / taps * (1 if mistake == "mean-over-the-taps" else 9)
            y = act(y) if mistake == "activation-between" else y
            y = self.norms[i](self.pointwise[i](y))
            return act(y * 9 / taps if late else y)

        def pooled(self, x: Tensor) -> Tensor:
            mean = x.mean((2, 3), keepdim=True)
            mean = mean.expand_as(x) if mistake == "enlarged-before-the-norm" else mean
            y = act(self.pool_norm(self.pool(mean)))
            return y.expand(-1, -1, x.shape[2], x.shape[3])

        def forward(self, x: Tensor) -> Tensor:
            near = act(self.near_norm(self.near(x)))
            first, wide = self.pooled(x), [self.wide(x, i) for i in range(4)]
            near_first = mistake == "branches-in-other-order"
            parts = [near, *wide, first] if near_first else [first, *wide, near]
            y = self.project_norm(self.project(torch.cat(parts, dim=1)))
            return y if mistake == "missing-activation" else act(y)

    return Pyramid


def share_inside(height: int, width: int, kernel: int, rate: int, mistake: str = "") -> float:
    """Of a dilated kernel's taps the share that reads the map, averaged over its pixels."""

    def line(n: int) -> float:
        reach = [abs(j) * rate for j in range(-(kernel // 2), kernel // 2 + 1)]
        if mistake == "only-whole-kernels":
            return max(0, n - 2 * reach[0]) / n
        least = -n * kernel if mistake == "overlap-below-zero" else 0
        return sum(max(least, n - r) for r in reach) / n / kernel

    return line(height) * line(height if mistake == "assumes-a-square" else width)


def largest_rate(given: Given, mistake: str = "") -> Callable[[int, int, int], int]:
    """The largest rate of which enough taps read the map."""

    def rate_for(height: int, width: int, kernel: int) -> int:
        kernel = 3 if mistake == "kernel-3-always" else kernel
        step = 1 if mistake == "any-rate" else given.step
        rate, limit = 0, given.share / 100
        while rate < 300 and share_inside(height, width, kernel, rate + step, mistake) >= limit:
            rate += step
        rate += step * (mistake == "one-step-too-far")
        return max(rate, step) if mistake == "at-least-one-step" else rate

    return rate_for


def cascade(given: Given, mistake: str = "") -> Callable[[Blocks], list[tuple[int, int]]]:
    """Field and stride after each block: dilated branches side by side, then one that strides."""

    def fields(blocks: Blocks) -> list[tuple[int, int]]:
        field = 1 if mistake == "starts-at-one" else given.field
        apart = 1 if mistake == "map-stride-forgotten" else given.stride
        found = []
        for rates, stride in blocks:
            rate = sum(rates) if mistake == "branches-in-series" else max(rates)
            rate = min(rates) if mistake == "narrowest-branch" else rate
            rate = rates[-1] if mistake == "last-branch" else rate
            reach = rate * given.kernel if mistake == "kernel-counted-whole" else 0
            field += apart * (reach or rate * (given.kernel - 1))
            apart *= stride if mistake == "own-stride-counted" else 1
            if mistake != "second-forgotten":
                field += apart * (given.second - 1)
            apart *= 1 if mistake in ("own-stride-counted", "strides-forgotten") else stride
            found.append((field, apart))
        return found

    return fields


def strip_pooling(given: Given, mistake: str = "") -> type[nn.Module]:
    """A vector for each horizontal strip, of its own mean and the image's."""
    unchanged = mistake == "unchanged"

    class StripPooling(nn.Module):
        def __init__(self, in_channels: int, channels: int) -> None:
            super().__init__()
            self.conv, self.norm = conv(in_channels, channels), nn.BatchNorm2d(channels)

        def forward(self, x: Tensor) -> Tensor:
            height, s = x.shape[2], given.strips
            rows = starts = [i * height // s for i in range(s + 1)]
            if unchanged or mistake == "rows-left-over":
                starts = [i * (height // s) for i in range(s + 1)]
            more = mistake == "overlapping-strips"
            ends = [-(-i * height // s) for i in range(1, s + 1)] if more else starts[1:]
            strips = [x[:, :, a:b] for a, b in zip(starts, ends, strict=False)]
            means = torch.stack([part.mean((2, 3)) for part in strips], dim=2)[..., None]
            image = x.mean((2, 3), keepdim=True)
            if unchanged or mistake == "mean-of-strip-means":
                image = means.mean(2, keepdim=True)
            weight = 1 - given.weight if mistake == "weights-swapped" else given.weight
            y = weight * means + (1 - weight) * image
            counts = torch.tensor([b - a for a, b in pairwise(rows)])
            early = mistake == "enlarged-before-the-norm"
            y = y.repeat_interleave(counts, dim=2) if early else y
            y = self.norm(self.conv(y))
            y = F.relu(y) if mistake == "relu-instead-of-leaky" else F.leaky_relu(y, given.slope)
            if unchanged or mistake == "blends-between-strips":
                return F.interpolate(y, x.shape[2:], mode="bilinear")
            if mistake == "enlarged-by-nearest":
                return F.interpolate(y, x.shape[2:])
            y = y if early else y.repeat_interleave(counts, dim=2)
            return y.expand(-1, -1, -1, x.shape[3])

    return StripPooling


def items(given: Given, draw: Draw) -> list[Item]:
    def build(arguments: Mapping[str, int], height: int, width: int, *stages: str) -> Build:
        x = draw.normal(2, arguments["in_channels"], height, width)
        return Build(arguments, (x,), draw.integer(0, 10**6), stages or ("eval",))

    def pyramids(height: int, width: int, *stages: str) -> Build:
        widths = {"channels": draw.integer(2, 3), "out_channels": draw.integer(3, 4)}
        return build({"in_channels": draw.integer(2, 4), **widths}, height, width, *stages)

    def strips(height: int, width: int, *stages: str) -> Build:
        widths = {"in_channels": draw.integer(2, 4), "channels": draw.integer(2, 4)}
        return build(widths, height, width, *stages)

    def clear(height: int, width: int, kernel: int) -> bool:
        """Whether no multiple of the step lies at the limit, where rounding would decide."""
        last = largest_rate(given)(height, width, kernel)
        around = (share_inside(height, width, kernel, last + more) for more in (0, given.step))
        return all(abs(share - given.share / 100) > 1e-6 for share in around)

    def size() -> Call:
        sides = draw.integer(20, 150), draw.integer(20, 150), draw.choice([3, 3, 5, 7])
        return Call(sides) if clear(*sides) else size()

    def chain() -> Call:
        counts = draw.integers(1, 4, draw.integer(2, 5)).tolist()
        return Call(([(draw.sample(range(1, 25), n), draw.integer(1, 3)) for n in counts],))

    def item(name: str, make: Make, hints: Hints, case: Case, *parts: Part) -> Item:
        mistakes = {slug: Mistake(hint, make(given, slug)) for slug, hint in hints.items()}
        return telling(Item(name, make(given), parts, mistakes), case)

    every, s, modes = ("eval", "gradients", "train"), given.strips, "gradients and train mode"
    small = pyramids(3, 9), pyramids(1, 1), pyramids(5, 2)
    tiny = [sides for sides in ((1, 1, 3), (2, 3, 5), (3, 140, 3), (140, 6, 7)) if clear(*sides)]
    orders: Blocks = [([9, 2], 2), ([1, 5, 3], 2), ([4], 1)]
    ends = Call(([],)), Call(([([1], 1)],)), Call((orders,))
    maps = Part("ordinary maps, eval mode", 2, (pyramids(12, 13),))
    beyond = Part("maps smaller than the rates", 1, small)
    sizes = Part("ordinary maps", 1, tuple(size() for _ in range(16)))
    narrow = Part("tiny and narrow maps", 1, tuple(map(Call, tiny)))
    chains = Part("several blocks", 1, tuple(chain() for _ in range(3)))
    short = Part("no block, single rates, rates in any order", 1, ends)
    heights = Part("even and odd heights, eval mode", 1, (strips(3 * s, 4), strips(2 * s + 1, 3)))
    trained = Part(modes, 1, (pyramids(7, 5, *every),))
    told = Part(modes, 1, (strips(s + 1, 3, *every),))
    return [
        item("Pyramid", pyramid, PYRAMID, lambda: pyramids(9, 11), maps, beyond, trained),
        item("largest_rate", largest_rate, RATE, size, sizes, narrow),
        item("cascade", cascade, CASCADE, chain, chains, short),
        item("StripPooling", strip_pooling, STRIPS, lambda: strips(s + 2, 3), heights, told),
    ]


PYRAMID = {
    "relu-instead-of-leaky": "Values below 0 are cut off; this activation keeps a share of them.",
    "rates-sorted": "The branches stand in the order of the list of rates, not in rising order.",
    "taps-not-weighed": "The wide branches ignore how many taps read the map.",
    "mean-over-the-taps": "Dividing by the taps alone shrinks the middle, too: see what 9 taps do.",
    "weighed-after-the-norm": "The taps' weight comes before the BatchNorm, not after it.",
    "activation-between": "An activation stands between the depthwise and the 1×1 convolution.",
    "branches-in-other-order": "The branches are joined in another order than the text asks for.",
    "enlarged-before-the-norm": "The pooled vector is repeated before its BatchNorm.",
    "missing-activation": "The activation behind the last BatchNorm is missing.",
}
RATE = {
    "any-rate": "The rate is no multiple of the step.",
    "kernel-3-always": "The kernel's size is an argument; 3 is used always.",
    "assumes-a-square": "Height and width are taken to be the same.",
    "only-whole-kernels": "Only places where the whole kernel fits count; a part may fit, too.",
    "overlap-below-zero": "A tap beyond the map's whole side counts as less than nothing.",
    "one-step-too-far": "It gives the first rate that reads too little, not the last that doesn't.",
    "at-least-one-step": "Where the smallest rate reads too little, the answer is 0.",
}
CASCADE = {
    "branches-in-series": "Branches side by side read the same map; their rates don't add up.",
    "narrowest-branch": "A sum sees all that any of its branches sees.",
    "last-branch": "The rates stand in any order; the widest need not be the last.",
    "second-forgotten": "Each block ends with a second convolution, which sees further, too.",
    "own-stride-counted": "A layer's own stride counts for those after it, not for its own reach.",
    "strides-forgotten": "Strides multiply along the chain.",
    "map-stride-forgotten": "The cascade's first map has a stride already.",
    "starts-at-one": "A pixel of the first map sees more than one pixel of the image.",
    "kernel-counted-whole": "A kernel adds what it reaches beyond one pixel, not its whole width.",
}
STRIPS = {
    "unchanged": "This is still the colleague's module.",
    "rows-left-over": "Where the height is no multiple of the strips, the last rows are left out.",
    "overlapping-strips": "Neighbouring strips share a row; each row belongs to one strip.",
    "mean-of-strip-means": "The image's mean is over its pixels; strips differ in height.",
    "blends-between-strips": "The vectors are blended across the edges of strips.",
    "enlarged-by-nearest": "The vectors are spread by another rule than the rows were divided.",
    "weights-swapped": "The two weights are swapped.",
    "relu-instead-of-leaky": "Values below 0 are cut off; this activation keeps a share of them.",
    "enlarged-before-the-norm": "The vectors are repeated before the BatchNorm; repeat them last.",
}
