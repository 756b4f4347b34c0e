"""Trees of many kinds, hedges and fences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seglib.datasets.toystreet.canvas import COLUMNS, FENCE, HEIGHT, ROWS, SKY, TREE, Point, window
from seglib.datasets.toystreet.dice import Color, Dice, Ints, light, speckle
from seglib.datasets.toystreet.moods import Stage

# fmt: off
LEAVES = {
    "round": ((74, 118, 62), (98, 142, 70), (58, 98, 66), (120, 148, 78), (84, 110, 84)),
    "poplar": ((98, 142, 70), (104, 116, 60), (84, 124, 70)),
    "birch": ((130, 156, 84), (168, 164, 82)),
    "fir": ((58, 98, 66), (52, 86, 70), (74, 104, 62)),
    "blossom": ((236, 188, 200), (242, 222, 222), (222, 160, 186)),
    "autumn": ((204, 130, 56), (186, 84, 52), (212, 166, 70), (150, 96, 58)),
    "bare": ((112, 96, 84),),
}
KINDS = (*("round", "poplar", "fir", "birch", "blossom", "autumn") * 2, "round", "bare")
WINTER_KINDS = ("bare", "fir", "fir")
BARK = ((98, 78, 62), (84, 74, 68), (120, 100, 80), (70, 60, 54))
WHITE_BARK, SNOW = (214, 210, 202), (232, 236, 242)
PAINTS = ((236, 234, 228), (122, 88, 60), (66, 92, 76), (92, 96, 102), (156, 120, 84), (54, 58, 62))
# fmt: on


def draw_tree(stage: Stage, dice: Dice, x: int, z: int) -> None:
    """Draw one tree of a random kind, its foot at (x, 0, z)."""
    canvas, camera = stage.canvas, stage.camera
    kind = dice.pick(WINTER_KINDS if stage.mood.snow else KINDS)
    height = dice.integer(420, 900)
    bark = WHITE_BARK if kind == "birch" else dice.pick(BARK)
    leaves = dice.pick(LEAVES[kind])
    wide = max(1, camera.scale(dice.integer(18, 34), z))
    thin = wide * 6 // 10
    foot, fork = camera.project(x, 0, z), camera.project(x, height * 45 // 100, z)
    left, right = (foot[0] - wide, foot[1]), (foot[0] + wide, foot[1])
    fork_left = (fork[0] - thin, fork[1])
    canvas.polygon([left, right, (fork[0] + thin, fork[1]), fork_left], bark, TREE, z)
    canvas.polygon([left, foot, fork, fork_left], light(bark, 78), TREE, z)
    if kind == "bare":
        _draw_branches(stage, dice, fork, camera.scale(height * 58 // 100, z), bark, z)
    elif kind == "fir":
        _draw_fir(stage, x, z, height, leaves)
    else:
        reach = height * (13 if kind == "poplar" else 26) // 100
        _draw_crown(stage, dice, x, z, height, reach, leaves)


def _draw_crown(
    stage: Stage, dice: Dice, x: int, z: int, height: int, reach: int, leaves: Color
) -> None:
    """Puffs of leaves: dark ones below, light ones above; the crown narrows at both ends."""
    tall = height * 28 // 100
    puffs = [(dice.integer(-reach, reach), dice.integer(-tall, tall)) for _ in range(16)]
    for dx, dy in [(0, 0), *sorted(puffs, key=lambda puff: puff[1])]:
        narrow = 100 - abs(dy) * 70 // tall
        if dx * dx * 100 > reach * reach * narrow:
            dx = dx * narrow // 130
        tone = light(leaves, 98 + dy * 22 // tall + dice.integer(-5, 5))
        column, row = stage.camera.project(x + dx, height * 68 // 100 + dy, z)
        radius = stage.camera.scale(reach * dice.integer(48, 70) // 100 + 12, z)
        _draw_leaves(stage, column, row, radius, tone, z, dice.integer(0, 9999))


def _draw_leaves(
    stage: Stage, x: int, y: int, radius: int, color: Color, z: int, seed: int
) -> None:
    """A ragged disc of leaves, lit from above."""
    radius = max(radius, 1)
    where = window(x - radius, y - radius, x + radius + 1, y + radius + 1)
    dx, dy = COLUMNS[where[1]] - x, ROWS[where[0]] - y
    leaf = 2 if radius < 40 else 3
    noise = speckle(dx // leaf, dy // leaf, seed)
    inside = (dx * dx + dy * dy) * 256 < radius * radius * (184 + noise * 72 // 256)
    tone = (noise - 128) * 34 // 256 - dy * 14 // radius
    stage.canvas.paint(where, inside, np.array(color) + tone[..., None], TREE, z)


def _draw_fir(stage: Stage, x: int, z: int, height: int, leaves: Color) -> None:
    """Four tiers, the upper right of each in the light, or under snow."""
    project = stage.camera.project
    for tier in range(4):
        low, high = height * (14 + 20 * tier) // 100, height * (48 + 17 * tier) // 100
        wide = height * (26 - 5 * tier) // 100
        top, right = project(x, high, z), project(x + wide, low, z)
        shade, lit = light(leaves, 70 + 7 * tier), light(leaves, 84 + 8 * tier)
        stage.canvas.polygon([project(x - wide, low, z), right, top], shade, TREE, z)
        lit = SNOW if stage.mood.snow else lit
        stage.canvas.polygon([project(x + wide // 3, low, z), right, top], lit, TREE, z)


def _draw_branches(stage: Stage, dice: Dice, fork: Point, length: int, bark: Color, z: int) -> None:
    """A winter crown: branches that fork. As in hand-made masks, sky in between counts as tree."""
    x, y = fork
    crown = (x, y - length * 55 // 100, length * 52 // 100, length * 60 // 100)
    stage.canvas.relabel(*crown, TREE, only=(SKY,))
    tips = [(fork, length, 0)]
    for generation in range(5):
        grown = []
        for (x, y), reach, lean in tips:
            for side in (-1, 1):
                tilt = lean + side * dice.integer(10, 34)
                tip = (x + reach * tilt // 150, y - reach * (100 - abs(tilt) // 2) // 250)
                width = max(1, length // 22 >> generation)
                stage.canvas.stroke((x, y), tip, width, light(bark, 100 + 6 * generation), TREE, z)
                grown.append((tip, reach * 76 // 100, tilt))
        tips = grown


@dataclass(frozen=True)
class Fence:
    """A kind of fence, its paint, and its height in cm."""

    kind: str  # picket, railing, boards or hedge
    paint: Color
    height: int


def random_fence(dice: Dice) -> Fence:
    kind = dice.pick(("picket", "railing", "railing", "boards", "hedge"))
    paint = dice.pick(LEAVES["round"] if kind == "hedge" else PAINTS)
    return Fence(kind, paint, dice.integer(90, 160))


def draw_fence(stage: Stage, fence: Fence, x: int, near: int, far: int) -> None:
    """Draw a fence along the street, in the plane X = x from Z = near to far."""
    part, z = stage.camera.along(x, near, far)
    _paint_fence(stage, fence, part, z, z)


def draw_cross_fence(stage: Stage, fence: Fence, left: int, right: int, z: int) -> None:
    """Draw a fence across the view, from X = left to right at Z = z."""
    part, x = stage.camera.across(z, left, right)
    _paint_fence(stage, fence, part, x, np.full(x.size, z, dtype=np.int64))


def _paint_fence(stage: Stage, fence: Fence, part: slice, along: Ints, z: Ints) -> None:
    """Paint the slats; what shows between them counts as fence, too."""
    up = stage.camera.up(z)  # (H, columns)
    along = np.broadcast_to(along, up.shape)
    color: Ints = np.empty((*up.shape, 3), dtype=np.int64)
    color[:] = fence.paint
    top = np.full(up.shape, fence.height)
    seen = np.ones(up.shape, dtype=np.bool_)
    if fence.kind == "picket":
        slat = along % 22
        top = top - np.abs(slat - 7) * (slat < 15) * 2
        low, high = fence.height // 4, fence.height * 3 // 4
        seen = (slat < 15) | (np.abs(up - low) < 6) | (np.abs(up - high) < 6)
        color[(slat < 2) | (slat >= 15)] = light(fence.paint, 80)
    elif fence.kind == "railing":
        seen = (along % 18 < 5) | (np.abs(up - 14) < 5) | (np.abs(up - fence.height + 12) < 5)
    elif fence.kind == "boards":
        color += ((speckle(along // 26, along * 0, 5) - 128) * 40 // 256)[..., None]
        color[along % 26 < 3] = light(fence.paint, 70)
        color[np.abs(up - fence.height + 8) < 8] = light(fence.paint, 118)
    else:
        color += ((speckle(along // 8, up // 8, 9) - 128) * 56 // 256)[..., None]
        top = top - speckle(along // 14, along * 0, 4) * 16 // 256
    post = (along % 240 < 12) & (fence.kind != "hedge")
    inside = (up >= 0) & (up < np.where(post, fence.height + 8, top))
    where = (slice(0, HEIGHT), part)
    stage.canvas.paint(where, inside & (seen | post), color, None, z)
    stage.canvas.label[where][inside] = TREE if fence.kind == "hedge" else FENCE
