"""What an engine says of a container."""

from typing import Any

from svc.krane.runtime.docker.usage import usage

RAW = {"Id": "u1", "Names": ["/dep-1-0"], "Labels": {"sealift.deployment": "dep_1"}}


def stats(**changed: Any) -> dict[str, Any]:
    """Statistics with cgroups of version 2."""
    return {
        "cpu_stats": {"cpu_usage": {"total_usage": 7}},
        "memory_stats": {"usage": 100, "stats": {"inactive_file": 30}},
        "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 10, "tx_bytes": 20}},
        "blkio_stats": {
            "io_service_bytes_recursive": [
                {"major": 8, "op": "read", "value": 3},
                {"major": 8, "op": "write", "value": 4},
                {"major": 9, "op": "Read", "value": 5},
                {"major": 9, "op": "Total", "value": 9},
            ]
        },
        **changed,
    }


def test_what_is_counted() -> None:
    """Promise: memory is without the cache that can be dropped, traffic is that of all networks and disks."""
    found = usage(RAW, stats())
    assert found is not None
    assert (found.name, found.uid, found.deployment_id, found.memory_bytes, found.cpu_ns) == (
        "dep-1-0", "u1", "dep_1", 70, 7
    )  # fmt: skip
    assert (found.network_rx_bytes, found.network_tx_bytes) == (11, 22)
    assert (found.disk_read_bytes, found.disk_write_bytes) == (8, 4)
    older = usage(RAW, stats(memory_stats={"usage": 100, "stats": {"inactive_file": 1, "total_inactive_file": 40}}))
    assert older is not None
    assert older.memory_bytes == 60


def test_what_is_not_counted_is_unknown() -> None:
    """Promise: an engine that says nothing of networks or disks has not counted 0."""
    found = usage(RAW, stats(networks=None, blkio_stats={"io_service_bytes_recursive": []}))
    assert found is not None
    assert (found.network_rx_bytes, found.network_tx_bytes, found.disk_read_bytes) == (None, None, None)


def test_what_does_not_run_is_not_measured() -> None:
    """Promise: of a container that ended meanwhile the engine answers zeros, which are no measurement."""
    assert usage(RAW, stats(memory_stats={}, networks=None)) is None
