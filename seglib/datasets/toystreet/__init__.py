"""ToyStreet: CamVid's world, drawn. Street scenes made from seeds, so that all runs offline."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from seglib.datasets.base import IGNORE_INDEX
from seglib.datasets.camvid import PALETTE, StreetDataset
from seglib.datasets.toystreet.scene import draw_scene

__all__ = ["SIZES", "ToyStreet", "render_scene", "write_toystreet"]

SIZES = {"train": 300, "val": 60, "test": 60}  # scenes per split


class ToyStreet(StreetDataset):
    """Drawn street scenes, 160×120, with CamVid's 11 classes and palette; 255 is void.

    `write_toystreet` makes the folder; a scene depends on its split and index alone.
    """

    name: ClassVar[str] = "toystreet"
    void: ClassVar[int] = IGNORE_INDEX
    remedy: ClassVar[str] = "re-create ToyStreet with: seglib data toystreet --out DIR"


def render_scene(split: str, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Draw one scene: the same pixels on every machine (integer arithmetic, one seed per scene).

    Args:
        split: `train`, `val` or `test`.
        index: 0 … `SIZES[split]` - 1.
    Returns:
        The image, (120, 160, 3) uint8 RGB, and its mask, (120, 160) uint8: labels 0 … 10, 255 void.
    Raises:
        ValueError: if `split` or `index` is out of its range.
    """
    if split not in SIZES:
        raise ValueError(f"split must be one of {', '.join(SIZES)}, got {split!r}")
    if not 0 <= index < SIZES[split]:
        raise ValueError(f"index must be 0 … {SIZES[split] - 1} for {split}, got {index}")
    return draw_scene(list(SIZES).index(split), index)


def write_toystreet(out: Path) -> None:
    """Render the whole data set into folder `out`: all of it or nothing.

    Raises:
        ValueError: if `out` exists and is not an empty folder.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"out must be a new or empty folder, got {out}")
    out.parent.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        rendered = workshop / out.name  # a folder of its own, as mkdtemp's is private to the user
        for split, count in SIZES.items():
            for folder in (rendered / split, rendered / f"{split}annot"):
                folder.mkdir(parents=True)
            for index in range(count):
                image, mask = render_scene(split, index)
                name = f"{index:04d}.png"
                Image.fromarray(image).save(rendered / split / name, optimize=True)
                _palette_image(mask).save(rendered / f"{split}annot" / name)
        os.replace(rendered, out)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def cached_toystreet() -> Path:
    """Return the user's own copy, `~/.cache/seglib/toystreet`, rendered on the first call."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "seglib" / ToyStreet.name
    if not (folder / "train").is_dir():
        try:
            write_toystreet(folder)
        except (OSError, ValueError):
            if not (folder / "train").is_dir():  # else another process was faster, with the same
                raise
    return folder


def _palette_image(mask: npt.NDArray[np.uint8]) -> Image.Image:
    """A PNG palette image whose pixel values are the labels, shown in CamVid's colours."""
    image = Image.fromarray(mask)  # grey; putpalette makes it a palette image
    colors = np.zeros((256, 3), dtype=np.uint8)  # all 256: fewer would be stored with 4 bits
    colors[: len(PALETTE)] = PALETTE
    image.putpalette(colors.tobytes())
    return image
