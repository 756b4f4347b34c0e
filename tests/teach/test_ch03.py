"""Chapter 03's exercises: right answers in several hands, wrong ones with the fitting slug."""

import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import squeeze_excite
from seglib.backbones.mobilenetv3 import InvertedResidual
from seglib.layers import HardSigmoid, HardSwish, SqueezeExcite, make_divisible
from seglib.teach import MISTAKES, check, exercises
from seglib.teach.chapters import ch03, ch03_block, ch03_flawed, ch03_gate
from seglib.teach.probing import Probe, same
from seglib.teach.tasks import MISTAKES_OF, STAGES

Change = tuple[str, str]

GATE = """
class Gate(nn.Module):
    def __init__(self, channels, reduction):
        super().__init__()
        squeezed = make_divisible(channels / reduction)
        self.down = nn.Conv2d(channels, squeezed, 1)
        self.up = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x):
        w = x.mean((2, 3), keepdim=True)
        w = F.relu(self.down(w))
        w = F.relu6(self.up(w) + 3) / 6
        return x * w
"""

BLOCK = """
def hswish(x):
    return x * F.relu6(x + 3) / 6

class Weigh(nn.Module):
    def __init__(self, channels):
        super().__init__()
        squeezed = make_divisible(channels / 4)
        self.fc = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x):
        return x * self.fc(x)

class Block(nn.Module):
    def __init__(
        self, in_channels, hidden_channels, out_channels, kernel_size, stride, use_se, use_hs
    ):
        super().__init__()
        self.act = hswish if use_hs else F.relu
        self.expand = None
        if hidden_channels != in_channels:
            self.expand = nn.Conv2d(in_channels, hidden_channels, 1, bias=False)
            self.norm1 = nn.BatchNorm2d(hidden_channels)
        pad = kernel_size // 2
        self.filter = nn.Conv2d(
            hidden_channels, hidden_channels, kernel_size, stride, pad,
            groups=hidden_channels, bias=False
        )
        self.norm2 = nn.BatchNorm2d(hidden_channels)
        self.se = Weigh(hidden_channels) if use_se else nn.Identity()
        self.project = nn.Conv2d(hidden_channels, out_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out_channels)
        self.skip = stride == 1 and in_channels == out_channels
        self.side = nn.Sequential()
        self.stride = stride

    def forward(self, x):
        y = x
        if self.expand is not None:
            y = self.act(self.norm1(self.expand(y)))
        y = self.norm2(self.filter(y))
        y = self.act(y)
        y = self.se(y)
        y = self.norm3(self.project(y))
        return x + y if self.skip else y
"""


def build(source: str, name: str, changes: tuple[Change, ...]) -> type[nn.Module]:
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    space = {"nn": nn, "F": F, "torch": torch, "make_divisible": make_divisible}
    exec(source, space)
    return space[name]  # type: ignore[return-value]


def gate(*changes: Change) -> type[nn.Module]:
    return build(GATE, "Gate", changes)


def block(*changes: Change) -> type[nn.Module]:
    return build(BLOCK, "Block", changes)


# The warm-up.

RIGHT_NUMBERS: dict[str, object] = {
    "squeezed": 24,
    "parameters": 3552,
    "multiply_adds": 3456,
    "hswish(-4)": 0,
    "hswish(-1)": -1 / 3,
    "hswish(1)": 2 / 3,
    "hswish(4)": 4,
}


def test_prediction() -> None:
    layer = SqueezeExcite(72)
    assert sum(p.numel() for p in layer.parameters()) == RIGHT_NUMBERS["parameters"]
    assert check("03.predict", RIGHT_NUMBERS).passed
    assert check("03.predict", list(RIGHT_NUMBERS.values())).passed
    rounded = {**RIGHT_NUMBERS, "hswish(-1)": -0.333, "hswish(1)": torch.tensor(0.667)}
    assert check("03.predict", rounded).passed
    fractions = {**RIGHT_NUMBERS, "hswish(-1)": Fraction(-1, 3), "squeezed": np.float32(24)}
    assert check("03.predict", fractions).passed
    assert not check("03.predict", dict.fromkeys(RIGHT_NUMBERS)).attempted


