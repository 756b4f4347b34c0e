"""What is kept of a run: its history, and the checkpoint from which it goes on bit for bit."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from seglib.files import atomic_path, read_tensors
from seglib.metrics import Scores
from seglib.schedules import PolySchedule


@dataclass
class History:
    """What a run was like.

    Attributes:
        loss, lr: at each step: the batch's mean cross-entropy (nats per pixel), the head's
            learning rate.
        val_steps, val: steps taken before each validation, and its scores.
    """

    loss: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    val_steps: list[int] = field(default_factory=list)
    val: list[Scores] = field(default_factory=list)

    @property
    def best_mean_iou(self) -> float:
        """The largest mean IoU of all validations; −inf before the first."""
        return max((s.mean_iou for s in self.val if not math.isnan(s.mean_iou)), default=-math.inf)

    def as_dict(self) -> dict[str, object]:
        """Plain numbers, for JSON."""
        val = [scores.as_dict() for scores in self.val]
        return {"loss": self.loss, "lr": self.lr, "val_steps": self.val_steps, "val": val}


def save_run(
    path: Path,
    run: Mapping[str, object],
    model: nn.Module,
    optim: torch.optim.Optimizer,
    schedule: PolySchedule,
    history: History,
) -> None:
    state = {
        "run": dict(run),
        "model": model.state_dict(),
        "optimizer": optim.state_dict(),
        "schedule": schedule.state_dict(),
        "random": torch.get_rng_state(),
        "history": {**vars(history), "val": [vars(scores) for scores in history.val]},
    }
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def restore_run(
    path: Path,
    run: Mapping[str, object],
    model: nn.Module,
    optim: torch.optim.Optimizer,
    schedule: PolySchedule,
) -> History:
    state = cast(dict[str, dict[str, object]], read_tensors(path))
    missing = {"run", "model", "optimizer", "schedule", "random", "history"} - state.keys()
    if missing:
        raise ValueError(f"{path} is no checkpoint of a run: {', '.join(sorted(missing))} missing")
    for name, value in run.items():
        if state["run"].get(name) != value:
            raise ValueError(
                f"resume: {path} has {name}={state['run'].get(name)}, this run {value}"
            )
    try:
        model.load_state_dict(cast(dict[str, Tensor], state["model"]))
        optim.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"resume: {path} is of another network or optimiser: {reason}") from error
    schedule.load_state_dict(state["schedule"])
    torch.set_rng_state(cast(Tensor, state["random"]))
    parts = dict(state["history"])
    val = [Scores(**scores) for scores in cast(list[dict[str, float]], parts.pop("val"))]  # type: ignore[arg-type]
    return History(**parts, val=val)  # type: ignore[arg-type]


@contextmanager
def interrupt_after_step() -> Iterator[list[int]]:
    """Let Ctrl-C wait for the end of a step: the list given is empty until it was pressed."""
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return

    def press(number: int, frame: object) -> None:
        if pressed:  # the second time at once
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
