"""Judge of assignment 05: a bottleneck, a plan of dilations, what they read, a block to mend."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from operator import mul
from types import SimpleNamespace

import torch
from seglib.classroom import Build, Call, Draw, Item, Mistake, Part, telling
from torch import Tensor, nn
from torch.nn import functional as F

Given = SimpleNamespace
Plan = list[tuple[int, int]]
Read = Callable[[Sequence[int]], tuple[int, int, int, int]]
Make = Callable[..., Callable[..., object]]
Case = Callable[[], Build | Call]


def parameters(draw: Draw) -> dict[str, object]:
    given = Given(
        quarters=draw.choice([6, 7, 9, 10, 11, 13, 14, 15]),
        strided=draw.choice(["reduce", "expand"]),
        keep=draw.decimal(0.55, 0.95),
        stem=draw.choice([2, 3, 5, 6]),
        grid=draw.sample(range(1, 8), 3),
        cap=draw.integer(9, 24),
        taps=sorted([0, *draw.sample([t for t in range(-5, 6) if t], 3)]),
        stem_kernel=draw.choice([3, 5, 7]),
        stem_stride=draw.integer(2, 4),
        slope=draw.decimal(0.05, 0.45),
        share=draw.decimal(0.30, 0.90),
    )
    given.example_out = 6 * given.quarters // 4
    given.block_value = shown(scaled_bottleneck(given)(5, 6, 2, 1), waves(2, 5, 7, 9))
    given.few_blocks, given.few_strides = [1, 2, 5], [1, 3, 2]
    given.few_plan = planner(given)(given.few_blocks, given.few_strides, 2 * given.stem)
    given.one_read, given.two_read = pixels_read(given)([1]), pixels_read(given)([1, 2])
    return vars(given)


def waves(*shape: int) -> Tensor:
    return torch.cos(0.7 * torch.arange(math.prod(shape))).reshape(shape)


@torch.no_grad()
def shown(module: nn.Module, x: Tensor) -> float:
    """What the notebook's visible test finds, with the weights of its own `filled`."""
    for parameter in module.parameters():
        parameter.copy_(waves(*parameter.shape))
    return round(float(module.eval()(x).abs().mean()), 3)


def scaled_bottleneck(given: Given, mistake: str = "") -> type[nn.Module]:
    """A bottleneck with an own expansion, a stride at one end, and a weaker, averaged shortcut."""

    class ScaledBottleneck(nn.Module):
        def __init__(self, in_channels: int, channels: int, stride: int, dilation: int) -> None:
            super().__init__()
            quarters = 16 if mistake == "expansion-of-the-chapter" else given.quarters
            out, place = channels * quarters // 4, given.strided
            if mistake == "stride-in-the-3x3":
                place = "look"
            elif mistake == "stride-at-the-other-end":
                place = "expand" if place == "reduce" else "reduce"
            s1, s2, s3 = (stride if n == place else 1 for n in ("reduce", "look", "expand"))
            self.reduce = nn.Conv2d(in_channels, channels, 1, s1, bias=False)
            self.norm1 = nn.BatchNorm2d(channels)
            self.look = nn.Conv2d(channels, channels, 3, s2, dilation, dilation, bias=False)
            self.norm2 = nn.BatchNorm2d(channels)
            self.expand = nn.Conv2d(channels, out, 1, s3, bias=False)
            self.norm3 = nn.BatchNorm2d(out)
            reshapes = stride > 1 and mistake != "projection-by-channels-only"
            self.stride, self.projects = stride, in_channels != out or reshapes
            if self.projects:
                self.project = nn.Conv2d(in_channels, out, 1, bias=False)
                self.norm4 = nn.BatchNorm2d(out)

        def smaller(self, x: Tensor) -> Tensor:
            s = self.stride
            if mistake == "projection-strided":
                return x[..., ::s, ::s]
            zeros = (0, -x.shape[-1] % s, 0, -x.shape[-2] % s)
            x = F.pad(x, zeros) if mistake == "zeros-in-the-average" else x
            return F.avg_pool2d(x, s, ceil_mode=True)

        def forward(self, x: Tensor) -> Tensor:
            y = F.relu(self.norm1(self.reduce(x)))
            y = self.norm3(self.expand(F.relu(self.norm2(self.look(y)))))
            side = self.smaller(x)
            side = self.norm4(self.project(side)) if self.projects else side
            if mistake == "keep-on-residual":
                return F.relu(side + given.keep * y)
            side = side if mistake == "keep-forgotten" else given.keep * side
            return side + F.relu(y) if mistake == "relu-before-sum" else F.relu(side + y)

    return ScaledBottleneck


