import math
from copy import deepcopy

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
from timm.models import ghostnet as reference
from torch import Tensor, nn
from torch.nn import functional as F

from seglib.backbones import build_backbone, classifier
from seglib.backbones.ghostnet import (
    GhostBottleneck,
    GhostModule,
    GhostNet,
    GhostNetClassifier,
    block_table,
)
from seglib.layers import SqueezeExcite


def image(*size: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, channels, *size, dtype=torch.float64, generator=generator)


def test_block_table_matches_the_paper() -> None:
    stages = block_table()
    rows = [row for stage in stages for row in stage]
    assert [len(stage) for stage in stages] == [1, 1, 1, 1, 1, 1, 5, 1, 4]
    assert [row.stride for row in rows] == [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    kernel_sizes = [3, 3, 3, 5, 5, 3, 3, 3, 3, 3, 3, 5, 5, 5, 5, 5]
    assert [row.dw_kernel_size for row in rows] == kernel_sizes
    assert [row.se_ratio > 0 for row in rows] == [
        *(False, False, False, True, True, False, False, False),
        *(False, True, True, True, False, True, False, True),
    ]
    assert rows[0] == (16, 16, 16, 3, 1, 0, 1, 1)
    assert rows[3] == (24, 72, 40, 5, 2, 0.25, 1, 1)
    assert rows[-1] == (160, 960, 160, 5, 1, 0.25, 1, 1)


def test_dilation_changes_inside_the_block_that_would_stride() -> None:
    def dilations(output_stride: int) -> list[tuple[int, int]]:
        rows = [row for stage in block_table(output_stride) for row in stage]
        return [(row.dilation, row.out_dilation) for row in rows]

    assert dilations(16) == [(1, 1)] * 11 + [(1, 2)] + [(2, 2)] * 4
    assert dilations(8) == [(1, 1)] * 5 + [(1, 2)] + [(2, 2)] * 5 + [(2, 4)] + [(4, 4)] * 4


def test_which_convolutions_are_dilated() -> None:
    block = GhostBottleneck(8, 24, 12, dw_kernel_size=5, dilation=2, out_dilation=4)
    dilations = {
        name: part.dilation[0]
        for name, part in block.named_modules()
        if isinstance(part, nn.Conv2d) and part.groups > 1
    }
    assert dilations == {
        "ghost1.cheap_operation.0": 2,
        "conv_dw": 2,
        "ghost2.cheap_operation.0": 4,
        "shortcut.0": 2,
    }


@pytest.mark.parametrize("size", [(65, 97), (128, 96), (33, 47)])
@pytest.mark.parametrize("train", [False, True])
def test_classifier_equals_timm(size: tuple[int, int], train: bool) -> None:
    theirs = timm.create_model("ghostnet_100", drop_rate=0.0).double()
    state = random_state(shapes_of(theirs), seed=3)
    theirs.load_state_dict(state)
    ours = without_dropout(classifier("ghostnet").double())
    ours.load_state_dict(state, strict=True)
    a, b = image(*size).requires_grad_(), image(*size).requires_grad_()
    assert relative(ours.train(train)(a), theirs.train(train)(b)) < 1e-12
    for name, buffer in theirs.named_buffers():
        assert torch.allclose(ours.get_buffer(name), buffer, rtol=1e-12, atol=1e-12)
    if size == (33, 47):
        assert_equal_gradients(ours, theirs, a, b)


def test_dropout_as_published() -> None:
    assert timm.create_model("ghostnet_100").drop_rate == GhostNetClassifier().dropout.p == 0.2


@pytest.mark.parametrize("train", [False, True])
def test_levels_equal_timm(train: bool) -> None:
    theirs = timm.create_model("ghostnet_100").double()
    state = random_state(shapes_of(theirs), seed=4)
    theirs.load_state_dict(state)
    ours = build_backbone("ghostnet").double()
    ours.load_state_dict({name: state[name] for name in ours.state_dict()}, strict=True)
    maps = ours.train(train)(image(65, 97))
    theirs.train(train)
    x = theirs.act1(theirs.bn1(theirs.conv_stem(image(65, 97))))
    last = {}  # of each resolution
    for stage in theirs.blocks[:9]:
        x = stage(x)
        last[x.shape[-1]] = x
    for width, own in zip((25, 13, 7, 4), maps, strict=True):
        assert relative(own, last[width]) < 1e-12
    assert (ours.channels, ours.strides) == ([24, 40, 112, 160], [4, 8, 16, 32])


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("size", [(65, 97), (100, 66)])
@pytest.mark.parametrize("width_mult", [1.0, 0.1])
def test_dilation_keeps_what_each_kernel_sees(
    output_stride: int, size: tuple[int, int], width_mult: float
) -> None:
    """Every n-th pixel of the dilated network's map is the map of the striding network."""
    striding = GhostNet(width_mult=width_mult).double().eval()
    state = random_state(shapes_of(striding), seed=7)
    # The mean over the image depends on how densely the map is sampled: take it out.
    state = {n: 0 * t if n.endswith("conv_expand.weight") else t for n, t in state.items()}
    striding.load_state_dict(state)
    dilated = GhostNet(output_stride=output_stride, width_mult=width_mult).double().eval()
    dilated.load_state_dict(state, strict=True)
    for x, y, stride in zip(
        striding(image(*size)), dilated(image(*size)), striding.strides, strict=True
    ):
        step = max(1, stride // output_stride)
        assert relative(y[:, :, ::step, ::step], x) < 1e-12


@pytest.mark.parametrize("width_mult", [0.1, 0.5, 0.77, 1.0, 1.3])
def test_widths_equal_timm(width_mult: float) -> None:
    with torch.device("meta"):
        theirs = reference._create_ghostnet("ghostnet_100", width=width_mult)
        ours = GhostNetClassifier(width_mult=width_mult)
        backbone = GhostNet(width_mult=width_mult)
    assert dict(shapes_of(ours)) == dict(shapes_of(theirs))
    assert dict(shapes_of(backbone.blocks)) == dict(shapes_of(theirs.blocks[:9]))


def test_published_figures() -> None:
    with torch.device("meta"):
        model, x = classifier("ghostnet"), torch.zeros(1, 3, 224, 224)
        theirs = timm.create_model("ghostnet_100")
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == sum(p.numel() for p in theirs.parameters()) == 5_182_508
    assert multiply_adds(model, x) == pytest.approx(141e6, rel=0.01)


def ghost_module_channel_by_channel(
    x: Tensor, state: dict[str, Tensor], out_channels: int, ratio: int, stride: int, relu: bool
) -> Tensor:
    """The paper's equations (2) and (3), one output channel at a time, in eval mode."""

    def norm(x: Tensor, prefix: str, i: int) -> Tensor:
        weight, bias, mean, var = (
            state[f"{prefix}.1.{name}"][i]
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        x = weight * (x - mean) / (var + 1e-5).sqrt() + bias
        return x.clamp(min=0) if relu else x

    primary_weight, cheap_weight = state["primary_conv.0.weight"], state["cheap_operation.0.weight"]
    primary = [
        norm(F.conv2d(x, w[None], None, stride, w.shape[-1] // 2), "primary_conv", i)
        for i, w in enumerate(primary_weight)
    ]
    cheap = [
        norm(F.conv2d(y, w[None], None, 1, w.shape[-1] // 2), "cheap_operation", i)
        for i, (y, w) in enumerate(
            zip([y for y in primary for _ in range(ratio - 1)], cheap_weight, strict=True)
        )
    ]
    return torch.cat((primary + cheap)[:out_channels], dim=1)


@settings(max_examples=25, deadline=None)
@given(
    in_channels=st.integers(1, 7),
    out_channels=st.integers(1, 13),
    kernel_size=st.sampled_from([1, 3, 5]),
    ratio=st.integers(2, 5),
    dw_kernel_size=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2]),
    relu=st.booleans(),
)
def test_ghost_module_equals_the_equations_and_timm(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    ratio: int,
    dw_kernel_size: int,
    stride: int,
    relu: bool,
) -> None:
    ours = GhostModule(
        in_channels, out_channels, kernel_size, ratio, dw_kernel_size, stride, relu
    ).double()
    theirs = reference.GhostModule(
        in_channels,
        out_channels,
        kernel_size,
        ratio,
        dw_kernel_size,
        stride,
        act_layer=nn.ReLU if relu else nn.Identity,
    ).double()
    state = random_state(shapes_of(theirs), seed=out_channels)
    theirs.load_state_dict(state)
    ours.load_state_dict(state, strict=True)
    x = image(9, 11, channels=in_channels)
    out = ours.eval()(x)
    assert out.shape == (2, out_channels, math.ceil(9 / stride), math.ceil(11 / stride))
    expected = ghost_module_channel_by_channel(x, state, out_channels, ratio, stride, relu)
    assert torch.allclose(out, expected, rtol=1e-10, atol=1e-10)
    assert torch.allclose(ours.train()(x), theirs.train()(x), rtol=1e-10, atol=1e-10)
    for name, buffer in theirs.named_buffers():
        assert torch.allclose(ours.get_buffer(name), buffer, rtol=1e-10, atol=1e-10)


def test_dilated_ghost_module_reads_every_second_pixel() -> None:
    plain = GhostModule(3, 7, kernel_size=3, ratio=3, dw_kernel_size=5).double().eval()
    plain.load_state_dict(random_state(shapes_of(plain), seed=2))
    dilated = GhostModule(3, 7, kernel_size=3, ratio=3, dw_kernel_size=5, dilation=2).double()
    dilated.eval().load_state_dict(plain.state_dict())
    x = image(15, 16)
    assert relative(dilated(x)[:, :, ::2, 1::2], plain(x[:, :, ::2, 1::2])) < 1e-12


@pytest.mark.parametrize("channels", [(8, 24, 8), (8, 24, 12), (7, 15, 9)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("se_ratio", [0.0, 0.25, 0.3])
@pytest.mark.parametrize("train", [False, True])
def test_bottleneck_equals_timm(
    channels: tuple[int, int, int], stride: int, se_ratio: float, train: bool
) -> None:
    ours = GhostBottleneck(*channels, 5, stride, se_ratio).double()
    theirs = reference.GhostBottleneck(*channels, 5, stride, se_ratio=se_ratio).double()
    state = random_state(shapes_of(theirs), seed=1)
    theirs.load_state_dict(state)
    ours.load_state_dict(state, strict=True)
    a = image(9, 14, channels=channels[0]).requires_grad_()
    b = a.detach().clone().requires_grad_()
    assert relative(ours.train(train)(a), theirs.train(train)(b)) < 1e-12
    assert_equal_gradients(ours, theirs, a, b)
    assert any(isinstance(part, SqueezeExcite) for part in ours.modules()) == (se_ratio > 0)


def test_half_of_the_weights() -> None:
    dense = nn.Conv2d(64, 128, 3, bias=False).weight.numel()
    for ratio in (2, 4):
        module = GhostModule(64, 128, kernel_size=3, ratio=ratio)
        weights = sum(p.numel() for p in module.parameters() if p.ndim == 4)
        assert dense / weights == pytest.approx(ratio, rel=0.06)  # §3.1: about the ratio


@settings(max_examples=10, deadline=None)
@given(
    output_stride=st.sampled_from([8, 16, 32]),
    width_mult=st.floats(0.05, 0.5),
    size=st.tuples(st.integers(32, 140), st.integers(32, 140)),
    in_channels=st.integers(1, 5),
)
def test_maps_have_the_promised_shapes(
    output_stride: int, width_mult: float, size: tuple[int, int], in_channels: int
) -> None:
    backbone = build_backbone(
        "ghostnet", output_stride=output_stride, in_channels=in_channels, width_mult=width_mult
    )
    assert backbone.strides == [min(s, output_stride) for s in (4, 8, 16, 32)]
    maps = backbone(torch.zeros(2, in_channels, *size))
    for x, channels, stride in zip(maps, backbone.channels, backbone.strides, strict=True):
        assert x.shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))


def test_options() -> None:
    backbone = build_backbone("ghostnet", out_indices=(1, 3), in_channels=1, output_stride=16)
    assert (backbone.channels, backbone.strides) == ([40, 160], [8, 16])
    shapes = [tuple(x.shape) for x in backbone(torch.zeros(2, 1, 65, 65))]
    assert shapes == [(2, 40, 9, 9), (2, 160, 5, 5)]
    maps = build_backbone("ghostnet", out_indices=[2])(torch.zeros(2, 3, 32, 32))
    assert [tuple(x.shape) for x in maps] == [(2, 112, 2, 2)]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"output_stride": 64}, "output_stride must be 8, 16 or 32, got 64"),
        ({"out_indices": (0, 4)}, "out_indices must be ascending indices from 0 to 3"),
        ({"out_indices": (2, 1)}, "out_indices"),
        ({"width_mult": 0}, "width_mult must be > 0, got 0"),
        ({"out_blocks": (1,)}, "'out_blocks' is no option of ghostnet"),
    ],
)
def test_refuses(options: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        build_backbone("ghostnet", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"ratio": 1}, "ratio must be a whole number >= 2, got 1"),
        ({"ratio": 2.5}, "ratio must be a whole number >= 2, got 2.5"),
        ({"dw_kernel_size": 2}, "dw_kernel_size must be odd, got 2"),
        ({"kernel_size": 4}, "kernel_size must be odd, got 4"),
        ({"dilation": 0}, "dilation must be >= 1, got 0"),
    ],
)
def test_module_refuses(options: dict[str, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        GhostModule(8, 8, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"stride": 3}, "stride must be 1 or 2, got 3"),
        ({"dw_kernel_size": 4}, "dw_kernel_size must be odd, got 4"),
        ({"se_ratio": -0.25}, "se_ratio must be >= 0, got -0.25"),
        ({"dilation": 0}, "dilation"),
    ],
)
def test_bottleneck_refuses(options: dict[str, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        GhostBottleneck(8, 16, 8, **options)


def test_backbone_takes_the_names_of_the_classifier() -> None:
    names = set(classifier("ghostnet").state_dict())
    own = set(build_backbone("ghostnet").state_dict())
    head = ("blocks.9.", "conv_head.", "classifier.")
    assert own == {name for name in names if not name.startswith(head)}


def test_copies_and_meta_device() -> None:
    backbone = build_backbone("ghostnet", output_stride=8, width_mult=0.5).eval()
    x = torch.randn(1, 3, 33, 47)
    for a, b in zip(backbone(x), deepcopy(backbone)(x), strict=True):
        assert torch.equal(a, b)
    with torch.device("meta"):
        maps = build_backbone("ghostnet")(torch.zeros(2, 3, 513, 513))
    assert tuple(maps[-1].shape) == (2, 160, 17, 17)


@pytest.mark.slow
@pytest.mark.parametrize("output_stride", [16, 32])
def test_exports_with_dynamic_size(output_stride: int) -> None:
    backbone = build_backbone("ghostnet", output_stride=output_stride).eval()
    assert_exports(backbone)
