"""An attribute computed once, without the lock of Python 3.10's and 3.11's `cached_property`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Owner = TypeVar("Owner")
Value = TypeVar("Value")


class cached_property(Generic[Owner, Value]):
    """As functools' of Python 3.12: a check that is interrupted must not leave a lock behind."""

    def __init__(self, function: Callable[[Owner], Value]) -> None:
        self.function = function

    def __get__(self, instance: Owner, owner: type[Owner]) -> Value:
        value = self.function(instance)
        instance.__dict__[self.function.__name__] = value
        return value
