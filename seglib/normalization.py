"""BatchNorm in training: how fast its statistics move, and whether they move at all."""

from __future__ import annotations

from typing import TypeVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

T = TypeVar("T", bound="FrozenBatchNorm2d")


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm that stays in eval mode: `.train()` does not reach it, whoever calls it."""

    def train(self: T, mode: bool = True) -> T:
        return super().train(False)


def freeze_batchnorm(model: nn.Module, *, affine: bool = True) -> None:
    """Keep every BatchNorm as it is, for good: it normalises by its running statistics and changes
    them no more.

    `module.eval()` on each of them, as popular code does, lasts until the next `model.train()`.
    Here the layers become `FrozenBatchNorm2d`: names and values in the state_dict stay.

    Args:
        model: changed in place; before an optimiser is made of its parameters.
        affine: also stop the training of weight and bias.
    Raises:
        ValueError: if it holds another kind of BatchNorm than `nn.BatchNorm2d`.
    """
    for name, module in model.named_modules():
        if not isinstance(module, _BatchNorm):
            continue
        if type(module) not in (nn.BatchNorm2d, FrozenBatchNorm2d):
            raise ValueError(
                f"freeze_batchnorm knows nn.BatchNorm2d, got {type(module).__name__} at {name!r}"
            )
        module.__class__ = FrozenBatchNorm2d
        module.eval()
        if affine:
            module.requires_grad_(False)


def set_batchnorm_momentum(model: nn.Module, momentum: float) -> None:
    """Set the share that a new batch has in the running statistics of every BatchNorm.

    Args:
        model: changed in place.
        momentum: 0 < momentum ≤ 1, in torch's sense: 0.1 is torch's default; TensorFlow calls the
            same 0.9.
    Raises:
        ValueError: if `momentum` is out of its range.
    """
    if not 0 < momentum <= 1:
        raise ValueError(f"bn_momentum must be above 0 and at most 1, got {momentum}")
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = momentum
