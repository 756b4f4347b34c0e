"""Batches that follow from a seed, and their shares among processes."""

from itertools import chain

import pytest
import torch
from squares import Squares
from torch import Tensor
from torch.utils.data import Dataset

from seglib.datasets.batches import ordered_batches, train_batches


def indices(share: tuple[int, int] = (0, 1), start: int = 0) -> list[list[int]]:
    batches = train_batches(
        Squares(11), length=11, batch_size=4, seed=3, start=start, stop=7, share=share
    )
    return [batch[2] for batch in batches]


def test_an_epoch_sees_each_image_at_most_once() -> None:
    epochs = [indices()[i : i + 2] for i in (0, 2, 4)]
    for first, second in epochs:
        assert len({*first, *second}) == 8
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_later_start_is_the_same() -> None:
    assert indices(start=3) == indices()[3:]


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_shares_make_the_whole_batch(processes: int) -> None:
    shares = [indices((rank, processes)) for rank in range(processes)]
    joined = [[*chain(*parts)] for parts in zip(*shares, strict=True)]
    assert joined == indices()
    assert {len(part) for share in shares for part in share} == {4 // processes}


def test_a_share_augments_as_the_whole() -> None:
    options = {"length": 11, "batch_size": 4, "seed": 3, "start": 2, "stop": 3}
    (whole,) = train_batches(Squares(11), **options)
    (half,) = train_batches(Squares(11), **options, share=(1, 2))
    assert torch.equal(half[0], whole[0][2:])
    assert not torch.equal(
        whole[0], next(iter(train_batches(Squares(11), **options | {"seed": 4})))[0]
    )


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_validation_takes_every_item_once(processes: int) -> None:
    data = [(torch.full((3, 2, 2), i), torch.full((2, 2), i)) for i in range(5)]
    seen: list[int] = []
    for rank in range(processes):
        for _, mask in ordered_batches(data, 2, share=(rank, processes)):  # type: ignore[arg-type]
            seen += mask[:, 0, 0].tolist()
    assert sorted(seen) == list(range(5))


class TwoSizes(Dataset[tuple[Tensor, Tensor]]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(3, 32 + index, 32), torch.zeros(32 + index, 32, dtype=torch.int64)


def test_sizes_that_differ_are_named() -> None:
    with pytest.raises(ValueError, match=r"differ in size .*32, 32.*33, 32.* batch size of 1"):
        list(ordered_batches(TwoSizes(), 2))
    assert len(list(ordered_batches(TwoSizes(), 1))) == 2
    with pytest.raises(ValueError, match=r"differ in size .* give train_data a transform"):
        list(train_batches(TwoSizes(), length=2, batch_size=2, seed=0, start=0, stop=1))
