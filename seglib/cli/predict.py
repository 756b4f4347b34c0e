"""`seglib predict`."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seglib.cli.common import (
    Device,
    Problems,
    Weights,
    at_least,
    one_line,
    resolve_device,
    restore_model,
    run_settings,
)

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
DPI = 150  # of the overlay's figure, 7.4 × 2.6 inches


def predict(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE|FOLDER|PATTERN…", help="Images, or where they lie."),
    ],
    weights: Weights,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write; made if missing.")],
    overlay: Annotated[
        bool, typer.Option(help="Also a figure: image and prediction, with a legend.")
    ] = True,
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
    shows image and prediction with a legend. All images are read before anything is written: if
    one can't be read, nothing is.
    """
    paths = _find(images)
    targets = _targets(paths, out)
    from seglib.files import atomic_path
    from seglib.images import read_image
    from seglib.inference import predict as segment
    from seglib.visualize import save_mask, show_prediction

    place = resolve_device(device)
    network = restore_model(weights, model, num_classes).to(place)
    problems = []
    for path in paths:
        try:
            read_image(path)
        except (ValueError, OSError) as error:
            problems.append(one_line(error))
    if problems:
        raise Problems(problems)
    classes, palette = _names_and_colors(weights, network.config["num_classes"])

    out.mkdir(parents=True, exist_ok=True)
    for path, (mask_path, overlay_path) in zip(paths, targets, strict=True):
        image = read_image(path)
        mask = segment(network, image)
        assert not isinstance(mask, list)  # one image in, one mask out
        save_mask(mask_path, mask, palette)
        if overlay:
            figure = show_prediction(image, mask, classes, palette)
            with atomic_path(overlay_path) as temporary:
                figure.savefig(temporary, format="png", dpi=DPI)
        print(mask_path)


def _find(patterns: Sequence[str]) -> list[Path]:
    """The images that are meant, in order, each once."""
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise ValueError(f"folder {path} holds no image ({', '.join(SUFFIXES)})")
        elif path.is_file() or not glob.has_magic(pattern):
            inside = [path]
        else:
            inside = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
            if not inside:
                raise FileNotFoundError(f"no file fits {pattern}")
        found += inside
    missing = [
        f"{path} does not exist; give the path of an image" for path in found if not path.exists()
    ]
    if missing:
        raise Problems(missing)
    return list(dict.fromkeys(found))


def _targets(paths: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Where each image's mask and overlay go, never onto another's or onto an image."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out must be a folder, got the file {out}")
    targets = [(out / f"{p.stem}_mask.png", out / f"{p.stem}_overlay.png") for p in paths]
    owners: dict[Path, Path] = {}
    for path, (mask_path, _) in zip(paths, targets, strict=True):
        other = owners.setdefault(mask_path, path)
        if other != path:
            raise ValueError(f"{other} and {path} would both become {mask_path}; rename one")
    sources = {path.resolve() for path in paths}
    for target in (target for pair in targets for target in pair):
        if target.resolve() in sources:
            raise ValueError(f"{target} is an image to read and would be overwritten; move it")
    return targets


def _names_and_colors(weights: Path, num_classes: object) -> tuple[Sequence[str], Tensor]:
    """The names and colours of the data set trained on, else numbers and colours of our own."""
    import torch

    from seglib.datasets.camvid import CLASSES, PALETTE
    from seglib.visualize import make_palette

    assert isinstance(num_classes, int)  # restore_model has seen to it
    known = run_settings(weights).get("dataset") in (None, "toystreet", "camvid")
    if known and num_classes == len(CLASSES):
        return CLASSES, torch.tensor(PALETTE, dtype=torch.uint8)
    return [f"class {label}" for label in range(num_classes)], make_palette(num_classes)
