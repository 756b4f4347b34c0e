"""The command line: what it does, and one line and exit code 2 for whatever can't be done."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seglib import build_model, save_weights
from seglib.cli import main

Run = Callable[..., tuple[int, str, str]]
MODEL = "deeplabv3plus_mobilenetv2"
SMALL = {"head_options": {"aspp_channels": 8}, "backbone_options": {"width_mult": 0.25}}
SMALL_OPTIONS = ("--width-mult", "0.25", "--aspp-channels", "8")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command line in this process: (exit code, stdout, stderr)."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def refused(result: tuple[int, str, str], *parts: str) -> None:
    """Exit code 2, nothing on stdout, and on stderr one line that holds `parts`."""
    code, out, err = result
    assert code == 2, err
    assert out == ""
    assert err.count("\n") == 1, err
    assert all(line.startswith("seglib: error: ") for line in err.splitlines())
    assert "Traceback" not in err
    for part in parts:
        assert part in err


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network for ToyStreet's classes, untrained."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_weights(build_model(MODEL, num_classes=11, **SMALL), path)
    return path


@pytest.fixture
def toy_root(tmp_path: Path) -> Path:
    """ToyStreet's layout with four scenes a split."""
    root = tmp_path / "toystreet"
    generator = np.random.default_rng(0)
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        (root / f"{split}annot").mkdir()
        for index in range(4):
            image = generator.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            mask = generator.integers(0, 11, (48, 64), dtype=np.uint8)
            mask[:4] = 255
            Image.fromarray(image).save(root / split / f"{index:04d}.png")
            Image.fromarray(mask).save(root / f"{split}annot" / f"{index:04d}.png")
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, size in {"a.png": (40, 50), "b.jpg": (33, 64)}.items():
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / name)
    return folder


def test_help_and_version(run: Run) -> None:
    for arguments in ((), ("--help",), ("-h",)):
        code, out, err = run(*arguments)
        assert (code, err) == (0, "")
        for command in ("train", "evaluate", "predict", "export", "data", "models"):
            assert f"\n  {command} " in out
    assert run("--version") == (0, "seglib 0.1.0\n", "")
    for command in ("train", "evaluate", "predict", "export", "data", "models"):
        code, out, err = run(command, "--help")
        assert (code, err) == (0, "")
        assert out.startswith(f"Usage: seglib {command} ")


