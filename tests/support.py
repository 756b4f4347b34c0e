"""What several test modules share: repeatable random weights, and counting multiply-adds."""

import json
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from torch import Tensor, nn


def random_state(shapes: Iterable[tuple[str, tuple[int, ...]]], seed: int) -> dict[str, Tensor]:
    """Weights and BatchNorm statistics, in double, from NumPy's generator; fresh statistics hide
    errors.
    """
    generator = np.random.default_rng(seed)
    state = {}
    for name, shape in shapes:
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(0)
            continue
        if name.endswith("running_var"):
            values = generator.uniform(0.5, 1.5, shape)
        else:
            values = generator.standard_normal(shape)
            if len(shape) == 4:
                values = values * np.sqrt(2 / np.prod(shape[1:]))
            else:
                values = 0.2 * values + (1 if name.endswith("weight") else 0)
        state[name] = torch.from_numpy(np.asarray(values))
    return state


def shapes_of(module: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(tensor.shape)) for name, tensor in module.state_dict().items()]


def stored_shapes(text: str) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(shape)) for name, shape in json.loads(text)]


def without_dropout(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return module


def multiply_adds(module: nn.Module, x: Tensor) -> int:
    """Multiply-adds of the convolutions and linear layers for one input, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(x)
    return counter.get_total_flops() // 2


def relative(a: Tensor, b: Tensor) -> float:
    """Largest |a − b| as a share of the largest |b|."""
    return float((a - b).detach().abs().max() / b.detach().abs().max())


def assert_equal_gradients(ours: nn.Module, theirs: nn.Module, a: Tensor, b: Tensor) -> None:
    """Of the inputs a, b and of all parameters, for the sum of squared outputs."""
    ours(a).square().sum().backward()
    theirs(b).square().sum().backward()
    assert relative(a.grad, b.grad) < 1e-9
    for name, parameter in theirs.named_parameters():
        # A shift right before another BatchNorm has no gradient in train mode, only rounding.
        scale = max(float(parameter.grad.abs().max()), 1e-6 * float(b.grad.abs().max()))
        difference = (ours.get_parameter(name).grad - parameter.grad).abs().max()
        assert difference < 1e-8 * scale + 1e-10, name


def assert_exports(backbone: nn.Module) -> None:
    """torch.export with dynamic height and width, equal at a second size."""
    # torch takes maps of one pixel, as stride 32 makes of 32 pixels, for a case apart.
    sides = {2: torch.export.Dim("height", min=33), 3: torch.export.Dim("width", min=33)}
    program = torch.export.export(backbone, (torch.randn(1, 3, 64, 96),), dynamic_shapes=(sides,))
    x = torch.randn(1, 3, 65, 97)
    for a, b in zip(program.module()(x), backbone(x), strict=True):
        assert relative(a, b) < 1e-5


HEAVY = ("resnet101", "resnet152", "resnext", "wide_resnet", "xception", "hrnetv2_48")


def heavy_ones_slow(names: Iterable[str]) -> list[object]:
    """Names of networks as parameters of a test; the large ones are left to the nightly."""
    slow = pytest.mark.slow
    return [
        pytest.param(name, marks=slow) if any(heavy in name for heavy in HEAVY) else name
        for name in names
    ]
