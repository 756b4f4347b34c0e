from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import multiply_adds, random_state, relative, shapes_of, stored_shapes
from torch import Tensor, nn

from seglib.backbones import build_backbone, classifier
from seglib.backbones.xception import Block, Xception, block_table

# Maps of VainF's DeepLabV3Plus-Pytorch, network/backbone/xception.py, as its DeepLab uses them: the
# children of xception(pretrained=False, replace_stride_with_dilation=…) run in order, `low` is what
# block1 returns and `out` what conv4 returns; output stride 16 dilates the last of the four stages,
# 8 the last two. In double precision; weights: support.random_state over its state_dict's names and
# shapes (kept beside), seed 7; input x: default_rng(1).standard_normal((2, 3, 161, 193)). Kept, in
# eval and in train mode: `low` (it does not depend on the output stride) of each 16th channel, 8th
# row and 8th column; `out` of each 64th channel, 2nd row and 2nd column; the gradient of
# mean(low²) + mean(out²) with respect to x at each 16th row and column.
REFERENCE = np.load(Path(__file__).parents[1] / "data" / "vainf_xception.npz")
EXPORT_SIZES = [(65, 97), (96, 64)]


def image(*size: int, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, *size, dtype=torch.float64, generator=generator)


def map_size(side: int, stride: int) -> int:
    """Rows of the map at `stride`: the stem gives ⌊(side − 5) / 2⌋, and each halving rounds up."""
    return -(-((side - 5) // 2) // (stride // 2))


def test_block_table_matches_the_paper() -> None:
    rows, dilation = block_table()
    assert dilation == 1
    assert len(rows) == 12
    assert {r.dilation for r in rows} == {1}
    assert [r.pool_stride for r in rows] == [2, 2, 2, *[None] * 8, 2]
    assert [r.widths[-1] for r in rows] == [128, 256, *[728] * 9, 1024]
    assert rows[0] == (64, (128, 128), 2, 1)
    assert rows[10] == (728, (728, 728, 728), None, 1)
    assert rows[11] == (728, (728, 1024), 2, 1)
    assert sum(len(r.widths) for r in rows) + 2 == 34  # separable convolutions


def test_dilation_begins_behind_the_dropped_stride() -> None:
    def dilations(output_stride: int, legacy_tail: bool) -> list[int]:
        rows, tail = block_table(output_stride, legacy_tail)
        return [*(r.dilation for r in rows), tail]

    assert dilations(16, False) == [1] * 12 + [2]
    assert dilations(8, False) == [1] * 3 + [2] * 9 + [4]
    assert dilations(16, True) == [1] * 11 + [2] * 2  # VainF's: with it
    assert dilations(8, True) == [1] * 2 + [2] * 9 + [4] * 2
    assert dilations(32, True) == [1] * 13


@pytest.mark.parametrize("size", [(65, 97), (33, 47)])
@pytest.mark.parametrize("train", [False, True])
def test_classifier_equals_timm(size: tuple[int, int], train: bool) -> None:
    theirs = timm.create_model("legacy_xception").double()
    state = random_state(shapes_of(theirs), seed=3)
    theirs.load_state_dict(state)
    ours = classifier("xception").double()
    renamed = {
        n.replace("fc.", "last_linear.") if n[:3] == "fc." else n: t for n, t in state.items()
    }
    ours.load_state_dict(renamed, strict=True)
    a, b = image(*size).requires_grad_(), image(*size).requires_grad_()
    out, expected = ours.train(train)(a), theirs.train(train)(b)
    assert relative(out, expected) < 1e-12
    for name, buffer in theirs.named_buffers():
        assert torch.allclose(ours.get_buffer(name), buffer, rtol=1e-12, atol=1e-12)
    if size != (33, 47):
        return
    out.square().mean().backward()
    expected.square().mean().backward()
    assert relative(a.grad, b.grad) < 1e-9
    for name, parameter in theirs.named_parameters():
        grad = ours.get_parameter(name.replace("fc.", "last_linear.")).grad
        # A shift right before another BatchNorm has no gradient in train mode, only rounding.
        scale = max(float(parameter.grad.abs().max()), 1e-6 * float(b.grad.abs().max()))
        assert (grad - parameter.grad).abs().max() < 1e-8 * scale + 1e-10, name


def test_published_figures() -> None:
    with torch.device("meta"):
        model = classifier("xception")
        assert sum(p.numel() for p in model.parameters()) == 22_855_952
        # 8.40 G in timm's table of results
        assert multiply_adds(model, torch.zeros(1, 3, 299, 299)) == pytest.approx(8.4e9, rel=0.01)
    assert classifier("xception", 5).last_linear.out_features == 5


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_legacy_tail_equals_vainf(output_stride: int, mode: str) -> None:
    backbone = build_backbone(
        "xception", output_stride=output_stride, out_indices=(0, 3), legacy_tail=True
    ).double()
    state = random_state(stored_shapes(str(REFERENCE["names"])), seed=7)
    backbone.load_state_dict(state, strict=True)
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 3, 161, 193)))
    x.requires_grad_()
    low, out = backbone.train(mode == "train")(x)
    (low.square().mean() + out.square().mean()).backward()
    for ours, name in (
        (low[:, ::16, ::8, ::8], f"{mode}/low"),
        (out[:, ::64, ::2, ::2], f"{output_stride}/{mode}/out"),
        (x.grad[:, :, ::16, ::16], f"{output_stride}/{mode}/grad"),
    ):
        assert relative(ours, torch.from_numpy(REFERENCE[name])) < 1e-9, name


