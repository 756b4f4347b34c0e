"""HRNetV2: streams at several resolutions side by side, so that the highest is never given up
(arXiv 1908.07919).
"""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglib.backbones.common import Backbone, check_output_stride, pick
from seglib.backbones.resnet_blocks import BasicBlock, Bottleneck
from seglib.initialization import kaiming_init
from seglib.layers import ConvNormAct, resize

# Figure 2 of the paper. Branch i has width · 2^i channels at 1 / 2^i of the first one's size.
STAGES = (
    # m, b: modules, branches
    (1, 2),  # stage2
    (4, 3),
    (3, 4),
)
NUM_BLOCKS = 4  # residual blocks of layer1, and of every branch of a module


def fuse_layer(source: int, target: int, width: int) -> nn.Module:
    """Bring a branch to another one's channels and, where that is lower, to its resolution.

    Down: a 3×3 convolution of stride 2 for each halving; the last one changes the channels and has
    no ReLU. Up: a 1×1 convolution; `Fusion` enlarges its result.

    Args:
        source, target: indices of the two branches, 0 the highest resolution.
        width: channels of branch 0.
    Source: Figure 4 (arXiv 1908.07919).
    """
    in_channels, out_channels = width * 2**source, width * 2**target
    if source == target:
        return nn.Identity()
    if source > target:
        return ConvNormAct(in_channels, out_channels, kernel_size=1, activation_layer=None)
    halvings = target - source
    return nn.Sequential(
        *(ConvNormAct(in_channels, in_channels, stride=2) for _ in range(halvings - 1)),
        ConvNormAct(in_channels, out_channels, stride=2, activation_layer=None),
    )


class Fusion(nn.ModuleList):
    """What one branch receives, the ReLU of the sum of all: list of maps → (N, C, H, W) as the map
    of `target`.

    Lower branches are enlarged by repeating pixels, to the size of that map. (Most code enlarges by
    a factor, and fails where a side of the image is no multiple of 32.)

    Args:
        target: index of the branch, 0 the highest resolution.
        num_branches, width: see `StageModule`.
    Source: Figure 4 (arXiv 1908.07919).
    """

    def __init__(self, target: int, num_branches: int, width: int) -> None:
        super().__init__(fuse_layer(source, target, width) for source in range(num_branches))
        self.target = target

    def forward(self, maps: list[Tensor]) -> Tensor:
        size = maps[self.target].shape[-2:]
        parts = [layer(x) for layer, x in zip(self, maps, strict=True)]
        lower = [F.interpolate(x, size=size) for x in parts[self.target + 1 :]]
        return F.relu(reduce(torch.add, parts[: self.target + 1] + lower))


class StageModule(nn.Module):
    """Residual blocks in every branch, then their fusion: list of maps → list of the same shapes.

    Args:
        num_branches: maps side by side, ≥ 2.
        width: channels of branch 0; see `STAGES`.
    Source: Figure 2 (arXiv 1908.07919).
    """

    def __init__(self, num_branches: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(num_branches)]
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(w, w) for _ in range(NUM_BLOCKS))) for w in widths
        )
        self.fuse_layers = nn.ModuleList(
            Fusion(target, num_branches, width) for target in range(num_branches)
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        return [fusion(maps) for fusion in self.fuse_layers]


class HRNet(Backbone):
    """The backbone: (N, C, H, W) in; `layer1`'s map (N, 256, H/4, W/4) and all streams of the last
    stage together (N, 15 · width, H/4, W/4) out.

    Args:
        width: channels of the stream of highest resolution, ≥ 1; 32 and 48 are published.
        output_stride: 8, 16 or 32, without effect: both maps stay at stride 4.
        in_channels: channels of the image.
        out_indices: which of the two maps to return, ascending; default both.
        legacy_stem: leaves out the ReLU between the first two convolutions, as the segmentation
            networks (not the classifier) of VainF's DeepLabV3Plus-Pytorch do.
    Attributes:
        channels, strides: of each returned map.
    Raises:
        ValueError: if an argument is out of its range.
    Source: §3 (arXiv 1908.07919); state_dict names as in VainF's DeepLabV3Plus-Pytorch.
    """

    def __init__(
        self,
        width: int = 32,
        *,
        output_stride: int = 32,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        legacy_stem: bool = False,
    ) -> None:
        super().__init__()
        check_output_stride(output_stride)
        if not isinstance(width, int) or width < 1:
            raise ValueError(f"width must be a whole number >= 1, got {width!r}")
        self.legacy_stem = legacy_stem
        self.conv1, self.bn1, self.relu = ConvNormAct(in_channels, 64, stride=2)
        self.conv2, self.bn2, _ = ConvNormAct(64, 64, stride=2)
        self.layer1 = nn.Sequential(
            Bottleneck(64, 64), *(Bottleneck(256, 64) for _ in range(NUM_BLOCKS - 1))
        )
        stage2, stage3, stage4 = (
            nn.Sequential(*(StageModule(b, width) for _ in range(m))) for m, b in STAGES
        )
        self.transition1 = nn.ModuleList(
            [
                ConvNormAct(256, width),
                nn.Sequential(ConvNormAct(256, 2 * width, stride=2)),  # nested in public files
            ]
        )
        self.stage2 = stage2
        self.transition2 = ConvNormAct(2 * width, 4 * width, stride=2)
        self.stage3 = stage3
        self.transition3 = ConvNormAct(4 * width, 8 * width, stride=2)
        self.stage4 = stage4

        self.out_indices = pick("out_indices", out_indices, 2)
        self.channels = [(256, 15 * width)[i] for i in self.out_indices]
        self.strides = [4] * len(self.out_indices)
        kaiming_init(self, mode="fan_out")

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.bn1(self.conv1(x))  # (N, 64, H/2, W/2)
        if not self.legacy_stem:
            x = self.relu(x)
        x = self.relu(self.bn2(self.conv2(x)))  # (N, 64, H/4, W/4)
        low_level = self.layer1(x)  # (N, 256, H/4, W/4)
        maps = [transition(low_level) for transition in self.transition1]  # H/4, H/8
        maps = self.stage2(maps)
        maps = self.stage3([*maps, self.transition2(maps[-1])])  # H/4, H/8, H/16
        maps = self.stage4([*maps, self.transition3(maps[-1])])  # H/4, H/8, H/16, H/32
        size = low_level.shape[-2:]
        maps = [maps[0], *(resize(x, size) for x in maps[1:])]
        high_level = torch.cat(maps, dim=1)  # (N, 15 · width, H/4, W/4)
        return [(low_level, high_level)[i] for i in self.out_indices]


class HRNetClassifier(HRNet):
    """VainF's ImageNet network: (N, 3, H, W) → logits (N, num_classes).

    The backbone's second map, a 1×1 convolution to a quarter of its channels, average pooling to
    8×8 pixels, a linear layer over all of them.

    Args:
        width: see `HRNet`.
        num_classes: classes, ≥ 1.
    Source: VainF's DeepLabV3Plus-Pytorch. (The paper's own classifier, which timm has, pools what
        is left after three more strides.)
    """

    def __init__(self, width: int = 32, num_classes: int = 1000) -> None:
        super().__init__(width, out_indices=(1,))
        channels = self.channels[0] // 4
        self.bn_classifier = nn.Sequential(
            *ConvNormAct(self.channels[0], channels, kernel_size=1),
            nn.AdaptiveAvgPool2d(8),
            nn.Flatten(),
            nn.Linear(channels * 8 * 8, num_classes),
        )
        kaiming_init(self.bn_classifier, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.bn_classifier(super().forward(x)[0])
