"""Judge of assignment 02: a gated inverted residual, a planner, its costs, a block to mend."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace

import torch
from seglib.classroom import Build, Call, Draw, Item, Mistake, Part, telling
from seglib.layers import make_divisible
from torch import Tensor, nn
from torch.nn import functional as F

Given = SimpleNamespace
Plan = list[tuple[int, int, int, int, float]]
Make = Callable[..., Callable[..., object]]
Case = Callable[[], Build | Call]


def parameters(draw: Draw) -> dict[str, object]:
    given = Given(
        divisor=draw.choice([5, 6, 7, 9, 10, 11]),
        kernel=draw.choice([3, 5]),
        shift=draw.choice([n / 100 for n in range(150, 381) if not 280 < n < 320]),
        limit=draw.choice([n / 100 for n in range(420, 761) if not 570 < n < 630]),
        reduction=draw.choice([3, 5, 6, 7]),
        least=draw.integer(2, 4),
        strength=draw.decimal(0.25, 0.85),
        stem=draw.integer(17, 47),
        thinner=draw.decimal(0.40, 0.90),
        slowness=draw.choice([n / 100 for n in range(130, 480) if n % 100]),
        ratio=draw.integer(2, 5),
        cap=draw.decimal(0.60, 3.20),
    )
    given.example_hidden = rounded_up(6 * 2.5, given.divisor)
    given.example_squeezed = squeezed(given, given.example_hidden)
    given.block_value = shown(gated_block(given)(6, 6, 1, 2.5), waves(2, 6, 7, 5))
    given.few_rows = [[1, 20, 1, 1], [6, draw.integer(20, 60), 2, 2]]
    given.few_plan = planner(given)(given.few_rows, 4)
    given.costs = block_costs(given)(10, 8 * given.divisor, 12, 1, 9, 8)
    given.mended_value = shown(partial_block(given)(4, 6, 2), waves(2, 4, 7, 5))
    return vars(given)


def waves(*shape: int) -> Tensor:
    return torch.cos(0.7 * torch.arange(math.prod(shape))).reshape(shape)


@torch.no_grad()
def shown(module: nn.Module, x: Tensor) -> float:
    """What the notebook's visible test finds, with the weights of its own `filled`."""
    for parameter in module.parameters():
        parameter.copy_(waves(*parameter.shape))
    return round(float(module.eval()(x).abs().mean()), 3)


def rounded_up(value: float, divisor: int) -> int:
    return math.ceil(value / divisor) * divisor


