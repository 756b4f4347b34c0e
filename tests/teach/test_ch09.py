"""Chapter 09's exercises: right answers in several hands, wrong ones with the fitting slug."""

import time

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglib.heads import ASPP
from seglib.heads.aspp import ImagePooling
from seglib.teach import MISTAKES, check, exercises, parity
from seglib.teach.chapters import ch09, ch09_pooling, ch09_variants
from seglib.teach.receptive_field import receptive_field
from seglib.teach.tasks import MISTAKES_OF

BLOCK = """
def brick(c1, c2, kernel=1, rate=1):
    pad = rate * (kernel // 2)
    conv = nn.Conv2d(c1, c2, kernel, padding=pad, dilation=rate, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c2), nn.ReLU())


class Pyramid(nn.Module):
    def __init__(self, in_channels, rates, out_channels):
        super().__init__()
        self.one = brick(in_channels, out_channels)
        self.branches = nn.ModuleList(
            [brick(in_channels, out_channels, 3, rate) for rate in rates]
        )
        self.pool = brick(in_channels, out_channels)
        self.project = brick((len(rates) + 2) * out_channels, out_channels)

    def forward(self, x):
        vector = self.pool(F.adaptive_avg_pool2d(x, 1))
        vector = F.interpolate(vector, size=x.shape[2:], mode="bilinear")
        parts = [self.one(x)] + [branch(x) for branch in self.branches] + [vector]
        return self.project(torch.cat(parts, dim=1))
"""


def made(source: str, name: str, *changes: tuple[str, str]) -> type[nn.Module]:
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    space: dict[str, type[nn.Module]] = {"nn": nn, "F": F, "torch": torch}  # type: ignore[dict-item]
    exec(source, space)
    return space[name]


def aspp(*changes: tuple[str, str]) -> type[nn.Module]:
    return made(BLOCK, "Pyramid", *changes)


class PoolsFirst(nn.Module):
    """ASPP in another hand: pooling first, the rates backwards, 1×1 as matrices, own padding."""

    def __init__(self, cin: int, dilations: tuple[int, ...], cout: int) -> None:
        super().__init__()
        self.out = nn.Linear(cout * (2 + len(dilations)), cout, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(cout) for _ in range(3 + len(dilations))])
        self.square = nn.ModuleList([nn.Conv2d(cin, cout, 3, bias=False) for _ in dilations])
        self.vector, self.point = nn.Linear(cin, cout, bias=False), nn.Linear(cin, cout, bias=False)
        self.dilations = dilations

    def forward(self, x: Tensor) -> Tensor:
        n, (height, width) = len(x), x.shape[2:]
        v = self.norms[0](self.vector(x.mean((2, 3)))[:, :, None, None]).clamp(min=0)
        one = self.norms[1](self.point(x.movedim(1, -1)).movedim(-1, 1)).clamp(min=0)
        parts = [one]
        for conv, norm, d in zip(self.square, self.norms[3:], self.dilations, strict=True):
            conv.dilation = (d, d)
            parts.append(norm(conv(F.pad(x, (d, d, d, d)))).clamp(min=0))
        parts.append(v.repeat(1, 1, height, width))
        y = torch.hstack(parts)
        assert len(y) == n
        return self.norms[2](self.out(y.movedim(1, -1)).movedim(-1, 1)).clamp(min=0)


class Unrolled(nn.Module):
    """Rates first, then pooling, then 1×1; one list of everything; a buffer that is no weight."""

    def __init__(self, in_channels, rates, out_channels):  # type: ignore
        super().__init__()
        self.rates = list(rates)
        kernels = [3] * len(rates) + [1, 1]
        self.convs = nn.ModuleList(
            nn.Conv2d(in_channels, out_channels, k, padding="same", bias=False,
                      dilation=d) for k, d in zip(kernels, [*rates, 1, 1], strict=True)
        )  # fmt: skip
        self.norms = nn.ModuleList(nn.BatchNorm2d(out_channels) for _ in self.convs)
        self.last = nn.Conv2d(len(self.convs) * out_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x):  # type: ignore
        wide = [torch.relu(n(c(x))) for c, n in zip(self.convs[:-2], self.norms[:-2], strict=True)]
        pooled = x.flatten(2).mean(-1)[..., None, None]
        pooled = torch.relu(self.norms[-2](self.convs[-2](pooled))).expand(-1, -1, *x.shape[-2:])
        one = torch.relu(self.norms[-1](self.convs[-1](x)))
        return torch.relu(self.norm(self.last(torch.cat((one, *wide, pooled), 1))))


def factory(in_channels, rates, out_channels):  # type: ignore
    return aspp()(in_channels, rates, out_channels)


