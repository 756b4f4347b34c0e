"""A BatchNorm with a mistake, for the flawed modules that checks compare answers with."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class OneModeNorm(nn.BatchNorm2d):
    """BatchNorm that takes its statistics always from the batch, or never."""

    def __init__(self, channels: int, batch: bool) -> None:
        super().__init__(channels)
        self.batch = batch

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.batch
        )