def planner(given: Given, mistake: str = "") -> Callable[..., Plan]:
    """(stride, dilation) of every block; factors on the last stage, and a largest dilation."""

    def plan(blocks: Sequence[int], strides: Sequence[int], output_stride: int) -> Plan:
        if len(blocks) != len(strides) and mistake != "accepts-wrong-length":
            raise ValueError(f"{len(blocks)} stages, {len(strides)} strides")
        rows, dilation, skips = [], 1, mistake == "multi-grid-skips-first"
        reached = 4 if mistake == "stem-stride-of-the-chapter" else given.stem
        for stage, (count, stride) in enumerate(zip(blocks, strides, strict=False)):
            before, fits = dilation, reached * stride <= output_stride
            if mistake == "off-by-one-stage" and stride > 1:
                fits = reached * stride < output_stride
            if not fits:
                dilation = dilation + stride if mistake == "dilation-added" else dilation * stride
                stride = 1
            reached *= stride
            last = stage == len(blocks) - 1 or mistake == "multi-grid-everywhere"
            for number in range(count):
                new = number or mistake == "first-block-dilated"
                new = new or (last and mistake == "multi-grid-on-new-dilation")
                own, times = dilation if new else before, 1
                if last and number >= skips:
                    times = given.grid[(number - skips) % 3]
                if mistake == "cap-before-multi-grid":
                    own = min(own, given.cap) * times
                else:
                    own = own * times if mistake == "cap-forgotten" else min(own * times, given.cap)
                rows.append((1 if number and mistake != "repeats-strided" else stride, own))
        return rows

    return plan


def pixels_read(given: Given, mistake: str = "") -> Read:
    """First and last pixel of a line, how many are read, and how often the busiest one."""

    def read(dilations: Sequence[int]) -> tuple[int, int, int, int]:
        rates = list(dilations)
        if mistake == "dilations-multiplied":
            rates = list(accumulate(rates, mul))
        taps = (-1, 0, 1) if mistake == "taps-of-the-chapter" else given.taps
        ways = Counter({0: 1})
        for rate in rates:
            spots = [rate * tap for tap in taps]
            if mistake == "holes-forgotten":
                spots = list(range(spots[0], spots[-1] + 1))
            ways = further(ways, spots)
        half, step = given.stem_kernel // 2, given.stem_stride
        stem = [0] if mistake == "stem-kernel-forgotten" else list(range(-half, half + 1))
        if mistake == "stem-stride-on-its-own-kernel":
            stem = [step * spot for spot in stem]
        step = 1 if mistake == "stem-stride-forgotten" else step
        ways = further(Counter({step * spot: n for spot, n in ways.items()}), stem)
        first, last = min(ways), max(ways)
        wrong = {"window-as-read": last - first + 1, "paths-as-read": sum(ways.values())}
        return first, last, wrong.get(mistake, len(ways)), max(ways.values())

    return read


def further(ways: Counter[int], spots: Sequence[int]) -> Counter[int]:
    found: Counter[int] = Counter()
    for place, count in ways.items():
        for spot in spots:
            found[place + spot] += count
    return found


