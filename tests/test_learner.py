"""One step of training: parts of a batch, precisions, schedules, losses."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from squares import Squares, network, same, train
from support import relative, without_dropout
from torch import nn

from seglib.learner import Learner
from seglib.losses import cross_entropy, dice, focal
from seglib.models import SegmentationModel
from seglib.recipe import Recipe
from seglib.training import parameter_groups


class Uneven(Squares):
    """Some images with far more labelled pixels than others, one without any."""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, mask = super().__getitem__(index)
        mask[: 4 * (index + 1)] = 255
        return image, mask if index else torch.full_like(mask, 255)


def doubled(model: SegmentationModel) -> SegmentationModel:
    without_dropout(model)
    return model.double()


class DoubleUneven(Uneven):
    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, mask = super().__getitem__(index)
        return image.double(), mask


@pytest.mark.parametrize("accumulate", [2, 4])
@pytest.mark.parametrize(
    "loss",
    [
        cross_entropy,
        partial(cross_entropy, weight=torch.tensor([0.3, 2.0]), label_smoothing=0.1),
        partial(focal, gamma=1.0),
    ],
    ids=["cross_entropy", "weighted", "focal"],
)
def test_accumulated_parts_are_the_whole_batch(loss: object, accumulate: int) -> None:
    """In double precision, BatchNorm frozen: parts whose labelled pixels differ."""
    options = {"steps": 3, "loss": loss, "freeze_bn": True, "optimizer": "sgd"}
    whole, parts = doubled(network()), doubled(network())
    expected = train(whole, DoubleUneven(4, noise=0.1), **options)
    found = train(parts, DoubleUneven(4, noise=0.1), accumulate=accumulate, **options)
    assert found.loss == pytest.approx(expected.loss, rel=1e-9)
    for a, b in zip(parts.parameters(), whole.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-7, atol=1e-10)


def test_a_loss_that_can_not_be_shared_says_so() -> None:
    assert math.isfinite(train(network(), loss=dice, steps=1).loss[0])
    with pytest.raises(ValueError, match="reduction must be 'mean' for the Dice loss"):
        train(network(), loss=dice, accumulate=2)


def test_bf16_is_near_fp32_and_repeats() -> None:
    exact, rough, again = network(), network(), network()
    expected = train(exact, steps=3, lr=0.005)
    found = train(rough, steps=3, lr=0.005, precision="bf16")
    assert found.loss != expected.loss
    assert found.loss[0] == pytest.approx(expected.loss[0], rel=0.02)
    assert train(again, steps=3, lr=0.005, precision="bf16").loss == found.loss
    assert same(rough, again)
    assert all(p.dtype == torch.float32 for p in rough.parameters())


def test_the_step_schedule_falls_in_steps() -> None:
    history = train(network(), steps=6, schedule="step", step_size=2, gamma=0.5, lr=0.4)
    assert history.lr == pytest.approx([0.4, 0.4, 0.2, 0.2, 0.1, 0.1])


def test_poly_warms_up() -> None:
    history = train(network(), steps=6, warmup_steps=3)
    assert history.lr[0] < history.lr[1] < history.lr[2] <= 0.02
    assert history.lr[3:] == sorted(history.lr[3:], reverse=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate": 0}, "accumulate must be a whole number >= 1, got 0"),
        ({"accumulate": 3}, "batch_size must be a multiple of 3, .* got 4"),
        ({"accumulate": 4}, "batch_size must be at least 8, .* got 4: BatchNorm needs two images"),
        ({"schedule": "cosine"}, "schedule must be 'poly' or 'step', got 'cosine'"),
        ({"schedule": "step", "step_size": 0}, "step_size"),
        ({"schedule": "step", "gamma": 0.0}, "gamma"),
        ({"warmup_steps": 4}, "warmup_steps"),
        ({"warmup_steps": -1}, "warmup_steps"),
        ({"precision": "fp8"}, "precision must be one of fp32, bf16, fp16, got 'fp8'"),
        ({"precision": "fp16", "device": "cpu"}, "precision 'fp16' needs a GPU"),
        ({"sync_bn": True, "device": "cpu"}, "sync_bn needs GPUs, the device is cpu"),
        ({"ema": 1.0}, "ema must be a decay between 0 and 1, such as 0.999, got 1.0"),
        ({"bn_momentum": 0.0}, "bn_momentum must be above 0"),
    ],
)
def test_refusals(options: dict[str, object], message: str) -> None:
    model = network()
    before = [type(module) for module in model.modules()]
    with pytest.raises(ValueError, match=message):
        train(model, **options)
    assert [type(module) for module in model.modules()] == before


def test_the_recipe_holds_plain_values() -> None:
    """They are compared when a run is resumed, and read back without unpickling code."""
    names = set(Recipe.__annotations__)
    assert {"steps", "precision", "ema", "processes"} <= names
    assert all(
        t in ("int", "float", "str", "bool", "float | None")
        for t in Recipe.__annotations__.values()
    )


def test_sixteen_bit_gradients_are_scaled() -> None:
    """On the CPU, where fit refuses fp16 but torch has it: the learner's own path."""

    def learner(precision: str) -> Learner:
        model = without_dropout(network())
        recipe = Recipe(
            steps=2, images=4, batch_size=4, processes=1, accumulate=1, loss="cross_entropy",
            optimizer="sgd", lr=0.01, backbone_lr=None, momentum=0.9, weight_decay=0.0,
            schedule="poly", power=0.9, warmup_steps=0, step_size=1, gamma=0.1, precision="fp32",
            ema=None, bn_momentum=None, freeze_bn=False, sync_bn=False, seed=0,
        )  # fmt: skip
        made = Learner(
            model, recipe, cross_entropy, parameter_groups(model, 0.01), torch.device("cpu")
        )
        if precision == "fp16":
            made.recipe = replace(recipe, precision="fp16")
            made.scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
        return made

    data = Squares(4, noise=0.0)
    images, masks = (torch.stack(part) for part in zip(*[data[i] for i in range(4)], strict=True))
    plain, half = learner("fp32"), learner("fp16")
    losses = [made.gradient(images, masks) for made in (plain, half)]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    name = [n for n, p in plain.model.named_parameters() if p.ndim == 4][-1]
    pairs = [(dict(made.model.named_parameters())[name].grad) for made in (plain, half)]
    assert relative(pairs[1] / 256, pairs[0]) < 0.05  # type: ignore[operator,arg-type]
    before = dict(half.model.named_parameters())[name].clone()
    half.step()
    moved = before - dict(half.model.named_parameters())[name]
    assert relative(moved, 0.01 * pairs[0]) < 0.05  # type: ignore[operator]
    state = half.state_dict()
    other = learner("fp16")
    other.load_state_dict(state)
    assert other.scaler.state_dict() == half.scaler.state_dict() != {}


def test_a_module_without_a_backbone_part() -> None:
    with pytest.raises(AttributeError, match="backbone"):
        train(nn.Conv2d(3, 2, 1))  # type: ignore[arg-type]
