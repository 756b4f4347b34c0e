"""pyproject.toml, constraints.txt, environment.yml and the other project files say the same."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from project_files import ROOT, canonical, constraints, declared, pyproject

PYTHONS = ("3.11", "3.12", "3.13")
# Import names that differ from the package's, and the packages' names on conda-forge.
IMPORTS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml", "IPython": "ipython"}
IMPORTS["zmq"] = "pyzmq"
IMPORTS["segmentation_models_pytorch"] = "segmentation-models-pytorch"
CONDA = {"torch": "pytorch"}
OWN = {"seglib", "benchmarks", "tests", "tools"}
# Come with a declared package: pytest and jupyterlab name them in their own interfaces.
BROUGHT = {"packaging", "traitlets", "jupyter_client", "ipykernel", "PIL"}


def third_party(files: Iterator[Path]) -> dict[str, str]:
    """Imports from outside of the standard library and the project, each with a file of it."""
    found: dict[str, str] = {}
    helpers = {path.stem for folder in ("tests", "tools") for path in (ROOT / folder).rglob("*.py")}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in (name.split(".")[0] for name in names):
                if name not in sys.stdlib_module_names | OWN | helpers:
                    found.setdefault(name, str(path.relative_to(ROOT)))
    return found


def names(*extras: str) -> set[str]:
    groups = declared()
    return {canonical(requirement.name) for extra in extras for requirement in groups[extra]}


def package(module: str) -> str:
    return canonical(IMPORTS.get(module, module))


def versions(python: str) -> dict[str, str]:
    """Exact versions that constraints.txt gives for a Python; each package once."""
    found: dict[str, str] = {}
    for line in constraints():
        if line.marker is None or line.marker.evaluate({"python_version": python}):
            name = canonical(line.name)
            assert name not in found, f"{name} twice for Python {python}"
            (specifier,) = line.specifier
            assert specifier.operator == "==", line
            found[name] = specifier.version
    return found


def conda() -> dict[str, Requirement]:
    """environment.yml's packages by the name they have in pyproject.toml."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    lines = [entry for entry in entries if isinstance(entry, str)]
    lines += [line for entry in entries if isinstance(entry, dict) for line in entry["pip"]]
    back = {there: here for here, there in CONDA.items()}
    found = [Requirement(line) for line in lines if not line.startswith("-e")]
    return {back.get(canonical(item.name), canonical(item.name)): item for item in found}


def test_the_library_imports_what_it_declares_and_nothing_else() -> None:
    used = {
        package(name): file for name, file in third_party((ROOT / "seglib").rglob("*.py")).items()
    }
    # Imported where they are needed, with an error that names the extra.
    optional = names("export") | names("classroom")
    undeclared = {name: file for name, file in used.items() if name not in names("") | optional}
    assert undeclared == {}
    # The notebooks need these two; the library may do without.
    assert names("") - set(used) - {"jupyterlab", "ipywidgets"} == set()


@pytest.mark.parametrize(
    ("folder", "extras"),
    [("tests", ("", "test")), ("tools", ("", "test")), ("benchmarks", ("", "test", "bench"))],
)
def test_other_code_imports_what_its_extra_declares(folder: str, extras: tuple[str, ...]) -> None:
    used = third_party((ROOT / folder).rglob("*.py"))
    missing = {
        name: file
        for name, file in used.items()
        if package(name) not in names(*extras) and name not in BROUGHT
    }
    assert missing == {}


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_hold_one_fitting_version_of_every_package(python: str) -> None:
    pinned = versions(python)
    for extra, requirements in declared().items():
        for requirement in requirements:
            name = canonical(requirement.name)
            assert name in pinned, f"{name} of [{extra}] is not in constraints.txt"
            assert requirement.specifier.contains(pinned[name]), f"{requirement}: {pinned[name]}"


def test_constraints_leave_torch_s_own_packages_to_torch_and_name_no_place() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^(?:nvidia|triton|cuda).*", text) == []
    assert re.findall(r"://| @ |--", text.split("\n", 3)[3]) == []


