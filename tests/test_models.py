import pytest
import torch
from support import multiply_adds

import seglib
from seglib import available_models, build_model
from seglib.layers import SeparableConv2d

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


def test_available_models() -> None:
    assert available_models() == ["deeplabv3_mobilenetv2", "deeplabv3plus_mobilenetv2"]
    alias = build_model("deeplabv3_mobilenet", backbone_options=SMALL)
    assert alias.config["name"] == "deeplabv3_mobilenetv2"


@pytest.mark.parametrize("name", available_models())
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
        head_options={"aspp_channels": 16},
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
    ],
)
def test_multiply_adds_at_513(name: str, options: dict[str, bool], giga: float) -> None:
    model = build_model(name, backbone_options=options)
    with torch.device("meta"):
        x = torch.zeros(1, 3, 513, 513)
    assert multiply_adds(model.to("meta"), x) / 1e9 == pytest.approx(giga, rel=0.01)


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


def test_export_with_dynamic_size() -> None:
    model = build_model(
        "deeplabv3plus_mobilenetv2", backbone_options=SMALL, head_options={"aspp_channels": 16}
    ).eval()
    height, width = torch.export.Dim("height", min=32), torch.export.Dim("width", min=32)
    program = torch.export.export(
        model, (torch.randn(1, 3, 64, 96),), dynamic_shapes={"x": {2: height, 3: width}}
    )
    x = torch.randn(1, 3, 81, 113)
    with torch.no_grad():
        assert torch.allclose(program.module()(x), model(x), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "foo"}, "name must be one of deeplabv3_mobilenetv2.*'foo'"),
        ({"name": "deeplabv3plus_foo"}, "name must be one of"),
        ({"output_stride": 7}, "output_stride must be 8, 16 or 32, got 7"),
        ({"num_classes": 0}, "num_classes must be a whole number >= 1, got 0"),
        ({"num_classes": 2.0}, "num_classes"),
        ({"in_channels": -1}, "in_channels"),
        ({"head_options": {"foo": 1}}, "'foo' is no option of head deeplabv3plus"),
        ({"backbone_options": {"depth": 50}}, "'depth' is no option of mobilenetv2"),
        ({"backbone_options": {"in_channels": 1}}, "backbone_options holds 'in_channels'"),
        (
            {"name": "deeplabv3_mobilenetv2", "head_options": {"decoder_convs": 2}},
            "'decoder_convs' is no option of head deeplabv3,",
        ),
        ({"head_options": {"decoder_convs": 0}}, "decoder_convs must be >= 1, got 0"),
    ],
)
def test_refuses(arguments: dict[str, object], message: str) -> None:
    arguments = {"name": "deeplabv3plus_mobilenetv2", **arguments}
    with pytest.raises(ValueError, match=message):
        build_model(**arguments)  # type: ignore[arg-type]
