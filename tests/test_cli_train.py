"""`seglib train`: its options, what they leave, and several processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seglib.cli import main, train_options
from seglib.files import read_tensors
from seglib.losses import LOSSES, PIXEL_LOSSES
from seglib.precision import PRECISIONS

SMALL = ("--width-mult", "0.25", "--aspp-channels", "8")


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """ToyStreet's layout: six scenes to train on, five for validation."""
    generator = np.random.default_rng(0)
    for split, count in {"train": 6, "val": 5}.items():
        (tmp_path / "toys" / split).mkdir(parents=True)
        (tmp_path / "toys" / f"{split}annot").mkdir()
        for index in range(count):
            image = generator.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            mask = generator.integers(0, 11, (48, 64), dtype=np.uint8)
            mask[:4] = 255
            Image.fromarray(image).save(tmp_path / "toys" / split / f"{index}.png")
            Image.fromarray(mask).save(tmp_path / "toys" / f"{split}annot" / f"{index}.png")
    return tmp_path / "toys"


def options(root: Path, out: Path) -> list[str]:
    sizes = ["--steps", "4", "--batch-size", "4", "--crop-size", "48x64", "--val-every", "2"]
    return ["train", "--data-root", str(root), "--out", str(out), *sizes, *SMALL]


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_tables_are_the_librarys() -> None:
    assert set(train_options.LOSSES) == set(LOSSES)
    assert set(train_options.WHOLE_LOSSES) == set(LOSSES) - set(PIXEL_LOSSES)
    assert set(train_options.PRECISIONS) == set(PRECISIONS)