def test_a_larger_map_holds_the_smaller_one() -> None:
    """Dilation in place of stride computes the same values, at more places: the pixels of output
    stride 32 are pixels of 16 and of 8. It does not hold for `legacy_tail`.
    """
    state = random_state(shapes_of(Xception()), seed=5)
    x = image(101, 97, batch=1)

    def maps(output_stride: int) -> list[Tensor]:
        backbone = Xception(output_stride=output_stride).double().eval()
        backbone.load_state_dict(state)
        with torch.no_grad():
            return backbone(x)

    small, middle, large = maps(32), maps(16), maps(8)
    for index, step16, step8 in ((0, 1, 1), (1, 1, 1), (2, 1, 2), (3, 2, 4)):
        assert relative(middle[index][:, :, ::step16, ::step16], small[index]) < 1e-12
        assert relative(large[index][:, :, ::step8, ::step8], small[index]) < 1e-12


@given(
    height=st.integers(32, 140),
    width=st.integers(32, 140),
    output_stride=st.sampled_from([8, 16, 32]),
    indices=st.sets(st.integers(0, 3), min_size=1),
    in_channels=st.integers(1, 5),
)
@settings(max_examples=20, deadline=None)
def test_maps_have_the_promised_shapes(
    height: int, width: int, output_stride: int, indices: set[int], in_channels: int
) -> None:
    with torch.device("meta"):
        backbone = build_backbone(
            "xception",
            output_stride=output_stride,
            in_channels=in_channels,
            out_indices=sorted(indices),
        )
        maps = backbone(torch.zeros(2, in_channels, height, width))
    assert backbone.strides == [min(4 * 2**i, output_stride) for i in sorted(indices)]
    assert backbone.channels == [(128, 256, 728, 2048)[i] for i in sorted(indices)]
    for x, channels, stride in zip(maps, backbone.channels, backbone.strides, strict=True):
        assert x.shape == (2, channels, map_size(height, stride), map_size(width, stride))


@pytest.mark.parametrize(("output_stride", "smallest"), [(32, 32), (16, 71), (8, 103)])
def test_legacy_tail_shrinks_the_last_map(output_stride: int, smallest: int) -> None:
    lost = {32: 0, 16: 4, 8: 12}[output_stride]
    with torch.device("meta"):
        backbone = Xception(output_stride=output_stride, legacy_tail=True)
        for side in (smallest, 129, 161):
            shape = backbone(torch.zeros(2, 3, side, side + 32))[-1].shape
            assert shape[2] == map_size(side, output_stride) - lost > 0
            assert shape[3] == map_size(side + 32, output_stride) - lost
        assert [x.shape[1] for x in backbone(torch.zeros(2, 3, 129, 129))] == backbone.channels
        if lost:
            message = f"{smallest}×{smallest} pixels, got {smallest - 1}×200"
            with pytest.raises(ValueError, match=message):
                backbone(torch.zeros(1, 3, smallest - 1, 200))


