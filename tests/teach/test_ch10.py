"""Chapter 10's exercises: right answers in several hands, wrong ones with the fitting slug."""

import copy
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from seglib.heads import DeepLabV3PlusHead
from seglib.teach import MISTAKES, check, exercises
from seglib.teach.chapters import ch10, ch10_counting, ch10_variants
from seglib.teach.probing import same
from seglib.teach.tasks import MISTAKES_OF, STAGES

DECODER = """
class Decoder(nn.Module):
    def __init__(
        self, in_channels, low_level_channels, aspp_channels, num_classes, decoder_convs,
        align_corners,
    ):
        super().__init__()
        self.reduce = nn.Sequential(
            nn.Conv2d(in_channels, low_level_channels, 1, bias=False),
            nn.BatchNorm2d(low_level_channels),
            nn.ReLU(),
        )
        layers, channels = [], low_level_channels + aspp_channels
        for _ in range(decoder_convs):
            layers += [
                nn.Conv2d(channels, aspp_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(aspp_channels),
                nn.ReLU(inplace=True),
            ]
            channels = aspp_channels
        self.last = nn.Sequential(*layers, nn.Conv2d(channels, num_classes, 1))
        self.align = bool(align_corners)

    def forward(self, low_level, high):
        low = self.reduce(low_level)
        size = low.shape[-2:]
        high = F.interpolate(high, size, mode="bilinear", align_corners=self.align)
        joined = torch.cat([low, high], dim=1)
        return self.last(joined)
"""


def made(source: str, name: str, *changes: tuple[str, str]) -> object:
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    space: dict[str, object] = {"nn": nn, "F": F, "torch": torch, "copy": copy}
    exec(source, space)
    return space[name]


def decoder(*changes: tuple[str, str]) -> object:
    return made(DECODER, "Decoder", *changes)


