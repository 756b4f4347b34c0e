from copy import deepcopy
from functools import partial

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import (
    assert_equal_gradients,
    assert_exports,
    multiply_adds,
    random_state,
    relative,
    shapes_of,
    without_dropout,
)
from torch import Tensor, nn
from torchvision.models import mobilenetv3 as reference
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

from seglib.backbones import build_backbone, classifier
from seglib.backbones.mobilenetv3 import (
    SETTINGS,
    InvertedResidual,
    MobileNetV3,
    MobileNetV3Classifier,
    Variant,
    block_table,
)
from seglib.layers import HardSwish, SqueezeExcite

VARIANTS: tuple[Variant, ...] = ("large", "small")
THEIRS = {
    "large": partial(reference.mobilenet_v3_large, weights=None),
    "small": partial(reference.mobilenet_v3_small, weights=None),
}


def image(*size: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, *size, dtype=torch.float64, generator=generator)


def their_network(variant: Variant, width_mult: float = 1.0, dilated: bool = False) -> nn.Module:
    rows, last_channels = reference._mobilenet_v3_conf(
        f"mobilenet_v3_{variant}", width_mult=width_mult, dilated=dilated
    )
    return reference.MobileNetV3(rows, last_channels)


def test_block_table_matches_the_paper() -> None:
    large, small = block_table("large"), block_table("small")
    assert (len(large), len(small)) == (15, 11)
    assert large[0] == (16, 16, 16, 3, 1, 1, False, nn.ReLU, True)
    assert large[3] == (24, 72, 40, 5, 2, 1, True, nn.ReLU, False)
    assert large[14] == (160, 960, 160, 5, 1, 1, True, HardSwish, True)
    assert small[0] == (16, 16, 16, 3, 2, 1, True, nn.ReLU, False)
    assert small[10] == (96, 576, 96, 5, 1, 1, True, HardSwish, True)
    assert [row.stride for row in large] == [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1]
    assert [row.stride for row in small] == [2, 2, 1, 2, 1, 1, 1, 1, 2, 1, 1]


def test_first_block_of_a_dilated_stage_keeps_the_previous_dilation() -> None:
    def dilations(variant: Variant, output_stride: int, legacy: bool = False) -> list[int]:
        rows = block_table(variant, output_stride, legacy_dilation=legacy)
        return [row.dilation for row in rows]

    assert dilations("large", 16) == [1] * 13 + [2] * 2
    assert dilations("large", 8) == [1] * 7 + [2] * 6 + [4] * 2
    assert dilations("small", 16) == [1] * 9 + [2] * 2
    assert dilations("small", 8) == [1] * 4 + [2] * 5 + [4] * 2
    assert dilations("large", 32, legacy=True) == [1] * 15
    assert dilations("large", 16, legacy=True) == [1] * 12 + [2] * 3
    assert dilations("large", 8, legacy=True) == [1] * 6 + [2] * 6 + [4] * 3
    assert dilations("small", 8, legacy=True) == [1] * 3 + [2] * 5 + [4] * 3


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(65, 97), (128, 96), (33, 47)])
@pytest.mark.parametrize("train", [False, True])
def test_classifier_equals_torchvision(
    variant: Variant, size: tuple[int, int], train: bool
) -> None:
    theirs = without_dropout(THEIRS[variant]().double())
    state = random_state(shapes_of(theirs), seed=3)
    theirs.load_state_dict(state)
    ours = without_dropout(classifier(f"mobilenetv3_{variant}").double())
    ours.load_state_dict(state, strict=True)
    a, b = image(*size).requires_grad_(), image(*size).requires_grad_()
    assert relative(ours.train(train)(a), theirs.train(train)(b)) < 1e-12
    for name, buffer in theirs.named_buffers():
        assert torch.allclose(ours.get_buffer(name), buffer, rtol=1e-12, atol=1e-12)
    if size == (33, 47):
        assert_equal_gradients(ours, theirs, a, b)


def test_dropout_as_published() -> None:
    for variant in VARIANTS:
        theirs, ours = THEIRS[variant](), MobileNetV3Classifier(variant)
        assert ours.classifier[2].p == theirs.classifier[2].p == 0.2
        assert isinstance(ours.classifier[2], nn.Dropout)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("train", [False, True])
