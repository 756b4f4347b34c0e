"""The folder of a training run: whose it is, its settings, and nothing left where nothing ran."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

RUN_FILES = ("last.pth", "best.safetensors")
# Settings that may differ when a run goes on: they don't change what is computed.
FREE = (
    *("num_workers", "device", "data_root"),
    *("print_every", "tensorboard", "samples", "save_results"),
)
REMEDY = "give the same command with --resume to go on"


def check_folder(out: Path, settings: Mapping[str, object], resume: bool) -> None:
    """Refuse a folder that can't be the run's: taken by another, or by other settings.

    Raises:
        ValueError, FileNotFoundError: if so.
    """
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
def run_folder(folder: Path, settings: Mapping[str, object]) -> Iterator[None]:
    """Make the folder and write its settings; undo both if nothing was trained in it.

    Of several processes the first one does it.
    """
    from seglib.distributed import rank
    from seglib.files import remove_leftovers

    if rank() > 0:
        yield
        return
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder / "config.json", folder / "history.json")
    write_json(folder / "config.json", settings)
    try:
        yield
    except BaseException as error:
        if any((folder / name).exists() for name in RUN_FILES):
            if isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt(f"{folder} holds the run; {REMEDY}") from error
            raise
        (folder / "config.json").unlink()
        if new:
            shutil.rmtree(folder)
        raise


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write it in one step."""
    from seglib.files import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")
