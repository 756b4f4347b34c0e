"""Weather and hour of a scene, and the sky that goes with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seglib.datasets.toystreet.canvas import COLUMNS, FAR, ROWS, WIDTH, Camera, Canvas
from seglib.datasets.toystreet.dice import Color, Dice, blend


@dataclass(frozen=True)
class Mood:
    """One kind of weather."""

    sky_top: Color
    sky_low: Color
    cloud: Color
    tint: Color  # of the light, in percent
    haze: int  # cm; a thing at this distance has half the sky's colour
    contrast: int  # percent
    clouds: int  # at most
    sun: bool = False  # casts shadows
    lit: int = 4  # percent of windows with a light on
    snow: bool = False
    rain: bool = False

    @property
    def night(self) -> bool:
        return self.lit > 15


# fmt: off
MOODS = (
    #     sky_top          sky_low          cloud            tint             haze   contrast clouds
    Mood((84, 150, 220), (196, 224, 242), (252, 252, 250), (106, 101, 93),  30000, 104, 4,
         sun=True),
    Mood((122, 178, 226), (222, 234, 238), (250, 248, 246), (102, 101, 96),  22000, 102, 7,
         sun=True),
    Mood((158, 166, 174), (204, 208, 210), (182, 188, 194), (90, 92, 94),    16000, 96, 9),
    Mood((116, 140, 188), (252, 206, 146), (246, 182, 142), (112, 97, 80),   14000, 100, 5,
         sun=True, lit=25),
    Mood((54, 62, 112),   (214, 140, 124), (120, 92, 126),  (84, 82, 104),   14000, 100, 4, lit=60),
    Mood((196, 202, 206), (214, 216, 216), (206, 210, 212), (94, 96, 98),    4200, 94, 0, lit=15),
    Mood((128, 136, 148), (178, 184, 192), (112, 120, 132), (88, 92, 98),    8000, 98, 9,
         lit=35, rain=True),
    Mood((168, 192, 216), (228, 232, 236), (240, 240, 242), (96, 98, 104),   12000, 98, 5,
         lit=12, snow=True),
)
# fmt: on
SUNNY, SPRING, OVERCAST, EVENING, DUSK, FOG, RAIN, WINTER = range(8)
FREQUENCY = (*(SUNNY, SPRING, OVERCAST, EVENING) * 2, SUNNY, DUSK, FOG, RAIN, WINTER)


@dataclass(frozen=True)
class Stage:
    """What every drawing function needs to know."""

    canvas: Canvas
    camera: Camera
    mood: Mood


def paint_sky(stage: Stage, dice: Dice) -> None:
    """A gradient, the sun or the moon, puffy clouds, some birds."""
    canvas, mood, horizon = stage.canvas, stage.mood, stage.camera.horizon
    share = np.clip(ROWS * 256 // max(horizon, 1), 0, 256)[..., None]  # (H, 1, 1)
    top, low = np.array(mood.sky_top), np.array(mood.sky_low)
    canvas.color[:] = (top * (256 - share) + low * share) // 256
    if mood.sun or mood.lit > 50:
        _paint_sun(stage, dice)
    for _ in range(dice.integer(mood.clouds // 2, mood.clouds)):
        x, y = dice.integer(-20, WIDTH + 20), dice.integer(4, max(5, horizon - 25))
        _paint_cloud(stage, dice.offspring(), x, y, dice.integer(8, 20))
    for _ in range(dice.integer(0, 4) if mood.clouds else 0):
        x, y, wing = dice.integer(30, WIDTH - 30), dice.integer(8, horizon * 2 // 3), 4
        for side in (-1, 1):
            canvas.stroke((x, y), (x + side * wing, y - 3), 1, (70, 74, 88), None, FAR)


def _paint_sun(stage: Stage, dice: Dice) -> None:
    canvas, mood = stage.canvas, stage.mood
    x, y = dice.integer(20, WIDTH - 20), dice.integer(8, stage.camera.horizon // 2)
    radius = dice.integer(7, 12)
    square = (COLUMNS - x) ** 2 + (ROWS - y) ** 2
    near = np.clip(150 - 150 * square // (radius * radius * 16), 0, 150)[..., None]
    glow = np.array(blend(mood.sky_low, (255, 246, 214), 70))
    canvas.color[:] = (canvas.color * (256 - near) + glow * near) // 256
    canvas.ellipse(x, y, radius, radius, (255, 250, 226), None, FAR)


def _paint_cloud(stage: Stage, dice: Dice, x: int, y: int, size: int) -> None:
    """Five puffs, and below them the same in shade."""
    cloud, shade = stage.mood.cloud, blend(stage.mood.cloud, stage.mood.sky_top, 35)
    puffs = []
    for puff in range(-2, 3):
        column = x + puff * size + dice.integer(-4, 4)
        puffs.append((column, y - dice.integer(0, size // 3), size - abs(puff) * size // 4))
    for sink, color in ((3, shade), (0, cloud)):
        for column, row, radius in puffs:
            stage.canvas.ellipse(column, row + sink, radius, radius * 6 // 10, color, None, FAR)
