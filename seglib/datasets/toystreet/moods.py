"""Weather and hour of a scene, and the last step of drawing: haze, light, grain, and half the size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seglib.datasets.toystreet.canvas import (
    BICYCLIST,
    CAR,
    COLUMNS,
    FENCE,
    HEIGHT,
    PEDESTRIAN,
    POLE,
    ROWS,
    SIGN,
    SKY,
    VOID,
    WIDTH,
    Canvas,
    Color,
    Dice,
    Ints,
    blend,
    speckle,
)


@dataclass(frozen=True)
class Mood:
    """One kind of weather: colours of the sky, tint of the light, in percent; haze; what is lit."""

    sky_top: Color
    sky_low: Color
    cloud: Color
    tint: Color
    haze: int  # cm at which half of a thing's colour is the sky's
    contrast: int  # percent
    clouds: int  # at most
    sun: bool = False  # casts shadows
    lit: int = 4  # percent of windows with a light on
    snow: bool = False
    rain: bool = False


MOODS = {
    #          sky_top          sky_low          cloud            tint             haze   contrast clouds
    "sunny": Mood((84, 150, 220), (196, 224, 242), (252, 252, 250), (106, 101, 93), 30000, 106, 4, sun=True),
    "spring": Mood((122, 178, 226), (222, 234, 238), (250, 248, 246), (102, 101, 96), 22000, 102, 7, sun=True),
    "overcast": Mood((158, 166, 174), (204, 208, 210), (182, 188, 194), (88, 90, 92), 14000, 92, 9),
    "evening": Mood((116, 140, 188), (252, 206, 146), (246, 182, 142), (114, 97, 78), 12000, 100, 5, sun=True, lit=25),
    "dusk": Mood((54, 62, 112), (214, 140, 124), (120, 92, 126), (72, 71, 92), 12000, 100, 4, lit=60),
    "fog": Mood((196, 202, 206), (214, 216, 216), (206, 210, 212), (94, 96, 98), 3600, 92, 0, lit=15),
    "rain": Mood((118, 126, 138), (168, 174, 182), (104, 112, 124), (76, 80, 86), 7500, 94, 9, lit=35, rain=True),
    "winter": Mood((168, 192, 216), (228, 232, 236), (240, 240, 242), (96, 98, 104), 11000, 96, 5, lit=12, snow=True),
}
FREQUENCY = ("sunny", "sunny", "spring", "spring", "overcast", "overcast", "evening", "evening",
             "dusk", "fog", "rain", "winter")  # fmt: skip


def paint_sky(canvas: Canvas, dice: Dice, mood: Mood, horizon: int) -> None:
    """Gradient, sun or moon, puffy clouds."""
    share = np.clip(ROWS * 256 // max(horizon, 1), 0, 256)[..., None]  # (H, 1, 1)
    top, low = np.array(mood.sky_top), np.array(mood.sky_low)
    canvas.color[:] = (top * (256 - share) + low * share) >> 8
    if mood.sun or mood.lit > 50:
        x, y, radius = dice.integer(20, WIDTH - 20), dice.integer(8, horizon // 2), dice.integer(7, 12)
        glow = blend(mood.sky_low, (255, 246, 214), 70)
        square = (COLUMNS - x) ** 2 + (ROWS - y) ** 2
        near = np.clip(150 - 150 * square // (radius * radius * 16), 0, 150)[..., None]
        canvas.color[:] = (canvas.color * (256 - near) + np.array(glow) * near) >> 8
        canvas.ellipse(x, y, radius, radius, (255, 250, 226), None, canvas.depth[0, 0])
    for _ in range(dice.integer(mood.clouds // 2, mood.clouds)):
        x, y = dice.integer(-20, WIDTH + 20), dice.integer(4, max(5, horizon - 25))
        size = dice.integer(8, 20)
        for layer, shade in ((3, blend(mood.cloud, mood.sky_top, 35)), (0, mood.cloud)):
            puffs = Dice((x + 40, y, size))
            for puff in range(5):
                dx, r = (puff - 2) * size + puffs.integer(-4, 4), size - abs(puff - 2) * size // 4
                up = puffs.integer(0, size // 3)
                canvas.ellipse(x + dx, y - up + layer, r, r * 6 // 10, shade, None, canvas.depth[0, 0])


def finish(
    canvas: Canvas, dice: Dice, mood: Mood
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Turn the canvas into the photograph, (H/2, W/2, 3), and its mask, (H/2, W/2)."""
    solid = canvas.label != SKY
    share = np.where(solid, 256 * canvas.depth // (canvas.depth + mood.haze), 0)[..., None]
    color = (canvas.color * (256 - share) + np.array(mood.sky_low) * share) >> 8
    texture = speckle(COLUMNS, ROWS, dice.integer(0, 9999)) - 128
    color += np.where(solid, texture, texture // 4)[..., None] * dice.integer(14, 26) // 256
    color = color.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).sum(axis=(1, 3)) // 4
    gain = dice.integer(88, 112)
    tint = np.array([value * gain // 100 + dice.integer(-4, 4) for value in mood.tint])
    contrast = mood.contrast + dice.integer(-8, 8)
    color = (color * tint // 100 - 112) * contrast // 100 + 112
    grain = sum((dice.field(HEIGHT // 2, WIDTH // 2) for _ in range(4)), start=np.int64(0)) - 510
    color += (grain * dice.integer(4, 12) // 256)[..., None]
    color = np.clip(color + 2, 0, 255) // 4 * 4  # 64 levels: half the bytes, no eye sees it
    return color.astype(np.uint8), shrink_labels(canvas.label)


# How much a canvas pixel counts when four become one: thin and rare things must not vanish.
WEIGHTS = np.full(256, 10, dtype=np.int64)
WEIGHTS[[POLE, SIGN, PEDESTRIAN, BICYCLIST]] = (21, 19, 12, 12)
WEIGHTS[FENCE] = 11


def shrink_labels(label: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Halve a label map: the heaviest label of each 2×2 block wins, never a mixture of two.

    Then a void ring: where a car, a person or a rider of some size ends, the pixel outside is mixed, as in hand-made masks.
    """
    blocks = label.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).transpose(0, 2, 1, 3).reshape(-1, 4)
    same = blocks[:, :, None] == blocks[:, None, :]  # (pixels, 4, 4)
    score = same.sum(axis=2) * WEIGHTS[blocks]
    small: npt.NDArray[np.uint8] = blocks[np.arange(len(blocks)), score.argmax(axis=1)]
    small = small.reshape(HEIGHT // 2, WIDTH // 2)
    thing = np.isin(small, (CAR, PEDESTRIAN, BICYCLIST))
    core = thing & _shift(thing, 1, 0) & _shift(thing, -1, 0) & _shift(thing, 0, 1) & _shift(thing, 0, -1)
    wide = _grow(_grow(core))  # things at least three pixels wide, and their surroundings
    ring = _grow(thing) & wide & ~thing & ~np.isin(small, (POLE, SIGN))
    return np.where(ring, np.uint8(VOID), small)


def _shift(mask: npt.NDArray[np.bool_], down: int, right: int) -> npt.NDArray[np.bool_]:
    """Move a mask by up to one pixel; outside counts as True."""
    padded = np.pad(mask, 1, constant_values=True)
    height, width = mask.shape
    return padded[1 - down : 1 - down + height, 1 - right : 1 - right + width]


def _grow(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    padded = np.pad(mask, 1)
    return padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]


