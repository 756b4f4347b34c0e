"""Cars, vans and buses: a lower body and a cabin, as solids seen in perspective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seglib.datasets.toystreet.canvas import CAR, Point
from seglib.datasets.toystreet.dice import Color, Dice, blend, light
from seglib.datasets.toystreet.moods import Stage

PAINTS = (
    (196, 52, 48), (46, 84, 158), (232, 232, 228), (44, 46, 52), (150, 154, 160), (92, 98, 106),
    (222, 178, 62), (72, 122, 84), (120, 168, 190), (138, 66, 52), (206, 196, 172), (90, 130, 70),
    (232, 138, 62), (98, 60, 92), (188, 56, 50), (58, 92, 156), (64, 128, 94), (112, 112, 108),
)  # fmt: skip
GLASS, BUMPER, TIRE, HUB = (60, 74, 88), (58, 58, 62), (34, 34, 38), (168, 170, 174)
SHADOW = (46, 46, 52)
SHADES = {"tail": 88, "nose": 92, "left": 100, "right": 82, "top": 114}  # percent
Corner = tuple[int, int, int]  # cm: along from the tail, across from the middle, up
Face = tuple[Corner, Corner, Corner, Corner]  # from outside: low left, low right, then high


@dataclass(frozen=True)
class Shape:
    """Sizes of a kind of vehicle, in cm; the cabin spans `base` on the body, `top` on the roof."""

    length: int
    width: int
    belt: int  # height of the lower body
    height: int
    base: tuple[int, int]
    top: tuple[int, int]
    wheel: int


# fmt: off
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
# A circle of radius 100.
CIRCLE = ((100, 0), (87, 50), (50, 87), (0, 100), (-50, 87), (-87, 50),
          (-100, 0), (-87, -50), (-50, -87), (0, -100), (50, -87), (87, -50))
# fmt: on


@dataclass(frozen=True)
class Vehicle:
    """A vehicle at a place: (x, z) is the middle of its nearest side."""

    stage: Stage
    kind: str
    heading: str  # ahead, back, left or right
    x: int
    z: int

    @property
    def shape(self) -> Shape:
        return SHAPES[self.kind]

    def project(self, corner: Corner) -> Point:
        along, across, up = corner
        camera, half = self.stage.camera, self.shape.width // 2
        if self.heading == "ahead":
            return camera.project(self.x + across, up, self.z + along)
        if self.heading == "back":
            return camera.project(self.x - across, up, self.z + self.shape.length - along)
        if self.heading == "right":
            return camera.project(self.x + along, up, self.z + half - across)
        return camera.project(self.x - along, up, self.z + half + across)

    def faces_camera(self, face: Face) -> bool:
        points = [self.project(corner) for corner in face]
        following = [*points[1:], points[0]]
        twice_area = sum(
            x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, following, strict=True)
        )
        return twice_area < 0  # anticlockwise, as rows grow downwards

    def fill(self, corners: Sequence[Corner], color: Color, label: int | None = CAR) -> None:
        points = [self.project(corner) for corner in corners]
        self.stage.canvas.polygon(points, color, label, self.z)

    def patch(self, face: Face, left: int, low: int, right: int, high: int, color: Color) -> None:
        """Fill part of a face, given in thousandths of its width and height."""
        spots = ((left, low), (right, low), (right, high), (left, high))
        self.fill([_point_of(face, a, b) for a, b in spots], color)


def draw_vehicle(stage: Stage, dice: Dice, kind: str, heading: str, x: int, z: int) -> None:
    """Draw a vehicle with its wheels on the ground: tail, nose or side towards the camera."""
    vehicle = Vehicle(stage, kind, heading, x, z)
    shape = vehicle.shape
    half, length = shape.width // 2, shape.length
    paint = blend(dice.pick(PAINTS), dice.pick(PAINTS), dice.integer(0, 20))
    vehicle.fill(_floor(-12, length + 12, half + 12), SHADOW, None)
    vehicle.fill(_floor(10, length - 10, half), TIRE)
    _draw_tires(vehicle)
    body = _solid((0, length), (0, length), (26, shape.belt), (half, half))
    cabin = _solid(shape.base, shape.top, (shape.belt, shape.height), (half - 2, half - 16))
    striped = dice.chance(50)
    for part, faces in (("body", body), ("cabin", cabin)):
        for side, face in faces.items():
            if not vehicle.faces_camera(face):
                continue
            vehicle.fill(face, light(paint, SHADES[side]))
            if part == "cabin":
                _draw_windows(vehicle, face, side)
            else:
                _draw_trim(vehicle, face, side, striped)
    for side in ("left", "right"):
        if vehicle.faces_camera(body[side]):
            _draw_wheels(vehicle, body[side][0][1])


def _floor(tail: int, nose: int, half: int) -> Face:
    return (tail, -half, 0), (nose, -half, 0), (nose, half, 0), (tail, half, 0)


def _solid(
    base: tuple[int, int], top: tuple[int, int], heights: tuple[int, int], halves: tuple[int, int]
) -> dict[str, Face]:
    """The five visible faces of a solid that may narrow upwards."""
    (a, b), (c, d), (low, high), (h, t) = base, top, heights, halves
    return {
        "tail": ((a, -h, low), (a, h, low), (c, t, high), (c, -t, high)),
        "nose": ((b, h, low), (b, -h, low), (d, -t, high), (d, t, high)),
        "left": ((b, -h, low), (a, -h, low), (c, -t, high), (d, -t, high)),
        "right": ((a, h, low), (b, h, low), (d, t, high), (c, t, high)),
        "top": ((c, -t, high), (c, t, high), (d, t, high), (d, -t, high)),
    }


def _point_of(face: Face, a: int, b: int) -> Corner:
    """The point of a face at `a` thousandths of its width and `b` of its height."""
    low = [p + (q - p) * a // 1000 for p, q in zip(face[0], face[1], strict=True)]
    high = [p + (q - p) * a // 1000 for p, q in zip(face[3], face[2], strict=True)]
    along, across, up = (p + (q - p) * b // 1000 for p, q in zip(low, high, strict=True))
    return along, across, up


def _draw_trim(vehicle: Vehicle, face: Face, side: str, striped: bool) -> None:
    """Lamps, number plate, bumper, stripe."""
    beam = (255, 250, 214) if vehicle.stage.mood.night else (236, 238, 230)
    if side == "tail":
        vehicle.patch(face, 40, 560, 200, 860, (200, 40, 36))
        vehicle.patch(face, 800, 560, 960, 860, (200, 40, 36))
        vehicle.patch(face, 380, 330, 620, 520, (238, 206, 92))
        vehicle.patch(face, 0, 0, 1000, 200, BUMPER)
    elif side == "nose":
        vehicle.patch(face, 40, 520, 230, 800, beam)
        vehicle.patch(face, 770, 520, 960, 800, beam)
        vehicle.patch(face, 300, 480, 700, 760, BUMPER)
        vehicle.patch(face, 380, 200, 620, 380, (240, 240, 236))
        vehicle.patch(face, 0, 0, 1000, 160, BUMPER)
    elif side != "top":
        vehicle.patch(face, 0, 0, 1000, 120, BUMPER)
        if striped:
            vehicle.patch(face, 60, 640, 940, 690, BUMPER)


def _draw_windows(vehicle: Vehicle, face: Face, side: str) -> None:
    """Panes with a reflection; a van has none at the back."""
    van = vehicle.kind == "van"
    if side in ("tail", "nose") and not (van and side == "tail"):
        vehicle.patch(face, 90, 130, 910, 900, GLASS)
        vehicle.patch(face, 560, 480, 860, 860, light(GLASS, 140))
    elif side in ("left", "right"):
        panes = {"bus": 6, "van": 1}.get(vehicle.kind, 2)
        van_door = (60, 340) if side == "left" else (660, 940)
        first, last = van_door if van else (80, 920)
        span = (last - first) // panes
        for left in range(first, first + panes * span, span):
            vehicle.patch(face, left + 14, 160, left + span - 14, 860, GLASS)
            vehicle.patch(face, left + span // 2, 560, left + span - 30, 840, light(GLASS, 134))


def _draw_tires(vehicle: Vehicle) -> None:
    """The tyres seen from behind or in front, under the body."""
    half = vehicle.shape.width // 2
    for along in (20, vehicle.shape.length - 20):
        for outer, inner in ((-half, 26 - half), (half, half - 26)):
            corners = [(along, outer, 0), (along, inner, 0), (along, inner, 40), (along, outer, 40)]
            vehicle.fill(corners, TIRE)


def _draw_wheels(vehicle: Vehicle, across: int) -> None:
    """Tyre and hub on one side of the body."""
    shape = vehicle.shape
    for middle in (shape.length * 19 // 100, shape.length * 80 // 100):
        for radius, color in ((shape.wheel, TIRE), (shape.wheel * 55 // 100, HUB)):
            rim = [
                (middle + u * radius // 100, across, shape.wheel + v * radius // 100)
                for u, v in CIRCLE
            ]
            vehicle.fill(rim, color)
