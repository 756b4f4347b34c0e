"""Houses: a front is a picture over (along, up), in cm, hung on a wall in perspective."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seglib.datasets.toystreet.canvas import BUILDING, HEIGHT
from seglib.datasets.toystreet.dice import Bools, Color, Dice, Ints, blend, light, speckle
from seglib.datasets.toystreet.moods import Stage

# fmt: off
WALLS = (
    (178, 96, 74), (150, 78, 64), (196, 128, 96), (206, 180, 142), (222, 206, 176),
    (170, 168, 164), (132, 134, 138), (214, 210, 204), (228, 196, 112), (150, 176, 186),
    (176, 194, 160), (222, 162, 150), (126, 108, 92), (108, 112, 120), (190, 150, 110),
    (120, 140, 116), (186, 190, 196), (96, 98, 102), (146, 142, 136),
)
ROOFS = ((150, 82, 62), (116, 74, 62), (92, 96, 106), (78, 82, 92), (126, 110, 96), (104, 120, 112))
DOORS = ((188, 56, 50), (44, 104, 76), (58, 92, 156), (96, 70, 50), (206, 170, 70), (60, 62, 66))
AWNINGS = ((188, 56, 50), (64, 128, 94), (58, 92, 156), (218, 180, 76), (150, 70, 110))
# fmt: on
GLASS = ((74, 88, 104), (98, 116, 132), (56, 64, 76), (128, 146, 156))
CREAM, LAMPLIGHT, SNOW = (250, 246, 236), (255, 222, 140), (226, 230, 238)
GABLES = ("flat", "triangle", "steps", "bell", "mansard", "mansard", "triangle")


@dataclass(frozen=True)
class House:
    """One house: sizes in cm, colours, and what kind of roof and ground floor it has."""

    width: int
    floors: int
    storey: int
    bays: int
    gable: str
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
        gable=dice.pick(GABLES),
        wall=wall,
        trim=dice.pick(((236, 232, 222), (214, 206, 190), light(wall, 70), light(wall, 125))),
        roof=dice.pick(ROOFS),
        door=dice.pick(DOORS),
        glass=dice.pick(GLASS),
        awning=dice.pick(AWNINGS),
        shop=dice.chance(42),
        shutters=dice.chance(25),
        bricks=dice.chance(50),
        seed=dice.integer(0, 9999),
    )


def draw_front(stage: Stage, house: House, x: int, z: int, brightness: int) -> None:
    """Draw the front along the street: the plane X = x, from Z = z to z + width."""
    part, depth = stage.camera.along(x, z, z + house.width + 40)  # no slit before the next house
    up = stage.camera.up(depth)  # (H, columns)
    color, inside = _front(stage, house, np.broadcast_to(depth - z, up.shape), up)
    _hang(stage, part, color * brightness // 100, inside, depth)


def draw_facing(stage: Stage, house: House, x: int, z: int) -> None:
    """Draw a front that faces the camera: the plane Z = z, from X = x to x + width."""
    part, across = stage.camera.across(z, x, x + house.width)
    up = np.broadcast_to(stage.camera.up(z), (HEIGHT, across.size))
    color, inside = _front(stage, house, np.broadcast_to(across - x, up.shape), up)
    _hang(stage, part, color * 92 // 100, inside, z)


def draw_end(stage: Stage, house: House, x: int, z: int, deep: int) -> None:
    """Draw the end wall that faces the camera, from X = x to x + deep, which may be negative."""
    left = min(x, x + deep)
    part, across = stage.camera.across(z, left, left + abs(deep))
    up = np.broadcast_to(stage.camera.up(z), (HEIGHT, across.size))
    along = np.broadcast_to(across - left, up.shape)
    color = _plaster(house, along, up)
    rise = np.minimum(np.minimum(along, abs(deep) - along) * 9 // 10, 320)
    inside = (up >= 0) & (up < house.eaves + rise)
    off, high = np.abs(along - abs(deep) // 2), up % house.storey
    pane = (up < house.eaves) & (up > house.storey * (house.seed % 3)) & (off > 90) & (off < 170)
    color[pane & (high > 95) & (high < 235)] = house.trim
    color[pane & (off > 102) & (off < 158) & (high > 110) & (high < 222)] = house.glass
    _tile(stage, house, color, inside & (up >= house.eaves), up)
    _hang(stage, part, color * 84 // 100, inside, z)


def _hang(stage: Stage, part: slice, color: Ints, inside: Bools, z: Ints | int) -> None:
    stage.canvas.paint((slice(0, HEIGHT), part), inside, color, BUILDING, z)


def _front(stage: Stage, house: House, along: Ints, up: Ints) -> tuple[Ints, Bools]:
    """Colour of each point of a front, and which points are house at all."""
    color = _plaster(house, along, up)
    inside = (up >= 0) & (up < house.eaves + _roof_line(house, along))
    _dress(color, house, along, up, stage.mood.lit)
    color[inside & (up >= house.eaves - 22) & (up < house.eaves)] = house.trim
    color[np.abs(along - house.width + 20) < 6] = light(house.wall, 64)  # the drainpipe
    middle, high = along - house.width // 2, up - house.eaves
    if house.gable == "mansard":
        roof = inside & (high >= 0)
        _tile(stage, house, color, roof, up)
        dormer = np.abs(along * house.bays % house.width - house.width // 2) * 1000 // house.width
        color[roof & (dormer < 210) & (high > 30) & (high < 170)] = house.trim
        color[roof & (dormer < 140) & (high > 45) & (high < 145)] = house.glass
    elif house.gable != "flat":
        attic = middle**2 + (high - 90) ** 2
        color[inside & (attic < 52 * 52)] = house.trim
        color[inside & (attic < 38 * 38)] = house.glass
    return color, inside


def _plaster(house: House, along: Ints, up: Ints) -> Ints:
    """A bare wall with its bricks, stains and plinth, (H, columns, 3)."""
    color: Ints = np.empty((*up.shape, 3), dtype=np.int64)
    color[:] = house.wall
    if house.bricks:
        color += ((speckle(along // 24, up // 9, house.seed) - 128) * 28 // 256)[..., None]
    color += ((speckle(along // 120, up // 150, house.seed + 1) - 128) * 14 // 256)[..., None]
    color[up < 45] = light(house.wall, 72)
    return color


def _tile(stage: Stage, house: House, color: Ints, roof: Bools, up: Ints) -> None:
    tile: Color = SNOW if stage.mood.snow else house.roof
    color[roof] = tile
    color[roof & (up % 34 < 8)] = light(tile, 86)


def _roof_line(house: House, along: Ints) -> Ints:
    """Height of the house's outline above its eaves."""
    inward = np.minimum(along, house.width - along)
    chimney = (along > house.width * 7 // 10) & (along < house.width * 7 // 10 + 70)
    lines: dict[str, Ints] = {
        "flat": np.where(chimney, 130, 24),
        "triangle": np.minimum(inward * 9 // 10, 330),
        "steps": np.minimum(inward // 55 * 60 + 30, 300),
        "bell": np.where(inward < 90, 20, np.minimum(70 + (inward - 90) * 2, 250)),
        "mansard": np.where(chimney, 300, np.minimum(inward * 4, 215)),
    }
    return lines[house.gable]


def _dress(color: Ints, house: House, along: Ints, up: Ints, lit: int) -> None:
    """Windows, door, shop; `across` and `high` are thousandths of a bay and of a storey."""
    bay, floor = along * house.bays // house.width, up // house.storey
    across = along * house.bays % house.width * 1000 // house.width
    high = up % house.storey * 1000 // house.storey
    glow = speckle(bay, floor, house.seed) * 100 // 256 < lit
    ground = (up >= 0) & (floor == 0)
    rows = (floor >= int(house.shop)) & (floor < house.floors)
    window = rows & (across > 260) & (across < 740) & (high > 290) & (high < 820)
    if house.shutters:
        color[rows & (across > 60) & (across < 940) & (high > 270) & (high < 840)] = house.door
    color[rows & (across > 205) & (across < 795) & (high > 245) & (high < 865)] = house.trim
    shine = np.clip(high - 400, 0, 400) * 40 // 400  # panes reflect the sky
    color[window] = (np.array(house.glass) + shine[..., None])[window]
    color[window & glow] = LAMPLIGHT
    color[window & ((np.abs(across - 500) < 24) | (np.abs(high - 600) < 18))] = house.trim
    if house.shop:
        pane = ground & (across > 70) & (across < 930) & (high > 160) & (high < 700)
        awning = ground & (high > 640) & (high <= 800)
        color[ground & (high <= 160)] = light(house.awning, 60)
        color[pane] = house.glass
        color[pane & glow] = LAMPLIGHT
        color[ground & (high > 640)] = house.awning
        color[awning & (along % 60 < 30)] = blend(house.awning, CREAM, 85)
    entrance = ground & (bay == house.seed % house.bays)
    color[entrance & (across > 280) & (across < 720) & (high < 800)] = house.trim
    color[entrance & (across > 330) & (across < 670) & (high < 760)] = house.door
