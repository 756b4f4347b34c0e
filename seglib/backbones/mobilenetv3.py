"""MobileNetV3: searched blocks with squeeze-and-excite and hard swish (arXiv 1905.02244)."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from operator import mul
from typing import Literal, NamedTuple

from torch import Tensor, nn

from seglib.backbones.common import Backbone, check_output_stride, pick
from seglib.initialization import kaiming_init
from seglib.layers import ConvNormAct, HardSwish, SqueezeExcite, make_divisible

Variant = Literal["large", "small"]

# Tables 1 and 2 of the paper: the rows between the first and the last convolution.
SETTINGS = {
    "large": (
        # k, exp, c, SE, NL, s: kernel, hidden and output channels, squeeze-and-excite, activation
        # (ReLU or hard swish), stride
        (3, 16, 16, False, "RE", 1),
        (3, 64, 24, False, "RE", 2),
        (3, 72, 24, False, "RE", 1),
        (5, 72, 40, True, "RE", 2),
        (5, 120, 40, True, "RE", 1),
        (5, 120, 40, True, "RE", 1),
        (3, 240, 80, False, "HS", 2),
        (3, 200, 80, False, "HS", 1),
        (3, 184, 80, False, "HS", 1),
        (3, 184, 80, False, "HS", 1),
        (3, 480, 112, True, "HS", 1),
        (3, 672, 112, True, "HS", 1),
        (5, 672, 160, True, "HS", 2),
        (5, 960, 160, True, "HS", 1),
        (5, 960, 160, True, "HS", 1),
    ),
    "small": (
        # k, exp, c, SE, NL, s
        (3, 16, 16, True, "RE", 2),
        (3, 72, 24, False, "RE", 2),
        (3, 88, 24, False, "RE", 1),
        (5, 96, 40, True, "HS", 2),
        (5, 240, 40, True, "HS", 1),
        (5, 240, 40, True, "HS", 1),
        (5, 120, 48, True, "HS", 1),
        (5, 144, 48, True, "HS", 1),
        (5, 288, 96, True, "HS", 2),
        (5, 576, 96, True, "HS", 1),
        (5, 576, 96, True, "HS", 1),
    ),
}
LEVELS = {"large": (3, 6, 12, 15), "small": (1, 3, 8, 11)}  # last block at strides 4, 8, 16, 32
LAST_CHANNELS = {"large": 1280, "small": 1024}  # of the classifier's hidden layer
ACTIVATIONS: dict[str, type[nn.Module]] = {"RE": nn.ReLU, "HS": HardSwish}


class BlockRow(NamedTuple):
    """The arguments of one `InvertedResidual`."""

    in_channels: int
    hidden_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    dilation: int
    use_se: bool
    activation_layer: type[nn.Module]
    shortcut: bool


def block_table(
    variant: Variant = "large",
    output_stride: int = 32,
    width_mult: float = 1.0,
    legacy_dilation: bool = False,
) -> list[BlockRow]:
    """Spell out `SETTINGS`, one row for each block, with strides past `output_stride` as dilation.

    A stride that is dropped doubles the dilation of what follows, so that each later kernel still
    sees the same spacing of input pixels. The block that would have strided keeps the previous
    dilation: its input has the spacing of before. It gets no shortcut either, as if it strided.

    Args:
        variant: "large" (15 blocks) or "small" (11).
        output_stride: 8, 16 or 32, in input pixels per pixel of the last map.
        width_mult: factor on every channel count, > 0, rounded by `make_divisible`.
        legacy_dilation: the block that would have strided takes the new dilation already, as in
            torchvision's `dilated=True`, with which its segmentation networks were trained.
    Raises:
        ValueError: if an argument is out of its range.
    Source: Tables 1 and 2 (arXiv 1905.02244); dilation as in torchvision's ResNet
        (`replace_stride_with_dilation`).
    """
    if variant not in SETTINGS:
        raise ValueError(f"variant must be one of {', '.join(SETTINGS)}; got {variant!r}")
    check_output_stride(output_stride)
    if not width_mult > 0:
        raise ValueError(f"width_mult must be > 0, got {width_mult}")
    rows = []
    in_channels = make_divisible(16 * width_mult)
    current_stride, dilation = 2, 1  # after the stem
    for k, exp, c, se, nl, s in SETTINGS[variant]:
        stride, block_dilation = s, dilation
        if current_stride * s > output_stride:
            stride, dilation = 1, dilation * s
            block_dilation = dilation if legacy_dilation else block_dilation
        current_stride *= stride
        hidden_channels = make_divisible(exp * width_mult)
        out_channels = make_divisible(c * width_mult)
        channels = in_channels, hidden_channels, out_channels
        row = BlockRow(*channels, k, stride, block_dilation, se, ACTIVATIONS[nl], shortcut=s == 1)
        rows.append(row)
        in_channels = out_channels
    return rows


class InvertedResidual(nn.Module):
    """Expand, filter each channel, weigh the channels, project back: (N, C_in, H, W) → (N, C_out,
    ⌈H/stride⌉, ⌈W/stride⌉).

    1×1 expansion, depthwise convolution, squeeze-and-excite on the wide middle, linear 1×1
    projection; the input is added where its shape allows.

    Args:
        in_channels, hidden_channels, out_channels: channels before, between and after; equal
            `in_channels` and `hidden_channels` leave the expansion out.
        kernel_size, stride, dilation: of the depthwise convolution; stride 1 or 2.
        use_se: weighs the channels after the depthwise convolution.
        activation_layer: class of the activation after expansion and depthwise convolution.
        shortcut: False never adds the input.
        norm_layer: makes a normalisation from its number of channels.
    Raises:
        ValueError: if stride, dilation or kernel_size is out of its range.
    Source: §5 and Figure 4 (arXiv 1905.02244); names as in torchvision. Some copies weigh the
        channels after the projection, and project the shortcut where C_in ≠ C_out.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        use_se: bool = False,
        activation_layer: type[nn.Module] = HardSwish,
        shortcut: bool = True,
        norm_layer: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride must be 1 or 2, got {stride}")
        self.use_shortcut = shortcut and stride == 1 and in_channels == out_channels

        conv = partial(ConvNormAct, activation_layer=activation_layer, norm_layer=norm_layer)
        project = partial(ConvNormAct, activation_layer=None, norm_layer=norm_layer)
        layers: list[nn.Module] = []
        if hidden_channels != in_channels:
            layers.append(conv(in_channels, hidden_channels, kernel_size=1))
        geometry = kernel_size, stride, dilation
        layers.append(conv(hidden_channels, hidden_channels, *geometry, groups=hidden_channels))
        if use_se:
            layers.append(SqueezeExcite(hidden_channels))
        layers.append(project(hidden_channels, out_channels, kernel_size=1))
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out = self.block(x)  # (N, C_out, H/stride, W/stride)
        return x + out if self.use_shortcut else out


