"""Random weights and BatchNorm statistics: fresh initialisation hides errors that these show."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def random_values(role: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Values for one parameter or buffer, in double precision.

    Args:
        role: `"weight"`, `"bias"`, or of a normalisation `"scale"`, `"shift"`, `"mean"`,
            `"variance"`.
        shape: its shape; a weight is (out_channels, in_channels, …).
        generator: source of the numbers.
    Returns:
        A tensor that keeps activations near unit size, with none of the values 0 or 1 that hide
        mistakes.
    """
    if role in ("variance", "scale"):
        return 0.5 + torch.rand(shape, dtype=torch.float64, generator=generator)
    values: Tensor = torch.randn(shape, dtype=torch.float64, generator=generator)
    if role == "weight":
        fan_in = max(1, shape.numel() // shape[0]) if len(shape) > 1 else 1
        return values * math.sqrt(2.0 / fan_in)
    return values * 0.5


def randomize(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give `module`, in place, random weights and random normalisation statistics.

    Means are normal (σ = 0.5), variances and scales uniform in 0.5 … 1.5, biases normal (σ = 0.5),
    weights normal with variance 2 / fan-in. The same seed gives modules of the same structure the
    same values.

    Args:
        module: any module; dtype and device of its tensors are kept.
        seed: seed of the numbers; the global random state is neither used nor changed.
    Returns:
        `module`.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for owner in module.modules():
            normalises = "running_var" in owner._buffers or type(owner).__name__.endswith("Norm")
            tensors = [*owner.named_parameters(recurse=False), *owner.named_buffers(recurse=False)]
            for name, tensor in tensors:
                if tensor.is_floating_point():
                    values = random_values(_role(name, normalises), tensor.shape, generator)
                    tensor.copy_(values)
    return module


def _role(name: str, normalises: bool) -> str:
    if name.endswith("var"):
        return "variance"
    if name.endswith("mean"):
        return "mean"
    if normalises:
        return "scale" if name == "weight" else "shift"
    return "bias" if name == "bias" else "weight"
