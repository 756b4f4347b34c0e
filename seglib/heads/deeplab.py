"""The heads of DeepLabV3 (arXiv 1706.05587) and DeepLabV3+ (arXiv 1802.02611)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seglib.checks import check_whole
from seglib.heads.aspp import ASPP, to_separable
from seglib.heads.common import check_channels
from seglib.initialization import kaiming_init
from seglib.layers import ConvNormAct, resize


class DeepLabV3Head(nn.Module):
    """ASPP, a 3×3 convolution and a 1×1 classifier on the last map: list → (N, num_classes, H, W)
    of that map.

    Args:
        in_channels_list: channels of the backbone's maps; only the last map is read.
        num_classes: classes, ≥ 1.
        aspp_rates, aspp_channels, aspp_dropout: see `ASPP`.
        separable: 3×3 convolutions as depthwise and 1×1 convolution, see `to_separable`.
    Raises:
        ValueError: for an argument out of its range, no map, and one image in train mode.
    Source: §3.3 (arXiv 1706.05587). The paper classifies ASPP's result at once; the 3×3
        convolution is torchvision's and VainF's.
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
        check_channels(in_channels_list)
        check_whole("num_classes", num_classes)
        self.aspp = ASPP(in_channels_list[-1], aspp_rates, aspp_channels, aspp_dropout)
        self.aspp_rates = tuple(aspp_rates)
        self.classifier = nn.Sequential(
            *ConvNormAct(aspp_channels, aspp_channels),
            nn.Conv2d(aspp_channels, num_classes, kernel_size=1),
        )
        if separable:
            to_separable(self)
        kaiming_init(self)

    def forward(self, features: list[Tensor]) -> Tensor:
        if not features:
            raise ValueError("features must be one or more maps, got none")
        x = self.aspp(features[-1])  # (N, aspp_channels, H/OS, W/OS)
        return self.classifier(x)  # (N, num_classes, H/OS, W/OS)


class DeepLabV3PlusHead(nn.Module):
    """ASPP on the last map, sharpened by the first one: list → (N, num_classes, H, W) of the first
    map.

    Args:
        in_channels_list: channels of the backbone's maps; the first (low-level) and the last map
            are read, and must be two.
        num_classes: classes, ≥ 1.
        aspp_rates, aspp_channels, aspp_dropout: see `ASPP`.
        low_level_channels: channels that the low-level map is reduced to, so that it does not
            outweigh ASPP.
        decoder_convs: 3×3 convolutions after the two are joined, ≥ 1. (The paper uses 2, VainF's
            code 1.)
        separable: 3×3 convolutions as depthwise and 1×1 convolution, see `to_separable`.
        align_corners: how ASPP's result is enlarged, see `resize`.
    Raises:
        ValueError: for an argument out of its range, fewer than two maps, and one image in train
            mode.
    Source: §3.1 and Tables 1, 2 (arXiv 1802.02611), whose separable convolutions have BatchNorm
        and ReLU between their parts. jfzhang95's code enlarges with `align_corners`; its later
        version drops 0.5 and 0.1 behind the 3×3 convolutions, where here and in VainF's nothing is.
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
        check_channels(in_channels_list, levels=2)
        check_whole("num_classes", num_classes)
        check_whole("low_level_channels", low_level_channels)
        check_whole("decoder_convs", decoder_convs)
        self.align_corners = align_corners
        self.project = ConvNormAct(in_channels_list[0], low_level_channels, kernel_size=1)
        self.aspp = ASPP(in_channels_list[-1], aspp_rates, aspp_channels, aspp_dropout)
        self.aspp_rates = tuple(aspp_rates)
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
        if len(features) < 2:
            raise ValueError(f"features must be a low-level and a high map, got {len(features)}")
        low_level = self.project(features[0])  # (N, 48, H/4, W/4)
        x = self.aspp(features[-1])  # (N, 256, H/OS, W/OS)
        x = resize(x, low_level.shape[-2:], self.align_corners)  # (N, 256, H/4, W/4)
        x = torch.cat([low_level, x], dim=1)  # (N, 304, H/4, W/4)
        return self.classifier(x)  # (N, num_classes, H/4, W/4)
