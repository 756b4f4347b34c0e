"""Everything that stands or moves on the road and on its pavements."""

from __future__ import annotations

from functools import partial

from seglib.datasets.toystreet.dice import Dice
from seglib.datasets.toystreet.furniture import (
    draw_bin,
    draw_lamp,
    draw_sign,
    draw_traffic_light,
)
from seglib.datasets.toystreet.ground import Street
from seglib.datasets.toystreet.moods import Stage
from seglib.datasets.toystreet.people import draw_bicyclist, draw_pedestrian
from seglib.datasets.toystreet.plants import draw_tree
from seglib.datasets.toystreet.sides import Drawing
from seglib.datasets.toystreet.vehicles import KINDS, SHAPES, draw_vehicle


def traffic(stage: Stage, dice: Dice, street: Street) -> list[Drawing]:
    """Plan trees, lamps, signs, people, riders and vehicles."""
    drawings: list[Drawing] = []
    for side in (-1, 1):
        drawings += _avenue(stage, dice, street, side)
        drawings += _parked(stage, dice, street, side)
        drawings += _pavement(stage, dice, street, side)
    drawings += _driving(stage, dice, street)
    return drawings


def _avenue(stage: Stage, dice: Dice, street: Street, side: int) -> list[Drawing]:
    """Lamp posts at equal distances, and sometimes a row of trees."""
    drawings: list[Drawing] = []
    kerb, spacing = street.kerb(side), dice.integer(1200, 2600)
    for z in range(dice.integer(500, 1500), min(street.end, 3000), spacing):
        lamp = partial(draw_lamp, stage, dice.offspring(), kerb + side * 40, z, side)
        drawings.append((z, lamp))
    if dice.chance(40):
        gap = dice.integer(600, 1300)
        for z in range(dice.integer(500, 1200), street.end, gap):
            if not street.in_junction(z - 100, z + 100):
                tree = partial(draw_tree, stage, dice.offspring(), kerb + side * 60, z)
                drawings.append((z, tree))
    return drawings


def _parked(stage: Stage, dice: Dice, street: Street, side: int) -> list[Drawing]:
    """Cars along the kerb."""
    drawings: list[Drawing] = []
    if not dice.chance(60):
        return drawings
    x, z = street.kerb(side) - side * 105, dice.integer(450, 1500)
    while z < 3800:
        kind = dice.pick(KINDS)
        heading = "ahead" if side < 0 or dice.chance(25) else "back"
        if not street.in_junction(z, z + SHAPES[kind].length):
            car = partial(draw_vehicle, stage, dice.offspring(), kind, heading, x, z)
            drawings.append((z, car))
        z += SHAPES[kind].length + dice.integer(60, 900)
    return drawings


def _pavement(stage: Stage, dice: Dice, street: Street, side: int) -> list[Drawing]:
    """Signs, a traffic light, a bin, walkers."""
    drawings: list[Drawing] = []
    kerb = street.kerb(side)
    for _ in range(dice.integer(0, 2)):
        x, z = kerb + side * dice.integer(30, 60), dice.integer(450, 1500)
        drawings.append((z, partial(draw_sign, stage, dice.offspring(), x, z)))
    for _ in range(dice.integer(0, 5)):
        x, z = kerb + side * dice.integer(50, street.pavement - 60), dice.integer(380, 1300)
        drawings.append((z, partial(draw_pedestrian, stage, dice.offspring(), x, z)))
    if dice.chance(25):
        z = dice.integer(600, 1800)
        drawings.append((z, partial(draw_bin, stage, dice.offspring(), kerb + side * 70, z)))
    if dice.chance(30):
        z = dice.integer(700, 2000)
        signal = partial(draw_traffic_light, stage, dice.offspring(), kerb + side * 30, z)
        drawings.append((z, signal))
    return drawings


def _driving(stage: Stage, dice: Dice, street: Street) -> list[Drawing]:
    """A car in each lane, riders beside the kerb, a car in the side street."""
    drawings: list[Drawing] = []
    for lane, heading in ((-1, "ahead"), (1, "back")):
        if dice.chance(50):
            kind, z = dice.pick((*KINDS, "bus")), dice.integer(600, 3500)
            x = street.middle + lane * street.half * 35 // 100
            car = partial(draw_vehicle, stage, dice.offspring(), kind, heading, x, z)
            drawings.append((z, car))
    for _ in range(dice.pick((0, 1, 1, 2, 2))):
        side, z = dice.pick((-1, 1)), dice.integer(360, 1100)
        x = street.kerb(side) - side * dice.integer(60, 160)
        drawings.append((z, partial(draw_bicyclist, stage, dice.offspring(), x, z)))
    if street.junction < 2500 and dice.chance(60):
        kind, heading = dice.pick(KINDS), dice.pick(("left", "right"))
        x, z = street.middle + dice.integer(-500, 300), street.junction + dice.integer(100, 400)
        car = partial(draw_vehicle, stage, dice.offspring(), kind, heading, x, z)
        drawings.append((z, car))
    return drawings
