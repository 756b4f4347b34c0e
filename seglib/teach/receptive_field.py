"""What a pixel of a feature map sees: receptive fields, and the taps of a dilated kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from seglib.backbones.mobilenetv2 import block_table
from seglib.checks import check_whole
from seglib.teach._html import block, escape, table

Layer = tuple[int, int, int]  # kernel size, stride, dilation
BackboneName = Literal["none", "mobilenetv2"]
Place = Literal["centre", "edge", "corner"]


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
        name: "mobilenetv2", or "none" for a map that is made by striding alone.
        output_stride: 8, 16 or 32.
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


@dataclass(frozen=True)
class BranchView:
    """One 3×3 branch of ASPP.

    Attributes:
        rate: its dilation, in pixels of the map.
        span: from its first tap to its last, in pixels of the map.
        field: side of the square of image pixels that it sees, through the backbone.
        mean_taps: taps inside the map, of nine, averaged over the map's pixels.
        taps: those of the pixel in question.
    """

    rate: int
    span: int
    field: int
    mean_taps: float
    taps: int


@dataclass(frozen=True, repr=False)
class AsppView:
    """What ASPP's branches read of a square image; shows itself as a table.

    Attributes:
        output_stride: image pixels per pixel of the map.
        input_size, map_size: sides of the image and of the map, in pixels of each.
        backbone_field: side of the square of image pixels that one pixel of the map sees.
        place: the pixel in question, and its (row, column) in the map.
        branches: the 3×3 branches.
    """

    output_stride: int
    input_size: int
    map_size: int
    backbone_field: int
    place: tuple[Place, int, int]
    branches: tuple[BranchView, ...]

    @property
    def title(self) -> str:
        """The setting in words."""
        image, size = f"{self.input_size}×{self.input_size}", f"{self.map_size}×{self.map_size}"
        return (
            f"image {image}, output stride {self.output_stride}, map {size}; "
            f"a pixel of the map sees {self.backbone_field} image pixels each way"
        )

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                f"rate {one.rate}", str(one.span), str(one.field), f"{one.mean_taps:.2f}",
                str(one.taps),
            )
            for one in self.branches
        ]  # fmt: skip

    def __repr__(self) -> str:
        head = ("branch", "span", "field", "mean taps", f"at the {self.place[0]}")
        lines = [
            f"  {name:<9} {span:>5} {field:>6} {mean:>10} {taps:>14}"
            for name, span, field, mean, taps in [head, *self._rows()]
        ]
        return "\n".join([self.title, *lines])

    def _repr_html_(self) -> str:
        head = (
            "3×3 branch", "span on the map", "sees of the image", "taps inside, mean of 9",
            f"taps inside at the {self.place[0]}",
        )  # fmt: skip
        content = (
            f'<p style="margin:0 0 4px 0"><strong>{escape(self.title)}</strong></p>'
            f"{table(head, self._rows(), label='Branches of ASPP', numeric=(1, 2, 3, 4))}"
        )
        return block(content, label=self.title)


def aspp_view(
    rates: Sequence[int] = (6, 12, 18),
    output_stride: int = 16,
    input_size: int = 513,
    place: Place = "centre",
) -> AsppView:
    """What ASPP's 3×3 branches read, on top of MobileNetV2 and a square image.

    Args:
        rates: dilations in pixels of the map, one or more, each ≥ 1.
        output_stride: 8, 16 or 32, image pixels per pixel of the map.
        input_size: side of the image in pixels, ≥ 1.
        place: which pixel of the map to look at: its centre, the middle of its left edge, or its
            top left corner.
    Raises:
        ValueError: if an argument is out of its range.
    """
    check_whole("input_size", input_size)
    places = ("centre", "edge", "corner")
    if place not in places:
        raise ValueError(f"place must be one of {', '.join(places)}, got {place!r}")
    if not rates:
        raise ValueError(f"rates must be one or more dilations, got {rates!r}")
    layers = backbone_layers("mobilenetv2", output_stride)
    size = -(-input_size // output_stride)
    row, column = (0 if place == "corner" else size // 2), (size // 2 if place == "centre" else 0)
    branches = []
    for rate in rates:
        taps = valid_taps(size, size, rate)
        field, _ = receptive_field([*layers, (3, 1, rate)])
        mean = taps.double().mean().item()
        branches.append(BranchView(rate, 2 * rate + 1, field, mean, int(taps[row, column])))
    backbone, _ = receptive_field(layers)
    where = (place, row, column)
    return AsppView(output_stride, input_size, size, backbone, where, tuple(branches))
