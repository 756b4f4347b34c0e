"""Networks as files for other programs: ONNX and PyTorch's `.pt2`, for images of any size."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from seglib.datasets.transforms import MEAN, STD
from seglib.files import atomic_path
from seglib.optimisation import OptimisedModel, fold_batch_norms

SUFFIXES = (".onnx", ".pt2")
NEEDED = ("onnx", "onnxscript", "onnxruntime")
# Pixels beyond a network's own smallest image, which leaves one pixel of the coarsest map:
# torch.export takes a side of 1 for a constant.
MARGIN = 32
TOLERANCE = 1e-3  # of logits, relative to the largest one; rounding may reach half of that

Run = Callable[[Tensor], Tensor]


def export(model: nn.Module, path: str | Path, *, check: bool = True) -> float | None:
    """Write a network for programs that know nothing of seglib.

    The file's suffix says how: `.onnx`, for onnxruntime and others, or `.pt2`, read with
    `torch.export.load(path).module()`. The network computes in float32, with BatchNorms folded into
    convolutions; it takes any number of images of any size from 33 pixels a side (Xception with
    `legacy_tail`: from 103 or 135): input "image", float32 (N, C, H, W), normalised as by
    `seglib.datasets.transforms.normalize`; output "logits", float32 (N, num_classes, H, W). The
    network's configuration, mean and deviation lie in the file, as JSON: ONNX metadata "seglib",
    extra file "seglib.json".

    Args:
        model: images (N, C, H, W) → logits (N, num_classes, H, W), as `build_model` makes them.
        path: where to write; an existing file is replaced. Written whole or not at all.
        check: read the file back, let onnxruntime or PyTorch run it at two other sizes, and compare
            with the model; no file is left if the logits differ by more than 1e-3 of the largest.
    Returns:
        The largest |Δ| of the logits; None without check.
    Raises:
        ValueError: for another suffix, a model that can't be exported, or logits that differ.
        FileNotFoundError: if the folder does not exist.
        ModuleNotFoundError: if ONNX's packages are not installed.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"path must end in {' or '.join(SUFFIXES)}, got {path}")
    if path.is_dir():
        raise ValueError(f"path must be a file, got the folder {path}")
    if isinstance(model, OptimisedModel):
        raise ValueError("model must be a network as it was trained, got an optimised one")
    missing = [name for name in NEEDED if path.suffix == ".onnx" and find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f'exporting to ONNX needs {", ".join(missing)}: pip install "seglib[export]"'
        )
    with atomic_path(path) as temporary, torch.no_grad():
        plain = deepcopy(model).cpu().float().eval()
        description = {"config": getattr(model, "config", {}), "mean": MEAN, "std": STD}
        text = json.dumps(description, default=str)
        with _quiet(), _one_error(path):
            program = _trace(plain)
            if path.suffix == ".onnx":
                _write_onnx(program, temporary, text)
            else:
                torch.export.save(program, temporary, extra_files={"seglib.json": text})
        if not check:
            return None
        with _quiet(), _one_error(path):
            run = _onnx_session(temporary) if path.suffix == ".onnx" else _pt2_module(temporary)
            return _compare(plain, run)


def _min_size(model: nn.Module) -> int:
    """The smallest side of an image; some backbones need more pixels than others."""
    return MARGIN + max(getattr(module, "min_size", 1) for module in model.modules())


def _images(model: nn.Module, *size: int) -> Tensor:
    channels = getattr(model, "config", {}).get("in_channels", 3)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(size[0], channels, *size[1:], generator=generator)


def _trace(model: nn.Module) -> ExportedProgram:
    low = _min_size(model)
    sizes = {0: Dim("batch"), 2: Dim("height", min=low), 3: Dim("width", min=low)}
    image = _images(model, 2, low + 63, low + 127)
    return torch.export.export(fold_batch_norms(model), (image,), dynamic_shapes=(sizes,))


def _write_onnx(program: ExportedProgram, path: Path, description: str) -> None:
    converted = torch.onnx.export(
        program,
        dynamo=True,
        dynamic_shapes=({0: "batch", 2: "height", 3: "width"},),
        input_names=["image"],
        output_names=["logits"],
        verbose=False,
    )
    assert converted is not None
    converted.model.metadata_props["seglib"] = description
    converted.save(path, external_data=False)  # one file, not two


def _onnx_session(path: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run(["logits"], {"image": image.numpy()})[0])


def _pt2_module(path: Path) -> Run:
    return torch.export.load(path).module()


def _compare(model: nn.Module, run: Run) -> float:
    """The largest |Δ| at two sizes that were not traced."""
    low = _min_size(model)
    largest = 0.0
    for size in ((1, low + 32, low + 64), (3, low + 96, low + 31)):
        image = _images(model, *size)
        expected, logits = model(image), run(image)
        if logits.shape != expected.shape:
            raise ValueError(f"shapes {tuple(logits.shape)} and {tuple(expected.shape)} differ")
        difference = float((logits - expected).abs().max())
        allowed = TOLERANCE * float(expected.abs().max())
        if not difference <= allowed:  # NaN too
            raise ValueError(
                f"its logits differ from the model's by {difference:.2g} at {size[1]}×{size[2]},"
                f" allowed is {allowed:.2g}"
            )
        largest = max(largest, difference)
    return largest


@contextmanager
def _one_error(path: Path) -> Iterator[None]:
    """Whatever the exporters raise, as one line; there are dozens of kinds."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        reason = reason if len(reason) <= 300 else f"{reason[:300]} …"
        raise ValueError(f"model can't be exported to {path}: {reason}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' reports of their progress, on three ways."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            open(os.devnull, "w", encoding="utf-8") as nowhere,
            redirect_stdout(nowhere),
            redirect_stderr(nowhere),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
