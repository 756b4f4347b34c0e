"""Pedestrians and bicyclists: flat figures that stand facing the camera."""

from __future__ import annotations

from dataclasses import dataclass

from seglib.datasets.toystreet.canvas import BICYCLIST, PEDESTRIAN, Point
from seglib.datasets.toystreet.dice import Color, Dice, light
from seglib.datasets.toystreet.moods import Stage

CLOTHES = (
    (196, 58, 54), (52, 86, 152), (58, 60, 68), (226, 222, 212), (92, 126, 84), (214, 168, 70),
    (122, 74, 118), (98, 98, 104), (140, 104, 78), (226, 132, 92), (80, 138, 152), (40, 42, 50),
    (188, 56, 50), (58, 92, 156), (218, 180, 76),
)  # fmt: skip
TROUSERS = ((52, 58, 82), (58, 56, 54), (96, 90, 84), (36, 38, 44), (128, 112, 90))
SKIN = ((238, 204, 178), (216, 170, 134), (164, 116, 84), (110, 76, 56))
HAIR = ((58, 42, 34), (34, 30, 30), (164, 120, 70), (120, 116, 114), (150, 74, 44))


SHOE, SHADOW, TIRE = (44, 38, 36), (62, 62, 66), (36, 36, 40)
# A circle of radius 100.
RIM = ((100, 0), (92, 38), (71, 71), (38, 92), (0, 100), (-38, 92), (-71, 71), (-92, 38),
       (-100, 0), (-92, -38), (-71, -71), (-38, -92), (0, -100), (38, -92), (71, -71),
       (92, -38))  # fmt: skip


