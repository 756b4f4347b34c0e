"""ResNet: deep residual learning (arXiv 1512.03385), and its descendants."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from operator import mul
from typing import Literal, NamedTuple, TypeVar

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from seglib.backbones.common import Backbone, check_output_stride, pick
from seglib.backbones.resnet_blocks import (
    BasicBlock,
    BlockOptions,
    Bottleneck,
    DeformOptions,
    Plugin,
    convolution,
    require,
)
from seglib.initialization import kaiming_init
from seglib.layers import ConvNormAct

# Table 1 of the paper.
ARCHITECTURES: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    # depth: block, blocks of each stage
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}
RESNETS = {
    # name: depth, groups, width_per_group
    "resnet18": (18, 1, 64),
    "resnet34": (34, 1, 64),
    "resnet50": (50, 1, 64),
    "resnet101": (101, 1, 64),
    "resnet152": (152, 1, 64),
    "resnext50_32x4d": (50, 32, 4),
    "resnext101_32x8d": (101, 32, 8),
    "wide_resnet50_2": (50, 1, 128),
    "wide_resnet101_2": (101, 1, 128),
}
Value = TypeVar("Value")


class BlockRow(NamedTuple):
    """The stride of one block, the dilation of the convolution that strides, and of the next."""

    stride: int
    dilation: int
    next_dilation: int


def per_stage(name: str, values: Sequence[Value] | None, default: list[Value]) -> list[Value]:
    """`values`, or `default` for None; ValueError unless they are as many."""
    if values is not None and len(values) != len(default):
        raise ValueError(f"{name} must hold {len(default)}, one for each stage, got {values}")
    return default if values is None else list(values)


def block_table(
    blocks: Sequence[int],
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    output_stride: int = 32,
    multi_grid: Sequence[int] | None = None,
) -> list[list[BlockRow]]:
    """Spell out every block of every stage.

    A stride past `output_stride` becomes dilation; the first block of such a stage keeps the
    previous dilation, because its input has the spacing of before. Dilations given by hand apply
    to all blocks of a stage, the first too, which is what "caffe" weights need: their 3×3
    convolution stands behind the stride.

    Args:
        blocks: blocks of each stage.
        strides, dilations: of each stage, ≥ 1; default 1, 2, 2, 2 and 1.
        output_stride: 8, 16 or 32, in input pixels per pixel of the last map.
        multi_grid: factors, ≥ 1, on the dilation of the last stage, one for each of its blocks.
            (mmsegmentation takes them as the dilations.)
    Raises:
        ValueError: for an argument out of its range, or strides or dilations beside an
            output_stride other than 32.
    Source: torchvision's `replace_stride_with_dilation`; DeepLabV3, §3.2.1 (arXiv 1706.05587).
    """
    check_output_stride(output_stride)
    by_hand = not (strides is None and dilations is None)
    if by_hand and output_stride != 32:
        raise ValueError(f"output_stride must be 32 with strides or dilations, got {output_stride}")
    strides = per_stage("strides", strides, [1, 2, 2, 2][: len(blocks)])
    dilations = per_stage("dilations", dilations, [1] * len(blocks))
    if min(*strides, *dilations) < 1:
        raise ValueError(f"strides and dilations must be >= 1, got {strides} and {dilations}")
    stages = []
    current_stride, dilation = 4, 1  # after the stem
    for n, stride, d in zip(blocks, strides, dilations, strict=True):
        if by_hand:
            first, others = BlockRow(stride, d, 1), BlockRow(1, d, 1)
        else:
            previous = dilation
            if current_stride * stride > output_stride:
                stride, dilation = 1, dilation * stride
            current_stride *= stride
            first, others = BlockRow(stride, previous, dilation), BlockRow(1, dilation, dilation)
        stages.append([first] + [others] * (n - 1))
    if multi_grid is not None:
        last = stages[-1]
        if len(multi_grid) != len(last) or min(multi_grid) < 1:
            raise ValueError(f"multi_grid must hold {len(last)} factors >= 1, got {multi_grid}")
        dilations = [last[-1].dilation * factor for factor in multi_grid]
        stages[-1] = [r._replace(dilation=d) for r, d in zip(last, dilations, strict=True)]
    return stages


def stem(
    in_channels: int,
    out_channels: int,
    deep_stem: bool,
    norm_layer: Callable[[int], nn.Module] = nn.BatchNorm2d,
) -> nn.Module:
    """One 7×7 convolution, or three 3×3 (ResNet-C): (N, C_in, H, W) → (N, C_out, ⌈H/2⌉, ⌈W/2⌉)."""
    if not deep_stem:
        return convolution(in_channels, out_channels, 7, stride=2)
    half = out_channels // 2
    layers = nn.Sequential(
        *ConvNormAct(in_channels, half, stride=2, norm_layer=norm_layer),
        *ConvNormAct(half, half, norm_layer=norm_layer),
        convolution(half, out_channels, 3),
    )
    kaiming_init(layers, mode="fan_out")
    return layers


class ResNet(Backbone):
    """The backbone: (N, C, H, W) in, maps at strides 4, 8, 16 and 32 out, high resolution first.

    Args:
        depth: 18, 34, 50, 101 or 152.
        output_stride, strides, dilations, multi_grid: see `block_table`.
        in_channels: channels of the image.
        out_indices: which of the stages' maps to return, ascending; default all.
        stem_channels: channels after the stem; default base_channels.
        base_channels: inner channels of the first stage; they double at each stage.
        num_stages: 1 to 4.
        deep_stem: three 3×3 convolutions in place of the 7×7 (ResNet-C).
        frozen_stages: the stem (0) and the stages up to this one take no gradient and stay in eval
            mode, whatever `.train()` says; -1 freezes nothing.
        norm_eval: BatchNorm stays in eval mode; its scale and shift still learn.
        stage_with_dcn: which stages the options `dcn` apply to; default none.
        zero_init_residual: every block starts as its shortcut.
        groups, width_per_group, style, avg_down, norm_layer, dcn, plugins, with_cp: see
            `BlockOptions`; only avg_down, norm_layer and with_cp at depth 18 and 34.
    Attributes:
        channels, strides: of each returned map.
    Raises:
        ValueError: for an argument out of its range.
    Source: Table 1 (arXiv 1512.03385); options of mmdetection and mmsegmentation; state_dict names
        of torchvision, with deep_stem or avg_down of timm.
    """

    def __init__(
        self,
        depth: int,
        *,
        output_stride: int = 32,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        stem_channels: int | None = None,
        base_channels: int = 64,
        num_stages: int = 4,
        strides: Sequence[int] | None = None,
        dilations: Sequence[int] | None = None,
        multi_grid: Sequence[int] | None = None,
        deep_stem: bool = False,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        stage_with_dcn: Sequence[bool] | None = None,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        style: Literal["pytorch", "caffe"] = "pytorch",
        avg_down: bool = False,
        norm_layer: Callable[[int], nn.Module] = nn.BatchNorm2d,
        dcn: DeformOptions | None = None,
        plugins: Sequence[Plugin] | None = None,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        require("depth", depth, ARCHITECTURES)
        require("num_stages", num_stages, (1, 2, 3, 4))
        require("frozen_stages", frozen_stages, range(-1, num_stages + 1))
        plugins = tuple(plugins or ())
        options = BlockOptions(
            avg_down, norm_layer, with_cp, groups, width_per_group, style, dcn, plugins
        )
        with_dcn = per_stage("stage_with_dcn", stage_with_dcn, [False] * num_stages)
        with_plugin = [
            per_stage("plugins' stages", plugin.get("stages"), [True] * num_stages)
            for plugin in plugins
        ]
        block, blocks = ARCHITECTURES[depth]
        table = block_table(blocks[:num_stages], strides, dilations, output_stride, multi_grid)
        channels = base_channels if stem_channels is None else stem_channels
        if base_channels < 1 or channels < 1 + deep_stem:
            raise ValueError(
                f"base_channels must be >= 1, stem_channels >= {1 + deep_stem},"
                f" got {base_channels} and {channels}"
            )
        self.conv1 = stem(in_channels, channels, deep_stem, norm_layer)
        self.bn1 = norm_layer(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.stages = [f"layer{i + 1}" for i in range(num_stages)]
        for i, rows in enumerate(table):
            of_stage = replace(
                options,
                dcn=dcn if with_dcn[i] else None,
                plugins=tuple(p for p, on in zip(plugins, with_plugin, strict=True) if on[i]),
            )
            inner_channels = base_channels * 2**i
            layers = nn.Sequential()
            for row in rows:
                layers.append(block(channels, inner_channels, *row, of_stage))
                channels = inner_channels * block.expansion
            self.add_module(self.stages[i], layers)

        self.out_indices = pick("out_indices", out_indices, num_stages)
        all_strides = list(accumulate((rows[0].stride for rows in table), mul, initial=4))[1:]
        self.channels = [base_channels * 2**i * block.expansion for i in self.out_indices]
        self.strides = [all_strides[i] for i in self.out_indices]
        numbered = [(0, "conv1"), (0, "bn1"), *enumerate(self.stages, start=1)]
        self.frozen = [name for number, name in numbered if number <= frozen_stages]
        self.norm_eval = norm_eval
        self.style, self.multi_grid = style, None if multi_grid is None else tuple(multi_grid)
        for part in self.modules() if zero_init_residual else ():
            if isinstance(part, (BasicBlock, Bottleneck)):
                last_norm = part.bn2 if isinstance(part, BasicBlock) else part.bn3
                for parameter in last_norm.parameters():
                    nn.init.zeros_(parameter)
        self.train()

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.relu(self.bn1(self.conv1(x)))  # (N, stem_channels, H/2, W/2)
        x = self.maxpool(x)  # (N, stem_channels, H/4, W/4)
        maps = []
        for i, name in enumerate(self.stages):
            x = self.get_submodule(name)(x)
            if i in self.out_indices:
                maps.append(x)  # (N, channels, H/stride, W/stride)
        return maps

    def train(self, mode: bool = True) -> "ResNet":
        """Set the mode of everything but what `frozen_stages` and `norm_eval` hold."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).requires_grad_(False).eval()
        for part in self.modules() if self.norm_eval else ():
            if isinstance(part, _BatchNorm):
                part.eval()
        return self


class ResNetClassifier(nn.Sequential):
    """The published ImageNet network: (N, 3, H, W) → logits (N, num_classes).

    The backbone, global average pooling, a linear layer.

    Args:
        depth, groups, width_per_group, deep_stem, avg_down: as in `ResNet`.
        num_classes: classes, ≥ 1.
    Source: Table 1 (arXiv 1512.03385); state_dict names as in torchvision.
    """

    def __init__(
        self,
        depth: int,
        num_classes: int = 1000,
        *,
        groups: int = 1,
        width_per_group: int = 64,
        deep_stem: bool = False,
        avg_down: bool = False,
    ) -> None:
        backbone = ResNet(
            depth,
            groups=groups,
            width_per_group=width_per_group,
            deep_stem=deep_stem,
            avg_down=avg_down,
        )
        parts = OrderedDict(backbone.named_children())
        parts["avgpool"] = nn.AdaptiveAvgPool2d(1)
        parts["flatten"] = nn.Flatten()
        parts["fc"] = nn.Linear(backbone.channels[-1], num_classes)
        super().__init__(parts)
