"""Images from wherever they come: files, Pillow, arrays, tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor

PHOTOMETRIC = 262  # the TIFF tag that tells whether 0 is black (1) or white (0)

Picture = str | Path | Image.Image | npt.NDArray[np.uint8] | Tensor


class UnknownRangeError(ValueError):
    """The picture's numbers do not say what is white."""


def read_image(path: str | Path) -> Tensor:
    """Read an image file of any kind that Pillow knows as RGB, turned upright as its EXIF data say.

    Grey becomes three equal channels, palettes their colours, 16 bits are scaled to 8, and of an
    animation the first picture is taken. Alpha is dropped, as torchvision's and OpenCV's readers
    do: a transparent pixel has the colour that is stored for it, on no ground.

    Returns:
        uint8 (3, H, W).
    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged or no image.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not an image file" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"{path} {what}; give the path of an image")
    try:
        with Image.open(path) as image:
            tags = getattr(image, "tag_v2", {})
            pixels = _from_pillow(ImageOps.exif_transpose(image))
            # Pillow turns TIFF's WhiteIsZero round at 8 bits, not at 16.
            negative = image.mode.startswith("I") and tags.get(PHOTOMETRIC) == 0
            return 255 - pixels if negative else pixels
    except PermissionError:
        raise
    except UnknownRangeError as error:
        raise ValueError(f"{path}: {error}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{path} has more pixels than Pillow reads ({2 * (Image.MAX_IMAGE_PIXELS or 0)}); cut"
            " it into parts"
        ) from error
    except Exception as error:  # a decoder fed with damaged bytes may raise anything
        raise ValueError(f"{path} is damaged or no image; get it again") from error


def to_image(picture: Picture, name: str = "image") -> Tensor:
    """Any picture as uint8 (3, H, W).

    Args:
        picture: a path; a Pillow image; a uint8 array (H, W), (H, W, 3) or (H, W, 4); or a uint8
            tensor (3, H, W) or (1, H, W).
        name: what to call it in an error.
    Raises:
        FileNotFoundError, ValueError: as `read_image`, or if the type or the shape is another one.
    """
    if isinstance(picture, str | Path):
        return read_image(picture)
    if isinstance(picture, Image.Image):
        return _from_pillow(ImageOps.exif_transpose(picture))
    if isinstance(picture, Tensor):
        return _from_tensor(picture, name)
    if not isinstance(picture, np.ndarray):
        raise ValueError(
            f"{name} must be a path, a Pillow image, an array or a tensor,"
            f" got {type(picture).__name__}"
        )
    if picture.dtype != np.uint8:
        raise ValueError(f"{name} must be an array of uint8, 0 to 255, got {picture.dtype}")
    if picture.ndim == 2:
        picture = picture[:, :, None]
    if picture.ndim != 3 or picture.shape[2] not in (1, 3, 4) or 0 in picture.shape:
        raise ValueError(
            f"{name} must be an array of shape (H, W), (H, W, 3) or (H, W, 4), got {picture.shape}"
        )
    # A copy: torch wants a writable array with positive strides.
    channels = torch.from_numpy(picture[:, :, :3].copy()).permute(2, 0, 1)
    return channels.expand(3, -1, -1).contiguous()


def _from_tensor(image: Tensor, name: str) -> Tensor:
    if image.is_floating_point():
        raise ValueError(
            f"{name} must be uint8, 0 to 255, got {image.dtype}; call the model itself on"
            " normalised images, or undo it: (255 * denormalize(image)).round().byte()"
        )
    if image.dtype != torch.uint8:
        raise ValueError(f"{name} must be a tensor of uint8, 0 to 255, got {image.dtype}")
    if image.ndim != 3 or image.shape[0] not in (1, 3) or image.numel() == 0:
        raise ValueError(f"{name} must be a tensor of shape (3, H, W), got {tuple(image.shape)}")
    return image.as_subclass(Tensor).expand(3, -1, -1)


def _from_pillow(image: Image.Image) -> Tensor:
    if image.mode.startswith("I"):  # 16 bits, which Pillow's own conversion would clip at 255
        values = np.asarray(image).astype(np.int64)
        if values.size and not 0 <= values.min() <= values.max() <= 65535:
            raise UnknownRangeError("image has more than 16 bits per pixel; convert it to 16 or 8")
        grey = torch.from_numpy(np.rint(values / 257).astype(np.uint8))  # 65535 / 255 = 257
        return grey.expand(3, -1, -1).contiguous()
    if image.mode == "F":
        raise UnknownRangeError(
            "image holds floating-point numbers, of unknown range; convert it to 16 or 8 bits"
        )
    if "transparency" in image.info:  # Pillow wants to go through RGBA here
        image = image.convert("RGBA")
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous()
