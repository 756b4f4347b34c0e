import math
from functools import partial
from itertools import product

import pytest
import timm.layers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import random_state, relative, shapes_of
from timm.models._efficientnet_blocks import SqueezeExcite as TimmSqueezeExcite
from torch import Tensor, nn
from torchvision.models._utils import _make_divisible
from torchvision.ops import SqueezeExcitation

from seglib.layers import (
    ConvBNReLU,
    ConvNormAct,
    DeformableConv2d,
    HardSigmoid,
    HardSwish,
    SeparableConv2d,
    SqueezeExcite,
    fixed_padding,
    make_divisible,
    resize,
)


@given(st.floats(0.1, 5000), st.integers(1, 64))
def test_make_divisible_agrees_with_torchvision_and_timm(value: float, divisor: int) -> None:
    rounded = make_divisible(value, divisor)
    assert rounded == _make_divisible(value, divisor) == timm.layers.make_divisible(value, divisor)
    assert rounded % divisor == 0
    assert rounded >= 0.9 * value
    assert rounded < max(value, divisor) + 1.5 * divisor


@given(st.floats(0.1, 5000), st.integers(1, 64), st.integers(1, 400))
def test_make_divisible_with_a_smallest_result(value: float, divisor: int, min_value: int) -> None:
    """An odd `min_value` is refused, not returned as in TensorFlow's code: 5, 8, 31 → 31."""
    if min_value < divisor or min_value % divisor:
        with pytest.raises(ValueError, match=f"multiple of divisor={divisor}, got {min_value}"):
            make_divisible(value, divisor, min_value)
        return
    rounded = make_divisible(value, divisor, min_value)
    assert rounded == _make_divisible(value, divisor, min_value)
    assert rounded % divisor == 0
    assert rounded >= max(min_value, 0.9 * value)


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
    layers = ConvNormAct(6, 64, 5, 2, 3, 2, None, HardSwish, partial(nn.GroupNorm, 32))
    assert [type(part) for part in layers] == [nn.Conv2d, nn.GroupNorm, HardSwish]
    assert (layers[0].padding, layers[0].groups) == ((6, 6), 2)
    assert layers(torch.zeros(1, 6, 65, 33)).shape == (1, 64, 33, 17)
    with pytest.raises(ValueError, match="kernel_size must be odd, got 2"):
        ConvNormAct(3, 8, kernel_size=2)


def test_separable_conv_is_its_dense_product() -> None:
    """A depthwise kernel times a 1×1 kernel is a dense kernel of rank one per channel."""
    separable = SeparableConv2d(3, 5, 3, stride=2, padding=2, dilation=2).double()
    dense = nn.Conv2d(3, 5, 3, stride=2, padding=2, dilation=2, bias=False).double()
    dense.weight.data = separable.pointwise.weight * separable.conv1.weight[None, :, 0]
    x = torch.randn(2, 3, 11, 14, dtype=torch.float64)
    assert torch.allclose(separable(x), dense(x), atol=1e-12)


FORMULAS = {
    HardSigmoid: (nn.Hardsigmoid, lambda x: (x + 3).clamp(0, 6) / 6),
    HardSwish: (nn.Hardswish, lambda x: x * (x + 3).clamp(0, 6) / 6),
}


@pytest.mark.parametrize("activation", FORMULAS)
def test_hard_activations(activation: type[nn.Module]) -> None:
    theirs, formula = FORMULAS[activation]
    x = torch.linspace(-5, 5, 201, dtype=torch.float64)
    x = x[(x.abs() - 3).abs() > 0.01]  # the derivative jumps at −3 and 3
    inputs = [x.clone().requires_grad_() for _ in range(3)]
    results = [f(a) for f, a in zip((activation(), theirs(), formula), inputs, strict=True)]
    for result in results:
        result.sum().backward()
    assert torch.equal(results[0], results[1])
    assert torch.equal(inputs[0].grad, inputs[1].grad)
    assert torch.allclose(results[0], results[2], rtol=1e-12, atol=1e-12)
    # torch's derivative of the hard sigmoid holds 1/6 in single precision, whatever x is.
    assert torch.allclose(inputs[0].grad, inputs[2].grad, rtol=0, atol=1e-7)
    ends = activation()(torch.tensor([-3.0, 0.0, 3.0]))
    assert ends.tolist() == ([0, 0.5, 1] if activation is HardSigmoid else [0, 0, 3])
    assert activation()(x.half()).dtype == torch.float16