@pytest.mark.parametrize(
    "changes, slug",
    [
        ({"squeezed": 18}, "rounding-forgotten"),
        ({"squeezed": 16}, "rounded-too-far-down"),
        ({"squeezed": 288}, "reduction-forgotten"),
        ({"squeezed": 20}, "wrong-values"),
        ({"parameters": 3456}, "bias-forgotten"),
        ({"parameters": 3456 + 72}, "bias-forgotten"),
        ({"parameters": 3456, "multiply_adds": 3552}, "bias-forgotten"),
        ({"multiply_adds": 3456 + 72 * 784}, "wrong-values"),
        ({"hswish(1)": float("nan")}, "wrong-values"),
        ({"hswish(-4)": -2 / 3}, "wrong-values"),
        ({"squeezed": True}, "wrong-dtype"),
        ({"parameters": 3456 + 192}, "batchnorm-counted"),
        ({"parameters": 72 * 24 + 24}, "one-layer-only"),
        ({"parameters": 2 * 72 * 18 + 90}, "rounding-forgotten"),
        ({"squeezed": 16, "parameters": 2 * 72 * 16 + 88}, "rounded-too-far-down"),
        ({"parameters": 3552.5}, "wrong-dtype"),
        ({"multiply_adds": 3456 * 784}, "pixels-counted"),
        ({"multiply_adds": 3552}, "bias-counted"),
        ({"multiply_adds": 6912}, "counted-twice"),
        ({"multiply_adds": None}, "missing-value"),
        ({"hswish(-4)": -0.0719, "hswish(-1)": -0.2689}, "swish-instead-of-hswish"),
        ({"hswish(1)": 0.7311, "hswish(4)": 3.928}, "swish-instead-of-hswish"),
        ({"hswish(-1)": 0}, "relu-instead-of-hswish"),
        ({"hswish(-1)": 0, "hswish(1)": 1}, "relu-instead-of-hswish"),
        ({"hswish(-1)": 0, "hswish(1)": 1 / 6, "hswish(4)": 8 / 3}, "shift-forgotten"),
        ({"hswish(-1)": 1 / 3}, "sign-lost"),
        ({"hswish(-1)": 1 / 3, "hswish(4)": 1}, "hsigmoid-instead-of-hswish"),
        ({"hswish(4)": 1}, "hsigmoid-instead-of-hswish"),
        ({"hswish(-1)": -2, "hswish(1)": 4, "hswish(4)": 24}, "division-forgotten"),
        ({"hswish(1)": 1 / 6, "hswish(4)": 8 / 3}, "shift-forgotten"),
        ({"hswish(-4)": 2 / 3}, "clamp-forgotten"),
        ({"hswish(4)": 14 / 3}, "clamp-forgotten"),
        ({"hswish(-4)": -4}, "clamp-forgotten"),
        ({"hswish(-1)": "-1/3"}, "wrong-dtype"),
        ({"hswish(1)": 0.5}, "wrong-values"),
    ],
)
def test_wrong_prediction(changes: dict[str, object], slug: str) -> None:
    report = check("03.predict", {**RIGHT_NUMBERS, **changes})
    assert [failure.name for failure in report.failures] == [slug], report


# Implement and debug: the gate.


class Linear(nn.Module):
    """The gate in another hand: linear layers on vectors, other names and order."""

    def __init__(self, c: int, r: float) -> None:
        super().__init__()
        width = max(8, int(c / r + 4) // 8 * 8)
        width += 8 if width < 0.9 * c / r else 0
        self.back = nn.Linear(width, c)
        self.down = nn.Linear(c, width)

    def forward(self, image: Tensor) -> Tensor:
        vector = F.adaptive_avg_pool2d(image, 1).flatten(1)
        vector = self.back(self.down(vector).clamp(min=0))
        return image * ((vector + 3).clamp(0, 6) / 6)[:, :, None, None]


class Functional(nn.Module):
    """The gate from bare parameters."""

    def __init__(self, channels: int, reduction: float) -> None:
        super().__init__()
        width = make_divisible(channels / reduction)
        shapes = {"w1": (width, channels), "b1": width, "w2": (channels, width), "b2": channels}
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.ones(shape)))

    def forward(self, x: Tensor) -> Tensor:
        z = F.relu(F.linear(x.flatten(2).mean(-1), self.w1, self.b1))
        gates = F.hardtanh(F.linear(z, self.w2, self.b2) / 3) / 2 + 0.5
        return torch.einsum("nchw,nc->nchw", x, gates)


def one_by_one(channels: int, reduction: float) -> nn.Module:
    return gate(("F.relu6(self.up(w) + 3) / 6", "F.hardsigmoid(self.up(w))"))(channels, reduction)


RIGHT_GATES: list[object] = [
    gate(),
    gate(("F.relu6(self.up(w) + 3) / 6", "nn.Hardsigmoid()(self.up(w))")),
    gate(("x.mean((2, 3), keepdim=True)", "F.avg_pool2d(x, x.shape[2:])")),
    gate(("F.relu(self.down(w))", "F.relu(self.down(w), inplace=True)")),
    gate(("+ 3) / 6", "/ 1 + 3) * (1 / 6)")),
    gate(("make_divisible(channels / reduction)", "make_divisible(channels // reduction)")),
    Linear,
    Functional,
    one_by_one,
    partial(Linear),
    lambda channels, reduction: Linear(channels, reduction),
    gate(("nn.Conv2d(channels, squeezed, 1)", "nn.LazyConv2d(squeezed, 1)")),
]


