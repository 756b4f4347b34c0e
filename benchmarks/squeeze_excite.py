"""Chapter 03's experiment: does squeeze-and-excitation pay, and does its place matter?

    python -m benchmarks.squeeze_excite

Trains a small DeepLabV3+-MobileNetV3 on ToyStreet as the paper builds it, without squeeze-and-
excitation, with it after the projection as a popular copy has it, with a sigmoid for the gate, and
with ReLU for hard swish; each at three seeds, for the same number of steps. Writes parameters,
seeds, val mean IoU as photographed and at dusk, and the share of gates that are shut for every
image, to benchmarks/results/03_se_hswish.json. About seven minutes on one core.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from benchmarks import recipe
from seglib import build_dataset
from seglib.backbones.mobilenetv3 import InvertedResidual
from seglib.datasets.base import SegmentationDataset
from seglib.layers import HardSigmoid, HardSwish, SqueezeExcite
from seglib.models import SegmentationModel, build_model
from seglib.training import evaluate, fit

OUT = Path(__file__).parent / "results" / "03_se_hswish.json"
STEPS = 300
BATCH_SIZE = 8
SEEDS = (0, 1, 2)
ARMS = (
    "as in the paper", "without SE", "SE after the projection", "sigmoid for the gate",
    "ReLU for h-swish",
)  # fmt: skip
SHUT = 0.01  # a gate below this is shut
DUSK = 0.4  # of the light


class Dimmed(Dataset[tuple[Tensor, Tensor]]):
    """The uint8 images of `data` in `factor` times the light, and their masks."""

    def __init__(self, data: SegmentationDataset, factor: float) -> None:
        self.data, self.factor = data, factor

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, mask = self.data[index]
        return (image * self.factor).to(torch.uint8), mask


def network(seed: int) -> SegmentationModel:
    """A small DeepLabV3+-MobileNetV3 with fresh weights, the same for the same seed.

    ASPP's rates are half the usual ones, as in `recipe.network`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(
            "deeplabv3plus_mobilenetv3_small",
            num_classes=11,
            backbone_options={"width_mult": 0.5},
            head_options={
                "aspp_channels": 96,
                "low_level_channels": 32,
                "separable": True,
                "aspp_rates": (3, 6, 9),
            },
        )


def rebuild(model: nn.Module, arm: str, seed: int = 0) -> nn.Module:
    """Change the blocks of a MobileNetV3, in place, to one of `ARMS`; the other weights stay.

    New weights are the same for the same `seed`.
    """
    if arm not in ARMS:
        raise ValueError(f"arm must be one of {', '.join(ARMS)}; got {arm!r}")
    exchanges: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
        "sigmoid for the gate": (HardSigmoid, nn.Sigmoid),
        "ReLU for h-swish": (HardSwish, nn.ReLU),
    }
    if arm in exchanges:
        old, new = exchanges[arm]
        for parent in list(model.modules()):
            for name, part in list(parent.named_children()):
                if isinstance(part, old):
                    setattr(parent, name, new())
    for block in model.modules():
        if isinstance(block, InvertedResidual) and arm in ARMS[1:3]:
            parts = [part for part in block.block if not isinstance(part, SqueezeExcite)]
            if arm == ARMS[2] and len(parts) < len(block.block):
                convolution = parts[-1][0]  # type: ignore[index]
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(seed)
                    parts.append(SqueezeExcite(convolution.out_channels))
            block.block = nn.Sequential(*parts)
    return model


def train(arm: str, seed: int, steps: int = STEPS) -> nn.Module:
    """One network of `arm`, trained."""
    model = rebuild(network(seed), arm, seed)
    fit(
        model,
        recipe.train_split(),
        steps=steps,
        batch_size=BATCH_SIZE,
        optimizer="adamw",
        lr=recipe.LR,
        seed=seed,
    )
    return model


def shut(model: nn.Module, data: Dataset[tuple[Tensor, Tensor]]) -> float:
    """The share of all gates that are below `SHUT` for every image."""
    highest: dict[nn.Module, Tensor] = {}

    def note(gate: nn.Module, _: tuple[Tensor, ...], weight: Tensor) -> None:
        most = weight.amax((0, 2, 3))  # (C,)
        highest[gate] = torch.maximum(most, highest.get(gate, most))

    parts = [part for part in model.modules() if isinstance(part, SqueezeExcite)]
    hooks = [part.gate.register_forward_hook(note) for part in parts]
    evaluate(model, data, batch_size=20)
    for hook in hooks:
        hook.remove()
    every = torch.cat(list(highest.values())) if highest else torch.ones(1)
    return (every < SHUT).double().mean().item()


def main() -> None:
    val = build_dataset("toystreet", "val")
    dusk = Dimmed(val, DUSK)
    arms = []
    for arm in ARMS:
        parameters = sum(p.numel() for p in rebuild(network(0), arm).parameters())
        models = [train(arm, seed) for seed in SEEDS]
        row: dict[str, object] = {"arm": arm, "parameters": parameters}
        for name, data in (("mean_iou", val), ("at_dusk", dusk)):
            row[name] = [
                round(evaluate(model, data, batch_size=20).mean_iou, 4) for model in models
            ]
        row["shut"] = [round(shut(model, val), 3) for model in models]
        arms.append(row)
        print(row, flush=True)
    OUT.parent.mkdir(exist_ok=True)
    about = {
        "lr": recipe.LR, "batch_size": BATCH_SIZE, "steps": STEPS, "seeds": SEEDS, "dusk": DUSK,
    }  # fmt: skip
    OUT.write_text(json.dumps({**about, "arms": arms}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
