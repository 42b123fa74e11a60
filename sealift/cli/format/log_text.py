"""Lines of apps as they are printed."""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sealift.cli.format.text import clean
from sealift.ctrl.v1 import log_pb2

_PROCESS_INSTANCE = re.compile(r"dep-[a-z0-9]+-([a-z][a-z0-9-]*)-(\d+)")
_STREAMS = {log_pb2.LOG_STREAM_STDERR: "stderr", log_pb2.LOG_STREAM_SYSTEM: "system"}


class WholeLines:
    """Joins the pieces of long lines, for each instance."""

    def __init__(self) -> None:
        self._begun: dict[tuple[str, str, int], list[str]] = {}

    def feed(self, lines: Sequence[log_pb2.LogLine]) -> Iterator[tuple[log_pb2.LogLine, str]]:
        """The lines that are complete with these: the last piece, and the whole text."""
        for line in lines:
            source = (line.region, line.instance_id, line.stream)
            if line.is_partial:
                self._begun.setdefault(source, []).append(line.text)
                continue
            yield line, "".join([*self._begun.pop(source, []), line.text])


def log_text(line: log_pb2.LogLine, text: str) -> str:
    """Time in UTC, region and number of the instance, and the text without terminal escapes."""
    shown = clean(text)
    if line.stream == log_pb2.LOG_STREAM_SYSTEM:
        shown = f"# {shown}"
    return f"{time_text(line.at)} {clean(line.region)}/{clean(replica_text(line.instance_id))} {shown}"


def log_json(line: log_pb2.LogLine, text: str) -> str:
    """One object; the text as it is."""
    values = {
        "at": line.at,
        "instance_id": line.instance_id,
        "region": line.region,
        "stream": _STREAMS.get(line.stream, "stdout"),
        "text": text,
        "cursor": line.cursor,
    }
    return json.dumps(values, ensure_ascii=False)


def time_text(at_ms: int) -> str:
    """E.g. "2026-11-29T02:03:04.567Z"."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03}Z"


def replica_text(instance_id: str) -> str:
    """The number at the end of an instance's id, e.g. "0", after its process, if it has one: "worker/0"."""
    found = _PROCESS_INSTANCE.fullmatch(instance_id)
    return f"{found[1]}/{found[2]}" if found else instance_id.rpartition("-")[2]
