"""Lines that krane reports: checked, stored, and bounded by size for each deployment."""

import re
from collections.abc import Collection, Mapping

from pkg.errors import InvalidArgument
from pkg.ids import is_id
from pkg.telemetry import AppLine, LogSource, LogStream, SourceLines, Telemetry
from pkg.telemetry.app_lines import LINE_OVERHEAD_BYTES
from pkg.telemetry.events import MAX_LINE_BYTES
from sealift.ctrl.v1 import log_pb2 as pb
from svc.api.requests.checks import check_range, check_text, shown

MAX_BATCHES = 500
MAX_RESUME_CHARS = 4096
MAX_NAME_CHARS = 253
_MAX = 2**63 - 1  # what a store holds
SOURCE_FORM = re.compile(r"[a-z0-9]{1,64}")
_STREAMS = {
    pb.LOG_STREAM_STDOUT: LogStream.STDOUT,
    pb.LOG_STREAM_STDERR: LogStream.STDERR,
    pb.LOG_STREAM_SYSTEM: LogStream.SYSTEM,
}


def batches(request: pb.ReportLogsRequest) -> list[SourceLines]:
    """The batches of the request. Raises InvalidArgument."""
    check_range("batches", len(request.batches), 0, MAX_BATCHES)
    return [_batch(f"batches[{number}]", batch, request.region) for number, batch in enumerate(request.batches)]


def _batch(field: str, batch: pb.LogBatch, region: str) -> SourceLines:
    if not is_id("dep", batch.deployment_id):
        raise InvalidArgument(f"{field}.deployment_id", f"{shown(batch.deployment_id)} is not a deployment id")
    if not SOURCE_FORM.fullmatch(batch.source_id):
        raise InvalidArgument(f"{field}.source_id", f"{shown(batch.source_id)}: expected 1 to 64 of a-z 0-9")
    instance_id = check_text(f"{field}.instance_id", batch.instance_id, min_chars=1, max_chars=MAX_NAME_CHARS)
    resume = check_text(f"{field}.resume", batch.resume, max_chars=MAX_RESUME_CHARS)
    source = LogSource(batch.deployment_id, batch.source_id, instance_id, region)
    lines: list[AppLine] = []
    for number, line in enumerate(batch.lines):
        before = lines[-1] if lines else AppLine(batch.source_id, 0, 0, LogStream.SYSTEM, "")
        lines.append(_line(f"{field}.lines[{number}]", line, before))
    return SourceLines(source, lines, resume)


def _line(field: str, line: pb.ReportedLine, before: AppLine) -> AppLine:
    seq = check_range(f"{field}.seq", line.seq, 1, _MAX)
    if before.seq and seq != before.seq + 1:
        raise InvalidArgument(f"{field}.seq", f"{seq} does not follow {before.seq}")
    at = check_range(f"{field}.at", line.at, before.at, _MAX)
    if line.stream not in _STREAMS:
        raise InvalidArgument(f"{field}.stream", f"{line.stream} is none of stdout, stderr and system")
    if len(line.text) > MAX_LINE_BYTES // 4 and len(line.text.encode()) > MAX_LINE_BYTES:
        raise InvalidArgument(f"{field}.text", f"it has more than {MAX_LINE_BYTES} bytes")
    return AppLine(before.source_id, seq, at, _STREAMS[line.stream], line.text, line.is_partial)


class LogIntake:
    """Stores what kranes report.

    Args:
        max_bytes: of the lines that are kept of one deployment, about.
    """

    def __init__(self, telemetry: Telemetry, max_bytes: int) -> None:
        self._telemetry = telemetry
        self._max_bytes = max_bytes
        self._grown: dict[str, int] = {}  # bytes since the size was looked at, by deployment

    async def store(self, found: Collection[SourceLines]) -> list[pb.LogHead]:
        """Stores the batches; answers the heads of those without lines. Raises Unavailable."""
        logs = self._telemetry.logs
        await logs.append(list(found))
        asked: dict[str, set[str]] = {}
        for batch in found:
            if not batch.lines:
                asked.setdefault(batch.source.deployment_id, set()).add(batch.source.source_id)
        heads = [
            pb.LogHead(source_id=head.source.source_id, seq=head.seq, at=head.at, resume=head.resume)
            for deployment_id, source_ids in asked.items()
            for head in await logs.heads(deployment_id)
            if head.source.source_id in source_ids
        ]
        await self._bound(_sizes(found))
        return heads

    async def _bound(self, sizes: Mapping[str, int]) -> None:
        for deployment_id, size in sizes.items():
            self._grown[deployment_id] = self._grown.get(deployment_id, 0) + size
            if self._grown[deployment_id] > self._max_bytes // 8:
                del self._grown[deployment_id]
                await self._telemetry.logs.trim(deployment_id, self._max_bytes)


def _sizes(found: Collection[SourceLines]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for batch in found:
        size = sum(len(line.text) + LINE_OVERHEAD_BYTES for line in batch.lines)
        sizes[batch.source.deployment_id] = sizes.get(batch.source.deployment_id, 0) + size
    return sizes
