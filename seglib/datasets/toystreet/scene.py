"""One street scene: plan it with dice, then draw it layer by layer, each from far to near."""

from __future__ import annotations

from seglib.datasets.toystreet.canvas import FAR, HEIGHT, WIDTH, Camera, Canvas
from seglib.datasets.toystreet.develop import Bytes, develop
from seglib.datasets.toystreet.dice import Dice
from seglib.datasets.toystreet.ground import Street, paint_ground
from seglib.datasets.toystreet.moods import FREQUENCY, MOODS, Stage, paint_sky
from seglib.datasets.toystreet.sides import backdrop, frontage
from seglib.datasets.toystreet.traffic import traffic

EDITION = 1  # a new number makes a new town


def draw_scene(split: int, index: int) -> tuple[Bytes, Bytes]:
    """Draw one scene: image (120, 160, 3) and mask (120, 160), both uint8."""
    dice = Dice(EDITION, split, index)
    camera = Camera(
        focal=dice.integer(250, 320),
        center=WIDTH // 2 + dice.integer(-75, 75),
        horizon=HEIGHT * 46 // 100 + dice.integer(-40, 36),
        height=dice.integer(140, 230),
        bend=dice.integer(-900, 900) if dice.chance(50) else 0,
    )
    stage = Stage(Canvas(), camera, MOODS[dice.pick(FREQUENCY)])
    street = plan_street(dice)
    paint_sky(stage, dice.offspring())
    paint_ground(stage, dice.offspring(), street)
    for layer in (backdrop, frontage, traffic):
        drawings = layer(stage, dice.offspring(), street)
        for _, draw in sorted(drawings, key=lambda drawing: -drawing[0]):
            draw()
    return develop(stage, dice.offspring())


def plan_street(dice: Dice) -> Street:
    """A street with two lanes and two pavements; the camera drives on one of the lanes."""
    half = dice.integer(280, 430)
    lane = half * dice.integer(30, 60) // 100
    return Street(
        middle=lane * dice.pick((1, 1, 1, -1)),
        half=half,
        pavement=dice.integer(180, 340),
        junction=dice.integer(1100, 3000) if dice.chance(45) else FAR,
        junction_width=dice.integer(600, 900),
        crossing=dice.integer(600, 1900) if dice.chance(30) else FAR,
        end=dice.integer(3500, 7000),
        parks=(dice.chance(28), dice.chance(28)),
        sun_side=dice.pick((-1, 1)),
    )
