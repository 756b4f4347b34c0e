"""Files: written whole or not at all, and read without running code from them."""

import os
import pickle
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

# Old checkpoints hold a NumPy scalar, such as the best score. These names build numbers and
# nothing else.
_scalar = cast(Callable[..., object], np.float64(0).__reduce__()[0])
NUMPY_SCALARS: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(code)) for code in ("f2", "f4", "f8", "u1", "i4", "i8", "?")),
]


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes `path` in one step when the block ends without
    an error.

    Whoever reads `path` sees the old file or the new one, never a part of it; an error leaves the
    old one.

    Raises:
        FileNotFoundError: if the folder of `path` does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {path.parent} does not exist; create it first")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(*paths: Path) -> None:
    """Remove what `atomic_path` leaves of each path when the process is killed while it writes."""
    for path in paths:
        for leftover in path.parent.glob(f".{path.stem}-????????{path.suffix}"):
            leftover.unlink(missing_ok=True)


def read_tensors(path: str | Path) -> Mapping[str, object]:
    """Read a `.safetensors` or PyTorch file: the tensors by their names, or what a PyTorch file
    wraps them in.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, holds code besides tensors and numbers, or no mapping.
    """
    path = Path(path)
    with _errors_name(path):
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        with torch.serialization.safe_globals(NUMPY_SCALARS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a file's age; whether it reads is told by an error
            content: object = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, not tensors by their names")
    return content


def read_metadata(path: str | Path) -> dict[str, str]:
    """The text entries of a `.safetensors` file's header; none in any other file. Errors as
    `read_tensors`.
    """
    path = Path(path)
    with _errors_name(path):
        if path.suffix != ".safetensors":
            return {}
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})


@contextmanager
def _errors_name(path: Path) -> Iterator[None]:
    """Turn what the readers raise into one line that names the file."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"{path} {what}; give the path of a weight file")
    try:
        yield
    except pickle.UnpicklingError as error:
        refused = "GLOBAL" in str(error) or "Unsupported" in str(error)
        if not refused or not _begins(path, b"PK", b"\x80"):  # a zip file, a pickle
            raise ValueError(f"{path} is damaged or no weight file; get it again") from error
        raise ValueError(
            f"{path} holds code besides tensors and was not loaded;"
            " convert it to .safetensors where you trust it"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, LookupError, ValueError) as error:
        raise ValueError(f"{path} is damaged or no weight file; get it again") from error


def _begins(path: Path, *starts: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(max(map(len, starts))).startswith(starts)
