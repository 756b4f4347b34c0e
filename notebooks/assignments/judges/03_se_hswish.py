"""Judge of assignment 03: an activation with its slope, a gate, a table of blocks, a repair."""

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
Make = Callable[..., Callable[..., object]]
Case = Callable[[], Build | Call]
Block = tuple[int, int, int, int, int, str, int]


def parameters(draw: Draw) -> dict[str, object]:
    given = Given(
        low=draw.choice([-n / 100 for n in range(120, 421) if not 280 < n < 320]),
        high=draw.choice([n / 100 for n in range(120, 421) if not 280 < n < 320]),
        floor=draw.decimal(0.04, 0.25),
        divisor=draw.choice([3, 5, 6, 7]),
        peak=draw.decimal(0.15, 0.85),
        strength=draw.choice([n / 100 for n in range(25, 76) if not 45 < n < 55]),
        stem=draw.integer(17, 64),
        width_divisor=draw.choice([7, 9, 10, 11, 12]),
        hidden_divisor=draw.choice([3, 4, 5, 6]),
        waist=draw.choice([3, 5, 6]),
        heat=draw.choice([n / 100 for n in range(160, 590) if n % 100]),
        leak=draw.decimal(0.05, 0.45),
    )
    middle = round((2 * given.low + given.high) / 3, 1)
    values, slopes = bent_swish(given)(torch.tensor([middle], dtype=torch.float64))
    given.middle = middle
    given.middle_value, given.middle_slope = round(float(values), 4), round(float(slopes), 4)
    given.example_waist = squeezed(given, 24, 2)
    given.gate_value = shown(gate_module(given)(24, 2), waves(2, 24, 4, 3))
    given.few_lines = ["5x5 72>40 SE HS /2", "3x3 184>80 RE"]
    given.few_blocks = reader(given)(given.few_lines, 0.75)
    tensors = [waves(1, 4, 3, 5), waves(3, 4), waves(3), waves(4, 3), waves(4)]
    given.weighed_value = round(float(weigher(given)(*tensors).abs().mean()), 4)
    return vars(given)


def waves(*shape: int) -> Tensor:
    return torch.cos(0.7 * torch.arange(math.prod(shape))).reshape(shape)


@torch.no_grad()
def shown(module: nn.Module, x: Tensor) -> float:
    """What the notebook's visible test finds, with the weights of its own `filled`."""
    for parameter in module.parameters():
        parameter.copy_(waves(*parameter.shape))
    return round(float(module.eval()(x).abs().mean()), 4)


def bent_swish(given: Given, mistake: str = "") -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """x times a hard gate that never shuts below `floor`, and the slope of that."""

    def bent(x: Tensor) -> tuple[Tensor, Tensor]:
        low, high, floor = given.low, given.high, given.floor
        if mistake == "knees-of-the-chapter":
            low, high = -3.0, 3.0
        floor = 0.0 if mistake == "floor-forgotten" else floor
        t = (x - low) / (high - low)
        inside = (x > low) & (x < high) if mistake == "knees-excluded" else (x >= low) & (x <= high)
        rise = (1 - floor) / (high - low)
        gate = floor + (1 - floor) * (t if mistake == "clamp-forgotten" else t.clamp(0, 1))
        if mistake == "floor-as-minimum":
            gate, rise, inside = t.clamp(floor, 1), 1 / (high - low), (t >= floor) & (t <= 1)
        elif mistake == "floor-added":
            gate, rise = floor + t.clamp(0, 1), 1 / (high - low)
        slope = gate + x * rise * (inside | (mistake == "clamp-forgotten"))
        if mistake == "slope-of-the-gate":
            slope = rise * inside.to(x.dtype)
        elif mistake == "product-rule-forgotten":
            slope = gate
        return x * gate, slope

    return bent


def squeezed(given: Given, channels: int, reduction: int, mistake: str = "") -> int:
    wanted, divisor = channels / reduction, int(given.divisor)
    if mistake == "rounded-as-the-library":
        return make_divisible(wanted, divisor)
    multiple = math.floor(wanted / divisor + 0.5)
    if mistake == "ties-to-even":
        multiple = round(wanted / divisor)
    elif mistake == "rounded-down":
        multiple = math.floor(wanted / divisor)
    return max(1, multiple) * divisor


