"""Exported files compute what the network computes, at any size; what can't be exported leaves
nothing.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support import random_state, relative, shapes_of
from torch import Tensor, nn

from seglib import build_model, save_weights
from seglib.cli import main
from seglib.datasets.transforms import normalize
from seglib.inference import export, optimise

NAME = "deeplabv3plus_mobilenetv2"
NARROW = {"aspp_channels": 8}
SMALL = {"num_classes": 5, "head_options": NARROW, "backbone_options": {"width_mult": 0.25}}

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mobilenetv2": lambda: build_model(NAME, output_stride=32, **SMALL),
}
HEAVY: dict[str, Callable[[], nn.Module]] = {
    "mobilenetv2 legacy": lambda: build_model(
        "deeplabv3_mobilenetv2",
        backbone_options={"legacy_padding": True, "width_mult": 0.5},
        head_options={**NARROW, "separable": True},
    ),
    "ghostnet": lambda: build_model("deeplabv3plus_ghostnet", **SMALL),
    "fpn": lambda: build_model("fpn_resnet18", head_options={"fpn_channels": 32}),
    "mobilenetv3": lambda: build_model("deeplabv3_mobilenetv3_small", **SMALL),
    "resnet50": lambda: build_model("deeplabv3plus_resnet50", output_stride=8, head_options=NARROW),
    "resnet50 deformable": lambda: build_model(
        "deeplabv3_resnet50",
        backbone_options={"dcn": {}, "stage_with_dcn": (False, False, False, True)},
        head_options=NARROW,
    ),
    "xception": lambda: build_model("deeplabv3plus_xception", head_options=NARROW),
    "xception legacy": lambda: build_model(
        "deeplabv3_xception",
        output_stride=8,
        backbone_options={"legacy_tail": True},
        head_options=NARROW,
    ),
    "hrnet": lambda: build_model("deeplabv3plus_hrnetv2_32", head_options=NARROW),
}


def with_random_state(model: nn.Module) -> nn.Module:
    state = {name: value.float() for name, value in random_state(shapes_of(model), 0).items()}
    model.load_state_dict(state)
    return model


def run_file(path: Path, image: Tensor) -> Tensor:
    if path.suffix == ".pt2":
        return torch.export.load(path).module()(image)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": image.numpy()})
    return torch.from_numpy(logits)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize(
    "name", [*NETWORKS, *(pytest.param(name, marks=pytest.mark.slow) for name in HEAVY)]
)
def test_every_family_at_any_size(tmp_path: Path, name: str, suffix: str) -> None:
    model = with_random_state((NETWORKS | HEAVY)[name]()).train()
    path = tmp_path / f"model{suffix}"
    difference = export(model, path)
    assert difference is not None
    assert difference >= 0
    assert model.training
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    model.eval()
    low = 135 if name == "xception legacy" else 33
    for size in ((1, low, low), (2, low + 80, low + 17), (3, low + 31, 2 * low)):
        image = torch.randn(size[0], 3, *size[1:])
        with torch.no_grad():
            assert relative(run_file(path, image), model(image)) < 1e-3


def test_the_file_tells_how_it_is_used(tmp_path: Path) -> None:
    model = build_model(NAME, **SMALL)
    assert export(model, tmp_path / "model.onnx", check=False) is None
    file = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(file, full_check=True)
    (given,), (made,) = file.graph.input, file.graph.output
    assert (given.name, made.name) == ("image", "logits")
    shapes = [
        [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (given, made)
    ]
    assert shapes == [["batch", 3, "height", "width"], ["batch", 5, "height", "width"]]
    assert "BatchNormalization" not in {node.op_type for node in file.graph.node}
    (entry,) = file.metadata_props
    description = json.loads(entry.value)
    assert build_model(**description["config"]).config == model.config

    assert export(model, tmp_path / "model.pt2", check=False) is None
    extra = {"seglib.json": ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    assert json.loads(extra["seglib.json"]) == description
    # The numbers are those of the library's own normalisation.
    image = torch.randint(0, 256, (3, 4, 5), dtype=torch.uint8)
    mean, std = (np.array(description[name])[:, None, None] for name in ("mean", "std"))
    assert np.allclose((image.numpy() / 255 - mean) / std, normalize(image), atol=1e-6)


def test_doubles_become_floats(tmp_path: Path) -> None:
    model = build_model(NAME, in_channels=4, **SMALL).double().eval()
    export(model, str(tmp_path / "model.pt2"))
    image = torch.randn(1, 4, 50, 61)
    logits = run_file(tmp_path / "model.pt2", image)
    assert logits.dtype == torch.float32
    assert relative(logits, model(image.double())) < 1e-4
    assert next(model.parameters()).dtype == torch.float64


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class SizeDependent(nn.Module):
    """Its second branch is never traced."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.shape[2] == 96 else -x


