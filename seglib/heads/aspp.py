"""Atrous spatial pyramid pooling (DeepLabV3, arXiv 1706.05587)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seglib.initialization import kaiming_init
from seglib.layers import ConvNormAct, SeparableConv2d


class ImagePooling(nn.Sequential):
    """One vector for the whole image, at every pixel: (N, C_in, H, W) → (N, C_out, H, W).

    In train mode its BatchNorm sees one value per image and channel, so a batch of one cannot be
    trained.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        conv_norm_act = ConvNormAct(in_channels, out_channels, kernel_size=1)
        super().__init__(nn.AdaptiveAvgPool2d(1), *conv_norm_act)

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = super().forward(x)  # type: ignore[no-untyped-call]  # (N, C_out, 1, 1)
        return pooled.expand(-1, -1, *x.shape[-2:])  # what bilinear resizing makes of one pixel


class ASPP(nn.Module):
    """Look at one feature map at several scales at once: (N, C_in, H, W) → (N, C_out, H, W).

    A 1×1 convolution, one 3×3 convolution for each rate, and image pooling stand side by side; a
    1×1 convolution blends them. No branch sees another's result.

    Args:
        in_channels: channels of the map.
        rates: dilation of each 3×3 branch, in pixels of the map, ≥ 1; any number of them.
        out_channels: channels of each branch and of the result.
        dropout: probability of zeroing an output value in train mode, 0 ≤ p < 1.
        separable: 3×3 branches as depthwise and 1×1 convolution.
    Raises:
        ValueError: for an argument out of its range.
    Source: §3.3 (arXiv 1706.05587); names as in torchvision, whose dropout is 0.5.
    """

    def __init__(
        self,
        in_channels: int,
        rates: Sequence[int] = (6, 12, 18),
        out_channels: int = 256,
        dropout: float = 0.1,
        separable: bool = False,
    ) -> None:
        super().__init__()
        if not rates or min(rates) < 1:
            raise ValueError(f"rates must be dilations >= 1, got {tuple(rates)}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        self.convs = nn.ModuleList(
            [
                ConvNormAct(in_channels, out_channels, kernel_size=1),
                *(ConvNormAct(in_channels, out_channels, dilation=rate) for rate in rates),
                ImagePooling(in_channels, out_channels),
            ]
        )
        self.project = nn.Sequential(
            *ConvNormAct(len(self.convs) * out_channels, out_channels, kernel_size=1),
            nn.Dropout(dropout),
        )
        if separable:
            to_separable(self)
        kaiming_init(self)

    def forward(self, x: Tensor) -> Tensor:
        branches = [conv(x) for conv in self.convs]  # each (N, C_out, H, W)
        return self.project(torch.cat(branches, dim=1))


def to_separable(module: nn.Module) -> None:
    """Replace, in place, every dense convolution wider than 1×1 inside `module` by a
    `SeparableConv2d`.

    The new weights are fresh. 1×1 and grouped convolutions stay; a bias is kept as an option of
    both parts.

    Source: DeepLabV3+, §3.1 (arXiv 1802.02611), without its BatchNorm and ReLU between the two.
    """
    for name, child in module.named_children():
        if isinstance(child, SeparableConv2d):
            continue
        if isinstance(child, nn.Conv2d) and max(child.kernel_size) > 1 and child.groups == 1:
            separable = SeparableConv2d(
                child.in_channels,
                child.out_channels,
                kernel_size=child.kernel_size[0],
                stride=child.stride[0],
                padding=int(child.padding[0]),
                dilation=child.dilation[0],
                bias=child.bias is not None,
            )
            setattr(module, name, separable)
        else:
            to_separable(child)
