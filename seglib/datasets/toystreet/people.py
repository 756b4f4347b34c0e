"""Pedestrians and bicyclists: flat figures that stand facing the camera."""

from __future__ import annotations

from seglib.datasets.toystreet.canvas import (
    BICYCLIST,
    PEDESTRIAN,
    Camera,
    Canvas,
    Color,
    Dice,
    Point,
    light,
)

CLOTHES = (
    (196, 58, 54), (52, 86, 152), (58, 60, 68), (226, 222, 212), (92, 126, 84), (214, 168, 70),
    (122, 74, 118), (98, 98, 104), (140, 104, 78), (226, 132, 92), (80, 138, 152), (40, 42, 50),
)  # fmt: skip
TROUSERS = ((52, 58, 82), (58, 56, 54), (96, 90, 84), (36, 38, 44), (128, 112, 90))
SKIN = ((238, 204, 178), (216, 170, 134), (164, 116, 84), (110, 76, 56))
HAIR = ((58, 42, 34), (34, 30, 30), (164, 120, 70), (120, 116, 114), (150, 74, 44))


class Pen:
    """Draws in cm around a foot on the ground; scale 100 is a grown-up."""

    def __init__(
        self, canvas: Canvas, camera: Camera, x: int, z: int, label: int, scale: int, mirror: bool
    ) -> None:
        self.canvas, self.z, self.label = canvas, z, label
        self.foot = camera.project(x, 0, z)
        self.focal = camera.focal * scale
        self.sign = -1 if mirror else 1

    def at(self, u: int, v: int) -> Point:
        unit = self.z * 100
        return self.foot[0] + self.sign * self.focal * u // unit, self.foot[1] - self.focal * v // unit

    def size(self, length: int) -> int:
        return self.focal * length // (self.z * 100)

    def line(self, u0: int, v0: int, u1: int, v1: int, width: int, color: Color) -> None:
        self.canvas.stroke(self.at(u0, v0), self.at(u1, v1), max(1, self.size(width)), color, self.label, self.z)

    def blob(self, u: int, v: int, ru: int, rv: int, color: Color) -> None:
        x, y = self.at(u, v)
        self.canvas.ellipse(x, y, max(1, self.size(ru)), max(1, self.size(rv)), color, self.label, self.z)

    def shape(self, points: list[Point], color: Color) -> None:
        self.canvas.polygon([self.at(u, v) for u, v in points], color, self.label, self.z)


