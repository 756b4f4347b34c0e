"""Reading mask files without changing a value."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglib.datasets.masks import read_any_mask, read_mask


def write_grey_png(path: Path, rows: list[list[int]], bits: int) -> None:
    """A grey PNG of a few bits per pixel, as some labelling tools write; Pillow can't."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    lines = b""
    for row in rows:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        lines += b"\0" + bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), bits, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_grey_pngs_of_few_bits_keep_their_values(tmp_path: Path, bits: int) -> None:
    rows = [[0, 1, 2], [3, 2, 1], [1, 1, 0]]
    write_grey_png(tmp_path / "mask.png", rows, bits)
    assert read_mask(tmp_path / "mask.png").tolist() == rows
    assert read_any_mask(tmp_path / "mask.png").tolist() == rows
    if bits < 8:  # what one would get otherwise
        assert np.array(Image.open(tmp_path / "mask.png")).max() > 3


def test_one_bit_is_for_read_any_mask(tmp_path: Path) -> None:
    write_grey_png(tmp_path / "mask.png", [[0, 1, 1]], 1)
    assert read_any_mask(tmp_path / "mask.png").tolist() == [[0, 1, 1]]
    with pytest.raises(ValueError, match="has mode 1, not labels"):
        read_mask(tmp_path / "mask.png")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF"])
def test_kinds_of_files(tmp_path: Path, kind: str) -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(labels).save(tmp_path / "mask", format=kind)
    assert read_mask(tmp_path / "mask").tolist() == labels.tolist()
