"""What a result was measured on."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from benchmarks.report import Result


def machine(threads: int) -> Result:
    """The processor's name as the system gives it, the instructions used, threads, versions."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    return {
        "machine": f"{name} ({torch.backends.cpu.get_cpu_capability()}), {platform.system()}",
        "threads": threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
