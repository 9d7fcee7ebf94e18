"""A webhook that is slow, absent or none at all: said without showing its address, and never waited for long."""

import re
import threading
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smart_assets.defs import notify
from smart_assets.defs.notify import post

SECRET = "T0K3N"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "PAUSES_SECONDS", (0.0, 0.0))
    monkeypatch.setenv("no_proxy", "*")


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(notify, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        problem = post(f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}", {})
    assert problem == "the webhook at 127.0.0.1: no answer in 0.2 seconds"


@pytest.mark.parametrize(
    ("host", "problem"),
    [("127.0.0.1:1", "Connection refused"), ("nowhere.invalid", r"(Name|Temporary|No address)[a-z A-Z-]*")],
)
def test_what_the_system_said_of_a_failed_connection_is_told(host: str, problem: str) -> None:
    said = post(f"http://{host}/{SECRET}", {})
    assert re.fullmatch(rf"the webhook at {host.partition(':')[0]}: {problem}", said or "")


def test_an_answer_without_an_end_is_not_read() -> None:
    import socket

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(10_000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            with suppress(OSError):
                while True:
                    connection.sendall(b"4\r\nmore\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, args=[server], daemon=True).start()
        assert post(f"http://127.0.0.1:{server.getsockname()[1]}/", {}) is None


def test_a_proxy_that_needs_a_package_breaks_no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    said = post(f"http://example.invalid/{SECRET}", {}) or ""
    assert said.startswith("the webhook at example.invalid: ")
    assert SECRET not in said


@settings(max_examples=60, deadline=None)
@given(path=st.text(max_size=30))
@example(path="a b")
@example(path="\r\nHost: elsewhere")
@example(path="größer")
def test_no_message_shows_a_path(path: str) -> None:
    for url in (f"http://127.0.0.1:1/{SECRET}{path}", f"https://u:{SECRET}@127.0.0.1:1/{path}?{SECRET}"):
        problem = post(url, {})
        assert problem is not None
        assert SECRET not in problem


@pytest.mark.parametrize(
    "url",
    ["http://[::1", f"http://h:{SECRET}/", f"ftp://h/{SECRET}", f"http:///{SECRET}", f"file:///{SECRET}", "", "\0"],
)
def test_what_is_no_address_is_said_without_showing_it(url: str) -> None:
    problem = post(url, {})
    assert problem is not None
    assert SECRET not in problem
