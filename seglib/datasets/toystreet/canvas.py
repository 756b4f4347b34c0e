"""Paper and pencils of ToyStreet: dice, a pinhole camera, and a canvas of colour, label and distance.

All arithmetic is on integers, and random numbers are raw bits of PCG64 (numpy keeps those streams fixed for ever, those
of its distributions not), so that a scene has the same pixels on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
VOID = 255

WIDTH, HEIGHT = 320, 240  # the canvas: twice the size of the finished image
FAR = 30_000  # cm; the distance of the sky

Color = tuple[int, int, int]
Point = tuple[int, int]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Item = TypeVar("Item")

COLUMNS: Ints = np.arange(WIDTH, dtype=np.int64)
ROWS: Ints = np.arange(HEIGHT, dtype=np.int64)[:, None]


class Dice:
    """Random choices from one key: the same key gives the same choices everywhere."""

    def __init__(self, key: Sequence[int]) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(list(key)))

    def integer(self, low: int, high: int) -> int:
        """Draw from low … high, both included."""
        return low + int(self._bits.random_raw()) % (high - low + 1)

    def chance(self, percent: int) -> bool:
        return self.integer(0, 99) < percent

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.integer(0, len(items) - 1)]

    def field(self, height: int, width: int) -> Ints:
        """White noise, (height, width), 0 … 255."""
        words = np.asarray(self._bits.random_raw((height * width + 7) // 8)).astype("<u8")
        return words.view(np.uint8)[: height * width].reshape(height, width).astype(np.int64)


def speckle(u: Ints, v: Ints, seed: int) -> Ints:
    """A fixed random number, 0 … 255, for each pair of integers: texture that sticks to the world."""
    mixed = (u * 374_761_393 + v * 668_265_263 + seed * 1_274_126_177) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 13)) * 1_274_126_177) & 0xFFFFFFFF
    return (mixed ^ (mixed >> 16)) & 255


def blend(a: Color, b: Color, share: int) -> Color:
    """Mix `share` percent of `b` into `a`."""
    red, green, blue = ((p * (100 - share) + q * share) // 100 for p, q in zip(a, b, strict=True))
    return red, green, blue


def light(color: Color, percent: int) -> Color:
    """Scale a colour's brightness."""
    red, green, blue = (min(255, value * percent // 100) for value in color)
    return red, green, blue


@dataclass(frozen=True)
class Camera:
    """Pinhole camera above the road. World in cm: X right, Y up, Z ahead; Z > 0."""

    focal: int  # pixels of the canvas
    center: int  # column of the vanishing point
    horizon: int  # row
    height: int  # cm
    bend: int  # sideways drift of the road in cm at 100 m; grows with the square of the distance

    def shift(self, z: int) -> int:
        return self.bend * z * z // 100_000_000

    def project(self, x: int, y: int, z: int) -> Point:
        column = self.center + self.focal * (x + self.shift(z)) // z
        return column, self.horizon + self.focal * (self.height - y) // z

    def scale(self, length: int, z: int) -> int:
        """Pixels of a length in cm at distance `z`."""
        return self.focal * length // z


class Canvas:
    """Three sheets drawn on together: colour (H, W, 3), label (H, W), distance in cm (H, W).

    Drawing with `label=None` paints colour only: windows, lamps and shadows don't change what a thing is.
    """

    def __init__(self) -> None:
        self.color: Ints = np.zeros((HEIGHT, WIDTH, 3), dtype=np.int64)
        self.label = np.full((HEIGHT, WIDTH), SKY, dtype=np.uint8)
        self.depth: Ints = np.full((HEIGHT, WIDTH), FAR, dtype=np.int64)

    def paint(
        self, where: tuple[slice, slice], inside: Bools, color: Color, label: int | None, z: int
    ) -> None:
        """Paint the pixels `inside` of the window `where`."""
        self.color[where][inside] = color
        if label is not None:
            self.label[where][inside] = label
        self.depth[where][inside] = z

    def rectangle(
        self, left: int, top: int, right: int, bottom: int, color: Color, label: int | None, z: int
    ) -> None:
        """Fill columns left … right - 1 and rows top … bottom - 1."""
        where = _window(left, top, right, bottom)
        self.color[where] = color
        if label is not None:
            self.label[where] = label
        self.depth[where] = z

    def polygon(self, points: Sequence[Point], color: Color, label: int | None, z: int) -> None:
        """Fill the pixels whose centres lie inside (even-odd rule)."""
        xs, ys = [x for x, _ in points], [y for _, y in points]
        where = _window(min(xs), min(ys), max(xs), max(ys))
        columns, rows = COLUMNS[where[1]], ROWS[where[0]]
        if not columns.size or not rows.size:
            return
        inside = np.zeros((rows.size, columns.size), dtype=np.bool_)
        for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
            if y0 > y1:
                x0, y0, x1, y1 = x1, y1, x0, y0
            crossed = slice(max(y0, where[0].start) - where[0].start, max(0, y1 - where[0].start))
            if y0 == y1 or crossed.start >= crossed.stop:
                continue
            step = 2 * (y1 - y0)
            reach = (x1 - x0) * (2 * rows[crossed] + 1 - 2 * y0)  # (rows, 1), in units of 1 / step
            first = x0 - (step - 2 * reach) // (2 * step)  # first column whose centre is to the right
            inside[crossed] ^= columns >= first
        self.paint(where, inside, color, label, z)

    def ellipse(
        self, x: int, y: int, rx: int, ry: int, color: Color, label: int | None, z: int
    ) -> None:
        """Fill an ellipse around (x, y)."""
        where = _window(x - rx, y - ry, x + rx + 1, y + ry + 1)
        dx, dy = COLUMNS[where[1]] - x, ROWS[where[0]] - y
        rx, ry = max(rx, 1), max(ry, 1)
        inside = dx * dx * (ry * ry) + dy * dy * (rx * rx) <= rx * rx * ry * ry
        self.paint(where, inside, color, label, z)

    def stroke(
        self, start: Point, end: Point, width: int, color: Color, label: int | None, z: int
    ) -> None:
        """Draw a line with round ends, `width` pixels wide."""
        (x0, y0), (x1, y1) = start, end
        reach = width // 2 + 1
        where = _window(
            min(x0, x1) - reach, min(y0, y1) - reach, max(x0, x1) + reach + 1, max(y0, y1) + reach + 1
        )
        px, py = COLUMNS[where[1]] - x0, ROWS[where[0]] - y0
        dx, dy = x1 - x0, y1 - y0
        square = max(1, dx * dx + dy * dy)
        along = np.clip(px * dx + py * dy, 0, square)
        # the squared distance to the nearest point of the line, times square² to stay in integers
        distance = (px * square - along * dx) ** 2 + (py * square - along * dy) ** 2
        inside = 4 * distance <= width * width * square * square
        self.paint(where, inside, color, label, z)

    def disc_label(self, x: int, y: int, radius: int, label: int) -> None:
        """Label a disc without painting it: the view through a wheel belongs to the wheel."""
        where = _window(x - radius, y - radius, x + radius + 1, y + radius + 1)
        dx, dy = COLUMNS[where[1]] - x, ROWS[where[0]] - y
        self.label[where][dx * dx + dy * dy <= radius * radius] = label


def _window(left: int, top: int, right: int, bottom: int) -> tuple[slice, slice]:
    """Rows and columns of a box, cut to the canvas."""
    rows = slice(min(max(top, 0), HEIGHT), min(max(bottom, 0), HEIGHT))
    columns = slice(min(max(left, 0), WIDTH), min(max(right, 0), WIDTH))
    return rows, columns
