"""Train data/checkpoints/*.safetensors, the networks that chapters look into.

    python -m benchmarks.checkpoint [NAME …] [--steps N] [--out FOLDER]

Prints val mean IoU and writes the weights: `toystreet` (MobileNetV2, under 3 MB) and
`toystreet_mobilenetv3` (under 1.5 MB), by default both. A few minutes each on two cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import recipe, squeeze_excite
from seglib import build_dataset, save_weights
from seglib.models import SegmentationModel
from seglib.training import evaluate, fit

OUT = Path(__file__).resolve().parents[1] / "data" / "checkpoints"
# {name: (network with fresh weights, steps)}
NETWORKS: dict[str, tuple[Callable[[int], SegmentationModel], int]] = {
    "toystreet": (recipe.network, 1600),
    "toystreet_mobilenetv3": (squeeze_excite.network, 1500),
}


def train(name: str, steps: int | None, seed: int, out: Path) -> None:
    """Train one network, print its scores, write `out`/name.safetensors."""
    start = time.perf_counter()
    network, usual_steps = NETWORKS[name]
    val = build_dataset("toystreet", "val")
    model = network(seed)
    fit(
        model,
        recipe.train_split(scale=(0.8, 1.4), jitter=0.15),
        steps=steps or usual_steps,
        batch_size=8,
        optimizer="adamw",
        lr=0.02,
        weight_decay=1e-3,
        seed=seed,
    )
    scores = evaluate(model, val, batch_size=20)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.safetensors"
    save_weights(model, path)
    print(scores.table(val.classes))
    megabytes = path.stat().st_size / 1e6
    print(f"{path.name}: {megabytes:.2f} MB, {time.perf_counter() - start:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the small networks of the chapters.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=" or ".join(NETWORKS))
    parser.add_argument("--steps", type=int, help="default: as the committed files were trained")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT, help="folder")
    options = parser.parse_args()
    for name in options.names:
        if name not in NETWORKS:
            parser.error(f"NAME must be one of {', '.join(NETWORKS)}; got {name!r}")
    for name in options.names or NETWORKS:
        train(name, options.steps, options.seed, options.out)


if __name__ == "__main__":
    main()
