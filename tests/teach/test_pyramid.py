"""The facts of a pyramid, its explorer, and what chapter 08's experiment is made of."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from project_files import ROOT
from torch import Tensor

from seglib import build_backbone
from seglib.heads import FPN, FPNHead, LastLevelP6P7
from seglib.teach import levels
from seglib.teach.objects import components, shares
from seglib.teach.pyramid import TOPS, backbone_levels, pyramid_facts
from seglib.teach.pyramid_explorer import explored, pyramid_explorer


def test_facts_of_resnet50() -> None:
    facts = pyramid_facts([256, 512, 1024, 2048], [4, 8, 16, 32], 256, 513, 100)
    assert [level.name for level in facts.levels] == ["P2", "P3", "P4", "P5"]
    assert [level.shape for level in facts.levels] == [
        (256, 129, 25), (256, 65, 13), (256, 33, 7), (256, 17, 4),
    ]  # fmt: skip
    assert facts.parameters == sum(p.numel() for p in FPN([256, 512, 1024, 2048], 256).parameters())
    first = facts.levels[0]
    assert first.multiply_adds == (256 * 256 + 9 * 256 * 256) * 129 * 25
    assert sum(facts.share(place) for place in range(4)) == pytest.approx(1)


def test_further_levels() -> None:
    channels, strides = [24, 32, 96, 320], [4, 8, 16, 32]
    plain, pooled, more = (pyramid_facts(channels, strides, 64, 100, 65, top=top) for top in TOPS)
    assert [len(facts.levels) for facts in (plain, pooled, more)] == [4, 5, 6]
    assert plain.levels == pooled.levels[:4] == more.levels[:4]
    assert (pooled.parameters, pooled.multiply_adds) == (plain.parameters, plain.multiply_adds)
    p6, p7 = more.levels[4:]
    assert (p6.name, p6.stride, p6.shape, p6.in_channels) == ("P6", 64, (64, 2, 2), None)
    assert (p7.name, p7.stride, p7.shape) == ("P7", 128, (64, 1, 1))
    own = sum(p.numel() for p in LastLevelP6P7(320, 64).parameters())
    assert p6.parameters + p7.parameters == own
    assert p6.multiply_adds == 320 * 64 * 9 * 4


@given(height=st.integers(1, 600), width=st.integers(1, 600), top=st.sampled_from(TOPS))
@settings(max_examples=15, deadline=None)
def test_sizes_are_rounded_up(height: int, width: int, top: str) -> None:
    facts = pyramid_facts([3, 4, 5], [8, 16, 32], 6, height, width, top)
    for level in facts.levels[:3]:
        assert level.shape == (6, math.ceil(height / level.stride), math.ceil(width / level.stride))


def test_shows_itself() -> None:
    facts = explored(levels=(3, 5), top="P6 and P7")
    assert repr(facts).startswith("FPN([512, 1024, 2048], 256, P6 and P7) on 513×513")
    html = facts._repr_html_()
    for level in facts.levels:
        assert f"{level.shape[1]} × {level.shape[2]}" in html
        assert level.name in repr(facts)
    assert html.count("<tr>") == len(facts.levels) + 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([3], [4, 8]), "strides must be 1 numbers"),
        (([3], [0]), "strides must be >= 1, got 0"),
        (([3], [4], 8, 0), "height must be >= 1, got 0"),
        (([3], [4], 8, 9, -1), "width must be >= 1, got -1"),
        (([3], [4], 8, 9, 9, "max"), "top must be one of none, max pool, P6 and P7, got 'max'"),
        (([0], [4]), "in_channels_list"),
        (([3], [4], 0), "out_channels"),
    ],
)
def test_facts_refuse(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pyramid_facts(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_backbone_levels(output_stride: int) -> None:
    body = build_backbone("mobilenetv2", output_stride=output_stride)
    found = backbone_levels("mobilenetv2", output_stride)
    assert found == (tuple(body.channels), tuple(body.strides))


def test_explored() -> None:
    whole = explored("resnet18", 65, 97, 8)
    assert [level.shape[1:] for level in whole.levels] == [(17, 25), (9, 13), (9, 13), (9, 13)]
    assert [level.stride for level in whole.levels] == [4, 8, 8, 8]
    assert [level.name for level in explored("resnet18", levels=(3, 4)).levels] == ["P3", "P4"]
    for wrong in ((1, 5), (4, 3), (2, 6)):
        with pytest.raises(ValueError, match="levels must be"):
            explored(levels=wrong)


def test_the_widget_follows_its_controls(monkeypatch: pytest.MonkeyPatch) -> None:
    import ipywidgets

    boxes: list[ipywidgets.VBox] = []
    true = ipywidgets.VBox

    def keep(children: list[ipywidgets.Widget]) -> ipywidgets.VBox:
        boxes.append(true(children))
        return boxes[-1]

    shown: list[dict[str, object]] = []
    monkeypatch.setattr(ipywidgets, "VBox", keep)
    monkeypatch.setattr("seglib.teach.pyramid_explorer.put", shown.append)
    pyramid_explorer()
    *controls, page = boxes[0].children
    by_name = {control.description: control for control in controls}
    by_name["levels P"].value = (3, 5)
    by_name["further levels"].value = "P6 and P7"
    by_name["height"].value = 300
    expected = explored(height=300, levels=(3, 5), top="P6 and P7")
    assert page.value == expected._repr_html_()
    assert shown[1]["text/plain"] == repr(explored())
    assert "Without a kernel" in str(shown[1]["text/html"])


def flood(mask: Tensor) -> list[int]:
    """Sizes of the connected areas of one mask, by walking."""
    left = {tuple(place) for place in mask.nonzero().tolist()}
    sizes = []
    while left:
        todo, size = [left.pop()], 0
        while todo:
            row, column = todo.pop()
            size += 1
            for y in (row - 1, row, row + 1):
                for x in (column - 1, column, column + 1):
                    if (y, x) in left:
                        left.remove((y, x))
                        todo.append((y, x))
        sizes.append(size)
    return sorted(sizes)


@given(seed=st.integers(0, 1000), share=st.floats(0.05, 0.9))
@settings(max_examples=25, deadline=None)
def test_components_are_the_connected_areas(seed: int, share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(3, 9, 11, generator=generator) < share
    numbers = components(masks)
    assert torch.equal(numbers > 0, masks)
    used = numbers.unique().tolist()
    assert used == list(range(used[0], used[0] + len(used)))
    pixels, ones = shares(numbers, masks)
    expected = [size for mask in masks for size in flood(mask)]
    assert sorted(pixels.tolist()) == sorted(expected)
    assert bool((ones == 1).all())


def test_shares_are_means() -> None:
    numbers = torch.tensor([[[1, 1, 0], [0, 2, 2]]])
    pixels, means = shares(numbers, torch.tensor([[[1.0, 3.0, 9.0], [9.0, 5.0, 6.0]]]))
    assert (pixels.tolist(), means.tolist()) == ([2, 2], [2, 5.5])
    assert [len(x) for x in shares(torch.zeros_like(numbers), numbers)] == [0, 0]
    with pytest.raises(ValueError, match="values must be"):
        shares(numbers, numbers[0])
    for wrong in (numbers, torch.ones(2, 2, dtype=torch.bool)):
        with pytest.raises(ValueError, match="masks must be bool"):
            components(wrong)


@pytest.fixture
def few() -> levels.Streets:
    generator = torch.Generator().manual_seed(0)
    sizes = [(3, 8, 10), (4, 4, 5), (5, 2, 3)]
    maps = [torch.randn(9, *size, generator=generator) for size in sizes]
    return levels.Streets(maps, torch.randint(0, 11, (9, 31, 39), generator=generator))


def test_heads_differ_only_as_said(few: levels.Streets) -> None:
    widths = [3, 4, 5]
    whole, apart = (levels.make_head(kind, widths, seed=3) for kind in ("sum", "separate"))
    assert isinstance(whole, FPNHead)
    for a, b in zip(whole.state_dict().values(), apart.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert not torch.allclose(whole(few.maps), apart(few.maps))
    finest = levels.make_head("finest", widths, seed=3)
    alone = levels.make_head("finest", widths[:1], seed=3)
    assert finest(few.maps).shape == alone(few.maps[:1]).shape == (9, 11, 8, 10)


def test_votes_add_up(few: levels.Streets) -> None:
    head = levels.make_head("sum", [3, 4, 5], seed=1).eval()
    assert isinstance(head, FPNHead)
    assert head.classifier.bias is not None
    torch.nn.init.normal_(head.classifier.bias)
    found = levels.votes(head, few)
    total = sum(found, torch.zeros(())) + head.classifier.bias[:, None, None]
    assert torch.allclose(total, levels.predict(head, few, range(3)), atol=1e-5)
    assert torch.allclose(levels.predict(head, few, range(3)), total, atol=1e-5)


def test_a_head_learns(few: levels.Streets) -> None:
    before = torch.random.get_rng_state()
    one, two = (levels.train_head(few, "sum", (0, 2), 0, 3) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not one.training
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    start = levels.make_head("sum", [3, 5], 0)
    assert any(
        not torch.equal(a, b) for a, b in zip(one.parameters(), start.parameters(), strict=True)
    )


def test_objects_by_size() -> None:
    labels = torch.zeros(1, 60, 60, dtype=torch.int64)
    classes = (8, 9, 8, 10)  # car, pedestrian, car, bicyclist
    for place, (side, label) in enumerate(zip((3, 5, 10, 20), classes, strict=True)):
        labels[0, 1 : 1 + side, 1 + 12 * place : 1 + 12 * place + side] = label
    numbers = levels.number_objects(labels)
    assert numbers.max() == 4
    found = levels.by_size(numbers, labels != 9)
    assert found == [0, 1, 1]  # the pedestrian is the small one; the car of 3×3 is left out


def test_the_results_are_complete() -> None:
    from benchmarks import pyramid

    found = json.loads((ROOT / "benchmarks" / "results" / "08_fpn.json").read_text())
    assert found["objects"] == list(levels.OBJECTS)
    assert found["edges"] == list(levels.EDGES)
    for arm in pyramid.ARMS:
        runs = [run for run in found["runs"] if (run["arm"], run["steps"]) == (arm, pyramid.STEPS)]
        assert [run["seed"] for run in runs] == list(pyramid.SEEDS)
    for run in found["runs"]:
        assert 0 < run["mean_iou"] < 1
        assert len(run["found"]) == 3
