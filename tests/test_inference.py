"""Prediction of one image and of many, of any size, and what it leaves as it was."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from seglib.datasets.transforms import normalize
from seglib.inference import predict, predict_proba, predict_strips
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


class Position(nn.Module):
    """Class 1 where the pixel is bright, with a score that also tells where in the window it is:
    windows do not agree.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.7, 1.3, -0.4])[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        rows = torch.linspace(-1, 1, height)[:, None]
        columns = torch.linspace(-1, 1, width)
        score = (x * self.weight).sum(dim=1)
        return torch.stack([score, rows * columns + 0 * score, rows - score], dim=1)


def blended(model: nn.Module, image: Tensor, window: tuple[int, int], overlap: float) -> Tensor:
    """Probabilities from windows, put together pixel by pixel in double precision."""
    height, width = image.shape[-2:]
    size = min(window[0], height), min(window[1], width)
    starts = []
    for whole, part in zip((height, width), size, strict=True):
        count = 1
        while count > 1 or whole > part:
            if count > 1 and (whole - part) / (count - 1) <= int(part * (1 - overlap)):
                break
            count += 1
        starts.append([round(i * (whole - part) / max(1, count - 1)) for i in range(count)])
    hann = [np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in size]
    weight = torch.from_numpy(np.outer(*hann))
    total = torch.zeros(3, height, width, dtype=torch.float64)
    weights = torch.zeros(height, width, dtype=torch.float64)
    for top in starts[0]:
        for left in starts[1]:
            place = slice(top, top + size[0]), slice(left, left + size[1])
            crop = normalize(image[(slice(None), *place)])[None]
            with torch.no_grad():
                total[(slice(None), *place)] += model(crop)[0].double().softmax(0) * weight
            weights[place] += weight
    return total / weights


@pytest.mark.parametrize(
    "size, window, overlap",
    [
        ((100, 140), (32, 48), 0.25),
        ((100, 140), (33, 47), 0.0),
        ((97, 131), (64, 200), 0.5),
        ((90, 61), (200, 33), 0.9),
        ((33, 300), (32, 32), 0.3),
        ((64, 64), (32, 32), 0.0),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_windows_are_blended(
    size: tuple[int, int], window: tuple[int, int], overlap: float, batch_size: int
) -> None:
    image = picture(*size)
    options = {"window": window, "overlap": overlap, "batch_size": batch_size}
    expected = blended(Position(), image, window, overlap)
    probabilities = predict_proba(Position(), image, **options)
    assert isinstance(probabilities, Tensor)
    assert (probabilities.dtype, probabilities.shape) == (torch.float32, (3, *size))
    assert (probabilities - expected).abs().max() < 1e-6
    labels = predict(Position(), image, **options)
    assert isinstance(labels, Tensor)
    assert torch.equal(labels, probabilities.argmax(0))
    strips = list(predict_strips(Position(), image, **options))
    assert torch.equal(torch.cat([strip[0] for strip in strips]), labels)
    assert torch.equal(torch.cat([strip[1] for strip in strips], dim=1), probabilities)
    assert len(strips) > 1 or window[0] >= size[0]


def test_a_window_as_large_as_the_image_changes_nothing() -> None:
    torch.manual_seed(0)
    model = build_model("deeplabv3plus_mobilenetv2", num_classes=5).eval()
    images = [picture(70, 90), picture(70, 90, 1), picture(20, 40)]
    plain = predict(model, images)
    for window in ((70, 90), (500, 91)):
        windowed = predict(model, images, window=window, overlap=0.5)
        assert all(torch.equal(a, b) for a, b in zip(plain, windowed, strict=True))


def test_huge_images_are_seen_through_windows_and_batches_are_bounded() -> None:
    network = Brightness()
    image = picture(1500, 1700)
    labels = predict(network, image)
    assert isinstance(labels, Tensor)
    assert torch.equal(labels, bright(image))
    assert {size[1:] for size in network.sizes} == {(3, 1024, 1024)}
    assert max(size[0] for size in network.sizes) == 1
    network.sizes.clear()
    predict(network, image, window=(1500, 1700))
    assert network.sizes == [(1, 3, 1500, 1700)]
    network.sizes.clear()
    predict(network, [picture(1024, 700)] * 4)
    assert [size[0] for size in network.sizes] == [2, 2]
    network.sizes.clear()
    predict(network, picture(1000, 1100), scales=(1.0, 2.0))
    assert max(n * h * w for n, _, h, w in network.sizes) <= 2048 * 1024


def test_flips_and_scales_average_probabilities() -> None:
    torch.manual_seed(0)
    model = build_model("deeplabv3plus_mobilenetv2", num_classes=5).eval()
    image = picture(71, 95)
    x = normalize(image)[None]
    views = []
    with torch.no_grad():
        for size in ((53, 71), (71, 95), (89, 119)):  # 0.75, 1, 1.25
            scaled = F.interpolate(x, size, mode="bilinear", antialias=True)
            for axes in ((), (3,)):
                logits = F.interpolate(model(scaled.flip(axes)), (71, 95), mode="bilinear")
                views.append(logits.flip(axes).softmax(1)[0])
    options = {"flip": True, "scales": (0.75, 1, 1.25)}
    probabilities = predict_proba(model, image, **options)
    assert isinstance(probabilities, Tensor)
    expected = torch.stack(views).mean(0)
    assert (probabilities - expected).abs().max() < 1e-6
    labels = predict(model, [image], **options)[0]
    assert torch.equal(labels, probabilities.argmax(0))
    flipped = predict_proba(model, image, flip=True)
    assert isinstance(flipped, Tensor)
    assert (flipped - torch.stack(views[2:4]).mean(0)).abs().max() < 1e-6


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (100, 75)])
def test_views_of_any_size(size: tuple[int, int]) -> None:
    image = picture(*size)
    options = {"flip": True, "scales": [0.1, 0.5, 3], "window": (32, 40)}
    probabilities = predict_proba(Brightness(), image, **options)
    assert isinstance(probabilities, Tensor)
    assert probabilities.shape == (2, *size)
    assert (probabilities.sum(0) - 1).abs().max() < 1e-6


def test_probabilities_come_in_the_form_of_the_images() -> None:
    images = torch.stack([picture(40, 50, seed) for seed in range(3)])
    batch = predict_proba(Brightness(), images, batch_size=2)
    assert isinstance(batch, Tensor)
    with torch.no_grad():
        expected = torch.stack([-normalize(images).mean(1), normalize(images).mean(1)], 1)
    assert torch.allclose(batch, expected.softmax(1), atol=1e-6)
    many = predict_proba(Brightness(), list(images))
    assert isinstance(many, list)
    assert torch.equal(torch.stack(many), batch)
    ((labels, probabilities),) = predict_strips(Brightness(), images[0])
    assert torch.equal(labels, bright(images[0]))
    assert torch.equal(probabilities, batch[0])


@pytest.mark.parametrize(
    "options, parts",
    [
        ({"window": (31, 64)}, ("window", "(31, 64)", ">= 32")),
        ({"window": 64}, ("window", "64", "(height, width)")),
        ({"window": (64, 64, 64)}, ("window",)),
        ({"window": (64.0, 64)}, ("window",)),
        ({"overlap": 1}, ("overlap", "below 1")),
        ({"overlap": -0.1}, ("overlap", "-0.1")),
        ({"overlap": float("nan")}, ("overlap", "nan")),
        ({"flip": "yes"}, ("flip", "'yes'")),
        ({"scales": ()}, ("scales", "one or more")),
        ({"scales": (0.0,)}, ("scales", "0.1 to 10")),
        ({"scales": (1, float("inf"))}, ("scales", "inf")),
        ({"scales": 2}, ("scales", "got 2")),
        ({"batch_size": 0}, ("batch_size", "got 0")),
    ],
)
def test_wrong_views_are_named(options: dict[str, object], parts: tuple[str, ...]) -> None:
    for function in (predict, predict_proba, predict_strips):
        with pytest.raises(ValueError) as caught:
            function(Brightness(), picture(40, 40), **options)  # type: ignore[operator]
        assert all(part in str(caught.value) for part in parts)
        assert "\n" not in str(caught.value)


MEMORY = """
import re, sys, torch
from pathlib import Path
from seglib.inference import predict, predict_strips
from seglib.models import build_model

def peak():  # in KiB; getrusage also counts the process that this one was started by
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

torch.set_num_threads(1)
before = peak()
model = build_model("deeplabv3plus_mobilenetv2", num_classes=21)
image = torch.randint(0, 256, (3, 2048, 4096), dtype=torch.uint8)
if sys.argv[1] == "labels":
    assert predict(model, image).shape == (2048, 4096)
else:
    options = {"window": (512, 512), "overlap": 0.1, "batch_size": 1}
    rows = [p.shape[1] for _, p in predict_strips(model, image, **options)]
    assert sum(rows) == 2048
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("what, limit", [("labels", 1.5e9), ("strips", 1.0e9)])
def test_memory_is_bounded(what: str, limit: float) -> None:
    command = [sys.executable, "-c", MEMORY, what]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 1e8 < int(done.stdout) * 1024 < limit
