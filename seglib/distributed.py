"""Several processes on one task, started by `torchrun`: who one is, and sums over all.

Without a process group every function here is that of one process alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that `torchrun` started: gloo on the CPU, nccl on GPUs; alone, nothing.

    Raises:
        ValueError: if torch lacks the backend.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    device = local_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    if not dist.is_backend_available(backend):
        raise ValueError(f"this build of torch has no {backend}; start one process only")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(backend)
    try:
        yield
    finally:
        dist.destroy_process_group()


def local_device(device: torch.device) -> torch.device:
    """Each process its own GPU: `cuda` becomes `cuda:LOCAL_RANK`."""
    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process's number; 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def wait() -> None:
    """Until all processes are here."""
    if world_size() > 1:
        dist.barrier()


def sum_of_all(values: Sequence[float]) -> list[float]:
    """The sums over all processes, in double precision."""
    if world_size() == 1:
        return list(values)
    total = torch.tensor(values, dtype=torch.float64, device=_place())
    dist.all_reduce(total)
    return total.tolist()


def sum_of_counts(counts: Tensor) -> Tensor:
    """The sums over all processes of tensors of one shape and type, exactly: int64 stays int64.

    Every process has to call it. The result lies on the CPU.
    """
    if world_size() == 1:
        return counts
    total = counts.to(_place(), copy=True)
    dist.all_reduce(total)
    return total.cpu()


def any_of_all(value: bool) -> bool:
    """Whether it is true in one process at least."""
    return sum_of_all([float(value)])[0] > 0


def list_of_all(value: T) -> list[T]:
    """Each process's value, by rank."""
    if world_size() == 1:
        return [value]
    values: list[T | None] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]  # all are filled


@torch.no_grad()
def average_buffers(model: nn.Module) -> None:
    """Make BatchNorm's running statistics the mean of all processes': each saw its own images.

    A step moves them linearly, so this is the same as statistics that moved by the mean of the
    processes' batch statistics. (DistributedDataParallel keeps those of rank 0 alone.)
    """
    buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    if world_size() == 1 or not buffers:
        return
    flat = torch.cat([buffer.flatten() for buffer in buffers])
    dist.all_reduce(flat)
    flat /= world_size()
    for buffer, values in zip(buffers, flat.split([b.numel() for b in buffers]), strict=True):
        buffer.copy_(values.view_as(buffer))


def _place() -> str:
    return "cuda" if dist.get_backend() == "nccl" else "cpu"
