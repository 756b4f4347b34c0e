"""Where to write the classes' numbers on a mask, so that each can be read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Pixel = tuple[int, int]  # row, column


@dataclass(frozen=True)
class Place:
    """Where a number stands, and a pixel of its class: another one where the class has no room."""

    label: int
    pixel: Pixel
    target: Pixel


def place_numbers(labels: Tensor, wanted: list[int]) -> list[Place]:
    """A place for each number, far from its area's border and clear of the other numbers.

    Small areas choose first. An area without room sends its number to the nearest pixel that has.

    Args:
        labels: integers (H, W).
        wanted: labels that occur in it.
    """
    labels = labels.cpu()
    height, width = labels.shape
    # What a number of 7 points takes on a panel 2.5 to 3 inches wide, in pixels.
    rows, columns = max(1, width // 16), max(1, width // 14)
    depths = {label: depth(labels == label) for label in wanted}
    clear = torch.ones(height, width, dtype=torch.bool)
    places = []
    for label in sorted(wanted, key=lambda label: int((labels == label).sum())):
        inside = depths[label]
        target = pixel = _deepest(inside)
        if not clear[target]:
            if bool((clear & (inside > 0)).any()):
                target = pixel = _deepest(inside * clear)
            elif bool(clear.any()):
                pixel = _nearest(clear, target)
        places.append(Place(label, pixel, target))
        top, left = max(0, pixel[0] - rows + 1), max(0, pixel[1] - columns + 1)
        clear[top : pixel[0] + rows, left : pixel[1] + columns] = False
    return places


def depth(area: Tensor) -> Tensor:
    """How often the area can be shrunk by one pixel until each of its pixels is gone: int (H, W).

    Beyond the picture's edge there is no area, so it shrinks from there too.
    """
    inside = area.float()[None, None]
    total = torch.zeros(area.shape)
    while bool(inside.any()):
        total += inside[0, 0]
        inside = -F.max_pool2d(-F.pad(inside, (1, 1, 1, 1)), kernel_size=3, stride=1)
    return total.int()


def _deepest(inside: Tensor) -> Pixel:
    rows, columns = (inside == inside.max()).nonzero(as_tuple=True)
    middle = len(rows) // 2
    return int(rows[middle]), int(columns[middle])


def _nearest(clear: Tensor, target: Pixel) -> Pixel:
    pixels = clear.nonzero()  # (n, 2)
    distance = (pixels - torch.tensor(target)).square().sum(1)
    row, column = pixels[int(distance.argmin())].tolist()
    return row, column
