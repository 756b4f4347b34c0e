"""The ground: road, pavements, lawns, painted as functions of the world point under each pixel."""

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
    WIDTH,
)
from seglib.datasets.toystreet.dice import Bools, Color, Dice, Ints, blend, light, speckle
from seglib.datasets.toystreet.moods import Stage


@dataclass(frozen=True)
class Street:
    """The plan of a street in cm, seen from the camera at X = 0; side is -1 (left) or 1 (right)."""

    middle: int  # X of the road's centre line
    half: int  # half the road's width
    pavement: int  # width of each pavement
    junction: int  # Z where a side street begins; FAR if there is none
    junction_width: int
    crossing: int  # Z of a zebra crossing; FAR if there is none
    end: int  # Z where the street ends
    parks: tuple[bool, bool]  # whether the left and the right side are a park
    sun_side: int  # the side whose houses throw their shadow on the street

    def kerb(self, side: int) -> int:
        return self.middle + side * self.half

    def front(self, side: int) -> int:
        """X of the house fronts."""
        return self.middle + side * (self.half + self.pavement)

    def in_junction(self, near: int, far: int) -> bool:
        """Whether a thing from Z = near to far would stand in the side street."""
        return near < self.junction + self.junction_width and far > self.junction


# fmt: off
ASPHALTS = ((92, 94, 98), (112, 112, 112), (78, 80, 88), (128, 122, 114), (100, 92, 88),
            (142, 140, 136), (150, 130, 118), (152, 100, 84), (164, 150, 122), (176, 172, 166),
            (120, 86, 78))
SLABS = ((158, 152, 142), (136, 134, 132), (112, 112, 114), (172, 160, 140), (150, 124, 108),
         (96, 94, 96), (84, 84, 90), (158, 104, 86), (190, 184, 174))
LAWNS = ((110, 146, 76), (134, 150, 80), (92, 128, 74), (152, 152, 94))
# fmt: on
CYCLE_LANES = ((150, 74, 62), (84, 122, 92), (86, 104, 140))
KERBSTONE, SNOW, SLUSH, YELLOW = (224, 222, 214), (232, 236, 242), (204, 208, 216), (214, 178, 62)
SLAB_SIZES = ((60, 60), (90, 60), (45, 90), (30, 40))


