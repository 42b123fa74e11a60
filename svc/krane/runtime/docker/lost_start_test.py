"""Containers that can never start again."""

import pytest

from svc.krane.runtime.docker.lost_start import is_lost_start, shortage
from svc.krane.runtime.port import ADDRESSES, DISK


def test_a_lost_start_is_told_from_other_conflicts() -> None:
    """Promise: only a container that can never start again is made anew; the words are the engine's own."""
    task = "b01aae2ae164729384dceec9b44047ece545a3f29d98ab53956af47145bf6b64"
    assert is_lost_start(f"task {task}: already exists")
    assert is_lost_start("id already in use")
    assert not is_lost_start('Conflict. The container name "/dep-1-0" is already in use by container "ab"')
    assert not is_lost_start("network with name sealift already exists")


@pytest.mark.parametrize(
    ("said", "resource"),
    [
        ("Address already in use", ""),
        ("no available IPv4 addresses on this network's address pools: sealift (0a1b)", ADDRESSES),
        (
            "failed to create endpoint dep-1-0 on network sealift-v2: adding interface veth12 to bridge slt1 failed: "
            "exchange full",
            ADDRESSES,
        ),
        ("driver failed programming: listen tcp4 0.0.0.0:80: bind: address already in use", None),
        ("mkdir /var/lib/docker/overlay2/0a1b-init: no space left on device", DISK),
        ("failed to copy files: write /var/lib/docker/volumes/ab/_data/x: no space left on device", DISK),
        ("mkdir /sys/fs/cgroup/memory/docker/0a1b: cannot allocate: cgroup: no space left on device", None),
        ("join session keyring: create session key: disk quota exceeded", None),
        ('exec: "no space left on device": executable file not found in $PATH', None),
        ("OCI runtime create failed: exec format error", None),
    ],
)
def test_a_start_that_has_to_wait_is_no_failed_one(said: str, resource: str | None) -> None:
    """Promise: a full network and a full disk are told as that, not as a fault of the app; other things are not."""
    found = shortage(said)
    assert (None if found is None else found.resource) == resource