def test_the_installed_versions_are_the_constraints() -> None:
    from importlib.metadata import PackageNotFoundError, version

    pinned = versions(f"{sys.version_info.major}.{sys.version_info.minor}")
    different = {}
    for requirement in (*declared()[""], *declared()["test"]):
        name = canonical(requirement.name)
        try:
            installed = version(name).split("+")[0]  # torch's CPU build is 2.x+cpu
        except PackageNotFoundError:
            installed = "none"
        if installed != pinned[name]:
            different[name] = (installed, pinned[name])
    if "conda-meta" in {path.name for path in Path(sys.prefix).iterdir()}:
        pytest.skip("conda chooses versions itself")
    assert different == {}


def test_environment_yml_has_the_same_packages_and_bounds() -> None:
    wanted = {canonical(item.name): item for extra in ("", "test") for item in declared()[extra]}
    found = conda()
    assert set(found) - {"python", "pip", "make"} == set(wanted)
    for name, requirement in wanted.items():
        assert found[name].specifier == requirement.specifier, name


def test_environment_yml_installs_the_package_itself_last() -> None:
    entries = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert entries["name"] == "seglib"
    assert entries["channels"] == ["conda-forge"]
    assert entries["dependencies"][-1]["pip"][-1] == "-e ."


def test_pre_commit_uses_the_constraints_versions() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    pinned = versions(PYTHONS[-1])
    for hook in (hook for repo in config["repos"] for hook in repo["hooks"]):
        for requirement in map(Requirement, hook["additional_dependencies"]):
            assert requirement.specifier.contains(pinned[requirement.name]), hook["id"]


def test_the_workflow_covers_the_oldest_and_the_newest_python() -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    matrix = yaml.safe_load(text)["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == [PYTHONS[0], PYTHONS[-1]]
    assert "bash .ci/run" in text
    assert pyproject()["project"]["requires-python"] == f">={PYTHONS[0]}"


def test_the_nightly_has_a_schedule_and_every_system() -> None:
    text = (ROOT / ".github/workflows/nightly.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert "schedule" in workflow[True]  # YAML reads the key `on` as a truth value
    jobs = workflow["jobs"]
    assert jobs["linux"]["strategy"]["matrix"]["python"] == [PYTHONS[0], PYTHONS[-1]]
    assert jobs["other-systems"]["strategy"]["matrix"]["system"] == [
        "macos-latest",
        "windows-latest",
    ]
    assert "make test-full" in text


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = set(re.findall(r"make ([a-z-]+)", shown.stdout))
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.findall(r"(?m)^\.PHONY: (.*)$", text)[0].split()) - {"FORCE"}
    assert listed == phony


def test_make_knows_the_commands_that_the_course_names() -> None:
    for target in ("lab", "test", "test-full", "experiments", "checkpoint", "bench", "notebooks"):
        dry = ["make", "--dry-run", target]
        run = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr


def test_make_lab_brings_its_settings() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "lab: export JUPYTER_CONFIG_PATH := $(CURDIR)/tools/jupyter" in text
    (file,) = (ROOT / "tools" / "jupyter").rglob("*.json")
    assert file.relative_to(ROOT / "tools/jupyter").as_posix() == (
        "labconfig/default_setting_overrides.json"
    )


@pytest.mark.parametrize("module", ["checkpoint", "experiments", "bench"])
def test_what_make_calls_exists(module: str) -> None:
    assert (ROOT / "benchmarks" / f"{module}.py").is_file()


def test_an_old_python_gets_one_line(tmp_path: Path) -> None:
    text = (ROOT / "tools/make_venv.py").read_text(encoding="utf-8")
    newer = tmp_path / "make_venv.py"
    newer.write_text(text.replace("OLDEST = (3, 11)", "OLDEST = (9, 9)"), encoding="utf-8")
    folder = str(tmp_path / "venv")
    run = subprocess.run([sys.executable, str(newer), folder], capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "needs Python 9.9 or newer" in run.stderr


def test_a_folder_in_the_way_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    command = [sys.executable, str(ROOT / "tools/make_venv.py"), str(folder)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1
    assert "is in the way" in run.stderr
    assert (folder / "notes.txt").exists()


def test_only_the_library_is_packaged() -> None:
    assert pyproject()["tool"]["setuptools"]["packages"]["find"] == {"include": ["seglib*"]}
    folders = {path.parent for path in (ROOT / "seglib").rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []
    assert (ROOT / "seglib/py.typed").is_file()
