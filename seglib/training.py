"""Training: the loss of a batch, a step of the optimiser, again, and what is kept of it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence, Sized
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from seglib.checkpoints import History, interrupt_after_step
from seglib.datasets.batches import Batch, as_input, ordered_batches, train_batches
from seglib.distributed import any_of_all, list_of_all, local_device, rank, world_size
from seglib.learner import Learner, Loss
from seglib.losses import cross_entropy
from seglib.metrics import ConfusionMatrix, Scores
from seglib.precision import autocast, check_precision
from seglib.recipe import Recipe, loss_name, total_steps
from seglib.run import Logger, Run

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
    precision: str = "fp32",
) -> Scores:
    """Scores of the model's predictions on every image of `data`, in eval mode.

    Of several processes each takes its share of the images, and all return the scores of all;
    every image is counted once, also where they don't divide evenly.

    Args:
        model: images (N, 3, H, W) → logits (N, num_classes, H, W); its mode is put back afterwards.
        data: pairs of image and mask; uint8 images are normalised. Of one size where `batch_size`
            > 1.
        device: default the GPU where there is one.
        precision: "fp32", "bf16", or on a GPU "fp16".
    Raises:
        ValueError: if `data` is empty, or an argument or a label is out of its range.
    """
    device = _device(device)
    check_precision(precision, device)
    loader = ordered_batches(data, batch_size, num_workers, share=(rank(), world_size()))
    was_training = model.training
    model.to(device).eval()
    confusion: ConfusionMatrix | None = None
    try:
        with torch.inference_mode(), autocast(device, precision):
            for image, mask in loader:
                logits = model(as_input(image).to(device, memory_format=torch.channels_last))
                confusion = confusion or ConfusionMatrix(logits.shape[1])
                confusion.update(logits, mask.to(device))
    finally:
        model.train(was_training)
    shares = [share for share in list_of_all(confusion) if share is not None]
    if not shares:
        raise ValueError("data holds no image; give at least one")
    for other in shares[1:]:
        shares[0].merge(other)
    return shares[0].compute()


def fit(
    model: nn.Module,
    train_data: Data,
    val_data: Data | None = None,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int = 8,
    accumulate: int = 1,
    loss: Loss = cross_entropy,
    optimizer: str = "sgd",
    lr: float = 0.01,
    backbone_lr: float | None = None,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    schedule: str = "poly",
    power: float = 0.9,
    warmup_steps: int = 0,
    step_size: int = 10_000,
    gamma: float = 0.1,
    precision: str = "fp32",
    ema: float | None = None,
    bn_momentum: float | None = None,
    freeze_bn: bool = False,
    sync_bn: bool = False,
    seed: int = 0,
    num_workers: int = 0,
    val_every: int | None = None,
    val_batch_size: int = 1,
    device: str | torch.device | None = None,
    checkpoint_dir: str | Path | None = None,
    resume: bool = False,
    progress: bool | None = None,
    on_validation: Callable[[int, Scores], None] | None = None,
    loggers: Sequence[Logger] = (),
) -> History:
    """Train `model` in place; the same numbers for the same seed.

    Where `distributed.process_group` has joined several processes, each computes its share of every
    batch, on the same images in the same order as one process would, and the loss is the mean over
    the labelled pixels of all. Process 0 writes the files.

    Args:
        model: with a part `backbone`; images (N, 3, H, W) → logits.
        train_data, val_data: pairs of image and mask; training images of one size after their
            transform.
        steps, epochs: how long; give one. An epoch is `len(train_data) // batch_size` steps.
        batch_size: images a step, of all processes together; ≥ 2 at a time for each, since
            BatchNorm after image pooling sees one value an image.
        accumulate: parts that a process computes one after the other, to save memory; the gradient
            is that of the whole, apart from BatchNorm's statistics, which are each part's own.
        loss: logits (N, C, H, W), mask (N, H, W) → mean; with `reduction="sum_and_count"`, which
            several parts or processes need, the two numbers whose quotient it is: see `losses`, and
            `functools.partial` to set options.
        optimizer: "sgd" (with `momentum`) or "adamw".
        lr, backbone_lr: see `parameter_groups`.
        weight_decay: ≥ 0, on every parameter.
        schedule: "poly" (with `power`, `warmup_steps`) or "step" (with `step_size`, `gamma`); see
            `schedules`.
        precision: of training and validation: "fp32"; "bf16"; on GPUs also "fp16", with gradients
            scaled. The weights stay float32.
        ema: decay of an average of the weights, see `averaging`; it is what is validated, kept,
            and left in `model` at the end.
        bn_momentum: share of a new batch in BatchNorm's statistics; default as the model is.
        freeze_bn: keep BatchNorm as it is, for good; see `normalization`.
        sync_bn: on several GPUs, BatchNorm over the images of all: `nn.SyncBatchNorm`, for good.
        seed: ≥ 0, of order, augmentation and dropout.
        num_workers: processes that load images; the result does not depend on it.
        val_every: steps between validations; default an epoch. The end is always validated.
        val_batch_size: images a forward pass in validation.
        device: default the GPU where there is one.
        checkpoint_dir: folder for `last.pth` (all that a resumed run needs) and
            `best.safetensors`, written at each validation, and when Ctrl-C or SIGTERM ends the run
            after its current step.
        resume: go on from `last.pth` with the same arguments; the result is that of one
            uninterrupted run.
        progress: a bar on stderr; default only on a terminal.
        on_validation: called with the steps taken and the scores, once `last.pth` is written.
        loggers: told of each step and validation.
    Raises:
        ValueError: if an argument is out of its range, `last.pth` is damaged or of another run, or
            the loss stops being a number (the message names the batch's images).
        FileNotFoundError: if `resume` finds no `last.pth`.
        KeyboardInterrupt: if it was interrupted.
    """
    length, processes = len(cast(Sized, train_data)), world_size()
    recipe = Recipe(
        steps=total_steps(length, batch_size, steps, epochs),
        images=length,
        batch_size=batch_size,
        processes=processes,
        accumulate=accumulate,
        loss=loss_name(loss),
        optimizer=optimizer,
        lr=lr,
        backbone_lr=backbone_lr,
        momentum=momentum,
        weight_decay=weight_decay,
        schedule=schedule,
        power=power,
        warmup_steps=warmup_steps,
        step_size=step_size,
        gamma=gamma,
        precision=precision,
        ema=ema,
        bn_momentum=bn_momentum,
        freeze_bn=freeze_bn,
        sync_bn=sync_bn,
        seed=seed,
    )
    val_every = length // batch_size if val_every is None else val_every
    if val_every < 1:
        raise ValueError(f"val_every must be >= 1, got {val_every}")
    if resume and checkpoint_dir is None:
        raise ValueError(
            "resume=True needs checkpoint_dir, the folder that holds last.pth; got None"
        )
    place = _device(device)
    learner = Learner(model, recipe, loss, parameter_groups(model, lr, backbone_lr), place)
    folder = None if checkpoint_dir is None else Path(checkpoint_dir)
    run = Run(learner, folder, loggers, on_validation)

    def measure() -> Scores | None:
        if val_data is None:
            return None
        return evaluate(
            learner.result, val_data, batch_size=val_batch_size, device=place, precision=precision
        )

    with torch.random.fork_rng():
        torch.manual_seed(seed + rank())
        run.begin(resume)
        batches = train_batches(
            train_data,
            length=length,
            batch_size=batch_size,
            seed=seed,
            start=len(run.history.loss),
            stop=recipe.steps,
            num_workers=num_workers,
            share=(rank(), processes),
        )
        quiet = rank() > 0 or not (sys.stderr.isatty() if progress is None else progress)
        bar = tqdm(
            batches, total=recipe.steps, initial=len(run.history.loss), unit="step", disable=quiet
        )
        take_steps(learner, run, train_data, bar, val_every, measure)
        learner.finish()
    return run.history


def take_steps(
    learner: Learner,
    run: Run,
    train_data: Data,
    bar: tqdm[Batch],
    val_every: int,
    measure: Callable[[], Scores | None],
) -> None:
    """The loop of `fit`: a step for each batch, a validation every `val_every` steps and last.

    Raises:
        ValueError: if the loss stops being a number.
        KeyboardInterrupt: if it was interrupted; the run is saved.
    """
    learner.model.train()
    with interrupt_after_step() as interrupted:
        for step, (images, masks, indices) in enumerate(bar, len(run.history.loss) + 1):
            loss = learner.gradient(images, masks)
            if not math.isfinite(loss):
                raise ValueError(_lost(step, loss, train_data, indices))
            run.took(loss)
            learner.step()
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)

            validate = step % val_every == 0 or step == learner.recipe.steps
            scores = measure() if validate else None
            stop = any_of_all(bool(interrupted))
            if validate or stop:
                run.keep(scores)
            if stop:
                raise KeyboardInterrupt


def _device(device: str | torch.device | None) -> torch.device:
    return local_device(torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")))


def _lost(step: int, value: float, data: Data, indices: Sequence[int]) -> str:
    paths = getattr(data, "paths", None)
    names = [str(paths(i)[0]) if paths else f"item {i}" for i in indices]
    return (
        f"the loss is {value} at step {step}; lower lr, or look at this batch: {', '.join(names)}"
    )
