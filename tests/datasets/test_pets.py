"""Oxford-IIIT Pet's loader, on a small tree of the published layout and beside torchvision's."""

from pathlib import Path

import numpy as np
import pytest
from data_trees import labels_of, write_mask, write_pets
from torchvision.datasets import OxfordIIITPet

from seglib.datasets import build_dataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_pets(tmp_path / "oxford-iiit-pet")
    return tmp_path


@pytest.mark.parametrize("split", ["trainval", "test"])
def test_as_torchvision_reads_it(root: Path, split: str) -> None:
    data = build_dataset("pets", split, root)
    theirs = OxfordIIITPet(root, split, "segmentation")
    assert len(data) == len(theirs) == {"trainval": 10, "test": 1}[split]
    meaning = {1: 1, 2: 0, 3: 255}  # pet, background, undecided
    for index, (image, trimap) in enumerate(theirs):
        assert data[index][0].permute(1, 2, 0).numpy().tolist() == np.array(image).tolist()
        expected = [meaning[value] for value in np.array(trimap).flatten().tolist()]
        assert data[index][1].flatten().tolist() == expected


def test_train_and_val_are_trainval(root: Path) -> None:
    parts = {}
    for split in ("train", "val", "trainval"):
        data = build_dataset("pets", split, root / "oxford-iiit-pet")
        parts[split] = [data.paths(i)[0].stem for i in range(len(data))]
    assert parts["val"] == ["Abyssinian_1", "beagle_1"]
    assert sorted(parts["train"] + parts["val"]) == sorted(parts["trainval"])


def test_a_value_that_is_no_trimap_s(root: Path) -> None:
    mask = root / "oxford-iiit-pet" / "annotations" / "trimaps" / "pug_3.png"
    write_mask(mask, labels_of((0, 1)))
    with pytest.raises(ValueError, match=r"pug_3.png holds label 0 .* 1 \(pet\), 2 \(background\)"):
        _ = build_dataset("pets", "test", root)[0]


def test_few_images_go_to_val_first(root: Path) -> None:
    path = root / "oxford-iiit-pet" / "annotations" / "trainval.txt"
    path.write_text("Abyssinian_1 1 1 1\n")
    assert len(build_dataset("pets", "val", root)) == 1
    with pytest.raises(FileNotFoundError, match=r"trainval.txt leaves train no image"):
        build_dataset("pets", "train", root)


def test_a_missing_list_is_named(root: Path) -> None:
    (root / "oxford-iiit-pet" / "annotations" / "trainval.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"trainval.txt is missing; get it with: seglib"):
        build_dataset("pets", "val", root)
