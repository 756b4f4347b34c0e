"""How many pixels `optimise` gives another class, on a trained network."""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import cast

import torch
from torch import nn

from benchmarks import recipe
from benchmarks.pairs import EQUAL
from seglib import build_dataset, build_model
from seglib.datasets.transforms import eval_transform
from seglib.inference import optimise
from seglib.training import Data, fit

STEPS = 400


def agreement(
    model: nn.Module, data: Data, around: Callable[[nn.Module], nn.Module] = lambda network: network
) -> float:
    """Share of the pixels to which the optimised network gives the class that `model` gives.

    Args:
        data: images, normalised; masks are not read.
        around: put around both networks.
    """
    both = around(model.eval()), around(optimise(model))
    same = count = 0
    with torch.inference_mode():
        for i in range(len(cast(Sized, data))):
            one, other = (network(data[i][0][None]).argmax(1) for network in both)
            same, count = same + int((one == other).sum()), count + one.numel()
    return same / count


def on_toystreet() -> float:
    """Of the network of equal multiply-adds, trained for a minute or two; on ToyStreet's val."""
    torch.manual_seed(0)
    model = build_model(**EQUAL, num_classes=11)  # type: ignore[arg-type]
    fit(
        model,
        recipe.train_split(),
        steps=STEPS,
        optimizer="adamw",
        lr=2e-3,
        warmup_steps=50,
        progress=False,
    )
    return agreement(model, build_dataset("toystreet", "val", transform=eval_transform()))
