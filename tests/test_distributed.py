"""Several processes, started by torchrun, against one: the same losses and the same scores."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

PROGRAM = str(Path(__file__).parent / "training_process.py")
OPTIONS: dict[str, object] = {
    "steps": 20,
    "batch_size": 4,
    "lr": 0.05,
    "val_images": 5,  # not divisible by the processes
    "val_every": 10,
    "frozen": True,
    "freeze_bn": True,
}


def start(processes: int, options: dict[str, object]) -> subprocess.Popen[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.Popen(
        [sys.executable, *(launcher if processes > 1 else []), PROGRAM, json.dumps(options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def losses_and_scores(out: str) -> tuple[list[float], list[dict[str, object]]]:
    lines = out.splitlines()
    scores = [json.loads(line) for line in lines if line.startswith("{")]
    return [float(line.split()[1]) for line in lines if not line.startswith("{")], scores


def outcome(
    processes: int, folder: Path, **options: object
) -> tuple[list[float], list[dict[str, object]], dict[str, torch.Tensor]]:
    folder.mkdir()
    save = str(folder / "end.safetensors")
    process = start(processes, {**OPTIONS, "checkpoint_dir": str(folder), "save": save, **options})
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["best.safetensors", "end.safetensors", "last.pth"]
    return *losses_and_scores(out), load_file(save)


@pytest.mark.parametrize(
    "options",
    [
        {"accumulate": 2, "ema": 0.9},
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"optimizer": "adamw", "lr": 0.001}, marks=pytest.mark.slow),
    ],
    ids=["accumulated", "plain", "adamw"],
)
def test_two_processes_are_one(tmp_path: Path, options: dict[str, object]) -> None:
    one = {name: value for name, value in options.items() if name != "accumulate"}
    losses, scores, weights = outcome(1, tmp_path / "one", **one)
    shared_losses, shared_scores, shared_weights = outcome(2, tmp_path / "two", **options)
    assert len(losses) == 20
    assert losses[-1] < losses[0]
    assert shared_losses == pytest.approx(losses, abs=1e-5)
    assert shared_scores == scores
    assert [score["pixels"] for score in scores] == [5 * 31 * 32] * 2
    for name, value in weights.items():
        assert torch.allclose(shared_weights[name], value, atol=1e-4), name


@pytest.mark.slow
def test_batchnorm_sees_the_images_of_all(tmp_path: Path) -> None:
    """After one step the first layer's running mean is that of the whole batch."""
    options = {"steps": 1, "freeze_bn": False, "momentum": 0.0}
    means = [outcome(n, tmp_path / str(n), **options)[2] for n in (1, 2)]
    name = next(name for name in means[0] if name.endswith("running_mean"))
    assert means[0][name].abs().max() > 1e-3
    assert torch.allclose(means[1][name], means[0][name], atol=1e-6)


@pytest.mark.slow
def test_an_interrupted_run_of_two_processes_goes_on(tmp_path: Path) -> None:
    """With BatchNorm that learns and dropout: each process has random numbers of its own."""
    options: dict[str, object] = {"frozen": False, "freeze_bn": False}
    losses, _, weights = outcome(2, tmp_path / "whole", **options)
    folder = tmp_path / "halves"
    save = {"checkpoint_dir": str(folder), "save": str(folder / "end.safetensors")}
    process = start(2, {**OPTIONS, **options, **save})
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("7 "):
            os.killpg(process.pid, signal.SIGINT)  # the launcher sends it once more
            break
    out, err = process.communicate(timeout=180)
    assert process.returncode != 0
    assert not (folder / "end.safetensors").exists()
    process = start(2, {**OPTIONS, **options, **save, "resume": True, "weights_seed": 3})
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    ends = losses_and_scores(out)[0]
    assert 0 < len(ends) < 20
    assert ends == losses[-len(ends) :]
    resumed = load_file(folder / "end.safetensors")
    assert all(torch.equal(resumed[name], value) for name, value in weights.items())
