"""Receptive fields and valid taps agree with gradients and with counting; so does the explorer."""

import pytest
import torch
from torch import nn

from seglib.backbones.mobilenetv2 import MobileNetV2
from seglib.teach import figures
from seglib.teach import receptive_field_explorer as explorer
from seglib.teach.receptive_field import (
    Place,
    aspp_view,
    backbone_layers,
    receptive_field,
    valid_taps,
)


def chain(layers: list[tuple[int, int, int]]) -> nn.Sequential:
    """Convolutions without padding whose weights are all 1."""
    convs = [nn.Conv2d(1, 1, k, s, dilation=d, bias=False) for k, s, d in layers]
    for conv in convs:
        nn.init.ones_(conv.weight)
    return nn.Sequential(*convs).double()


@pytest.mark.parametrize(
    "layers",
    [
        [],
        [(3, 1, 1)],
        [(3, 2, 1), (3, 2, 1), (3, 1, 2)],
        [(7, 2, 1), (2, 2, 1), (1, 1, 9), (5, 1, 3), (3, 3, 1)],
    ],
)
def test_size_is_what_the_gradient_reaches(layers: list[tuple[int, int, int]]) -> None:
    size, stride = receptive_field(layers)
    x = torch.zeros(1, 1, size + stride, size + stride, dtype=torch.float64, requires_grad=True)
    out = chain(layers)(x)
    assert out.shape[-1] == 2
    out[0, 0, 0, 0].backward()
    assert x.grad is not None
    seen = x.grad[0, 0].any(dim=0).nonzero().flatten()
    assert int(seen.max() - seen.min()) + 1 == size
    assert int(seen.min()) == 0


@pytest.mark.parametrize("output_stride, size", [(32, 491), (16, 491), (8, 491)])
def test_backbone(output_stride: int, size: int) -> None:
    layers = backbone_layers("mobilenetv2", output_stride)
    convs = [
        (conv.kernel_size[0], conv.stride[0], conv.dilation[0])
        for conv in MobileNetV2(output_stride=output_stride).modules()
        if isinstance(conv, nn.Conv2d)
    ]
    assert receptive_field(layers) == receptive_field(convs)
    assert receptive_field(layers)[1] == output_stride
    assert backbone_layers("none", output_stride) == [(1, output_stride, 1)]


@pytest.mark.parametrize("height, width", [(1, 1), (5, 9), (33, 20)])
@pytest.mark.parametrize("rate", [1, 2, 6, 18, 40])
def test_valid_taps_are_those_that_read_the_map(height: int, width: int, rate: int) -> None:
    conv = nn.Conv2d(1, 1, 3, padding=rate, dilation=rate, bias=False)
    nn.init.ones_(conv.weight)
    counted = conv(torch.ones(1, 1, height, width))[0, 0].long()
    assert torch.equal(valid_taps(height, width, rate), counted)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"dilation of layers\[1\]"):
        receptive_field([(3, 1, 1), (3, 1, 0)])
    with pytest.raises(ValueError, match="rate"):
        valid_taps(5, 5, 0)
    with pytest.raises(ValueError, match="name must be"):
        backbone_layers("vgg", 16)  # type: ignore[arg-type]


