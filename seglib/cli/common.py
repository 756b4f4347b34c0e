"""What the commands share: checks of options, reading networks back, errors in one line.

Nothing here imports torch before it is needed: a wrong option is answered at once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from seglib.datasets import SegmentationDataset
    from seglib.models import SegmentationModel

OUTPUT_STRIDES = (8, 16, 32)


class Commands(TyperGroup):
    """Says what there is where a word is no command; Typer's own message would not."""

    def parse_args(self, ctx, args):  # type: ignore[no-untyped-def]
        *first, last = self.commands
        names = f"{', '.join(first)} or {last}"
        if not args:
            raise ValueError(f"seglib {self.name}: give {names}, or --help")
        if not args[0].startswith("-") and args[0] not in self.commands:
            raise ValueError(f"seglib {self.name}: give {names}, got {args[0]!r}")
        return super().parse_args(ctx, args)


class Problems(ValueError):
    """Several mistakes at once, on one line: the first three, and how many more there are."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        more = [f"and {len(mistakes) - 3} more"] if mistakes[3:] else []
        super().__init__("; ".join([*mistakes[:3], *more]))


def one_line(error: ValueError | OSError) -> str:
    """What to tell about an error, without a traceback and on one line."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    text = str(error).strip()
    if text.startswith("Caught ") and "Traceback" in text:  # from a DataLoader's worker process
        text = text.splitlines()[-1].partition(": ")[2]
    return " ".join(text.split())


@contextmanager
def naming(option: str) -> Iterator[None]:
    """Begin the ValueErrors of what is inside with the option they are about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from error


def positive(value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise typer.BadParameter(f"must be a finite number > 0, got {value}")
    return value


def not_negative(value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise typer.BadParameter(f"must be a finite number >= 0, got {value}")
    return value


def at_least(low: int) -> Callable[[int | None], int | None]:
    def check(value: int | None) -> int | None:
        if value is not None and value < low:
            raise typer.BadParameter(f"must be >= {low}, got {value}")
        return value

    return check


def output_stride(value: int | None) -> int | None:
    if value is not None and value not in OUTPUT_STRIDES:
        raise typer.BadParameter(f"must be 8, 16 or 32, got {value}")
    return value


Weights = Annotated[
    Path, typer.Option(metavar="FILE", help="Weights that seglib train or save_weights wrote.")
]
DataRoot = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The data set's folder. [default: $SEGLIB_DATA, then data/]"),
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1, mps … [default: a GPU if there is one]")
]


def resolve_device(name: str | None) -> str:
    """The device's name, tried out.

    Raises:
        ValueError: if there is no such device here.
    """
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"--device must be one that is there, such as cpu, got {name!r}"
        ) from error
    return name


def open_dataset(name: str, split: str, root: Path | None) -> SegmentationDataset:
    """`build_dataset` with `eval_transform`, its errors named after the options."""
    from seglib.datasets import available_datasets, build_dataset
    from seglib.datasets.transforms import eval_transform

    if name not in available_datasets():
        raise ValueError(
            f"--dataset must be one of {', '.join(available_datasets())}, got {name!r}"
        )
    try:
        return build_dataset(name, split, root, eval_transform())
    except ValueError as error:
        option = "--" if str(error).startswith("split ") else ""
        raise ValueError(f"{option}{error}") from error


def run_settings(weights: Path) -> dict[str, object]:
    """The settings of the training run whose folder `weights` lies in; {} elsewhere."""
    try:
        settings = json.loads((weights.parent / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}


def restore_model(
    weights: Path, model: str | None = None, num_classes: int | None = None
) -> SegmentationModel:
    """Build the network that a file's own configuration, or `model`, describes, and load the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, or says not which network it is of, and `model` neither.
    """
    from seglib.files import read_tensors
    from seglib.models import build_model
    from seglib.weights import load_weights, read_config

    # A run's last.pth has no configuration of its own; the settings beside it say the same.
    config = read_config(weights) or run_settings(weights)
    name = model or config.get("name") or config.get("model")
    if not isinstance(name, str):
        read_tensors(weights)  # a damaged file is told as such
        raise ValueError(f"{weights} does not say which network it is of; name it with --model")
    classes = config.get("num_classes", num_classes)
    if classes is None:
        raise ValueError(f"--num-classes must be given: {weights} does not say how many it has")
    stride, channels = config.get("output_stride", 16), config.get("in_channels", 3)
    backbone_options = config.get("backbone_options", {})
    head_options = config.get("head_options", {})
    if (
        not isinstance(classes, int)
        or not isinstance(stride, int)
        or not isinstance(channels, int)
        or not isinstance(backbone_options, Mapping)
        or not isinstance(head_options, Mapping)
    ):
        raise ValueError(f"{weights} is damaged: its configuration is incomplete; get it again")
    with naming("--model" if model else str(weights)):
        network = build_model(
            name,
            num_classes=classes,
            output_stride=stride,
            in_channels=channels,
            backbone_options=backbone_options,
            head_options=head_options,
        )
    load_weights(network, weights)
    return network
