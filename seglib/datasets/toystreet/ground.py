"""The ground: road, pavements and lawns, painted as a function of the world point under each pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seglib.datasets.toystreet.canvas import (
    COLUMNS,
    FAR,
    HEIGHT,
    PAVEMENT,
    ROAD,
    ROWS,
    TREE,
    Bools,
    Camera,
    Canvas,
    Color,
    Dice,
    Ints,
    blend,
    light,
    speckle,
)
from seglib.datasets.toystreet.moods import Mood


@dataclass(frozen=True)
class Street:
    """The plan of a street, in cm, seen from the camera at X = 0."""

    middle: int  # X of the road's centre line
    half: int  # half the road's width
    pavement: int  # width of each pavement
    junction: int  # Z where a side street begins; FAR if there is none
    junction_width: int
    crossing: int  # Z of a zebra crossing; FAR if there is none
    end: int  # Z where the street ends
    lawn: tuple[bool, bool]  # whether the left and the right side are a park
    sun_side: int  # -1: light comes from the left, 1: from the right

    def kerb(self, side: int) -> int:
        """X of the kerb; side is -1 (left) or 1 (right)."""
        return self.middle + side * self.half

    def front(self, side: int) -> int:
        """X of the house fronts."""
        return self.middle + side * (self.half + self.pavement)


ASPHALTS = ((92, 94, 98), (112, 112, 112), (78, 80, 88), (128, 122, 114), (100, 92, 88), (142, 140, 136))
SLABS = ((158, 152, 142), (136, 134, 132), (112, 112, 114), (172, 160, 140), (150, 124, 108), (96, 94, 96))
LAWNS = ((110, 146, 76), (134, 150, 80), (92, 128, 74), (152, 152, 94))


def paint_ground(canvas: Canvas, dice: Dice, camera: Camera, street: Street, mood: Mood) -> None:
    """Paint everything below the horizon."""
    rows = slice(camera.horizon + 1, HEIGHT)
    z = np.minimum(camera.focal * camera.height // (ROWS[rows] - camera.horizon), FAR)  # (h, 1)
    bend = camera.bend * z * z // 100_000_000
    x = (COLUMNS - camera.center) * z // camera.focal - bend - street.middle  # (h, W), from the road's middle
    side = np.abs(x)
    junction = (z >= street.junction) & (z < street.junction + street.junction_width)
    on_road = (side < street.half) | (junction & (side >= 0))
    edge = street.half + street.pavement
    on_pavement = ~on_road & (side < edge)
    beyond = ~on_road & ~on_pavement
    lawn = beyond & np.where(x < 0, street.lawn[0], street.lawn[1])

    color = np.zeros((*x.shape, 3), dtype=np.int64)
    seed = dice.integer(0, 9999)
    asphalt, slab = dice.pick(ASPHALTS), dice.pick(SLABS)
    if mood.rain:
        asphalt, slab = light(asphalt, 78), light(slab, 84)
    color[:] = slab
    color[on_road] = asphalt
    color[lawn] = dice.pick(LAWNS)
    _pave(color, dice, on_pavement | (beyond & ~lawn), x, z, slab)
    _wear(color, dice, on_road, x, z, asphalt)
    _mark(color, dice, on_road & ~junction, x, z, street)
    kerb = on_pavement & (side < street.half + 18)
    color[kerb] = blend(slab, (224, 222, 214), 45)
    if mood.snow:
        drift = speckle(x // 90, z // 130, seed) + np.minimum(side * 60 // street.half, 130)
        color[(drift > 120) & ~on_road] = (232, 236, 242)
        color[(drift > 215) & on_road] = (204, 208, 216)
    if mood.rain:
        puddle = (speckle(x // 110, z // 260, seed) > 205) & (on_road | on_pavement)
        color[puddle] = blend(mood.sky_low, asphalt, 35)
    rough = speckle(x // 9, z // 14, seed) - 128 + (speckle(x // 60, z // 80, seed + 1) - 128)
    color += (rough * np.where(lawn, 34, 16) * 1200 // (256 * (1200 + z)))[..., None]
    canvas.color[rows] = np.clip(color, 0, 255)
    canvas.label[rows] = np.where(on_road, ROAD, np.where(lawn, TREE, PAVEMENT))
    canvas.depth[rows] = np.broadcast_to(z, x.shape)


def _pave(color: Ints, dice: Dice, where: Bools, x: Ints, z: Ints, slab: Color) -> None:
    """Slabs with joints, each a little lighter or darker than its neighbours."""
    width, length = dice.pick(((60, 60), (90, 60), (45, 90), (30, 40)))
    row = z // length
    column = (x + (row % 2) * width // 2) // width
    tone = (speckle(column, row, 7) - 128) * 22 // 256
    joint = ((x + (row % 2) * width // 2) % width < 4) | (z % length < 4)
    color[where] += np.where(joint & (z < 2500), -26, tone)[where][:, None]


def _wear(color: Ints, dice: Dice, where: Bools, x: Ints, z: Ints, asphalt: Color) -> None:
    """Repaired patches, a manhole or two, sometimes a coloured cycle lane."""
    if dice.chance(30):
        lane = blend(asphalt, dice.pick(((150, 74, 62), (84, 122, 92))), 60)
        color[where & (np.abs(x) > np.abs(x).max() * 0 + dice.integer(170, 230))] = lane
    for _ in range(dice.integer(0, 4)):
        left, near = dice.integer(-300, 200), dice.integer(300, 3000)
        patch = (x > left) & (x < left + dice.integer(60, 240)) & (z > near) & (z < near * 2)
        color[where & patch] = light(asphalt, dice.pick((84, 90, 110)))
    for _ in range(dice.integer(0, 2)):
        left, near = dice.integer(-200, 200), dice.integer(450, 1500)
        color[where & ((x - left) ** 2 + (z - near) ** 2 < 32 * 32)] = light(asphalt, 62)


def _mark(color: Ints, dice: Dice, where: Bools, x: Ints, z: Ints, street: Street) -> None:
    """Centre dashes, lines along the kerb, zebra crossing."""
    white: Color = dice.pick(((232, 230, 222), (206, 204, 196), (222, 220, 206)))
    worn = speckle(x // 8, z // 20, 3) > dice.integer(10, 60)
    period = dice.pick((400, 600, 900))
    dashes = (np.abs(x) < 8) & (z % period < period // 2)
    zebra = (z >= street.crossing) & (z < street.crossing + 320)
    color[where & worn & dashes & ~zebra] = white
    style = dice.integer(0, 3)
    edge = street.half - np.abs(x)
    if style == 0:
        color[where & worn & (edge > 22) & (edge < 34)] = white
    elif style == 1:
        color[where & worn & (((edge > 18) & (edge < 27)) | ((edge > 36) & (edge < 45)))] = (214, 178, 62)
    color[where & worn & zebra & (x % 100 < 52)] = white