@pytest.mark.parametrize(
    "arguments, parts",
    [
        ("--loss foo", ["--loss", "cross_entropy, focal", "'foo'"]),
        ("--focal-gamma 1", ["--focal-gamma is for --loss focal, got cross_entropy"]),
        ("--loss focal --focal-gamma=-1", ["--focal-gamma", ">= 0, got -1"]),
        ("--loss focal --label-smoothing 0.1", ["--label-smoothing is for --loss cross_entropy"]),
        ("--label-smoothing 2", ["--label-smoothing", "from 0 to 1, got 2"]),
        ("--loss dice --accumulate 2", ["--loss dice", "--accumulate"]),
        ("--class-weights foo", ["--class-weights", "median_frequency", "'foo'"]),
        ("--schedule cosine", ["--schedule", "poly, step", "'cosine'"]),
        ("--step-size 5", ["--step-size is for --schedule step, got poly"]),
        ("--schedule step --power 1", ["--power is for --schedule poly, got step"]),
        ("--schedule step --gamma 0", ["--gamma", "above 0 to 1, got 0"]),
        ("--schedule step --step-size 0", ["--step-size", ">= 1, got 0"]),
        ("--warmup-steps=-1", ["--warmup-steps", ">= 0, got -1"]),
        ("--warmup-steps 4", ["warmup_steps", "4"]),
        ("--precision fp8", ["--precision", "fp32, bf16, fp16", "'fp8'"]),
        ("--precision fp16 --device cpu", ["fp16", "GPU"]),
        ("--sync-bn --device cpu", ["sync_bn", "GPU"]),
        ("--ema 1", ["--ema", "between 0 and 1", "got 1"]),
        ("--bn-momentum 0", ["--bn-momentum", "above 0 to 1, got 0"]),
        ("--accumulate 0", ["--accumulate", ">= 1, got 0"]),
        ("--accumulate 3", ["batch_size must be a multiple of 3"]),
        ("--accumulate 4", ["BatchNorm", "at least 8, "]),
        ("--momentum nan", ["--momentum", "nan"]),
        ("--tensorboard --samples=-1", ["--samples", ">= 0, got -1"]),
        ("--print-every 0", ["--print-every", ">= 1, got 0"]),
        ("--val-batch-size 0", ["--val-batch-size", ">= 1, got 0"]),
        ("--test-only --resume", ["--test-only", "--resume"]),
        ("--test-only", ["best.safetensors does not exist"]),
        ("--test-only --weights nowhere.pth", ["nowhere.pth does not exist"]),
    ],
)
def test_refusals(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str, parts: list[str]
) -> None:
    before = listing(tmp_path)
    assert run(*options(root, tmp_path / "run"), *arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("seglib: error: ")
    for part in parts:
        assert part in err
    assert listing(tmp_path) == before


def test_all_at_once(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    out = tmp_path / "run"
    many = (
        "--loss focal --focal-gamma 1.5 --class-weights median_frequency --ema 0.9 --accumulate 2",
        "--schedule step --step-size 2 --gamma 0.5 --momentum 0.8 --bn-momentum 0.05",
        "--precision bf16 --val-batch-size 2 --crop-val --print-every 2",
        "--tensorboard --samples 3 --save-results",
    )
    assert run(*options(root, out), *" ".join(many).split()) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[:3:2] for line in printed[:4]] == [
        ["step", "loss"], ["step", "mean"], ["step", "loss"], ["step", "mean"]
    ]  # fmt: skip
    config = json.loads((out / "config.json").read_text())
    assert config["loss"] == "focal"
    assert config["ema"] == 0.9
    history = json.loads((out / "history.json").read_text())
    assert history["lr"] == pytest.approx([0.01, 0.01, 0.005, 0.005])
    assert history["val_steps"] == [2, 4]
    kinds = ("image", "overlay", "prediction", "truth")
    assert listing(out / "results") == [f"{i}_{kind}.png" for i in range(5) for kind in kinds]
    with Image.open(out / "results" / "0_prediction.png") as picture:
        assert (picture.mode, picture.size) == ("P", (64, 48))

    events = reader.EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    assert [e.value for e in events.Scalars("val/mean_iou")] == pytest.approx(
        [scores["mean_iou"] for scores in history["val"]]
    )
    assert [e.step for e in events.Scalars("train/loss")] == [1, 2, 4]
    assert "val_iou/sky" in events.Tags()["scalars"]
    assert len(events.Tags()["images"]) == 3
    text = events.Tensors("options/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| ema | 0.9 |" in text

    same = ["--val-batch-size", "2", "--crop-val", "--precision", "bf16", "--test-only"]
    before = listing(tmp_path)
    assert run(*options(root, out), *same, "--weights", out / "last.pth") == 0
    table = capsys.readouterr().out
    assert f"{history['val'][-1]['mean_iou']:.4f}" in table
    assert listing(tmp_path) == before
    assert run(*options(root, out), "--test-only", "--save-results") == 0


def test_tensorboard_missing(
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert run(*options(root, tmp_path / "run"), "--tensorboard") == 2
    assert "pip install 'seglib[tensorboard]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_lost_run_with_tensorboard_leaves_nothing(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = ("--lr", "1e30", "--val-every", "100", "--steps", "50", "--tensorboard")
    assert run(*options(root, tmp_path / "run"), *lost) == 2
    assert "loss is" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_images_of_different_sizes_in_validation(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, mode in {"val": "RGB", "valannot": "L"}.items():
        Image.new(mode, (80, 50)).save(root / folder / "0.png")
    several = ("--val-batch-size", "5")
    assert run(*options(root, tmp_path / "run"), *several) == 2
    assert "differ in size" in capsys.readouterr().err
    assert run(*options(root, tmp_path / "run"), *several, "--crop-val") == 0


def test_two_processes(root: Path, tmp_path: Path) -> None:
    """The losses of one process, where BatchNorm is frozen; files and lines once."""
    same = ("--freeze-bn", "--print-every", "1", "--save-results")
    assert run(*options(root, tmp_path / "one"), *same) == 0
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "seglib"]
    ended = subprocess.run(
        [sys.executable, *command, *options(root, tmp_path / "two"), *same],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=180,
    )
    assert ended.returncode == 0, ended.stderr
    assert len([line for line in ended.stdout.splitlines() if "loss" in line]) == 4
    assert listing(tmp_path / "one") == listing(tmp_path / "two")
    one, two = (
        json.loads((tmp_path / name / "history.json").read_text()) for name in ("one", "two")
    )
    assert two["loss"][0] == pytest.approx(one["loss"][0], abs=1e-5) or torch.cuda.is_available()
    pixels = [scores["num_pixels"] for scores in two["val"]]
    assert pixels == [5 * 44 * 64] * 2


def test_the_real_program_is_interrupted_and_goes_on(root: Path, tmp_path: Path) -> None:
    same = ("--ema", "0.9", "--print-every", "1", "--steps", "40")
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert run(*options(root, whole), *same) == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "seglib", *options(root, halves), *same],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    next(line for line in process.stdout if line.split()[1:3] == ["5", "loss"])
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err == (
        f"seglib: error: interrupted: {halves} holds the run;"
        " give the same command with --resume to go on\n"
    )
    assert not (halves / "history.json").exists()
    assert run(*options(root, halves), *same, "--resume") == 0
    assert listing(whole) == listing(halves)
    for name in ("history.json", "best.safetensors"):
        assert (whole / name).read_bytes() == (halves / name).read_bytes()
    ends = [read_tensors(folder / "last.pth") for folder in (whole, halves)]
    for part in ("model", "trained"):
        one, other = (dict(end[part]) for end in ends)  # type: ignore[call-overload]
        assert all(torch.equal(one[name], other[name]) for name in one)
