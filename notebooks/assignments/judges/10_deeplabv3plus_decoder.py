"""Judge of assignment 10: a gated decoder, a score of outlines, a ledger, a resize to mend."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace

import torch
from seglib.classroom import Build, Call, Draw, Item, Mistake, Part, telling
from torch import Tensor, nn
from torch.nn import functional as F

Given = SimpleNamespace
Make = Callable[..., Callable[..., object]]
Case = Callable[[], Build | Call]
Hints = Mapping[str, str]


def parameters(draw: Draw) -> dict[str, object]:
    given = Given(
        width=draw.integer(5, 12),
        middle=draw.integer(6, 13),
        least=draw.decimal(0.10, 0.45),
        steepness=draw.decimal(1.40, 2.90),
        reach=draw.integer(2, 4),
        balance=draw.choice([n / 100 for n in range(130, 290)]),
        stride=draw.choice([3, 5, 6, 7]),
        anchor=draw.choice([n / 100 for n in range(10, 91) if not 40 < n < 60]),
        sharpness=draw.decimal(1.20, 2.60),
    )
    given.rest = round(1 - given.least, 2)
    low, deep = waves(2, 4, 9, 7), waves(2, 6, 3, 2)
    given.decoder_value = shown(gated_decoder(given)(4, 6, 3), low, deep)
    prediction = torch.zeros(12, 12, dtype=torch.int64)
    mask = prediction.clone()
    prediction[:, 4:], mask[3:, 6:], mask[:2, 3:] = 1, 1, 2
    given.example_score = round(outline_score(given)(prediction, mask), 4)
    given.costs = decoder_costs(given)(24, 32, 5, 2, 50, 64)
    line = enlarge_line(given)(torch.tensor([[1.0, 5.0, 2.0]], dtype=torch.float64), 7)
    given.line = [round(value, 3) for value in line[0].tolist()]
    return vars(given)


def waves(*shape: int) -> Tensor:
    return torch.cos(0.7 * torch.arange(math.prod(shape))).reshape(shape)


@torch.no_grad()
def shown(module: nn.Module, *inputs: Tensor) -> float:
    """What the notebook's visible test finds, with the weights of its own `filled`."""
    for parameter in module.parameters():
        parameter.copy_(waves(*parameter.shape))
    return round(float(module.eval()(*inputs).abs().mean()), 3)


def gated_decoder(given: Given, mistake: str = "") -> type[nn.Module]:
    """A decoder in which the deep map says where it wants to see edges."""

    class GatedDecoder(nn.Module):
        def __init__(self, in_channels: int, deep_channels: int, num_classes: int) -> None:
            super().__init__()
            k, m = given.width, given.middle
            self.reduce = nn.Conv2d(in_channels, k, 1, bias=False)
            self.reduce_norm = nn.BatchNorm2d(k)
            self.gate = nn.Conv2d(deep_channels, k, 1)
            self.refine = nn.Conv2d(deep_channels + k, m, 3, padding=1, bias=False)
            self.refine_norm = nn.BatchNorm2d(m)
            self.classify = nn.Conv2d(m, num_classes, 1)

        def forward(self, low_level: Tensor, deep: Tensor) -> Tensor:
            edges = F.relu(self.reduce_norm(self.reduce(low_level)))
            size, corners = low_level.shape[2:], mistake == "align-corners-inverted"

            def enlarge(x: Tensor) -> Tensor:
                if mistake == "other-interpolation":
                    return F.interpolate(x, size)
                return F.interpolate(x, size, mode="bilinear", align_corners=not corners)

            def opened(x: Tensor) -> Tensor:
                steep = 1 if mistake == "steepness-forgotten" else given.steepness
                return torch.sigmoid(steep * self.gate(x))

            wide = enlarge(deep)
            gate = enlarge(opened(deep)) if mistake == "gate-enlarged-late" else opened(wide)
            gate = 1 - gate if mistake == "gate-inverted" else gate
            if mistake != "least-forgotten":
                gate = given.least + (1 - given.least) * gate
            if mistake == "least-as-minimum":
                gate = opened(wide).clamp(min=given.least)
            edges = edges if mistake == "gate-forgotten" else edges * gate
            parts = [wide, edges]
            if mistake == "joined-in-other-order":
                parts.reverse()
            y = self.refine_norm(self.refine(torch.cat(parts, dim=1)))
            return self.classify(y if mistake == "missing-activation" else F.relu(y))

    return GatedDecoder