def paint_ground(stage: Stage, dice: Dice, street: Street) -> None:
    """Paint everything below the horizon."""
    camera, mood = stage.camera, stage.mood
    rows = slice(camera.horizon + 1, HEIGHT)
    depth = camera.focal * camera.height // (ROWS[rows] - camera.horizon)  # (h, 1)
    z = np.broadcast_to(np.minimum(depth, FAR), (depth.size, WIDTH))
    x = (COLUMNS - camera.center) * z // camera.focal  # (h, W)
    x = x - camera.bend * z * z // 100_000_000 - street.middle  # from the middle of the road
    aside = np.abs(x)
    junction = (z >= street.junction) & (z < street.junction + street.junction_width)
    road = (aside < street.half) | junction
    pavement = ~road & (aside < street.half + street.pavement)
    park = ~road & ~pavement & np.where(x < 0, *street.parks)

    wet = 78 if mood.rain else 100
    asphalt, slab = light(dice.pick(ASPHALTS), wet), light(dice.pick(SLABS), wet)
    color: Ints = np.empty((*x.shape, 3), dtype=np.int64)
    color[:] = slab
    color[road] = asphalt
    color[park] = dice.pick(LAWNS)
    _pave(color, dice, ~road & ~park, x, z)
    _wear(color, dice, road, x, z, asphalt)
    _mark(color, dice, road & ~junction, x, z, street)
    color[pavement & (aside < street.half + 18)] = blend(slab, KERBSTONE, 45)
    _weather(color, dice, stage, road, pavement, x, z, street)
    seed = dice.integer(0, 9999)
    rough = speckle(x // 9, z // 14, seed) + speckle(x // 60, z // 80, seed + 1) - 256
    color += (rough * np.where(park, 34, 16) * 1200 // (256 * (1200 + z)))[..., None]

    everywhere = np.ones(x.shape, dtype=np.bool_)
    where = (rows, slice(0, WIDTH))
    stage.canvas.paint(where, everywhere, color, None, z)
    stage.canvas.label[where] = np.where(road, ROAD, np.where(park, TREE, PAVEMENT))


def _pave(color: Ints, dice: Dice, where: Bools, x: Ints, z: Ints) -> None:
    """Slabs with joints, each a little lighter or darker than its neighbours."""
    width, length = dice.pick(SLAB_SIZES)
    row = z // length
    shifted = x + row % 2 * width // 2
    tone = (speckle(shifted // width, row, 7) - 128) * 22 // 256
    joint = (shifted % width < 4) | (z % length < 4)
    color[where] += np.where(joint & (z < 2500), -26, tone)[where][:, None]


def _wear(color: Ints, dice: Dice, road: Bools, x: Ints, z: Ints, asphalt: Color) -> None:
    """Sometimes a coloured cycle lane; repaired patches; a manhole or two."""
    if dice.chance(25):
        color[road & (np.abs(x) > dice.integer(170, 230))] = blend(
            asphalt, dice.pick(CYCLE_LANES), 55
        )
    for _ in range(dice.integer(0, 3)):
        left, near = dice.integer(-300, 200), dice.integer(300, 2000)
        patch = (x > left) & (x < left + dice.integer(60, 240)) & (z > near) & (z < near * 2)
        color[road & patch] = light(asphalt, dice.pick((84, 90, 110)))
    for _ in range(dice.integer(0, 2)):
        left, near = dice.integer(-200, 200), dice.integer(450, 1500)
        color[road & ((x - left) ** 2 + (z - near) ** 2 < 32 * 32)] = light(asphalt, 62)


def _mark(color: Ints, dice: Dice, road: Bools, x: Ints, z: Ints, street: Street) -> None:
    """Dashes in the middle, lines along the kerb, a zebra crossing."""
    white: Color = dice.pick(((232, 230, 222), (206, 204, 196), (222, 220, 206)))
    painted = road & (speckle(x // 8, z // 20, 3) > dice.integer(10, 60))  # the rest is worn off
    period = dice.pick((400, 600, 900))
    zebra = (z >= street.crossing) & (z < street.crossing + 320)
    color[painted & ~zebra & (np.abs(x) < 8) & (z % period < period // 2)] = white
    inward = street.half - np.abs(x)
    style = dice.pick(("plain", "white", "yellow", "white"))
    if style == "white":
        color[painted & (inward > 22) & (inward < 34)] = white
    elif style == "yellow":
        double = ((inward > 18) & (inward < 27)) | ((inward > 36) & (inward < 45))
        color[painted & double] = YELLOW
    color[painted & zebra & (x % 100 < 52)] = white


def _weather(
    color: Ints,
    dice: Dice,
    stage: Stage,
    road: Bools,
    pavement: Bools,
    x: Ints,
    z: Ints,
    street: Street,
) -> None:
    """Snow beside the road, puddles, the shadows of the houses."""
    seed = dice.integer(0, 9999)
    if stage.mood.snow:
        patches = speckle(x // 90, z // 130, seed) + speckle(x // 22, z // 40, seed + 1)
        drift = patches // 2 + np.minimum(np.abs(x) * 70 // street.half, 130)
        color[(drift > 125) & ~road] = SNOW
        color[(drift > 205) & road] = SLUSH
    if stage.mood.rain:
        for _ in range(dice.integer(2, 6)):
            left, near, wide = (
                dice.integer(-500, 400),
                dice.integer(350, 1600),
                dice.integer(40, 130),
            )
            ripple = (x - left) ** 2 + ((z - near) // 2) ** 2 + speckle(x // 20, z // 40, seed) * 8
            puddle = (ripple < wide * wide) & (road | pavement)
            color[puddle] = blend(stage.mood.sky_low, (90, 92, 96), 35)
    if stage.mood.sun:
        outward = x * street.sun_side
        reach = dice.integer(60, 520) + speckle(z // 800, z * 0, seed) * 3 // 2 - 190
        shade = outward > street.half + street.pavement - reach
        color[shade] = color[shade] * np.array((62, 66, 76)) // 100
