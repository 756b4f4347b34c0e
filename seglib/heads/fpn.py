"""Feature Pyramid Networks (arXiv 1612.03144) and Panoptic FPN's semantic head (arXiv
1901.02446).
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from seglib.checks import check_whole
from seglib.heads.common import check_channels
from seglib.initialization import kaiming_init, kaiming_uniform_init
from seglib.layers import ConvNormAct, resize


class FPN(nn.Module):
    """Give every level the deep levels' meaning: list → list of the same sizes, C_out channels.

    From the last map to the first: a 1×1 convolution (lateral), plus the next coarser level's sum
    enlarged by nearest neighbour (top-down). A 3×3 convolution then smooths each sum.

    Args:
        in_channels_list: channels of the maps, high resolution first, ≥ 1 of them.
        out_channels: channels of every result.
        top_blocks: makes further, coarser maps: a module called with the list of results and the
            list of inputs, which returns the list of maps to append.
    Raises:
        ValueError: if a channel count is below 1, or the number of maps is not that of
            `in_channels_list`.
    Source: §3 and Figure 3 (arXiv 1612.03144); state_dict names as in torchvision's
        `FeaturePyramidNetwork`. maskrcnn-benchmark enlarges by the factor 2, which fails where a
        map is not exactly half of the one before: 65, 100, 513.
    """

    def __init__(
        self,
        in_channels_list: Sequence[int],
        out_channels: int,
        top_blocks: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_channels(in_channels_list)
        check_whole("out_channels", out_channels)
        # Each convolution alone in a Sequential: torchvision has room for a norm after it, and
        # so names it inner_blocks.0.0.
        self.inner_blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, out_channels, kernel_size=1))
            for channels in in_channels_list
        )
        self.layer_blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1))
            for _ in in_channels_list
        )
        kaiming_uniform_init(self)
        self.extra_blocks = top_blocks  # torchvision's name; they have drawn their own weights

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        if len(features) != len(self.inner_blocks):
            raise ValueError(f"features must be {len(self.inner_blocks)} maps, got {len(features)}")
        laterals = [block(x) for block, x in zip(self.inner_blocks, features, strict=True)]
        sums = [laterals.pop()]
        for lateral in reversed(laterals):
            top_down = F.interpolate(sums[0], size=lateral.shape[-2:], mode="nearest")
            sums.insert(0, lateral + top_down)  # (N, C_out, H, W) of this level
        maps = [block(x) for block, x in zip(self.layer_blocks, sums, strict=True)]
        if self.extra_blocks is not None:
            maps += self.extra_blocks(maps, features)
        return maps


class LastLevelMaxPool(nn.Module):
    """One level more, half the last one's size: every second pixel of it, [(N, C, ⌈H/2⌉, ⌈W/2⌉)].

    Source: P6 of the region proposals, footnote in §4.1 (arXiv 1612.03144). Named by torchvision
        and maskrcnn-benchmark after max pooling with a window of one pixel, which it is.
    """

    def forward(self, maps: list[Tensor], features: list[Tensor]) -> list[Tensor]:
        return [F.max_pool2d(maps[-1], kernel_size=1, stride=2)]


class LastLevelP6P7(nn.Module):
    """Two levels more, by 3×3 convolutions of stride 2: [(N, C, ⌈H/2⌉, ⌈W/2⌉), (N, C, ⌈H/4⌉,
    ⌈W/4⌉)].

    Args:
        in_channels: those of the pyramid's last input, C5, from which P6 is then made; or
            `out_channels`, which makes P6 from its last result, P5.
        out_channels: channels of both maps.
    Raises:
        ValueError: if a channel count is below 1.
    Source: RetinaNet, §4 (arXiv 1708.02002), which takes C5; names and choice as in torchvision.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        check_whole("in_channels", in_channels)
        check_whole("out_channels", out_channels)
        self.p6 = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1)
        self.p7 = nn.Conv2d(out_channels, out_channels, kernel_size=3, stride=2, padding=1)
        self.from_p5 = in_channels == out_channels
        kaiming_uniform_init(self)

    def forward(self, maps: list[Tensor], features: list[Tensor]) -> list[Tensor]:
        p6 = self.p6(maps[-1] if self.from_p5 else features[-1])  # (N, C, H/2, W/2)
        return [p6, self.p7(F.relu(p6))]  # the second (N, C, H/4, W/4)


class FPNHead(nn.Module):
    """Panoptic FPN's semantic branch: list → (N, num_classes, H, W) of the first map.

    A pyramid; each of its levels climbs to the first one's size, one level at a time, by 3×3
    convolution, GroupNorm, ReLU and bilinear enlargement; the sum of all is classified pixel by
    pixel. The first level has one convolution and nothing to climb.

    Args:
        in_channels_list: channels of the backbone's maps, high resolution first; all are read.
        num_classes: classes, ≥ 1.
        fpn_channels: channels of the pyramid.
        head_channels: channels of the branches, a multiple of 32 (GroupNorm's groups).
        align_corners: how the branches are enlarged, see `resize`.
    Raises:
        ValueError: if a number is out of its range, or the number of maps is not that of
            `in_channels_list`.
    Source: §3.1 and Figure 3 (arXiv 1901.02446). detectron2 and others enlarge by the factor 2;
        here by size, so that any image fits, and maps held at the output stride.
    """

    def __init__(
        self,
        in_channels_list: Sequence[int],
        num_classes: int,
        *,
        fpn_channels: int = 256,
        head_channels: int = 128,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        check_channels(in_channels_list)
        check_whole("num_classes", num_classes)
        check_whole("fpn_channels", fpn_channels)
        check_whole("head_channels", head_channels)
        if head_channels % 32:
            raise ValueError(f"head_channels must be a multiple of 32, got {head_channels}")
        self.align_corners = align_corners
        group_norm = partial(nn.GroupNorm, 32)
        self.branches = nn.ModuleList()
        for level in range(len(in_channels_list)):
            widths = [fpn_channels] + [head_channels] * max(1, level)
            stages = (ConvNormAct(*pair, norm_layer=group_norm) for pair in pairwise(widths))
            self.branches.append(nn.Sequential(*stages))
        self.classifier = nn.Conv2d(head_channels, num_classes, kernel_size=1)
        kaiming_init(self, mode="fan_out")
        self.fpn = FPN(in_channels_list, fpn_channels)  # draws its weights by its own rule

    def forward(self, features: list[Tensor]) -> Tensor:
        maps = self.fpn(features)  # (N, 256, H, W), from H/4 to H/output_stride
        sizes = [x.shape[-2:] for x in maps]
        total = self.branches[0](maps[0])  # (N, 128, H/4, W/4)
        for level in range(1, len(maps)):
            x = maps[level]
            finer_sizes = reversed(sizes[:level])
            for stage, size in zip(self.branches[level].children(), finer_sizes, strict=True):
                x = resize(stage(x), size, self.align_corners)  # (N, 128, *size)
            total = total + x
        return self.classifier(total)  # (N, num_classes, H/4, W/4)
