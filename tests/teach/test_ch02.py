"""Chapter 02's exercises: right answers in several hands, wrong ones with the fitting slug."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglib.backbones.mobilenetv2 import SETTINGS, block_table
from seglib.layers import fixed_padding
from seglib.teach import MISTAKES, check, exercises
from seglib.teach.chapters import ch02, ch02_variants
from seglib.teach.tasks import MISTAKES_OF

BLOCK = """
class Block(nn.Module):
    def __init__(self, in_channels, out_channels, stride, dilation, expand_ratio):
        super().__init__()
        hidden = in_channels * expand_ratio
        self.expand = nn.Sequential()
        if expand_ratio != 1:
            self.expand = nn.Sequential(
                nn.Conv2d(in_channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()
            )
        self.filter = nn.Conv2d(hidden, hidden, 3, stride, dilation, dilation, hidden, bias=False)
        self.norm = nn.BatchNorm2d(hidden)
        self.project = nn.Sequential(
            nn.Conv2d(hidden, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        )
        self.skip = stride == 1 and in_channels == out_channels
        self.stride, self.dilation = stride, dilation

    def forward(self, x):
        y = self.expand(x)
        y = F.relu6(self.norm(self.filter(y)))
        y = self.project(y)
        return x + y if self.skip else y
"""


def block(*changes: tuple[str, str]) -> type[nn.Module]:
    source = BLOCK
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    space: dict[str, type[nn.Module]] = {}
    exec(source, {"nn": nn, "F": F, "torch": torch, "fixed_padding": fixed_padding}, space)
    return space["Block"]


class OtherNames(nn.Module):
    """The block in another hand: other names and order, own padding, 1×1 as matrices."""

    def __init__(self, cin: int, cout: int, s: int, d: int, t: int) -> None:
        super().__init__()
        self.norm_out = nn.BatchNorm2d(cout)
        self.out = nn.Linear(cin * t, cout, bias=False)
        self.mid = nn.Conv2d(cin * t, cin * t, 3, s, dilation=d, groups=cin * t, bias=False)
        self.norm_mid = nn.BatchNorm2d(cin * t)
        self.wide = nn.Linear(cin, cin * t, bias=False) if t > 1 else None
        self.norm_wide = nn.BatchNorm2d(cin * t) if t > 1 else None
        self.d, self.same = d, (s, cin) == (1, cout)

    def forward(self, image: Tensor) -> Tensor:
        h = image
        if self.wide is not None and self.norm_wide is not None:
            h = self.wide(h.movedim(1, -1)).movedim(-1, 1)
            h = self.norm_wide(h).clamp(0, 6)
        h = self.norm_mid(self.mid(F.pad(h, (self.d, self.d, self.d, self.d)))).clamp(0, 6)
        h = self.norm_out(self.out(h.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        return image + h if self.same else h


class Functional(nn.Module):
    """The block without a single layer object for its convolutions."""

    def __init__(self, in_channels, out_channels, stride=1, dilation=1, expand_ratio=6):  # type: ignore
        super().__init__()
        sizes = [(expand_ratio * in_channels, in_channels, 1)] if expand_ratio > 1 else []
        sizes += [(expand_ratio * in_channels, 1, 3), (out_channels, expand_ratio * in_channels, 1)]
        self.weights = nn.ParameterList(
            [nn.Parameter(torch.randn(o, i, k, k)) for o, i, k in sizes]
        )
        self.norms = nn.ModuleList([nn.BatchNorm2d(o) for o, _, _ in sizes])
        self.stride, self.dilation = stride, dilation
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x):  # type: ignore
        out, last = x, len(self.weights) - 1
        for place, (weight, norm) in enumerate(zip(self.weights, self.norms, strict=True)):
            if weight.shape[-1] == 3:
                out = F.conv2d(
                    out, weight, None, self.stride, self.dilation, self.dilation, weight.shape[0]
                )
            else:
                out = F.conv2d(out, weight)
            out = norm(out) if place == last else F.relu6(norm(out))
        return out.add(x) if self.shortcut else out


def factory(in_channels, out_channels, stride, dilation, expand_ratio):  # type: ignore
    return block()(in_channels, out_channels, stride, dilation, expand_ratio)


@pytest.mark.parametrize("exercise", ["02.inverted_residual", "02.border"])
@pytest.mark.parametrize(
    "answer",
    [
        block(),
        block(
            ("nn.ReLU6()", "nn.ReLU6(inplace=True)"),
            ("F.relu6(self.norm", "F.relu6(inplace=True, input=self.norm"),
        ),
        block(
            ("3, stride, dilation, dilation, hidden", "3, stride, 0, dilation, hidden"),
            ("self.filter(y)", "self.filter(F.pad(y, fixed_padding(3, self.dilation)))"),
        ),
        OtherNames,
        Functional,
        factory,
    ],
)
def test_right_blocks(exercise: str, answer: object) -> None:
    report = check(exercise, answer)
    assert report.passed, report
    assert [stage for stage, _ in report.stages] == [
        "shape", "dtype", "parameter count", "values", "gradients", "train/eval",
    ]  # fmt: skip


_FORWARD_PADS = ("y = self.expand(x)", "y = self.expand(F.pad(x, [self.dilation] * 4))")
_NO_PADDING = ("3, stride, dilation, dilation, hidden", "3, stride, 0, dilation, hidden")
WRONG = {
    "relu": ("relu-instead-of-relu6", ("nn.ReLU6()", "nn.ReLU()"), ("F.relu6", "F.relu")),
    "relu at the end": ("relu-after-projection", ("self.project(y)", "F.relu6(self.project(y))")),
    "relu after the sum": ("relu-after-sum", ("return x + y", "return F.relu(x + y)")),
    "linear middle": (
        "missing-activation",
        ("F.relu6(self.norm(self.filter(y)))", "self.norm(self.filter(y))"),
    ),
    "linear expansion": ("missing-activation", (", nn.ReLU6()", "")),
    "pads the input": ("pad-before-expansion", _NO_PADDING, _FORWARD_PADS),
    "pads twice": ("padded-twice", _FORWARD_PADS),
    "no padding": ("missing-padding", _NO_PADDING),
    "padding 1": ("padding-ignores-dilation", ("3, stride, dilation,", "3, stride, 1,")),
    "no dilation": ("dilation-ignored", ("3, stride, dilation, dilation,", "3, stride, 1, 1,")),
    "padding only": (
        "dilation-ignored",
        ("3, stride, dilation, dilation,", "3, stride, dilation, 1,"),
    ),
    "mirrored": (
        "pads-with-wrong-value",
        (
            "hidden, bias=False)\n        self.norm",
            "hidden, bias=False, padding_mode='reflect')\n        self.norm",
        ),
    ),
    "copied border": (
        "pads-with-wrong-value",
        _NO_PADDING,
        ("self.filter(y)", "self.filter(F.pad(y, [self.dilation] * 4, mode='replicate'))"),
    ),
    "ones": (
        "pads-with-wrong-value",
        _NO_PADDING,
        ("self.filter(y)", "self.filter(F.pad(y, [self.dilation] * 4, value=1))"),
    ),
    "cropped": (
        "crop-instead-of-pad",
        _NO_PADDING,
        ("return x + y", "d = self.dilation; return x[:, :, d:-d, d:-d] + y"),
    ),
    "stride in front": (
        "stride-on-wrong-conv",
        ("nn.Conv2d(in_channels, hidden, 1,", "nn.Conv2d(in_channels, hidden, 1, stride,"),
        ("3, stride, dilation,", "3, stride if expand_ratio == 1 else 1, dilation,"),
    ),
    "stride at the end": (
        "stride-on-wrong-conv",
        ("nn.Conv2d(hidden, out_channels, 1,", "nn.Conv2d(hidden, out_channels, 1, stride,"),
        ("3, stride, dilation,", "3, 1, dilation,"),
    ),
    "no stride": ("stride-ignored", ("3, stride, dilation,", "3, 1, dilation,")),
    "shortcut at stride 2": (
        "shortcut-with-stride",
        ("stride == 1 and in_channels", "in_channels"),
    ),
    "shortcut thinned out": (
        "shortcut-with-stride",
        ("stride == 1 and in_channels", "in_channels"),
        ("return x + y", "return x[..., ::self.stride, ::self.stride] + y"),
    ),
    "shortcut whatever the channels": (
        "shortcut-channel-mismatch",
        ("stride == 1 and in_channels == out_channels", "stride == 1"),
    ),
    "shortcut always": ("shortcut-always", (" if self.skip else y", "")),
    "no shortcut": ("missing-shortcut", ("return x + y if self.skip else y", "return y")),
    "no shortcut when dilated": (
        "shortcut-lost-by-dilation",
        ("self.skip = ", "self.skip = dilation == 1 and "),
    ),
    "dense": (
        "dense-instead-of-depthwise",
        ("dilation, dilation, hidden, bias", "dilation, dilation, bias"),
    ),
    "always expands": ("expansion-when-ratio-1", ("if expand_ratio != 1:", "if True:")),
    "wide by output": (
        "expansion-on-output",
        ("hidden = in_channels *", "hidden = out_channels *"),
    ),
    "no norm in the middle": (
        "missing-batchnorm",
        ("nn.BatchNorm2d(hidden)\n        self.project", "nn.Identity()\n        self.project"),
    ),
    "no norm at the end": ("missing-batchnorm", (", nn.BatchNorm2d(out_channels)", "")),
    "bias": ("conv-bias", ("dilation, hidden, bias=False", "dilation, hidden")),
    "bias everywhere": (
        "conv-bias",
        ("dilation, hidden, bias=False", "dilation, hidden"),
        ("hidden, 1, bias=False", "hidden, 1"),
        ("out_channels, 1, bias=False", "out_channels, 1"),
    ),
    "eps": (
        "other-batchnorm-settings",
        (
            "nn.BatchNorm2d(hidden)\n        self.project",
            "nn.BatchNorm2d(hidden, 1e-3)\n        self.project",
        ),
        ("nn.BatchNorm2d(hidden), nn", "nn.BatchNorm2d(hidden, 1e-3), nn"),
        ("nn.BatchNorm2d(out_channels)", "nn.BatchNorm2d(out_channels, 1e-3)"),
    ),
    "adds in place": ("modifies-input", ("return x + y if", "return x.add_(y) if")),
    "detached": ("wrong-gradients", ("return x + y if", "return x.detach() + y if")),
    "single precision": ("wrong-dtype", ("y = self.project(y)", "y = self.project(y).float()")),
    "crashes": ("raised-exception", ("y = self.project(y)", "y = self.projection(y)")),
    "returns nothing": (
        "wrong-type",
        ("return x + y if self.skip else y", "x + y if self.skip else y"),
    ),
    "one argument short": (
        "wrong-signature",
        ("stride, dilation, expand_ratio):", "stride, expand_ratio, dilation=1, *, width):"),
    ),
    "5×5": (
        "wrong-parameter-count",
        ("hidden, 3, stride, dilation,", "hidden, 5, stride, 2 * dilation,"),
    ),
    "scaled": ("wrong-values", ("return x + y if", "return x + 2 * y if")),
    "shortcut to fewer channels": (
        "shortcut-channel-mismatch",
        ("in_channels == out_channels", "in_channels >= out_channels"),
    ),
    "shortcut to more channels": (
        "shortcut-channel-mismatch",
        ("in_channels == out_channels", "in_channels <= out_channels"),
    ),
    "no shortcut at ratio 1": (
        "missing-shortcut",
        ("self.skip = ", "self.skip = self.expand and "),
    ),
    "relu after the expansion": ("relu-instead-of-relu6", ("nn.ReLU6()", "nn.ReLU()")),
    "relu in the middle": ("relu-instead-of-relu6", ("F.relu6", "F.relu")),
    "no dilation at stride 2": (
        "dilation-ignored",
        ("hidden = in_ch", "dilation = dilation if stride == 1 else 1; hidden = in_ch"),
    ),
    "groups of the input": (
        "dense-instead-of-depthwise",
        ("dilation, dilation, hidden, bias", "dilation, dilation, in_channels, bias"),
    ),
    "pads twice as much": ("padded-twice", ("3, stride, dilation,", "3, stride, 2 * dilation,")),
    "halved sum": ("wrong-values", ("return x + y if", "return (x + y) / 2 if")),
    "leaky": ("wrong-values", ("F.relu6", "F.leaky_relu")),
    "activation before the norm": (
        "wrong-values",
        ("F.relu6(self.norm(self.filter(y)))", "self.norm(F.relu6(self.filter(y)))"),
    ),
    "stride behind the norm": (
        "stride-on-wrong-conv",
        ("3, stride, dilation,", "3, 1, dilation,"),
        ("y = self.project(y)", "y = self.project(y[:, :, ::self.stride, ::self.stride])"),
    ),
    "zeros on one side": (
        "wrong-values",
        _NO_PADDING,
        ("self.filter(y)", "self.filter(F.pad(y, [0, 2 * self.dilation] * 2))"),
    ),
    "first image only": (
        "wrong-values",
        ("y = self.project(y)", "y = self.project(y)[:1].expand(len(x), -1, -1, -1)"),
    ),
    "a tuple": ("wrong-type", ("return x + y if self.skip else y", "return (y,)")),
    "drops at random": (
        "wrong-train-eval",
        ("y = self.project(y)", "y = F.dropout(self.project(y), 0.1, self.training)"),
    ),
}


@pytest.mark.parametrize("exercise", ["02.inverted_residual", "02.border"])
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_blocks(exercise: str, wrong: str) -> None:
    slug, *changes = WRONG[wrong]
    report = check(exercise, block(*changes))
    assert not report.passed
    assert report.attempted
    assert [failure.name for failure in report.failures] == [slug], report


def test_enough_mistakes() -> None:
    named = {slug for slug, *_ in WRONG.values()}
    assert len(named & set(MISTAKES_OF["02.inverted_residual"])) >= 8


@pytest.mark.parametrize("place", range(len(ch02_variants.RECIPES)))
def test_every_recipe_is_told_by_its_slug(place: int) -> None:
    slug, recipe = ch02_variants.RECIPES[place]

    behaviours = [ch02._probe(place, index) for index in range(len(ch02.CASES))]
    first = next(
        other
        for index, (other, _) in enumerate(ch02_variants.RECIPES)
        if index == place or _same_behaviour(index, behaviours)
    )
    assert first == slug
    assert slug in MISTAKES
    assert recipe != ch02_variants.Recipe()


def _same_behaviour(index: int, behaviours: list) -> bool:  # type: ignore[type-arg]
    from seglib.teach.probing import same
    from seglib.teach.tasks import STAGES

    return all(
        same(probe.facts(stage), ch02._probe(index, place).facts(stage))
        for place, probe in enumerate(behaviours)
        for stage in STAGES
    )


RIGHT_NUMBERS = {
    "shape": (1, 32, 33, 49),
    "hidden_channels": 144,
    "parameters": 10000,
    "multiply_adds": 31336848,
}


def test_prediction() -> None:
    assert check("02.predict", RIGHT_NUMBERS).passed
    assert check("02.predict", tuple(RIGHT_NUMBERS.values())).passed
    as_torch = {
        **RIGHT_NUMBERS,
        "shape": torch.Size((1, 32, 33, 49)),
        "parameters": torch.tensor(10000),
    }
    assert check("02.predict", as_torch).passed
    as_numpy = {name: np.array(value) for name, value in RIGHT_NUMBERS.items()}
    assert check("02.predict", as_numpy).passed


@pytest.mark.parametrize(
    "changes, slug",
    [
        ({"shape": (1, 32, 32, 48)}, "floor-instead-of-ceil"),
        ({"shape": (1, 32, 65, 97)}, "stride-forgotten"),
        ({"shape": (1, 144, 33, 49)}, "projection-forgotten"),
        ({"shape": (32, 33, 49)}, "wrong-shape"),
        ({"shape": [1, 32, 33, 50]}, "wrong-values"),
        ({"hidden_channels": 192}, "expansion-on-output"),
        ({"parameters": 3456 + 1296 + 4608}, "forgot-batchnorm"),
        ({"parameters": 10000 + 144 + 144 + 32}, "bias-counted"),
        ({"parameters": 24 * 144 + 144 * 144 * 9 + 144 * 32 + 640}, "depthwise-counted-dense"),
        ({"parameters": 10000 + 640}, "buffers-counted"),
        ({"parameters": 10000.5}, "wrong-dtype"),
        ({"parameters": "10000"}, "wrong-dtype"),
        ({"multiply_adds": 2 * 31336848}, "counted-twice"),
        ({"multiply_adds": (3456 + 1296 + 4608) * 65 * 97}, "macs-at-input-resolution"),
        ({"multiply_adds": (3456 + 1296 + 4608) * 33 * 49}, "macs-at-output-resolution"),
        ({"multiply_adds": 9360}, "pixels-forgotten"),
        ({"parameters": 9360 + 2 * 144}, "forgot-batchnorm"),
        ({"parameters": 9360 + 2 * 2 * 144}, "forgot-batchnorm"),
        ({"parameters": 9360 + 2 * 32}, "forgot-batchnorm"),
        ({"multiply_adds": (1296 + 4608) * 33 * 49}, "expansion-forgotten"),
        (
            {"multiply_adds": (3456 + 1296) * 65 * 97 + 4608 * 33 * 49},
            "macs-at-input-resolution",
        ),
        (
            {"multiply_adds": (3456 + 4608) * 65 * 97 + 1296 * 33 * 49},
            "macs-at-input-resolution",
        ),
        ({"multiply_adds": 10000 * 33 * 49}, "wrong-values"),
        ({"shape": (1, 33, 49, 32)}, "wrong-values"),
        ({"hidden_channels": 6}, "wrong-values"),
        ({"multiply_adds": None}, "missing-value"),
        (
            {
                "hidden_channels": 192,
                "parameters": 24 * 192 + 9 * 192 + 192 * 32 + 832,
                "multiply_adds": 5,
            },
            "expansion-on-output",
        ),
    ],
)
def test_wrong_prediction(changes: dict[str, object], slug: str) -> None:
    report = check("02.predict", {**RIGHT_NUMBERS, **changes})
    assert [failure.name for failure in report.failures] == [slug], report


PLAN = """
def stage_plan(settings, output_stride):
    rows, channels, reached, rate = [], 32, 2, 1
    for t, c, n, s in settings:
        stride, first = s, rate
        if reached * s > output_stride:
            stride = 1
            rate = rate * s
        reached = reached * stride
        for i in range(n):
            rows.append((channels, c, stride if i == 0 else 1, first if i == 0 else rate, t))
            channels = c
    return rows
"""


def plan(*changes: tuple[str, str]) -> object:
    source = PLAN
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    space: dict[str, object] = {}
    exec(source, space)
    return space["stage_plan"]


def other_plan(table, goal):  # type: ignore
    """Another hand: from the stride that each block would have if none were dropped."""
    blocks, width, nominal = [], 32, 2
    for ratio, channels, repeats, step in table:
        for index in range(repeats):
            before, nominal = nominal, nominal * (step if index == 0 else 1)
            stride = min(nominal, goal) // min(before, goal)
            blocks.append([width, channels, stride, max(1, before // goal), ratio])
            width = channels
    return [tuple(block) for block in blocks]


def test_plan_is_the_librarys() -> None:
    for output_stride in (8, 16, 32):
        assert ch02.plan(SETTINGS, output_stride) == [
            tuple(row) for row in block_table(output_stride)
        ]


def as_array(table, goal):  # type: ignore
    return np.array(other_plan(table, goal))


class Planner:
    def __call__(self, table, goal):  # type: ignore
        return tuple(list(row) for row in other_plan(table, goal))


@pytest.mark.parametrize(
    "answer", [plan(), other_plan, as_array, Planner(), partial(other_plan)], ids=range(5)
)
def test_right_plans(answer: object) -> None:
    report = check("02.dilated_stage", answer)
    assert report.passed, report


@pytest.mark.parametrize(
    "slug, changes",
    [
        ("first-block-dilated", [("first if i == 0 else rate", "rate")]),
        ("stride-kept", [("            stride = 1\n", ""), ("reached * stride", "reached * s")]),
        ("dilation-not-accumulated", [("rate = rate * s", "rate = s")]),
        ("dilation-added", [("rate = rate * s", "rate = rate + s")]),
        ("dilation-forgotten", [("            rate = rate * s\n", "")]),
        ("repeats-strided", [("stride if i == 0 else 1", "stride")]),
        ("stride-on-last-block", [("stride if i == 0 else 1", "stride if i == n - 1 else 1")]),
        ("stem-stride-forgotten", [("[], 32, 2, 1", "[], 32, 1, 1")]),
        (
            "off-by-one-stage",
            [("if reached * s > output_stride", "if s > 1 and reached * s >= output_stride")],
        ),
        ("in-channels-not-updated", [("            channels = c\n", "        channels = c\n")]),
        (
            "wrong-order",
            [
                (
                    "(channels, c, stride if i == 0 else 1, first if i == 0 else rate, t)",
                    "(t, channels, c, stride if i == 0 else 1, first if i == 0 else rate)",
                )
            ],
        ),
        ("wrong-shape", [("range(n)", "range(1, n)")]),
        ("wrong-shape", [(", first if i == 0 else rate, t)", ", t)")]),
        ("wrong-dtype", [("rate = rate * s", "rate = rate * s / 3")]),
        ("wrong-values", [("[], 32, 2, 1", "[], 16, 2, 1")]),
        ("wrong-values", [("in settings:", "in settings:\n        output_stride = 8")]),
        (
            "wrong-values",
            [("in settings:", "in settings:\n        output_stride = max(output_stride, 8)")],
        ),
        ("wrong-values", [("rate = rate * s", "rate = rate + 1")]),
        ("wrong-values", [("if i == 0 else rate, t)", "if i == 0 else rate, t * channels)")]),
        ("wrong-order", [("    return rows", "    return rows[::-1]")]),
        ("wrong-shape", [("    return rows", "    return [rows]")]),
        ("wrong-dtype", [("if i == 0 else rate, t)", "if i == 0 else str(rate), t)")]),
        ("raised-exception", [("    return rows", "    return rows[99]")]),
        ("wrong-type", [("    return rows", "    rows")]),
        ("changes-settings", [("    return rows", "    settings.pop(); return rows")]),
    ],
)
def test_wrong_plans(slug: str, changes: list[tuple[str, str]]) -> None:
    report = check("02.dilated_stage", plan(*changes))
    assert [failure.name for failure in report.failures] == [slug], report


def test_points_add_up() -> None:
    assert sum(exercise.points for exercise in exercises() if exercise.chapter == 2) == 10
