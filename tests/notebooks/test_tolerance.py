"""A measured number may move as far as its tag says, and nothing else may."""

from pathlib import Path

import gate
import pytest
import seeds
import tolerance
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_output
from notebook_plugin import moved
from samples import NAME, broken, save
from test_gate import add
from test_real_run import outcomes

CHAPTER = Path("notebooks") / NAME
CLAIM = "score = 0.41\nassert score > 0.3\nprint(f'mean IoU {score:.2f} on {60} images')"
STORED = "mean IoU 0.41 on 60 images\n"


def printed(text: str) -> list[NotebookNode]:
    return [new_output("stream", name="stdout", text=text)]


@pytest.mark.parametrize(
    "tag, fresh",
    [
        ("within-5%", "mean IoU 0.43 on 60 images\n"),
        ("within-5%", "mean IoU 0.39 on 60 images\n"),
        ("within-5%", "mean   IoU\t0.41 on 60 images\n"),
        ("within-0.02", "mean IoU 0.43 on 60 images\n"),
        ("within-0.02", "mean IoU 0.39 on 60 images\n"),
    ],
)
def test_a_number_may_move_within_the_tolerance(tag: str, fresh: str) -> None:
    allowed = tolerance.named(tag)
    assert allowed is not None
    assert moved(printed(STORED), printed(fresh), allowed) == []


@pytest.mark.parametrize(
    "fresh, why",
    [
        ("mean IoU 0.44 on 60 images\n", "more than 5 % apart"),
        ("mean IoU 0.38 on 60 images\n", "more than 5 % apart"),
        ("mean IoU -0.41 on 60 images\n", "more than 5 % apart"),
        ("mean iou 0.41 on 60 images\n", "another one"),
        ("mean IoU on 60 images\n", "another one"),
        ("mean IoU nan on 60 images\n", "another one"),
        ("mean IoU 0.41 on 61 images\n", "another one"),
        ("mean IoU 0.413 on 60 images\n", "another one"),
        ("mean IoU 0.41 on 60.0 images\n", "another one"),
        ("mean IoU 0.41 on 60 images\nmean IoU 0.41\n", "another one"),
        ("mean IoU 0.41\non 60 images\n", "another one"),
        ("", "another one"),
    ],
)
def test_whatever_else_changes_is_found(fresh: str, why: str) -> None:
    allowed = tolerance.named("within-5%")
    assert allowed is not None
    (problem,) = moved(printed(STORED), printed(fresh), allowed)
    assert why in problem


def test_an_absolute_tolerance_ends_where_it_says() -> None:
    allowed = tolerance.named("within-0.05")
    assert allowed is not None
    assert tolerance.difference("+1.25", "+1.30", allowed) is None
    assert tolerance.difference("+1.25", "+1.31", allowed) is not None
    assert tolerance.difference("−0.20", "-0.25", allowed) is None
    assert tolerance.difference("1,200.50", "1,200.52", allowed) is None


def test_numbers_are_found_wherever_they_stand() -> None:
    text = "a 1.5 b −2.25% c +3.0e-5, d 12,345.6; 7 images, 3×3, 10/20"
    assert tolerance.values(text) == [1.5, -2.25, 3e-5, 12345.6]


def problems(tag: object, source: str = CLAIM, text: str = STORED) -> list[str]:
    cell = new_code_cell(source, execution_count=1, outputs=printed(text))
    cell.metadata["tags"] = tag if isinstance(tag, list) else [tag]
    return list(gate._tag_problems(cell))


@pytest.mark.parametrize("tag", ["within-5%", "within-25%", "within-0.2", "within-0.05"])
def test_the_gate_accepts_a_tolerance_with_its_claim(tag: str) -> None:
    assert problems(tag) == []


@pytest.mark.parametrize(
    "source",
    [
        "for name, x in found.items():\n    print(name, x)\n    assert x > 0",
        "for name, x in found.items():\n    print(name, x)\nassert min(found.values()) > 0",
        "print([round(x, 2) for x in found])\nassert all(y > 0 for y in found)",
        "figures.show(figure, alt, f'{found:.2f}')\nassert 0.1 < found",
    ],
)
def test_the_gate_finds_what_is_printed_and_asserted(source: str) -> None:
    assert problems("within-5%", source) == []


