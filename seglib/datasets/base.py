"""What every data set shares: pairs of files, checked reading, decoding to colours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from seglib.images import read_image

IGNORE_INDEX = 255
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")

Labels = npt.NDArray[np.uint8]
JointTransform = Callable[[tv_tensors.Image, tv_tensors.Mask], tuple[Tensor, Tensor]]


class SegmentationDataset(Dataset[tuple[Tensor, Tensor]], ABC):
    """Images with one label per pixel. A data set is a subclass with a table and two small methods.

    Items are `(image, mask)`, uint8 `tv_tensors.Image` (3, H, W) and int64 `tv_tensors.Mask`
    (H, W), or what `transform(image, mask)` makes of them. Pixels labelled `ignore_index` count in
    no loss and no metric.

    Args:
        root: the data set's own folder.
        split: one of `splits`.
        transform: called as `transform(image, mask)` on every item.
    Raises:
        ValueError: if `split` is unknown; from an item, if a file is damaged or does not fit.
        FileNotFoundError: if a folder or a mask is missing.
    """

    name: ClassVar[str]
    splits: ClassVar[tuple[str, ...]]
    classes: ClassVar[tuple[str, ...]]
    colors: ClassVar[tuple[tuple[int, int, int], ...]]
    remedy: ClassVar[str]  # how to get the data, for error messages
    ignore_index: ClassVar[int] = IGNORE_INDEX

    def __init__(
        self, root: str | Path, split: str, transform: JointTransform | None = None
    ) -> None:
        if split not in self.splits:
            raise ValueError(f"split must be one of {', '.join(self.splits)}, got {split!r}")
        self.root = Path(root)
        self.split = split
        self.transform = transform
        self._pairs = self._find_pairs()

    @abstractmethod
    def _find_pairs(self) -> list[tuple[Path, Path]]:
        """List the split's (image, mask) files, in a fixed order."""

    @abstractmethod
    def _to_labels(self, values: Labels, path: Path) -> Labels:
        """Map a mask file's pixel values to 0 … len(classes) - 1 and `ignore_index`."""

    @property
    def palette(self) -> Tensor:
        """One colour per class, (len(classes), 3) uint8."""
        return torch.tensor(self.colors, dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image_path, mask_path = self._pairs[index]
        image = tv_tensors.Image(read_image(image_path))
        values = read_mask(mask_path)
        if image.shape[1:] != values.shape:
            raise ValueError(
                f"image and mask differ in size: {image_path} is {_size(image.shape[1:])}, "
                f"{mask_path} is {_size(values.shape)}; replace the wrong one"
            )
        mask = tv_tensors.Mask(torch.from_numpy(self._to_labels(values, mask_path)).long())
        return (image, mask) if self.transform is None else self.transform(image, mask)

    def paths(self, index: int) -> tuple[Path, Path]:
        """The (image, mask) files of item `index`."""
        return self._pairs[index]

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


def pair_folders(image_dir: Path, mask_dir: Path, remedy: str) -> list[tuple[Path, Path]]:
    """Pair the images of one folder with the masks (`<stem>.png`) of another, sorted by name.

    Raises:
        FileNotFoundError: if a folder or a mask is missing or no image is there; says `remedy`.
    """
    for folder in (image_dir, mask_dir):
        if not folder.is_dir():
            raise FileNotFoundError(f"folder {folder} is missing; {remedy}")
    images = sorted(path for path in image_dir.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise FileNotFoundError(f"folder {image_dir} holds no image; {remedy}")
    pairs = [(image, mask_dir / f"{image.stem}.png") for image in images]
    for image, mask in pairs:
        if not mask.is_file():
            raise FileNotFoundError(f"mask {mask} of image {image} is missing; {remedy}")
    return pairs


def read_mask(path: Path) -> Labels:
    """Read a mask file whose pixel values are labels: 8-bit grey or palette, (H, W) uint8.

    Raises:
        FileNotFoundError: if `path` does not exist.
        ValueError: if the file is damaged, or holds colours instead of labels.
    """
    if not path.is_file():
        raise FileNotFoundError(f"mask {path} does not exist; check the path")
    try:
        with Image.open(path) as mask:
            mode, values = mask.mode, np.array(mask)
    except PermissionError:
        raise
    except Exception as error:  # a decoder fed with damaged bytes may raise anything
        raise ValueError(f"mask {path} is damaged or no image; get it again") from error
    if mode not in ("L", "P"):
        raise ValueError(
            f"mask {path} has mode {mode}, not labels; save it as an 8-bit grey or palette PNG "
            f"whose pixel values are the labels"
        )
    return values


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]}×{shape[0]}"