@pytest.mark.parametrize(
    "answer",
    [
        aspp(),
        aspp(("nn.ReLU()", "nn.ReLU(inplace=True)")),
        aspp(("size=x.shape[2:], mode=", "size=x.shape[2:], align_corners=True, mode=")),
        aspp(("F.interpolate(vector, size=x.shape[2:], mode='bilinear')".replace("'", '"'),
              "F.interpolate(vector, size=x.shape[2:])")),
        PoolsFirst,
        Unrolled,
        factory,
    ],
)  # fmt: skip
def test_right_pyramids(answer: object) -> None:
    report = check("09.aspp", answer)
    assert report.passed, report
    assert [stage for stage, _ in report.stages] == [
        "shape", "dtype", "parameter count", "values", "gradients", "train/eval",
    ]  # fmt: skip


_POOL = "vector = self.pool(F.adaptive_avg_pool2d(x, 1))"
_ENLARGE = '        vector = F.interpolate(vector, size=x.shape[2:], mode="bilinear")\n'
_PARTS = "[self.one(x)] + [branch(x) for branch in self.branches] + [vector]"
_TWO = "(len(rates) + 2) * out_channels"
_BRICK = "nn.Sequential(conv, nn.BatchNorm2d(c2), nn.ReLU())"
_BARE = "nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.ReLU())"
WRONG = {
    "no pooling": ("missing-pooling", (" + [vector]", ""), (_TWO, _TWO.replace("2", "1")),
                   ("        self.pool = brick(in_channels, out_channels)\n", ""),
                   (f"        {_POOL}\n", ""), (_ENLARGE, "")),
    "no 1×1": ("missing-1x1-branch", ("[self.one(x)] + ", ""), (_TWO, _TWO.replace("2", "1")),
               ("        self.one = brick(in_channels, out_channels)\n", "")),
    "3×3 at rate 1": ("3x3-instead-of-1x1", ("self.one = brick(in_channels, out_channels)",
                                             "self.one = brick(in_channels, out_channels, 3)")),
    "the paper's rates": ("rates-hard-coded", ("for rate in rates]", "for rate in (6, 12, 18)]"),
                          (_TWO, "5 * out_channels")),
    "five branches": ("branches-hard-coded", (_TWO, "5 * out_channels")),
    "rate forgotten": ("dilation-ignored", ("3, rate) for", "3) for")),
    "padding only": ("dilation-ignored", ("dilation=rate,", "")),
    "padding 1": ("padding-ignores-dilation", ("pad = rate *", "pad = 1 *")),
    "no padding": ("missing-padding", ("padding=pad, ", "")),
    "reflected": ("pads-with-wrong-value", ("padding=pad", "padding_mode='reflect', padding=pad")),
    "one too many": ("rates-changed", ("3, rate) for rate", "3, rate + 1) for rate")),
    "half the rates": ("rates-changed", ("3, rate) for rate", "3, max(1, rate // 2)) for rate")),
    "sorted": ("branches-in-other-order", ("for rate in rates]", "for rate in sorted(rates)]")),
    "reversed": ("branches-in-other-order", ("for rate in rates]", "for rate in rates[::-1]]")),
    "cascade": (
        "branches-in-series",
        ("[brick(in_channels, out_channels, 3, rate) for rate in rates]",
         "[brick(out_channels if i else in_channels, out_channels, 3, r)"
         " for i, r in enumerate(rates)]"),
        (f"        parts = {_PARTS}", "        parts, y = [self.one(x)], x\n"
         "        for branch in self.branches:\n            y = branch(y)\n"
         "            parts.append(y)\n        parts.append(vector)"),
    ),
    "one kernel": (
        "one-kernel-for-all-rates",
        ("[brick(in_channels, out_channels, 3, rate) for rate in rates]",
         "[brick(in_channels, out_channels, 3)]"),
        ("        self.one =", "        self.rates = rates\n        self.one ="),
        ("[branch(x) for branch in self.branches]", "[self.at(x, rate) for rate in self.rates]"),
        ("    def forward", "    def at(self, x, rate):\n        conv = self.branches[0][0]\n"
         "        conv.dilation = conv.padding = (rate, rate)\n"
         "        return self.branches[0](x)\n\n    def forward"),
    ),
    "depthwise": (
        "separable-instead-of-dense",
        ("    return nn.Sequential(conv,", "    if kernel == 3:\n        conv = nn.Sequential(\n"
         "            nn.Conv2d(c1, c1, 3, 1, pad, rate, c1, bias=False),\n"
         "            nn.Conv2d(c1, c2, 1, bias=False))\n    return nn.Sequential(conv,"),
    ),
    "added": ("sum-instead-of-concatenation", (_TWO, "out_channels"),
              ("torch.cat(parts, dim=1)", "sum(parts)")),
    "along the images": ("concatenated-along-wrong-axis", ("dim=1", "dim=0")),
    "along the width": ("concatenated-along-wrong-axis", ("dim=1", "dim=-1")),
    "pooling in front": ("branches-in-other-order", (_PARTS, "[vector, self.one(x)] + "
                                                     "[branch(x) for branch in self.branches]")),
    "1×1 last": ("branches-in-other-order",
                 (_PARTS, "[branch(x) for branch in self.branches] + [self.one(x), vector]")),
    "rates backwards": ("branches-in-other-order", ("parts = ", "parts = self.turn("),
                        ("+ [vector]", "+ [vector])"),
                        ("    def forward", "    def turn(self, parts):\n"
                         "        return parts[:1] + parts[-2:0:-1] + parts[-1:]\n\n"
                         "    def forward")),
    "maximum": ("maximum-instead-of-mean", ("adaptive_avg_pool2d", "adaptive_max_pool2d")),
    "sum": ("sum-instead-of-mean", ("F.adaptive_avg_pool2d(x, 1)", "x.sum((2, 3), keepdim=True)")),
    "no pooling convolution": ("pooling-without-convolution",
                               ("self.pool(F.adaptive_avg_pool2d(x, 1))",
                                "F.adaptive_avg_pool2d(x, 1)"),
                               ("        self.pool = brick(in_channels, out_channels)\n", ""),
                               (_TWO, "(len(rates) + 1) * out_channels + in_channels")),
    "not enlarged": ("pooling-not-enlarged", (_ENLARGE, "")),
    "square": ("pooling-of-wrong-size", ("size=x.shape[2:]", "size=x.shape[2]")),
    "size typed in": ("pooling-of-wrong-size", ("size=x.shape[2:]", "size=(33, 33)")),
    "one axis": ("averages-one-axis",
                 ("F.adaptive_avg_pool2d(x, 1)", "x.mean(dim=2, keepdim=True)")),
    "over images": ("mixes-images", ("F.adaptive_avg_pool2d(x, 1)",
                    "x.mean((0, 2, 3), keepdim=True).expand(len(x), -1, -1, -1)")),
    "group norm": ("other-norm", ("nn.BatchNorm2d(c2)", "nn.GroupNorm(1, c2)")),
    "gelu": ("other-activation", ("nn.ReLU()", "nn.GELU()")),
    "enlarged first": ("enlarged-before-the-norm", (_POOL, "vector = F.adaptive_avg_pool2d(x, 1)"),
                       (_ENLARGE, _ENLARGE + "        vector = self.pool(vector)\n")),
    "pooling without norm": ("pooling-without-norm",
                             ("self.pool = brick(in_channels, out_channels)",
                              f"self.pool = {_BARE}")),
    "pooling with bias": ("pooling-without-norm",
                          ("self.pool = brick(in_channels, out_channels)",
                           "self.pool = " + _BARE.replace(", bias=False", ""))),
    "one norm": ("norm-after-concatenation", (_BRICK, "conv"),
                 ("self.project(torch.cat(parts, dim=1))",
                  "self.end(self.project(F.relu(self.norm(torch.cat(parts, dim=1)))))"),
                 ("        self.one =", f"        self.norm = nn.BatchNorm2d({_TWO})\n"
                  "        self.end = nn.Sequential(nn.BatchNorm2d(out_channels), nn.ReLU())\n"
                  "        self.one =")),
    "no projection": ("missing-projection",
                      ("self.project(torch.cat(parts, dim=1))", "torch.cat(parts, dim=1)")),
    "wide projection": ("3x3-projection", (f"{_TWO}, out_channels)", f"{_TWO}, out_channels, 3)")),
    "no norms": ("missing-batchnorm", (" nn.BatchNorm2d(c2),", "")),
    "no norm behind the projection": (
        "missing-batchnorm",
        (f"brick({_TWO}, out_channels)",
         f"nn.Sequential(nn.Conv2d({_TWO}, out_channels, 1, bias=False), nn.ReLU())")),
    "biases": ("conv-bias", (", bias=False", "")),
    "linear": ("missing-activation", (", nn.ReLU())", ")")),
    "linear end": ("missing-activation", (f"brick({_TWO}, out_channels)",
                                          f"brick({_TWO}, out_channels)[:2]")),
    "linear branches": ("missing-activation", ("3, rate) for", "3, rate)[:2] for"),
                        ("self.one = brick(in_channels, out_channels)",
                         "self.one = brick(in_channels, out_channels)[:2]")),
    "relu6": ("other-activation", ("nn.ReLU()", "nn.ReLU6()")),
    "eps": ("other-batchnorm-settings", ("nn.BatchNorm2d(c2)", "nn.BatchNorm2d(c2, eps=1e-3)")),
    "dropout": ("has-dropout", ("return self.project(torch.cat(parts, dim=1))",
                                "return F.dropout(self.project(torch.cat(parts, dim=1)), 0.1,"
                                " self.training)")),
    "no running statistics": ("ignores-eval-mode", ("    def forward",
        "    def train(self, mode=True):\n        return super().train(True)\n\n    def forward")),
    "always evaluates": ("ignores-train-mode", ("    def forward",
        "    def train(self, mode=True):\n        return super().train(False)\n\n    def forward")),
    "detached": ("wrong-gradients", (_POOL, "vector = self.pool(F.adaptive_avg_pool2d(x, 1))"
                                     ".detach()")),
    "scaled": ("wrong-values", ("branch(x) for", "2 * branch(x) for")),
    "5×5": ("wrong-parameter-count", ("out_channels, 3, rate)", "out_channels, 5, rate)")),
    "typo": ("raised-exception", ("self.one(x)", "self.first(x)")),
    "no return": ("wrong-type", ("return self.project", "self.project")),
    "other arguments": ("wrong-signature", ("in_channels, rates, out_channels):",
                                            "in_channels, out_channels, *, dilations):")),
    "relu on the map": ("modifies-input", ("self.one(x)", "self.one(x.relu_())")),
    "one rate less": ("rates-changed", ("3, rate) for", "3, max(1, rate - 1)) for")),
    "one rate for all": ("rates-changed", ("3, rate) for", "3, rates[0]) for")),
    "no duplicates": ("wrong-parameter-count",
                      ("for rate in rates]", "for rate in rates[:3]]"),
                      ("(len(rates) + 2)", "(min(3, len(rates)) + 2)")),
    "holes in one direction": ("wrong-values", ("dilation=rate", "dilation=(rate, 1)"),
                               ("padding=pad", "padding=(pad, kernel // 2)")),
    "3×3 behind the pooling": ("3x3-instead-of-1x1",
                               ("self.pool = brick(in_channels, out_channels)",
                                "self.pool = brick(in_channels, out_channels, 3)")),
    "instance norm": ("other-norm", ("nn.BatchNorm2d(c2)", "nn.InstanceNorm2d(c2, affine=True)")),
    "dropout in eval mode": ("has-dropout", (
        "return self.project(torch.cat(parts, dim=1))",
        "return F.dropout(self.project(torch.cat(parts, dim=1)), 0.1)")),
    "relu before the norm": ("wrong-values", (_BRICK,
                             "nn.Sequential(conv, nn.ReLU(), nn.BatchNorm2d(c2))")),
    "pools the result": ("wrong-values",
                         (_POOL, "vector = F.adaptive_avg_pool2d(self.pool(x), 1)")),
    "mean of the branches": ("sum-instead-of-concatenation", (_TWO, "out_channels"),
                             ("torch.cat(parts, dim=1)", "sum(parts) / len(parts)")),
    "remembers the size": ("size-remembered", (
        _ENLARGE, "        self.size = getattr(self, 'size', x.shape[2:])\n"
        + _ENLARGE.replace("x.shape[2:]", "self.size"))),
    "one image, no pooling": ("one-image-differs",
                              (_ENLARGE, _ENLARGE + "        vector = vector * (len(x) > 1)\n")),
    "in place": ("modifies-input", ("        vector = self.pool(",
                                    "        y = x.mul_(1.0).clone()\n        x += 1; x -= 1\n"
                                    "        x.clamp_(min=-1e9).add_(1e-3).sub_(0)\n"
                                    "        x = y\n        vector = self.pool(")),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_pyramids(wrong: str) -> None:
    slug, *changes = WRONG[wrong]
    report = check("09.aspp", aspp(*changes))
    assert report.attempted
    assert [failure.name for failure in report.failures] == [slug], report


def test_every_mistake_of_the_pyramid_is_tried() -> None:
    assert set(MISTAKES_OF["09.aspp"]) <= {slug for slug, *_ in WRONG.values()}


def test_a_mistake_in_another_hand() -> None:
    class Late(Unrolled):
        def forward(self, x):  # type: ignore
            return super().forward(x.roll(1, dims=3))

    class Backwards(PoolsFirst):
        """Its channels are right, but the pooled vector is the maximum."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) - 1

    for answer in (Late, Backwards):
        report = check("09.aspp", answer)
        assert [failure.name for failure in report.failures] == ["wrong-values"], report
    source = BLOCK.replace("        parts =", "        one = self.one(x)\n        parts =")
    report = check("09.aspp", made(source, "Pyramid", ("[self.one(x)]", "[vector, one]"),
                                   ("self.branches] + [vector]", "self.branches]")))  # fmt: skip
    assert [failure.name for failure in report.failures] == ["branches-in-other-order"]


@pytest.mark.parametrize("order", ch09_variants.ORDERS)
def test_the_right_recipe_is_the_librarys(order: ch09_variants.Order) -> None:
    ours = ch09_variants.FlawedASPP(ch09_variants.Recipe(), order, 5, (2, 3), 4)
    report = parity(ours, ASPP(5, (2, 3), 4, dropout=0.0), (3, 5, 9, 11))
    assert report.passed
    pooling = ch09_pooling.FlawedPooling(ch09_pooling.PoolRecipe(), 5, 4)
    assert parity(pooling, ImagePooling(5, 4), (3, 5, 9, 11)).passed


def test_every_recipe_has_a_hint() -> None:
    assert {slug for slug, _ in ch09_variants.RECIPES} <= set(MISTAKES_OF["09.aspp"])
    assert {slug for slug, _ in ch09_pooling.POOL_RECIPES} <= set(MISTAKES_OF["09.pooling"])
    assert set(ch09._FIELD_MISTAKES.values()) <= set(MISTAKES_OF["09.receptive_field"])


# Image pooling.

POOLING = """
class Pooling(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        y = self.pool(x)
        y = F.relu(self.norm(self.conv(y)))
        return F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=True)
"""
_RESIZE = 'F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=True)'


def pooling(*changes: tuple[str, str]) -> type[nn.Module]:
    return made(POOLING, "Pooling", *changes)


@pytest.mark.parametrize(
    "answer",
    [
        pooling(),
        pooling((_RESIZE, "y.expand(-1, -1, *x.shape[2:])")),
        pooling((_RESIZE, "y.repeat(1, 1, x.size(2), x.size(3))")),
        pooling((_RESIZE, "F.interpolate(y, size=x.shape[2:])")),
        pooling(("self.pool(x)", "x.mean(dim=(2, 3), keepdim=True)")),
        pooling(("self.pool(x)", "F.avg_pool2d(x, kernel_size=x.shape[2:])")),
        pooling(("        y = self.pool", "        if self.training and len(x) == 1:\n"
                 "            raise ValueError('one image')\n        y = self.pool")),
    ],
)  # fmt: skip
def test_right_poolings(answer: object) -> None:
    report = check("09.pooling", answer)
    assert report.passed, report


_BATCH_1 = (
    "        if len(x) == 1 and self.training:\n            y = {}\n        else:\n            y = "
)
_NORM_LINE = "        y = F.relu(self.norm(self.conv(y)))"
WRONG_POOLINGS = {
    "as found": ("size-hard-coded", ("nn.AdaptiveAvgPool2d(1)", "nn.AvgPool2d(33)"),
                 ("size=x.shape[2:]", "size=(33, 33)")),
    "size as found": ("size-hard-coded", ("size=x.shape[2:]", "size=(33, 33)")),
    "window as found": ("window-hard-coded", ("nn.AdaptiveAvgPool2d(1)", "nn.AvgPool2d(33)")),
    "square": ("assumes-a-square", ("size=x.shape[2:]", "size=x.shape[2]")),
    "square by the width": ("assumes-a-square", ("size=x.shape[2:]", "size=(x.size(-1),) * 2")),
    "square window": ("assumes-a-square",
                      ("self.pool(x)", "F.avg_pool2d(x, x.shape[3])[:, :, :1, :1]")),
    "square window and size": ("assumes-a-square",
                               ("self.pool(x)", "F.avg_pool2d(x, kernel_size=x.shape[-1])"),
                               ("size=x.shape[2:]", "size=x.shape[-1]")),
    "stops by itself": (
        "other-exception-at-batch-1",
        ("        y = self.pool", "        assert len(x) > 1 or not self.training\n"
         "        y = self.pool"),
    ),
    "swapped": ("sides-swapped", ("size=x.shape[2:]", "size=(x.size(3), x.size(2))")),
    "not enlarged": ("not-enlarged", (_RESIZE, "y")),
    "grid": ("pools-to-a-grid", ("AdaptiveAvgPool2d(1)", "AdaptiveAvgPool2d(33)")),
    "columns": ("averages-one-axis", ("self.pool(x)", "x.mean(dim=2, keepdim=True)")),
    "rows": ("averages-one-axis", ("self.pool(x)", "x.mean(dim=-1, keepdim=True)")),
    "window or less": ("window-hard-coded",
                       ("self.pool(x)", "F.avg_pool2d(x, [min(33, n) for n in x.shape[2:]])")),
    "cut to the window": ("window-hard-coded",
                          ("self.pool(x)", "x[..., :33, :33].mean((2, 3), keepdim=True)")),
    "window of the shorter side": ("assumes-a-square",
                                   ("self.pool(x)", "F.avg_pool2d(x, min(x.shape[2:]))")),
    "four cells": ("pools-to-a-grid", ("AdaptiveAvgPool2d(1)", "AdaptiveAvgPool2d(2)")),
    "norm not called": ("norm-removed", ("self.norm(self.conv(y))", "self.conv(y)")),
    "no single image": ("refuses-one-image", (
        "        y = self.pool", "        if len(x) == 1:\n            raise ValueError('one')\n"
        "        y = self.pool")),
    "remembers the size": ("size-remembered", (
        "        y = self.pool", "        self.size = getattr(self, 'size', x.shape[2:])\n"
        "        y = self.pool"), ("size=x.shape[2:]", "size=self.size")),
    "runtime error": ("other-exception-at-batch-1", (
        "        y = self.pool", "        if len(x) == 1 and self.training:\n"
        "            raise RuntimeError('one')\n        y = self.pool")),
    "eval mode at batch 1": ("guesses-at-batch-1", (
        "        y = self.pool", "        self.norm.train(self.training and len(x) > 1)\n"
        "        y = self.pool")),
    "median": ("wrong-values", ("self.pool(x)", "x.flatten(2).median(2)[0][..., None, None]")),
    "sum over the old size": ("wrong-values",
                              ("self.pool(x)", "x.sum((2, 3), keepdim=True) / 33**2")),
    "over images": ("mixes-images",
                    ("self.pool(x)", "x.mean((0, 2, 3), keepdim=True).expand(len(x), -1, -1, -1)")),
    "maximum": ("maximum-instead-of-mean", ("AdaptiveAvgPool2d", "AdaptiveMaxPool2d")),
    "sum": ("sum-instead-of-mean", ("self.pool(x)", "x.sum((2, 3), keepdim=True)")),
    "no norm": ("norm-removed", ("self.norm(self.conv(y))", "self.conv(y)"),
                ("        self.norm = nn.BatchNorm2d(out_channels)\n", "")),
    "a bias in its place": ("norm-removed", ("self.norm(self.conv(y))", "self.conv(y)"),
                            ("        self.norm = nn.BatchNorm2d(out_channels)\n", ""),
                            (", bias=False", "")),
    "group norm": ("other-norm", ("nn.BatchNorm2d(out_channels)", "nn.GroupNorm(1, out_channels)")),
    "norm skipped": (
        "guesses-at-batch-1",
        (_NORM_LINE, "        y = self.conv(y)\n"
         "        y = F.relu(y if len(x) < 2 else self.norm(y))"),
    ),
    "running statistics": (
        "guesses-at-batch-1",
        (_NORM_LINE, "        if len(x) == 1:\n            n = self.norm\n"
         "            y = F.relu(F.batch_norm(self.conv(y), n.running_mean, n.running_var, "
         "n.weight, n.bias))\n        else:\n    " + _NORM_LINE),
    ),
    "doubled image": (
        "guesses-at-batch-1",
        (_NORM_LINE, "        n = len(y)\n        y = torch.cat([y, y])[:max(n, 2)]\n"
         + _NORM_LINE + "[:n]"),
    ),
    "enlarged first": ("enlarged-before-the-norm", ("self.pool(x)", "self.pool(x).expand_as(x)")),
    "linear": ("missing-activation", ("F.relu(self.norm(self.conv(y)))",
                                      "self.norm(self.conv(y))")),
    "bias": ("conv-bias", (", bias=False", "")),
    "no running statistics": ("ignores-eval-mode", ("    def forward",
        "    def train(self, mode=True):\n        return super().train(True)\n\n    def forward")),
    "always evaluates": ("ignores-train-mode", ("    def forward",
        "    def train(self, mode=True):\n        return super().train(False)\n\n    def forward")),
    "typo": ("raised-exception", ("self.conv(y)", "self.convolution(y)")),
    "half precision": ("wrong-dtype", ("y = self.pool(x)", "y = self.pool(x).float()"),
                       ("self.conv(y)", "self.conv(y.to(self.conv.weight.dtype)).float()"),
                       ("self.norm(self", "self.norm.float()(self")),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_POOLINGS)
def test_wrong_poolings(wrong: str) -> None:
    slug, *changes = WRONG_POOLINGS[wrong]
    report = check("09.pooling", pooling(*changes))
    assert report.attempted
    assert [failure.name for failure in report.failures] == [slug], report


def test_every_mistake_of_pooling_is_tried() -> None:
    assert set(MISTAKES_OF["09.pooling"]) <= {slug for slug, *_ in WRONG_POOLINGS.values()}


# The warm-up.

RIGHT_NUMBERS = {
    "parameters": 677376,
    "span": 25,
    "taps_at_corner": 4,
    "taps_at_centre": 1,
}


def test_prediction() -> None:
    assert check("09.predict", RIGHT_NUMBERS).passed
    assert check("09.predict", list(RIGHT_NUMBERS.values())).passed
    dense = 160 * 128 * (1 + 3 * 9 + 1) + 5 * 128 * 128
    assert RIGHT_NUMBERS["parameters"] == dense + 6 * 2 * 128


@pytest.mark.parametrize(
    "changes, slug",
    [
        ({"parameters": 677376 - 6 * 256}, "forgot-batchnorm"),
        ({"parameters": 677376 - 256}, "forgot-batchnorm"),
        ({"parameters": 677376 + 6 * 128}, "bias-counted"),
        ({"parameters": 677376 + 6 * 256}, "buffers-counted"),
        ({"parameters": 160 * 128 * 28 + 4 * 128 * 128 + 5 * 256}, "branch-forgotten"),
        ({"parameters": 160 * 128 * 28 + 5 * 128 * 128 + 5 * 256}, "pooling-counted-free"),
        ({"parameters": 160 * 128 * 29 + 5 * 256}, "projection-forgotten"),
        ({"parameters": 160 * 128 * 29 + 128 * 128 + 6 * 256}, "sum-instead-of-concatenation"),
        ({"parameters": 160 * 128 * (2 + 9**2 + 17**2 + 25**2) + 640 * 128 + 6 * 256},
         "holes-counted-as-weights"),
        ({"parameters": 677376 + 6 * 257}, "buffers-counted"),
        ({"parameters": 677376 - 128 * 128}, "branch-forgotten"),
        ({"parameters": 677376 - 9 * 160 * 128 - 256 - 128 * 128}, "branch-forgotten"),
        ({"parameters": 1_000_000}, "wrong-values"),
        ({"span": 21}, "wrong-values"),
        ({"span": 12}, "one-side-only"),
        ({"taps_at_corner": 6}, "wrong-values"),
        ({"span": True}, "wrong-dtype"),
        ({"span": 24}, "one-pixel-short"),
        ({"span": 13}, "one-side-only"),
        ({"span": 36}, "kernel-times-rate"),
        ({"span": 23}, "rate-is-no-gap"),
        ({"span": 3}, "holes-not-spanned"),
        ({"taps_at_corner": 9}, "padding-counted"),
        ({"taps_at_corner": 1}, "edge-taken-for-centre"),
        ({"taps_at_corner": 3}, "diagonal-forgotten"),
        ({"taps_at_centre": 9}, "padding-counted"),
        ({"taps_at_centre": 4, "taps_at_corner": 1}, "edge-taken-for-centre"),
        ({"taps_at_centre": 5}, "diagonal-forgotten"),
        ({"taps_at_centre": 0}, "own-tap-forgotten"),
        ({"taps_at_centre": "one"}, "wrong-dtype"),
        ({"span": None}, "missing-value"),
    ],
)  # fmt: skip
def test_wrong_prediction(changes: dict[str, object], slug: str) -> None:
    report = check("09.predict", {**RIGHT_NUMBERS, **changes})
    assert [failure.name for failure in report.failures] == [slug], report


# The receptive field.

FIELD = """
def field(layers):
    size, jump = 1, 1
    for kernel, stride, dilation in layers:
        size += dilation * (kernel - 1) * jump
        jump *= stride
    return size, jump
"""


def chain(*changes: tuple[str, str]) -> object:
    return made(FIELD, "field", *changes)


def backwards(layers):  # type: ignore
    """Another hand: from the last layer to the image."""
    size, stride = 1, 1
    for k, s, d in reversed(layers):
        size = (size - 1) * s + d * (k - 1) + 1
        stride = stride * s
    return [size, stride]


def by_pixels(layers):  # type: ignore
    """A third: follow the leftmost and the rightmost pixel that is seen."""
    left = right = 0
    for k, s, d in layers[::-1]:
        left, right = left * s, right * s + (k - 1) * d
    total = 1
    for _, s, _ in layers:
        total *= s
    return torch.tensor(right - left + 1), float(total)


def arrays(layers):  # type: ignore
    return np.array(backwards(layers))


@pytest.mark.parametrize("answer", [chain(), backwards, by_pixels, arrays, receptive_field])
def test_right_fields(answer: object) -> None:
    report = check("09.receptive_field", answer)
    assert report.passed == (answer is not receptive_field), report
    if answer is receptive_field:
        assert [failure.name for failure in report.failures] == ["not-your-own"]


@pytest.mark.parametrize(
    "slug, changes",
    [
        ("dilation-forgotten", [("dilation * (kernel - 1)", "(kernel - 1)")]),
        ("dilation-added", [("dilation * (kernel - 1)", "(dilation + kernel - 2)")]),
        ("dilation-added", [("dilation * (kernel - 1)", "(dilation + kernel - 1)")]),
        ("dilation-in-stride", [("jump *= stride", "jump *= stride * dilation")]),
        ("strides-forgotten", [(" * jump", "")]),
        ("strides-forgotten", [("(kernel - 1) * jump", "(kernel - 1) * stride")]),
        ("own-stride-counted", [("        jump *= stride\n", ""),
                                ("        size +=", "        jump *= stride\n        size +=")]),
        ("last-stride-only", [("jump *= stride", "jump = stride")]),
        ("strides-added", [("jump *= stride", "jump += stride")]),
        ("strides-added", [("jump *= stride", "jump += stride - 1")]),
        ("starts-at-zero", [("= 1, 1", "= 0, 1")]),
        ("kernel-counted-whole", [("(kernel - 1)", "kernel")]),
        ("kernel-counted-whole", [("dilation * (kernel - 1)", "(dilation * (kernel - 1) + 1)")]),
        ("half-a-kernel", [("(kernel - 1)", "(kernel - 1) // 2")]),
        ("sizes-multiplied", [("size += dilation * (kernel - 1) * jump", "size *= kernel")]),
        ("sizes-multiplied", [("size += dilation * (kernel - 1) * jump",
                               "size *= dilation * (kernel - 1) + 1")]),
        ("last-layer-first", [("in layers", "in reversed(layers)")]),
        ("last-layer-forgotten", [("in layers", "in layers[:-1]")]),
        ("first-layer-forgotten", [("in layers", "in layers[1:]")]),
        ("no-layers", [("    size, jump = 1, 1", "    if not layers:\n        return 0, 1\n"
                        "    size, jump = 1, 1")]),
        ("no-layers", [("    size, jump = 1, 1", "    layers[0]\n    size, jump = 1, 1")]),
        ("no-layers", [("    size, jump = 1, 1", "    if not layers:\n        return None\n"
                        "    size, jump = 1, 1")]),
        ("no-layers", [("return size, jump", "return (size, jump) if layers else []")]),
        ("raised-exception", [("in layers:", "in [*layers, layers[0][3]][:-1]:")]),
        ("half-a-kernel", [("return size, jump", "return 1 + (size - 1) // 2, jump")]),
        ("wrong-values", [("dilation * (kernel - 1)", "(dilation * kernel - 1)")]),
        ("wrong-values", [("(kernel - 1)", "2")]),
        ("wrong-stride", [("return size, jump", "return size, max(s for _, s, _ in layers or "
                           "[(1, 1, 1)])")]),
        ("changes-layers", [("in layers", "in [layers.pop(0) for _ in range(len(layers))]")]),
        ("wrong-shape", [("return size, jump", "return dict(size=size, stride=jump)")]),
        ("wrong-stride", [("return size, jump", "return size, jump * 2 if layers else 1")]),
        ("wrong-order", [("return size, jump", "return jump, size")]),
        ("changes-layers", [("    return", "    layers.clear()\n    return")]),
        ("wrong-shape", [("return size, jump", "return size,")]),
        ("wrong-shape", [("return size, jump", "return size")]),
        ("wrong-type", [("    return size, jump", "    size, jump")]),
        ("wrong-dtype", [("return size, jump", "return size / 3, jump")]),
        ("wrong-values", [("size += ", "size += 3 + ")]),
    ],
)  # fmt: skip
def test_wrong_fields(slug: str, changes: list[tuple[str, str]]) -> None:
    report = check("09.receptive_field", chain(*changes))
    assert [failure.name for failure in report.failures] == [slug], report


def test_field_is_the_librarys() -> None:
    for layers in ch09._questions():
        assert ch09.field(layers) == receptive_field(layers)


def test_every_mistake_is_known() -> None:
    for task in ch09.TASKS:
        assert set(task.mistakes) <= set(MISTAKES)


def test_points_add_up() -> None:
    assert sum(exercise.points for exercise in exercises() if exercise.chapter == 9) == 10


def test_checks_are_quick() -> None:
    answers = {"09.predict": RIGHT_NUMBERS, "09.aspp": aspp(), "09.pooling": pooling(),
               "09.receptive_field": backwards}  # fmt: skip
    start = time.process_time()
    for name, answer in answers.items():
        assert check(name, answer).passed
    assert time.process_time() - start < 4