@pytest.mark.slow
def test_models_lists_parameters_and_multiply_adds(run: Run) -> None:
    code, out, _ = run("models")
    assert code == 0
    rows = dict(line.split(maxsplit=1) for line in out.splitlines()[1:])
    assert rows[MODEL].split() == ["5.23", "M", "17.12", "G"]
    assert rows["deeplabv3_mobilenetv2"].split() == ["5.11", "M", "6.01", "G"]


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (["foo"], ["foo"]),
        (["train", "--out"], ["--out"]),
        (["train", "--out", "run", "--foo"], ["--foo"]),
        (["train", "--out", "run", "--lr"], ["--lr"]),
        (
            ["train", "--out", "run", "--output-stride", "7"],
            ["--output-stride", "8, 16 or 32", "7"],
        ),
        (["train", "--out", "run", "--output-stride", "x"], ["--output-stride"]),
        (
            ["train", "--out", "run", "--model", "foo"],
            ["--model", "deeplabv3plus", "mobilenetv2", "'foo'"],
        ),
        (["train", "--out", "run", "--dataset", "foo"], ["--dataset", "toystreet, camvid", "foo"]),
        (["train", "--out", "run", "--data-root", "nowhere"], ["nowhere"]),
        (["train", "--out", "run", "--crop-size", "0"], ["--crop-size", "HxW", "'0'"]),
        (["train", "--out", "run", "--crop-size", "0x0"], ["--crop-size", "'0x0'"]),
        (["train", "--out", "run", "--crop-size", "192"], ["--crop-size", "'192'"]),
        (["train", "--out", "run", "--crop-size=-64x64"], ["--crop-size", "'-64x64'"]),
        (["train", "--out", "run", "--crop-size", "64x64x3"], ["--crop-size", "'64x64x3'"]),
        (["train", "--out", "run", "--lr", "nan"], ["--lr", "nan"]),
        (["train", "--out", "run", "--lr", "inf"], ["--lr", "inf"]),
        (["train", "--out", "run", "--lr=-1"], ["--lr", "-1"]),
        (["train", "--out", "run", "--lr", "0"], ["--lr", "0"]),
        (["train", "--out", "run", "--backbone-lr", "nan"], ["--backbone-lr", "nan"]),
        (["train", "--out", "run", "--weight-decay", "nan"], ["--weight-decay", "nan"]),
        (["train", "--out", "run", "--epochs", "0"], ["--epochs", ">= 1, got 0"]),
        (["train", "--out", "run", "--steps=-3"], ["--steps", ">= 1, got -3"]),
        (["train", "--out", "run", "--steps", "3", "--epochs", "1"], ["--steps", "--epochs"]),
        (["train", "--out", "run", "--batch-size", "0"], ["--batch-size", ">= 2, got 0"]),
        (["train", "--out", "run", "--batch-size", "2.5"], ["--batch-size"]),
        (["train", "--out", "run", "--num-workers=-1"], ["--num-workers", ">= 0, got -1"]),
        (["train", "--out", "run", "--seed=-1"], ["--seed", ">= 0, got -1"]),
        (["train", "--out", "run", "--val-every", "0"], ["--val-every", ">= 1, got 0"]),
        (["train", "--out", "run", "--optimizer", "foo"], ["--optimizer", "sgd or adamw", "'foo'"]),
        (["train", "--out", "run", "--width-mult", "0"], ["--width-mult", "0"]),
        (["train", "--out", "run", "--aspp-channels", "0"], ["--aspp-channels", ">= 1, got 0"]),
        (["train", "--out", "run", "--device", "foo"], ["--device", "'foo'"]),
        (["train", "--out", "run", "--weights", "nowhere.pth"], ["nowhere.pth does not exist"]),
        (
            ["train", "--out", "run", "--model", "deeplabv3_mobilenetv2", "--decoder-convs", "2"],
            ["decoder_convs"],
        ),
        (["train", "--out", "run", "--resume"], ["last.pth", "--resume"]),
        (["evaluate"], ["--weights"]),
        (["evaluate", "--weights", "nowhere.safetensors"], ["nowhere.safetensors does not exist"]),
        (["evaluate", "--weights", "nowhere.pth"], ["nowhere.pth does not exist"]),
        (["evaluate", "--weights", "."], ["is a folder"]),
        (["predict"], ["IMAGE"]),
        (["predict", "a.png", "--out", "out"], ["--weights"]),
        (
            ["predict", "nowhere.png", "--weights", "w", "--out", "out"],
            ["nowhere.png does not exist"],
        ),
        (["predict", "*.webp", "--weights", "w", "--out", "out"], ["no file fits *.webp"]),
        (["data", "camvid", "--out", "out"], ["toystreet", "'camvid'"]),
        (["data", "toystreet"], ["--out"]),
    ],
)
def test_wrong_options_are_one_line(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    parts: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(run(*arguments), *parts)
    assert listing(tmp_path) == []


class Bomb:
    """Unpickled carelessly, it makes a file."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("exploded",)


def damaged(kind: str, weights: Path, folder: Path) -> Path:
    """A weight file that can't be read."""
    path = folder / f"model{'.pth' if 'pth' in kind else '.safetensors'}"
    if kind == "truncated safetensors":
        path.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    elif kind == "truncated header safetensors":
        path.write_bytes(weights.read_bytes()[:100])
    elif kind.startswith("truncated pth"):
        torch.save(build_model(MODEL, num_classes=11, **SMALL).state_dict(), path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "pickle bomb pth":
        path.write_bytes(pickle.dumps(Bomb()))
    elif kind == "zipped pickle bomb pth":
        torch.save({"state_dict": Bomb()}, path)
    elif kind == "list pth":
        torch.save([1, 2], path)
    else:
        path.write_bytes(b"" if kind.startswith("empty") else b"no weights at all")
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "truncated safetensors",
        "truncated header safetensors",
        "empty safetensors",
        "text safetensors",
        "truncated pth",
        "pickle bomb pth",
        "zipped pickle bomb pth",
        "list pth",
        "empty pth",
        "text pth",
    ],
)
def test_damaged_weights_are_one_line(
    run: Run,
    tmp_path: Path,
    toy_root: Path,
    photos: Path,
    weights: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = damaged(kind, weights, tmp_path)
    before = listing(tmp_path)
    place = ("--dataset", "toystreet", "--data-root", toy_root)
    refused(run("evaluate", "--weights", path, "--model", MODEL, *place), path.name)
    refused(run("train", *place, "--weights", path, "--out", "run", *SMALL_OPTIONS), path.name)
    refused(
        run(
            "predict",
            photos,
            "--weights",
            path,
            "--model",
            MODEL,
            "--num-classes",
            "11",
            "--out",
            "out",
        ),
        path.name,
    )
    assert listing(tmp_path) == before


def test_data_makes_toystreet_in_a_new_folder_only(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seglib.datasets.toystreet.SIZES", {"train": 1, "val": 1})
    out = tmp_path / "made"
    assert run("data", "toystreet", "--out", out) == (0, f"ToyStreet is in {out}\n", "")
    assert listing(out) == [
        "train",
        "train/0000.png",
        "trainannot",
        "trainannot/0000.png",
        "val",
        "val/0000.png",
        "valannot",
        "valannot/0000.png",
    ]
    refused(run("data", "toystreet", "--out", out), "--out", "new or empty folder")
    refused(run("data", "toystreet", "--out", out / "val" / "0000.png" / "x"), "0000.png")


def test_predict_writes_labels_and_overlays(
    run: Run, tmp_path: Path, photos: Path, weights: Path
) -> None:
    out = tmp_path / "deep" / "out"
    code, printed, err = run("predict", photos, "--weights", weights, "--out", out)
    assert (code, err) == (0, "")
    assert listing(out) == ["a_mask.png", "a_overlay.png", "b_mask.png", "b_overlay.png"]
    assert printed.split() == [str(out / "a_mask.png"), str(out / "b_mask.png")]
    with Image.open(out / "a_mask.png") as mask:
        assert (mask.mode, mask.size) == ("P", (50, 40))
        assert np.asarray(mask).max() < 11
        assert mask.getpalette()[:3] == [128, 128, 128]  # CamVid's sky
    with Image.open(out / "a_overlay.png") as figure:
        assert figure.size == (1110, 390)


def test_predict_takes_files_folders_and_patterns(
    run: Run, tmp_path: Path, photos: Path, weights: Path
) -> None:
    out = tmp_path / "out"
    options = ("--weights", weights, "--out", out, "--no-overlay")
    assert run("predict", photos / "a.png", *options)[0] == 0
    assert listing(out) == ["a_mask.png"]
    assert run("predict", photos / "*.jpg", photos / "b.jpg", *options)[0] == 0
    assert listing(out) == ["a_mask.png", "b_mask.png"]


def test_predict_with_a_network_for_other_classes(run: Run, tmp_path: Path, photos: Path) -> None:
    path = tmp_path / "five.pth"
    torch.save(build_model(MODEL, num_classes=5).state_dict(), path)
    out = tmp_path / "out"
    options = ("--weights", path, "--out", out)
    refused(run("predict", photos, *options), "--model")
    refused(run("predict", photos, *options, "--model", MODEL, "--num-classes", "4"), "num_classes")
    assert not out.exists()
    assert run("predict", photos, *options, "--model", MODEL, "--num-classes", "5")[0] == 0
    with Image.open(out / "b_mask.png") as mask:
        assert np.asarray(mask).max() < 5


def test_predict_refuses_everything_if_one_image_is_damaged(
    run: Run, tmp_path: Path, photos: Path, weights: Path
) -> None:
    (photos / "broken.png").write_bytes((photos / "a.png").read_bytes()[:500])
    (photos / "text.jpg").write_text("no image")
    out = tmp_path / "out"
    result = run("predict", photos, "--weights", weights, "--out", out)
    refused(result, "broken.png is damaged", "text.jpg is damaged")
    assert not out.exists()


def test_predict_refuses_what_it_would_overwrite(
    run: Run, tmp_path: Path, photos: Path, weights: Path
) -> None:
    options = ("--weights", weights, "--out")
    shutil.copy(photos / "a.png", photos / "b.png")
    refused(run("predict", photos, *options, tmp_path / "out"), "b.jpg", "b.png", "both")
    (photos / "b.png").rename(photos / "a_mask.png")
    refused(run("predict", photos, *options, photos), "a_mask.png", "overwritten")
    (tmp_path / "empty").mkdir()
    refused(run("predict", tmp_path / "empty", *options, tmp_path / "out"), "holds no image")
    refused(run("predict", photos / "a.png", *options, photos / "b.jpg"), "--out", "folder")
    refused(run("predict", photos / "a.png", *options, photos / "b.jpg" / "x"), "b.jpg")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_can_not_be_written(
    run: Run, tmp_path: Path, photos: Path, weights: Path, toy_root: Path
) -> None:
    if Path("/proc/self").exists():  # there not even root may make a folder
        nowhere = Path("/proc/seglib")
        refused(run("predict", photos, "--weights", weights, "--out", nowhere), str(nowhere))
        refused(run(*short_run(toy_root, nowhere)), str(nowhere))
        refused(run("data", "toystreet", "--out", nowhere / "toys"), str(nowhere))
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):
        pytest.skip("this user may write anywhere")
    refused(run("predict", photos, "--weights", weights, "--out", closed), "closed")
    place = ("--data-root", toy_root, *SMALL_OPTIONS)
    refused(run("train", *place, "--out", closed / "run"), "closed")
    refused(run("data", "toystreet", "--out", closed / "toys"), "closed")


def test_evaluate_prints_and_writes_scores(
    run: Run, tmp_path: Path, toy_root: Path, weights: Path
) -> None:
    file = tmp_path / "scores.json"
    options = ("evaluate", "--weights", weights, "--data-root", toy_root)
    code, out, err = run(*options, "--json", file)
    assert (code, err) == (0, "")
    for name in ("sky", "bicyclist", "mean IoU", "overall accuracy", "mean accuracy", "frequency"):
        assert name in out
    scores = json.loads(file.read_text())
    assert scores["split"] == "val"
    assert len(scores["class_iou"]) == len(scores["classes"]) == 11
    assert scores["num_pixels"] == 4 * 44 * 64
    assert f"{scores['mean_iou']:.4f}" in out
    refused(run(*options, "--json", tmp_path), "--json")
    refused(run(*options, "--json", tmp_path / "nowhere" / "x.json"), "--json")
    refused(run(*options, "--split", "foo"), "--split", "train, val, test")


def test_weights_of_another_network_are_one_line(
    run: Run, tmp_path: Path, toy_root: Path, weights: Path
) -> None:
    options = ("--data-root", toy_root, "--weights", weights, "--out", tmp_path / "run")
    refused(run("train", *options), weights.name, "width_mult")
    assert not (tmp_path / "run").exists()


def test_evaluate_needs_the_data_sets_classes(run: Run, tmp_path: Path, toy_root: Path) -> None:
    save_weights(build_model(MODEL, num_classes=5, **SMALL), tmp_path / "five.safetensors")
    result = run("evaluate", "--weights", tmp_path / "five.safetensors", "--data-root", toy_root)
    refused(result, "5 classes", "11")


def spoil(kind: str, root: Path) -> str:
    """Damage the data set; returns the name of the file at fault."""
    mask = root / "valannot" / "0002.png"
    if kind == "size":
        Image.new("L", (10, 10)).save(mask)
    elif kind == "label":
        Image.fromarray(np.full((48, 64), 30, dtype=np.uint8)).save(mask)
    elif kind == "image":
        mask = root / "val" / "0002.png"
        mask.write_bytes(mask.read_bytes()[:2000])
    else:
        mask.unlink()
    return mask.name


@pytest.mark.parametrize("kind", ["size", "label", "image", "missing"])
def test_wrong_data_are_one_line(
    run: Run, tmp_path: Path, toy_root: Path, weights: Path, kind: str
) -> None:
    parts = [spoil(kind, toy_root), *(["label 30"] if kind == "label" else [])]
    before = listing(tmp_path)
    place = ("--data-root", toy_root)
    scores = tmp_path / "scores.json"
    refused(run("evaluate", *place, "--weights", weights, "--json", scores), *parts)
    refused(run("train", *place, "--out", tmp_path / "run", *SMALL_OPTIONS), *parts)
    assert listing(tmp_path) == before


def short_run(root: Path, out: Path, *more: str) -> list[str]:
    options = ["--steps", "4", "--val-every", "2", "--batch-size", "2", "--crop-size", "48x64"]
    return ["train", "--data-root", str(root), "--out", str(out), *options, *SMALL_OPTIONS, *more]


def test_train_evaluate_predict(run: Run, tmp_path: Path, toy_root: Path, photos: Path) -> None:
    out = tmp_path / "runs" / "first"
    code, printed, err = run(*short_run(toy_root, out))
    assert code == 0, err
    assert len([line for line in printed.splitlines() if line.startswith("step ")]) == 2
    assert listing(out) == ["best.safetensors", "config.json", "history.json", "last.pth"]
    assert json.loads((out / "config.json").read_text())["lr"] == 0.01
    assert json.loads((out / "history.json").read_text())

    refused(run(*short_run(toy_root, out)), "already holds a run", "--resume")
    refused(run(*short_run(toy_root, out, "--resume", "--lr", "0.1")), "lr=0.01", "0.1")

    scores = tmp_path / "scores.json"
    best = out / "best.safetensors"
    for file in (best, out / "last.pth"):  # network and data are the run's
        code, printed, err = run("evaluate", "--weights", file, "--json", scores)
        assert code == 0, err
        assert "4 images" in printed
    assert run("predict", photos, "--weights", best, "--out", tmp_path / "out")[0] == 0
    (out / "last.pth").write_bytes((out / "last.pth").read_bytes()[:1000])
    refused(run(*short_run(toy_root, out, "--resume")), "last.pth")


def test_an_interrupted_run_goes_on(
    run: Run, tmp_path: Path, toy_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert run(*short_run(toy_root, whole))[0] == 0

    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr("seglib.run.save_weights", interrupt)
        code, _, err = run(*short_run(toy_root, halves))
    assert code == 130
    assert err == (
        f"seglib: error: interrupted: {halves} holds the run;"
        " give the same command with --resume to go on\n"
    )
    assert listing(halves) == ["config.json", "last.pth"]
    code, _, err = run(*short_run(toy_root, halves, "--resume"))
    assert code == 0, err
    assert (halves / "history.json").read_text() == (whole / "history.json").read_text()


def test_a_run_that_fails_before_it_kept_anything_leaves_nothing(
    run: Run, tmp_path: Path, toy_root: Path
) -> None:
    before = listing(tmp_path)
    out = tmp_path / "run"
    refused(run(*short_run(toy_root, out, "--batch-size", "5")), "batch_size", "got 5")
    refused(run(*short_run(toy_root, out, "--lr", "1e30", "--val-every", "100")), "loss is")
    spoil("label", toy_root)
    result = run(*short_run(toy_root, out, "--no-check", "--num-workers", "1"))
    assert result[0] == 2
    assert "label 30" in result[2]
    assert result[2].count("\n") == 1
    assert listing(tmp_path) == before


def test_an_interrupt_is_one_line_and_a_bug_is_a_traceback(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(error: BaseException) -> Callable[..., object]:
        def raise_it(*_: object) -> object:
            raise error

        return raise_it

    call = ("predict", photos, "--weights", "w", "--out", tmp_path / "out")
    monkeypatch.setattr("seglib.cli.predict.restore_model", stop(KeyboardInterrupt()))
    assert run(*call) == (130, "", "seglib: error: interrupted\n")
    monkeypatch.setattr("seglib.cli.predict.restore_model", stop(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        run(*call)
    error = ValueError("Caught ValueError in process 0.\nTraceback …\nValueError: mask\n")
    monkeypatch.setattr("seglib.cli.predict.restore_model", stop(error))
    assert run(*call) == (2, "", "seglib: error: mask\n")


def start(*arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "seglib", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=environment,
    )


def test_the_real_program(tmp_path: Path) -> None:
    for arguments, part in {
        ("train", "--output-stride", "7"): "--output-stride",
        ("evaluate", "--weights", "nowhere.pth"): "nowhere.pth",
    }.items():
        process = start(*arguments, cwd=tmp_path)
        out, err = process.communicate(timeout=120)
        refused((process.returncode, out, err), part)
    assert listing(tmp_path) == []


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    process = start("train", "--help", cwd=tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=120) == 128 + signal.SIGPIPE


def test_wrong_options_are_answered_without_pytorch(tmp_path: Path) -> None:
    program = (
        "import sys; from seglib.cli import main; code = main(['train', '--lr', 'nan']);"
        " sys.exit(99 if 'torch' in sys.modules else code)"
    )
    root = Path(__file__).resolve().parent.parent
    assert subprocess.run([sys.executable, "-c", program], cwd=root).returncode == 2