def test_every_block_equals_torchvision(variant: Variant, train: bool) -> None:
    theirs = THEIRS[variant]().double().features
    state = random_state(shapes_of(theirs), seed=4)
    theirs.load_state_dict(state)
    ours = build_backbone(f"mobilenetv3_{variant}", out_blocks=range(len(theirs))).double()
    ours.features.load_state_dict(state, strict=True)
    maps, x = ours.train(train)(image(65, 97)), image(65, 97)
    assert len(maps) == len(theirs) == {"large": 17, "small": 13}[variant]
    for i, block in enumerate(theirs.train(train)):
        x = block(x)
        assert relative(maps[i], x) < 1e-12
        assert maps[i].shape[1] == ours.channels[i]
        assert maps[i].shape[2] == -(-65 // ours.strides[i])
    levels = build_backbone(f"mobilenetv3_{variant}").double()
    levels.load_state_dict({n: t for n, t in ours.state_dict().items() if n in levels.state_dict()})
    last = {x.shape[-1]: x for x in maps[:-1]}  # the last block of each resolution
    again = levels.train(train)(image(65, 97))
    for width, level in zip((25, 13, 7, 4), again, strict=True):
        assert torch.equal(level, last[width])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("width_mult", [1.0, 0.1])
def test_legacy_dilation_equals_torchvision(variant: Variant, width_mult: float) -> None:
    theirs = their_network(variant, width_mult, dilated=True).double().features
    state = random_state(shapes_of(theirs), seed=5)
    theirs.load_state_dict(state)
    last = len(SETTINGS[variant]) + 1
    ours = MobileNetV3(
        variant,
        output_stride=16,
        out_blocks=(last - 1, last),
        width_mult=width_mult,
        legacy_dilation=True,
    ).double()
    ours.features.load_state_dict(state, strict=True)
    for train in (False, True):
        maps = ours.train(train)(image(65, 97))
        assert relative(maps[0], theirs.train(train)[:-1](image(65, 97))) < 1e-12
        theirs.load_state_dict(state)
        assert relative(maps[1], theirs(image(65, 97))) < 1e-12
    assert ours.strides == [16, 16]


def test_backbone_of_torchvisions_deeplabv3() -> None:
    theirs = deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, aux_loss=True)
    theirs = theirs.backbone.double().eval()
    theirs.load_state_dict(random_state(shapes_of(theirs), seed=6))
    ours = build_backbone(
        "mobilenetv3_large", output_stride=16, out_blocks=(4, 16), legacy_dilation=True
    )
    ours.double().eval().features.load_state_dict(theirs.state_dict(), strict=True)
    expected = theirs(image(65, 97))
    maps = ours(image(65, 97))
    assert ours.channels == [40, 960]
    assert relative(maps[0], expected["aux"]) < 1e-12
    assert relative(maps[1], expected["out"]) < 1e-12


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("size", [(65, 97), (100, 66)])
@pytest.mark.parametrize("width_mult", [1.0, 0.1])
def test_dilation_keeps_what_each_kernel_sees(
    variant: Variant, output_stride: int, size: tuple[int, int], width_mult: float
) -> None:
    """Every n-th pixel of the dilated network's map is the map of the striding network."""
    striding = MobileNetV3(variant, width_mult=width_mult).double().eval()
    state = random_state(shapes_of(striding), seed=7)
    # The mean over the image depends on how densely the map is sampled: take it out.
    state = {n: 0 * t if n.endswith("fc2.weight") else t for n, t in state.items()}
    striding.load_state_dict(state)
    dilated = MobileNetV3(variant, output_stride=output_stride, width_mult=width_mult)
    dilated.double().eval().load_state_dict(state, strict=True)
    for x, y, stride in zip(
        striding(image(*size)), dilated(image(*size)), striding.strides, strict=True
    ):
        step = max(1, stride // output_stride)
        assert relative(y[:, :, ::step, ::step], x) < 1e-12
    if width_mult == 1.0:
        legacy = MobileNetV3(variant, output_stride=output_stride, legacy_dilation=True)
        legacy.double().eval().load_state_dict(state)
        assert relative(legacy(image(*size))[-1][:, :, ::step, ::step], x) > 0.01


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("width_mult", [0.1, 0.35, 0.5, 0.75, 1.0, 1.25, 2.0])
def test_widths_equal_torchvision(variant: Variant, width_mult: float) -> None:
    with torch.device("meta"):
        theirs = their_network(variant, width_mult)
        ours = MobileNetV3Classifier(variant, width_mult=width_mult)
        backbone = MobileNetV3(variant, width_mult=width_mult)
    assert shapes_of(ours) == shapes_of(theirs)
    assert shapes_of(backbone.features) == shapes_of(theirs.features[:-1])


def test_published_figures() -> None:
    for variant, parameters, cost in (("large", 5_483_032, 217e6), ("small", 2_542_856, 57e6)):
        with torch.device("meta"):
            model = classifier(f"mobilenetv3_{variant}")
            x = torch.zeros(1, 3, 224, 224)
        assert sum(p.numel() for p in model.parameters()) == parameters
        assert multiply_adds(model, x) == pytest.approx(cost, rel=0.01)


def names_of_timm(theirs: nn.Module) -> dict[str, str]:
    """Prefix in timm's mobilenetv3_large_100 → prefix in torchvision's network."""
    names = {"conv_stem": "features.0.0", "bn1": "features.0.1"}
    blocks = [
        (f"blocks.{i}.{j}", block)
        for i, stage in enumerate(theirs.blocks)
        for j, block in enumerate(stage)
    ]
    for i, (name, block) in enumerate(blocks[:-1], start=1):
        position = -1  # in `block`; timm's parts stand in the order in which they compute
        for part, module in block.named_children():
            if part.startswith("bn"):
                names[f"{name}.{part}"] = f"features.{i}.block.{position}.1"
            elif part.startswith("conv"):
                position += 1
                names[f"{name}.{part}"] = f"features.{i}.block.{position}.0"
            elif part == "se" and not isinstance(module, nn.Identity):
                position += 1
                names[f"{name}.se.conv_reduce"] = f"features.{i}.block.{position}.fc1"
                names[f"{name}.se.conv_expand"] = f"features.{i}.block.{position}.fc2"
    names |= {f"{blocks[-1][0]}.conv": "features.16.0", f"{blocks[-1][0]}.bn1": "features.16.1"}
    return names | {"conv_head": "classifier.0", "classifier": "classifier.3"}


@pytest.mark.parametrize("train", [False, True])
def test_norm_eps_makes_timms_network(train: bool) -> None:
    theirs = timm.create_model("mobilenetv3_large_100").double()
    state = random_state(shapes_of(theirs), seed=8)
    theirs.load_state_dict(state)
    ours = without_dropout(MobileNetV3Classifier("large", norm_eps=1e-5).double())
    names = names_of_timm(theirs)
    parts = [name.rpartition(".") for name in state]
    renamed = {f"{names[a]}.{c}": state[f"{a}.{c}"] for a, _, c in parts}
    renamed["classifier.0.weight"] = renamed["classifier.0.weight"].flatten(1)  # there a 1×1 conv
    ours.load_state_dict(renamed, strict=True)
    assert relative(ours.train(train)(image(65, 97)), theirs.train(train)(image(65, 97))) < 1e-12
    other = without_dropout(MobileNetV3Classifier("large").double())
    other.load_state_dict(ours.state_dict())
    assert relative(other.train(train)(image(65, 97)), theirs(image(65, 97))) > 1e-4


def test_squeeze_and_excite_stands_on_the_wide_middle() -> None:
    parts = list(InvertedResidual(8, 32, 8, use_se=True).block)
    assert [type(part).__name__ for part in parts] == [
        *("ConvNormAct", "ConvNormAct"),
        *("SqueezeExcite", "ConvNormAct"),
    ]
    assert parts[1][0].groups == parts[2].fc1.in_channels == parts[3][0].in_channels == 32
    assert len(parts[3]) == 2  # linear
    for part in MobileNetV3("small").modules():
        if isinstance(part, SqueezeExcite):
            assert not any(isinstance(child, nn.BatchNorm2d) for child in part.modules())
            assert part.fc1.bias is not None
            assert part.fc2.bias is not None


def test_a_shortcut_is_the_input_itself() -> None:
    assert InvertedResidual(8, 16, 8).use_shortcut
    assert not InvertedResidual(8, 16, 12).use_shortcut
    assert not InvertedResidual(8, 16, 8, stride=2).use_shortcut
    assert not InvertedResidual(8, 16, 8, shortcut=False).use_shortcut
    assert [name for name, _ in InvertedResidual(8, 16, 12).named_children()] == ["block"]


@settings(max_examples=12, deadline=None)
@given(
    variant=st.sampled_from(VARIANTS),
    output_stride=st.sampled_from([8, 16, 32]),
    width_mult=st.floats(0.05, 0.5),
    size=st.tuples(st.integers(32, 140), st.integers(32, 140)),
    in_channels=st.integers(1, 5),
    legacy_dilation=st.booleans(),
)
def test_maps_have_the_promised_shapes(
    variant: Variant,
    output_stride: int,
    width_mult: float,
    size: tuple[int, int],
    in_channels: int,
    legacy_dilation: bool,
) -> None:
    backbone = build_backbone(
        f"mobilenetv3_{variant}",
        output_stride=output_stride,
        in_channels=in_channels,
        width_mult=width_mult,
        legacy_dilation=legacy_dilation,
    )
    assert backbone.strides == [min(s, output_stride) for s in (4, 8, 16, 32)]
    maps = backbone(torch.zeros(2, in_channels, *size))
    for x, channels, stride in zip(maps, backbone.channels, backbone.strides, strict=True):
        assert x.shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))


