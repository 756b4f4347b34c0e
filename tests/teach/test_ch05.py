"""Chapter 05's exercises: right answers in several hands, wrong ones with the fitting slug."""

import copy
from functools import partial
from itertools import accumulate
from operator import mul

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglib.backbones.resnet import block_table
from seglib.backbones.resnet_blocks import BlockOptions, Bottleneck
from seglib.teach import MISTAKES, check, exercises, parity
from seglib.teach.chapters import ch05, ch05_dense, ch05_plan, ch05_variants
from seglib.teach.probing import Probe, same
from seglib.teach.tasks import MISTAKES_OF, STAGES

# Predict

RIGHT_NUMBERS = {
    "shape": (1, 512, 29, 38),
    "parameters": 379_392,
    "multiply_adds": 519_241_728,
    "caffe_multiply_adds": 415_268_864,
}
WEIGHTS = 256 * 128 + 9 * 128 * 128 + 128 * 512 + 256 * 512


def test_the_prediction_is_the_librarys() -> None:
    from support import multiply_adds

    for style, name in (("pytorch", "multiply_adds"), ("caffe", "caffe_multiply_adds")):
        block = Bottleneck(256, 128, 2, options=BlockOptions(style=style))  # type: ignore[arg-type]
        x = torch.zeros(1, 256, 57, 75)
        assert block(x).shape == RIGHT_NUMBERS["shape"]
        assert sum(p.numel() for p in block.parameters()) == RIGHT_NUMBERS["parameters"]
        assert multiply_adds(block, x) == RIGHT_NUMBERS[name]


def test_prediction() -> None:
    assert check("05.predict", RIGHT_NUMBERS).passed
    assert check("05.predict", list(RIGHT_NUMBERS.values())).passed
    as_torch = {**RIGHT_NUMBERS, "shape": torch.Size((1, 512, 29, 38)), "parameters": 379_392.0}
    assert check("05.predict", as_torch).passed
    as_numpy = {name: np.array(value) for name, value in RIGHT_NUMBERS.items()}
    assert check("05.predict", as_numpy).passed


@pytest.mark.parametrize(
    "changes, slug",
    [
        ({"shape": (1, 512, 28, 37)}, "floor-instead-of-ceil"),
        ({"shape": (1, 512, 57, 75)}, "stride-forgotten"),
        ({"shape": (1, 128, 29, 38)}, "expansion-forgotten"),
        ({"shape": (1, 1024, 29, 38)}, "expansion-on-input"),
        ({"shape": (1, 256, 29, 38)}, "input-channels-kept"),
        ({"shape": (512, 29, 38)}, "wrong-shape"),
        ({"shape": (1, 512, 30, 38)}, "wrong-values"),
        ({"shape": "1, 512, 29, 38"}, "wrong-type"),
        ({"parameters": WEIGHTS}, "forgot-batchnorm"),
        ({"parameters": 379_392 - 2 * 512}, "forgot-batchnorm"),
        ({"parameters": 379_392 - 256 * 512 - 2 * 512}, "projection-forgotten"),
        ({"parameters": 379_392 - 256 * 512}, "projection-forgotten"),
        ({"parameters": 379_392 + 1}, "wrong-values"),
        ({"parameters": 379_392 + 2560 + 4}, "buffers-counted"),
        (
            {"multiply_adds": 519_241_728 + 9 * 128 * 128 * (57 * 75 - 29 * 38)},
            "macs-at-input-resolution",
        ),
        ({"parameters": 379_392 + 128 + 128 + 512 + 512}, "bias-counted"),
        ({"parameters": 379_392 + 2560}, "buffers-counted"),
        ({"parameters": 379_392 - 9 * 128 * 127}, "depthwise-counted"),
        ({"parameters": 379_392.5}, "wrong-dtype"),
        ({"multiply_adds": 2 * 519_241_728}, "counted-twice"),
        ({"multiply_adds": 415_268_864}, "styles-swapped"),
        ({"caffe_multiply_adds": 519_241_728}, "styles-swapped"),
        (
            {"multiply_adds": 415_268_864, "caffe_multiply_adds": 519_241_728},
            "styles-swapped",
        ),
        ({"multiply_adds": WEIGHTS * 57 * 75}, "macs-at-input-resolution"),
        ({"multiply_adds": 519_241_728 - 256 * 512 * 29 * 38}, "projection-forgotten"),
        (
            {"multiply_adds": 519_241_728 + 256 * 512 * (57 * 75 - 29 * 38)},
            "projection-at-input-resolution",
        ),
        ({"multiply_adds": WEIGHTS}, "pixels-forgotten"),
        ({"caffe_multiply_adds": WEIGHTS * 28 * 37}, "floor-instead-of-ceil"),
        ({"caffe_multiply_adds": None}, "missing-value"),
        ({"multiply_adds": "much"}, "wrong-dtype"),
    ],
)
def test_wrong_prediction(changes: dict[str, object], slug: str) -> None:
    report = check("05.predict", {**RIGHT_NUMBERS, **changes})
    assert [failure.name for failure in report.failures] == [slug], report


