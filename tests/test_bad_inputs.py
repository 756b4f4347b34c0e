"""What people get wrong: each ends in one line that names it, exit code 2, and no file written."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from project_files import ROOT
from safetensors.torch import save_file

from seglib.cli import main

CHECKPOINT = ROOT / "data" / "checkpoints" / "toystreet.safetensors"
CLASSES = """classes:
  - {name: a, color: [0, 0, 0]}
  - {name: b, color: [255, 0, 0]}
  - {name: c, color: [0, 255, 0]}
void: 255
"""


def image(path: Path, size: tuple[int, int] = (64, 48)) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def mask(path: Path, size: tuple[int, int] = (64, 48), classes: int = 3) -> None:
    labels = np.random.default_rng(0).integers(0, classes, (size[1], size[0]), dtype=np.uint8)
    Image.fromarray(labels).save(path)


class Code:
    """Pickled, it would make a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A good image, a data set of the folder layout in `data`, and files that are not good."""
    image(tmp_path / "good.png")
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / "data" / kind / split).mkdir(parents=True)
        for index in range(4):
            image(tmp_path / "data" / "images" / split / f"{index}.png")
            mask(tmp_path / "data" / "masks" / split / f"{index}.png")
    (tmp_path / "data" / "classes.yaml").write_text(CLASSES, encoding="utf-8")

    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello", encoding="utf-8")
    shutil.copy(tmp_path / "good.png", tmp_path / "cut.png")
    cut(tmp_path / "cut.png", 200)
    (tmp_path / "nothing_in").mkdir()
    shutil.copy(CHECKPOINT, tmp_path / "cut.safetensors")
    cut(tmp_path / "cut.safetensors", 5000)
    (tmp_path / "empty.pth").touch()
    torch.save({"weight": Code(tmp_path / "it_ran")}, tmp_path / "code.pth")
    torch.save({"model_state": {"x": torch.zeros(3)}}, tmp_path / "foreign.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    save_file({"w": torch.zeros(2)}, tmp_path / "unnamed.safetensors")
    return tmp_path


@dataclass(frozen=True)
class Case:
    """A command, and words of the line that it must end in; `spoil` breaks the data set first."""

    name: str
    command: str
    words: tuple[str, ...]
    spoil: Callable[[Path], object] = lambda data: None


def predict(name: str, options: str, *words: str) -> Case:
    command = options if "--weights" in options else f"{options} --weights CHECKPOINT"
    return Case(name, f"predict {command} --out out", words)


def train(
    name: str, options: str, *words: str, spoil: Callable[[Path], object] = lambda data: None
) -> Case:
    start = "train --dataset folder --model deeplabv3_mobilenetv2 --batch-size 2 --crop-size 48x48"
    data = "" if "--data-root" in options else "--data-root data"
    length = "" if "--steps" in options or "--epochs" in options else "--steps 1"
    return Case(name, f"{start} {data} {length} --out out {options}", words, spoil)


def loading(name: str, file: str, *words: str, options: str = "") -> Case:
    return predict(name, f"good.png --weights {file} {options}", file, *words)


MODEL = "--model deeplabv3_mobilenetv2"
CASES = [
    predict("an empty image", "empty.png", "empty.png is damaged or no image"),
    predict("a text as an image", "text.png", "text.png is damaged or no image"),
    predict("an image cut off", "cut.png", "cut.png is damaged or no image"),
    predict("no such image", "gone.png", "gone.png does not exist"),
    predict("a folder without images", "nothing_in", "nothing_in", "holds no image"),
    predict("a pattern that fits nothing", "z*.png", "no file fits", "z*.png"),
    predict("a window of 0", "good.png --window 0x0", "--window", "0"),
    predict("windows that all overlap", "good.png --overlap 1", "--overlap", "1.0"),
    predict("a negative scale", "good.png --scales -1", "--scales", "-1"),
    predict("no such device", "good.png --device tpu", "--device", "tpu"),
    predict("an option misspelt", "good.png --colour", "--colour", "--color"),
    Case(
        "out is a file", "predict good.png --weights CHECKPOINT --out text.png", ("--out", "file")
    ),
    loading("no such weights", "gone.safetensors", "does not exist"),
    loading("weights cut off", "cut.safetensors", "damaged"),
    loading("empty weights", "empty.pth", "damaged"),
    loading("weights with code", "code.pth", "holds code", "was not loaded"),
    loading("an image as weights", "good.png", "no weight file"),
    loading("a folder as weights", "nothing_in", "is a folder"),
    loading("a list as weights", "list.pth", "list", options=f"{MODEL} --num-classes 3"),
    loading("foreign weights", "foreign.pth", "x", options=f"{MODEL} --num-classes 3"),
    loading("weights, classes unknown", "foreign.pth", "--num-classes", options=MODEL),
    loading("weights, network unknown", "unnamed.safetensors", "--model"),
    train("no such model", "--model unet_resnet50", "unet_resnet50", "deeplabv3"),
    train("output stride 12", "--output-stride 12", "--output-stride", "8, 16 or 32", "12"),
    train("a negative rate", "--lr -1", "--lr", "-1"),
    train("a rate that is no number", "--lr nan", "--lr", "nan"),
    train("no steps", "--steps 0", "--steps", "0"),
    train("steps and epochs", "--steps 1 --epochs 1", "--epochs and --steps"),
    train("a batch of one", "--batch-size 1", "--batch-size", "1"),
    train("a batch larger than the data", "--batch-size 99", "batch_size", "99", "4"),
    train("a crop of 5", "--crop-size 5", "--crop-size", "5"),
    train("a crop of letters", "--crop-size axb", "--crop-size", "axb"),
    train("an average without end", "--ema 2", "--ema", "2"),
    train("no such precision", "--precision fp8", "--precision", "fp8"),
    train("half precision on a CPU", "--precision fp16 --device cpu", "precision", "fp16", "bf16"),
    train("no such loss", "--loss hinge", "--loss", "hinge"),
    train("nothing to resume", "--resume", "out", "last.pth"),
    Case("no such data set", "train --dataset coco --out out", ("--dataset", "coco", "camvid")),
    train("no such folder of data", "--data-root gone", "gone"),
    train(
        "a mask missing",
        "",
        "1.png",
        spoil=lambda data: (data / "masks" / "train" / "1.png").unlink(),
    ),
    train(
        "a mask of another size",
        "",
        "1.png",
        "60×48",
        spoil=lambda data: mask(data / "masks" / "train" / "1.png", (60, 48)),
    ),
    train(
        "a label out of range",
        "",
        "1.png",
        spoil=lambda data: mask(data / "masks" / "train" / "1.png", classes=9),
    ),
    train(
        "an image of the data cut off",
        "",
        "2.png is damaged",
        spoil=lambda data: cut(data / "images" / "train" / "2.png", 99),
    ),
    train(
        "masks in unknown colours",
        "",
        "0.png",
        spoil=lambda data: image(data / "masks" / "train" / "0.png"),
    ),
    train(
        "no val split",
        "",
        "val",
        spoil=lambda data: [shutil.rmtree(data / kind / "val") for kind in ("images", "masks")],
    ),
    train(
        "classes.yaml missing",
        "",
        "classes.yaml",
        spoil=lambda data: (data / "classes.yaml").unlink(),
    ),
    train(
        "classes.yaml no YAML",
        "",
        "classes.yaml",
        spoil=lambda data: (data / "classes.yaml").write_text("classes: [", encoding="utf-8"),
    ),
    train(
        "a class twice",
        "",
        "classes.yaml",
        "a",
        spoil=lambda data: (data / "classes.yaml").write_text(
            CLASSES.replace("name: b", "name: a"), encoding="utf-8"
        ),
    ),
    train(
        "a colour above 255",
        "",
        "classes.yaml",
        "300",
        spoil=lambda data: (data / "classes.yaml").write_text(
            CLASSES.replace("[255, 0, 0]", "[300, 0, 0]"), encoding="utf-8"
        ),
    ),
    Case("export to .xyz", "export a.xyz --weights CHECKPOINT", (".xyz", ".onnx", ".pt2")),
    Case("export to nowhere", "export gone/a.onnx --weights CHECKPOINT", ("gone",)),
    Case(
        "other classes than the data's",
        "evaluate --dataset folder --data-root data --weights CHECKPOINT",
        ("11", "3"),
    ),
    Case("data check of nothing", "data check gone", ("gone",)),
    Case("scenes into a full folder", "data toystreet --out data", ("--out", "data")),
    Case("no such command", "fit", ("fit",)),
]


def files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(folder.rglob("*")):
        yield path, path.read_bytes() if path.is_file() else b""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_line_and_exit_code_2(
    case: Case, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case.spoil(place / "data")
    monkeypatch.chdir(place)
    before = dict(files(place))
    code = main(case.command.replace("CHECKPOINT", str(CHECKPOINT)).split())
    err = capsys.readouterr().err
    assert code == 2, err
    assert err.startswith("seglib: error: ")
    assert err.count("\n") == 1, err
    assert all(word in err for word in case.words), err
    assert dict(files(place)) == before
    print(f"| {case.name} | {code} | {err.strip().replace(str(place) + '/', '')} |")


def test_there_are_forty() -> None:
    assert len(CASES) >= 40
