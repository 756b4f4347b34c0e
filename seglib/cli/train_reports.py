"""What `seglib train` says while it trains, and the pictures that it leaves."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from seglib.cli.common import Problems, one_line
from seglib.datasets.batches import as_input
from seglib.datasets.transforms import denormalize
from seglib.distributed import rank, world_size
from seglib.files import atomic_path
from seglib.metrics import Scores
from seglib.visualize import overlay, save_mask

if TYPE_CHECKING:
    from seglib.datasets import SegmentationDataset


class Lines:
    """A line every so many steps, with the mean loss since the last one, and for a validation."""

    def __init__(self, every: int) -> None:
        self.every, self.losses, self.started = every, list[float](), time.perf_counter()

    def on_step(self, step: int, loss: float, lr: float) -> None:
        self.losses.append(loss)
        if step % self.every == 0:
            mean = sum(self.losses) / len(self.losses)
            _say(f"step {step:>6}  loss {mean:.4f}  lr {lr:.3g}")
            self.losses.clear()

    def on_validation(self, step: int, scores: Scores, model: nn.Module) -> None:
        _say(
            f"step {step:>6}  mean IoU {scores.mean_iou:.4f}"
            f"  overall accuracy {scores.overall_accuracy:.4f}"
            f"  {time.perf_counter() - self.started:.1f} s"
        )


def _say(line: str) -> None:
    tqdm.write(line)  # above a progress bar, if there is one
    sys.stdout.flush()  # a log file or a pipe shows it now, too


def save_results(network: nn.Module, data: SegmentationDataset, folder: Path) -> None:
    """Write image, truth, prediction and overlay of every image, each process its share."""
    names = [data.paths(index)[0].stem for index in range(len(data))]
    if len(set(names)) < len(names):  # such as Cityscapes' towns, or a.png beside a.jpg
        names = [f"{index:05d}_{name}" for index, name in enumerate(names)]
    folder.mkdir(parents=True, exist_ok=True)
    place = next(network.parameters()).device
    network.eval()
    for index in range(rank(), len(data), world_size()):
        image, mask = data[index]
        image, mask = as_input(image), mask.as_subclass(Tensor)
        with torch.inference_mode():
            prediction = network(image[None].to(place)).argmax(1)[0].cpu()
        picture = (255 * denormalize(image)).round().to(torch.uint8)
        save_mask(folder / f"{names[index]}_truth.png", mask, data.palette)
        save_mask(folder / f"{names[index]}_prediction.png", prediction, data.palette)
        laid_over = overlay(picture, prediction, data.palette, 0.7)
        for kind, pixels in {"image": picture, "overlay": laid_over}.items():
            with atomic_path(folder / f"{names[index]}_{kind}.png") as temporary:
                Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(temporary, format="PNG")


def check_items(*datasets: SegmentationDataset) -> None:
    """Read every item once: a wrong file is better found now than after an hour.

    Raises:
        Problems: naming the files.
    """

    def problem(item: tuple[SegmentationDataset, int]) -> str | None:
        dataset, index = item
        try:
            dataset[index]
        except (ValueError, OSError) as error:
            return one_line(error)
        return None

    items = [(dataset, index) for dataset in datasets for index in range(len(dataset))]
    with ThreadPoolExecutor() as pool:  # decoding runs outside Python's lock
        problems = [found for found in pool.map(problem, items) if found]
    if problems:
        raise Problems(problems)
