"""GhostNet: half of the features from cheap operations (arXiv 1911.11907)."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seglib.backbones.common import Backbone, check_output_stride, pick
from seglib.initialization import kaiming_init
from seglib.layers import ConvNormAct, SqueezeExcite, make_divisible

# Table 1 of the paper, one tuple for each stage, `blocks.N` in the public files.
SETTINGS = (
    # k, exp, c, SE, s: kernel of the depthwise convolutions, hidden and output channels, squeezed
    # channels per hidden channel (0: no squeeze-and-excite), stride
    ((3, 16, 16, 0.0, 1),),
    ((3, 48, 24, 0.0, 2),),
    ((3, 72, 24, 0.0, 1),),
    ((5, 72, 40, 0.25, 2),),
    ((5, 120, 40, 0.25, 1),),
    ((3, 240, 80, 0.0, 2),),
    (
        (3, 200, 80, 0.0, 1),
        (3, 184, 80, 0.0, 1),
        (3, 184, 80, 0.0, 1),
        (3, 480, 112, 0.25, 1),
        (3, 672, 112, 0.25, 1),
    ),
    ((5, 672, 160, 0.25, 2),),
    (
        (5, 960, 160, 0.0, 1),
        (5, 960, 160, 0.25, 1),
        (5, 960, 160, 0.0, 1),
        (5, 960, 160, 0.25, 1),
    ),
)
LEVELS = (2, 4, 6, 8)  # index in `blocks` of the last stage at strides 4, 8, 16, 32


class BlockRow(NamedTuple):
    """The arguments of one `GhostBottleneck`."""

    in_channels: int
    hidden_channels: int
    out_channels: int
    dw_kernel_size: int
    stride: int
    se_ratio: float
    dilation: int
    out_dilation: int


def block_table(output_stride: int = 32, width_mult: float = 1.0) -> list[list[BlockRow]]:
    """Spell out `SETTINGS`, with strides past `output_stride` as dilation.

    A stride that is dropped doubles the dilation of what follows, so that each later kernel still
    sees the same spacing of input pixels. A stride sits in the middle of its block: where it is
    dropped, the first half of the block (and its shortcut) keeps the previous dilation, and the
    second Ghost module takes the new one.

    Args:
        output_stride: 8, 16 or 32, in input pixels per pixel of the last map.
        width_mult: factor on every channel count, > 0, rounded to multiples of 4.
    Returns:
        A list of rows for each stage.
    Raises:
        ValueError: if an argument is out of its range.
    Source: Table 1 (arXiv 1911.11907), which knows no dilation.
    """
    check_output_stride(output_stride)
    if not width_mult > 0:
        raise ValueError(f"width_mult must be > 0, got {width_mult}")
    table = []
    in_channels = make_divisible(16 * width_mult, divisor=4)
    current_stride, dilation = 2, 1  # after the stem
    for stage in SETTINGS:
        rows = []
        for k, exp, c, se, s in stage:
            stride, out_dilation = s, dilation
            if current_stride * s > output_stride:
                stride, out_dilation = 1, dilation * s
            current_stride *= stride
            hidden_channels = make_divisible(exp * width_mult, divisor=4)
            out_channels = make_divisible(c * width_mult, divisor=4)
            channels = in_channels, hidden_channels, out_channels
            rows.append(BlockRow(*channels, k, stride, se, dilation, out_dilation))
            in_channels, dilation = out_channels, out_dilation
        table.append(rows)
    return table


class GhostModule(nn.Module):
    """A convolution for 1/ratio of the channels, cheap copies for the rest: (N, C_in, H, W) →
    (N, C_out, ⌈H/stride⌉, ⌈W/stride⌉).

    The primary convolution makes ⌈C_out / ratio⌉ channels. A depthwise convolution turns each of
    them into ratio − 1 ghosts. Both are stacked, and what exceeds C_out is cut off.

    Args:
        in_channels, out_channels: channels, ≥ 1.
        kernel_size, stride: of the primary convolution; `kernel_size` odd.
        ratio: channels per primary channel, a whole number ≥ 2.
        dw_kernel_size: of the depthwise convolution, odd.
        relu: ends both convolutions in ReLU; False leaves the module linear.
        dilation: of both convolutions, ≥ 1.
    Raises:
        ValueError: if an argument is out of its range.
    Source: §3.1 (arXiv 1911.11907); names as in the authors' code and timm.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        ratio: int = 2,
        dw_kernel_size: int = 3,
        stride: int = 1,
        relu: bool = True,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        if ratio < 2 or ratio != int(ratio):
            raise ValueError(f"ratio must be a whole number >= 2, got {ratio}")
        if dw_kernel_size % 2 == 0:
            raise ValueError(f"dw_kernel_size must be odd, got {dw_kernel_size}")
        self.out_channels = out_channels
        primary_channels = math.ceil(out_channels / ratio)
        cheap_channels = primary_channels * (ratio - 1)
        conv = partial(ConvNormAct, activation_layer=nn.ReLU if relu else None, dilation=dilation)
        self.primary_conv = conv(in_channels, primary_channels, kernel_size, stride)
        self.cheap_operation = conv(
            primary_channels, cheap_channels, dw_kernel_size, groups=primary_channels
        )

    def forward(self, x: Tensor) -> Tensor:
        primary = self.primary_conv(x)  # (N, ⌈C_out / ratio⌉, H/stride, W/stride)
        ghosts = self.cheap_operation(primary)  # (N, ⌈C_out / ratio⌉ · (ratio − 1), …)
        return torch.cat([primary, ghosts], dim=1)[:, : self.out_channels]


