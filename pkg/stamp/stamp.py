"""The stamp of an image."""

from functools import cache
from pathlib import Path

import msgspec

from sealift import __version__

UNKNOWN = "unknown"
_FILE = Path(__file__).with_name("stamp.json")


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """Where a build comes from.

    Attributes:
        version: "v1.2.3" of a release, "dev" of another image, the distribution's version outside of images.
        revision: commit; "unknown" unless released.
        built_at: UTC, as 2026-01-31T12:00:00Z: when the commit was made, so that a rebuild gives the same bytes.
    """

    version: str
    revision: str = UNKNOWN
    built_at: str = UNKNOWN

    def __str__(self) -> str:
        return f"{self.version} (revision {self.revision}, built {self.built_at})"


@cache
def current() -> Stamp:
    """The stamp of the running code."""
    return read(_FILE)


def read(path: Path) -> Stamp:
    """The stamp in the JSON file `path`, or that of a checkout."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Stamp)
    except (OSError, msgspec.MsgspecError):
        return Stamp(version=__version__)
