"""A training run as a program of its own, to be interrupted, killed, or one of several.

    python tests/training_process.py OPTIONS

OPTIONS is JSON: arguments of `fit`, and `save`, where to write the final weights; `val_images`;
`frozen`, a network without dropout; `kill`, arguments of `kill_at`. Prints a line for each step.
"""

import json
import math
import os
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from squares import Squares, network, train
from support import without_dropout
from torch import nn

from seglib import files, save_weights
from seglib.distributed import process_group, rank
from seglib.metrics import Scores

POINTS = ("before the temporary file", "half-written", "before the rename", "after the rename")


class Send:
    """Sends the number of each step."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def on_step(self, step: int, loss: float, lr: float) -> None:
        with suppress(BrokenPipeError):  # nobody listens any more
            self.connection.send(step)

    def on_validation(self, step: int, scores: Scores, model: nn.Module) -> None:
        pass


class Print:
    def on_step(self, step: int, loss: float, lr: float) -> None:
        print(step, loss, flush=True)

    def on_validation(self, step: int, scores: Scores, model: nn.Module) -> None:
        values = [None if math.isnan(v) else v for v in scores.class_iou]
        print(json.dumps({"pixels": scores.num_pixels, "iou": values}), flush=True)


def die() -> None:
    os.kill(os.getpid(), 9)


def kill_at(point: str, file: str, write: int) -> None:
    """Arrange to be killed in the `write`-th writing of `file`, at one of its named points."""
    count = 0
    make, replace = files.tempfile.mkstemp, files.os.replace

    def now() -> bool:
        return count == write

    def mkstemp(*, dir: Path, prefix: str, suffix: str) -> tuple[int, str]:
        nonlocal count
        count += prefix + suffix == f".{Path(file).stem}-{Path(file).suffix}"
        if now() and point == "before the temporary file":
            die()
        return make(dir=dir, prefix=prefix, suffix=suffix)

    def fsync(handle: int) -> None:
        if now() and point == "half-written":
            path = Path(f"/proc/self/fd/{handle}").resolve()
            os.truncate(path, path.stat().st_size // 2)
            die()

    def rename(source: Path, target: Path) -> None:
        ours = now() and Path(target).name == file
        if ours and point == "before the rename":
            die()
        replace(source, target)
        if ours and point == "after the rename":
            die()

    files.tempfile.mkstemp = mkstemp  # type: ignore[assignment]
    files.os.fsync, files.os.replace = fsync, rename  # type: ignore[assignment]


def run(options: dict[str, object]) -> None:
    torch.set_num_threads(1)
    options = dict(options)
    save, validation = options.pop("save", None), options.pop("val_images", 0)
    frozen, kill = options.pop("frozen", False), options.pop("kill", None)
    if kill:
        kill_at(**kill)  # type: ignore[arg-type]
    model = network(seed=options.pop("weights_seed", 0))  # type: ignore[arg-type]
    if frozen:
        without_dropout(model)
    data = Squares(validation, noise=0.0) if validation else None  # type: ignore[arg-type]
    loggers = options.pop("loggers", [Print()])
    with process_group(torch.device("cpu")):
        train(model, Squares(12), val_data=data, loggers=loggers, device="cpu", **options)
        if save and rank() == 0:
            save_weights(model, str(save))


def main(options: dict[str, object]) -> None:
    try:
        run(options)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
