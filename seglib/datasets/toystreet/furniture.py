"""What stands on a pavement: lamp posts, lights, signs; and void things: bins, post boxes."""

from __future__ import annotations

from seglib.datasets.toystreet.canvas import POLE, SIGN, VOID
from seglib.datasets.toystreet.dice import Color, Dice, light
from seglib.datasets.toystreet.moods import Stage

METALS = (
    (96, 100, 104),
    (62, 66, 70),
    (152, 154, 152),
    (58, 80, 68),
    (124, 98, 80),
    (206, 204, 196),
)
RED, WHITE, BLUE, YELLOW = (188, 56, 50), (236, 236, 230), (58, 92, 156), (218, 180, 76)
GREEN, DARK = (64, 128, 94), (36, 40, 42)
SIGNALS = ((220, 60, 50), (236, 180, 60), (70, 190, 110))
# kind: (rim, face, bar)
ROUND_SIGNS: dict[str, tuple[Color, Color, Color]] = {
    "limit": (RED, WHITE, DARK),
    "stop": (RED, RED, WHITE),
    "keep": (BLUE, BLUE, WHITE),
    "end": (DARK, WHITE, DARK),
}


def _draw_post(
    stage: Stage, x: int, z: int, height: int, thick: int, color: Color
) -> tuple[int, int, int]:
    """Draw an upright, one to three pixels wide in the finished image and crisp on its grid.

    Returns its middle column, half its width and its top row.
    """
    column, foot = stage.camera.project(x, 0, z)
    top = stage.camera.project(x, height, z)[1]
    half = min(3, max(1, (stage.camera.scale(thick, z) + 1) // 2))
    left = column // 2 * 2
    right = left + 2 * half
    stage.canvas.rectangle(left, top, right, foot + 1, color, POLE, z)
    if half > 1:
        stage.canvas.rectangle(left, top, left + half, foot + 1, light(color, 112), POLE, z)
    return left + half, half, top


def draw_lamp(stage: Stage, dice: Dice, x: int, z: int, side: int) -> None:
    """Draw a lamp post with a lantern, or an arm over the road; `side` is its side of the road."""
    canvas, color = stage.canvas, dice.pick(METALS)
    glow: Color = (255, 240, 180) if stage.mood.night else (226, 226, 214)
    if dice.chance(40):
        middle, _, top = _draw_post(stage, x, z, 380, 20, color)
        wide = max(2, stage.camera.scale(20, z))
        low, high = top, top - 2 * wide
        lantern = [(middle - wide // 2, low), (middle + wide // 2, low)]
        lantern += [(middle + wide, high), (middle - wide, high)]
        canvas.polygon(lantern, glow, POLE, z)
        roof = [(middle - wide, high), (middle + wide, high), (middle, high - wide)]
        canvas.polygon(roof, color, POLE, z)
    else:
        middle, half, top = _draw_post(stage, x, z, dice.integer(560, 720), 22, color)
        top, thick = top // 2 * 2, max(2, half // 2 * 2)
        end = middle - side * stage.camera.scale(150, z)
        lamp = end + side * max(2, stage.camera.scale(46, z))
        canvas.rectangle(
            min(middle - half, end), top, max(middle + half, end), top + thick, color, POLE, z
        )
        canvas.rectangle(
            min(end, lamp), top + thick, max(end, lamp), top + 2 * thick, glow, POLE, z
        )


def draw_traffic_light(stage: Stage, dice: Dice, x: int, z: int) -> None:
    """Draw a traffic light: the post is a pole, the head a sign."""
    canvas = stage.canvas
    middle, _, top = _draw_post(stage, x, z, 330, 20, dice.pick(METALS))
    unit = max(2, stage.camera.scale(19, z))
    canvas.rectangle(middle - unit, top - 5 * unit, middle + unit, top, DARK, SIGN, z)
    shown, radius = dice.integer(0, 2), unit * 6 // 10
    for lamp, color in enumerate(SIGNALS):
        tone = color if lamp == shown else light(color, 35)
        row = top - (8 - 3 * lamp) * unit // 2
        canvas.ellipse(middle, row, radius, radius, tone, SIGN, z)


def draw_sign(stage: Stage, dice: Dice, x: int, z: int) -> None:
    """Draw a traffic sign on its post: round, triangular, square or long."""
    canvas, height = stage.canvas, dice.integer(220, 280)
    middle, _, row = _draw_post(stage, x, z, height, 15, dice.pick(METALS))
    r = max(3, stage.camera.scale(dice.integer(36, 48), z))
    kind = dice.pick(("limit", "stop", "keep", "end", "warn", "yield", "parking", "way", "way"))
    if kind in ROUND_SIGNS:
        rim, face, bar = ROUND_SIGNS[kind]
        canvas.ellipse(middle, row, r, r, rim, SIGN, z)
        canvas.ellipse(middle, row, r * 7 // 10, r * 7 // 10, face, SIGN, z)
        third = r // 6
        canvas.rectangle(
            middle - r // 2, row - third, middle + r // 2, row + third + 1, bar, SIGN, z
        )
    elif kind in ("warn", "yield"):
        up = 1 if kind == "warn" else -1
        for size, color in ((r * 12 // 10, RED), (r * 7 // 10, WHITE)):
            low = row + up * size * 8 // 10
            corners = [(middle, row - up * size), (middle + size, low), (middle - size, low)]
            canvas.polygon(corners, color, SIGN, z)
    elif kind == "parking":
        stem, bow = r // 3, r * 6 // 10
        canvas.rectangle(middle - r, row - r, middle + r, row + r, BLUE, SIGN, z)
        canvas.rectangle(middle - stem, row - bow, middle, row + bow, WHITE, SIGN, z)
        canvas.rectangle(middle - stem, row - bow, middle + stem, row, WHITE, SIGN, z)
    else:
        color, high = (
            dice.pick((GREEN, YELLOW, WHITE, WHITE, (124, 92, 66), (128, 130, 134))),
            r * 8 // 10,
        )
        canvas.rectangle(middle - 2 * r, row - high, middle + 2 * r, row + high, color, SIGN, z)
        line = light(color, 50) if sum(color) > 400 else WHITE
        canvas.rectangle(middle - r * 16 // 10, row - r // 3, middle + r, row, line, SIGN, z)


def draw_bin(stage: Stage, dice: Dice, x: int, z: int) -> None:
    """Draw a litter bin or a post box: none of the classes, so void."""
    color, height = dice.pick((((60, 96, 72), 85), ((188, 44, 44), 130), ((84, 88, 92), 85)))
    left, foot = stage.camera.project(x - 22, 0, z)
    right, top = stage.camera.project(x + 22, height, z)
    lid = top + max(1, (foot - top) // 6)
    stage.canvas.rectangle(left, top, right, foot, color, VOID, z)
    stage.canvas.rectangle(left, top, right, lid, light(color, 70), VOID, z)
