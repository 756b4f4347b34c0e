"""Chapter 14's second experiment: what do class weights and the focal loss do for rare classes, and
what does it cost to leave seven tensors of the head untrained?

    python -m benchmarks.imbalance

Trains the chapter's network at three seeds and equal length with each, and writes mean IoU, mean
accuracy, and each class's to benchmarks/results/14_imbalance.json. About six minutes on one core.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import torch

from benchmarks import recipe
from seglib import build_dataset
from seglib.learner import Loss
from seglib.losses import class_weights, cross_entropy, focal
from seglib.training import evaluate, fit

OUT = Path(__file__).parent / "results" / "14_imbalance.json"
STEPS, BATCH_SIZE, SEEDS = 300, 4, (0, 1, 2)
# What a popular copy of DeepLabV3+ hands to no optimiser: the pooling branch, and two BatchNorms.
FORGOTTEN = ("aspp.convs.4", "aspp.project.1", "project.1")


def pixels_by_image(num_classes: int = 11) -> torch.Tensor:
    """Pixels of each class in each training image: (images, C)."""
    data = build_dataset("toystreet", "train")
    return torch.stack(
        [torch.bincount(mask.flatten(), minlength=256)[:num_classes] for _, mask in data]
    )


def main() -> None:
    val = build_dataset("toystreet", "val")
    weight = class_weights(pixels_by_image())
    arms: dict[str, Loss] = {
        "plain": cross_entropy,
        "weighted": partial(cross_entropy, weight=weight),
        "focal": partial(focal, gamma=2.0),
        "forgotten": cross_entropy,
    }
    runs = []
    for seed in SEEDS:
        for name, loss in arms.items():
            model = recipe.network(seed)
            if name == "forgotten":
                for part in FORGOTTEN:  # no gradient: no step moves them, as if in no group
                    model.head.get_submodule(part).requires_grad_(False)
            fit(
                model,
                recipe.train_split(),
                steps=STEPS,
                batch_size=BATCH_SIZE,
                loss=loss,
                optimizer="adamw",
                lr=recipe.LR,
                seed=seed,
            )
            scores = evaluate(model, val, batch_size=20)
            row = {
                "arm": name,
                "seed": seed,
                "mean_iou": round(scores.mean_iou, 4),
                "mean_accuracy": round(scores.mean_accuracy, 4),
                "class_iou": [round(value, 3) for value in scores.class_iou],
                "class_accuracy": [round(value, 3) for value in scores.class_accuracy],
            }
            print(row, flush=True)
            runs.append(row)
    OUT.parent.mkdir(exist_ok=True)
    about = {"steps": STEPS, "lr": recipe.LR, "batch_size": BATCH_SIZE}
    OUT.write_text(
        json.dumps({**about, "weight": weight.tolist(), "runs": runs}) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
