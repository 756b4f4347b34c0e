"""Masks as pictures: colours, overlays, legends, learning curves."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import AbstractPathEffect, withStroke
from PIL import Image
from torch import Tensor

from seglib.files import atomic_path
from seglib.images import Picture, to_image
from seglib.placement import place_numbers

Palette = Tensor | npt.NDArray[np.uint8] | Sequence[Sequence[int]]  # (num_classes, 3), 0 … 255


def make_palette(num_classes: int) -> Tensor:
    """Colours for classes that have none: uint8 (num_classes, 3).

    Hues a golden angle apart, in three degrees of brightness: neighbours differ in grey too.

    Raises:
        ValueError: if `num_classes` is not 1 … 255.
    """
    if not 1 <= num_classes <= 255:
        raise ValueError(f"num_classes must be 1 to 255 for a palette, got {num_classes}")
    degrees = (0.95, 0.55, 0.75)
    colors = [
        colorsys.hsv_to_rgb(0.6 + 0.381966 * label, 0.75, degrees[label % 3])
        for label in range(num_classes)
    ]
    return (255 * torch.tensor(colors)).round().to(torch.uint8)


def colorize(mask: Tensor, palette: Palette, ignore_index: int = 255) -> Tensor:
    """Colour a mask: integer labels (H, W) → uint8 (3, H, W); ignored pixels are black.

    Raises:
        ValueError: if `mask` is not (H, W) or holds a label that has no colour.
    """
    colors = _colors(palette)
    mask = _labels(mask, len(colors), ignore_index)
    with_black = torch.cat([colors, torch.zeros(1, 3, dtype=torch.uint8)])
    index = torch.where(mask == ignore_index, len(colors), mask)
    return with_black[index].permute(2, 0, 1).contiguous()


def overlay(
    image: Picture,
    mask: Tensor,
    palette: Palette,
    alpha: float = 0.5,
    ignore_index: int = 255,
) -> Tensor:
    """Lay a mask's colours over the image; ignored pixels show the image alone.

    Args:
        image: (3, H, W) uint8, or any picture that `seglib.images.to_image` takes.
        mask: integer labels (H, W).
        palette: (num_classes, 3), 0 … 255.
        alpha: the colours' share, in [0, 1].
        ignore_index: the label of pixels without a class.
    Returns:
        uint8 (3, H, W).
    Raises:
        ValueError: if the sizes differ, `alpha` is out of range, or a label has no colour.
    """
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha must be in [0, 1], got {alpha}")
    picture = to_image(image).cpu()
    colors = colorize(mask, palette, ignore_index)
    if picture.shape != colors.shape:
        height, width = picture.shape[-2:]
        raise ValueError(
            f"mask must have the image's size ({height}, {width}), got {tuple(mask.shape)}"
        )
    labels = mask.cpu().as_subclass(Tensor)
    mixed = torch.lerp(picture.float(), colors.float(), alpha).round().to(torch.uint8)
    return torch.where(labels == ignore_index, picture, mixed)


def legend(axes: Axes, classes: Sequence[str], palette: Palette, labels: Sequence[int]) -> None:
    """List the given classes, number, colour and name, to the right of `axes`.

    Raises:
        ValueError: if there is not one name for each colour.
    """
    colors = _named_colors(classes, palette)
    patches = [
        Patch(facecolor=colors[i] / 255, edgecolor="0.4", label=f"{i} {classes[i]}") for i in labels
    ]
    axes.legend(
        handles=patches,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0.0,
        frameon=False,
        fontsize=8,
    )


def show_prediction(
    image: Picture,
    mask: Tensor,
    classes: Sequence[str],
    palette: Palette,
    *,
    truth: Tensor | None = None,
    alpha: float = 0.6,
    ignore_index: int = 255,
) -> Figure:
    """The image, the truth if given, and the prediction, with a legend of the classes that occur.

    The widest area of each class also bears its number, and borders are drawn: the figure can be
    read without its colours. Where an area has no room, a line leads from the number to it. The
    figure's size is fixed: 3 inches a panel and 1.4 for the legend, by 2.6.

    Args:
        image: (3, H, W) uint8, or any picture that `seglib.images.to_image` takes.
        mask: the prediction, integer labels (H, W).
        classes: names, one for each colour of `palette`.
        palette: (num_classes, 3), 0 … 255.
        truth: labels of the data set, (H, W).
        alpha: the colours' share of the overlays, in [0, 1].
        ignore_index: the label of pixels without a class.
    Raises:
        ValueError: if the sizes differ, a label has no colour, or a colour no name.
    """
    _named_colors(classes, palette)
    picture = to_image(image).cpu()
    masks = {"prediction": mask} if truth is None else {"truth": truth, "prediction": mask}
    columns = 1 + len(masks)
    figure = Figure(figsize=(3.0 * columns + 1.4, 2.6), dpi=100)
    panels = figure.subplots(1, columns, squeeze=False)[0]
    panels[0].imshow(picture.permute(1, 2, 0).numpy())
    panels[0].set_title("image", fontsize=9)
    present: set[int] = set()
    for axes, (title, labels) in zip(panels[1:], masks.items(), strict=True):
        mixed = overlay(picture, labels, palette, alpha, ignore_index)
        axes.imshow(mixed.permute(1, 2, 0).numpy())
        axes.add_collection(
            LineCollection(_borders(labels).tolist(), colors="white", linewidths=0.6)
        )
        axes.set_title(title, fontsize=9)
        found = sorted({*labels.flatten().tolist()} - {ignore_index})
        for place in place_numbers(labels, found):
            (row, column), (y, x) = place.pixel, place.target
            outline: list[AbstractPathEffect] = [withStroke(linewidth=2, foreground="white")]
            if place.pixel != place.target:
                line = LineCollection([[(column, row), (x, y)]], colors="black", linewidths=0.6)
                line.set_path_effects(outline)
                axes.add_collection(line)
            text = axes.text(column, row, str(place.label), ha="center", va="center", fontsize=7)
            text.set_path_effects(outline)
        present.update(found)
    for axes in panels:
        axes.set_axis_off()
    legend(panels[-1], classes, palette, sorted(present))
    right = 1 - 1.4 / figure.get_figwidth()
    figure.subplots_adjust(left=0.01, right=right, top=0.9, bottom=0.02, wspace=0.03)
    return figure


def curves(series: Mapping[str, Sequence[tuple[float, float]]]) -> Figure:
    """Learning curves, one panel each: `{"loss": [(step, value), …], …}`; 3.4 × 2.4 inches a panel.

    Raises:
        ValueError: if there is no series.
    """
    if not series:
        raise ValueError("series must hold at least one curve, got none")
    figure = Figure(figsize=(3.4 * len(series), 2.4), dpi=100, layout="constrained")
    panels = figure.subplots(1, len(series), squeeze=False)[0]
    for axes, (name, points) in zip(panels, series.items(), strict=True):
        steps, values = [step for step, _ in points], [value for _, value in points]
        axes.plot(steps, values, color="#0072b2", marker="o" if len(points) < 30 else "")
        axes.set_xlabel("step", fontsize=8)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    return figure


def save_mask(path: str | Path, mask: Tensor, palette: Palette, ignore_index: int = 255) -> None:
    """Write a mask as a palette PNG: its pixel values are the labels, its colours the palette's.

    Written whole or not at all. Ignored pixels are written as 255 and look black.

    Raises:
        ValueError: if the path does not end in .png, or a label has no colour.
        FileNotFoundError: if the folder does not exist.
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"path must end in .png, which keeps labels exactly, got {path}")
    colors = _colors(palette)
    labels = _labels(mask, len(colors), ignore_index)
    labels = torch.where(labels == ignore_index, 255, labels)
    picture = Image.fromarray(labels.to(torch.uint8).numpy())
    table = torch.zeros(256, 3, dtype=torch.uint8)
    table[: len(colors)] = colors
    picture.putpalette(table.flatten().tolist())
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG")


