"""Training images a second: read, decoded, augmented, put into batches of eight."""

from __future__ import annotations

import statistics
import time

from benchmarks.report import LoadingRow
from seglib import build_dataset
from seglib.datasets.batches import train_batches
from seglib.datasets.transforms import train_preset

BATCH_SIZE, BATCHES = 8, 40


def images_per_second(name: str, root: str | None, num_workers: int, runs: int) -> LoadingRow:
    """Median and spread over `runs` passes of 320 images, without the workers' start."""
    data = build_dataset(name, "train", root, train_preset(name))
    rates = []
    for seed in range(runs):
        batches = iter(
            train_batches(
                data,
                length=len(data),
                batch_size=BATCH_SIZE,
                seed=seed,
                start=0,
                stop=BATCHES + 1,
                num_workers=num_workers,
            )
        )
        next(batches)
        start = time.perf_counter()
        count = sum(len(images) for images, _, _ in batches)
        rates.append(count / (time.perf_counter() - start))
    return {
        "dataset": name,
        "size": "×".join(map(str, next(iter(data))[0].shape[1:])),
        "num_workers": num_workers,
        "median": statistics.median(rates),
        "min": min(rates),
        "max": max(rates),
    }
