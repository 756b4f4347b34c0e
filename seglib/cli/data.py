"""`seglib data`: make, download and check data sets."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from seglib.cli.common import Commands, naming

PICTURE_SUFFIXES = (".png", ".pdf", ".svg")
DPI = 100  # of the picture, 12 inches wide


data = typer.Typer(
    cls=Commands,
    help="Make, download and check data sets.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@data.command()
def toystreet(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
) -> None:
    """Draw ToyStreet, the street scenes.

    300 to train on, 60 to validate and 60 to test, the same pixels on every machine.
    """
    from seglib.datasets.toystreet import write_toystreet

    with naming("--out"):
        write_toystreet(out)
    print(f"ToyStreet is in {out}")


@data.command()
def download(
    name: Annotated[str, typer.Argument(help="voc2007 … voc2012 (voc is voc2012) or pets.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The data set's folder. [default: $SEGLIB_DATA/NAME, or data/NAME]"
        ),
    ] = None,
) -> None:
    """Fetch Pascal VOC or Oxford-IIIT Pet from where its authors published it.

    Up to two gigabytes each, checked and unpacked; all of it or nothing.
    """
    from seglib.datasets import dataset_class, places
    from seglib.datasets.download import download as fetch
    from seglib.datasets.download import downloadable

    if name not in downloadable():
        raise ValueError(f"only {', '.join(downloadable())} can be downloaded, got {name!r}")
    if out is None:
        usual = places(dataset_class(name))
        if not usual:
            raise ValueError("--out must name a folder, as neither $SEGLIB_DATA nor data/ is there")
        out = usual[0]
    with contextlib.redirect_stderr(sys.stderr if sys.stderr.isatty() else io.StringIO()):
        place = fetch(name, out)
    print(f"{name} is in {place}")


@data.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The data set's own folder.")],
    dataset: Annotated[
        str, typer.Option(metavar="NAME", help="Its kind: folder, camvid, voc2012 …")
    ] = "folder",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a picture there: samples and frequencies. .png"),
    ] = None,
) -> None:
    """Read a whole data set; tell what is in it and what is wrong.

    Exit code 0: all is well; 1: there are problems, each told on a line of its own.

    Your own data (the kind "folder") must look so:

    \b
      DIR/classes.yaml        classes: {background: [0, 0, 0], cat: [128, 0, 0]}
                              void: 255
      DIR/images/a.jpg        images
      DIR/masks/a.png         masks of the same names: grey or palette PNGs whose
                              pixel values are labels (0 is the first class), or
                              RGB ones in exactly the classes' colours

    Splits are sub-folders (images/train, masks/train, images/val …) or lists of names
    (DIR/train.txt, DIR/val.txt …). Without them, a fifth of the images is for validation.
    """
    if out is not None:
        if out.suffix.lower() not in PICTURE_SUFFIXES:
            raise ValueError(f"--out must end in {', '.join(PICTURE_SUFFIXES)}, got {out}")
        if out.is_dir() or not out.parent.is_dir():
            raise ValueError(f"--out must be a file in a folder that exists, got {out}")
    from tqdm import tqdm

    from seglib.datasets import available_datasets
    from seglib.datasets.inspection import inspect_dataset
    from seglib.files import atomic_path

    if dataset not in available_datasets():
        raise ValueError(
            f"--dataset must be one of {', '.join(available_datasets())}, got {dataset!r}"
        )
    with tqdm(unit=" images", leave=False, disable=None) as bar:  # on a terminal only

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        inspection = inspect_dataset(dataset, folder, show)
    print(inspection.report())
    if out is not None and any(split.usable for split in inspection.splits):
        from seglib.datasets.inspection_picture import draw_inspection

        figure = draw_inspection(inspection)
        with atomic_path(out) as temporary:
            figure.savefig(temporary, format=out.suffix[1:].lower(), dpi=DPI)
        print(f"{out}: samples and frequencies")
    if inspection.problems:
        raise typer.Exit(1)
