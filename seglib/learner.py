"""One step of training: the gradient of a batch, wherever its images lie, and what follows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from seglib.averaging import moving_average
from seglib.distributed import average_buffers, sum_of_all
from seglib.normalization import freeze_batchnorm, set_batchnorm_momentum
from seglib.precision import autocast, check_precision
from seglib.recipe import Recipe

# logits, mask → a scalar; with reduction="sum_and_count" the two numbers whose quotient it is.
Loss = Callable[..., Tensor]
# Sums over pixels are brought near 1 for half precision; by a power of two, which rounds nothing.
UNIT = 2.0**16


class Learner:
    """A network and all that a step of training changes with it.

    Args:
        model: changed in place: put on `device`, channels last; its BatchNorm as `recipe` says.
        recipe: the run's options.
        loss: see `training.fit`.
        groups: the model's parameters, for the optimiser.
        device: where to compute.
    Attributes:
        result: the network to measure and to keep: the average where there is one, else the model.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        loss: Loss,
        groups: list[dict[str, object]],
        device: torch.device,
    ) -> None:
        check_precision(recipe.precision, device)
        if recipe.sync_bn and device.type != "cuda":
            raise ValueError(f"sync_bn needs GPUs, the device is {device}; leave it out")
        self.recipe, self.loss, self.device = recipe, loss, device
        if recipe.freeze_bn:
            freeze_batchnorm(model)
        if recipe.bn_momentum is not None:
            set_batchnorm_momentum(model, recipe.bn_momentum)
        if recipe.sync_bn and recipe.processes > 1:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = self.network = model
        self.optimizer = recipe.make_optimizer(groups)
        self.schedule = recipe.make_schedule(self.optimizer)
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")
        self.average = None if recipe.ema is None else moving_average(model, recipe.ema)
        if recipe.processes > 1:
            self.network = DistributedDataParallel(model, broadcast_buffers=False)

    @property
    def result(self) -> nn.Module:
        return self.model if self.average is None else self.average.module

    @property
    def lr(self) -> float:
        """The head's learning rate in the coming step."""
        return float(self.optimizer.param_groups[-1]["lr"])

    def gradient(self, images: Tensor, masks: Tensor) -> float:
        """Set every parameter's gradient to that of the batch's mean loss, which is returned.

        Args:
            images: (N, 3, H, W), this process's share.
            masks: (N, H, W).
        """
        self.optimizer.zero_grad(set_to_none=True)
        images = images.to(self.device, memory_format=torch.channels_last)
        masks = masks.to(self.device)
        if self.recipe.processes * self.recipe.accumulate > 1:
            return self._gradient_of_parts(images, masks)
        with autocast(self.device, self.recipe.precision):
            logits = self.network(images)
        loss = self.loss(logits, masks)
        self.scaler.scale(loss).backward()
        return loss.item()

    def _gradient_of_parts(self, images: Tensor, masks: Tensor) -> float:
        """The same, where the batch is spread over parts and processes.

        Their losses' mean would weigh a part with few labelled pixels as much as one with many. So
        the sums are added up, and divided once by the labelled pixels of all.
        """
        sums = [0.0, 0.0]
        parts = zip(
            images.chunk(self.recipe.accumulate), masks.chunk(self.recipe.accumulate), strict=True
        )
        for number, (part, labels) in enumerate(parts, 1):
            with self._no_sync() if number < self.recipe.accumulate else nullcontext():
                with autocast(self.device, self.recipe.precision):
                    logits = self.network(part)
                both = self.loss(logits, labels, reduction="sum_and_count")
                total, count = cast(tuple[Tensor, Tensor], both)
                self.scaler.scale(total / UNIT).backward()
            sums = [sums[0] + total.item(), sums[1] + count.item()]
        total_of_all, count_of_all = sum_of_all(sums)
        # The processes' gradients are a mean by now, not a sum.
        factor = UNIT * self.recipe.processes / (count_of_all or 1.0)
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        torch._foreach_mul_(gradients, factor)
        return total_of_all / (count_of_all or 1.0)

    def step(self) -> None:
        """Move the weights against their gradient, and what follows the weights."""
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        average_buffers(self.model)
        if self.average is not None:
            self.average.update_parameters(self.model)

    def finish(self) -> None:
        """Leave the average in the model, where there is one."""
        if self.average is not None:
            self.model.load_state_dict(self.result.state_dict())

    def state_dict(self) -> dict[str, object]:
        """All of it. "model" holds the weights to use, which readers of weights look for."""
        average = self.average
        return {
            "model": self.result.state_dict(),
            "trained": None if average is None else self.model.state_dict(),
            "average": None if average is None else average.n_averaged,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Put back what `state_dict` gave.

        Raises:
            RuntimeError, ValueError, KeyError: if it is of another network or optimiser.
        """
        tensors = cast(Mapping[str, Mapping[str, Tensor]], state)
        if self.average is None:
            self.model.load_state_dict(tensors["model"])
        else:
            self.model.load_state_dict(tensors["trained"])
            self.result.load_state_dict(tensors["model"])
            self.average.n_averaged.copy_(cast(Tensor, state["average"]))
        self.optimizer.load_state_dict(cast(dict[str, object], state["optimizer"]))
        self.schedule.load_state_dict(cast(dict[str, object], state["schedule"]))
        self.scaler.load_state_dict(cast(dict[str, object], state["scaler"]))

    def _no_sync(self) -> AbstractContextManager[None]:
        network = self.network
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()
