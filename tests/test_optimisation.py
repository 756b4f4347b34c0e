"""Folding BatchNorm changes no number, and only where it may; what `optimise` keeps and refuses."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import random_state, relative, shapes_of
from torch import Tensor, nn
from torch.nn import functional as F

from seglib.backbones import classifier
from seglib.datasets.transforms import normalize
from seglib.inference import optimise, predict, predict_proba
from seglib.models import build_model
from seglib.optimisation import OptimisedModel, fold_batch_norms, has_bfloat16

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINT = ROOT / "data" / "checkpoints" / "toystreet.safetensors"
NARROW = {"aspp_channels": 16}
DCN = {"deform_groups": 1, "modulated": True}


def with_random_state(model: nn.Module, seed: int = 0) -> nn.Module:
    """Double, with random weights and statistics: fresh ones hide errors."""
    model.double().load_state_dict(random_state(shapes_of(model), seed))
    return model


def batch_norms(model: nn.Module) -> int:
    kinds = (nn.modules.batchnorm._BatchNorm,)
    return sum(isinstance(module, kinds) for module in model.modules())


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mobilenetv2": lambda: build_model("deeplabv3plus_mobilenetv2", head_options=NARROW),
    "mobilenetv2 legacy": lambda: build_model(
        "deeplabv3_mobilenetv2", backbone_options={"legacy_padding": True}, head_options=NARROW
    ),
    "separable heads": lambda: build_model(
        "deeplabv3plus_mobilenetv2", head_options={**NARROW, "separable": True, "decoder_convs": 2}
    ),
    "mobilenetv3": lambda: build_model("deeplabv3plus_mobilenetv3_large", head_options=NARROW),
    "ghostnet": lambda: build_model("deeplabv3plus_ghostnet", head_options=NARROW),
    "resnet18": lambda: build_model("fpn_resnet18"),
    "resnet50": lambda: build_model(
        "deeplabv3plus_resnet50",
        output_stride=8,
        backbone_options={"deep_stem": True, "avg_down": True, "style": "caffe"},
        head_options=NARROW,
    ),
    "resnet50 deformable": lambda: build_model(
        "deeplabv3_resnet50",
        backbone_options={"dcn": DCN, "stage_with_dcn": (False, False, True, True)},
        head_options=NARROW,
    ),
    "resnext50": lambda: build_model("deeplabv3_resnext50_32x4d", head_options=NARROW),
    "xception": lambda: build_model("deeplabv3plus_xception", head_options=NARROW),
    "xception legacy": lambda: build_model(
        "deeplabv3_xception",
        output_stride=8,
        backbone_options={"legacy_tail": True},
        head_options=NARROW,
    ),
    "hrnet": lambda: build_model("deeplabv3plus_hrnetv2_32", head_options=NARROW),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_folded_networks_compute_the_same(name: str) -> None:
    model = with_random_state(NETWORKS[name]()).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folded = fold_batch_norms(model)
    assert batch_norms(folded) == 0
    assert model.training
    assert not folded.training
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    model.eval()
    for size in ((65, 97), (110, 104)):
        if name == "xception legacy" and min(size) < 103:  # it needs that many pixels
            continue
        x = torch.randn(2, 3, *size, dtype=torch.float64)
        with torch.no_grad():
            assert relative(folded(x), model(x)) < 1e-9


class Order(nn.Module):
    """A convolution and a BatchNorm, joined in one of several ways."""

    def __init__(self, join: str) -> None:
        super().__init__()
        self.join = join
        self.conv = nn.Conv2d(3, 4, kernel_size=3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.other = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        out = self.conv(x)
        if self.join == "relu between":
            return self.bn(self.relu(out))
        if self.join == "relu before":
            return self.bn(self.conv(self.relu(x)))
        if self.join == "used twice":
            return self.bn(out) + out
        if self.join == "returned too":
            return self.bn(out), out
        if self.join == "two norms":
            return self.bn(out) + self.other(out)
        if self.join == "norm shared":
            return self.bn(self.bn(out))
        if self.join == "convolution shared":
            return self.bn(out) + self.conv(2 * x)
        if self.join == "shifted in place":
            out += 1
            return self.bn(out)
        if self.join == "changed afterwards":
            normed = self.bn(out)
            return normed + out.relu_()
        assert self.join == "straight"
        return F.relu(self.bn(out))


@pytest.mark.parametrize(
    "join, left",
    [
        ("straight", 0),
        ("relu between", 1),
        ("relu before", 1),  # the convolution runs twice
        ("used twice", 1),
        ("returned too", 1),
        ("two norms", 2),
        ("norm shared", 1),
        ("convolution shared", 1),
        ("shifted in place", 1),
        ("changed afterwards", 1),
    ],
)
def test_only_what_follows_alone_is_folded(join: str, left: int) -> None:
    model = with_random_state(Order(join)).eval()
    folded = fold_batch_norms(model)
    used = ("bn", "other") if join == "two norms" else ("bn",)
    assert sum(batch_norms(folded.get_submodule(name)) for name in used) == left
    x = torch.randn(2, 3, 8, 9, dtype=torch.float64)
    with torch.no_grad():
        outputs, expected = folded(x.clone()), model(x.clone())
    for a, b in zip(outputs, expected, strict=True):
        assert relative(a, b) < 1e-9


class Standardised(nn.Conv2d):
    """A convolution whose weight is not what it multiplies with."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight - self.weight.mean(), self.bias)