class GhostBottleneck(nn.Module):
    """An inverted residual of two Ghost modules: (N, C_in, H, W) → (N, C_out, ⌈H/stride⌉,
    ⌈W/stride⌉).

    The first module expands. Where the block strides, a depthwise convolution follows.
    Squeeze-and-excite may weigh the channels. The second module, linear, projects back. The
    shortcut is the input itself, or, where shapes differ, a depthwise and a 1×1 convolution of it.

    Args:
        in_channels, hidden_channels, out_channels: channels before, between and after.
        dw_kernel_size: of the depthwise convolutions outside the Ghost modules, odd.
        stride: 1 or 2.
        se_ratio: squeezed channels per hidden channel, ≥ 0; 0 leaves squeeze-and-excite out.
        dilation: of every depthwise convolution, ≥ 1.
        out_dilation: of the second module, default `dilation`. Another value stands for a stride
            that was dropped: the block keeps the parts of a striding one.
    Raises:
        ValueError: if an argument is out of its range.
    Source: §3.2 and Figure 3 (arXiv 1911.11907); names as in the authors' code and timm.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        dw_kernel_size: int = 3,
        stride: int = 1,
        se_ratio: float = 0.0,
        dilation: int = 1,
        out_dilation: int | None = None,
    ) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride must be 1 or 2, got {stride}")
        if dw_kernel_size % 2 == 0:
            raise ValueError(f"dw_kernel_size must be odd, got {dw_kernel_size}")
        if not se_ratio >= 0:
            raise ValueError(f"se_ratio must be >= 0, got {se_ratio}")
        out_dilation = dilation if out_dilation is None else out_dilation
        reduces = stride > 1 or out_dilation != dilation

        linear = partial(ConvNormAct, activation_layer=None)
        geometry = dw_kernel_size, stride, dilation

        self.ghost1 = GhostModule(in_channels, hidden_channels, dilation=dilation)
        self.conv_dw: nn.Module = nn.Identity()
        self.bn_dw: nn.Module = nn.Identity()
        if reduces:
            self.conv_dw, self.bn_dw = linear(
                hidden_channels, hidden_channels, *geometry, groups=hidden_channels
            )
        self.se: nn.Module = nn.Identity()
        if se_ratio > 0:
            names = ("conv_reduce", "conv_expand")
            self.se = SqueezeExcite(hidden_channels, 1 / se_ratio, divisor=4, names=names)
        self.ghost2 = GhostModule(hidden_channels, out_channels, relu=False, dilation=out_dilation)
        self.shortcut = nn.Sequential()
        if reduces or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                *linear(in_channels, in_channels, *geometry, groups=in_channels),
                *linear(in_channels, out_channels, kernel_size=1),
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.ghost1(x)  # (N, hidden_channels, H, W)
        out = self.bn_dw(self.conv_dw(out))  # (N, hidden_channels, H/stride, W/stride)
        out = self.se(out)
        out = self.ghost2(out)  # (N, C_out, H/stride, W/stride)
        return out + self.shortcut(x)


class GhostNet(Backbone):
    """The backbone: (N, C, H, W) in, maps at strides 4, 8, 16 and 32 out, high resolution first.

    It ends with the last bottleneck, before the classifier's 1×1 convolutions.

    Args:
        output_stride: 8, 16 or 32; see `block_table`.
        in_channels: channels of the image.
        out_indices: which of the four levels to return, ascending; default all.
        width_mult: factor on every channel count, > 0, rounded to multiples of 4.
    Attributes:
        channels, strides: of each returned map.
    Raises:
        ValueError: if an argument is out of its range.
    Source: Table 1 (arXiv 1911.11907); state_dict names as in the authors' code and timm.
    """

    def __init__(
        self,
        *,
        output_stride: int = 32,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        width_mult: float = 1.0,
    ) -> None:
        super().__init__()
        table = block_table(output_stride, width_mult)
        stem_channels = table[0][0].in_channels
        self.conv_stem, self.bn1, self.act1 = ConvNormAct(in_channels, stem_channels, stride=2)
        self.blocks = nn.Sequential(
            *(nn.Sequential(*(GhostBottleneck(*row) for row in rows)) for rows in table)
        )
        levels = pick("out_indices", out_indices, len(LEVELS))
        self.out_stages = [LEVELS[i] for i in levels]
        self.channels = [table[i][-1].out_channels for i in self.out_stages]
        self.strides = [min(4 * 2**i, output_stride) for i in levels]
        kaiming_init(self, mode="fan_out")

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.act1(self.bn1(self.conv_stem(x)))  # (N, 16, H/2, W/2)
        maps = []
        for i, stage in enumerate(self.blocks):
            x = stage(x)
            if i in self.out_stages:
                maps.append(x)  # (N, channels, H/stride, W/stride)
        return maps


class GhostNetClassifier(nn.Module):
    """The published ImageNet network: (N, 3, H, W) → logits (N, num_classes).

    The backbone, a 1×1 convolution, global average pooling, a 1×1 convolution with bias to 1280
    channels, dropout, a linear layer.

    Args:
        num_classes: classes, ≥ 1.
        width_mult: as in `GhostNet`; the 1280 channels keep their number.
    Source: Table 1 (arXiv 1911.11907): 5.2 M parameters and 141 M multiply-adds at 224×224
        (Table 7).
    """

    def __init__(self, num_classes: int = 1000, width_mult: float = 1.0) -> None:
        super().__init__()
        backbone = GhostNet(width_mult=width_mult)
        last_channels = make_divisible(960 * width_mult, divisor=4)
        conv, norm, act = ConvNormAct(backbone.channels[-1], last_channels, kernel_size=1)
        last_conv = nn.Sequential(OrderedDict(conv=conv, bn1=norm, act1=act))
        self.conv_stem, self.bn1, self.act1 = backbone.conv_stem, backbone.bn1, backbone.act1
        self.blocks = nn.Sequential(*backbone.blocks, nn.Sequential(last_conv))
        self.conv_head = nn.Conv2d(last_channels, 1280, kernel_size=1)
        self.act2 = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(1280, num_classes)
        kaiming_init(self, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.bn1(self.conv_stem(x)))  # (N, 16, H/2, W/2)
        x = self.blocks(x).mean((2, 3), keepdim=True)  # (N, 960, 1, 1)
        x = self.act2(self.conv_head(x)).flatten(1)  # (N, 1280)
        return self.classifier(self.dropout(x))
