"""`seglib predict`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seglib.cli.common import (
    Device,
    Problems,
    Weights,
    at_least,
    naming,
    one_line,
    resolve_device,
    restore_model,
    run_settings,
)
from seglib.cli.outputs import find_images, output_paths

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

DPI = 150  # of the overlay's figure, 7.4 × 2.6 inches
FIGURE_SIDE = 900  # pixels: twice the longer side of a picture in the figure


def predict(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE|FOLDER|PATTERN…", help="Images, or where they lie."),
    ],
    weights: Weights,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write; made if missing.")],
    mask: Annotated[bool, typer.Option(help="The labels, NAME_mask.png.")] = True,
    overlay: Annotated[bool, typer.Option(help="A figure with legend, NAME_overlay.png.")] = True,
    color: Annotated[bool, typer.Option(help="The classes' colours, NAME_color.png.")] = False,
    probabilities: Annotated[
        bool, typer.Option(help="Of all classes, NAME_probabilities.npz.")
    ] = False,
    window: Annotated[
        str | None,
        typer.Option(metavar="HxW", help="See the image through windows of so many pixels."),
    ] = None,
    overlap: Annotated[float, typer.Option(help="Share that windows overlap by.")] = 0.25,
    flip: Annotated[bool, typer.Option("--flip", help="Look at the mirrored image, too.")] = False,
    scales: Annotated[
        str, typer.Option(metavar="S,S…", help="Sizes to look at, such as 0.75,1,1.25.")
    ] = "1",
    fast: Annotated[
        bool, typer.Option("--optimise", help="With BatchNorm folded; bfloat16 if there is.")
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option(help="Whose classes and colours. [default: the one trained on]"),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The network, for files that don't say it.")
    ] = None,
    num_classes: Annotated[
        int | None, typer.Option(callback=at_least(1), help="Its classes, for such files.")
    ] = None,
    device: Device = None,
) -> None:
    """Segment images.

    NAME_mask.png holds the labels as pixel values, with the data set's colours; NAME_overlay.png
    shows image and prediction with a legend; NAME_probabilities.npz holds the array probabilities,
    float16 (classes, height, width), and classes, their names. Images with more than 2048·1024
    pixels are seen through windows of 1024x1024. Where images of several folders share a name, DIR
    gets folders like theirs. All images are read before anything is written: if one can't be read,
    nothing is.
    """
    wanted = {"mask": mask, "overlay": overlay, "color": color, "probabilities": probabilities}
    kinds = [kind for kind, wish in wanted.items() if wish]
    if not kinds:
        raise ValueError("nothing to write; leave out --no-mask, or give --color")
    paths = find_images(images)
    targets = output_paths(paths, out, kinds)
    size = None if window is None else _window(window)
    factors = _scales(scales)
    from seglib.images import read_image
    from seglib.inference import optimise, predict_strips
    from seglib.sliding import Views

    with naming("--window, --overlap, --scales"):
        Views(size, overlap, flip, factors)  # refuses what is out of range
    place = resolve_device(device)
    network = restore_model(weights, model, num_classes).to(place)
    channels = network.config["in_channels"]
    if channels != 3:
        raise ValueError(f"{weights} is of a network for {channels} channels; images have 3")
    looks = _looks(weights, network.config["num_classes"], dataset)
    ready = optimise(network) if fast else network
    problems = []
    for path in paths:
        try:
            read_image(path)
        except (ValueError, OSError) as error:
            problems.append(one_line(error))
    if problems:
        raise Problems(problems)

    out.mkdir(parents=True, exist_ok=True)
    for path, results in zip(paths, targets, strict=True):
        image = read_image(path)
        strips = predict_strips(
            ready, image, window=size, overlap=overlap, flip=flip, scales=factors
        )
        for folder in {target.parent for target in results.values()}:
            folder.mkdir(parents=True, exist_ok=True)
        labels, kept = _join(strips, image.shape[1], keep="probabilities" in results)
        _write(results, image, labels, kept, looks)
        print(next(iter(results.values())))


@dataclass(frozen=True)
class Looks:
    """Names and colours of the classes."""

    classes: Sequence[str]
    palette: Tensor


def _looks(weights: Path, num_classes: object, dataset: str | None) -> Looks:
    """Those of the data set named or trained on, else numbers and colours of our own."""
    import torch

    from seglib.visualize import make_palette

    assert isinstance(num_classes, int)  # restore_model has seen to it
    settings = run_settings(weights)
    name = dataset or settings.get("dataset") or "camvid"
    names: Sequence[str] = ()
    colors: Sequence[Sequence[int]] = ()
    if name == "folder":
        names, colors = _own_classes(settings.get("data_root"))
    elif isinstance(name, str):
        names, colors = _known_classes(name, given=dataset is not None)
    if len(names) == num_classes:
        palette = torch.tensor(colors, dtype=torch.uint8) if colors else make_palette(num_classes)
        return Looks(names, palette)
    if dataset is not None:
        raise ValueError(
            f"{weights} is of a network for {num_classes} classes, {dataset} has {len(names)}"
        )
    return Looks([f"class {label}" for label in range(num_classes)], make_palette(num_classes))


def _known_classes(name: str, given: bool) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
    from seglib.datasets import available_datasets, dataset_class

    if name not in available_datasets():
        if given:
            names = ", ".join(available_datasets())
            raise ValueError(f"--dataset must be one of {names}, got {name!r}")
        return (), ()
    known = dataset_class(name)
    return known.classes, known.colors


def _own_classes(root: object) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
    """Of a run with images and masks of one's own: its classes.yaml, if that is still there."""
    from seglib.datasets.class_file import read_class_file

    try:
        described = read_class_file(Path(str(root)) / "classes.yaml")
    except (OSError, ValueError):
        return (), ()
    return described.names, described.colors


