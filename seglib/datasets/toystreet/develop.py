"""The last step of drawing: haze, light, grain, and half the size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seglib.datasets.toystreet.canvas import (
    BICYCLIST,
    CAR,
    COLUMNS,
    FAR,
    FENCE,
    HEIGHT,
    PEDESTRIAN,
    POLE,
    ROWS,
    SIGN,
    VOID,
    WIDTH,
)
from seglib.datasets.toystreet.dice import Bools, Dice, speckle
from seglib.datasets.toystreet.moods import Stage

Bytes = npt.NDArray[np.uint8]

# How much a canvas pixel counts when four become one: thin and rare things must not vanish.
WEIGHTS = np.full(256, 10, dtype=np.int64)
WEIGHTS[[POLE, SIGN, PEDESTRIAN, BICYCLIST, FENCE]] = (21, 19, 12, 12, 11)
THINGS = (CAR, PEDESTRIAN, BICYCLIST)


def develop(stage: Stage, dice: Dice) -> tuple[Bytes, Bytes]:
    """Turn the canvas into a photograph, (H/2, W/2, 3), and its mask, (H/2, W/2)."""
    canvas, mood = stage.canvas, stage.mood
    solid = canvas.depth < FAR
    share = np.where(solid, 256 * canvas.depth // (canvas.depth + mood.haze), 0)[..., None]
    color = (canvas.color * (256 - share) + np.array(mood.sky_low) * share) >> 8
    texture = speckle(COLUMNS, ROWS, dice.integer(0, 9999)) - 128
    color += (texture * dice.integer(8, 18) // 256)[..., None]
    color = color.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).sum(axis=(1, 3)) // 4

    gain = dice.integer(88, 112)
    tint = np.array([value * gain // 100 + dice.integer(-4, 4) for value in mood.tint])
    contrast = mood.contrast + dice.integer(-8, 8)
    color = (color * tint // 100 - 112) * contrast // 100 + 112
    color += (dice.noise(HEIGHT // 2, WIDTH // 2) * dice.integer(4, 9) // 256)[..., None]
    color = np.clip(color + 3, 0, 255) // 6 * 6  # fewer levels: half the bytes, no eye sees it
    return color.astype(np.uint8), shrink_labels(canvas.label)


def shrink_labels(label: Bytes) -> Bytes:
    """Halve a label map: the heaviest label of each 2×2 block wins, never a mixture of two.

    Then comes the void ring: where a car, a person or a rider of some size ends, the pixel outside
    shows a bit of both, and no class is right for it.
    """
    height, width = label.shape[0] // 2, label.shape[1] // 2
    blocks = label.reshape(height, 2, width, 2).transpose(0, 2, 1, 3).reshape(-1, 4)
    alike = (blocks[:, :, None] == blocks[:, None, :]).sum(axis=2)  # (pixels, 4)
    heaviest = (alike * WEIGHTS[blocks]).argmax(axis=1)
    small = blocks[np.arange(len(blocks)), heaviest].reshape(height, width)
    thing = np.isin(small, THINGS)
    core = thing & ~_grow(~thing)
    near_wide_things = _grow(_grow(core))
    ring = _grow(thing) & near_wide_things & ~thing & ~np.isin(small, (POLE, SIGN))
    return np.where(ring, np.uint8(VOID), small)


def _grow(mask: Bools) -> Bools:
    """Add the four neighbours of each pixel."""
    padded = np.pad(mask, 1)
    return mask | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
