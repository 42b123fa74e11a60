"""Listening ports from outside."""

import os
import socket
from pathlib import Path

from svc.krane.runtime.docker.sockets import bound_udp, listening, of_app, parse

TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0B00007F:A3C1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 00000000:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0100007F:0BB8 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 3 1
   3: rubbish
"""
TABLE6 = """  sl  local_address remote_address st
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A
   1: 00000000000000000000000001000000:1F91 00000000000000000000000000000000:0000 0A
   2: 0000000000000000FFFF00000100007F:1F92 00000000000000000000000000000000:0000 0A
   3: 00zz:1F93 00:0000 0A
"""


def test_only_listening_sockets_count() -> None:
    # Promise: addresses and ports are decoded as the kernel means them; connections and rubbish are skipped.
    assert parse(TABLE) == [("127.0.0.11", 0xA3C1), ("0.0.0.0", 3000)]
    assert parse(TABLE6) == [("::", 8080), ("::1", 8081), ("127.0.0.1", 8082)]


def test_the_engines_own_resolver_is_no_port_of_the_app() -> None:
    """Promise: an app that listens on nothing is not taken for one that listens on loopback."""
    assert of_app(parse(TABLE)) == [("0.0.0.0", 3000)]
    assert of_app([("127.0.0.1", 40001)]) == [("127.0.0.1", 40001)]


def test_our_own_socket_is_seen() -> None:
    # Promise: it works on this kernel.
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert ("127.0.0.1", server.getsockname()[1]) in (listening(os.getpid()) or [])


def test_udp_ports_that_anybody_may_send_to(tmp_path: Path) -> None:
    """Promise: neither connected sockets nor those of loopback, such as the engine's resolver."""
    (tmp_path / "7" / "net").mkdir(parents=True)
    lines = ["00000000:0035 00000000:0000 07", "0B00007F:A3C1 00000000:0000 07", "0100000A:1234 0200000A:0035 01"]
    (tmp_path / "7/net/udp").write_text("\n".join(["head", *(f"  {n}: {line}" for n, line in enumerate(lines))]))
    assert bound_udp(7, tmp_path) == [53]
    assert bound_udp(8, tmp_path) == []
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("", 0))
        assert server.getsockname()[1] in bound_udp(os.getpid())


def test_a_process_that_cannot_be_seen_is_told_apart_from_one_that_listens_on_nothing(tmp_path: Path) -> None:
    # Promise: never an error, and never a wrong hint.
    assert listening(12345, tmp_path) is None
