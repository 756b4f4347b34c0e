"""MobileNetV3's block, built right or with a mistake."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglib.teach.caching import cached_property
from seglib.teach.chapters import ch03_gate
from seglib.teach.probing import Case, Fact, Probe

Place = Literal[
    "right", "before activation", "before depthwise", "after projection", "input", "sum",
    "always", "never",
]  # fmt: skip
Shortcut = Literal[
    "right", "none", "any stride", "any channels", "always", "convolution", "subsampled",
    "hidden equal", "if expanded",
]  # fmt: skip

End = Literal["", "shortcut", "always", "relu", "relu always"]

ACTIVATIONS: dict[str, ch03_gate.Function] = {
    "RE": F.relu,
    "HS": F.hardswish,
    "HS by hand": lambda x: x * F.hardsigmoid(x),  # the same up to the last digits of its gradient
    "relu6": F.relu6,
    "silu": F.silu,
    "no division": lambda x: x * F.relu6(x + 3),
    "no shift": lambda x: x * F.relu6(x) / 6,
    "no clamp": lambda x: x * (x + 3) / 6,
    "no upper clamp": lambda x: x * F.relu(x + 3) / 6,
    "gate only": F.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "none": lambda x: x,
}

_RIGHT = ch03_gate.Recipe()


@dataclass(frozen=True)
class Recipe:
    """How to build the block; the defaults are right."""

    place: Place = "right"
    gate: ch03_gate.Recipe = _RIGHT
    inside_as_outside: bool = False
    waist_of: Literal["hidden", "in", "out"] = "hidden"
    activations: tuple[str, str] = ("RE", "HS")  # for use_hs False and True
    activated: tuple[bool, bool, bool] = (True, True, False)
    fixed: tuple[str, str, str] = ("", "", "")  # activations that use_hs does not choose
    ratio: bool = False
    always_expand: bool = False
    kernel: int = 0
    padding: Literal["right", "one", "none", "one more", "double"] = "right"
    strided: Literal["first", "expansion", "depthwise", "projection", "none"] = "depthwise"
    dense: bool = False
    bias: tuple[bool, bool, bool] = (False, False, False)
    norms: tuple[bool, bool, bool] = (True, True, True)
    eps: float = 1e-5
    momentum: float = 0.1
    shortcut: Shortcut = "right"
    after_sum: End = ""
    in_place: bool = False


class FlawedBlock(nn.Module):
    """A block built by a recipe."""

    def __init__(
        self,
        recipe: Recipe,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        use_se: bool,
        use_hs: bool,
    ) -> None:
        super().__init__()
        self.recipe, self.stride = recipe, stride
        name = recipe.activations[bool(use_hs)]
        self.activations = [ACTIVATIONS[fixed or name] for fixed in recipe.fixed]
        hidden_channels *= in_channels if recipe.ratio else 1
        kernel = recipe.kernel or kernel_size
        zeros = {"one": 1, "none": 0, "one more": (kernel + 1) // 2, "double": kernel - 1}
        pad = zeros.get(recipe.padding, kernel // 2)
        expands = recipe.always_expand or hidden_channels != in_channels
        steps = {
            place: stride if recipe.strided == place else 1
            for place in ("expansion", "depthwise", "projection")
        }
        if recipe.strided == "first":
            steps["expansion" if expands else "depthwise"] = stride
        c, groups = hidden_channels, 1 if recipe.dense else hidden_channels
        conv, b = nn.Conv2d, recipe.bias
        self.expand = self.depthwise = self.project = nn.Sequential()
        if expands:
            expand = conv(in_channels, c, 1, steps["expansion"], bias=b[0])
            self.expand = self._brick(0, expand)
        middle = conv(c, c, kernel, steps["depthwise"], pad, groups=groups, bias=b[1])
        self.depthwise = self._brick(1, middle)
        project = conv(c, out_channels, 1, steps["projection"], bias=b[2])
        self.project = self._brick(2, project)
        weighed = {"after projection": out_channels, "sum": out_channels, "input": in_channels}
        use = {"always": True, "never": False}.get(recipe.place, bool(use_se))
        channels = weighed.get(recipe.place, c)
        gate = recipe.gate
        if recipe.inside_as_outside and use_hs:
            gate = ch03_gate.Recipe(inside="hswish")
        reference = {"hidden": channels, "in": in_channels, "out": out_channels}[recipe.waist_of]
        reduction = 4 * channels / reference if recipe.waist_of != "hidden" else 4
        self.gate = ch03_gate.FlawedGate(gate, channels, reduction) if use else nn.Identity()
        equal = in_channels == out_channels
        self.use_shortcut = {
            "right": stride == 1 and equal,
            "none": False,
            "any stride": equal,
            "any channels": stride == 1,
            "always": True,
            "convolution": stride == 1,
            "subsampled": equal,
            "hidden equal": stride == 1 and hidden_channels == in_channels,
            "if expanded": stride == 1 and equal and expands,
        }[recipe.shortcut]
        self.shortcut = nn.Sequential()
        if recipe.shortcut == "convolution" and stride == 1 and not equal:
            self.shortcut.append(conv(in_channels, out_channels, 1, bias=False))
            self.shortcut.append(nn.BatchNorm2d(out_channels))

    def _brick(self, place: int, convolution: nn.Conv2d) -> nn.Sequential:
        channels, recipe = convolution.out_channels, self.recipe
        norm = nn.BatchNorm2d(channels, recipe.eps, recipe.momentum)
        return nn.Sequential(convolution, *([norm] if recipe.norms[place] else []))

    def _activate(self, place: int, x: Tensor) -> Tensor:
        return self.activations[place](x) if self.recipe.activated[place] else x

    def forward(self, x: Tensor) -> Tensor:
        place = self.recipe.place
        out = self.gate(x) if place == "input" else x
        if len(self.expand):
            out = self._activate(0, self.expand(out))
        out = self.depthwise(self.gate(out) if place == "before depthwise" else out)
        if place == "before activation":
            out = self.gate(out)
        out = self._activate(1, out)
        out = self.project(self.gate(out) if place in ("right", "always") else out)
        out = self._activate(2, self.gate(out) if place == "after projection" else out)
        if self.use_shortcut:
            identity = self.shortcut(x)
            if self.recipe.shortcut == "subsampled":
                identity = identity[:, :, :: self.stride, :: self.stride]
            out = x.add_(out) if self.recipe.in_place else identity + out
        how = self.recipe.after_sum
        if how.endswith("always") or (how and self.use_shortcut):
            out = F.relu(out) if how.startswith("relu") else self.activations[1](out)
        return self.gate(out) if place == "sum" else out


class BlockProbe(Probe):
    """Of a `FlawedBlock`; what needs no run is not run."""

    recipe: Recipe

    @cached_property
    def shape(self) -> Fact:
        recipe, given = self.recipe, self.case.arguments
        odd = recipe.shortcut not in ("right", "none", "convolution", "if expanded")
        if odd or recipe.padding != "right" or recipe.strided not in ("depthwise", "first"):
            return super().shape
        rows, columns = (-(-size // int(given["stride"])) for size in self.case.shape[2:])
        return ((self.case.shape[0], int(given["out_channels"]), rows, columns),)

    @cached_property
    def dtype(self) -> Fact:
        failed = self.facts("shape")[0] == "error"
        return super().dtype if failed else ("torch.float32", "torch.float64")


def probe(recipe: Recipe, case: Case) -> Probe:
    """What a block built by `recipe` does in one case."""
    found = BlockProbe(partial(FlawedBlock, recipe), case)
    found.recipe = recipe
    return found