def dense_block(given: Given, mistake: str = "") -> Callable[..., Tensor]:
    """A strided block without its stride; with the colleague's mistakes one by one."""

    def dense(x: Tensor, w1: Tensor, w2: Tensor, stride: int) -> Tensor:
        bad = mistake == "unchanged"
        blocks = bad or mistake == "shortcut-in-blocks"
        side = x[..., ::stride, ::stride] if blocks else x
        share = 1 if mistake == "share-forgotten" else given.share
        if bad or mistake == "shortcut-changes-the-input":
            side *= share  # before the convolution reads x
        else:
            side = share * side
        first = stride if bad or mistake == "first-convolution-dilated" else 1
        second = {"rate-hard-coded": 2, "dilation-forgotten": 1}.get(mistake, stride)
        slope = 0.01 if mistake == "slope-of-pytorch" else given.slope
        y = F.leaky_relu(F.conv2d(x, w1, padding=first, dilation=first), slope)
        y = F.conv2d(
            y, w2, padding=1 if mistake == "padding-forgotten" else second, dilation=second
        )
        if side.shape != x.shape:
            side = side.repeat_interleave(stride, 2).repeat_interleave(stride, 3)
            side = side[..., : x.shape[2], : x.shape[3]]
        return y + (side.detach() if mistake == "shortcut-cut-off" else side)

    return dense


def items(given: Given, draw: Draw) -> list[Item]:
    def wide(channels: int) -> int:
        return channels * int(given.quarters) // 4

    def block(c: int, channels: int, stride: int, dilation: int, *stages: str) -> Build:
        names = "in_channels", "channels", "stride", "dilation"
        x = draw.normal(2, c, draw.integer(5, 8), draw.integer(5, 8))
        arguments = dict(zip(names, (c, channels, stride, dilation), strict=True))
        return Build(arguments, (x,), draw.integer(0, 10**6), stages or ("eval",))

    def some_block() -> Build:
        channels, stride = draw.integer(2, 5), draw.integer(1, 3)
        c = draw.choice([wide(channels), draw.integer(3, 9)])
        return block(c, channels, stride, draw.integer(1, 3))

    def stages() -> Call:
        n = draw.integer(2, 4)
        blocks, strides = draw.integers(1, 5, n).tolist(), draw.integers(1, 3, n).tolist()
        return Call((blocks, strides, draw.choice([1, 2, 3, 6, 12]) * given.stem))

    def rates() -> Call:
        return Call((draw.integers(1, 6, draw.integer(1, 4)).tolist(),))

    def pair(stride: int, gradient: bool = False) -> Call:
        c, m = draw.integer(2, 3), draw.integer(2, 4)
        sizes = draw.integer(6, 9), draw.integer(5, 8)
        x = draw.normal(2, c, *sizes), draw.normal(m, c, 3, 3), draw.normal(c, m, 3, 3)
        return Call((*x, stride), gradient)

    def item(name: str, make: Make, hints: Mapping[str, str], case: Case, *parts: Part) -> Item:
        mistakes = {slug: Mistake(hint, make(given, slug)) for slug, hint in hints.items()}
        return telling(Item(name, make(given), parts, mistakes), case)

    both, stem = ("eval", "gradients", "train"), given.stem
    shapes = Part("strides, dilations, both shortcuts", 2, (some_block(), block(wide(5), 5, 1, 2)))
    odd = block(wide(4), 4, 2, 1), block(4, 3, 3, 2), block(wide(3), 3, 1, 1)
    sizes = Part("odd sizes", 1, odd)
    learning = block(wide(3), 3, 1, 2, *both), block(4, 3, 2, 1, *both)
    modes = Part("gradients and train mode", 1, learning)
    far = Call(([1, 1, 3], [5, 7, 1], stem)), Call(([2, 5], [6, 5], 6 * stem - 1))
    plans = Part("ordinary plans, large dilations", 1, (*(stages() for _ in range(4)), *far))
    odds = Call(([], [], 8)), Call(([4], [2], stem)), Call(([2, 1], [2], 8)), Call(([1], [], 8))
    ends = Part("no stage, a single one, wrong lengths", 1, odds)
    stacks = Part("ordinary stacks", 1, tuple(rates() for _ in range(4)))
    alone = Part("no layer, a single one, many", 1, tuple(map(Call, (([],), ([7],), ([1] * 5,)))))
    dense = Part("values", 1, (pair(2), pair(3), pair(1)))
    flow = Part("gradients", 1, (pair(2, True), pair(3, True)))
    return [
        item("ScaledBottleneck", scaled_bottleneck, BLOCK, some_block, shapes, sizes, modes),
        item("plan_blocks", planner, PLAN, stages, plans, ends),
        item("pixels_read", pixels_read, READ, rates, stacks, alone),
        item("dense_block", dense_block, DENSE, lambda: pair(draw.integer(2, 3)), dense, flow),
    ]


