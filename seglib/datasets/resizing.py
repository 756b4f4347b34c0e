"""Joint transforms that torchvision's v2 lacks, or has in a form that is wrong for labels.

torchvision resizes a mask by its nearest corner, which shifts it by up to half a pixel against the
image; here it is the nearest centre. Its CenterCrop pads what is too small with 0, which is a
class.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional

from seglib.datasets.base import IGNORE_INDEX

MEAN = (0.485, 0.456, 0.406)  # ImageNet's, of RGB in 0 … 1
STD = (0.229, 0.224, 0.225)
# What lies beyond an image of uint8: the mean colour, which normalises to 0; and no class.
FILL = {tv_tensors.Image: [round(255 * value) for value in MEAN], tv_tensors.Mask: IGNORE_INDEX}


class Resize(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Resize image and mask: bilinearly, with antialiasing, and by the nearest pixel centre.

    Args:
        size: (height, width), or the length of the shorter side, which keeps the proportions; in
            pixels.
    Raises:
        ValueError: if a length is below 1.
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        super().__init__()
        lengths = (size,) if isinstance(size, int) else tuple(size)
        if not 1 <= len(lengths) <= 2 or min(lengths) < 1:
            raise ValueError(
                f"size must be one positive integer or two, (height, width), got {size}"
            )
        self.size = lengths

    def transform(self, inpt: Tensor, params: dict[str, object]) -> Tensor:
        if len(self.size) == 2:
            return _resize(inpt, *self.size)
        height, width = functional.get_size(inpt)
        factor = self.size[0] / min(height, width)
        return _resize(inpt, round(height * factor), round(width * factor))


class Scale(v2.Transform):  # type: ignore[misc]
    """Resize image and mask by a factor > 0, as `Resize` does.

    Raises:
        ValueError: if `factor` is not above 0.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        if not factor > 0:
            raise ValueError(f"factor must be > 0, got {factor}")
        self.factor = factor

    def transform(self, inpt: Tensor, params: dict[str, object]) -> Tensor:
        height, width = functional.get_size(inpt)
        return _resize(inpt, round(height * self.factor), round(width * self.factor))


class RandomScale(v2.Transform):  # type: ignore[misc]
    """Resize image and mask by one factor, drawn log-uniformly: halving is as likely as doubling.

    Resizes as `Resize` does. (Other code draws the factor uniformly: of 0.5 … 2, two thirds of the
    images are enlarged.)

    Args:
        scale: smallest and largest factor, 0 < smallest ≤ largest.
    Raises:
        ValueError: if they are something else.
    """

    def __init__(self, scale: tuple[float, float]) -> None:
        super().__init__()
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise ValueError(
                f"scale must be (smallest, largest) with 0 < smallest ≤ largest, got {scale}"
            )
        self.scale = scale

    def make_params(self, flat_inputs: list[object]) -> dict[str, float]:
        low, high = torch.tensor(self.scale, dtype=torch.float64).log().tolist()
        return {"factor": float(torch.empty((), dtype=torch.float64).uniform_(low, high).exp())}

    def transform(self, inpt: Tensor, params: dict[str, float]) -> Tensor:
        height, width = functional.get_size(inpt)
        return _resize(inpt, round(height * params["factor"]), round(width * params["factor"]))


class CenterCrop(v2.Transform):  # type: ignore[misc]
    """Cut the middle out; where the image is smaller, pad it with `FILL`.

    Args:
        size: (height, width) of the result, in pixels.
    Raises:
        ValueError: if a length is below 1.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f"size must be two positive integers (height, width), got {size}")
        self.size = size

    def transform(self, inpt: Tensor, params: dict[str, object]) -> Tensor:
        height, width = functional.get_size(inpt)
        padded = _pad(inpt, max(0, self.size[0] - height), max(0, self.size[1] - width))
        cropped: Tensor = functional.center_crop(padded, list(self.size))
        return cropped


class PadToMultiple(v2.Transform):  # type: ignore[misc]
    """Pad image and mask with `FILL`, evenly on all sides, to the next multiple of a length.

    (The popular copy of this transform takes height for width, and pads labels with class 0.)

    Args:
        divisor: pixels, ≥ 1.
    Raises:
        ValueError: if `divisor` is below 1.
    """

    def __init__(self, divisor: int = 32) -> None:
        super().__init__()
        if divisor < 1:
            raise ValueError(f"divisor must be at least 1 pixel, got {divisor}")
        self.divisor = divisor

    def transform(self, inpt: Tensor, params: dict[str, object]) -> Tensor:
        height, width = functional.get_size(inpt)
        return _pad(inpt, -height % self.divisor, -width % self.divisor)


def _resize(inpt: Tensor, height: int, width: int) -> Tensor:
    size = [max(1, height), max(1, width)]
    if not isinstance(inpt, tv_tensors.Mask):
        scaled: Tensor = functional.resize(inpt, size, antialias=True)
        return scaled
    values = inpt.as_subclass(Tensor)
    planes = values[None] if values.ndim == 2 else values  # (…, 1, H, W)
    resized = functional.resize_image(planes, size, InterpolationMode.NEAREST_EXACT)
    return tv_tensors.Mask(resized.reshape(*values.shape[:-2], *size))


def _pad(inpt: Tensor, height: int, width: int) -> Tensor:
    """Add `height` rows and `width` columns, half of them (rounded down) at the top and left."""
    left, top = width // 2, height // 2
    fill = FILL[tv_tensors.Mask if isinstance(inpt, tv_tensors.Mask) else tv_tensors.Image]
    padded: Tensor = functional.pad(inpt, [left, top, width - left, height - top], fill=fill)
    return padded
