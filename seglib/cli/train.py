"""`seglib train`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seglib.cli.common import (
    DataRoot,
    Device,
    Problems,
    at_least,
    naming,
    not_negative,
    one_line,
    open_dataset,
    output_stride,
    positive,
    resolve_device,
)

if TYPE_CHECKING:
    from seglib.datasets import SegmentationDataset

CROP_SIZES = {"toystreet": (120, 160), "camvid": (192, 256)}
MIN_CROP = 32  # pixels, see seglib.backbones
DEFAULT_EPOCHS = 10
RUN_FILES = ("last.pth", "best.safetensors")
# Settings that may differ when a run goes on: they don't change what is computed.
FREE = ("num_workers", "device", "data_root")
REMEDY = "give the same command with --resume to go on"


def train(
    dataset: Annotated[str, typer.Option(help="toystreet or camvid.")] = "toystreet",
    data_root: DataRoot = None,
    model: Annotated[str, typer.Option(help="See seglib models.")] = "deeplabv3plus_mobilenetv2",
    stride: Annotated[
        int, typer.Option("--output-stride", callback=output_stride, help="8, 16 or 32.")
    ] = 16,
    width_mult: Annotated[
        float | None, typer.Option(callback=positive, help="Width of the backbone. [default: 1]")
    ] = None,
    separable: Annotated[
        bool | None,
        typer.Option("--separable/--no-separable", help="Depthwise separable head. [default: no]"),
    ] = None,
    aspp_channels: Annotated[
        int | None, typer.Option(callback=at_least(1), help="Channels of ASPP. [default: 256]")
    ] = None,
    low_level_channels: Annotated[
        int | None,
        typer.Option(callback=at_least(1), help="Of the decoder's fine map. [default: 48]"),
    ] = None,
    decoder_convs: Annotated[
        int | None,
        typer.Option(callback=at_least(1), help="3×3 convolutions of the decoder. [default: 1]"),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="FILE|imagenet", help="Weights to start from, of the same network."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(callback=at_least(1), help="Passes over the data. [default: 10]")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(callback=at_least(1), help="Optimiser steps, instead.")
    ] = None,
    batch_size: Annotated[int, typer.Option(callback=at_least(2), help="Images per step.")] = 8,
    crop_size: Annotated[
        str | None,
        typer.Option(metavar="HxW", help="Pixels. [default: 120x160 toystreet, 192x256 camvid]"),
    ] = None,
    optimizer: Annotated[str, typer.Option(help="sgd or adamw.")] = "sgd",
    lr: Annotated[float, typer.Option(callback=positive, help="Learning rate at first.")] = 0.01,
    backbone_lr: Annotated[
        float | None, typer.Option(callback=positive, help="The backbone's. [default: --lr]")
    ] = None,
    weight_decay: Annotated[
        float, typer.Option(callback=not_negative, help="Of all parameters.")
    ] = 1e-4,
    seed: Annotated[
        int, typer.Option(callback=at_least(0), help="Of weights, order and augmentation.")
    ] = 0,
    num_workers: Annotated[
        int, typer.Option(callback=at_least(0), help="Processes that load images.")
    ] = 0,
    val_every: Annotated[
        int | None,
        typer.Option(callback=at_least(1), help="Steps between validations. [default: an epoch]"),
    ] = None,
    device: Device = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder. [default: runs/DATASET-MODEL]"),
    ] = None,
    check: Annotated[
        bool, typer.Option(help="Read every image and mask once before the start.")
    ] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in DIR, with the same options.")
    ] = False,
) -> None:
    """Train a network.

    DIR gets best.safetensors, last.pth, history.json and config.json. Every option, image and mask
    is checked before anything is written.
    """
    if epochs is not None and steps is not None:
        raise ValueError("--epochs and --steps exclude each other, got both")
    if optimizer not in ("sgd", "adamw"):
        raise ValueError(f"--optimizer must be sgd or adamw, got {optimizer!r}")
    crop = _crop_size(crop_size, dataset)
    backbone_options = _given(width_mult=width_mult)
    head_options = _given(
        separable=separable,
        aspp_channels=aspp_channels,
        low_level_channels=low_level_channels,
        decoder_convs=decoder_convs,
    )
    settings: dict[str, object] = {
        "dataset": dataset,
        "data_root": None if data_root is None else str(data_root.expanduser().resolve()),
        "model": model,
        "output_stride": stride,
        "backbone_options": backbone_options,
        "head_options": head_options,
        "weights": weights,
        "epochs": None if steps else epochs or DEFAULT_EPOCHS,
        "steps": steps,
        "batch_size": batch_size,
        "crop_size": list(crop),
        "optimizer": optimizer,
        "lr": lr,
        "backbone_lr": backbone_lr,
        "weight_decay": weight_decay,
        "seed": seed,
        "num_workers": num_workers,
        "val_every": val_every,
        "device": device,
    }
    folder = Path("runs") / f"{dataset}-{model}" if out is None else out
    _check_folder(folder, settings, resume)

    import torch
    from tqdm import tqdm

    from seglib.datasets.transforms import train_transform
    from seglib.metrics import Scores
    from seglib.models import build_model
    from seglib.training import fit
    from seglib.weights import load_weights

    train_data = open_dataset(dataset, "train", data_root)
    val_data = open_dataset(dataset, "val", data_root)
    place = resolve_device(device)
    torch.manual_seed(seed)
    with naming("--model"):
        network = build_model(
            model,
            num_classes=len(train_data.classes),
            output_stride=stride,
            backbone_options=backbone_options,
            head_options=head_options,
            weights=weights if weights == "imagenet" else None,
        )
    if weights is not None and weights != "imagenet":
        load_weights(network, weights)
    if check and not resume:
        _check_items(train_data, val_data)
    train_data.transform = train_transform(crop)

    started = time.perf_counter()

    def report(step: int, scores: Scores) -> None:
        tqdm.write(  # above the progress bar, if there is one
            f"step {step:>6}  mean IoU {scores.mean_iou:.4f}"
            f"  overall accuracy {scores.overall_accuracy:.4f}"
            f"  {time.perf_counter() - started:.1f} s"
        )

    with _run_folder(folder, settings):
        history = fit(
            network,
            train_data,
            val_data,
            steps=steps,
            epochs=None if steps else epochs or DEFAULT_EPOCHS,
            batch_size=batch_size,
            optimizer=optimizer,
            lr=lr,
            backbone_lr=backbone_lr,
            weight_decay=weight_decay,
            seed=seed,
            num_workers=num_workers,
            val_every=val_every,
            device=place,
            checkpoint_dir=folder,
            resume=resume,
            on_validation=report,
        )
        _write_json(folder / "history.json", history.as_dict())
    print(f"{folder}: best mean IoU {history.best_mean_iou:.4f}")


def _given(**options: object) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def _crop_size(text: str | None, dataset: str) -> tuple[int, int]:
    if text is None:
        return CROP_SIZES.get(dataset, (192, 256))
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()) or min(int(height), int(width)) < MIN_CROP:
        raise ValueError(
            f"--crop-size must be HxW, such as 192x256, each >= {MIN_CROP}, got {text!r}"
        )
    return int(height), int(width)


def _check_folder(out: Path, settings: Mapping[str, object], resume: bool) -> None:
    """Refuse a folder that can't be the run's: taken by another, or by other settings."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out must be a folder, got the file {out}")
    if not resume:
        if any((out / name).exists() for name in RUN_FILES):
            raise ValueError(f"{out} already holds a run; give --resume or another --out")
        return
    if not (out / "last.pth").is_file():
        raise FileNotFoundError(
            f"{out / 'last.pth'} is missing: no run to go on with; leave out --resume"
        )
    try:
        before = json.loads((out / "config.json").read_text(encoding="utf-8"))
        changed = [name for name in settings if name not in FREE and before[name] != settings[name]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{out / 'config.json'} is missing or damaged; start a new run") from error
    if changed:
        name = changed[0]
        raise ValueError(
            f"--resume: {out} was trained with {name}={before[name]}, now {settings[name]};"
            " give the same options, or another --out"
        )


@contextmanager
def _run_folder(folder: Path, settings: Mapping[str, object]) -> Iterator[None]:
    """Make the folder and write its settings; undo both if nothing was trained in it."""
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", settings)
    try:
        yield
    except BaseException as error:
        if any((folder / name).exists() for name in RUN_FILES):
            if isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt(f"{folder} holds the run; {REMEDY}") from error
            raise
        (folder / "config.json").unlink()
        if new:
            folder.rmdir()
        raise


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    from seglib.files import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")


def _check_items(*datasets: SegmentationDataset) -> None:
    """Read every item once: a wrong file is better found now than after an hour."""

    def problem(item: tuple[SegmentationDataset, int]) -> str | None:
        dataset, index = item
        try:
            dataset[index]
        except (ValueError, OSError) as error:
            return one_line(error)
        return None

    items = [(dataset, index) for dataset in datasets for index in range(len(dataset))]
    with ThreadPoolExecutor() as pool:  # decoding runs outside Python's lock
        problems = [found for found in pool.map(problem, items) if found]
    if problems:
        raise Problems(problems)
