"""Speed and memory beside other libraries, in one run: `make bench`.

Each pair is measured in turn (A B A B …), so that a drift of the machine's speed meets both; the
ratio is taken pair by pair. Nothing else should run meanwhile. Results go to
benchmarks/results/bench.json, and from there with a picture into benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import TypedDict

import torch

from benchmarks import report
from benchmarks.agreement import STEPS, on_toystreet
from benchmarks.loading import images_per_second
from benchmarks.machine import machine
from benchmarks.memory import in_a_process
from benchmarks.pairs import PAIRS, TASKS, multiply_adds, size_of


class Times(TypedDict):
    """Medians of a comparison, and the ratio's spread."""

    seglib_seconds: float
    other_seconds: float
    ratio: float
    ratio_min: float
    ratio_max: float


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compare(a: Callable[[], object], b: Callable[[], object], runs: int) -> Times:
    """Median seconds of both, and the median and spread of the ratio a / b, pair by pair."""
    for function in (a, b, a, b):
        function()
    pairs = [(timed(a), timed(b)) for _ in range(runs)]
    ratios = sorted(x / y for x, y in pairs)
    return {
        "seglib_seconds": statistics.median(x for x, _ in pairs),
        "other_seconds": statistics.median(y for _, y in pairs),
        "ratio": statistics.median(ratios),
        "ratio_min": ratios[0],
        "ratio_max": ratios[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="pairs for each row (default 15)")
    parser.add_argument("--only", default="", help="rows whose name contains this; keeps no result")
    parser.add_argument("--threads", type=int, help="default: torch's choice")
    parser.add_argument("--camvid", help="CamVid's folder, to measure loading from it, too")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    threads = torch.get_num_threads()
    rows: list[report.SpeedRow] = []
    print(f"{'':64}{'seglib s':>10}{'other s':>10}{'ratio':>8}  (min to max)   MB, seglib other")
    for pair in PAIRS:
        for task, both in TASKS.items():
            size = size_of(pair, task)
            name = f"{pair.name}: {task} {'×'.join(map(str, size))}"
            if options.only not in name:
                continue
            ours, other = both(pair)
            row = compare(ours(), other(), options.runs)
            memory = [in_a_process(pair.name, task, side, threads) for side in ("ours", "other")]
            figures = (
                f"{row['seglib_seconds']:10.3f}{row['other_seconds']:10.3f}{row['ratio']:8.3f}"
            )
            spread = f"({row['ratio_min']:.2f} to {row['ratio_max']:.2f})"
            print(f"{name:64}{figures}  {spread}  {memory[0]:8.0f}{memory[1]:6.0f}", flush=True)
            work = [multiply_adds(network(), size) for network in (pair.ours, pair.other)]
            rows.append(
                {
                    "pair": pair.name,
                    "task": task,
                    "size": size,
                    "seglib_mb": memory[0],
                    "other_mb": memory[1],
                    "seglib_multiply_adds": work[0],
                    "other_multiply_adds": work[1],
                    **row,
                }
            )
    if options.only:
        return
    loading: list[report.LoadingRow] = []
    for name, root in (("toystreet", None), ("camvid", options.camvid)):
        for workers in (0, 2) if name == "toystreet" or root else ():
            found = images_per_second(name, root, workers, runs=5)
            print(f"loading {name}, {workers} workers: {found['median']:.0f} images/s", flush=True)
            loading.append(found)
    same = on_toystreet()
    print(f"optimised, the same class for {100 * same:.2f} % of ToyStreet's val pixels", flush=True)
    result: report.Bench = {
        **machine(threads),
        "runs": options.runs,
        "rows": rows,
        "loading": loading,
        "agreement": same,
        "agreement_steps": STEPS,
    }
    report.keep("bench", result)
    report.write()


if __name__ == "__main__":
    main()
