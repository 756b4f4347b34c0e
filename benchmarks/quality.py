"""How good is a network after 90 seconds? Val mean IoU on ToyStreet, at three seeds.

    python -m benchmarks.quality [--seconds 90] [--seeds 3] [--threads 1]

The clock covers all of training: building the network, timing a few steps to choose their number,
reading and augmenting the images. The machine should have nothing else to do; where it
has, more than one thread is slower, since the tensors are small and threads wait for each other.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch

from benchmarks import recipe
from seglib import build_dataset
from seglib.datasets.base import SegmentationDataset
from seglib.models import SegmentationModel
from seglib.training import evaluate, fit

BATCH_SIZE = 8
TRIALS, TRIAL = 5, 4  # how often steps are timed, and how many; the median counts
MARGIN = 0.95  # share of the time that is planned for


def steps(model: SegmentationModel, data: SegmentationDataset, count: int, seed: int) -> float:
    """Train for `count` steps; the seconds it took."""
    start = time.perf_counter()
    fit(
        model,
        data,
        steps=count,
        batch_size=BATCH_SIZE,
        optimizer="adamw",
        lr=recipe.LR,
        seed=seed,
    )
    return time.perf_counter() - start


def run(seconds: float, seed: int, val: SegmentationDataset) -> tuple[int, float, float]:
    """Steps taken, seconds used, val mean IoU."""
    start = time.perf_counter()
    data = recipe.train_split()
    trial = recipe.network(seed)
    steps(trial, data, 2, seed)
    per_step = median(steps(trial, data, TRIAL, seed) for _ in range(TRIALS)) / TRIAL
    count = int(MARGIN * (seconds - (time.perf_counter() - start)) / per_step)
    model = recipe.network(seed)
    steps(model, data, count, seed)
    used = time.perf_counter() - start
    return count, used, evaluate(model, val, batch_size=20).mean_iou


def main() -> None:
    parser = argparse.ArgumentParser(description="Val mean IoU after a fixed time of training.")
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    val = build_dataset("toystreet", "val")
    for seed in range(options.seeds):
        count, used, mean_iou = run(options.seconds, seed, val)
        print(f"seed {seed}: {count} steps, {used:.0f} s, val mean IoU {mean_iou:.3f}", flush=True)


if __name__ == "__main__":
    main()