@pytest.mark.parametrize("exercise", ["03.squeeze_excite", "03.gate"])
@pytest.mark.parametrize("answer", RIGHT_GATES)
def test_right_gates(exercise: str, answer: object) -> None:
    report = check(exercise, answer)
    assert report.passed, report
    assert [stage for stage, _ in report.stages] == list(STAGES)


_WIDTH = "make_divisible(channels / reduction)"
_MEAN = "x.mean((2, 3), keepdim=True)"
_GATE = "F.relu6(self.up(w) + 3) / 6"
_DOWN, _UP = "nn.Conv2d(channels, squeezed, 1)", "nn.Conv2d(squeezed, channels, 1)"
_BARE_DOWN = (_DOWN, "nn.Conv2d(channels, squeezed, 1, bias=False)")
_BARE_UP = (_UP, "nn.Conv2d(squeezed, channels, 1, bias=False)")
_NORM_DOWN = (
    _DOWN,
    "nn.Sequential(nn.Conv2d(channels, squeezed, 1, bias=False), nn.BatchNorm2d(squeezed))",
)
_NORM_UP = (
    _UP,
    "nn.Sequential(nn.Conv2d(squeezed, channels, 1, bias=False), nn.BatchNorm2d(channels))",
)
WRONG_GATES = {
    "the popular copy": (
        "batchnorm-inside",
        (_WIDTH, "channels // reduction"), _NORM_DOWN, _NORM_UP,
    ),
    "norms, right width": ("batchnorm-inside", _NORM_DOWN, _NORM_UP),
    "norms, bad gate": (
        "batchnorm-inside",
        _NORM_DOWN, _NORM_UP, (_GATE, "F.relu6(self.up(w)) / 6"),
    ),
    "one norm": ("batchnorm-inside", _NORM_DOWN),
    "no bias": ("bias-missing", _BARE_DOWN, _BARE_UP),
    "first bias": ("bias-missing", _BARE_UP),
    "floor": ("width-not-rounded", (_WIDTH, "channels // reduction")),
    "floor, no bias": (
        "bias-missing", (_WIDTH, "channels // reduction"), _BARE_DOWN, _BARE_UP,
    ),
    "nearest": ("width-rounded-wrong", (_WIDTH, "max(8, (channels // reduction + 4) // 8 * 8)")),
    "down": ("width-rounded-wrong", (_WIDTH, "max(8, channels // reduction // 8 * 8)")),
    "up": ("width-rounded-wrong", (_WIDTH, "(channels // reduction + 7) // 8 * 8")),
    "at least 8": ("width-not-rounded", (_WIDTH, "max(8, channels // reduction)")),
    "by 4": ("width-rounded-wrong", (_WIDTH, "make_divisible(channels / reduction, 4)")),
    "exchanged": (
        "functions-swapped", ("F.relu(self.down(w))", "F.hardsigmoid(self.down(w))"),
        (_GATE, "F.relu(self.up(w))"),
    ),
    "squared": ("other-gate", ("return x * w", "return x * w * w")),
    "always 4": ("reduction-ignored", (_WIDTH, "make_divisible(channels / 4)")),
    "no squeezing": ("reduction-ignored", (_WIDTH, "channels")),
    "width is reduction": ("reduction-ignored", (_WIDTH, "reduction")),
    "one layer": (
        "one-layer-only", (_UP, "nn.Conv2d(channels, channels, 1)"),
        (f"        self.down = {_DOWN}\n", ""), ("        w = F.relu(self.down(w))\n", ""),
    ),
    "weights": ("returns-gate", ("return x * w", "return w")),
    "wide weights": ("returns-gate", ("return x * w", "return w.expand_as(x)")),
    "per pixel": ("missing-squeeze", (_MEAN, "x")),
    "maximum": ("max-instead-of-mean", (_MEAN, "F.adaptive_max_pool2d(x, 1)")),
    "sum": ("sum-instead-of-mean", (_MEAN, "x.sum((2, 3), keepdim=True)")),
    "rows": ("squeezes-one-axis", (_MEAN, "x.mean(2, keepdim=True)")),
    "columns": ("squeezes-one-axis", (_MEAN, "x.mean(-1, keepdim=True)")),
    "batch": ("squeezes-the-batch", (_MEAN, "x.mean((0, 2, 3), keepdim=True)")),
    "channels": (
        "squeezes-channels", (_MEAN, "x.mean((1, 2, 3), keepdim=True).expand(*x.shape[:2], 1, 1)"),
    ),
    "linear": ("missing-relu", ("F.relu(self.down(w))", "self.down(w)")),
    "relu6": ("other-activation-inside", ("F.relu(self", "F.relu6(self")),
    "hard swish inside": ("other-activation-inside", ("F.relu(self", "F.hardswish(self")),
    "sigmoid": ("sigmoid-instead-of-hsigmoid", (_GATE, "self.up(w).sigmoid()")),
    "hswish": ("hswish-instead-of-hsigmoid", (_GATE, "F.hardswish(self.up(w))")),
    "hswish by hand": (
        "hswish-instead-of-hsigmoid", (_GATE, "self.up(w) * F.relu6(self.up(w) + 3) / 6"),
    ),
    "no shift": ("shift-forgotten", (_GATE, "F.relu6(self.up(w)) / 6")),
    "no division": ("division-forgotten", (") / 6", ")")),
    "no clamp": ("clamp-forgotten", (_GATE, "(self.up(w) + 3) / 6")),
    "relu": ("clamp-forgotten", ("F.relu6(self.up(w) + 3)", "F.relu(self.up(w) + 3)")),
    "no gate": ("missing-gate", (_GATE, "self.up(w)")),
    "softmax": ("softmax-gate", (_GATE, "self.up(w).softmax(dim=1)")),
    "clamp": ("other-gate", (_GATE, "self.up(w).clamp(0, 1)")),
    "tanh": ("other-gate", (_GATE, "self.up(w).tanh()")),
    "sum of both": ("added-instead-of-multiplied", ("return x * w", "return x + w")),
    "residual": ("added-to-input", ("return x * w", "return x + x * w")),
    "residual, sigmoid": (
        "added-to-input", ("return x * w", "return x + x * w"),
        (_GATE, "self.up(w).sigmoid()"),
    ),
    "in place": ("modifies-input", ("return x * w", "return x.mul_(w)")),
    "detached": ("wrong-gradients", ("return x * w", "return x * w.detach()")),
    "detached squeeze": ("wrong-gradients", (_MEAN, "x.detach().mean((2, 3), keepdim=True)")),
    "single precision": ("wrong-dtype", ("return x * w", "return (x * w).float()")),
    "crashes": ("raised-exception", ("self.down(w)", "self.fc1(w)")),
    "nothing": ("wrong-type", ("return x * w", "x * w")),
    "other arguments": ("wrong-signature", ("channels, reduction)", "channels, reduction, gate)")),
    "another kernel": ("wrong-parameter-count", (_DOWN, "nn.Conv2d(channels, squeezed, 3, 1, 1)")),
    "half": ("wrong-values", ("return x * w", "return 0.5 * x * w")),
    "third": ("other-gate", (") / 6", ") / 3")),
    "bracket": ("other-gate", ("F.relu6(self.up(w) + 3) / 6", "(F.relu6(self.up(w)) + 3) / 6")),
    "divided first": ("other-gate", ("self.up(w) + 3) / 6", "self.up(w) / 6 + 3)")),
    "no lower clamp": ("clamp-forgotten", (_GATE, "(self.up(w) + 3).clamp(max=6) / 6")),
    "spread": ("wrong-values", (_MEAN, "x.std((2, 3), keepdim=True)")),
    "square maps": ("wrong-values", (_MEAN, "x.sum((2, 3), keepdim=True) / x.shape[2] ** 2")),
    "first image": ("wrong-values", (_MEAN, "x[:1].mean((2, 3), keepdim=True)")),
    "gates exchanged": ("wrong-values", ("return x * w", "return x * w.flip(0)")),
    "batches only": ("wrong-values", ("return x * w", "return x * w + 0 * x.std(0)")),
    "dropout": ("wrong-train-eval", ("x * w", "F.dropout(x * w, 0.1, self.training)")),
    "eval only": ("wrong-train-eval", ("x * w", "x * w if not self.training else x")),
    "train only": ("wrong-values", ("x * w", "x * w if self.training else x")),
    "a tuple": ("wrong-type", ("return x * w", "return (x * w,)")),
    "relu in place": ("modifies-input", (_MEAN, "F.relu_(x).mean((2, 3), keepdim=True)")),
    "a third layer": (
        "wrong-parameter-count", (_UP, f"nn.Sequential(nn.Conv2d(squeezed, squeezed, 1), {_UP})"),
    ),
    "a list of layers": (
        "layers-not-registered",
        (f"self.up = {_UP}", f"self.layers = [{_UP}]"), ("self.up(w)", "self.layers[0](w)"),
    ),
    "an unused list": (
        "bias-missing", _BARE_DOWN, _BARE_UP,
        ("        return", "        self.kept = [x]\n        return"),
    ),
    "flat": ("wrong-shape", ("return x * w", "return (x * w).flatten(1)")),
}  # fmt: skip


