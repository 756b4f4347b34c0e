"""A toy problem that a tiny network learns in seconds, for the tests of training."""

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from seglib import build_model
from seglib.checkpoints import History
from seglib.models import SegmentationModel
from seglib.training import fit


class Squares(Dataset[tuple[Tensor, Tensor]]):
    """Bright squares on dark ground, with augmentation drawn from torch's generator."""

    def __init__(self, length: int = 10, noise: float = 0.3, size: int = 32) -> None:
        self.length, self.noise, self.size = length, noise, size

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        mask = torch.zeros(self.size, self.size, dtype=torch.int64)
        mask[8:20, index % 8 : index % 8 + 12] = 1
        mask[0] = 255
        image = 2.0 * mask.clamp(max=1).float() - 1
        return image + self.noise * torch.randn(3, self.size, self.size), mask


def network(seed: int = 0) -> SegmentationModel:
    torch.manual_seed(seed)
    return build_model(
        "deeplabv3plus_mobilenetv2",
        num_classes=2,
        backbone_options={"width_mult": 0.35},
        head_options={"aspp_channels": 8, "low_level_channels": 8},
    )


def train(
    model: SegmentationModel, data: Dataset[tuple[Tensor, Tensor]] | None = None, **options: object
) -> History:
    options = {"steps": 4, "batch_size": 4, "lr": 0.02, **options}
    return fit(model, data or Squares(), **options)  # type: ignore[arg-type]


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(x, y)
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )
