"""Receptive fields and valid taps agree with gradients and with counting."""

import pytest
import torch
from torch import nn

from seglib.backbones.mobilenetv2 import MobileNetV2
from seglib.teach.receptive_field import backbone_layers, receptive_field, valid_taps


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
