"""Atrous spatial pyramid pooling (DeepLabV3, arXiv 1706.05587)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seglib.checks import check_whole
from seglib.initialization import kaiming_init
from seglib.layers import ConvNormAct, DeformableConv2d, SeparableConv2d


class ImagePooling(nn.Sequential):
    """One vector for the whole image, at every pixel: (N, C_in, H, W) → (N, C_out, H, W).

    Raises:
        ValueError: for one image in train mode: BatchNorm sees one value per image and channel, and
            one value has no spread to divide by.
    Source: §3.3 (arXiv 1706.05587).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        conv_norm_act = ConvNormAct(in_channels, out_channels, kernel_size=1)
        super().__init__(nn.AdaptiveAvgPool2d(1), *conv_norm_act)

    def forward(self, x: Tensor) -> Tensor:
        norm = self[2]
        if isinstance(norm, nn.BatchNorm2d) and norm.training and x.shape[0] == 1:
            raise ValueError(
                "x must hold 2 or more images in train mode, got 1, of which image pooling's"
                " BatchNorm can make no statistics; use a larger batch, or put it in eval mode"
            )
        pooled: Tensor = super().forward(x)  # type: ignore[no-untyped-call]  # (N, C_out, 1, 1)
        return pooled.expand(-1, -1, *x.shape[-2:])  # what bilinear resizing makes of one pixel


class ASPP(nn.Module):
    """Look at one feature map at several scales at once: (N, C_in, H, W) → (N, C_out, H, W).

    A 1×1 convolution, one 3×3 convolution for each rate, and image pooling stand side by side; a
    1×1 convolution blends them. No branch sees another's result.

    Args:
        in_channels: channels of the map, ≥ 1.
        rates: dilation of each 3×3 branch, in pixels of the map, ≥ 1; any number of them, ≥ 1.
        out_channels: channels of each branch and of the result, ≥ 1.
        dropout: probability of zeroing an output value in train mode, 0 ≤ p < 1.
        separable: 3×3 branches as depthwise and 1×1 convolution, see `to_separable`.
    Raises:
        ValueError: for an argument out of its range, and for one image in train mode.
    Source: §3.3 (arXiv 1706.05587); names as in torchvision. The paper tells of no dropout;
        TensorFlow's and VainF's code drops 0.1, torchvision's 0.5.
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
        check_whole("in_channels", in_channels)
        check_whole("out_channels", out_channels)
        if not rates:
            raise ValueError(f"rates must be one or more dilations, got {rates!r}")
        for i, rate in enumerate(rates):
            check_whole(f"rates[{i}]", rate)
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


def to_separable(module: nn.Module) -> nn.Module:
    """Replace every dense convolution wider than 1×1 in `module` by a `SeparableConv2d`.

    The new weights are fresh, drawn by `kaiming_init`; kernel size, stride, padding, dilation,
    device, dtype and mode stay, and both parts have a bias where the convolution had one. 1×1,
    grouped, transposed and deformable convolutions stay as they are.

    Args:
        module: changed in place; one convolution alone can only be replaced in what is returned.
    Returns:
        `module`, or what replaces it if it is a dense convolution itself.
    Raises:
        ValueError: for a subclass of `nn.Conv2d`, whose own behaviour would be lost; nothing is
            changed then.
    Source: DeepLabV3+, §3.1 (arXiv 1802.02611), without its BatchNorm and ReLU between the two;
        VainF's code does likewise.
    """
    own_parts = {
        part
        for owner in module.modules()
        if isinstance(owner, (SeparableConv2d, DeformableConv2d))
        for part in owner.modules()
    }
    replacements: dict[nn.Module, SeparableConv2d] = {
        conv: _separable_like(conv)
        for conv in module.modules()
        if isinstance(conv, nn.Conv2d)
        and conv.groups == 1
        and max(conv.kernel_size) > 1
        and conv not in own_parts
    }
    for name, part in list(module.named_modules(remove_duplicate=False)):
        if name and part in replacements:
            module.set_submodule(name, replacements[part])
    return replacements.get(module, module)


def _separable_like(conv: nn.Conv2d) -> SeparableConv2d:
    """A fresh separable convolution with the geometry of `conv`."""
    if type(conv) is not nn.Conv2d:
        raise ValueError(
            f"module must hold no subclass of nn.Conv2d that is to be replaced, got"
            f" {type(conv).__name__}"
        )
    bias = conv.bias is not None
    with conv.weight.device:
        separable = SeparableConv2d(conv.in_channels, conv.out_channels, bias=bias)
        separable.conv1 = nn.Conv2d(
            conv.in_channels,
            conv.in_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            groups=conv.in_channels,
            bias=bias,
            padding_mode=conv.padding_mode,
        )
        kaiming_init(separable)
    return separable.to(conv.weight.dtype).train(conv.training)