@dataclass(frozen=True)
class Pen:
    """Draws in cm around a point on the ground: u to the right (or the left), v up."""

    stage: Stage
    x: int
    z: int
    label: int
    percent: int = 100  # 100 is a grown-up
    mirror: bool = False

    def at(self, u: int, v: int) -> Point:
        column, row = self.stage.camera.project(self.x, 0, self.z)
        right = -self.size(u) if self.mirror else self.size(u)
        return column + right, row - self.size(v)

    def size(self, length: int) -> int:
        return self.stage.camera.focal * length * self.percent // (self.z * 100)

    def line(self, u0: int, v0: int, u1: int, v1: int, width: int, color: Color) -> None:
        start, end, thick = self.at(u0, v0), self.at(u1, v1), max(1, self.size(width))
        self.stage.canvas.stroke(start, end, thick, color, self.label, self.z)

    def blob(self, u: int, v: int, ru: int, rv: int, color: Color) -> None:
        column, row = self.at(u, v)
        self.stage.canvas.ellipse(
            column, row, self.size(ru), self.size(rv), color, self.label, self.z
        )

    def shape(self, points: list[Point], color: Color) -> None:
        corners = [self.at(u, v) for u, v in points]
        self.stage.canvas.polygon(corners, color, self.label, self.z)

    def shadow(self, reach: int) -> None:
        """A shadow on the ground, which stays ground."""
        column, row = self.at(0, 0)
        self.stage.canvas.ellipse(column, row, self.size(reach), self.size(6), SHADOW, None, self.z)

    def wheel(self, u: int, v: int, radius: int) -> None:
        """A tyre; the disc inside counts as wheel, what shows through it stays visible."""
        (column, row), reach = self.at(u, v), max(2, self.size(radius))
        self.stage.canvas.relabel(column, row, reach, reach, self.label)
        rim = [(column + reach * a // 100, row + reach * b // 100) for a, b in RIM]
        thick = max(1, self.size(6))
        for start, end in zip(rim, [*rim[1:], rim[0]], strict=True):
            self.stage.canvas.stroke(start, end, thick, TIRE, self.label, self.z)


def draw_pedestrian(stage: Stage, dice: Dice, x: int, z: int) -> None:
    """Draw a walker: grown-up or child, coat or dress, perhaps a bag, a hat or an umbrella."""
    pen = Pen(stage, x, z, PEDESTRIAN, dice.pick((100, 100, 104, 96, 92, 68)), dice.chance(50))
    cloth, trousers = dice.pick(CLOTHES), dice.pick(TROUSERS)
    skin, hair = dice.pick(SKIN), dice.pick(HAIR)
    stride, swing = dice.integer(4, 24), dice.integer(3, 10)
    pen.shadow(30)
    pen.line(-4, 84, -stride, 5, 14, light(trousers, 84))
    pen.line(4, 84, stride, 5, 14, trousers)
    pen.line(-stride, 4, 8 - stride, 4, 8, SHOE)
    pen.line(stride, 4, stride + 8, 4, 8, SHOE)
    if dice.chance(35):
        pen.shape([(-13, 104), (13, 104), (27, 48), (-27, 48)], cloth)  # a dress
    pen.line(-15, 134, -18 - swing, 92, 10, light(cloth, 80))
    pen.shape([(-20, 140), (20, 140), (16, 80), (-16, 80)], cloth)
    pen.shape([(-20, 140), (-8, 140), (-8, 80), (-16, 80)], light(cloth, 84))
    pen.line(15, 134, 20 + swing, 92, 10, light(cloth, 110))
    pen.blob(21 + swing, 89, 5, 5, skin)
    pen.line(0, 138, 0, 150, 9, skin)
    pen.blob(0, 160, 11, 13, skin)
    pen.blob(-2, 165, 12, 10, hair)
    if dice.chance(20):
        pen.shape([(-17, 168), (17, 168), (10, 182), (-10, 182)], dice.pick(CLOTHES))  # a hat
    if dice.chance(40):
        pen.shape([(-26, 128), (-12, 132), (-12, 92), (-26, 96)], dice.pick(CLOTHES))  # a bag
    if stage.mood.rain and dice.chance(70):
        roof = dice.pick(CLOTHES)
        pen.line(14, 100, 14, 205, 4, (60, 60, 64))
        pen.shape([(-48, 186), (-34, 206), (-8, 218), (36, 218), (62, 206), (76, 186)], roof)
        pen.shape([(14, 218), (36, 218), (62, 206), (76, 186), (44, 186)], light(roof, 82))


def draw_bicyclist(stage: Stage, dice: Dice, x: int, z: int) -> None:
    """Draw a rider from the side, or end on: from behind or in front."""
    pen = Pen(stage, x, z, BICYCLIST, dice.pick((100, 104, 96)), dice.chance(50))
    cloth, trousers, skin = dice.pick(CLOTHES), dice.pick(TROUSERS), dice.pick(SKIN)
    frame, helmet = dice.pick(CLOTHES), dice.pick(CLOTHES)
    if dice.chance(45):
        _draw_side(pen, cloth, trousers, skin, frame, helmet)
    else:
        _draw_end_on(pen, cloth, trousers, skin, frame, helmet)


def _draw_side(
    pen: Pen, cloth: Color, trousers: Color, skin: Color, frame: Color, helmet: Color
) -> None:
    pen.shadow(85)
    pen.wheel(-52, 34, 34)
    pen.wheel(52, 34, 34)
    pen.line(-52, 34, -8, 34, 5, frame)
    pen.line(-8, 34, -20, 84, 5, frame)
    pen.line(-8, 34, 36, 78, 5, frame)
    pen.line(-18, 78, 36, 80, 5, frame)
    pen.line(-52, 34, -18, 78, 4, frame)
    pen.line(36, 98, 52, 34, 5, frame)
    pen.line(34, 100, 46, 104, 5, TIRE)
    pen.line(-30, 88, -10, 88, 7, TIRE)
    pen.line(-16, 92, 14, 66, 14, light(trousers, 80))
    pen.line(14, 66, -6, 22, 11, light(trousers, 80))
    pen.line(-16, 92, 18, 58, 15, trousers)
    pen.line(18, 58, 4, 16, 12, trousers)
    pen.line(0, 14, 14, 14, 8, SHOE)
    pen.line(-16, 96, 10, 138, 26, cloth)
    pen.line(10, 136, 40, 106, 10, light(cloth, 84))
    pen.blob(20, 158, 12, 13, skin)
    pen.shape([(6, 160), (10, 174), (24, 176), (34, 164)], helmet)


def _draw_end_on(
    pen: Pen, cloth: Color, trousers: Color, skin: Color, frame: Color, helmet: Color
) -> None:
    pen.shadow(26)
    pen.line(0, 4, 0, 64, 8, TIRE)
    pen.line(-10, 92, -12, 36, 13, trousers)
    pen.line(10, 92, 13, 52, 13, light(trousers, 86))
    pen.line(-14, 32, -8, 32, 9, SHOE)
    pen.line(16, 48, 10, 48, 9, SHOE)
    pen.line(0, 62, 0, 90, 6, frame)
    pen.line(-28, 104, 28, 104, 5, frame)
    pen.line(-17, 138, -27, 106, 10, light(cloth, 82))
    pen.line(17, 138, 27, 106, 10, light(cloth, 108))
    pen.shape([(-20, 144), (20, 144), (15, 88), (-15, 88)], cloth)
    pen.shape([(-20, 144), (-7, 144), (-6, 88), (-15, 88)], light(cloth, 84))
    pen.blob(0, 160, 11, 13, skin)
    pen.shape([(-13, 161), (-10, 173), (0, 178), (10, 173), (13, 161)], helmet)
