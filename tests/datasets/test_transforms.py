"""Joint transforms: image and mask stay together, masks are never interpolated."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from seglib.datasets import available_datasets, build_dataset
from seglib.datasets.transforms import (
    MEAN,
    STD,
    TRAIN,
    Augmentation,
    denormalize,
    eval_preset,
    eval_transform,
    normalize,
    train_preset,
    train_transform,
)

STEP = 20  # an encoded image holds STEP · label in all channels


def encoded(height: int = 48, width: int = 64) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
    """A mask of 16×16 patches of random labels, and an image that shows the same labels."""
    generator = torch.Generator().manual_seed(0)
    patches = torch.randint(0, 11, (height // 16, width // 16), generator=generator)
    mask = patches.repeat_interleave(16, 0).repeat_interleave(16, 1)
    image = (STEP * mask).to(torch.uint8).expand(3, -1, -1).contiguous()
    return tv_tensors.Image(image), tv_tensors.Mask(mask)


def shown(image: Tensor) -> Tensor:
    """The labels that a normalised encoded image shows, with fractions where it is interpolated."""
    return 255 * denormalize(image)[0] / STEP


@pytest.mark.parametrize("scale", [(1.0, 1.0), (2.0, 2.0), (0.5, 0.5), (0.5, 2.0)])
@pytest.mark.parametrize("crop_size", [(48, 64), (33, 47), (160, 200)])
def test_image_and_mask_stay_together(
    scale: tuple[float, float], crop_size: tuple[int, int]
) -> None:
    transform = train_transform(crop_size, scale=scale, color_jitter=0)
    for seed in range(8):
        torch.manual_seed(seed)
        image, mask = transform(*encoded())
        assert (image.shape, image.dtype) == ((3, *crop_size), torch.float32)
        assert (mask.shape, mask.dtype) == (crop_size, torch.int64)
        assert set(mask.unique().tolist()) <= {*range(11), 255}
        off = (shown(image) - mask).abs()[mask != 255]
        # only pixels at the patches' borders are mixed, and a shift of half a pixel would mix more
        assert (off < 0.1).float().mean() > (0.98 if scale == (1.0, 1.0) else 0.5)
        if scale == (1.0, 1.0):
            assert off.max() < 0.1


def test_resized_masks_are_not_shifted() -> None:
    """Twice as large, each label becomes 2×2, and borders lie where the image has them."""
    image, mask = encoded()
    torch.manual_seed(0)
    transform = train_transform((96, 128), scale=(2.0, 2.0), hflip=0, color_jitter=0)
    large, labels = transform(image, mask)
    assert torch.equal(labels, mask.repeat_interleave(2, 0).repeat_interleave(2, 1))
    off = shown(large) - labels
    assert abs(off.mean()) < 0.01  # mixed evenly to both sides


def test_padding_is_void_and_mean() -> None:
    torch.manual_seed(0)
    image, mask = train_transform((100, 90), scale=(1.0, 1.0), color_jitter=0.5)(*encoded())
    void = mask == 255
    assert int((~void).sum()) == 48 * 64
    assert image[:, void].abs().max() < 0.02
    corners = void[0, 0] & void[0, -1], void[-1, 0] & void[-1, -1]
    assert any(corners)


def test_flips_are_joint_and_fair() -> None:
    source, labels = encoded()
    flipped = 0
    for seed in range(60):
        torch.manual_seed(seed)
        image, mask = train_transform((48, 64), scale=(1.0, 1.0), color_jitter=0)(source, labels)
        assert (shown(image) - mask).abs().max() < 0.1
        flipped += torch.equal(mask, labels.flip(-1))
    assert 18 <= flipped <= 42


@pytest.mark.parametrize(("hflip", "expected"), [(0.0, False), (1.0, True)])
def test_hflip_is_a_probability(hflip: float, expected: bool) -> None:
    _, labels = encoded()
    _, mask = train_transform((48, 64), scale=(1, 1), hflip=hflip)(*encoded())
    assert torch.equal(mask, labels.flip(-1) if expected else labels.as_subclass(Tensor))


def test_colours_change_and_masks_do_not() -> None:
    torch.manual_seed(1)
    image, mask = train_transform((48, 64), scale=(1, 1), hflip=0, color_jitter=0.4)(*encoded())
    assert (shown(image) - mask).abs().max() > 0.2
    assert torch.equal(mask, encoded()[1].as_subclass(Tensor))


def test_torch_seed_repeats_everything() -> None:
    transform = train_transform((40, 40))
    results = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        results.append(transform(*encoded()))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.equal(results[0][0], results[2][0])


def test_scales_are_drawn_from_the_whole_range() -> None:
    """A large crop shows the whole scaled image: its area tells the factor."""
    transform = train_transform((192, 256), scale=(0.5, 2.0), color_jitter=0)
    factors = []
    for seed in range(60):
        torch.manual_seed(seed)
        _, mask = transform(*encoded())
        factors.append(float((mask != 255).sum() / (48 * 64)) ** 0.5)
    assert 0.49 <= min(factors) < 0.65
    assert 1.6 < max(factors) <= 2.01
    below = sum(factor < 1 for factor in factors)
    assert 18 <= below <= 42  # halving is as likely as doubling


def test_eval_transform_only_normalises() -> None:
    source, labels = encoded(32, 64)
    image, mask = eval_transform()(source, labels)
    assert torch.equal(mask, labels.as_subclass(Tensor))
    assert torch.equal(image, normalize(source.as_subclass(Tensor)))


def test_normalize_and_denormalize() -> None:
    image = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8)
    expected = (image / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert normalize(image).dtype == torch.float32
    assert torch.allclose(normalize(image), expected, atol=1e-6)
    assert torch.allclose(normalize(image / 255), expected, atol=1e-6)
    assert torch.allclose(denormalize(normalize(image)), image / 255, atol=1e-6)
    assert 0 <= denormalize(torch.full((3, 2, 2), 9.0)).min() <= 1


def test_on_a_real_item() -> None:
    data = build_dataset("toystreet", "train", transform=train_transform((96, 128)))
    image, mask = data[0]
    assert (image.shape, mask.shape) == ((3, 96, 128), (96, 128))
    assert type(image) is Tensor
    assert type(mask) is Tensor


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crop_size": (0, 5)}, r"crop_size .*got \(0, 5\)"),
        ({"crop_size": (5,)}, r"crop_size .*got \(5,\)"),
        ({"scale": (0.0, 1.0)}, r"scale .*got \(0.0, 1.0\)"),
        ({"scale": (2.0, 1.0)}, r"scale .*got \(2.0, 1.0\)"),
        ({"hflip": 1.5}, "hflip .*got 1.5"),
        ({"color_jitter": -0.1}, "color_jitter .*got -0.1"),
        ({"color_jitter": 1.0}, "color_jitter .*got 1.0"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_transform(**{"crop_size": (8, 8), **arguments})


def test_every_data_set_has_a_preset() -> None:
    assert set(TRAIN) >= set(available_datasets())


@pytest.mark.parametrize("name", sorted(TRAIN))
def test_presets_give_their_crop(name: str) -> None:
    torch.manual_seed(0)
    crop = TRAIN[name].crop_size
    image, mask = train_preset(name)(*encoded())
    assert (image.shape, mask.shape) == ((3, *crop), crop)
    assert train_preset(name, (40, 50))(*encoded())[1].shape == (40, 50)
    assert eval_preset(name)(*encoded())[1].shape == (48, 64)
    assert eval_preset(name, crop=True)(*encoded())[1].shape == crop


def test_presets_follow_the_published_recipes() -> None:
    assert TRAIN["voc"] == TRAIN["voc2012_aug"] == Augmentation((513, 513), (0.5, 2.0), 0.5, 0.0)
    assert TRAIN["cityscapes"] == Augmentation((768, 768), (1.0, 1.0), 0.5, 0.5)
    torch.manual_seed(0)
    image, mask = train_preset("voc", (48, 64))(*encoded())
    inside = mask != 255
    assert (shown(image) - mask)[inside].abs().median() < 0.1  # colours are left alone
    image, mask = train_preset("cityscapes", (48, 64))(*encoded())
    assert (shown(image) - mask).abs().median() > 0.1


@pytest.mark.parametrize("preset", [train_preset, eval_preset])
def test_an_unknown_preset_lists_the_names(preset: Callable[[str], object]) -> None:
    with pytest.raises(ValueError, match=r"^name must be one of toystreet, .*, got 'coco'$"):
        preset("coco")
