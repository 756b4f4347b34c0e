"""The two residual blocks of ResNet, with the options of its descendants."""

from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from typing import Literal, TypedDict

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seglib.initialization import kaiming_init
from seglib.layers import DeformableConv2d, fixed_padding

POSITIONS = ("after_conv1", "after_conv2", "after_conv3")


class DeformOptions(TypedDict, total=False):
    """How a `Bottleneck` deforms its 3×3 convolution; what is left out is 1, False, False."""

    deform_groups: int  # see DeformableConv2d
    modulated: bool
    fallback_on_stride: bool  # a common convolution where it strides


class Plugin(TypedDict, total=False):
    """A layer to add to each `Bottleneck` of some stages (default all)."""

    module: Callable[[int], nn.Module]  # makes it from its channels, which it must keep
    position: Literal["after_conv1", "after_conv2", "after_conv3"]  # and its norm and ReLU
    stages: Sequence[bool] | None


@dataclass(frozen=True)
class BlockOptions:
    """What the blocks of a stage have in common.

    Raises:
        ValueError: for an unknown style, or a wrong or missing key or value in dcn or plugins.
    """

    avg_down: bool = False  # the shortcut averages where it would skip pixels (ResNet-D)
    norm_layer: Callable[[int], nn.Module] = nn.BatchNorm2d  # from the number of channels
    with_cp: bool = False  # the backward pass computes the block anew: slower, less memory
    groups: int = 1  # of the 3×3 convolution (ResNeXt), …
    width_per_group: int = 64  # … and their channels, per 64 of the block (Wide ResNet)
    style: Literal["pytorch", "caffe"] = "pytorch"  # strides in the 3×3, or in the first 1×1
    dcn: DeformOptions | None = None
    plugins: tuple[Plugin, ...] = ()

    def __post_init__(self) -> None:
        require("style", self.style, ("pytorch", "caffe"))
        for key in self.dcn or ():
            require("dcn's key", key, DeformOptions.__annotations__)
        for plugin in self.plugins:
            for key in plugin:
                require("plugins' key", key, Plugin.__annotations__)
            require("plugins' position", plugin.get("position"), POSITIONS)
            if not callable(plugin.get("module")):
                raise ValueError(f"plugins' module must be callable, got {plugin.get('module')!r}")


def require(name: str, value: object, allowed: Collection[object]) -> None:
    """Raise ValueError unless `value` is among `allowed`."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}; got {value!r}")


def convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    """A convolution without bias, padded to give ⌈H/stride⌉ × ⌈W/stride⌉, drawn by He's rule."""
    padding = fixed_padding(kernel_size, dilation)[0]
    conv = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias=False
    )
    kaiming_init(conv, mode="fan_out")
    return conv


def projection(
    in_channels: int, out_channels: int, stride: int, options: BlockOptions
) -> nn.Sequential | None:
    """Give the shortcut the shape of the block's output; None where it has it.

    Where dilation replaces the stride nothing is pooled, as in mmsegmentation; timm averages 2×2
    pixels at stride 1.
    """
    if stride == 1 and in_channels == out_channels:
        return None
    norm = options.norm_layer(out_channels)
    if not options.avg_down:
        return nn.Sequential(convolution(in_channels, out_channels, 1, stride), norm)
    pool: nn.Module = nn.Identity()
    if stride > 1:
        pool = nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(pool, convolution(in_channels, out_channels, 1), norm)


def middle_convolution(
    width: int, stride: int, dilation: int, options: BlockOptions
) -> nn.Conv2d | DeformableConv2d:
    """The 3×3 convolution of a Bottleneck, deformable if `options` say so.

    (mmdetection takes `fallback_on_stride` out of the dict, so that only one block reads it.)
    """
    plain = convolution(width, width, 3, stride, dilation, options.groups)
    dcn = options.dcn
    if dcn is None or (stride > 1 and dcn.get("fallback_on_stride", False)):
        return plain
    deformable = DeformableConv2d(
        width,
        width,
        stride=stride,
        padding=dilation,
        dilation=dilation,
        groups=options.groups,
        deform_groups=dcn.get("deform_groups", 1),
        modulated=dcn.get("modulated", False),
    )
    deformable.weight = plain.weight  # drawn by He's rule
    return deformable


