import pytest
import torch
import torchvision
from support import assert_equal_gradients, multiply_adds, random_state, relative, shapes_of

from seglib.backbones import build_backbone, classifier
from seglib.backbones.mobilenetv2 import InvertedResidual, MobileNetV2, block_table
from seglib.weights import load_weights

SIZES = [(65, 97), (224, 224), (33, 47)]


def test_block_table_matches_the_paper() -> None:
    rows = block_table()
    assert len(rows) == 17
    assert [r.stride for r in rows].count(2) == 4
    assert {r.dilation for r in rows} == {1}
    assert rows[0] == (32, 16, 1, 1, 1)
    assert rows[-1] == (160, 320, 1, 1, 6)


def test_first_block_of_a_dilated_stage_keeps_the_previous_dilation() -> None:
    assert [r.dilation for r in block_table(16)[13:]] == [1, 2, 2, 2]
    assert [r.dilation for r in block_table(8)[6:]] == [1, 2, 2, 2, 2, 2, 2, 2, 4, 4, 4]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("train", [False, True])
def test_classifier_equals_torchvision(size: tuple[int, int], train: bool) -> None:
    theirs = torchvision.models.mobilenet_v2().double()
    state = random_state(shapes_of(theirs), seed=3)
    theirs.load_state_dict(state)
    ours = classifier("mobilenetv2").double()
    ours.load_state_dict(state, strict=True)
    for model in (theirs, ours):
        model.train(train)
        model.classifier[0].p = 0.0
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, expected = ours(a), theirs(b)
    assert relative(out, expected) < 1e-12
    for name, buffer in theirs.named_buffers():
        assert torch.allclose(ours.get_buffer(name), buffer, rtol=1e-12, atol=1e-12)
    if size != (33, 47):
        return
    assert_equal_gradients(ours, theirs, a, b)


@pytest.mark.parametrize("width_mult", [0.35, 0.5, 0.75, 1.0, 1.4])
def test_widths_equal_torchvision(width_mult: float) -> None:
    theirs = torchvision.models.mobilenet_v2(width_mult=width_mult)
    ours = MobileNetV2(width_mult=width_mult)
    expected = dict(shapes_of(theirs.features[:18]))
    assert dict(shapes_of(ours.features)) == expected


def test_published_figures() -> None:
    model = classifier("mobilenetv2")
    assert sum(p.numel() for p in model.parameters()) == 3_504_872
    assert multiply_adds(model, torch.zeros(1, 3, 224, 224)) == pytest.approx(300e6, rel=0.01)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(32, 32), (65, 97), (33, 47), (128, 100)])
def test_maps_have_the_promised_shapes(output_stride: int, size: tuple[int, int]) -> None:
    backbone = build_backbone("mobilenetv2", output_stride=output_stride, width_mult=0.35)
    assert backbone.strides == [min(s, output_stride) for s in (4, 8, 16, 32)]
    maps = backbone.eval()(torch.zeros(1, 3, *size))
    for x, channels, stride in zip(maps, backbone.channels, backbone.strides, strict=True):
        assert x.shape == (1, channels, -(-size[0] // stride), -(-size[1] // stride))


def test_options() -> None:
    backbone = build_backbone("mobilenetv2", out_indices=(1, 3), in_channels=1)
    assert (backbone.channels, backbone.strides) == ([32, 320], [8, 32])
    backbone = build_backbone("mobilenetv2", out_blocks=(0, 2, 17), output_stride=16)
    assert (backbone.channels, backbone.strides) == ([32, 24, 320], [2, 4, 16])
    shapes = [tuple(x.shape) for x in backbone(torch.zeros(1, 3, 65, 65))]
    assert shapes == [(1, 32, 33, 33), (1, 24, 17, 17), (1, 320, 5, 5)]


def test_legacy_padding_shapes() -> None:
    backbone = build_backbone("mobilenetv2", legacy_padding=True)
    assert backbone.features[0](torch.zeros(1, 3, 513, 513)).shape[-1] == 256
    assert MobileNetV2().features[0](torch.zeros(1, 3, 513, 513)).shape[-1] == 257


def test_legacy_padding_differs_only_at_the_border() -> None:
    right, legacy = (
        InvertedResidual(8, 8).double(),
        InvertedResidual(8, 8, legacy_padding=True).double(),
    )
    x = torch.randn(2, 8, 9, 9, dtype=torch.float64)
    legacy.load_state_dict(right.state_dict())
    fresh = right.eval()(x) - legacy.eval()(x)
    assert fresh.abs().max() < 1e-12  # fresh statistics: relu6(bn(0)) = 0
    state = random_state(shapes_of(right), seed=1)
    right.load_state_dict(state)
    legacy.load_state_dict(state)
    difference = (right(x) - legacy(x)).abs()
    assert difference[:, :, 1:-1, 1:-1].max() < 1e-12
    assert difference.max() > 0.05


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"output_stride": 7}, "output_stride must be 8, 16 or 32, got 7"),
        ({"out_indices": (0, 4)}, "out_indices"),
        ({"out_indices": ()}, "out_indices"),
        ({"out_indices": (2, 1)}, "out_indices"),
        ({"out_blocks": (18,)}, "out_blocks"),
        ({"out_blocks": (1,), "out_indices": (1,)}, "out_blocks"),
        ({"width_mult": 0}, "width_mult"),
        ({"depth": 50}, "'depth' is no option of mobilenetv2"),
    ],
)
def test_refuses(options: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        build_backbone("mobilenetv2", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"stride": 3}, "stride"),
        ({"expand_ratio": 0}, "expand_ratio"),
        ({"dilation": 0}, "dilation"),
    ],
)
def test_block_refuses(options: dict[str, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        InvertedResidual(8, 8, **options)


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match=r"mobilenetv2.*'foo'"):
        build_backbone("foo")
    with pytest.raises(ValueError, match="'foo'"):
        classifier("foo")
    with pytest.raises(ValueError, match="in_channels must be a whole number >= 1, got 0"):
        build_backbone("resnet18", in_channels=0)
    with pytest.raises(ValueError, match="num_classes must be a whole number >= 1, got 0"):
        classifier("ghostnet", 0)


def test_a_backbone_takes_the_classification_file() -> None:
    theirs = torchvision.models.mobilenet_v2()
    state = random_state(shapes_of(theirs), seed=4)
    backbone = build_backbone("mobilenetv2", output_stride=16).double()
    report = load_weights(backbone, state)
    assert report.origin == "torchvision"
    assert len(report.loaded) == len(backbone.state_dict())
    assert report.kept == ()
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    theirs.double().eval().load_state_dict(state)
    assert relative(backbone.eval()(x)[1], theirs.features[:7](x)) < 1e-12
