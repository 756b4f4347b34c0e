import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from support import (
    heavy_ones_slow,
    random_state,
    relative,
    shapes_of,
    stored_shapes,
    without_dropout,
)
from torch import Tensor

from seglib import build_model, load_weights, save_weights
from seglib.backbones import build_backbone, classifier
from seglib.models import SegmentationModel
from seglib.weights import read_config

# Outputs of two public projects' code, 4 classes, dropout off, in double precision:
# - VainF's DeepLabV3Plus-Pytorch: the twelve functions of network/modeling.py, by name, at output
#   stride 8 and 16 (HRNet: 4, its only one);
# - DeepLabv3_plus of an early revision of jfzhang95's pytorch-deeplab-xception, output stride 16,
#   with torch's BatchNorm2d as its BatchNorm.
# Weights: support.random_state over the state_dict's names and shapes (kept beside), seed 7. Input
# x: default_rng(1).standard_normal((2, 3, H, W)). Kept: logits in eval mode and in train mode, and
# the gradient of their squares' sum with respect to x in train mode, at each eighth pixel of each
# eighth row (Xception: sixteenth).
REFERENCE = np.load(Path(__file__).parent / "data" / "deeplab.npz")
ENTRIES = [name.rpartition("/")[0] for name in REFERENCE if name.endswith("/eval")]
SIZES = {"xception": (161, 193), "hrnetv2_32": (64, 96), "hrnetv2_48": (64, 96)}
LEGACY = {"mobilenet": {"legacy_padding": True}, "xception": {"legacy_tail": True}}
SMALL = {"backbone_options": {"width_mult": 0.35}, "head_options": {"aspp_channels": 16}}


def small(name: str = "deeplabv3plus_mobilenetv2", **options: object) -> SegmentationModel:
    return build_model(name, **{"num_classes": 3, **SMALL, **options})  # type: ignore[arg-type]


def reference_state(name: str) -> dict[str, Tensor]:
    return random_state(stored_shapes(str(REFERENCE[f"{name}/names"])), seed=7)


@pytest.mark.parametrize("entry", heavy_ones_slow(ENTRIES))
def test_public_code_and_its_weights_give_the_same(entry: str) -> None:
    name, _, output_stride = entry.rpartition("/")
    backbone = name.partition("_")[2]
    if name == "jfzhang95":
        origin, arguments = (
            "jfzhang95",
            {
                "name": "deeplabv3plus_resnet101",
                "output_stride": 16,
                "backbone_options": {"multi_grid": (1, 2, 4)},
                "head_options": {"decoder_convs": 2, "align_corners": True},
            },
        )
    else:
        origin, arguments = (
            "vainf",
            {
                "name": name,
                "output_stride": max(int(output_stride), 8),
                "backbone_options": LEGACY.get(backbone, {}),
            },
        )
    model = build_model(num_classes=4, **arguments).double()  # type: ignore[arg-type]
    report = load_weights(model, {"model_state": reference_state(name)})
    assert (report.origin, report.kept, report.unused) == (origin, (), ())
    if backbone.startswith("hrnet"):  # kept for whoever saves and rebuilds it
        assert model.config["backbone_options"] == {"legacy_stem": True}
    without_dropout(model)
    size, step = SIZES.get(backbone, (65, 97)), 16 if backbone == "xception" else 8
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 3, *size)))
    x.requires_grad_()
    for mode in ("eval", "train"):
        out = model.train(mode == "train")(x)
        expected = torch.from_numpy(REFERENCE[f"{entry}/{mode}"])
        assert relative(out[:, :, ::step, ::step], expected) < 1e-9
    out.square().sum().backward()
    expected = torch.from_numpy(REFERENCE[f"{entry}/gradient"])
    assert relative(x.grad[:, :, ::step, ::step], expected) < 1e-9


@pytest.mark.parametrize(
    ("name", "model_name", "remedy"),
    [
        ("deeplabv3_mobilenet", "deeplabv3_mobilenetv2", "{'legacy_padding': True}"),
        ("deeplabv3_xception", "deeplabv3_xception", "{'legacy_tail': True}"),
        ("jfzhang95", "deeplabv3plus_resnet101", "'align_corners': True"),
    ],
)
def test_silent_options_are_named(name: str, model_name: str, remedy: str) -> None:
    model = build_model(model_name, num_classes=4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=remedy):
        load_weights(model, reference_state(name))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_imagenet_classifier_fills_the_backbone_and_leaves_the_head() -> None:
    state = random_state(shapes_of(torchvision.models.mobilenet_v2()), seed=1)
    model = build_model("deeplabv3plus_mobilenetv2")
    head = {name: t.clone() for name, t in model.head.state_dict().items()}
    report = load_weights(model, state)
    assert report.origin == "torchvision"
    assert all(name.startswith("backbone.") for name in report.loaded)
    assert all(name.startswith("head.") for name in report.kept)
    assert {name.split(".")[0] for name in report.unused} == {"features", "classifier"}
    assert all(torch.equal(head[name], t) for name, t in model.head.state_dict().items())
    first = model.backbone.state_dict()["features.0.0.weight"]
    assert torch.equal(first, state["features.0.0.weight"].float())


