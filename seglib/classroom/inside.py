"""What starts inside the sandbox: limits itself, unpacks the files, becomes a Jupyter kernel.

Run as a script by `kernel.Session`, with the number of a file to read the setup from; nothing of
seglib is imported. Everything here runs before the first line of a submission, and nothing of it
is trusted afterwards.
"""

from __future__ import annotations

import base64
import json
import resource
import sys
from pathlib import Path
from typing import TypedDict


class Setup(TypedDict):
    """What the trusted side sends."""

    key: str  # signs the messages
    sockets: dict[str, int]  # "shell", "iopub": inherited listening sockets
    files: dict[str, str]  # relative path: base64
    scratch: str  # a folder for sockets that nobody uses
    limits: dict[str, int]  # RLIMIT_…: value
    address_space: int  # bytes beyond what torch takes
    paths: list[str]  # appended to sys.path


def _limit(name: str, value: int) -> None:
    """Set a limit for good; lower where the surroundings allow less."""
    kind = getattr(resource, name, None)
    if kind is None:  # not on this system
        return
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _mapped_bytes() -> int:
    """This process's address space; 0 where Linux's /proc is missing."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _unpack(files: dict[str, str]) -> None:
    for name, content in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))


def main() -> None:
    with open(int(sys.argv[1]), "rb") as file:
        file.seek(0)
        setup: Setup = json.load(file)
    sys.path += setup["paths"]
    for name, value in setup["limits"].items():
        _limit(name, value)
    _unpack(setup["files"])

    # The debugger would open a TCP port. None makes the import fail, as where it isn't installed.
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    import torch  # noqa: F401  (the first cell imports it in no time)
    import zmq
    from ipykernel.kernelapp import IPKernelApp

    sockets = setup["sockets"]

    class App(IPKernelApp):
        """IPython's kernel on listening sockets that it inherits, without connection file."""

        def _try_bind_socket(self, s: zmq.Socket[bytes], port: int) -> int:
            if port in sockets.values():
                s.setsockopt(zmq.USE_FD, port)
            return super()._try_bind_socket(s, port)  # type: ignore[no-untyped-call]

        def init_connection_file(self) -> None:
            pass

        def write_connection_file(self, **kwargs: object) -> None:
            pass

        def log_connection_info(self) -> None:
            self._ports = {}

        def init_heartbeat(self) -> None:
            pass

    app = App.instance(
        transport="ipc",
        ip=f"{setup['scratch']}/socket",
        shell_port=sockets["shell"],
        iopub_port=sockets["iopub"],
    )
    app.session.key = setup["key"].encode()
    app.config.HistoryManager.enabled = False
    app.initialize([])  # type: ignore[no-untyped-call]
    if address_space := _mapped_bytes():
        _limit("RLIMIT_AS", address_space + setup["address_space"])
    app.start()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
