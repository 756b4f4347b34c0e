"""Any chain of joint transforms: no label is made up, image and mask stay together, sizes hold."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from seglib.datasets.transforms import (
    FILL,
    TRAIN,
    CenterCrop,
    PadToMultiple,
    RandomScale,
    Resize,
    Scale,
    eval_transform,
    train_preset,
)

STEP = 40  # an image holds STEP · label in all its channels
LABELS = (0, 2, 3, 5)  # 1 and 4 lie between them: an interpolated label would be seen
MEAN_COLOR = torch.tensor(FILL[tv_tensors.Image], dtype=torch.uint8)

lengths = st.integers(30, 90)
sizes = st.tuples(lengths, lengths)
# Each transform of the table that moves pixels, at most once in a chain.
moves = {
    "hflip": st.just(v2.RandomHorizontalFlip(1.0)),
    "vflip": st.just(v2.RandomVerticalFlip(1.0)),
    "resize": st.one_of(
        sizes.map(Resize),
        lengths.map(Resize),
        st.floats(0.6, 1.7).map(Scale),
        st.just(RandomScale((0.6, 1.7))),
    ),
    "crop": sizes.map(lambda size: v2.RandomCrop(size, pad_if_needed=True, fill=FILL)),
    "center crop": sizes.map(CenterCrop),
    "rotate": st.floats(-180, 180).map(
        lambda angle: v2.RandomRotation(
            (angle, angle), interpolation=InterpolationMode.BILINEAR, fill=FILL
        )
    ),
    "pad": st.tuples(*[st.integers(0, 9)] * 4).map(lambda sides: v2.Pad(sides, fill=FILL)),
    "pad to multiple": st.sampled_from([1, 7, 32]).map(PadToMultiple),
}
chains = st.lists(st.sampled_from(sorted(moves)), max_size=4, unique=True).flatmap(
    lambda names: st.tuples(*(moves[name] for name in names))
)


def encoded(height: int, width: int, seed: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
    """Patches of labels, and an image that shows the same labels."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = -(-height // 30), -(-width // 30)
    patches = torch.tensor(LABELS)[torch.randint(0, 4, (rows, columns), generator=generator)]
    mask = patches.repeat_interleave(30, 0).repeat_interleave(30, 1)[:height, :width].contiguous()
    image = (STEP * mask).to(torch.uint8).expand(3, -1, -1).contiguous()
    return tv_tensors.Image(image), tv_tensors.Mask(mask)


def inner(mask: Tensor, radius: int) -> Tensor:
    """Pixels whose neighbours up to `radius` have their label; the picture's edge has none."""
    values = F.pad(mask.as_subclass(Tensor).float()[None, None], [radius] * 4, value=-1)
    high = F.max_pool2d(values, 2 * radius + 1, 1)
    low = -F.max_pool2d(-values, 2 * radius + 1, 1)
    return (high == low)[0, 0]


@settings(max_examples=150, deadline=None)
@given(sizes, chains, st.integers(0, 5))
@example((48, 64), (CenterCrop((70, 70)),), 0)
@example((45, 61), (PadToMultiple(32), v2.RandomHorizontalFlip(1.0)), 1)
def test_any_chain(size: tuple[int, int], chain: tuple[v2.Transform, ...], seed: int) -> None:
    torch.manual_seed(seed)
    image, mask = v2.Compose([*chain, v2.ColorJitter()])(*encoded(*size, seed))
    assert isinstance(mask, tv_tensors.Mask)
    assert mask.dtype == torch.int64
    assert image.dtype == torch.uint8
    assert image.shape == (3, *mask.shape)
    assert {*mask.unique().tolist()} <= {*LABELS, 255}
    certain = inner(mask, 8)
    valid = certain & (mask != 255)
    assert (image[0].int() - STEP * mask).abs()[valid].le(2).all()
    if not any(isinstance(part, v2.RandomRotation) for part in chain):  # darkens void at its edge
        void = image[:, certain & (mask == 255)].int() - MEAN_COLOR.int()[:, None]
        assert void.abs().le(2).all()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(TRAIN)), sizes, sizes, st.integers(0, 9))
def test_any_preset(name: str, size: tuple[int, int], crop: tuple[int, int], seed: int) -> None:
    torch.manual_seed(seed)
    image, mask = train_preset(name, crop)(*encoded(*size, seed))
    assert (image.shape, mask.shape) == ((3, *crop), crop)
    assert (image.dtype, mask.dtype) == (torch.float32, torch.int64)
    assert {*mask.unique().tolist()} <= {*LABELS, 255}


