import socket

import pytest

from pkg.testing.ports import free_port, free_ports


def test_ports_are_free_and_distinct() -> None:
    """Promise: each can be listened on at once, and none is one that the kernel gives to connections."""
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert max(ports) < 32768
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()
    assert free_port() < 32768


def test_an_address_of_another_machine() -> None:
    """Promise: that no port can be had is an error, not an endless search."""
    with pytest.raises(OSError, match="assign"):
        free_port("192.0.2.1")