@pytest.mark.parametrize(
    "conv",
    [
        Standardised(3, 4, kernel_size=1),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, kernel_size=1)),
        nn.ConvTranspose2d(3, 4, kernel_size=1),
    ],
)
def test_weights_that_are_computed_stay(conv: nn.Module) -> None:
    model = with_random_state(nn.Sequential(conv, nn.BatchNorm2d(4))).eval()
    folded = fold_batch_norms(model)
    assert batch_norms(folded) == 1
    x = torch.randn(2, 3, 8, 9, dtype=torch.float64)
    assert relative(folded(x), model(x)) < 1e-12


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm2d(4, affine=False),
        nn.BatchNorm2d(4, eps=0.1),
        nn.SyncBatchNorm(4),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.GroupNorm(2, 4),
    ],
)
def test_kinds_of_norms(norm: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, groups=1, padding_mode="reflect", padding=1), norm)
    model = with_random_state(model).eval()
    folded = fold_batch_norms(model)
    stays = isinstance(norm, nn.GroupNorm) or norm.running_mean is None
    assert type(folded[1]) is (type(norm) if stays else nn.Identity)
    x = torch.randn(2, 3, 8, 9, dtype=torch.float64)
    with torch.no_grad():
        assert relative(folded(x), model(x)) < 1e-9


@pytest.fixture(scope="module")
def streets() -> nn.Module:
    """The trained network of the checkout."""
    from seglib.cli.common import restore_model

    return restore_model(CHECKPOINT)


@pytest.mark.parametrize("dtype, largest", [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_a_trained_network_stays_what_it_is(
    streets: nn.Module, dtype: torch.dtype, largest: float
) -> None:
    fast = optimise(streets, dtype=dtype)
    assert batch_norms(fast) == 0
    same, pixels = 0, 0
    for index in range(0, 60, 2):
        path = ROOT / "data" / "toystreet" / "test" / f"{index:04d}.png"
        x = normalize(torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1))[None]
        with torch.no_grad():
            expected = streets.eval()(x)
        logits = fast(x)
        assert (logits.dtype, logits.shape) == (torch.float32, expected.shape)
        assert relative(logits, expected) < largest
        same += int((logits.argmax(1) == expected.argmax(1)).sum())
        pixels += expected[:, 0].numel()
    assert same / pixels >= (0.9999 if dtype == torch.float32 else 0.995)


def test_predict_takes_an_optimised_network(streets: nn.Module) -> None:
    image = ROOT / "data" / "toystreet" / "test" / "0000.png"
    expected = predict(streets, image)
    for dtype in (torch.float32, torch.float64, torch.bfloat16, None):
        fast = optimise(streets, dtype=dtype)
        labels = predict(fast, image)
        assert isinstance(labels, Tensor)
        assert (labels == expected).float().mean() > 0.99
        probabilities = predict_proba(fast, image, window=(64, 64), flip=True)
        assert isinstance(probabilities, Tensor)
        assert probabilities.dtype == torch.float32


def test_the_copy_is_for_inference_only(streets: nn.Module) -> None:
    streets.train()
    fast = optimise(streets, dtype=torch.float32)
    assert streets.training
    assert not any(module.training for module in fast.modules())
    with pytest.raises(ValueError, match="optimised network has no BatchNorm left"):
        fast.train()
    assert fast.eval() is fast
    assert not any(parameter.requires_grad for parameter in fast.parameters())
    assert all(parameter.requires_grad for parameter in streets.parameters())
    x = torch.zeros(1, 3, 40, 50, requires_grad=True)
    assert not fast(x).requires_grad
    logits = {dtype: optimise(streets, dtype=dtype)(x) for dtype in (torch.float64, None)}
    assert {value.dtype for value in logits.values()} == {torch.float32}
    assert optimise(streets).dtype == (
        torch.bfloat16 if has_bfloat16(torch.device("cpu")) else torch.float32
    )
    assert fast.network.backbone.features[0][0].weight.is_contiguous(
        memory_format=torch.channels_last
    )


@pytest.mark.parametrize(
    "model, options, part",
    [
        (build_model("deeplabv3_mobilenetv2"), {"dtype": torch.int8}, "torch.int8"),
        (build_model("deeplabv3_mobilenetv2"), {"dtype": "bf16"}, "bf16"),
        (build_model("deeplabv3_mobilenetv2"), {"compile": "yes"}, "'yes'"),
        (nn.Linear(7, 7), {}, "(1, 3, 128, 128)"),
        (OptimisedModel(nn.Identity(), torch.float32), {}, "got an optimised one"),
    ],
)
def test_wrong_arguments_are_named(model: nn.Module, options: dict[str, object], part: str) -> None:
    with pytest.raises(ValueError) as caught:
        optimise(model, **options)  # type: ignore[arg-type]
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled(streets: nn.Module, dtype: torch.dtype) -> None:
    fast = optimise(streets, compile=True, dtype=dtype)
    for index, size in enumerate([(120, 160), (97, 131)]):
        path = ROOT / "data" / "toystreet" / "test" / f"{index:04d}.png"
        image = np.array(Image.open(path))[: size[0], : size[1]]
        expected, labels = predict(streets, image), predict(fast, image)
        assert isinstance(expected, Tensor)
        assert isinstance(labels, Tensor)
        assert (labels == expected).float().mean() > 0.99


@pytest.mark.parametrize("name", ["mobilenetv2", "mobilenetv3_small", "resnet18"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_classifiers_too(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = classifier(name, num_classes=7).eval()
    x = torch.rand(2, 3, 65, 97)
    logits = optimise(model, dtype=dtype)(x)
    assert logits.dtype == torch.float32
    assert torch.allclose(logits, model(x), rtol=0, atol=1e-5 if dtype == torch.float32 else 0.1)
