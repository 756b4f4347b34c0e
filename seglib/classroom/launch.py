"""Starts the process of a session: its command, its limits, and what it reads first."""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from seglib.classroom.inside import Setup
from seglib.classroom.sandbox import (
    INSIDE,
    SCRIPT,
    Limits,
    command,
    environment,
    filter_file,
    import_paths,
)
from seglib.classroom.watchdog import Supervised

_SLACK = 2**32  # bytes of address space: stacks, and libraries that torch loads late


def launched(
    files: Mapping[str, bytes],
    limits: Limits,
    key: str,
    sockets: dict[str, int],
    folder: Path | None,
) -> Supervised:
    """A kernel's process on its way up, supervised.

    Args:
        files: relative path: content, see `check_paths`.
        key: signs the kernel's messages.
        sockets: "shell" and "iopub": file descriptors of listening sockets; closed here.
        folder: None: in the sandbox; else where it runs without one.
    """
    scratch = "/tmp" if folder is None else str(folder / "tmp")
    setup: Setup = {
        "key": key,
        "sockets": sockets,
        "files": {name: base64.b64encode(data).decode() for name, data in files.items()},
        "scratch": scratch,
        "limits": _resource_limits(limits),
        "address_space": limits.memory_bytes + _SLACK,
        "paths": import_paths(),
    }
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(setup).encode())
        file.flush()
        setup_file = os.dup(file.fileno())
    inherited = [setup_file, *sockets.values()]
    python = [sys.executable, "-I"]
    if folder is not None:
        os.mkdir(scratch)
        arguments = [*python, str(SCRIPT), str(setup_file)]
        variables = environment(str(folder), scratch)
        supervised = Supervised(arguments, inherited, variables, folder, limits, None)
    else:
        info, info_file = os.pipe()
        filters = filter_file()
        arguments = [*command(limits, filters, info_file=info_file), *python, INSIDE]
        arguments.append(str(setup_file))
        inherited += [info_file, filters]
        supervised = Supervised(arguments, inherited, {}, None, limits, info)
    supervised.start()
    return supervised


def check_paths(files: Mapping[str, bytes]) -> None:
    """Raises ValueError if a file's path is not relative, or leaves the folder."""
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
            raise ValueError(f"files: {name!r} is not a path within the submission's folder")


def _resource_limits(limits: Limits) -> dict[str, int]:
    """RLIMIT_…: value. The watchdog is first for CPU time, and alone for threads and files."""
    return {
        "RLIMIT_CPU": limits.cpu_seconds + 2,
        "RLIMIT_DATA": limits.memory_bytes,
        "RLIMIT_FSIZE": limits.disk_bytes,
        "RLIMIT_NOFILE": 256,
        "RLIMIT_STACK": 2**23,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 2**16,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_SIGPENDING": 256,
    }
