"""The sandboxed kernel: what works in it, and the hostile cells that matter most."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

import seglib
from seglib.classroom.kernel import Limits, Session
from seglib.classroom.sandbox import SandboxError, refuse_visible

pytestmark = pytest.mark.requires("sandbox")

SHORT = Limits(cell_seconds=10, output_bytes=100_000, reply_bytes=10_000)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    files = {"data.txt": b"seven", "folder/more.bin": bytes(3)}
    with Session(files, limits=SHORT) as started:
        yield started


def text(session: Session, code: str) -> str:
    """What the cell printed."""
    outcome = session.run(code)
    assert outcome.status == "ok", outcome
    return "".join(str(output.get("text", "")) for output in outcome.outputs)


def test_a_cell_prints_and_shows(session: Session) -> None:
    code = "import os, torch\nprint(open('data.txt').read(), os.path.getsize('folder/more.bin'))\n"
    outcome = session.run(code + "torch.ones(2)")
    assert outcome.status == "ok"
    stream, value = outcome.outputs
    assert stream == {"output_type": "stream", "name": "stdout", "text": "seven 3\n"}
    assert value["data"] == {"text/plain": "tensor([1., 1.])"}


def test_an_error_is_named_and_the_session_goes_on(session: Session) -> None:
    outcome = session.run("x = 3\nx / 0")
    assert (outcome.status, outcome.error) == ("error", "ZeroDivisionError")
    assert outcome.outputs[-1]["output_type"] == "error"
    assert text(session, "print(x)") == "3\n"


def test_a_figure_is_a_picture(session: Session) -> None:
    outcome = session.run("import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])")
    (figure,) = outcome.outputs
    data = figure["data"]
    assert isinstance(data, dict)
    assert set(data) == {"text/plain", "image/png"}


def test_a_reply_comes_back(session: Session) -> None:
    show = "from IPython.display import display\n"
    reply = "display({'application/vnd.seglib.reply': %s}, raw=True)"
    assert session.ask(show + reply % r"'say \"é\"\n'")[1] == 'say "é"\n'
    for forged in ("3", "['a']", "'x' * 10_001", r"'\ud800'", "None"):
        assert session.ask(show + reply % forged)[1] is None
    assert session.ask(show + "display({'text/plain': 'x'}, raw=True)")[1] is None
    assert session.ask("\n".join([show, *[reply % "'a'"] * 2]))[1] is None


def test_the_disk_and_the_environment_are_out_of_sight(session: Session, tmp_path: Path) -> None:
    (tmp_path / "course_secret").write_text("x")
    root = Path(seglib.__file__).resolve().parent.parent
    for place in (tmp_path, root / "notebooks", root / "tests", Path.home() / ".bashrc"):
        assert text(session, f"import os; print(os.path.exists({str(place)!r}))") == "False\n"
    classroom = root / "seglib" / "classroom"
    assert text(session, f"print(os.listdir({str(classroom)!r}))") == "[]\n"
    assert text(session, "print([e for e in os.listdir('/proc') if e.isdigit()])") == "['1']\n"
    assert "SEGLIB" not in text(session, "print(os.environ)")


def test_no_process_and_no_network(session: Session) -> None:
    for code in ("import subprocess; subprocess.run('true')", "import os; os.fork()"):
        assert session.run(code).error == "PermissionError"
    connect = "import socket; socket.create_connection(('1.1.1.1', 53), 2)"
    assert session.run(connect).error == "OSError"


def test_only_memory_is_written(session: Session) -> None:
    code = """
import os
for place in ["/", "/usr", "/dev", "/run", "/etc", "/work", os.path.dirname(os.__file__)]:
    try:
        open(place + "/new", "w")
    except OSError:
        continue
    print(place)
"""
    assert text(session, code) == ""
    # Root's own process could change how Linux runs others, and with it leave the sandbox.
    assert session.run("open('/proc/sys/kernel/core_pattern', 'w')").error == "OSError"
    assert session.run("open('big', 'wb').write(bytes(100 * 2**20))").error == "OSError"
    session.run("os.remove('big')")


def test_a_flood_of_output_is_cut(session: Session) -> None:
    outcome = session.run("for _ in range(200):\n    print('x' * 10_000)")
    assert outcome.status == "ok"
    assert 50_000 < sum(len(str(output["text"])) for output in outcome.outputs) < 120_000
    assert "cut" in str(outcome.outputs[-1]["text"])


def test_an_endless_loop_ends_and_a_crash_is_told() -> None:
    with Session({}, limits=SHORT) as session:
        outcome = session.run("sum(range(10**12))", seconds=0.5)
        assert outcome.status == "timed-out"
        assert not session.alive
        assert session.run("1").status == "died"
        assert session.ask("1") == (session.run("1"), None)


def test_a_hidden_path_must_be_invisible(tmp_path: Path) -> None:
    refuse_visible([tmp_path, Path(seglib.__file__).parent / "classroom" / "judges"])
    with pytest.raises(SandboxError, match="move it out of"):
        refuse_visible([Path(seglib.__file__).parent / "cli"])


def test_files_stay_in_the_folder() -> None:
    for name in ("/etc/passwd", "../x", "a/../../x", ""):
        with pytest.raises(ValueError, match="files: "):
            Session({name: b""})


def test_a_kernel_that_learns_late_that_somebody_listens_is_asked_anew() -> None:
    session = Session({}, limits=SHORT)
    subscription = bytes(session._iopub._held)
    session._iopub._held.clear()

    def subscribe_late() -> None:
        while not session._iopub._ready:  # slow machines need more than three seconds until then
            time.sleep(0.05)
        time.sleep(3.0)
        session._iopub._outgoing.extend(subscription)

    later = Thread(target=subscribe_late, daemon=True)
    later.start()
    with session:
        assert text(session, "print(1)") == "1\n"
    later.join()
