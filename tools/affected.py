"""Which tests and notebooks a change can touch: by what they import, and what that imports.

A test or notebook whose imports reach a changed module is touched; one that is changed itself is,
too. A change of anything else that is no page (data, a test's helper) touches all of them.
"""

from __future__ import annotations

import ast
import json
import subprocess
from functools import cache
from pathlib import Path

# Pages and tools: the files, and folders, that these tests alone look at.
PAGES = ("tests/test_project_files.py", "tests/test_readme.py", "tests/notebooks/test_chapters.py")
PAGE_SUFFIXES = {".md", ".yml", ".yaml", ".toml", ".txt", ""}


def changed_files(root: Path) -> list[str]:
    """Files that differ from where this branch left main, committed or not, untracked ones too."""
    base = _git(root, "merge-base", "HEAD", "main") or _git(
        root, "merge-base", "HEAD", "origin/main"
    )
    listed = [_git(root, "diff", "--name-only", *base)]
    listed.append(_git(root, "ls-files", "--others", "--exclude-standard"))
    return sorted({name for names in listed for name in names})


def by_changes(root: Path, changed: list[str]) -> tuple[list[str], list[str]]:
    """(test files, notebooks) that the changed files touch, as paths from the root."""
    tests = sorted(p.relative_to(root).as_posix() for p in (root / "tests").rglob("test_*.py"))
    notebooks = sorted(
        path.relative_to(root).as_posix()
        for path in (root / "notebooks").rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    )
    modules = {name for name in changed if name.startswith("seglib/") and name.endswith(".py")}
    chosen: set[str] = set()
    for name in set(changed) - modules:
        if name in tests or name in notebooks:
            chosen |= {name, *(PAGES if name in notebooks else ())}
        elif Path(name).suffix in PAGE_SUFFIXES and not name.startswith(("data/", "seglib/")):
            chosen |= set(PAGES)
        elif name.startswith("tools/"):
            chosen |= {test for test in tests if test.startswith("tests/notebooks/")}
        elif name.startswith("benchmarks/"):
            chosen |= {"tests/test_benchmarks.py", *_reading(root, notebooks, Path(name).name)}
        else:
            return tests, notebooks
    everything = [*tests, *notebooks]
    chosen |= {name for name in everything if _reached(root, name) & modules}
    return [t for t in tests if t in chosen], [n for n in notebooks if n in chosen]


def _reading(root: Path, notebooks: list[str], file: str) -> set[str]:
    """Notebooks that name a file."""
    return {name for name in notebooks if file in (root / name).read_text(encoding="utf-8")}


def _git(root: Path, *arguments: str) -> list[str]:
    run = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    return run.stdout.split("\n")[:-1] if run.returncode == 0 else []


def _reached(root: Path, name: str) -> set[str]:
    """The library's files that a test or notebook imports, and those that they import."""
    reached: set[str] = set()
    left = set(_imported(root, name))
    while left:
        module = left.pop()
        reached.add(module)
        left |= _imported(root, module) - reached
    return reached


@cache
def _imported(root: Path, name: str) -> frozenset[str]:
    """The library's files that one file imports."""
    source = _source(root / name)
    found: set[str] = set()
    if "iter_modules(__path__)" in source:
        found |= {f"{Path(name).parent}/{path.name}" for path in (root / name).parent.glob("*.py")}
    if '"-m", "seglib"' in source:
        found |= {f"seglib/cli/{path.name}" for path in (root / "seglib" / "cli").glob("*.py")}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= _files(root, alias.name, None)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                found |= _files(root, node.module, alias.name)
    return frozenset(found)


def _source(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return "\n".join(source for source in sources if _is_python(source))


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _files(root: Path, module: str, name: str | None) -> set[str]:
    """The files behind `from module import name` or `import module`; a test's helper's too."""
    for folder in ("", "tests/", "tests/notebooks/", "tests/classroom/"):
        base = folder + module.replace(".", "/")
        if name is not None and (root / f"{base}/{name}.py").is_file():
            return {f"{base}/{name}.py"}
        for file in (f"{base}.py", f"{base}/__init__.py"):
            if (root / file).is_file():
                package = file.endswith("__init__.py")
                return (_exported(root, file, name) if package and name else None) or {file}
    return set()


def _exported(root: Path, package: str, name: str) -> set[str]:
    """Where a package's `__init__` takes a name from, if it only hands it on."""
    for node in ast.walk(ast.parse(_source(root / package))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _files(root, node.module, alias.name)
    return set()
