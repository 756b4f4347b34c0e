import pytest
import torch
from support import heavy_ones_slow, multiply_adds, random_state, relative, shapes_of
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

import seglib
from seglib import available_models, build_model
from seglib.layers import SeparableConv2d
from seglib.models import resnet_fpn

SMALL = {"width_mult": 0.35}


def test_what_the_package_exports() -> None:
    assert set(seglib.__all__) == {
        "available_models",
        "build_backbone",
        "build_dataset",
        "build_model",
        "load_weights",
        "save_weights",
    }


HEADS = ("deeplabv3", "deeplabv3plus", "fpn")
RESNETS = "resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d resnext101_32x8d"
NAMES = f"mobilenetv2 mobilenetv3_large mobilenetv3_small ghostnet {RESNETS} wide_resnet50_2"
HRNETS = ["hrnetv2_32", "hrnetv2_48"]
WITH_PYRAMID = [*NAMES.split(), "wide_resnet101_2", "xception"]


def test_available_models() -> None:
    expected = {f"{head}_{backbone}" for head in HEADS for backbone in WITH_PYRAMID}
    expected |= {f"{head}_{backbone}" for head in HEADS[:2] for backbone in HRNETS}
    names = available_models()
    assert set(names) == expected
    assert len(names) == len(expected)
    alias = build_model("deeplabv3_mobilenet", backbone_options=SMALL)
    assert alias.config["name"] == "deeplabv3_mobilenetv2"


@pytest.mark.parametrize("name", heavy_ones_slow(available_models()))
def test_every_model_trains_at_an_odd_size(name: str) -> None:
    model = build_model(name, num_classes=5)
    logits = model(torch.randn(2, 3, 65, 97))
    assert logits.shape == (2, 5, 65, 97)
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("backbone", heavy_ones_slow([*WITH_PYRAMID, *HRNETS]))
def test_every_backbone_at_the_size_of_the_papers(backbone: str) -> None:
    model = build_model(f"deeplabv3_{backbone}").eval()
    with torch.inference_mode():
        assert model(torch.randn(1, 3, 513, 513)).shape == (1, 21, 513, 513)


@pytest.mark.parametrize("name", [f"{head}_mobilenetv2" for head in HEADS])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(65, 97), (32, 32), (33, 120)])
def test_logits_have_the_size_of_the_image(
    name: str, output_stride: int, size: tuple[int, int]
) -> None:
    model = build_model(
        name,
        num_classes=5,
        output_stride=output_stride,
        in_channels=2,
        backbone_options=SMALL,
        head_options={"fpn_channels": 16} if name.startswith("fpn") else {"aspp_channels": 16},
    )
    logits = model(torch.randn(2, 2, *size))
    assert logits.shape == (2, 5, *size)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("output_stride", "rates"), [(32, (3, 6, 9)), (16, (6, 12, 18)), (8, (12, 24, 36))]
)
def test_rates_follow_output_stride(output_stride: int, rates: tuple[int, ...]) -> None:
    for given in (None, rates):
        model = build_model(
            "deeplabv3_mobilenetv2",
            output_stride=output_stride,
            head_options={"aspp_rates": given},
        )
        found = [conv[0].dilation[0] for conv in list(model.head.aspp.convs)[1:-1]]
        assert found == list(rates)


@pytest.mark.parametrize(
    ("name", "options", "giga"),
    [
        ("deeplabv3_mobilenetv2", {}, 6.01),
        ("deeplabv3_mobilenetv2", {"legacy_padding": True}, 5.84),
        ("deeplabv3plus_mobilenetv2", {}, 17.12),
        ("deeplabv3plus_mobilenetv2", {"legacy_padding": True}, 16.82),
        ("deeplabv3_resnet50", {}, 51.08),
        ("deeplabv3plus_resnet50", {}, 62.38),
        ("deeplabv3plus_resnet101", {}, 83.01),
    ],
)
def test_multiply_adds_at_513(name: str, options: dict[str, bool], giga: float) -> None:
    with torch.device("meta"):
        model = build_model(name, backbone_options=options)
        x = torch.zeros(1, 3, 513, 513)
    assert multiply_adds(model, x) / 1e9 == pytest.approx(giga, rel=0.01)


