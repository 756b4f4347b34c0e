"""Trees, hedges and fences."""

from __future__ import annotations

import numpy as np

from seglib.datasets.toystreet.canvas import (
    COLUMNS,
    FENCE,
    HEIGHT,
    ROWS,
    TREE,
    Camera,
    Canvas,
    Color,
    Dice,
    Point,
    blend,
    light,
    speckle,
)
from seglib.datasets.toystreet.moods import Mood

GREENS = ((74, 118, 62), (98, 142, 70), (58, 98, 66), (120, 148, 78), (84, 110, 84), (104, 116, 60))
AUTUMN = ((204, 130, 56), (186, 84, 52), (212, 166, 70), (150, 96, 58))
BLOSSOM = ((236, 188, 200), (242, 222, 222), (222, 160, 186))
BARK = ((98, 78, 62), (84, 74, 68), (120, 100, 80), (70, 60, 54))
PAINTS = ((236, 234, 228), (122, 88, 60), (66, 92, 76), (92, 96, 102), (156, 120, 84), (54, 58, 62))


def draw_tree(canvas: Canvas, dice: Dice, camera: Camera, x: int, z: int, mood: Mood) -> None:
    """One tree of a random kind, its foot at (x, 0, z)."""
    kind = dice.pick(("round", "round", "round", "poplar", "fir", "birch", "blossom", "autumn", "bare"))
    if mood.snow:
        kind = dice.pick(("bare", "bare", "fir", "fir", "birch"))
    height = dice.integer(420, 900)
    bark = dice.pick(BARK) if kind != "birch" else (214, 210, 202)
    leaves = dice.pick({"autumn": AUTUMN, "blossom": BLOSSOM}.get(kind, GREENS))
    width = max(1, camera.scale(dice.integer(18, 34), z))
    foot, fork = camera.project(x, 0, z), camera.project(x, height * 45 // 100, z)
    trunk = [(foot[0] - width, foot[1]), (foot[0] + width, foot[1]),
             (fork[0] + width * 6 // 10, fork[1]), (fork[0] - width * 6 // 10, fork[1])]  # fmt: skip
    canvas.polygon(trunk, bark, TREE, z)
    shade = (foot[0] - width, foot[1]), (foot[0], foot[1]), fork, (fork[0] - width * 6 // 10, fork[1])
    canvas.polygon(shade, light(bark, 78), TREE, z)
    if kind == "bare":
        _branches(canvas, dice, fork, camera.scale(height * 55 // 100, z), bark, z)
    elif kind == "fir":
        _fir(canvas, camera, x, z, height, leaves, mood)
    else:
        _crown(canvas, dice, camera, x, z, height, leaves, narrow=kind == "poplar")


def _crown(
    canvas: Canvas, dice: Dice, camera: Camera, x: int, z: int, height: int, leaves: Color, narrow: bool
) -> None:  # fmt: skip
    """Puffs of leaves: dark ones below and behind, light ones above."""
    middle = height * 68 // 100
    reach = height * (13 if narrow else 26) // 100
    puffs = [(dice.integer(-reach, reach), dice.integer(-height * 28 // 100, height * 28 // 100)) for _ in range(16)]
    puffs.sort(key=lambda puff: puff[1])
    for dx, dy in [(0, 0), *puffs]:
        fade = 100 - abs(dy) * 100 // (height * 40 // 100)
        if dx * dx * 100 > reach * reach * fade:
            dx = dx * fade // 130
        tone = light(leaves, 76 + (dy + height * 28 // 100) * 44 // (height * 56 // 100) + dice.integer(-5, 5))
        radius = reach * dice.integer(48, 70) // 100 + 12
        px, py = camera.project(x + dx, middle + dy, z)
        leafy(canvas, px, py, camera.scale(radius, z), tone, z, dice.integer(0, 9999))


def leafy(canvas: Canvas, x: int, y: int, radius: int, color: Color, z: int, seed: int) -> None:
    """A ragged disc of leaves."""
    radius = max(radius, 1)
    rows = slice(max(0, y - radius), max(0, min(HEIGHT, y + radius + 1)))
    columns = slice(max(0, x - radius), max(0, min(COLUMNS.size, x + radius + 1)))
    dx, dy = COLUMNS[columns] - x, ROWS[rows] - y
    grain = max(2, radius // 7)
    noise = speckle(dx // grain, dy // grain, seed)
    inside = (dx * dx + dy * dy) * 256 < radius * radius * (178 + noise * 78 // 256)
    if not inside.any():
        return
    tone = (noise - 128) * 44 // 256 - dy * 14 // radius
    canvas.color[rows, columns][inside] = np.clip(np.array(color) + tone[..., None], 0, 255)[inside]
    canvas.label[rows, columns][inside] = TREE
    canvas.depth[rows, columns][inside] = z


def _fir(
    canvas: Canvas, camera: Camera, x: int, z: int, height: int, leaves: Color, mood: Mood
) -> None:
    for layer in range(4):
        low, high = height * (14 + 20 * layer) // 100, height * (48 + 17 * layer) // 100
        wide = height * (26 - 5 * layer) // 100
        corners = [camera.project(x - wide, low, z), camera.project(x + wide, low, z), camera.project(x, high, z)]
        canvas.polygon(corners, light(leaves, 70 + 7 * layer), TREE, z)
        lit = [camera.project(x + wide // 3, low, z), corners[1], corners[2]]
        canvas.polygon(lit, (232, 236, 242) if mood.snow else light(leaves, 84 + 8 * layer), TREE, z)


def _branches(canvas: Canvas, dice: Dice, fork: Point, length: int, bark: Color, z: int) -> None:
    """A winter crown: branches that fork, in a fine mesh of twigs."""
    tips = [(fork, length, 0)]
    for generation in range(4):
        grown = []
        for (x, y), reach, lean in tips:
            for side in (-1, 1):
                tilt = lean + side * dice.integer(12, 45)
                end = (x + reach * tilt // 130, y - reach * (100 - abs(tilt) // 2) // 220)
                canvas.stroke((x, y), end, max(1, length // 22 >> generation), bark, TREE, z)
                grown.append((end, reach * 75 // 100, tilt))
        tips = grown
    for (x, y), _, _ in tips:
        leafy(canvas, x, y, max(1, length // 14), light(bark, 130), z, dice.integer(0, 9999))


def draw_fence(
    canvas: Canvas, camera: Camera, x: int, near: int, far: int, kind: str, color: Color, height: int
) -> None:
    """A fence along the street in the plane X = x: pickets, railings, boards or a hedge."""
    x += camera.shift((near + far) // 2)
    offset = COLUMNS - camera.center
    safe = np.where(offset == 0, 1, offset)
    distance = np.where(offset * (1 if x > 0 else -1) > 0, camera.focal * x // safe, -1)
    columns = np.nonzero((distance >= near) & (distance < far))[0]
    if columns.size:
        part = slice(int(columns[0]), int(columns[-1]) + 1)
        _paint_fence(canvas, camera, part, distance[part], distance[part], kind, color, height)


def draw_cross_fence(
    canvas: Canvas, camera: Camera, left: int, right: int, z: int, kind: str, color: Color, height: int
) -> None:
    """A fence across the view, from X = left to right at Z = z."""
    across = (COLUMNS - camera.center) * z // camera.focal - camera.shift(z)
    columns = np.nonzero((across >= left) & (across < right))[0]
    if columns.size:
        part = slice(int(columns[0]), int(columns[-1]) + 1)
        _paint_fence(canvas, camera, part, across[part], np.full(columns.size, z), kind, color, height)


def _paint_fence(canvas, camera, part, along, distance, kind, color, height):  # type: ignore[no-untyped-def]
    up = camera.height - (ROWS - camera.horizon) * np.maximum(distance, 1) // camera.focal
    along = np.broadcast_to(along, up.shape)
    shade = np.zeros((*up.shape, 3), dtype=np.int64) + np.array(color)
    tall = height + np.zeros_like(up)
    seen = np.ones_like(up, dtype=np.bool_)
    if kind == "picket":
        slat = along % 22
        tall = height - np.abs(slat - 7) * (slat < 15) * 2
        rail = (np.abs(up - height // 4) < 6) | (np.abs(up - height * 3 // 4) < 6)
        seen = (slat < 15) | rail
        shade[slat < 2] = light(color, 76)
        shade[(slat >= 15)] = light(color, 84)
    elif kind == "railing":
        seen = (along % 18 < 5) | (np.abs(up - 14) < 5) | (np.abs(up - height + 12) < 5)
    elif kind == "boards":
        shade += ((speckle(along // 26, along * 0, 5) - 128) * 40 // 256)[..., None]
        shade[along % 26 < 3] = light(color, 70)
        shade[np.abs(up - height + 8) < 8] = light(color, 118)
    elif kind == "hedge":
        shade += ((speckle(along // 8, up // 8, 9) - 128) * 56 // 256)[..., None]
        tall = height - speckle(along // 14, along * 0, 4) * 16 // 256
    post = (along % 240 < 12) & (kind != "hedge")
    inside = (up >= 0) & (up < np.where(post, height + 8, tall))
    seen |= post
    label = TREE if kind == "hedge" else FENCE
    canvas.color[:, part][inside & seen] = np.clip(shade, 0, 255)[inside & seen]
    canvas.label[:, part][inside] = label
    canvas.depth[:, part][inside] = np.broadcast_to(distance, up.shape)[inside]