@pytest.mark.parametrize("output_stride, size", [(8, 65), (16, 33), (32, 17)])
@pytest.mark.parametrize("place", ["centre", "edge", "corner"])
def test_view_counts_what_a_convolution_reads(output_stride: int, size: int, place: Place) -> None:
    rates = (3, 12, 20)
    view = aspp_view(rates, output_stride, 513, place)
    maps = MobileNetV2(output_stride=output_stride, width_mult=0.1)(torch.zeros(1, 3, 513, 513))
    assert view.map_size == size == maps[-1].shape[-1]
    at = {"centre": (size // 2, size // 2), "edge": (size // 2, 0), "corner": (0, 0)}[place]
    for branch, rate in zip(view.branches, rates, strict=True):
        conv = nn.Conv2d(1, 1, 3, padding=rate, dilation=rate, bias=False)
        nn.init.ones_(conv.weight)
        counted = conv(torch.ones(1, 1, size, size))[0, 0]
        assert branch.taps == counted[at]
        assert branch.mean_taps == pytest.approx(counted.double().mean().item())
        assert branch.span == 2 * rate + 1
        assert branch.field == view.backbone_field + 2 * rate * output_stride


def test_view_shows_itself() -> None:
    view = aspp_view((6, 12, 18), 16, 513, "corner")
    assert "map 33×33" in repr(view)
    assert "1067" in repr(view)
    assert "3.64" in view._repr_html_()
    assert "at the corner" in view._repr_html_()
    assert view._repr_html_() == aspp_view((6, 12, 18), 16, 513, "corner")._repr_html_()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (((), 16, 513, "centre"), "rates must be one or more"),
        (((6, 0), 16, 513, "centre"), "rate"),
        (((6,), 12, 513, "centre"), "output_stride"),
        (((6,), 16, 0, "centre"), "input_size"),
        (((6,), 16, 513, "middle"), "place must be one of centre, edge, corner, got 'middle'"),
    ],
)
def test_view_refuses(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        aspp_view(*arguments)  # type: ignore[arg-type]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    bundles: list[dict[str, object]] = []

    def keep(bundle: dict[str, object], metadata: object = None) -> None:
        bundles.append(bundle)

    monkeypatch.setattr(explorer, "put", keep)
    monkeypatch.setattr(figures, "put", keep)
    return bundles


def test_picture_shows_every_tap() -> None:
    for place in ("centre", "corner", "edge"):
        view = aspp_view((2, 4, 20), 16, 16 * 17, place)  # type: ignore[arg-type]
        figure = explorer.draw(view)
        left, right = figure.axes
        drawn = [len(points.get_offsets()) for points in left.collections]
        assert sum(drawn) == 3 * 8 + 1
        dots = sum(drawn[0:-1:2]) + 1
        assert dots == sum(branch.taps - 1 for branch in view.branches) + 1
        assert right.patches[-1].get_width() == view.branches[-1].mean_taps  # type: ignore[attr-defined]
        assert f"rate 20: {view.branches[2].taps} of 9" in explorer.describe(view)
        if place == "centre":
            assert dots == 17


def test_explorer_has_a_still_picture(shown: list[dict[str, object]]) -> None:
    explorer.aspp_explorer()
    kinds = [set(bundle) for bundle in shown]
    assert "application/vnd.jupyter.widget-view+json" in kinds[0]
    assert any("image/png" in kind for kind in kinds)
    assert str(shown[0]["text/plain"]).startswith("Controls")
    words = [bundle["text/html"] for bundle in shown if "text/html" in bundle]
    shown.clear()
    explorer.aspp_explorer()
    assert words == [bundle["text/html"] for bundle in shown if "text/html" in bundle]
    with pytest.raises(ValueError, match="rates must be one of"):
        explorer.aspp_explorer((5, 6, 7))
    with pytest.raises(ValueError, match="input_size must be"):
        explorer.aspp_explorer(input_size=8)


def test_explorer_reacts(shown: list[dict[str, object]]) -> None:
    import ipywidgets

    made: list[ipywidgets.Widget] = []
    ipywidgets.Widget.on_widget_constructed(made.append)
    try:
        explorer.aspp_explorer()
    finally:
        ipywidgets.Widget.on_widget_constructed(None)
    named = {widget.description: widget for widget in made if getattr(widget, "description", "")}
    assert list(named) == ["rates", "output stride", "image size", "pixel"]
    page = next(widget for widget in made if isinstance(widget, ipywidgets.HTML))
    named["output stride"].value = 8
    assert "map 65×65" in page.value
    named["rates"].value = (12, 24, 36)
    named["image size"].value = 257
    named["pixel"].value = "corner"
    assert "map 33×33" in page.value
    assert "rate 36: 1 of 9" in page.value
    assert "taps inside at the corner" in page.value