@given(
    channels=st.integers(1, 70),
    reduction=st.sampled_from([1, 2, 4, 3.5, 16]),
    divisor=st.sampled_from([1, 4, 8]),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
)
@settings(max_examples=20, deadline=None)
def test_squeeze_excite_equals_torchvision_and_timm(
    channels: int, reduction: float, divisor: int, size: tuple[int, int]
) -> None:
    squeezed = _make_divisible(channels / reduction, divisor)
    pairs = [
        (
            SqueezeExcite(channels, reduction, divisor),
            SqueezeExcitation(channels, squeezed, scale_activation=nn.Hardsigmoid),
        ),
        (
            SqueezeExcite(channels, reduction, divisor, nn.Sigmoid, ("conv_reduce", "conv_expand")),
            TimmSqueezeExcite(
                channels,
                1 / reduction,
                rd_round_fn=partial(timm.layers.make_divisible, divisor=divisor),
            ),
        ),
    ]
    x = torch.randn(2, channels, *size, dtype=torch.float64)
    for ours, theirs in pairs:
        state = random_state(shapes_of(theirs), seed=1)
        theirs.double().load_state_dict(state)
        ours.double().load_state_dict(state, strict=True)
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        out, expected = ours(a), theirs(b)
        assert torch.allclose(out, expected, rtol=1e-12, atol=1e-12)
        out.square().sum().backward()
        expected.square().sum().backward()
        assert torch.allclose(a.grad, b.grad, rtol=1e-10, atol=1e-10)
        for name, parameter in theirs.named_parameters():
            grad = ours.get_parameter(name).grad
            assert torch.allclose(grad, parameter.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": 0}, "reduction must be > 0, got 0"),
        ({"reduction": -4}, "reduction must be > 0, got -4"),
        ({"divisor": 0}, "divisor must be a whole number >= 1, got 0"),
    ],
)
def test_squeeze_excite_refuses(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SqueezeExcite(16, **options)


def sample(plane: Tensor, y: float, x: float) -> Tensor:
    """The value of (H, W) between pixels, zero outside."""
    top, left = math.floor(y), math.floor(x)
    value = torch.zeros((), dtype=plane.dtype)
    for row, column in product((top, top + 1), (left, left + 1)):
        if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
            value = value + plane[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return value


def deformable(layer: DeformableConv2d, x: Tensor) -> Tensor:
    """Equation 2 of the paper, pixel by pixel; equation 1 of version 2 where it is modulated."""
    (k, _), (stride, _), (pad, _), (dilation, _) = (
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
    )
    field = layer.conv_offset(x)
    out_channels, in_channels = layer.weight.shape[:2]
    deform_groups = field.shape[1] // ((3 if layer.modulated else 2) * k * k)
    out = torch.zeros(x.shape[0], out_channels, *field.shape[2:], dtype=x.dtype)
    for n, i, j in product(range(x.shape[0]), range(out.shape[2]), range(out.shape[3])):
        for channel, tap in product(range(in_channels), range(k * k)):
            group = channel // (in_channels // deform_groups)
            dy, dx = field[n, 2 * (group * k * k + tap) :, i, j][:2].tolist()
            y = i * stride - pad + tap // k * dilation + dy
            value = sample(x[n, channel], y, j * stride - pad + tap % k * dilation + dx)
            if layer.modulated:
                value = value * field[n, (2 * deform_groups + group) * k * k + tap, i, j].sigmoid()
            out[n, :, i, j] += layer.weight[:, channel, tap // k, tap % k] * value
    return out


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("deform_groups", [1, 2])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 1, 1), (2, 1, 1), (1, 2, 2)])
def test_deformable_convolution_by_hand(
    stride: int, padding: int, dilation: int, deform_groups: int, modulated: bool
) -> None:
    layer = DeformableConv2d(
        2, 3, 3, stride, padding, dilation, deform_groups=deform_groups, modulated=modulated
    ).double()
    layer.load_state_dict(random_state(shapes_of(layer), seed=7))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        assert layer.conv_offset(x).abs().max() > 1  # taps move by more than a pixel
        assert relative(layer(x), deformable(layer, x)) < 1e-12


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("modulated", [False, True])
def test_a_fresh_deformable_convolution_is_a_common_one(modulated: bool, groups: int) -> None:
    layer = DeformableConv2d(4, 6, 3, 2, 1, groups=groups, modulated=modulated).double()
    x = torch.randn(2, 4, 9, 7, dtype=torch.float64)
    expected = nn.functional.conv2d(x, layer.weight, None, 2, 1, groups=groups)
    assert relative(layer(x), expected * (0.5 if modulated else 1)) < 1e-12
    assert sorted(layer.state_dict()) == ["conv_offset.bias", "conv_offset.weight", "weight"]


@pytest.mark.parametrize("modulated", [False, True])
def test_deformable_gradients(modulated: bool) -> None:
    layer = DeformableConv2d(2, 2, 3, padding=1, deform_groups=2, modulated=modulated).double()
    layer.load_state_dict(random_state(shapes_of(layer), seed=2))
    names = [name for name, _ in layer.named_parameters()]

    def call(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), x)

    x = torch.randn(1, 2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    inputs = [x.requires_grad_(), *layer.parameters()]
    assert torch.autograd.gradcheck(call, inputs, atol=1e-6)


@pytest.mark.parametrize("deform_groups", [0, 3, -1])
def test_deformable_refuses(deform_groups: int) -> None:
    with pytest.raises(ValueError, match=f"must divide in_channels=4, got {deform_groups}"):
        DeformableConv2d(4, 4, deform_groups=deform_groups)


def test_resize_by_hand() -> None:
    row = torch.tensor([[[[0.0, 4.0]]]])
    assert resize(row, (1, 4)).tolist() == [[[[0, 1, 3, 4]]]]  # outer edges aligned
    assert resize(row, (1, 5), align_corners=True).tolist() == [[[[0, 1, 2, 3, 4]]]]


@pytest.mark.parametrize("align_corners", [False, True])
def test_resize_is_interpolate(align_corners: bool) -> None:
    x = torch.randn(2, 3, 5, 7)
    expected = nn.functional.interpolate(x, (9, 20), mode="bilinear", align_corners=align_corners)
    assert torch.equal(resize(x, (9, 20), align_corners), expected)
    assert torch.equal(resize(x, (5, 7), align_corners), x)
