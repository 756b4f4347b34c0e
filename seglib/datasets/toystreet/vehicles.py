"""Cars, vans and buses: a lower body and a cabin, as solids seen in perspective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seglib.datasets.toystreet.canvas import CAR, Camera, Canvas, Color, Dice, Point, blend, light

PAINTS = (
    (196, 52, 48), (46, 84, 158), (232, 232, 228), (44, 46, 52), (150, 154, 160), (92, 98, 106),
    (222, 178, 62), (72, 122, 84), (120, 168, 190), (138, 66, 52), (206, 196, 172), (90, 130, 70),
    (232, 138, 62), (98, 60, 92),
)  # fmt: skip
GLASS = (60, 74, 88)
Corner = tuple[int, int, int]  # (along from the tail, across from the middle, up), cm
Face = tuple[Corner, Corner, Corner, Corner]  # low left, low right, high right, high left, from outside


@dataclass(frozen=True)
class Shape:
    """Sizes of a kind of vehicle, in cm; the cabin goes from `base` on the body to `top` on the roof."""

    length: int
    width: int
    belt: int  # height of the lower body
    height: int
    base: tuple[int, int]
    top: tuple[int, int]
    wheel: int


SHAPES = {
    #                length width belt height base        top        wheel
    "hatchback": Shape(380, 168, 86, 148, (6, 285), (40, 225), 31),
    "saloon": Shape(450, 176, 86, 142, (70, 335), (120, 265), 32),
    "estate": Shape(440, 176, 90, 150, (5, 325), (22, 265), 32),
    "jeep": Shape(430, 186, 104, 178, (4, 320), (20, 270), 38),
    "van": Shape(500, 196, 110, 228, (0, 470), (4, 400), 34),
    "bus": Shape(950, 245, 110, 300, (0, 950), (0, 945), 46),
}
KINDS = ("hatchback", "hatchback", "hatchback", "saloon", "saloon", "estate", "jeep", "van")
# A circle of radius 100
CIRCLE = ((100, 0), (87, 50), (50, 87), (0, 100), (-50, 87), (-87, 50),
          (-100, 0), (-87, -50), (-50, -87), (0, -100), (50, -87), (87, -50))  # fmt: skip


class Vehicle:
    """A vehicle at a place: `heading` is ahead, back, left or right; (x, z) is the nearest corner's middle."""

    def __init__(
        self, canvas: Canvas, camera: Camera, shape: Shape, heading: str, x: int, z: int
    ) -> None:
        self.canvas, self.camera, self.shape = canvas, camera, shape
        self.heading, self.x, self.z = heading, x, z

    def project(self, corner: Corner) -> Point:
        along, across, up = corner
        half = self.shape.width // 2
        if self.heading == "ahead":
            return self.camera.project(self.x + across, up, self.z + along)
        if self.heading == "back":
            return self.camera.project(self.x - across, up, self.z + self.shape.length - along)
        if self.heading == "right":
            return self.camera.project(self.x + along, up, self.z + half - across)
        return self.camera.project(self.x - along, up, self.z + half + across)

    def faces_us(self, face: Face) -> bool:
        points = [self.project(corner) for corner in face]
        twice = sum(
            x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True)
        )
        return twice < 0  # rows grow downwards

    def fill(self, corners: Sequence[Corner], color: Color) -> None:
        self.canvas.polygon([self.project(corner) for corner in corners], color, CAR, self.z)

    def patch(self, face: Face, left: int, low: int, right: int, high: int, color: Color) -> None:
        """Fill part of a face, given in thousandths of its width and height."""
        spots = ((left, low), (right, low), (right, high), (left, high))
        self.fill([_inside(face, a, b) for a, b in spots], color)