def test_options() -> None:
    backbone = build_backbone("mobilenetv3_large", out_indices=(1, 3), in_channels=1)
    assert (backbone.channels, backbone.strides) == ([40, 160], [8, 32])
    assert len(backbone.features) == 16
    backbone = build_backbone("mobilenetv3_small", out_blocks=(0, 3, 12), output_stride=16)
    assert (backbone.channels, backbone.strides) == ([16, 24, 576], [2, 8, 16])
    shapes = [tuple(x.shape) for x in backbone(torch.zeros(2, 3, 65, 65))]
    assert shapes == [(2, 16, 33, 33), (2, 24, 9, 9), (2, 576, 5, 5)]
    backbone = build_backbone("mobilenetv3_large", out_blocks=[16], norm_eps=1e-5)
    assert isinstance(backbone(torch.zeros(2, 3, 32, 32)), list)
    norms = [part for part in backbone.modules() if isinstance(part, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-5, 0.01)}
    assert (backbone.norm_eps, backbone.legacy_dilation) == (1e-5, False)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"output_stride": 4}, "output_stride must be 8, 16 or 32, got 4"),
        ({"out_indices": (0, 4)}, "out_indices must be ascending indices from 0 to 3"),
        ({"out_indices": ()}, "out_indices"),
        ({"out_blocks": (17,)}, "out_blocks must be ascending indices from 0 to 16"),
        ({"out_blocks": (3, 3)}, "out_blocks"),
        ({"out_blocks": (1,), "out_indices": (1,)}, "out_blocks"),
        ({"width_mult": 0}, "width_mult must be > 0, got 0"),
        ({"width_mult": float("nan")}, "width_mult must be > 0, got nan"),
        ({"norm_eps": 0.0}, "norm_eps must be > 0, got 0.0"),
        ({"legacy_padding": True}, "'legacy_padding' is no option of mobilenetv3_large"),
        ({"variant": "small"}, "variant"),
    ],
)
def test_refuses(options: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        build_backbone("mobilenetv3_large", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("build", [MobileNetV3, block_table, MobileNetV3Classifier])
def test_refuses_unknown_variants(build: type[MobileNetV3]) -> None:
    with pytest.raises(ValueError, match="variant must be one of large, small; got 'medium'"):
        build("medium")  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"stride": 3}, {"dilation": 0}, {"kernel_size": 4}])
def test_block_refuses(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        InvertedResidual(8, 16, 8, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("variant", VARIANTS)
def test_backbone_takes_the_names_of_the_classifier(variant: Variant) -> None:
    names = set(classifier(f"mobilenetv3_{variant}").state_dict())
    own = set(build_backbone(f"mobilenetv3_{variant}").state_dict())
    last = len(SETTINGS[variant]) + 1
    assert own == {n for n in names if not n.startswith((f"features.{last}.", "classifier."))}


def test_copies_and_meta_device() -> None:
    backbone = build_backbone("mobilenetv3_small", output_stride=16).eval()
    x = torch.randn(1, 3, 33, 47)
    for a, b in zip(backbone(x), deepcopy(backbone)(x), strict=True):
        assert torch.equal(a, b)
    with torch.device("meta"):
        maps = build_backbone("mobilenetv3_large")(torch.zeros(2, 3, 513, 513))
    assert tuple(maps[-1].shape) == (2, 160, 17, 17)


@pytest.mark.slow
@pytest.mark.parametrize("output_stride", [16, 32])
def test_exports_with_dynamic_size(output_stride: int) -> None:
    backbone = build_backbone("mobilenetv3_small", output_stride=output_stride).eval()
    assert_exports(backbone)
