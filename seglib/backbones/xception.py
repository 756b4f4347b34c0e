"""Xception: separable convolutions with shortcuts (arXiv 1610.02357)."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from seglib.backbones.common import Backbone, check_output_stride, pick
from seglib.initialization import kaiming_init
from seglib.layers import SeparableConv2d

# Figure 5 of the paper, without the two convolutions before and the two after the blocks.
SETTINGS = (
    # widths, s, n: output channels of each separable convolution, stride, blocks
    ((128, 128), 2, 1),
    ((256, 256), 2, 1),
    ((728, 728), 2, 1),
    ((728, 728, 728), 1, 8),
    ((728, 1024), 2, 1),
)
LEVELS = ("block1", "block2", "block11")  # the last parts at strides 4, 8, 16; then the tail
CHANNELS = (128, 256, 728, 2048)


class BlockRow(NamedTuple):
    """The arguments of one `Block`."""

    in_channels: int
    widths: tuple[int, ...]
    pool_stride: int | None
    dilation: int


def block_table(output_stride: int = 32, legacy_tail: bool = False) -> tuple[list[BlockRow], int]:
    """Spell out `SETTINGS`, one row for each of the 12 blocks, with strides past `output_stride`
    as dilation.

    A block strides at its end, by pooling. Where that stride is dropped, the block's own kernels
    keep the previous dilation, as their input has the spacing of before; the pooling stays, at
    stride 1; what follows doubles its dilation. So the pixels of the smaller map are pixels of the
    larger one.

    Args:
        output_stride: 8, 16 or 32, in input pixels per pixel of the last map.
        legacy_tail: where a stride is dropped, double the whole block's dilation at once and leave
            the pooling out, as VainF's DeepLabV3Plus-Pytorch does.
    Returns:
        The rows, and the dilation of the tail.
    Raises:
        ValueError: if `output_stride` is out of its range.
    """
    check_output_stride(output_stride)
    rows = []
    in_channels = 64
    current_stride, dilation = 2, 1  # after the stem
    for widths, s, n in SETTINGS:
        pool_stride = s if s > 1 else None
        first_dilation = dilation
        if current_stride * s > output_stride:
            pool_stride, dilation = 1, dilation * s
            if legacy_tail:
                pool_stride, first_dilation = None, dilation
        else:
            current_stride *= s
        for _ in range(n):
            rows.append(BlockRow(in_channels, widths, pool_stride, first_dilation))
            in_channels = widths[-1]
    return rows, dilation


class Block(nn.Module):
    """Separable convolutions beside a shortcut: (N, C_in, H, W) → (N, C_out, ⌈H/stride⌉,
    ⌈W/stride⌉).

    ReLU, 3×3 separable convolution and BatchNorm for each width; 3×3 max-pooling at the end. The
    shortcut is the input, or a 1×1 convolution with BatchNorm where the shape changes.

    Args:
        in_channels: C_in.
        widths: output channels of each separable convolution; the last is C_out.
        pool_stride: of the pooling and of the shortcut; None leaves the pooling out.
        dilation: of the separable convolutions and of the pooling, ≥ 1.
        start_with_relu: False where the input comes from a ReLU.
    Source: Figure 5 (arXiv 1610.02357); names as in the public PyTorch port.
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        pool_stride: int | None = None,
        dilation: int = 1,
        start_with_relu: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, width in zip([in_channels, *widths], widths, strict=False):
            layers += [
                nn.ReLU(inplace=bool(layers)),  # the shortcut and the caller need the input as is
                SeparableConv2d(channels, width, padding=dilation, dilation=dilation),
                nn.BatchNorm2d(width),
            ]
        if not start_with_relu:
            del layers[0]
        if pool_stride is not None:
            layers += [
                nn.ConstantPad2d(dilation, -math.inf),  # MaxPool2d itself pads by no more than 1
                nn.MaxPool2d(kernel_size=3, stride=pool_stride, dilation=dilation),
            ]
        self.rep = nn.Sequential(*layers)

        self.skip: nn.Module = nn.Identity()
        self.skipbn: nn.Module = nn.Identity()
        stride = pool_stride or 1
        if in_channels != widths[-1] or stride > 1:
            self.skip = nn.Conv2d(in_channels, widths[-1], 1, stride, bias=False)
            self.skipbn = nn.BatchNorm2d(widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.skipbn(self.skip(x))  # (N, C_out, H/stride, W/stride)
        return shortcut + self.rep(x)


class Xception(Backbone):
    """The backbone: (N, C, H, W) in, maps at strides 4, 8, 16 and 32 out, high resolution first.

    The stem's convolutions are not padded, so that a map has ⌈⌊(H − 5) / 2⌋ · 2 / stride⌉ rows.

    Args:
        output_stride: 8, 16 or 32; see `block_table`.
        in_channels: channels of the image.
        out_indices: which of the four levels to return, ascending; default all.
        legacy_tail: for checkpoints of VainF's DeepLabV3Plus-Pytorch, which stops before the last
            BatchNorm, pads the last two convolutions by 1 whatever their dilation (the last map
            loses 4 rows and columns at output stride 16, 12 at 8), and dilates as told in
            `block_table`.
    Attributes:
        channels, strides: of each returned map.
    Raises:
        ValueError: if an argument is out of its range; in `forward`, for an image so small that
            `legacy_tail` leaves nothing of the last map.
    Source: Figure 5 (arXiv 1610.02357); state_dict names as in VainF's project.
    """

    def __init__(
        self,
        *,
        output_stride: int = 32,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        legacy_tail: bool = False,
    ) -> None:
        super().__init__()
        rows, dilation = block_table(output_stride, legacy_tail)
        padding = 1 if legacy_tail else dilation
        self.output_stride = output_stride
        self.legacy_tail = legacy_tail
        lost = 4 * (dilation - padding)  # rows, in two convolutions
        self.min_size = output_stride * lost + 7 if lost else 1

        self.conv1 = nn.Conv2d(in_channels, 32, kernel_size=3, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.relu2 = nn.ReLU(inplace=True)
        for i, row in enumerate(rows, start=1):
            self.add_module(f"block{i}", Block(*row, start_with_relu=i > 1))
        self.conv3 = SeparableConv2d(1024, 1536, padding=padding, dilation=dilation)
        self.bn3 = nn.BatchNorm2d(1536)
        self.relu3 = nn.ReLU(inplace=True)
        self.conv4 = SeparableConv2d(1536, 2048, padding=padding, dilation=dilation)
        if not legacy_tail:
            self.bn4 = nn.BatchNorm2d(2048)
            self.relu4 = nn.ReLU(inplace=True)

        chosen = pick("out_indices", out_indices, len(CHANNELS))
        levels = [*LEVELS, "conv4" if legacy_tail else "relu4"]
        self.levels = [levels[i] for i in chosen]
        self.channels = [CHANNELS[i] for i in chosen]
        self.strides = [min(4 * 2**i, output_stride) for i in chosen]
        kaiming_init(self, mode="fan_out")

    def forward(self, x: Tensor) -> list[Tensor]:
        if min(x.shape[-2:]) < self.min_size:
            raise ValueError(
                f"legacy_tail=True at output_stride={self.output_stride} needs an image of at least"
                f" {self.min_size}×{self.min_size} pixels, got {x.shape[-2]}×{x.shape[-1]}"
            )
        maps = []
        for name, part in self.named_children():
            x = part(x)
            if name in self.levels:
                maps.append(x)  # (N, channels, H/stride, W/stride)
        return maps


class XceptionClassifier(nn.Sequential):
    """The published ImageNet network: (N, 3, H, W) → logits (N, num_classes).

    The backbone's parts, global average pooling, a linear layer.

    Args:
        num_classes: classes, ≥ 1.
    Source: Figure 5 (arXiv 1610.02357): 22.9 M parameters; 8.4 G multiply-adds at 299×299.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        parts = OrderedDict(Xception().named_children())
        parts["pool"] = nn.AdaptiveAvgPool2d(1)
        parts["flatten"] = nn.Flatten()
        parts["last_linear"] = nn.Linear(2048, num_classes)
        super().__init__(parts)
        kaiming_init(self, mode="fan_out")
