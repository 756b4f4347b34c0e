"""Chapter 10's experiment: what does a decoder do for outlines, and which decoder?

    python -m benchmarks.decoder

Trains the chapter's network without a decoder and with several, from the same three seeds and for
the same number of steps, and writes val mean IoU and the boundary F-scores of every class to
benchmarks/results/10_deeplabv3plus_decoder.json. About four minutes on one core.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import recipe
from seglib import build_dataset, build_model
from seglib.boundary import BoundaryResult, BoundaryScores
from seglib.datasets.base import SegmentationDataset
from seglib.datasets.transforms import normalize
from seglib.models import SegmentationModel
from seglib.training import evaluate, fit

OUT = Path(__file__).parent / "results" / "10_deeplabv3plus_decoder.json"
STEPS = 200
BATCH_SIZE = 4
SEEDS = (0, 1, 2)
TOLERANCE = 1  # pixels between a predicted contour and a true one
# {arm: (head, output stride, options of the head)}; rates of ASPP follow the output stride.
ARMS: dict[str, tuple[str, int, Mapping[str, object]]] = {
    "no decoder": ("deeplabv3", 16, {}),
    "no decoder, output stride 8": ("deeplabv3", 8, {}),
    "decoder, 8 channels": ("deeplabv3plus", 16, {"low_level_channels": 8}),
    "decoder, 32 channels": ("deeplabv3plus", 16, {"low_level_channels": 32}),
    "decoder, two 3x3": ("deeplabv3plus", 16, {"low_level_channels": 32, "decoder_convs": 2}),
}


def network(arm: str, seed: int) -> SegmentationModel:
    """The network of an arm; `recipe.network`'s, but for the head. Equal seeds give all arms the
    same backbone.
    """
    head, output_stride, options = ARMS[arm]
    rates = tuple(rate * 16 // output_stride for rate in (3, 6, 9))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(
            f"{head}_mobilenetv2",
            num_classes=11,
            output_stride=output_stride,
            backbone_options={"width_mult": 0.5},
            head_options={"aspp_channels": 96, "separable": True, "aspp_rates": rates, **options},
        )


def cost(arm: str) -> tuple[int, int]:
    """Parameters, and multiply-adds for one image of ToyStreet."""
    model = network(arm, 0).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, *recipe.SIZE))
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2


def outlines(model: SegmentationModel, val: SegmentationDataset) -> BoundaryResult:
    """How well the contours of the model's predictions fit."""
    scores = BoundaryScores(len(val.classes), tolerance=TOLERANCE)
    model.eval()
    with torch.inference_mode():
        for image, mask in (val[index] for index in range(len(val))):
            scores.update(model(normalize(image)[None])[0].argmax(dim=0), mask)
    return scores.compute()


def run(arm: str, seed: int, val: SegmentationDataset) -> dict[str, object]:
    """Scores of one training."""
    model = network(arm, seed)
    fit(
        model,
        recipe.train_split(),
        steps=STEPS,
        batch_size=BATCH_SIZE,
        optimizer="adamw",
        lr=recipe.LR,
        seed=seed,
    )
    scores, found = evaluate(model, val, batch_size=20), outlines(model, val)
    return {
        "arm": arm,
        "seed": seed,
        "mean_iou": round(scores.mean_iou, 4),
        "mean_f_score": round(found.mean_f_score, 4),
        "class_f_score": [round(value, 4) for value in found.class_f_score],
    }


def main() -> None:
    val = build_dataset("toystreet", "val")
    costs = {}
    for arm in ARMS:
        parameters, multiply_adds = cost(arm)
        costs[arm] = {"parameters": parameters, "multiply_adds": multiply_adds}
    runs = []
    for seed in SEEDS:
        for arm in ARMS:
            runs.append(run(arm, seed, val))
            print({**runs[-1], "class_f_score": "…"}, flush=True)
    OUT.parent.mkdir(exist_ok=True)
    about = {"steps": STEPS, "batch_size": BATCH_SIZE, "lr": recipe.LR, "tolerance": TOLERANCE}
    content = {**about, "classes": list(val.classes), "costs": costs, "runs": runs}
    OUT.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
