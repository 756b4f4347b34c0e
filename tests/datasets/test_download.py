"""Downloads from a server of our own that holds archives in the published layout."""

import hashlib
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torchvision.datasets
from data_trees import write_pets, write_voc

from seglib.cli import main
from seglib.datasets import build_dataset
from seglib.datasets.download import download, downloadable

# The module, whose name the package's own attributes hide from `import`.
VOC_TABLE = torchvision.datasets.voc.DATASET_YEAR_DICT


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which a real server shows it."""
    folder = tmp_path / "server"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def archive(path: Path, source: Path, mode: str) -> str:
    """Pack what is in a folder; returns the MD5 sum."""
    with tarfile.open(path, mode) as tar:
        for inside in sorted(source.iterdir()):
            tar.add(inside, inside.name)
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def voc(server: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Archives of 2007 with its test part, 2011 with its extra level, and 2012."""
    folder, address = server
    for key, lists, prefix in (
        ("2007", {"train": ["a"], "val": ["b"]}, ""),
        ("2007-test", {"test": ["c"]}, ""),
        ("2011", {"train": ["a"], "val": ["b"]}, "TrainVal"),
        ("2012", {"train": ["a", "x"], "val": ["b"]}, ""),
    ):
        source = tmp_path / "published" / key
        write_voc(source, key[:4], lists, prefix)
        md5 = archive(folder / f"{key}.tar", source, "w")
        entry = {**VOC_TABLE[key], "url": f"{address}/{key}.tar", "md5": md5}
        monkeypatch.setitem(VOC_TABLE, key, entry)
    return folder


def test_years_come_side_by_side(voc: Path, tmp_path: Path) -> None:
    root = tmp_path / "data" / "voc"
    assert download("voc2012", root) == root / "VOCdevkit" / "VOC2012"
    assert len(build_dataset("voc", "train", root)) == 2
    assert download("voc2011", root) == root / "VOCdevkit" / "VOC2011"
    assert len(build_dataset("voc2011", "val", root)) == 1
    download("voc2007", root)
    assert len(build_dataset("voc2007", "train", root)) == 1
    assert len(build_dataset("voc2007", "test", root)) == 1
    assert sorted(path.name for path in root.iterdir()) == ["VOCdevkit"]  # no archive is left
    before = sorted(root.rglob("*"))
    with pytest.raises(ValueError, match=r"VOC2012 is there already; remove it"):
        download("voc", root)
    assert sorted(root.rglob("*")) == before


def test_pets(server: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, address = server
    published = write_pets(tmp_path / "published")
    resources = []
    for name in ("images", "annotations"):
        part = tmp_path / name
        part.mkdir()
        (published / name).rename(part / name)
        resources.append(
            (f"{address}/{name}.tar.gz", archive(folder / f"{name}.tar.gz", part, "w:gz"))
        )
    monkeypatch.setattr(torchvision.datasets.OxfordIIITPet, "_RESOURCES", tuple(resources))
    root = tmp_path / "pets"
    assert main(["data", "download", "pets", "--out", str(root)]) == 0
    assert len(build_dataset("pets", "trainval", root)) == 10
    inside = sorted(path.name for path in (root / "oxford-iiit-pet").iterdir())
    assert inside == ["annotations", "images"]


@pytest.mark.parametrize("damage", ["missing", "cut short", "not there", "no server"])
def test_a_failure_leaves_nothing(
    voc: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: str,
) -> None:
    file = voc / "2012.tar"
    if damage == "missing":
        file.unlink()
    elif damage == "cut short":
        file.write_bytes(file.read_bytes()[:5000])
    elif damage == "no server":
        entry = {**VOC_TABLE["2012"], "url": "http://127.0.0.1:9/2012.tar"}
        monkeypatch.setitem(VOC_TABLE, "2012", entry)
    else:
        (voc / "2012.tar").write_bytes(b"")
    root = tmp_path / "new"
    assert main(["data", "download", "voc", "--out", str(root)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("seglib: error: voc could not be downloaded: ")
    assert err.count("\n") == 1
    assert not root.exists()
    root.mkdir()
    (root / "kept.txt").touch()
    assert main(["data", "download", "voc", "--out", str(root)]) == 2
    assert [path.name for path in root.iterdir()] == ["kept.txt"]


def test_the_usual_place(voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGLIB_DATA", str(tmp_path / "mine"))
    assert main(["data", "download", "voc2012"]) == 0
    assert len(build_dataset("voc2012", "val")) == 1
    assert (tmp_path / "mine" / "voc" / "VOCdevkit" / "VOC2012").is_dir()


def test_what_can_t_be_downloaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ", ".join(downloadable())
    with pytest.raises(ValueError, match=f"^name must be one of {names}, got 'cityscapes'$"):
        download("cityscapes", tmp_path)
    assert main(["data", "download", "cityscapes"]) == 2
    assert f"only {names} can be downloaded, got 'cityscapes'" in capsys.readouterr().err
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="root must be a folder, got the file"):
        download("voc", tmp_path / "file")
