"""Squeeze-and-excitation with one mistake each: how wrong answers to chapter 03 are recognised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglib.layers import make_divisible
from seglib.teach.caching import cached_property
from seglib.teach.probing import Case, Fact, Probe

Function = Callable[[Tensor], Tensor]
Width = Literal[
    "right", "floor", "ceil", "floor, 4", "floor, 8", "multiple below", "multiple near",
    "multiple above", "by 4", "by 16", "reduction", "channels", "quarter", "sixteenth", "one layer",
]  # fmt: skip
Squeeze = Literal["mean", "max", "sum", "columns", "rows", "batch", "channels", "none"]
Combine = Literal["multiply", "add", "residual", "gate", "wide gate", "in place"]

INSIDE: dict[str, Function] = {
    "relu": F.relu,
    "none": lambda x: x,
    "relu6": F.relu6,
    "hswish": F.hardswish,
    "silu": F.silu,
    "gelu": F.gelu,
    "leaky": F.leaky_relu,
    "sigmoid": torch.sigmoid,
    "hsigmoid": F.hardsigmoid,
    "tanh": torch.tanh,
}
GATES: dict[str, Function] = {
    "right": F.hardsigmoid,
    "by hand": lambda x: F.relu6(x + 3) / 6,  # the same; torch's gradient holds 1/6 in single
    "sigmoid": torch.sigmoid,
    "hswish": F.hardswish,
    "silu": F.silu,
    "no shift": lambda x: F.relu6(x) / 6,
    "no shift, hswish": lambda x: x * F.relu6(x) / 6,
    "no division": lambda x: F.relu6(x + 3),
    "no clamp": lambda x: (x + 3) / 6,
    "no upper clamp": lambda x: F.relu(x + 3) / 6,
    "no lower clamp": lambda x: (x + 3).clamp(max=6) / 6,
    "none": lambda x: x,
    "softmax": lambda x: x.softmax(1),
    "relu": F.relu,
    "relu6": F.relu6,
    "tanh": torch.tanh,
    "clamp": lambda x: x.clamp(0, 1),
    "keras": lambda x: (0.2 * x + 0.5).clamp(0, 1),
    "half shift": lambda x: F.relu6(x + 3) / 6 + 0.5,
    "shift outside": lambda x: (F.relu6(x) + 3) / 6,
    "divided first": lambda x: F.relu6(x / 6 + 3),
    "third": lambda x: F.relu6(x + 3) / 3,
    "complement": lambda x: 1 - F.hardsigmoid(x),
    "twice": lambda x: F.hardsigmoid(F.hardsigmoid(x)),
    "squared": lambda x: F.hardsigmoid(x) ** 2,
    "sigmoid twice": lambda x: F.hardsigmoid(torch.sigmoid(x)),
}
_GATE_SLUGS = {
    "sigmoid": "sigmoid-instead-of-hsigmoid",
    "hswish": "hswish-instead-of-hsigmoid",
    "no shift": "shift-forgotten",
    "no division": "division-forgotten",
    "no clamp": "clamp-forgotten",
    "no upper clamp": "clamp-forgotten",
    "no lower clamp": "clamp-forgotten",
    "none": "missing-gate",
    "softmax": "softmax-gate",
}


@dataclass(frozen=True)
class Recipe:
    """How to build the gate; the defaults are right."""

    width: Width = "right"
    squeeze: Squeeze = "mean"
    inside: str = "relu"
    gate: str = "right"
    combine: Combine = "multiply"
    bias: tuple[bool, bool] = (True, True)
    norms: tuple[bool, bool] = (False, False)


def _counted() -> list[tuple[str, Recipe]]:
    """Mistakes that change the number of parameters, alone and together."""
    widths: tuple[tuple[Width, str], ...] = (
        ("floor", "width-not-rounded"),
        ("ceil", "width-not-rounded"),
        ("floor, 4", "width-not-rounded"),
        ("floor, 8", "width-not-rounded"),
        ("by 4", "width-rounded-wrong"),
        ("by 16", "width-rounded-wrong"),
        ("multiple below", "width-rounded-wrong"),
        ("multiple near", "width-rounded-wrong"),
        ("multiple above", "width-rounded-wrong"),
        ("reduction", "reduction-ignored"),
        ("channels", "reduction-ignored"),
        ("quarter", "reduction-ignored"),
        ("sixteenth", "reduction-ignored"),
    )
    found = [("one-layer-only", Recipe(width="one layer"))]
    found += [("one-layer-only", Recipe(width="one layer", bias=(False, False)))]
    pairs = [(a, b) for a in (True, False) for b in (True, False)]
    for width in ("right", *(width for width, _ in widths)):
        for bias, norms in product(pairs, pairs):
            recipe = Recipe(width=width, bias=bias, norms=norms)
            slug = "" if width == "right" else dict(widths)[width]
            slug = slug if all(bias) else "bias-missing"
            slug = "batchnorm-inside" if any(norms) else slug
            if slug:
                found.append((slug, recipe))
    return found


def _valued() -> list[tuple[str, Recipe]]:
    """Mistakes that change values alone."""
    found: list[tuple[str, Recipe]] = [
        ("returns-gate", Recipe(combine="gate")),
        ("returns-gate", Recipe(combine="wide gate")),
        ("missing-squeeze", Recipe(squeeze="none")),
        ("max-instead-of-mean", Recipe(squeeze="max")),
        ("sum-instead-of-mean", Recipe(squeeze="sum")),
        ("squeezes-one-axis", Recipe(squeeze="rows")),
        ("squeezes-one-axis", Recipe(squeeze="columns")),
        ("squeezes-the-batch", Recipe(squeeze="batch")),
        ("squeezes-channels", Recipe(squeeze="channels")),
        ("added-instead-of-multiplied", Recipe(combine="add")),
        ("added-to-input", Recipe(combine="residual")),
        ("modifies-input", Recipe(combine="in place")),
        ("functions-swapped", Recipe(inside="hsigmoid", gate="relu")),
        ("functions-swapped", Recipe(inside="sigmoid", gate="relu")),
        ("missing-gate", Recipe(inside="hsigmoid", gate="none")),
        ("missing-gate", Recipe(inside="sigmoid", gate="none")),
    ]
    for inside in INSIDE:
        if inside != "relu":
            slug = "missing-relu" if inside == "none" else "other-activation-inside"
            found.append((slug, Recipe(inside=inside)))
    for gate in GATES:
        if gate not in ("right", "by hand"):
            found.append((_GATE_SLUGS.get(gate, "other-gate"), Recipe(gate=gate)))
    # Two at once: the more visible one is named.
    both = [(gate, inside) for gate in _GATE_SLUGS for inside in ("none", "hswish", "relu6")]
    found += [(_GATE_SLUGS[gate], Recipe(gate=gate, inside=inside)) for gate, inside in both]
    found += [
        (slug, replace(recipe, gate="sigmoid"))
        for slug, recipe in found[2:11]
        if recipe.combine == "multiply" or recipe.combine == "residual"
    ]
    return found


RECIPES: tuple[tuple[str, Recipe], ...] = (*_counted(), *_valued())


def squeezed_width(channels: int, reduction: float, width: Width) -> int:
    """The squeezed channels, as (wrong) reasoning has them; at least 1."""
    wanted = channels / reduction
    value = {
        "right": make_divisible(wanted),
        "floor": channels // reduction,
        "ceil": -(-wanted // 1),
        "floor, 4": max(4, channels // reduction),
        "floor, 8": max(8, channels // reduction),
        "by 4": make_divisible(wanted, 4),
        "by 16": make_divisible(wanted, 16),
        "multiple below": max(8, wanted // 8 * 8),
        "multiple near": max(8, (wanted + 4) // 8 * 8),
        "multiple above": -(-wanted // 8) * 8,
        "reduction": reduction,
        "channels": channels,
        "quarter": make_divisible(channels / 4),
        "sixteenth": make_divisible(channels / 16),
        "one layer": channels,
    }[width]
    return max(1, int(value))


class FlawedGate(nn.Module):
    """A squeeze-and-excitation built by a recipe."""

    def __init__(self, recipe: Recipe, channels: int, reduction: float) -> None:
        super().__init__()
        self.recipe = recipe
        squeezed = squeezed_width(channels, reduction, recipe.width)
        sizes = [(channels, squeezed), (squeezed, channels)]
        if recipe.width == "one layer":
            sizes = sizes[1:]
        self.layers = nn.ModuleList()
        for place, (before, after) in enumerate(sizes):
            layer: nn.Module = nn.Conv2d(before, after, 1, bias=recipe.bias[place])
            if recipe.norms[place] and len(sizes) == 2:
                layer = nn.Sequential(layer, nn.BatchNorm2d(after))
            self.layers.append(layer)

    def forward(self, x: Tensor) -> Tensor:
        recipe = self.recipe
        weight = _squeeze(x, recipe.squeeze)
        for layer in self.layers[:-1]:
            weight = INSIDE[recipe.inside](layer(weight))
        weight = GATES[recipe.gate](self.layers[-1](weight))
        if recipe.combine == "gate":
            return weight
        if recipe.combine == "wide gate":
            return weight.expand_as(x)
        if recipe.combine == "add":
            return x + weight
        if recipe.combine == "in place":
            return x.mul_(weight)
        return x + x * weight if recipe.combine == "residual" else x * weight


def _squeeze(x: Tensor, how: Squeeze) -> Tensor:
    if how == "none":
        return x
    if how == "max":
        return x.amax((2, 3), keepdim=True)
    if how == "sum":
        return x.sum((2, 3), keepdim=True)
    if how == "channels":
        return x.mean((1, 2, 3), keepdim=True).expand(-1, x.shape[1], -1, -1)
    axes = {"rows": (2,), "columns": (3,), "batch": (0, 2, 3)}.get(how, (2, 3))
    return x.mean(axes, keepdim=True)


class GateProbe(Probe):
    """Of a `FlawedGate`; what needs no run is not run."""

    recipe: Recipe

    @cached_property
    def shape(self) -> Fact:
        images, channels, *size = self.case.shape
        return ((images, channels, *([1, 1] if self.recipe.combine == "gate" else size)),)

    @cached_property
    def dtype(self) -> Fact:
        return ("torch.float32", "torch.float64")


def probe(recipe: Recipe, case: Case) -> Probe:
    """What a gate built by `recipe` does in one case."""
    found = GateProbe(partial(FlawedGate, recipe), case)
    found.recipe = recipe
    return found
