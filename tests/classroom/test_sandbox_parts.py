"""What needs no sandbox: the system-call filter, the reading of sockets, the checks of outputs."""

from __future__ import annotations

import base64
import errno
import io
import json
import socket
import struct
import tracemalloc

import pytest
from PIL import Image

from seglib.classroom.messages import Letters, reply_text, unpacked
from seglib.classroom.outputs import Outputs, checked_png, clean
from seglib.classroom.seccomp import system_call_filter
from seglib.classroom.wire import Channel, ConnectionEnded, Message, WireError, connected_pair

ALLOWED, KILLED = 0x7FFF0000, 0x80000000
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x06\x05READY"


def decision(machine: str, number: int, arguments: tuple[int, int] = (0, 0), arch: int = 0) -> int:
    """What the filter returns for a system call: classic BPF, interpreted."""
    program = list(struct.iter_unpack("=HBBI", system_call_filter(machine)))
    arch = arch or ARCH[machine]
    data = struct.pack("=IIQ6Q", number, arch, 0, *arguments, 0, 0, 0, 0)
    loaded, at = 0, 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        if code == 0x06:
            return operand
        if code == 0x20:
            loaded = struct.unpack_from("=I", data, operand)[0]
        else:
            tests = {0x15: loaded == operand, 0x35: loaded >= operand, 0x45: loaded & operand != 0}
            at += if_true if tests[code] else if_false


@pytest.mark.parametrize("machine, column", [("x86_64", 0), ("aarch64", 1)])
def test_the_filter_decides(machine: str, column: int) -> None:
    def refused(number: int) -> int:
        return 0x00050000 | number

    read, execve, mount, clone = (
        ((0, 63), (59, 221), (165, 40), (56, 220))[i][column] for i in range(4)
    )
    sockets, prctl, ioctl = (((41, 198), (157, 167), (16, 29))[i][column] for i in range(3))
    assert decision(machine, read) == decision(machine, execve) == ALLOWED
    assert decision(machine, mount) == refused(errno.EPERM)
    assert decision(machine, 435) == refused(errno.ENOSYS)
    thread, namespace = 0x3D0F00, 0x3D0F00 | 0x10000000
    assert decision(machine, clone, (thread, 0)) == ALLOWED
    assert decision(machine, clone, (namespace, 0)) == refused(errno.EPERM)
    assert decision(machine, clone, (17, 0)) == refused(errno.EPERM)
    assert decision(machine, sockets, (1, 0)) == decision(machine, sockets, (2, 0)) == ALLOWED
    assert decision(machine, sockets, (40, 0)) == refused(errno.EOPNOTSUPP)  # AF_VSOCK
    assert decision(machine, prctl, (15, 0)) == ALLOWED
    assert decision(machine, prctl, (1, 0)) == refused(errno.EPERM)
    assert decision(machine, ioctl, (0, 0x5401)) == ALLOWED
    assert decision(machine, ioctl, (0, 0x5412)) == refused(errno.EPERM)
    assert decision(machine, read, arch=0x40000003) == KILLED
    assert decision(machine, 0x40000000 + read) == refused(errno.ENOSYS)


def test_an_unknown_processor_is_named() -> None:
    with pytest.raises(ValueError, match="'vax', known are x86_64, aarch64"):
        system_call_filter("vax")


@pytest.fixture
def ends() -> tuple[Channel, socket.socket]:
    """A channel that keeps 1000 bytes of a message, and its greeted peer."""
    connection, listener = connected_pair()
    peer, _ = listener.accept()
    listener.close()
    peer.sendall(GREETING + READY)
    channel = Channel(connection, "SUB", 1000)
    channel.flush()
    assert channel.receive() == []
    return channel, peer


def test_messages_arrive_in_any_pieces(ends: tuple[Channel, socket.socket]) -> None:
    channel, peer = ends
    data = b"\x01\x02ab\x00\x01c" + b"\x02" + struct.pack(">Q", 300) + b"d" * 300
    got: list[Message] = []
    for byte in data:
        peer.sendall(bytes([byte]))
        got += channel.receive()
    assert got == [Message([b"ab", b"c"], 3), Message([b"d" * 300], 300)]


def test_what_is_too_large_is_cut(ends: tuple[Channel, socket.socket]) -> None:
    channel, peer = ends
    peer.sendall(b"\x01\x01a\x02" + struct.pack(">Q", 5000) + b"b" * 5000 + b"\x00\x01c")
    cut, whole = channel.receive()
    assert cut == Message([b"a", b"b" * 999], 1000, 4001)
    assert whole == Message([b"c"], 1)