def gate_module(given: Given, mistake: str = "") -> type[nn.Module]:
    """Squeeze to mean and maximum, excite, and scale with a strength."""

    class ChannelGate(nn.Module):
        def __init__(self, channels: int, reduction: int) -> None:
            super().__init__()
            q = squeezed(given, channels, reduction, mistake)
            self.reduce, self.restore = nn.Linear(channels, q), nn.Linear(q, channels)

        def forward(self, x: Tensor) -> Tensor:
            mean, most = x.mean((2, 3)), x.amax((2, 3))
            z = mean + given.peak * most
            if mistake == "peak-forgotten":
                z = mean
            elif mistake == "weighted-mean-of-both":
                z = (1 - given.peak) * mean + given.peak * most
            z = self.reduce(z)
            z = self.restore(z if mistake == "missing-relu" else z.relu())
            g = z.sigmoid() if mistake == "sigmoid-instead-of-hsigmoid" else F.hardsigmoid(z)
            s, g = given.strength, g[:, :, None, None]
            if mistake == "strength-forgotten":
                return x * g
            if mistake == "added-to-input":
                return x + s * x * g
            if mistake == "strength-exchanged":
                s = 1 - s
            return (1 - s) * x + s * x * g

    return ChannelGate


def reader(given: Given, mistake: str = "") -> Callable[[Sequence[str], float], list[Block]]:
    """Blocks that lines such as "5x5 72>40 SE HS /2" describe, scaled by a width multiplier."""

    def widened(value: float) -> int:
        if mistake == "rounded-as-the-library":
            return make_divisible(value, given.width_divisor)
        return math.ceil(value / given.width_divisor) * int(given.width_divisor)

    def read(lines: Sequence[str], width_mult: float) -> list[Block]:
        blocks: list[Block] = []
        before = int(given.stem * (1 if mistake == "stem-not-scaled" else width_mult))
        if mistake == "stem-rounded-as-outputs":
            before = widened(given.stem * width_mult)
        for number, line in enumerate(lines, start=1):
            kernel, widths, *rest = line.split()
            table_hidden, table_out = map(int, widths.split(">"))
            step = given.hidden_divisor
            hidden = int(table_hidden * width_mult // step) * step
            if mistake == "hidden-rounded-up":
                hidden = math.ceil(table_hidden * width_mult / step) * step
            if mistake != "hidden-below-the-input":
                hidden = max(hidden, before)
            kept = number == len(lines) and (width_mult < 1 or mistake == "last-always-kept")
            kept = kept and mistake != "last-scaled"
            out = table_out if kept else widened(table_out * width_mult)
            source = table_hidden if mistake == "waist-of-the-table" else hidden
            source = before if mistake == "waist-of-the-input" else source
            waist = max(1, source // given.waist) if "SE" in rest else 0
            act = "HS" if "HS" in rest else "RE"
            stride = int(rest[-1][1:]) if rest[-1].startswith("/") else 1
            blocks.append((int(kernel[0]), before, hidden, out, waist, act, stride))
            before = table_out if mistake == "input-of-the-table" else out
        return blocks

    return read


def weigher(given: Given, mistake: str = "") -> Callable[..., Tensor]:
    """A gate as a function of its weights; with the colleague's mistakes one by one."""

    def weigh(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        bad = mistake == "unchanged"
        z = x.mean((2, 3))
        if bad or mistake == "squeezes-the-batch":
            z = x.mean((0, 2, 3))[None].expand(len(x), -1)
        z = F.linear(z, w1, b1)
        z = z.relu() if mistake == "leak-forgotten" else F.leaky_relu(z, given.leak)
        z = F.linear(z, w2, b2) / given.heat
        gate = z.sigmoid() if mistake == "sigmoid-instead-of-hsigmoid" else (z + 0.5).clamp(0, 1)
        gate = gate[:, :, None, None]
        if bad or mistake == "gate-cut-off":
            gate = gate.detach()
        if bad or mistake == "modifies-input":
            x *= gate
            return x
        return x.detach() * gate if mistake == "input-cut-off" else x * gate

    return weigh


def items(given: Given, draw: Draw) -> list[Item]:
    def values(*shape: int) -> Call:
        return Call((draw.normal(*shape, scale=3.0),))

    def gate(channels: int, reduction: int, height: int, width: int, *stages: str) -> Build:
        sizes = {"channels": channels, "reduction": reduction}
        x = draw.normal(2, channels, height, width)
        return Build(sizes, (x,), draw.integer(0, 10**6), stages or ("eval",))

    def some_gate() -> Build:
        return gate(draw.integer(6, 30), draw.integer(2, 4), draw.integer(2, 5), draw.integer(2, 5))

    def line() -> str:
        k, hidden, out = draw.choice([3, 5, 7]), draw.integer(20, 200), draw.integer(10, 120)
        words = [f"{k}x{k}", f"{hidden}>{out}", *draw.choice([["SE"], []])]
        return " ".join([*words, draw.choice(["HS", "RE"]), *draw.choice([["/2"], ["/3"], []])])

    def table() -> Call:
        lines = [line() for _ in range(draw.integer(2, 5))]
        return Call((lines, draw.choice([0.25, 0.375, 0.75, 1, 1.25, 1.625])))

    def weighing(batch: int, gradient: bool = False) -> Call:
        c, q = draw.integer(4, 7), draw.integer(2, 4)
        shapes = (batch, c, draw.integer(2, 5), 4), (q, c), (q,), (c, q), (c,)
        return Call(tuple(draw.normal(*shape) for shape in shapes), gradient)

    def item(name: str, make: Make, hints: Mapping[str, str], case: Case, *parts: Part) -> Item:
        mistakes = {slug: Mistake(hint, make(given, slug)) for slug, hint in hints.items()}
        return telling(Item(name, make(given), parts, mistakes), case)

    knees = draw.normal(6)
    knees[:] = given.low, given.high, 0, given.low - 0.01, given.high + 0.01, -1e5
    bends = Part("values and slopes", 2, (values(12), values(3, 5)))
    kinks = Part("at the knees, other shapes", 1, (Call((knees,)), values(2, 1, 3, 2)))
    d = int(given.divisor)
    odd = gate(5 * d, 2, 3, 2), gate(math.floor(2.6 * d), 2, 1, 5)  # a tie; far down
    gates = Part("widths and values", 1, odd)
    narrow = Part("narrow gates, a single pixel", 1, (gate(2, 3, 2, 3), gate(4 * d, 2, 1, 1)))
    trained = gate(2 * d + 1, 2, 3, 4, "eval", "gradients", "train")
    flow = Part("gradients", 1, (trained,))
    tables = Part("ordinary tables", 1, tuple(table() for _ in range(4)))
    one = "7x7 50>33 SE RE /2"
    ends = Call(([], 0.5)), Call(([one], 0.5)), Call(([one], 2)), Call(([f"  {one} "] * 2, 0.0625))
    few = Part("a single block, no block, very narrow", 1, ends)
    images = Part("several images", 1, (weighing(1), weighing(3), weighing(2)))
    through = Part("gradients", 1, (weighing(1, True), weighing(3, True)))
    return [
        item("bent_swish", bent_swish, BENT, lambda: values(9), bends, kinks),
        item("ChannelGate", gate_module, GATE, some_gate, gates, narrow, flow),
        item("read_blocks", reader, TABLE, table, tables, few),
        item("weigh", weigher, WEIGH, lambda: weighing(3), images, through),
    ]


BENT = {
    "knees-of-the-chapter": "It bends at −3 and 3, as the chapter's gate; your knees are others.",
    "floor-forgotten": "The gate falls to 0; here it stops before that.",
    "floor-as-minimum": "The line starts at 0 and is cut off below: it should start at the floor.",
    "floor-added": "Right of the upper knee the gate is above 1.",
    "clamp-forgotten": "The gate goes on rising and falling beyond its knees.",
    "knees-excluded": "At a knee itself the slope is the middle piece's.",
    "slope-of-the-gate": "The slope is the gate's alone; asked for is that of the product.",
    "product-rule-forgotten": "The gate depends on x, too: a product has a slope of two terms.",
}
GATE = {
    "rounded-as-the-library": "It minds the share that is lost; here the nearest multiple is it.",
    "ties-to-even": "Half way between two multiples the larger is asked for; see `round`.",
    "rounded-down": "The waist is rounded down; the nearest multiple is asked for.",
    "peak-forgotten": "The squeeze is the mean alone.",
    "weighted-mean-of-both": "The mean counts in full; the share of the maximum comes on top.",
    "missing-relu": "There is no ReLU between the two layers.",
    "sigmoid-instead-of-hsigmoid": "It has the sigmoid in place of the hard one.",
    "strength-forgotten": "The input is gated in full; see the strength.",
    "strength-exchanged": "The two shares of the sum are exchanged.",
    "added-to-input": "The whole input is in the sum; only its share belongs there.",
}
TABLE = {
    "rounded-as-the-library": "It rounds as the chapter's rule does; outputs are rounded up here.",
    "stem-not-scaled": "The stem's channels are scaled, too.",
    "stem-rounded-as-outputs": "The stem's channels become a whole number, not a multiple.",
    "hidden-rounded-up": "Hidden widths are rounded down.",
    "hidden-below-the-input": "A hidden width falls below the channels that come in.",
    "last-scaled": "Below 1 the last block keeps the table's output.",
    "last-always-kept": "The last block keeps the table's output only below 1.",
    "waist-of-the-table": "It takes the waist from the table; it follows from the scaled width.",
    "waist-of-the-input": "It takes the waist from the block's input, not from its hidden width.",
    "input-of-the-table": "A block reads what the one before it wrote, after scaling.",
}
WEIGH = {
    "unchanged": "This computes what the colleague's function computes.",
    "squeezes-the-batch": "The mean runs over the images, too: each needs its own gates.",
    "gate-cut-off": "The values are right, but nothing flows back into the gate's weights.",
    "modifies-input": "The input tensor is changed in place; the caller still needs it.",
    "input-cut-off": "The values are right, but the input gets only a part of its gradient.",
    "leak-forgotten": "There is a plain ReLU between the two layers; the text has a leaky one.",
    "sigmoid-instead-of-hsigmoid": "The gate is curved; the text's is straight between 0 and 1.",
}
