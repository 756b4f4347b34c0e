"""Training: the loss of a batch, a step of the optimiser, again, and what is kept of it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence, Sized
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from seglib.checkpoints import History, interrupt_after_step, restore_run, save_run
from seglib.datasets.batches import as_input, train_batches
from seglib.losses import cross_entropy
from seglib.metrics import ConfusionMatrix, Scores
from seglib.schedules import PolySchedule
from seglib.weights import save_weights

Data = Dataset[tuple[Tensor, Tensor]]


def parameter_groups(
    model: nn.Module, lr: float, backbone_lr: float | None = None
) -> list[dict[str, object]]:
    """Two groups for an optimiser: the backbone's parameters at `backbone_lr`, all others at `lr`.

    Others are told by not being the backbone's: a list of the other modules' names can miss some,
    and what is in no group is never trained.

    Args:
        model: with a part `backbone`.
        lr: learning rate, > 0.
        backbone_lr: the backbone's, ≥ 0; default `lr`. With published weights a tenth of `lr` is
            usual.
    """
    backbone = list(cast(nn.Module, model.backbone).parameters())
    known = {id(parameter) for parameter in backbone}
    others = [parameter for parameter in model.parameters() if id(parameter) not in known]
    return [
        {"params": backbone, "lr": lr if backbone_lr is None else backbone_lr},
        {"params": others, "lr": lr},
    ]


def evaluate(
    model: nn.Module,
    data: Data,
    *,
    batch_size: int = 1,
    num_workers: int = 0,
    device: str | torch.device | None = None,
) -> Scores:
    """Scores of the model's predictions on every image of `data`, in eval mode.

    Args:
        model: images (N, 3, H, W) → logits (N, num_classes, H, W); its mode is put back afterwards.
        data: pairs of image and mask; uint8 images are normalised. Of one size where `batch_size`
            > 1.
        device: default the GPU where there is one.
    """
    device = _device(device)
    loader = DataLoader(data, batch_size=batch_size, num_workers=num_workers)
    was_training = model.training
    model.to(device).eval()
    confusion: ConfusionMatrix | None = None
    try:
        with torch.inference_mode():
            for image, mask in loader:
                logits = model(as_input(image).to(device, memory_format=torch.channels_last))
                confusion = confusion or ConfusionMatrix(logits.shape[1])
                confusion.update(logits, mask.as_subclass(Tensor).to(device))
    finally:
        model.train(was_training)
    if confusion is None:
        raise ValueError("data holds no image; give at least one")
    return confusion.compute()


def fit(
    model: nn.Module,
    train_data: Data,
    val_data: Data | None = None,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int = 8,
    optimizer: str = "sgd",
    lr: float = 0.01,
    backbone_lr: float | None = None,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    power: float = 0.9,
    seed: int = 0,
    num_workers: int = 0,
    val_every: int | None = None,
    val_batch_size: int = 1,
    device: str | torch.device | None = None,
    checkpoint_dir: str | Path | None = None,
    resume: bool = False,
    progress: bool | None = None,
    on_validation: Callable[[int, Scores], None] | None = None,
) -> History:
    """Train `model` in place: cross-entropy, SGD or AdamW, poly schedule; the same numbers for the
    same seed.

    Args:
        model: with a part `backbone`; images (N, 3, H, W) → logits.
        train_data, val_data: pairs of image and mask; training images of one size after their
            transform.
        steps, epochs: how long; give one. An epoch is `len(train_data) // batch_size` steps.
        batch_size: images a step, ≥ 2: BatchNorm after image pooling sees one value an image.
        optimizer: "sgd" (with `momentum`) or "adamw".
        lr, backbone_lr: see `parameter_groups`.
        weight_decay: ≥ 0, on every parameter.
        power: of the poly schedule.
        seed: ≥ 0, of order, augmentation and dropout.
        num_workers: processes that load images; the result does not depend on it.
        val_every: steps between validations; default an epoch. The end is always validated.
        val_batch_size: images a forward pass in validation.
        device: default the GPU where there is one.
        checkpoint_dir: folder for `last.pth` (all that a resumed run needs) and
            `best.safetensors`, written at each validation, and when Ctrl-C ends the run after its
            current step.
        resume: go on from `last.pth` with the same arguments; the result is that of one
            uninterrupted run.
        progress: a bar on stderr; default only on a terminal.
        on_validation: called with the steps taken and the scores.
    Raises:
        ValueError: if an argument is out of its range, `last.pth` is damaged or of another run, or
            the loss stops being a number (the message names the batch's images).
        FileNotFoundError: if `resume` finds no `last.pth`.
    """
    length = len(cast(Sized, train_data))
    total = _total_steps(length, batch_size, steps, epochs)
    _check(lr=lr, momentum=momentum, weight_decay=weight_decay, seed=seed, backbone_lr=backbone_lr)
    if lr == 0:
        raise ValueError("lr must be > 0, got 0")
    if optimizer not in ("sgd", "adamw"):
        raise ValueError(f"optimizer must be 'sgd' or 'adamw', got {optimizer!r}")
    val_every = length // batch_size if val_every is None else val_every
    if val_every < 1:
        raise ValueError(f"val_every must be >= 1, got {val_every}")
    if resume and checkpoint_dir is None:
        raise ValueError(
            "resume=True needs checkpoint_dir, the folder that holds last.pth; got None"
        )
    folder = None if checkpoint_dir is None else Path(checkpoint_dir)

    device = _device(device)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = parameter_groups(model, lr, backbone_lr)
    optim: torch.optim.Optimizer = (
        torch.optim.SGD(groups, lr, momentum, weight_decay=weight_decay)
        if optimizer == "sgd"
        else torch.optim.AdamW(groups, lr, weight_decay=weight_decay)
    )
    schedule = PolySchedule(optim, total, power)
    run: dict[str, object] = {
        "steps": total,
        "batch_size": batch_size,
        "seed": seed,
        "images": length,
        "optimizer": optimizer,
        "lr": lr,
        "backbone_lr": backbone_lr,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "power": power,
    }
    history, start = History(), 0
    with torch.random.fork_rng(), interrupt_after_step() as interrupted:
        torch.manual_seed(seed)
        if resume:
            history = restore_run(cast(Path, folder) / "last.pth", run, model, optim, schedule)
            start = len(history.loss)
        elif folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        batches = train_batches(
            train_data,
            length=length,
            batch_size=batch_size,
            seed=seed,
            start=start,
            stop=total,
            num_workers=num_workers,
        )
        quiet = not (sys.stderr.isatty() if progress is None else progress)
        bar = tqdm(batches, total=total, initial=start, unit="step", disable=quiet)
        model.train()
        for step, (images, masks, indices) in enumerate(bar, start + 1):
            history.lr.append(float(optim.param_groups[-1]["lr"]))
            logits = model(images.to(device, memory_format=torch.channels_last))
            loss = cross_entropy(logits, masks.to(device))
            value = loss.item()
            if not math.isfinite(value):
                raise ValueError(_lost(step, value, train_data, indices))
            optim.zero_grad(set_to_none=True)
            loss.backward()
            optim.step()
            schedule.step()
            history.loss.append(value)
            bar.set_postfix(loss=f"{value:.3f}", refresh=False)

            validate = step % val_every == 0 or step == total
            if validate and val_data is not None:
                scores = evaluate(model, val_data, batch_size=val_batch_size, device=device)
                best = scores.mean_iou > history.best_mean_iou
                history.val_steps.append(step)
                history.val.append(scores)
                if folder is not None and best:
                    save_weights(model, folder / "best.safetensors")
                if on_validation is not None:
                    on_validation(step, scores)
            if folder is not None and (validate or interrupted):
                save_run(folder / "last.pth", run, model, optim, schedule, history)
            if interrupted:
                raise KeyboardInterrupt
    return history


def _total_steps(length: int, batch_size: int, steps: int | None, epochs: int | None) -> int:
    if (steps is None) == (epochs is None):
        raise ValueError(f"give one of steps and epochs, got steps={steps}, epochs={epochs}")
    for name, value in (("steps", steps), ("epochs", epochs), ("batch_size", batch_size)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a whole number >= 1, got {value!r}")
    if not 2 <= batch_size <= length:
        raise ValueError(
            f"batch_size must be from 2 (for BatchNorm) to {length} (all images), got {batch_size}"
        )
    return steps if steps is not None else cast(int, epochs) * (length // batch_size)


def _check(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number >= 0, got {value}")


def _device(device: str | torch.device | None) -> torch.device:
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _lost(step: int, value: float, data: Data, indices: Sequence[int]) -> str:
    paths = getattr(data, "paths", None)
    names = [str(paths(i)[0]) if paths else f"item {i}" for i in indices]
    return (
        f"the loss is {value} at step {step}; lower lr, or look at this batch: {', '.join(names)}"
    )
