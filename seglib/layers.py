"""The small parts that every network here is built from."""

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import DeformConv2d


def make_divisible(value: float, divisor: int = 8, min_value: int | None = None) -> int:
    """Round a channel count to a multiple of `divisor` without losing more than a tenth of it.

    Hardware likes multiples of 8; a width multiplier gives 0.75 · 24 = 18. Rounds half up, then
    steps up once where rounding down would drop below 90 % of `value`.

    Args:
        value: channels wanted, > 0; may be fractional.
        divisor: the multiple, in channels, ≥ 1.
        min_value: smallest result, a multiple of `divisor`; default `divisor`.
    Returns:
        The channel count, a multiple of `divisor`.
    Raises:
        ValueError: if an argument is out of its range. (TensorFlow's original accepts any
            `min_value` and can then return a non-multiple: 5, 8, 31 → 31.)
    Source: TensorFlow slim MobileNet; MobileNetV2, §4 (arXiv 1801.04381).
    """
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"value must be a finite number > 0, got {value}")
    if divisor < 1 or divisor != int(divisor):
        raise ValueError(f"divisor must be a whole number >= 1, got {divisor}")
    min_value = divisor if min_value is None else min_value
    if min_value < divisor or min_value % divisor:
        raise ValueError(f"min_value must be a multiple of divisor={divisor}, got {min_value}")
    rounded = max(min_value, int(value + divisor / 2) // divisor * divisor)
    if rounded < 0.9 * value:
        rounded += divisor
    return rounded


def fixed_padding(kernel_size: int, dilation: int = 1) -> tuple[int, int, int, int]:
    """Zeros that keep height and width at stride 1, whatever the input's size.

    A kernel with holes spans `dilation · (kernel_size − 1) + 1` pixels, one more than the pixels
    to pad. Because the padding is fixed, stride 2 gives ceil(size / 2): 513 → 257.

    Args:
        kernel_size: taps along one side, ≥ 1. An even one puts the odd pixel at the right and
            bottom.
        dilation: distance between taps in pixels, ≥ 1.
    Returns:
        (left, right, top, bottom) in pixels, the order of `torch.nn.functional.pad`.
    Raises:
        ValueError: if an argument is below 1.
    Source: TensorFlow slim's `fixed_padding` (resnet_utils).
    """
    if kernel_size < 1:
        raise ValueError(f"kernel_size must be >= 1, got {kernel_size}")
    if dilation < 1:
        raise ValueError(f"dilation must be >= 1, got {dilation}")
    total = dilation * (kernel_size - 1)
    begin = total // 2
    end = total - begin
    return begin, end, begin, end


class ConvNormAct(nn.Sequential):
    """Convolution without bias, BatchNorm, activation: (N, C_in, H, W) → (N, C_out, ⌈H/stride⌉,
    ⌈W/stride⌉).

    The convolution needs no bias: BatchNorm subtracts the mean and adds its own.

    Args:
        in_channels, out_channels: channels, multiples of `groups`.
        kernel_size: odd, so that the padding is the same on all sides.
        stride, dilation, groups: as in `nn.Conv2d`.
        padding: zeros on each side, in pixels; default `fixed_padding(kernel_size, dilation)`.
        activation_layer: class of the activation, or None for a linear layer. ReLU and ReLU6 work
            in place.
        norm_layer: makes the normalisation from its number of channels.
    Raises:
        ValueError: for an even `kernel_size`.
    Source: torchvision's `Conv2dNormActivation`; the parts are named 0 (conv), 1 (norm), 2 as
        there.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        padding: int | None = None,
        activation_layer: type[nn.Module] | None = nn.ReLU,
        norm_layer: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        if padding is None:
            padding = fixed_padding(kernel_size, dilation)[0]
        conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias=False
        )
        layers: list[nn.Module] = [conv, norm_layer(out_channels)]
        if activation_layer is not None:
            in_place = issubclass(activation_layer, (nn.ReLU, nn.ReLU6))
            layers.append(activation_layer(inplace=True) if in_place else activation_layer())
        super().__init__(*layers)


class ConvBNReLU(ConvNormAct):
    """`ConvNormAct` with ReLU6, min(max(x, 0), 6): the building block of MobileNetV2.

    Source: MobileNetV2, §3 (arXiv 1801.04381): ReLU6 "because of its robustness when used with
        low-precision".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        padding: int | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, dilation, groups, padding, nn.ReLU6
        )


