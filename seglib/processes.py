"""Sums over the processes of a run."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor


def in_process_group() -> bool:
    """Whether this process is one of several, or of a group that could have several."""
    return dist.is_available() and dist.is_initialized()


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of each process's `values`, in every process: same shape and type, on the CPU.

    Every process of torch's default group has to call it, with the same shape. Without such a group
    it gives `values` back. int64 is summed as int64, exactly.
    """
    if not in_process_group():
        return values.cpu()
    # NCCL sums what lies on a GPU, every other backend what lies on the CPU.
    total = values.to("cuda" if dist.get_backend() == "nccl" else "cpu", copy=True)
    dist.all_reduce(total)
    return total.cpu()
