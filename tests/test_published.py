"""ImageNet weights by name, from a server on this machine instead of PyTorch's."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision
from support import random_state, shapes_of

from seglib import build_model
from seglib.published import PUBLISHED


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder on the loopback and counts what is fetched."""

    def __init__(self, folder: Path) -> None:
        self.requested: list[str] = []
        requested = self.requested

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments: object) -> None:
                super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

            def do_GET(self) -> None:
                requested.append(self.path)
                super().do_GET()

            def log_message(self, *arguments: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "served").mkdir()
    with Server(tmp_path / "served") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def published(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, dict[str, torch.Tensor]]:
    """A file named by its hash, as PyTorch names them, with the weights in it."""
    state = random_state(shapes_of(torchvision.models.mobilenet_v2()), seed=5)
    state = {name: t.float() if t.is_floating_point() else t for name, t in state.items()}
    torch.save(state, tmp_path / "weights.pth")
    digest = hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()[:8]
    path = tmp_path / "served" / f"mobilenet_v2-{digest}.pth"
    (tmp_path / "weights.pth").rename(path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setitem(PUBLISHED, "mobilenetv2", server.url + path.name)
    return path, state


def kept_files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "hub").rglob("*") if path.is_file()]


def test_downloads_once(
    server: Server, tmp_path: Path, published: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    for _ in range(2):
        model = build_model("deeplabv3plus_mobilenetv2", weights="imagenet")
        for name, tensor in model.backbone.state_dict().items():
            assert torch.equal(tensor, published[1][name]), name
    assert len(server.requested) == 1
    assert [path.name for path in kept_files(tmp_path)] == [published[0].name]


def test_a_file_that_was_tampered_with_is_refused(
    tmp_path: Path, published: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    content = bytearray(published[0].read_bytes())
    content[len(content) // 2] ^= 1
    published[0].write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged \(invalid hash value.*try again") as error:
        build_model("deeplabv3_mobilenetv2", weights="imagenet")
    assert "\n" not in str(error.value)
    assert kept_files(tmp_path) == []


def test_a_damaged_kept_file_is_named(
    tmp_path: Path, published: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    build_model("deeplabv3_mobilenetv2", weights="imagenet")
    (kept,) = kept_files(tmp_path)
    kept.write_bytes(kept.read_bytes()[:1000])
    with pytest.raises(ValueError, match=f"delete {kept}") as error:
        build_model("deeplabv3_mobilenetv2", weights="imagenet")
    assert "\n" not in str(error.value)


def test_offline_says_how_to_do_without(
    server: Server, published: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    published[0].unlink()
    with pytest.raises(
        ValueError, match=r"could not be downloaded .*404.* give its path as weights"
    ):
        build_model("deeplabv3_mobilenetv2", weights="imagenet")
    server.shutdown()
    server.server_close()
    with pytest.raises(ValueError, match=r"could not be downloaded .*refused") as error:
        build_model("deeplabv3_mobilenetv2", weights="imagenet")
    assert PUBLISHED["mobilenetv2"] in str(error.value)
    assert "\n" not in str(error.value)


def test_none_are_published_for_some() -> None:
    with pytest.raises(ValueError, match="none are published for xception"):
        build_model("deeplabv3_xception", weights="imagenet")


def test_the_table_is_torchvisions() -> None:
    theirs = {
        weights.url
        for name in torchvision.models.list_models(module=torchvision.models)
        for weights in torchvision.models.get_model_weights(name)
        if weights.name == "IMAGENET1K_V1"
    }
    assert set(PUBLISHED.values()) <= theirs
