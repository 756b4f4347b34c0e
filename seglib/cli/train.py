"""`seglib train`."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from seglib.cli import train_options as option
from seglib.cli.common import DataRoot, Device, naming, open_dataset, resolve_device
from seglib.cli.run_folder import check_folder, run_folder, write_json

if TYPE_CHECKING:
    from seglib.datasets import SegmentationDataset
    from seglib.learner import Loss
    from seglib.losses import Balance
    from seglib.run import Logger

DEFAULT_EPOCHS = 10


def train(
    dataset: option.Dataset = "toystreet",
    data_root: DataRoot = None,
    model: option.Model = "deeplabv3plus_mobilenetv2",
    stride: option.OutputStride = 16,
    width_mult: option.WidthMult = None,
    separable: option.Separable = None,
    aspp_channels: option.AsppChannels = None,
    low_level_channels: option.LowLevelChannels = None,
    decoder_convs: option.DecoderConvs = None,
    weights: option.StartWeights = None,
    epochs: option.Epochs = None,
    steps: option.Steps = None,
    batch_size: option.BatchSize = 8,
    accumulate: option.Accumulate = 1,
    crop_size: option.CropSize = None,
    loss: option.Loss = "cross_entropy",
    focal_gamma: option.FocalGamma = None,
    label_smoothing: option.LabelSmoothing = None,
    class_weights: option.ClassWeights = None,
    optimizer: option.Optimizer = "sgd",
    lr: option.LR = 0.01,
    backbone_lr: option.BackboneLR = None,
    momentum: option.Momentum = 0.9,
    weight_decay: option.WeightDecay = 1e-4,
    schedule: option.Schedule = "poly",
    power: option.Power = None,
    warmup_steps: option.WarmupSteps = None,
    step_size: option.StepSize = None,
    gamma: option.Gamma = None,
    precision: option.Precision = "fp32",
    ema: option.Ema = None,
    bn_momentum: option.BNMomentum = None,
    freeze_bn: option.FreezeBN = False,
    sync_bn: option.SyncBN = False,
    seed: option.Seed = 0,
    num_workers: option.Workers = 0,
    val_every: option.ValEvery = None,
    val_batch_size: option.ValBatchSize = 1,
    crop_val: option.CropVal = False,
    print_every: option.PrintEvery = 10,
    tensorboard: option.Tensorboard = False,
    samples: option.Samples = 4,
    save_results: option.SaveResults = False,
    test_only: option.TestOnly = False,
    device: Device = None,
    out: option.Out = None,
    check: option.Check = True,
    resume: option.Resume = False,
) -> None:
    """Train a network.

    DIR gets best.safetensors, last.pth, history.json and config.json. Every option, image and mask
    is checked before anything is written. Several processes: torchrun --nproc-per-node=N -m seglib
    train …
    """
    if epochs is not None and steps is not None:
        raise ValueError("--epochs and --steps exclude each other, got both")
    if optimizer not in ("sgd", "adamw"):
        raise ValueError(f"--optimizer must be sgd or adamw, got {optimizer!r}")
    if test_only and resume:
        raise ValueError("--test-only and --resume exclude each other, got both")
    if loss in option.WHOLE_LOSSES and accumulate * int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(
            f"--loss {loss} needs the whole batch at once, in one process and without --accumulate"
        )
    _belongs("--schedule", schedule, "poly", power=power, warmup_steps=warmup_steps)
    _belongs("--schedule", schedule, "step", step_size=step_size, gamma=gamma)
    _belongs("--loss", loss, "focal", focal_gamma=focal_gamma)
    _belongs("--loss", loss, "cross_entropy", label_smoothing=label_smoothing)

    import torch

    from seglib.cli.train_reports import Lines, check_items
    from seglib.cli.train_reports import save_results as write_results
    from seglib.datasets.transforms import TRAIN, eval_transform, train_preset
    from seglib.distributed import local_device, process_group, rank
    from seglib.models import build_model
    from seglib.tensorboard import TensorBoard, require_tensorboard
    from seglib.training import evaluate, fit
    from seglib.weights import load_weights

    val_data = open_dataset(dataset, "val", data_root)
    train_data = val_data if test_only else open_dataset(dataset, "train", data_root)
    crop = TRAIN[dataset].crop_size if crop_size is None else _height_width(crop_size)
    backbone_options = _given(width_mult=width_mult)
    head_options = _given(
        separable=separable,
        aspp_channels=aspp_channels,
        low_level_channels=low_level_channels,
        decoder_convs=decoder_convs,
    )
    settings: dict[str, object] = {
        "dataset": dataset,
        "data_root": None if data_root is None else str(data_root.expanduser().resolve()),
        "model": model,
        "output_stride": stride,
        "backbone_options": backbone_options,
        "head_options": head_options,
        "weights": weights,
        "epochs": None if steps else epochs or DEFAULT_EPOCHS,
        "steps": steps,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "crop_size": list(crop),
        "loss": loss,
        "focal_gamma": focal_gamma,
        "label_smoothing": label_smoothing,
        "class_weights": class_weights,
        "optimizer": optimizer,
        "lr": lr,
        "backbone_lr": backbone_lr,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "schedule": schedule,
        "power": power,
        "warmup_steps": warmup_steps,
        "step_size": step_size,
        "gamma": gamma,
        "precision": precision,
        "ema": ema,
        "bn_momentum": bn_momentum,
        "freeze_bn": freeze_bn,
        "sync_bn": sync_bn,
        "seed": seed,
        "num_workers": num_workers,
        "val_every": val_every,
        "val_batch_size": val_batch_size,
        "crop_val": crop_val,
        "print_every": print_every,
        "tensorboard": tensorboard,
        "samples": samples,
        "save_results": save_results,
        "device": device,
    }
    folder = Path("runs") / f"{dataset}-{model}" if out is None else out
    start: str | Path | None = weights
    if test_only:
        start = folder / "best.safetensors" if weights is None else weights
    else:
        check_folder(folder, settings, resume)
    if tensorboard:
        require_tensorboard()
    place = resolve_device(device)
    torch.manual_seed(seed)
    with naming("--model"):
        network = build_model(
            model,
            num_classes=len(train_data.classes),
            output_stride=stride,
            backbone_options=backbone_options,
            head_options=head_options,
            weights=start if start == "imagenet" else None,
        )
    if start is not None and start != "imagenet":
        load_weights(network, start)
    if check and not resume:
        check_items(*([val_data] if test_only else [train_data, val_data]))
    balance = cast("Balance | None", class_weights)  # typer has seen to it
    criterion = _loss(loss, focal_gamma, label_smoothing, balance, train_data)
    train_data.transform = train_preset(dataset, crop)
    val_data.transform = eval_transform(crop if crop_val else None)

    with process_group(local_device(torch.device(place))), ExitStack() as stack:
        if test_only:
            scores = evaluate(
                network,
                val_data,
                batch_size=val_batch_size,
                num_workers=num_workers,
                device=place,
                precision=precision,
            )
            if rank() == 0:
                print(scores.table(val_data.classes))
        else:
            loggers: list[Logger] = [Lines(print_every)]
            stack.enter_context(run_folder(folder, settings))
            if tensorboard:
                board = TensorBoard(
                    folder / "tensorboard", val_data, settings, samples=samples, every=print_every
                )
                loggers.append(stack.enter_context(closing(board)))
            history = fit(
                network,
                train_data,
                val_data,
                steps=steps,
                epochs=None if steps else epochs or DEFAULT_EPOCHS,
                batch_size=batch_size,
                accumulate=accumulate,
                loss=criterion,
                optimizer=optimizer,
                lr=lr,
                backbone_lr=backbone_lr,
                momentum=momentum,
                weight_decay=weight_decay,
                schedule=schedule,
                power=_default(power, 0.9),
                warmup_steps=_default(warmup_steps, 0),
                step_size=_default(step_size, 10_000),
                gamma=_default(gamma, 0.1),
                precision=precision,
                ema=ema,
                bn_momentum=bn_momentum,
                freeze_bn=freeze_bn,
                sync_bn=sync_bn,
                seed=seed,
                num_workers=num_workers,
                val_every=val_every,
                val_batch_size=val_batch_size,
                device=place,
                checkpoint_dir=folder,
                resume=resume,
                loggers=loggers,
            )
            if rank() == 0:
                write_json(folder / "history.json", history.as_dict())
                print(f"{folder}: best mean IoU {history.best_mean_iou:.4f}")
        if save_results:
            write_results(network, val_data, folder / "results")


T = TypeVar("T", int, float)


def _default(value: T | None, default: T) -> T:
    return default if value is None else value


def _given(**options: object) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def _height_width(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    return int(height), int(width)


def _belongs(name: str, value: str, owner: str, **options: object) -> None:
    """Refuse an option that the choice `name` leaves without effect."""
    for given in _given(**options):
        if value != owner:
            raise ValueError(f"--{given.replace('_', '-')} is for {name} {owner}, got {value}")


def _loss(
    name: str,
    focal_gamma: float | None,
    label_smoothing: float | None,
    balance: Balance | None,
    data: SegmentationDataset,
) -> Loss:
    """The loss with its options set."""
    from seglib.datasets.statistics import count_pixels
    from seglib.losses import LOSSES, class_weights, cross_entropy, focal

    weight = None if balance is None else class_weights(count_pixels(data), balance)
    if name == "focal":
        return partial(focal, gamma=_default(focal_gamma, 2.0), weight=weight)
    if name == "cross_entropy":
        smoothing = _default(label_smoothing, 0.0)
        return partial(cross_entropy, label_smoothing=smoothing, weight=weight)
    return partial(LOSSES[name], weight=weight)
