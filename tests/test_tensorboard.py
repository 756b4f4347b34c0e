"""What TensorBoard is given, read back with its own reader."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from squares import network

from seglib import build_dataset
from seglib.datasets import SegmentationDataset
from seglib.datasets.transforms import eval_transform
from seglib.metrics import ConfusionMatrix, Scores
from seglib.tensorboard import TensorBoard, option_table

reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


@pytest.fixture(scope="module")
def data() -> SegmentationDataset:
    return build_dataset("toystreet", "val", transform=eval_transform())


class Sky(torch.nn.Module):
    """Sees sky everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training
        logits = torch.zeros(len(x), 11, *x.shape[-2:])
        logits[:, 0] = 1
        return logits


def scores() -> Scores:
    confusion = ConfusionMatrix(11)
    confusion.update(torch.zeros(2, 2, dtype=torch.int64), torch.tensor([[0, 1], [0, 0]]))
    return confusion.compute()


def test_curves_and_samples(tmp_path: Path, data: SegmentationDataset) -> None:
    board = TensorBoard(tmp_path, data, {"lr": 0.1}, samples=2, every=3)
    for step in range(1, 8):
        board.on_step(step, 1 / step, 0.5)
    model = Sky().train()
    board.on_validation(7, scores(), model)
    assert model.training
    board.close()
    events = reader.EventAccumulator(str(tmp_path))
    events.Reload()
    losses = events.Scalars("train/loss")
    assert [e.step for e in losses] == [1, 3, 6]
    assert [e.value for e in losses] == pytest.approx([1, 1 / 3, 1 / 6])
    assert events.Scalars("val_iou/sky")[0].value == pytest.approx(0.75)
    assert np.isnan(events.Scalars("val_iou/car")[0].value)
    assert sorted(events.Tags()["images"]) == ["sample/0", "sample/30"]
    file = tmp_path / "sample.png"
    file.write_bytes(events.Images("sample/30")[0].encoded_image_string)
    with Image.open(file) as picture:
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    width = pixels.shape[2] // 3
    data.transform, transform = None, data.transform
    image, mask = data[30]
    data.transform = transform
    assert torch.equal(pixels[:, :, :width], image.as_subclass(torch.Tensor))
    assert torch.equal(pixels[:, :, width : 2 * width], data.decode(mask))
    assert torch.equal(pixels[:, 0, -1], data.palette[0])


def test_a_resumed_run_replaces_its_steps(tmp_path: Path, data: SegmentationDataset) -> None:
    for first, loss in ((1, 1.0), (3, 2.0)):
        board = TensorBoard(tmp_path, data, {}, samples=0)
        for step in range(first, 5):
            board.on_step(step, loss, 0.1)
        board.close()
    events = reader.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [e.value for e in events.Scalars("train/loss")] == [1, 1, 2, 2]


def test_nothing_is_written_before_the_first_step(
    tmp_path: Path, data: SegmentationDataset
) -> None:
    TensorBoard(tmp_path / "events", data, {}).close()
    assert list(tmp_path.iterdir()) == []
    for options in ({"samples": -1}, {"every": 0}):
        with pytest.raises(ValueError, match="samples must be >= 0 and every >= 1"):
            TensorBoard(tmp_path, data, {}, **options)


def test_the_option_table() -> None:
    assert option_table({"lr": 0.1}).splitlines()[-1] == "| lr | 0.1 |"


def test_it_takes_a_real_network(tmp_path: Path, data: SegmentationDataset) -> None:
    board = TensorBoard(tmp_path, data, {}, samples=1)
    model = network()
    board.on_validation(1, scores(), model)
    board.close()
    assert model.training
