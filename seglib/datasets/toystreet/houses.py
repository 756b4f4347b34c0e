"""Houses: a front is a picture over (along, up), in cm, shown on a wall in perspective."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seglib.datasets.toystreet.canvas import (
    BUILDING,
    COLUMNS,
    HEIGHT,
    ROWS,
    WIDTH,
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

WALLS = (
    (178, 96, 74), (150, 78, 64), (196, 128, 96), (206, 180, 142), (222, 206, 176), (170, 168, 164),
    (132, 134, 138), (214, 210, 204), (228, 196, 112), (150, 176, 186), (176, 194, 160), (222, 162, 150),
    (126, 108, 92), (108, 112, 120), (190, 150, 110), (120, 140, 116),
)  # fmt: skip
ROOFS = ((150, 82, 62), (116, 74, 62), (92, 96, 106), (78, 82, 92), (126, 110, 96), (104, 120, 112))
DOORS = ((120, 50, 44), (44, 84, 70), (52, 70, 116), (96, 70, 50), (206, 170, 70), (60, 62, 66))
AWNINGS = ((196, 60, 56), (58, 110, 84), (54, 84, 150), (222, 160, 62), (150, 70, 110))
GLASS = ((74, 88, 104), (98, 116, 132), (56, 64, 76), (128, 146, 156))


@dataclass(frozen=True)
class House:
    """One house: sizes in cm, colours, and what kind of roof and ground floor it has."""

    width: int
    floors: int
    storey: int
    bays: int
    gable: str  # flat, triangle, steps, bell, mansard
    wall: Color
    trim: Color
    roof: Color
    door: Color
    glass: Color
    awning: Color
    shop: bool
    shutters: bool
    bricks: bool
    seed: int

    @property
    def eaves(self) -> int:
        return self.floors * self.storey + 40


def random_house(dice: Dice) -> House:
    wall = blend(dice.pick(WALLS), dice.pick(WALLS), dice.integer(0, 30))
    width = dice.integer(450, 1100)
    return House(
        width=width,
        floors=dice.pick((1, 2, 2, 3, 3, 4)),
        storey=dice.integer(270, 340),
        bays=max(1, width // dice.integer(190, 320)),
        gable=dice.pick(("flat", "triangle", "steps", "bell", "mansard", "mansard", "triangle")),
        wall=wall,
        trim=dice.pick(((236, 232, 222), (214, 206, 190), light(wall, 70), light(wall, 125))),
        roof=dice.pick(ROOFS),
        door=dice.pick(DOORS),
        glass=dice.pick(GLASS),
        awning=dice.pick(AWNINGS),
        shop=dice.chance(35),
        shutters=dice.chance(25),
        bricks=dice.chance(60),
        seed=dice.integer(0, 9999),
    )


def draw_front(
    canvas: Canvas, camera: Camera, house: House, x: int, z: int, brightness: int, mood: Mood
) -> None:
    """The front along the street: the plane X = x from Z = z to z + width."""
    x += camera.shift(z + house.width // 2)
    if abs(x) < 60:
        return
    offset = COLUMNS - camera.center
    ahead = offset * (1 if x > 0 else -1) > 0
    distance = np.where(ahead, camera.focal * x // np.where(offset == 0, 1, offset), -1)  # (W,)
    distance = np.where(ahead, distance, -1)
    visible = (distance >= z) & (distance < z + house.width)
    _paint_wall(canvas, camera, house, visible, distance - z, distance, brightness, mood, False)


def draw_end(
    canvas: Canvas, camera: Camera, house: House, x: int, z: int, brightness: int, mood: Mood,
    deep: int, plain: bool = True,
) -> None:  # fmt: skip
    """The wall that faces the camera: the plane Z = z from X = x to x + deep (deep may be negative)."""
    start = min(x, x + deep) + camera.shift(z)
    across = (COLUMNS - camera.center) * z // camera.focal - start
    visible = (across >= 0) & (across < abs(deep))
    distance = np.full(WIDTH, z, dtype=np.int64)
    _paint_wall(canvas, camera, house, visible, across, distance, brightness, mood, plain)


def _paint_wall(
    canvas: Canvas, camera: Camera, house: House, visible: Bools, along: Ints, distance: Ints,
    brightness: int, mood: Mood, plain: bool,
) -> None:  # fmt: skip
    columns = np.nonzero(visible)[0]
    if not columns.size:
        return
    window = (slice(0, HEIGHT), slice(int(columns[0]), int(columns[-1]) + 1))
    along, distance, visible = along[window[1]], distance[window[1]], visible[window[1]]
    up = camera.height - (ROWS - camera.horizon) * np.maximum(distance, 1) // camera.focal  # (H, w)
    color, inside = _facade(house, np.broadcast_to(along, up.shape), up, mood, plain)
    inside &= visible
    color = color * brightness // 100
    canvas.color[window][inside] = color[inside]
    canvas.label[window][inside] = BUILDING
    canvas.depth[window][inside] = np.broadcast_to(distance, up.shape)[inside]


def _facade(house: House, along: Ints, up: Ints, mood: Mood, plain: bool) -> tuple[Ints, Bools]:
    """Colour of each point of a front, and which points are house at all."""
    width = house.width if not plain else int(along.max(initial=0)) + 1
    eaves = house.eaves
    color = np.empty((*up.shape, 3), dtype=np.int64)
    color[:] = house.wall
    if house.bricks:
        color += ((speckle(along // 24, up // 9, house.seed) - 128) * 26 // 256)[..., None]
    color += ((speckle(along // 120, up // 150, house.seed + 1) - 128) * 14 // 256)[..., None]
    inside = (up >= 0) & (up < eaves + _gable(house, along, width, plain))
    roof = inside & (up >= eaves) & ((house.gable == "mansard") | plain)
    color[inside & (up < 45)] = light(house.wall, 72)
    if not plain:
        _openings(color, house, along, up, mood)
        color[inside & (up >= eaves - 22) & (up < eaves)] = house.trim
        if house.gable in ("triangle", "steps", "bell"):
            attic = (along - width // 2) ** 2 + (up - eaves - 90) ** 2
            color[inside & (attic < 52 * 52)] = house.trim
            color[inside & (attic < 38 * 38)] = house.glass
    tile: Color = (226, 230, 238) if mood.snow else house.roof
    color[roof] = tile
    color[roof & (up % 34 < 8)] = light(tile, 86)
    if house.gable == "mansard" and not plain:
        dormer = np.abs(along * house.bays % width - width // 2) * 1000 // width
        high = up - eaves
        color[roof & (dormer < 210) & (high > 30) & (high < 170)] = house.trim
        color[roof & (dormer < 140) & (high > 45) & (high < 145)] = house.glass
    return color, inside


def _gable(house: House, along: Ints, width: int, plain: bool) -> Ints:
    """Height of the roof line above the eaves."""
    inward = np.minimum(along, width - along)
    slope = inward * 9 // 10
    if plain:
        return np.minimum(slope, 320)
    if house.gable == "triangle":
        return np.minimum(slope, 330)
    if house.gable == "steps":
        return np.minimum(inward // 55 * 60 + 30, 300)
    if house.gable == "bell":
        return np.where(inward < 90, 20, np.minimum(70 + (inward - 90) * 2, 250))
    chimney = (along > width * 7 // 10) & (along < width * 7 // 10 + 70)
    if house.gable == "mansard":
        return np.where(chimney, 300, np.minimum(inward * 4, 215))
    return np.where(chimney, 130, 24)


def _openings(color: Ints, house: House, along: Ints, up: Ints, mood: Mood) -> None:
    """Windows, door, shop; `across` and `high` are thousandths of a bay and of a storey."""
    bay, across = along * house.bays // house.width, along * house.bays % house.width
    across = across * 1000 // house.width
    floor, high = up // house.storey, up % house.storey * 1000 // house.storey
    upstairs = (floor >= 1) & (floor < house.floors)
    ground = (up >= 0) & (floor == 0)
    glow = speckle(bay, floor, house.seed) * 100 // 256 < mood.lit
    window = (across > 260) & (across < 740) & (high > 290) & (high < 820)
    frame = (across > 205) & (across < 795) & (high > 245) & (high < 865)
    rows = upstairs | (ground & (not house.shop))
    if house.shutters:
        color[rows & (across > 60) & (across < 940) & (high > 270) & (high < 840)] = house.door
    color[rows & frame] = house.trim
    color[rows & window] = house.glass
    shine = np.clip(high - 400, 0, 400)[..., None] * 40 // 400
    color[rows & window] += np.broadcast_to(shine, color.shape)[rows & window]
    color[rows & window & glow] = (255, 222, 140)
    cross = (np.abs(across - 500) < 24) | (np.abs(high - 600) < 18)
    color[rows & window & cross] = house.trim
    if house.shop:
        color[ground & (high > 800)] = house.awning
        pane = ground & (across > 70) & (across < 930) & (high > 160) & (high < 700)
        color[ground & (high <= 160)] = light(house.awning, 60)
        color[pane] = house.glass
        color[pane & glow] = (250, 214, 150)
        stripe: Color = blend(house.awning, (250, 246, 236), 85)
        awning = ground & (high > 640) & (high <= 800)
        color[awning] = house.awning
        color[awning & (along % 60 < 30)] = stripe
    entrance = bay == house.seed % house.bays
    color[ground & entrance & (across > 280) & (across < 720) & (high < 800)] = house.trim
    color[ground & entrance & (across > 330) & (across < 670) & (high < 760)] = house.door
