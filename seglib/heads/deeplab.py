"""The heads of DeepLabV3 (arXiv 1706.05587) and DeepLabV3+ (arXiv 1802.02611)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seglib.heads.aspp import ASPP, to_separable
from seglib.initialization import kaiming_init
from seglib.layers import ConvNormAct, resize


class DeepLabV3Head(nn.Module):
    """ASPP, a 3×3 convolution and a 1×1 classifier on the last map: list → (N, num_classes, H, W)
    of that map.

    Args:
        in_channels_list: channels of the backbone's maps; only the last map is read.
        num_classes: classes, ≥ 1.
        aspp_rates, aspp_channels, aspp_dropout: see `ASPP`.
        separable: 3×3 convolutions as depthwise and 1×1 convolution.
    Source: §3.3 (arXiv 1706.05587).
    """

    def __init__(
        self,
        in_channels_list: Sequence[int],
        num_classes: int,
        *,
        aspp_rates: Sequence[int] = (6, 12, 18),
        aspp_channels: int = 256,
        aspp_dropout: float = 0.1,
        separable: bool = False,
    ) -> None:
        super().__init__()
        self.aspp = ASPP(in_channels_list[-1], aspp_rates, aspp_channels, aspp_dropout)
        self.classifier = nn.Sequential(
            *ConvNormAct(aspp_channels, aspp_channels),
            nn.Conv2d(aspp_channels, num_classes, kernel_size=1),
        )
        if separable:
            to_separable(self)
        kaiming_init(self)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = self.aspp(features[-1])  # (N, aspp_channels, H/OS, W/OS)
        return self.classifier(x)  # (N, num_classes, H/OS, W/OS)


class DeepLabV3PlusHead(nn.Module):
    """ASPP on the last map, sharpened by the first one: list → (N, num_classes, H, W) of the first
    map.

    Args:
        in_channels_list: channels of the backbone's maps; the first (low-level) and the last map
            are read.
        num_classes: classes, ≥ 1.
        aspp_rates, aspp_channels, aspp_dropout: see `ASPP`.
        low_level_channels: channels that the low-level map is reduced to, so that it does not
            outweigh ASPP.
        decoder_convs: 3×3 convolutions after the two are joined, ≥ 1. (The paper uses 2, VainF's
            code 1.)
        separable: 3×3 convolutions as depthwise and 1×1 convolution.
        align_corners: how ASPP's result is enlarged, see `resize`.
    Raises:
        ValueError: if decoder_convs is below 1.
    Source: §3.1 and Tables 1, 2 (arXiv 1802.02611).
    """

    def __init__(
        self,
        in_channels_list: Sequence[int],
        num_classes: int,
        *,
        aspp_rates: Sequence[int] = (6, 12, 18),
        aspp_channels: int = 256,
        aspp_dropout: float = 0.1,
        low_level_channels: int = 48,
        decoder_convs: int = 1,
        separable: bool = False,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        if decoder_convs < 1:
            raise ValueError(f"decoder_convs must be >= 1, got {decoder_convs}")
        self.align_corners = align_corners
        self.project = ConvNormAct(in_channels_list[0], low_level_channels, kernel_size=1)
        self.aspp = ASPP(in_channels_list[-1], aspp_rates, aspp_channels, aspp_dropout)
        layers: list[nn.Module] = []
        channels = low_level_channels + aspp_channels
        for _ in range(decoder_convs):
            layers += ConvNormAct(channels, aspp_channels)
            channels = aspp_channels
        self.classifier = nn.Sequential(*layers, nn.Conv2d(channels, num_classes, kernel_size=1))
        if separable:
            to_separable(self)
        kaiming_init(self)

    def forward(self, features: list[Tensor]) -> Tensor:
        low_level = self.project(features[0])  # (N, 48, H/4, W/4)
        x = self.aspp(features[-1])  # (N, 256, H/OS, W/OS)
        x = resize(x, low_level.shape[-2:], self.align_corners)  # (N, 256, H/4, W/4)
        x = torch.cat([low_level, x], dim=1)  # (N, 304, H/4, W/4)
        return self.classifier(x)  # (N, num_classes, H/4, W/4)
