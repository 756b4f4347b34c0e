"""Chapter 14's experiment: does a falling learning rate beat a constant one?

    python -m benchmarks.schedules

Trains the chapter's network for several lengths, at three seeds, with the poly schedule and with a
constant rate, and writes seeds, steps and val mean IoU to benchmarks/results/14_training.json.
About ten minutes on two cores.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import recipe
from seglib import build_dataset
from seglib.datasets.base import SegmentationDataset
from seglib.training import evaluate, fit

OUT = Path(__file__).parent / "results" / "14_training.json"
LENGTHS = (50, 150, 500)  # steps
BATCH_SIZE = 4  # as in the chapter
SEEDS = (0, 1, 2)
POWERS = {"poly": 0.9, "constant": 1e-6}  # what is left of the run, to this power, is the factor


def run(steps: int, seed: int, power: float, val: SegmentationDataset) -> float:
    """Val mean IoU of one run."""
    model = recipe.network(seed)
    fit(
        model,
        recipe.train_split(),
        steps=steps,
        batch_size=BATCH_SIZE,
        optimizer="adamw",
        lr=recipe.LR,
        power=power,
        seed=seed,
    )
    return evaluate(model, val, batch_size=20).mean_iou


def main() -> None:
    val = build_dataset("toystreet", "val")
    results = []
    for steps in LENGTHS:
        for seed in SEEDS:
            row: dict[str, float] = {"steps": steps, "seed": seed}
            for name, power in POWERS.items():
                row[name] = round(run(steps, seed, power, val), 4)
            print(row, flush=True)
            results.append(row)
    OUT.parent.mkdir(exist_ok=True)
    about = {"lr": recipe.LR, "batch_size": BATCH_SIZE, "powers": POWERS}
    OUT.write_text(json.dumps({**about, "runs": results}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
