"""A run as others see it: what it was like, the files it leaves, who is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from torch import nn

from seglib.checkpoints import History, restore_run, save_run
from seglib.distributed import rank, wait
from seglib.files import remove_leftovers
from seglib.learner import Learner
from seglib.metrics import Scores
from seglib.weights import save_weights


class Logger(Protocol):
    """Whoever wants to follow a run, such as `tensorboard.TensorBoard`."""

    def on_step(self, step: int, loss: float, lr: float) -> None:
        """After each step: steps taken, the batch's mean loss, the head's learning rate."""

    def on_validation(self, step: int, scores: Scores, model: nn.Module) -> None:
        """After each validation, once `last.pth` is written: the network that was measured, too."""


class Run:
    """Keeps the history of a run, its checkpoints, and the loggers informed.

    Args:
        learner: what is saved.
        folder: for `last.pth` and `best.safetensors`; None writes nothing.
        loggers, on_validation: see `training.fit`; only process 0 calls them.
    Attributes:
        history: so far.
    """

    def __init__(
        self,
        learner: Learner,
        folder: Path | None,
        loggers: Sequence[Logger] = (),
        on_validation: Callable[[int, Scores], None] | None = None,
    ) -> None:
        self.learner, self.folder = learner, folder
        self.loggers = loggers if rank() == 0 else ()
        self.on_validation = on_validation if rank() == 0 else None
        self.history = History()

    def begin(self, resume: bool) -> None:
        """Make the folder, or go on from its `last.pth`."""
        if self.folder is None:
            return
        if not resume:
            self.folder.mkdir(parents=True, exist_ok=True)
        if rank() == 0:
            remove_leftovers(self.folder / "last.pth", self.folder / "best.safetensors")
        if resume:
            self.history = restore_run(self.folder / "last.pth", self.learner)
            if self.history.val_steps[-1:] == [len(self.history.loss)]:
                self._keep_best()  # the run may have been killed between the two files

    def took(self, loss: float) -> None:
        """Note a step before the schedule moves on."""
        lr = self.learner.lr
        self.history.loss.append(loss)
        self.history.lr.append(lr)
        for logger in self.loggers:
            logger.on_step(len(self.history.loss), loss, lr)

    def keep(self, scores: Scores | None) -> None:
        """Write the files, then tell of a validation."""
        step = len(self.history.loss)
        if scores is not None:
            self.history.val_steps.append(step)
            self.history.val.append(scores)
        if self.folder is not None:
            save_run(self.folder / "last.pth", self.learner, self.history)
            if scores is not None:
                self._keep_best()
            wait()  # whoever leaves first would end the one that writes
        if scores is not None:
            for logger in self.loggers:
                logger.on_validation(step, scores, self.learner.result)
            if self.on_validation is not None:
                self.on_validation(step, scores)

    def _keep_best(self) -> None:
        *earlier, latest = self.history.val
        best = latest.mean_iou > History(val=earlier).best_mean_iou
        if self.folder is not None and rank() == 0 and best:
            save_weights(self.learner.result, self.folder / "best.safetensors")
