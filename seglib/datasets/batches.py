"""Batches whose order and augmentation follow from a seed alone, at whatever step one starts."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence, Sized
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from seglib.datasets.transforms import normalize

Batch = tuple[Tensor, Tensor, list[int]]  # images (N, 3, H, W), masks (N, H, W), indices


class StepSampler(Sampler[list[tuple[int, int]]]):
    """For each step from `start` to `stop`, the (epoch, index) pairs of its batch.

    Every epoch is a new permutation drawn from (seed, epoch); images left over by the last full
    batch wait for another epoch, since a batch of one would break BatchNorm. With `share` (i, n) it
    is the i-th of the batch's n equal parts.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        start: int,
        stop: int,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.start, self.stop, self.share = start, stop, share

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        per_epoch = self.length // self.batch_size
        for step in range(self.start, self.stop):
            epoch, batch = divmod(step, per_epoch)
            if step == self.start or batch == 0:
                generator = torch.Generator().manual_seed(_key(self.seed, epoch))
                order = torch.randperm(self.length, generator=generator).tolist()
            number, shares = self.share
            size = self.batch_size // shares
            first = batch * self.batch_size + number * size
            yield [(epoch, index) for index in order[first : first + size]]


class KeyedDataset(Dataset[tuple[Tensor, Tensor, int]]):
    """Items by (epoch, index), augmented by random numbers that depend on (seed, epoch, index)
    alone.
    """

    def __init__(self, data: Dataset[tuple[Tensor, Tensor]], seed: int) -> None:
        self.data, self.seed = data, seed

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor, int]:
        epoch, index = key
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_key(self.seed, epoch, index))
            image, mask = self.data[index]
        return as_input(image), mask, index


def train_batches(
    data: Dataset[tuple[Tensor, Tensor]],
    *,
    length: int,
    batch_size: int,
    seed: int,
    start: int,
    stop: int,
    num_workers: int = 0,
    share: tuple[int, int] = (0, 1),
) -> DataLoader[Batch]:
    """The batches of steps `start` to `stop`; the same whether or not one started at 0.

    Several processes get the same batches in parts: process i of n with `share` (i, n).
    """
    return DataLoader(
        KeyedDataset(data, seed),  # type: ignore[arg-type]
        batch_sampler=StepSampler(length, batch_size, seed, start, stop, share),
        num_workers=num_workers,
        collate_fn=_collate,
        worker_init_fn=ignore_interrupts,
        generator=torch.Generator().manual_seed(
            seed
        ),  # workers' seeds; leaves the global generator alone
    )


def ordered_batches(
    data: Dataset[tuple[Tensor, Tensor]],
    batch_size: int,
    num_workers: int = 0,
    share: tuple[int, int] = (0, 1),
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Every item once, in order; of several processes, process i of n with `share` (i, n) takes
    every n-th: no item is counted twice where they don't divide evenly.
    """
    number, shares = share
    return DataLoader(
        Subset(data, range(number, len(cast(Sized, data)), shares)),
        batch_size,
        num_workers=num_workers,
        collate_fn=_stack,
        worker_init_fn=ignore_interrupts,
    )


def ignore_interrupts(worker: int = 0) -> None:
    """For a process that loads images: Ctrl-C goes to all, and this one's work is still needed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def as_input(image: Tensor) -> Tensor:
    """What the network reads: float images as they are, uint8 ones normalised."""
    image = image.as_subclass(Tensor)
    return normalize(image) if image.dtype == torch.uint8 else image


def _collate(items: list[tuple[Tensor, Tensor, int]]) -> Batch:
    images, masks, indices = zip(*items, strict=True)
    remedy = "give train_data a transform with a crop, such as datasets.transforms.train_transform"
    _check_sizes(images, remedy)
    return torch.stack(images), torch.stack([m.as_subclass(Tensor) for m in masks]), list(indices)


def _stack(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    images, masks = zip(*items, strict=True)
    _check_sizes(images, "measure them one by one, with a batch size of 1, or crop them")
    return torch.stack(images), torch.stack([m.as_subclass(Tensor) for m in masks])


def _check_sizes(images: Sequence[Tensor], remedy: str) -> None:
    sizes = {tuple(image.shape[-2:]) for image in images}
    if len(sizes) > 1:
        raise ValueError(f"the images of a batch differ in size ({sorted(sizes)}); {remedy}")


def _key(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
