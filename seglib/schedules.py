"""Learning-rate schedules."""

from __future__ import annotations

import math

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


def poly(step: int, total_steps: int, power: float = 0.9) -> float:
    """The factor (1 − step / total_steps)^power on the learning rate: 1 at first, exactly 0 at the
    end and after.

    Args:
        step: optimiser steps taken so far, ≥ 0.
        total_steps: steps in all, ≥ 1.
        power: > 0; 1 is a straight line.
    Raises:
        ValueError: if an argument is out of its range. (Code without the clamp gets a complex
            number one step past the end: a negative base with a fractional power.)
    Source: DeepLab, §4.1.2 (arXiv 1606.00915); before that ParseNet (arXiv 1506.04579).
    """
    if not step >= 0:
        raise ValueError(f"step must be >= 0, got {step}")
    _check(total_steps, power)
    return float(max(0.0, 1.0 - step / total_steps) ** power)


class PolySchedule(LRScheduler):
    """Multiplies every parameter group's own learning rate by `poly`; call `step()` after each
    optimiser step.

    Same rates as `torch.optim.lr_scheduler.PolynomialLR`, computed from the step itself and not
    from the rate before: a resumed run has the same rates to the last bit.

    Args:
        optimizer: its groups' rates at this moment are the rates at step 0.
        total_steps: steps until the rate is 0, ≥ 1.
        power: > 0.
        last_epoch: step of the last call, as in torch; −1 starts afresh.
    Raises:
        ValueError: if `total_steps` or `power` is out of its range.
    """

    def __init__(
        self, optimizer: Optimizer, total_steps: int, power: float = 0.9, last_epoch: int = -1
    ) -> None:
        _check(total_steps, power)
        self.total_steps = total_steps
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        factor = poly(max(self.last_epoch, 0), self.total_steps, self.power)
        return [base_lr * factor for base_lr in self.base_lrs]


def _check(total_steps: int, power: float) -> None:
    if isinstance(total_steps, bool) or not isinstance(total_steps, int) or total_steps < 1:
        raise ValueError(f"total_steps must be an integer >= 1, got {total_steps!r}")
    if not (power > 0 and math.isfinite(power)):
        raise ValueError(f"power must be a finite number > 0, got {power}")
