"""The file in which a builder reports that its BuildKit hangs, for the supervisor, which can restart the engine.

A file, because the supervisor opens no database and serves nothing, and because a report must survive both.
"""

from pathlib import Path

import msgspec

from pkg.builds.report_file import replace


class HangReport(msgspec.Struct, frozen=True, kw_only=True):
    """A BuildKit took a build and did not begin it, nor any step of another one meanwhile.

    Attributes:
        reported_at: seconds since the epoch.
        build_id: which build did not begin.
        waited_s: for how long.
    """

    reported_at: float
    build_id: str
    waited_s: float


def write(path: Path, report: HangReport) -> None:
    """Replaces the last report, in one step. Raises OSError."""
    replace(path, report)


def take(path: Path) -> HangReport | None:
    """The report, which is then gone; None if there is none or it is unreadable."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    path.unlink(missing_ok=True)
    try:
        return msgspec.json.decode(content, type=HangReport)
    except msgspec.DecodeError:
        return None
