"""What a pixel of a feature map sees: receptive fields, and the taps of a dilated kernel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from seglib.backbones.mobilenetv2 import block_table
from seglib.checks import check_whole

Layer = tuple[int, int, int]  # kernel size, stride, dilation
BackboneName = Literal["none", "mobilenetv2"]
# What the explorer offers; "none" is a map that was made by striding alone.


def receptive_field(layers: Iterable[Layer]) -> tuple[int, int]:
    """Side of the square of image pixels that one output pixel sees, and the chain's stride.

    Every layer adds what its kernel reaches beyond one pixel of its input, `dilation · (kernel −
    1)`; and its input's pixels are as far apart as the strides before it multiply to.

    Args:
        layers: (kernel size, stride, dilation) of each layer, all ≥ 1, the one next to the image
            first.
    Returns:
        (size, stride) in image pixels; (1, 1) without layers.
    Raises:
        ValueError: if a number is below 1.
    """
    size, stride = 1, 1
    for place, layer in enumerate(layers):
        for name, value in zip(("kernel_size", "stride", "dilation"), layer, strict=True):
            check_whole(f"{name} of layers[{place}]", value)
        kernel, step, dilation = layer
        size += stride * dilation * (kernel - 1)
        stride *= step
    return size, stride


def backbone_layers(name: BackboneName, output_stride: int) -> list[Layer]:
    """The layers of a backbone that see more than one pixel, the one next to the image first.

    Args:
        name: "mobilenetv2", or "none".
        output_stride: as `build_backbone` takes it.
    Raises:
        ValueError: for an unknown name or output stride.
    """
    if name not in ("none", "mobilenetv2"):
        raise ValueError(f"name must be 'none' or 'mobilenetv2', got {name!r}")
    rows = block_table(output_stride)
    if name == "none":
        return [(1, output_stride, 1)]
    return [(3, 2, 1), *((3, row.stride, row.dilation) for row in rows)]


def valid_taps(height: int, width: int, rate: int) -> Tensor:
    """How many of a dilated 3×3 kernel's nine taps lie inside the map, for each pixel.

    Args:
        height, width: of the map, ≥ 1.
        rate: dilation in pixels of the map, ≥ 1.
    Returns:
        int64 (height, width): 1, 2, 3, 4, 6 or 9. The others read padding.
    Raises:
        ValueError: if an argument is below 1.
    """
    for name, value in (("height", height), ("width", width), ("rate", rate)):
        check_whole(name, value)
    rows, columns = (_line(length, rate) for length in (height, width))
    return rows[:, None] * columns[None, :]


def _line(length: int, rate: int) -> Tensor:
    """Taps inside, of three along one line."""
    place = torch.arange(length)
    return 1 + (place >= rate).long() + (place + rate < length).long()
