"""`seglib evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from seglib.cli import train_options as option
from seglib.cli.common import (
    DataRoot,
    Device,
    Weights,
    at_least,
    open_dataset,
    resolve_device,
    restore_model,
    run_settings,
)


def evaluate(
    weights: Weights,
    dataset: Annotated[
        str | None, typer.Option(help="See seglib train. [default: the one trained on]")
    ] = None,
    data_root: DataRoot = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "val",
    model: Annotated[
        str | None, typer.Option(help="The network, for files that don't say it.")
    ] = None,
    batch_size: Annotated[int, typer.Option(callback=at_least(1), help="Images at once.")] = 1,
    num_workers: Annotated[
        int, typer.Option(callback=at_least(0), help="Processes that load images.")
    ] = 0,
    precision: option.Precision = "fp32",
    device: Device = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the scores there, too.")
    ] = None,
) -> None:
    """Measure a network on a data set.

    Prints the IoU and the accuracy of each class, mean IoU, and overall, mean and
    frequency-weighted accuracy. Several processes: torchrun --nproc-per-node=N -m seglib evaluate …
    """
    if json_file is not None and (json_file.is_dir() or not json_file.parent.is_dir()):
        raise ValueError(f"--json must be a file in a folder that exists, got {json_file}")
    import torch

    from seglib.distributed import process_group, rank
    from seglib.files import atomic_path
    from seglib.training import evaluate as measure

    settings = run_settings(weights)
    name = dataset or settings.get("dataset") or "toystreet"
    trained_on = settings.get("data_root") if name == settings.get("dataset") else None
    root = Path(trained_on) if data_root is None and isinstance(trained_on, str) else data_root
    images = open_dataset(str(name), split, root)
    network = restore_model(weights, model, len(images.classes))
    num_classes = network.config["num_classes"]
    if num_classes != len(images.classes):
        raise ValueError(
            f"{weights} is of a network for {num_classes} classes, {name} has {len(images.classes)}"
        )
    place = resolve_device(device)
    with process_group(torch.device(place)):
        scores = measure(
            network,
            images,
            batch_size=batch_size,
            num_workers=num_workers,
            device=place,
            precision=precision,
        )
        first = rank() == 0
    if not first:
        return
    print(f"{name} {split}: {len(images)} images, {scores.num_pixels} pixels")
    print(scores.table(images.classes))
    if json_file is not None:
        found = {"dataset": name, "split": split, "classes": images.classes, **scores.as_dict()}
        with atomic_path(json_file) as temporary:
            temporary.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", "utf-8")
