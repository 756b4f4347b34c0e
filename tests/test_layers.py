import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.models._utils import _make_divisible

from seglib.layers import (
    ConvBNReLU,
    ConvNormAct,
    SeparableConv2d,
    fixed_padding,
    make_divisible,
    resize,
)


@given(st.floats(0.1, 5000), st.integers(1, 64))
def test_make_divisible_agrees_with_torchvision(value: float, divisor: int) -> None:
    rounded = make_divisible(value, divisor)
    assert rounded == _make_divisible(value, divisor)
    assert rounded % divisor == 0
    assert rounded >= 0.9 * value


def test_make_divisible_known_values() -> None:
    assert [make_divisible(v) for v in (3, 12, 18, 24, 27, 33.6)] == [8, 16, 24, 24, 32, 32]
    assert make_divisible(5, 8, 32) == 32


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((0,), "value"),
        ((-3,), "value"),
        ((math.nan,), "value"),
        ((math.inf,), "value"),
        ((5, 0), "divisor"),
        ((5, 2.5), "divisor"),
        ((5, 8, 31), "min_value"),
        ((5, 8, 0), "min_value"),
    ],
)
def test_make_divisible_refuses(arguments: tuple[float, ...], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make_divisible(*arguments)  # type: ignore[arg-type]


@given(st.integers(1, 9), st.integers(1, 24), st.integers(1, 60), st.sampled_from([1, 2]))
def test_fixed_padding_keeps_ceil_of_the_size(
    kernel: int, dilation: int, size: int, stride: int
) -> None:
    x = nn.functional.pad(torch.zeros(1, 1, size, size), fixed_padding(kernel, dilation))
    conv = nn.Conv2d(1, 1, kernel, stride, dilation=dilation)
    assert conv(x).shape[-2:] == (math.ceil(size / stride),) * 2


@pytest.mark.parametrize(("arguments", "named"), [((0,), "kernel_size"), ((3, 0), "dilation")])
def test_fixed_padding_refuses(arguments: tuple[int, ...], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        fixed_padding(*arguments)


def test_conv_norm_act_parts() -> None:
    assert [type(part) for part in ConvBNReLU(3, 8)] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU6]
    assert [type(part) for part in ConvNormAct(3, 8, activation_layer=None)] == [
        nn.Conv2d,
        nn.BatchNorm2d,
    ]
    assert ConvBNReLU(3, 8)[0].bias is None
    with pytest.raises(ValueError, match="kernel_size must be odd, got 2"):
        ConvNormAct(3, 8, kernel_size=2)


def test_separable_conv_is_its_dense_product() -> None:
    """A depthwise kernel times a 1×1 kernel is a dense kernel of rank one per channel."""
    separable = SeparableConv2d(3, 5, 3, stride=2, padding=2, dilation=2).double()
    dense = nn.Conv2d(3, 5, 3, stride=2, padding=2, dilation=2, bias=False).double()
    dense.weight.data = separable.pointwise.weight * separable.conv1.weight[None, :, 0]
    x = torch.randn(2, 3, 11, 14, dtype=torch.float64)
    assert torch.allclose(separable(x), dense(x), atol=1e-12)


@pytest.mark.parametrize("align_corners", [False, True])
def test_resize_is_interpolate(align_corners: bool) -> None:
    x = torch.randn(2, 3, 5, 7)
    expected = nn.functional.interpolate(x, (9, 20), mode="bilinear", align_corners=align_corners)
    assert torch.equal(resize(x, (9, 20), align_corners), expected)
    assert torch.equal(resize(x, (5, 7), align_corners), x)
