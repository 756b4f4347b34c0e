import math
import os
import signal
from pathlib import Path

import pytest
import torch
from squares import Squares, network, same, train
from torch import Tensor, nn

from seglib import build_model
from seglib.losses import cross_entropy
from seglib.metrics import ConfusionMatrix
from seglib.models import SegmentationModel
from seglib.training import evaluate, parameter_groups


class Doubles(Squares):
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, mask = super().__getitem__(index)
        return image.double(), mask


def test_every_parameter_is_in_exactly_one_group() -> None:
    model = network()
    groups = parameter_groups(model, 0.1, 0.01)
    found = [id(p) for group in groups for p in group["params"]]  # type: ignore[attr-defined]
    assert sorted(found) == sorted(id(p) for p in model.parameters())
    assert [group["lr"] for group in groups] == [0.01, 0.1]
    assert len(groups[0]["params"]) == len(list(model.backbone.parameters()))  # type: ignore[arg-type]
    assert [group["lr"] for group in parameter_groups(model, 0.1)] == [0.1, 0.1]


def test_every_parameter_moves() -> None:
    model = network()
    before = {name: p.clone() for name, p in model.named_parameters()}
    train(model, steps=2)
    assert all(not torch.equal(before[name], p) for name, p in model.named_parameters())


def test_fit_is_the_plain_loop() -> None:
    """Without augmentation, one batch of all images: the loop by hand ends at the same weights."""
    data = Doubles(4, noise=0.0)
    ours, theirs = network().double(), network().double()
    for model in (ours, theirs):
        model.head.aspp.project[3].p = 0.0
    train(ours, data, steps=2, lr=0.01, backbone_lr=0.005, momentum=0.8, weight_decay=0.01)

    images, masks = (torch.stack(part) for part in zip(*[data[i] for i in range(4)], strict=True))
    groups = [
        {"params": theirs.backbone.parameters(), "lr": 0.005},
        {"params": theirs.head.parameters()},
    ]
    optimizer = torch.optim.SGD(groups, 0.01, 0.8, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, 2, 0.9)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(theirs(images), masks, ignore_index=255).backward()
        optimizer.step()
        schedule.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-8, atol=1e-9)


def test_it_learns_and_reports() -> None:
    model = network()
    seen: list[int] = []
    history = train(
        model,
        val_data=Squares(6),
        steps=30,
        optimizer="adamw",
        lr=0.01,
        val_every=10,
        on_validation=lambda step, scores: seen.append(step),
    )
    assert len(history.loss) == len(history.lr) == 30
    assert history.lr[0] == 0.01
    assert history.lr == sorted(history.lr, reverse=True)
    assert history.val_steps == seen == [10, 20, 30]
    assert history.loss[-1] < 0.3 < history.loss[0]
    assert history.best_mean_iou > 0.8
    assert model.training


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path, optimizer: str) -> None:
    options: dict[str, object] = {
        "steps": 7,
        "optimizer": optimizer,
        "val_data": Squares(2, noise=0.0),
        "val_every": 2,
    }
    whole = network()
    expected = train(whole, **options)

    class Stop(Exception):
        pass

    def stop(step: int, scores: object) -> None:
        if step == 6:
            raise Stop

    part = network()
    with pytest.raises(Stop):
        train(part, checkpoint_dir=tmp_path, on_validation=stop, **options)
    resumed = network(seed=9)
    torch.manual_seed(1234)
    history = train(resumed, checkpoint_dir=tmp_path, resume=True, **options)
    assert same(whole, resumed)
    assert history.loss == expected.loss
    assert history.val == expected.val
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.safetensors", "last.pth"]