BLOCK = {
    "expansion-of-the-chapter": "The output is four times as wide; your course's is not.",
    "stride-in-the-3x3": "The 3×3 convolution strides; see which layer has the stride here.",
    "stride-at-the-other-end": "The other 1×1 convolution has the stride; see the text.",
    "projection-by-channels-only": "A stride changes the shape, too: there project is needed.",
    "projection-strided": "The shortcut picks pixels; it averages them before the projection.",
    "zeros-in-the-average": "At the border zeros are averaged in: a cut square is smaller.",
    "keep-forgotten": "The shortcut counts in full; it is to be weakened.",
    "keep-on-residual": "The factor is on the wrong summand.",
    "relu-before-sum": "The last ReLU comes before the sum; it belongs behind it.",
}
PLAN = {
    "stem-stride-of-the-chapter": "Counting starts at 4; your course's stem has another stride.",
    "off-by-one-stage": "A stage may reach output_stride; only one that goes past it is dilated.",
    "first-block-dilated": "A stage's first block still reads a map with the old spacing.",
    "dilation-added": "Strides that are dropped multiply the dilation.",
    "repeats-strided": "Only the first block of a stage has the stride.",
    "multi-grid-everywhere": "The factors belong to the last stage only.",
    "multi-grid-on-new-dilation": "The last stage's first block multiplies the old dilation, here.",
    "multi-grid-skips-first": "The last stage's first block has a factor, too.",
    "cap-forgotten": "No dilation may be above the largest one.",
    "cap-before-multi-grid": "The limit holds for the product with the factor.",
    "accepts-wrong-length": "Lists of different lengths are a ValueError.",
}
READ = {
    "taps-of-the-chapter": "It reads at −d, 0 and d; your course's kernel has other taps.",
    "holes-forgotten": "A dilated kernel reads nothing between its taps.",
    "dilations-multiplied": "Each layer has its own dilation; they don't multiply one another.",
    "stem-kernel-forgotten": "Each pixel that the first layer reads is made from several.",
    "stem-stride-forgotten": "Neighbours behind the stem lie further apart in the image.",
    "stem-stride-on-its-own-kernel": "The stem's own taps lie side by side.",
    "window-as-read": "Between first and last there are pixels that nothing reads.",
    "paths-as-read": "A pixel that is read in two ways is still one pixel.",
}
DENSE = {
    "unchanged": "This computes what the colleague's function computes.",
    "first-convolution-dilated": "The convolution that strode reads a map with the old spacing.",
    "rate-hard-coded": "The dilation is 2 whatever the stride was.",
    "dilation-forgotten": "Behind the stride that is gone the kernel reads pixels too close by.",
    "padding-forgotten": "The padding has to follow the dilation.",
    "shortcut-in-blocks": "The shortcut repeats every few pixels; now it has all of them.",
    "shortcut-changes-the-input": "The shortcut is weakened in place, before the kernels read it.",
    "share-forgotten": "The shortcut has a share; see the strided function.",
    "slope-of-pytorch": "The slope below 0 is not the one in the text.",
    "shortcut-cut-off": "The values are right, but no gradient comes back along the shortcut.",
}
