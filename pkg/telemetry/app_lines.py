"""Lines that apps print, as they are stored."""

from collections.abc import Sequence
from dataclasses import dataclass

from pkg.telemetry.events import LogStream

# What a stored line takes besides its text, about.
LINE_OVERHEAD_BYTES = 100


@dataclass(frozen=True, slots=True)
class LogSource:
    """One instance from its creation to its end: a container, or a Pod.

    Attributes:
        source_id: identifies it among all of the deployment: an instance that was made again under the same name is
            another source.
        instance_id: its name, "dep-06b7...-0".
        region: where it runs.
    """

    deployment_id: str
    source_id: str
    instance_id: str
    region: str


@dataclass(frozen=True, slots=True)
class AppLine:
    """One line, or a part of a long one, redacted.

    Attributes:
        source_id: of the instance that printed it.
        seq: from 1, growing by one within the source; given by the writer.
        at: epoch milliseconds; within the source it never decreases.
        stream: SYSTEM for what Sealift says in place of lines that are missing.
        text: without its newline, at most 16 KiB.
        is_partial: the line goes on in the source's next one.
    """

    source_id: str
    seq: int
    at: int
    stream: LogStream
    text: str
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class SourceLines:
    """Lines of one source that follow each other, and where its writer continues after them.

    Attributes:
        lines: all of the source, in order of seq; none: only the source itself becomes known.
        resume: kept for the writer as it is, at most 4 KiB.
    """

    source: LogSource
    lines: Sequence[AppLine]
    resume: str


@dataclass(frozen=True, slots=True)
class SourceHead:
    """How much of a source is stored: up to `seq`, printed at `at`; 0 for none. `resume` came with that line."""

    source: LogSource
    seq: int
    at: int
    resume: str


@dataclass(frozen=True, slots=True, order=True)
class LineKey:
    """The place of a line in the order of time within its deployment."""

    at: int
    source_id: str
    seq: int
