"""Where a submission runs: bubblewrap's command line, or a folder and nothing else.

Inside are the system's programs and libraries, Python with its packages, and seglib without this
package, all read-only; a home folder and /tmp in memory; no network, no other process, no device,
no environment. Nothing that is written there reaches a disk.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import seglib
from seglib.classroom.seccomp import system_call_filter

HOME = "/home/student"  # inside: the submission's folder
INSIDE = "/run/inside.py"
SCRIPT = Path(__file__).with_name("inside.py")
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/fonts")
_PROCESSORS = "/sys/devices/system/cpu"  # torch asks what they can do


class SandboxError(ValueError):
    """bubblewrap is missing, or cannot work here; one line with the remedy."""


@dataclass(frozen=True)
class Limits:
    """What one session may use.

    Args:
        start_seconds: until the kernel is up and torch imported; wall time.
        cell_seconds: of one cell or one request; wall time.
        cpu_seconds: of the whole session, all threads together.
        memory_bytes: private and shared memory, page tables, and files in memory.
        disk_bytes: of the home folder and of /tmp each, both in memory.
        threads: of the session's process, the kernel's own (about 10) included.
        files: how many files and folders may lie in the home folder and /tmp.
        output_bytes: kept of all outputs of one cell.
        reply_bytes: of one reply to a request.
    """

    start_seconds: float = 60
    cell_seconds: float = 20
    cpu_seconds: int = 120
    memory_bytes: int = 3 * 2**30
    disk_bytes: int = 64 * 2**20
    threads: int = 64
    files: int = 10_000
    output_bytes: int = 2**20
    reply_bytes: int = 8 * 2**20


def environment(home: str, temporary: str) -> dict[str, str]:
    """The variables of a session: nothing of the instructor's."""
    return {
        "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
        "HOME": home,
        "TMPDIR": temporary,
        "IPYTHONDIR": f"{temporary}/ipython",
        "MPLCONFIGDIR": f"{temporary}/matplotlib",
        "LOGNAME": "student",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",  # submissions run side by side
        "MALLOC_ARENA_MAX": "2",  # else each thread reserves 64 MB of address space
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def _within(path: Path, folders: Iterable[Path]) -> bool:
    return any(path == folder or folder in path.parents for folder in folders)


def _package_folders() -> list[Path]:
    """Where this process imports packages from, beyond Python's own folders."""
    known = [Path(sys.prefix), Path(sys.base_prefix), *map(Path, _SYSTEM)]
    named = [
        Path(entry) for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))
    ]
    return [folder for folder in named if folder.is_dir() and not _within(folder, known)]


def import_paths() -> list[str]:
    """What a session appends to its sys.path: seglib's parent, and folders such as a user's own."""
    parent = Path(seglib.__file__).resolve().parent.parent
    return [*map(str, _package_folders()), str(parent)]


def visible() -> list[Path]:
    """Every folder and file of the real disk that a session can read."""
    package = Path(seglib.__file__).resolve().parent
    folders = [*map(Path, _SYSTEM), Path(sys.base_prefix), Path(sys.prefix), *_package_folders()]
    links: list[Path] = []
    link = Path(sys.executable)
    while link.is_symlink() and len(links) < 40:  # a virtual environment's python leads elsewhere
        link = Path(os.path.normpath(link.parent / os.readlink(link)))
        links.append(link)
    places = [*folders, package, *map(Path, (*_SETTINGS, _PROCESSORS))]
    places = [place for place in places if place.exists()]
    places += [link for link in links if not _within(link, places)]
    return sorted(set(places), key=lambda place: len(place.parts))


def refuse_visible(hidden: Sequence[Path]) -> None:
    """Raises SandboxError if one of the paths `hidden` lies where a session could read it."""
    classroom = Path(__file__).resolve().parent
    roots = [place.resolve() for place in visible()]
    for path in hidden:
        if _within(path.resolve(), roots) and not _within(path.resolve(), [classroom]):
            raise SandboxError(
                f"hidden: {path} lies in a folder that submissions can read; move it out of "
                f"{', '.join(str(root) for root in roots if _within(path.resolve(), [root]))}"
            )