def test_head_options() -> None:
    model = build_model(
        "deeplabv3plus_mobilenetv2",
        head_options={
            "aspp_rates": [2, 4],
            "decoder_convs": 2,
            "separable": True,
            "align_corners": True,
            "aspp_channels": 32,
            "aspp_dropout": 0.5,
            "low_level_channels": 8,
        },
    )
    assert model.align_corners
    assert model.head.align_corners
    assert model.head.aspp.project[3].p == 0.5
    assert model.head.project[0].out_channels == 8
    assert sum(isinstance(m, SeparableConv2d) for m in model.modules()) == 4
    assert len(model.head.aspp.convs) == 4
    assert model(torch.randn(2, 3, 65, 97)).shape == (2, 21, 65, 97)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("deeplabv3plus_mobilenetv2", SMALL),
        ("fpn_resnet18", {}),
        pytest.param("deeplabv3plus_mobilenetv3_small", {}, marks=pytest.mark.slow),
        pytest.param("deeplabv3_ghostnet", {"width_mult": 0.5}, marks=pytest.mark.slow),
        pytest.param("deeplabv3plus_xception", {}, marks=pytest.mark.slow),
        pytest.param("deeplabv3_hrnetv2_32", {}, marks=pytest.mark.slow),
    ],
)
def test_export_with_dynamic_size(name: str, options: dict[str, object]) -> None:
    head_options = {"fpn_channels": 16} if name.startswith("fpn") else {"aspp_channels": 16}
    model = build_model(name, backbone_options=options, head_options=head_options).eval()
    # torch takes a map of one pixel for another case; at stride 32 it stands for 32 pixels or less
    smallest = 33 if "hrnet" in name else 32
    height = torch.export.Dim("height", min=smallest)
    width = torch.export.Dim("width", min=smallest)
    program = torch.export.export(
        model, (torch.randn(1, 3, 64, 96),), dynamic_shapes={"x": {2: height, 3: width}}
    )
    x = torch.randn(1, 3, 81, 113)
    with torch.no_grad():
        assert torch.allclose(program.module()(x), model(x), atol=1e-5)


def test_maps_are_chosen_by_stride() -> None:
    for backbone, low_level, high_level in (
        ("resnet18", 0, 3),
        ("xception", 0, 3),
        ("hrnetv2_32", 0, 1),
    ):
        with torch.device("meta"):
            plus = build_model(f"deeplabv3plus_{backbone}")
            assert plus.levels == [low_level, high_level]
            assert build_model(f"deeplabv3_{backbone}").levels == [high_level]
            assert plus.head.project[0].in_channels == plus.backbone.channels[low_level]
    blocks = {"out_blocks": (0, 2, 3, 6, 17), **SMALL}
    model = build_model("deeplabv3plus_mobilenetv2", backbone_options=blocks)
    assert [model.backbone.strides[i] for i in model.levels] == [4, 16]
    assert model.levels == [2, 4]
    assert model(torch.randn(2, 3, 65, 97)).shape == (2, 21, 65, 97)


def test_rates_of_hrnet_are_those_of_stride_8() -> None:
    with torch.device("meta"):
        model = build_model("deeplabv3_hrnetv2_32")
    assert [conv[0].dilation[0] for conv in list(model.head.aspp.convs)[1:-1]] == [12, 24, 36]