class MobileNetV3(Backbone):
    """The backbone: (N, C, H, W) in, maps at strides 4, 8, 16 and 32 out, high resolution first.

    Args:
        variant: "large" or "small".
        output_stride: 8, 16 or 32; see `block_table`.
        in_channels: channels of the image.
        out_indices: which of the four levels to return, ascending; default all.
        out_blocks: instead of levels, any blocks by their index in `features`: 0 is the stem; 16
            ("large") or 12 ("small") is the last 1×1 convolution, which only exists if named here.
        width_mult: factor on every channel count, > 0, rounded by `make_divisible`.
        legacy_dilation: see `block_table`; only for torchvision's segmentation checkpoints.
        norm_eps: added to the variance in BatchNorm, > 0. (timm's networks use 1e-5.)
    Attributes:
        channels, strides: of each returned map.
    Raises:
        ValueError: if an argument is out of its range.
    Source: Tables 1 and 2 (arXiv 1905.02244); state_dict names, epsilon and momentum as in
        torchvision.
    """

    def __init__(
        self,
        variant: Variant = "large",
        *,
        output_stride: int = 32,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        out_blocks: Sequence[int] | None = None,
        width_mult: float = 1.0,
        legacy_dilation: bool = False,
        norm_eps: float = 0.001,
    ) -> None:
        super().__init__()
        if out_indices is not None and out_blocks is not None:
            raise ValueError(f"out_indices={out_indices} and out_blocks={out_blocks}: give one")
        if not norm_eps > 0:
            raise ValueError(f"norm_eps must be > 0, got {norm_eps}")
        rows = block_table(variant, output_stride, width_mult, legacy_dilation)
        self.legacy_dilation = legacy_dilation
        self.norm_eps = norm_eps

        stem_channels = rows[0].in_channels
        last_channels = 6 * rows[-1].out_channels
        channels = [stem_channels, *(row.out_channels for row in rows), last_channels]
        strides = [*accumulate((row.stride for row in rows), mul, initial=2), output_stride]
        if out_blocks is None:
            levels = LEVELS[variant]
            self.out_blocks = [levels[i] for i in pick("out_indices", out_indices, len(levels))]
        else:
            self.out_blocks = pick("out_blocks", out_blocks, len(channels))
        self.channels = [channels[i] for i in self.out_blocks]
        self.strides = [strides[i] for i in self.out_blocks]

        norm_layer = partial(nn.BatchNorm2d, eps=norm_eps, momentum=0.01)
        conv = partial(ConvNormAct, activation_layer=HardSwish, norm_layer=norm_layer)
        self.features = nn.Sequential(
            conv(in_channels, stem_channels, stride=2),
            *(InvertedResidual(*row, norm_layer=norm_layer) for row in rows),
        )
        if len(self.features) in self.out_blocks:
            self.features.append(conv(rows[-1].out_channels, last_channels, kernel_size=1))
        kaiming_init(self, mode="fan_out")

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for i, block in enumerate(self.features):
            x = block(x)
            if i in self.out_blocks:
                maps.append(x)  # (N, channels, H/stride, W/stride)
        return maps


class MobileNetV3Classifier(nn.Module):
    """The published ImageNet network: (N, 3, H, W) → logits (N, num_classes).

    The backbone's blocks and its last 1×1 convolution, global average pooling, a hidden layer with
    hard swish, dropout, a linear layer.

    Args:
        variant: "large" or "small".
        num_classes: classes, ≥ 1.
        width_mult, norm_eps: as in `MobileNetV3`.
    Source: Tables 1 and 2 (arXiv 1905.02244): at 224×224 "large" has 5.4 M parameters and 219 M
        multiply-adds, "small" 2.5 M and 56 M (Table 3).
    """

    def __init__(
        self,
        variant: Variant = "large",
        num_classes: int = 1000,
        width_mult: float = 1.0,
        norm_eps: float = 0.001,
    ) -> None:
        super().__init__()
        last_conv = len(block_table(variant, width_mult=width_mult)) + 1
        backbone = MobileNetV3(
            variant, out_blocks=[last_conv], width_mult=width_mult, norm_eps=norm_eps
        )
        hidden_features = make_divisible(LAST_CHANNELS[variant] * width_mult)
        self.features = backbone.features
        self.classifier = nn.Sequential(
            nn.Linear(backbone.channels[-1], hidden_features),
            HardSwish(),
            nn.Dropout(0.2),
            nn.Linear(hidden_features, num_classes),
        )
        kaiming_init(self, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x).mean((2, 3))  # (N, 960) or (N, 576)
        return self.classifier(x)
