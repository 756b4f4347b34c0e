"""Choices that follow from a course's secret: the same for the same secret, on any machine."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import TypeVar

import numpy

Choice = TypeVar("Choice")


class Draw:
    """A stream of choices that only the secret's owner can foretell.

    Built on HMAC-SHA256 and on NumPy's frozen `RandomState`, so that no release of Python or NumPy
    changes what a secret gives.

    Args:
        secret: the course's secret.
        purpose: what the choices are for; other purposes give unrelated ones.
    """

    def __init__(self, secret: str, purpose: str) -> None:
        self._key, self._purpose, self._count = secret.encode(), purpose, 0

    def _number(self) -> int:
        message = f"{self._purpose}/{self._count}".encode()
        self._count += 1
        return int.from_bytes(hmac.digest(self._key, message, hashlib.sha256), "big")

    def integer(self, low: int, high: int, step: int = 1) -> int:
        """One of low, low + step, … up to and including `high`."""
        if high < low or step < 1:
            raise ValueError(f"integer: no number from {low} to {high} in steps of {step}")
        return low + step * (self._number() % ((high - low) // step + 1))

    def decimal(self, low: float, high: float, digits: int = 2) -> float:
        """A number with so many digits after the point, from `low` to `high`, both included."""
        scale = 10**digits
        return self.integer(round(low * scale), round(high * scale)) / scale

    def choice(self, options: Sequence[Choice]) -> Choice:
        """One of the options."""
        return options[self.integer(0, len(options) - 1)]

    def sample(self, options: Sequence[Choice], count: int) -> list[Choice]:
        """`count` different ones of the options, in random order."""
        if count > len(options):
            raise ValueError(f"sample: count is {count}, there are {len(options)} options")
        left = list(options)
        return [left.pop(self.integer(0, len(left) - 1)) for _ in range(count)]

    def normal(self, *shape: int, scale: float = 1.0) -> numpy.ndarray:
        """An array of normal numbers in double precision."""
        state = numpy.random.RandomState(self._number() % 2**32)
        return scale * state.standard_normal(shape)

    def integers(self, low: int, high: int, *shape: int) -> numpy.ndarray:
        """An int64 array of numbers from `low` to `high`, both included."""
        state = numpy.random.RandomState(self._number() % 2**32)
        return state.randint(low, high + 1, shape).astype(numpy.int64)
