"""Formats usage for people. Pure."""

from collections.abc import Iterable, Mapping

from sealift.cli.format.text import clean
from sealift.client.context import size_text
from sealift.ctrl.v1 import usage_pb2

_COLUMNS = ("VCPU-SECONDS", "GIB-HOURS", "INSTANCE-HOURS", "RESTARTS", "NET IN", "NET OUT", "DISK READ", "DISK WRITE")
HEADER = ("ENVIRONMENT", *_COLUMNS)
PROCESS_HEADER = ("PROCESS", *_COLUMNS)
DEPLOYMENT_HEADER = ("DEPLOYMENT", "", "ENVIRONMENT", *_COLUMNS)
# What a narrow terminal does without, in this order.
SPARE = ("DISK READ", "DISK WRITE", "RESTARTS", "INSTANCE-HOURS")
TOTAL = "total"
UNKNOWN = "unknown"


def usage_rows(found: usage_pb2.GetUsageResponse) -> list[tuple[str, ...]]:
    """A row for each environment, and one for all if there are several; under HEADER."""
    rows = [(one.environment_slug, *_cells(one.usage)) for one in found.environments]
    return [*rows, (TOTAL, *_cells(found.total))] if len(rows) > 1 else rows


def deployment_rows(found: usage_pb2.GetUsageResponse) -> list[tuple[str, ...]]:
    """A row for each deployment, under DEPLOYMENT_HEADER."""
    return [
        (one.deployment_id, "live" if one.is_live else "", one.environment_slug, *_cells(one.usage))
        for one in found.deployments
    ]


def process_rows(found: usage_pb2.GetUsageResponse) -> list[tuple[str, ...]]:
    """A row for each process, under PROCESS_HEADER."""
    return [(clean(one.process), *_cells(one.usage)) for one in found.processes]


def now_cells(instances: Iterable[usage_pb2.InstanceUsage]) -> Mapping[tuple[str, str], tuple[str, str]]:
    """CPU and memory of each instance now, by deployment and name, e.g. ("0.12", "34.0 MiB")."""
    return {
        (one.deployment_id, one.instance_id): (
            f"{one.now.cpu_millicores / 1000:.2f}" if one.now.HasField("cpu_millicores") else "-",
            size_text(one.now.memory_bytes),
        )
        for one in instances
        if one.HasField("now")
    }


def _cells(used: usage_pb2.Usage) -> tuple[str, ...]:
    return (
        amount_text(used.vcpu_s),
        amount_text(used.memory_gib_h),
        amount_text(used.instance_s / 3600),
        str(used.restarts),
        *(
            size_text(getattr(used, name)) if used.HasField(name) else UNKNOWN
            for name in ("network_rx_bytes", "network_tx_bytes", "disk_read_bytes", "disk_write_bytes")
        ),
    )


def amount_text(amount: float) -> str:
    """With three digits at least, e.g. "0.0123", "12.3", "12345"."""
    if amount >= 100:
        return f"{amount:.0f}"
    return f"{amount:.3g}" if amount >= 0.0001 else "0"
