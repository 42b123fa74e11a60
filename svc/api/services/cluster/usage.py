"""Usage that krane reports: checked, and as it is stored. Pure."""

from collections.abc import Mapping

from pkg.deployments.queries import Place
from pkg.errors import InvalidArgument
from pkg.ids import is_id
from pkg.telemetry import UsageFigures, UsageRecord
from pkg.telemetry.usage import USAGE_KEPT_MS
from sealift.ctrl.v1 import usage_pb2 as pb
from svc.api.logs.intake import MAX_NAME_CHARS, SOURCE_FORM
from svc.api.requests.checks import check_form, check_range, check_text, shown

MAX_REPORTS = 1000
MAX_AHEAD_MS = 24 * 3600 * 1000
_MAX = 2**63 - 1  # what a store holds
_MOVED = ("network_rx_bytes", "network_tx_bytes", "disk_read_bytes", "disk_write_bytes")


def check(request: pb.ReportUsageRequest) -> None:
    """Raises InvalidArgument for a report that makes no sense."""
    check_range("reports", len(request.reports), 0, MAX_REPORTS)
    for number, report in enumerate(request.reports):
        _check(f"reports[{number}]", report)


def records(request: pb.ReportUsageRequest, places: Mapping[str, Place], now: int) -> list[UsageRecord]:
    """What is stored of checked reports: a record for each length of step that is kept so long.

    Nothing of deployments without a place, and of times far ahead.
    """
    return [
        UsageRecord(
            project_id=places[report.deployment_id].project_id,
            step_s=step_s,
            deployment_id=report.deployment_id,
            source_id=report.source_id,
            began_at=report.began_at,
            at=report.measured_at - report.measured_at % (step_s * 1000),
            seq=report.seq,
            instance_id=report.instance_id,
            region=request.region,
            measured_at=report.measured_at,
            cpu_millicores=report.cpu_millicores if report.HasField("cpu_millicores") else None,
            memory_bytes=report.memory_bytes,
            figures=UsageFigures(
                report.cpu_ns,
                report.memory_byte_s,
                report.measured_ms,
                report.restarts,
                *(
                    getattr(report, name) if report.HasField(name) else None  # type: ignore[arg-type]  # of four fields
                    for name in _MOVED
                ),
            ),
        )
        for report in request.reports
        if report.deployment_id in places
        for step_s, kept_ms in USAGE_KEPT_MS.items()
        if now - kept_ms <= report.measured_at <= now + MAX_AHEAD_MS
    ]


def _check(field: str, report: pb.UsageReport) -> None:
    if not is_id("dep", report.deployment_id):
        raise InvalidArgument(f"{field}.deployment_id", f"{shown(report.deployment_id)} is not a deployment id")
    check_text(f"{field}.instance_id", report.instance_id, min_chars=1, max_chars=MAX_NAME_CHARS)
    check_form(f"{field}.source_id", report.source_id, SOURCE_FORM, "1 to 64 of a-z 0-9")
    check_range(f"{field}.began_at", report.began_at, 0, _MAX)
    check_range(f"{field}.measured_at", report.measured_at, 0, _MAX)
    for name in ("seq", "cpu_ns", "memory_byte_s", "measured_ms", "restarts", "memory_bytes", *_MOVED):
        check_range(f"{field}.{name}", getattr(report, name), 0, _MAX)