def outline_score(given: Given, mistake: str = "") -> Callable[[Tensor, Tensor], float]:
    """F-score of outlines with own neighbours, distance and balance."""

    def outline(labels: Tensor) -> Tensor:
        found = torch.zeros_like(labels, dtype=torch.bool)
        if mistake == "border-counted":
            found[0], found[-1], found[:, 0], found[:, -1] = True, True, True, True
        down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
        found[1:] |= down
        found[:, 1:] |= right
        if mistake != "one-side-only":
            found[:-1] |= down
            found[:, :-1] |= right
        return found

    def share(of: Tensor, near: Tensor) -> float:
        reach = 0 if mistake == "reach-forgotten" else given.reach
        distance = (of.nonzero()[:, None] - near.nonzero()[None]).abs()
        steps = distance.amax(2) if mistake == "diagonal-as-one" else distance.sum(2)
        matched = steps < reach if mistake == "reach-excluded" else steps <= reach
        return float(matched.any(1).double().mean())

    def score(prediction: Tensor, mask: Tensor) -> float:
        found, wanted = outline(prediction), outline(mask)
        if not found.any() or not wanted.any():
            both = not found.any() and not wanted.any()
            return float(both and mistake != "nothing-is-wrong")
        precision, recall = share(found, wanted), share(wanted, found)
        if mistake == "precision-and-recall-swapped":
            precision, recall = recall, precision
        b = 1 if mistake == "balance-forgotten" else given.balance
        b = b if mistake == "balance-not-squared" else b * b
        if precision + recall == 0:
            return 0.0
        return (1 + b) * precision * recall / (b * precision + recall)

    return score