def test_interrupt_saves_after_the_step(tmp_path: Path) -> None:
    class Interrupting(Squares):
        calls = 0

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            self.calls += 1
            if self.calls == 10:  # in the third batch
                os.kill(os.getpid(), signal.SIGINT)
            return super().__getitem__(index)

    whole = network()
    train(whole, steps=6)
    model = network()
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(model, Interrupting(), steps=6, checkpoint_dir=tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler
    resumed = network(seed=5)
    assert len(train(resumed, steps=6, checkpoint_dir=tmp_path, resume=True).loss) == 6
    assert same(whole, resumed)


def test_seed_decides_and_workers_do_not() -> None:
    runs = {}
    for name, options in {"a": {}, "b": {"num_workers": 1}, "c": {"seed": 1}}.items():
        runs[name] = network()
        train(runs[name], steps=3, **options)  # type: ignore[arg-type]
    assert same(runs["a"], runs["b"])
    assert not same(runs["a"], runs["c"])


def test_the_callers_random_numbers_stay() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    model = network(seed=3)
    state = torch.get_rng_state()
    train(model, steps=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(3), expected)


def test_evaluate_counts_every_pixel_once() -> None:
    model, data = network(), Squares(3, noise=0.0)
    confusion = ConfusionMatrix(2)
    with torch.no_grad():
        for i in range(3):
            image, mask = data[i]
            confusion.update(model.eval()(image[None]), mask[None])
    model.train()
    assert evaluate(model, data).class_iou == pytest.approx(confusion.compute().class_iou)
    assert evaluate(model, data, batch_size=3).num_pixels == 3 * 31 * 32
    assert model.training


def test_uint8_images_are_normalised() -> None:
    class Raw(Squares):
        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            _, mask = super().__getitem__(index)
            return (mask.clamp(max=1) * 255).to(torch.uint8).expand(3, -1, -1), mask

    assert evaluate(network(), Raw(2)).num_pixels == 2 * 31 * 32
    assert math.isfinite(train(network(), Raw(4), steps=1).loss[0])


def test_a_lost_loss_names_the_images() -> None:
    class Broken(Squares):
        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            image, mask = super().__getitem__(index)
            return (image * math.nan if index == 3 else image), mask

        def paths(self, index: int) -> tuple[Path, Path]:
            return Path(f"image{index}.png"), Path(f"mask{index}.png")

    with pytest.raises(ValueError, match=r"loss is nan at step 1.*image3\.png") as error:
        train(network(), Broken(4))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": None}, "give one of steps and epochs"),
        ({"epochs": 2}, "give one of steps and epochs"),
        ({"steps": 0}, "steps must be a whole number >= 1, got 0"),
        ({"batch_size": 1}, r"batch_size must be from 2 .* got 1"),
        ({"batch_size": 11}, "batch_size must be from 2 .* got 11"),
        ({"lr": -1.0}, "lr must be"),
        ({"lr": math.nan}, "lr must be"),
        ({"lr": 0.0}, "lr must be > 0"),
        ({"backbone_lr": -0.1}, "backbone_lr"),
        ({"weight_decay": -1e-4}, "weight_decay"),
        ({"optimizer": "foo"}, "optimizer must be 'sgd' or 'adamw', got 'foo'"),
        ({"val_every": 0}, "val_every must be >= 1, got 0"),
        ({"power": 0.0}, "power"),
        ({"resume": True}, "resume=True needs checkpoint_dir"),
    ],
)
def test_fit_refuses(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(network(), **options)


def test_resume_refuses_other_runs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"last\.pth does not exist"):
        train(network(), checkpoint_dir=tmp_path, resume=True)
    train(network(), steps=2, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match="has steps=2, this run 3"):
        train(network(), steps=3, checkpoint_dir=tmp_path, resume=True)
    other = network()
    other.head.classifier = nn.Identity()
    with pytest.raises(ValueError, match="another network or optimiser"):
        train(other, steps=2, checkpoint_dir=tmp_path, resume=True)
    with pytest.raises(ValueError, match="has optimizer=sgd, this run adamw"):
        train(network(), steps=2, optimizer="adamw", checkpoint_dir=tmp_path, resume=True)
    content = (tmp_path / "last.pth").read_bytes()
    (tmp_path / "last.pth").write_bytes(content[:1000])
    with pytest.raises(ValueError, match=r"last\.pth is damaged"):
        train(network(), steps=2, checkpoint_dir=tmp_path, resume=True)


def test_loss_of_fit_is_the_library_loss() -> None:
    model, data = network(), Squares(4, noise=0.0)
    model.head.aspp.project[3].p = 0.0
    images, masks = (torch.stack(part) for part in zip(*[data[i] for i in range(4)], strict=True))
    expected = cross_entropy(network_without_dropout()(images), masks)
    assert train(model, data, steps=1).loss[0] == pytest.approx(expected.item(), rel=1e-4)


def network_without_dropout() -> SegmentationModel:
    model = network()
    model.head.aspp.project[3].p = 0.0
    return model


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_frozen_stages_stay_as_they_are(optimizer: str) -> None:
    """Weights and statistics, through an epoch with weight decay and a validation."""
    torch.manual_seed(0)
    model = build_model(
        "deeplabv3_resnet18",
        num_classes=2,
        backbone_options={"frozen_stages": 2, "norm_eval": True},
        head_options={"aspp_channels": 8},
    )
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train(model, steps=None, epochs=1, optimizer=optimizer, val_data=Squares(2), weight_decay=0.1)
    changed = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    frozen = ("backbone.conv1", "backbone.bn1", "backbone.layer1", "backbone.layer2")
    assert not any(name.startswith(frozen) for name in changed)
    statistics = {n for n in changed if n.startswith("backbone.") and "running" in n}
    assert not statistics
    assert {name for name, p in model.named_parameters() if p.requires_grad} <= changed
