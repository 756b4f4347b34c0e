"""Curves, sample predictions and the options of a run, for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from seglib.datasets.batches import as_input
from seglib.datasets.transforms import denormalize
from seglib.metrics import Scores

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from seglib.datasets import SegmentationDataset


class TensorBoard:
    """A logger for `training.fit` that writes what TensorBoard shows.

    Scalars `train/loss`, `train/lr`, `val/mean_iou`, `val/overall_accuracy`, `val/mean_accuracy`
    and `val_iou/<class>`; an image for each sample, with its truth and its prediction to the right;
    the options as a table. Steps that a resumed run takes again replace those in the folder.

    Args:
        folder: for the event files; made at the first step.
        data: what samples are taken from; also names the classes.
        options: for the table.
        samples: how many images, ≥ 0, spread evenly over `data`.
        every: steps between two points of a training curve, ≥ 1.
    Raises:
        ValueError: if TensorBoard is not installed, or an argument is out of its range.
    """

    def __init__(
        self,
        folder: str | Path,
        data: SegmentationDataset,
        options: Mapping[str, object],
        *,
        samples: int = 4,
        every: int = 1,
    ) -> None:
        require_tensorboard()
        if samples < 0 or every < 1:
            raise ValueError(f"samples must be >= 0 and every >= 1, got {samples} and {every}")
        self.folder, self.data, self.options, self.every = Path(folder), data, options, every
        samples = min(samples, len(data))
        self.samples = [i * len(data) // samples for i in range(samples)]
        self.writer: SummaryWriter | None = None

    def on_step(self, step: int, loss: float, lr: float) -> None:
        writer = self._writer(step)
        if step % self.every == 0 or step == 1:
            writer.add_scalar("train/loss", loss, step)
            writer.add_scalar("train/lr", lr, step)

    def on_validation(self, step: int, scores: Scores, model: nn.Module) -> None:
        writer = self._writer(step)
        for name in ("mean_iou", "overall_accuracy", "mean_accuracy"):
            writer.add_scalar(f"val/{name}", getattr(scores, name), step)
        for name, iou in zip(self.data.classes, scores.class_iou, strict=True):
            writer.add_scalar(f"val_iou/{name}", iou, step)
        for index in self.samples:
            writer.add_image(f"sample/{index}", self._sample(index, model), step)
        writer.flush()

    def close(self) -> None:
        """Write what is still in memory."""
        if self.writer is not None:
            self.writer.close()

    def _writer(self, step: int) -> SummaryWriter:
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.folder), purge_step=step)
            self.writer.add_text("options", option_table(self.options), 0)
        return self.writer

    def _sample(self, index: int, model: nn.Module) -> Tensor:
        """Image, truth and prediction side by side: (3, H, 3 W), uint8."""
        image, mask = self.data[index]
        image, mask = as_input(image), mask.as_subclass(Tensor)
        place = next(model.parameters()).device
        was_training = model.training
        with torch.inference_mode():
            prediction = model.eval()(image[None].to(place)).argmax(1)[0].cpu()
        model.train(was_training)
        picture = (255 * denormalize(image)).round().to(torch.uint8)
        return torch.cat([picture, self.data.decode(mask), self.data.decode(prediction)], dim=2)


def require_tensorboard() -> None:
    """Raises ValueError if TensorBoard is not installed, and says how to get it."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise ValueError(
            "TensorBoard is not installed; get it with: pip install 'seglib[tensorboard]'"
        ) from error


def option_table(options: Mapping[str, object]) -> str:
    """The options in Markdown, a row for each."""
    rows: Sequence[str] = [f"| {name} | {value} |" for name, value in options.items()]
    return "\n".join(["| option | value |", "|---|---|", *rows])