def test_a_message_without_end_costs_nothing(ends: tuple[Channel, socket.socket]) -> None:
    channel, peer = ends
    part = (b"\x01\xff" + b"x" * 255) * 400
    tracemalloc.start()
    for _ in range(60):  # 6 MB
        peer.sendall(part)
        assert channel.receive() == []
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("junk", [b"\x08\x01x", b"\x05\x01x", b"\x06" + bytes([255] * 8)])
def test_what_is_no_frame_is_an_error(ends: tuple[Channel, socket.socket], junk: bytes) -> None:
    channel, peer = ends
    peer.sendall(junk)
    with pytest.raises(WireError):
        channel.receive()
    peer.close()


def test_the_end_is_an_error(ends: tuple[Channel, socket.socket]) -> None:
    channel, peer = ends
    peer.close()
    with pytest.raises(ConnectionEnded):
        channel.receive()


def test_only_answers_are_opened() -> None:
    letters = Letters()
    request, parts = letters.request("execute_request", {})
    # A kernel answers with the request's header as its parent.
    answer = letters.request("stream", {"text": "x"})[1]
    parent = parts[2]
    assert letters.opened(Message(answer), request) is None  # nobody's
    signed = [answer[2], parent, b"{}", b'{"a": 1}']
    good = [b"topic", b"<IDS|MSG>", letters._signature(signed), *signed]
    opened = letters.opened(Message(good), request)
    assert opened is not None
    assert (opened.kind, unpacked(opened.content)) == ("stream", {"a": 1})
    forged = letters.opened(Message([*good[:2], b"0" * 64, *signed]), request)
    assert forged is not None
    assert forged.kind == ""
    assert letters.opened(Message(good[:4]), request) is None
    for content in (b"[1]", b"{", b"\xff", b"[" * 10**5, b""):
        assert unpacked(content) is None


def test_a_reply_is_one_text() -> None:
    def content(value: object) -> bytes:
        return json.dumps({"data": {"application/vnd.seglib.reply": value}}).encode()

    assert reply_text(content('a "quoted" é\n'), 20) == 'a "quoted" é\n'
    assert reply_text(content("x" * 21), 20) is None
    for value in (3, ["a"], None, {"a": "b"}, "\ud800"):
        assert reply_text(content(value), 20) is None
    assert reply_text(b'{"data": {"application/vnd.seglib.reply": "cut', 20) is None
    assert reply_text(b"\xff", 20) is None


def png(width: int = 2, height: int = 2) -> bytes:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return file.getvalue()


def test_pictures_are_whole_pngs() -> None:
    good = png()

    def check(data: bytes) -> str | None:
        return checked_png(base64.b64encode(data).decode())

    assert check(good) == base64.b64encode(good).decode()
    assert check(good + b"<script>") is None
    assert check(good[:-1]) is None
    assert check(good.replace(b"IHDR", b"IHDX")) is None
    assert check(b"GIF89a" + good) is None
    assert check(png(5000, 5000)) is None  # 25 million pixels in 3 KB
    for value in (None, 3, "not base64!", ""):
        assert checked_png(value) is None


def test_outputs_are_cleared_updated_and_cut() -> None:
    outputs = Outputs(10_000)
    outputs.add("stream", {"name": "stdout", "text": "a\x00\ud800"})
    outputs.add("stream", {"name": "stdout", "text": "b"})
    outputs.add("stream", {"name": "elsewhere", "text": "c"})
    outputs.add("stream", {"name": "stdout", "text": 3})
    (stream,) = outputs.result()
    assert stream["text"] == "a\ufffd\ufffdb"
    outputs.add("clear_output", {"wait": True})
    shown = {"data": {"text/plain": "x"}, "transient": {"display_id": "1"}}
    outputs.add("display_data", shown)
    outputs.add("update_display_data", {**shown, "data": {"text/plain": "y"}})
    outputs.add("display_data", {"data": {"text/html": "<b>"}})
    (display,) = outputs.result()
    assert display["data"] == {"text/plain": "y"}
    outputs.add_head("stream", '{"name": "stderr", "text": "be\\u00e9\\n' + "z" * 20_000)
    assert outputs.full
    _, head, note = outputs.result()
    assert str(head["text"]).startswith("beé\nzzz")
    assert "cut" in str(note["text"])
    assert clean("\x1b[31mé\t\r\n") == "\x1b[31mé\t\r\n"