@pytest.mark.parametrize("wrap", ["plain", "module", "state_dict", "model_state"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".pth.tar"])
def test_files_and_wrappings(tmp_path: Path, wrap: str, suffix: str) -> None:
    source, target = small(), small()
    source.load_state_dict(random_state(shapes_of(source), seed=1))
    state: dict[str, object] = dict(source.state_dict())
    if wrap == "module":
        state = {f"module.{name}": t for name, t in state.items()}
    elif wrap != "plain":
        state = {wrap: state, "best_score": np.float64(0.7), "epoch": 3}
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        if wrap in ("state_dict", "model_state"):
            pytest.skip("safetensors holds tensors only")
        save_file({name: t for name, t in state.items() if isinstance(t, Tensor)}, path)
    else:
        torch.save(state, path)
    report = load_weights(target, path)
    assert report.origin == "seglib"
    assert all(torch.equal(a, target.state_dict()[n]) for n, a in source.state_dict().items())


def test_save_keeps_the_configuration(tmp_path: Path) -> None:
    model = small(output_stride=8)
    path = tmp_path / "model.safetensors"
    save_weights(model, path)
    config = read_config(path)
    assert config == model.config
    again = build_model(**config, weights=path)  # type: ignore[arg-type]
    x = torch.randn(1, 3, 40, 50)
    with torch.no_grad():
        assert torch.equal(again.eval()(x), model.eval()(x))
    assert list(tmp_path.iterdir()) == [path]
    save_weights(classifier("mobilenetv2", 5), path)
    assert read_config(path) is None


def test_a_bare_backbone_takes_a_whole_model(tmp_path: Path) -> None:
    model = small()
    save_weights(model, tmp_path / "model.safetensors")
    backbone = build_backbone("mobilenetv2", output_stride=16, width_mult=0.35)
    report = load_weights(backbone, tmp_path / "model.safetensors")
    assert report.kept == ()
    assert all(name.startswith("head.") for name in report.unused)


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"num_classes": 5}, r"num_classes=5 or exclude=\('head.classifier.3',\)"),
        ({"in_channels": 4}, "in_channels=4"),
        ({"head_options": {"aspp_channels": 24}}, "'aspp_channels': 24"),
        (
            {"head_options": {"aspp_channels": 16, "low_level_channels": 9}},
            "'low_level_channels': 9",
        ),
        ({"head_options": {"aspp_channels": 16, "decoder_convs": 2}}, "'decoder_convs': 2"),
        ({"head_options": {"aspp_channels": 16, "separable": True}}, "'separable': True"),
        ({"backbone_options": {"width_mult": 0.5}}, "'width_mult': 0.5"),
        ({"name": "deeplabv3_mobilenetv2"}, "the head deeplabv3"),
    ],
)
def test_what_does_not_fit_names_the_option(options: dict[str, object], remedy: str) -> None:
    model = small()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=remedy) as error:
        load_weights(model, small(**options).state_dict())  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_exclude_leaves_the_named_part() -> None:
    model, other = small(), small(num_classes=7)
    report = load_weights(model, other.state_dict(), exclude=("head.classifier.3",))
    assert report.kept == ("head.classifier.3.weight", "head.classifier.3.bias")
    with pytest.raises(ValueError, match="exclude: no name of the model begins with 'classifier'"):
        load_weights(model, other.state_dict(), exclude=("classifier",))


def test_missing_and_unknown_are_listed() -> None:
    state = small().state_dict()
    state["head.extra"] = state.pop("head.classifier.3.bias")
    with pytest.raises(ValueError, match=r"unknown head\.extra; missing head\.classifier\.3\.bias"):
        load_weights(small(), state)


def test_old_checkpoints_without_batch_counts_load() -> None:
    state = {n: t for n, t in small().state_dict().items() if not n.endswith("batches_tracked")}
    assert load_weights(small(), state).origin == "seglib"


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def test_a_pickle_bomb_does_not_go_off(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch.save({"state_dict": Bomb(mark)}, tmp_path / "zip.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps({"state_dict": Bomb(mark)}))
    for name in ("zip.pth", "raw.pth"):
        with pytest.raises(ValueError, match=name) as error:
            load_weights(small(), tmp_path / name)
        assert "\n" not in str(error.value)
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.999])
def test_truncated_files_are_named(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"model{suffix}"
    if suffix == ".pth":
        torch.save(small().state_dict(), path)
    else:
        save_weights(small(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=rf"model\{suffix} is damaged"):
        load_weights(small(), path)


def test_other_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.pth does not exist"):
        load_weights(small(), tmp_path / "absent.pth")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        load_weights(small(), tmp_path)
    with pytest.raises(ValueError, match="origin must be auto, seglib, torchvision"):
        load_weights(small(), small().state_dict(), origin="foo")
    with pytest.raises(ValueError, match="origin='auto' knows no project"):
        load_weights(small(), {"a": torch.zeros(1)})
    with pytest.raises(ValueError, match="no state_dict"):
        load_weights(small(), {"epoch": 3})
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="holds a list"):
        load_weights(small(), tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        save_weights(small(), tmp_path / "a.pth")
    with pytest.raises(FileNotFoundError, match="create it first"):
        save_weights(small(), tmp_path / "none" / "a.safetensors")


def test_weights_trained_with_legacy_padding_say_so(tmp_path: Path) -> None:
    options = {"width_mult": 0.35, "legacy_padding": True}
    save_weights(small(backbone_options=options), tmp_path / "legacy.safetensors")
    with pytest.raises(ValueError, match="legacy_padding=True"):
        load_weights(small(), tmp_path / "legacy.safetensors")