class ValueDependent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize(
    "model, part",
    [
        (Noise(), "differ from the model's"),
        (SizeDependent(), "Constraints violated"),
        (ValueDependent(), "without values"),
        (nn.Linear(7, 7), "(1, 3, 128, 128)"),
    ],
)
def test_what_does_not_agree_leaves_no_file(
    tmp_path: Path, model: nn.Module, part: str, suffix: str
) -> None:
    path = tmp_path / f"model{suffix}"
    with pytest.raises(ValueError) as caught:
        export(model, path)
    assert part in str(caught.value)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    path.write_text("older")
    with pytest.raises(ValueError, match=r"can't be exported"):
        export(model, path)
    assert path.read_text() == "older"


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    model = build_model(NAME, **SMALL)
    (tmp_path / "folder.onnx").mkdir()
    for path, part in {
        tmp_path / "model.pth": r"\.onnx or \.pt2, got .*model\.pth",
        tmp_path / "folder.onnx": "got the folder",
    }.items():
        with pytest.raises(ValueError, match=part):
            export(model, path)
    with pytest.raises(ValueError, match="got an optimised one"):
        export(optimise(model), tmp_path / "model.onnx")
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        export(model, tmp_path / "nowhere" / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.onnx"]


def test_onnx_missing_is_told_with_the_remedy(tmp_path: Path) -> None:
    program = """
import sys
sys.modules["onnxruntime"] = None
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "onnxruntime" else find(name)
from seglib import build_model
from seglib.inference import export
try:
    export(build_model("deeplabv3_mobilenetv2"), sys.argv[1])
except ModuleNotFoundError as error:
    print(error)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ('exporting to ONNX needs onnxruntime: pip install "seglib[export]"\n')
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_weights(build_model(NAME, **SMALL), path)
    return path


def test_the_command_line_exports(
    tmp_path: Path, weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("model.onnx", "model.pt2"):
        assert main(["export", "--weights", str(weights), str(tmp_path / name)]) == 0
        out, err = capfd.readouterr()
        assert err == ""
        assert out.startswith(f"{tmp_path / name}: max |Δ| of the logits ")
        assert out.count("\n") == 1
    arguments = ["export", "--weights", str(weights), str(tmp_path / "plain.pt2"), "--no-check"]
    assert main(arguments) == 0
    assert capfd.readouterr().out == f"{tmp_path / 'plain.pt2'}\n"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (["export"], ["FILE.onnx|FILE.pt2"]),
        (["export", "model.onnx"], ["--weights"]),
        (["export", "model.pth", "--weights", "W"], [".onnx or .pt2", "model.pth"]),
        (["export", "model", "--weights", "W"], [".onnx or .pt2"]),
        (["export", "nowhere/model.onnx", "--weights", "W"], ["nowhere", "exists"]),
        (["export", "folder.onnx", "--weights", "W"], ["folder.onnx"]),
        (["export", "model.onnx", "--weights", "nowhere.pth"], ["nowhere.pth"]),
        (["export", "model.onnx", "--weights", "text.pth", "--model", NAME], ["text.pth"]),
        (["export", "model.onnx", "--weights", "W", "--model", "foo"], ["--model", "'foo'"]),
        (
            ["export", "model.onnx", "--weights", "W", "--num-classes", "0"],
            ["--num-classes", ">= 1"],
        ),
        (["export", "model.onnx", "--weights", "W", "--foo"], ["--foo"]),
        (["export", "model.onnx", "more.onnx", "--weights", "W"], ["more.onnx"]),
    ],
)
def test_bad_input_to_the_command_line(
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    parts: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "text.pth").write_text("no weights")
    assert main([str(weights) if part == "W" else part for part in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("seglib: error: ")
    assert err.count("\n") == 1
    assert all(part in err for part in parts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.onnx", "text.pth"]