# Implement

BLOCK = """
class Block(nn.Module):
    def __init__(self, in_channels, channels, stride, dilation, caffe):
        super().__init__()
        out_channels = 4 * channels
        first, second = (stride, 1) if caffe else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, channels, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, second, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.down = None
        if stride != 1 or in_channels != out_channels:
            self.down = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        shortcut = x if self.down is None else self.down(x)
        return F.relu(shortcut + y)
"""


def block(*changes: tuple[str, str]) -> type[nn.Module]:
    source = BLOCK
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    space: dict[str, type[nn.Module]] = {}
    exec(source, {"nn": nn, "F": F, "torch": torch}, space)
    return space["Block"]


class OtherNames(nn.Module):
    """In another hand: the shortcut first, other names and order, 1×1 as matrices."""

    def __init__(self, cin: int, c: int, s: int, d: int, caffe: bool) -> None:
        super().__init__()
        self.s, self.early = s, bool(caffe)
        self.norms = nn.ModuleList([nn.BatchNorm2d(n) for n in (4 * c, c, c)])
        self.widen = nn.Linear(c, 4 * c, bias=False)
        self.look = nn.Conv2d(c, c, 3, 1 if caffe else s, d, d, bias=False)
        self.thin = nn.Linear(cin, c, bias=False)
        self.side = None if (s, cin) == (1, 4 * c) else nn.Linear(cin, 4 * c, bias=False)
        self.side_norm = nn.Identity() if self.side is None else nn.BatchNorm2d(4 * c)

    @staticmethod
    def mix(layer: nn.Module, x: Tensor) -> Tensor:
        return layer(x.movedim(1, -1)).movedim(-1, 1)

    def forward(self, image: Tensor) -> Tensor:
        fewer = image[..., :: self.s, :: self.s]
        side = image if self.side is None else self.side_norm(self.mix(self.side, fewer))
        h = self.norms[1](self.mix(self.thin, fewer if self.early else image)).clamp(min=0)
        h = torch.relu(self.norms[2](self.look(h)))
        return (self.norms[0](self.mix(self.widen, h)) + side).relu_()


class ShortcutInBetween(nn.Module):
    """The shortcut after the 3×3; the residual path as one Sequential with in-place ReLUs."""

    def __init__(self, in_channels, channels, stride=1, dilation=1, caffe=False):  # type: ignore
        super().__init__()

        def conv(c1, c2, kernel, step):  # type: ignore
            d = dilation if kernel == 3 else 0
            layer = nn.Conv2d(c1, c2, kernel, step, d, max(d, 1), bias=False)
            return nn.Sequential(layer, nn.BatchNorm2d(c2))

        steps = [stride, 1] if caffe else [1, stride]
        self.down = nn.Sequential()
        if stride > 1 or in_channels != channels * 4:
            self.down = conv(in_channels, channels * 4, 1, stride)
        relu = nn.ReLU(inplace=True)
        first, second = (
            conv(in_channels, channels, 1, steps[0]),
            conv(channels, channels, 3, steps[1]),
        )
        self.front = nn.Sequential(first, relu, second, relu)
        self.back = conv(channels, channels * 4, 1, 1)

    def forward(self, x):  # type: ignore
        y = self.front(x)
        shortcut = self.down(x)
        y = self.back(y)
        y += shortcut
        return F.relu(y, inplace=True)


def factory(in_channels, channels, stride, dilation, caffe):  # type: ignore
    return block()(in_channels, channels, stride, dilation, caffe)


