"""Every kind of image file and object becomes uint8 RGB, upright; the rest is one clear error."""

import struct
import zlib
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


TURNS = {  # EXIF's orientation → what the picture looks like
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
@pytest.mark.parametrize("orientation", TURNS)
def test_every_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    ramp = np.stack(np.meshgrid(range(0, 160, 4), range(0, 96, 4)), -1).astype(np.uint8)
    picture = np.dstack([ramp, 255 - ramp[:, :, :1]])
    options = {".webp": {"lossless": True}, ".jpg": {"quality": 100, "subsampling": 0}}
    path = tmp_path / f"image{suffix}"
    Image.fromarray(picture).save(path, exif=exif, **options.get(suffix, {}))
    image = read_image(path).permute(1, 2, 0).numpy().astype(int)
    expected = TURNS[orientation](picture).astype(int)
    assert image.shape == expected.shape
    assert np.abs(image - expected).max() <= (4 if suffix == ".jpg" else 0)


def png_of_16_bits(values: np.ndarray, color_type: int) -> bytes:
    """A PNG file of (H, W, channels), chunk by chunk: Pillow writes 16 bits in grey only."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff_of_16_bits(values: np.ndarray, photometric: int) -> bytes:
    """A TIFF file of (H, W, channels), written tag by tag."""
    height, width, channels = values.shape
    content = values.astype("<u2").tobytes()
    count = 10
    bits_at = 8 + 2 + 12 * count + 4
    content_at = bits_at + 2 * channels
    short, long = 3, 4
    tags = [
        (256, long, 1, width),
        (257, long, 1, height),
        (258, short, channels, bits_at if channels > 2 else 16),
        (259, short, 1, 1),
        (262, short, 1, photometric),
        (273, long, 1, content_at),
        (277, short, 1, channels),
        (278, long, 1, height),
        (279, long, 1, len(content)),
        (338, short, 1 if channels == 4 else 0, 2),
    ]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    bits = struct.pack(f"<{channels}H", *[16] * channels)
    start = b"II*\0" + struct.pack("<IH", 8, count)
    return start + entries + struct.pack("<I", 0) + bits + content


@pytest.mark.parametrize("kind", ["png 0", "png 2", "png 4", "png 6", "tif 1", "tif 0", "tif 2"])
def test_sixteen_bits_become_eight(tmp_path: Path, kind: str) -> None:
    form, number = kind.split()
    channels = {"png 2": 3, "png 4": 2, "png 6": 4, "tif 2": 3}.get(kind, 1)
    values = np.random.default_rng(0).integers(0, 65536, (6, 9, channels)).astype(np.uint16)
    make = png_of_16_bits if form == "png" else tiff_of_16_bits
    path = tmp_path / f"image.{form}"
    path.write_bytes(make(values, int(number)))
    colors = values[:, :, :3] if channels > 2 else values[:, :, :1].repeat(3, axis=2)
    expected = np.rint(colors / 257) if kind != "tif 0" else 255 - np.rint(colors / 257)
    image = read_image(path).permute(1, 2, 0).numpy().astype(int)
    assert np.abs(image - expected).max() <= 1  # Pillow cuts colours to 8 bits, grey is rounded


def test_transparent_pixels_have_their_own_colour(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([RGB, np.zeros((5, 7, 1), np.uint8)])).save(tmp_path / "image.png")
    assert torch.equal(read_image(tmp_path / "image.png"), EXPECTED)


@pytest.mark.parametrize("kind", ["floats", "wide", "huge"])
def test_files_that_are_whole_but_not_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "image.tif"
    if kind == "floats":
        Image.new("F", (3, 3)).save(path)
    elif kind == "wide":
        Image.fromarray(np.full((3, 3), 70000, np.int32)).save(path)
    else:
        content = png_of_16_bits(np.zeros((1, 1, 1)), 0)
        header = struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0)
        check = struct.pack(">I", zlib.crc32(b"IHDR" + header))
        path.write_bytes(content[:16] + header + check + content[33:])
    part = {"floats": "floating-point", "wide": "more than 16 bits", "huge": "cut it into parts"}
    with pytest.raises(ValueError, match=part[kind]) as caught:
        read_image(path)
    assert "image.tif" in str(caught.value)
    assert "damaged" not in str(caught.value)


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
