"""Learning-rate schedules: the factor on the rate as a function of the step, and its scheduler."""

from __future__ import annotations

import math

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


def poly(step: int, total_steps: int, power: float = 0.9, warmup_steps: int = 0) -> float:
    """The factor (1 − step / total_steps)^power on the learning rate: 1 at first, exactly 0 at the
    end and after.

    With a warm-up the factor is first (step + 1) / warmup_steps, from 1 / warmup_steps at step 0 to
    1 at the warm-up's last step: no step is lost to a rate of 0. The steps that remain then fall
    from 1 as above.

    Args:
        step: optimiser steps taken so far, ≥ 0.
        total_steps: steps in all, the warm-up among them, ≥ 1.
        power: > 0; 1 is a straight line.
        warmup_steps: 0 to total_steps − 1.
    Raises:
        ValueError: if an argument is out of its range. (Code without the clamp gets a complex
            number one step past the end: a negative base with a fractional power.)
    Source: DeepLab, §4.1.2 (arXiv 1606.00915); before that ParseNet (arXiv 1506.04579). Warm-up:
        Goyal et al., §2.2 (arXiv 1706.02677).
    """
    _check_step(step)
    _check_poly(total_steps, power, warmup_steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / (total_steps - warmup_steps)
    return float(max(0.0, 1.0 - done) ** power)


def step_decay(step: int, step_size: int, gamma: float = 0.1) -> float:
    """The factor gamma^(step // step_size) on the learning rate: it falls at once every `step_size`
    steps.

    Args:
        step: optimiser steps taken so far, ≥ 0.
        step_size: steps between two falls, ≥ 1.
        gamma: what is left of the rate after each, in (0, 1].
    Raises:
        ValueError: if an argument is out of its range.
    """
    _check_step(step)
    _check_decay(step_size, gamma)
    return float(gamma ** (step // step_size))


class _Schedule(LRScheduler):
    """Every group's rate at step 0, times a factor that depends on the step alone."""

    def factor(self, step: int) -> float:
        raise NotImplementedError

    def get_lr(self) -> list[float | Tensor]:
        factor = self.factor(max(self.last_epoch, 0))
        return [base_lr * factor for base_lr in self.base_lrs]


class PolySchedule(_Schedule):
    """Multiplies every parameter group's own learning rate by `poly`; call `step()` after each
    optimiser step.

    Same rates as `torch.optim.lr_scheduler.PolynomialLR`, computed from the step itself and not
    from the rate before: a resumed run has the same rates to the last bit.

    Args:
        optimizer: its groups' rates at this moment are those that a factor of 1 stands for.
        total_steps: steps until the rate is 0, ≥ 1.
        power: > 0.
        warmup_steps: 0 to total_steps − 1.
        last_epoch: step of the last call, as in torch; −1 starts afresh.
    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        power: float = 0.9,
        warmup_steps: int = 0,
        last_epoch: int = -1,
    ) -> None:
        _check_poly(total_steps, power, warmup_steps)
        self.total_steps = total_steps
        self.power = power
        self.warmup_steps = warmup_steps
        super().__init__(optimizer, last_epoch)

    def factor(self, step: int) -> float:
        """`poly` at this step."""
        return poly(step, self.total_steps, self.power, self.warmup_steps)


class StepSchedule(_Schedule):
    """Multiplies every parameter group's own learning rate by `step_decay`; call `step()` after
    each optimiser step.

    Same rates as `torch.optim.lr_scheduler.StepLR`, computed from the step itself.

    Args:
        optimizer: its groups' rates at this moment are the rates at step 0.
        step_size: steps between two falls, ≥ 1.
        gamma: what is left of the rate after each, in (0, 1].
        last_epoch: step of the last call, as in torch; −1 starts afresh.
    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        _check_decay(step_size, gamma)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, step: int) -> float:
        """`step_decay` at this step."""
        return step_decay(step, self.step_size, self.gamma)


def _check_step(step: int) -> None:
    if not step >= 0:
        raise ValueError(f"step must be >= 0, got {step}")


def _check_poly(total_steps: int, power: float, warmup_steps: int) -> None:
    if not _is_integer(total_steps) or total_steps < 1:
        raise ValueError(f"total_steps must be an integer >= 1, got {total_steps!r}")
    if not (power > 0 and math.isfinite(power)):
        raise ValueError(f"power must be a finite number > 0, got {power}")
    if not _is_integer(warmup_steps) or not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"warmup_steps must be an integer from 0 to {total_steps - 1}, less than"
            f" total_steps={total_steps}; got {warmup_steps!r}"
        )


def _check_decay(step_size: int, gamma: float) -> None:
    if not _is_integer(step_size) or step_size < 1:
        raise ValueError(f"step_size must be an integer >= 1, got {step_size!r}")
    if not 0 < gamma <= 1:
        raise ValueError(f"gamma must be in (0, 1], got {gamma}")


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