def squeezed(given: Given, hidden: int) -> int:
    return max(int(given.least), hidden // int(given.reduction))


class Layers(nn.Module):
    """The convolutions and BatchNorms of both blocks; none of them pads."""

    def __init__(self, c: int, hidden: int, out: int, expands: bool, *depthwise: int) -> None:
        super().__init__()
        self.expands = expands
        if expands:
            self.expand = nn.Conv2d(c, hidden, 1, bias=False)
            self.norm1 = nn.BatchNorm2d(hidden)
        k, s, d = depthwise  # kernel, stride, dilation
        self.depthwise = nn.Conv2d(hidden, hidden, k, s, 0, d, groups=hidden, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.project = nn.Conv2d(hidden, out, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out)


def gated_block(given: Given, mistake: str = "") -> type[nn.Module]:
    """Expand, filter, weigh the channels, project; with own rounding, activation and strength."""

    def hard(x: Tensor) -> Tensor:
        shift, limit = (3, 6) if mistake == "hswish-of-the-chapter" else (given.shift, given.limit)
        return (x + shift).clamp(0, limit) / limit

    def act(x: Tensor) -> Tensor:
        return x * hard(x)

    class GatedBlock(Layers):
        def __init__(self, in_channels: int, out_channels: int, stride: int, expand_ratio: float):
            rounded = make_divisible if mistake == "rounded-as-the-library" else rounded_up
            hidden = rounded(in_channels * expand_ratio, given.divisor)
            expands = hidden != in_channels or mistake == "expansion-when-equal"
            super().__init__(in_channels, hidden, out_channels, expands, given.kernel, stride, 1)
            q = squeezed(given, hidden)
            c = out_channels if mistake == "se-after-projection" else hidden
            self.reduce, self.restore = nn.Conv2d(c, q, 1), nn.Conv2d(q, c, 1)
            self.shortcut = stride == 1 and in_channels == out_channels

        def weigh(self, x: Tensor) -> Tensor:
            between = act if mistake == "other-activation-inside" else F.relu
            z = self.restore(between(self.reduce(x.mean((2, 3), keepdim=True))))
            return x * (z.sigmoid() if mistake == "sigmoid-instead-of-hsigmoid" else hard(z))

        def forward(self, x: Tensor) -> Tensor:
            y = act(self.norm1(self.expand(x))) if self.expands else x
            y = self.norm2(self.depthwise(F.pad(y, [given.kernel // 2] * 4)))
            early, late = mistake == "se-before-activation", mistake == "se-after-projection"
            y = act(self.weigh(y) if early else y)
            y = self.norm3(self.project(y if early or late else self.weigh(y)))
            y = self.weigh(y) if late else y
            y = act(y) if mistake == "activation-after-projection" else y
            weaker = self.shortcut and mistake != "strength-forgotten"
            y = given.strength * y if weaker or mistake == "strength-without-shortcut" else y
            return x + y if self.shortcut else y

    return GatedBlock


def planner(given: Given, mistake: str = "") -> Callable[..., Plan]:
    """The rows of a table, block by block: the last one strides, dilated ones are thinner."""

    def plan(rows: Sequence[Sequence[int]], output_stride: int) -> Plan:
        blocks: Plan = []
        channels, dilation = given.stem, 1
        reached = 1 if mistake == "stem-stride-forgotten" else 2
        for t, c, n, s in rows:
            width = c if mistake == "width-not-rounded" else rounded_up(c, given.divisor)
            striding = 0 if mistake == "stride-on-first-block" else n - 1
            for number in range(n):
                stride, own = (s if number == striding else 1), dilation
                too_far = reached * stride > output_stride
                if mistake == "off-by-one-stage":
                    too_far = stride > 1 and reached * stride >= output_stride
                elif mistake == "once-dropped-always-dropped":
                    too_far = too_far or (stride > 1 and dilation > 1)
                if too_far:
                    dilation = dilation + stride if mistake == "dilation-added" else own * stride
                    stride = 1
                reached *= stride
                own = dilation if mistake == "dilated-too-early" else own
                thin = own > 1 or mistake == "thinner-everywhere"
                blocks.append((channels, width, stride, own, t * given.thinner if thin else t))
                channels = width
        return blocks

    return plan


def block_costs(given: Given, mistake: str = "") -> Callable[..., tuple[int, float]]:
    """Trainable parameters of a gated block, and its cost on a chip that is slow at depthwise."""

    def costs(c: int, hidden: int, out: int, stride: int, *size: int) -> tuple[int, float]:
        expands = hidden != c or mistake == "expansion-when-equal"
        q, spatial = squeezed(given, hidden), given.kernel**2 * hidden
        gate, widen = 2 * hidden * q, expands * c * hidden
        trained = widen + spatial + gate + hidden * out
        trained += 0 if mistake == "bias-forgotten" else q + hidden
        trained += 0 if mistake == "forgot-batchnorm" else 2 * ((1 + expands) * hidden + out)
        before, after = math.prod(size), math.prod(math.ceil(n / stride) for n in size)
        if mistake == "floor-instead-of-ceil":
            after = math.prod(n // stride for n in size)
        elif mistake == "macs-at-input-resolution":
            after = before
        elif mistake == "macs-at-output-resolution":
            before = after
        slow = 1 if mistake == "slowness-forgotten" else given.slowness
        once = after if mistake == "gate-on-every-pixel" else 1
        return trained, before * widen + after * (slow * spatial + hidden * out) + once * gate

    return costs


def partial_block(given: Given, mistake: str = "") -> type[nn.Module]:
    """A dilated inverted residual; its input is added to the first channels of its output."""

    class PartialBlock(Layers):
        def __init__(self, in_channels: int, out_channels: int, dilation: int) -> None:
            hidden = given.ratio * in_channels
            super().__init__(in_channels, hidden, out_channels, True, 3, 1, dilation)
            self.more, self.dilation = out_channels - in_channels, dilation

        def forward(self, x: Tensor) -> Tensor:
            cap, unchanged = given.cap, mistake == "unchanged"
            zeros = [self.dilation] * 4
            early = unchanged or mistake == "pad-before-expansion"
            y = self.norm1(self.expand(F.pad(x, zeros) if early else x)).clamp(0, cap)
            y = self.norm2(self.depthwise(y if early else F.pad(y, zeros))).clamp(0, cap)
            y = self.norm3(self.project(y))
            y = y.clamp(0, cap) if unchanged or mistake == "activation-after-projection" else y
            if mistake == "shortcut-only-for-equal-channels" and self.more:
                return y
            last = self.more * (unchanged or mistake == "shortcut-on-the-last-channels")
            return y + F.pad(x, (0, 0, 0, 0, last, self.more - last))

    return PartialBlock


def items(given: Given, draw: Draw) -> list[Item]:
    def built(arguments: dict[str, float], *stages: str) -> Build:
        x = draw.normal(2, int(arguments["in_channels"]), draw.integer(4, 6), draw.integer(5, 7))
        return Build(arguments, (x,), draw.integer(0, 10**6), stages or ("eval",))

    def gated(c: int, more: int, stride: int, ratio: float, *stages: str) -> Build:
        names = "in_channels", "out_channels", "stride", "expand_ratio"
        return built(dict(zip(names, (c, c + more, stride, ratio), strict=True)), *stages)

    def dilated(c: int, more: int, dilation: int, *stages: str) -> Build:
        names = "in_channels", "out_channels", "dilation"
        return built(dict(zip(names, (c, c + more, dilation), strict=True)), *stages)

    def block() -> Build:
        more, stride = draw.choice([(0, 1), (2, 1), (0, 2), (-1, 1)])
        return gated(draw.integer(3, 6), more, stride, draw.choice([1.25, 1.5, 2, 2.5, 3]))

    def table() -> Call:
        wide = [(draw.integer(1, 6), draw.integer(12, 99)) for _ in range(draw.integer(3, 5))]
        rows = [[t, c, *draw.integers(1, 3, 2).tolist()] for t, c in wide]
        return Call((rows, draw.choice([4, 8, 12, 16])))

    def sizes() -> Call:
        channels = draw.integer(5, 30), draw.integer(4, 30) * d, draw.integer(5, 40)
        return Call((*channels, draw.integer(1, 3), draw.integer(7, 40), draw.integer(7, 40)))

    def wider() -> Build:
        return dilated(draw.integer(3, 4), draw.integer(0, 3), draw.integer(1, 3))

    def item(name: str, make: Make, hints: Mapping[str, str], case: Case, *parts: Part) -> Item:
        mistakes = {slug: Mistake(hint, make(given, slug)) for slug, hint in hints.items()}
        return telling(Item(name, make(given), parts, mistakes), case)

    def modes(case: Callable[..., Build], *arguments: float) -> Part:
        both = case(*arguments, "eval", "gradients", "train")
        return Part("gradients and train mode", 1, (both,))

    d, q = given.divisor, given.reduction
    wide = [(c, n / 4) for c in range(3, 7) for n in range(5, 16)]
    up = [(c, r) for c, r in wide if rounded_up(c * r, d) != make_divisible(c * r, d)]
    c, ratio = draw.choice(up)  # where the chapter's rule would round down
    blocks = Part("strides, widths, the shortcut", 2, (gated(c, 0, 1, ratio), gated(8, 0, 1, 7)))
    ones = Part("ratio 1", 1, (gated(d, 0, 1, 1), gated(d, 2, 2, 1), gated(d - 1, 0, 1, 1)))
    tables = Part("ordinary tables", 1, tuple(table() for _ in range(4)))
    back = [[2, 24, 2, 2], [3, 40, 2, 4], [4, 51, 2, 2], [2, 60, 1, 1]]
    ends = Call(([], 8)), Call((back, 8)), Call(([[6, 30, 3, 2], [4, d, 1, 2]], 2))
    dropped = Part("every stride dropped, or one between; no rows", 1, ends)
    counted = Part("ordinary blocks", 1, tuple(sizes() for _ in range(4)))
    few = Call((3 * d, 3 * d, 2 * d, 2, 11, 14)), Call((q, q, 7, 1, 1, 1))
    equal = Part("no expansion, a single pixel", 1, few)
    mended = Part("eval mode", 1, (dilated(3, 0, 2), dilated(4, 3, 1), dilated(3, 1, 3)))
    return [
        item("GatedBlock", gated_block, BLOCK, block, blocks, ones, modes(gated, 4, 0, 1, 1.5)),
        item("plan_blocks", planner, PLAN, table, tables, dropped),
        item("block_costs", block_costs, COSTS, sizes, counted, equal),
        item("PartialBlock", partial_block, PARTIAL, wider, mended, modes(dilated, 3, 2, 2)),
    ]


BLOCK = {
    "rounded-as-the-library": "The hidden width is rounded up, not as the chapter's rule does it.",
    "expansion-when-equal": "There is an expansion although the hidden width is that of the input.",
    "hswish-of-the-chapter": "The hard function has the chapter's 3 and 6, not this course's.",
    "other-activation-inside": "Another function than ReLU stands between the gate's two layers.",
    "sigmoid-instead-of-hsigmoid": "The gate has the sigmoid in place of the hard function.",
    "se-after-projection": "The gate weighs the projected channels; it belongs on the wide middle.",
    "se-before-activation": "The gate comes before the activation; it comes after it.",
    "activation-after-projection": "An activation follows the projection: not linear.",
    "strength-forgotten": "With a shortcut the block's own part has a strength.",
    "strength-without-shortcut": "Where there is no shortcut, nothing is multiplied.",
}
PLAN = {
    "stride-on-first-block": "The first block of a row strides, as in the chapter; see which here.",
    "dilated-too-early": "The block whose stride is dropped keeps the dilation of before.",
    "dilation-added": "Strides that are dropped multiply the dilation.",
    "stem-stride-forgotten": "The stem has halved the map already.",
    "off-by-one-stage": "A stride that ends exactly at output_stride is allowed.",
    "once-dropped-always-dropped": "After a dropped stride a smaller one may still fit.",
    "width-not-rounded": "The table's channels are rounded up.",
    "thinner-everywhere": "Only blocks with a dilation above 1 are thinner.",
}
COSTS = {
    "expansion-when-equal": "Where hidden equals in_channels there is no expansion to count.",
    "bias-forgotten": "The gate's two layers have biases, which are trained.",
    "forgot-batchnorm": "Each BatchNorm has a scale and a shift for every channel.",
    "floor-instead-of-ceil": "A stride rounds the map's size up: 7 becomes 4.",
    "macs-at-input-resolution": "Depthwise convolution and projection write the smaller map.",
    "macs-at-output-resolution": "The expansion works before the stride, on the larger map.",
    "slowness-forgotten": "A multiply-add of the depthwise convolution takes longer.",
    "gate-on-every-pixel": "The gate's layers run once for an image, not for every pixel.",
}
PARTIAL = {
    "unchanged": "This computes what the colleague's class computes.",
    "pad-before-expansion": "The zeros come in before the expansion: BatchNorm shifts them.",
    "activation-after-projection": "Something cuts off the projection's negative values.",
    "shortcut-on-the-last-channels": "The input is added to the wrong channels of the output.",
    "shortcut-only-for-equal-channels": "The input is added, too, where the output has more.",
}
