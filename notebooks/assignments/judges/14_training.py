"""Judge of assignment 14: a schedule, parameter groups, a loss with its gradient, a mean IoU."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace

import numpy
import torch
from numpy import ndarray
from seglib.classroom import Call, Draw, Item, Mistake, Part, telling
from torch import Tensor

Given = SimpleNamespace
Make = Callable[..., Callable[..., object]]
Case = Callable[[], Call]
Shapes = Mapping[str, Sequence[int]]
CLASSES, VOID = 5, 255


def parameters(draw: Draw) -> dict[str, object]:
    given = Given(peak=draw.decimal(0.011, 0.099, digits=3), warmup=draw.integer(12, 60))
    given.start, given.floor = draw.decimal(0.05, 0.45), draw.decimal(0.02, 0.30)
    given.power = draw.choice([n / 100 for n in range(55, 190) if not 85 < n < 110])
    # In these ranges no two kinds of parameter meet at one rate.
    given.backbone, given.decoder = draw.decimal(0.04, 0.11), draw.decimal(5.1, 9.9)
    given.bias, given.norm = draw.decimal(1.2, 2.5), draw.decimal(0.55, 0.85)
    given.decay, given.thin = draw.decimal(0.011, 0.099, digits=3), draw.decimal(0.15, 0.85)
    given.frozen, given.second_void = draw.integer(2, 7), draw.integer(100, 250)
    given.smoothing, given.cap = draw.decimal(0.05, 0.30, digits=3), draw.decimal(2.5, 5.5)
    given.few, given.stray = draw.integer(8, 25), draw.integer(3, 7)
    given.rare = draw.decimal(0.15, 0.85)
    steps = 0, 6, given.warmup, 500, 1000
    given.shown_rates = [round(learning_rate(given)(step, 1000), 5) for step in steps]
    logits = torch.cos(0.7 * torch.arange(24, dtype=torch.float64)).reshape(1, 4, 2, 3)
    mask = torch.tensor([[[0, 1, VOID], [3, given.second_void, 1]]])
    given.loss = round(smoothed(given)(logits, mask, [0.5, 9, 1, 2]).item(), 5)
    given.score = round(2 / 3 * (1 + given.rare) / (1 + 2 * given.rare), 5)
    return vars(given)


def learning_rate(given: Given, mistake: str = "") -> Callable[[int, int], float]:
    """Poly from the peak to a floor, after a warm-up that starts above 0."""

    def scheduled(step: int, total: int) -> float:
        if mistake != "accepts-no-steps" and (total < 1 or step < 0):
            raise ValueError(f"step is {step}, total {total}")
        warmup = given.warmup if mistake == "warmup-too-long" else min(given.warmup, total // 2)
        if step < warmup:
            done = (step + (mistake == "one-step-off")) / warmup
            start = 0 if mistake == "starts-at-zero" else given.start
            return float(given.peak * (start + (1 - start) * done))
        begin = 0 if mistake == "falls-from-step-zero" else warmup
        done = (step - begin) / (total - begin)
        left = 1 - done if mistake == "complex-past-the-end" else max(0.0, 1 - done)
        fall = left if mistake == "linear-decay" else left**given.power
        floor = 0 if mistake == "floor-forgotten" else given.floor
        fall = max(floor, fall) if mistake == "floor-as-minimum" else floor + (1 - floor) * fall
        rate: float = given.peak * fall
        return rate

    return scheduled


def grouping(given: Given, mistake: str = "") -> Callable[[Shapes, float], list[dict[str, object]]]:
    """Parameters of equal rate and decay, by their names and shapes."""

    def frozen(name: str) -> bool:
        parts = name.split(".")
        if mistake == "frozen-by-prefix":
            return name.startswith(tuple(f"backbone.stages.{n}" for n in range(given.frozen)))
        end = given.frozen + (mistake == "frozen-one-too-many")
        return parts[:2] == ["backbone", "stages"] and int(parts[2]) < end

    def groups(shapes: Shapes, lr: float) -> list[dict[str, object]]:
        found: dict[object, tuple[float, float, list[str]]] = {}
        for name in shapes:
            parts, shape = name.split("."), shapes[name]
            if frozen(name):
                continue
            first, every = (name, name) if mistake == "matches-by-name" else (parts[:1], parts)
            other = given.decoder if "decoder" in every else 1
            place = given.backbone if "backbone" in first else other
            sibling = shapes.get(".".join([*parts[:-1], "weight"]), [0, 0])
            norm = len(sibling) == 1 and parts[-1] in ("weight", "bias")
            if mistake == "norm-by-name":
                norm = "norm" in name or "bn" in name
            elif mistake == "norm-bias-as-bias":
                norm = norm and parts[-1] == "weight"
            kind = given.norm if norm else given.bias if parts[-1] == "bias" else 1
            decays = len(shape) > 1 or (mistake == "decay-on-scales" and parts[-1] != "bias")
            decay = given.decay if decays else 0.0
            if len(shape) == 4 and shape[1] == 1 and mistake != "depthwise-in-full":
                decay *= given.thin
            key = name if mistake == "one-group-each" else (place * kind, decay)
            found.setdefault(key, (lr * place * kind, decay, []))[2].append(name)
        return [dict(zip(("lr", "weight_decay", "names"), g, strict=True)) for g in found.values()]

    return groups


def smoothed(given: Given, mistake: str = "") -> Callable[..., Tensor]:
    """Cross-entropy with a share for the other classes, capped weights, and two void labels."""

    def loss(logits: Tensor, mask: Tensor, weights: Sequence[float]) -> Tensor:
        classes, share = logits.shape[1], given.smoothing
        second = VOID if mistake == "second-void-as-class" else given.second_void
        valid = (mask != VOID) & (mask != second)
        log_p = logits.softmax(1).log() if mistake == "no-log-sum-exp" else logits.log_softmax(1)
        label = torch.where(valid, mask, 0)
        cap = math.inf if mistake == "cap-forgotten" else given.cap
        table = torch.tensor([min(w, cap) for w in weights], dtype=logits.dtype)
        weight = table[label] * valid
        truth = log_p.gather(1, label[:, None])[:, 0]
        others = (log_p.sum(1) - truth) / (classes - 1)
        if mistake == "smoothed-over-all-classes":
            others = log_p.mean(1)
        pixel = -(1 - share) * truth - share * others
        terms = pixel * weight
        if mistake == "weighs-every-term":
            spread = (log_p * table[:, None, None]).sum(1) * valid - truth * weight
            terms = -(1 - share) * truth * weight - share * spread / (classes - 1)
        if mistake == "averaged-per-image":
            return (terms.sum((1, 2)) / weight.sum((1, 2)).clamp_min(1e-12)).mean()
        divisors = {"divided-by-pixels": valid.sum(), "averaged-over-ignored": mask.ge(0).sum()}
        total, count = terms.sum(), divisors.get(mistake, weight.sum())
        if mistake == "no-gradient-when-all-ignored" and count == 0:
            return torch.zeros((), dtype=logits.dtype)
        divisor = count if mistake == "nan-when-all-ignored" else count + (count == 0)
        return total / divisor

    return loss


def scoring(given: Given, mistake: str = "") -> Callable[..., float]:
    """A weighted mean IoU over all images, with own rules for rare and for stray classes."""
    bad = mistake == "unchanged"

    def score(predictions: Sequence[Tensor], masks: Sequence[Tensor], num_classes: int) -> float:
        if bad or mistake == "averaged-per-image":
            ones = [[pair] for pair in zip(predictions, masks, strict=True)]
            means = [together(one, num_classes) for one in ones]
            return sum(means) / len(means)
        return together(list(zip(predictions, masks, strict=True)), num_classes)

    def together(pairs: Sequence[tuple[Tensor, Tensor]], num_classes: int) -> float:
        limits = {"stray-at-the-limit": given.stray - 1, "every-stray-counts": 0}
        stray = limits.get(mistake, -1 if bad or mistake == "absent-as-zero" else given.stray)
        above = below = 0.0
        for c in range(num_classes):
            hits = labelled = predicted = 0
            for guess, mask in pairs:
                keep = torch.ones_like(mask) if bad or mistake == "void-counts" else mask != VOID
                hits += int(((guess == c) & (mask == c)).sum())
                labelled += int((mask == c).sum())
                predicted += int(((guess == c) & (keep > 0)).sum())
            few = given.few + (mistake == "few-included")
            weight = given.rare if labelled < few and mistake != "rare-in-full" else 1.0
            if labelled == 0:
                weight *= predicted > stray and mistake != "strays-left-out"
            above += weight * hits / max(1, labelled + predicted - hits)
            below += weight
        return above / below if below else math.nan

    return score


def items(given: Given, draw: Draw) -> list[Item]:
    def step() -> Call:
        total = draw.integer(2 * given.warmup, 900)
        return Call((draw.choice([draw.integer(0, total), draw.integer(0, given.warmup)]), total))

    def shapes(extra: dict[str, list[int]] | None = None) -> Call:
        listed = list((extra or {}).items())
        tops = [f"backbone.stages.{draw.integer(0, 9)}", "decoder", "head.decoder.up", "aspp"]
        tops += [f"backbone.stages.{given.frozen}", "old_decoder" if extra else "head", "backbone"]
        for top in draw.sample(tops, 6):
            c, k = draw.integer(2, 24), draw.integer(2, 24)
            conv = [c, k, 3, 3] if draw.choice([True, False]) else [c, 1, 3, 3]
            listed += [(f"{top}.conv.weight", conv), (f"{top}.conv.bias", [c])]
            norm = f"{top}.{draw.choice(['1', 'act']) if extra else 'norm'}"
            listed += [(f"{norm}.weight", [c]), (f"{norm}.bias", [c])]
        return Call((dict(draw.sample(listed, len(listed))), draw.decimal(0.01, 0.99)))

    def pixels(batch: int, classes: int, scale: float = 2.0) -> Call:
        size = batch, draw.integer(3, 5), draw.integer(3, 6)
        mask = draw.integers(0, classes - 1, *size)
        void = draw.integers(0, 6, *size)
        mask[void == 0], mask[void == 1] = VOID, given.second_void
        weights = [draw.decimal(0.2, 2 * given.cap) for _ in range(classes)]
        logits = draw.normal(batch, classes, *size[1:], scale=scale)
        return Call((logits, mask, [*weights[:-1], 1 + 2 * given.cap]), gradient=True)

    def images(count: int, classes: int = CLASSES) -> Call:
        pairs = [image(classes) for _ in range(count)]
        return Call(([guess for guess, _ in pairs], [mask for _, mask in pairs], classes))

    def image(classes: int) -> tuple[ndarray, ndarray]:
        size, most = (draw.integer(3, 9), draw.integer(3, 9)), draw.integer(1, classes - 1)
        mask = draw.integers(0, most, *size)
        wrong = draw.integers(0, 3, *size) == 0
        guess = mask.copy()
        guess[wrong] = draw.integers(0, classes - 1, *size)[wrong]
        mask[draw.integers(0, 5, *size) == 0] = VOID
        return guess, mask

    def edge(labelled: int, strays: int) -> Call:
        """Two images with one class labelled and another predicted at so many pixels."""
        mask, guess = numpy.zeros((2, 8, 7), numpy.int64), numpy.zeros((2, 8, 7), numpy.int64)
        mask[0].flat[: labelled - 3] = mask[1].flat[:3] = 1
        guess[0].flat[4 : labelled + 1] = guess[1].flat[1:3] = 1
        guess[0].flat[50:52] = guess[1].flat[20 : 18 + strays] = 2
        mask[0, 6], guess[0, 6] = VOID, 3
        return Call(([*guess], [*mask], CLASSES))

    def item(name: str, make: Make, hints: Mapping[str, str], case: Case, *parts: Part) -> Item:
        mistakes = {slug: Mistake(hint, make(given, slug)) for slug, hint in hints.items()}
        return telling(Item(name, make(given), parts, mistakes), case)

    w, total = given.warmup, 4 * given.warmup + draw.integer(1, 99)
    usual = [(0, total), (w - 1, total), (w, total), (2 * w, total), (3 * w + 5, total)]
    ends = [(total, total), (total + 7, total), (5, 12), (6, 12), (2, 7), (3, 7), (0, 1), (1, 1)]
    ends += [(0, 0), (3, -2), (-1, 50)]
    border = f"backbone.stages.{given.frozen}.gain backbone.stages.{given.frozen - 1}.gain"
    names = f"{border} backbone.stages.{given.frozen}0.scale bias decoder.bias aspp.decoder.gain"
    odd: dict[str, list[int]] = {"temperature": [], "backbone.stages.1.conv.weight": [4, 3, 3, 3]}
    odd |= {name: [5] for name in names.split()}
    odd |= {"backbone.stages.10.conv.weight": [6, 1, 3, 3], "my_backbone.decoder2.weight": [3, 1]}
    odd |= {"backbone.decoder.proj.bias": [9], "backbone.decoder.proj.weight": [9, 1]}
    void = numpy.full((2, 2, 3), VOID, numpy.int64)
    void[0, 1] = given.second_void
    logits = draw.normal(2, 3, 2, 3)
    nothing = Call((logits, void, [1.0, 2.0, 0.5]), gradient=True)
    weightless = Call((logits, numpy.where(void == VOID, 0, 1), [0.0, 0.0, 0.0]), gradient=True)
    near = (0, 1), (-1, 0), (-2, -1), (1, 7)
    limits = [edge(given.few + more, given.stray + over) for more, over in near]
    empty = numpy.full((2, 3), VOID, numpy.int64)
    left = Call(([empty * 0], [empty], 3)), Call(([], [], 2)), images(1, 2)
    runs = Part("ordinary runs", 1, tuple(map(Call, usual)))
    bounds = Part("the end, short runs, numbers that can't be", 1, tuple(map(Call, ends)))
    networks = Part("ordinary networks", 1, (shapes(), shapes(), shapes()))
    named = Part("names that mislead", 1, (shapes(odd), Call((odd, 0.5)), Call(({}, 0.1))))
    batches = Part("values and gradients", 2, (pixels(1, 4), pixels(2, CLASSES), pixels(3, 2)))
    hard = Part("nothing counts, large logits", 1, (nothing, weightless, pixels(1, 3, 900)))
    several = Part("several images", 2, tuple(images(3) for _ in range(4)))
    scarce = Part("at the limits, nothing to score", 1, (*limits, *left))
    return [
        item("learning_rate", learning_rate, RATE, step, runs, bounds),
        item("parameter_groups", grouping, GROUPS, shapes, networks, named),
        item("smoothed_loss", smoothed, LOSS, lambda: pixels(2, CLASSES), batches, hard),
        item("mean_iou", scoring, SCORE, lambda: images(3), several, scarce),
    ]


RATE = {
    "starts-at-zero": "The warm-up starts at a share of the peak, not at 0.",
    "one-step-off": "Step 0 has the first rate of the warm-up; the peak is reached after it.",
    "warmup-too-long": "In a short run the warm-up is shorter.",
    "falls-from-step-zero": "The fall begins where the warm-up ends, and from the full peak.",
    "linear-decay": "The power is missing.",
    "complex-past-the-end": "Past the end, what is left is negative, and so its power is complex.",
    "floor-forgotten": "It falls to 0; it should end at the floor.",
    "floor-as-minimum": "The curve is cut off at the floor; it should arrive there at the end.",
    "accepts-no-steps": "A run without steps and a step below 0 are a ValueError.",
}
GROUPS = {
    "matches-by-name": "Whole parts of a name count, not letters somewhere inside of it.",
    "frozen-by-prefix": "Stage 10 starts with the letters of stage 1; compare the numbers.",
    "frozen-one-too-many": "One stage too many is frozen: look at the border.",
    "norm-by-name": "A norm is told by its weight's shape, whatever it is called.",
    "norm-bias-as-bias": "A norm's bias belongs to the norm: see the weight beside it.",
    "decay-on-scales": "What has fewer than two dimensions has no weight decay.",
    "depthwise-in-full": "Depthwise kernels have a smaller decay.",
    "one-group-each": "Parameters with equal rate and decay share a group.",
}
LOSS = {
    "smoothed-over-all-classes": "The true class gets nothing of the share for the others.",
    "weighs-every-term": "A pixel has one weight, its label's, for all terms of its loss.",
    "cap-forgotten": "Large weights are capped.",
    "second-void-as-class": "There are two labels that don't count.",
    "divided-by-pixels": "It divides by the number of pixels, not by the sum of their weights.",
    "averaged-over-ignored": "The sum is divided by all pixels, also those that don't count.",
    "averaged-per-image": "Each image is averaged first; average over the batch at once.",
    "nan-when-all-ignored": "If nothing counts, 0 is divided by 0.",
    "no-gradient-when-all-ignored": "If nothing counts, the loss must still be in the graph.",
    "no-log-sum-exp": "At large logits a probability is 0, and its logarithm infinite.",
}
SCORE = {
    "unchanged": "This computes what the colleague's function computes.",
    "averaged-per-image": "Each image is scored by itself; count over all of them first.",
    "void-counts": "What is predicted at void pixels counts as a wrong prediction.",
    "absent-as-zero": "A class that occurs nowhere is left out, not a 0.",
    "strays-left-out": "A class without a label is left out even if it is predicted often.",
    "every-stray-counts": "A class without a label counts only from some pixels on.",
    "stray-at-the-limit": "Look at a stray class with exactly as many pixels as the limit.",
    "rare-in-full": "Rare classes have a smaller weight.",
    "few-included": "Look at a class with exactly as many labelled pixels as the limit.",
}
