"""The resolvers are those that an engine gives its containers, in every form in which machines name them."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from svc.standalone.egress import resolvers


@pytest.mark.parametrize(
    ("resolv_conf", "found"),
    [
        ("nameserver 192.168.1.1\nnameserver 10.0.0.2 # second\n", ["192.168.1.1", "10.0.0.2"]),
        ("# nameserver 1.1.1.1\nsearch lan\n nameserver 9.9.9.9\n", ["9.9.9.9"]),
        ("nameserver 127.0.0.53\noptions edns0\n", ["10.9.9.9"]),  # systemd-resolved's stub: its own file counts
        ("nameserver 127.0.0.1\n", []),  # asked by the engine itself, not by containers
        ("nameserver 127.0.0.53\nnameserver 10.0.0.2\n", ["10.0.0.2"]),
        ("nameserver fd00::53\nnameserver 10.0.0.2\nnameserver 10.0.0.2\nnameserver x\nnameserver\n", ["10.0.0.2"]),
        ("", []),
    ],
)
def test_forms_of_resolv_conf(tmp_path: Path, resolv_conf: str, found: list[str]) -> None:
    """Port 53 is open to exactly these."""
    (tmp_path / "resolv.conf").write_text(resolv_conf)
    (tmp_path / "resolved.conf").write_text("nameserver 10.9.9.9\n")
    got = resolvers.of_containers(tmp_path / "resolv.conf", tmp_path / "resolved.conf")
    assert got == tuple(map(IPv4Address, found))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    """A machine without a resolver starts all the same."""
    assert resolvers.of_containers(tmp_path / "none", tmp_path / "none") == ()
    assert resolvers.of_daemon(tmp_path / "none") == ()


def test_resolvers_of_the_machines_engine(tmp_path: Path) -> None:
    """What its daemon.json names counts, too; a broken file is the engine's to complain of."""
    config = tmp_path / "daemon.json"
    config.write_text('{"dns": ["10.8.8.8", "fd00::1"]}')
    assert resolvers.of_daemon(config) == (IPv4Address("10.8.8.8"),)
    for text in ("[]", "{", '{"dns": null}', '{"dns": 3}'):
        config.write_text(text)
        assert resolvers.of_daemon(config) == ()
