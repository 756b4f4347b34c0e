"""Every kind of image file and object becomes uint8 RGB, upright; the rest is one clear error."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seglib.images import read_image, to_image

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
EXPECTED = torch.from_numpy(RGB).permute(2, 0, 1)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "I"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("image.tif" if mode in ("CMYK", "I") else "image.png")
    if mode.startswith("I"):
        values = RGB[:, :, 0].astype(np.uint16 if mode == "I;16" else np.int32) * 257
        Image.fromarray(values).save(path)
        expected = EXPECTED[:1].expand(3, -1, -1)
    else:
        image = Image.fromarray(RGB).convert(mode)
        image.save(path)
        expected = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    image = read_image(path)
    assert image.dtype == torch.uint8
    assert torch.equal(image, expected)


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.fromarray(RGB).quantize(8)
    image.save(tmp_path / "image.png", transparency=3)
    expected = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    assert torch.equal(read_image(tmp_path / "image.png"), expected)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by a quarter
    Image.fromarray(RGB).save(tmp_path / "image.png", exif=exif)
    upright = torch.rot90(EXPECTED, -1, (1, 2))
    assert torch.equal(read_image(str(tmp_path / "image.png")), upright)
    with Image.open(tmp_path / "image.png") as image:
        assert torch.equal(to_image(image), upright)


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(RGB),
        RGB,
        np.dstack([RGB, RGB[:, :, 0]]),
        np.asfortranarray(RGB),
        EXPECTED,
        RGB[::-1, ::-1][::-1, ::-1],
    ],
)
def test_objects(picture: Image.Image | np.ndarray | torch.Tensor) -> None:
    assert torch.equal(to_image(picture), EXPECTED)


def test_grey_arrays_and_tensors() -> None:
    grey = EXPECTED[:1].expand(3, -1, -1)
    assert torch.equal(to_image(RGB[:, :, 0]), grey)
    assert torch.equal(to_image(EXPECTED[:1]), grey)
    frozen = RGB.copy()
    frozen.flags.writeable = False
    assert torch.equal(to_image(frozen), EXPECTED)


@pytest.mark.parametrize(
    "picture, message",
    [
        (EXPECTED.float(), "denormalize"),
        (EXPECTED.long(), "uint8"),
        (EXPECTED[0], r"shape \(3, H, W\)"),
        (torch.zeros(4, 5, 6, dtype=torch.uint8), r"shape \(3, H, W\)"),
        (EXPECTED[:, :0], r"shape \(3, H, W\)"),
        (RGB.astype(np.float32), "uint8"),
        (RGB.transpose(2, 0, 1)[:, :, :5], r"\(H, W, 3\)"),
        (RGB[:0], r"\(H, W, 3\)"),
        (Image.new("F", (3, 3)), "floating-point"),
        (3, "got int"),
        (None, "got NoneType"),
    ],
)
def test_anything_else_is_named(picture: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        to_image(picture)
    assert "\n" not in str(caught.value)


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    whole = tmp_path / "whole.png"
    Image.fromarray(np.tile(RGB, (30, 30, 1))).save(whole)
    for name, content in {
        "empty.png": b"",
        "text.jpg": b"no image",
        "short.png": whole.read_bytes()[: whole.stat().st_size // 2],
        "bits.png": whole.read_bytes().replace(b"IDAT", b"IDAX", 1),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is damaged or no image"):
            read_image(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png does not exist"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        read_image(tmp_path)
