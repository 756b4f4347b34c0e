"""Chapter 08's exercises: right answers in several hands, wrong ones with the fitting slug."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork

from seglib.heads import FPN, FPNHead
from seglib.teach import MISTAKES, check, exercises
from seglib.teach.chapters import ch08, ch08_plan, ch08_variants
from seglib.teach.probing import same
from seglib.teach.tasks import MISTAKES_OF, STAGES

PYRAMID = """
class Pyramid(nn.Module):
    def __init__(self, in_channels_list, out_channels):
        super().__init__()
        self.lateral = nn.ModuleList()
        self.smooth = nn.ModuleList()
        for channels in in_channels_list:
            self.lateral.append(nn.Conv2d(channels, out_channels, 1))
            self.smooth.append(nn.Conv2d(out_channels, out_channels, 3, padding=1))

    def forward(self, features):
        total = self.lateral[-1](features[-1])
        results = [self.smooth[-1](total)]
        for level in range(len(features) - 2, -1, -1):
            side = self.lateral[level](features[level])
            above = F.interpolate(total, size=side.shape[-2:], mode="nearest")
            total = side + above
            results.insert(0, self.smooth[level](total))
        return results
"""


def pyramid(*changes: tuple[str, str]) -> type[nn.Module]:
    source = PYRAMID
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    space: dict[str, type[nn.Module]] = {}
    exec(source, {"nn": nn, "F": F, "torch": torch, "OrderedDict": OrderedDict}, space)
    return space["Pyramid"]


class Recursive(nn.Module):
    """Another hand: one level, and the rest of the pyramid inside; smoothing made first."""

    def __init__(self, channels_of_maps: list[int], width: int) -> None:
        super().__init__()
        self.out = nn.Conv2d(width, width, (3, 3), padding="same")
        self.rest = Recursive(channels_of_maps[1:], width) if channels_of_maps[1:] else None
        self.side = nn.Conv2d(channels_of_maps[0], width, (1, 1))

    def sums(self, maps: list[Tensor]) -> list[Tensor]:
        here = self.side(maps[0])
        if self.rest is None:
            return [here]
        below = self.rest.sums(maps[1:])
        return [here + F.interpolate(below[0], here.shape[2:]), *below]

    def smooth(self, sums: list[Tensor]) -> list[Tensor]:
        rest = [] if self.rest is None else self.rest.smooth(sums[1:])
        return [self.out(sums[0]), *rest]

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, ...]:
        return tuple(self.smooth(self.sums(list(maps))))


class ByIndex(nn.Module):
    """No interpolate: rows and columns picked by index; 1×1 as matrices, 3×3 from padded parts."""

    def __init__(self, in_channels_list, out_channels):  # type: ignore
        super().__init__()
        self.mix = nn.ModuleList([nn.Linear(c, out_channels) for c in in_channels_list])
        self.blur = nn.ModuleList(
            [nn.Conv2d(out_channels, out_channels, 3) for _ in in_channels_list]
        )

    def forward(self, features):  # type: ignore
        results, carried = [], None
        for x, mix, blur in zip(features[::-1], self.mix[::-1], self.blur[::-1], strict=True):
            here = mix(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            if carried is not None:
                rows = torch.arange(here.shape[2]) * carried.shape[2] // here.shape[2]
                columns = torch.arange(here.shape[3]) * carried.shape[3] // here.shape[3]
                here += carried[:, :, rows][:, :, :, columns]
            carried = here
            results.append(blur(F.pad(here, (1, 1, 1, 1))))
        return results[::-1]


class Functional(nn.Module):
    """All parameters in lists of their own."""

    def __init__(self, in_channels_list, out_channels):  # type: ignore
        super().__init__()
        c = out_channels

        def make(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape) / 9)

        self.w1 = nn.ParameterList([make(c, i, 1, 1) for i in in_channels_list])
        self.w3 = nn.ParameterList([make(c, c, 3, 3) for _ in in_channels_list])
        self.b1 = nn.ParameterList([make(c) for _ in in_channels_list])
        self.b3 = nn.ParameterList([make(c) for _ in in_channels_list])

    def forward(self, features):  # type: ignore
        sums = [F.conv2d(x, w, b) for x, w, b in zip(features, self.w1, self.b1, strict=True)]
        for i in reversed(range(len(sums) - 1)):
            sums[i] = sums[i] + F.interpolate(sums[i + 1], sums[i].shape[-2:])
        smoothed = zip(sums, self.w3, self.b3, strict=True)
        return [F.conv2d(x, w, b, padding=1) for x, w, b in smoothed]


def factory(in_channels_list, out_channels):  # type: ignore
    return pyramid()(in_channels_list, out_channels)


@pytest.mark.parametrize("exercise", ["08.fpn", "08.odd_sizes"])
@pytest.mark.parametrize(
    "answer",
    [
        pyramid(),
        pyramid((', mode="nearest"', "")),
        pyramid(("side + above", "above.add_(side)")),
        pyramid(("return results", "return tuple(results)")),
        Recursive,
        ByIndex,
        Functional,
        factory,
    ],
)
def test_right_pyramids(exercise: str, answer: object) -> None:
    report = check(exercise, answer)
    assert report.passed, report
    assert [stage for stage, _ in report.stages] == list(STAGES)


_SIZE = 'size=side.shape[-2:], mode="nearest"'
_SMOOTH = "self.smooth.append(nn.Conv2d(out_channels, out_channels, 3, padding=1))"
_COPIED = "F.pad(total, [1] * 4, mode='replicate')"
WRONG = {
    "carries the smoothed": (
        "merged-after-smoothing",
        (
            "results.insert(0, self.smooth[level](total))",
            "total = self.smooth[level](total); results.insert(0, total)",
        ),
        (
            "results = [self.smooth[-1](total)]",
            "total = self.smooth[-1](total); results = [total]",
        ),
    ),
    "adds after smoothing": (
        "merged-after-smoothing",
        ("total = side + above", "total = self.smooth[level](side) + above"),
        ("self.smooth[level](total))", "total)"),
        (
            "results = [self.smooth[-1](total)]",
            "total = self.smooth[-1](total); results = [total]",
        ),
    ),
    "only one level down": (
        "sum-not-carried",
        ("total = side + above\n", "merged = side + above\n            total = side\n"),
        ("self.smooth[level](total)", "self.smooth[level](merged)"),
    ),
    "always the coarsest": (
        "sum-not-carried",
        ("total = side + above", "merged = side + above"),
        ("self.smooth[level](total)", "self.smooth[level](merged)"),
    ),
    "bilinear": ("bilinear-instead-of-nearest", ('"nearest"', '"bilinear"')),
    "bilinear, corners": (
        "bilinear-instead-of-nearest",
        ('"nearest"', '"bilinear", align_corners=True'),
    ),
    "nearest-exact": ("other-nearest", ('"nearest"', '"nearest-exact"')),
    "factor 2": ("fixed-factor", (_SIZE, "scale_factor=2")),
    "factor 2, cropped": (
        "fixed-factor",
        (_SIZE, "scale_factor=2"),
        ("side + above", "side + above[..., : side.shape[-2], : side.shape[-1]]"),
    ),
    "repeated, cropped": (
        "fixed-factor",
        (
            f"F.interpolate(total, {_SIZE})",
            "total.repeat_interleave(2, 2).repeat_interleave(2, 3)"
            "[..., : side.shape[-2], : side.shape[-1]]",
        ),
    ),
    "upsample layer": (
        "fixed-factor",
        (f"F.interpolate(total, {_SIZE})", "nn.Upsample(scale_factor=2)(total)"),
    ),
    "no top-down": ("missing-top-down", ("side + above", "side")),
    "no lateral": ("missing-lateral", ("side + above", "above")),
    "upwards": (
        "wrong-direction",
        ("total = self.lateral[-1](features[-1])", "total = self.lateral[0](features[0])"),
        ("[self.smooth[-1](total)]", "[self.smooth[0](total)]"),
        ("range(len(features) - 2, -1, -1)", "range(1, len(features))"),
        ("results.insert(0, self", "results.append(self"),
    ),
    "not smoothed": (
        "missing-smoothing",
        (f"            {_SMOOTH}\n", ""),
        ("self.smooth[-1](total)", "total"),
        ("self.smooth[level](total)", "total"),
    ),
    "one smoothing for all": (
        "shared-smoothing",
        (f"            {_SMOOTH}\n", f"        {_SMOOTH}\n"),
        ("self.smooth[level](total)", "self.smooth[0](total)"),
    ),
    "coarsest not smoothed": (
        "last-level-not-smoothed",
        ("for channels in in_channels_list:", "for channels in in_channels_list[:-1]:"),
        (
            "    def forward",
            "        self.lateral.append(nn.Conv2d(in_channels_list[-1], out_channels, 1))\n\n"
            "    def forward",
        ),
        ("[self.smooth[-1](total)]", "[total]"),
    ),
    "only the finest smoothed": (
        "only-finest-smoothed",
        (f"            {_SMOOTH}\n", f"        {_SMOOTH}\n"),
        ("[self.smooth[-1](total)]", "[total if len(features) > 1 else self.smooth[0](total)]"),
        ("self.smooth[level](total)", "total if level else self.smooth[0](total)"),
    ),
    "reflected border": (
        "pads-with-wrong-value",
        ("3, padding=1", "3, padding=1, padding_mode='reflect'"),
    ),
    "copied border": (
        "pads-with-wrong-value",
        ("3, padding=1)", "3)"),
        ("[self.smooth[-1](total)]", f"[self.smooth[-1]({_COPIED})]"),
        ("self.smooth[level](total)", f"self.smooth[level]({_COPIED})"),
    ),
    "factor 2, padded": (
        "fixed-factor",
        (
            f"F.interpolate(total, {_SIZE})",
            "F.pad(F.interpolate(total, scale_factor=2), (0, side.shape[3] - 2 * total.shape[3], "
            "0, side.shape[2] - 2 * total.shape[2]), mode='replicate')",
        ),
    ),
    "four maps": (
        "fixed-number-of-levels",
        ("        total = self.lat", "        _, _, _, _ = features\n        total = self.lat"),
    ),
    "1×1 smoothing": ("smoothing-kernel", ("out_channels, 3, padding=1", "out_channels, 1")),
    "3×3 lateral": (
        "lateral-kernel",
        ("nn.Conv2d(channels, out_channels, 1)", "nn.Conv2d(channels, out_channels, 3, padding=1)"),
    ),
    "no padding": ("missing-padding", (", 3, padding=1", ", 3")),
    "relu after the sum": ("activation-added", ("side + above", "F.relu(side + above)")),
    "relu at the end": (
        "activation-added",
        ("return results", "return [F.relu(result) for result in results]"),
    ),
    "relu on laterals": (
        "activation-added",
        ("total = self.lateral[-1](features[-1])", "total = self.lateral[-1](features[-1]).relu()"),
        ("self.lateral[level](features[level])", "self.lateral[level](features[level]).relu()"),
    ),
    "BatchNorm": (
        "normalization-added",
        (
            "nn.Conv2d(channels, out_channels, 1)",
            "nn.Sequential(nn.Conv2d(channels, out_channels, 1, bias=False), "
            "nn.BatchNorm2d(out_channels))",
        ),
    ),
    "BatchNorm after smoothing": (
        "normalization-added",
        (
            "nn.Conv2d(out_channels, out_channels, 3, padding=1)",
            "nn.Sequential(nn.Conv2d(out_channels, out_channels, 3, padding=1), "
            "nn.BatchNorm2d(out_channels))",
        ),
    ),
    "no bias": (
        "missing-bias",
        ("(channels, out_channels, 1)", "(channels, out_channels, 1, bias=False)"),
    ),
    "no bias anywhere": (
        "missing-bias",
        ("(channels, out_channels, 1)", "(channels, out_channels, 1, bias=False)"),
        ("3, padding=1", "3, padding=1, bias=False"),
    ),
    "concatenated": (
        "concatenated-instead-of-added",
        ("for channels in", "for place, channels in"),
        (" in in_channels_list:", " in enumerate(in_channels_list):"),
        (
            "nn.Conv2d(out_channels, out_channels, 3",
            "nn.Conv2d(out_channels * (1 if place == len(in_channels_list) - 1 else 2), "
            "out_channels, 3",
        ),
        (
            "total = side + above\n",
            "total = self.smooth[level](torch.cat([side, above], 1))\n",
        ),
        ("results.insert(0, self.smooth[level](total))", "results.insert(0, total)"),
        (
            "results = [self.smooth[-1](total)]",
            "total = self.smooth[-1](total); results = [total]",
        ),
    ),
    "mean": ("merged-otherwise", ("side + above", "(side + above) / 2")),
    "product": ("merged-otherwise", ("side + above", "side * above")),
    "maximum": ("merged-otherwise", ("side + above", "torch.maximum(side, above)")),
    "coarse first": ("reversed-list", ("results.insert(0, self", "results.append(self")),
    "all fine": (
        "all-at-finest-size",
        (
            "return results",
            "return [F.interpolate(x, size=results[0].shape[-2:]) for x in results]",
        ),
    ),
    "P6 too": (
        "extra-level",
        ("return results", "return [*results, F.max_pool2d(results[-1], 1, 2)]"),
    ),
    "plain lists": (
        "plain-list",
        ("self.lateral = nn.ModuleList()", "self.lateral = []"),
        ("self.smooth = nn.ModuleList()", "self.smooth = []"),
    ),
    "one plain list": ("plain-list", ("self.smooth = nn.ModuleList()", "self.smooth = []")),
    "pops from the list": (
        "changes-features",
        ("self.lateral[-1](features[-1])", "self.lateral[-1](features.pop())"),
        ("range(len(features) - 2, -1, -1)", "range(len(features) - 1, -1, -1)"),
    ),
    "adds to the map": (
        "modifies-input",
        ("return results", "features[0].zero_(); return results"),
    ),
    "detached": ("wrong-gradients", ("F.interpolate(total,", "F.interpolate(total.detach(),")),
    "single precision": (
        "wrong-dtype",
        ("return results", "return [result.float() for result in results]"),
    ),
    "crashes": ("raised-exception", ("side + above", "side + abov")),
    "the typo": (
        "raised-exception",
        ("self.lateral[level](features", "self.laterals[level](features"),
    ),
    "returns nothing": ("wrong-type", ("return results", "results")),
    "one tensor": ("wrong-type", ("return results", "return results[0]")),
    "a dict": ("wrong-type", ("return results", "return OrderedDict(enumerate(results))")),
    "one argument": ("wrong-signature", ("in_channels_list, out_channels):", "in_channels_list):")),
    "5×5": ("smoothing-kernel", ("3, padding=1", "5, padding=2")),
    "smoothing with holes": ("smoothing-kernel", ("3, padding=1", "3, padding=2, dilation=2")),
    "depthwise smoothing": (
        "wrong-parameter-count",
        ("3, padding=1", "3, padding=1, groups=out_channels"),
    ),
    "the finest gets nothing": (
        "level-left-out",
        ("total = side + above", "total = side + above if level else side"),
    ),
    "the coarsest gives nothing": (
        "level-left-out",
        ("total = side + above", "total = side + above if level < len(features) - 2 else side"),
    ),
    "area": ("other-nearest", ('"nearest"', '"area"')),
    "coarsest not smoothed, with a spare": (
        "last-level-not-smoothed",
        ("[self.smooth[-1](total)]", "[total]"),
    ),
    "one smoothing for all, with spares": (
        "shared-smoothing",
        ("[self.smooth[-1](total)]", "[self.smooth[0](total)]"),
        ("self.smooth[level](total)", "self.smooth[0](total)"),
    ),
    "not smoothed, with spares": (
        "missing-smoothing",
        ("[self.smooth[-1](total)]", "[total]"),
        ("self.smooth[level](total)", "total"),
    ),
    "remembers sizes": (
        "size-remembered",
        (
            "        total = self.lat",
            "        self.sizes = getattr(self, 'sizes', None) or [x.shape[2:] for x in features]\n"
            "        total = self.lat",
        ),
        ("size=side.shape[-2:]", "size=self.sizes[level]"),
    ),
    "relu on the maps": (
        "modifies-input",
        ("self.lateral[-1](features[-1])", "self.lateral[-1](features[-1].relu_())"),
    ),
    "batches mixed": (
        "wrong-values",
        ("self.smooth[level](total))", "self.smooth[level](total.mean(0, True).expand_as(total)))"),
    ),
    "relu in train mode": (
        "wrong-train-eval",
        ("side + above", "F.relu(side + above) if self.training else side + above"),
    ),
    "half precision out": ("wrong-dtype", ("return results", "return [r.half() for r in results]")),
    "a generator": ("wrong-type", ("return results", "return (result for result in results)")),
    "twice the sum": ("wrong-values", ("side + above", "side + 2 * above")),
    "dropout": (
        "wrong-train-eval",
        ("side + above", "F.dropout(side + above, 0.5, self.training)"),
    ),
    "finest left out": ("wrong-shape", ("return results", "return results[1:]")),
}  # fmt: skip


@pytest.mark.parametrize("exercise", ["08.fpn", "08.odd_sizes"])
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_pyramids(exercise: str, wrong: str) -> None:
    slug, *changes = WRONG[wrong]
    report = check(exercise, pyramid(*changes))
    assert not report.passed
    assert report.attempted
    assert [failure.name for failure in report.failures] == [slug], report


FOUND = """
class Pyramid(nn.Module):
    def __init__(self, in_channels_list, out_channels):
        super().__init__()
        c_in, d = in_channels_list, out_channels
        self.inner = nn.ModuleList([nn.Conv2d(c, d, 1) for c in c_in])
        self.layer = nn.ModuleList([nn.Conv2d(d, d, 3, padding=1) for _ in c_in])

    def forward(self, features):
        results = [self.layer[-1](self.inner[-1](features[-1]))]
        for i in range(len(features) - 2, -1, -1):
            above = F.interpolate(results[0], scale_factor=2, mode="nearest")
            results.insert(0, self.layer[i](self.inner[i](features[i]) + above))
        return results