class BuffersKept:
    """While entered, what runs changes copies of a module's buffers, not the buffers."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __enter__(self) -> None:
        self.kept = [
            (part, name, buffer)
            for part in self.module.modules()
            for name, buffer in part.named_buffers(recurse=False)
        ]
        for part, name, buffer in self.kept:
            setattr(part, name, buffer.clone())

    def __exit__(self, *error: object) -> None:
        for part, name, buffer in self.kept:
            setattr(part, name, buffer)


class ResidualBlock(nn.Module):
    """relu(shortcut + residual): (N, C_in, H, W) → (N, C_out, ⌈H/stride⌉, ⌈W/stride⌉)."""

    downsample: nn.Sequential | None

    def __init__(self, with_cp: bool) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.with_cp = with_cp

    def residual(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def add_shortcut(self, x: Tensor) -> Tensor:
        out = self.residual(x)
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)

    def forward(self, x: Tensor) -> Tensor:
        if not (self.with_cp and self.training):
            return self.add_shortcut(x)
        # What runs twice must not count a batch twice in BatchNorm's statistics (mmdetection does).
        contexts = (nullcontext(), BuffersKept(self))
        return checkpoint(self.add_shortcut, x, use_reentrant=False, context_fn=lambda: contexts)


class BasicBlock(ResidualBlock):
    """Two 3×3 convolutions, the block of ResNet-18 and 34; C_out = channels.

    Args:
        in_channels, channels: C_in, and channels of both convolutions.
        stride: of the first convolution and the shortcut.
        dilation, next_dilation: of the first and the second convolution. (mmdetection never
            dilates the second, timm always does.)
        options: only avg_down, norm_layer and with_cp.
    Raises:
        ValueError: for other options. (mmdetection ignores `style` here.)
    Source: Figure 5, left (arXiv 1512.03385); names as in torchvision.
    """

    expansion = 1
    takes = ("avg_down", "norm_layer", "with_cp")

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        dilation: int = 1,
        next_dilation: int = 1,
        options: BlockOptions = BlockOptions(),
    ) -> None:
        for field in fields(options):
            value = getattr(options, field.name)
            if field.name not in self.takes and value != field.default:
                raise ValueError(
                    f"{field.name} must be {field.default!r} at depth 18 and 34, got {value!r}"
                )
        super().__init__(options.with_cp)
        self.conv1 = convolution(in_channels, channels, 3, stride, dilation)
        self.bn1 = options.norm_layer(channels)
        self.conv2 = convolution(channels, channels, 3, dilation=next_dilation)
        self.bn2 = options.norm_layer(channels)
        self.downsample = projection(in_channels, channels, stride, options)

    def residual(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))  # (N, channels, H/stride, W/stride)
        return self.bn2(self.conv2(x))


class Bottleneck(ResidualBlock):
    """1×1 down, 3×3, 1×1 up: the block of ResNet-50, 101 and 152; C_out = 4 · channels.

    Args:
        in_channels, channels: C_in, and a quarter of C_out.
        stride: of one convolution, see `BlockOptions.style`, and of the shortcut.
        dilation: of the 3×3 convolution.
        next_dilation: of what follows it: nothing in this block.
        options: all. Plugins of one position follow one another. (mmdetection feeds all the same
            input and keeps the last one's output.)
    Raises:
        ValueError: if there are no channels, or too few for `deform_groups`.
    Source: Figure 5, right (arXiv 1512.03385); ResNeXt (1611.05431); names as in torchvision.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        dilation: int = 1,
        next_dilation: int = 1,
        options: BlockOptions = BlockOptions(),
    ) -> None:
        out_channels = channels * self.expansion
        super().__init__(options.with_cp)
        width = channels * options.width_per_group // 64 * options.groups
        if width < 1:
            raise ValueError(
                f"groups={options.groups} and width_per_group={options.width_per_group}"
                f" leave no channels of {channels}"
            )
        stride1, stride2 = (stride, 1) if options.style == "caffe" else (1, stride)
        self.conv1 = convolution(in_channels, width, 1, stride1)
        self.bn1 = options.norm_layer(width)
        self.conv2 = middle_convolution(width, stride2, dilation, options)
        self.bn2 = options.norm_layer(width)
        self.conv3 = convolution(width, out_channels, 1)
        self.bn3 = options.norm_layer(out_channels)
        self.downsample = projection(in_channels, out_channels, stride, options)
        self.after_conv1, self.after_conv2, self.after_conv3 = (
            nn.Sequential(
                *(p["module"](count) for p in options.plugins if p["position"] == position)
            )
            for position, count in zip(POSITIONS, (width, width, out_channels), strict=True)
        )

    def residual(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))  # (N, width, H, W)
        x = self.after_conv1(x)
        x = self.relu(self.bn2(self.conv2(x)))  # (N, width, H/stride, W/stride)
        x = self.after_conv2(x)
        x = self.bn3(self.conv3(x))  # (N, 4·channels, H/stride, W/stride)
        # A plugin's gradient may need its output, which the shortcut will be added to.
        return self.after_conv3(x).clone() if self.after_conv3 else x
