"""Mask files: read without changing a value, and explained in one line where they are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Labels = npt.NDArray[np.uint8]

_LABEL_MODES = ("L", "P")
_COLOR_MODES = ("1", "RGB", "RGBA")
# Pillow stretches grey PNGs of 4 and 2 bits to 0 … 255; labels must be pressed together again.
_STRETCHED = {"L;4": 17, "L;2": 85}


def read_mask(path: Path) -> Labels:
    """Read a mask file whose pixel values are labels: grey or palette of up to 8 bits.

    Returns:
        (H, W) uint8, the values as the file holds them. (Pillow alone gives 17 for a 1 in a grey
        PNG of 4 bits, and 85 in one of 2 bits.)
    Raises:
        FileNotFoundError: if `path` does not exist.
        ValueError: if the file is damaged, has 16 bits, or holds colours instead of labels.
    """
    return _read(path, _LABEL_MODES)


def read_any_mask(path: Path) -> Labels:
    """As `read_mask`, and takes masks of one bit and of colours, too.

    Returns:
        (H, W) uint8, or (H, W, 3) uint8 where the pixels are colours.
    Raises:
        FileNotFoundError, ValueError: as `read_mask`; also if a pixel is partly transparent, for
            then it has no colour.
    """
    return _read(path, (*_LABEL_MODES, *_COLOR_MODES))


def _read(path: Path, modes: Sequence[str]) -> Labels:
    if not path.is_file():
        raise FileNotFoundError(f"mask {path} does not exist; check the path")
    try:
        with Image.open(path) as mask:
            kind, mode = mask.format, mask.mode
            stretch = _STRETCHED.get(str(mask.tile[0][3]), 1) if mask.tile else 1
            values = np.array(mask)
    except PermissionError:
        raise
    except Exception as error:  # a decoder fed with damaged bytes may raise anything
        raise ValueError(f"mask {path} is damaged or no image; get it again") from error
    if kind == "JPEG":
        raise ValueError(
            f"mask {path} is a JPEG, whose compression changes labels; export it again, as PNG"
        )
    if mode not in modes:
        depth = " (16 bits per pixel)" if mode.startswith("I") else ""
        raise ValueError(
            f"mask {path} has mode {mode}{depth}, not labels; save it as an 8-bit grey or palette "
            f"PNG whose pixel values are the labels"
        )
    if mode == "RGBA":
        if (values[:, :, 3] != 255).any():
            raise ValueError(
                f"mask {path} is transparent in places; save it without an alpha channel"
            )
        values = np.ascontiguousarray(values[:, :, :3])
    return values.astype(np.uint8, copy=False) // np.uint8(stretch)


def check_labels(
    values: Labels, allowed: npt.NDArray[np.bool_], path: Path, meaning: str, remedy: str
) -> None:
    """Refuse a mask that holds labels out of range, and say which, how many and where.

    Args:
        values: a mask's labels, (H, W) uint8.
        allowed: which of the values 0 … 255 are labels, (256,).
        path: the mask file.
        meaning: the allowed labels in words, such as `0 … 10 and 255 (void)`.
        remedy: what to do.
    Raises:
        ValueError: if there is such a label.
    """
    wrong = ~allowed[values]
    if not wrong.any():
        return
    found = np.unique(values[wrong])
    shown = ", ".join(map(str, found[:5])) + (" …" if len(found) > 5 else "")
    raise ValueError(
        f"mask {path} holds label{'s'[: len(found) > 1]} {shown} ({places(wrong)}); "
        f"allowed are {meaning}; {remedy}"
    )


def places(wrong: npt.NDArray[np.bool_]) -> str:
    """How many pixels are meant and where the first lies, in words."""
    row, column = np.argwhere(wrong)[0]
    count = int(wrong.sum())
    if count == 1:
        return f"1 pixel, at row {row}, column {column}"
    return f"{count} pixels, the first at row {row}, column {column}"
