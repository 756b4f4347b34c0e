"""The options of a training run: checked, and made into an optimiser and a schedule."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import cast

import torch
from torch.optim.lr_scheduler import LRScheduler

from seglib.schedules import PolySchedule, StepSchedule


@dataclass(frozen=True)
class Recipe:
    """What decides the numbers of a run, besides the network, the data and the device; see
    `training.fit` for each.

    Raises:
        ValueError: if an option is out of its range.
    """

    steps: int
    images: int
    batch_size: int
    loss: str
    optimizer: str
    lr: float
    backbone_lr: float | None
    momentum: float
    weight_decay: float
    schedule: str
    power: float
    warmup_steps: int
    step_size: int
    gamma: float
    precision: str
    accumulate: int
    ema: float | None
    bn_momentum: float | None
    freeze_bn: bool
    sync_bn: bool
    seed: int
    processes: int

    def __post_init__(self) -> None:
        for name in ("lr", "backbone_lr", "momentum", "weight_decay", "seed"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a finite number >= 0, got {value}")
        if self.lr == 0:
            raise ValueError("lr must be > 0, got 0")
        if self.optimizer not in ("sgd", "adamw"):
            raise ValueError(f"optimizer must be 'sgd' or 'adamw', got {self.optimizer!r}")
        if self.schedule not in ("poly", "step"):
            raise ValueError(f"schedule must be 'poly' or 'step', got {self.schedule!r}")
        whole_number("accumulate", self.accumulate)
        pieces = self.processes * self.accumulate
        spread = f"{self.processes} process(es) of {self.accumulate} part(s)"
        if self.batch_size % pieces:
            raise ValueError(
                f"batch_size must be a multiple of {pieces}, for {spread}, got {self.batch_size}"
            )
        if self.batch_size // pieces < 2 and not (self.freeze_bn or self.sync_bn):
            raise ValueError(
                f"batch_size must be at least {2 * pieces}, for {spread}, got {self.batch_size}:"
                " BatchNorm needs two images; or freeze it with freeze_bn"
            )

    def as_dict(self) -> dict[str, object]:
        """The options by name."""
        return asdict(self)

    def make_optimizer(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        if self.optimizer == "sgd":
            return torch.optim.SGD(groups, self.lr, self.momentum, weight_decay=self.weight_decay)
        return torch.optim.AdamW(groups, self.lr, weight_decay=self.weight_decay)

    def make_schedule(self, optimizer: torch.optim.Optimizer) -> LRScheduler:
        if self.schedule == "poly":
            return PolySchedule(optimizer, self.steps, self.power, self.warmup_steps)
        return StepSchedule(optimizer, self.step_size, self.gamma)


def total_steps(length: int, batch_size: int, steps: int | None, epochs: int | None) -> int:
    """The steps of a run over `length` images.

    Raises:
        ValueError: if an argument is out of its range, or steps and epochs are both given.
    """
    if (steps is None) == (epochs is None):
        raise ValueError(f"give one of steps and epochs, got steps={steps}, epochs={epochs}")
    for name, value in (("steps", steps), ("epochs", epochs), ("batch_size", batch_size)):
        if value is not None:
            whole_number(name, value)
    if not 2 <= batch_size <= length:
        raise ValueError(
            f"batch_size must be from 2 (for BatchNorm) to {length} (all images), got {batch_size}"
        )
    return steps if steps is not None else cast(int, epochs) * (length // batch_size)


def whole_number(name: str, value: int) -> int:
    """The value, if it is an integer ≥ 1.

    Raises:
        ValueError: if not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number >= 1, got {value!r}")
    return value


def loss_name(loss: object) -> str:
    """What to call a loss, `functools.partial` around it or not."""
    function = getattr(loss, "func", loss)
    return str(getattr(function, "__name__", type(function).__name__))