"""


@pytest.mark.parametrize(
    "repair, slug",
    [
        ("scale_factor=2", "fixed-factor"),
        ("size=features[i].shape[-2:]", "merged-after-smoothing"),
    ],
)
def test_the_chapters_broken_pyramid(repair: str, slug: str) -> None:
    """It has two faults; each is named when the other is mended."""
    space: dict[str, type[nn.Module]] = {}
    exec(FOUND.replace("scale_factor=2", repair), {"nn": nn, "F": F}, space)
    report = check("08.odd_sizes", space["Pyramid"])
    assert [failure.name for failure in report.failures] == [slug], report


class Inheritor(FPN):
    pass


class Wrapper(nn.Module):
    def __init__(self, in_channels_list, out_channels):  # type: ignore
        super().__init__()
        self.fpn = FPN(in_channels_list, out_channels)

    def forward(self, features):  # type: ignore
        return self.fpn(features)


class OverTorchvision(Wrapper):
    def __init__(self, in_channels_list, out_channels):  # type: ignore
        super().__init__(in_channels_list, out_channels)
        self.fpn = FeaturePyramidNetwork(in_channels_list, out_channels)


@pytest.mark.parametrize(
    "answer", [FPN, FeaturePyramidNetwork, Inheritor, Wrapper, OverTorchvision, FPN([3], 4)]
)
def test_finished_implementations_are_refused(answer: object) -> None:
    assert [failure.name for failure in check("08.fpn", answer).failures] == ["not-your-own"]


class Stub(nn.Module):
    def __init__(self, in_channels_list, out_channels):  # type: ignore
        super().__init__()
        raise NotImplementedError

    def forward(self, features):  # type: ignore
        raise NotImplementedError


def test_stubs_are_not_attempts() -> None:
    def branch_plan(sizes, fpn_channels, head_channels):  # type: ignore
        raise NotImplementedError

    assert not check("08.fpn", Stub).attempted
    assert not check("08.branch_plan", branch_plan).attempted
    for exercise in exercises():
        if exercise.chapter == 8:
            assert not check(exercise.id, None).attempted


def test_enough_mistakes() -> None:
    named = {slug for slug, *_ in WRONG.values()}
    assert len(named & set(MISTAKES_OF["08.fpn"])) == len(MISTAKES_OF["08.fpn"])


@pytest.mark.parametrize("place", range(len(ch08_variants.RECIPES)))
def test_every_recipe_is_told_by_its_slug(place: int) -> None:
    slug, recipe = ch08_variants.RECIPES[place]
    probes = [ch08._probe(place, case) for case in range(len(ch08.CASES))]
    assert not all(
        same(probe.facts(stage), right.facts(stage))
        for probe, right in zip(probes, ch08._right(), strict=True)
        for stage in STAGES
    )
    first = next(
        other
        for index, (other, _) in enumerate(ch08_variants.RECIPES)
        if all(
            same(probe.facts(stage), ch08._probe(index, case).facts(stage))
            for case, probe in enumerate(probes)
            for stage in STAGES
        )
    )
    assert first == slug
    assert slug in MISTAKES
    assert recipe != ch08_variants.Recipe()


def test_the_default_recipe_is_right() -> None:
    def plain(in_channels_list: list[int], out_channels: int) -> nn.Module:
        return ch08_variants.FlawedPyramid(ch08_variants.Recipe(), in_channels_list, out_channels)

    for case, right in zip(ch08.CASES, ch08._right(), strict=True):
        probe = ch08.MapsProbe(plain, case)
        assert all(same(probe.facts(stage), right.facts(stage)) for stage in STAGES)


RIGHT_NUMBERS = {
    "maps": 5,
    "finest": (1, 64, 25, 17),
    "coarsest": (1, 64, 2, 2),
    "parameters": 178176,
    "multiply_adds": 23066112,
}
LATERAL, SMOOTH = (24 + 32 + 96 + 320) * 64, 9 * 64 * 64


def test_prediction() -> None:
    assert check("08.predict", RIGHT_NUMBERS).passed
    assert check("08.predict", list(RIGHT_NUMBERS.values())).passed
    as_torch = {
        **RIGHT_NUMBERS,
        "finest": torch.Size((1, 64, 25, 17)),
        "coarsest": [1, 64, 2, 2],
        "parameters": torch.tensor(178176),
    }
    assert check("08.predict", as_torch).passed
    as_arrays = {
        **RIGHT_NUMBERS,
        "finest": np.array([1, 64, 25, 17]),
        "coarsest": torch.tensor([1, 64, 2, 2]),
        "multiply_adds": np.int64(23066112),
    }
    assert check("08.predict", as_arrays).passed


@pytest.mark.parametrize(
    "changes, slug",
    [
        ({"maps": 4}, "top-block-forgotten"),
        ({"maps": 6}, "wrong-values"),
        ({"finest": (1, 64, 25, 16)}, "floor-instead-of-ceil"),
        ({"finest": (1, 24, 25, 17)}, "input-channels-kept"),
        ({"finest": (1, 64, 100, 65)}, "image-size-kept"),
        ({"finest": (1, 64, 17, 25)}, "size-order"),
        ({"finest": (64, 25, 17)}, "wrong-shape"),
        ({"finest": (1, 25, 17, 64)}, "size-order"),
        ({"coarsest": (1, 2, 2, 64)}, "size-order"),
        ({"coarsest": (1, 64, 2, 1)}, "floor-instead-of-ceil"),
        ({"maps": True}, "wrong-dtype"),
        ({"parameters": LATERAL + 4 * SMOOTH + 4 * 64}, "bias-forgotten"),
        ({"multiply_adds": (LATERAL + 4 * SMOOTH) * 6500}, "macs-at-finest-resolution"),
        ({"finest": 25}, "wrong-type"),
        ({"coarsest": (1, 64, 4, 3)}, "top-block-forgotten"),
        ({"coarsest": (1, 64, 1, 1)}, "floor-instead-of-ceil"),
        ({"maps": 4, "coarsest": (1, 64, 4, 3)}, "top-block-forgotten"),
        ({"parameters": LATERAL + 4 * SMOOTH}, "bias-forgotten"),
        ({"parameters": LATERAL + 5 * SMOOTH + 9 * 64}, "top-block-counted"),
        ({"parameters": LATERAL + SMOOTH + 5 * 64}, "smoothing-counted-once"),
        ({"parameters": LATERAL + 4 * 64}, "smoothing-forgotten"),
        ({"parameters": 4 * SMOOTH + 4 * 64}, "lateral-forgotten"),
        ({"parameters": 9 * LATERAL + 4 * SMOOTH + 512}, "lateral-counted-3x3"),
        ({"parameters": LATERAL + 4 * 64 * 64 + 512}, "smoothing-counted-1x1"),
        ({"parameters": 10 * LATERAL + 512}, "smoothing-from-input-channels"),
        ({"parameters": LATERAL + 4 * SMOOTH + 3 * 512}, "normalization-counted"),
        ({"parameters": 178176.5}, "wrong-dtype"),
        ({"multiply_adds": 2 * 23066112}, "counted-twice"),
        ({"multiply_adds": 23066112 + 128 * (425 + 117 + 35 + 12)}, "bias-counted-as-work"),
        ({"multiply_adds": (LATERAL + 4 * SMOOTH) * 425}, "macs-at-finest-resolution"),
        ({"multiply_adds": LATERAL + 4 * SMOOTH}, "pixels-forgotten"),
        ({"multiply_adds": SMOOTH * (425 + 117 + 35 + 12)}, "lateral-forgotten"),
        ({"multiply_adds": 23066112 + 4 * SMOOTH}, "top-block-counted"),
        ({"multiply_adds": None}, "missing-value"),
        ({"multiply_adds": 7, "parameters": LATERAL + 4 * SMOOTH}, "bias-forgotten"),
    ],
)
def test_wrong_prediction(changes: dict[str, object], slug: str) -> None:
    report = check("08.predict", {**RIGHT_NUMBERS, **changes})
    assert [failure.name for failure in report.failures] == [slug], report


PLAN = """
def branch_plan(sizes, fpn_channels, head_channels):
    branches = []
    for level, size in enumerate(sizes):
        stages, channels = [], fpn_channels
        goals = sizes[:level][::-1] if level > 0 else [size]
        for goal in goals:
            stages.append((channels, head_channels, size, goal))
            size = goal
            channels = head_channels
        branches.append(stages)
    return branches