def _binds(limits: Limits) -> list[str]:
    """The file system inside, in the order in which bubblewrap mounts it."""
    memory = ["--size", str(limits.disk_bytes), "--tmpfs"]
    arguments = [*memory, "/tmp", *memory, "/home", "--dir", HOME]
    for place in visible():
        if str(place) in _SYSTEM and place.is_symlink():
            arguments += ["--symlink", os.readlink(place), str(place)]
        else:
            arguments += ["--ro-bind", str(place), str(place)]
    empty = str(Path(__file__).resolve().parent)
    arguments += ["--size", "4096", "--tmpfs", empty, "--remount-ro", empty]
    # For a teacher who works as root, Linux's own settings in /proc/sys would be open to writing.
    arguments += ["--ro-bind", str(SCRIPT), INSIDE, "--proc", "/proc", "--remount-ro", "/proc"]
    arguments += ["--dev", "/dev", "--size", str(2**20), "--tmpfs", "/dev/shm"]
    # What bubblewrap itself lays out lies in memory without limit: nothing may be added.
    return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME]


def command(limits: Limits, filter_file: int, *, info_file: int | None = None) -> list[str]:
    """bubblewrap's command line up to the program.

    Args:
        filter_file: file descriptor to read the system-call filter from.
        info_file: file descriptor that gets the process's number outside, as JSON.
    Raises:
        SandboxError: if there is no bubblewrap.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxError(
            "bubblewrap is missing: install the system package bubblewrap (0.8 or newer); "
            "to run submissions without protection, say --unsandboxed"
        )
    arguments = [program, "--unshare-user", "--unshare-all", "--uid", "1000", "--gid", "1000"]
    arguments += ["--hostname", "classroom", "--as-pid-1", "--die-with-parent", "--new-session"]
    arguments += ["--cap-drop", "ALL", "--clearenv"]
    for name, value in environment(HOME, "/tmp").items():
        arguments += ["--setenv", name, value]
    arguments += [*_binds(limits), "--seccomp", str(filter_file)]
    return arguments if info_file is None else [*arguments, "--info-fd", str(info_file)]


def filter_file() -> int:
    """A file descriptor that holds the system-call filter, to be read from its beginning."""
    with tempfile.TemporaryFile() as file:
        file.write(system_call_filter())
        file.seek(0)
        return os.dup(file.fileno())


@cache
def _trial() -> str:
    """What is wrong with the sandbox; "" if a Python that does nothing has run in it."""
    if sys.platform != "linux":
        return f"the sandbox needs Linux and bubblewrap, this is {platform.system()}"
    try:
        handle = filter_file()
    except ValueError as error:
        return str(error)
    try:
        arguments = [*command(Limits(), handle), sys.executable, "-I", "-S", "-c", "print('up')"]
        trial = subprocess.run(
            arguments, pass_fds=[handle], env={}, capture_output=True, text=True, timeout=60
        )
    except SandboxError as error:
        return str(error)
    except subprocess.TimeoutExpired:
        return "bubblewrap did not start Python within 60 s"
    finally:
        os.close(handle)
    if trial.returncode == 0 and trial.stdout == "up\n":
        return ""
    lines = trial.stderr.strip().splitlines()
    return (
        f"bubblewrap cannot start a sandbox here ({lines[-1] if lines else trial.returncode}): "
        "it needs version 0.8 or newer and user namespaces (on Ubuntu an AppArmor profile for "
        "bwrap); to run submissions without protection, say --unsandboxed"
    )


def require_sandbox() -> None:
    """Start a trivial sandbox, once per process. Raises SandboxError if that fails."""
    if problem := _trial():
        raise SandboxError(problem)
