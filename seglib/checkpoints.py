"""What is kept of a run: its history, and the checkpoint from which it goes on bit for bit."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from seglib.distributed import list_of_all, rank, world_size
from seglib.files import atomic_path, read_tensors
from seglib.learner import Learner
from seglib.metrics import Scores


@dataclass
class History:
    """What a run was like.

    Attributes:
        loss, lr: at each step: the batch's mean loss, the head's learning rate.
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


def save_run(path: Path, learner: Learner, history: History) -> None:
    """Write all that the run needs to go on; every process calls it, one writes."""
    random = list_of_all(_random_state(learner.device))
    if rank() != 0:
        return
    state = {
        "run": learner.recipe.as_dict(),
        **learner.state_dict(),
        "random": random,
        "history": {**vars(history), "val": [vars(scores) for scores in history.val]},
    }
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def restore_run(path: Path, learner: Learner) -> History:
    """Bring the learner, and torch's random numbers, to where `save_run` found them.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, or of another run.
    """
    state = cast(dict[str, dict[str, object]], read_tensors(path))
    missing = {"run", "random", "history", *learner.state_dict()} - state.keys()
    if missing:
        raise ValueError(f"{path} is no checkpoint of a run: {', '.join(sorted(missing))} missing")
    for name, value in learner.recipe.as_dict().items():
        if state["run"].get(name) != value:
            raise ValueError(
                f"resume: {path} has {name}={state['run'].get(name)}, this run {value}"
            )
    try:
        learner.load_state_dict(state)
    except (RuntimeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"resume: {path} is of another network or optimiser: {reason}") from error
    random = cast(list[dict[str, Tensor]], state["random"])
    _set_random_state(random[rank()], learner.device)
    parts = dict(state["history"])
    val = [Scores(**scores) for scores in cast(list[dict[str, float]], parts.pop("val"))]  # type: ignore[arg-type]
    return History(**parts, val=val)  # type: ignore[arg-type]


def _random_state(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def _set_random_state(states: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    if device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])


@contextmanager
def interrupt_after_step() -> Iterator[list[int]]:
    """Let Ctrl-C (SIGINT) and a request to end (SIGTERM) wait for the end of a step.

    The list given holds the signals so far. The second one ends at once; but not where there are
    several processes: a terminal and `torchrun` then send the same one twice.
    """
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return

    def press(number: int, frame: object) -> None:
        if pressed and world_size() == 1:
            raise KeyboardInterrupt
        pressed.append(number)

    before = {number: signal.signal(number, press) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield pressed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