@pytest.mark.parametrize("exercise", ["03.squeeze_excite", "03.gate"])
@pytest.mark.parametrize("wrong", WRONG_GATES)
def test_wrong_gates(exercise: str, wrong: str) -> None:
    slug, *changes = WRONG_GATES[wrong]
    report = check(exercise, gate(*changes))
    assert report.attempted
    assert [failure.name for failure in report.failures] == [slug], report


def test_the_librarys_own_parts_are_refused() -> None:
    class Wrapped(nn.Module):
        def __init__(self, channels: int, reduction: float) -> None:
            super().__init__()
            self.inner = SqueezeExcite(channels, reduction)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x)

    for answer in (SqueezeExcite, Wrapped, SqueezeExcite(8)):
        report = check("03.squeeze_excite", answer)
        assert [failure.name for failure in report.failures] == ["not-your-own"]
    report = check("03.bneck", InvertedResidual)
    assert [failure.name for failure in report.failures] == ["not-your-own"]


# Extend: the block.


class OtherHand(nn.Module):
    """The block as lists of layers, with torch's own activations and linear layers inside."""

    def __init__(self, i: int, h: int, o: int, k: int, s: int, se: bool, hs: bool) -> None:
        super().__init__()
        act: Callable[[], nn.Module] = nn.Hardswish if hs else nn.ReLU
        layers: list[nn.Module] = []
        if i != h:
            layers += [nn.Conv2d(i, h, 1, bias=False), nn.BatchNorm2d(h), act()]
        layers += [nn.ZeroPad2d((k - 1) // 2), nn.Conv2d(h, h, k, s, groups=h, bias=False)]
        layers += [nn.BatchNorm2d(h), act()]
        if se:
            layers.append(Linear(h, 4))
        layers += [nn.Conv2d(h, o, 1, bias=False), nn.BatchNorm2d(o)]
        self.layers, self.same = nn.Sequential(*layers), i == o and s == 1

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out + x if self.same else out


@pytest.mark.parametrize(
    "answer",
    [
        block(),
        block(("x * F.relu6(x + 3) / 6", "x * F.hardsigmoid(x)")),
        block(("x * F.relu6(x + 3) / 6", "F.hardswish(x)"), ("F.relu\n", "nn.ReLU()\n")),
        block(("else F.relu", "else nn.ReLU(inplace=True)")),
        OtherHand,
        partial(OtherHand),
        lambda i, h, o, k, s, se, hs: OtherHand(i, h, o, k, s, se, hs),
        block(("return x + y if", "return y.add_(x) if")),
        block(("make_divisible(channels / 4)", "make_divisible(channels // 4)")),
    ],
)
def test_right_blocks(answer: object) -> None:
    report = check("03.bneck", answer)
    assert report.passed, report
    assert [stage for stage, _ in report.stages] == list(STAGES)


_SE = ("        y = self.se(y)\n", "")
_SE_OUT = ("Weigh(hidden_channels)", "Weigh(out_channels)")
_AFTER = ("y = self.norm3(self.project(y))", "y = self.se(self.norm3(self.project(y)))")
_SIDE = (
    "self.side = nn.Sequential()",
    "self.side = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), "
    "nn.BatchNorm2d(out_channels)) if stride == 1 and in_channels != out_channels "
    "else nn.Sequential()",
)
_SIDED = ("return x + y if self.skip else y", "return self.side(x) + y if self.stride == 1 else y")
_POPULAR_SE = (
    ("make_divisible(channels / 4)", "channels // 4"),
    ("nn.Conv2d(channels, squeezed, 1),",
     "nn.Conv2d(channels, squeezed, 1, bias=False), nn.BatchNorm2d(squeezed),"),
    ("nn.Conv2d(squeezed, channels, 1),",
     "nn.Conv2d(squeezed, channels, 1, bias=False), nn.BatchNorm2d(channels),"),
)  # fmt: skip
WRONG_BLOCKS = {
    "after the projection": ("se-after-projection", _SE, _SE_OUT, _AFTER),
    "the popular copy": (
        "se-after-projection", _SE, _SE_OUT, _AFTER, _SIDE, _SIDED, *_POPULAR_SE
    ),
    "after the projection, and shortcut": (
        "se-after-projection", _SE, _SE_OUT, _AFTER, _SIDE, _SIDED,
    ),
    "after the projection, norms": ("se-after-projection", _SE, _SE_OUT, _AFTER, *_POPULAR_SE),
    "before the activation": ("se-before-activation", _SE, ("y = self.norm2(self.filter(y))",
                              "y = self.se(self.norm2(self.filter(y)))")),
    "before the filter": ("se-before-depthwise", _SE,
                          ("self.filter(y)", "self.filter(self.se(y))")),
    "on the input": ("se-on-input", _SE, ("Weigh(hidden_channels)", "Weigh(in_channels)"),
                     ("        y = x\n", "        y = self.se(x)\n")),
    "after the sum": ("se-after-sum", _SE, _SE_OUT, ("return x + y if self.skip else y",
                      "return self.se(x + y if self.skip else y)")),
    "always": ("se-always", (" if use_se else nn.Identity()", "")),
    "never": ("se-missing", ("Weigh(hidden_channels) if use_se else nn.Identity()",
                             "nn.Identity()")),
    "width of the input": ("wrong-parameter-count",
                           ("make_divisible(channels / 4)", "make_divisible(channels / 2) + 8")),
    "floor": ("se-width-wrong", ("make_divisible(channels / 4)", "channels // 4")),
    "of the input": (
        "se-width-wrong", ("Weigh(hidden_channels)", "Weigh(hidden_channels, in_channels)"),
        ("def __init__(self, channels):", "def __init__(self, channels, width):"),
        ("make_divisible(channels / 4)", "make_divisible(width / 4)"),
    ),
    "shortcut always": ("shortcut-always", ("return x + y if self.skip else y", "return x + y")),
    "norms inside": ("se-batchnorm", *_POPULAR_SE),
    "norms inside, right width": ("se-batchnorm", *_POPULAR_SE[1:]),
    "no bias inside": (
        "se-bias-missing",
        ("nn.Conv2d(channels, squeezed, 1)", "nn.Conv2d(channels, squeezed, 1, bias=False)"),
        ("nn.Conv2d(squeezed, channels, 1)", "nn.Conv2d(squeezed, channels, 1, bias=False)"),
    ),
    "sigmoid gate": ("se-wrong-gate", ("nn.Hardsigmoid()", "nn.Sigmoid()")),
    "hswish gate": ("se-wrong-gate", ("nn.Hardsigmoid()", "nn.Hardswish()")),
    "no gate": ("se-wrong-gate", ("            nn.Hardsigmoid(),\n", "")),
    "hswish inside": ("se-wrong-inside", ("nn.ReLU(),", "nn.Hardswish(),")),
    "linear inside": ("se-wrong-inside", ("            nn.ReLU(),\n", "")),
    "projection shortcut": ("projection-shortcut", _SIDE, _SIDED),
    "activated end": ("activation-after-projection",
                      ("self.norm3(self.project(y))", "self.act(self.norm3(self.project(y)))")),
    "activated sum": ("activation-after-sum", ("return x + y if", "return self.act(x + y) if")),
    "linear middle": ("missing-activation", ("        y = self.act(y)\n", "")),
    "linear expansion": ("missing-activation",
                         ("self.act(self.norm1(self.expand(y)))", "self.norm1(self.expand(y))")),
    "swapped": ("activations-swapped", ("hswish if use_hs else F.relu",
                                        "F.relu if use_hs else hswish")),
    "always hswish": ("use-hs-ignored", ("hswish if use_hs else F.relu", "hswish")),
    "always relu": ("use-hs-ignored", ("hswish if use_hs else F.relu", "F.relu")),
    "relu6": ("relu6-instead-of-relu", ("else F.relu", "else F.relu6")),
    "swish": ("swish-instead-of-hswish", ("x * F.relu6(x + 3) / 6", "x * x.sigmoid()")),
    "no shift": ("hswish-wrong-values", ("F.relu6(x + 3) / 6", "F.relu6(x) / 6")),
    "no division": ("hswish-wrong-values", ("F.relu6(x + 3) / 6", "F.relu6(x + 3)")),
    "gate only": ("hswish-wrong-values", ("x * F.relu6(x + 3) / 6", "F.relu6(x + 3) / 6")),
    "always expands": ("expansion-when-equal", ("if hidden_channels != in_channels:", "if True:")),
    "kernel 3": ("kernel-ignored", ("kernel_size, stride, pad,", "3, stride, 1,")),
    "padding 1": ("padding-ignores-kernel", ("pad = kernel_size // 2", "pad = 1")),
    "no padding": ("missing-padding", ("pad = kernel_size // 2", "pad = 0")),
    "no stride": ("stride-ignored", ("kernel_size, stride, pad,", "kernel_size, 1, pad,")),
    "stride at the end": (
        "stride-on-wrong-conv", ("kernel_size, stride, pad,", "kernel_size, 1, pad,"),
        ("out_channels, 1, bias=False", "out_channels, 1, stride, bias=False"),
    ),
    "shortcut thinned out": (
        "shortcut-with-stride", ("stride == 1 and in_channels", "in_channels"),
        ("return x + y", "return x[..., ::self.stride, ::self.stride] + y"),
    ),
    "no shortcut": ("missing-shortcut", ("return x + y if self.skip else y", "return y")),
    "dense": ("dense-instead-of-depthwise", ("groups=hidden_channels, bias", "bias")),
    "no norm at the end": ("missing-batchnorm", ("nn.BatchNorm2d(out_channels)", "nn.Identity()")),
    "bias": ("conv-bias", ("groups=hidden_channels, bias=False", "groups=hidden_channels")),
    "momentum": (
        "other-batchnorm-settings",
        ("self.norm1 = nn.BatchNorm2d(hidden_channels",
         "self.norm1 = nn.BatchNorm2d(hidden_channels, momentum=0.01"),
        ("self.norm2 = nn.BatchNorm2d(hidden_channels",
         "self.norm2 = nn.BatchNorm2d(hidden_channels, momentum=0.01"),
        ("nn.BatchNorm2d(out_channels", "nn.BatchNorm2d(out_channels, momentum=0.01"),
    ),
    "momentum, gate by hand": (
        "other-batchnorm-settings",
        ("            nn.Hardsigmoid(),\n", ""),
        ("return x * self.fc(x)", "return x * F.relu6(self.fc(x) + 3) / 6"),
        ("self.norm1 = nn.BatchNorm2d(hidden_channels",
         "self.norm1 = nn.BatchNorm2d(hidden_channels, momentum=0.01"),
        ("self.norm2 = nn.BatchNorm2d(hidden_channels",
         "self.norm2 = nn.BatchNorm2d(hidden_channels, momentum=0.01"),
        ("nn.BatchNorm2d(out_channels", "nn.BatchNorm2d(out_channels, momentum=0.01"),
    ),
    "in place": ("modifies-input", ("return x + y if", "return x.add_(y) if")),
    "too much padding": ("padding-ignores-kernel", ("kernel_size // 2", "(kernel_size + 1) // 2")),
    "padding k - 1": ("padding-ignores-kernel", ("kernel_size // 2", "kernel_size - 1")),
    "shortcut where narrow": ("missing-shortcut", ("in_channels == out", "in_channels == hidden")),
    "shortcut where expanded": (
        "missing-shortcut", ("and in_channels == out_channels", "and in_channels == out_channels "
                             "and self.expand is not None"),
    ),
    "a ratio": (
        "hidden-is-no-ratio",
        ("        self.act =", "        hidden_channels *= in_channels\n        self.act ="),
    ),
    "relu after the expansion": (
        "use-hs-ignored", ("self.act(self.norm1", "F.relu(self.norm1"),
    ),
    "relu after the filter": ("use-hs-ignored", ("y = self.act(y)", "y = F.relu(y)")),
    "relu at the end": ("activation-after-projection",
                        ("self.norm3(self.project(y))", "F.relu(self.norm3(self.project(y)))")),
    "relu after the sum": ("activation-after-sum", ("return x + y if", "return F.relu(x + y) if")),
    "relu after all": (
        "activation-after-sum",
        ("return x + y if self.skip else y", "return F.relu(x + y if self.skip else y)"),
    ),
    "gelu": ("hswish-wrong-values", ("x * F.relu6(x + 3) / 6", "F.gelu(x)")),
    "maximum": ("se-wrong-squeeze", ("nn.AdaptiveAvgPool2d(1)", "nn.AdaptiveMaxPool2d(1)")),
    "per pixel": ("se-wrong-squeeze", ("            nn.AdaptiveAvgPool2d(1),\n", "")),
    "a list": ("layers-not-registered",
               ("self.se = Weigh(hidden_channels) if use_se else nn.Identity()",
                "self.se = [Weigh(hidden_channels) if use_se else nn.Identity()]"),
               ("self.se(y)", "self.se[0](y)")),
    "difference": ("wrong-values", ("return x + y if", "return y - x if")),
    "joined": ("wrong-shape", ("return x + y if", "return torch.cat([x, y], 1) if")),
    "detached": ("wrong-gradients", ("return x + y if", "return x.detach() + y if")),
    "scaled": ("wrong-values", ("return x + y if", "return x + 2 * y if")),
}  # fmt: skip


@pytest.mark.parametrize("names", ["own names", "the exercise's names"])
@pytest.mark.parametrize("wrong", WRONG_BLOCKS)
def test_wrong_blocks(wrong: str, names: str) -> None:
    slug, *changes = WRONG_BLOCKS[wrong]
    answer = block(*changes)

    def by_position(i, h, o, k, s, se, hs):  # type: ignore
        return answer(i, h, o, k, s, se, hs)

    report = check("03.bneck", by_position if names == "own names" else answer)
    assert report.attempted
    assert [failure.name for failure in report.failures] == [slug], report


# The experiment.


def test_arms_differ_in_what_they_say_alone() -> None:
    shapes = {}
    for arm in squeeze_excite.ARMS:
        model = squeeze_excite.rebuild(squeeze_excite.network(0), arm)
        shapes[arm] = {name: tuple(value.shape) for name, value in model.state_dict().items()}
        gates = [part for part in model.modules() if isinstance(part, SqueezeExcite)]
        assert len(gates) == (0 if arm == "without SE" else 9)
        kinds = {type(gate.gate) for gate in gates}
        sigmoid = arm == "sigmoid for the gate"
        assert kinds <= {nn.Sigmoid if sigmoid else HardSigmoid}
        hard = any(isinstance(part, HardSwish) for part in model.modules())
        assert hard == (arm != "ReLU for h-swish")
        model.eval()(torch.zeros(1, 3, 40, 56))
    paper = shapes["as in the paper"]
    assert shapes["sigmoid for the gate"] == shapes["ReLU for h-swish"] == paper
    behind = squeeze_excite.rebuild(squeeze_excite.network(0), "SE after the projection")
    for block in behind.modules():
        if isinstance(block, InvertedResidual) and isinstance(block.block[-1], SqueezeExcite):
            assert block.block[-1].fc1.in_channels == block.block[-2][0].out_channels
    with pytest.raises(ValueError, match="arm must be one of"):
        squeeze_excite.rebuild(behind, "no such arm")


# The lists of mistakes.


@pytest.mark.parametrize(
    "recipes, probe, cases",
    [
        (ch03_gate.RECIPES, ch03._gate_probe, ch03.GATE_CASES),
        (ch03_block.RECIPES, ch03._block_probe, ch03.BLOCK_CASES),
    ],
    ids=["gate", "block"],
)
def test_every_recipe_is_told_by_its_slug(recipes, probe, cases) -> None:  # type: ignore
    """No two recipes of different names behave alike up to the stage that tells them."""
    places = range(len(cases))
    counts = [
        tuple(tuple(probe(index, place).facts(stage)) for place in places for stage in STAGES[:3])
        for index in range(len(recipes))
    ]
    for index, (slug, recipe) in enumerate(recipes):
        assert slug in MISTAKES
        twins = [
            other
            for other in range(index)
            if counts[other] == counts[index]
            and recipes[other][0] != slug
            and all(
                same(probe(other, place).facts(stage), probe(index, place).facts(stage))
                for stage in STAGES[3:]
                for place in places
            )
        ]
        assert not twins, (recipe, recipes[twins[0]])


def test_what_a_probe_knows_without_running_is_so() -> None:
    known = [
        *(ch03_gate.probe(recipe, case) for _, recipe in ch03_gate.RECIPES
          for case in ch03.GATE_CASES[::3]),
        *(ch03_flawed.probe(recipe, case) for _, recipe in ch03_block.RECIPES
          for case in ch03.BLOCK_CASES[::3]),
    ]  # fmt: skip
    for probe in known:
        run = Probe(probe.make, probe.case)
        assert probe.facts("shape") == run.facts("shape"), probe.make
        assert probe.facts("dtype") == run.facts("dtype"), probe.make


def test_mistakes_enough() -> None:
    tested = {
        "03.predict": {"rounding-forgotten", "pixels-counted"},
        "03.squeeze_excite": {slug for slug, *_ in WRONG_GATES.values()},
        "03.bneck": {slug for slug, *_ in WRONG_BLOCKS.values()},
    }
    for exercise in ("03.squeeze_excite", "03.bneck"):
        assert len(tested[exercise] & set(MISTAKES_OF[exercise])) >= 20


def test_points_and_kinds() -> None:
    mine = [exercise for exercise in exercises() if exercise.chapter == 3]
    assert sum(exercise.points for exercise in mine) == 10
    assert Counter(exercise.kind for exercise in mine) == Counter(
        ["warm-up", "implement", "debug", "extend"]
    )


def test_a_check_is_quick() -> None:
    answers = [("03.squeeze_excite", gate()), ("03.bneck", block(("x + y if", "x - y if")))]
    for name, answer in answers:
        check(name, answer)
    start = time.process_time()
    for name, answer in answers:
        check(name, answer)
    assert time.process_time() - start < 1.2
