"""Small trees in the published layouts, of real files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

SIZE = (6, 8)  # (H, W)
CLASSES_YAML = """\
classes:
  background: [0, 0, 0]
  cat: "#800000"
  dog: [0, 128, 0]
void: 255
"""


def write_image(path: Path, size: tuple[int, int] = SIZE, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_mask(path: Path, values: npt.ArrayLike, palette: Sequence[int] | None = None) -> None:
    """Write labels as an 8-bit grey PNG, or with a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.fromarray(np.asarray(values, dtype=np.uint8))
    if palette is not None:
        mask.putpalette(list(palette))
    mask.save(path)


def labels_of(values: Sequence[int], size: tuple[int, int] = SIZE) -> npt.NDArray[np.uint8]:
    """A mask in which all of these values occur."""
    return np.resize(np.array(values, dtype=np.uint8), size)


def write_folder(root: Path, names: Sequence[str] = ("a", "b", "c", "d", "e")) -> Path:
    """The kind `folder`, flat, without a mistake."""
    for seed, name in enumerate(names):
        write_image(root / "images" / f"{name}.jpg", seed=seed)
        write_mask(root / "masks" / f"{name}.png", labels_of((0, 1, 2, 255)))
    (root / "classes.yaml").write_text(CLASSES_YAML)
    return root


def write_voc(root: Path, year: str, lists: dict[str, Sequence[str]], prefix: str = "") -> Path:
    """A year of VOC: `VOCdevkit/VOC<year>`, with palette masks as published; returns it."""
    place = root / prefix / "VOCdevkit" / f"VOC{year}"
    (place / "ImageSets" / "Segmentation").mkdir(parents=True)
    for split, names in lists.items():
        file = place / "ImageSets" / "Segmentation" / f"{split}.txt"
        file.write_text("".join(f"{name}\n" for name in names))
        for name in names:
            write_image(place / "JPEGImages" / f"{name}.jpg")
            write_mask(
                place / "SegmentationClass" / f"{name}.png",
                labels_of((0, 1, 20, 255)),
                palette=range(256 * 3 % 256, 256),
            )
    return place


def write_pets(root: Path) -> Path:
    breeds = [f"{breed}_{i}" for breed in ("Abyssinian", "beagle") for i in (1, 2, 10, 11, 12)]
    lists = {"trainval": breeds, "test": ["pug_3"]}
    for split, names in lists.items():
        for name in names:
            write_image(root / "images" / f"{name}.jpg")
            write_mask(root / "annotations" / "trimaps" / f"{name}.png", labels_of((1, 2, 3, 2)))
            write_mask(root / "annotations" / "trimaps" / f"._{name}.png", labels_of((0,)))
        text = "".join(f"{name} 1 1 1\n" for name in names)
        (root / "annotations" / f"{split}.txt").write_text(text)
    return root


def write_cityscapes(root: Path, label_ids: npt.ArrayLike) -> Path:
    names = {"train": ["aachen", "ulm"], "val": ["munster"], "test": ["berlin"]}
    for split, cities in names.items():
        for city in cities:
            stem = f"{city}_000000_000019"
            write_image(root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png")
            folder = root / "gtFine" / split / city
            write_mask(folder / f"{stem}_gtFine_labelIds.png", label_ids)
            write_mask(folder / f"{stem}_gtFine_instanceIds.png", label_ids)
            (folder / f"{stem}_gtFine_polygons.json").write_text("{}")
    return root
