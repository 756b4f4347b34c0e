"""Chapter 01's experiment: what a convolution costs, channel count by channel count.

    python -m benchmarks.channels

Times dense, depthwise and 1×1 convolutions with 28 to 80 channels on one thread, in a process of
its own for each set of instructions: oneDNN, PyTorch's convolution library on x86-64, reads its
limit once, at its start. Three seeds (weights, and the order in which the counts are measured), the
best of some repeats. Writes benchmarks/results/01_channels.json. About half a minute, on a
machine that does nothing else.
"""

from __future__ import annotations

import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

OUT = Path(__file__).parent / "results" / "01_channels.json"
LANES = {"AVX2": 8, "AVX512_CORE": 16}  # 32-bit floats that one instruction works on
CHANNELS = tuple(range(28, 81))
SIZE = 28  # pixels along one side of the map
LAYERS = ("dense 3×3", "depthwise 3×3", "1×1")
SEEDS = (0, 1, 2)
REPEATS = 40

Row = dict[str, object]


def best(calls: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Shortest time of each call in seconds; they take turns, so that a slow moment hits all."""
    times = [float("inf")] * len(calls)
    for call in calls:
        call()
    for _ in range(repeats):
        for index, call in enumerate(calls):
            start = time.perf_counter()
            call()
            times[index] = min(times[index], time.perf_counter() - start)
    return times


def convolution(layer: str, channels: int) -> nn.Module:
    """One of `LAYERS`, from `channels` to `channels`."""
    if layer == "1×1":
        return nn.Conv2d(channels, channels, 1, bias=False)
    groups = channels if layer == "depthwise 3×3" else 1
    return nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False)


def convolutions(layer: str, seed: int) -> list[float]:
    """Microseconds of a layer from C to C channels, for every C of `CHANNELS`."""
    torch.manual_seed(seed)
    layers = {c: convolution(layer, c) for c in CHANNELS}
    images = {c: torch.randn(1, c, SIZE, SIZE) for c in CHANNELS}
    order = list(CHANNELS)
    random.Random(seed).shuffle(order)
    times = best([lambda c=c: layers[c](images[c]) for c in order], REPEATS)  # type: ignore[misc]
    found = dict(zip(order, times, strict=True))
    return [round(1e6 * found[c], 1) for c in CHANNELS]


def measure(instructions: str) -> list[Row]:
    """Every arm in this process."""
    torch.set_num_threads(1)
    shared: Row = {"instructions": instructions, "lanes": LANES[instructions]}
    rows: list[Row] = []
    with torch.inference_mode():
        for seed in SEEDS:
            for layer in LAYERS:
                row = {**shared, "layer": layer, "seed": seed}
                rows.append({**row, "microseconds": convolutions(layer, seed)})
    return rows


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    capability = torch.backends.cpu.get_cpu_capability()
    known = {"AVX2": ["AVX2"], "AVX512": ["AVX2", "AVX512_CORE"]}
    if capability not in known:
        sys.exit(f"the processor's capability is {capability}, must be AVX2 or AVX512")
    rows: list[Row] = []
    for instructions in known[capability]:
        print(instructions, flush=True)
        limit = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "benchmarks.channels", instructions]
        done = subprocess.run(command, env=limit, check=True, stdout=subprocess.PIPE, text=True)
        rows += json.loads(done.stdout)
    about: Row = {
        "machine": f"{platform.machine()} processor with {capability}, one thread",
        "channels": CHANNELS,
        "size": SIZE,
        "repeats": REPEATS,
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(
        json.dumps({**about, "convolutions": rows}, ensure_ascii=False) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
