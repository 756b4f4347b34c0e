"""Prediction of one image and of many, of any size, and what it leaves as it was."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from seglib.datasets.transforms import normalize
from seglib.inference import predict
from seglib.models import build_model


class Brightness(nn.Module):
    """A network whose prediction is known: class 1 where the image is brighter than average."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        assert not torch.is_grad_enabled()
        self.sizes.append(tuple(x.shape))
        bright = x.mean(dim=1) * self.scale
        return torch.stack([-bright, bright], dim=1)


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)


def bright(image: Tensor) -> Tensor:
    return (normalize(image).mean(dim=0) > 0).long()


def test_the_same_image_from_anywhere(tmp_path: Path) -> None:
    image = picture(40, 50)
    array = image.permute(1, 2, 0).numpy()
    path = tmp_path / "image.png"
    Image.fromarray(array).save(path)
    for source in (image, array, Image.fromarray(array), path, str(path)):
        labels = predict(Brightness(), source)
        assert isinstance(labels, Tensor)
        assert labels.dtype == torch.int64
        assert torch.equal(labels, bright(image))


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (31, 33), (32, 32), (65, 97)])
def test_any_size(size: tuple[int, int]) -> None:
    network = Brightness()
    image = picture(*size)
    labels = predict(network, image)
    assert isinstance(labels, Tensor)
    assert torch.equal(labels, bright(image))
    assert network.sizes == [(1, 3, max(32, size[0]), max(32, size[1]))]


def test_a_list_keeps_its_order_and_batches_neighbours_of_equal_size() -> None:
    sizes = [(40, 50)] * 3 + [(33, 32)] + [(40, 50)] * 2
    images = [picture(*size, seed) for seed, size in enumerate(sizes)]
    network = Brightness()
    labels = predict(network, images, batch_size=2)
    assert isinstance(labels, list)
    assert all(torch.equal(a, bright(b)) for a, b in zip(labels, images, strict=True))
    assert [size[0] for size in network.sizes] == [2, 1, 1, 2]
    assert predict(network, []) == []


def test_a_batch_gives_a_batch() -> None:
    images = torch.stack([picture(33, 35, seed) for seed in range(5)])
    for batch in (images, images.permute(0, 2, 3, 1).numpy()):
        labels = predict(Brightness(), batch, batch_size=2)
        assert isinstance(labels, Tensor)
        assert torch.equal(labels, torch.stack([bright(image) for image in images]))


def test_a_real_network_in_any_precision() -> None:
    torch.manual_seed(0)
    model = build_model("deeplabv3plus_mobilenetv2", num_classes=5).eval()
    image = picture(37, 61)
    with torch.no_grad():
        expected = model(normalize(image)[None]).argmax(1)[0]
    assert torch.equal(predict(model, image), expected)  # type: ignore[arg-type]
    double = predict(model.double(), image)
    assert isinstance(double, Tensor)
    assert (double == expected).float().mean() > 0.99


def test_modes_are_as_they_were_even_after_an_error() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, kernel_size=1)).train()
    model[0].eval()  # frozen
    before = {name: value.clone() for name, value in model.state_dict().items()}
    labels = predict(model, picture(32, 32))
    assert isinstance(labels, Tensor)
    assert not labels.requires_grad
    with pytest.raises(ValueError, match="logits"):
        predict(nn.Flatten().train(), picture(32, 32))
    assert (model.training, model[0].training, model[1].training) == (True, False, True)
    assert torch.is_grad_enabled()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "image, message",
    [
        (torch.zeros(3, 40, 40), "denormalize"),
        (torch.zeros(2, 3, 40, 40), "denormalize"),
        ([picture(40, 40), np.zeros((2, 2))], "image 1 must be an array of uint8"),
        (torch.zeros(0, 3, 40, 40, dtype=torch.uint8), "at least one image"),
        (7, "got int"),
    ],
)
def test_wrong_images_are_named(image: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predict(Brightness(), image)


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True])
def test_batch_size_is_checked(batch_size: int) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        predict(Brightness(), picture(32, 32), batch_size=batch_size)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken\.png is damaged"):
        predict(Brightness(), tmp_path / "broken.png")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png does not exist"):
        predict(Brightness(), [tmp_path / "nowhere.png"])