def test_the_reference_is_the_librarys_block() -> None:
    for case in ch05.CASES:
        in_channels, channels, stride, dilation, caffe = case.arguments.values()
        options = BlockOptions(style="caffe" if caffe else "pytorch")
        ours = Bottleneck(int(in_channels), int(channels), int(stride), int(dilation), 1, options)
        for order in range(4):
            other = ch05_variants.RecipeBlock(ch05_variants.Recipe(), order, **case.arguments)  # type: ignore[arg-type]
            assert parity(ours, other, case.shape).passed


@pytest.mark.parametrize(
    "answer",
    [
        block(),
        block(
            (
                "        y = F.relu(self.bn1",
                "        shortcut = self.down(x) if self.down else x\n        y = F.relu(self.bn1",
            ),
            ("        shortcut = x if self.down is None else self.down(x)\n", ""),
        ),
        OtherNames,
        ShortcutInBetween,
        factory,
    ],
)  # fmt: skip
def test_right_blocks(answer: object) -> None:
    report = check("05.bottleneck", answer)
    assert report.passed, report
    assert [stage for stage, _ in report.stages] == list(STAGES)


_SIDE = "if stride != 1 or in_channels != out_channels"
_CONV2 = "channels, channels, 3, second, dilation, dilation,"
WRONG = {
    "relu before the sum": (
        "relu-before-sum",
        ("y = self.bn3(self.conv3(y))", "y = F.relu(self.bn3(self.conv3(y)))"),
        ("return F.relu(shortcut + y)", "return shortcut + y"),
    ),
    "relu before and after": (
        "relu-before-sum",
        ("y = self.bn3(self.conv3(y))", "y = F.relu(self.bn3(self.conv3(y)))"),
    ),
    "no relu at the end": (
        "missing-relu-after-sum",
        ("return F.relu(shortcut + y)", "return shortcut + y"),
    ),
    "relu on the shortcut": (
        "relu-on-shortcut",
        ("else self.down(x)", "else F.relu(self.down(x))"),
    ),
    "no relu in the middle": (
        "missing-activation",
        ("F.relu(self.bn2(self.conv2(y)))", "self.bn2(self.conv2(y))"),
    ),
    "relu6": (
        "relu6-instead-of-relu",
        ("F.relu(self.bn1", "F.relu6(self.bn1"),
        ("F.relu(self.bn2", "F.relu6(self.bn2"),
        ("F.relu(shortcut", "F.relu6(shortcut"),
    ),
    "relu on any shortcut": (
        "relu-on-shortcut",
        ("F.relu(shortcut +", "F.relu(F.relu(shortcut) +"),
    ),
    "relu6 inside": (
        "relu6-instead-of-relu",
        ("F.relu(self.bn1", "F.relu6(self.bn1"),
        ("F.relu(self.bn2", "F.relu6(self.bn2"),
    ),
    "relu6 after the sum": ("relu6-instead-of-relu", ("F.relu(shortcut", "F.relu6(shortcut")),
    "no projection to fewer channels": (
        "projection-by-stride-only",
        (_SIDE, "if stride != 1 or in_channels < out_channels"),
    ),
    "no projection to more channels": (
        "projection-by-stride-only",
        (_SIDE, "if stride != 1 or in_channels > out_channels"),
    ),
    "projection where dilated": ("wrong-parameter-count", (_SIDE, _SIDE + " or dilation > 1")),
    "no dilation with a stride": (
        "dilation-ignored",
        ("out_channels = 4", "dilation = dilation if stride == 1 else 1; out_channels = 4"),
    ),
    "leaky": ("wrong-values", ("F.relu(self.bn1", "F.leaky_relu(self.bn1")),
    "subtracts": ("wrong-values", ("F.relu(shortcut + y)", "F.relu(shortcut - y)")),
    "halved sum": ("wrong-values", ("F.relu(shortcut + y)", "F.relu(shortcut + y / 2)")),
    "activation before the norm": (
        "wrong-values",
        ("F.relu(self.bn2(self.conv2(y)))", "self.bn2(F.relu(self.conv2(y)))"),
    ),
    "drops at random": (
        "wrong-train-eval",
        ("F.relu(shortcut + y)", "F.dropout(F.relu(shortcut + y), 0.1, self.training)"),
    ),
    "a tuple": ("wrong-type", ("return F.relu(shortcut + y)", "return (F.relu(shortcut + y),)")),
    "styles swapped": ("styles-swapped", ("if caffe else", "if not caffe else")),
    "always pytorch": ("style-ignored", ("(stride, 1) if caffe else (1, stride)", "(1, stride)")),
    "always caffe": ("style-ignored", ("(stride, 1) if caffe else (1, stride)", "(stride, 1)")),
    "stride at the end": (
        "stride-on-last-convolution",
        ("(stride, 1) if caffe else (1, stride)", "(stride if caffe else 1, 1)"),
        (
            "nn.Conv2d(channels, out_channels, 1, bias",
            "nn.Conv2d(channels, out_channels, 1, 1 if caffe else stride, bias",
        ),
    ),
    "both stride": ("stride-twice", ("(stride, 1) if caffe else (1, stride)", "(stride, stride)")),
    "no stride": ("stride-ignored", ("(stride, 1) if caffe else (1, stride)", "(1, 1)")),
    "no stride anywhere": (
        "stride-ignored",
        ("(stride, 1) if caffe else (1, stride)", "(1, 1)"),
        ("out_channels, 1, stride, bias", "out_channels, 1, bias"),
    ),
    "no dilation": ("dilation-ignored", (_CONV2, "channels, channels, 3, second, 1, 1,")),
    "padding only": ("dilation-ignored", (_CONV2, "channels, channels, 3, second, dilation, 1,")),
    "padding 1": (
        "padding-ignores-dilation",
        (_CONV2, "channels, channels, 3, second, 1, dilation,"),
    ),
    "no padding": ("missing-padding", (_CONV2, "channels, channels, 3, second, 0, dilation,")),
    "mirrored": (
        "pads-with-wrong-value",
        (f"{_CONV2} bias=False", f"{_CONV2} bias=False, padding_mode='reflect'"),
    ),
    "no shortcut": ("missing-shortcut", ("F.relu(shortcut + y)", "F.relu(y)")),
    "shortcut only where it fits": (
        "missing-shortcut",
        ("return F.relu(shortcut + y)", "return F.relu(y if self.down else x + y)"),
        ("        shortcut = x if self.down is None else self.down(x)\n", ""),
        ("self.down = nn.Sequential(", "self.down = bool("),
        ("                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),\n", "1"),
        ("                nn.BatchNorm2d(out_channels),\n", ""),
    ),
    "input added as it is": (
        "missing-projection",
        ("if stride != 1 or in_channels != out_channels", "if False"),
    ),
    "projection always": (
        "projection-always",
        ("if stride != 1 or in_channels != out_channels", "if True"),
    ),
    "projection by channels": (
        "projection-by-channels-only",
        ("stride != 1 or in_channels", "in_channels"),
    ),
    "thinned out where channels agree": (
        "projection-by-channels-only",
        ("stride != 1 or in_channels", "in_channels"),
        ("self.down = None", "self.down, self.s = None, stride"),
        ("shortcut = x if", "shortcut = x[..., ::self.s, ::self.s] if"),
    ),
    "projection by stride": (
        "projection-by-stride-only",
        ("stride != 1 or in_channels != out_channels", "stride != 1"),
    ),
    "projection at stride 1": (
        "projection-not-strided",
        ("out_channels, 1, stride, bias", "out_channels, 1, bias"),
    ),
    "averaged": (
        "averaged-shortcut",
        (
            "                nn.Conv2d(in_channels, out_channels, 1, stride, bias",
            "                nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False),\n"
            "                nn.Conv2d(in_channels, out_channels, 1, bias",
        ),
    ),
    "3×3 projection": (
        "projection-is-3x3",
        ("out_channels, 1, stride, bias", "out_channels, 3, stride, 1, bias"),
    ),
    "no expansion": (
        "expansion-forgotten",
        ("out_channels = 4 * channels", "out_channels = channels"),
    ),
    "a quarter of the input": (
        "quarter-of-input",
        (
            "out_channels = 4 * channels",
            "out_channels = 4 * channels\n        channels = max(1, in_channels // 4)",
        ),
    ),
    "wide in the middle": (
        "wide-in-the-middle",
        (
            "out_channels = 4 * channels",
            "out_channels = 4 * channels\n        channels = out_channels",
        ),
    ),
    "depthwise": (
        "depthwise-instead-of-dense",
        (f"{_CONV2} bias=False", f"{_CONV2} groups=channels, bias=False"),
    ),
    "one norm twice": (
        "batchnorm-shared",
        ("self.bn2 = nn.BatchNorm2d(channels)", "self.bn2 = self.bn1"),
    ),
    "no norm at the end": (
        "missing-batchnorm",
        ("self.bn3 = nn.BatchNorm2d(out_channels)", "self.bn3 = nn.Identity()"),
    ),
    "no norm on the shortcut": (
        "missing-batchnorm",
        ("                nn.BatchNorm2d(out_channels),\n", ""),
    ),
    "bias": ("conv-bias", (f"{_CONV2} bias=False", _CONV2)),
    "bias on the shortcut": (
        "conv-bias",
        ("out_channels, 1, stride, bias=False", "out_channels, 1, stride"),
    ),
    "eps": (
        "other-batchnorm-settings",
        ("bn1 = nn.BatchNorm2d(channels)", "bn1 = nn.BatchNorm2d(channels, 1e-3)"),
        ("bn2 = nn.BatchNorm2d(channels)", "bn2 = nn.BatchNorm2d(channels, 1e-3)"),
        ("bn3 = nn.BatchNorm2d(out_channels)", "bn3 = nn.BatchNorm2d(out_channels, 1e-3)"),
        ("                nn.BatchNorm2d(out_channels),", "nn.BatchNorm2d(out_channels, 1e-3),"),
    ),
    "adds to the input": (
        "modifies-input",
        ("F.relu(shortcut + y)", "F.relu(shortcut.add_(y))"),
    ),
    "relu on the input": ("wrong-values", ("self.conv1(x)", "self.conv1(x.relu())")),
    "detached": ("wrong-gradients", ("F.relu(shortcut + y)", "F.relu(shortcut.detach() + y)")),
    "scaled": ("wrong-values", ("F.relu(shortcut + y)", "F.relu(shortcut + 2 * y)")),
    "single precision": ("wrong-dtype", ("F.relu(shortcut + y)", "F.relu(shortcut + y).float()")),
    "crashes": ("raised-exception", ("self.bn3(self.conv3(y))", "self.bn3(self.conv4(y))")),
    "returns nothing": ("wrong-type", ("return F.relu(shortcut + y)", "F.relu(shortcut + y)")),
    "one argument short": ("wrong-signature", ("dilation, caffe):", "dilation, *, caffe, width):")),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_blocks(wrong: str) -> None:
    slug, *changes = WRONG[wrong]
    report = check("05.bottleneck", block(*changes))  # type: ignore[arg-type]
    assert not report.passed
    assert report.attempted
    assert [failure.name for failure in report.failures] == [slug], report


def test_the_name_does_not_depend_on_what_was_checked_before() -> None:
    ch05._probe.cache_clear()
    ch05._known_progress.cache_clear()
    for wrong in ("subtracts", "drops at random", "no stride", "projection at stride 1"):
        slug, *changes = WRONG[wrong]
        report = check("05.bottleneck", block(*changes))
        assert [failure.name for failure in report.failures] == [slug], report


def test_the_librarys_block_is_refused() -> None:
    for answer in (Bottleneck, lambda *args: Bottleneck(*args[:4])):
        report = check("05.bottleneck", answer)
        assert [failure.name for failure in report.failures] == ["not-your-own"], report


@pytest.mark.parametrize("index", range(len(ch05_variants.RECIPES)))
def test_every_recipe_is_told_by_its_slug(index: int) -> None:
    slug, _ = ch05_variants.RECIPES[index]
    behaviours = [ch05._probe(index, 3, case) for case in range(len(ch05.CASES))]

    def behaves_the_same(other: int) -> bool:
        return all(
            ch05._known_progress(index, case) == ch05._known_progress(other, case)
            and same(probe.facts(stage), ch05._probe(other, 3, case).facts(stage))
            for case, probe in enumerate(behaviours)
            for stage in STAGES
        )

    first = next(
        other
        for place, (other, _) in enumerate(ch05_variants.RECIPES)
        if place == index or behaves_the_same(place)
    )
    assert first == slug
    assert slug in MISTAKES
    right = [Probe(lambda **a: ch05_variants.RecipeBlock(ch05_variants.Recipe(), 3, **a), case)
             for case in ch05.CASES]  # fmt: skip
    assert any(
        not same(probe.facts(stage), good.facts(stage))
        for probe, good in zip(behaviours, right, strict=True)
        for stage in STAGES
    )


# Debug

DENSE = """
def dense(stage):
    stage = copy.deepcopy(stage)
    rate = 1
    for block in stage:
        convs = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
        for conv in convs:
            stride = conv.stride[0]
            conv.stride = (1, 1)
            if conv.kernel_size == (3, 3):
                d = rate * conv.dilation[0]
                conv.dilation = (d, d)
                conv.padding = (d, d)
            rate = max(rate, stride)
    return stage
"""
BROKEN = """
def dense(stage):
    stage = copy.deepcopy(stage)
    convs = [part for part in stage.modules() if isinstance(part, nn.Conv2d)]
    rate = max(conv.stride[0] for conv in convs)
    for conv in convs:
        conv.stride = (1, 1)
        if conv.kernel_size == (3, 3):
            d = rate * conv.dilation[0]
            conv.dilation = conv.padding = (d, d)
    return stage
"""


def dense(*changes: tuple[str, str], source: str = DENSE) -> object:
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    space: dict[str, object] = {}
    exec(source, {"nn": nn, "copy": copy, "torch": torch}, space)
    return space["dense"]


class Wrapped(nn.Module):
    """Keeps the stage and calls its parts with other settings."""

    def __init__(self, stage: nn.Module) -> None:
        super().__init__()
        self.stage = copy.deepcopy(stage)
        rate = 1
        for name, part in self.stage.named_modules():
            if not isinstance(part, nn.Conv2d):
                continue
            side = "downsample" in name
            if part.kernel_size[0] == 3:
                part.dilation = tuple(rate * d for d in part.dilation)
                part.padding = part.dilation
            rate *= 1 if side else part.stride[0]
            part.stride = (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.stage(x)


@pytest.mark.parametrize("answer", [dense(), lambda stage: Wrapped(stage)])
def test_right_dense_stages(answer: object) -> None:
    report = check("05.dense", answer)
    assert report.passed, report


def test_dense_keeps_its_promise() -> None:
    for words, stage, x in ch05_dense._questions():
        step = 3 if "stride 3" in words else 1 if "without" in words else 2
        with torch.no_grad():
            out, strided = ch05_dense.dense(stage)(x), stage(x)
        assert out.shape[2:] == x.shape[2:]
        assert (out[:, :, ::step, ::step] - strided).abs().max() < 1e-12


_FIRST = ("        convs =", "        first = block is stage[0]\n        convs =")
_TOTAL = (
    "    rate = 1",
    "    rate = 1\n    total = max(m.stride[0] for m in stage.modules() if hasattr(m, 'stride'))",
)
_DILATES = "d = rate * conv.dilation[0]"


@pytest.mark.parametrize(
    "slug, answer",
    [
        ("first-block-dilated", dense(source=BROKEN)),
        ("dilation-forgotten", dense((_DILATES, "d = conv.dilation[0]"), source=BROKEN)),
        (
            "behind-the-stride-undilated",
            dense(_FIRST, _TOTAL, (_DILATES, "d = (1 if first else total) * conv.dilation[0]")),
        ),
        (
            "dilation-not-multiplied",
            dense((_DILATES, "d = rate if rate > 1 else conv.dilation[0]")),
        ),
        ("dilation-not-multiplied", dense((_DILATES, "d = rate"))),
        ("dilation-forgotten", dense((_DILATES, "d = conv.dilation[0]"))),
        (
            "dilation-grows",
            dense(
                _TOTAL,
                ("            rate = max(rate, stride)\n", "            stride = 1\n"),
                ("    return stage", "        rate *= total\n    return stage"),
            ),
        ),
        ("shortcut-counted", dense(("rate = max(rate, stride)", "rate = rate * stride"))),
        (
            "rate-hard-coded",
            dense(("rate = max(rate, stride)", "rate = 2 if stride > 1 else rate")),
        ),
        ("padding-forgotten", dense(("                conv.padding = (d, d)\n", ""))),
        (
            "shortcut-still-strided",
            dense(
                ("if isinstance(m, nn.Conv2d)]", "if isinstance(m, nn.Conv2d)][:3]"),
                ("[m for m", "[m for name, m"),
                ("in block.modules()", "in block.named_modules() if 'down' not in name"),
                (" if isinstance", " and isinstance"),
            ),
        ),
        ("stride-kept", dense(("            conv.stride = (1, 1)\n", ""))),
        ("changes-stage", dense(("    stage = copy.deepcopy(stage)\n", ""))),
        (
            "changes-weights",
            dense(("    return stage", "    nn.init.normal_(convs[0].weight)\n    return stage")),
        ),
        ("wrong-type", dense(("    return stage", "    stage"))),
        ("wrong-type", dense(("    return stage", "    return list(stage)"))),
        ("raised-exception", dense(("for block in stage:", "for block in stage.blocks:"))),
        ("wrong-signature", lambda: None if 1 > 2 else 3),
        ("wrong-values", dense((_DILATES, "d = 3 * conv.dilation[0]"))),
        ("wrong-values", dense((_DILATES, "d = rate + conv.dilation[0] - 1"))),
        ("dilation-not-multiplied", dense((_DILATES, "d = max(rate, conv.dilation[0])"))),
        ("padding-forgotten", dense(("conv.padding = (d, d)", "conv.padding = (1, 1)"))),
        ("changes-weights", dense(("    return stage", "    return stage.float()"))),
        ("changes-stage", dense(("copy.deepcopy(stage)", "copy.copy(stage)"))),
        ("stride-kept", lambda stage: copy.deepcopy(stage)),
    ],
)  # fmt: skip
def test_wrong_dense_stages(slug: str, answer: object) -> None:
    report = check("05.dense", answer)
    assert [failure.name for failure in report.failures] == [slug], report


def test_every_flaw_shows() -> None:
    questions = range(len(ch05_dense._questions()))
    for mistakes in ch05_dense._flaws():
        pairs = ((ch05_dense._behaviour(m, place) for m in (mistakes, ())) for place in questions)
        assert not all(same(a, b) for a, b in pairs), mistakes
        assert mistakes[0].split()[0] in MISTAKES_OF["05.dense"]


# Extend

PLAN = """
def stage_plan(blocks, output_stride, multi_grid):
    stages, reached, rate = [], 4, 1
    for index, n in enumerate(blocks):
        stride, first = 1 if index == 0 else 2, rate
        if reached * stride > output_stride:
            rate *= stride
            stride = 1
        reached *= stride
        stages.append([(stride, first)] + [(1, rate)] * (n - 1))
    if multi_grid is not None:
        if len(multi_grid) != blocks[-1]:
            raise ValueError("multi_grid")
        stages[-1] = [(row[0], rate * f) for row, f in zip(stages[-1], multi_grid)]
    return stages
"""


def plan(*changes: tuple[str, str]) -> object:
    source = PLAN
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    space: dict[str, object] = {"accumulate": accumulate, "mul": mul}
    exec(source, space)
    return space["stage_plan"]


def other_plan(blocks, output_stride, multi_grid):  # type: ignore
    """Another hand: tuples, from the stride that a block would have if none were dropped."""
    stages, nominal = [], 4
    for index, n in enumerate(blocks):
        rows = []
        for block in range(n):
            before = nominal
            nominal *= 2 if index and not block else 1
            stride = min(nominal, output_stride) // min(before, output_stride)
            rows.append((stride, max(1, before // output_stride)))
        stages.append(tuple(rows))
    if multi_grid is None:
        return tuple(stages)
    if len(multi_grid) != len(stages[-1]):
        raise ValueError(multi_grid)
    unit = max(1, nominal // output_stride)
    last = [[s, unit * f] for (s, _), f in zip(stages[-1], multi_grid, strict=True)]
    return [*stages[:-1], last]


def test_plan_is_the_librarys() -> None:
    for blocks in ((3, 4, 6, 3), (2, 2, 2, 2), (3, 8, 36, 3)):
        for output_stride in (8, 16, 32):
            for grid in (None, tuple(range(1, blocks[-1] + 1))):
                rows = block_table(blocks, output_stride=output_stride, multi_grid=grid)
                expected = [[(row.stride, row.dilation) for row in stage] for stage in rows]
                assert ch05_plan.stage_plan(blocks, output_stride, grid) == expected


def as_arrays(blocks, output_stride, multi_grid):  # type: ignore
    return [np.array(stage) for stage in other_plan(blocks, output_stride, multi_grid)]


class Planner:
    def __call__(self, blocks, output_stride, multi_grid=None):  # type: ignore
        return other_plan(blocks, output_stride, multi_grid)


@pytest.mark.parametrize(
    "answer", [plan(), other_plan, as_arrays, Planner(), partial(other_plan)], ids=range(5)
)
def test_right_plans(answer: object) -> None:
    report = check("05.stage_plan", answer)
    assert report.passed, report


_ROWS = "[(stride, first)] + [(1, rate)] * (n - 1)"


@pytest.mark.parametrize(
    "slug, changes",
    [
        ("first-block-dilated", [(_ROWS, "[(stride, rate)] + [(1, rate)] * (n - 1)")]),
        ("stride-kept", [("            stride = 1\n", "")]),
        ("dilation-forgotten", [("            rate *= stride\n", "")]),
        ("dilation-not-accumulated", [("rate *= stride", "rate = stride")]),
        ("dilation-added", [("rate *= stride", "rate += stride")]),
        ("repeats-strided", [("[(1, rate)]", "[(stride, rate)]")]),
        ("stride-inverted", [("1 if index == 0 else 2", "2 if index == 0 else 1")]),
        ("first-stage-strided", [("1 if index == 0 else 2", "2")]),
        ("stem-stride-forgotten", [("[], 4, 1", "[], 1, 1")]),
        ("stem-stride-forgotten", [("[], 4, 1", "[], 2, 1")]),
        (
            "off-by-one-stage",
            [("if reached * stride >", "if stride > 1 and reached * stride >=")],
        ),
        ("multi-grid-ignored", [("rate * f", "row[1]")]),
        ("multi-grid-replaces", [("rate * f", "f")]),
        ("multi-grid-on-old-dilation", [("rate * f", "row[1] * f")]),
        (
            "multi-grid-skips-first",
            [("        stages[-1] =", "        first = stages[-1][:1]\n        stages[-1] ="),
             ("    return stages", "        stages[-1][:1] = first\n    return stages")],
        ),
        (
            "multi-grid-accumulated",
            [("zip(stages[-1], multi_grid)", "zip(stages[-1], accumulate(multi_grid, mul))")],
        ),
        ("multi-grid-added", [("rate * f", "rate + f")]),
        (
            "accepts-wrong-length",
            [("if len(multi_grid) != blocks[-1]:", "if multi_grid is None:")],
        ),
        (
            "accepts-wrong-length",
            [("len(multi_grid) != blocks[-1]", "len(multi_grid) < blocks[-1]")],
        ),
        (
            "accepts-wrong-length",
            [("len(multi_grid) != blocks[-1]", "len(multi_grid) > blocks[-1]")],
        ),
        ("accepts-wrong-length", [("if multi_grid is not None:", "if multi_grid:")]),
        ("accepts-wrong-length", [("raise ValueError", "return ValueError")]),
        (
            "wrong-values",
            [("if multi_grid is not None:", "if multi_grid and max(multi_grid) > 1:")],
        ),
        (
            "wrong-values",
            [("[], 4, 1", "[], 4, 1; output_stride = max(output_stride, 8)")],
        ),
        ("raised-exception", [("stages, reached", "blocks = blocks[:4]; stages, reached")]),
        ("wrong-shape", [("return stages", "return [[(*r, 1) for r in rows] for rows in stages]")]),
        (
            "changes-arguments",
            [("    return stages", "    if multi_grid: multi_grid.clear()\n    return stages")],
        ),
        ("wrong-exception", [("raise ValueError", "raise IndexError")]),
        ("wrong-exception", [("raise ValueError(\"multi_grid\")", "assert False")]),
        ("wrong-order", [("return stages", "return [[r[::-1] for r in rows] for rows in stages]")]),
        ("wrong-shape", [(_ROWS, "[(1, rate)] * (n - 1)")]),
        ("wrong-shape", [("return stages", "return [row for rows in stages for row in rows]")]),
        ("wrong-dtype", [("rate *= stride", "rate *= stride / 3")]),
        ("wrong-type", [("    return stages", "    stages")]),
        ("raised-exception", [("    return stages", "    return stage")]),
        ("wrong-values", [("[], 4, 1", "[], 4, 2")]),
        ("changes-arguments", [("    return stages", "    blocks.pop(); return stages")]),
    ],
)  # fmt: skip
def test_wrong_plans(slug: str, changes: list[tuple[str, str]]) -> None:
    report = check("05.stage_plan", plan(*changes))
    assert [failure.name for failure in report.failures] == [slug], report


def test_enough_mistakes() -> None:
    named = {slug for slug, *_ in WRONG.values()}
    assert len(named & set(MISTAKES_OF["05.bottleneck"])) >= 20


def test_points_add_up() -> None:
    found = [exercise for exercise in exercises() if exercise.chapter == 5]
    assert [exercise.kind for exercise in found] == ["warm-up", "implement", "debug", "extend"]
    assert sum(exercise.points for exercise in found) == 10