def decoder_costs(given: Given, mistake: str = "") -> Callable[..., tuple[int, int]]:
    """Parameters and multiply-adds of a gated decoder with several 3×3 convolutions."""

    def costs(c: int, deep: int, classes: int, convs: int, *image: int) -> tuple[int, int]:
        k, m = given.width, given.middle
        square = 1 if mistake == "kernel-forgotten" else 9
        joined = deep if mistake == "low-level-forgotten" else deep + k
        later = joined if mistake == "reads-joined-again" else m
        gate = 0 if mistake == "gate-forgotten" else deep * k
        weights = c * k + gate + square * m * (joined + (convs - 1) * later) + m * classes
        norms = 0 if mistake == "forgot-batchnorm" else 2 * (k + convs * m)
        biases = k + (0 if mistake == "classifier-bias-forgotten" else classes)
        pixels = math.prod(-(-side // given.stride) for side in image)
        if mistake == "floor-instead-of-ceil":
            pixels = math.prod(side // given.stride for side in image)
        elif mistake == "at-image-size":
            pixels = math.prod(image)
        resize = 0 if mistake == "resize-forgotten" else 4 * deep
        return weights + norms + biases, pixels * (weights + resize)

    return costs


def enlarge_line(given: Given, mistake: str = "") -> Callable[[Tensor, int], Tensor]:
    """Linear interpolation along lines with an anchor and a sharpness of its own."""
    unchanged = mistake == "unchanged"

    def enlarge(x: Tensor, size: int) -> Tensor:
        length = x.shape[1]
        a = 0.5 if mistake == "anchor-in-the-middle" else given.anchor
        place = (torch.arange(size, dtype=torch.float64) + a) * length / size
        if not unchanged and mistake != "anchor-not-subtracted":
            place = place - a
        if mistake == "corners-aligned":
            place = torch.arange(size, dtype=torch.float64) * (length - 1) / max(1, size - 1)
        left = place.floor().clamp(0, length - 1).long()
        right = (left + 1).clamp(max=length - 1)
        sharp = 1 if mistake == "sharpness-forgotten" else given.sharpness
        weight = 0.5 + sharp * (place - left - 0.5)
        if not unchanged and mistake != "weight-not-limited":
            weight = weight.clamp(0, 1)
        weight = 1 - weight if unchanged or mistake == "weights-swapped" else weight
        return (1 - weight) * x[:, left] + weight * x[:, right]

    return enlarge


def items(given: Given, draw: Draw) -> list[Item]:
    def decoder(height: int, width: int, *deep: int, stages: tuple[str, ...] = ("eval",)) -> Build:
        c, d = draw.integer(3, 5), draw.integer(3, 6)
        widths = {"in_channels": c, "deep_channels": d, "num_classes": draw.integer(2, 4)}
        inputs = draw.normal(2, c, height, width), draw.normal(2, d, *deep)
        return Build(widths, inputs, draw.integer(0, 10**6), stages)

    def labels() -> Call:
        mask = draw.integers(0, 0, draw.integer(10, 16), draw.integer(10, 16))
        other = mask.copy()
        for value in (1, 2, 3, 4):
            top, left = draw.integer(0, 8), draw.integer(0, 8)
            down, right = top + draw.integer(1, 7), left + draw.integer(1, 7)
            mask[top:down, left:right] = value
            if value < 4:
                more = draw.integer(0, 3)
                other[top + more : down + more, left + draw.integer(0, 2) : right] = value
        return Call((other, mask))

    def network() -> Call:
        channels = draw.integer(5, 40), draw.integer(5, 60), draw.integer(2, 21)
        sides = draw.integer(30, 200), draw.integer(30, 200)
        return Call((*channels, draw.integer(1, 3), *sides))

    def line() -> Call:
        length, size = draw.integer(2, 6), draw.integer(1, 13)
        return Call((draw.normal(2, length), size), gradient=True)

    def item(name: str, make: Make, hints: Hints, case: Case, *parts: Part) -> Item:
        mistakes = {slug: Mistake(hint, make(given, slug)) for slug, hint in hints.items()}
        tolerance = 1e-4 if make is enlarge_line else 1e-6  # places may be float32
        return telling(Item(name, make(given), parts, mistakes, tolerance), case)

    every = ("eval", "gradients", "train")
    none, some, far = (draw.integers(0, 0, 9, 20) for _ in range(3))
    some[:, 3:] = far[:, 17:] = 2
    pairs = ((none, none), (some, none), (none, some), (far, some), (some, some))
    maps = Part("odd sizes, eval mode", 2, (decoder(9, 7, 3, 2), decoder(8, 12, 2, 3)))
    ends = Part("one pixel, equal sizes", 1, (decoder(5, 6, 1, 1), decoder(4, 3, 4, 3)))
    both = Part("gradients and train mode", 1, (decoder(5, 7, 2, 3, stages=every),))
    masks = Part("ordinary masks", 1, tuple(labels() for _ in range(4)))
    empty = Part("no outline, none nearby, equal masks", 1, tuple(map(Call, pairs)))
    sizes = Part("ordinary networks", 1, tuple(network() for _ in range(3)))
    small = Part(
        "small and exact images", 1, (Call((3, 4, 2, 1, 1, 1)), Call((9, 8, 2, 3, 42, 30)))
    )
    lines = Part("longer and shorter lines, with gradient", 1, tuple(line() for _ in range(4)))
    single = Call((draw.normal(1, 1), 5), True), Call((draw.normal(3, 5), 5), True)
    alone = Part(
        "one value, one place, equal lengths", 1, (*single, Call((draw.normal(1, 4), 1), True))
    )
    return [
        item("GatedDecoder", gated_decoder, DECODER, lambda: decoder(7, 9, 3, 3), maps, ends, both),
        item("outline_score", outline_score, SCORE, labels, masks, empty),
        item("decoder_costs", decoder_costs, COSTS, network, sizes, small),
        item("enlarge_line", enlarge_line, LINE, line, lines, alone),
    ]


DECODER = {
    "joined-in-other-order": "The two maps are joined in the other order.",
    "align-corners-inverted": "The deep map is enlarged with the other align_corners.",
    "other-interpolation": "The deep map is enlarged by another method than the bilinear one.",
    "gate-enlarged-late": "The gate is made on the small map; enlarge the deep map first.",
    "steepness-forgotten": "The gate's steepness is missing.",
    "least-forgotten": "A closed gate still lets a part of the edges through.",
    "least-as-minimum": "The least is where the gate begins, no limit that cuts it off.",
    "gate-inverted": "The gate is turned round: it closes where it should open.",
    "gate-forgotten": "The edges are joined without their gate.",
    "missing-activation": "The ReLU behind the 3×3 convolution's BatchNorm is missing.",
}
SCORE = {
    "border-counted": "The image's own border is no outline.",
    "one-side-only": "Both pixels of an unequal pair lie on the outline.",
    "diagonal-as-one": "The distance counts steps along rows and columns; a diagonal takes two.",
    "reach-forgotten": "Outlines need not coincide: they match within the reach.",
    "reach-excluded": "A pixel exactly at the reach still matches.",
    "precision-and-recall-swapped": "Precision and recall are swapped.",
    "balance-forgotten": "The balance between precision and recall is missing.",
    "balance-not-squared": "The balance enters squared.",
    "nothing-is-wrong": "Where neither has an outline, they agree.",
}
COSTS = {
    "forgot-batchnorm": "Each BatchNorm has a scale and a shift for every channel.",
    "classifier-bias-forgotten": "The classifier has a bias: one parameter for each class.",
    "gate-forgotten": "The gate's convolution has weights, which work on every pixel.",
    "kernel-forgotten": "A 3×3 kernel has nine weights for each pair of channels.",
    "low-level-forgotten": "The first 3×3 convolution reads the low-level map's channels, too.",
    "reads-joined-again": "Only the first 3×3 convolution reads the joined channels.",
    "floor-instead-of-ceil": "The low-level map's sides are rounded up.",
    "at-image-size": "The decoder works on the low-level map, not on the image.",
    "resize-forgotten": "Enlarging the deep map has a price, too.",
}
LINE = {
    "unchanged": "This is still the colleague's function.",
    "anchor-not-subtracted": "The anchor moves a place there; afterwards it must move back.",
    "weight-not-limited": "A weight leaves the range from 0 to 1.",
    "weights-swapped": "The nearer value gets the smaller weight.",
    "anchor-in-the-middle": "The anchor is at 0.5, as with align_corners=False; this one is not.",
    "corners-aligned": "The ends are mapped onto the ends, as with align_corners=True.",
    "sharpness-forgotten": "The weight is not sharpened.",
}
