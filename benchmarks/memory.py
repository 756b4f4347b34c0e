"""Peak memory of a network at work, in a process of its own.

    python -m benchmarks.memory PAIR TASK ours|other [--threads N]

Prints the megabytes (10⁶ bytes) that building the network and three calls of it took at most, above
the imported libraries. Linux and macOS.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.pairs import PAIRS, TASKS


def peak() -> int:
    """Of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux's getrusage also counts the process that this one was started by
        (found,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))
        return 1024 * int(found)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_a_process(pair: str, task: str, side: str, threads: int) -> float:
    """Megabytes, as `main` prints them."""
    command = [sys.executable, "-m", "benchmarks.memory", pair, task, side]
    run = subprocess.run(
        [*command, "--threads", str(threads)], stdout=subprocess.PIPE, text=True, check=True
    )
    return float(run.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of one network doing one thing.")
    parser.add_argument("pair", choices=[pair.name for pair in PAIRS])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("side", choices=("ours", "other"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pair = next(pair for pair in PAIRS if pair.name == options.pair)
    before = peak()
    call = TASKS[options.task](pair)[options.side == "other"]()
    for _ in range(3):
        call()
    print((peak() - before) / 1e6)


if __name__ == "__main__":
    main()
