"""What `make test` runs, and what `make test FAST=1` leaves out."""

import subprocess
from pathlib import Path

import affected
import check
import pytest
from project_files import ROOT


def touched(*changed: str) -> tuple[set[str], set[str]]:
    tests, notebooks = affected.by_changes(ROOT, list(changed))
    return set(tests), set(notebooks)


def test_a_backbone_touches_its_tests_and_its_chapter() -> None:
    tests, notebooks = touched("seglib/backbones/mobilenetv3.py")
    assert "tests/backbones/test_mobilenetv3.py" in tests
    assert "notebooks/03_se_hswish.ipynb" in notebooks
    assert "tests/test_losses.py" not in tests


def test_what_everything_is_built_of_touches_all_networks() -> None:
    tests, notebooks = touched("seglib/layers.py")
    assert {f"tests/backbones/test_{name}.py" for name in ("hrnet", "resnet", "xception")} <= tests
    assert {"notebooks/02_inverted_residual.ipynb", "notebooks/14_training.ipynb"} <= notebooks
    assert "tests/test_metrics.py" not in tests


def test_a_command_s_module_touches_who_runs_the_command() -> None:
    tests, _ = touched("seglib/cli/train.py")
    assert {"tests/test_cli_train.py", "tests/test_cli.py", "tests/test_readme.py"} <= tests


def test_a_changed_test_or_notebook_touches_itself() -> None:
    assert touched("tests/test_losses.py") == ({"tests/test_losses.py"}, set())
    tests, notebooks = touched("notebooks/14_training.ipynb")
    assert notebooks == {"notebooks/14_training.ipynb"}
    assert tests == set(affected.PAGES)


def test_a_page_touches_the_tests_of_pages() -> None:
    assert touched("README.md", ".github/workflows/ci.yml") == (set(affected.PAGES), set())


def test_a_stored_result_touches_the_chapters_that_read_it() -> None:
    tests, notebooks = touched("benchmarks/results/14_training.json")
    assert tests == {"tests/test_benchmarks.py"}
    assert notebooks == {"notebooks/14_training.ipynb"}


@pytest.mark.parametrize("name", ["tests/support.py", "data/toystreet/train/0000.png"])
def test_what_is_shared_touches_everything(name: str) -> None:
    tests, notebooks = touched(name)
    assert len(tests) == len(list((ROOT / "tests").rglob("test_*.py")))
    assert len(notebooks) == len(list((ROOT / "notebooks").rglob("*.ipynb")))


def test_changes_are_those_since_main(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        me = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *me, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-b", "main")
    (tmp_path / "a.py").write_text("1")
    git("add", ".")
    git("commit", "-m", "a")
    git("switch", "-c", "work")
    (tmp_path / "b.py").write_text("1")
    git("add", ".")
    git("commit", "-m", "b")
    (tmp_path / "a.py").write_text("2")
    (tmp_path / "c.py").write_text("1")
    assert affected.changed_files(tmp_path) == ["a.py", "b.py", "c.py"]


def test_the_nightly_runs_every_processor_and_five_seeds() -> None:
    steps = check.steps(2, full=True)
    nightly = {name: step for name, step in steps.items() if step.nightly}
    pairs = {
        (step.variables.get("ATEN_CPU_CAPABILITY"), step.variables.get("ONEDNN_MAX_CPU_ISA"))
        for name, step in nightly.items()
        if name.startswith("machines")
    }
    wanted = {("default", "SSE41"), ("avx2", "AVX2"), ("avx512", "AVX512_CORE"), (None, None)}
    assert pairs == wanted
    threads = {step.variables.get("OMP_NUM_THREADS") for step in nightly.values()}
    assert {"1", "2", "4"} <= threads
    assert len({step.variables.get("SEGLIB_SEED_SHIFT") for step in nightly.values()} - {None}) == 5


def test_what_a_commit_needs_compares_outputs() -> None:
    for name, step in check.steps(2, full=False).items():
        if not step.nightly:
            assert "SEGLIB_SEED_SHIFT" not in check.environment(step, "x"), name


def test_an_instruction_set_that_every_processor_has_is_not_skipped() -> None:
    assert not check.lacks("")
    assert not check.lacks("default")
