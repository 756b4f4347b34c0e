"""`seglib export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seglib.cli.common import Weights, at_least, restore_model


def export(
    out: Annotated[
        Path,
        typer.Argument(metavar="FILE.onnx|FILE.pt2", help="Where to write; its suffix says what."),
    ],
    weights: Weights,
    check: Annotated[
        bool, typer.Option(help="Run the file at two other sizes and compare.")
    ] = True,
    model: Annotated[
        str | None, typer.Option(help="The network, for files that don't say it.")
    ] = None,
    num_classes: Annotated[
        int | None, typer.Option(callback=at_least(1), help="Its classes, for such files.")
    ] = None,
) -> None:
    """Write a network for other programs.

    As ONNX, or as PyTorch's .pt2, for images of any size; BatchNorm is folded. If the file does not
    compute what the network computes, nothing is written.
    """
    if out.suffix not in (".onnx", ".pt2"):
        raise ValueError(f"FILE must end in .onnx or .pt2, got {out}")
    if out.is_dir() or not out.parent.is_dir():
        raise ValueError(f"FILE must be a file in a folder that exists, got {out}")
    from seglib.inference import export as write

    network = restore_model(weights, model, num_classes)
    try:
        difference = write(network, out, check=check)
    except ModuleNotFoundError as error:
        raise ValueError(str(error)) from error
    checked = "" if difference is None else f": max |Δ| of the logits {difference:.1e} at two sizes"
    print(f"{out}{checked}")