def _colors(palette: Palette) -> Tensor:
    colors = torch.as_tensor(np.asarray(palette.cpu() if isinstance(palette, Tensor) else palette))
    if colors.ndim != 2 or colors.shape[1] != 3 or not 1 <= len(colors) <= 255:
        raise ValueError(f"palette must have the shape (1 … 255, 3), got {tuple(colors.shape)}")
    if colors.is_floating_point() or int(colors.min()) < 0 or int(colors.max()) > 255:
        raise ValueError("palette must hold integers from 0 to 255")
    return colors.to(torch.uint8)


def _named_colors(classes: Sequence[str], palette: Palette) -> npt.NDArray[np.uint8]:
    colors: npt.NDArray[np.uint8] = _colors(palette).numpy()
    if len(classes) != len(colors):
        raise ValueError(f"classes has {len(classes)} names for {len(colors)} colours")
    return colors


def _labels(mask: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    if mask.ndim != 2 or mask.is_floating_point() or mask.dtype == torch.bool:
        raise ValueError(
            f"mask must hold integer labels of shape (H, W), got {mask.dtype} {tuple(mask.shape)}"
        )
    labels = mask.cpu().as_subclass(Tensor).long()
    wrong = labels[((labels < 0) | (labels >= num_classes)) & (labels != ignore_index)]
    if wrong.numel():
        raise ValueError(
            f"mask holds label {int(wrong[0])}, allowed is 0 to {num_classes - 1}"
            f" or {ignore_index} (ignored)"
        )
    return labels


def _borders(labels: Tensor) -> Tensor:
    """The pixel edges between labels, as lines ((column, row), (column, row)): (n, 2, 2)."""
    labels = labels.cpu()
    row, column = (labels[:, :-1] != labels[:, 1:]).nonzero(as_tuple=True)
    upright = torch.stack([column + 0.5, row - 0.5, column + 0.5, row + 0.5], dim=1)
    row, column = (labels[:-1] != labels[1:]).nonzero(as_tuple=True)
    level = torch.stack([column - 0.5, row + 0.5, column + 0.5, row + 0.5], dim=1)
    return torch.cat([upright, level]).reshape(-1, 2, 2)