@settings(max_examples=60, deadline=None)
@given(sizes, sizes)
def test_sizes(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    pair = encoded(*size, 0)
    for transform in (
        Resize(wanted),
        CenterCrop(wanted),
        v2.RandomCrop(wanted, pad_if_needed=True, fill=FILL),
        eval_transform(wanted),
    ):
        image, mask = transform(*pair)
        assert (image.shape, mask.shape) == ((3, *wanted), wanted)
    image, mask = Resize(wanted[0])(*pair)
    assert min(mask.shape) == wanted[0]
    long = wanted[0] * max(size) / min(size)
    assert abs(max(mask.shape) - long) <= 0.5
    _, mask = PadToMultiple(wanted[0])(*pair)
    for new, old in zip(mask.shape, size, strict=True):
        assert new % wanted[0] == 0
        assert 0 <= new - old < wanted[0]
    _, mask = Scale(0.02)(*encoded(20, 100, 0))
    assert mask.shape == (1, 2)


@pytest.mark.parametrize("shape", [(40, 60), (2, 40, 60)])
def test_halving_and_doubling_a_mask_is_exact(shape: tuple[int, ...]) -> None:
    mask = tv_tensors.Mask(torch.randint(0, 11, shape))
    double = Scale(2.0)(mask)
    assert torch.equal(double, mask.repeat_interleave(2, -1).repeat_interleave(2, -2))
    assert torch.equal(Resize(shape[-2:])(double), mask)


@pytest.mark.parametrize("size", [(17, 5), (40, 61), (79, 24)])
def test_a_mask_takes_the_nearest_centre(size: tuple[int, int]) -> None:
    """Not the nearest corner, as v2.Resize does: that would be half a pixel beside the image."""
    mask = tv_tensors.Mask(torch.randint(0, 11, (37, 24)))
    rows, columns = (
        ((torch.arange(new) + 0.5) * old / new).floor().long()
        for new, old in zip(size, mask.shape, strict=True)
    )
    assert torch.equal(Resize(size)(mask), mask[rows][:, columns])


def test_center_crop_and_padding_are_centred() -> None:
    image, mask = encoded(21, 30, 0)
    _, wide = CenterCrop((31, 50))(image, mask)
    assert torch.equal(wide[5:26, 10:40], mask)
    assert int((wide == 255).sum()) == 31 * 50 - 21 * 30
    _, narrow = CenterCrop((11, 50))(image, mask)  # cut in one direction, padded in the other
    assert torch.equal(narrow[:, 10:40], mask[5:16])
    padded, labels = PadToMultiple(16)(image, mask)
    assert labels.shape == (32, 32)
    assert torch.equal(labels[5:26, 1:31], mask)
    assert torch.equal(padded[:, 0, 0], MEAN_COLOR)


def test_torchvision_s_own_would_pad_with_a_class() -> None:
    """Why CenterCrop is here: when this fails, v2's can be taken."""
    _, mask = v2.CenterCrop((40, 40))(*encoded(20, 20, 0))
    assert mask[0, 0] == 0


def test_a_lambda_for_images_leaves_masks_alone() -> None:
    image, mask = encoded(20, 30, 0)
    inverse = v2.Lambda(lambda picture: 255 - picture, tv_tensors.Image)
    inverted, same = inverse(image, mask)
    assert torch.equal(inverted, 255 - image)
    assert torch.equal(same, mask)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Resize(0), "size must be one positive integer or two, .*got 0"),
        (lambda: Resize((1, 2, 3)), r"got \(1, 2, 3\)"),
        (lambda: RandomScale((2.0, 1.0)), r"scale must be .*got \(2.0, 1.0\)"),
        (lambda: Resize((5, 0)), r"got \(5, 0\)"),
        (lambda: Scale(0.0), "factor must be > 0, got 0.0"),
        (lambda: Scale(float("nan")), "factor must be > 0, got nan"),
        (lambda: CenterCrop((0, 5)), r"size must be two positive .*got \(0, 5\)"),
        (lambda: PadToMultiple(0), "divisor must be at least 1 pixel, got 0"),
    ],
)
def test_wrong_arguments_are_named(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=message):
        make()
