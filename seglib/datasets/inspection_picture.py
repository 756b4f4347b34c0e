"""An inspected data set at a glance: samples with their masks, and how frequent the classes are."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from seglib.datasets.base import SegmentationDataset
from seglib.datasets.inspection import Inspection, SplitReport
from seglib.images import read_image
from seglib.visualize import legend, overlay

SAMPLES = 6
COLUMNS = 3  # samples in a row, an image and its overlay each
MAX_BARS = 40
LEGEND_LINE = 0.18  # inches
SIDE = 320  # pixels of a sample's longer side: more are not seen
MARKERS = ("o", "^", "s")  # of the splits after the first


def draw_inspection(inspection: Inspection) -> Figure:
    """Draw samples of the first split that has some, and the classes' shares in all of them.

    Samples are chosen so that together they show as many classes as they can. Classes are sorted by
    their share; the 40 most frequent are shown.

    Raises:
        ValueError: if no image could be read together with its mask.
    """
    splits = [split for split in inspection.splits if split.usable]
    if not splits:
        raise ValueError("there is no picture to draw: no image could be read with its mask")
    data = splits[0].dataset
    chosen = _choose(splits[0])
    rows = -(-len(chosen) // COLUMNS)
    bars = min(len(data.classes), MAX_BARS)
    heights = (1.6 * rows + 0.4, 0.24 * bars + 1.0)  # inches
    figure = Figure(figsize=(12, sum(heights)), dpi=100)
    halves = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)
    _draw_samples(halves[0, 0], data, chosen, rows, int(sum(heights) / LEGEND_LINE) - 1)
    _draw_bars(halves[1, 0], splits, heights[1])
    return figure


def _choose(split: SplitReport) -> list[int]:
    """Items that together hold many classes: each next one adds most of them, and where several do
    it is far from the others, as neighbours often look alike.
    """
    seen = torch.zeros(len(split.dataset.classes), dtype=torch.bool)
    left = dict(split.usable)
    chosen: list[int] = []
    while left and len(chosen) < SAMPLES:
        gains = {
            index: (
                int((holds & ~seen).sum()),
                min((abs(index - other) for other in chosen), default=0),
            )
            for index, holds in left.items()
        }
        best = max(gains, key=lambda index: gains[index])
        seen |= left.pop(best)
        chosen.append(best)
    return sorted(chosen)


def _draw_samples(
    figure: SubFigure, data: SegmentationDataset, chosen: list[int], rows: int, lines: int
) -> None:
    panels = figure.subplots(rows, 2 * COLUMNS, squeeze=False)
    present: set[int] = set()
    for axes in panels.flat:
        axes.set_axis_off()
    for place, index in enumerate(chosen):
        row, column = divmod(place, COLUMNS)
        left, right = panels[row, 2 * column], panels[row, 2 * column + 1]
        image, mask = _small(read_image(data.paths(index)[0]), data.labels(index))
        left.imshow(image.permute(1, 2, 0).numpy())
        left.set_title(data.paths(index)[0].name[-28:], fontsize=7, loc="left", pad=3)
        mixed = overlay(image, mask.long(), data.palette, 0.7, data.ignore_index)
        right.imshow(mixed.permute(1, 2, 0).numpy())
        present.update(mask.unique().tolist())
    labels = sorted(present - {data.ignore_index})
    # The legend begins beside the top right panel and may run down along the whole figure.
    legend(panels[0, -1], data.classes, data.palette, labels[:lines])
    figure.subplots_adjust(left=0.01, right=0.87, top=0.92, bottom=0.02, wspace=0.04, hspace=0.15)


def _small(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    step = max(1, max(mask.shape) // SIDE)
    return image[:, ::step, ::step], mask[::step, ::step]


def _draw_bars(figure: SubFigure, splits: list[SplitReport], height: float) -> None:
    data = splits[0].dataset
    shares = [split.pixels.double() / max(1, int(split.pixels.sum())) for split in splits]
    images = [split.images.double() / max(1, len(split.usable)) for split in splits]
    order = shares[0].argsort(descending=True, stable=True)[:MAX_BARS].flip(0)
    colors = data.palette[order].numpy() / 255
    places = np.arange(len(order))
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, values, title in (
        (left, shares, "share of the pixels with a class, %"),
        (right, images, "share of the images that show it, %"),
    ):
        axes.barh(places, 100 * values[0][order].numpy(), color=colors, edgecolor="0.3", height=0.7)
        for split, marker, other in zip(splits[1:], MARKERS, values[1:], strict=False):
            axes.plot(
                100 * other[order].numpy(),
                places,
                marker,
                color="black",
                markerfacecolor="white",
                markersize=5,
                label=split.dataset.split,
            )
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    smallest = min([1.0, *(float(share[share > 0].min()) for share in shares if share.any())])
    if shares[0].any():
        left.set_xscale("log")
        left.xaxis.set_major_formatter("{x:g}")
    left.set_xlim(min(1.0, max(1e-4, 50 * smallest)), 100)
    right.set_xlim(0, 102)
    left.set_yticks(places, [f"{data.classes[i][:24]}  {i}" for i in order.tolist()])
    left.set_ylim(-0.7, len(order) - 0.3)
    if splits[1:]:
        title = f"bars: {data.split}"
        left.legend(title=title, loc="lower right", fontsize=8, title_fontsize=8)
    figure.subplots_adjust(
        left=0.16, right=0.87, top=1 - 0.35 / height, bottom=0.35 / height, wspace=0.06
    )
