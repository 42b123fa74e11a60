"""A taken port is reported before anything starts, with the process that holds it."""

import os
import socket
from collections.abc import Iterator

import pytest

from svc.standalone.errors import StartupError
from svc.standalone.ports import Port, check, choose, holders


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(1)
        yield sock


def test_holder_of_a_taken_port_is_named(listener: socket.socket) -> None:
    """The operator learns which process to end, and which setting to change."""
    number = listener.getsockname()[1]
    with pytest.raises(StartupError, match=rf"127.0.0.1:{number} \(ports.api\) is taken by process {os.getpid()} "):
        check([Port("api", "127.0.0.1", number)], patience_s=0)


def test_own_process_may_hold_its_port(listener: socket.socket) -> None:
    """An adopted Envoy keeps the ingress port."""
    check([Port("ingress", "127.0.0.1", listener.getsockname()[1])], frozenset({os.getpid()}), patience_s=0)


def test_chosen_ports_are_free_and_differ() -> None:
    """Several stacks run side by side on one machine."""
    chosen = choose([Port(name, "127.0.0.1", 0) for name in "abcd"])
    assert len({port.number for port in chosen}) == 4
    check(chosen, patience_s=0)


def test_free_port_has_no_holder(listener: socket.socket) -> None:
    """Only listeners count."""
    number = listener.getsockname()[1]
    assert [holder.pid for holder in holders(number)] == [os.getpid()]
    listener.close()
    assert holders(number) == []
