"""Counts over several real processes, with shares of unequal size, beside one process."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from seglib.boundary import BoundaryScores
from seglib.distributed import sum_of_counts, world_size
from seglib.losses import focal
from seglib.metrics import ConfusionMatrix, RunningAverage

LARGE = 2**60 + 1  # one more than what float64 can hold
IMAGES = 7


def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    mask = torch.randint(0, 4, (IMAGES, 12, 15), generator=generator)
    prediction = torch.where(torch.rand(mask.shape, generator=generator) < 0.7, mask, 1)
    mask[torch.rand(mask.shape, generator=generator) < 0.1] = 255
    return prediction, mask


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and labels of which each image has three fewer than the one before."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(IMAGES, 3, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (IMAGES, 4, 5), generator=generator)
    for index in range(IMAGES):
        labels[index].view(-1)[: 3 * index] = 255
    return logits, labels


def count(shares: slice, rounds: int = 1) -> tuple[ConfusionMatrix, BoundaryScores, RunningAverage]:
    """What one process counts; it may gather in between, as a run does that validates often."""
    confusion, boundary, average = ConfusionMatrix(4), BoundaryScores(4), RunningAverage()
    for number in range(rounds):
        for prediction, mask in list(zip(*images(), strict=True))[shares][number::rounds]:
            confusion.update(prediction, mask)
            boundary.update(prediction, mask)
            average.update(prediction.double().mean(), int((mask != 255).sum()))
        for part in (confusion, boundary, average):
            part.gather()
    return confusion, boundary, average


def share_of(rank: int, world_size: int) -> slice:
    """Unequal shares; the last of three processes has nothing to count."""
    return slice(rank, None, 2) if rank < 2 else slice(0)


def process(rank: int, world_size: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world_size
    )
    confusion, boundary, average = count(share_of(rank, world_size), rounds=2)
    large = sum_of_counts(torch.tensor([LARGE, rank]))
    logits, labels = batch()
    part = share_of(rank, world_size)
    loss = focal(logits[part], labels[part], reduction="sum_and_count")
    total, pixels = sum_of_counts(torch.stack(loss))
    result = {
        "matrix": confusion.matrix,
        "boundary": boundary.counts,
        "mean": average.compute(),
        "weight": average.count,
        "large": large,
        "loss": total / pixels,
    }
    torch.save(result, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
    before = confusion.matrix
    confusion.gather()  # alone again: nothing happens
    assert torch.equal(confusion.matrix, before)


@pytest.mark.parametrize("world_size", [2, 3])
def test_several_processes_count_what_one_counts(world_size: int, tmp_path: Path) -> None:
    mp.spawn(process, (world_size, str(tmp_path)), nprocs=world_size)
    confusion, boundary, average = count(slice(None))
    loss = focal(*batch())
    for rank in range(world_size):
        result = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert torch.equal(result["matrix"], confusion.matrix)
        assert torch.equal(result["boundary"], boundary.counts)
        assert result["mean"] == pytest.approx(average.compute(), rel=1e-14)
        assert result["weight"] == average.count
        assert result["large"].tolist() == [world_size * LARGE, sum(range(world_size))]
        torch.testing.assert_close(result["loss"], loss, rtol=1e-14, atol=0)


def test_alone_nothing_happens() -> None:
    assert world_size() == 1
    values = torch.tensor([1, 2])
    assert sum_of_counts(values) is values
    once, _, average = count(slice(None))
    before = once.matrix
    once.gather()
    average.gather()
    assert once.matrix is before
    assert average.count == (images()[1] != 255).sum()
