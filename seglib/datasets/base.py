"""What every data set shares: pairs of files, checked reading, decoding to colours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from seglib.datasets.masks import Labels, read_mask
from seglib.images import read_image

IGNORE_INDEX = 255
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
EXIF_ORIENTATION = 0x0112

JointTransform = Callable[[tv_tensors.Image, tv_tensors.Mask], tuple[Tensor, Tensor]]
Pair = tuple[Path, Path]  # an image and its mask


class SplitMissingError(FileNotFoundError):
    """The split's images are not there at all, as those of a test split may not be."""


class SegmentationDataset(Dataset[tuple[Tensor, Tensor]], ABC):
    """Images with one label per pixel. A data set is a subclass with a table and two small methods.

    Items are `(image, mask)`, uint8 `tv_tensors.Image` (3, H, W) and int64 `tv_tensors.Mask`
    (H, W), or what `transform(image, mask)` makes of them. Pixels labelled `ignore_index` count in
    no loss and no metric.

    Args:
        root: the data set's own folder.
        split: one of `splits`.
        transform: called as `transform(image, mask)` on every item.
        check_files: refuse a split with missing or doubtful files. False keeps what is wrong in
            `mistakes` instead, for those who want all of it (`seglib.datasets.inspection`).
    Raises:
        ValueError: if `split` is unknown, or files don't pair; from an item, if a file is damaged
            or does not fit.
        FileNotFoundError: if a folder, an image or a mask is missing.
    """

    name: ClassVar[str]
    splits: ClassVar[tuple[str, ...]]
    remedy: ClassVar[str]  # how to get the data, for error messages
    folder: ClassVar[str] = ""  # below $SEGLIB_DATA or data/, where it is not `name`
    parts: ClassVar[tuple[str, ...]] = ()  # splits that share no image, where not all `splits`
    ignore_index: ClassVar[int] = IGNORE_INDEX
    classes: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    mistakes: list[ValueError | FileNotFoundError]

    def __init__(
        self,
        root: str | Path,
        split: str,
        transform: JointTransform | None = None,
        *,
        check_files: bool = True,
    ) -> None:
        if split not in self.splits:
            raise ValueError(f"split must be one of {', '.join(self.splits)}, got {split!r}")
        self.root = Path(root)
        self.split = split
        self.transform = transform
        self.mistakes = []
        self._pairs = self._find_pairs()
        for image, mask in self._pairs:
            if not image.is_file():
                text = f"image {image} is missing; {self.remedy}"
                self.mistakes.append(FileNotFoundError(text))
            elif not mask.is_file():
                text = f"mask {mask} of image {image} is missing; {self._remedy_for(mask)}"
                self.mistakes.append(FileNotFoundError(text))
        if check_files and self.mistakes:
            first, more = self.mistakes[0], len(self.mistakes) - 1
            raise type(first)(f"{first}; {more} more like it" if more else str(first))

    @abstractmethod
    def _find_pairs(self) -> list[Pair]:
        """List the split's (image, mask) files, in a fixed order, whether or not they exist."""

    @abstractmethod
    def _to_labels(self, values: Labels, path: Path) -> Labels:
        """Map a mask file's pixel values to 0 … len(classes) - 1 and `ignore_index`."""

    def _read_mask(self, path: Path) -> Labels:
        return read_mask(path)

    def _remedy_for(self, mask: Path) -> str:
        """What to do where `mask` is missing."""
        return self.remedy

    @property
    def palette(self) -> Tensor:
        """One colour per class, (len(classes), 3) uint8."""
        return torch.tensor(self.colors, dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image_path, mask_path = self._pairs[index]
        image = tv_tensors.Image(read_image(image_path))
        mask = tv_tensors.Mask(self.labels(index).long())
        check_sizes(image_path, image.shape[1:], mask_path, mask.shape)
        return (image, mask) if self.transform is None else self.transform(image, mask)

    def labels(self, index: int) -> Tensor:
        """The mask of item `index` before any transform: uint8 (H, W). Reads no image."""
        path = self._pairs[index][1]
        return torch.from_numpy(self._to_labels(self._read_mask(path), path))

    def paths(self, index: int) -> Pair:
        """The (image, mask) files of item `index`."""
        return self._pairs[index]

    def stray_masks(self) -> list[Path]:
        """Masks that lie among the split's, but belong to none of its images."""
        return []

    def doubts(self, index: int) -> list[str]:
        """What looks wrong in the mask of item `index`, though its labels are in range."""
        return []

    def decode(self, mask: Tensor) -> Tensor:
        """Colour a mask: integer labels (H, W) → uint8 (3, H, W); `ignore_index` is black.

        Raises:
            ValueError: if `mask` is not (H, W), or a label is neither a class nor `ignore_index`.
        """
        if mask.ndim != 2 or mask.is_floating_point():
            raise ValueError(
                f"mask must be integer labels of shape (H, W), got {mask.dtype} {tuple(mask.shape)}"
            )
        labels = mask.as_subclass(Tensor).long()
        valid = (labels >= 0) & (labels < len(self.classes))
        wrong = labels[~valid & (labels != self.ignore_index)]
        if wrong.numel():
            raise ValueError(
                f"mask holds label {int(wrong[0])}; allowed are 0 … {len(self.classes) - 1} "
                f"and {self.ignore_index}"
            )
        table = torch.cat([self.palette, torch.zeros(1, 3, dtype=torch.uint8)]).to(labels.device)
        colored = table[torch.where(valid, labels, len(self.classes))]  # (H, W, 3)
        return colored.permute(2, 0, 1).contiguous()


def list_files(folder: Path, suffixes: Sequence[str], remedy: str) -> list[Path]:
    """The files of a folder with one of these suffixes, sorted by name; hidden ones (`.name`, such
    as the `._name` that macOS leaves) are none.

    Raises:
        FileNotFoundError: if there is no such folder; says `remedy`.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"folder {folder} is missing; {remedy}")
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".")
    )


def pair_folders(image_dir: Path, mask_dir: Path, remedy: str) -> list[Pair]:
    """Pair the images of one folder with the masks (`<stem>.png`) of another, sorted by name.

    Raises:
        FileNotFoundError: if a folder is missing or no image is there; says `remedy`.
    """
    if not image_dir.is_dir():
        raise SplitMissingError(f"folder {image_dir} is missing; {remedy}")
    if not mask_dir.is_dir():
        raise FileNotFoundError(f"folder {mask_dir} is missing; {remedy}")
    images = list_files(image_dir, IMAGE_SUFFIXES, remedy)
    if not images:
        raise FileNotFoundError(f"folder {image_dir} holds no image; {remedy}")
    return [(image, mask_dir / f"{image.stem}.png") for image in images]


def read_list(path: Path, remedy: str) -> list[str]:
    """The lines of a text file, which name a split's images; empty ones and # comments are none.

    Raises:
        FileNotFoundError: if there is no such file, or no name in it; says `remedy`.
        ValueError: if it is no text.
    """
    if not path.is_file():
        raise SplitMissingError(f"list {path} is missing; {remedy}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"list {path} is no text in UTF-8; {remedy}") from error
    lines = [line.strip() for line in text.splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise FileNotFoundError(f"list {path} names no image; {remedy}")
    return names


def check_sizes(
    image: Path, image_size: Sequence[int], mask: Path, mask_size: Sequence[int]
) -> None:
    """Refuse an image and a mask that differ in size, (H, W) each.

    Raises:
        ValueError: if they do; says so where the image is turned by its EXIF data.
    """
    if tuple(image_size) == tuple(mask_size):
        return
    remedy = "replace the wrong one"
    if tuple(image_size) == tuple(mask_size)[::-1] and _turned(image):
        remedy = (
            "the camera noted in the image's EXIF data that it is to be turned, and the mask was "
            "drawn on the unturned image: turn the mask, too"
        )
    raise ValueError(
        f"image and mask differ in size: {image} is {size_text(image_size)}, "
        f"{mask} is {size_text(mask_size)}; {remedy}"
    )


def one_line(error: ValueError | OSError) -> str:
    """What to tell about an error of a file, without a traceback and on one line."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def size_text(size: Sequence[int]) -> str:
    """(H, W) as people write it, width first."""
    return f"{size[1]}×{size[0]}"


def _turned(path: Path) -> bool:
    with Image.open(path) as image:
        return image.getexif().get(EXIF_ORIENTATION, 1) > 4  # 5 … 8 swap height and width
