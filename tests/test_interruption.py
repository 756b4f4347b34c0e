"""Runs that are interrupted or killed, as real processes, and resumed: equal to the last bit."""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_process import POINTS, Send, main

from seglib.files import read_tensors

FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["torch", "seglib.training"])  # seconds for each process else
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

STEPS = 12
OPTIONS: dict[str, object] = {
    "steps": STEPS,
    "batch_size": 4,
    "val_every": 4,
    "val_images": 2,
    "optimizer": "adamw",
}
EVERYTHING: dict[str, object] = {"ema": 0.9, "precision": "bf16", "accumulate": 2}


def start(folder: Path, **options: object) -> tuple[ForkServerProcess, Iterator[int]]:
    """A run in a process of its own, and its steps as they are taken."""
    arguments = {**OPTIONS, "checkpoint_dir": str(folder), "save": f"{folder}/end.safetensors"}
    receiver, sender = FORKSERVER.Pipe(duplex=False)
    loggers = [Send(sender)]
    process = FORKSERVER.Process(target=own_group, args=({**arguments, **options}, loggers))
    process.start()
    sender.close()
    return process, steps(receiver)


def own_group(options: dict[str, object], loggers: list[Send]) -> None:
    os.setpgid(0, 0)
    main({**options, "loggers": loggers})


def steps(receiver: Connection) -> Iterator[int]:
    try:
        while True:
            yield receiver.recv()
    except (EOFError, ConnectionResetError):
        return


def finish(process: ForkServerProcess) -> int:
    process.join(120)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def whole(folder: Path, **options: object) -> dict[str, torch.Tensor]:
    folder.mkdir()
    assert finish(start(folder, **options)[0]) == 0
    return load_file(folder / "end.safetensors")


def resumed(folder: Path, **options: object) -> dict[str, torch.Tensor]:
    """Go on from last.pth, which must be readable, or from the start where it is not there yet."""
    resume = (folder / "last.pth").exists()
    if resume:
        read_tensors(folder / "last.pth")
    process, _ = start(folder, resume=resume, weights_seed=7 if resume else 0, **options)
    assert finish(process) == 0
    return load_file(folder / "end.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def interrupted(tmp_path: Path, seed: int, times: int, number: int, **options: object) -> None:
    print(f"seed {seed}")  # shown where the test fails
    expected = whole(tmp_path / "whole", **options)
    best = load_file(tmp_path / "whole" / "best.safetensors")
    generator = random.Random(seed)
    for turn in range(times):
        step = generator.randrange(1, STEPS)
        folder = tmp_path / f"turn{turn}"
        folder.mkdir()
        process, taken = start(folder, **options)
        assert step in taken
        os.killpg(process.pid or 0, number)  # as a terminal does: processes that load images, too
        assert finish(process) == 130, f"turn {turn}, step {step}"
        history = read_tensors(folder / "last.pth")["history"]
        assert step <= len(history["loss"]) <= step + 2  # type: ignore[index]
        assert not (folder / "end.safetensors").exists()
        assert same(resumed(folder, **options), expected), f"turn {turn}, step {step}"
        assert same(load_file(folder / "best.safetensors"), best)
        names = ["best.safetensors", "end.safetensors", "last.pth"]
        assert sorted(path.name for path in folder.iterdir()) == names


def test_interrupted_runs_go_on(tmp_path: Path) -> None:
    interrupted(tmp_path, random.randrange(10**6), 3, signal.SIGINT, **EVERYTHING)


def test_a_request_to_end_is_an_interrupt(tmp_path: Path) -> None:
    interrupted(tmp_path, 1, 1, signal.SIGTERM, optimizer="sgd")


def test_ctrl_c_reaches_the_workers_too(tmp_path: Path) -> None:
    interrupted(tmp_path, 2, 1, signal.SIGINT, num_workers=1)


def test_the_second_one_ends_at_once(tmp_path: Path) -> None:
    process, taken = start(tmp_path, steps=10**6, val_images=100_000)
    assert 4 in taken  # a validation without end follows
    os.kill(process.pid or 0, signal.SIGINT)
    time.sleep(0.5)
    assert process.is_alive()
    os.kill(process.pid or 0, signal.SIGINT)
    assert finish(process) == 130


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
def test_interrupted_twenty_times(tmp_path: Path, options: dict[str, object]) -> None:
    interrupted(tmp_path, random.randrange(10**6), 20, signal.SIGINT, **options)


def killed(tmp_path: Path, file: str, write: int, points: tuple[str, ...]) -> None:
    """Killed in the writing of a file, then resumed."""
    expected = whole(tmp_path / "whole", **EVERYTHING)
    best = load_file(tmp_path / "whole" / "best.safetensors")
    for number, point in enumerate(points):
        folder = tmp_path / f"point{number}"
        folder.mkdir()
        kill = {"point": point, "file": file, "write": write}
        process, _ = start(folder, kill=kill, **EVERYTHING)
        assert finish(process) == -signal.SIGKILL, point
        assert same(resumed(folder, **EVERYTHING), expected), point
        assert same(load_file(folder / "best.safetensors"), best), point
        assert not [path for path in folder.iterdir() if path.name.startswith(".")], point


@pytest.mark.slow
def test_killed_while_the_checkpoint_is_written(tmp_path: Path) -> None:
    killed(tmp_path, "last.pth", 2, POINTS)


@pytest.mark.slow
@pytest.mark.parametrize("file, write", [("last.pth", 1), ("last.pth", 3), ("best.safetensors", 1)])
def test_killed_at_other_times(tmp_path: Path, file: str, write: int) -> None:
    killed(tmp_path, file, write, POINTS)