def test_fpn_joins_all_levels() -> None:
    with torch.device("meta"):
        assert build_model("fpn_resnet18", output_stride=32).levels == [0, 1, 2, 3]
        model = build_model("fpn_resnet18", backbone_options={"out_indices": (1, 3)})
        assert model.levels == [0, 1]


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 4, 64, 64), (1, 3, 64)])
def test_a_wrong_image_is_named(shape: tuple[int, ...]) -> None:
    model = build_model("deeplabv3_mobilenetv2", backbone_options=SMALL)
    with pytest.raises(ValueError, match=r"x must be \(N, 3, H, W\), got"):
        model(torch.zeros(shape))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "foo"}, "name must be <head>_<backbone> with .*'foo'"),
        ({"name": "deeplabv3plus_foo"}, "backbone mobilenetv2, .* got 'deeplabv3plus_foo'"),
        ({"output_stride": 7}, "output_stride must be 8, 16 or 32, got 7"),
        ({"num_classes": 0}, "num_classes must be a whole number >= 1, got 0"),
        ({"num_classes": 2.0}, "num_classes"),
        ({"in_channels": -1}, "in_channels must be a whole number >= 1, got -1"),
        ({"head_options": {"foo": 1}}, "'foo' is no option of head deeplabv3plus"),
        ({"backbone_options": {"depth": 50}}, "'depth' is no option of mobilenetv2"),
        ({"backbone_options": {"in_channels": 1}}, "backbone_options holds 'in_channels'"),
        (
            {"name": "deeplabv3_mobilenetv2", "head_options": {"decoder_convs": 2}},
            "'decoder_convs' is no option of head deeplabv3,",
        ),
        (
            {"head_options": {"decoder_convs": 0}},
            "decoder_convs must be a whole number >= 1, got 0",
        ),
        ({"name": "fpn_hrnetv2_48"}, "HRNet's all have one; use deeplabv3_hrnetv2_48 or"),
        ({"name": "fpn_mobilenetv2", "head_options": {"aspp_rates": (6,)}}, "'aspp_rates' is no"),
        ({"backbone_options": {"out_indices": (1, 3)}}, r"map at stride 4 .* are \[8, 16\]"),
        ({"name": "deeplabv3_resnet50", "backbone_options": {"depth": 18}}, "'depth' is no option"),
        ({"name": "deeplabv3_hrnetv2_32", "output_stride": 4}, "output_stride must be 8, 16 or 32"),
        (
            {"name": "deeplabv3_mobilenetv2", "backbone_options": {"out_blocks": (0,)}},
            "give head_options.* at stride 2",
        ),
    ],
)
def test_refuses(arguments: dict[str, object], message: str) -> None:
    arguments = {"name": "deeplabv3plus_mobilenetv2", **arguments}
    with pytest.raises(ValueError, match=message):
        build_model(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("depth", [18, 50, 101, 152])
def test_resnet_fpn_equals_torchvisions(depth: int) -> None:
    theirs = resnet_fpn_backbone(
        backbone_name=f"resnet{depth}", weights=None, norm_layer=torch.nn.BatchNorm2d
    ).double()
    theirs.load_state_dict(random_state(shapes_of(theirs), seed=1))
    ours = resnet_fpn(depth, backbone_options={"style": "pytorch"}).double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(1, 3, 65, 100, dtype=torch.float64)
    with torch.no_grad():
        found, expected = ours.eval()(x), list(theirs.eval()(x).values())
    assert [tuple(m.shape[-2:]) for m in found] == [(17, 25), (9, 13), (5, 7), (3, 4), (2, 2)]
    for a, b in zip(found, expected, strict=True):
        assert relative(a, b) < 1e-9


def test_resnet_fpn_as_maskrcnn_benchmark_builds_it() -> None:
    model = resnet_fpn(50)
    body = model.body
    assert body.layer2[0].conv1.stride == (2, 2)
    assert body.layer2[0].conv2.stride == (1, 1)
    frozen = {name.split(".")[0] for name, p in body.named_parameters() if not p.requires_grad}
    assert frozen == {"conv1", "bn1", "layer1"}
    model.train()
    assert not any(m.training for m in body.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert [m.shape[1] for m in resnet_fpn(50, out_channels=8)(torch.zeros(1, 3, 64, 64))] == [
        8
    ] * 5
    with pytest.raises(ValueError, match="resnet20"):
        resnet_fpn(20)
