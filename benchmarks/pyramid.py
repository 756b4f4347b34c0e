"""Chapter 08's experiment: what is each level of a feature pyramid good for?

    python -m benchmarks.pyramid

Heads on the frozen backbone of the course's checkpoint, equally many steps each, at three seeds:
on one map alone, on the finest result of a pyramid, on the sum of all levels, with and without the
top-down path, with one map left out, and on the finest result of a pyramid so wide that it has more
parameters than the sum. For each it notes the parameters that learn, mean IoU, and the share of an
object's pixels that get the right class, by the object's size. Writes
benchmarks/results/08_fpn.json. About seven minutes on one core.
"""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor, nn

from seglib.models import build_model
from seglib.teach import levels
from seglib.weights import read_config

OUT = Path(__file__).parent / "results" / "08_fpn.json"
CHECKPOINT = Path(__file__).parent.parent / "data" / "checkpoints" / "toystreet.safetensors"
SEEDS = (0, 1, 2)
STEPS, LONG = 120, 360
ALL = (0, 1, 2, 3)
ARMS: dict[str, tuple[levels.Kind, tuple[int, ...]]] = {
    **{f"C{level + 2}": ("finest", (level,)) for level in ALL},
    **{f"P{level + 2}": ("finest", ALL[level:]) for level in ALL[:3]},  # P5 is C5
    "P2, wide": ("finest", ALL),
    "sum": ("sum", ALL),
    "sum, no top-down": ("separate", ALL),
    **{
        f"sum without C{level + 2}": ("sum", tuple(one for one in ALL if one != level))
        for level in ALL
    },
}
CHANNELS = {"P2, wide": 160}  # of the pyramid; of all other arms `levels.CHANNELS`


def train(arm: str, seed: int, steps: int, streets: levels.Streets) -> nn.Module:
    kind, chosen = ARMS[arm]
    channels = CHANNELS.get(arm, levels.CHANNELS)
    return levels.train_head(streets, kind, chosen, seed, steps, channels)


def learning(arm: str, streets: levels.Streets) -> int:
    """How many parameters of an arm get a gradient."""
    parameters = list(train(arm, 0, 1, streets).parameters())
    return sum(one.numel() for one in parameters if one.grad is not None)


def streets() -> tuple[levels.Streets, levels.Streets, Tensor]:
    """The training and the validation split, and the objects in the latter."""
    config = {**read_config(CHECKPOINT), "output_stride": 32}
    model = build_model(**config, weights=CHECKPOINT)
    train, val = (levels.frozen_streets(model, split) for split in ("train", "val"))
    return train, val, levels.number_objects(val.labels)


def run(
    arm: str, seed: int, steps: int, seen: levels.Streets, val: levels.Streets, numbers: Tensor
) -> dict[str, object]:
    """Train one head, and score it."""
    logits = levels.predict(train(arm, seed, steps, seen), val, ARMS[arm][1])
    found = levels.by_size(numbers, logits.argmax(dim=1) == val.labels)
    return {
        "arm": arm,
        "seed": seed,
        "steps": steps,
        "mean_iou": round(levels.mean_iou(logits, val.labels), 4),
        "found": [round(share, 4) for share in found],
    }


def main() -> None:
    data = streets()
    runs = []
    plan = [(arm, STEPS) for arm in ARMS] + [("sum", LONG), ("sum, no top-down", LONG)]
    for arm, steps in plan:
        for seed in SEEDS:
            runs.append(run(arm, seed, steps, *data))
            print(runs[-1], flush=True)
    parameters = {arm: learning(arm, data[0]) for arm in ARMS}
    about = {"objects": levels.OBJECTS, "edges": levels.EDGES, "parameters": parameters}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({**about, "runs": runs}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