@pytest.mark.parametrize(
    ("output_stride", "legacy_tail"), [(8, False), (16, False), (32, False), (32, True)]
)
def test_returned_maps_are_final_and_train(output_stride: int, legacy_tail: bool) -> None:
    """No later part works in place on a returned map, or on what another part still needs."""
    backbone = Xception(output_stride=output_stride, legacy_tail=legacy_tail)
    copies: dict[str, Tensor] = {}

    def keep(name: str) -> None:
        part = backbone.get_submodule(name)
        part.register_forward_hook(lambda module, args, out: copies.update({name: out.clone()}))

    for name in backbone.levels:
        keep(name)
    maps = backbone.train()(image(65, 97).float())
    for name, x in zip(backbone.levels, maps, strict=True):
        assert torch.equal(copies[name], x), name
    torch.stack([x.square().mean() for x in maps]).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())


def test_a_block_leaves_its_input_alone() -> None:
    for block in (Block(8, (8, 8, 8)), Block(8, (16, 16), 2), Block(8, (8, 16), 1, dilation=2)):
        x = torch.randn(2, 8, 9, 11)
        before = x.clone()
        block.train()(x)
        assert torch.equal(x, before)


def test_the_tail_ends_in_relu_unless_legacy() -> None:
    x = image(65, 97).float()
    assert Xception(out_indices=(3,))(x)[0].min() == 0
    assert Xception(out_indices=(3,), legacy_tail=True)(x)[0].min() < 0


def test_names_are_those_of_the_public_files() -> None:
    published = dict(shapes_of(classifier("xception")))
    plain = dict(shapes_of(Xception()))
    assert published.keys() - plain.keys() == {"last_linear.weight", "last_linear.bias"}
    assert plain.items() <= published.items()
    legacy = dict(shapes_of(Xception(output_stride=16, legacy_tail=True)))
    assert legacy == {n: s for n, s in plain.items() if not n.startswith("bn4.")}
    assert legacy == dict(stored_shapes(str(REFERENCE["names"])))


@pytest.mark.slow
def test_exports_with_dynamic_size() -> None:
    backbone = Xception(output_stride=16).double().eval()
    backbone.load_state_dict(random_state(shapes_of(backbone), seed=2))
    height, width = (torch.export.Dim(side, min=32, max=512) for side in ("height", "width"))
    first, second = (image(*size, batch=1) for size in EXPORT_SIZES)
    program = torch.export.export(
        backbone, (first,), dynamic_shapes=({2: height, 3: width},), strict=False
    ).module()
    for x in (first, second):
        for ours, expected in zip(program(x), backbone(x), strict=True):
            assert relative(ours, expected) < 1e-12


def test_copies_and_fresh_weights() -> None:
    backbone = build_backbone("xception", output_stride=8).eval()
    again = deepcopy(backbone)
    x = image(32, 32, batch=1).float()
    assert all(torch.equal(a, b) for a, b in zip(again(x), backbone(x), strict=True))
    norms = [part for part in backbone.modules() if isinstance(part, nn.BatchNorm2d)]
    assert len(norms) == 2 + 34 + 4  # stem, one for each separable convolution, shortcuts
    assert all((n.weight == 1).all() and (n.bias == 0).all() for n in norms)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"output_stride": 4}, "output_stride must be 8, 16 or 32, got 4"),
        ({"out_indices": (0, 4)}, "out_indices"),
        ({"out_indices": ()}, "out_indices"),
        ({"out_indices": (3, 1)}, "out_indices"),
        ({"width_mult": 1.0}, "'width_mult' is no option of xception"),
    ],
)
def test_refuses(options: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        build_backbone("xception", **options)  # type: ignore[arg-type]
