"""Train data/checkpoints/toystreet.safetensors, the network that chapters look into.

    python -m benchmarks.checkpoint [--steps N] [--out FILE]

Prints val mean IoU and writes the weights. A few minutes on two cores; the file stays under 3 MB.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks import recipe
from seglib import build_dataset, save_weights
from seglib.training import evaluate, fit

OUT = Path(__file__).resolve().parents[1] / "data" / "checkpoints" / "toystreet.safetensors"
STEPS = 1600


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the small network of the chapters.")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()

    start = time.perf_counter()
    val = build_dataset("toystreet", "val")
    model = recipe.network(options.seed)
    fit(
        model,
        recipe.train_split(scale=(0.8, 1.4), jitter=0.15),
        steps=options.steps,
        batch_size=8,
        optimizer="adamw",
        lr=0.02,
        weight_decay=1e-3,
        seed=options.seed,
    )
    scores = evaluate(model, val, batch_size=20)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(model, options.out)
    print(scores.table(val.classes))
    megabytes = options.out.stat().st_size / 1e6
    print(f"{options.out.name}: {megabytes:.2f} MB, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