@pytest.mark.parametrize(
    "tag, source, text, why",
    [
        ("within-60%", CLAIM, STORED, "at most within-25%"),
        ("within-25.1%", CLAIM, STORED, "at most within-25%"),
        ("within-0.21", CLAIM, STORED, "more than half of a number that it prints, 0.41"),
        ("within-0.2", CLAIM, "0.41 and 0.3\n", "more than half of a number that it prints, 0.3"),
        ("within-5%", CLAIM, "60 images\n", "no number with a decimal point"),
        ("within-5%", "score = 0.41\nprint(score)", STORED, "assert the claim"),
        ("within-5%", "print(score)\nassert other > 0.3", STORED, "assert the claim"),
        ("within-5%", "print(len(a))\nassert len(b) > 3", STORED, "assert the claim"),
        ("within-5%", "print(score)\nassert score", STORED, "assert the claim"),
        ("within-5", CLAIM, STORED, "more than half"),
        ("within-5 %", CLAIM, STORED, "nor a tolerance"),
        ("within--5%", CLAIM, STORED, "nor a tolerance"),
        ("Within-5%", CLAIM, STORED, "nor a tolerance"),
        (["within-5%", "within-25%"], CLAIM, STORED, "one of these tags"),
        (["within-5%", gate.IGNORE], f"# Output not compared: a b c\n{CLAIM}", STORED, "one of"),
        (seeds.FIXED, CLAIM, STORED, "without a written reason"),
        (seeds.FIXED, f"# Seed fixed: reasons\n{CLAIM}", STORED, "without a written reason"),
    ],
)
def test_the_gate_refuses_a_tag_without_its_ground(
    tag: object, source: str, text: str, why: str
) -> None:
    assert any(why in problem for problem in problems(tag, source, text))


def test_a_fixed_seed_says_why() -> None:
    assert problems(seeds.FIXED, f"# Seed fixed: the stored outputs belong to it\n{CLAIM}") == []


def claim(source: str, stored: str, tag: str) -> object:
    return add(source, tags=[tag], outputs=printed(stored))


def test_the_run_compares_within_the_tolerance(good: NotebookNode, tmp_path: Path) -> None:
    """Through pytest and a kernel, as `make test` runs chapters."""
    cases = {
        "exact": (CLAIM, STORED, "within-5%", (False, False)),
        "moved": (CLAIM, "mean IoU 0.42 on 60 images\n", "within-5%", (False, False)),
        "outside": (CLAIM, "mean IoU 0.45 on 60 images\n", "within-5%", (True, False)),
        "word": (CLAIM, "mean IoU 0.41 of 60 images\n", "within-5%", (True, False)),
        "missing": (CLAIM, "0.41 mean IoU on images\n", "within-5%", (True, False)),
        "integer": (CLAIM, "mean IoU 0.41 on 59 images\n", "within-5%", (True, False)),
        "wide": (CLAIM, "mean IoU 0.60 on 60 images\n", "within-60%", (False, True)),
        "claimless": (CLAIM.replace("assert", "#"), STORED, "within-5%", (False, True)),
        "claim_fails": (CLAIM.replace("> 0.3", "> 0.5"), STORED, "within-5%", (True, False)),
        "untagged": (CLAIM, "mean IoU 0.42 on 60 images\n", "hide-input", (True, False)),
    }
    for name, (source, stored, tag, _) in cases.items():
        (tmp_path / name).mkdir()
        save(broken(good, claim(source, stored, tag)), tmp_path / name / NAME)  # type: ignore[arg-type]
    code, found = outcomes(tmp_path)
    assert code == 1
    assert found == {name: wanted for name, (*_, wanted) in cases.items()}


def test_seeds_are_moved_where_a_cell_sets_them() -> None:
    source = (
        "torch.manual_seed(0)\n"
        "g = torch.Generator().manual_seed(seed)  # né\n"
        "x = f(é, seed=3, other={'seed': 4, 'steps': 5}); rng = np.random.default_rng(7)\n"
        "fit(net, **options)\nrun['seed'] == 0\n"
    )
    moved_source = seeds.shifted(source, 1000)
    assert moved_source.endswith(
        "torch.manual_seed((0) + 1000)\n"
        "g = torch.Generator().manual_seed((seed) + 1000)  # né\n"
        "x = f(é, seed=(3) + 1000, other={'seed': (4) + 1000, 'steps': 5});"
        " rng = np.random.default_rng((7) + 1000)\n"
        "fit(net, **options)\nrun['seed'] == 0\n"
    )
    assert "fit.__kwdefaults__" in moved_source
    assert seeds.shifted(source, 1000, fixed=True).endswith(source)


def test_a_claim_must_hold_under_other_seeds(
    good: NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = "import random\n\nrandom.seed(0)\nx = random.random()\n"
    fixed = f"# Seed fixed: one number was chosen\n{draw}assert round(x, 3) == 0.844\nprint(1)"
    cases = {
        "claims_the_number": (f"{draw}assert round(x, 3) == 0.844\nprint(1)", None, True),
        "claims_the_range": (f"{draw}assert 0 <= x < 1\nprint(x)", None, False),
        "seed_stays": (fixed, [seeds.FIXED], False),
    }
    for name, (source, tags, _) in cases.items():
        (tmp_path / name).mkdir()
        save(broken(good, add(source, tags=tags)), tmp_path / name / NAME)
    monkeypatch.setenv(seeds.VARIABLE, "1000")
    _, found = outcomes(tmp_path)
    assert {name: cell for name, (cell, _) in found.items()} == {
        name: fails for name, (*_, fails) in cases.items()
    }
