"""Random numbers and colours that are the same on every machine.

All arithmetic is on integers. Random numbers are raw bits of PCG64: numpy keeps that stream fixed
for ever, but not those of its distributions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Color = tuple[int, int, int]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Item = TypeVar("Item")


class Dice:
    """Random choices from one key: the same key gives the same choices everywhere."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def integer(self, low: int, high: int) -> int:
        """Draw from low … high, both included."""
        return low + int(self._bits.random_raw()) % (high - low + 1)

    def chance(self, percent: int) -> bool:
        return self.integer(0, 99) < percent

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.integer(0, len(items) - 1)]

    def offspring(self) -> Dice:
        """Dice of its own for one thing, so that a change to it leaves all others as they are."""
        return Dice(self.integer(0, 1 << 30))

    def noise(self, height: int, width: int) -> Ints:
        """Nearly Gaussian white noise, (height, width): mean 0, deviation 148, at most 510."""
        words = np.asarray(self._bits.random_raw((height * width + 1) // 2)).astype("<u8")
        quartets = words.view(np.uint8)[: 4 * height * width].reshape(height, width, 4)
        total: Ints = quartets.astype(np.int64).sum(axis=2)
        return total - 510


def speckle(u: Ints, v: Ints, seed: int) -> Ints:
    """A fixed random number, 0 … 255, for each pair of integers: texture that sticks to things."""
    mixed = (u * 374_761_393 + v * 668_265_263 + seed * 1_274_126_177) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 13)) * 1_274_126_177) & 0xFFFFFFFF
    return (mixed ^ (mixed >> 16)) & 255


def blend(a: Color, b: Color, share: int) -> Color:
    """Mix `share` percent of `b` into `a`."""
    red, green, blue = ((p * (100 - share) + q * share) // 100 for p, q in zip(a, b, strict=True))
    return red, green, blue


def light(color: Color, percent: int) -> Color:
    """Scale a colour's brightness."""
    red, green, blue = (min(255, value * percent // 100) for value in color)
    return red, green, blue
