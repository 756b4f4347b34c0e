"""What a feature pyramid makes and costs, level by level: measured on the library's own module."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from seglib.backbones import build_backbone
from seglib.heads import FPN, LastLevelMaxPool, LastLevelP6P7
from seglib.teach._html import block, escape, table

TOPS = ("none", "max pool", "P6 and P7")


@dataclass(frozen=True)
class LevelFacts:
    """One level of a pyramid.

    Attributes:
        name: "P2" has stride 4, "P3" the next one, and so on.
        stride: pixels of the image for one pixel of the map, along each side.
        in_channels: channels of the backbone's map; None for a level made from another level.
        shape: (channels, height, width) of the result.
        parameters: of the lateral and the smoothing convolution, or of the level's own.
        multiply_adds: of the same, for one image.
    """

    name: str
    stride: int
    in_channels: int | None
    shape: tuple[int, int, int]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True, repr=False)
class PyramidFacts:
    """A feature pyramid, level by level; shows itself as a table.

    Attributes:
        title: the pyramid in words.
        levels: high resolution first.
    """

    title: str
    levels: tuple[LevelFacts, ...]

    @property
    def parameters(self) -> int:
        """Of all levels."""
        return sum(level.parameters for level in self.levels)

    @property
    def multiply_adds(self) -> int:
        """Of all levels, for one image."""
        return sum(level.multiply_adds for level in self.levels)

    def share(self, place: int) -> float:
        """The part of all multiply-adds that level number `place` takes."""
        return self.levels[place].multiply_adds / self.multiply_adds

    def _rows(self) -> list[tuple[str, ...]]:
        rows = [
            (
                level.name,
                f"/{level.stride}",
                "–" if level.in_channels is None else str(level.in_channels),
                " × ".join(map(str, level.shape)),
                _number(level.parameters),
                _number(level.multiply_adds),
                f"{100 * self.share(place):.0f} %",
            )
            for place, level in enumerate(self.levels)
        ]
        total = (_number(self.parameters), _number(self.multiply_adds))
        return [*rows, ("sum", "", "", "", *total, "")]

    def __repr__(self) -> str:
        lines = [self.title]
        for name, stride, channels, shape, *numbers in self._rows():
            parameters, multiply_adds, share = numbers
            line = f"  {name:<4} {stride:>5} {channels:>6} {shape:>16} {parameters:>12}"
            lines.append(f"{line} {multiply_adds:>16} {share:>6}".rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [tuple(escape(cell) for cell in row) for row in self._rows()]
        for place in range(len(self.levels)):
            rows[place] = (*rows[place][:-1], f"{_bar(self.share(place))} {rows[place][-1]}")
        rows[-1] = tuple(f"<strong>{cell}</strong>" for cell in rows[-1])
        head = (
            "level", "stride", "from channels", "channels × height × width", "parameters",
            "multiply-adds", "share of the work",
        )  # fmt: skip
        content = (
            f'<p style="margin:0 0 4px 0"><strong>{escape(self.title)}</strong></p>'
            f"{table(head, rows, label='Levels of the pyramid', numeric=(1, 2, 3, 4, 5))}"
        )
        return block(content, label=self.title)


def pyramid_facts(
    in_channels_list: Sequence[int],
    strides: Sequence[int],
    out_channels: int = 256,
    height: int = 512,
    width: int = 512,
    top: str = "none",
) -> PyramidFacts:
    """Build the library's `FPN`, run it without data, and note what each level gives and costs.

    Args:
        in_channels_list: channels of the backbone's maps, high resolution first.
        strides: their strides; a map has ⌈height / stride⌉ × ⌈width / stride⌉ pixels.
        out_channels: channels of every result.
        height, width: of the image, in pixels, ≥ 1.
        top: further levels: one of `TOPS`.
    Raises:
        ValueError: if an argument is out of its range.
    """
    if len(strides) != len(in_channels_list):
        raise ValueError(f"strides must be {len(in_channels_list)} numbers, got {list(strides)}")
    for name, value in {
        "height": height,
        "width": width,
        "strides": min(strides, default=1),
    }.items():
        if value < 1:
            raise ValueError(f"{name} must be >= 1, got {value}")
    if top not in TOPS:
        raise ValueError(f"top must be one of {', '.join(TOPS)}, got {top!r}")
    makers: dict[str, nn.Module | None] = {"none": None}
    costs: dict[str, list[int]] = {}

    def note(name: str, conv: nn.Conv2d, output: Tensor) -> None:
        pixels = output.shape[-2] * output.shape[-1]
        parameters = sum(parameter.numel() for parameter in conv.parameters())
        costs[name] = [parameters, conv.weight.numel() * pixels]

    with torch.device("meta"):
        if top == "max pool":
            makers[top] = LastLevelMaxPool()
        elif top == "P6 and P7":
            makers[top] = LastLevelP6P7(in_channels_list[-1], out_channels)
        fpn = FPN(in_channels_list, out_channels, makers[top])
        for name, module in fpn.named_modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(
                    lambda conv, _, output, name=name: note(name, conv, output)
                )
        maps = fpn(
            [
                torch.empty(1, channels, math.ceil(height / stride), math.ceil(width / stride))
                for channels, stride in zip(in_channels_list, strides, strict=True)
            ]
        )
    first = round(math.log2(strides[0]))
    levels = []
    for place, x in enumerate(maps):
        own = place < len(strides)
        names = (
            [f"inner_blocks.{place}.0", f"layer_blocks.{place}.0"]
            if own
            else [f"extra_blocks.p{6 + place - len(strides)}"]
        )
        found = [costs.get(name, [0, 0]) for name in names]
        levels.append(
            LevelFacts(
                f"P{first + place}",
                strides[place] if own else strides[-1] * 2 ** (place + 1 - len(strides)),
                in_channels_list[place] if own else None,
                (x.shape[1], x.shape[2], x.shape[3]),
                sum(parameters for parameters, _ in found),
                sum(multiply_adds for _, multiply_adds in found),
            )
        )
    more = "" if top == "none" else f", {top}"
    title = f"FPN({list(in_channels_list)}, {out_channels}{more}) on {height}×{width}"
    return PyramidFacts(title, tuple(levels))


@cache
def backbone_levels(name: str, output_stride: int = 32) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels and strides of a backbone's maps."""
    with torch.device("meta"):
        body = build_backbone(name, output_stride=output_stride)
    return tuple(body.channels), tuple(body.strides)


def _bar(share: float) -> str:
    width = max(1, round(60 * share))
    style = f"display:inline-block;height:.7em;width:{width}px;background:currentColor;opacity:.55"
    return f'<span aria-hidden="true" style="{style}"></span>'


def _number(value: int) -> str:
    return f"{value:,}".replace(",", " ") if value else "–"
