"""Which images `seglib predict` reads, and where it writes what it makes of them."""

from __future__ import annotations

import glob
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from seglib.cli.common import Problems

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
ENDINGS = {  # of the files' names, by what they hold
    "mask": "_mask.png",
    "color": "_color.png",
    "overlay": "_overlay.png",
    "probabilities": "_probabilities.npz",
}


def find_images(patterns: Sequence[str]) -> list[Path]:
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
            fitting = map(Path, sorted(glob.glob(pattern, recursive=True)))
            inside = [path for path in fitting if not path.is_dir()]
            if not inside:
                raise FileNotFoundError(f"no file fits {pattern}")
        found += inside
    missing = [
        f"{path} does not exist; give the path of an image" for path in found if not path.exists()
    ]
    if missing:
        raise Problems(missing)
    # One file may be named in several ways.
    return list({path.resolve(): path for path in reversed(found)}.values())[::-1]


def output_paths(paths: Sequence[Path], out: Path, kinds: Sequence[str]) -> list[dict[str, Path]]:
    """Where each image's results go, by kind, never onto another's or onto an image.

    They bear the image's name. Where images of different folders share a name, all results go into
    folders below `out` like those of the images.

    Raises:
        ValueError: if images of one folder share a name, or `out` is no folder, or an image lies
            where a result would go.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out must be a folder, got the file {out}")
    sources = [path.resolve() for path in paths]
    folders: dict[str, set[Path]] = defaultdict(set)
    for source in sources:
        folders[source.stem].add(source.parent)
    places = [Path()] * len(paths)
    if any(len(parents) > 1 for parents in folders.values()):
        top = os.path.commonpath([source.parent for source in sources])
        places = [source.parent.relative_to(top) for source in sources]
    targets = [
        {kind: out / place / f"{path.stem}{ENDINGS[kind]}" for kind in kinds}
        for path, place in zip(paths, places, strict=True)
    ]
    owners: dict[Path, Path] = {}
    for path, results in zip(paths, targets, strict=True):
        for target in results.values():
            other = owners.setdefault(target, path)
            if other != path:
                raise ValueError(f"{other} and {path} would both become {target}; rename one")
            if target.resolve() in sources:
                raise ValueError(f"{target} is an image to read and would be overwritten; move it")
    return targets