def _inside(face: Face, a: int, b: int) -> Corner:
    low = [p + (q - p) * a // 1000 for p, q in zip(face[0], face[1], strict=True)]
    high = [p + (q - p) * a // 1000 for p, q in zip(face[3], face[2], strict=True)]
    along, across, up = (p + (q - p) * b // 1000 for p, q in zip(low, high, strict=True))
    return along, across, up


def draw_vehicle(
    canvas: Canvas, dice: Dice, camera: Camera, kind: str, heading: str, x: int, z: int, night: bool
) -> None:
    """One vehicle with its wheels on the ground, tail or nose or side towards the camera."""
    shape = SHAPES[kind]
    paint = dice.pick(PAINTS)
    paint = blend(paint, dice.pick(PAINTS), dice.integer(0, 20))
    vehicle = Vehicle(canvas, camera, shape, heading, x, z)
    half, length = shape.width // 2, shape.length
    shadow = [(-12, -half - 12, 0), (length + 12, -half - 12, 0), (length + 12, half + 12, 0), (-12, half + 12, 0)]
    canvas.polygon([vehicle.project(corner) for corner in shadow], (46, 46, 52), None, z)
    vehicle.fill([(10, -half, 0), (length - 10, -half, 0), (length - 10, half, 0), (10, half, 0)], (34, 34, 38))
    _tires(vehicle)
    for face, name in _box(0, length, 0, length, 26, shape.belt, half, half):
        if vehicle.faces_us(face):
            vehicle.fill(face, light(paint, {"tail": 88, "nose": 92, "left": 100, "right": 82, "top": 112}[name]))
            _body_details(vehicle, face, name, dice.chance(50), night)
    for face, name in _box(*shape.base, *shape.top, shape.belt, shape.height, half - 2, half - 16):
        if vehicle.faces_us(face):
            vehicle.fill(face, light(paint, {"tail": 84, "nose": 88, "left": 96, "right": 78, "top": 116}[name]))
            _cabin_details(vehicle, face, name, kind)
    _wheels(vehicle)


def _box(
    tail: int, nose: int, top_tail: int, top_nose: int, low: int, high: int, half: int, top_half: int
) -> list[tuple[Face, str]]:
    """The five visible faces of a solid that may narrow upwards."""
    a, b, c, d = tail, nose, top_tail, top_nose
    h, t = half, top_half
    return [
        (((a, -h, low), (a, h, low), (c, t, high), (c, -t, high)), "tail"),
        (((b, h, low), (b, -h, low), (d, -t, high), (d, t, high)), "nose"),
        (((b, -h, low), (a, -h, low), (c, -t, high), (d, -t, high)), "left"),
        (((a, h, low), (b, h, low), (d, t, high), (c, t, high)), "right"),
        (((c, -t, high), (c, t, high), (d, t, high), (d, -t, high)), "top"),
    ]


def _body_details(vehicle: Vehicle, face: Face, name: str, stripe: bool, night: bool) -> None:
    if name == "tail":
        vehicle.patch(face, 40, 560, 200, 860, (200, 40, 36))
        vehicle.patch(face, 800, 560, 960, 860, (200, 40, 36))
        vehicle.patch(face, 380, 330, 620, 520, (238, 206, 92))
        vehicle.patch(face, 0, 0, 1000, 200, (58, 58, 62))
    elif name == "nose":
        beam = (255, 250, 214) if night else (236, 238, 230)
        vehicle.patch(face, 40, 520, 230, 800, beam)
        vehicle.patch(face, 770, 520, 960, 800, beam)
        vehicle.patch(face, 300, 480, 700, 760, (52, 54, 60))
        vehicle.patch(face, 380, 200, 620, 380, (240, 240, 236))
        vehicle.patch(face, 0, 0, 1000, 160, (62, 62, 66))
    elif name in ("left", "right"):
        vehicle.patch(face, 0, 0, 1000, 120, (52, 52, 56))
        if stripe:
            vehicle.patch(face, 60, 640, 940, 690, (70, 72, 76))


def _cabin_details(vehicle: Vehicle, face: Face, name: str, kind: str) -> None:
    if name in ("tail", "nose"):
        if not (kind == "van" and name == "tail"):
            vehicle.patch(face, 90, 130, 910, 900, GLASS)
            vehicle.patch(face, 560, 480, 860, 860, light(GLASS, 140))
    elif name in ("left", "right"):
        panes = {"bus": 6, "van": 1}.get(kind, 2)
        first, last = (80, 920) if kind != "van" else ((60, 340) if name == "left" else (660, 940))
        span = (last - first) // panes
        for pane in range(panes):
            left = first + pane * span
            vehicle.patch(face, left + 14, 160, left + span - 14, 860, GLASS)
            vehicle.patch(face, left + span // 2, 560, left + span - 30, 840, light(GLASS, 134))


def _tires(vehicle: Vehicle) -> None:
    """The tyres seen from behind or in front, under the body."""
    shape = vehicle.shape
    for along in (20, shape.length - 20):
        for side in (-1, 1):
            outer, inner = side * shape.width // 2, side * (shape.width // 2 - 26)
            vehicle.fill([(along, outer, 0), (along, inner, 0), (along, inner, 40), (along, outer, 40)], (30, 30, 33))


def _wheels(vehicle: Vehicle) -> None:
    """Tyre and hub on the sides that face the camera."""
    shape = vehicle.shape
    for face, name in _box(0, shape.length, 0, shape.length, 26, shape.belt, shape.width // 2, shape.width // 2):
        if name not in ("left", "right") or not vehicle.faces_us(face):
            continue
        across = face[0][1]
        for along in (shape.length * 19 // 100, shape.length * 80 // 100):
            for radius, color in ((shape.wheel, (34, 34, 38)), (shape.wheel * 55 // 100, (168, 170, 174))):
                rim = [(along + u * radius // 100, across, shape.wheel + v * radius // 100) for u, v in CIRCLE]
                vehicle.fill(rim, color)
