"""A taken port is reported before anything starts, with the process that holds it."""

import os
import socket
from collections.abc import Iterator

import msgspec
import pytest

from svc.standalone.config import read_config
from svc.standalone.configure import wanted_ports
from svc.standalone.errors import StartupError
from svc.standalone.ports import Port, check, choose, listening_processes
from svc.standalone.sections import Metrics, Tls


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


def test_every_tcp_port_of_the_stack_is_in_the_table(listener: socket.socket) -> None:
    """The ports of the metrics too, by the name of their setting; none of them when they are not served."""
    number = listener.getsockname()[1]
    config = read_config(None, {"ports.krane_metrics": number})
    with pytest.raises(StartupError, match=rf":{number} \(ports.krane_metrics\) is taken"):
        check([port for port in wanted_ports(config) if port.number == number], patience_s=0)
    plain = msgspec.structs.replace(config, tls=Tls(enabled=False))
    assert "ingress_tls" not in {port.name for port in wanted_ports(plain)}
    silent = msgspec.structs.replace(config, metrics=Metrics(serve=False))
    assert {port.name for port in wanted_ports(silent)} == {"api", "http", "worker", "ingress", "ingress_tls"}


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
    assert [process.pid for process in listening_processes(number)] == [os.getpid()]
    listener.close()
    assert listening_processes(number) == []
