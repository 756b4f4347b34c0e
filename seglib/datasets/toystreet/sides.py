"""What lines a street: rows of houses, gardens and parks, and what closes the view."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from seglib.datasets.toystreet.canvas import BUILDING
from seglib.datasets.toystreet.dice import Dice, light
from seglib.datasets.toystreet.ground import Street
from seglib.datasets.toystreet.houses import House, draw_end, draw_facing, draw_front, random_house
from seglib.datasets.toystreet.moods import Stage
from seglib.datasets.toystreet.plants import draw_fence, draw_tree, random_fence

Drawing = tuple[int, Callable[[], None]]  # distance in cm, and how to draw it


def backdrop(stage: Stage, dice: Dice, street: Street) -> list[Drawing]:
    """Houses and trees beyond the end of the street, perhaps a church."""
    drawings: list[Drawing] = []
    x = street.middle - 3000
    while x < street.middle + 3000:
        z = street.end + dice.integer(0, 400)
        if dice.chance(60):
            house = random_house(dice)
            drawings.append((z, partial(draw_facing, stage, house, x, z)))
            x += house.width
        else:
            drawings.append((z, partial(draw_tree, stage, dice.offspring(), x + 200, z)))
            x += 400
    if dice.chance(30):
        x, z = street.middle + dice.integer(-900, 900), street.end + 500
        drawings.append((z, partial(_draw_church, stage, random_house(dice), x, z)))
    return drawings


def _draw_church(stage: Stage, house: House, x: int, z: int) -> None:
    """A tower with a clock and a spire."""
    canvas, project = stage.canvas, stage.camera.project
    left, foot = project(x - 220, 0, z)
    right, eaves = project(x + 220, 1500, z)
    canvas.rectangle(left, eaves, right, foot, house.wall, BUILDING, z)
    middle, top = project(x, 2500, z)
    canvas.polygon([(left, eaves), (right, eaves), (middle, top)], house.roof, BUILDING, z)
    shade = light(house.roof, 80)
    canvas.polygon([(middle, eaves), (right, eaves), (middle, top)], shade, BUILDING, z)
    clock, row = project(x, 1300, z)
    radius = stage.camera.scale(110, z)
    canvas.ellipse(clock, row, radius, radius, (240, 236, 220), BUILDING, z)


def frontage(stage: Stage, dice: Dice, street: Street) -> list[Drawing]:
    """Both sides of the street, from the camera to its end, with a gap at the junction."""
    drawings: list[Drawing] = []
    for side, park in zip((-1, 1), street.parks, strict=True):
        z = dice.integer(200, 500)
        build = _park if park else _plot
        while z < street.end:
            if street.in_junction(z - 100, z + 300):
                z = street.junction + street.junction_width + 100
            else:
                z = build(stage, dice, street, side, z, drawings)
    return drawings


def _park(
    stage: Stage, dice: Dice, street: Street, side: int, z: int, drawings: list[Drawing]
) -> int:
    """Three metres of fence, with trees behind it; returns where it ends."""
    x = street.front(side)
    for _ in range(dice.integer(1, 2)):
        away, far = side * dice.integer(150, 900), z + dice.integer(0, 300)
        drawings.append((far + 400, partial(draw_tree, stage, dice.offspring(), x + away, far)))
    fence = random_fence(Dice(street.half, side + 1))  # one kind for the whole park
    drawings.append((z, partial(draw_fence, stage, fence, x, z, z + 300)))
    return z + 300


def _plot(
    stage: Stage, dice: Dice, street: Street, side: int, z: int, drawings: list[Drawing]
) -> int:
    """A house, at the pavement or behind a garden; returns where the next plot begins."""
    house, x = random_house(dice), street.front(side)
    if street.in_junction(z, z + house.width):
        return street.junction
    garden = dice.chance(45)
    front = x + side * dice.integer(200, 400) if garden else x
    brightness = 78 if stage.mood.sun and side == street.sun_side else 102
    deep = side * dice.integer(600, 900)
    drawings.append((z + 1, partial(draw_end, stage, house, front, z, deep)))
    drawings.append((z, partial(draw_front, stage, house, front, z, brightness)))
    if garden:
        fence = random_fence(dice)
        drawings.append((z - 2, partial(draw_fence, stage, fence, x, z, z + house.width)))
        if dice.chance(50):
            far = z + house.width // 2
            tree = partial(draw_tree, stage, dice.offspring(), x + side * 120, far)
            drawings.append((z - 1, tree))
    gap = dice.integer(100, 500) if dice.chance(30) else 0
    return z + house.width + gap