def draw_pedestrian(
    canvas: Canvas, dice: Dice, camera: Camera, x: int, z: int, umbrella: bool
) -> None:
    """A walker: grown-up or child, coat or dress, perhaps a bag, a hat or an umbrella."""
    scale = dice.pick((100, 100, 104, 96, 92, 68))
    pen = Pen(canvas, camera, x, z, PEDESTRIAN, scale, dice.chance(50))
    cloth, trousers, skin, hair = dice.pick(CLOTHES), dice.pick(TROUSERS), dice.pick(SKIN), dice.pick(HAIR)
    shadow = pen.at(0, 0)
    canvas.ellipse(shadow[0], shadow[1], pen.size(30), pen.size(7), (64, 64, 68), None, z)
    stride = dice.integer(4, 24)
    pen.line(-4, 84, -stride, 5, 14, light(trousers, 84))
    pen.line(4, 84, stride, 5, 14, trousers)
    pen.line(-stride, 4, -stride + 8, 4, 8, (44, 38, 36))
    pen.line(stride, 4, stride + 8, 4, 8, (44, 38, 36))
    if dice.chance(35):
        pen.shape([(-13, 104), (13, 104), (27, 48), (-27, 48)], cloth)
    swing = dice.integer(6, 20)
    pen.line(-15, 134, -18 - swing // 2, 92, 10, light(cloth, 80))
    pen.shape([(-20, 140), (20, 140), (16, 80), (-16, 80)], cloth)
    pen.shape([(-20, 140), (-8, 140), (-8, 80), (-16, 80)], light(cloth, 84))
    pen.line(15, 134, 20 + swing // 2, 92, 10, light(cloth, 110))
    pen.blob(21 + swing // 2, 89, 5, 5, skin)
    pen.line(0, 138, 0, 150, 9, skin)
    pen.blob(0, 160, 11, 13, skin)
    pen.blob(-2, 165, 12, 10, hair)
    if dice.chance(20):
        pen.shape([(-17, 168), (17, 168), (10, 182), (-10, 182)], dice.pick(CLOTHES))
    if dice.chance(40):
        bag = dice.pick(CLOTHES)
        pen.shape([(-26, 128), (-12, 132), (-12, 92), (-26, 96)], bag)
    if umbrella:
        color = dice.pick(CLOTHES)
        pen.line(14, 100, 14, 205, 4, (60, 60, 64))
        pen.shape([(-48, 186), (-34, 206), (-8, 218), (36, 218), (62, 206), (76, 186)], color)
        pen.shape([(14, 218), (36, 218), (62, 206), (76, 186), (44, 186)], light(color, 82))


def draw_bicyclist(canvas: Canvas, dice: Dice, camera: Camera, x: int, z: int, view: str) -> None:
    """A rider seen from the side, or end on (from behind or in front)."""
    pen = Pen(canvas, camera, x, z, BICYCLIST, dice.pick((100, 104, 96)), dice.chance(50))
    cloth, trousers, skin = dice.pick(CLOTHES), dice.pick(TROUSERS), dice.pick(SKIN)
    frame, helmet = dice.pick(CLOTHES), dice.pick(CLOTHES)
    shadow = pen.at(0, 0)
    wide = 85 if view == "side" else 26
    canvas.ellipse(shadow[0], shadow[1], pen.size(wide), pen.size(6), (60, 60, 64), None, z)
    if view == "side":
        _from_the_side(pen, cloth, trousers, skin, frame, helmet)
    else:
        _end_on(pen, cloth, trousers, skin, frame, helmet)


def _from_the_side(
    pen: Pen, cloth: Color, trousers: Color, skin: Color, frame: Color, helmet: Color
) -> None:
    tire = (36, 36, 40)
    for u in (-52, 52):
        _wheel(pen, u, 34, 34, tire)
    pen.line(-52, 34, -8, 34, 5, frame)
    pen.line(-8, 34, -20, 84, 5, frame)
    pen.line(-8, 34, 36, 78, 5, frame)
    pen.line(-18, 78, 36, 80, 5, frame)
    pen.line(-52, 34, -18, 78, 4, frame)
    pen.line(36, 98, 52, 34, 5, frame)
    pen.line(34, 100, 46, 104, 5, tire)
    pen.line(-30, 88, -10, 88, 7, tire)
    pen.line(-16, 92, 14, 66, 14, light(trousers, 80))
    pen.line(14, 66, -6, 22, 11, light(trousers, 80))
    pen.line(-16, 92, 18, 58, 15, trousers)
    pen.line(18, 58, 4, 16, 12, trousers)
    pen.line(0, 14, 14, 14, 8, (44, 38, 36))
    pen.line(-16, 96, 10, 138, 26, cloth)
    pen.line(10, 136, 40, 106, 10, light(cloth, 84))
    pen.blob(20, 158, 12, 13, skin)
    pen.shape([(6, 160), (10, 174), (24, 176), (34, 164)], helmet)


def _wheel(pen: Pen, u: int, v: int, radius: int, tire: Color) -> None:
    """A tyre and spokes; the mask takes the whole disc, what is seen through it stays."""
    x, y = pen.at(u, v)
    outer = max(2, pen.size(radius))
    canvas = pen.canvas
    canvas.disc_label(x, y, outer, pen.label)
    points = [(x + outer * a // 100, y + outer * b // 100) for a, b in RIM]
    for start, end in zip(points, [*points[1:], points[0]], strict=True):
        canvas.stroke(start, end, max(1, pen.size(6)), tire, pen.label, pen.z)


RIM = ((100, 0), (92, 38), (71, 71), (38, 92), (0, 100), (-38, 92), (-71, 71), (-92, 38),
       (-100, 0), (-92, -38), (-71, -71), (-38, -92), (0, -100), (38, -92), (71, -71), (92, -38))  # fmt: skip


def _end_on(
    pen: Pen, cloth: Color, trousers: Color, skin: Color, frame: Color, helmet: Color
) -> None:
    pen.line(0, 4, 0, 64, 8, (36, 36, 40))
    pen.line(-10, 92, -12, 36, 13, trousers)
    pen.line(10, 92, 13, 52, 13, light(trousers, 86))
    pen.line(-14, 32, -8, 32, 9, (44, 38, 36))
    pen.line(16, 48, 10, 48, 9, (44, 38, 36))
    pen.line(0, 62, 0, 90, 6, frame)
    pen.line(-28, 104, 28, 104, 5, frame)
    pen.line(-17, 138, -27, 106, 10, light(cloth, 82))
    pen.line(17, 138, 27, 106, 10, light(cloth, 108))
    pen.shape([(-20, 144), (20, 144), (15, 88), (-15, 88)], cloth)
    pen.shape([(-20, 144), (-7, 144), (-6, 88), (-15, 88)], light(cloth, 84))
    pen.blob(0, 160, 11, 13, skin)
    pen.shape([(-13, 161), (-10, 173), (0, 178), (10, 173), (13, 161)], helmet)
