"""Fetch data sets through torchvision, when asked to and never otherwise."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from seglib.datasets.voc import VOC

YEARS = tuple(str(year) for year in range(2007, 2013))


def downloadable() -> tuple[str, ...]:
    """The names that `download` knows."""
    return ("voc", *(f"voc{year}" for year in YEARS), "pets")


def download(name: str, root: str | Path) -> Path:
    """Fetch a data set and lay it out as published; all of it or nothing.

    The archives are checked by torchvision's MD5 sums, unpacked in a hidden folder of `root`, and
    removed. VOC's years lie side by side; 2007 comes with its test split.

    Args:
        name: one of `downloadable()`.
        root: where the data set is to lie; made if missing. `build_dataset` takes the same folder.
    Returns:
        The folder that is new in `root`.
    Raises:
        ValueError: if `name` is unknown, or `root` holds the data set already or is a file.
        OSError: if the network, the server or the disk fails; what was there before is unchanged.
    Source: Everingham et al. (VOC) and Parkhi et al. (Oxford-IIIT Pet), from the servers of the
        University of Oxford that `torchvision.datasets` names.
    """
    if name not in downloadable():
        raise ValueError(f"name must be one of {', '.join(downloadable())}, got {name!r}")
    root = Path(root).expanduser()
    if root.exists() and not root.is_dir():
        raise ValueError(f"root must be a folder, got the file {root}")
    if name == "pets":
        place, fetch = Path("oxford-iiit-pet"), _fetch_pets
    else:
        year = VOC.year if name == "voc" else name.removeprefix("voc")
        place = Path("VOCdevkit", f"VOC{year}")

        def fetch(workshop: Path) -> Path:
            return _fetch_voc(workshop, year)

    target = root / place
    if target.exists():
        raise ValueError(f"{target} is there already; remove it to get it anew")
    root.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(prefix=".download-", dir=root))
    try:
        fetched = _attempt(name, fetch, workshop)
        target.parent.mkdir(exist_ok=True)
        os.replace(fetched, target)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
        if not any(root.iterdir()):
            root.rmdir()
    return target


def _attempt(name: str, fetch: Callable[[Path], Path], workshop: Path) -> Path:
    try:
        return fetch(workshop)
    except (OSError, RuntimeError) as error:  # torchvision's own: RuntimeError, a wrong MD5 sum
        reason = " ".join(str(error).split()) or type(error).__name__
        raise OSError(
            f"{name} could not be downloaded: {reason}; look at the network and the free disk "
            f"space, and try again"
        ) from error


def _fetch_voc(workshop: Path, year: str) -> Path:
    from torchvision.datasets import VOCSegmentation

    VOCSegmentation(workshop, year, "train", download=True)
    if year == "2007":
        VOCSegmentation(workshop, year, "test", download=True)  # the same folder, more files
    (place,) = workshop.glob(f"**/VOC{year}")
    return place


def _fetch_pets(workshop: Path) -> Path:
    from torchvision.datasets import OxfordIIITPet

    OxfordIIITPet(workshop, "trainval", "segmentation", download=True)
    place = workshop / "oxford-iiit-pet"
    for archive in place.glob("*.tar.gz"):
        archive.unlink()
    return place