class OtherNames(nn.Module):
    """Another hand: other names, layers made in another order, the resize by hand."""

    def __init__(self, c: int, k: int, a: int, n: int, times: int, corners: bool) -> None:
        super().__init__()
        self.scores = nn.Linear(a, n)
        self.norms = nn.ModuleList([nn.BatchNorm2d(a) for _ in range(times)])
        self.looks = nn.ModuleList(
            [
                nn.Conv2d(k + a if not i else a, a, 3, padding="same", bias=False)
                for i in range(times)
            ]
        )
        self.norm, self.thin = nn.BatchNorm2d(k), nn.Linear(c, k, bias=False)
        self.corners = corners

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        x = self.norm(self.thin(one.movedim(1, -1)).movedim(-1, 1)).clamp(min=0)
        rows, columns = (self.matrix(two.shape[i], one.shape[i]).to(two) for i in (2, 3))
        two = torch.einsum("ih,nchw,jw->ncij", rows, two, columns)
        x = torch.cat((x, two), 1)
        for look, norm in zip(self.looks, self.norms, strict=True):
            x = norm(look(x)).relu()
        return self.scores(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def matrix(self, before: int, after: int) -> Tensor:
        """Each output pixel's weights on the input pixels, along one side."""
        place = torch.arange(after, dtype=torch.float64)
        if self.corners:
            place = place * (before - 1) / (after - 1)
        else:
            place = ((place + 0.5) * before / after - 0.5).clamp(min=0)
        weights = 1 - (place[:, None] - torch.arange(before)).abs()
        past = place > before - 1
        weights[past, -1] = 1
        return weights.clamp(min=0)


def factory(in_channels, low_level_channels, aspp_channels, num_classes, decoder_convs, align_corners):  # type: ignore # fmt: skip # noqa: E501
    return decoder()(in_channels, low_level_channels, aspp_channels, num_classes, decoder_convs, align_corners)  # type: ignore # fmt: skip # noqa: E501


@pytest.mark.parametrize("exercise", ["10.decoder", "10.mended"])
@pytest.mark.parametrize(
    "answer",
    [
        decoder(),
        decoder(
            ("self.last(joined)", "self.last(joined).contiguous()"),
            ("nn.ReLU(),", "nn.ReLU(True),"),
        ),
        decoder(
            ("F.interpolate(high, size, mode", "nn.Upsample(size, mode"),
            ("=self.align)", "=self.align)(high)"),
        ),
        OtherNames,
        factory,
    ],
)
def test_right_decoders(exercise: str, answer: object) -> None:
    report = check(exercise, answer)
    assert report.passed, report
    assert [stage for stage, _ in report.stages] == list(STAGES)


RESIZE = 'F.interpolate(high, size, mode="bilinear", align_corners=self.align)'
REDUCE = """nn.Sequential(
            nn.Conv2d(in_channels, low_level_channels, 1, bias=False),
            nn.BatchNorm2d(low_level_channels),
            nn.ReLU(),
        )"""
NORM_RELU = """
                nn.BatchNorm2d(aspp_channels),
                nn.ReLU(inplace=True),"""
RELU = "\n                nn.ReLU(inplace=True),"
LAST = "nn.Conv2d(channels, num_classes, 1))"
WRONG = {
    "times 4": ("fixed-scale-factor", (RESIZE, RESIZE.replace("size", "scale_factor=4"))),
    "times 4, corners": (
        "fixed-scale-factor",
        (RESIZE, 'F.interpolate(high, scale_factor=4, mode="bilinear", align_corners=True)'),
    ),
    "twice": ("sizes-differ", (RESIZE, RESIZE.replace("size", "scale_factor=2"))),
    "forgotten": ("not-enlarged", (RESIZE, "high")),
    "by a ratio": (
        "sizes-differ",
        (RESIZE, RESIZE.replace("size", "scale_factor=(size[0] / high.shape[2], size[1] / 3)")),
    ),
    "by the ratio of the rows": (
        "sizes-differ",
        (RESIZE, RESIZE.replace("size", "scale_factor=size[0] / high.shape[2]")),
    ),
    "square": ("sizes-differ", (RESIZE, RESIZE.replace("size", "size[0]"))),
    "rows and columns swapped": ("sizes-differ", (RESIZE, RESIZE.replace("size", "size[::-1]"))),
    "shrinks": (
        "low-level-shrunk",
        ("size = low.shape", "size = high.shape"),
        (RESIZE, "high; low = F.interpolate(low, size, mode='bilinear')"),
    ),
    "to the image": (
        "enlarged-to-image",
        ("return self.last(joined)", "return F.interpolate(self.last(joined), scale_factor=4)"),
    ),
    "no padding": ("missing-padding", ("3, padding=1,", "3,")),
    "all channels": (
        "low-level-not-reduced",
        (REDUCE, "nn.Identity()"),
        ("low_level_channels + aspp", "in_channels + aspp"),
    ),
    "48": (
        "widths-hard-coded",
        ("super().__init__()", "super().__init__(); low_level_channels = 48"),
    ),
    "256": (
        "widths-hard-coded",
        ("channels, aspp_channels, 3,", "channels, 256, 3,"),
        ("nn.BatchNorm2d(aspp_channels)", "nn.BatchNorm2d(256)"),
        ("channels = aspp_channels\n", "channels = 256\n"),
    ),
    "reads 256": (
        "widths-hard-coded",
        ("low_level_channels + aspp_channels", "low_level_channels + 256"),
    ),
    "reads 24": ("widths-hard-coded", ("nn.Conv2d(in_channels,", "nn.Conv2d(24,")),
    "norms of 256": (
        "widths-hard-coded",
        ("nn.BatchNorm2d(aspp_channels)", "nn.BatchNorm2d(256)"),
    ),
    "wide": (
        "channels-not-narrowed",
        ("channels, aspp_channels, 3,", "channels, channels, 3,"),
        ("nn.BatchNorm2d(aspp_channels)", "nn.BatchNorm2d(channels)"),
        ("channels = aspp_channels\n", "pass\n"),
    ),
    "sum": (
        "sum-instead-of-concatenation",
        ("super().__init__()", "super().__init__(); low_level_channels = aspp_channels"),
        ("low_level_channels + aspp_channels", "aspp_channels"),
        ("torch.cat([low, high], dim=1)", "low + high"),
    ),
    "one": ("number-of-convs", ("range(decoder_convs)", "range(1)")),
    "two": ("number-of-convs", ("range(decoder_convs)", "range(2)")),
    "one more": ("number-of-convs", ("range(decoder_convs)", "range(decoder_convs + 1)")),
    "one fewer": ("number-of-convs", ("range(decoder_convs)", "range(1, decoder_convs)")),
    "never fewer than one": (
        "number-of-convs",
        ("range(decoder_convs)", "range(max(1, decoder_convs - 1))"),
    ),
    "1×1": ("kernel-1-instead-of-3", ("aspp_channels, 3, padding=1,", "aspp_channels, 1,")),
    "plain list": (
        "layers-not-registered",
        ("self.last = nn.Sequential(*layers,", "self.last = [nn.Sequential(*layers),"),
        (LAST, LAST[:-1] + "]"),
        ("self.last(joined)", "self.last[1](self.last[0](joined))"),
    ),
    "layers in a list": (
        "layers-not-registered",
        ("self.last = nn.Sequential(*layers,", "self.layers, self.last = layers, nn.Sequential("),
        (
            "joined = torch.cat([low, high], dim=1)",
            "joined = torch.cat([low, high], 1)\n        for f in self.layers: joined = f(joined)",
        ),
    ),
    "wide projection": (
        "wide-projection",
        ("low_level_channels, 1, bias", "low_level_channels, 3, padding=1, bias"),
    ),
    "wide classifier": ("wide-classifier", (LAST, "nn.Conv2d(channels, num_classes, 3, 1, 1))")),
    "bias": ("conv-bias", ("padding=1, bias=False", "padding=1")),
    "bias in front": ("conv-bias", ("low_level_channels, 1, bias=False", "low_level_channels, 1")),
    "bias everywhere": (
        "conv-bias",
        ("padding=1, bias=False", "padding=1"),
        ("low_level_channels, 1, bias=False", "low_level_channels, 1"),
    ),
    "no bias at the end": (
        "classifier-without-bias",
        (LAST, "nn.Conv2d(channels, num_classes, 1, bias=False))"),
    ),
    "bare projection": (
        "missing-batchnorm",
        (REDUCE, "nn.Conv2d(in_channels, low_level_channels, 1)"),
    ),
    "bare projection without bias": (
        "missing-batchnorm",
        (REDUCE, "nn.Conv2d(in_channels, low_level_channels, 1, bias=False)"),
    ),
    "no norm in front": (
        "missing-batchnorm",
        ("nn.BatchNorm2d(low_level_channels)", "nn.Identity()"),
    ),
    "no norm behind": ("missing-batchnorm", ("nn.BatchNorm2d(aspp_channels)", "nn.Identity()")),
    "no norm at all": (
        "missing-batchnorm",
        ("nn.BatchNorm2d(low_level_channels)", "nn.Identity()"),
        ("nn.BatchNorm2d(aspp_channels)", "nn.Identity()"),
        ("padding=1, bias=False", "padding=1"),
        ("low_level_channels, 1, bias=False", "low_level_channels, 1"),
    ),
    "norm at the end": (
        "classifier-followed",
        (LAST, "nn.Conv2d(channels, num_classes, 1), nn.BatchNorm2d(num_classes), nn.ReLU())"),
    ),
    "relu at the end": (
        "classifier-followed",
        ("return self.last(joined)", "return self.last(joined).relu()"),
    ),
    "softmax": (
        "softmax-at-the-end",
        ("return self.last(joined)", "return self.last(joined).softmax(1)"),
    ),
    "linear projection": ("missing-activation", ("            nn.ReLU(),\n", "")),
    "linear convs": ("missing-activation", (NORM_RELU, NORM_RELU.replace(RELU, ""))),
    "relu6": (
        "relu6-instead-of-relu",
        ("nn.ReLU(),", "nn.ReLU6(),"),
        ("nn.ReLU(inplace", "nn.ReLU6(inplace"),
    ),
    "leaky": (
        "other-activation",
        ("nn.ReLU(),", "nn.LeakyReLU(),"),
        ("nn.ReLU(inplace", "nn.LeakyReLU(inplace"),
    ),
    "silu": (
        "other-activation",
        ("nn.ReLU(),", "nn.SiLU(),"),
        ("nn.ReLU(inplace", "nn.SiLU(inplace"),
    ),
    "probabilities": (
        "softmax-at-the-end",
        ("return self.last(joined)", "return self.last(joined).sigmoid()"),
    ),
    "classes": (
        "classes-instead-of-logits",
        ("return self.last(joined)", "return self.last(joined).argmax(1)"),
    ),
    "the other way round": ("joined-in-other-order", ("[low, high]", "[high, low]")),
    "never": ("align-corners-ignored", ("align_corners=self.align", "align_corners=False")),
    "always": ("align-corners-ignored", ("align_corners=self.align", "align_corners=True")),
    "inverted": ("align-corners-inverted", ("=self.align", "=not self.align")),
    "nearest": ("other-interpolation", (RESIZE, "F.interpolate(high, size)")),
    "bicubic": ("other-interpolation", ('"bilinear"', '"bicubic"')),
    "drops": ("dropout-added", (LAST, f"nn.Dropout(0.5), {LAST}")),
    "drops by function": (
        "dropout-added",
        ("self.last(joined)", "self.last(F.dropout(joined, 0.1, self.training))"),
    ),
    "eps": (
        "other-batchnorm-settings",
        ("nn.BatchNorm2d(low_level_channels)", "nn.BatchNorm2d(low_level_channels, 1e-3)"),
        ("nn.BatchNorm2d(aspp_channels)", "nn.BatchNorm2d(aspp_channels, 1e-3)"),
    ),
    "in place": ("modifies-input", ("self.reduce(low_level)", "self.reduce(low_level.mul_(2))")),
    "relu on the input": ("modifies-input", ("size = low", "high = high.relu_(); size = low")),
    "detached": ("wrong-gradients", (f"high = {RESIZE}", f"high = {RESIZE}.detach()")),
    "single precision": ("wrong-dtype", ("self.last(joined)", "self.last(joined).float()")),
    "crashes": ("raised-exception", ("low = self.reduce(", "low = self.reduction(")),
    "wrong map": ("raised-exception", ("self.reduce(low_level)", "self.reduce(high)")),
    "returns nothing": ("wrong-type", ("return self.last(joined)", "self.last(joined)")),
    "one argument": (
        "wrong-signature",
        (" decoder_convs,\n        align_corners,", ""),
        ("bool(align_corners)", "False"),
    ),
    "reflects": (
        "wrong-values",
        ("3, padding=1, bias", "3, padding=1, padding_mode='reflect', bias"),
    ),
    "antialias": ("wrong-values", (RESIZE, RESIZE.replace("mode", "antialias=True, mode"))),
    "corners at some sizes": ("wrong-values", ("=self.align", "=self.align and size[0] % 4 == 1")),
    "by 4, then to the size": (
        "wrong-values",
        (RESIZE, RESIZE.replace("(high", "(F.interpolate(high, scale_factor=4, mode='bilinear')")),
    ),
    "relu on ASPP's map": ("wrong-values", ("[low, high]", "[low, high.relu()]")),
    "one image": ("wrong-shape", ("return self.last(joined)", "return self.last(joined)[:1]")),
    "in a list": ("wrong-type", ("return self.last(joined)", "return [self.last(joined)]")),
    "shared": (
        "wrong-parameter-count",
        (LAST, f"*layers[3:6] * (decoder_convs - 2), {LAST}"),
        ("range(decoder_convs)", "range(min(2, decoder_convs))"),
    ),
    "one map without gradient": (
        "wrong-gradients",
        ("self.reduce(low_level)", "self.reduce(low_level.detach())"),
    ),
    "scaled": ("wrong-values", ("[low, high]", "[low, 2 * high]")),
}


@pytest.mark.parametrize("exercise", ["10.decoder", "10.mended"])
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_decoders(exercise: str, wrong: str) -> None:
    slug, *changes = WRONG[wrong]
    report = check(exercise, decoder(*changes))  # type: ignore[arg-type]
    assert not report.passed
    assert report.attempted
    assert [failure.name for failure in report.failures] == [slug], report


def test_the_librarys_own_is_refused() -> None:
    class Wrapped(nn.Module):
        def __init__(self, c, k, a, n, times, corners):  # type: ignore
            super().__init__()
            self.inner = ch10.LibraryDecoder(c, k, a, n, times, corners)

        def forward(self, low, high):  # type: ignore
            return self.inner(low, high)

    for answer in (DeepLabV3PlusHead, ch10.LibraryDecoder, Wrapped):
        report = check("10.decoder", answer)
        assert [failure.name for failure in report.failures] == ["not-your-own"], report


def test_stubs_are_not_attempted() -> None:
    stub = """
class Stub(nn.Module):
    def __init__(self, in_channels, low_level_channels, aspp_channels, num_classes, decoder_convs, align_corners):
        super().__init__()
        raise NotImplementedError

    def forward(self, low_level, high):
        raise NotImplementedError
"""  # noqa: E501
    assert not check("10.decoder", made(stub, "Stub")).attempted
    assert not check("10.multiply_adds", made("def f(model, x):\n    ...", "f")).attempted


@pytest.mark.parametrize("place", range(len(ch10_variants.RECIPES)))
def test_every_recipe_is_told_by_its_slug(place: int) -> None:
    slug, recipe = ch10_variants.RECIPES[place]
    behaviours = [ch10._probe(place, index) for index in range(len(ch10.CASES))]
    first = next(
        other
        for index, (other, _) in enumerate(ch10_variants.RECIPES)
        if index == place or _same_behaviour(index, behaviours)
    )
    assert first == slug
    assert slug in MISTAKES
    assert recipe != ch10_variants.Recipe()


def _same_behaviour(index: int, behaviours: list) -> bool:  # type: ignore[type-arg]
    return all(
        same(probe.facts(stage), ch10._probe(index, place).facts(stage))
        for place, probe in enumerate(behaviours)
        for stage in STAGES
    )


RIGHT_NUMBERS = {
    "shape": (1, 19, 65, 97),
    "joined_channels": 288,
    "parameters": 1260115,
    "multiply_adds": 7938045440,
}
PIXELS = 65 * 97
WEIGHTS = 24 * 32 + 9 * 288 * 256 + 9 * 256 * 256 + 256 * 19


def test_prediction() -> None:
    head = DeepLabV3PlusHead([24, 320], 19, low_level_channels=32, decoder_convs=2).eval()
    head.aspp = nn.Conv2d(320, 256, 1)  # type: ignore[assignment]
    head.aspp.requires_grad_(False)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        logits = head([torch.zeros(1, 24, 65, 97), torch.zeros(1, 320, 17, 25)])
    work = counter.get_total_flops() // 2 - 320 * 256 * 17 * 25
    parameters = sum(p.numel() for p in head.parameters() if p.requires_grad)
    joined = head.classifier[0].in_channels
    assert (tuple(logits.shape), joined, parameters, work) == tuple(RIGHT_NUMBERS.values())
    assert check("10.predict", RIGHT_NUMBERS).passed
    assert check("10.predict", list(RIGHT_NUMBERS.values())).passed
    assert check("10.predict", {**RIGHT_NUMBERS, "shape": logits.shape}).passed
    assert check("10.predict", {**RIGHT_NUMBERS, "shape": np.array(logits.shape)}).passed


@pytest.mark.parametrize(
    "changes, slug",
    [
        ({"shape": (1, 19, 17, 25)}, "at-output-stride"),
        ({"shape": (1, 19, 257, 385)}, "enlarged-to-image"),
        ({"shape": (1, 19, 260, 388)}, "enlarged-to-image"),
        ({"shape": (1, 19, 68, 100)}, "fixed-scale-factor"),
        ({"shape": (1, 19, 61, 93)}, "padding-forgotten"),
        ({"shape": (1, 256, 65, 97)}, "classifier-forgotten"),
        ({"shape": (19, 65, 97)}, "wrong-shape"),
        ({"shape": (1, 21, 65, 97)}, "wrong-values"),
        ({"joined_channels": 256}, "low-level-forgotten"),
        ({"joined_channels": 304}, "default-48-channels"),
        ({"joined_channels": 280}, "projection-forgotten"),
        ({"joined_channels": 352}, "aspp-forgotten"),
        ({"joined_channels": 32}, "aspp-forgotten"),
        ({"joined_channels": True}, "wrong-dtype"),
        ({"shape": (1, 65, 97, 19)}, "wrong-values"),
        ({"shape": (1, 19, 97, 65)}, "wrong-values"),
        ({"shape": 1}, "wrong-type"),
        ({"parameters": 1260115 - 32 - 512}, "forgot-batchnorm"),
        ({"parameters": 1260116}, "wrong-values"),
        ({"parameters": 1260115.5}, "wrong-dtype"),
        ({"multiply_adds": (WEIGHTS + 32 + 512) * PIXELS}, "norms-counted"),
        ({"multiply_adds": (WEIGHTS + 32 + 512 + 19) * PIXELS}, "bias-counted"),
        ({"multiply_adds": WEIGHTS * PIXELS * 16}, "enlarged-to-image"),
        ({"multiply_adds": 7.94}, "wrong-dtype"),
        ({"multiply_adds": float("nan")}, "wrong-dtype"),
        ({"parameters": WEIGHTS}, "forgot-batchnorm"),
        ({"parameters": WEIGHTS + 19}, "forgot-batchnorm"),
        ({"parameters": WEIGHTS + 2 * (32 + 512)}, "classifier-bias-forgotten"),
        ({"parameters": 1260115 + 32 + 512}, "bias-counted"),
        ({"parameters": 1260115 + 2 * (32 + 512)}, "buffers-counted"),
        ({"parameters": 1260115 + 9 * 32 * 256}, "reads-joined-again"),
        ({"parameters": 1260115 - 9 * 256 * 256 - 512}, "one-conv-only"),
        ({"parameters": 1260115 - 8 * (288 + 256) * 256}, "kernel-forgotten"),
        ({"parameters": 1260115 - 24 * 32 - 64}, "projection-forgotten"),
        ({"parameters": 1260115 - 256 * 19 - 19}, "classifier-forgotten"),
        ({"parameters": "many"}, "wrong-dtype"),
        ({"multiply_adds": 2 * 7938045440}, "counted-twice"),
        ({"multiply_adds": WEIGHTS * 17 * 25}, "at-output-stride"),
        ({"multiply_adds": WEIGHTS}, "pixels-forgotten"),
        ({"multiply_adds": (WEIGHTS + 19) * PIXELS}, "bias-counted"),
        ({"multiply_adds": 1260115 * PIXELS}, "norms-counted"),
        ({"multiply_adds": (WEIGHTS + 9 * 32 * 256) * PIXELS}, "reads-joined-again"),
        ({"multiply_adds": None}, "missing-value"),
        ({"joined_channels": 304, "parameters": 5}, "default-48-channels"),
    ],
)
def test_wrong_prediction(changes: dict[str, object], slug: str) -> None:
    report = check("10.predict", {**RIGHT_NUMBERS, **changes})
    assert [failure.name for failure in report.failures] == [slug], report


def test_no_mistake_gives_the_right_number() -> None:
    right, wrong = ch10._prediction()
    assert all(right[key] not in wrong[key] for key in right)
    assert {slug for known in wrong.values() for slug in known.values()} == set(
        MISTAKES_OF["10.predict"]
    )


COUNT = """
def multiply_adds(model, x):
    model = copy.deepcopy(model).eval()
    counts = {}

    def watch(name):
        def hook(layer, inputs, output):
            if isinstance(layer, nn.Conv2d):
                pixels = output.shape[2] * output.shape[3]
            else:
                pixels = output[0].numel() // layer.out_features
            counts[name] = counts.get(name, 0) + layer.weight.numel() * pixels

        return hook

    for name, layer in model.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(watch(name))
    with torch.no_grad():
        model(x)
    return counts
"""


def counting(*changes: tuple[str, str]) -> Callable[..., object]:
    answer = made(COUNT, "multiply_adds", *changes)
    assert callable(answer)
    return answer


def by_torch(model: nn.Module, x: Tensor) -> dict[str, float]:
    """Another hand: torch's own counter, on one image; puts every mode back."""
    modes = {part: part.training for part in model.modules()}
    model.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x[:1])
    for part, mode in modes.items():
        part.training = mode
    found = counter.get_flop_counts()
    root = type(model).__name__
    names = [name for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return {name: sum(found.get(f"{root}.{name}", {}).values()) / 2 for name in names}


def by_hooks_in_place(model, x):  # type: ignore
    """Another hand: hooks on the model itself, removed; statistics and modes put back."""
    state = {name: t.clone() for name, t in model.state_dict().items()}
    counts, handles = {}, []
    for name, layer in model.named_modules():

        def hook(layer, inputs, output, name=name):  # type: ignore
            if type(layer) in (nn.Conv2d, nn.Linear):
                fan_in = layer.weight[0].numel()
                counts[name] = counts.get(name, 0) + output.numel() * fan_in // len(output)
            else:
                counts.setdefault(name, 0)

        handles.append(layer.register_forward_hook(hook))
    model(x)
    for handle in handles:
        handle.remove()
    model.load_state_dict(state)
    return counts


def on_meta(model, x):  # type: ignore
    """Another hand: one image without numbers; numpy's numbers."""
    shadow = copy.deepcopy(model).eval().to("meta")
    counts: Counter[str] = Counter()
    for name, layer in shadow.named_modules():
        if hasattr(layer, "weight") and layer.weight.ndim != 1:
            layer.register_forward_hook(
                lambda layer, _, out, name=name: counts.update(
                    {name: np.int64(out[0].numel() * layer.weight[0].numel())}
                )
            )
    shadow(x[:1].to("meta"))
    return counts


@pytest.mark.parametrize("answer", [counting(), by_torch, by_hooks_in_place, on_meta])
def test_right_counts(answer: object) -> None:
    report = check("10.multiply_adds", answer)
    assert report.passed, report


COPY = "model = copy.deepcopy(model).eval()"
NUMEL = "layer.weight.numel()"
PIXELS_OUT = "output.shape[2] * output.shape[3]"
ADDED = "counts.get(name, 0) + layer.weight.numel() * pixels"
TIMES = "numel() * pixels"
KINDS = "(nn.Conv2d, nn.Linear)"


@pytest.mark.parametrize(
    "slug, changes",
    [
        ("names-differ", [("(watch(name))", "(watch(type(layer).__name__ + name))")]),
        ("names-differ", [("(watch(name))", "(watch('layer ' + name))")]),
        ("names-differ", [("return counts", "return dict(enumerate(counts.values()))")]),
        ("nested-layers-missing", [("named_modules()", "named_children()")]),
        ("reuse-forgotten", [("counts.get(name, 0) + ", "")]),
        ("first-call-only", [(ADDED, f"counts.get(name, {NUMEL} * pixels)")]),
        ("counted-twice", [(TIMES, "numel() * pixels * 2")]),
        ("batch-counted", [(TIMES, "numel() * pixels * len(output)")]),
        ("groups-forgotten", [(TIMES, "numel() * getattr(layer, 'groups', 1) * pixels")]),
        ("kernel-forgotten", [(NUMEL, "layer.weight.shape[:2].numel()")]),
        ("square-kernel", [(NUMEL, "(layer.weight.shape[:3] + layer.weight.shape[2:3]).numel()")]),
        ("bias-counted", [(NUMEL, "sum(p.numel() for p in layer.parameters())")]),
        (
            "norms-counted",
            [
                (KINDS, "(nn.Conv2d, nn.Linear, nn.BatchNorm2d)"),
                ("isinstance(layer, nn.Conv2d):", "type(layer) is not nn.Linear:"),
            ],
        ),
        ("linear-missing", [(KINDS, "nn.Conv2d")]),
        ("linear-places-forgotten", [("output[0].numel() // layer.out_features", "1")]),
        ("pixels-of-the-input", [(PIXELS_OUT, PIXELS_OUT.replace("output", "inputs[0]"))]),
        ("pixels-forgotten", [(TIMES, "numel()")]),
        (
            "bias-counted",
            [
                (
                    NUMEL,
                    "sum(p.numel() for p in (*layer.parameters(),)[: layer.weight.ndim // 2])",
                )
            ],
        ),
        ("pixels-forgotten", [(PIXELS_OUT, "1")]),
        (
            "frozen-forgotten",
            [(NUMEL, "sum(p.numel() for p in [layer.weight] if p.requires_grad)")],
        ),
        ("wrong-values", [(PIXELS_OUT, "output.shape[2] ** 2")]),
        ("wrong-values", [("return counts", "return {**counts, 'total': sum(counts.values())}")]),
        ("leaves-attributes", [(COPY, f"model.counts = 0; {COPY}")]),
        (
            "leaves-attributes",
            [(COPY, f"model.register_buffer('work', torch.zeros(())); {COPY}")],
        ),
        ("changes-weights", [(COPY, f"model.requires_grad_(False); {COPY}")]),
        ("changes-weights", [(COPY, f"model.double(); x = x.double(); {COPY}")]),
        (
            "changes-weights",
            [(COPY, f"[p.data.zero_() for p in model.parameters()]; {COPY}")],
        ),
        ("modifies-input", [(COPY, f"{COPY}; x.zero_()")]),
        ("leaves-hooks", [(COPY, "pass")]),
        ("changes-mode", [(COPY, "model = copy.deepcopy(model.eval())")]),
        (
            "changes-mode",
            [
                (COPY, f"mode = model.training; given = model.eval(); {COPY}"),
                ("return counts", "given.train(mode); return counts"),
            ],
        ),
        ("changes-statistics", [(COPY, f"model(x); {COPY}")]),
        ("wrong-type", [("return counts", "return sum(counts.values())")]),
        ("wrong-type", [("    return counts\n", "")]),
        ("wrong-dtype", [("return counts", "return {k: str(v) for k, v in counts.items()}")]),
        ("wrong-signature", [("(model, x)", "(model)")]),
        ("raised-exception", [(PIXELS_OUT, "output.size[2]")]),
        ("wrong-values", [(PIXELS_OUT, "output.shape[2]")]),
    ],
)
def test_wrong_counts(slug: str, changes: list[tuple[str, str]]) -> None:
    report = check("10.multiply_adds", counting(*changes))
    assert [failure.name for failure in report.failures] == [slug], report


def test_every_count_is_told_from_the_others() -> None:
    found = [
        [ch10_counting.count(*question, mistake=slug) for question in ch10_counting.questions()]
        for slug in ("", *ch10_counting.MISTAKES)
    ]
    assert all(a != b for place, a in enumerate(found) for b in found[:place])


def test_the_mended_ones_model_is_caught_twice() -> None:
    """The debug exercise's class has a loud fault and a silent one: after the first the second."""
    loud = (RESIZE, 'F.interpolate(high, scale_factor=4, mode="bilinear", align_corners=True)')
    silent = ("align_corners=self.align", "align_corners=True")
    names = [check("10.mended", decoder(change)).failures[0].name for change in (loud, silent)]
    assert names == ["fixed-scale-factor", "align-corners-ignored"]


def test_enough_mistakes() -> None:
    named = {slug for slug, *_ in WRONG.values()}
    own = set(MISTAKES_OF["10.decoder"])
    assert own - named <= {"ignores-eval-mode", "ignores-train-mode"}


def test_points_add_up() -> None:
    own = [exercise for exercise in exercises() if exercise.chapter == 10]
    assert sum(exercise.points for exercise in own) == 10
    assert [exercise.kind for exercise in own] == ["warm-up", "implement", "debug", "extend"]


def test_a_check_is_quick() -> None:
    right = {"predict": RIGHT_NUMBERS, "decoder": decoder(), "multiply_adds": counting()}
    start = time.process_time()
    for name, answer in right.items():
        assert check(f"10.{name}", answer).passed
    assert (time.process_time() - start) / len(right) < 1  # 0.3 s on an idle machine
