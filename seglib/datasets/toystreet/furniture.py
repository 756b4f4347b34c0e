"""What stands on a pavement: lamp posts, traffic lights, signs, bollards; and void things: bins, boxes."""

from __future__ import annotations

from seglib.datasets.toystreet.canvas import POLE, SIGN, VOID, Camera, Canvas, Color, Dice, light

METALS = ((96, 100, 104), (62, 66, 70), (142, 144, 142), (52, 74, 66), (120, 110, 98))
RED, WHITE, BLUE, YELLOW, GREEN = (200, 44, 44), (240, 240, 236), (44, 88, 168), (232, 190, 60), (52, 140, 92)


def draw_post(canvas: Canvas, camera: Camera, x: int, z: int, height: int, wide: int, color: Color) -> tuple[int, int, int]:
    """An upright, at least one pixel of the finished image wide and on its grid, so that it stays crisp.

    Returns its left column, its width and its top row.
    """
    column, foot = camera.project(x, 0, z)
    top = camera.project(x, height, z)[1]
    width = max(2, camera.scale(wide, z) // 2 * 2)
    left = column // 2 * 2
    canvas.rectangle(left, top, left + width, foot + 1, color, POLE, z)
    if width > 2:
        canvas.rectangle(left, top, left + width // 3, foot + 1, light(color, 130), POLE, z)
    return left, width, top


def draw_lamp(canvas: Canvas, dice: Dice, camera: Camera, x: int, z: int, side: int, lit: bool) -> None:
    """A lamp post: a lantern on top, or an arm over the road; `side` is the side of the road it stands on."""
    color = dice.pick(METALS)
    glow: Color = (255, 240, 180) if lit else (226, 226, 214)
    if dice.chance(40):
        left, width, top = draw_post(canvas, camera, x, z, 380, 13, color)
        half = max(2, camera.scale(20, z))
        middle = left + width // 2
        canvas.polygon([(middle - half // 2, top), (middle + half // 2, top), (middle + half, top - 2 * half),
                        (middle - half, top - 2 * half)], glow, POLE, z)  # fmt: skip
        canvas.polygon([(middle - half, top - 2 * half), (middle + half, top - 2 * half), (middle, top - 3 * half)],
                       color, POLE, z)  # fmt: skip
    else:
        left, width, top = draw_post(canvas, camera, x, z, dice.integer(560, 720), 16, color)
        reach, thick = camera.scale(150, z), max(2, width * 2 // 3 // 2 * 2)
        end = left - side * reach
        canvas.rectangle(min(left, end), top, max(left + width, end), top + thick, color, POLE, z)
        lamp = max(2, camera.scale(46, z))
        canvas.rectangle(min(end, end + side * lamp), top + thick, max(end, end + side * lamp), top + 2 * thick, glow, POLE, z)


def draw_traffic_light(canvas: Canvas, dice: Dice, camera: Camera, x: int, z: int) -> None:
    left, width, top = draw_post(canvas, camera, x, z, 330, 14, dice.pick(METALS))
    unit = max(2, camera.scale(17, z))
    middle = left + width // 2
    canvas.rectangle(middle - unit, top - 5 * unit, middle + unit, top, (36, 40, 42), SIGN, z)
    shown = dice.integer(0, 2)
    for lamp, color in enumerate(((220, 60, 50), (236, 180, 60), (70, 190, 110))):
        tone = color if lamp == shown else light(color, 35)
        canvas.ellipse(middle, top - (9 - 3 * lamp) * unit // 2 + unit // 2, unit * 6 // 10, unit * 6 // 10, tone, SIGN, z)


def draw_sign(canvas: Canvas, dice: Dice, camera: Camera, x: int, z: int) -> None:
    """A traffic sign on its post: round, triangular or square."""
    height = dice.integer(230, 280)
    left, width, top = draw_post(canvas, camera, x, z, height, 9, dice.pick(METALS))
    middle, r = left + width // 2, max(3, camera.scale(dice.integer(36, 48), z))
    y = top
    kind = dice.pick(("limit", "stop", "keep", "warn", "yield", "parking", "way"))
    if kind in ("limit", "stop", "keep"):
        ring, face = {"limit": (RED, WHITE), "stop": (RED, RED), "keep": (BLUE, BLUE)}[kind]
        canvas.ellipse(middle, y, r, r, ring, SIGN, z)
        canvas.ellipse(middle, y, r * 7 // 10, r * 7 // 10, face, SIGN, z)
        bar = WHITE if kind != "limit" else (60, 60, 60)
        canvas.rectangle(middle - r // 2, y - r // 6, middle + r // 2, y + r // 6 + 1, bar, SIGN, z)
    elif kind in ("warn", "yield"):
        up = 1 if kind == "warn" else -1
        for size, color in ((r * 12 // 10, RED), (r * 7 // 10, WHITE)):
            canvas.polygon([(middle, y - up * size), (middle + size, y + up * size * 8 // 10),
                            (middle - size, y + up * size * 8 // 10)], color, SIGN, z)  # fmt: skip
    elif kind == "parking":
        canvas.rectangle(middle - r, y - r, middle + r, y + r, BLUE, SIGN, z)
        canvas.rectangle(middle - r // 3, y - r * 6 // 10, middle, y + r * 6 // 10, WHITE, SIGN, z)
        canvas.rectangle(middle - r // 3, y - r * 6 // 10, middle + r // 3, y, WHITE, SIGN, z)
    else:
        color = dice.pick((GREEN, YELLOW, WHITE))
        canvas.rectangle(middle - 2 * r, y - r * 8 // 10, middle + 2 * r, y + r * 8 // 10, color, SIGN, z)
        canvas.rectangle(middle - r * 16 // 10, y - r // 3, middle + r, y, light(color, 50), SIGN, z)


def draw_shop_sign(canvas: Canvas, dice: Dice, camera: Camera, x: int, z: int, side: int) -> None:
    """A board that hangs out from a house front."""
    color = dice.pick((RED, BLUE, GREEN, YELLOW, (60, 50, 46)))
    left, top = camera.project(x - side * 90, 380, z)
    right, bottom = camera.project(x - side * 10, 290, z)
    canvas.rectangle(min(left, right), top, max(left, right), bottom, color, SIGN, z)
    inset = max(1, abs(right - left) // 5)
    canvas.ellipse((left + right) // 2, (top + bottom) // 2, inset, inset, WHITE, SIGN, z)


def draw_bin(canvas: Canvas, dice: Dice, camera: Camera, x: int, z: int) -> None:
    """A litter bin or post box: none of the classes, so void."""
    color = dice.pick(((60, 96, 72), (188, 44, 44), (84, 88, 92)))
    left, foot = camera.project(x - 22, 0, z)
    right, top = camera.project(x + 22, 120 if color[0] > 150 else 85, z)
    canvas.rectangle(left, top, right, foot, color, VOID, z)
    canvas.rectangle(left, top, right, top + max(1, (foot - top) // 6), light(color, 70), VOID, z)