"""


def plan(*changes: tuple[str, str]) -> object:
    source = PLAN
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    space: dict[str, object] = {}
    exec(source, space)
    return space["branch_plan"]


def other_plan(sizes, fpn_channels, head_channels):  # type: ignore
    """Another hand: stage j of level n goes from level n − j to n − j − 1."""
    return tuple(
        [
            [
                fpn_channels if j == 0 else head_channels,
                head_channels,
                list(sizes[n - j]),
                list(sizes[max(0, n - j - 1)]),
            ]
            for j in range(max(1, n))
        ]
        for n in range(len(sizes))
    )


@pytest.mark.parametrize("question", ch08_plan.QUESTIONS)
def test_plan_is_the_librarys(question: tuple[list[tuple[int, int]], int, int]) -> None:
    """Which convolutions and enlargements really run in `FPNHead`."""
    sizes, fpn_channels, head_channels = question
    head = FPNHead([3] * len(sizes), 2, fpn_channels=fpn_channels, head_channels=head_channels)
    seen: dict[int, list[tuple[int, int, tuple[int, ...]]]] = {}
    for level, branch in enumerate(head.branches):
        for stage in branch.children():

            def note(module, args, output, level=level):  # type: ignore
                x = (args[0].shape[1], output.shape[1], tuple(output.shape[-2:]))
                seen.setdefault(level, []).append(x)

            stage.register_forward_hook(note)
    head([torch.zeros(1, 3, *size) for size in sizes])
    expected = ch08_plan.plan(*question)
    assert [seen[level] for level in range(len(sizes))] == [
        [stage[:3] for stage in branch] for branch in expected
    ]
    assert all(branch[-1][3] == sizes[0] for branch in expected)
    for branch in expected:
        assert [a[3] for a in branch[:-1]] == [b[2] for b in branch[1:]]


@pytest.mark.parametrize("answer", [plan(), other_plan])
def test_right_plans(answer: object) -> None:
    report = check("08.branch_plan", answer)
    assert report.passed, report


_STAGE = "(channels, head_channels, size, goal)"
_APPEND = f"stages.append({_STAGE})"
_FRESH = "        goals = [tuple([*goal]) for goal in goals]"


@pytest.mark.parametrize(
    "slug, changes",
    [
        ("first-branch-empty", [(" if level > 0 else [size]", "")]),
        ("first-branch-climbs", [("else [size]", "else [(2 * size[0], 2 * size[1])]")]),
        (
            "one-stage-too-many",
            [("sizes[:level][::-1] if level > 0 else [size]", "[size] + sizes[:level][::-1]")],
        ),
        (
            "one-stage-too-many",
            [("sizes[:level][::-1] if level > 0 else [size]", "[*sizes[:level][::-1], sizes[0]]")],
        ),
        ("one-leap", [("sizes[:level][::-1] if level > 0 else [size]", "[sizes[0]]")]),
        (
            "fixed-factor",
            [
                (
                    "sizes[:level][::-1] if level > 0 else [size]",
                    "[(size[0] * 2**k, size[1] * 2**k) for k in range(min(1, level), level + 1)]",
                )
            ],
        ),
        ("in-channels-not-updated", [("            channels = head_channels\n", "")]),
        (
            "reduced-at-the-end",
            [
                (
                    _APPEND,
                    "stages.append((fpn_channels, head_channels if goal is goals[-1] else "
                    "fpn_channels, size, goal))",
                ),
                ("        for goal in goals:", f"{_FRESH}\n        for goal in goals:"),
            ],
        ),
        ("enlarged-before-convolution", [(_STAGE, "(channels, head_channels, goal, goal)")]),
        (
            "held-level-skipped",
            [(_APPEND, f"if goal != size or level == 0: {_APPEND}")],
        ),
        (
            "held-level-skipped",
            [(_APPEND, f"if goal == size and level: continue\n            {_APPEND}")],
        ),
        (
            "fixed-factor",
            [
                (
                    _STAGE,
                    "(channels, head_channels, size, "
                    "(size[0] * 2, size[1] * 2) if level else goal)",
                )
            ],
        ),
        (
            "stops-one-level-short",
            [("sizes[:level][::-1] if level > 0", "sizes[1:level][::-1] if level > 0")],
        ),
        (
            "held-level-skipped",
            [("    branches = []", "    sizes, branches = list(dict.fromkeys(sizes)), []")],
        ),
        ("wrong-values", [(_STAGE, "(channels, head_channels, size, sizes[0])")]),
        ("wrong-values", [(_STAGE, "(channels, head_channels, size[::-1], goal[::-1])")]),
        ("wrong-values", [("fpn_channels\n        goals", "256\n        goals")]),
        ("reversed-list", [("    return branches", "    return branches[::-1]")]),
        ("wrong-order", [(_STAGE, "(head_channels, channels, goal, size)")]),
        ("wrong-order", [(_STAGE, "(size, goal, channels, head_channels)")]),
        ("wrong-shape", [(_STAGE, "(channels, head_channels, goal)")]),
        ("wrong-shape", [("    return branches", "    return branches[1:]")]),
        ("wrong-type", [("    return branches", "    return dict(enumerate(branches))")]),
        ("wrong-type", [("    return branches", "    branches")]),
        ("wrong-dtype", [("size, goal))", "size[0], goal[0] / 3))")]),
        ("changes-sizes", [("    return branches", "    sizes.append(1)\n    return branches")]),
        ("raised-exception", [("enumerate(sizes)", "enumerate(size)")]),
        ("wrong-signature", [("fpn_channels, head_channels):", "fpn_channels):")]),
        ("wrong-values", [("stages, channels = [], fpn_channels", "stages, channels = [], 64")]),
    ],
)  # fmt: skip
def test_wrong_plans(slug: str, changes: list[tuple[str, str]]) -> None:
    report = check("08.branch_plan", plan(*changes))
    assert [failure.name for failure in report.failures] == [slug], report


def test_points_add_up() -> None:
    found = [exercise for exercise in exercises() if exercise.chapter == 8]
    assert sum(exercise.points for exercise in found) == 10
    assert [exercise.kind for exercise in found] == ["warm-up", "implement", "debug", "extend"]
