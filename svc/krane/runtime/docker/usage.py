"""What containers use, as the engine counts it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from pkg.docker.labels import LABEL_DEPLOYMENT
from svc.krane.runtime.port import InstanceUsage


def usage(raw: Mapping[str, Any], stats: Mapping[str, Any]) -> InstanceUsage | None:
    """Of a container as the engine lists it, and its statistics; None: it does not run any more."""
    memory = stats.get("memory_stats") or {}
    if not memory.get("usage"):
        return None
    networks = stats.get("networks")
    details = memory.get("stats") or {}
    # what the kernel can drop at once, by the names of both versions of cgroups
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    written = (stats.get("blkio_stats") or {}).get("io_service_bytes_recursive")
    return InstanceUsage(
        name=raw["Names"][0].lstrip("/"),
        uid=raw["Id"],
        deployment_id=raw["Labels"][LABEL_DEPLOYMENT],
        memory_bytes=max(0, memory["usage"] - cache),
        cpu_ns=((stats.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage"),
        network_rx_bytes=_network(networks, "rx_bytes"),
        network_tx_bytes=_network(networks, "tx_bytes"),
        disk_read_bytes=_disk(written, "read"),
        disk_write_bytes=_disk(written, "write"),
    )


def _network(networks: Mapping[str, Mapping[str, int]] | None, name: str) -> int | None:
    return sum(one.get(name, 0) for one in networks.values()) if networks else None


def _disk(entries: Sequence[Mapping[str, Any]] | None, operation: str) -> int | None:
    """None for no entries at all: an engine that counts nothing answers the same as one that has nothing to count."""
    if not entries:
        return None
    return sum(int(one["value"]) for one in entries if str(one.get("op", "")).lower() == operation)
