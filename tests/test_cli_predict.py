"""`seglib predict`: what it writes where, from which images, and how it refuses."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor

from seglib import build_model, save_weights
from seglib.cli import main
from seglib.datasets import dataset_class
from seglib.inference import predict, predict_proba
from seglib.visualize import colorize

Run = Callable[..., tuple[int, str, str]]
MODEL = "deeplabv3plus_mobilenetv2"
SMALL = {"head_options": {"aspp_channels": 8}, "backbone_options": {"width_mult": 0.25}}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = main(["predict", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def listing(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture(scope="session")
def folder_of_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained networks for 11, 19 and 3 classes, and one for four channels."""
    folder = tmp_path_factory.mktemp("weights")
    for name, options in {
        "eleven": {"num_classes": 11},
        "nineteen": {"num_classes": 19},
        "three": {"num_classes": 3},
        "channels": {"num_classes": 3, "in_channels": 4},
    }.items():
        torch.manual_seed(0)
        save_weights(build_model(MODEL, **options, **SMALL), folder / f"{name}.safetensors")
    return folder


@pytest.fixture
def weights(folder_of_weights: Path) -> Path:
    return folder_of_weights / "eleven.safetensors"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """a.png of 40×50 and b.jpg of 33×64 pixels."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, size in {"a.png": (40, 50), "b.jpg": (33, 64)}.items():
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / name)
    return folder


def read(path: Path) -> Tensor:
    return torch.from_numpy(np.array(Image.open(path)))


def test_every_kind_of_output(run: Run, tmp_path: Path, photos: Path, weights: Path) -> None:
    from seglib.cli.common import restore_model

    out = tmp_path / "out"
    options = ("--color", "--probabilities", "--weights", weights, "--out", out)
    assert run(photos, *options)[0] == 0
    endings = ("color.png", "mask.png", "overlay.png", "probabilities.npz")
    assert listing(out) == [f"{name}_{ending}" for name in "ab" for ending in endings]
    model = restore_model(weights)
    camvid = dataset_class("camvid")
    for path in sorted(photos.iterdir()):
        labels = predict(model, path)
        assert isinstance(labels, Tensor)
        assert torch.equal(read(out / f"{path.stem}_mask.png").long(), labels)
        color = read(out / f"{path.stem}_color.png").permute(2, 0, 1)
        assert torch.equal(color, colorize(labels, camvid.colors))
        with np.load(out / f"{path.stem}_probabilities.npz", allow_pickle=False) as file:
            assert tuple(file["classes"]) == camvid.classes
            assert file["probabilities"].dtype == np.float16
            expected = predict_proba(model, path)
            assert np.allclose(file["probabilities"], expected, atol=1e-3)


def test_views_change_what_is_written(
    run: Run, tmp_path: Path, photos: Path, weights: Path
) -> None:
    from seglib.cli.common import restore_model

    image = photos / "a.png"
    options = ("--no-overlay", "--weights", weights, "--out", tmp_path / "out")
    views = ("--window", "32x40", "--overlap", "0.5", "--flip", "--scales", "0.75,1")
    assert run(image, *options, *views)[0] == 0
    expected = predict(
        restore_model(weights), image, window=(32, 40), overlap=0.5, flip=True, scales=(0.75, 1)
    )
    assert isinstance(expected, Tensor)
    assert torch.equal(read(tmp_path / "out" / "a_mask.png").long(), expected)
    assert run(image, *options, "--optimise")[0] == 0
    plain = predict(restore_model(weights), image)
    assert isinstance(plain, Tensor)
    assert (read(tmp_path / "out" / "a_mask.png") == plain).float().mean() > 0.9


def test_same_names_in_two_folders_go_into_two_folders(
    run: Run, tmp_path: Path, photos: Path, weights: Path
) -> None:
    other = tmp_path / "more" / "deep"
    other.mkdir(parents=True)
    Image.new("RGB", (70, 35)).save(other / "a.png")
    out = tmp_path / "out"
    options = ("--no-overlay", "--weights", weights, "--out", out)
    code, printed, _ = run(photos, other, *options)
    assert code == 0
    assert listing(out) == ["more/deep/a_mask.png", "photos/a_mask.png", "photos/b_mask.png"]
    assert printed.split()[-1] == str(out / "more" / "deep" / "a_mask.png")
    assert read(out / "more" / "deep" / "a_mask.png").shape == (35, 70)
    assert read(out / "photos" / "a_mask.png").shape == (40, 50)


def test_a_pattern_goes_into_folders_and_leaves_folders_out(
    run: Run, tmp_path: Path, photos: Path, weights: Path
) -> None:
    (photos / "deep").mkdir()
    (photos / "deep.png").mkdir()
    Image.new("L", (40, 40)).save(photos / "deep" / "c.png")
    options = ("--no-overlay", "--weights", weights, "--out", tmp_path / "out")
    same = photos / ".." / photos.name / "a.png"
    assert run(photos / "**" / "*.png", same, *options)[0] == 0
    assert listing(tmp_path / "out") == ["a_mask.png", "c_mask.png"]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK", "P", "I;16", "1"])
def test_every_kind_of_image(run: Run, tmp_path: Path, weights: Path, mode: str) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (36, 48), dtype=np.uint8)
    path = tmp_path / "image.tif"
    if mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(grey).convert("RGB").convert(mode).save(path)
    assert run(path, "--weights", weights, "--out", tmp_path / "out")[0] == 0
    assert read(tmp_path / "out" / "image_mask.png").shape == (36, 48)


def test_names_and_colours(run: Run, tmp_path: Path, photos: Path, folder_of_weights: Path) -> None:
    out = tmp_path / "out"
    image = photos / "a.png"
    nineteen = ("--weights", folder_of_weights / "nineteen.safetensors", "--out", out)
    assert run(image, *nineteen, "--probabilities", "--dataset", "cityscapes")[0] == 0
    with np.load(out / "a_probabilities.npz") as file:
        assert file["classes"].tolist() == list(dataset_class("cityscapes").classes)
    assert run(image, *nineteen, "--probabilities")[0] == 0
    with np.load(out / "a_probabilities.npz") as file:
        assert file["classes"][:2].tolist() == ["class 0", "class 1"]
    # A run on images of one's own: its settings lead to classes.yaml.
    own, trained = tmp_path / "own", tmp_path / "run"
    own.mkdir()
    trained.mkdir()
    (own / "classes.yaml").write_text(
        yaml.safe_dump(
            {"classes": {"ground": [1, 2, 3], "cat": [4, 5, 6], "dog": [7, 8, 9]}}, sort_keys=False
        )
    )
    (trained / "config.json").write_text(f'{{"dataset": "folder", "data_root": "{own}"}}')
    three = trained / "best.safetensors"
    three.write_bytes((folder_of_weights / "three.safetensors").read_bytes())
    for expected in (["ground", "cat", "dog"], ["class 0", "class 1", "class 2"]):
        assert run(image, "--weights", three, "--out", out, "--probabilities")[0] == 0
        with np.load(out / "a_probabilities.npz") as file:
            assert file["classes"].tolist() == expected
        (own / "classes.yaml").write_text("changed since")


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (["photos/none.png"], ["none.png does not exist"]),
        (["x1.png", "x2.png", "x3.png", "x4.png"], ["x1.png", "x3.png", "and 1 more"]),
        (["photos/*.gif"], ["no file fits photos/*.gif"]),
        (["empty"], ["folder empty holds no image"]),
        (["bad"], ["broken.png is damaged", "text.jpg is damaged", "floating-point", "and 1 more"]),
        (["photos", "--window", "5"], ["--window", "HxW", "'5'"]),
        (["photos", "--window", "16x64"], ["window", "(16, 64)", ">= 32"]),
        (["photos", "--overlap", "1"], ["overlap", "below 1"]),
        (["photos", "--overlap", "nan"], ["overlap", "nan"]),
        (["photos", "--scales", "1,two"], ["--scales", "'1,two'"]),
        (["photos", "--scales", "0"], ["scales", "0.1 to 10"]),
        (["photos", "--no-mask", "--no-overlay"], ["nothing to write"]),
        (["photos", "--dataset", "foo"], ["--dataset", "cityscapes", "'foo'"]),
        (["photos", "--dataset", "voc"], ["11 classes", "voc has 21"]),
        (["photos", "--weights", "channels.safetensors"], ["4 channels"]),
        (["photos", "--weights", "none.pth"], ["none.pth"]),
        (["photos", "--device", "tpu:7"], ["--device", "tpu:7"]),
        (["photos", "--out", "photos/a.png"], ["--out", "folder"]),
        (["photos", "photos/a.jpg"], ["a.png", "a.jpg", "both"]),
        ([], ["IMAGE|FOLDER|PATTERN"]),
    ],
)
def test_bad_input(
    run: Run,
    tmp_path: Path,
    photos: Path,
    folder_of_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    parts: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "broken.png").write_bytes((photos / "a.png").read_bytes()[:300])
    (tmp_path / "bad" / "text.jpg").write_text("no image")
    Image.new("F", (40, 40)).save(tmp_path / "bad" / "numbers.tif")
    (tmp_path / "bad" / "zero.png").touch()
    if "photos/a.jpg" in arguments:
        Image.new("RGB", (40, 40)).save(photos / "a.jpg")
    for path in folder_of_weights.iterdir():
        (tmp_path / path.name).symlink_to(path)
    before = listing(tmp_path)
    options = [] if "--weights" in arguments else ["--weights", "eleven.safetensors"]
    options += [] if "--out" in arguments else ["--out", "out"]
    code, out, err = run(*arguments, *options)
    assert (code, out) == (2, "")
    assert err.startswith("seglib: error: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err
    assert listing(tmp_path) == before
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on the size of files")
def test_a_full_disk_leaves_no_half_file(tmp_path: Path, photos: Path, weights: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000));"
    program = (
        f"import sys, signal, seglib.visualize; {limit}"
        " signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        " from seglib.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-B", "-c", program, "predict", str(photos)]
    command += ["--weights", str(weights), "--out", str(out)]
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root), "MPLCONFIGDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2, done.stderr
    assert done.stderr == f"seglib: error: {out / 'a_overlay.png'}: File too large\n"
    assert listing(out) == ["a_mask.png"]
    assert all(Image.open(path).load() for path in out.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_over_a_long_folder_and_a_huge_image(tmp_path: Path, weights: Path) -> None:
    many, huge = tmp_path / "many", tmp_path / "huge"
    many.mkdir()
    huge.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    for index in range(60):
        Image.fromarray(noise).save(many / f"{index:03d}.png")
    Image.fromarray(np.tile(noise, (7, 11, 1))[:2048, :4096]).save(huge / "huge.png")
    program = (
        "import re, sys, seglib.inference, seglib.visualize; from seglib.cli import main;"
        # getrusage would also count the process that this one was started by
        " peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]);"
        " before = peak(); assert main(sys.argv[1:]) == 0; print(peak() - before)"
    )

    def growth(*arguments: str | Path) -> int:
        options = ["--weights", weights, "--out", tmp_path / "out", "--color"]
        command = [sys.executable, "-c", program, "predict", *map(str, [*arguments, *options])]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(done.stdout.split()[-1]) * 1024

    few = growth(*sorted(many.iterdir())[:5])
    assert growth(many) < few + 60e6
    assert 1e8 < growth(huge) < 1.5e9
