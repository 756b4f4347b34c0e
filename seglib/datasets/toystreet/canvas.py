"""A pinhole camera, and a canvas of colour, label and distance with integer drawing tools.

The tools are few and exact, because a drawing library's rounding may change with its version or the
processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seglib.datasets.toystreet.dice import Bools, Color, Ints

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
VOID = 255

WIDTH, HEIGHT = 320, 240  # the canvas: twice the size of the finished image
FAR = 30_000  # cm; the distance of the sky

Point = tuple[int, int]
Window = tuple[slice, slice]

COLUMNS: Ints = np.arange(WIDTH, dtype=np.int64)
ROWS: Ints = np.arange(HEIGHT, dtype=np.int64)[:, None]


@dataclass(frozen=True)
class Camera:
    """Pinhole camera above the road. World in cm: X right, Y up, Z ahead, Z > 0."""

    focal: int  # pixels of the canvas
    center: int  # column of the vanishing point
    horizon: int  # row
    height: int  # cm
    bend: int  # the road's drift to the right in cm at 100 m; grows with the square of the distance

    def drift(self, z: int) -> int:
        """How far the street has bent to the right at distance `z`, in cm."""
        return self.bend * z * z // 100_000_000

    def project(self, x: int, y: int, z: int) -> Point:
        """Column and row of a point of the street; x counts from the bent street's own X = 0."""
        column = self.center + self.focal * (x + self.drift(z)) // z
        return column, self.horizon + self.focal * (self.height - y) // z

    def scale(self, length: int, z: int) -> int:
        """Pixels of a length in cm at distance `z`."""
        return self.focal * length // z

    def along(self, x: int, near: int, far: int) -> tuple[slice, Ints]:
        """See the upright plane X = x from Z = near to far: its columns, and each column's Z."""
        x += self.drift((near + far) // 2)
        offset = (COLUMNS - self.center) * (1 if x > 0 else -1)
        z = np.where(offset > 0, self.focal * abs(x) // np.maximum(offset, 1), FAR)
        columns = np.nonzero((z >= near) & (z < far))[0]
        part = slice(int(columns[0]), int(columns[-1]) + 1) if columns.size else slice(0, 0)
        return part, z[part]

    def across(self, z: int, left: int, right: int) -> tuple[slice, Ints]:
        """See the upright plane Z = z from X = left to right: its columns, and each column's X."""
        x = (COLUMNS - self.center) * z // self.focal - self.drift(z)
        columns = np.nonzero((x >= left) & (x < right))[0]
        part = slice(int(columns[0]), int(columns[-1]) + 1) if columns.size else slice(0, 0)
        return part, x[part]

    def up(self, z: Ints | int) -> Ints:
        """Height above the ground, in cm, that each row shows at distance `z` (of each column)."""
        return self.height - (ROWS - self.horizon) * z // self.focal


class Canvas:
    """Three sheets drawn on together: colour (H, W, 3), label and distance in cm (H, W).

    Drawing with `label=None` paints colour only: a shadow does not change what a thing is.
    """

    def __init__(self) -> None:
        self.color: Ints = np.zeros((HEIGHT, WIDTH, 3), dtype=np.int64)
        self.label = np.full((HEIGHT, WIDTH), SKY, dtype=np.uint8)
        self.depth: Ints = np.full((HEIGHT, WIDTH), FAR, dtype=np.int64)

    def paint(
        self, where: Window, inside: Bools, color: Color | Ints, label: int | None, z: int | Ints
    ) -> None:
        """Paint the pixels `inside` of a window; `color` and `z` are one for all or one a pixel."""
        picture = isinstance(color, np.ndarray)
        self.color[where][inside] = np.clip(color, 0, 255)[inside] if picture else color
        if label is not None:
            self.label[where][inside] = label
        self.depth[where][inside] = np.broadcast_to(z, inside.shape)[inside]

    def rectangle(
        self, left: int, top: int, right: int, bottom: int, color: Color, label: int | None, z: int
    ) -> None:
        """Fill columns left … right - 1 and rows top … bottom - 1."""
        where = window(left, top, right, bottom)
        self.color[where] = color
        if label is not None:
            self.label[where] = label
        self.depth[where] = z

    def polygon(self, points: Sequence[Point], color: Color, label: int | None, z: int) -> None:
        """Fill the pixels whose centres lie inside (even-odd rule)."""
        xs, ys = [x for x, _ in points], [y for _, y in points]
        where = window(min(xs), min(ys), max(xs), max(ys))
        columns, rows = COLUMNS[where[1]], ROWS[where[0]]
        if not columns.size or not rows.size:
            return
        inside = np.zeros((rows.size, columns.size), dtype=np.bool_)
        for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
            if y0 > y1:
                x0, y0, x1, y1 = x1, y1, x0, y0
            top = where[0].start
            crossed = slice(max(y0 - top, 0), max(y1 - top, 0))
            if y0 == y1 or crossed.start >= crossed.stop:
                continue
            # the edge meets a row's middle at x0 + reach / step: pixels to its right change sides
            step = 2 * (y1 - y0)
            reach = (x1 - x0) * (2 * rows[crossed] + 1 - 2 * y0)  # (rows, 1)
            inside[crossed] ^= columns >= x0 - (step - 2 * reach) // (2 * step)
        self.paint(where, inside, color, label, z)

    def ellipse(
        self, x: int, y: int, rx: int, ry: int, color: Color, label: int | None, z: int
    ) -> None:
        """Fill an ellipse around (x, y)."""
        rx, ry = max(rx, 1), max(ry, 1)
        where = window(x - rx, y - ry, x + rx + 1, y + ry + 1)
        dx, dy = COLUMNS[where[1]] - x, ROWS[where[0]] - y
        inside = dx * dx * (ry * ry) + dy * dy * (rx * rx) <= rx * rx * ry * ry
        self.paint(where, inside, color, label, z)

    def stroke(
        self, start: Point, end: Point, width: int, color: Color, label: int | None, z: int
    ) -> None:
        """Draw a line with round ends, `width` pixels wide."""
        (x0, y0), (x1, y1) = start, end
        reach = width // 2 + 1
        where = window(
            min(x0, x1) - reach,
            min(y0, y1) - reach,
            max(x0, x1) + reach + 1,
            max(y0, y1) + reach + 1,
        )
        px, py = COLUMNS[where[1]] - x0, ROWS[where[0]] - y0
        dx, dy = x1 - x0, y1 - y0
        square = max(1, dx * dx + dy * dy)
        nearest = np.clip(px * dx + py * dy, 0, square)  # on the line, in units of 1 / square
        distance = (px * square - nearest * dx) ** 2 + (py * square - nearest * dy) ** 2
        inside = 4 * distance <= width * width * square * square
        self.paint(where, inside, color, label, z)

    def relabel(
        self, x: int, y: int, rx: int, ry: int, label: int, only: Sequence[int] = range(256)
    ) -> None:
        """Label an ellipse without painting it: what shows through a wheel counts as the wheel.

        Pixels whose label is not one of `only` keep it.
        """
        rx, ry = max(rx, 1), max(ry, 1)
        where = window(x - rx, y - ry, x + rx + 1, y + ry + 1)
        dx, dy = COLUMNS[where[1]] - x, ROWS[where[0]] - y
        inside = dx * dx * (ry * ry) + dy * dy * (rx * rx) <= rx * rx * ry * ry
        self.label[where][inside & np.isin(self.label[where], list(only))] = label


def window(left: int, top: int, right: int, bottom: int) -> Window:
    """Rows and columns of a box, cut to the canvas."""
    rows = slice(min(max(top, 0), HEIGHT), min(max(bottom, 0), HEIGHT))
    columns = slice(min(max(left, 0), WIDTH), min(max(right, 0), WIDTH))
    return rows, columns
