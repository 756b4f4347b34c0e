"""MobileNetV2: inverted residuals and linear bottlenecks (arXiv 1801.04381)."""

from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from seglib.backbones.common import Backbone, check_output_stride, pick
from seglib.initialization import kaiming_init
from seglib.layers import ConvBNReLU, fixed_padding, make_divisible

# Table 2 of the paper, without the first and the last convolution.
SETTINGS = (
    # t, c, n, s: expansion ratio, output channels, blocks, stride of the first block
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
LEVELS = (3, 6, 13, 17)  # index in `features` of the last block at strides 4, 8, 16, 32


class BlockRow(NamedTuple):
    """The arguments of one `InvertedResidual`."""

    in_channels: int
    out_channels: int
    stride: int
    dilation: int
    expand_ratio: int


def block_table(output_stride: int = 32, width_mult: float = 1.0) -> list[BlockRow]:
    """Spell out `SETTINGS`, one row for each of the 17 blocks, with strides past `output_stride`
    as dilation.

    A stride that is dropped doubles the dilation of what follows, so that each later kernel still
    sees the same spacing of input pixels. The first block of a dilated stage, which would have
    strided, keeps the previous
    dilation: its input has the spacing of before.

    Args:
        output_stride: 8, 16 or 32, in input pixels per pixel of the last map.
        width_mult: factor on every channel count, > 0, rounded by `make_divisible`.
    Raises:
        ValueError: if an argument is out of its range.
    Source: Table 2 (arXiv 1801.04381); dilation as in torchvision's ResNet
        (`replace_stride_with_dilation`).
    """
    check_output_stride(output_stride)
    if not width_mult > 0:
        raise ValueError(f"width_mult must be > 0, got {width_mult}")
    rows = []
    in_channels = make_divisible(32 * width_mult)
    current_stride, dilation = 2, 1  # after the stem
    for t, c, n, s in SETTINGS:
        out_channels = make_divisible(c * width_mult)
        stride, first_dilation = s, dilation
        if current_stride * s > output_stride:
            stride, dilation = 1, dilation * s
        current_stride *= stride
        rows.append(BlockRow(in_channels, out_channels, stride, first_dilation, t))
        rows += [BlockRow(out_channels, out_channels, 1, dilation, t)] * (n - 1)
        in_channels = out_channels
    return rows


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project back: (N, C_in, H, W) → (N, C_out, ⌈H/stride⌉,
    ⌈W/stride⌉).

    1×1 expansion to `expand_ratio · C_in` channels with ReLU6, 3×3 depthwise convolution with
    ReLU6, linear 1×1 projection; the input is added where its shape allows. Thin ends, wide
    middle: a classic bottleneck inverted.

    Args:
        in_channels, out_channels: channels of the thin ends.
        stride: of the depthwise convolution, 1 or 2.
        dilation: of the depthwise convolution, ≥ 1.
        expand_ratio: hidden channels per input channel, > 0; 1 leaves the expansion out.
        legacy_padding: pads with zeros before the expansion, as VainF's DeepLabV3Plus-Pytorch
            does. BatchNorm and ReLU6 then turn the zeros of the border into relu6(bn(0)); only for
            that project's checkpoints.
    Raises:
        ValueError: if stride, dilation or expand_ratio is out of its range.
    Source: §3.3 and Table 1 (arXiv 1801.04381); names as in torchvision.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        dilation: int = 1,
        expand_ratio: float = 6,
        legacy_padding: bool = False,
    ) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride must be 1 or 2, got {stride}")
        if not expand_ratio > 0:
            raise ValueError(f"expand_ratio must be > 0, got {expand_ratio}")
        padding = fixed_padding(3, dilation)
        self.input_padding = padding if legacy_padding else None
        self.use_shortcut = stride == 1 and in_channels == out_channels

        hidden_channels = round(in_channels * expand_ratio)
        layers: list[nn.Module] = []
        if expand_ratio != 1:
            layers.append(ConvBNReLU(in_channels, hidden_channels, kernel_size=1))
        layers += [
            ConvBNReLU(
                hidden_channels,
                hidden_channels,
                stride=stride,
                dilation=dilation,
                groups=hidden_channels,
                padding=0 if legacy_padding else padding[0],
            ),
            nn.Conv2d(hidden_channels, out_channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        padded = x if self.input_padding is None else F.pad(x, self.input_padding)
        out = self.conv(padded)  # (N, C_out, H/stride, W/stride)
        return x + out if self.use_shortcut else out


class MobileNetV2(Backbone):
    """The backbone: (N, C, H, W) in, maps at strides 4, 8, 16 and 32 out, high resolution first.

    Args:
        output_stride: 8, 16 or 32; see `block_table`.
        in_channels: channels of the image.
        out_indices: which of the four levels to return, ascending; default all.
        out_blocks: instead of levels, any blocks by their index in `features` (0 is the stem, 17
            the last).
        width_mult: factor on every channel count, > 0, rounded by `make_divisible`.
        legacy_padding: see `InvertedResidual`; the stem is then not padded at all (513 → 256, not
            257).
    Attributes:
        channels, strides: of each returned map.
    Raises:
        ValueError: if an argument is out of its range.
    Source: Table 2 (arXiv 1801.04381); state_dict names as in torchvision.
    """

    def __init__(
        self,
        *,
        output_stride: int = 32,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        out_blocks: Sequence[int] | None = None,
        width_mult: float = 1.0,
        legacy_padding: bool = False,
    ) -> None:
        super().__init__()
        if out_indices is not None and out_blocks is not None:
            raise ValueError(f"out_indices={out_indices} and out_blocks={out_blocks}: give one")
        rows = block_table(output_stride, width_mult)
        stem_channels = rows[0].in_channels
        stem_padding = 0 if legacy_padding else None
        self.legacy_padding = legacy_padding
        self.features = nn.Sequential(
            ConvBNReLU(in_channels, stem_channels, stride=2, padding=stem_padding),
            *(InvertedResidual(*row, legacy_padding=legacy_padding) for row in rows),
        )

        if out_blocks is None:
            self.out_blocks = [LEVELS[i] for i in pick("out_indices", out_indices, len(LEVELS))]
        else:
            self.out_blocks = pick("out_blocks", out_blocks, len(self.features))
        channels = [stem_channels, *(row.out_channels for row in rows)]
        strides = list(accumulate((row.stride for row in rows), mul, initial=2))
        self.channels = [channels[i] for i in self.out_blocks]
        self.strides = [strides[i] for i in self.out_blocks]
        kaiming_init(self, mode="fan_out")

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for i, block in enumerate(self.features):
            x = block(x)
            if i in self.out_blocks:
                maps.append(x)  # (N, channels, H/stride, W/stride)
        return maps


class MobileNetV2Classifier(nn.Module):
    """The published ImageNet network: (N, 3, H, W) → logits (N, num_classes).

    The backbone's blocks, a 1×1 convolution to 1280 channels, global average pooling, dropout, a
    linear layer.

    Args:
        num_classes: classes, ≥ 1.
        width_mult: as in `MobileNetV2`; the 1280 channels do not shrink below width 1.
    Source: Table 2 (arXiv 1801.04381): 3.4 M parameters and 300 M multiply-adds at 224×224.
    """

    def __init__(self, num_classes: int = 1000, width_mult: float = 1.0) -> None:
        super().__init__()
        backbone = MobileNetV2(width_mult=width_mult)
        last_channels = make_divisible(1280 * max(1.0, width_mult))
        self.features = nn.Sequential(
            *backbone.features, ConvBNReLU(backbone.channels[-1], last_channels, kernel_size=1)
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last_channels, num_classes))
        kaiming_init(self, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x).mean((2, 3))  # (N, 1280)
        return self.classifier(x)