def _join(
    strips: Iterator[tuple[Tensor, Tensor]], height: int, keep: bool
) -> tuple[Tensor, npt.NDArray[np.float16] | None]:
    """Labels (H, W), and probabilities (num_classes, H, W) if they are to be kept."""
    import numpy as np
    import torch

    labels, kept, top = [], None, 0
    for rows, probabilities in strips:
        labels.append(rows)
        if keep:
            if kept is None:
                kept = np.empty((len(probabilities), height, rows.shape[1]), dtype=np.float16)
            kept[:, top : top + len(rows)] = probabilities.numpy()
            top += len(rows)
    return torch.cat(labels), kept


def _write(
    results: Mapping[str, Path],
    image: Tensor,
    labels: Tensor,
    probabilities: npt.NDArray[np.float16] | None,
    looks: Looks,
) -> None:
    import numpy as np
    from PIL import Image

    from seglib.files import atomic_path
    from seglib.visualize import colorize, save_mask, show_prediction

    if "mask" in results:
        with _naming_file(results["mask"]):
            save_mask(results["mask"], labels, looks.palette)
    if "color" in results:
        picture = Image.fromarray(colorize(labels, looks.palette).permute(1, 2, 0).numpy())
        with _naming_file(results["color"]), atomic_path(results["color"]) as temporary:
            picture.save(temporary, format="PNG")
    if "overlay" in results:
        figure = show_prediction(*_shrink(image, labels), looks.classes, looks.palette)
        with _naming_file(results["overlay"]), atomic_path(results["overlay"]) as temporary:
            figure.savefig(temporary, format="png", dpi=DPI)
    if probabilities is not None:
        names = np.array(looks.classes, dtype=np.str_)
        path = results["probabilities"]
        with _naming_file(path), atomic_path(path) as temporary:
            np.savez_compressed(temporary, probabilities=probabilities, classes=names)


@contextmanager
def _naming_file(path: Path) -> Iterator[None]:
    """A full disk's error names no file, or a temporary one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _shrink(image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Image and labels in no more pixels than the figure can show."""
    from torchvision.transforms.v2 import functional

    factor = FIGURE_SIDE / max(labels.shape)
    if factor >= 1:
        return image, labels
    size = [max(1, round(side * factor)) for side in labels.shape]
    nearest = functional.InterpolationMode.NEAREST_EXACT
    small = functional.resize_image(labels[None].to(image.dtype), size, nearest)[0]
    return functional.resize_image(image, size, antialias=True), small.long()


def _window(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise ValueError(f"--window must be HxW, such as 512x512, got {text!r}")
    return int(height), int(width)


def _scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"--scales must be numbers with commas between, such as 0.75,1,1.25, got {text!r}"
        ) from None
