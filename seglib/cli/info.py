"""`seglib models` and `seglib --version`."""

from __future__ import annotations

from typing import Annotated

import typer

SIZE = 513  # pixels; the size for which the papers count


def _show_version(wanted: bool) -> None:
    if wanted:
        from seglib import __version__

        print(f"seglib {__version__}")
        raise typer.Exit


def start(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version."),
    ] = False,
) -> None:
    """Train and use segmentation networks; seglib COMMAND --help explains a command."""


def models() -> None:
    """List the networks.

    Parameters and multiply-adds are those for 21 classes, 513×513 pixels and output stride 16.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from seglib.models import available_models, build_model

    names = available_models()
    width = max(map(len, names))
    print(f"{'model':<{width}}  parameters  multiply-adds")
    for name in names:
        with torch.device("meta"):  # shapes without numbers: counting costs no arithmetic
            model = build_model(name).eval()
            image = torch.empty(1, 3, SIZE, SIZE)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(image)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        multiply_adds = counter.get_total_flops() / 2
        print(f"{name:<{width}}  {parameters / 1e6:8.2f} M  {multiply_adds / 1e9:11.2f} G")
