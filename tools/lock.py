"""Write constraints.txt: the exact versions that pip chooses today, for every supported Python.

    python tools/lock.py PYTHON [PYTHON …]

Each PYTHON is an interpreter, one for each supported version. Nothing is installed. Where they
disagree, lines carry markers; the newest's version holds for newer ones too.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# torch names the versions of its own CUDA packages: pinned here, a CPU build could not follow.
FOLLOWS_TORCH = re.compile(r"nvidia-.*|cuda-.*|triton")
HEADER = """\
# Exact versions that work together; the Makefile installs with `pip install -c constraints.txt`.
# Written by `python tools/lock.py PYTHON …`, one interpreter for each supported Python. What torch
# itself pins (its CUDA libraries, triton) is left to torch.
"""


def requirements() -> list[str]:
    """The library's requirements and those of every extra."""
    sys.path.insert(0, str(ROOT / "tests"))
    from project_files import declared  # the tests read pyproject.toml the same way

    return [str(requirement) for group in declared().values() for requirement in group]


def resolve(python: str) -> tuple[tuple[int, int], dict[str, str]]:
    """(version of Python, {package: version}) that pip would install for it."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [python, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed"]
        subprocess.run([*command, "--report", str(report), *requirements()], check=True)
        found = json.loads(report.read_text(encoding="utf-8"))
    major, minor = found["environment"]["python_version"].split(".")
    versions = {
        re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(): item["metadata"]["version"]
        for item in found["install"]
    }
    kept = {
        name: version for name, version in versions.items() if not FOLLOWS_TORCH.fullmatch(name)
    }
    return (int(major), int(minor)), kept


def lines(resolved: dict[tuple[int, int], dict[str, str]]) -> list[str]:
    """One constraint line a package; where Pythons differ, one for each run of equal versions."""
    pythons = sorted(resolved)
    result = []
    for name in sorted({name for versions in resolved.values() for name in versions}):
        runs: list[tuple[str, tuple[int, int], tuple[int, int]]] = []
        for python in pythons:
            version = resolved[python].get(name)
            if version is None:
                continue
            if runs and runs[-1][0] == version:
                runs[-1] = (version, runs[-1][1], python)
            else:
                runs.append((version, python, python))
        for index, (version, first, last) in enumerate(runs):
            marks = []
            if index > 0:
                marks.append(f'python_version >= "{first[0]}.{first[1]}"')
            if index < len(runs) - 1:
                marks.append(f'python_version < "{last[0]}.{last[1] + 1}"')
            result.append(f"{name}=={version}" + ("; " + " and ".join(marks) if marks else ""))
    return result


def main(pythons: list[str]) -> None:
    if not pythons:
        sys.exit(__doc__)
    resolved = dict(resolve(python) for python in pythons)
    (ROOT / "constraints.txt").write_text(
        HEADER + "\n".join(lines(resolved)) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