class SeparableConv2d(nn.Module):
    """Depthwise then 1×1 convolution in place of a dense one: (N, C_in, H, W) → (N, C_out, H', W').

    k²·C_in + C_in·C_out weights instead of k²·C_in·C_out. Nothing stands between the two
    convolutions.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation: as in `nn.Conv2d`.
        bias: adds a bias to both convolutions.
    Source: Xception (arXiv 1610.02357); with dilation DeepLabV3+'s atrous separable convolution,
        §3.1 (arXiv 1802.02611), which puts BatchNorm and ReLU between the two where this class
        does not.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(
            in_channels, in_channels, kernel_size, stride, padding, dilation, in_channels, bias=bias
        )
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)  # (N, C_in, H', W')
        return self.pointwise(x)  # (N, C_out, H', W')


class HardSigmoid(nn.Module):
    """A sigmoid of three straight pieces, relu6(x + 3) / 6: any shape → the same shape, in [0, 1].

    Source: MobileNetV3, §5.2 (arXiv 1905.02244); equal to `nn.Hardsigmoid`.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.hardsigmoid(x)  # one pass over the memory; relu6(x + 3) / 6 takes three


class HardSwish(nn.Module):
    """x · relu6(x + 3) / 6: swish, x · sigmoid(x), without an exponential. Any shape → the same.

    Source: MobileNetV3, §5.2 (arXiv 1905.02244); equal to `nn.Hardswish`.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.hardswish(x)


class SqueezeExcite(nn.Module):
    """Weigh every channel by what the whole image shows: (N, C, H, W) → (N, C, H, W).

    Squeeze: the mean of each channel. Excite: two 1×1 convolutions with a ReLU between make a
    weight in [0, 1] of it, by which the channel is multiplied.

    Args:
        channels: C, ≥ 1.
        reduction: C per channel of the squeezed vector, > 0.
        divisor: the squeezed width is a multiple of it, see `make_divisible`.
        gate: class of the function that makes weights, called without arguments.
        names: of the two convolutions. (Public GhostNet files call them conv_reduce, conv_expand.)
    Raises:
        ValueError: if `reduction` is not above 0, or as `make_divisible`.
    Source: Squeeze-and-Excitation, §3 (arXiv 1709.01507); MobileNetV3, §5.3 (arXiv 1905.02244);
        names and defaults as in torchvision's MobileNetV3. Some copies put BatchNorm between the
        two and drop their biases.
    """

    def __init__(
        self,
        channels: int,
        reduction: float = 4,
        divisor: int = 8,
        gate: type[nn.Module] = HardSigmoid,
        names: tuple[str, str] = ("fc1", "fc2"),
    ) -> None:
        super().__init__()
        if not reduction > 0:
            raise ValueError(f"reduction must be > 0, got {reduction}")
        squeezed = make_divisible(channels / reduction, divisor)
        self.names = names
        self.add_module(names[0], nn.Conv2d(channels, squeezed, kernel_size=1))
        self.add_module(names[1], nn.Conv2d(squeezed, channels, kernel_size=1))
        self.gate = gate()

    def forward(self, x: Tensor) -> Tensor:
        reduce, expand = (self.get_submodule(name) for name in self.names)
        weight = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        weight = F.relu(reduce(weight))  # (N, C / reduction, 1, 1)
        weight = self.gate(expand(weight))  # (N, C, 1, 1)
        return x * weight


class DeformableConv2d(DeformConv2d):  # type: ignore[misc]
    """A convolution that learns where to look: (N, C_in, H, W) → (N, C_out, H', W').

    A dense convolution, `conv_offset`, tells for every output pixel how far each tap moves; it
    starts at zero, so that a fresh layer is a common convolution (times ½ if modulated).

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups: as in
            `nn.Conv2d`; no bias.
        deform_groups: groups of input channels with offsets of their own.
        modulated: each tap is also weighted, by a sigmoid (version 2).
    Raises:
        ValueError: if `in_channels` is no multiple of `deform_groups`.
    Source: Deformable ConvNets (arXiv 1703.06211), v2 (arXiv 1811.11168); names as in mmcv.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        deform_groups: int = 1,
        modulated: bool = False,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias=False
        )
        if deform_groups < 1 or in_channels % deform_groups:
            raise ValueError(
                f"deform_groups must divide in_channels={in_channels}, got {deform_groups}"
            )
        self.modulated = modulated
        self.taps = deform_groups * kernel_size**2
        values = 3 if modulated else 2  # for each tap: y, x and perhaps a weight
        self.conv_offset = nn.Conv2d(
            in_channels, values * self.taps, kernel_size, stride, padding, dilation
        )
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        offset = self.conv_offset(x)  # (N, 2·taps or 3·taps, H', W')
        if not self.modulated:
            return super().forward(x, offset)
        offset, weight = offset.split([2 * self.taps, self.taps], dim=1)
        return super().forward(x, offset, weight.sigmoid())


def resize(x: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """Bilinear resampling: (N, C, H, W) → (N, C, *size).

    Args:
        x: feature map or logits. Never labels: the mean of class 3 and class 5 is not class 4.
        size: (height, width) wanted, in pixels.
        align_corners: True maps corner pixel centres onto each other (older code's choice), False
            aligns the images' outer edges, as image libraries do.
    """
    return F.interpolate(x, size=list(size), mode="bilinear", align_corners=align_corners)
